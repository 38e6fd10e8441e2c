//! The network: byte streams between the clients and the server, with bounded buffers, resets that
//! destroy what was not read, and readiness that is told once, at the edge.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::super::stream::Readiness;
use super::check::micros;
use super::setup::{CROWD, LINGER};
use super::trace::Trace;

/// One of so many system calls is interrupted.
const INTERRUPTED: u32 = 64;

pub(super) struct Network {
    pub(super) wires: Vec<Wire>,
    /// How many sockets the server has.
    pub(super) open: usize,
    /// Whose client has something new to look at: bytes, an end.
    pub(super) touched: Vec<usize>,
    /// Whose readiness no event loop has taken yet.
    pub(super) ready: Vec<usize>,
    pub(super) trace: Trace,
    /// How long the server goes on writing to one who sends nothing more.
    drain: u64,
    rng: fastrand::Rng,
}

/// What a connection is like.
#[derive(Clone, Copy, Default)]
pub(super) struct Nature {
    pub(super) lane: usize,
    /// How many bytes may be under way to the client, or wait there to be read.
    pub(super) room: usize,
    /// The server spaces what it writes.
    pub(super) is_paced: bool,
}

/// One connection.
#[derive(Default)]
pub(super) struct Wire {
    pub(super) nature: Nature,
    /// The token under which the server has registered its socket.
    pub(super) slot: Option<usize>,
    readiness: Readiness,
    incoming: VecDeque<u8>,
    /// The client sends nothing more.
    fin: bool,
    fin_read_at: u64,
    /// The client is gone, and so is what was under way to it.
    reset: bool,
    pub(super) outgoing: VecDeque<u8>,
    /// A write was refused: the next room is told.
    refused: bool,
    /// The server writes nothing more.
    pub(super) ended: bool,
    /// The server's socket is closed.
    pub(super) closed: bool,
    /// The server's socket was closed before it had read everything, so that what the client had
    /// not read is lost.
    pub(super) broken: bool,
    /// When the server wrote, and how much was written by then.
    pub(super) writes: Vec<(u64, usize)>,
    pub(super) was_refused: bool,
    /// The server may have had more to say, and gave up.
    pub(super) cut: bool,
    /// When the server ended its half.
    ended_at: u64,
    /// After that, and before the client had its time, the server's socket was closed with unread
    /// bytes, which may destroy the last words.
    pub(super) was_hasty: bool,
}

impl Network {
    pub(super) fn new(seed: u64, drain: Duration, trace: Trace) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        let (wires, touched, ready) = Default::default();
        Network { wires, open: 0, touched, ready, trace, drain: micros(drain), rng }
    }

    /// Adds a connection.
    pub(super) fn connect(&mut self, nature: Nature) -> usize {
        self.wires.push(Wire { nature, ..Wire::default() });
        self.wires.len() - 1
    }

    /// Bytes of the client's arrive.
    pub(super) fn arrive(&mut self, id: usize, bytes: &[u8]) {
        self.trace.note("arrive", id, bytes);
        let wire = &mut self.wires[id];
        if wire.closed {
            return self.break_off(id);
        }
        wire.incoming.extend(bytes);
        self.become_ready(id, Readiness { readable: true, ..Readiness::default() });
    }

    /// The client will send nothing more.
    pub(super) fn end(&mut self, id: usize) {
        self.trace.note("end", id, &[]);
        self.wires[id].fin = true;
        let readiness = Readiness { readable: true, read_closed: true, ..Readiness::default() };
        self.become_ready(id, readiness);
    }

    /// The client is gone. The server can read the bytes from before on some systems. On others they
    /// are lost.
    pub(super) fn reset(&mut self, id: usize) {
        self.trace.note("reset", id, &[]);
        let is_lost = self.rng.bool();
        let wire = &mut self.wires[id];
        wire.reset = true;
        if is_lost {
            wire.incoming.clear();
        }
        wire.outgoing.clear();
        let readiness =
            Readiness { readable: true, writable: true, read_closed: true, error: true };
        self.become_ready(id, readiness);
    }

    /// The client reads; returns how much.
    pub(super) fn read(&mut self, id: usize, buffer: &mut [u8]) -> usize {
        let wire = &mut self.wires[id];
        let length = wire.outgoing.read(buffer).expect("memory can be read");
        // as systems do, not for every byte
        if wire.refused && wire.outgoing.len() <= wire.nature.room * 2 / 3 {
            wire.refused = false;
            self.become_ready(id, Readiness { writable: true, ..Readiness::default() });
        }
        self.trace.note("heard", id, &buffer[..length]);
        length
    }

    /// How many bytes the server has not read yet.
    pub(super) fn unread(&self, id: usize) -> usize {
        self.wires[id].incoming.len()
    }

    fn become_ready(&mut self, id: usize, new: Readiness) {
        let wire = &mut self.wires[id];
        if wire.slot.is_none() {
            return;
        }
        let old = &mut wire.readiness;
        if *old == Readiness::default() {
            self.ready.push(id);
        }
        old.readable |= new.readable;
        old.writable |= new.writable;
        old.read_closed |= new.read_closed;
        old.error |= new.error;
    }

    /// Takes what an event loop would be told now.
    pub(super) fn take_readiness(&mut self, lane: usize) -> Vec<(usize, Readiness)> {
        let Network { wires, ready, .. } = self;
        let mut taken = Vec::new();
        ready.retain(|&id| {
            let wire = &mut wires[id];
            if wire.nature.lane == lane {
                let readiness = std::mem::take(&mut wire.readiness);
                taken.extend(wire.slot.map(|slot| (slot, readiness)));
            }
            wire.nature.lane != lane
        });
        taken
    }

    /// Bytes came for a socket that is closed.
    fn break_off(&mut self, id: usize) {
        let wire = &mut self.wires[id];
        wire.broken = true;
        wire.outgoing.clear();
        self.touched.push(id);
    }
}

/// The server's end of a connection.
pub(in crate::reactor) struct Socket {
    network: Arc<Mutex<Network>>,
    id: usize,
}

impl Socket {
    pub(super) fn new(network: &Arc<Mutex<Network>>, id: usize) -> Self {
        network.lock().expect("the simulation has one thread").open += 1;
        Socket { network: Arc::clone(network), id }
    }

    fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().expect("the simulation has one thread")
    }

    pub(super) fn is_refusing(&self) -> bool {
        let network = self.network();
        let wire = &network.wires[self.id];
        wire.refused || wire.readiness.writable
    }

    pub(super) fn unread(&self) -> usize {
        self.network().unread(self.id)
    }

    /// What is true of it already is told at once.
    pub(in crate::reactor) fn register(&mut self, slot: usize) {
        let mut network = self.network();
        let wire = &mut network.wires[self.id];
        wire.slot = Some(slot);
        let gone = wire.reset || wire.fin;
        let readiness = Readiness {
            readable: gone || !wire.incoming.is_empty(),
            writable: true,
            read_closed: gone,
            error: wire.reset,
        };
        network.become_ready(self.id, readiness);
    }

    pub(in crate::reactor) fn shut_down_writing(&self) -> io::Result<()> {
        let mut network = self.network();
        network.trace.note("shut down", self.id, &[]);
        network.touched.push(self.id);
        let now = network.trace.now;
        let wire = &mut network.wires[self.id];
        if wire.reset {
            return Err(ErrorKind::NotConnected.into());
        }
        wire.ended = true;
        wire.ended_at = now;
        Ok(())
    }

    pub(in crate::reactor) fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut network = self.network();
        if network.rng.u32(..INTERRUPTED) == 0 {
            return Err(ErrorKind::Interrupted.into());
        }
        let wire = &mut network.wires[self.id];
        if wire.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if wire.incoming.is_empty() && !wire.fin {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.incoming.make_contiguous().as_ref().read(buffer)
    }

    pub(in crate::reactor) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut network = self.network();
        if network.rng.u32(..INTERRUPTED) == 0 {
            return Err(ErrorKind::Interrupted.into());
        }
        let now = network.trace.now;
        let wire = &mut network.wires[self.id];
        if wire.reset && wire.incoming.is_empty() {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if wire.incoming.is_empty() && !wire.fin {
            return Err(ErrorKind::WouldBlock.into());
        }
        // as systems do, all that is there or as much as there is room for
        let length = wire.incoming.make_contiguous().as_ref().read(buffer)?;
        wire.incoming.drain(..length);
        if length == 0 {
            wire.fin_read_at = now;
        }
        network.trace.note("read", self.id, &buffer[..length]);
        Ok(length)
    }

    pub(in crate::reactor) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    pub(in crate::reactor) fn write_vectored(
        &mut self,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let mut network = self.network();
        if network.rng.u32(..INTERRUPTED) == 0 {
            return Err(ErrorKind::Interrupted.into());
        }
        let now = network.trace.now;
        let wire = &mut network.wires[self.id];
        assert!(!wire.ended, "connection {}: a write after the end", self.id);
        if wire.reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let free = wire.nature.room - wire.outgoing.len();
        if free == 0 {
            (wire.refused, wire.was_refused) = (true, true);
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut taken = 0;
        for slice in slices {
            let part = &slice[..slice.len().min(free - taken)];
            wire.outgoing.write_all(part)?;
            taken += part.len();
        }
        assert!(taken > 0, "connection {}: an empty write", self.id);
        let before = wire.writes.last().map_or(0, |&(_, total)| total);
        wire.writes.push((now, before + taken));
        network.trace.note("write", self.id, &taken.to_le_bytes());
        network.touched.push(self.id);
        Ok(taken)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // (a test that fails drops things in the midst of others)
        let Ok(mut network) = self.network.lock() else { return };
        network.trace.note("close", self.id, &[]);
        network.open -= 1;
        let (now, drain) = (network.trace.now, network.drain);
        let wire = &mut network.wires[self.id];
        let may_wait = wire.was_refused || wire.nature.is_paced;
        let last_write = wire.writes.last().map_or(0, |&(at, _)| at);
        let since = now - last_write.max(wire.fin_read_at);
        let is_in_time = now - wire.fin_read_at < drain;
        let is_prompt = !wire.refused && since <= micros(CROWD) && is_in_time;
        let is_answered = wire.fin && (!may_wait || is_prompt);
        wire.cut = !wire.ended && !is_answered;
        let had_time = now - wire.ended_at >= micros(LINGER);
        wire.was_hasty = wire.ended && !wire.incoming.is_empty() && !had_time;
        (wire.ended, wire.closed, wire.slot) = (true, true, None);
        if wire.incoming.is_empty() {
            network.touched.push(self.id);
        } else {
            network.break_off(self.id);
        }
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Socket({})", self.id)
    }
}
