//! The workers of a ramp together: the first is a thread of this process, and when that process may
//! have no more descriptors, others are started.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, reason};

use super::latency::Latencies;
use super::report::Failures;
use super::worker::{Local, Order, Setup, Tally};

/// Descriptors of a process that are not for clients.
const RESERVE: u64 = 64;
/// More processes than this are not what one machine is for.
const MOST_PROCESSES: usize = 64;

#[derive(Debug)]
pub(crate) struct Crew {
    setup: Setup,
    /// Clients that one process may have.
    room: u64,
    workers: Vec<Worker>,
    tallies: Receiver<(usize, Tally)>,
    /// Of which each worker has one.
    told: Sender<(usize, Tally)>,
    /// Since they were last taken.
    pub(crate) connects: Latencies,
    pub(crate) heartbeats: Latencies,
}

#[derive(Debug)]
struct Worker {
    line: Line,
    ordered: u64,
    tally: Tally,
}

/// How a worker is given orders.
#[derive(Debug)]
enum Line {
    Thread(Local),
    Process { child: Child, orders: Option<ChildStdin> },
}

impl Crew {
    /// `descriptors` is how many one process may have.
    pub(crate) fn new(setup: Setup, descriptors: u64) -> Result<Self, Failure> {
        let room = descriptors.saturating_sub(RESERVE);
        if room == 0 {
            return Err(Failure::Usage(format!(
                "the limit of {descriptors} file descriptors leaves no room for clients: raise it \
                 with ulimit -n"
            )));
        }
        let (told, tallies) = mpsc::channel();
        let (connects, heartbeats) = (Latencies::new(), Latencies::new());
        Ok(Crew { setup, room, workers: Vec::new(), tallies, told, connects, heartbeats })
    }

    /// Adds clients, to workers that have room; how many could not be added.
    pub(crate) fn add(&mut self, mut count: u64) -> Result<u64, Failure> {
        while count > 0 {
            let room = |worker: &&mut Worker| self.room > worker.ordered;
            let Some(worker) = self.workers.iter_mut().find(room) else {
                if self.workers.len() == MOST_PROCESSES {
                    return Ok(count);
                }
                self.start()?;
                continue;
            };
            let part = count.min(self.room - worker.ordered);
            worker.ordered += part;
            worker.line.order(Order::Add(part))?;
            count -= part;
        }
        Ok(0)
    }

    fn start(&mut self) -> Result<(), Failure> {
        let number = self.workers.len();
        let prefix = format!("{}{number}-", self.setup.prefix);
        let others = self.workers.iter().map(|worker| worker.ordered).sum();
        let setup = Setup { prefix, others, ..self.setup.clone() };
        let told = self.told.clone();
        let tell = move |tally| drop(told.send((number, tally)));
        let line = match number {
            0 => Line::Thread(Local::start(setup, tell)?),
            _ => Line::process(&setup, tell)?,
        };
        self.workers.push(Worker { line, ordered: 0, tally: Tally::default() });
        Ok(())
    }

    /// Waits for news, at most so long. False if there are none.
    pub(crate) fn listen(&mut self, wait: Duration) -> bool {
        let heard = match self.tallies.recv_timeout(wait) {
            Ok(heard) => heard,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
        };
        let (number, tally) = heard;
        tally.connects.iter().for_each(|&(ns, count)| self.connects.record_many(ns, count));
        tally.heartbeats.iter().for_each(|&(ns, count)| self.heartbeats.record_many(ns, count));
        self.workers[number].tally = tally;
        true
    }

    /// Whether every client that was added is welcomed or has failed.
    pub(crate) fn is_settled(&self) -> bool {
        let settled = |w: &Worker| w.tally.ordered == w.ordered && w.tally.waiting == 0;
        self.workers.iter().all(|worker| settled(worker) || worker.tally.left.is_some())
    }

    pub(crate) fn processes(&self) -> u64 {
        self.workers.len() as u64
    }

    fn sum(&self, of: impl Fn(&Tally) -> u64) -> u64 {
        self.workers.iter().map(|worker| of(&worker.tally)).sum()
    }

    pub(crate) fn open(&self) -> u64 {
        self.sum(|tally| tally.open)
    }

    pub(crate) fn asked(&self) -> u64 {
        self.sum(|tally| tally.asked)
    }

    pub(crate) fn answered(&self) -> u64 {
        self.sum(|tally| tally.answered)
    }

    /// How busy the busiest worker is.
    pub(crate) fn busy(&self) -> f64 {
        self.workers.iter().map(|worker| worker.tally.busy).fold(0.0, f64::max)
    }

    pub(crate) fn failures(&self) -> Failures {
        let mut all = Failures::default();
        for worker in &self.workers {
            all.add(&worker.tally.failures);
        }
        all
    }

    /// Has everybody leave; how many the server did not let go.
    pub(crate) fn leave(&mut self) -> u64 {
        for worker in &mut self.workers {
            // one that cannot be told has ended, and its clients with it
            let _ = worker.line.order(Order::Leave);
        }
        let end = Instant::now() + self.setup.timeout + Duration::from_secs(5);
        let is_there = |worker: &Worker| worker.tally.left.is_none();
        while self.workers.iter().any(is_there) && Instant::now() < end {
            self.listen(Duration::from_millis(100));
        }
        self.workers.iter().map(|worker| worker.tally.left.unwrap_or(worker.ordered)).sum()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            if let Line::Process { child, orders } = &mut worker.line {
                // at the end of its input it leaves by itself; one that did not by now never will
                drop(orders.take());
                if worker.tally.left.is_none() {
                    let _ = child.kill();
                }
                let _ = child.wait();
            }
        }
    }
}

impl Line {
    /// Starts this program again, as a worker.
    fn process(
        setup: &Setup,
        mut tell: impl FnMut(Tally) + Send + 'static,
    ) -> Result<Self, Failure> {
        let fail = |error: &std::io::Error| {
            Failure::Run(format!("cannot start another process: {}", reason(error)))
        };
        let this = std::env::current_exe().map_err(|error| fail(&error))?;
        let mut child = Command::new(this)
            .args(["load", "worker"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| fail(&error))?;
        let orders = child.stdin.take();
        let tallies = child.stdout.take();
        let listen = move || {
            let lines = tallies.into_iter().flat_map(|out| BufReader::new(out).lines());
            for line in lines.map_while(Result::ok) {
                let Ok(tally) = serde_json::from_str(&line) else { break };
                tell(tally);
            }
        };
        thread::spawn(listen);
        let mut line = Line::Process { child, orders };
        line.write(&serde_json::to_string(setup).expect("a setup has a JSON form"))?;
        Ok(line)
    }

    fn order(&mut self, order: Order) -> Result<(), Failure> {
        match self {
            Line::Thread(local) if local.order(order) => Ok(()),
            Line::Thread(_) => Err(gone()),
            Line::Process { .. } => {
                self.write(&serde_json::to_string(&order).expect("an order has a JSON form"))
            }
        }
    }

    fn write(&mut self, line: &str) -> Result<(), Failure> {
        let Line::Process { orders: Some(orders), .. } = self else { return Err(gone()) };
        writeln!(orders, "{line}").and_then(|()| orders.flush()).map_err(|_| gone())
    }
}

fn gone() -> Failure {
    Failure::Run("a process of the load generator has ended too early".to_owned())
}
