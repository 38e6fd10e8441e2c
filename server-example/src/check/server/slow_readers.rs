//! A reader that does not read (B9): nobody waits for it, and nothing that was for it is lost
//! silently.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use super::super::rules::{Tried, failed};
use super::super::show;
use super::endpoints::numbers;
use super::trial::{Trial, User};
use super::{Case, robust};

/// Bytes of text of one message, if frames may be as long.
const TEXT: usize = 48_000;
/// How many there are: more than the systems between take, and the server's queue besides.
const MESSAGES: usize = 250;
/// How long all of them may take: a server may slow down who sends too fast.
const TOTAL: Duration = Duration::from_secs(30);

pub(super) fn cases(cases: &mut Vec<Case>) {
    cases.extend([robust(
        "B9",
        "slow",
        "250 messages of 48 kB to a user that does not read, then /time from the sender and another; then it reads",
        "both are answered; each message arrives, or somebody is told that it did not",
        slow,
    )]);
}

fn slow(trial: &Trial) -> Tried {
    let (mut alice, mut bob) = (trial.stream_user("alice")?, trial.stream_user("bob")?);
    let mut carol = trial.stream_user("carol")?;
    let text = "slow".repeat(TEXT.min(trial.judged.max_frame.0.saturating_sub(400)) / 4);
    let at_alice = alice.raw.count();
    let writer = flood(&alice, &bob, &text)?;
    // while it is written, somebody else is served
    let other = carol.ask("/time", "");
    // it also hears of each message that was not taken
    let sender = alice.answer_with(TOTAL, |item| !item.msg().starts_with('❌'));
    let is_written = writer.join().is_ok_and(|written| written);
    if other.is_err() {
        return failed("another user waits for it");
    }
    if sender.is_none() || !is_written {
        return failed(format!("the sender waits for it: {}", show::came(&alice.raw, at_alice)));
    }
    judge_account(trial, &mut bob, &alice, at_alice, &text)
}

/// Writes the messages and `/time` on a thread, so that a sender who has to wait can be seen to.
fn flood(
    alice: &User,
    bob: &User,
    text: &str,
) -> Result<thread::JoinHandle<bool>, super::super::rules::Stop> {
    let mut stream = alice.raw.writer().map_err(super::super::rules::Stop::Untried)?;
    let (message, time) = (alice.object(&bob.name, text), alice.object("/time", ""));
    Ok(thread::spawn(move || {
        let until = Instant::now() + TOTAL;
        // a write that takes long is a rate limit, and no fault
        let _ = stream.set_write_timeout(Some(TOTAL));
        let is_written =
            (0..MESSAGES).all(|_| Instant::now() < until && stream.write_all(&message).is_ok());
        is_written && stream.write_all(&time).is_ok()
    }))
}

/// Reads what waits, and adds up: what arrived, and what somebody was told of.
fn judge_account(
    trial: &Trial,
    bob: &mut User,
    alice: &User,
    at_alice: usize,
    text: &str,
) -> Tried {
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
    // the sender hears of those that were sent after the reader was given up
    let refused = alice.answers_since(at_alice).len().saturating_sub(1);
    let account = format!(
        "{arrived} of {MESSAGES} arrived, the reader was told of {told}, the sender of {refused}"
    );
    let is_complete = arrived + told + refused >= MESSAGES;
    if is_complete { Ok(account) } else { failed(account) }
}
