//! A few threads of low priority with a bounded queue, for what takes a processor for tens of
//! milliseconds. What does not fit into the queue is refused at once.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::error;

use super::hasher::Memory;
use crate::priority;

/// A thread that has had nothing to do for so long gives its memory back.
const IDLE: Duration = Duration::from_secs(10);

/// How much less than others a thread of the pool gets of a busy processor: about a tenth.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// What a thread is to do, with the memory that it keeps from one job to the next. `None` says that
/// it will not be done.
pub(crate) type Job = Box<dyn FnOnce(Option<&mut Memory>) + Send>;

/// See the [module's documentation](self). Dropping it refuses what is queued and waits for what is
/// being done.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    most: usize,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Queue {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

impl Pool {
    /// As many threads as there are processors but one, at least one and at most four.
    pub(crate) fn default_threads() -> usize {
        thread::available_parallelism().map_or(1, |cores| (cores.get() - 1).clamp(1, 4))
    }

    /// Starts the threads; `most` jobs may wait for them.
    pub(crate) fn start(threads: usize, most: usize) -> io::Result<Self> {
        let queue = Mutex::new(Queue { jobs: VecDeque::new(), is_closed: false });
        let shared = Arc::new(Shared { queue, changed: Condvar::new() });
        let mut pool = Pool { shared, threads: Vec::new(), most };
        for number in 0..threads {
            let shared = Arc::clone(&pool.shared);
            let name = format!("accounts-{number}");
            pool.threads.push(thread::Builder::new().name(name).spawn(move || shared.work())?);
        }
        Ok(pool)
    }

    /// Queues a job, or refuses it on this thread if the queue is full.
    pub(crate) fn submit(&self, job: Job) {
        let mut queue = self.shared.lock();
        if queue.jobs.len() >= self.most {
            drop(queue);
            return job(None);
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.shared.changed.notify_one();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let refused = {
            let mut queue = self.shared.lock();
            queue.is_closed = true;
            std::mem::take(&mut queue.jobs)
        };
        self.shared.changed.notify_all();
        for job in refused {
            job(None);
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
            if catch_unwind(AssertUnwindSafe(|| job(Some(&mut memory)))).is_err() {
                error!("a thread for accounts has panicked; this is a defect of the program");
            }
        }
    }

    fn next(&self, memory: &mut Memory) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
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

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    type Said = mpsc::Sender<&'static str>;

    /// Says what happens to it.
    fn speaking(said: &Said, done: &'static str, refused: &'static str) -> Job {
        let said = said.clone();
        Box::new(move |memory| said.send(if memory.is_some() { done } else { refused }).unwrap())
    }

    /// Keeps a thread until the sender is dropped.
    fn block(pool: &Pool) -> mpsc::Sender<()> {
        let (release, blocked) = mpsc::channel();
        let (said, begun) = mpsc::channel();
        pool.submit(Box::new(move |_| {
            said.send(()).unwrap();
            let _ = blocked.recv();
        }));
        begun.recv().expect("it is being done and not queued");
        release
    }

    #[test]
    fn what_does_not_fit_is_refused_at_once() {
        let pool = Pool::start(1, 2).unwrap();
        let release = block(&pool);
        let (said, heard) = mpsc::channel();
        pool.submit(speaking(&said, "first", "no"));
        pool.submit(speaking(&said, "second", "no"));
        pool.submit(speaking(&said, "third", "no room"));
        assert_eq!(heard.try_recv(), Ok("no room"));
        drop(release);
        assert_eq!([heard.recv(), heard.recv()], [Ok("first"), Ok("second")]);
    }

    #[test]
    fn a_panic_ends_a_job_and_not_the_pool() {
        let pool = Pool::start(1, 2).unwrap();
        let (said, heard) = mpsc::channel();
        pool.submit(Box::new(|_| panic!("on purpose")));
        pool.submit(speaking(&said, "done", "refused"));
        assert_eq!(heard.recv(), Ok("done"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_threads_are_nice_and_nobody_else_is() {
        let before = rustix::process::getpriority_process(None).unwrap();
        let pool = Pool::start(1, 1).unwrap();
        let (said, heard) = mpsc::channel();
        pool.submit(Box::new(move |_| {
            said.send(rustix::process::getpriority_process(None).unwrap()).unwrap();
        }));
        assert_eq!(heard.recv().unwrap(), NICENESS.max(before));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), before);
    }

    #[test]
    fn what_is_queued_is_refused_when_the_pool_goes() {
        let pool = Pool::start(1, 2).unwrap();
        let release = block(&pool);
        let (said, heard) = mpsc::channel();
        pool.submit(speaking(&said, "done", "refused"));
        let dropping = thread::spawn(move || drop(pool));
        assert_eq!(heard.recv(), Ok("refused"));
        drop(release);
        dropping.join().unwrap();
    }
}
