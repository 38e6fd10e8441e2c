//! The workers of a ramp together: the first is a thread of this process, and when that process may
//! have no more descriptors, others are started.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use shared::failure::{Failure, reason};

use super::latency::Latencies;
use super::report::Failures;
use super::stage::Stop;
use super::worker::{Local, Order, Setup, Tally};

/// Descriptors of a process that are not for clients.
const RESERVE: u64 = 64;
/// More processes than this are not what one machine is for.
const MOST_PROCESSES: usize = 64;

/// How long the workers of an interrupted ramp may take to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Crew {
    setup: Setup,
    /// Clients that one process may have.
    room: u64,
    workers: Vec<Worker>,
    news: Receiver<(usize, News)>,
    /// Of which each worker has one.
    told: Sender<(usize, News)>,
    /// Why not all clients could be added.
    pub(crate) refusal: String,
    /// Since they were last taken.
    pub(crate) connects: Latencies,
    pub(crate) heartbeats: Latencies,
}

#[derive(Debug)]
struct Worker {
    line: Line,
    ordered: u64,
    tally: Tally,
    /// If it ended before it was told to: how many clients it had, and why, in words.
    ended: Option<(u64, String)>,
}

/// What is heard of a worker.
#[derive(Debug)]
enum News {
    Tally(Tally),
    /// Nothing more will be heard.
    End,
}

/// Tells what one worker has to tell, and when it has ended, however it did.
struct Teller {
    number: usize,
    told: Sender<(usize, News)>,
}

impl Teller {
    fn tell(&self, news: News) {
        let _ = self.told.send((self.number, news));
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.tell(News::End);
    }
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
        let (told, news) = mpsc::channel();
        let (connects, heartbeats) = (Latencies::new(), Latencies::new());
        let (workers, refusal) = (Vec::new(), String::new());
        Ok(Crew { setup, room, workers, news, told, refusal, connects, heartbeats })
    }

    /// Adds clients, to workers that have room; how many could not be added.
    pub(crate) fn add(&mut self, mut count: u64) -> Result<u64, Failure> {
        while count > 0 {
            let room = |worker: &&mut Worker| self.room > worker.ordered;
            let Some(worker) = self.workers.iter_mut().find(room) else {
                if self.workers.len() == MOST_PROCESSES {
                    self.refusal =
                        format!("this program runs in at most {MOST_PROCESSES} processes");
                    return Ok(count);
                }
                match self.start() {
                    Ok(()) => continue,
                    Err(failure) if self.workers.is_empty() => return Err(failure),
                    Err(failure) => {
                        self.refusal = failure.to_string();
                        return Ok(count);
                    }
                }
            };
            let part = count.min(self.room - worker.ordered);
            worker.ordered += part;
            // one that cannot be told has ended, which is in the news
            worker.line.order(Order::Add(part));
            count -= part;
        }
        Ok(0)
    }

    fn start(&mut self) -> Result<(), Failure> {
        let number = self.workers.len();
        let prefix = format!("{}{number}-", self.setup.prefix);
        let others = self.workers.iter().map(|worker| worker.ordered).sum();
        let setup = Setup { prefix, others, ..self.setup.clone() };
        let teller = Teller { number, told: self.told.clone() };
        let tell = move |tally| teller.tell(News::Tally(tally));
        let line = match number {
            0 => Line::Thread(Local::start(setup, tell)?),
            _ => Line::process(&setup, tell)?,
        };
        self.workers.push(Worker { line, ordered: 0, tally: Tally::default(), ended: None });
        Ok(())
    }

    /// Waits for news, at most so long. False if there are none.
    pub(crate) fn listen(&mut self, wait: Duration) -> bool {
        let (number, news) = match self.news.recv_timeout(wait) {
            Ok(heard) => heard,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
        };
        let worker = &mut self.workers[number];
        match news {
            News::Tally(tally) => {
                tally.connects.iter().for_each(|&(ns, count)| self.connects.record_many(ns, count));
                let beats = tally.heartbeats.iter();
                beats.for_each(|&(ns, count)| self.heartbeats.record_many(ns, count));
                worker.tally = tally;
            }
            News::End if worker.tally.left.is_none() => worker.end_early(),
            News::End => {}
        }
        true
    }

    /// What became of a worker that ended before it was told to: how many clients it had, and why.
    pub(crate) fn ended(&self) -> Option<(u64, &str)> {
        let (clients, why) = self.workers.iter().find_map(|worker| worker.ended.as_ref())?;
        Some((*clients, why))
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

    /// Whether more than one of a hundred clients waits for an answer for longer than the knee.
    pub(crate) fn is_overdue(&self) -> bool {
        self.sum(|tally| tally.overdue) * 100 > self.open()
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

    /// Has everybody leave; how many the server did not let go. When it is interrupted, it waits for
    /// nobody but for the last word of each worker.
    pub(crate) fn leave(&mut self, stop: &Stop) -> u64 {
        self.order(Order::Leave);
        let mut end = Instant::now() + self.setup.timeout + Duration::from_secs(5);
        let mut is_hurried = false;
        let is_there = |worker: &Worker| worker.tally.left.is_none();
        while self.workers.iter().any(is_there) && Instant::now() < end {
            if stop.is_asked() && !is_hurried {
                is_hurried = true;
                end = Instant::now() + LAST_WORDS;
                self.order(Order::Quit);
            }
            self.listen(Duration::from_millis(50));
        }
        self.workers.iter().map(|worker| worker.tally.left.unwrap_or(worker.ordered)).sum()
    }
}

impl Crew {
    fn order(&mut self, order: Order) {
        for worker in &mut self.workers {
            worker.line.order(order);
        }
    }
}

impl Worker {
    /// It ended by itself, and its clients with it.
    fn end_early(&mut self) {
        self.ended = Some((self.tally.open, self.line.end()));
        let tally = std::mem::take(&mut self.tally);
        self.tally = Tally { left: Some(0), open: 0, waiting: 0, overdue: 0, ..tally };
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
        let fail = |error: &io::Error| {
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
        line.write(setup).map_err(|error| fail(&error))?;
        Ok(line)
    }

    /// Gives an order. Who has ended takes none, and says so by ending.
    fn order(&mut self, order: Order) {
        if let Line::Thread(local) = self {
            local.order(order);
        } else {
            let _ = self.write(&order);
        }
    }

    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        let Line::Process { orders: Some(orders), .. } = self else { return Ok(()) };
        let line = serde_json::to_string(line)?;
        writeln!(orders, "{line}")?;
        orders.flush()
    }

    /// Sees to it that it has ended; how it did.
    fn end(&mut self) -> String {
        match self {
            Line::Thread(_) => "its thread panicked".to_owned(),
            Line::Process { child, orders } => {
                *orders = None;
                // it says nothing more, so it is of no use if it is still there
                let _ = child.kill();
                child.wait().map_or_else(|error| reason(&error), |status| status.to_string())
            }
        }
    }
}
