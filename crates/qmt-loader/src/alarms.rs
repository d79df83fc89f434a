//! Wakes calls at given times, and has running Wasm code look at its clock then.
//!
//! wasmtime compares an engine-wide counter, the epoch, at each loop and each function. One thread
//! advances it when an alarm is due, and not otherwise; every running call then checks its own
//! deadline. <https://docs.wasmtime.dev/examples-interrupting-wasm.html>
//!
//! Native calls have alarms of their own: tokio's time-outs require timers, which the runtime of
//! the host may not have.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use slab::Slab;

/// The time that a call may run on the thread of its caller before it moves to another one.
pub(crate) const SLICE: Duration = Duration::from_millis(1);
/// How many slices the thread stays ready after the last alarm, so that a series of short calls
/// does not wake it for each one.
const IDLE_SLICES: u32 = 20;

/// The longest time between two repetitions of an alarm.
const REPEAT_MAX: Duration = Duration::from_millis(64);

#[derive(Debug)]
struct Due {
    at: Instant,
    waker: Arc<AtomicWaker>,
    /// The time until it is repeated.
    repeat: Duration,
}

#[derive(Debug, Default)]
struct Pending {
    /// In no order: calls set and drop alarms all the time, and few of them ever go off.
    due: Slab<Due>,
    /// When the thread wakes up by itself; `None` while it waits for the first alarm.
    wakes: Option<Instant>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    earlier: Condvar,
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The alarms of one engine, or of all native plugins; they live as long as the process.
#[derive(Debug)]
pub(crate) struct Alarms {
    shared: Arc<Shared>,
}

impl Alarms {
    /// Starts the thread `name`, which calls `advance` at its start and with each alarm that goes off.
    pub(crate) fn start(name: &str, advance: impl Fn() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let alarms = Self {
            shared: Arc::clone(&shared),
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&shared, &advance))?;
        Ok(alarms)
    }

    /// Awaits `work` until `deadline`; `None` if it is not done then.
    pub(crate) async fn until<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let waker = Arc::new(AtomicWaker::new());
        let _alarm = self.set(deadline, &waker);
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(value) = work.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            waker.register(context.waker());
            if Instant::now() >= deadline {
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await
    }

    /// Wakes `waker` and advances the epoch at `at`, and then again and again until the alarm is
    /// dropped: code that looks at its clock just before an alarm misses the epoch of that alarm.
    pub(crate) fn set(&self, at: Instant, waker: &Arc<AtomicWaker>) -> Alarm<'_> {
        let mut pending = self.shared.pending();
        let key = pending.due.insert(Due {
            at,
            waker: Arc::clone(waker),
            repeat: SLICE,
        });
        if pending.wakes.is_none_or(|wakes| at < wakes) {
            pending.wakes = Some(at);
            self.shared.earlier.notify_one();
        }
        drop(pending);
        Alarm { alarms: self, key }
    }

    /// Lets the alarms of `waker` go off now.
    #[cfg(feature = "wasm")]
    pub(crate) fn hurry(&self, waker: &Arc<AtomicWaker>) {
        let mut pending = self.shared.pending();
        let now = Instant::now();
        for (_, due) in &mut pending.due {
            if Arc::ptr_eq(&due.waker, waker) {
                (due.at, due.repeat) = (now, SLICE);
            }
        }
        pending.wakes = Some(now);
        self.shared.earlier.notify_one();
    }
}

/// Returns when `timeout` is over, if it begins now.
pub(crate) fn deadline(timeout: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(30 * 365 * 24);
    let now = Instant::now();
    now.checked_add(timeout.min(FAR)).unwrap_or(now)
}

/// An alarm that is set.
#[derive(Debug)]
pub(crate) struct Alarm<'a> {
    alarms: &'a Alarms,
    key: usize,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.alarms.shared.pending().due.remove(self.key);
    }
}

fn run(shared: &Shared, advance: &impl Fn()) -> ! {
    advance();
    let mut idle = 0;
    let mut pending = shared.pending();
    loop {
        let now = Instant::now();
        let first = pending.due.iter_mut().map(|(_, due)| due);
        let time = match first.min_by_key(|due| due.at) {
            Some(due) if due.at <= now => {
                due.at = now + due.repeat;
                due.repeat = REPEAT_MAX.min(due.repeat * 2);
                let waker = Arc::clone(&due.waker);
                idle = 0;
                drop(pending);
                advance();
                waker.wake();
                pending = shared.pending();
                continue;
            }
            Some(due) => {
                idle = 0;
                Some(due.at - now)
            }
            None if idle < IDLE_SLICES => {
                idle += 1;
                Some(SLICE)
            }
            None => None,
        };
        pending.wakes = time.map(|time| now + time);
        // Whether an alarm was set or the time is over is seen by looking at the alarms again.
        pending = if let Some(time) = time {
            let waited = shared.earlier.wait_timeout(pending, time);
            waited.unwrap_or_else(PoisonError::into_inner).0
        } else {
            idle = 0;
            let waited = shared.earlier.wait(pending);
            waited.unwrap_or_else(PoisonError::into_inner)
        };
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn alarms() -> Alarms {
        Alarms::start("alarms", || ()).unwrap()
    }

    fn watched() -> (Arc<AtomicWaker>, Arc<Count>) {
        let (waker, count) = (Arc::new(AtomicWaker::new()), Arc::new(Count::default()));
        waker.register(&Waker::from(Arc::clone(&count)));
        (waker, count)
    }

    fn after(milliseconds: u64) -> Instant {
        Instant::now() + Duration::from_millis(milliseconds)
    }

    #[test]
    fn alarms_go_off_in_their_order_whatever_order_they_are_set_in() {
        let alarms = alarms();
        // The thread waits for the first alarm, so an earlier one has to wake it.
        for (first, second) in [(30, 5), (5, 30)] {
            let ((late, late_count), (early, early_count)) = (watched(), watched());
            let (late, early) = (
                alarms.set(after(first * 10), &late),
                alarms.set(after(second * 10), &early),
            );
            while late_count.0.load(Ordering::SeqCst) + early_count.0.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            let is_second_first = early_count.0.load(Ordering::SeqCst) == 1;
            assert_eq!(is_second_first, second < first);
            drop((late, early));
            // Until the thread has nothing to wait for any more.
            thread::sleep(SLICE * (IDLE_SLICES + 20));
        }
    }

    fn wait_for(count: &Count, least: u32) {
        while count.0.load(Ordering::SeqCst) < least {
            thread::yield_now();
        }
    }

    #[test]
    fn an_alarm_that_is_dropped_stays_silent() {
        let alarms = alarms();
        let (waker, count) = watched();
        drop(alarms.set(after(20), &waker));
        let (other, rang) = watched();
        let alarm = alarms.set(after(60), &other);
        wait_for(&rang, 1);
        drop(alarm);
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        let pending = alarms.shared.pending();
        assert!(pending.due.is_empty());
    }

    /// WASM-01: code that misses an epoch is stopped by a later one.
    #[test]
    fn an_alarm_is_repeated_until_it_is_dropped() {
        let alarms = alarms();
        let (waker, count) = watched();
        let alarm = alarms.set(after(60_000), &waker);
        alarms.hurry(&waker);
        for turn in 1..=3 {
            wait_for(&count, turn);
            waker.register(&Waker::from(Arc::clone(&count)));
        }
        drop(alarm);
        let pending = alarms.shared.pending();
        assert!(pending.due.is_empty());
    }

    #[test]
    fn waiting_ends_with_the_work_or_at_the_deadline_without_any_runtime() {
        const TIME: Duration = Duration::from_millis(30);
        let alarms = alarms();
        let within = |time| Instant::now() + time;
        let done = alarms.until(within(TIME), ready(1));
        assert_eq!(pollster::block_on(done), Some(1));
        // What is done is done, also when its time was over before.
        let done = alarms.until(within(Duration::ZERO), ready(1));
        assert_eq!(pollster::block_on(done), Some(1));
        for time in [Duration::ZERO, TIME] {
            let begin = Instant::now();
            let late = alarms.until(within(time), pending::<()>());
            assert_eq!(pollster::block_on(late), None);
            assert!(begin.elapsed() >= time);
        }
    }
}
