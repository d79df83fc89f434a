//! What needs no development kit: the corners of the ABI and some random programs.

use tracing::Level;

use super::allowed::{ALLOWED, Allowed, Findings};
use super::compare::Difference;
use super::host::{Answer, Call, Called, Host, Module, Outcome};
use super::portable::is_portable;
use super::random::{Programs, candidates};
use super::step::{At, Program, Run, Step};
use super::{corners, generate, programs};

#[test]
fn the_corners_of_the_abi_are_alike() {
    let mut findings = Findings::default();
    corners(&mut findings).unwrap();
    let problems = findings.problems(ALLOWED, false);
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn random_programs_are_alike() {
    let mut findings = Findings::default();
    programs(&mut findings, 0, 400, Level::TRACE).unwrap();
    programs(&mut findings, 1_000_000, 100, Level::INFO).unwrap();
    let problems = findings.problems(ALLOWED, false);
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn a_seed_makes_the_same_program_and_a_portable_one() {
    for seed in 0..200 {
        let program = generate::program(seed);
        assert_eq!(program, generate::program(seed));
        assert!(is_portable(&program), "{program}");
    }
}

#[test]
fn what_depends_on_the_place_of_blocks_is_not_portable() {
    let text = |to| Step::Text {
        to,
        text: b"abc".to_vec(),
    };
    let free = Step::Free { at: At(0, 0) };
    let portable = |steps: &[Step]| {
        let run = Run {
            input: Vec::new(),
            steps: steps.to_vec(),
        };
        is_portable(&Program { runs: vec![run] })
    };
    assert!(portable(&[text(0), free.clone(), free.clone()]));
    // The block of slot 1 may lie where that of slot 0 was.
    assert!(!portable(&[text(0), free.clone(), text(1), free]));
    assert!(portable(&[text(0), Step::LoadU8 { at: At(0, 2) }]));
    assert!(!portable(&[text(0), Step::LoadU8 { at: At(0, 3) }]));
    assert!(!portable(&[text(0), Step::LoadU64 { at: At(0, 0) }]));
    let reset = Step::Reset;
    assert!(!portable(&[text(0), reset, Step::Length { at: At(0, 0) }]));
}

/// A host that claims another length for blocks of eight bytes.
struct Wrong<'a>(&'a dyn Host);

impl Host for Wrong<'_> {
    fn run(&self, module: &Module, calls: &[Call]) -> anyhow::Result<Outcome> {
        let mut outcome = self.0.run(module, calls)?;
        for called in &mut outcome.calls {
            if let Answer::Output(bytes) = &mut called.answer
                && let Some(at) = bytes.chunks(8).position(|word| word == 8_u64.to_le_bytes())
            {
                bytes[at * 8] = 9;
            }
        }
        Ok(outcome)
    }
}

#[test]
fn a_difference_is_found_and_made_small() {
    let alone = super::logs::Alone::at(Level::TRACE);
    let theirs = super::reference::Extism::new(&alone);
    let wrong = Wrong(&theirs);
    let programs = Programs::new(&theirs, &wrong).unwrap();
    let differences = programs.run(0, 200).unwrap();
    let smallest = differences.iter().map(|one| one.what.lines().count()).min();
    // The seed, the run, a block and its length.
    assert!(smallest.is_some_and(|lines| lines <= 4), "{differences:?}");
}

#[test]
fn smaller_programs_are_smaller() {
    let program = generate::program(3);
    let size = |program: &Program| {
        let runs = program.runs.iter();
        runs.map(|run| 1 + run.steps.len() + run.input.len())
            .sum::<usize>()
    };
    let smaller = candidates(&program);
    assert!(!smaller.is_empty());
    assert!(smaller.iter().all(|one| size(one) < size(&program)));
}

#[test]
fn an_entry_that_allows_nothing_is_a_problem() {
    let entry = |case, words| Allowed {
        case,
        words,
        reason: "a reason",
    };
    let difference = Difference {
        case: "corner/one".to_owned(),
        what: "call".to_owned(),
        theirs: "code 1".to_owned(),
        ours: "code 2".to_owned(),
    };
    let findings = Findings {
        cases: vec!["corner/one".to_owned()],
        differences: vec![difference],
    };
    let count = |allowed: &[Allowed], all| findings.problems(allowed, all).len();
    assert_eq!(count(&[], false), 1);
    assert_eq!(count(&[entry("corner/one", "code 2")], false), 0);
    assert_eq!(count(&[entry("corner/*", "")], false), 0);
    assert_eq!(count(&[entry("corner/one", "code 3")], false), 2);
    let unused = [entry("corner/one", ""), entry("kit/go/panic", "")];
    assert_eq!(count(&unused, false), 0);
    assert_eq!(count(&unused, true), 1);
}

#[test]
fn what_is_shown_of_a_call_is_short() {
    let called = Called {
        answer: Answer::Output(vec![0xff; 1000]),
        logs: vec![(Level::INFO, "line".to_owned())],
    };
    let text = called.to_string();
    assert!(
        text.len() < 700 && text.ends_with("(1000 bytes), logs INFO `line`"),
        "{text}"
    );
}
