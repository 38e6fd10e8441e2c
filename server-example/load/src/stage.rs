//! What runs of every kind go through: connecting clients, joining rooms, waiting for what is still
//! on its way, and looking at the clock, the samples and Ctrl-C in between.

use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chatproto::handshake::PeerKind;
use chatproto::websocket::Url;
use mio::Events;
use shared::failure::{Failure, reason};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::gauge::{Gauge, rounded, server_use};
use super::live::{self, Live};
use super::net::Net;
use super::options::{CommonOptions, Peer};
use super::report::{Run, ServerUse};
use super::traffic::{Expected, Traffic};
use super::usage::{self, Usage};

/// Clients that wait for their welcome at a time.
const AT_ONCE: usize = 256;
/// One turn waits no longer, so that Ctrl-C and samples have their time.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// How long an interrupted run waits for what is on its way, so that a server which keeps up is not
/// said to lose it.
const GRACE: Duration = Duration::from_millis(250);

/// Whether somebody pressed Ctrl-C.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The first signal asks for the end, the second one is it.
    pub(crate) fn on_signals() -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))
                .and_then(|_| flag::register(signal, Arc::clone(&stop)))
                .map_err(|error| {
                    Failure::Run(format!("cannot handle signals: {}", reason(&error)))
                })?;
        }
        Ok(Stop(stop))
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where a run goes, and how patient it is.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The WebSocket there, if the clients open one.
    pub(crate) url: Option<Url>,
    pub(crate) pid: Option<u32>,
    pub(crate) timeout: Duration,
    pub(crate) patience: Duration,
}

impl Target {
    /// # Errors
    /// No such host, or no such process.
    pub(crate) fn new(options: &CommonOptions) -> Result<Self, Failure> {
        let url = options.url.clone();
        let server = url.as_ref().map_or(&options.server, Url::address);
        let addresses = server.resolve().map_err(|unknown| Failure::Usage(unknown.to_string()))?;
        if let Some(pid) = options.pid.filter(|&pid| usage::of(pid).is_none()) {
            return Err(Failure::Usage(usage::why_unknown(pid)));
        }
        let timeout = options.timeout.0;
        let address = match &*addresses {
            [only] => *only,
            // a name may have addresses on which nobody listens
            several => *several
                .iter()
                .find(|address| TcpStream::connect_timeout(address, timeout).is_ok())
                .unwrap_or(&several[0]),
        };
        Ok(Target { address, url, pid: options.pid, timeout, patience: options.patience.0 })
    }

    /// Checks that clients of this kind can be at the server.
    ///
    /// # Errors
    /// They cannot: over a WebSocket, all are stream peers.
    pub(crate) fn check(&self, peer: Peer) -> Result<(), Failure> {
        if self.url.is_some() && peer == Peer::OneRead {
            let why = "clients of a WebSocket are stream peers: remove the kind one-read, or use --server";
            return Err(Failure::Usage(why.to_owned()));
        }
        Ok(())
    }
}

/// The server, as the report and errors name it.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.url {
            Some(url) => url.fmt(f),
            None => self.address.fmt(f),
        }
    }
}

/// One run.
pub(crate) struct Stage<'a> {
    pub(crate) net: Net,
    pub(crate) traffic: Traffic,
    target: &'a Target,
    stop: &'a Stop,
    live: &'a mut Live,
    label: String,
    /// How far the whole of all runs is when this one begins and when it ends, of 1.
    progress: (f64, f64),
    events: Events,
    /// When the measuring began, and what was used until then.
    measured: Option<Measured>,
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    from: u64,
    until: u64,
    idle: Duration,
    used: Option<Usage>,
    own: Option<Usage>,
}

/// What was measured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    seconds: f64,
    busy: f64,
    generator_cpu_seconds: Option<f64>,
    server_use: Option<ServerUse>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(
        target: &'a Target,
        stop: &'a Stop,
        live: &'a mut Live,
        label: String,
        (clients, kind): (usize, PeerKind),
        length: Duration,
    ) -> Result<Self, Failure> {
        let net = Net::new(target.address, target.timeout)?.over(target.url.clone());
        let gauge = Gauge::new(net.now(), net.idle(), Gauge::interval(length), target.pid);
        let traffic = Traffic::new(&net, clients, kind, gauge);
        let events = Events::with_capacity(4096);
        let (progress, measured) = ((0.0, 1.0), None);
        Ok(Stage { net, traffic, target, stop, live, label, progress, events, measured })
    }

    pub(crate) fn with_progress(self, begin: f64, end: f64) -> Self {
        Stage { progress: (begin, end), ..self }
    }

    pub(crate) fn say(&self, line: &str) {
        self.live.say(line);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_asked()
    }

    /// One turn of the loop, and a sample if it is time; `done` is how far the run is, of 1.
    pub(crate) fn turn(&mut self, wait: Duration, done: f64) -> Result<(), Failure> {
        self.net.turn(&mut self.traffic, &mut self.events, wait.min(LONGEST_WAIT))?;
        let totals = self.traffic.totals();
        if let Some(sample) = self.traffic.gauge.sample(&self.net, totals) {
            let (begin, end) = self.progress;
            self.live.show(begin + done * (end - begin), &live::line(&self.label, sample));
        }
        Ok(())
    }

    /// Connects the clients, all of them or as many as the server takes.
    pub(crate) fn gather(&mut self, clients: usize, kind: PeerKind) -> Result<(), Failure> {
        let mut is_able = true;
        while is_able && self.net.len() < clients && !self.is_stopped() {
            while is_able && self.net.registering() < AT_ONCE && self.net.len() < clients {
                let name = self.traffic.names.of(self.net.len() as u32);
                if let Err(end) = self.net.add(&name, kind) {
                    self.traffic.failed(None, end);
                    is_able = false;
                }
            }
            self.turn(LONGEST_WAIT, 0.0)?;
        }
        while self.net.registering() > 0 && !self.is_stopped() {
            self.turn(LONGEST_WAIT, 0.0)?;
        }
        if self.net.open() == 0 && !self.is_stopped() {
            let why = self.traffic.failures.first.clone().unwrap_or_default();
            let target = self.target;
            return Err(Failure::Run(format!(
                "no client could talk to {target}: {why} (is a server running there? choose \
                 another with --server or --url)"
            )));
        }
        Ok(())
    }

    /// Clients that are there.
    pub(crate) fn present(&self) -> Arc<[u32]> {
        (0..self.net.len() as u32).filter(|&who| self.net.is_ready(who)).collect()
    }

    /// Has each client join its room; the members of each, or `None` if the server has no rooms.
    pub(crate) fn join(&mut self, rooms: usize) -> Result<Option<Vec<Arc<[u32]>>>, Failure> {
        let present = self.present();
        for &who in &*present {
            let room = self.traffic.names.room(who as usize % rooms);
            self.traffic.ask(&mut self.net, who, "/join", &room, Expected::Anything);
        }
        self.await_answers()?;
        let mut members = vec![Vec::new(); rooms];
        for &who in &*present {
            let is_in = self.net.is_ready(who) && self.traffic.went_well(who);
            if is_in {
                members[who as usize % rooms].push(who);
            }
        }
        let joined: usize = members.iter().map(Vec::len).sum();
        let has_rooms = joined > 0 && self.traffic.is_answered();
        Ok(has_rooms.then(|| members.into_iter().map(Arc::from).collect()))
    }

    /// Waits for the answers to all commands, but not for ever.
    fn await_answers(&mut self) -> Result<(), Failure> {
        let begun = self.net.now();
        let waited = |net: &Net| Duration::from_nanos(net.now() - begun);
        while !self.traffic.is_answered()
            && waited(&self.net) < self.target.timeout
            && !self.is_stopped()
        {
            self.turn(LONGEST_WAIT, 0.0)?;
        }
        Ok(())
    }

    /// Measures what is due between these times of the clock.
    pub(crate) fn measure(&mut self, from: u64, until: u64) {
        self.traffic.measure(from, until);
        let used = self.target.pid.and_then(usage::of);
        let own = usage::of(std::process::id());
        self.measured = Some(Measured { from, until, idle: self.net.idle(), used, own });
    }

    /// Waits for what is on its way, until there is silence; when it is interrupted, for [`GRACE`] at
    /// most.
    pub(crate) fn drain(&mut self) -> Result<(), Failure> {
        let grace = self.target.patience.min(GRACE).as_nanos() as u64;
        let mut until = None;
        self.traffic.restart_silence(&self.net);
        while (self.traffic.ledger.outstanding() > 0 || !self.traffic.is_answered())
            && self.traffic.silence(&self.net) < self.target.patience
        {
            let now = self.net.now();
            if self.is_stopped() && now >= *until.get_or_insert(now + grace) {
                break;
            }
            self.turn(LONGEST_WAIT, 1.0)?;
        }
        Ok(())
    }

    /// What is measured so far. To be called when the measuring ends.
    pub(crate) fn read_out(&self) -> Figures {
        let Some(Measured { from, until, idle, used, own }) = self.measured else {
            return Figures::default();
        };
        let seconds = self.net.now().min(until).saturating_sub(from) as f64 / 1e9;
        let idle = (self.net.idle() - idle).as_secs_f64();
        let cpu = own.zip(usage::of(std::process::id()));
        let cpu = cpu.map(|(before, now)| now.cpu.saturating_sub(before.cpu).as_secs_f64());
        let samples = &self.traffic.gauge.samples;
        Figures {
            seconds,
            busy: rounded((1.0 - idle / seconds.max(1e-9)).clamp(0.0, 1.0)),
            generator_cpu_seconds: cpu.map(rounded),
            server_use: server_use(self.target.pid, used, self.traffic.measured(), samples),
        }
    }

    /// Has everybody leave and closes the books. When it is interrupted, it waits for nobody.
    pub(crate) fn finish(mut self, figures: Figures) -> Run {
        // a duplicate may come after all else, and is counted while everybody leaves
        let stop = self.stop;
        self.net.close_all(&mut self.traffic, || stop.is_asked());
        if self.traffic.ledger.is_full() {
            self.live.say(
                "the books are full: what came late, damaged or by mistake is not told apart any \
                 more, and counts as duplicated or extra",
            );
        }
        let Figures { seconds, busy, generator_cpu_seconds, server_use } = figures;
        Run { generator_cpu_seconds, server_use, ..self.traffic.finish(seconds, busy) }
    }
}
