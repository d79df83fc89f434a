//! What `e2e --real` says of its parts: a line each, and a sum.

/// What became of the parts of the tier.
#[derive(Default)]
pub(super) struct Tally {
    parts: usize,
    checks: usize,
    skipped: usize,
    failed: Vec<&'static str>,
}

impl Tally {
    pub(super) fn take(&mut self, name: &'static str, result: anyhow::Result<Option<usize>>) {
        match result {
            Ok(Some(count)) => {
                println!("ok      {name:<36} {count} checks");
                self.parts += 1;
                self.checks += count;
            }
            Ok(None) => self.skipped(name, "what it needs"),
            Err(error) => {
                println!("FAILED  {name:<36} {error:#}");
                self.failed.push(name);
            }
        }
    }

    pub(super) fn skipped(&mut self, name: &str, missing: &str) {
        println!("skipped {name:<36} not installed: {missing}; run `cargo xtask tools`");
        self.skipped += 1;
    }

    pub(super) fn finish(self) -> anyhow::Result<()> {
        let Self {
            parts,
            checks,
            skipped,
            failed,
        } = self;
        println!(
            "e2e --real: {parts} parts hold with {checks} checks, {} failed, {skipped} skipped",
            failed.len()
        );
        anyhow::ensure!(failed.is_empty(), "real tier failed: {}", failed.join(", "));
        anyhow::ensure!(
            parts > 0,
            "nothing was checked; run `cargo xtask tools`, or name a part that there is"
        );
        Ok(())
    }
}
