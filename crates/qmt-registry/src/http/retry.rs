//! When a request is made again, and after which pause.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use http::{HeaderMap, header};
use tokio::time::Instant;

use crate::error::{Phase, RegistryError};
use crate::events::{Events, RegistryEvent};
use crate::limits::{ABSENT_TRIES_MAX, Limits};
use crate::redact::RedactedUrl;

/// The pauses are shorter by this factor where nobody is there.
const ABSENT_HASTE: u32 = 4;

/// A try that failed, and when the server wants the next one.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: RegistryError,
    pub(crate) retry_after: Option<Duration>,
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self {
            error,
            retry_after: None,
        }
    }
}

/// Counts the tries of one request and paces them.
pub(crate) struct Attempts {
    made: usize,
    tries: usize,
    wait_max: Duration,
    backoff: ExponentialBackoff,
    deadline: Instant,
    /// Whether the other side has shown itself: who was there a moment ago is coming back.
    met: bool,
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
            // Without jitter, clients that failed together would come back together.
            .with_jitter()
            .with_jitter_seed(seed)
            .build();
        let (tries, wait_max) = (limits.tries, limits.retry_wait_max);
        Self {
            made: 0,
            tries,
            wait_max,
            backoff,
            deadline,
            met: false,
        }
    }

    /// Counts the tries of another request within the same time.
    pub(crate) fn another(&self, limits: &Limits) -> Self {
        Self::new(limits, self.deadline)
    }

    /// Starts over: the last try got somewhere.
    pub(crate) fn progress(&mut self) {
        self.made = 0;
        self.met = true;
    }

    /// Starts over with somebody else.
    pub(crate) fn next_source(&mut self) {
        self.made = 0;
        self.met = false;
    }

    /// Waits until it is time for another try.
    ///
    /// # Errors
    ///
    /// The failure's own error where another try can't help, where there were enough, where the
    /// server asks for a longer pause than is granted, or where the pause would pass the deadline.
    pub(crate) async fn pause(
        &mut self,
        failure: Failure,
        url: &RedactedUrl,
        events: &Events,
    ) -> Result<(), RegistryError> {
        let Failure { error, retry_after } = failure;
        self.made = self.made.saturating_add(1);
        // Nobody is there: a person who mistyped a port should not wait for long.
        let absent = !self.met && is_absence(&error);
        self.met |= !absent;
        let tries = if absent {
            self.tries.min(ABSENT_TRIES_MAX)
        } else {
            self.tries
        };
        if !error.is_retryable() || self.made >= tries {
            return Err(error);
        }
        let own = self.backoff.next().unwrap_or(self.wait_max);
        let own = if absent { own / ABSENT_HASTE } else { own };
        let wait = match retry_after {
            Some(asked) if asked > self.wait_max => return Err(error),
            // Some jitter on top, for all who were told the same.
            Some(asked) => asked.saturating_add(own / 4).min(self.wait_max.max(asked)),
            None => own.min(self.wait_max),
        };
        if Instant::now() + wait >= self.deadline {
            return Err(error);
        }
        events.send(RegistryEvent::Retry {
            url: url.clone(),
            attempt: self.made,
            wait,
            asked_for: retry_after.is_some(),
            reason: error.to_string(),
        });
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// Whether nobody was met: nobody listens there, or nobody accepts a connection in time.
fn is_absence(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Unreachable { .. }
            | RegistryError::Timeout {
                phase: Phase::Connect,
                ..
            }
    )
}

/// Reads `Retry-After`: seconds, or a date. A date in the past is no pause at all; what is neither
/// (a negative number, say) is ignored.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number too large for the type is larger than every limit.
        return Some(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::HeaderValue;

    use super::*;
    use crate::error::ServerText;

    fn url() -> RedactedUrl {
        RedactedUrl::from_text("https://r.example/v2/")
    }

    fn status(status: u16) -> RegistryError {
        RegistryError::Status {
            url: url(),
            status,
            said: ServerText::default(),
        }
    }

    /// Runs a request that fails with `failures` in turn and then succeeds; gives the number of
    /// tries, the pauses, and whether it succeeded.
    async fn run(
        seed: u64,
        failures: Vec<(u16, Option<Duration>)>,
    ) -> (usize, Vec<Duration>, bool) {
        let waits = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&waits);
        let events = Events::new(Some(Arc::new(move |event| {
            if let RegistryEvent::Retry { wait, .. } = event {
                sink.lock().unwrap().push(wait);
            }
        })));
        let limits = Limits::default();
        let mut attempts = Attempts::seeded(&limits, Instant::now() + limits.total_timeout, seed);
        let mut tries = 0;
        let mut failures = failures.into_iter();
        let succeeded = loop {
            tries += 1;
            let Some((code, retry_after)) = failures.next() else {
                break true;
            };
            let failure = Failure {
                error: status(code),
                retry_after,
            };
            if attempts.pause(failure, &url(), &events).await.is_err() {
                break false;
            }
        };
        let waits = waits.lock().unwrap().clone();
        (tries, waits, succeeded)
    }

    /// F8 (short form): 1,000 seeded storms on a paused clock: never more than 5 tries, never a pause beyond
    /// 60 s, no second try for what is final.
    #[tokio::test(start_paused = true)]
    async fn storms_are_weathered_within_bounds() {
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = move |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        for seed in 0..1_000 {
            let codes = [429, 500, 502, 503, 504, 408, 400, 403, 404];
            let failures: Vec<_> = (0..next(9))
                .map(|_| {
                    let code = codes[usize::try_from(next(codes.len() as u64)).unwrap()];
                    let asked = (next(3) == 0).then(|| Duration::from_secs(next(90)));
                    (code, asked)
                })
                .collect();
            let final_at = failures
                .iter()
                .position(|(code, _)| (400..=404).contains(code));
            let (tries, waits, succeeded) = run(seed, failures.clone()).await;
            assert!(tries <= 5, "{failures:?}");
            assert_eq!(waits.len() + 1, tries);
            assert!(
                waits.iter().all(|wait| *wait <= Duration::from_mins(1)),
                "{waits:?}"
            );
            for (wait, (_, asked)) in waits.iter().zip(&failures) {
                assert!(
                    asked.is_none_or(|asked| *wait >= asked),
                    "{failures:?} {waits:?}"
                );
            }
            if let Some(last) = final_at {
                assert!(tries <= last + 1, "{failures:?}");
                assert!(!succeeded);
            }
        }
    }

    /// F8: 64 clients that fail together do not come back together.
    #[tokio::test(start_paused = true)]
    async fn there_is_no_thundering_herd() {
        let mut first = Vec::new();
        for seed in 0..64 {
            first.push(run(seed, vec![(503, None)]).await.1[0]);
        }
        first.sort_unstable();
        first.dedup();
        assert!(first.len() > 60, "{first:?}");
        let spread = first.last().unwrap().abs_diff(first[0]);
        assert!(spread > Duration::from_millis(300), "{spread:?}");
    }

    fn absent() -> Failure {
        Failure::from(RegistryError::Unreachable {
            address: "r.example:443".to_owned(),
            retryable: true,
            fault: "refused",
            source: "refused".into(),
        })
    }

    /// Where nobody listens, three tries in about a second are all; who was there once gets the
    /// time that a restart takes.
    #[tokio::test(start_paused = true)]
    async fn who_is_not_there_is_given_up_soon() {
        let limits = Limits::default();
        let events = Events::default();
        for (met, expected) in [(false, ABSENT_TRIES_MAX), (true, limits.tries)] {
            for seed in 0..100 {
                let start = Instant::now();
                let mut attempts = Attempts::seeded(&limits, start + limits.total_timeout, seed);
                if met {
                    attempts.progress();
                }
                let mut tries = 1;
                while attempts.pause(absent(), &url(), &events).await.is_ok() {
                    tries += 1;
                }
                assert_eq!(tries, expected);
                assert!(met || start.elapsed() <= Duration::from_millis(1_250));
            }
        }
    }

    /// LIM-09: a pause of 60 s is granted, one of 61 s is not.
    #[tokio::test(start_paused = true)]
    async fn a_pause_that_is_too_long_is_not_waited_for() {
        let fits = Some(Duration::from_mins(1));
        assert_eq!(run(1, vec![(429, fits)]).await.1, [Duration::from_mins(1)]);
        let too_long = Some(Duration::from_secs(61));
        assert_eq!(run(1, vec![(429, too_long)]).await, (1, vec![], false));
        assert_eq!(run(1, vec![(429, Some(Duration::MAX))]).await.0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn no_pause_goes_past_the_deadline() {
        let limits = Limits::default();
        let mut attempts =
            Attempts::seeded(&limits, Instant::now() + Duration::from_millis(400), 1);
        let refused = attempts
            .pause(status(503).into(), &url(), &Events::default())
            .await;
        assert!(refused.is_err());
    }

    /// F8: both forms of `Retry-After`, and what is neither.
    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(read("17"), Some(Duration::from_secs(17)));
        assert_eq!(read("99999999999999999999999"), Some(Duration::MAX));
        assert_eq!(
            read("Sun, 09 Sep 2001 01:46:50 GMT"),
            Some(Duration::from_secs(10))
        );
        assert_eq!(read("Sun, 09 Sep 2001 01:46:30 GMT"), Some(Duration::ZERO));
        assert_eq!(read("-5"), None);
        assert_eq!(read("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
