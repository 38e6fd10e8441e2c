//! What one audience, a room or everybody, was told of comings and goings, and has yet to be told:
//! each change at once, to at most a hundred members and at most ten in a second, and counted
//! otherwise.

use super::super::texts::{Change, Counts};

#[derive(Clone, Debug, Default)]
pub(crate) struct Presence {
    /// When the second began whose notices are counted in `told`.
    second: Option<u64>,
    told: u32,
    pending: Option<(u64, Counts)>,
}

impl Presence {
    /// Whether a change in an audience of so many is told at once. If not it is counted, and one of
    /// `names` may be told with the count.
    pub(crate) fn is_told_at_once(
        &mut self,
        change: Change,
        names: &[String],
        members: usize,
        now: u64,
    ) -> bool {
        if self.pending.is_none() {
            let is_over = self.second.is_none_or(|second| second + 1000 <= now);
            if members <= 100 && (is_over || self.told < 10) {
                if is_over {
                    (self.second, self.told) = (Some(now), 0);
                }
                self.told += 1;
                return true;
            }
            let due = match self.second {
                // a second's ten are out: the count comes when it is over
                Some(second) if !is_over && members <= 100 => second + 1000,
                // a crowd is told once a second, one of thousands once in as many milliseconds
                Some(second) => (second + 1000.max(members as u64)).max(now + 1000),
                None => now + 1000,
            };
            self.pending = Some((due, Counts::new()));
        }
        if let Some((_, counts)) = &mut self.pending {
            let (count, who) = counts.entry(change).or_default();
            *count += 1;
            who.extend_from_slice(names);
        }
        false
    }

    /// When the count is to be told.
    pub(crate) fn due(&self) -> Option<u64> {
        self.pending.as_ref().map(|(due, _)| *due)
    }

    /// The count, if its time has come. It is all that is told for a second.
    pub(crate) fn take(&mut self, now: u64) -> Option<Counts> {
        self.due().filter(|&due| due <= now)?;
        (self.second, self.told) = (Some(now), 10);
        self.pending.take().map(|(_, counts)| counts)
    }
}
