//! A server: started, asked, stopped, freed. What its endpoints are is in [`endpoint`].

pub mod endpoint;
mod options;

use std::ffi::c_int;
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chatproto::address::{Address, AddressError};
use chatproto::{PORT, Server, ServerBuilder, ServerError, ServerHandle};

use crate::ffi::{Handle, at, boundary, give_away, out, quietly, read_growing, take_back};
use crate::result::{chatproto_result, fail, server_error};
use crate::text::chatproto_str;

use endpoint::Gate;
pub use options::{CHATPROTO_UNLIMITED, chatproto_server_options};

/// Where a server listens if nothing else is asked for.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT));

/// A server that runs. Any number of threads may use it; it is freed once, with
/// `chatproto_server_free`.
pub struct chatproto_server(Handle<Running>);

/// The names of the users that were there when they were asked for. It never changes, so that any
/// number of threads may read it; it is freed once, with `chatproto_users_free`.
pub struct chatproto_users(Vec<String>);

struct Running {
    handle: ServerHandle,
    address: SocketAddr,
    address_text: String,
    outcome: Arc<Outcome>,
    gate: Arc<Gate>,
    thread: Option<JoinHandle<()>>,
}

/// How it ended, once it has.
#[derive(Default)]
struct Outcome {
    ended: Mutex<Option<Result<(), ServerError>>>,
    changed: Condvar,
}

impl Running {
    fn start(
        builder: ServerBuilder,
        addresses: &[SocketAddr],
        gate: Arc<Gate>,
    ) -> Result<Self, ServerError> {
        let server = builder.bind_first(addresses)?;
        let (handle, address) = (server.handle(), server.local_addr());
        let outcome = Arc::new(Outcome::default());
        let ended = Arc::clone(&outcome);
        let run = move || {
            let outcome = server.run();
            *ended.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            ended.changed.notify_all();
        };
        let doing = "cannot start the server's thread";
        let thread = thread::Builder::new().name("chatproto-server".to_owned()).spawn(run);
        let thread = Some(thread.map_err(|source| ServerError::Io { doing, source })?);
        let address_text = address.to_string();
        Ok(Running { handle, address, address_text, outcome, gate, thread })
    }

    fn wait(&self, until: Option<Instant>) -> Result<(), chatproto_result> {
        let mut ended = self.outcome.ended.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*ended {
                Some(Ok(())) => return Ok(()),
                Some(Err(error)) => return Err(server_error(error)),
                None => {}
            }
            let changed = &self.outcome.changed;
            ended = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => changed.wait(ended).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => {
                    return Err(fail(
                        chatproto_result::Timeout,
                        format_args!("the server still runs"),
                    ));
                }
                Some(left) => {
                    changed.wait_timeout(ended, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.gate.close();
    }
}

/// Starts a server, which runs on threads of its own. `options` may be NULL for the defaults; it, its
/// strings and its array of endpoints are only read during the call. `*server` is the caller's, to be
/// freed with `chatproto_server_free`; NULL unless the result is `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_LISTEN` if the address is in use or not this machine's;
/// `CHATPROTO_LIMITS`, `CHATPROTO_ENDPOINT`, `CHATPROTO_IO`; `CHATPROTO_INVALID_ARGUMENT` if `size` is
/// wrong or the address is none; `CHATPROTO_TLS` if certificate and key cannot be used, and
/// `CHATPROTO_UNSUPPORTED` if the library was built without TLS; `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
/// `CHATPROTO_PANICKED`.
///
/// Threads: any. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `options` is NULL or points to options whose strings are as `chatproto_str` describes, and whose
/// `endpoints` are `endpoint_count` many; `server` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_server_start(
    options: *const chatproto_server_options,
    server: *mut *mut chatproto_server,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promise
        let server = unsafe { out(server, std::ptr::null_mut(), "server")? };
        let gate = Arc::new(Gate::default());
        let (builder, addresses) = if options.is_null() {
            (Server::builder(), vec![DEFAULT_ADDRESS])
        } else {
            // SAFETY: the caller's promise
            unsafe { configure(options, &gate)? }
        };
        let running =
            Running::start(builder, &addresses, gate).map_err(|error| server_error(&error))?;
        *server = give_away(chatproto_server(Handle::new(running)));
        Ok(())
    })
}

/// # Safety
/// As for [`chatproto_server_start`].
unsafe fn configure(
    options: *const chatproto_server_options,
    gate: &Arc<Gate>,
) -> Result<(ServerBuilder, Vec<SocketAddr>), chatproto_result> {
    // SAFETY: the caller's promise
    let options = &unsafe { read_growing(options, chatproto_server_options::DEFAULT, "options")? };
    // SAFETY: the caller's promise
    let addresses = match unsafe { options.address.text("address")? } {
        "" => vec![DEFAULT_ADDRESS],
        text => resolve(text)?,
    };
    let mut builder = Server::builder().limits(options.limits());
    if options.threads > 0 {
        builder = builder.threads(options.threads as usize);
    }
    if options.worker_threads > 0 {
        builder = builder.worker_threads(options.worker_threads as usize);
    }
    if options.drop_oldest {
        builder = builder.slow_reader(chatproto::SlowReader::DropOldest);
    }
    // SAFETY: the caller's promise
    let admin_token = unsafe { options.admin_token.text("admin_token")? };
    if !admin_token.is_empty() {
        builder = builder.admin_token(admin_token);
    }
    builder = builder.announce(options.announce);
    // SAFETY: the caller's promise
    match unsafe { options.tls()? } {
        None => {}
        #[cfg(feature = "tls")]
        Some(tls) => builder = builder.tls(tls).tls_only(options.tls_only),
        #[cfg(not(feature = "tls"))]
        Some(never) => match never {},
    }
    // SAFETY: the caller's promise
    unsafe { endpoint::add(builder, options.endpoints, options.endpoint_count, gate) }
        .map(|builder| (builder, addresses))
}

/// The addresses of a host and a port.
fn resolve(text: &str) -> Result<Vec<SocketAddr>, chatproto_result> {
    let refuse = |why: &dyn Display| {
        fail(
            chatproto_result::InvalidArgument,
            format_args!("`address`: cannot listen on {text:?}: {why}"),
        )
    };
    let address: Address = text.parse().map_err(|error: AddressError| refuse(&error))?;
    address.resolve().map_err(|unknown| refuse(&unknown))
}

/// The address it listens on, with the port that the system chose if it was asked to. The string
/// lives as long as the server, and is empty unless the result is `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `server` is NULL or a server that was not freed; `address` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_server_address(
    server: *const chatproto_server,
    address: *mut chatproto_str,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (address, server) =
            unsafe { (out(address, chatproto_str::EMPTY, "address")?, at(server, "server")?) };
        *address = server.0.shared(|running| Ok(running.address_text.as_str().into()))?;
        Ok(())
    })
}

/// The port it listens on. `*port` is 0 unless the result is `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `server` is NULL or a server that was not freed; `port` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_server_port(
    server: *const chatproto_server,
    port: *mut u16,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (port, server) = unsafe { (out(port, 0, "port")?, at(server, "server")?) };
        *port = server.0.shared(|running| Ok(running.address.port()))?;
        Ok(())
    })
}

/// The names of the registered users, in no particular order, as they are now. `*users` is the
/// caller's, to be freed with `chatproto_users_free`, also after the server; NULL unless the result is
/// `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `server` is NULL or a server that was not freed; `users` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_server_users(
    server: *const chatproto_server,
    users: *mut *mut chatproto_users,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (users, server) =
            unsafe { (out(users, std::ptr::null_mut(), "users")?, at(server, "server")?) };
        let names = server.0.shared(|running| Ok(running.handle.users()))?;
        *users = give_away(chatproto_users(names));
        Ok(())
    })
}

/// How many names there are. `*count` is 0 unless the result is `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `users` is NULL or was not freed; `count` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_users_count(
    users: *const chatproto_users,
    count: *mut usize,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (count, users) = unsafe { (out(count, 0, "count")?, at(users, "users")?) };
        *count = users.0.len();
        Ok(())
    })
}

/// The name at an index, from 0 on. It lives as long as the list, and is empty unless the result is
/// `CHATPROTO_OK`.
///
/// Results: `CHATPROTO_OK`; `CHATPROTO_INVALID_ARGUMENT` if there are not so many;
/// `CHATPROTO_NULL_POINTER`.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `users` is NULL or was not freed; `name` is NULL or may be written.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_users_name(
    users: *const chatproto_users,
    index: usize,
    name: *mut chatproto_str,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promises
        let (name, users) =
            unsafe { (out(name, chatproto_str::EMPTY, "name")?, at(users, "users")?) };
        let found = users.0.get(index).ok_or_else(|| {
            fail(
                chatproto_result::InvalidArgument,
                format_args!("there are {} names, and none at {index}", users.0.len()),
            )
        })?;
        *name = found.as_str().into();
        Ok(())
    })
}

/// Frees a list of names. NULL is nothing.
///
/// Threads: any, once no other uses it. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `users` is NULL or was not freed.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_users_free(users: *mut chatproto_users) {
    // SAFETY: the caller's promise
    quietly(|| drop(unsafe { take_back(users) }));
}

/// Waits until the server has ended, for `timeout_ms` at most: 0 does not wait, and a negative one
/// waits for ever.
///
/// Results: `CHATPROTO_OK` if it was stopped; `CHATPROTO_TIMEOUT` if it still runs;
/// `CHATPROTO_SERVER_FAILED` and `CHATPROTO_IO` if it failed; `CHATPROTO_NULL_POINTER`,
/// `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `server` is NULL or a server that was not freed.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_server_wait(
    server: *const chatproto_server,
    timeout_ms: c_int,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promise
        let server = unsafe { at(server, "server")? };
        let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
        server.0.shared(|running| running.wait(timeout.map(|timeout| Instant::now() + timeout)))
    })
}

/// Stops a server: it says goodbye to everybody, flushes for at most 5 s, and has ended when this
/// returns. Stopping again is no error. An endpoint's callback must not call it: it would wait for
/// itself.
///
/// Results: those of `chatproto_server_wait`, `CHATPROTO_TIMEOUT` excepted.
///
/// Threads: any, also several at once. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `server` is NULL or a server that was not freed.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_server_stop(
    server: *const chatproto_server,
) -> chatproto_result {
    boundary(|| {
        // SAFETY: the caller's promise
        let server = unsafe { at(server, "server")? };
        server.0.shared(|running| {
            running.handle.stop();
            running.wait(None)
        })
    })
}

/// Stops a server if it runs, waits for the callbacks that are at work, and frees it: afterwards no
/// callback is called any more, and their user data may go. NULL is nothing. An endpoint's callback
/// must not call it: it would wait for itself.
///
/// Threads: any, once no other uses it. No function of this library ever unwinds into its caller.
///
/// # Safety
/// `server` is NULL or a server that was not freed. Its address is gone.
// SAFETY: no other symbol of that name: ours begin with `chatproto_`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chatproto_server_free(server: *mut chatproto_server) {
    // SAFETY: the caller's promise
    quietly(|| drop(unsafe { take_back(server) }));
}
