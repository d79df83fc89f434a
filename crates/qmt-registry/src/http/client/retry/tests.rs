//! Tests of retries.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, header};

use super::*;
use crate::http::transport::retry_after;

fn url() -> RedactedUrl {
    RedactedUrl::from_text("https://r.example/v2/")
}

fn status(status: u16) -> ClientError {
    ClientError::Status {
        from: None,
        url: url(),
        status,
        message: String::new(),
    }
}

/// Runs a request that fails with `failures` in turn and then succeeds; gives the number of
/// tries, the pauses, and whether it succeeded.
async fn run(seed: u64, failures: Vec<(u16, Option<Duration>)>) -> (usize, Vec<Duration>, bool) {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&waits);
    let events = Events(Some(Arc::new(move |event| {
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
        if attempts
            .pause(failure, (&Method::GET, &url()), &events)
            .await
            .is_err()
        {
            break false;
        }
    };
    let waits = waits.lock().unwrap().clone();
    (tries, waits, succeeded)
}

/// F8 (short form): 1,000 seeded series of failures on a paused clock: at most 5 attempts, pauses of at
/// most 60 s, no second attempt after a final error.
#[tokio::test(start_paused = true)]
async fn retries_stay_within_bounds() {
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

/// F8: 64 clients that fail together do not retry together.
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
    Failure::from(ClientError::Unreachable {
        address: "r.example:443".to_owned(),
        from: None,
        exempt: false,
        for_upload: false,
        for_content: false,
        for_login: false,
        retryable: true,
        reason: "refused",
        source: "refused".into(),
    })
}

/// Where no server can be reached, there are three attempts in about a second; a server that was
/// reached before gets the time that a restart takes.
#[tokio::test(start_paused = true)]
async fn an_absent_server_is_reported_soon() {
    let limits = Limits::default();
    let events = Events::default();
    for (was_reached, expected) in [(false, ABSENT_TRIES_MAX), (true, limits.tries)] {
        for seed in 0..100 {
            let start = Instant::now();
            let mut attempts = Attempts::seeded(&limits, start + limits.total_timeout, seed);
            if was_reached {
                attempts.progress();
            }
            let mut tries = 1;
            while attempts
                .pause(absent(), (&Method::GET, &url()), &events)
                .await
                .is_ok()
            {
                tries += 1;
            }
            assert_eq!(tries, expected);
            assert!(was_reached || start.elapsed() <= Duration::from_millis(1_250));
        }
    }
}

/// A warning counts the attempts of its own request, and an answer such as 404 is no failed attempt.
#[tokio::test(start_paused = true)]
async fn each_request_counts_its_own_attempts() {
    let numbers = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&numbers);
    let events = Events(Some(Arc::new(move |event| {
        if let RegistryEvent::Retry { attempt, .. } = event {
            sink.lock().unwrap().push(attempt);
        }
    })));
    let limits = Limits::default();
    let mut attempts = Attempts::seeded(&limits, Instant::now() + limits.total_timeout, 1);
    for (method, code) in [
        (Method::HEAD, 404),
        (Method::HEAD, 503),
        (Method::PUT, 500),
        (Method::HEAD, 404),
        (Method::PUT, 500),
        (Method::HEAD, 404),
        (Method::PUT, 500),
    ] {
        let failure = Failure::from(status(code));
        let paused = attempts.pause(failure, (&method, &url()), &events).await;
        assert_eq!(paused.is_ok(), code != 404, "{method} {code}");
    }
    assert_eq!(*numbers.lock().unwrap(), [1, 1, 2, 3]);
}

/// LIM-09: a pause of 60 s is waited, one of 61 s is not.
#[tokio::test(start_paused = true)]
async fn a_pause_beyond_the_limit_is_not_waited() {
    let fits = Some(Duration::from_mins(1));
    assert_eq!(run(1, vec![(429, fits)]).await.1, [Duration::from_mins(1)]);
    let too_long = Some(Duration::from_secs(61));
    assert_eq!(run(1, vec![(429, too_long)]).await, (1, vec![], false));
    assert_eq!(run(1, vec![(429, Some(Duration::MAX))]).await.0, 1);
}

#[tokio::test(start_paused = true)]
async fn no_pause_goes_past_the_deadline() {
    let limits = Limits::default();
    let mut attempts = Attempts::seeded(&limits, Instant::now() + Duration::from_millis(400), 1);
    let refused = attempts
        .pause(
            status(503).into(),
            (&Method::GET, &url()),
            &Events::default(),
        )
        .await;
    assert!(refused.is_err());
}

/// F8: both forms of `Retry-After`, and other texts.
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
