//! F6: one bit of every byte of every answer is flipped, and many bytes at random.

use qmt_testkit::WireFault;

use super::Form;
use super::stand::{IMPATIENT, PATIENT, Stand, run};

const AT_ONCE: usize = 16;
/// Most bytes that one random edit changes.
const EDIT_MAX: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f6_a_flipped_bit_never_gets_through() {
    let length = Stand::new(PATIENT).await.length().await;
    let step = match Form::get() {
        Form::Short => 97,
        Form::Full | Form::Long => 1,
    };
    let flips = (0..length)
        .step_by(step)
        .map(|at| WireFault::Change(vec![(at, 1 << (at % 8))]))
        .collect();
    let tally = run(flips, AT_ONCE, IMPATIENT).await.close("F6 bit flips");
    assert!(tally.refused > 0, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f6_random_edits_never_get_through() {
    let length = Stand::new(PATIENT).await.length().await;
    let count = match Form::get() {
        Form::Short => 200,
        Form::Full => 20_000,
        Form::Long => 1_000_000,
    };
    // A fixed seed, so that a violation can be reproduced.
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let edits = (0..count)
        .map(|_| {
            let bytes = random.below(EDIT_MAX) + 1;
            let changes = (0..bytes).map(|_| {
                let mask = u8::try_from(random.below(255)).unwrap() + 1;
                (random.below(length), mask)
            });
            WireFault::Change(changes.collect())
        })
        .collect();
    let tally = run(edits, AT_ONCE, IMPATIENT)
        .await
        .close("F6 random edits");
    assert!(tally.refused > 0, "{tally:?}");
}

/// Numbers that are the same each time. <https://www.jstatsoft.org/article/view/v008i14>
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
