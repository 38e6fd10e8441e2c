//! What can be wrong with the server, and which rules each fault breaks.

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident => $rules:expr;)*) => {
        /// What is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault {
            $($(#[$doc])* $fault,)*
        }

        impl Fault {
            pub(crate) const ALL: &[Fault] = &[$(Fault::$fault,)*];

            /// The rules that a server with this fault breaks, in their order.
            pub(crate) fn broken(self) -> &'static [&'static str] {
                match self {
                    $(Fault::$fault => &$rules,)*
                }
            }
        }
    };
}

faults! {
    /// Nothing.
    None => [];
    /// A second user takes the name over.
    NameTaken => ["A8"];
    /// Whether a name is free is asked a moment before it is taken.
    NameRaced => ["A8"];
    /// A name is not free again when its owner leaves.
    NameKept => ["A8"];
    /// Who asks for a name in use stays connected.
    RefusalStaysOpen => ["A8"];
    /// A refusal is not addressed to Guest.
    RefusalToName => ["A6"];
    /// No welcome.
    NoWelcome => ["A7"];
    /// The welcome says nothing of help.
    WelcomeWithoutHelp => ["A7"];
    /// Two welcomes.
    WelcomeTwice => ["A7", "B11"];
    /// The welcome names everybody.
    WelcomeNamesAll => ["B11"];
    /// A command without arguments is refused if it has a text.
    HelpTextRefused => ["A13"];
    /// What the server says comes from Server.
    ServerMisspelt => ["A6"];
    /// What the server says has a key that there is not.
    ExtraKey => ["A3"];
    /// A comma between what the server says.
    CommaBetween => ["A3"];
    /// The message that came with the name is lost.
    FirstLost => ["A2", "B2", "B16"];
    /// Of several messages in a read only the first is taken.
    JoinedLost => ["A4", "B1", "B2", "B9", "B12", "B14", "B15"];
    /// A message that is cut off by the end of a read is lost.
    SplitLost => ["B1", "B4", "B9"];
    /// Escapes are taken for text.
    EscapesKept => ["A5", "B1", "B3", "B7"];
    /// Characters beyond U+FFFF are replaced.
    AstralLost => ["A1", "A5", "B1", "B2"];
    /// A private message also goes to its sender.
    PrivateEcho => ["A9"];
    /// A private message also goes to somebody else.
    PrivateLeak => ["A9"];
    /// Names are compared without regard to case.
    CaseIgnored => ["A9"];
    /// Nothing is said of a user who is not there.
    UnknownUserSilent => ["A9", "A11"];
    /// A shout also goes to its sender.
    ShoutEcho => ["A10"];
    /// A shout is addressed to each of its receivers.
    ShoutToName => ["A10"];
    /// The sender of a shout is counted.
    ShoutMiscounted => ["A10"];
    /// /list has no number.
    ListUncounted => ["A10"];
    /// /list has no commas.
    ListUnseparated => ["A10"];
    /// /list names the requester.
    ListNamesRequester => ["A10"];
    /// /list is one object however long.
    ListUnsplit => ["B2", "B11"];
    /// /time is written with dots.
    TimeWithDots => ["A10"];
    /// /help leaves one out.
    HelpIncomplete => ["A10"];
    /// Nothing is said of an endpoint that is not there.
    UnknownEndpointSilent => ["A10", "B10"];
    /// What is said of it does not say where help is.
    UnknownEndpointHelpless => ["B10"];
    /// Everyone is everyone.
    EveryoneBroadcast => ["A11"];
    /// Any name is taken.
    AnyName => ["A11", "B5"];
    /// from.name stays what the client wrote.
    NameSpoofed => ["A10", "B6"];
    /// from.ip stays what the client wrote.
    AddressSpoofed => ["A10", "B6"];
    /// A byte order mark is skipped.
    BomTaken => ["B1"];
    /// Keys that the schema does not have are forwarded.
    KeysForwarded => ["B3"];
    /// The last of two equal keys counts.
    DoubleKeysTaken => ["B3"];
    /// Any depth is taken.
    DeepTaken => ["B3"];
    /// Frames of any length are taken.
    TooLongTaken => ["B4"];
    /// Bytes extend the registration deadline.
    DeadlineExtended => ["B4"];
    /// Objects to a one-read peer share a write.
    OneReadJoined => ["B2"];
    /// Objects to a one-read peer are UTF-8.
    OneReadUtf8 => ["B2"];
    /// Objects to a one-read peer may be of any length.
    OneReadLong => ["B2"];
    /// An object that is no message is ignored.
    SchemaErrorSilent => ["B8"];
    /// An object that is no message ends the connection.
    SchemaErrorCloses => ["B8"];
    /// What was wrong is not said.
    ErrorUnnamed => ["B8"];
    /// Any number of errors is taken.
    ErrorsUnlimited => ["B8"];
    /// What is not JSON ends the connection without a word.
    FramingErrorSilent => ["B8"];
    /// What is not JSON is skipped, and the connection goes on.
    FramingErrorGoesOn => ["B4", "B8", "B14", "B16"];
    /// A reader that does not keep up loses messages without being told.
    SlowReaderSilent => ["B9"];
    /// Everybody who writes to a reader that does not keep up waits for it.
    SlowReaderBlocks => ["B9"];
    /// Strangers become users.
    StrangersWelcome => ["B13"];
    /// An answer comes after the next one.
    AnswersSwapped => ["B15"];
    /// Who has sent everything gets no answers.
    EndLosesAnswers => ["B16"];
}
