//! A connection to a server, for threads that block and for event loops: the core's session and
//! one non-blocking socket. `connection` and `state` are between them; the functions of C are below.

mod address;
mod connection;
mod options;
mod state;

use std::ffi::{c_char, c_int, c_uint};
use std::time::Instant;

use chatproto::UserName;

use crate::ffi::{Handle, at, boundary, give_away, out, quietly, read_growing, take_back};
use crate::message::chatproto_message;
use crate::result::{chatproto_result, client_error, fail};
use crate::text::{chatproto_fields, chatproto_str, give};

use address::ServerAddress;
use connection::Connection;
pub use options::chatproto_client_options;
use options::milliseconds;

/// The port of the protocol.
pub const CHATPROTO_PORT: u16 = 65432;

/// The most bytes that the name of a user has.
pub const CHATPROTO_NAME_MAX: usize = 64;

/// An event loop is to wait until the socket can be read.
pub const CHATPROTO_READABLE: c_uint = 1;

/// An event loop is to wait until the socket can be written.
pub const CHATPROTO_WRITABLE: c_uint = 2;

/// A connection to a server, registered under a name. Several threads may use it, for instance one
/// that sends and one that receives; it is given up once, with `chatproto_client_close` or
/// `chatproto_client_free`, when no other thread uses it any more.
///
/// Memory: a server cannot make a client grow. It reads the socket only when no message lies there,
/// and holds the messages of one read (16 KiB, or 48 KiB with TLS), one incomplete message of at most
/// `max_frame` bytes, and what was queued and not written (see `chatproto_client_queue`). The messages
/// that were given out are the caller's.
pub struct chatproto_client(Handle<Connection>);

/// Connects to a server, registers under a name, and waits for the welcome. `address` is a host and a
/// port, such as `chat.example:65432`, `127.0.0.1:65432` or `[::1]:65432`. Or it is the URL of a
/// WebSocket, such as `ws://127.0.0.1:8080/ws`, or `wss://chat.example` with TLS. A URL without a port
/// has port 80, with TLS 443. A URL without a path has `/ws`. The name of a host is looked up, for as
/// long as the system takes, and its addresses are tried one after the other. All else takes
/// `timeout_ms` at most: 0 does not wait, and a negative one waits for ever. Everything else is as in
/// `chatproto_client_options_default`. `*client` is the caller's, to be given up with
/// `chatproto_client_close` or `chatproto_client_free`; NULL unless the result is `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`. `CHATPROTO_INVALID_NAME` if no server would take the name, and nothing was
/// sent. `CHATPROTO_REFUSED` if the server did not, and the last error is its reason.
/// `CHATPROTO_TIMEOUT`, `CHATPROTO_CLOSED`, `CHATPROTO_IO`. Those from 20 to 59 if what answered is no
/// chat server. `CHATPROTO_WEBSOCKET` if the server did not open the WebSocket, or violated its rules.
/// For `wss://` `CHATPROTO_TLS` and `CHATPROTO_UNSUPPORTED`, as of `chatproto_client_connect_with`.
/// `CHATPROTO_INVALID_ARGUMENT` if the address is no host and port and no such URL.
/// `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`, `CHATPROTO_PANICKED`.
///
/// Threads: any. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `address` and `name` are as `chatproto_str` describes; `client` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_client_connect(
    address: chatproto_str,
    name: chatproto_str,
    timeout_ms: c_int,
    client: *mut *mut chatproto_client,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (client, address, name) = unsafe {
            (
                out(client, std::ptr::null_mut(), "client")?,
                address.text("address")?,
                name.text("name")?,
            )
        };
        let options = chatproto_client_options { timeout_ms, ..chatproto_client_options::DEFAULT };
        // SAFETY: the strings of the default are empty
        *client = unsafe { connect(address, name, &options)? };
        Ok(())
    })
}

/// Connects as the options say, and else as `chatproto_client_connect` does; `options` may be NULL
/// for the defaults, and is only read during the call.
///
/// Results: those of `chatproto_client_connect`; `CHATPROTO_TLS` if TLS cannot be had, or the server
/// is not the one that is trusted, and the name was not sent; `CHATPROTO_UNSUPPORTED` if the library
/// was built without TLS; `CHATPROTO_INVALID_ARGUMENT` if `size` is wrong or the options do not fit
/// together.
///
/// Threads: any. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `address`, `name` and the strings of the options are as `chatproto_str` describes; `options` is
/// NULL or points to options; `client` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_client_connect_with(
    address: chatproto_str,
    name: chatproto_str,
    options: *const chatproto_client_options,
    client: *mut *mut chatproto_client,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (client, address, name) = unsafe {
            (
                out(client, std::ptr::null_mut(), "client")?,
                address.text("address")?,
                name.text("name")?,
            )
        };
        let mut chosen = chatproto_client_options::DEFAULT;
        if !options.is_null() {
            // SAFETY: the caller's promise
            chosen = unsafe { read_growing(options, chosen, "options")? };
        }
        // SAFETY: the caller's promise
        *client = unsafe { connect(address, name, &chosen)? };
        Ok(())
    })
}

/// Makes a client.
///
/// # Safety
/// The strings of the options are as `chatproto_str` describes.
unsafe fn connect(
    address: &str,
    name: &str,
    options: &chatproto_client_options,
) -> Result<*mut chatproto_client, chatproto_result> {
    let address = ServerAddress::parse(address)?;
    // SAFETY: the caller's promise
    let tls = unsafe { options.tls(address.url())? };
    let name = UserName::new(name).map_err(|error| client_error(&error.into()))?;
    let settings = options.settings()?;
    let connection = Connection::open(&address, name, settings, tls)?;
    Ok(give_away(chatproto_client(Handle::new(connection))))
}

/// Sends a message to a user, a room or a command. Returns when the system has taken it: it waits
/// while the server does not read, and as long as the pace of a server of the old kind asks for.
/// Another thread ends the waiting with `chatproto_client_shutdown`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_FRAME_TOO_LONG` if the server could not take it, and nothing
/// was sent; `CHATPROTO_CLOSED`, `CHATPROTO_IO`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
/// `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `client` is NULL or a client that was not given up; `to` and `msg` are as `chatproto_str`
/// describes.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_client_send(
    client: *const chatproto_client,
    to: chatproto_str,
    msg: chatproto_str,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (client, to, msg) =
            unsafe { (at(client, "client")?, to.text("to")?, msg.text("msg")?) };
        client.0.shared(|connection| {
            connection.queue(to, msg, usize::MAX)?;
            connection.flush(None)
        })
    })
}

/// Sends a message without ever waiting, for event loops: what the system does not take at once is
/// kept, and written by `chatproto_client_process`.
///
/// Results: those of `chatproto_client_send`, and `CHATPROTO_QUEUE_FULL` if 1 MiB is kept already:
/// the message was not taken, and can be once more was written.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// As for `chatproto_client_send`.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_client_queue(
    client: *const chatproto_client,
    to: chatproto_str,
    msg: chatproto_str,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (client, to, msg) =
            unsafe { (at(client, "client")?, to.text("to")?, msg.text("msg")?) };
        client.0.shared(|connection| connection.queue(to, msg, connection::QUEUE))
    })
}

/// Waits for the next message, for `timeout_ms` at most; 0 gives what has come already, a negative
/// one waits until something comes. `*message` is the caller's, to be freed with
/// `chatproto_message_free`; NULL unless the result is `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`. `CHATPROTO_TIMEOUT`, and the connection is as before.
/// `CHATPROTO_CLOSED` when the server has closed, or `chatproto_client_shutdown` was called.
/// `CHATPROTO_IO`. `CHATPROTO_WEBSOCKET` if the server violated the rules of WebSocket. Those from 40 to
/// 59 if the server sent something that is no message, after which the next call goes on. Those from 20
/// to 39 likewise, after which it is `CHATPROTO_CLOSED`.
/// `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
///
/// Threads: any, also several at once; each message is given to one of them. No function of this
/// library ever unwinds into its caller.
///
/// # Safety
/// `client` is NULL or a client that was not given up; `message` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_client_recv(
    client: *const chatproto_client,
    timeout_ms: c_int,
    message: *mut *mut chatproto_message,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (message, client) =
            unsafe { (out(message, std::ptr::null_mut(), "message")?, at(client, "client")?) };
        let until = milliseconds(timeout_ms).map(|timeout| Instant::now() + timeout);
        let received = client.0.shared(|connection| connection.receive(until))?;
        *message = chatproto_message::give(received);
        Ok(())
    })
}

/// The socket, for an event loop to wait on: see `chatproto_client_events`. It belongs to the client
/// and must be neither read, written nor closed. `*fd` is -1 unless the result is `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `client` is NULL or a client that was not given up; `fd` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_client_fd(
    client: *const chatproto_client,
    fd: *mut c_int,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (fd, client) = unsafe { (out(fd, -1, "fd")?, at(client, "client")?) };
        *fd = client.0.shared(|connection| Ok(connection.fd()))?;
        Ok(())
    })
}

/// What an event loop is to wait for on the socket: a sum of `CHATPROTO_READABLE` and
/// `CHATPROTO_WRITABLE`, which may change with every other call. One turn of the loop is
///
/// 1. `chatproto_client_next` until it gives `CHATPROTO_NEED_MORE`: nothing is read from the socket
///    while messages lie there that were not taken;
/// 2. `poll` with this, and for as long as `chatproto_client_timeout_ms` says;
/// 3. `chatproto_client_process`.
///
/// `*events` is 0 unless the result is `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `client` is NULL or a client that was not given up; `events` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_client_events(
    client: *const chatproto_client,
    events: *mut c_uint,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (events, client) = unsafe { (out(events, 0, "events")?, at(client, "client")?) };
        let wanted = client.0.shared(|connection| Ok(connection.wanted(Instant::now())))?;
        *events = u32::from(wanted.readable) * CHATPROTO_READABLE
            + u32::from(wanted.writable) * CHATPROTO_WRITABLE;
        Ok(())
    })
}

/// How many milliseconds an event loop may wait at most before it calls `chatproto_client_process`:
/// -1 for as long as it likes, 0 not at all, as messages lie there, one can be sent, or it is over.
/// `*timeout_ms` is -1 unless the result is `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `client` is NULL or a client that was not given up; `timeout_ms` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_client_timeout_ms(
    client: *const chatproto_client,
    timeout_ms: *mut c_int,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (timeout_ms, client) =
            unsafe { (out(timeout_ms, -1, "timeout_ms")?, at(client, "client")?) };
        let now = Instant::now();
        let wanted = client.0.shared(|connection| Ok(connection.wanted(now)))?;
        *timeout_ms = connection::poll_timeout(wanted.until, now);
        Ok(())
    })
}

/// Reads and writes what can be without waiting. To be called when the socket is ready, and when the
/// time of `chatproto_client_timeout_ms` has passed; a call too many does no harm.
///
/// Results: `CHATPROTO_OK`; once all messages were taken, `CHATPROTO_CLOSED` and `CHATPROTO_IO` if
/// the connection is over; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `client` is NULL or a client that was not given up.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_client_process(
    client: *const chatproto_client,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promise
        let client = unsafe { at(client, "client")? };
        client.0.shared(Connection::process)
    })
}

/// Takes a message that has come, without reading the socket. `*message` is the caller's, to be freed
/// with `chatproto_message_free`; NULL unless the result is `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NEED_MORE` if there is none; else those of
/// `chatproto_client_recv`, `CHATPROTO_TIMEOUT` excepted.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `client` is NULL or a client that was not given up; `message` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_client_next(
    client: *const chatproto_client,
    message: *mut *mut chatproto_message,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (message, client) =
            unsafe { (out(message, std::ptr::null_mut(), "message")?, at(client, "client")?) };
        match client.0.shared(Connection::next)? {
            Some(next) => *message = chatproto_message::give(next),
            None => return Err(chatproto_result::NeedMore),
        }
        Ok(())
    })
}

/// Writes the name under which the server knows the client into `buffer`, normalised and without a NUL.
/// It follows the server, as the messages with which it tells a new name are taken: after `/nick`, after
/// `/login`, and for a guest from the beginning. `*length` is how many bytes it has, at most
/// `CHATPROTO_NAME_MAX`; it is written on `CHATPROTO_BUFFER_TOO_SMALL` too, and is 0 after other errors.
/// With a `capacity` of 0, `buffer` may be NULL: that asks for the length.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_BUFFER_TOO_SMALL`; `CHATPROTO_NULL_POINTER`,
/// `CHATPROTO_POISONED`.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `client` is NULL or a client that was not given up; `buffer` is NULL or points to `capacity` bytes
/// that may be written; `length` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_client_name(
    client: *const chatproto_client,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (length, client) = unsafe { (out(length, 0, "length")?, at(client, "client")?) };
        let name = client.0.shared(|connection| Ok(connection.name()))?;
        // SAFETY: the caller's promise
        unsafe { give(name.as_bytes(), buffer, capacity, length) }
    })
}

/// The server's welcome. Its strings live as long as the client, and are empty unless the result is
/// `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `client` is NULL or a client that was not given up; `welcome` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_client_welcome(
    client: *const chatproto_client,
    welcome: *mut chatproto_fields,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (welcome, client) =
            unsafe { (out(welcome, chatproto_fields::EMPTY, "welcome")?, at(client, "client")?) };
        *welcome = client.0.shared(|connection| Ok(connection.welcome().into()))?;
        Ok(())
    })
}

/// Ends the connection at once, in both directions: whoever waits in another thread returns with
/// `CHATPROTO_CLOSED`. The client is still to be given up.
///
/// Results: `CHATPROTO_OK`, also if it has ended before; `CHATPROTO_NULL_POINTER`,
/// `CHATPROTO_POISONED`.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `client` is NULL or a client that was not given up.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_client_shutdown(
    client: *const chatproto_client,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promise
        let client = unsafe { at(client, "client")? };
        client.0.shared(|connection| {
            connection.shutdown();
            Ok(())
        })
    })
}

/// Closes a connection in good order and frees the client, whatever the result: writes what is kept,
/// says that nothing more will come, lets the server answer all that it was sent, throws those answers
/// away, and closes when the server does, or after 2 s, however much comes. NULL is answered with
/// `CHATPROTO_NULL_POINTER`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_TIMEOUT`, `CHATPROTO_CLOSED` and `CHATPROTO_IO` if what was
/// sent may not have arrived; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
///
/// Threads: any, once no other uses it. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `client` is NULL or a client that was not given up.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_client_close(client: *mut chatproto_client) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promise
        let client = unsafe { take_back(client) };
        let missing = || fail(chatproto_result::NullPointer, format_args!("`client` is NULL"));
        client.ok_or_else(missing)?.0.shared(Connection::close)
    })
}

/// Frees a client and closes its connection at once: what was sent last may be lost, and nothing
/// waits. NULL is nothing.
///
/// Threads: any, once no other uses it. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `client` is NULL or a client that was not given up.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_client_free(client: *mut chatproto_client) {
    // SAFETY: the caller's promise
    quietly(|| drop(unsafe { take_back(client) }));
}
