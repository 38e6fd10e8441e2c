//! The hub's record of the history: the next number, and why no messages are stored at the moment.

use std::collections::BTreeMap;

use super::room::RoomId;

/// What the hub knows of the history.
#[derive(Debug)]
pub(super) struct Archive {
    epoch: Box<str>,
    next_id: u64,
    /// Why nothing is kept at the moment, and how often that has happened.
    failing: Option<Box<str>>,
    outages: u32,
    /// Rooms in which something was kept in this batch, with the last number.
    pub(super) fresh: BTreeMap<RoomId, u64>,
    /// How many users want to be told the numbers.
    pub(super) watchers: usize,
}

impl Archive {
    pub(super) fn new(epoch: &str, next_id: u64) -> Self {
        Archive {
            epoch: epoch.into(),
            next_id,
            failing: None,
            outages: 0,
            fresh: BTreeMap::new(),
            watchers: 0,
        }
    }

    pub(super) fn epoch(&self) -> &str {
        &self.epoch
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// The last number that was given.
    pub(super) fn last_id(&self) -> u64 {
        self.next_id - 1
    }

    pub(super) fn set_failing(&mut self, reason: Option<&str>) {
        if self.failing.is_none() && reason.is_some() {
            self.outages += 1;
        }
        self.failing = reason.map(Into::into);
    }

    /// Which outage it is and why, if nothing is kept at the moment.
    pub(super) fn outage(&self) -> Option<(u32, &str)> {
        Some((self.outages, self.failing.as_deref()?))
    }
}

/// Numbers as ranges: `3-5,8`.
pub(super) fn ranges(ids: impl IntoIterator<Item = u64>) -> String {
    let (mut text, mut open) = (String::new(), None::<(u64, u64)>);
    let mut close = |(first, last): (u64, u64)| {
        let comma = if text.is_empty() { "" } else { "," };
        text.push_str(&match first == last {
            true => format!("{comma}{first}"),
            false => format!("{comma}{first}-{last}"),
        });
    };
    for id in ids {
        match &mut open {
            Some((_, last)) if *last + 1 == id => *last = id,
            open => {
                if let Some(range) = open.replace((id, id)) {
                    close(range);
                }
            }
        }
    }
    if let Some(range) = open {
        close(range);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_as_ranges() {
        for (ids, text) in
            [(&[][..], ""), (&[7], "7"), (&[7, 8], "7-8"), (&[1, 2, 3, 5, 7, 8], "1-3,5,7-8")]
        {
            assert_eq!(ranges(ids.iter().copied()), text);
        }
    }

    #[test]
    fn an_outage_counts_once_however_often_its_reason_changes() {
        let mut archive = Archive::new("e", 1);
        assert_eq!(archive.outage(), None);
        archive.set_failing(Some("full"));
        archive.set_failing(Some("very full"));
        assert_eq!(archive.outage(), Some((1, "very full")));
        archive.set_failing(None);
        archive.set_failing(Some("full"));
        assert_eq!(archive.outage(), Some((2, "full")));
    }
}
