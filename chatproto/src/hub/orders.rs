//! Orders to the accounts that are under way, by the names of their accounts. An account can change
//! before its order is answered. The revision of an answer says whether it was given before the change:
//! such an answer takes no effect.

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
    pub(super) account: UserName,
    /// The account has had at least this revision since the order was given: 0 if no change of it is
    /// known.
    newest: u64,
}

impl Order {
    /// Whether the account was changed after what this revision says.
    pub(super) fn is_newer_than(&self, revision: u64) -> bool {
        revision < self.newest
    }
}

impl Orders {
    pub(super) fn new(seed: u64) -> Self {
        Orders { under_way: HashMap::with_hasher(FixedState::with_seed(seed)) }
    }

    pub(super) fn begin(&mut self, serial: u32, account: UserName) {
        self.under_way.insert(serial, Order { account, newest: 0 });
    }

    /// The order was answered, and what follows from it is under way as another effect.
    pub(super) fn continue_as(&mut self, serial: u32, order: Order) {
        self.under_way.insert(serial, order);
    }

    /// The order is answered.
    pub(super) fn end(&mut self, serial: u32) -> Option<Order> {
        self.under_way.remove(&serial)
    }

    /// An account has another revision.
    pub(super) fn note_revision(&mut self, account: &UserName, revision: u64) {
        for order in self.under_way.values_mut().filter(|order| order.account == *account) {
            order.newest = order.newest.max(revision);
        }
    }

    /// Gives back the memory that a crowd needed.
    pub(super) fn shrink(&mut self) {
        self.under_way.give_back();
    }
}
