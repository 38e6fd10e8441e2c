//! A chat server on blocking threads of the standard library: two for each connection, one mutex around all
//! that they share. The protocol is the library's ([`ServerConnection`]); sockets, threads and clocks are
//! here.
//!
//! ```sh
//! cargo run --example threads -- 127.0.0.1:0
//! ```

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::ServerConnection;
use chatproto::connection::{ConnectionConfig, ConnectionState, Context};
use chatproto::hub::{ConnId, Hub, Now, Output};

/// Bytes that are read, and that are written, at a time.
const PIECE: usize = 64 * 1024;

struct Chat {
    hub: Hub,
    config: ConnectionConfig,
    out: Output,
    peers: HashMap<ConnId, Peer>,
}

struct Peer {
    connection: ServerConnection,
    /// Closes the connection though its threads read and write.
    stream: TcpStream,
    /// Wakes the threads of this connection: they may have something to do.
    changed: Arc<Condvar>,
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    serve(&listener)
}

pub(crate) fn serve(listener: &TcpListener) -> io::Result<()> {
    let (hub, config) = (Hub::builder().build(), ConnectionConfig::default());
    let chat = Chat { hub, config, out: Output::new(), peers: HashMap::new() };
    let chat = Arc::new(Mutex::new(chat));
    let clock = Arc::clone(&chat);
    thread::spawn(move || keep_time(&clock));
    loop {
        let (stream, address) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                // out of descriptors, or the peer is gone already
                eprintln!("cannot accept a connection: {error}");
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        let (Ok(reading), Ok(closing)) = (stream.try_clone(), stream.try_clone()) else { continue };
        let changed = Arc::new(Condvar::new());
        let now = Now::system();
        let mut guard = lock(&chat);
        let Chat { hub, config, out, peers } = &mut *guard;
        let id = hub.handle_connect(0, address.ip(), now, out);
        let connection = ServerConnection::new(id, now.monotonic, config);
        peers.insert(id, Peer { connection, stream: closing, changed: Arc::clone(&changed) });
        guard.deliver();
        drop(guard);
        let (reader, writer) = (Arc::clone(&chat), Arc::clone(&chat));
        let other = Arc::clone(&changed);
        thread::spawn(move || read(&reader, id, reading, &changed));
        thread::spawn(move || write(&writer, id, stream, &other));
    }
}

/// Bans and mutes end in time, and so do connections whose threads wait for a peer that does not read.
fn keep_time(chat: &Mutex<Chat>) {
    loop {
        thread::sleep(Duration::from_millis(250));
        let mut chat = lock(chat);
        let (now, Chat { hub, out, peers, .. }) = (Now::system(), &mut *chat);
        hub.handle_timeout(now, out);
        let is_due = |peer: &Peer| peer.connection.poll_timeout(hub, now.monotonic);
        let due =
            peers.iter().filter(|(_, peer)| is_due(peer).is_some_and(|at| at <= now.monotonic));
        let due: Vec<ConnId> = due.map(|(&id, _)| id).collect();
        chat.deliver();
        for id in due {
            chat.with(id, ServerConnection::handle_timeout);
        }
        for peer in chat.peers.values() {
            if peer.connection.state() == ConnectionState::Closed {
                // this ends a read or a write that waits
                let _ = peer.stream.shutdown(Shutdown::Both);
            }
        }
    }
}

fn read(chat: &Mutex<Chat>, id: ConnId, mut stream: TcpStream, changed: &Condvar) {
    let mut buffer = vec![0; PIECE];
    loop {
        // TCP holds a peer back whose input has to wait
        let mut guard = lock(chat);
        while guard.peers.get(&id).is_some_and(|peer| {
            peer.connection.state() == ConnectionState::Open && !peer.connection.wants_input()
        }) {
            guard = changed.wait(guard).expect("no thread panics");
        }
        if !guard.peers.contains_key(&id) {
            return;
        }
        drop(guard);
        let result = stream.read(&mut buffer);
        let mut guard = lock(chat);
        guard.with(id, |connection, cx| match &result {
            Ok(0) => connection.handle_end(cx),
            Ok(length) => connection.handle_input(&buffer[..*length], cx),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => connection.handle_lost(cx),
        });
        if matches!(result, Ok(0)) || result.is_err_and(|e| e.kind() != ErrorKind::Interrupted) {
            return;
        }
    }
}

fn write(chat: &Mutex<Chat>, id: ConnId, mut stream: TcpStream, changed: &Condvar) {
    let mut guard = lock(chat);
    loop {
        let bytes = guard.with(id, |connection, cx| {
            let now = cx.now.monotonic;
            if connection.poll_timeout(cx.hub, now).is_some_and(|at| at <= now) {
                connection.handle_timeout(cx);
            }
            let bytes = connection.poll_transmit(PIECE, cx);
            if bytes.is_some() {
                // until this thread has written them
                connection.handle_blocked(now, cx.config);
            }
            bytes
        });
        let Some(bytes) = bytes else { return };
        if let Some(bytes) = bytes {
            drop(guard);
            let result = stream.write_all(&bytes);
            guard = lock(chat);
            guard.with(id, |connection, cx| {
                connection.handle_unblocked();
                if result.is_err() {
                    connection.handle_write_error(cx);
                }
            });
            continue;
        }
        let Chat { hub, peers, .. } = &mut *guard;
        let Some(peer) = peers.get(&id) else { return };
        let now = Instant::now();
        let due = peer.connection.poll_timeout(hub, now);
        match peer.connection.state() {
            ConnectionState::ShutDown => {
                let _ = stream.shutdown(Shutdown::Write);
            }
            ConnectionState::Closed => {
                // this ends the read, and so the other thread
                let _ = stream.shutdown(Shutdown::Both);
                peers.remove(&id);
                changed.notify_all();
                return;
            }
            _ => {}
        }
        guard = match due {
            Some(at) => {
                let time = at.saturating_duration_since(now);
                changed.wait_timeout(guard, time).expect("no thread panics").0
            }
            None => changed.wait(guard).expect("no thread panics"),
        };
    }
}

impl Chat {
    /// Has a connection handle something, and delivers what comes of it.
    fn with<T>(
        &mut self,
        id: ConnId,
        event: impl FnOnce(&mut ServerConnection, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let Peer { connection, changed, .. } = self.peers.get_mut(&id)?;
        // its other thread may have something to do now
        changed.notify_all();
        let (hub, config, out) = (&mut self.hub, &self.config, &mut self.out);
        let value = event(connection, &mut Context { hub, now: Now::system(), config, out });
        self.deliver();
        Some(value)
    }

    /// Hands what the hub decided to the connections, in its order. (Without accounts, a directory, a history
    /// and endpoints of its own, the hub has no effects that somebody has to carry out.)
    fn deliver(&mut self) {
        let now = Instant::now();
        let deliveries = self.out.take_deliveries(&self.config);
        for (id, delivery) in deliveries.iter() {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.connection.handle_delivery(delivery, now, &self.config);
                peer.changed.notify_all();
            }
        }
        self.out.take_events();
        drop(deliveries);
        while self.config.queued() > self.config.limits().queue_total
            && let Some(peer) = self.peers.values_mut().max_by_key(|p| p.connection.queued())
            && peer.connection.cut(now, &self.config)
        {
            peer.changed.notify_all();
        }
    }
}

fn lock(chat: &Mutex<Chat>) -> MutexGuard<'_, Chat> {
    chat.lock().expect("no thread panics")
}
