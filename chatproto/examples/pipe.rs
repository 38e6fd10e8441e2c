//! A server and two clients in one thread, over pipes in memory, without any socket. Another event loop, a
//! transport of your own, a simulation or a test embeds both sides of the protocol in the same way.
//!
//! Each pipe moves seven bytes at a time, so most messages come in pieces.

use std::collections::VecDeque;
use std::time::Instant;

use chatproto::connection::{ConnectionConfig, ConnectionState, Context};
use chatproto::hub::{ConnId, Hub, Now, Output};
use chatproto::{ClientError, ServerConnection, Session, SessionEvent, UserName};

/// Bytes that a pipe moves at a time.
const PIECE: usize = 7;

/// A client, the server's side of its connection, and the bytes on their way.
struct Pair {
    client: Session,
    to_server: VecDeque<u8>,
    server: ServerConnection,
    to_client: VecDeque<u8>,
}

struct Chat {
    hub: Hub,
    config: ConnectionConfig,
    out: Output,
    pairs: Vec<Pair>,
}

fn main() -> Result<(), ClientError> {
    let hub = Hub::builder().build();
    let config = ConnectionConfig::default();
    let mut chat = Chat { hub, config, out: Output::new(), pairs: Vec::new() };
    let alice = chat.connect("alice");
    let bob = chat.connect("bob");
    chat.run();
    chat.pairs[alice].client.send("bob", "hello")?;
    chat.pairs[bob].client.send("/list", "")?;
    chat.run();
    chat.leave(alice);
    chat.pairs[bob].client.send("/list", "")?;
    chat.run();
    Ok(())
}

impl Chat {
    fn connect(&mut self, name: &str) -> usize {
        let now = Now::system();
        let id = self.hub.handle_connect(0, [127, 0, 0, 1].into(), now, &mut self.out);
        self.pairs.push(Pair {
            client: Session::new(UserName::new(name).expect("a valid name"), "127.0.0.1"),
            to_server: VecDeque::new(),
            server: ServerConnection::new(id, now.monotonic, &self.config),
            to_client: VecDeque::new(),
        });
        self.deliver();
        self.pairs.len() - 1
    }

    /// Moves bytes until all pipes are empty and nobody has anything to say.
    fn run(&mut self) {
        while self.pairs.iter().any(|pair| pair.server.state() != ConnectionState::Closed) {
            let mut is_idle = true;
            for index in 0..self.pairs.len() {
                is_idle &= !self.step(index);
                self.deliver();
            }
            if is_idle {
                return;
            }
        }
    }

    /// The client closes its side.
    fn leave(&mut self, index: usize) {
        let (hub, config, out) = (&mut self.hub, &self.config, &mut self.out);
        let mut cx = Context { hub, now: Now::system(), config, out };
        self.pairs[index].server.handle_end(&mut cx);
        self.deliver();
        self.run();
    }

    /// One step of a client and of its connection. Whether something moved.
    fn step(&mut self, index: usize) -> bool {
        let now = Now::system();
        let Pair { client, to_server, server, to_client } = &mut self.pairs[index];
        let (hub, config, out) = (&mut self.hub, &self.config, &mut self.out);
        let mut cx = Context { hub, now, config, out };

        let bytes = client.poll_transmit(now.monotonic).to_vec();
        to_server.extend(&bytes);
        client.handle_transmitted(bytes.len(), now.monotonic);
        let mut input = Vec::new();
        if server.wants_input() {
            input = take_piece(to_server);
            server.handle_input(&input, &mut cx);
        }
        if server.poll_timeout(cx.hub, now.monotonic).is_some_and(|at| at <= now.monotonic) {
            server.handle_timeout(&mut cx);
        }
        if server.state() == ConnectionState::ShutDown {
            // the client closes too when it has read to the end
            server.handle_end(&mut cx);
        }
        if let Some(bytes) = server.poll_transmit(PIECE, &mut cx) {
            to_client.extend(bytes);
        }
        let output = take_piece(to_client);
        client.handle_input(&output, now.monotonic);
        while let Some(event) = client.poll_event() {
            show(client.name(), &event);
        }
        !(bytes.is_empty() && input.is_empty() && output.is_empty())
    }

    /// Hands what the hub decided to the connections, in its order.
    fn deliver(&mut self) {
        let now = Instant::now();
        let deliveries = self.out.take_deliveries(&self.config);
        for (id, delivery) in deliveries.iter() {
            if let Some(pair) = self.pair(id) {
                self.pairs[pair].server.handle_delivery(delivery, now, &self.config);
            }
        }
    }

    fn pair(&self, id: ConnId) -> Option<usize> {
        self.pairs.iter().position(|pair| pair.server.id() == id)
    }
}

fn take_piece(pipe: &mut VecDeque<u8>) -> Vec<u8> {
    pipe.drain(..PIECE.min(pipe.len())).collect()
}

fn show(client: &UserName, event: &SessionEvent) {
    match event {
        SessionEvent::Registered(message) | SessionEvent::Message(message) => {
            println!("{client} reads from {}: {}", message.from.name, message.msg);
        }
        event => println!("{client}: {event:?}"),
    }
}
