//! Well-behaved clients: pairs of which one writes and the other reads, at a steady modest rate.
//! Half of them find the objects of a stream, the others are as programs were before there was a
//! library: no line feed, one object a read. Every message is checked, counted and timed.
//!
//! A message is timed from when its writer has it to when it reaches the reader's socket, by the
//! clock of the system that puts it there (`SO_TIMESTAMPNS`). When the reader then gets the core is
//! no doing of the server's, which is what is judged: on machines of their own, honest clients
//! would not wait for an attacker's system calls.

use std::io::{self, IoSliceMut, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use chatproto::{Decoder, Message};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;

use super::PATIENCE;
use super::cores::{self, Urgency};

/// Pairs, and messages a second of all of them together.
const PAIRS: usize = 20;
const RATE: u32 = 400;
/// Characters in each message.
const TEXT: usize = 64;

/// Pairs that chat until they are stopped.
#[derive(Debug)]
pub(crate) struct Honest {
    stopping: Arc<AtomicBool>,
    sent: Vec<Arc<AtomicU64>>,
    writer: Option<JoinHandle<Result<(), String>>>,
    readers: Vec<Reader>,
}

#[derive(Debug)]
struct Reader {
    /// When each message was sent, and how long it took.
    seen: Arc<Mutex<Vec<(Instant, Duration)>>>,
    received: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<(), String>>>,
    stream: TcpStream,
}

/// One moment by two clocks.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    instant: Instant,
    time: Duration,
}

/// The second half of a pair's two connections.
struct Pair {
    writer: TcpStream,
    is_stream: bool,
}

impl Honest {
    /// Registers them, and has them begin.
    pub(crate) fn start(address: SocketAddr, is_measured: bool) -> Result<Self, String> {
        let stopping = Arc::new(AtomicBool::new(false));
        let epoch = Epoch { instant: Instant::now(), time: since_1970() };
        let (mut pairs, mut readers, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..PAIRS {
            let is_stream = number % 2 == 0;
            let (writer, _) = join(address, &format!("writer {number}"), is_stream)?;
            let (reader, rest) = join(address, &format!("reader {number}"), is_stream)?;
            pairs.push(Pair { writer, is_stream });
            sent.push(Arc::new(AtomicU64::new(0)));
            readers.push(Reader::start(reader, rest, (number, epoch), is_measured)?);
        }
        let writer = thread::spawn({
            let (stopping, sent) = (Arc::clone(&stopping), sent.clone());
            let place = is_measured.then_some((1, Urgency::Honest));
            move || cores::on(place, || write(pairs, &sent, &stopping))
        });
        Ok(Honest { stopping, sent, writer: Some(writer), readers })
    }

    /// How long what was sent in this time took.
    pub(crate) fn latencies(&self, from: Instant, to: Instant) -> Vec<Duration> {
        let mut latencies = Vec::new();
        for reader in &self.readers {
            let seen = reader.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let then = seen.iter().filter(|(at, _)| (from..=to).contains(at));
            latencies.extend(then.map(|&(_, latency)| latency));
        }
        latencies
    }

    /// Ends the conversation: everything that was sent must have been read, and nothing else.
    pub(crate) fn stop(mut self) -> Result<u64, String> {
        self.stopping.store(true, Ordering::SeqCst);
        if let Some(writer) = self.writer.take() {
            joined(writer)?;
        }
        let mut all = 0;
        for (reader, sent) in self.readers.iter_mut().zip(&self.sent) {
            let sent = sent.load(Ordering::SeqCst);
            let begun = Instant::now();
            while reader.received.load(Ordering::SeqCst) < sent {
                let thread = reader.thread.take_if(|thread| thread.is_finished());
                if let Some(thread) = thread {
                    joined(thread)?;
                }
                if begun.elapsed() > PATIENCE {
                    let received = reader.received.load(Ordering::SeqCst);
                    return Err(format!("an honest client got {received} of {sent} messages."));
                }
                thread::sleep(Duration::from_millis(1));
            }
            all += sent;
        }
        for reader in &mut self.readers {
            reader.end()?;
        }
        Ok(all)
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        for reader in &mut self.readers {
            // a failure was reported already
            let _ = reader.end();
        }
    }
}

impl Reader {
    fn start(
        stream: TcpStream,
        rest: Vec<u8>,
        (number, epoch): (usize, Epoch),
        is_measured: bool,
    ) -> Result<Self, String> {
        let (seen, received) = (Arc::default(), Arc::new(AtomicU64::new(0)));
        let mut input = stream.try_clone().map_err(|error| format!("cannot go on: {error}."))?;
        let thread = thread::spawn({
            let (seen, received) = (Arc::clone(&seen), Arc::clone(&received));
            move || {
                let place = is_measured.then_some((1, Urgency::Honest));
                cores::on(place, || read(&mut input, &rest, (number, epoch), &seen, &received))
            }
        });
        Ok(Reader { seen, received, thread: Some(thread), stream })
    }

    fn end(&mut self) -> Result<(), String> {
        // its thread reads the end of file; an error means that there was one before
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        self.thread.take().map_or(Ok(()), joined)
    }
}

fn joined(thread: JoinHandle<Result<(), String>>) -> Result<(), String> {
    thread.join().unwrap_or_else(|_| Err("a client has panicked.".to_owned()))
}

/// Connects and registers. Returns what was read behind the welcome, too.
pub(crate) fn join(
    address: SocketAddr,
    name: &str,
    is_stream: bool,
) -> Result<(TcpStream, Vec<u8>), String> {
    let failed = |error| format!("{name} cannot register: {error}.");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let end = if is_stream { "\n" } else { "" };
    stream.write_all(format!("{name}{end}").as_bytes()).map_err(failed)?;
    let (mut decoder, mut input, mut buffer) = (Decoder::default(), Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut buffer).map_err(failed)?;
        input.extend_from_slice(&buffer[..length]);
        let mut bytes = &input[..];
        match decoder.decode(&mut bytes) {
            Ok(None) if length == 0 => return Err(format!("{name} was not welcomed.")),
            Ok(None) => input.clear(),
            Ok(Some(frame)) => {
                let text = frame.message().msg.to_str().into_owned();
                if !text.contains("Welcome") {
                    return Err(format!("{name} was not welcomed: {text}"));
                }
                return Ok((stream, bytes.to_vec()));
            }
            Err(error) => return Err(format!("the server sent what is no message: {error}.")),
        }
    }
}

/// Sends a message of each pair in turn, at the rate.
fn write(
    mut pairs: Vec<Pair>,
    sent: &[Arc<AtomicU64>],
    stopping: &AtomicBool,
) -> Result<(), String> {
    let begun = Instant::now();
    let mut next = 0;
    while !stopping.load(Ordering::SeqCst) {
        let due = begun + next * Duration::from_secs(1) / RATE;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let number = next as usize % PAIRS;
        let pair = &mut pairs[number];
        let count = sent[number].load(Ordering::SeqCst);
        let stamp = since_1970().as_nanos();
        let text = format!("{count} {stamp} ");
        let text = format!("{text:·<TEXT$}");
        let (from, to) = (format!("writer {number}"), format!("reader {number}"));
        let message = Message::new(&from, "", &to, &text);
        let object = match pair.is_stream {
            true => message.to_json() + "\n",
            false => message.to_python_json(),
        };
        let written = pair.writer.write_all(object.as_bytes());
        written.map_err(|error| format!("an honest client cannot write: {error}."))?;
        sent[number].store(count + 1, Ordering::SeqCst);
        next += 1;
    }
    Ok(())
}

/// Reads the messages of one pair, which must come whole and in order, until it is shut down.
fn read(
    stream: &mut TcpStream,
    rest: &[u8],
    (number, epoch): (usize, Epoch),
    seen: &Mutex<Vec<(Instant, Duration)>>,
    received: &AtomicU64,
) -> Result<(), String> {
    let failed = |error| format!("an honest client cannot read: {error}.");
    stream.set_read_timeout(None).map_err(failed)?;
    setsockopt(stream, sockopt::ReceiveTimestampns, &true).map_err(|no| failed(no.into()))?;
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
    let (mut length, mut at) = (rest.len(), since_1970());
    buffer[..length].copy_from_slice(rest);
    loop {
        let mut bytes = &buffer[..length];
        while let Some(frame) = decoder
            .decode(&mut bytes)
            .map_err(|error| format!("an honest client got what is no message: {error}."))?
        {
            let message = frame.message().to_owned();
            let count = received.load(Ordering::SeqCst);
            let mut words = message.msg.split(' ');
            let place = words.next().and_then(|word| word.parse::<u64>().ok());
            let stamp = words.next().and_then(|word| word.parse().ok()).map(Duration::from_nanos);
            let (Some(place), Some(stamp)) = (place, stamp) else {
                return Err(format!("an honest client got what nobody sent: {message:?}"));
            };
            if place != count || message.from.name != format!("writer {number}") {
                return Err(format!("message {count} is missing; this came: {message:?}"));
            }
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let sent = epoch.instant + stamp.saturating_sub(epoch.time);
            seen.push((sent, at.saturating_sub(stamp)));
            received.store(count + 1, Ordering::SeqCst);
        }
        (length, at) = receive(stream, &mut buffer).map_err(failed)?;
        if length == 0 {
            return Ok(());
        }
    }
}

/// Reads, and says when that came: the last of it, if it is several packets.
fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Duration)> {
    let mut control = nix::cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::empty();
    let read = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let stamp = read.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
        _ => None,
    });
    // what came before the option was set has none
    Ok((read.bytes, stamp.unwrap_or_else(since_1970)))
}

/// By the clock that packets are stamped with.
fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
