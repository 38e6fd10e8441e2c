//! Deliveries: the objects that a batch of calls to the hub sends to connections. Each object is encoded
//! once, and the queues of all receivers share it.

use std::sync::Arc;
use std::time::Instant;

use crate::chunk::Chunk;
use crate::hub::{ConnId, Hub, LaneAction, Output};

use super::config::ConnectionConfig;
use super::state::ServerConnection;

/// The deliveries of a batch of calls to a [`Hub`](crate::hub::Hub), in the hub's order.
#[derive(Debug)]
pub struct Deliveries {
    chunk: Arc<Chunk>,
    aside_at: u32,
    lanes: Vec<Vec<LaneAction>>,
}

/// One thing that a connection is to do: queue an object, begin or end a long answer, or close. It is for
/// [`ServerConnection::handle_delivery`](super::ServerConnection::handle_delivery).
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    pub(crate) chunk: &'a Arc<Chunk>,
    pub(crate) aside_at: u32,
    pub(crate) action: LaneAction,
}

impl Deliveries {
    /// Each delivery, with its receiver. (With more than one lane: lane by lane, in order within each.)
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, Delivery<'_>)> {
        self.lanes.iter().enumerate().flat_map(move |(lane, actions)| {
            actions.iter().map(move |&action| {
                let delivery = Delivery { chunk: &self.chunk, aside_at: self.aside_at, action };
                (action.receiver(lane), delivery)
            })
        })
    }
}

impl ServerConnection {
    /// Queues what the hub sends to this connection. (A [`Delivery`] for another connection must not come
    /// here.)
    pub fn handle_delivery(
        &mut self,
        delivery: Delivery<'_>,
        now: Instant,
        config: &ConnectionConfig,
    ) {
        if let LaneAction::Close { .. } = delivery.action {
            self.close(now, config);
        } else {
            self.queue(delivery, config);
            self.drain_if_overflown(now, config);
        }
    }

    /// The same for everything but a close.
    #[inline]
    pub(crate) fn queue(&mut self, delivery: Delivery<'_>, config: &ConnectionConfig) {
        let Delivery { chunk, aside_at, action } = delivery;
        let (limits, policy) = (&config.limits, config.slow_reader);
        match action {
            LaneAction::Deliver { object, .. } | LaneAction::Broadcast { object, .. } => {
                self.outbox.push(chunk, object.bounds(aside_at), limits, policy);
            }
            LaneAction::Part { object, .. } => {
                self.outbox.push_part(chunk, object.bounds(aside_at), limits, policy);
            }
            LaneAction::Begin { held, .. } => {
                self.outbox.begin_answer(&config.queues);
                self.outbox.set_held(held as usize);
            }
            LaneAction::End { .. } => self.outbox.finish_answer(),
            LaneAction::Close { .. } => debug_assert!(false, "a close has a deadline"),
        }
    }

    /// The transport takes no more for now: what is queued has to stay, within its bounds.
    pub fn handle_blocked(&mut self, now: Instant, config: &ConnectionConfig) {
        self.outbox.handle_refused(&config.limits, config.slow_reader);
        self.drain_if_overflown(now, config);
    }

    /// The transport may take bytes again.
    pub fn handle_unblocked(&mut self) {
        self.outbox.handle_writable();
    }

    /// Puts in front of the queue how many messages the peer missed. Returns that number.
    pub(crate) fn insert_notice(&mut self, hub: &Hub, config: &ConnectionConfig) -> u64 {
        let missed = self.outbox.take_missed();
        let mut notice = Vec::new();
        hub.write_missed(self.id, missed, false, &mut notice);
        self.outbox.insert_notice(notice, &config.queues);
        missed
    }
}

impl Output {
    /// Takes what is to be delivered. Deliver it before the next batch: the order of the messages is that of
    /// the batches. Effects, records and events stay until they are taken.
    ///
    /// Take [`Output::records`] first: the objects leave the output here.
    pub fn take_deliveries(&mut self, config: &ConnectionConfig) -> Deliveries {
        let (log, aside_at) = self.take_log(config.queues.buffer());
        self.records.clear();
        let lanes = self.lanes.iter_mut().map(std::mem::take).collect();
        Deliveries { chunk: Arc::new(Chunk::new(log, &config.queues)), aside_at, lanes }
    }
}
