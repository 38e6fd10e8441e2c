//! Calls of the application to the hub, outside of the event loops.

use std::sync::Arc;

use crate::host::Host;
use crate::hub::{Hub, Now, Output};

use super::Shared;
use super::write::post;

impl Shared {
    /// Has the application do something to the hub, and hands out what comes of it, as a loop does with a
    /// batch.
    pub(crate) fn control<T>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Hub, Now, &mut Output) -> T,
    ) -> T {
        let (mut out, now) = (Output::new(), Now::system());
        let mut hub = self.hub();
        let done = act(&mut hub, now, &mut out);
        self.end_batch(&mut hub, now, &mut out);
        self.feed.publish(&mut hub);
        post(self, &mut out, |_| true);
        self.note_due(&hub);
        drop(hub);
        while let Some(effect) = out.next_effect() {
            match self.decide(&effect) {
                Some((token, completion)) => self.complete(token, completion),
                None => self.carry_out(effect),
            }
        }
        for event in out.take_events() {
            self.observe(&event);
        }
        done
    }
}
