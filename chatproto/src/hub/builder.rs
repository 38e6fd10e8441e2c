//! How a hub is made: its bounds, its seed, the endpoints that it offers.

use std::borrow::Cow;
use std::sync::Arc;

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use crate::endpoint::{Action, EndpointError, Endpoints, Handler};
use crate::limits::Limits;

use super::Hub;
use super::commands::{self, Builtin};
use super::users::Users;

/// Makes a [`Hub`]; see [`Hub::builder`].
#[derive(Debug)]
pub struct HubBuilder {
    limits: Limits,
    seed: u64,
    endpoints: Endpoints<Builtin>,
}

impl HubBuilder {
    pub(super) fn new() -> Self {
        let mut endpoints = Endpoints::new();
        for builtin in commands::ALL {
            endpoints
                .add(builtin.name, Cow::Borrowed(builtin.help), Action::Builtin(builtin.run))
                .expect("the built-in endpoints have legal names");
        }
        HubBuilder { limits: Limits::default(), seed: 0, endpoints }
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
        self.endpoints.add(name, Cow::Owned(help.into()), Action::Handler(Arc::new(handler)))?;
        Ok(self)
    }

    /// The hub, with nobody in it.
    pub fn build(self) -> Hub {
        Hub {
            users: Users::new(self.seed),
            endpoints: self.endpoints,
            limits: self.limits,
            serial: 0,
            orphans: HashMap::with_hasher(FixedState::with_seed(self.seed)),
        }
    }
}
