//! The hub: who is who and who gets what, as a pure state machine (A6–A11, B5, B6, B8, B10, B11,
//! B15).
//!
//! No socket, no clock, no thread. Inputs are the `handle_*` calls, time is an argument, and what
//! the hub wants done is appended to an [`Output`]. Two hubs with one seed that get the same calls
//! say the same, byte for byte. The same hub runs under the server, in a simulation, under a
//! fuzzer, and in a test:
//!
//! ```
//! use chatproto::handshake::PeerKind;
//! use chatproto::hub::{Hub, Now, Outgoing, Output};
//! use chatproto::Decoder;
//!
//! let mut hub = Hub::builder().build();
//! let (mut out, now) = (Output::new(), Now::system());
//! let join = |hub: &mut Hub, out: &mut Output, name: &str| {
//!     let conn = hub.handle_connect(0, [127, 0, 0, 1].into(), now, out);
//!     hub.handle_name(conn, name.as_bytes(), PeerKind::Stream, now, out);
//!     conn
//! };
//! let alice = join(&mut hub, &mut out, "alice");
//! let bob = join(&mut hub, &mut out, "bob");
//! out.clear();
//!
//! let mut input = &br#"{"from":{"name":"alice","ip":""},"to":"bob","msg":"hi"}"#[..];
//! let frame = Decoder::default().decode(&mut input).unwrap().unwrap();
//! hub.handle_message(alice, &frame.message(), now, &mut out);
//! let expected = b"{\"from\":{\"name\":\"alice\",\"ip\":\"127.0.0.1\"},\"to\":\"bob\",\"msg\":\"hi\"}\n";
//! assert_eq!(out.actions().collect::<Vec<_>>(), [(bob, Outgoing::Object(expected))]);
//! ```

// Layers, from the bottom to the top. A file depends on files of its own layer and of those below it, and
// no files depend on each other in a circle.

// Vocabulary: types that describe, and texts. No file here or among the tables names the hub.
mod account_change;
mod act;
mod actor;
mod change;
mod claim;
mod conversation;
mod counts;
mod effect;
mod event;
mod excerpt;
mod id;
mod layout;
mod lines;
mod long_answer;
mod now;
mod origin;
mod output;
mod range;
mod refusal;
mod replies;
mod rights;
mod role;
mod room;
mod sanction;
mod secret;
mod snapshot;
mod target;
mod terms;
mod transport;

// Tables: data with its own methods.
mod alike;
mod archive;
mod changes;
mod claims;
mod delivery;
mod guesses;
mod orders;
mod pages;
mod presence;
mod rooms;
mod sanctions;
mod session;
mod usage;
mod users;
mod waiting;

// The hub: its type, whose fields are tables.
#[allow(clippy::module_inception, reason = "it holds the type of that name")]
mod hub;

// Operations: methods of the hub and of its calls, by subject.
mod answer;
mod arguments;
mod audience;
mod call;
mod claimants;
mod claiming;
mod control;
mod effects;
mod guests;
mod history;
mod input;
mod login;
mod long;
mod memory;
mod paging;
mod perform;
mod proxied;
mod refusing;
mod registration;
mod route;
mod state;
mod upkeep;
mod watch;

// The commands, and the builder, which offers them.
mod builder;
mod commands;

pub use account_change::AccountChange;
pub use act::{Action, Done, Refusal};
pub use actor::Actor;
pub use builder::HubBuilder;
pub use change::{Change, StateChange, UserState};
pub(crate) use conversation::Record;
pub use conversation::{
    Conversation, Forgotten, HistoryOrder, Left, MailboxBound, Page, Place, Selection,
};
pub use counts::Counts;
pub use effect::{Completion, Effect};
pub use event::{Act, Departure, Event};
pub use hub::Hub;
pub use id::{ConnId, Token};
pub use now::{LocalTime, Now};
pub(crate) use output::Action as LaneAction;
pub use output::{Outgoing, Output};
pub use refusal::RefusalReason;
pub use role::{Rank, Role, UnknownRank};
pub use sanction::{Ban, Mute};
pub use snapshot::{Gap, Snapshot};
pub use target::{BanTarget, BanTargetError};
pub use transport::Transport;
pub use usage::{Usage, Used};
