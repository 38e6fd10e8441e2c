//! Accounts over sockets whose owners log in while the operator changes the accounts: by the hundreds, with
//! a directory of names and without.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use chatproto::UserName;
use chatproto::accounts::{AccountOrder, AccountPolicy, AccountReply, Accounts, Granted};
use chatproto::directory::{Claim, ClaimReply, Directory};
use chatproto::hub::{AccountChange, Role};

use crate::support::{Raw, TestServer, limits};

/// Moderators who log in, so many at a time.
const COUNT: usize = 320;
const AT_A_TIME: usize = 16;

/// Accounts with their roles and revisions. A password is checked first, and the answer is sent a moment
/// later, by a thread that has more to do.
struct Book {
    accounts: Arc<Mutex<HashMap<String, (Role, u64)>>>,
    answers: mpsc::Sender<(AccountReply, Result<Granted, String>)>,
}

impl Accounts for Book {
    fn is_reserved(&self, name: &UserName) -> bool {
        self.revision(name).is_some()
    }

    fn revision(&self, name: &UserName) -> Option<u64> {
        self.accounts.lock().unwrap().get(name.as_str()).map(|&(_, revision)| revision)
    }

    fn handle(&self, order: AccountOrder, reply: AccountReply) {
        let name = order.credentials().name.to_string();
        let account = self.accounts.lock().unwrap().get(&name).copied();
        let granted = account.map(|(role, revision)| Granted::new(role, revision));
        let _ = self.answers.send((reply, granted.ok_or_else(|| "no account.".to_owned())));
    }
}

/// Grants every name a moment later.
struct Late(mpsc::Sender<ClaimReply>);

impl Directory for Late {
    fn claim(&self, _: Claim, reply: ClaimReply) {
        let _ = self.0.send(reply);
    }
}

/// Answers each of what comes, a part of it a moment later.
fn answer_late<T: Send + 'static>(mut answer: impl FnMut(T) + Send + 'static) -> mpsc::Sender<T> {
    let (sender, each) = mpsc::channel();
    thread::spawn(move || {
        for (number, each) in each.into_iter().enumerate() {
            thread::sleep(Duration::from_micros([0, 50, 300, 1_000][number % 4]));
            answer(each);
        }
    });
    sender
}

/// Has the moderators log in while something happens to their accounts. Returns what each of them is then,
/// or `None` if it was closed.
fn race(has_directory: bool, change: AccountChange) -> Vec<Option<String>> {
    let name = |number: usize| format!("mod {number}");
    let all = (0..COUNT).map(|number| (name(number), (Role::Moderator, 1)));
    let accounts = Arc::new(Mutex::new(all.collect::<HashMap<_, _>>()));
    let answers = answer_late(|(reply, granted): (AccountReply, _)| reply.send(granted));
    let book = Book { accounts: Arc::clone(&accounts), answers };
    let server = TestServer::with(limits(), |builder| {
        let builder = builder.accounts(AccountPolicy::Optional, book);
        match has_directory {
            true => builder.directory(Late(answer_late(|reply: ClaimReply| reply.granted(1)))),
            false => builder,
        }
    });
    let (done, ready) = mpsc::channel::<usize>();
    let (address, handle) = (server.address, server.handle.clone());
    let operator = thread::spawn(move || {
        for number in ready {
            let account = name(number);
            match change {
                AccountChange::Removed => drop(accounts.lock().unwrap().remove(&account)),
                _ => drop(accounts.lock().unwrap().insert(account.clone(), (Role::User, 2))),
            }
            handle.change_account(&UserName::new(&account).unwrap(), change, 2);
        }
    });
    let clients: Vec<_> = (0..AT_A_TIME)
        .map(|first| {
            let done = done.clone();
            thread::spawn(move || {
                let log_in = |number: usize| {
                    let mut peer = Raw::join(address, &name(number));
                    peer.send("/login", "secret");
                    done.send(number).unwrap();
                    peer
                };
                let numbers = (first..COUNT).step_by(AT_A_TIME);
                numbers.map(log_in).collect::<Vec<_>>()
            })
        })
        .collect();
    let peers: Vec<Raw> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    drop(done);
    operator.join().unwrap();
    peers
        .into_iter()
        .map(|mut peer| {
            peer.send("/whoami", "");
            let is_answer = |text: &str| text.starts_with("You are") && text.contains(" from ");
            let mut messages = std::iter::from_fn(|| peer.try_read());
            messages.find(|message| is_answer(&message.msg)).map(|message| message.msg)
        })
        .collect()
}

#[test]
fn moderators_who_log_in_while_they_are_demoted_do_not_keep_the_role() {
    for has_directory in [false, true] {
        let users = race(has_directory, AccountChange::Role(Role::User));
        for user in users {
            let user = user.expect("a demotion closes nobody");
            assert!(!user.contains("moderator"), "{user}");
        }
    }
}

#[test]
fn who_logs_in_with_a_password_that_is_replaced_is_not_logged_in() {
    for has_directory in [false, true] {
        for user in race(has_directory, AccountChange::Password).into_iter().flatten() {
            // (a login that was checked after the change has the rights that the account has then)
            assert!(!user.contains("moderator"), "{user}");
        }
    }
}

#[test]
fn who_logs_in_to_an_account_that_is_removed_is_not_logged_in() {
    for has_directory in [false, true] {
        for user in race(has_directory, AccountChange::Removed).into_iter().flatten() {
            assert!(!user.contains("logged in"), "{user}");
        }
    }
}
