//! How a hub is made: its bounds, its seed, the endpoints that it offers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::accounts::AccountPolicy;
use crate::endpoint::{Action, EndpointError, Endpoints, Handler};
use crate::limits::Limits;

use super::archive::Archive;
use super::changes::Changes;
use super::claims::Claims;
use super::guesses::Guesses;
use super::hub::Command;
use super::orders::Orders;
use super::pages::Pages;
use super::presence::Presence;
use super::rooms::Rooms;
use super::sanctions::Sanctions;
use super::secret::Secret;
use super::users::Users;
use super::waiting::Waiting;
use super::{Counts, Hub, commands};

impl Hub {
    /// A hub with the five endpoints of the protocol and the default bounds.
    pub fn builder() -> HubBuilder {
        HubBuilder::new()
    }
}

/// Makes a [`Hub`]; see [`Hub::builder`].
#[derive(Debug)]
pub struct HubBuilder {
    limits: Limits,
    seed: u64,
    endpoints: Endpoints<&'static Command>,
    admin_token: Option<Secret>,
    announces: bool,
    accounts: Option<AccountPolicy>,
    has_directory: bool,
    archive: Option<Archive>,
}

impl HubBuilder {
    pub(super) fn new() -> Self {
        let builder = HubBuilder {
            limits: Limits::default(),
            seed: 0,
            endpoints: Endpoints::new(),
            admin_token: None,
            announces: false,
            accounts: None,
            has_directory: false,
            archive: None,
        };
        builder.offer(commands::ALWAYS)
    }

    fn offer(mut self, commands: &'static [&'static Command]) -> Self {
        for &command in commands {
            let (usage, help) = (command.usage(), command.description());
            // those that are there already were offered before
            let _ = self.endpoints.add(command.name, usage, help, Action::Builtin(command));
        }
        self
    }

    /// Has accounts, which somebody else keeps: see [`Effect::Account`](crate::hub::Effect::Account).
    /// Default: there are none.
    #[must_use]
    pub fn accounts(mut self, policy: AccountPolicy) -> Self {
        self.accounts = Some(policy);
        self.offer(commands::WITH_ACCOUNTS)
    }

    /// Has a [`Directory`](crate::directory::Directory) of names: each name that a user gets is claimed
    /// ([`Effect::Claim`](crate::hub::Effect::Claim)) and released
    /// ([`Effect::Release`](crate::hub::Effect::Release)). Default: there is none.
    #[must_use]
    pub fn directory(mut self) -> Self {
        self.has_directory = true;
        self
    }

    /// Has a history, which somebody else keeps: see [`Output::records`](crate::hub::Output::records)
    /// and [`Effect::History`](crate::hub::Effect::History). `epoch` names this life of it, in which
    /// messages are numbered from `next_id` on, which is at least 1. Default: there is none.
    #[must_use]
    pub fn history(mut self, epoch: &str, next_id: u64) -> Self {
        self.archive = Some(Archive::new(epoch, next_id.max(1)));
        self.offer(commands::WITH_HISTORY)
    }

    /// The bounds. Default: `Limits::default()`.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The seed of the hash tables. Default 0; a server takes a random one, so that nobody can
    /// choose names that collide.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The token with which a user becomes an admin, by `/admin`. White space around it does not
    /// count. Default: none, and nobody can become one.
    #[must_use]
    pub fn admin_token(mut self, token: &str) -> Self {
        self.admin_token = Some(Secret::new(token));
        self
    }

    /// Whether everybody is told who comes and goes. Default: no; rooms tell their members.
    #[must_use]
    pub fn announce(mut self, announces: bool) -> Self {
        self.announces = announces;
        self
    }

    /// Adds an endpoint of the application's own. `help` is one sentence that says what it does
    /// and what its arguments are.
    ///
    /// # Errors
    /// A name that is not `/` and 1 to 32 letters, digits, `-` or `_`, or that is taken.
    pub fn endpoint(
        mut self,
        name: &str,
        help: impl Into<String>,
        handler: impl Handler,
    ) -> Result<Self, EndpointError> {
        let action = Action::Handler(Arc::new(handler));
        self.endpoints.add(name, name.to_owned(), help.into(), action)?;
        Ok(self)
    }

    /// The hub, with nobody in it.
    pub fn build(self) -> Hub {
        Hub {
            users: Users::new(self.seed, self.accounts.is_some()),
            rooms: Rooms::default(),
            endpoints: self.endpoints,
            longest_name: self.limits.name,
            limits: self.limits,
            sanctions: Sanctions::default(),
            staff: BTreeMap::new(),
            admin_token: self.admin_token,
            guesses: Guesses::default(),
            announces: self.announces,
            presence: Presence::default(),
            counts_due: BTreeSet::new(),
            visitors: VecDeque::new(),
            dice: fastrand::Rng::with_seed(self.seed),
            is_stopping: false,
            accounts: self.accounts,
            archive: self.archive,
            guests: 0,
            withheld: BTreeSet::new(),
            serial: 0,
            pages: Pages::default(),
            held: 0,
            waiting: Waiting::new(self.seed),
            orders: Orders::new(self.seed),
            claims: Claims::new(self.seed, self.has_directory),
            changes: Changes::default(),
            state_readers: 0,
            counts: Counts::default(),
        }
    }
}
