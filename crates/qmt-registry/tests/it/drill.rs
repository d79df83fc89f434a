//! Drills: what the line and the servers can do to a pull, tried through.
//!
//! Here they run in a short form. `QMT_DRILL=full` tries every byte, `QMT_DRILL=long` also the
//! counts that a release needs; `cargo xtask drill` sets them and reads the line that begins with
//! `drill`.

mod cuts;
mod edits;
mod matrix;
mod stand;

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A sample, in a second or two.
    Short,
    /// Every place once.
    Full,
    /// The counts of a release.
    Long,
}

impl Form {
    fn get() -> Self {
        match std::env::var("QMT_DRILL").as_deref() {
            Ok("long") => Self::Long,
            Ok("full") => Self::Full,
            _ => Self::Short,
        }
    }
}

/// What a drill found; its line is what `cargo xtask drill` shows.
#[derive(Debug, Default)]
struct Tally {
    cases: usize,
    /// Went through, with the genuine bytes.
    genuine: usize,
    /// Ended with an error.
    refused: usize,
    violations: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.genuine += other.genuine;
        self.refused += other.refused;
        self.violations.extend(other.violations);
    }

    /// Prints the line, and panics where anything was violated.
    fn close(self, drill: &str) -> Self {
        println!(
            "drill {drill}: {} cases, {} genuine, {} refused, {} violations",
            self.cases,
            self.genuine,
            self.refused,
            self.violations.len()
        );
        assert!(
            self.violations.is_empty(),
            "{drill}: {:#?}",
            self.violations
        );
        assert_eq!(self.cases, self.genuine + self.refused);
        self
    }
}
