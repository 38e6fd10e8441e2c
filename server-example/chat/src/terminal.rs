//! The client for people: a line editor at the bottom, what comes above it. One thread edits, one
//! receives, one sends, so that neither a slow server nor a flood of messages gets into the way of
//! typing.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::Message;
use chatproto::endpoint::as_argument;
use chatproto::pairs::StateLine;
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{
    Cmd, ColorMode, CompletionType, ConditionalEventHandler, Config, Editor, Event, EventContext,
    EventHandler, ExternalPrinter, KeyEvent, Movement, RepeatCount,
};
use shared::failure::{Failure, reason};
use shared::options::{Color, no_color};
use shared::secret;
use shared::text::visible;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::raise;
use zeroize::Zeroizing;

use super::complete::{Completion, SharedRoster};
use super::connection::{Connection, Ended, Incoming, Patience, Unsent, View};
use super::display::Style;
use super::line::{self, Known, Line};
use super::place::{Deed, Moved};
use super::prompt::{Draft, LivePrompt};
use super::replay::{Replay, Shown, TIMES};
use crate::ask;

/// How long leaving takes at most, with lines unsent or a server that does not close.
const LEAVING: Duration = Duration::from_secs(5);

/// How long the next prompt waits for the answer to a command that may give the user another name.
const NAMING: Duration = Duration::from_secs(5);

/// What the sending thread is to do.
#[derive(Debug)]
enum Order {
    /// See [`Connection::send`].
    Send {
        to: String,
        msg: String,
        typed: Option<u64>,
    },
    Leave,
}

/// Asks for the user's name; `None` if they would rather leave.
pub(super) fn ask_for_name() -> Result<Option<String>, Failure> {
    let login = std::env::var("USER").ok().filter(|login| !login.is_empty());
    let prompt = match &login {
        Some(login) => format!("Your name [{}]: ", visible(login)),
        None => "Your name: ".to_owned(),
    };
    loop {
        match ask::line(&prompt)? {
            None => return Ok(None),
            Some(name) if !name.trim().is_empty() => return Ok(Some(name)),
            Some(_) if login.is_some() => return Ok(login),
            Some(_) => {}
        }
    }
}

/// Chats in the terminal until the user leaves or the server is lost for good.
pub(super) fn run(connection: Connection, incoming: Incoming, color: Color) -> Result<(), Failure> {
    // set by Ctrl-C between two lines; while one is edited the editor sees it
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let cannot = |error: io::Error| Failure::Run(format!("cannot start: {}", reason(&error)));
    signal_hook::flag::register(SIGINT, Arc::clone(&is_interrupted)).map_err(cannot)?;
    // secrets have to be masked where colours are off too; of colours, the editor itself uses none
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .color_mode(ColorMode::Forced)
        .build();
    let mut editor =
        Editor::with_history(config, MemHistory::new()).map_err(|error| ask::unusable(&error))?;
    editor.bind_sequence(KeyEvent::ctrl('C'), EventHandler::Conditional(Box::new(ClearFirst)));

    let connection = Arc::new(connection);
    let roster = Arc::new(SharedRoster::default());
    let (orders, ordered) = mpsc::channel();
    // a terminal that can do nothing has no printer: lines are then simply printed
    let mut printer =
        || -> Option<Printer> { Some(Box::new(editor.create_external_printer().ok()?)) };
    let style = Style { is_colored: is_colored(color) };
    let receiving = Screen {
        printer: printer(),
        style,
        replay: Replay::default(),
        connection: Arc::clone(&connection),
        roster: Arc::clone(&roster),
        orders: orders.clone(),
    };
    let sending = Notes { printer: printer(), style };
    let last_words = printer();
    let asking = orders.clone();
    editor.set_helper(Some(Completion {
        roster: Arc::clone(&roster),
        connection: Arc::clone(&connection),
        is_asking: Cell::new(false),
        prompt: LivePrompt::default(),
        ask: Box::new(move |roster| ask(&asking, roster)),
        drawn: None,
    }));

    let has_left = Arc::new(AtomicBool::new(false));
    let ended = receive(Arc::clone(&connection), incoming, receiving, Arc::clone(&has_left));
    let ended = ended.map_err(cannot)?;
    send(Arc::clone(&connection), ordered, sending).map_err(cannot)?;
    leave_on_signals().map_err(cannot)?;
    let edited = edit(&mut editor, &connection, &roster, &orders, style, &is_interrupted);
    has_left.store(true, Ordering::Relaxed);
    if connection.is_over() {
        return show_rest(editor, last_words, ended).map_err(cannot)?;
    }
    // a thread that has something to print must not wait for an editor that is gone
    drop(editor);
    // an error means that the sending thread knows
    let _ = orders.send(Order::Leave);
    if ended.recv_timeout(LEAVING).is_err() {
        println!("{}", style.note("the server did not answer: the last lines may be lost"));
    }
    edited
}

/// Ctrl-C: a line with text in it is cleared. On an empty line the key leaves the chat.
struct ClearFirst;

impl ConditionalEventHandler for ClearFirst {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, at: &EventContext<'_>) -> Option<Cmd> {
        (!at.line().is_empty()).then_some(Cmd::Kill(Movement::WholeBuffer))
    }
}

/// Shows what the editor has taken to show, and has not shown yet: it does that only while it edits a line.
/// Returns how the connection ended.
fn show_rest(
    mut editor: Editor<Completion, MemHistory>,
    printer: Option<Printer>,
    ended: mpsc::Receiver<Result<(), Failure>>,
) -> io::Result<Result<(), Failure>> {
    let Some(mut printer) = printer else {
        drop(editor);
        return Ok(ended.recv().unwrap_or(Ok(())));
    };
    let (drawn, is_drawn) = mpsc::channel();
    if let Some(helper) = editor.helper_mut() {
        helper.drawn = Some(drawn);
    }
    let (outcome, outcomes) = mpsc::channel();
    let has_left = Arc::new(AtomicBool::new(false));
    let is_left = Arc::clone(&has_left);
    let work = move || {
        let result = ended.recv().unwrap_or(Ok(()));
        // an error means that the editor is gone, and nothing with it
        if is_drawn.recv().is_ok() {
            // the editor takes one text at a time: it has shown all others when it takes the second
            let _ =
                printer.print(NOTHING.to_owned()).and_then(|()| printer.print(NOTHING.to_owned()));
        }
        let _ = outcome.send(result);
        interrupt_until(&is_left);
    };
    thread::Builder::new().name("last words".to_owned()).spawn(work)?;
    // it ends by the interrupt, or by a key
    let _ = editor.readline("");
    has_left.store(true, Ordering::Relaxed);
    drop(editor);
    Ok(outcomes.recv().unwrap_or(Ok(())))
}

/// A text for the printer that leaves the screen as it is: a line up, and down again.
const NOTHING: &str = "\x1b[A\n";

/// Ends the editing of a line as Ctrl-C does. The editor misses a signal that comes before it waits, so this
/// repeats it.
fn interrupt_until(has_left: &AtomicBool) {
    while !has_left.load(Ordering::Relaxed) {
        let _ = raise(SIGINT);
        thread::sleep(Duration::from_millis(50));
    }
}

/// Reads lines and has them sent, until the user leaves.
fn edit(
    editor: &mut Editor<Completion, MemHistory>,
    connection: &Connection,
    roster: &SharedRoster,
    orders: &mpsc::Sender<Order>,
    style: Style,
    is_interrupted: &AtomicBool,
) -> Result<(), Failure> {
    while !is_interrupted.load(Ordering::Relaxed) && !connection.is_over() {
        let Some((text, typed_at)) = edit_line(editor, connection)? else { return Ok(()) };
        if !line::has_secret(&text) {
            // a full history is no reason to stop
            let _ = editor.add_history_entry(&*text);
        }
        // what is pasted may have several lines
        for typed in text.lines() {
            match deed(typed, roster, connection) {
                Deed::Nothing => {}
                Deed::Quit => return Ok(()),
                Deed::Doubt(why) | Deed::Mistake(why) => println!("{}", style.note(&why)),
                Deed::Send { to, msg } => {
                    // before the user types the secret
                    if line::takes_secret(&to)
                        && let Err(why) = connection.sends_secrets()
                    {
                        println!("{}", style.note(&format!("not sent: {why}")));
                        continue;
                    }
                    let msg = match msg.is_empty().then(|| line::questions(&to)) {
                        None | Some([]) => msg,
                        Some(questions) => match ask_for_secrets(editor, questions, style)? {
                            Some(secrets) => secrets,
                            None => continue,
                        },
                    };
                    if to == "/help" {
                        println!("{}", style.note(HELP));
                    }
                    if !connection.is_connected() {
                        println!("{}", style.note("this is sent when there is a connection again"));
                    }
                    let (asked, name) = (Instant::now(), connection.place().name().to_owned());
                    let gives_name = line::gives_name(&to);
                    if orders.send(Order::Send { to, msg, typed: Some(typed_at) }).is_err() {
                        return Ok(());
                    }
                    // so that the next prompt has it
                    if gives_name && connection.is_connected() {
                        connection.wait_for_name(&name, asked, NAMING);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Reads a line: the text, and the number of lost logins when it was begun. `None` if the user leaves.
fn edit_line(
    editor: &mut Editor<Completion, MemHistory>,
    connection: &Connection,
) -> Result<Option<(Zeroizing<String>, u64)>, Failure> {
    // a line goes where the prompt says that it began with
    connection.place().turn();
    let mut begun: Option<(Draft, u64)> = None;
    loop {
        let (prompt, now) = {
            let place = connection.place();
            (place.prompt(), place.login_losses())
        };
        let (draft, typed_at) = begun.unwrap_or((Draft::default(), now));
        let columns = editor.dimensions().map_or(usize::MAX, |(columns, _)| columns.into());
        if let Some(helper) = editor.helper() {
            helper.prompt.begin(&prompt, columns);
        }
        let (left, right) = draft.text.split_at(draft.cursor);
        let typed = editor.readline_with_initial(&prompt, (left, right));
        let is_interrupted = matches!(typed, Err(ReadlineError::Interrupted));
        let draft = editor.helper().and_then(|helper| helper.prompt.end(is_interrupted));
        match (typed, draft) {
            (Ok(text), _) => return Ok(Some((Zeroizing::new(text), typed_at))),
            (Err(_), Some(draft)) => {
                // an empty line is the new name's
                let typed_at = if draft.text.is_empty() { None } else { Some(typed_at) };
                begun = typed_at.map(|typed_at| (draft, typed_at));
            }
            (Err(ReadlineError::Eof | ReadlineError::Interrupted), None) => return Ok(None),
            (Err(error), None) => return Err(ask::unusable(&error)),
        }
    }
}

/// Asks for the arguments of a command, which are not shown, and puts them in quotes where they need
/// some. `None` if the user would rather not say them, or types two different new passwords.
fn ask_for_secrets(
    editor: &mut Editor<Completion, MemHistory>,
    questions: &[&str],
    style: Style,
) -> Result<Option<String>, Failure> {
    if !secret::can_hide() {
        let why = "this terminal cannot hide what you type: the command takes it as its argument";
        println!("{}", style.note(why));
        return Ok(None);
    }
    let mut secrets: Vec<Zeroizing<String>> = Vec::new();
    for question in questions {
        let set = |editor: &Editor<Completion, MemHistory>, is_asking| {
            if let Some(helper) = editor.helper() {
                helper.is_asking.set(is_asking);
            }
        };
        set(editor, true);
        let typed = editor.readline(*question);
        set(editor, false);
        match typed {
            Ok(typed) => secrets.push(Zeroizing::new(typed)),
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => return Ok(None),
            Err(error) => return Err(ask::unusable(&error)),
        }
    }
    if let [.., new, again] = &secrets[..] {
        if new != again {
            println!("{}", style.note("these two are not the same: nothing was sent"));
            return Ok(None);
        }
        secrets.pop();
    }
    if secrets.iter().any(|secret| secret.trim().is_empty()) {
        return Ok(None);
    }
    let arguments: Vec<_> = secrets.iter().map(|secret| as_argument(secret)).collect();
    Ok(Some(arguments.join(" ")))
}

/// What the client adds to the server's help.
const HELP: &str = "TEXT is for everybody, or for the room that you /join; /to #ROOM goes to another \
of your rooms, /to everyone back; @NAME TEXT is for one user, @#ROOM TEXT for one room; \
Tab completes; /quit leaves";

/// What comes of a line.
fn deed(typed: &str, roster: &SharedRoster, connection: &Connection) -> Deed {
    let roster = roster.lock();
    let mut place = connection.place();
    let users = roster.names().collect();
    let rooms = roster.rooms().chain(place.rooms()).collect();
    let line = line::parse(typed, &Known { users, rooms });
    if let Line::To(Some(room)) = &line
        && let Some(doubt) = place.doubt(room)
    {
        return Deed::Doubt(doubt);
    }
    place.typed(line)
}

/// Receives on a thread of its own; its outcome comes through the channel.
fn receive(
    connection: Arc<Connection>,
    incoming: Incoming,
    mut screen: Screen,
    has_left: Arc<AtomicBool>,
) -> io::Result<mpsc::Receiver<Result<(), Failure>>> {
    let (outcome, ended) = mpsc::channel();
    let work = move || {
        let result = connection.run(incoming, &mut screen).map_err(|ended| match ended {
            Ended::Lost(failure) => failure,
            Ended::View(error) => {
                Failure::Run(format!("cannot write to the terminal: {}", reason(&error)))
            }
        });
        // an error means that the user has left
        if outcome.send(result).is_ok() {
            interrupt_until(&has_left);
        }
    };
    thread::Builder::new().name("receiver".to_owned()).spawn(work)?;
    Ok(ended)
}

/// Sends on a thread of its own, since a server may be slow to take it.
fn send(
    connection: Arc<Connection>,
    orders: mpsc::Receiver<Order>,
    mut notes: Notes,
) -> io::Result<()> {
    let work = move || {
        for order in orders {
            match order {
                Order::Send { to, msg, typed } => match connection.send(&to, &msg, typed) {
                    Ok(()) => {}
                    Err(Unsent::Refused(why)) => {
                        let what =
                            if line::takes_secret(&to) { String::new() } else { excerpt(&msg) };
                        // an error means that there is no terminal any more
                        let _ = notes.show(&format!("not sent{what}: {why}"));
                    }
                    Err(Unsent::Over) => return,
                },
                Order::Leave => {
                    return connection.leave(Patience {
                        linger: Duration::ZERO,
                        silence: LEAVING,
                        total: LEAVING,
                    });
                }
            }
        }
    };
    thread::Builder::new().name("sender".to_owned()).spawn(work)?;
    Ok(())
}

/// Which line it was, if it has a text.
fn excerpt(msg: &str) -> String {
    const LONGEST: usize = 40;
    let text: String = visible(msg).chars().take(LONGEST).collect();
    match msg.chars().count() {
        0 => text,
        1..=LONGEST => format!(" (\"{text}\")"),
        _ => format!(" (\"{text}…\")"),
    }
}

/// Sends the questions that the user did not ask, each between its fences.
fn ask(orders: &mpsc::Sender<Order>, roster: &SharedRoster) {
    for (to, msg) in roster.lock().take_questions() {
        // an error means that the user leaves
        let _ = orders.send(Order::Send { to: to.to_owned(), msg, typed: None });
    }
}

/// Other signals leave as Ctrl-C does: the terminal is to be as it was.
fn leave_on_signals() -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGHUP])?;
    let work = move || {
        for _ in signals.forever() {
            let _ = raise(SIGINT);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(work)?;
    Ok(())
}

/// Prints above the line that is being edited.
type Printer = Box<dyn ExternalPrinter + Send>;

/// Shows what comes, above the line that is being edited.
struct Screen {
    printer: Option<Printer>,
    style: Style,
    replay: Replay,
    connection: Arc<Connection>,
    roster: Arc<SharedRoster>,
    orders: mpsc::Sender<Order>,
}

impl View for Screen {
    fn connected(&mut self, welcome: &Message) -> io::Result<()> {
        self.roster.lock().connected();
        self.replay = Replay::new(welcome);
        self.show(welcome, &welcome.to)
    }

    fn confirmed(&mut self) {
        self.roster.lock().confirmed();
        ask(&self.orders, &self.roster);
    }

    fn line(&mut self, line: &StateLine<'_>) {
        let me = self.connection.place().name().to_owned();
        self.roster.lock().follow(line, &me);
    }

    fn message(&mut self, message: &Message) -> io::Result<()> {
        let me = self.connection.place().name().to_owned();
        let is_hidden = self.roster.learn(message, &me);
        ask(&self.orders, &self.roster);
        if is_hidden { Ok(()) } else { self.show(message, &me) }
    }

    fn renamed(&mut self) {
        // the editor draws its line, and sees that the prompt is another one; an error is that of the next text
        if let Some(printer) = &mut self.printer {
            let _ = printer.print(NOTHING.to_owned());
        }
    }

    fn moved(&mut self, moved: &Moved) -> io::Result<()> {
        self.note(&moved.to_string())
    }

    fn note(&mut self, text: &str) -> io::Result<()> {
        print(&mut self.printer, self.style.note(text))
    }
}

impl Screen {
    fn show(&mut self, message: &Message, me: &str) -> io::Result<()> {
        let now = shared::clock::here();
        let time = match self.replay.see(message, me, now.time_zone()) {
            Shown::Now => now.strftime("%H:%M:%S").to_string(),
            Shown::Before(time) => time,
            Shown::Note(note) => return self.note(&note),
            Shown::Hidden => return Ok(()),
        };
        if self.replay.take_question() {
            // an error means that the user leaves
            let (to, msg) = (TIMES.to_owned(), "on".to_owned());
            let _ = self.orders.send(Order::Send { to, msg, typed: None });
        }
        print(&mut self.printer, self.style.message(message, me, &time))
    }
}

/// Shows what the sending thread has to say.
struct Notes {
    printer: Option<Printer>,
    style: Style,
}

impl Notes {
    fn show(&mut self, text: &str) -> io::Result<()> {
        print(&mut self.printer, self.style.note(text))
    }
}

fn print(printer: &mut Option<Printer>, mut line: String) -> io::Result<()> {
    line.push('\n');
    if let Some(editing) = printer {
        if editing.print(line.clone()).is_ok() {
            return Ok(());
        }
        // it fails only when the editor is gone: then nothing is being edited
        *printer = None;
    }
    io::stdout().write_all(line.as_bytes())
}

fn is_colored(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => !no_color() && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
    }
}
