//! Guests and orders to the accounts, which each test answers as it likes.

use chatproto::UserName;
use chatproto::accounts::{AccountOrder, Granted};
use chatproto::hub::{Completion, ConnId, Effect, Role, Token};

use super::House;

pub(crate) fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

/// What an account gives that was never changed.
pub(crate) fn granted() -> Granted {
    granted_at(1)
}

pub(crate) fn granted_at(revision: u64) -> Granted {
    Granted::new(Role::User, revision)
}

/// A connection that asked for an account's name.
pub(crate) fn guest(house: &mut House, wanted: &str) -> ConnId {
    let (conn, token) = house.claim(wanted);
    house.complete(token, Completion::Reserved);
    conn
}

/// The next order to the accounts.
pub(crate) fn order(house: &mut House) -> (Token, AccountOrder) {
    loop {
        match house.out.next_effect() {
            Some(Effect::Account { token, order }) => return (token, order),
            Some(Effect::Release { .. }) => {}
            other => panic!("no order: {other:?}"),
        }
    }
}
