//! The pause before the next worker of a plugin whose workers failed.

use std::time::{Duration, Instant};

/// The pause after the first failure; each further one doubles it.
const FIRST: Duration = Duration::from_millis(10);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// Failures of a plugin's workers since its last call that succeeded.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: u32,
    until: Option<Instant>,
}

impl Health {
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(super) fn failed(&mut self) {
        self.until = Instant::now().checked_add(pause(self.failures));
        self.failures = self.failures.saturating_add(1);
    }

    /// Returns the number of failures, and when the next worker may start.
    pub(super) fn pause(&self) -> (u32, Option<Instant>) {
        (self.failures, self.until)
    }
}

fn pause(failures: u32) -> Duration {
    let times = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    FIRST.saturating_mul(times).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_end_with_a_success() {
        let pauses: Vec<u128> = (0..10).map(|count| pause(count).as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000]);
        assert_eq!(pause(u32::MAX), LONGEST);
        let mut health = Health::default();
        assert_eq!(health.pause(), (0, None));
        health.failed();
        health.failed();
        let (failures, until) = health.pause();
        assert_eq!(failures, 2);
        assert!(until.unwrap() <= Instant::now() + 2 * FIRST);
        health.succeeded();
        assert_eq!(health.pause(), (0, None));
    }
}
