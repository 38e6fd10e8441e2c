//! What time it is for the event loops: that of this machine, or in a simulation the time that it
//! has got to.

use std::time::Instant;

use crate::hub::Now;

/// Both clocks.
pub(super) fn now() -> Now {
    #[cfg(test)]
    if let Some(now) = super::simulation::time() {
        return now;
    }
    Now::system()
}

/// The one for durations.
pub(super) fn instant() -> Instant {
    #[cfg(test)]
    if let Some(now) = super::simulation::time() {
        return now.monotonic;
    }
    Instant::now()
}
