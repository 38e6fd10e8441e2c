//! What is measured, on whom, and the goals.

use crate::sample::Metric;
use crate::servers::Kind;
use crate::transport::Transport;

/// The payload of most messages in bytes.
const TEXT: usize = 64;

/// How messages flow. Connections are in pairs, 0 with 1, 2 with 3, but for a fan-out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flow {
    /// Everyone always has so many messages to the other one of the pair in flight.
    Pairs { connections: usize, in_flight: usize },
    /// So many messages are in flight in all. For each that is delivered the next connection, in
    /// turn, sends one to the other one of its pair.
    Turns { connections: usize, in_flight: usize },
    /// One speaks to all others, so many messages ahead of what is delivered.
    Fanout { receivers: usize, in_flight: usize },
    /// So many messages a second in all, each sent when it is due (an open loop), in turn from each
    /// connection to the other one of its pair.
    Paced { connections: usize, per_second: u32 },
    /// Nobody says anything.
    Idle { connections: usize },
}

impl Flow {
    pub(crate) fn connections(self) -> usize {
        match self {
            Flow::Pairs { connections, .. }
            | Flow::Turns { connections, .. }
            | Flow::Paced { connections, .. }
            | Flow::Idle { connections } => connections,
            Flow::Fanout { receivers, .. } => receivers + 1,
        }
    }
}

/// What else happens during a paced flow; only this project's protocol has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aside {
    /// Users beside those of the flow.
    pub(crate) users: usize,
    /// They never read.
    pub(crate) are_stalled: bool,
    /// What one more user sends, so often, with a text of so many bytes.
    pub(crate) command: &'static str,
    pub(crate) per_second: u32,
    pub(crate) payload: usize,
}

/// What the generator puts on a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) flow: Flow,
    pub(crate) payload: usize,
    pub(crate) aside: Option<Aside>,
    pub(crate) transport: Transport,
}

impl Load {
    fn connections(&self) -> usize {
        self.flow.connections() + self.aside.map_or(0, |aside| aside.users + 1)
    }
}

/// One of those that are compared on a work.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) label: String,
    pub(crate) server: Kind,
    pub(crate) threads: usize,
    /// The server has one core and the generator another; else both have all.
    pub(crate) is_pinned: bool,
    pub(crate) load: Load,
}

/// Whom this project's server is compared with.
#[derive(Debug)]
pub(crate) enum Versus {
    /// The peers, with the same load.
    Peers(Load),
    /// Itself: the first is the measure of the second.
    Itself([Contender; 2]),
}

/// What is to be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    None,
    /// At most so many times the best peer, or the measure.
    AtMostTimes(f64),
    AtLeastTimes(f64),
    /// At most that value.
    AtMost(f64),
}

#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) versus: Versus,
    pub(crate) rows: Vec<(Metric, Goal)>,
}

impl Work {
    pub(crate) fn contenders(&self, kinds: &[Kind]) -> Vec<Contender> {
        match &self.versus {
            Versus::Itself(both) => both.to_vec(),
            Versus::Peers(load) => {
                let contender = |&kind: &Kind| ours(kind.name(), *load).served_by(kind);
                kinds.iter().map(contender).collect()
            }
        }
    }

    /// The most connections of a run.
    pub(crate) fn connections(&self) -> usize {
        match &self.versus {
            Versus::Peers(load) => load.connections(),
            Versus::Itself(both) => {
                both.iter().map(|one| one.load.connections()).max().unwrap_or(0)
            }
        }
    }
}

impl Contender {
    fn served_by(self, server: Kind) -> Self {
        Contender { server, ..self }
    }

    /// On all cores, with so many threads.
    fn unpinned(self, threads: usize) -> Self {
        Contender { threads, is_pinned: false, ..self }
    }
}

fn ours(label: &str, load: Load) -> Contender {
    let label = label.to_owned();
    Contender { label, server: Kind::Chatproto, threads: 1, is_pinned: true, load }
}

fn load(flow: Flow) -> Load {
    Load { flow, payload: TEXT, aside: None, transport: Transport::Tcp }
}

/// Every work, in the order in which it is measured.
pub(crate) fn all() -> Vec<Work> {
    use Goal::{AtLeastTimes, AtMost, AtMostTimes};
    use Metric::{Accept, Cpu, Memory, P50, P99, P999, Rate};

    let pairs = |connections, in_flight| load(Flow::Pairs { connections, in_flight });
    let fanout = |receivers, in_flight| load(Flow::Fanout { receivers, in_flight });
    let turns = |connections, in_flight| load(Flow::Turns { connections, in_flight });
    let paced = |per_second| load(Flow::Paced { connections: 100, per_second });
    let peers = |name, title, load, rows| Work { name, title, versus: Versus::Peers(load), rows };
    let itself = |name, title, both, rows| Work { name, title, versus: Versus::Itself(both), rows };

    let lists = |per_second| {
        let command = "/list";
        let aside = Aside { users: 10_000, are_stalled: false, command, per_second, payload: TEXT };
        Load { aside: Some(aside), ..paced(20_000) }
    };
    let shouts = |are_stalled| {
        let (command, per_second, payload) = ("/shout", 100, 16 * 1024);
        let aside = Aside { users: 11, are_stalled, command, per_second, payload };
        Load { aside: Some(aside), ..paced(20_000) }
    };
    let websocket = |load| Load { transport: Transport::WebSocket, ..load };
    let transports = |load| [ours("TCP", load), ours("WebSocket", websocket(load))];
    let nats = |load| {
        let load = websocket(load);
        [ours("nats-server", load).served_by(Kind::Nats), ours("chatproto", load)]
    };
    let idle = |connections| load(Flow::Idle { connections });
    let free = |metric| (metric, Goal::None);

    vec![
        peers(
            "pairs-1",
            "pairs, 100 connections, 1 in flight",
            pairs(100, 1),
            vec![(Cpu, AtMostTimes(0.8))],
        ),
        peers(
            "pairs-32",
            "pairs, 100 connections, 32 in flight",
            pairs(100, 32),
            vec![(Cpu, AtMostTimes(0.7))],
        ),
        peers(
            "fanout-1",
            "one to 1000, 1 in flight",
            fanout(1000, 1),
            vec![(Cpu, AtMostTimes(1.0))],
        ),
        peers(
            "fanout-32",
            "one to 1000, 32 in flight",
            fanout(1000, 32),
            vec![(Cpu, AtMostTimes(0.85))],
        ),
        peers(
            "idle",
            "15,000 connections, one after the other, then idle",
            idle(15_000),
            vec![(Memory, AtMost(450.0)), (Accept, AtMostTimes(1.0))],
        ),
        peers(
            "open-loop",
            "pairs, 100 connections, 60,000 messages/s when due",
            paced(60_000),
            vec![(Cpu, AtMostTimes(0.8)), free(P50), (P99, AtMostTimes(1.0)), free(P999)],
        ),
        peers(
            "large",
            "pairs, 100 connections, 4 in flight, 16 KiB each",
            Load { payload: 16 * 1024, ..pairs(100, 4) },
            vec![free(Cpu)],
        ),
        itself(
            "growth",
            "pairs in turn, 100 in flight in all",
            [ours("100 connections", turns(100, 100)), ours("10,000", turns(10_000, 100))],
            vec![(Cpu, AtMostTimes(1.3))],
        ),
        itself(
            "list",
            "100 in pairs, 20,000 messages/s, in a crowd of 10,000",
            [ours("undisturbed", lists(0)), ours("100 /list per second", lists(100))],
            vec![free(Cpu), free(P50), free(P99), free(P999)],
        ),
        itself(
            "slow-readers",
            "100 in pairs, 20,000 messages/s, and 100 shouts/s of 16 KiB that 11 more hear",
            [ours("all read", shouts(false)), ours("the 11 never read", shouts(true))],
            vec![free(Cpu), free(P50), free(P99), free(P999)],
        ),
        itself(
            "threads",
            "pairs, 100 connections, 32 in flight, nothing bound to a core",
            [
                ours("1 thread", pairs(100, 32)).unpinned(1),
                ours("2 threads", pairs(100, 32)).unpinned(2),
            ],
            vec![(Rate, AtLeastTimes(1.0)), free(Cpu)],
        ),
        itself(
            "ws-1",
            "pairs, 100 connections, 1 in flight, over TCP and over WebSocket",
            transports(pairs(100, 1)),
            vec![(Cpu, AtMostTimes(1.15))],
        ),
        itself(
            "ws-32",
            "pairs, 100 connections, 32 in flight, over TCP and over WebSocket",
            transports(pairs(100, 32)),
            vec![(Cpu, AtMostTimes(1.6))],
        ),
        itself(
            "ws-fanout",
            "one to 1000, 1 in flight, over TCP and over WebSocket",
            transports(fanout(1000, 1)),
            vec![free(Cpu)],
        ),
        itself(
            "ws-nats-1",
            "pairs, 100 connections, 1 in flight, over WebSocket",
            nats(pairs(100, 1)),
            vec![(Cpu, AtMostTimes(0.8))],
        ),
        itself(
            "ws-nats-32",
            "pairs, 100 connections, 32 in flight, over WebSocket",
            nats(pairs(100, 32)),
            vec![(Cpu, AtMostTimes(0.8))],
        ),
        itself(
            "ws-idle",
            "15,000 connections, one after the other, then idle, over TCP and over WebSocket",
            transports(idle(15_000)),
            vec![(Memory, AtMost(700.0)), free(Accept)],
        ),
    ]
}
