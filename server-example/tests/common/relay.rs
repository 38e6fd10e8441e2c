//! A relay between clients and a real server, with one planted fault: it drops, doubles, swaps,
//! delays, joins, changes, leaks or invents messages of a load, becomes slow, or takes no more than so
//! many connections. It keeps count of what it did, so that a test can ask whether somebody else
//! counted the same.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use chatproto::{Decoder, Message};

/// What the relay does to the messages of a load on their way to the receiver. What the server
/// itself says passes untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Every so many-th never arrives.
    Drop(u64),
    /// Every so many-th arrives twice.
    Double(u64),
    /// Every tenth of the first 30 of a sender arrives after the one behind it.
    Swap,
    /// Each arrives so much later.
    Delay(Duration),
    /// A letter of every so many-th is another one.
    Change(u64),
    /// Every so many-th is said to be by somebody else.
    Forge(u64),
    /// Every so many-th goes to the wrong place: it says that it is for somebody else.
    Divert(u64),
    /// Nothing is left of the text of every so many-th.
    Garble(u64),
    /// Every so many-th arrives at somebody else too, whom it is not for.
    Leak(u64),
    /// Every so many-th arrives at somebody else instead.
    Misroute(u64),
    /// With every so many-th arrives one more, of the same sender, that nobody sent.
    Invent(u64),
    /// With every so many-th arrives a copy that is damaged.
    Echo(u64),
    /// Two arrive in one write.
    Join,
    /// The connections after so many are refused, in the server's way.
    Refuse(usize),
    /// The connections after so many are accepted and never answered.
    Ignore(usize),
    /// With more connections than so many, every answer of the server's comes so much later.
    Tire(usize, Duration),
    /// No answer of the server's arrives but the first of each connection, which is the welcome.
    Mute,
}

/// What the relay saw and did.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Messages of a load on their way to the server, of each sender.
    pub sent: HashMap<String, u64>,
    /// Messages of a load on their way to receivers, of all senders.
    pub passed: u64,
    /// How often it did what it is there for, of each sender.
    pub faults: HashMap<String, u64>,
    /// Commands on their way to the server.
    pub commands: u64,
    pub connections: usize,
}

impl Seen {
    pub fn all_sent(&self) -> u64 {
        self.sent.values().sum()
    }

    pub fn all_faults(&self) -> u64 {
        self.faults.values().sum()
    }
}

/// A relay that runs until the test ends.
pub struct Relay {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// What all connections have in common.
struct Shared {
    fault: Fault,
    seen: Mutex<Seen>,
    /// Where lines to each client go, by its name.
    clients: Mutex<Vec<(String, Arc<Mutex<TcpStream>>)>>,
}

impl Relay {
    pub fn start(server: SocketAddr, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, clients) = Default::default();
        let shared = Arc::new(Shared { fault, seen, clients });
        let of_all = Arc::clone(&shared);
        thread::spawn(move || {
            let mut ignored = Vec::new();
            for (number, client) in listener.incoming().flatten().enumerate() {
                match fault {
                    Fault::Refuse(room) if number >= room => refuse(client),
                    Fault::Ignore(room) if number >= room => ignored.push(client),
                    _ => relay(client, server, &of_all),
                }
            }
        });
        Relay { address, shared }
    }

    pub fn seen(&self) -> Seen {
        self.shared.seen.lock().unwrap().clone()
    }
}

fn refuse(mut client: TcpStream) {
    let farewell =
        Message::new("SERVER", "0.0.0.0", "Guest", "⛔ Error: that is enough.").to_json();
    let _ = client.write_all(format!("{farewell}\n").as_bytes());
    let _ = client.shutdown(Shutdown::Write);
    // closing with bytes unread would be a reset, which takes the farewell with it
    let _ = client.read_to_end(&mut Vec::new());
}

fn relay(client: TcpStream, server: SocketAddr, shared: &Arc<Shared>) {
    shared.seen.lock().unwrap().connections += 1;
    let server = TcpStream::connect(server).unwrap();
    for side in [&client, &server] {
        side.set_nodelay(true).unwrap();
    }
    let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let to_client = Arc::new(Mutex::new(client));
    let (up, down) = (Arc::clone(shared), Arc::clone(shared));
    let writer = Arc::clone(&to_client);
    thread::spawn(move || carry_up(from_client, to_server, writer, &up));
    thread::spawn(move || carry_down(server, &to_client, &down));
}

/// Carries bytes as they are, and counts the messages of a load in them. The decoder is given them
/// from behind the name, which is the first write of every client here.
fn carry_up(
    mut from: TcpStream,
    mut to: TcpStream,
    writer: Arc<Mutex<TcpStream>>,
    shared: &Shared,
) {
    let (mut buffer, mut decoder) = (vec![0; 64 * 1024], Decoder::default());
    let mut writer = Some(writer);
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let mut input = &buffer[..length];
        if let Some(writer) = writer.take() {
            let name = String::from_utf8_lossy(input).trim().to_owned();
            shared.clients.lock().unwrap().push((name, writer));
            input = &[];
        }
        while let Ok(Some(frame)) = decoder.decode(&mut input) {
            let message = frame.message().to_owned();
            let mut seen = shared.seen.lock().unwrap();
            if message.msg.starts_with('~') {
                *seen.sent.entry(message.from.name).or_default() += 1;
            } else if message.to.starts_with('/') {
                seen.commands += 1;
            }
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Carries lines, and does to those of a load what is to be done.
fn carry_down(from: TcpStream, to: &Mutex<TcpStream>, shared: &Shared) {
    let mut held: Option<String> = None;
    for (number, line) in BufReader::new(from).lines().map_while(Result::ok).enumerate() {
        let line = line + "\n";
        let message = Message::decode(line.trim_end().as_bytes()).ok();
        let payload = message.filter(|message| message.msg.starts_with('~'));
        let out = match (payload, shared.fault) {
            (Some(message), _) => alter(line, &message, &mut held, shared),
            (None, Fault::Mute) if number > 0 => String::new(),
            (None, Fault::Tire(room, time)) if number > 0 => {
                let is_tired = shared.seen.lock().unwrap().connections > room;
                if is_tired {
                    thread::sleep(time);
                }
                line
            }
            (None, _) => line,
        };
        if to.lock().unwrap().write_all(out.as_bytes()).is_err() {
            break;
        }
    }
    let _ = to.lock().unwrap().shutdown(Shutdown::Write);
}

/// What arrives instead of a message.
fn alter(line: String, message: &Message, held: &mut Option<String>, shared: &Shared) -> String {
    let mut seen = shared.seen.lock().unwrap();
    seen.passed += 1;
    let number = seen.passed;
    let mut note = || *seen.faults.entry(message.from.name.clone()).or_default() += 1;
    let write = |message: Message| message.to_json() + "\n";
    let leak = || {
        let clients = shared.clients.lock().unwrap();
        let (_, other) = clients.iter().find(|(name, _)| *name != message.to).unwrap();
        other.lock().unwrap().write_all(line.as_bytes()).unwrap();
    };
    match shared.fault {
        Fault::Drop(every) if number.is_multiple_of(every) => {
            note();
            String::new()
        }
        Fault::Double(every) if number.is_multiple_of(every) => {
            note();
            line.clone() + &line
        }
        Fault::Change(every) if number.is_multiple_of(every) => {
            note();
            let mut changed = message.clone();
            changed.msg.pop();
            changed.msg.push('!');
            write(changed)
        }
        Fault::Forge(every) if number.is_multiple_of(every) => {
            note();
            let mut forged = message.clone();
            forged.from.name = "mallory".to_owned();
            write(forged)
        }
        Fault::Divert(every) if number.is_multiple_of(every) => {
            note();
            let mut diverted = message.clone();
            diverted.to.push('0');
            write(diverted)
        }
        Fault::Garble(every) if number.is_multiple_of(every) => {
            note();
            let mut garbled = message.clone();
            garbled.msg = "?".to_owned();
            write(garbled)
        }
        Fault::Leak(every) if number.is_multiple_of(every) => {
            note();
            leak();
            line
        }
        Fault::Misroute(every) if number.is_multiple_of(every) => {
            note();
            leak();
            String::new()
        }
        Fault::Invent(every) if number.is_multiple_of(every) => {
            note();
            let mut invented = message.clone();
            invented.msg = "nobody said this".to_owned();
            write(invented) + &line
        }
        Fault::Echo(every) if number.is_multiple_of(every) => {
            note();
            let mut damaged = message.clone();
            damaged.msg.push('!');
            write(damaged) + &line
        }
        Fault::Swap => {
            let of_sender = u32::from_str_radix(&message.msg[9..17], 16).unwrap();
            if let Some(before) = held.take() {
                note();
                line + &before
            } else if of_sender < 30 && of_sender % 10 == 3 {
                *held = Some(line);
                String::new()
            } else {
                line
            }
        }
        Fault::Join => match held.take() {
            Some(before) => {
                note();
                before + &line
            }
            None => {
                *held = Some(line);
                String::new()
            }
        },
        Fault::Delay(time) => {
            note();
            drop(seen);
            thread::sleep(time);
            line
        }
        _ => line,
    }
}
