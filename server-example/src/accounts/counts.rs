//! The results of the orders to the accounts, counted by order and result.

use std::sync::atomic::{AtomicU64, Ordering};

use chatproto::accounts::AccountOrder;

/// An order, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderKind {
    Login,
    Register,
    ChangePassword,
    Unregister,
}

impl OrderKind {
    pub(crate) const ALL: [OrderKind; 4] =
        [OrderKind::Login, OrderKind::Register, OrderKind::ChangePassword, OrderKind::Unregister];

    pub(crate) fn of(order: &AccountOrder) -> Self {
        match order {
            AccountOrder::Register(_) => OrderKind::Register,
            AccountOrder::ChangePassword(..) => OrderKind::ChangePassword,
            AccountOrder::Unregister(_) => OrderKind::Unregister,
            // every other one proves who somebody is
            _ => OrderKind::Login,
        }
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            OrderKind::Login => "login",
            OrderKind::Register => "register",
            OrderKind::ChangePassword => "change_password",
            OrderKind::Unregister => "unregister",
        }
    }
}

/// The result of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderResult {
    Done,
    /// Wrong password, or no such account.
    WrongPassword,
    /// Refused without a look at the password, after too many failures or registrations.
    Throttled,
    /// Too many orders were waiting.
    Busy,
    /// Not allowed: a bad password, a taken name, no TLS, no room.
    Refused,
    /// By no fault of the user: the account cannot be read or written.
    Failed,
}

impl OrderResult {
    pub(crate) const ALL: [OrderResult; 6] = [
        OrderResult::Done,
        OrderResult::WrongPassword,
        OrderResult::Throttled,
        OrderResult::Busy,
        OrderResult::Refused,
        OrderResult::Failed,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            OrderResult::Done => "done",
            OrderResult::WrongPassword => "wrong_password",
            OrderResult::Throttled => "throttled",
            OrderResult::Busy => "busy",
            OrderResult::Refused => "refused",
            OrderResult::Failed => "failed",
        }
    }
}

/// The counts since the start.
#[derive(Debug, Default)]
pub(crate) struct OrderCounts([[AtomicU64; OrderResult::ALL.len()]; OrderKind::ALL.len()]);

impl OrderCounts {
    pub(crate) fn add(&self, kind: OrderKind, result: OrderResult) {
        self.0[kind as usize][result as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, kind: OrderKind, result: OrderResult) -> u64 {
        self.0[kind as usize][result as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_and_result_has_a_place_of_its_own() {
        let counts = OrderCounts::default();
        for (index, kind) in OrderKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            for (index, result) in OrderResult::ALL.into_iter().enumerate() {
                assert_eq!(result as usize, index);
                counts.add(kind, result);
                assert_eq!(counts.get(kind, result), 1, "{kind:?} {result:?}");
            }
        }
    }
}
