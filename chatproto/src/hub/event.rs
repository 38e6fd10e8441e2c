//! What happened in a hub, for a log, an audit log or metrics.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::handshake::PeerKind;
use crate::name::UserName;
use crate::websocket::Violation;

use super::{Actor, ConnId, Rank, Role};

/// Something that happened, for a log or for metrics. Texts from peers in it are not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A connection was accepted. Through a proxy, this event occurs when the proxy has stated the address.
    Connected {
        /// The connection.
        conn: ConnId,
        /// The peer's address.
        address: IpAddr,
    },
    /// A user registered.
    Registered {
        /// The connection.
        conn: ConnId,
        /// The peer's address.
        address: IpAddr,
        /// The user's name.
        name: UserName,
        /// How the peer reads.
        kind: PeerKind,
        /// How many users are registered now.
        online: usize,
    },
    /// A connection was refused before it became a user.
    Refused {
        /// The connection.
        conn: ConnId,
        /// The peer's address.
        address: IpAddr,
        /// The name it asked for, cut to 64 bytes and with nothing invisible in it; empty if it
        /// never got that far.
        name: String,
        /// Why.
        reason: String,
    },
    /// A connection spoke another protocol (B13), and was closed.
    Stranger {
        /// The peer's address.
        address: IpAddr,
        /// The name of the protocol.
        protocol: &'static str,
    },
    /// A connection began to speak TLS, and did not get to the end of the handshake.
    HandshakeFailed {
        /// The connection.
        conn: ConnId,
        /// The peer's address.
        address: IpAddr,
        /// Why.
        reason: String,
    },
    /// A connection from a network of [`ServerBuilder::proxy_from`](crate::ServerBuilder::proxy_from) did not
    /// begin with a valid PROXY header, and was closed.
    ProxyHeaderMissing {
        /// The connection.
        conn: ConnId,
        /// The proxy's address.
        address: IpAddr,
        /// Why.
        reason: String,
    },
    /// The operating system refused a connection: none is accepted for a moment.
    AcceptPaused {
        /// What it said.
        reason: String,
    },
    /// An endpoint of the application's own panicked: a defect of the application. The user was
    /// told that the command failed.
    HandlerPanicked {
        /// The endpoint.
        endpoint: Arc<str>,
        /// What the panic said.
        reason: String,
    },
    /// A user sent something that is not a message.
    BadInput {
        /// The connection.
        conn: ConnId,
        /// The user's name.
        name: UserName,
        /// What was wrong.
        error: crate::DecodeError,
    },
    /// A user violated the rules of WebSocket, and is closed.
    FramingViolated {
        /// The connection.
        conn: ConnId,
        /// The peer's address.
        address: IpAddr,
        /// The user's name.
        name: UserName,
        /// The rule.
        violation: Violation,
    },
    /// A user has another name now.
    Renamed {
        /// The connection.
        conn: ConnId,
        /// The peer's address.
        address: IpAddr,
        /// The name until now, which is free.
        old: UserName,
        /// The name from now on.
        name: UserName,
    },
    /// A user proved to own its name.
    LoggedIn {
        /// The connection.
        conn: ConnId,
        /// The peer's address.
        address: IpAddr,
        /// The name, which is that of the account.
        name: UserName,
    },
    /// A moderator, an admin or the operator did something: what an audit log is made of, and what is
    /// stored of bans and mutes. It is the same whoever acted, and by whatever way.
    Moderated {
        /// Who did it.
        actor: Actor,
        /// What the actor was at that time: of a ban or mute it says who may lift it.
        rank: Rank,
        /// What was done.
        act: Act,
        /// To whom: a user, an address, a room; empty for all. Of a ban that was lifted, as it was
        /// written when the ban was made.
        target: String,
        /// For how long; `None` if there is no end to it.
        duration: Option<Duration>,
        /// Why, in the words of the one who did it; may be empty.
        reason: String,
        /// The number of an act that imposes or lifts a ban or mute which outlives connections, so that
        /// it is to be stored. The mute of a temporary name does not. The hub numbers these acts from 1 on,
        /// without gaps, in the order in which they took effect. Events of two event loops can come in
        /// another order. The act with the highest number for a target holds.
        lasting: Option<u64>,
    },
    /// A user tried what it has not the role for, or gave a wrong token.
    Denied {
        /// The connection.
        conn: ConnId,
        /// The peer's address.
        address: IpAddr,
        /// The user's name.
        name: UserName,
        /// What it tried.
        endpoint: Arc<str>,
    },
    /// A user is gone: the name is free.
    Departed {
        /// The connection.
        conn: ConnId,
        /// The peer's address.
        address: IpAddr,
        /// The user's name.
        name: UserName,
        /// Why.
        reason: Departure,
        /// How many users are registered now.
        online: usize,
    },
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Departure {
    /// The peer closed it.
    Left,
    /// It was lost: reset, or not heard of for too long.
    Lost,
    /// It sent bytes after which the stream cannot be trusted (B8).
    Broken,
    /// It sent too much that is well-formed JSON and no message.
    Erring,
    /// It did not read what it was sent (B9); so many messages were not queued.
    TooSlow {
        /// How many messages it did not get.
        missed: u64,
    },
    /// It kept the server waiting for the end of its messages, when there was no memory left for that.
    Unfinished,
    /// A moderator ended it.
    Kicked,
    /// Its user or address was banned.
    Banned,
    /// Its user has logged in elsewhere.
    Replaced,
    /// The account of its user has another password, or is gone.
    AccountChanged,
    /// Its user gave up the account, on a server that requires one.
    Unregistered,
    /// The server stops.
    Shutdown,
}

impl std::fmt::Display for Departure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Departure::Left => f.write_str("left"),
            Departure::Lost => f.write_str("connection lost"),
            Departure::Broken => f.write_str("sent bytes that are no messages"),
            Departure::Erring => f.write_str("sent too much that is no message"),
            Departure::TooSlow { missed } => write!(f, "too slow, missed {missed} messages"),
            Departure::Unfinished => f.write_str("sent too much unfinished input"),
            Departure::Kicked => f.write_str("kicked"),
            Departure::Banned => f.write_str("banned"),
            Departure::Replaced => f.write_str("logged in elsewhere"),
            Departure::AccountChanged => f.write_str("account changed"),
            Departure::Unregistered => f.write_str("gave up its account"),
            Departure::Shutdown => f.write_str("server stopped"),
        }
    }
}

/// An act of moderation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Act {
    /// Proved to be an admin by the token.
    Admin,
    /// Gave a user this role.
    Role(Role),
    /// Ended a user's connection.
    Kick,
    /// Shut a user or an address out.
    Ban,
    /// Lifted a ban.
    Unban,
    /// Silenced a user.
    Mute,
    /// Let a user speak again.
    Unmute,
    /// Closed a room.
    Close,
    /// Said something to all.
    Notice,
    /// Removed a message from the history: a moderator, or whoever wrote it.
    Forget,
    /// Added an account.
    AddAccount,
    /// Gave an account another password.
    ResetAccount,
    /// Removed an account.
    RemoveAccount,
}

impl Act {
    /// The command for it.
    pub(super) fn endpoint(self) -> &'static str {
        match self {
            Act::Admin => "/admin",
            Act::Role(_) => "/role",
            Act::Kick => "/kick",
            Act::Ban => "/ban",
            Act::Unban => "/unban",
            Act::Mute => "/mute",
            Act::Unmute => "/unmute",
            Act::Close => "/close",
            Act::Notice => "/notice",
            Act::Forget => "/forget",
            Act::AddAccount | Act::ResetAccount | Act::RemoveAccount => "account",
        }
    }
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Act::Admin => "admin",
            Act::Role(role) => return write!(f, "role {role}"),
            Act::Kick => "kick",
            Act::Ban => "ban",
            Act::Unban => "unban",
            Act::Mute => "mute",
            Act::Unmute => "unmute",
            Act::Close => "close",
            Act::Notice => "notice",
            Act::Forget => "forget",
            Act::AddAccount => "account add",
            Act::ResetAccount => "account reset",
            Act::RemoveAccount => "account remove",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_departure_is_said_in_words() {
        let said = [
            (Departure::Left, "left"),
            (Departure::Lost, "connection lost"),
            (Departure::TooSlow { missed: 3 }, "too slow, missed 3 messages"),
            (Departure::Kicked, "kicked"),
        ];
        for (departure, words) in said {
            assert_eq!(departure.to_string(), words);
        }
        assert_eq!(Act::Role(Role::Moderator).to_string(), "role moderator");
    }
}
