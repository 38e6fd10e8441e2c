//! How long to wait before the next attempt to connect: longer each time, and never in step with
//! other clients that lost the same server.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// The delays of one series of attempts: 0.5 s, doubling to 30 s, each give or take a half.
#[derive(Debug)]
pub(super) struct Backoff {
    base: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Backoff { base: FIRST }
    }

    /// The next delay.
    pub(super) fn next(&mut self) -> Duration {
        let delay = self.base.mul_f64(0.5 + fastrand::f64());
        self.base = (self.base * 2).min(LONGEST);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit_and_vary() {
        for seed in 0..100 {
            fastrand::seed(seed);
            let mut backoff = Backoff::new();
            for base in [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
                let delay = backoff.next().as_secs_f64();
                assert!((base * 0.5..base * 1.5).contains(&delay), "{delay} around {base}");
            }
        }
    }
}
