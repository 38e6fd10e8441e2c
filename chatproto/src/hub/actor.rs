//! Actors: users of this hub, users of other nodes, and the operator.

use std::net::IpAddr;

use crate::name::UserName;

use super::{ConnId, Role};

/// The one who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Actor {
    /// A user of this hub: see [`Hub::actor`](super::Hub::actor). Its role counts that it has at the time of the act.
    User {
        /// The user's connection.
        conn: ConnId,
        /// The user's name.
        name: UserName,
        /// The user's address.
        address: IpAddr,
    },
    /// Somebody who runs the server, who may do everything.
    Operator {
        /// The name that the users concerned are told. They are told no name if it is empty.
        name: String,
    },
    /// A user of another node of a cluster, with the role that the user has there.
    Remote {
        /// The name of the node.
        node: String,
        /// The user's name.
        name: UserName,
        /// The user's role.
        role: Role,
    },
}

impl Actor {
    /// The operator, under this name.
    pub fn operator(name: impl Into<String>) -> Self {
        Actor::Operator { name: name.into() }
    }

    /// A user of another node, with the role that the user has there.
    pub fn remote(node: impl Into<String>, name: UserName, role: Role) -> Self {
        Actor::Remote { node: node.into(), name, role }
    }

    /// The actor's name; empty for an operator who has none.
    pub fn name(&self) -> &str {
        match self {
            Actor::User { name, .. } | Actor::Remote { name, .. } => name.as_str(),
            Actor::Operator { name } => name,
        }
    }

    /// The address of a user of this hub.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Actor::User { address, .. } => Some(*address),
            _ => None,
        }
    }

    pub(super) fn conn(&self) -> Option<ConnId> {
        match self {
            Actor::User { conn, .. } => Some(*conn),
            _ => None,
        }
    }

    /// ` by alice`, or nothing if the actor has no name.
    pub(super) fn by(&self) -> String {
        match self.name() {
            "" => String::new(),
            name => format!(" by {name}"),
        }
    }
}
