//! A reader that does not read (B9): nobody waits for it, and nothing that was for it is lost
//! silently.

use std::thread;
use std::time::{Duration, Instant};

use super::super::rules::{Tried, failed};
use super::super::show;
use super::case::{Case, robust};
use super::endpoints::numbers;
use super::trial::{Trial, User};

/// Bytes of text of one message, if frames may be as long.
const TEXT: usize = 48_000;
/// Users who send to the reader, and how many messages each of them sends. Together they are more than
/// the systems between take, and the server's queue besides; each alone is soon done under a rate
/// limit.
const SENDERS: usize = 10;
const EACH: usize = 25;
/// How long all of them may take: a server may slow down a client that sends too fast.
const TOTAL: Duration = Duration::from_secs(30);

pub(super) fn cases(cases: &mut Vec<Case>) {
    cases.extend([robust(
        "B9",
        "slow",
        "250 messages of 48 kB, from ten users, to a user that does not read, then /time from these and another; then it reads",
        "all of them are answered; each message arrives, or somebody is told that it did not",
        slow,
    )]);
}

fn slow(trial: &Trial) -> Tried {
    let mut bob = trial.stream_user("bob")?;
    let mut carol = trial.stream_user("carol")?;
    let text = "slow".repeat(TEXT.min(trial.judged.max_frame.0.saturating_sub(400)) / 4);
    let mut senders = Vec::new();
    for _ in 0..SENDERS {
        let alice = trial.stream_user("alice")?;
        let before = alice.raw.count();
        let writer = flood(&alice, &bob, &text)?;
        senders.push((alice, before, writer));
    }
    // while they write, somebody else is served
    let other = carol.ask("/time", "");
    let mut refused = 0;
    for (mut alice, before, writer) in senders {
        // it also hears of each message that was not taken
        let answer = alice.answer_with(TOTAL, |item| !item.msg().starts_with('❌'));
        let is_written = writer.join().is_ok_and(|written| written);
        if answer.is_none() || !is_written {
            return failed(format!("a sender waits for it: {}", show::came(&alice.raw, before)));
        }
        refused += alice.answers_since(before).len().saturating_sub(1);
    }
    if other.is_err() {
        return failed("another user waits for it");
    }
    judge_account(trial, &mut bob, refused, &text)
}

/// Writes the messages of one sender and `/time` on a thread, so that a sender who has to wait can be
/// seen to.
fn flood(
    alice: &User,
    bob: &User,
    text: &str,
) -> Result<thread::JoinHandle<bool>, super::super::rules::Stop> {
    // a write that takes long is a rate limit, and no fault
    let mut writer = alice.raw.writer(TOTAL).map_err(super::super::rules::Stop::Untried)?;
    let (message, time) = (alice.object(&bob.name, text), alice.object("/time", ""));
    Ok(thread::spawn(move || {
        let until = Instant::now() + TOTAL;
        let is_written = (0..EACH).all(|_| Instant::now() < until && writer.send(&message));
        is_written && writer.send(&time)
    }))
}

/// Reads what waits, and adds up: what arrived, and what somebody was told of. The senders heard of
/// `refused` messages, which were sent after the reader was given up.
fn judge_account(trial: &Trial, bob: &mut User, refused: usize, text: &str) -> Tried {
    let until = Instant::now() + TOTAL;
    let mut seen = bob.raw.count();
    loop {
        let is_over = bob.raw.hear(trial.timeout, |_| true).is_none();
        if is_over || bob.raw.end().is_some() || Instant::now() >= until {
            break;
        }
        seen = seen.max(bob.raw.count());
    }
    let arrived = bob.raw.since(0).iter().filter(|item| item.msg() == text).count();
    let told: usize =
        bob.answers_since(1).iter().filter_map(|item| numbers(item.msg()).into_iter().max()).sum();
    let account = format!(
        "{arrived} of {} arrived, the reader was told of {told}, the senders of {refused}",
        SENDERS * EACH
    );
    let is_complete = arrived + told + refused >= SENDERS * EACH;
    if is_complete { Ok(account) } else { failed(account) }
}
