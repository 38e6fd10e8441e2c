//! Orders to the accounts that are under way, by the names of their accounts. An account can change
//! before its order is answered: the answer then says what was true before, and takes no effect.

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use crate::name::UserName;
use crate::spare::GiveBack;

use super::usage::in_table;

/// Bytes that an order takes in the table. (Its name counts as a text of the effect.)
pub(super) const ORDER: usize = in_table::<(u32, Order)>();

#[derive(Debug)]
pub(super) struct Orders {
    /// By the serial of the effect.
    under_way: HashMap<u32, Order, FixedState>,
}

#[derive(Debug)]
pub(super) struct Order {
    account: UserName,
    /// The account was changed since the order was given.
    is_stale: bool,
}

impl Orders {
    pub(super) fn new(seed: u64) -> Self {
        Orders { under_way: HashMap::with_hasher(FixedState::with_seed(seed)) }
    }

    pub(super) fn begin(&mut self, serial: u32, account: UserName) {
        self.under_way.insert(serial, Order { account, is_stale: false });
    }

    /// The account of an order that is under way.
    pub(super) fn account(&self, serial: u32) -> Option<&UserName> {
        Some(&self.under_way.get(&serial)?.account)
    }

    /// The order is answered. Whether its account was changed meanwhile.
    pub(super) fn end(&mut self, serial: u32) -> bool {
        self.under_way.remove(&serial).is_some_and(|order| order.is_stale)
    }

    /// An account was changed: the answers to its orders that are under way take no effect.
    pub(super) fn invalidate(&mut self, account: &UserName) {
        for order in self.under_way.values_mut().filter(|order| order.account == *account) {
            order.is_stale = true;
        }
    }

    /// Gives back the memory that a crowd needed.
    pub(super) fn shrink(&mut self) {
        self.under_way.give_back();
    }
}
