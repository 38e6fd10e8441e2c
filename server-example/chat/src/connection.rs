//! The connection under both faces of the client: one thread receives and, when the connection is
//! lost, makes it again under the same name and in the same rooms; others send, and wait while there
//! is none.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chatproto::endpoint::as_argument;
use chatproto::pairs::StateLine;
use chatproto::{Client, ClientError, ClientReceiver, ClientSender, ErrorClass, Message};
use shared::failure::Failure;
use shared::text::visible;
use zeroize::Zeroizing;

use super::backoff::Backoff;
use super::line;
use super::login::Permission;
use super::place::{Learned, Moved, Place};
use super::replay;
use super::secrecy::{Secrecy, Unencrypted};
use super::state;
use super::target::{Target, is_about_trust, why};

/// A connection that lasted so long was a good one: the next attempts begin quickly again.
const GOOD: Duration = Duration::from_secs(10);
/// After a loss, the server may hold our name for the lost connection for some time.
const NAME_HELD: Duration = Duration::from_secs(60);
/// So long a line waits for the server to say whether a login is restored.
const LOGIN: Duration = Duration::from_secs(10);
/// Of so many objects that are no messages, each is noted; then fewer and fewer.
const ALL_NOTED: u64 = 10;
/// The reasons of a close after which the user does not come again by itself: it is not wanted, or is
/// there already.
const FINAL: [&str; 3] = ["kicked", "banned", "elsewhere"];

/// Where what comes is shown.
pub(super) trait View {
    /// A connection was made; this is the server's welcome.
    fn connected(&mut self, welcome: &Message) -> io::Result<()>;
    /// A message came.
    fn message(&mut self, message: &Message) -> io::Result<()>;
    /// By the last message the server put the user elsewhere.
    fn moved(&mut self, moved: &Moved) -> io::Result<()>;
    /// The server sends state lines.
    fn confirmed(&mut self);
    /// One of them is about others; it was sent to this user or to an audience.
    fn line(&mut self, line: &StateLine<'_>);
    /// The user has another name than the last message was for.
    fn renamed(&mut self) {}
    /// The client itself has something to say.
    fn note(&mut self, text: &str) -> io::Result<()>;
}

/// A connection that was just made: what [`Connection::run`] receives from.
#[derive(Debug)]
pub(super) struct Incoming {
    welcome: Message,
    sender: ClientSender,
    receiver: ClientReceiver,
}

/// Why receiving ended before it was meant to.
#[derive(Debug)]
pub(super) enum Ended {
    /// The view cannot show anything any more.
    View(io::Error),
    /// There is no connection, and none will be made.
    Lost(Failure),
}

/// Why a message was not sent.
#[derive(Debug)]
pub(super) enum Unsent {
    /// By its own fault; the sentence says which.
    Refused(String),
    /// There is no connection, and none will be made.
    Over,
}

/// How long leaving may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Before the connection is half-closed: for answers, counted from the last one.
    pub(super) linger: Duration,
    /// After it: for the server to close, counted from the last message.
    pub(super) silence: Duration,
    /// For each of the two, however much comes.
    pub(super) total: Duration,
}

/// See the [module's documentation](self).
#[derive(Debug)]
pub(super) struct Connection {
    target: Target,
    /// May be locked under `state`, never the other way round.
    place: Mutex<Place>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    sender: Option<ClientSender>,
    /// That of the last connection.
    secrecy: Secrecy,
    /// How many connections were lost.
    losses: u64,
    /// When the last message came.
    heard: Instant,
    /// When the last message came that was for this user alone.
    answered: Instant,
    /// When the server last sent this user an error.
    refused: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Everything was sent; answers may come.
    Leaving,
    /// Half-closed: the server is to close.
    Finished,
    /// Receiving has ended.
    Over,
}

impl Incoming {
    fn split(client: Client) -> (ClientSender, Self) {
        let welcome = client.welcome().clone();
        let (sender, receiver) = client.split();
        (sender.clone(), Incoming { welcome, sender, receiver })
    }
}

impl Connection {
    /// Connects and registers.
    pub(super) fn open(target: Target) -> Result<(Self, Incoming), Failure> {
        let client = target.connect_first()?;
        let place = Mutex::new(Place::new(client.name()));
        let secrecy = target.secrecy(client.peer_addr().ip());
        let (sender, incoming) = Incoming::split(client);
        let asked = target.name.clone();
        let now = Instant::now();
        let state = Mutex::new(State {
            phase: Phase::Open,
            sender: Some(sender.clone()),
            secrecy,
            losses: 0,
            heard: now,
            answered: now,
            refused: now,
        });
        let connection = Connection { target, place, state, changed: Condvar::new() };
        connection.welcomed(&asked, &sender, secrecy, &incoming.welcome)?;
        Ok((connection, incoming))
    }

    /// Where the user is, and under which name.
    pub(super) fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Receives until the user has left or nothing more can come. To be called once.
    pub(super) fn run(&self, incoming: Incoming, view: &mut impl View) -> Result<(), Ended> {
        let outcome = self.receive(incoming, view);
        let mut state = self.lock();
        state.phase = Phase::Over;
        if let Some(sender) = state.sender.take() {
            sender.close();
        }
        self.changed.notify_all();
        outcome
    }

    /// Whether [`Connection::run`] has ended.
    pub(super) fn is_over(&self) -> bool {
        self.lock().phase == Phase::Over
    }

    /// Whether there is a connection at the moment.
    pub(super) fn is_connected(&self) -> bool {
        self.lock().sender.is_some()
    }

    /// Whether passwords and tokens are sent over the last connection.
    pub(super) fn sends_secrets(&self) -> Result<(), Unencrypted> {
        match self.lock().secrecy {
            Secrecy::Private | Secrecy::Permitted => Ok(()),
            Secrecy::Refused => Err(Unencrypted),
        }
    }

    /// Sends a message; while there is no connection it waits for one. `typed` is the number of
    /// [`login_losses`](Place::login_losses) when the user typed it, or `None` if the client itself sends it.
    ///
    /// What was typed for a login is not sent as a guest.
    pub(super) fn send(&self, to: &str, msg: &str, typed: Option<u64>) -> Result<(), Unsent> {
        let mut decided = None;
        let mut state = self.lock();
        loop {
            if state.phase == Phase::Over {
                return Err(Unsent::Over);
            }
            let losses = state.losses;
            let Some(sender) = state.sender.clone() else {
                state = self.wait(state);
                continue;
            };
            if state.secrecy == Secrecy::Refused && line::takes_secret(to) {
                return Err(Unsent::Refused(Unencrypted.to_string()));
            }
            match typed.filter(|_| !line::logs_in(to)).map(|typed| self.place().permission(typed)) {
                None | Some(Permission::Granted) => {}
                Some(Permission::Later) => {
                    let until = *decided.get_or_insert_with(|| Instant::now() + LOGIN);
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        self.place().login_is_undecided();
                        self.join_again(&sender);
                    } else {
                        state = self.wait_for(state, left);
                    }
                    continue;
                }
                Some(Permission::Lost(account)) => {
                    return Err(Unsent::Refused(self.guest(&account)));
                }
            }
            // before the lock is gone, so that it counts for the connection that it is sent on
            self.place().sending(to, msg);
            drop(state);
            match sender.send(to, msg) {
                Ok(()) => {
                    if line::logs_in(to) {
                        // an error will be found by receiving
                        let _ = sender.send(state::COMMAND.0, state::COMMAND.1);
                    }
                    return Ok(());
                }
                Err(error @ ClientError::FrameTooLong { .. }) => {
                    self.place().unsent(to);
                    return Err(Unsent::Refused(why(&error)));
                }
                // the receiving thread is to notice as well, and to make another connection
                Err(_) => sender.close(),
            }
            state = self.lock();
            while state.losses == losses && state.phase != Phase::Over {
                state = self.wait(state);
            }
        }
    }

    /// Why a line is not sent that was typed for the login of this account.
    fn guest(&self, account: &str) -> String {
        let place = self.place();
        let (account, name) = (visible(account), visible(place.name()));
        format!(
            "the login as {account} was not restored, and you are {name}: use /login, then send it again"
        )
    }

    /// Waits until the user has another name than this, or an error has come since then, or for so long.
    pub(super) fn wait_for_name(&self, name: &str, since: Instant, patience: Duration) {
        let mut state = self.lock();
        let until = since + patience;
        while state.phase == Phase::Open && state.refused <= since && self.place().name() == name {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.wait_for(state, left);
        }
    }

    /// Ends the connection after everything was sent: waits for answers, half-closes, and waits
    /// for the server to close.
    pub(super) fn leave(&self, patience: Patience) {
        let begun = Instant::now();
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Leaving;
            self.changed.notify_all();
        }
        let quiet = |state: &State| state.answered.max(begun) + patience.linger;
        state = self.wait_until(state, quiet, begun + patience.total);
        if state.phase == Phase::Over {
            return;
        }
        let Some(sender) = state.sender.clone() else { return };
        state.phase = Phase::Finished;
        drop(state);
        let finished = Instant::now();
        let outcome = sender.finish();
        let mut state = self.lock();
        if outcome.is_ok() {
            let quiet = |state: &State| state.heard.max(finished) + patience.silence;
            state = self.wait_until(state, quiet, finished + patience.total);
        } else if state.phase == Phase::Finished {
            state.phase = Phase::Leaving;
        }
        drop(state);
        sender.close();
    }

    fn receive(&self, mut incoming: Incoming, view: &mut impl View) -> Result<(), Ended> {
        let mut backoff = Backoff::new();
        loop {
            let since = Instant::now();
            view.connected(&incoming.welcome).map_err(Ended::View)?;
            let (loss, is_expelled) =
                self.listen(&mut incoming.receiver, &incoming.sender, view)?;
            match self.mark_lost() {
                Phase::Finished if matches!(loss, ClientError::Closed) => return Ok(()),
                Phase::Open if self.target.reconnect && !is_expelled => {}
                Phase::Open => return Err(self.lost(&loss)),
                Phase::Leaving | Phase::Finished | Phase::Over => return Err(unanswered()),
            }
            if since.elapsed() >= GOOD {
                backoff = Backoff::new();
            }
            incoming = self.reconnect(&loss, &mut backoff, view)?;
        }
    }

    /// Receives until the connection is lost or closed; returns how, and whether the server has said that
    /// the user is not to come again by itself.
    fn listen(
        &self,
        receiver: &mut ClientReceiver,
        sender: &ClientSender,
        view: &mut impl View,
    ) -> Result<(ClientError, bool), Ended> {
        let mut is_expelled = false;
        let mut bad: u64 = 0;
        loop {
            match receiver.recv() {
                Ok(message) => {
                    let (learned, is_for_me, is_renamed) = {
                        let mut place = self.place();
                        let old = place.name().to_owned();
                        let learned = place.learn(&message);
                        (learned, message.to == place.name(), place.name() != old)
                    };
                    let is_error =
                        message.is_from_server() && message.msg.starts_with(['❌', '⛔']);
                    self.join_again(sender);
                    self.heard(is_for_me && learned == Learned::Message, is_for_me && is_error);
                    match learned {
                        Learned::Message => view.message(&message).map_err(Ended::View)?,
                        Learned::Hidden(line) => line.iter().for_each(|line| view.line(line)),
                        Learned::Moved(moved) => view.moved(&moved).map_err(Ended::View)?,
                        Learned::Confirmed => view.confirmed(),
                        Learned::Closed(reason) => is_expelled = FINAL.contains(&&*reason),
                    }
                    if is_renamed {
                        view.renamed();
                    }
                }
                Err(ClientError::Decode(error)) if error.class() == ErrorClass::Schema => {
                    bad += 1;
                    // two bytes of the server's must not be a line of the log each
                    if bad <= ALL_NOTED || bad.is_power_of_two() {
                        let text = format!(
                            "the server sent something that is not a message (number {bad}): {error}"
                        );
                        view.note(&text).map_err(Ended::View)?;
                    }
                }
                Err(error) => return Ok((error, is_expelled)),
            }
        }
    }

    fn reconnect(
        &self,
        loss: &ClientError,
        backoff: &mut Backoff,
        view: &mut impl View,
    ) -> Result<Incoming, Ended> {
        let mut what = match loss {
            ClientError::Decode(_) => format!("connection lost: {}", why(loss)),
            _ => "connection lost".to_owned(),
        };
        let mut refused_since = None;
        loop {
            let delay = backoff.next();
            view.note(&format!("{what}, trying again in {:.1} s", delay.as_secs_f64()))
                .map_err(Ended::View)?;
            let until = Instant::now() + delay;
            drop(self.wait_until(self.lock(), |_| until, until));
            drop(self.check_open()?);
            let name = self.place().name_to_ask_for().to_owned();
            match self.target.connect(&name) {
                Ok(client) => {
                    let secrecy = self.target.secrecy(client.peer_addr().ip());
                    let (sender, incoming) = Incoming::split(client);
                    self.welcomed(&name, &sender, secrecy, &incoming.welcome)
                        .map_err(Ended::Lost)?;
                    self.join_again(&sender);
                    let mut state = self.check_open()?;
                    (state.sender, state.secrecy) = (Some(sender), secrecy);
                    self.changed.notify_all();
                    return Ok(incoming);
                }
                Err(error @ ClientError::Refused(_)) => {
                    let since = *refused_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > NAME_HELD {
                        return Err(self.lost(&error));
                    }
                    // the sentence goes on
                    what = why(&error).trim_end_matches('.').to_owned();
                }
                // that is not the server any more, or we are not wanted
                Err(error) if is_about_trust(&error) => return Err(self.lost(&error)),
                Err(error) => {
                    refused_since = None;
                    what = why(&error);
                }
            }
        }
    }

    /// Takes the name that the server has given. If that is a guest's and there is a password, it
    /// logs in before anything else is sent.
    ///
    /// # Errors
    /// The host has another address by now, and the password would be sent there as plain text.
    fn welcomed(
        &self,
        asked: &str,
        sender: &ClientSender,
        secrecy: Secrecy,
        welcome: &Message,
    ) -> Result<(), Failure> {
        let is_guest = self.place().welcomed(asked, welcome);
        // errors will be found by receiving
        let _ = sender.send(state::COMMAND.0, state::COMMAND.1);
        // before a login, whose answer may have earlier messages behind it
        if self.target.shows_times && replay::is_asked(welcome) {
            let _ = sender.send(replay::TIMES, "on");
        }
        if let Some(password) = self.target.password.as_ref().filter(|_| is_guest) {
            if secrecy == Secrecy::Refused {
                return Err(Failure::Run(format!("not logged in: {Unencrypted}")));
            }
            let msg = Zeroizing::new(as_argument(password.as_str()).into_owned());
            {
                let mut place = self.place();
                place.logs_in();
                place.sending("/login", &msg);
            }
            // as above
            let _ = sender.send("/login", &msg);
            // the answer to this one says whether the login was granted
            let _ = sender.send(state::COMMAND.0, state::COMMAND.1);
        }
        Ok(())
    }

    /// Joins the user's rooms if it is time for that, before anything else is sent that may be for them.
    fn join_again(&self, sender: &ClientSender) {
        let joins = self.place().take_joins();
        for msg in joins {
            self.place().sending("/join", &msg);
            if sender.send("/join", &msg).is_err() {
                // the next would fail as well; receiving will find out
                return;
            }
        }
    }

    fn lost(&self, error: &ClientError) -> Ended {
        let server = &self.target.server;
        Ended::Lost(Failure::Run(format!("the connection to {server} was lost: {}", why(error))))
    }

    /// Nobody needs another connection once the user leaves.
    fn check_open(&self) -> Result<MutexGuard<'_, State>, Ended> {
        let state = self.lock();
        match state.phase {
            Phase::Open => Ok(state),
            _ => Err(unanswered()),
        }
    }

    /// The connection is gone; returns the phase in which it was.
    fn mark_lost(&self) -> Phase {
        let mut state = self.lock();
        // the server may be waiting for our side to close
        if let Some(sender) = state.sender.take() {
            sender.close();
        }
        state.losses += 1;
        self.place().disconnected();
        self.changed.notify_all();
        state.phase
    }

    fn heard(&self, is_for_me: bool, is_error: bool) {
        let mut state = self.lock();
        state.heard = Instant::now();
        if is_for_me {
            state.answered = state.heard;
        }
        if is_error {
            state.refused = state.heard;
        }
        self.changed.notify_all();
    }

    /// Waits until receiving has ended, or the time has come that `until` gives, which may move,
    /// or `latest`; or, while the phase is open, until it is not.
    fn wait_until<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        until: impl Fn(&State) -> Instant,
        latest: Instant,
    ) -> MutexGuard<'a, State> {
        let phase = state.phase;
        loop {
            let left = until(&state).min(latest).saturating_duration_since(Instant::now());
            if left.is_zero() || state.phase != phase || phase == Phase::Over {
                return state;
            }
            state = self.wait_for(state, left);
        }
    }

    fn wait_for<'a>(
        &self,
        state: MutexGuard<'a, State>,
        patience: Duration,
    ) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, patience);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unanswered() -> Ended {
    let sentence = "the connection was lost before every answer had come";
    Ended::Lost(Failure::Run(sentence.to_owned()))
}
