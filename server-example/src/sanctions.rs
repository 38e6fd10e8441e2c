//! Bans and mutes that outlive the server: moderators make and lift them in the hub, and here they
//! are written to the store as the server's events tell of them, and put in force again at the next
//! start. (Those of the configuration are the configuration's: see [`reload`](crate::reload).)

use std::sync::mpsc::{self, Sender, SyncSender};
use std::thread;
use std::time::Duration;

use chatproto::{Act, Event, ServerHandle, UserName};
use tracing::{error, warn};

use crate::failure::Failure;
use crate::store::{self, Ban, Moderation, Mute, StoreError};

/// Writes what moderators do, on a thread of its own: an event loop does not wait for the disk.
#[derive(Debug)]
pub(crate) struct Sanctions {
    changes: Sender<Change>,
}

#[derive(Debug)]
enum Change {
    Ban(Ban),
    Unban(String),
    Mute(Mute),
    Unmute(String),
    /// Say when this comes up.
    Flush(SyncSender<()>),
}

impl Sanctions {
    pub(crate) fn start(moderation: Moderation) -> Result<Self, Failure> {
        let (changes, waiting) = mpsc::channel::<Change>();
        let work = move || {
            for change in waiting {
                if let Change::Flush(done) = change {
                    // whoever asked may have gone
                    let _ = done.send(());
                } else if let Err(error) = change.write(&moderation) {
                    error!("a ban or mute will not outlive the server: {error}");
                }
            }
        };
        let started = thread::Builder::new().name("sanctions".to_owned()).spawn(work);
        started.map_err(|error| Failure::Run(format!("cannot start a thread: {error}")))?;
        Ok(Sanctions { changes })
    }

    /// Waits until everything is written that was observed before.
    pub(crate) fn flush(&self) {
        let (done, is_done) = mpsc::sync_channel(1);
        let _ = self.changes.send(Change::Flush(done));
        let _ = is_done.recv();
    }

    /// Takes an event of the server.
    pub(crate) fn observe(&self, event: &Event) {
        if let Some(change) = Change::of(event) {
            // the thread lives as long as this
            let _ = self.changes.send(change);
        }
    }
}

/// Puts in force what was kept. What cannot be any more, such as a name that is not allowed now, is
/// left out.
pub(crate) fn restore(moderation: &Moderation, handle: &ServerHandle) -> Result<(), StoreError> {
    let now_ms = store::now_ms();
    moderation.expire(now_ms)?;
    for kept in moderation.bans(now_ms)? {
        match kept.target.parse() {
            Ok(target) => {
                let mut ban = chatproto::Ban::new(target);
                ban.by = kept.by;
                ban.reason = kept.reason;
                ban.remaining = remaining(kept.until_ms, now_ms);
                handle.ban(ban);
            }
            Err(error) => warn!("the ban of {:?} cannot be put in force: {error}", kept.target),
        }
    }
    for kept in moderation.mutes(now_ms)? {
        match UserName::from_bytes(kept.name.as_bytes(), usize::MAX) {
            Ok(name) => handle.mute(&name, remaining(kept.until_ms, now_ms)),
            Err(error) => warn!("the mute of {:?} cannot be put in force: {error}", kept.name),
        }
    }
    Ok(())
}

fn remaining(until_ms: Option<i64>, now_ms: i64) -> Option<Duration> {
    until_ms.map(|until| Duration::from_millis(u64::try_from(until - now_ms).unwrap_or(0)))
}

impl Change {
    fn of(event: &Event) -> Option<Self> {
        let Event::Moderated { by, act, target, duration, reason, .. } = event else { return None };
        let until = |duration: Duration| {
            store::now_ms().saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
        };
        let until_ms = duration.map(until);
        let target = target.clone();
        Some(match act {
            Act::Ban => {
                let (by, reason) = (by.to_string(), reason.clone());
                Change::Ban(Ban { target, by, reason, until_ms })
            }
            Act::Unban => Change::Unban(target),
            Act::Mute => Change::Mute(Mute { name: target, until_ms }),
            Act::Unmute => Change::Unmute(target),
            _ => return None,
        })
    }

    fn write(&self, moderation: &Moderation) -> Result<(), StoreError> {
        match self {
            Change::Ban(ban) => moderation.set_ban(ban),
            Change::Unban(target) => moderation.remove_ban(target).map(drop),
            Change::Mute(mute) => moderation.set_mute(mute),
            Change::Unmute(name) => moderation.remove_mute(name).map(drop),
            Change::Flush(_) => Ok(()),
        }
    }
}
