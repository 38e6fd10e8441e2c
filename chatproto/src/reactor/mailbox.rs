//! The mailbox of an event loop: how other threads hand it something and wake it, and how all loops
//! are told to end. What is handed over, and what wakes, is the business of `mail`.

use std::fmt;
use std::io;
use std::sync::PoisonError;

use crate::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering};

/// Ends a loop's wait, be it the one that goes on or the next.
pub(super) trait Wake {
    fn wake(&self) -> io::Result<()>;
}

pub(super) struct Mailbox<T, W> {
    mail: Mutex<Contents<T>>,
    /// The loop may be waiting in `poll`: the next sender must wake it. It is swapped and never
    /// stored, so that whoever changes it sees what the one before has done.
    asleep: AtomicBool,
    waker: W,
    /// How many connections the loop has, or has in its mail, for whoever hands out new ones.
    pub(super) load: AtomicUsize,
    /// No queue of the loop that waits for its peer is longer, in bytes. The longest may be shorter
    /// by now: see `relieve`.
    pub(super) longest: AtomicUsize,
    /// A reader of the loop's may take nothing of a long answer: see `relieve_of_answers`.
    pub(super) has_stalled: AtomicBool,
    /// Bytes of input that the loop's connections keep: see `Limits::input_total`.
    pub(super) input: AtomicUsize,
    /// How many of the loop's connections only wait for their peer's end: see `give_way`.
    pub(super) lingering: AtomicUsize,
}

/// The loop is gone. The thing comes back, unless it is in the mailbox, which [`Mailbox::close`] empties.
pub(super) struct Undelivered<T>(pub(super) Option<T>);

/// Without the thing, which may have no such form.
impl<T> fmt::Debug for Undelivered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Undelivered")
    }
}

struct Contents<T> {
    mail: Vec<T>,
    /// The loop has ended.
    is_closed: bool,
}

impl<T, W: Wake> Mailbox<T, W> {
    pub(super) fn new(waker: W) -> Self {
        Mailbox {
            mail: Mutex::new(Contents { mail: Vec::new(), is_closed: false }),
            asleep: AtomicBool::new(false),
            waker,
            load: AtomicUsize::new(0),
            longest: AtomicUsize::new(0),
            has_stalled: AtomicBool::new(false),
            input: AtomicUsize::new(0),
            lingering: AtomicUsize::new(0),
        }
    }

    /// Hands something to the loop. An error if the loop is gone.
    pub(super) fn send(&self, mail: T) -> Result<(), Undelivered<T>> {
        let mut contents = self.contents();
        if contents.is_closed {
            return Err(Undelivered(Some(mail)));
        }
        contents.mail.push(mail);
        drop(contents);
        self.wake().map_err(|_| Undelivered(None))
    }

    /// The loop has ended: takes what is there. From now on nothing can be sent.
    pub(super) fn close(&self) -> Vec<T> {
        let mut contents = self.contents();
        contents.is_closed = true;
        std::mem::take(&mut contents.mail)
    }

    fn contents(&self) -> MutexGuard<'_, Contents<T>> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the loop if it sleeps.
    pub(super) fn wake(&self) -> io::Result<()> {
        if self.asleep.swap(false, Ordering::SeqCst) { self.waker.wake() } else { Ok(()) }
    }

    /// Takes all there is.
    pub(super) fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.contents().mail)
    }

    /// How many things are there.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.contents().mail.len()
    }

    /// The loop is about to wait. False if there is mail, so that it must not. Anything else that it
    /// is to be woken for must be looked at after this.
    pub(super) fn fall_asleep(&self) -> bool {
        self.asleep.swap(true, Ordering::SeqCst);
        let empty = self.contents().mail.is_empty();
        if !empty {
            self.asleep.swap(false, Ordering::SeqCst);
        }
        empty
    }

    /// The loop is awake: no need to wake it.
    pub(super) fn awake(&self) {
        self.asleep.swap(false, Ordering::SeqCst);
    }
}

/// Whether all the loops are to end.
pub(super) struct Stop {
    is_asked: AtomicBool,
    /// One loop has told everybody that the server stops.
    goodbye_said: AtomicBool,
}

impl Stop {
    pub(super) fn new() -> Self {
        Stop { is_asked: AtomicBool::new(false), goodbye_said: AtomicBool::new(false) }
    }

    /// Asks every loop to say goodbye, flush and end.
    pub(super) fn ask<T, W: Wake>(&self, loops: &[Mailbox<T, W>]) {
        self.is_asked.store(true, Ordering::SeqCst);
        for mailbox in loops {
            // a loop that cannot be woken is gone
            let _ = mailbox.wake();
        }
    }

    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::SeqCst)
    }

    /// Whether it is for the caller to say goodbye: for the first.
    pub(super) fn takes_goodbye(&self) -> bool {
        !self.goodbye_said.swap(true, Ordering::SeqCst)
    }
}
