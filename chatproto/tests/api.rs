//! The standard traits of the public types. A type that loses one of them does not compile here.

use std::borrow::Borrow;
use std::error::Error;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::str::FromStr;

use chatproto::accounts::{
    AccountOrder, AccountPolicy, AccountReply, Accounts, Credentials, Granted, Password,
};
use chatproto::address::{Address, AddressError, UnknownHost};
use chatproto::changes::{ChangeReceiver, ReceiveError};
use chatproto::client::{Client, ClientBuilder, ClientReceiver, ClientSender};
use chatproto::connection::{
    ConnectionConfig, ConnectionState, Context, Deliveries, Delivery, ServerConnection,
};
use chatproto::decode::{Decoder, Frame};
use chatproto::directory::{
    BlockingDirectory, Claim, ClaimAnswer, ClaimPurpose, ClaimReply, Directory, Lease, ReleaseReply,
};
use chatproto::endpoint::{Argument, ArgumentError, Arguments, EndpointError, Handler, Request};
use chatproto::error::{ClientError, DecodeError, DecodeErrorKind, ErrorClass, Field, ServerError};
use chatproto::handshake::{Handshake, PeerKind, Registration, Stranger};
use chatproto::history::{Batch, Entry, History, Inbox, QueueUsage, Reply};
use chatproto::hub::{
    AccountChange, Act, Action, Actor, Ban, BanTarget, BanTargetError, Change, Completion, ConnId,
    Conversation, Counts, Departure, Done, Effect, Event, Forgotten, Gap, HistoryOrder, Hub,
    HubBuilder, Left, MailboxBound, Mute, Now, Outgoing, Output, Page, Place, Rank, Refusal, Role,
    Selection, Snapshot, StateChange, Token, UnknownRank, Usage, Used, UserState,
};
use chatproto::limits::{Limits, Rate};
use chatproto::message::{JsonStr, Message, MessageRef, Sender};
use chatproto::metrics::{CountBy, Durations, Metrics, RefusalReason, Transport};
use chatproto::name::{LookalikeKeys, NameError, NamePolicyError, RoomName, UserName};
use chatproto::pairs::{Pairs, StateLine};
use chatproto::server::Observer;
use chatproto::server::{Server, ServerBuilder, ServerHandle};
use chatproto::session::{Session, SessionEvent};
use chatproto::{SlowReader, UnknownWord};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Asserts that each of the types has all of the traits.
macro_rules! have {
    ($($bound:path),+; $($type:ty),+ $(,)?) => {{
        fn has<T: ?Sized $(+ $bound)+>() {}
        $(has::<$type>();)+
    }};
}

/// A bound that is no path.
trait Static: 'static {}
impl<T: ?Sized + 'static> Static for T {}

#[test]
fn values_go_to_other_threads() {
    have!(Send, Sync, Unpin, UnwindSafe, RefUnwindSafe, Static, Debug;
        // values
        AccountChange, AccountPolicy, Act, Action, Actor, Address, Ban, BanTarget, Batch, Change, Claim,
        ClaimAnswer, ClaimPurpose, Completion, ConnId, Conversation, Credentials,
        DecodeErrorKind, Departure, Done, ErrorClass, Event, Field, Forgotten, Granted, HistoryOrder,
        AccountOrder, Lease, Left, Limits, LookalikeKeys, MailboxBound, Message, Mute, Now, Page,
        Password, PeerKind, Place, QueueUsage, Rank, Rate, Registration<'static>, RoomName, Role,
        Selection, Sender, SessionEvent, SlowReader, Snapshot, StateChange, Stranger, Token, Usage, Used,
        UserName, UserState,
        // counts
        Counts, CountBy<Transport>, Durations, Metrics, RefusalReason, Transport,
        // borrowed values
        Argument<'static>, Arguments<'static>, Frame<'static>, JsonStr<'static>, MessageRef<'static>,
        Outgoing<'static>, Pairs<'static>, StateLine<'static>,
        // errors without a source
        AddressError, ArgumentError, BanTargetError, DecodeError, EndpointError, Gap, NameError,
        NamePolicyError, ReceiveError, Refusal, UnknownHost, UnknownRank, UnknownWord,
        // state machines without a socket
        Decoder, Handshake, Session,
    );
    have!(Send, Sync, Unpin, Static, Debug;
        // a connection without a socket
        ConnectionConfig, ConnectionState, Context<'static>, Deliveries, Delivery<'static>, ServerConnection,
        // handles, and everything that holds code of the application
        AccountReply, BlockingDirectory, ChangeReceiver, ClaimReply, Client, ClientBuilder, ClientError, ClientReceiver,
        ClientSender, Effect, Entry, Hub, HubBuilder, Inbox, Output, ReleaseReply, Reply, ServerError,
        ServerHandle,
    );
    // a history is on one thread at a time
    have!(Send, Unpin, Static, Debug; Server, ServerBuilder);
}

#[test]
fn parts_of_the_application_are_shared_by_threads() {
    have!(Send, Sync, Static;
        dyn Accounts, dyn Directory, dyn Handler, dyn Observer);
    have!(Send, Static; dyn History);
}

#[test]
fn errors_are_errors() {
    have!(Error, Display, Send, Sync, Static;
        AddressError, ArgumentError, BanTargetError, ClientError, DecodeError, EndpointError, Gap,
        NameError, NamePolicyError, ReceiveError, Refusal, ServerError, UnknownHost, UnknownRank,
        UnknownWord);
    have!(Clone, PartialEq, Eq;
        AddressError, ArgumentError, BanTargetError, DecodeError, EndpointError, Gap, NameError,
        NamePolicyError, ReceiveError, Refusal, UnknownHost, UnknownRank, UnknownWord);
}

#[test]
fn names_are_texts() {
    have!(Clone, Display, Eq, Ord, Hash, FromStr<Err = NameError>, AsRef<str>, Borrow<str>;
        UserName, RoomName);
    have!(TryFrom<&'static str, Error = NameError>, TryFrom<String, Error = NameError>;
        UserName, RoomName);
    have!(From<UserName>, From<RoomName>; String);
    have!(Serialize, DeserializeOwned; UserName, RoomName);
}

#[test]
fn what_has_a_text_is_shown_read_and_stored_as_it() {
    have!(Clone, Display, FromStr, Eq, Serialize, DeserializeOwned;
        AccountPolicy, Address, BanTarget, ErrorClass, Field, PeerKind, Rank, Role, RoomName, SlowReader,
        UserName);
    have!(Display;
        Act, Argument<'static>, Conversation, DecodeErrorKind, Departure, JsonStr<'static>, MailboxBound,
        Stranger);
    have!(AsRef<str>, Deref<Target = str>; Argument<'static>);
    have!(AsRef<str>; Frame<'static>);
    have!(Serialize, DeserializeOwned; Message, Sender);
}

#[test]
fn values_are_compared_and_are_keys() {
    have!(Clone, Copy, Eq, Hash;
        AccountPolicy, ConnId, DecodeErrorKind, ErrorClass, Field, PeerKind, Rank, Rate, Role, Stranger,
        Token);
    have!(Clone, Eq, Hash; Address, Lease, Message, Sender);
    have!(Clone, Eq, Ord, Hash;
        Address, BanTarget, ConnId, Conversation, LookalikeKeys, Rank, Role, RoomName, UserName);
    have!(Clone, Copy, Eq;
        AccountChange, Act, ClaimPurpose, Departure, Forgotten, Gap, Left, MailboxBound, QueueUsage,
        SlowReader, Usage, Used);
    have!(Clone, Eq;
        Action, Actor, Ban, Change, Claim, ClaimAnswer, Completion, Done, Event, Granted, Limits, Mute,
        Page, Place, Request, Selection, SessionEvent, Snapshot, StateChange, UserState);
    have!(Default; Decoder, Handshake, Limits, Output, Page, Role, SlowReader, Snapshot, Usage, Used);
}

#[cfg(feature = "tls")]
#[test]
fn types_of_tls() {
    use chatproto::tls::{
        ClientCertificates, ClientStream, ClientTls, Fingerprint, InvalidFingerprint, ServerTls,
        TlsError,
    };
    have!(Send, Sync, Unpin, Static, Debug;
        ClientCertificates, ClientStream, ClientTls, Fingerprint, InvalidFingerprint, ServerTls, TlsError);
    have!(Clone; ClientTls, ServerTls);
    have!(Error; InvalidFingerprint, TlsError);
    have!(Clone, Copy, Display, FromStr, Eq, Hash, Serialize, DeserializeOwned;
        ClientCertificates, Fingerprint);
    have!(Ord, AsRef<[u8]>; Fingerprint);
}

/// A name is found in a map by its text.
#[test]
fn a_name_and_its_text_are_the_same_key() {
    use std::collections::{BTreeMap, HashMap};

    let name = || UserName::try_from(" alice ").unwrap();
    let room = || RoomName::try_from("#tea".to_owned()).unwrap();
    assert_eq!(HashMap::from([(name(), 1)]).get("alice"), Some(&1));
    assert_eq!(BTreeMap::from([(room(), 2)]).get("#tea"), Some(&2));
    assert_eq!(String::from(room()), room().as_ref());
    assert_eq!(UserName::try_from("/list"), "/list".parse());
}
