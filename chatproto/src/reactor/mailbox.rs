//! The mailbox of an event loop: how other threads hand it connections, deliveries and outcomes.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mio::Waker;

use crate::chunk::Chunk;
use crate::hub::{Completion, LaneAction, Token};

use super::stream::Stream;

/// What one event loop is handed by the others.
pub(super) enum Mail {
    /// Actions of a batch that another loop put through the hub: its objects, where those begin
    /// that stand aside, and what to do.
    Batch(Arc<Chunk>, u32, Vec<LaneAction>),
    /// A connection to take over.
    Accepted(Stream, std::net::IpAddr),
    /// An effect finished.
    Completed(Token, Completion),
}

pub(super) struct Mailbox {
    mail: Mutex<Vec<Mail>>,
    /// The loop may be waiting in `poll`: the next sender must wake it.
    asleep: AtomicBool,
    waker: Waker,
    /// How many connections the loop has, or has in its mail, for whoever hands out new ones.
    pub(super) load: AtomicUsize,
    /// The longest queue of the loop in bytes, when it last looked: see `relieve`.
    pub(super) longest: AtomicUsize,
}

impl Mailbox {
    pub(super) fn new(waker: Waker) -> Self {
        Mailbox {
            mail: Mutex::default(),
            asleep: AtomicBool::new(false),
            waker,
            load: AtomicUsize::new(0),
            longest: AtomicUsize::new(0),
        }
    }

    pub(super) fn send(&self, mail: Mail) -> io::Result<()> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
        self.wake()
    }

    /// Wakes the loop if it sleeps.
    pub(super) fn wake(&self) -> io::Result<()> {
        if self.asleep.swap(false, Ordering::SeqCst) { self.waker.wake() } else { Ok(()) }
    }

    /// Takes all there is.
    pub(super) fn take(&self) -> Vec<Mail> {
        std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The loop is about to wait. False if there is mail, so that it must not.
    pub(super) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let empty = self.mail.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if !empty {
            self.asleep.store(false, Ordering::SeqCst);
        }
        empty
    }

    /// The loop is awake: no need to wake it.
    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}
