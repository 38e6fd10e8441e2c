//! Threads for code that may block: the endpoints of an application, and a directory that blocks.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::endpoint::{Handler, Request};
use crate::hub::Completion;
use crate::reply::Reply;

/// Threads that take jobs out of one queue. They end when this is dropped, after the jobs in it.
///
/// The queue takes every job. The hub bounds what is under way
/// ([`Limits::effects_total`](crate::Limits::effects_total)).
pub(crate) struct Pool<J> {
    jobs: Arc<Jobs<J>>,
}

/// What waits for a thread.
pub(crate) struct Jobs<J> {
    queue: Mutex<Queue<J>>,
    came: Condvar,
}

struct Queue<J> {
    jobs: VecDeque<J>,
    is_closed: bool,
}

impl<J: Send + 'static> Pool<J> {
    /// Starts `count` threads, whose names begin with `name`.
    pub(crate) fn start(
        name: &str,
        count: usize,
        run: impl Fn(J) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let pool = Pool { jobs: Arc::default() };
        for number in 0..count {
            let (jobs, run) = (Arc::clone(&pool.jobs), run.clone());
            let work = move || {
                while let Some(job) = jobs.take() {
                    run(job);
                }
            };
            thread::Builder::new().name(format!("{name}-{number}")).spawn(work)?;
        }
        Ok(pool)
    }

    /// No threads: the one who has the queue does the jobs.
    #[cfg(test)]
    pub(crate) fn by_hand() -> (Self, Arc<Jobs<J>>) {
        let jobs = Arc::<Jobs<J>>::default();
        (Pool { jobs: Arc::clone(&jobs) }, jobs)
    }

    pub(crate) fn submit(&self, job: J) {
        self.jobs.add(job);
    }
}

impl<J> Drop for Pool<J> {
    fn drop(&mut self) {
        self.jobs.close();
    }
}

impl<J> fmt::Debug for Pool<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl<J> Default for Jobs<J> {
    fn default() -> Self {
        let queue = Queue { jobs: VecDeque::new(), is_closed: false };
        Jobs { queue: Mutex::new(queue), came: Condvar::new() }
    }
}

impl<J> Jobs<J> {
    fn add(&self, job: J) {
        self.queue().jobs.push_back(job);
        self.came.notify_one();
    }

    /// Nothing more will come.
    fn close(&self) {
        self.queue().is_closed = true;
        self.came.notify_all();
    }

    /// Waits for the next job; `None` if no more will come.
    fn take(&self) -> Option<J> {
        let is_idle = |queue: &mut Queue<J>| queue.jobs.is_empty() && !queue.is_closed;
        let queue = self.came.wait_while(self.queue(), is_idle);
        queue.unwrap_or_else(PoisonError::into_inner).jobs.pop_front()
    }

    /// The next job, if there is one.
    #[cfg(test)]
    pub(crate) fn try_take(&self) -> Option<J> {
        self.queue().jobs.pop_front()
    }

    fn queue(&self) -> MutexGuard<'_, Queue<J>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call of an endpoint of the application's own.
pub(crate) struct Call {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) request: Request,
    pub(crate) reply: Reply,
}

impl Call {
    pub(crate) fn run(self) {
        let Call { handler, request, reply } = self;
        if let Some(answer) = reply.guarded(&request.endpoint, || handler.handle(&request)) {
            reply.send(Completion::Answered(answer));
        }
    }
}
