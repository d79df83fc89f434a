//! Random programs over the ABI: reproducible from a seed, mostly plausible, always portable.

use super::portable::{FAR, Model};
use super::step::{At, Program, Run, SLOTS, Step};

/// The most runs of a program, and steps of a run.
const RUNS_MAX: u64 = 3;
const STEPS_MAX: u64 = 24;

/// The keys of variables that programs use.
pub(super) const KEYS: [&[u8]; 6] = [
    b"k0",
    b"k1",
    b"",
    b"key with spaces",
    "\u{43a}\u{43b}\u{44e}\u{447}".as_bytes(),
    b"\0",
];

const TEXTS: &[&[u8]] = &[
    b"present",
    b"empty",
    b"absent",
    "schl\u{fc}ssel".as_bytes(),
    b"\xff\xfe",
    b"a",
    b"12345678",
    b"a message",
    b"two\nlines\tand a tab",
    b"\x1b[2J\x07",
    "\u{202e}\u{1f980}".as_bytes(),
    b"fail",
    b"{\"url\":\"http://127.0.0.1:1/\",\"method\":\"GET\",\"headers\":{}}",
    b"{\"url\":17}",
];

const LENGTHS: &[u32] = &[
    0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 127, 128, 129, 255, 256, 1000, 4095, 4096, 65_536,
];

/// A generator of numbers: `SplitMix64`.
pub(super) struct Random {
    state: u64,
    /// The slots that name live blocks, their lengths, and whether they hold text.
    live: Vec<(u8, Option<u64>, bool)>,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: seed,
            live: Vec::new(),
        }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.state;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        from[index]
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn slot(&mut self) -> u8 {
        self.byte() % SLOTS
    }

    /// A slot with a live block, mostly.
    fn used(&mut self) -> u8 {
        if self.live.is_empty() || self.one_in(5) {
            return self.slot();
        }
        let live = self.live.clone();
        self.pick(&live).0
    }

    /// A slot with text, mostly.
    fn words(&mut self) -> u8 {
        let texts = self.live.iter().filter(|(_, _, is_text)| *is_text);
        let texts: Vec<u8> = texts.map(|(slot, ..)| *slot).collect();
        if texts.is_empty() || self.one_in(30) {
            return self.slot();
        }
        self.pick(&texts)
    }

    /// A part of a live block, mostly.
    fn range(&mut self) -> (At, i64) {
        let at = self.at();
        let length = self.live.iter().find(|(slot, ..)| *slot == at.0);
        let known = length.and_then(|(_, length, _)| i64::try_from((*length)?).ok());
        match known {
            Some(length) if at.1 < length && !self.one_in(6) => {
                let left = u64::try_from(length - at.1).unwrap_or(0);
                let part = if self.one_in(2) {
                    left
                } else {
                    self.below(left + 1)
                };
                (at, i64::try_from(part).unwrap_or(0))
            }
            _ => (at, self.pick(LENGTHS).into()),
        }
    }

    fn small(&mut self) -> i64 {
        i64::from(self.byte() % 40)
    }

    fn at(&mut self) -> At {
        let offset = match self.below(12) {
            0 => self.small(),
            1 if self.one_in(3) => self.pick(&[FAR, FAR << 8, 1 << 62]),
            _ => 0,
        };
        At(self.used(), offset)
    }

    fn place(&mut self) -> At {
        let offset = if self.one_in(20) { FAR } else { self.small() };
        At(self.used(), offset)
    }

    fn text(&mut self) -> Vec<u8> {
        if self.one_in(2) {
            self.pick(&KEYS).to_vec()
        } else {
            self.pick(TEXTS).to_vec()
        }
    }
}

/// Makes the program of a seed.
pub(super) fn program(seed: u64) -> Program {
    let mut random = Random::new(seed);
    let runs = 1 + random.below(RUNS_MAX);
    let runs = (0..runs).map(|_| run(&mut random)).collect();
    Program { runs }
}

fn run(random: &mut Random) -> Run {
    let length = usize::try_from(random.pick(LENGTHS)).unwrap_or(0);
    let mut run = Run {
        input: (0..length).map(|_| random.byte()).collect(),
        steps: Vec::new(),
    };
    let steps = 1 + random.below(STEPS_MAX);
    let mut model = Model::new(&run);
    while (run.steps.len() as u64) < steps {
        random.live = model.live();
        let step = step(random);
        let mut after = model.clone();
        if after.take(&step) && after.end() {
            model = after;
            let ends = matches!(step, Step::Return { .. } | Step::Unreachable);
            run.steps.push(step);
            if ends {
                break;
            }
        }
    }
    run
}

fn step(random: &mut Random) -> Step {
    match random.below(100) {
        0..=19 => Step::Text {
            to: random.slot(),
            text: random.text(),
        },
        20..=27 => Step::Fill {
            to: random.slot(),
            length: random.pick(LENGTHS),
            seed: random.byte(),
        },
        28..=33 => Step::Free { at: random.at() },
        34..=37 => Step::Length { at: random.at() },
        38..=40 => Step::LoadU8 { at: random.place() },
        41..=43 => Step::LoadU64 { at: random.place() },
        44..=45 => Step::StoreU8 {
            at: random.place(),
            value: random.byte(),
        },
        46..=47 => Step::StoreU64 {
            at: random.place(),
            value: random.next().cast_signed(),
        },
        48..=52 => Step::Sum {
            slot: random.used(),
        },
        53 => Step::InputLength,
        54..=55 => Step::InputLoadU8 {
            offset: offset(random),
        },
        56..=57 => Step::InputLoadU64 {
            offset: offset(random),
        },
        58..=59 => Step::InputOffset { to: random.slot() },
        60..=64 => {
            let (at, length) = random.range();
            Step::OutputSet { at, length }
        }
        65..=66 => Step::ErrorSet {
            at: if random.one_in(3) {
                random.at()
            } else {
                At(random.words(), 0)
            },
        },
        67 => Step::ErrorGet {
            slot: random.used(),
        },
        68 => Step::OutputGet {
            slot: random.used(),
        },
        69..=72 => Step::ConfigGet {
            to: random.slot(),
            key: random.words(),
        },
        73..=77 => Step::VarGet {
            to: random.slot(),
            key: random.words(),
        },
        78..=84 => Step::VarSet {
            key: random.words(),
            value: random.used(),
        },
        85..=88 => Step::Log {
            at: if random.one_in(8) {
                random.at()
            } else {
                At(random.words(), 0)
            },
            level: random.byte() % 5,
        },
        89 => Step::LogLevel,
        90..=93 => Step::Reverse {
            to: random.slot(),
            input: random.used(),
        },
        94 => Step::HttpStatus,
        95 => Step::Clear {
            slot: random.used(),
        },
        96 => Step::Copy {
            to: random.slot(),
            from: random.used(),
        },
        97 => {
            let (at, length) = random.range();
            Step::InputSet { slot: at.0, length }
        }
        98 => Step::LengthUnsafe {
            slot: random.used(),
        },
        _ => rare(random),
    }
}

/// What ends a call, or makes most of what was before meaningless.
fn rare(random: &mut Random) -> Step {
    match random.below(6) {
        0 => Step::Unreachable,
        1 => Step::HttpRequest {
            to: random.slot(),
            request: random.used(),
            body: random.used(),
        },
        2 => Step::Reset,
        _ => Step::Return {
            code: random.pick(&[0, 0, 1, -1, 7, 134, i32::MAX, i32::MIN]),
        },
    }
}

fn offset(random: &mut Random) -> i64 {
    match random.below(10) {
        0 => random.pick(&[FAR, i64::MAX, 65_528, 65_529, 65_535, 65_536]),
        1..=3 => i64::from(random.pick(LENGTHS)),
        _ => random.small(),
    }
}

/// Returns the run that reads all variables of a program and removes them.
pub(super) fn ending() -> Run {
    let steps = KEYS.iter().flat_map(|key| {
        let text = |to| Step::Text {
            to,
            text: key.to_vec(),
        };
        [
            text(0),
            Step::VarGet { to: 1, key: 0 },
            Step::Sum { slot: 1 },
            text(2),
            Step::Clear { slot: 3 },
            Step::VarSet { key: 2, value: 3 },
        ]
    });
    // Any text can have been a key.
    let others = TEXTS.iter().flat_map(|key| {
        let text = Step::Text {
            to: 2,
            text: key.to_vec(),
        };
        let valid = std::str::from_utf8(key).is_ok();
        valid
            .then_some([
                text,
                Step::Clear { slot: 3 },
                Step::VarSet { key: 2, value: 3 },
            ])
            .into_iter()
            .flatten()
    });
    Run {
        input: Vec::new(),
        steps: steps.chain(others).collect(),
    }
}
