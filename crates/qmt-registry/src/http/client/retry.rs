//! When a request is sent again, and after which pause.

use std::hash::{BuildHasher, RandomState};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use http::Method;
use tokio::time::Instant;

use crate::error::{ClientError, Phase, text::error_with_cause};
use crate::events::{Events, RegistryEvent};
use crate::http::transport::Failure;
use crate::limits::{ABSENT_TRIES_MAX, Limits};
use crate::redact::RedactedUrl;

/// The pauses are divided by this where no server can be reached.
const ABSENT_DIVISOR: u32 = 4;

tokio::task_local! {
    /// When the caller gives the operations of this task up.
    static GIVEN_UP: Instant;
}

/// Lets the operations of `work` not pause beyond `end`, or an earlier time that a caller of this set,
/// so that they end with the error for which they would pause.
pub(crate) async fn until<T>(end: Instant, work: impl Future<Output = T>) -> T {
    let end = GIVEN_UP.try_with(|outer| end.min(*outer)).unwrap_or(end);
    GIVEN_UP.scope(end, work).await
}

/// Counts the attempts of one operation and paces them.
pub(crate) struct Attempts {
    made: usize,
    /// The method of the last request, and the attempts of this request alone.
    of_request: (Method, usize),
    limits: Limits,
    backoff: ExponentialBackoff,
    pub(super) deadline: Instant,
    /// Whether the server was reached before: then it is likely to come back.
    was_reached: bool,
}

impl Attempts {
    /// Starts counting. No pause goes beyond `deadline`.
    pub(crate) fn new(limits: &Limits, deadline: Instant) -> Self {
        let seed = RandomState::new().hash_one(0_u8);
        Self::seeded(limits, deadline, seed)
    }

    fn seeded(limits: &Limits, deadline: Instant, seed: u64) -> Self {
        let backoff = ExponentialBuilder::new()
            .with_min_delay(limits.retry_wait_min)
            .with_max_delay(limits.retry_wait_max)
            .with_factor(2.0)
            .without_max_times()
            // Without jitter, clients that failed together would retry together.
            .with_jitter()
            .with_jitter_seed(seed)
            .build();
        Self {
            made: 0,
            of_request: (Method::GET, 0),
            limits: limits.clone(),
            backoff,
            deadline,
            was_reached: false,
        }
    }

    /// Starts over, because the last attempt made progress.
    pub(crate) fn progress(&mut self) {
        self.made = 0;
        self.of_request.1 = 0;
        self.was_reached = true;
    }

    /// Waits until it is time for another attempt. Returns the failure's own error where another
    /// attempt can't help, where there were enough, or where the pause would be too long.
    pub(crate) async fn pause(
        &mut self,
        failure: Failure,
        (method, url): (&Method, &RedactedUrl),
        events: &Events,
    ) -> Result<(), ClientError> {
        let Failure { error, retry_after } = failure;
        // Whether no server was reached: a mistyped port should be reported soon.
        let is_absence = match error.at_server() {
            ClientError::Unreachable { .. } => true,
            ClientError::Timeout { phase, .. } => *phase == Phase::Connect,
            _ => false,
        };
        let absent = !self.was_reached && is_absence;
        self.was_reached |= !absent;
        // That something does not exist may be what the operation wants to know.
        if !error.is_retryable() {
            return Err(error);
        }
        self.made = self.made.saturating_add(1);
        if self.of_request.0 != *method {
            self.of_request = (method.clone(), 0);
        }
        self.of_request.1 = self.of_request.1.saturating_add(1);
        let (tries_max, divisor) = if absent {
            (ABSENT_TRIES_MAX, ABSENT_DIVISOR)
        } else {
            (usize::MAX, 1)
        };
        let (tries, wait_max) = (self.limits.tries.min(tries_max), self.limits.retry_wait_max);
        let is_final = error.is_silence() && !self.limits.retries_silence;
        if is_final || self.made >= tries {
            return Err(error);
        }
        let own = self.backoff.next().unwrap_or(wait_max) / divisor;
        let wait = match retry_after {
            Some(asked) if asked > wait_max => return Err(error),
            // With jitter, because other clients were asked for the same pause.
            Some(asked) => asked.saturating_add(own / 4).min(wait_max.max(asked)),
            None => own.min(wait_max),
        };
        let given_up = GIVEN_UP.try_with(|end| *end).unwrap_or(self.deadline);
        if Instant::now() + wait >= self.deadline.min(given_up) {
            return Err(error);
        }
        events.send(RegistryEvent::Retry {
            url: url.clone(),
            attempt: self.of_request.1,
            wait,
            asked_for: retry_after.is_some(),
            reason: error_with_cause(&error),
        });
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
