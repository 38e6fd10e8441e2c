//! The run of a server: the threads that serve, and the process that they belong to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use chatproto::{ServerError, ServerHandle};

/// The run of the server, and the process that it belongs to.
pub(crate) struct Owner {
    process: u32,
    run: Arc<Run>,
}

/// The run of a server. Threads take `running` without the interpreter.
#[derive(Default)]
pub(crate) struct Run {
    /// Locked during all of a start and all of a stop, so that these come one after the other.
    pub(crate) running: Mutex<Option<Running>>,
    /// The part that other threads may ask meanwhile. Changed under `running`.
    pub(crate) live: Mutex<Option<Live>>,
}

/// A server that runs.
pub(crate) struct Running {
    pub(crate) live: Live,
    pub(crate) thread: JoinHandle<Result<(), ServerError>>,
}

/// The address and the handle of a server that runs.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) address: SocketAddr,
    pub(crate) handle: ServerHandle,
}

impl Owner {
    pub(crate) fn new() -> Self {
        Owner { process: std::process::id(), run: Arc::default() }
    }

    /// The run of this process. In the child of a fork it is a new one: the threads of the other one
    /// are the parent's, and so are its locks.
    pub(crate) fn run(&mut self) -> Arc<Run> {
        self.adopt();
        Arc::clone(&self.run)
    }

    fn adopt(&mut self) {
        let process = std::process::id();
        if self.process != process {
            self.process = process;
            std::mem::forget(std::mem::take(&mut self.run));
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.adopt();
        if let Some(live) = &*lock(&self.run.live) {
            live.handle.stop();
        }
    }
}

/// Locks, also after a panic: each change is one assignment, so the data is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
