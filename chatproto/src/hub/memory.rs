//! The memory of the hub's tables, in one report.

use super::guesses::Guesses;
use super::usage::in_deque;
use super::users::Users;
use super::{Hub, Usage, Used};

impl Hub {
    /// The memory of the tables that peers can grow. This reads counters only, so it can be called
    /// often.
    pub fn usage(&self) -> Usage {
        let limits = &self.limits;
        let session = Users::most_of_session(limits);
        Usage {
            rooms: Used { bytes: self.rooms.bytes(), most: limits.rooms_total },
            sanctions: Used { bytes: self.sanctions.bytes(), most: limits.sanctions_total },
            guesses: Used { bytes: self.guesses.bytes(), most: Guesses::MOST_BYTES },
            effects: Used { bytes: self.waiting.bytes(), most: limits.effects_total },
            sessions: Used {
                bytes: self.users.connected().saturating_mul(session),
                most: limits.connections.saturating_mul(session),
            },
            visitors: Used {
                bytes: self.visitors.len() * in_deque::<Visit>(),
                most: self.most_visits() * in_deque::<Visit>(),
            },
            queues: Used { bytes: 0, most: limits.queue_total },
            input: Used { bytes: 0, most: limits.input_total },
        }
    }
}

type Visit = (std::time::Instant, super::ConnId);

#[cfg(any(test, fuzzing))]
impl Hub {
    /// Checks every counter against what is there.
    pub(crate) fn check_counters(&self) {
        self.rooms.check_counters();
        self.sanctions.check_counters();
        self.guesses.check_counters();
        self.check_claims();
        self.users.check_places();
        let all = || self.users.connections().filter_map(|conn| self.users.get(conn));
        let waiting = all().filter(|session| session.waits_for != 0);
        self.waiting.check_counters(
            waiting.map(|session| (session.address, session.effect_bytes as usize)),
        );
        self.pages.check_counter(|token| self.users.awaits(token));
        let answers = all().filter_map(super::session::Session::answer);
        let held: usize = answers.map(super::long_answer::LongAnswer::held).sum();
        assert_eq!(self.held, held);
        let visitors = all().filter(|session| session.phase == super::session::Phase::Visitor);
        assert_eq!(self.users.visitors(), visitors.count());
        let usage = self.usage();
        // (sessions of refused connections stay until these are closed, beyond the bound)
        for used in [usage.rooms, usage.guesses, usage.effects, usage.visitors] {
            assert!(used.bytes <= used.most, "{usage:?}");
        }
    }
}
