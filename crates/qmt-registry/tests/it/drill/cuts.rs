//! F5: the connection ends at every byte of every answer, by FIN, by RST, or in silence.

use std::time::Duration;

use qmt_testkit::{Cut, WireFault};

use super::Form;
use super::stand::{IMPATIENT, PATIENT, Stand, run};

/// Concurrent pulls; those over a silent connection mostly wait.
const AT_ONCE: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_a_cut_at_any_byte_is_an_error_or_made_good() {
    let length = Stand::new(PATIENT).await.length().await;
    // A prime, so that over the answers all kinds of places are met.
    let (step, silence) = match Form::get() {
        Form::Short => (211, Duration::from_secs(2)),
        Form::Full | Form::Long => (1, IMPATIENT),
    };
    let places = || (0..length).step_by(step);
    for (name, patience, faults) in [
        (
            "F5 FIN",
            PATIENT,
            places().map(|at| WireFault::Cut(at, Cut::Fin)).collect(),
        ),
        (
            "F5 RST",
            PATIENT,
            places().map(|at| WireFault::Cut(at, Cut::Reset)).collect(),
        ),
        (
            "F5 stall",
            silence,
            places().map(WireFault::Stall).collect::<Vec<_>>(),
        ),
    ] {
        let cases = faults.len();
        let tally = run(faults, AT_ONCE, patience).await.close(name);
        assert_eq!(tally.cases, cases);
        // The drill would be empty if nothing ever came through: one cut is made good.
        assert!(tally.genuine * 10 >= cases * 9, "{name}: {tally:?}");
    }
}
