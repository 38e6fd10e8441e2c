//! A few threads of low priority with a bounded queue, for jobs that take a processor for tens of
//! milliseconds. The bounds are in jobs and in bytes, in total and for each network. Jobs beyond
//! them are refused at once.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use shared::usage::Usage;
use tracing::error;

use super::hasher::Memory;
use crate::priority;

/// A thread that has had nothing to do for so long gives its memory back.
const IDLE: Duration = Duration::from_secs(10);

/// How much less than others a thread of the pool gets of a busy processor: about a tenth.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// The most bytes of queued jobs.
const MOST_BYTES: usize = 2 << 20;
/// A site may have at most this part of the queue, and a region at most that part. See
/// [`Origin::networks`](super::throttle::Origin::networks).
const SITE_SHARE: usize = 4;
const REGION_SHARE: usize = 2;

/// Bytes that a job takes of the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// The site and the region that it comes from.
    pub(crate) networks: [IpAddr; 2],
    pub(crate) bytes: usize,
}

/// Work for a thread.
pub(crate) trait Job: Send {
    /// Whether the job can begin now. If not, it stays in the queue, and a thread asks again when
    /// another job has ended. This is called while the queue is locked, so it must be fast.
    fn begin(&mut self) -> bool;

    /// Does the work, with the memory that a thread reuses for all its jobs. `None`: the job is
    /// refused. It was not begun then.
    fn run(self: Box<Self>, memory: Option<&mut Memory>);
}

/// See the [module's documentation](self). Dropping it refuses what is queued and waits for what is
/// being done.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    most: usize,
}

struct Shared {
    queue: Mutex<JobQueue>,
    changed: Condvar,
}

struct JobQueue {
    jobs: VecDeque<(Claim, Box<dyn Job>)>,
    usage: Usage,
    is_closed: bool,
}

impl Pool {
    /// As many threads as there are processors but one, at least one and at most four.
    pub(crate) fn default_threads() -> usize {
        thread::available_parallelism().map_or(1, |cores| (cores.get() - 1).clamp(1, 4))
    }

    /// Starts the threads; `most` jobs may wait for them.
    pub(crate) fn start(threads: usize, most: usize) -> io::Result<Self> {
        let queue = Mutex::new(JobQueue {
            jobs: VecDeque::new(),
            usage: Usage::of(MOST_BYTES),
            is_closed: false,
        });
        let shared = Arc::new(Shared { queue, changed: Condvar::new() });
        let mut pool = Pool { shared, threads: Vec::new(), most };
        for number in 0..threads {
            let shared = Arc::clone(&pool.shared);
            let name = format!("accounts-{number}");
            pool.threads.push(thread::Builder::new().name(name).spawn(move || shared.work())?);
        }
        Ok(pool)
    }

    /// Queues a job, or refuses it on this thread if there is no room for it.
    pub(crate) fn submit(&self, claim: Claim, job: Box<dyn Job>) {
        let mut queue = self.shared.lock();
        if !queue.has_room(&claim, self.most) {
            drop(queue);
            return job.run(None);
        }
        queue.usage.add(claim.bytes);
        queue.jobs.push_back((claim, job));
        drop(queue);
        self.shared.changed.notify_one();
    }
}

impl Pool {
    /// Bytes that the queued jobs take.
    pub(crate) fn usage(&self) -> Usage {
        self.shared.lock().usage
    }
}

impl JobQueue {
    /// The oldest job that can begin.
    fn take(&mut self) -> Option<Box<dyn Job>> {
        let first = self.jobs.iter_mut().position(|(_, job)| job.begin())?;
        let (claim, job) = self.jobs.remove(first)?;
        self.usage.subtract(claim.bytes);
        Some(job)
    }

    fn has_room(&self, claim: &Claim, most: usize) -> bool {
        let is_within = |jobs: usize, bytes: usize, share: usize| {
            jobs < (most / share).max(1) && bytes + claim.bytes <= MOST_BYTES / share
        };
        let mut shares = claim.networks.into_iter().enumerate().zip([SITE_SHARE, REGION_SHARE]);
        is_within(self.jobs.len(), self.usage.bytes, 1)
            && shares.all(|((kind, network), share)| {
                let of_network = self.jobs.iter().filter(|(job, _)| job.networks[kind] == network);
                let (jobs, bytes) = of_network
                    .fold((0, 0), |(jobs, bytes), (job, _)| (jobs + 1, bytes + job.bytes));
                is_within(jobs, bytes, share)
            })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let refused = {
            let mut queue = self.shared.lock();
            queue.is_closed = true;
            queue.usage.bytes = 0;
            std::mem::take(&mut queue.jobs)
        };
        self.shared.changed.notify_all();
        for (_, job) in refused {
            job.run(None);
        }
        for thread in self.threads.drain(..) {
            // jobs that panic are caught
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.threads.len())
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn work(&self) {
        priority::lower(NICENESS);
        let mut memory = Memory::default();
        while let Some(job) = self.next(&mut memory) {
            if catch_unwind(AssertUnwindSafe(|| job.run(Some(&mut memory)))).is_err() {
                error!("a thread for accounts has panicked; this is a defect of the program");
            }
        }
    }

    fn next(&self, memory: &mut Memory) -> Option<Box<dyn Job>> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.take() {
                // the end of a job can let several others begin
                if !queue.jobs.is_empty() {
                    self.changed.notify_one();
                }
                return Some(job);
            }
            if queue.is_closed {
                return None;
            }
            let waited = self.changed.wait_timeout(queue, IDLE);
            let (awake, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            queue = awake;
            if timeout.timed_out() && queue.jobs.is_empty() {
                drop(queue);
                memory.release();
                queue = self.lock();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, JobQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job that can always begin.
#[cfg(test)]
pub(crate) struct Always<F>(pub(crate) F);

#[cfg(test)]
impl<F: FnOnce(Option<&mut Memory>) + Send> Job for Always<F> {
    fn begin(&mut self) -> bool {
        true
    }

    fn run(self: Box<Self>, memory: Option<&mut Memory>) {
        self.0(memory);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    type Said = mpsc::Sender<&'static str>;

    fn claim(address: &str, bytes: usize) -> Claim {
        let networks = super::super::throttle::Origin::new(address.parse().unwrap()).networks();
        Claim { networks, bytes }
    }

    /// Says what happens to it.
    fn speaking(said: &Said, done: &'static str, refused: &'static str) -> Box<dyn Job> {
        let said = said.clone();
        let say = move |is_done| said.send(if is_done { done } else { refused }).unwrap();
        Box::new(Always(move |memory: Option<&mut Memory>| say(memory.is_some())))
    }

    /// Keeps a thread until the sender is dropped.
    fn block(pool: &Pool) -> mpsc::Sender<()> {
        let (release, blocked) = mpsc::channel();
        let (said, begun) = mpsc::channel();
        pool.submit(
            claim("127.0.0.1", 1),
            Box::new(Always(move |_: Option<&mut Memory>| {
                said.send(()).unwrap();
                let _ = blocked.recv();
            })),
        );
        begun.recv().expect("it is being done and not queued");
        release
    }

    #[test]
    fn what_does_not_fit_is_refused_at_once() {
        let pool = Pool::start(1, 2).unwrap();
        let release = block(&pool);
        let (said, heard) = mpsc::channel();
        pool.submit(claim("192.0.2.7", 1), speaking(&said, "first", "no"));
        pool.submit(claim("198.51.100.7", 1), speaking(&said, "second", "no"));
        pool.submit(claim("203.0.113.7", 1), speaking(&said, "third", "no room"));
        assert_eq!(heard.try_recv(), Ok("no room"));
        drop(release);
        assert_eq!([heard.recv(), heard.recv()], [Ok("first"), Ok("second")]);
    }

    #[test]
    fn a_panic_ends_a_job_and_not_the_pool() {
        let pool = Pool::start(1, 2).unwrap();
        let (said, heard) = mpsc::channel();
        pool.submit(
            claim("127.0.0.1", 1),
            Box::new(Always(|_: Option<&mut Memory>| panic!("on purpose"))),
        );
        pool.submit(claim("192.0.2.7", 1), speaking(&said, "done", "refused"));
        assert_eq!(heard.recv(), Ok("done"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_threads_are_nice_and_nobody_else_is() {
        let before = rustix::process::getpriority_process(None).unwrap();
        let pool = Pool::start(1, 1).unwrap();
        let (said, heard) = mpsc::channel();
        pool.submit(
            claim("127.0.0.1", 1),
            Box::new(Always(move |_: Option<&mut Memory>| {
                said.send(rustix::process::getpriority_process(None).unwrap()).unwrap();
            })),
        );
        assert_eq!(heard.recv().unwrap(), NICENESS.max(before));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), before);
    }

    #[test]
    fn what_is_queued_is_refused_when_the_pool_goes() {
        let pool = Pool::start(1, 2).unwrap();
        let release = block(&pool);
        let (said, heard) = mpsc::channel();
        pool.submit(claim("192.0.2.7", 1), speaking(&said, "done", "refused"));
        let dropping = thread::spawn(move || drop(pool));
        assert_eq!(heard.recv(), Ok("refused"));
        drop(release);
        dropping.join().unwrap();
    }

    #[test]
    fn a_network_leaves_room_for_others() {
        let (said, heard) = mpsc::channel();
        let pool = Pool::start(1, 64).unwrap();
        let release = block(&pool);
        let send = |address: &str, bytes| {
            pool.submit(claim(address, bytes), speaking(&said, "done", "refused"));
            heard.try_recv().is_err()
        };
        let site = (0..100).filter(|number| send(&format!("2001:db8:1:{number:x}::1"), 1));
        assert_eq!(site.count(), 16);
        let region = (0..100).filter(|number| send(&format!("2001:db8:{number:x}::1"), 1));
        assert_eq!(region.count(), 16, "with those of the site");
        assert!(send("192.0.2.7", 1));
        drop(release);
    }

    #[test]
    fn jobs_have_a_bound_in_bytes() {
        let (said, heard) = mpsc::channel();
        let pool = Pool::start(1, 1_000).unwrap();
        let release = block(&pool);
        for number in 0..1_000 {
            let from = format!("2001:{number:x}::1");
            pool.submit(claim(&from, 10_000), speaking(&said, "done", "refused"));
        }
        let usage = pool.usage();
        assert_eq!((usage.bytes, usage.most), (200 * 10_000 + 9 * 10_000, MOST_BYTES));
        assert_eq!(heard.try_iter().count(), 1_000 - 209);
        drop(release);
    }

    /// Begins once it may.
    struct Later {
        may_begin: Arc<AtomicBool>,
        job: Box<dyn Job>,
    }

    impl Job for Later {
        fn begin(&mut self) -> bool {
            self.may_begin.load(Ordering::Relaxed)
        }

        fn run(self: Box<Self>, memory: Option<&mut Memory>) {
            self.job.run(memory);
        }
    }

    #[test]
    fn a_job_that_cannot_begin_delays_no_other_and_begins_after_one_has_ended() {
        for threads in [1, 2] {
            let pool = Pool::start(threads, 16).unwrap();
            let (said, heard) = mpsc::channel();
            let may_begin = Arc::new(AtomicBool::new(false));
            for done in ["third", "fourth"] {
                let job = speaking(&said, done, "refused");
                let later = Later { may_begin: Arc::clone(&may_begin), job };
                pool.submit(claim("192.0.2.7", 1), Box::new(later));
            }
            pool.submit(claim("198.51.100.7", 1), speaking(&said, "first", "refused"));
            assert_eq!(heard.recv(), Ok("first"));
            let (allow, second) = (Arc::clone(&may_begin), said.clone());
            let job = move |_: Option<&mut Memory>| {
                second.send("second").unwrap();
                allow.store(true, Ordering::Relaxed);
            };
            pool.submit(claim("203.0.113.7", 1), Box::new(Always(job)));
            let rest = [heard.recv(), heard.recv(), heard.recv()];
            assert_eq!(rest[0], Ok("second"));
            assert!(rest.contains(&Ok("third")) && rest.contains(&Ok("fourth")), "{rest:?}");
        }
    }
}
