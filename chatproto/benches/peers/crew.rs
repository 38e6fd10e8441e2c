//! The connections of a run: who they are, and what each of them says.

use mio::Registry;

use crate::connection::Connection;
use crate::process::Running;
use crate::protocol::{Role, To, chat_message};
use crate::servers::Kind;
use crate::transport::Transport;
use crate::work::{Flow, Load};

#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) connections: Vec<Connection>,
    /// Those that take part in the flow by speaking.
    pub(crate) speakers: Vec<usize>,
    /// Receivers of one message of the flow.
    pub(crate) receivers: u64,
    /// Who speaks aside.
    pub(crate) aside: Option<Interjector>,
    /// So many of the last connections never read.
    stalled: usize,
    transport: Transport,
}

/// The last connection, if it speaks beside the flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interjector {
    pub(crate) speaker: usize,
    pub(crate) per_second: u32,
    /// Receivers that read one message of it.
    pub(crate) receivers: u64,
}

impl Crew {
    /// Opens the connections of a load, one after the other.
    pub(crate) fn open(load: &Load, kind: Kind, server: &Running) -> Result<Self, String> {
        let (connections, speakers) = (Vec::new(), Vec::new());
        let (transport, receivers) = (load.transport, 1);
        let mut crew =
            Crew { connections, speakers, receivers, aside: None, stalled: 0, transport };
        match load.flow {
            Flow::Fanout { receivers, .. } => {
                crew.receivers = receivers as u64;
                crew.add(kind, server, Role::Speaker, To::Everybody, load.payload)?;
                for _ in 0..receivers {
                    crew.add(kind, server, Role::Listener, To::Everybody, load.payload)?;
                }
            }
            flow => {
                for user in 0..flow.connections() {
                    let role = match user % 2 {
                        _ if matches!(flow, Flow::Idle { .. }) => Role::Listener,
                        _ if kind.speaks_both_ways() => Role::Both,
                        0 => Role::Speaker,
                        _ => Role::Listener,
                    };
                    crew.add(kind, server, role, To::User(user ^ 1), load.payload)?;
                }
            }
        }
        if let Some(aside) = load.aside {
            let in_flow = crew.connections.len();
            // they only listen, but for the last one
            for _ in 0..=aside.users {
                crew.add(kind, server, Role::Listener, To::Everybody, 0)?;
            }
            let speaker = in_flow + aside.users;
            let message = chat_message(speaker, aside.command, aside.payload);
            let message = message.in_frame(|length| load.transport.header(length));
            crew.connections[speaker].message = Some(message);
            crew.stalled = if aside.are_stalled { aside.users } else { 0 };
            let hear = if aside.command == "/shout" { speaker - crew.stalled } else { 0 };
            let (per_second, receivers) = (aside.per_second, hear as u64);
            crew.aside = Some(Interjector { speaker, per_second, receivers });
        }
        Ok(crew)
    }

    /// Adds the connection of the next user, who speaks to `to` if it speaks.
    fn add(
        &mut self,
        kind: Kind,
        server: &Running,
        role: Role,
        to: To,
        payload: usize,
    ) -> Result<(), String> {
        let user = self.connections.len();
        let everybody = matches!(to, To::Everybody);
        let speaks = (kind, self.transport);
        let mut connection = Connection::open(speaks, server.address, (user, role, everybody))?;
        if role != Role::Listener {
            let message = kind.message(user, to, payload);
            connection.message = Some(message.in_frame(|length| self.transport.header(length)));
            self.speakers.push(user);
        }
        self.connections.push(connection);
        Ok(())
    }

    /// Has the poll wait for all that read.
    pub(crate) fn register(&mut self, registry: &Registry) -> Result<(), String> {
        let last = self.aside.map_or(self.connections.len(), |aside| aside.speaker);
        for (at, connection) in self.connections.iter_mut().enumerate() {
            if (last - self.stalled..last).contains(&at) {
                connection.shrink()?;
            } else {
                connection.register(registry, at)?;
            }
        }
        Ok(())
    }
}
