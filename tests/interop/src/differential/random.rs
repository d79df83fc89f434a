//! Runs random programs on both sides, and makes small what differs.

use super::compare::{Difference, first_difference};
use super::generate::{self, ending};
use super::host::{Call, Host, Module, Outcome};
use super::portable::is_portable;
use super::step::Program;

/// Programs that share an instance, since it takes time to make one.
const BATCH: usize = 50;
/// The differences that are made small and shown.
const SHOWN_MAX: usize = 20;

/// The case that these differences are listed under.
pub(super) const CASE: &str = "random";

/// Both sides, and the module that runs programs.
pub(super) struct Programs<'a> {
    pub(super) reference: &'a dyn Host,
    pub(super) ours: &'a dyn Host,
    pub(super) interpreter: Module,
}

impl<'a> Programs<'a> {
    pub(super) fn new(reference: &'a dyn Host, ours: &'a dyn Host) -> anyhow::Result<Self> {
        Ok(Self {
            reference,
            ours,
            interpreter: Module::text("interpreter", include_str!("interpreter.wat"))?,
        })
    }

    /// Runs the programs of the seeds from `first` on, and returns what differs.
    pub(super) fn run(&self, first: u64, count: usize) -> anyhow::Result<Vec<Difference>> {
        let seeds: Vec<u64> = (first..).take(count).collect();
        let mut differences = Vec::new();
        let mut next = 0;
        while next < seeds.len() && differences.len() < SHOWN_MAX {
            let end = seeds.len().min(next + BATCH);
            let programs: Vec<Program> = seeds[next..end]
                .iter()
                .map(|seed| generate::program(*seed))
                .collect();
            let (finished, differs) = self.batch(&programs)?;
            if differs {
                let program = &programs[finished - 1];
                differences.push(self.explain(seeds[next + finished - 1], program)?);
            }
            next += finished;
        }
        Ok(differences)
    }

    /// Runs programs in one instance until one stops it or differs; returns how many were run, and
    /// whether the last one differs.
    fn batch(&self, programs: &[Program]) -> anyhow::Result<(usize, bool)> {
        let calls: Vec<Vec<Call>> = programs.iter().map(calls).collect();
        let all: Vec<Call> = calls.iter().flatten().cloned().collect();
        let theirs = self.reference.run(&self.interpreter, &all)?;
        let ours = self.ours.run(&self.interpreter, &all)?;
        let made = theirs.calls.len().min(ours.calls.len());
        let differs = first_difference(&theirs, &ours);
        let last = differs.unwrap_or(made.saturating_sub(1));
        let mut ends = calls.iter().scan(0, |end, calls| {
            *end += calls.len();
            Some(*end)
        });
        let finished = ends.position(|end| last < end).unwrap_or(0) + 1;
        Ok((finished, differs.is_some()))
    }

    /// Makes a program small, and says what differs.
    fn explain(&self, seed: u64, program: &Program) -> anyhow::Result<Difference> {
        let mut program = program.clone();
        let alone = self.differs(&program)?;
        if alone.is_some() {
            self.shrink(&mut program)?;
        }
        let (theirs, ours) = if let Some((theirs, ours, index)) = self.differs(&program)? {
            let show = |outcome: &Outcome| match outcome.calls.get(index) {
                Some(called) => called.to_string(),
                None => "not called any more".to_owned(),
            };
            (show(&theirs), show(&ours))
        } else {
            let leaks = "the same, alone: what was before in the instance matters";
            (leaks.to_owned(), leaks.to_owned())
        };
        Ok(Difference {
            case: CASE.to_owned(),
            what: format!("program of seed {seed}\n{program}"),
            theirs,
            ours,
        })
    }

    fn differs(&self, program: &Program) -> anyhow::Result<Option<(Outcome, Outcome, usize)>> {
        let calls = calls(program);
        let theirs = self.reference.run(&self.interpreter, &calls)?;
        let ours = self.ours.run(&self.interpreter, &calls)?;
        let index = first_difference(&theirs, &ours);
        Ok(index.map(|index| (theirs, ours, index)))
    }

    /// Drops runs, steps and input as long as the difference stays.
    fn shrink(&self, program: &mut Program) -> anyhow::Result<()> {
        loop {
            let mut smaller = None;
            for candidate in candidates(program) {
                let counts = is_portable(&candidate);
                if counts && self.differs(&candidate)?.is_some() {
                    smaller = Some(candidate);
                    break;
                }
            }
            match smaller {
                Some(candidate) => *program = candidate,
                None => return Ok(()),
            }
        }
    }
}

/// The calls of a program, and those that read its variables.
fn calls(program: &Program) -> Vec<Call> {
    let ending = ending();
    let runs = program.runs.iter().chain([&ending]);
    runs.flat_map(super::step::Run::calls).collect()
}

/// All programs that are a little smaller, the smallest first.
pub(super) fn candidates(program: &Program) -> Vec<Program> {
    let mut candidates = Vec::new();
    let mut with = |change: &dyn Fn(&mut Program)| {
        let mut candidate = program.clone();
        change(&mut candidate);
        candidates.push(candidate);
    };
    for run in 0..program.runs.len() {
        with(&|candidate| {
            candidate.runs.remove(run);
        });
    }
    for (index, run) in program.runs.iter().enumerate() {
        let half = run.steps.len() / 2;
        if half > 1 {
            with(&|candidate| {
                candidate.runs[index].steps.drain(..half);
            });
            with(&|candidate| candidate.runs[index].steps.truncate(half));
        }
        for step in 0..run.steps.len() {
            with(&|candidate| {
                candidate.runs[index].steps.remove(step);
            });
        }
        if !run.input.is_empty() {
            with(&|candidate| candidate.runs[index].input.clear());
        }
    }
    candidates
}
