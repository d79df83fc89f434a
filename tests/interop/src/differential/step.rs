//! Programs over the ABI, as the module in `interpreter.wat` runs them.

use std::fmt;

use super::host::{Bytes, Call};

/// How many handles a program can hold.
pub(super) const SLOTS: u8 = 8;

/// Runs of steps, one after the other in one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) runs: Vec<Run>,
}

/// The steps of one call and its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) input: Vec<u8>,
    pub(super) steps: Vec<Step>,
}

/// A slot, and how far behind the handle in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At(pub(super) u8, pub(super) i64);

/// One call of a function of the ABI, mostly. `to` is the slot that a handle goes into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Return { code: i32 },
    Text { to: u8, text: Vec<u8> },
    Fill { to: u8, length: u32, seed: u8 },
    Free { at: At },
    Length { at: At },
    LoadU8 { at: At },
    LoadU64 { at: At },
    StoreU8 { at: At, value: u8 },
    StoreU64 { at: At, value: i64 },
    Sum { slot: u8 },
    InputLength,
    InputLoadU8 { offset: i64 },
    InputLoadU64 { offset: i64 },
    InputOffset { to: u8 },
    OutputSet { at: At, length: i64 },
    ErrorSet { at: At },
    ErrorGet { slot: u8 },
    OutputGet { slot: u8 },
    ConfigGet { to: u8, key: u8 },
    VarGet { to: u8, key: u8 },
    VarSet { key: u8, value: u8 },
    Log { at: At, level: u8 },
    LogLevel,
    Reset,
    Reverse { to: u8, input: u8 },
    HttpRequest { to: u8, request: u8, body: u8 },
    HttpStatus,
    Unreachable,
    Clear { slot: u8 },
    Copy { to: u8, from: u8 },
    InputSet { slot: u8, length: i64 },
    LengthUnsafe { slot: u8 },
}

/// A step as numbers: operation, two slots, two numbers; and its text.
type Encoded<'a> = (u32, u8, u8, i64, i64, &'a [u8]);

impl Step {
    fn encode(&self) -> Encoded<'_> {
        let none: &[u8] = &[];
        match self {
            Self::Return { code } => (0, 0, 0, (*code).into(), 0, none),
            Self::Text { to, text } => (1, *to, 0, 0, 0, text),
            Self::Fill { to, length, seed } => (2, *to, 0, (*length).into(), (*seed).into(), none),
            Self::Free { at } => (3, at.0, 0, at.1, 0, none),
            Self::Length { at } => (4, at.0, 0, at.1, 0, none),
            Self::LoadU8 { at } => (5, at.0, 0, at.1, 0, none),
            Self::LoadU64 { at } => (6, at.0, 0, at.1, 0, none),
            Self::StoreU8 { at, value } => (7, at.0, 0, at.1, (*value).into(), none),
            Self::StoreU64 { at, value } => (8, at.0, 0, at.1, *value, none),
            Self::Sum { slot } => (9, *slot, 0, 0, 0, none),
            Self::InputLength => (10, 0, 0, 0, 0, none),
            Self::InputLoadU8 { offset } => (11, 0, 0, *offset, 0, none),
            Self::InputLoadU64 { offset } => (12, 0, 0, *offset, 0, none),
            Self::InputOffset { to } => (13, *to, 0, 0, 0, none),
            Self::OutputSet { at, length } => (14, at.0, 0, at.1, *length, none),
            Self::ErrorSet { at } => (15, at.0, 0, at.1, 0, none),
            Self::ErrorGet { slot } => (16, *slot, 0, 0, 0, none),
            Self::OutputGet { slot } => (17, *slot, 0, 0, 0, none),
            Self::ConfigGet { to, key } => (18, *to, *key, 0, 0, none),
            Self::VarGet { to, key } => (19, *to, *key, 0, 0, none),
            Self::VarSet { key, value } => (20, *key, *value, 0, 0, none),
            Self::Log { at, level } => (21, at.0, 0, (*level).into(), at.1, none),
            Self::LogLevel => (22, 0, 0, 0, 0, none),
            Self::Reset => (23, 0, 0, 0, 0, none),
            Self::Reverse { to, input } => (24, *to, *input, 0, 0, none),
            Self::HttpRequest { to, request, body } => (25, *to, *request, (*body).into(), 0, none),
            Self::HttpStatus => (26, 0, 0, 0, 0, none),
            Self::Unreachable => (27, 0, 0, 0, 0, none),
            Self::Clear { slot } => (28, *slot, 0, 0, 0, none),
            Self::Copy { to, from } => (29, *to, *from, 0, 0, none),
            Self::InputSet { slot, length } => (30, *slot, 0, *length, 0, none),
            Self::LengthUnsafe { slot } => (31, *slot, 0, 0, 0, none),
        }
    }
}

impl Run {
    /// Returns the calls of the interpreter that make this run.
    pub(super) fn calls(&self) -> [Call; 3] {
        [
            Call::new("prepare", encode(&self.steps)),
            Call::new("run", self.input.clone()),
            Call::new("trace", []),
        ]
    }
}

fn encode(steps: &[Step]) -> Vec<u8> {
    const SIZE: usize = 32;
    let count = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    let mut bytes = count.to_le_bytes().to_vec();
    bytes.resize(SIZE, 0);
    let mut texts = Vec::new();
    let texts_at = SIZE * (steps.len() + 1);
    for step in steps {
        let (operation, a, b, mut x, mut y, text) = step.encode();
        if let Step::Text { .. } = step {
            x = i64::try_from(texts_at + texts.len()).unwrap_or(i64::MAX);
            y = i64::try_from(text.len()).unwrap_or(i64::MAX);
            texts.extend_from_slice(text);
        }
        bytes.extend(operation.to_le_bytes());
        bytes.extend(u32::from(a).to_le_bytes());
        bytes.extend(u32::from(b).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(x.to_le_bytes());
        bytes.extend(y.to_le_bytes());
    }
    bytes.extend(texts);
    bytes
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.runs.iter().enumerate() {
            writeln!(f, "run {index} on input `{}`", Bytes(&run.input))?;
            for step in &run.steps {
                writeln!(f, "    {step}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            0 => write!(f, "s{}", self.0),
            offset => write!(f, "s{}{offset:+}", self.0),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Return { code } => write!(f, "return {code}"),
            Self::Text { to, text } => write!(f, "s{to} = alloc of \"{}\"", Bytes(text)),
            Self::Fill { to, length, seed } => write!(f, "s{to} = alloc({length}), from {seed} on"),
            Self::Free { at } => write!(f, "free({at})"),
            Self::Length { at } => write!(f, "length({at})"),
            Self::LoadU8 { at } => write!(f, "load_u8({at})"),
            Self::LoadU64 { at } => write!(f, "load_u64({at})"),
            Self::StoreU8 { at, value } => write!(f, "store_u8({at}, {value})"),
            Self::StoreU64 { at, value } => write!(f, "store_u64({at}, {value:#x})"),
            Self::Sum { slot } => write!(f, "read all of s{slot}"),
            Self::InputLength => write!(f, "input_length()"),
            Self::InputLoadU8 { offset } => write!(f, "input_load_u8({offset})"),
            Self::InputLoadU64 { offset } => write!(f, "input_load_u64({offset})"),
            Self::InputOffset { to } => write!(f, "s{to} = input_offset()"),
            Self::OutputSet { at, length } => write!(f, "output_set({at}, {length})"),
            Self::ErrorSet { at } => write!(f, "error_set({at})"),
            Self::ErrorGet { slot } => write!(f, "error_get() == s{slot}"),
            Self::OutputGet { slot } => write!(f, "output_offset() == s{slot}, output_length()"),
            Self::ConfigGet { to, key } => write!(f, "s{to} = config_get(s{key})"),
            Self::VarGet { to, key } => write!(f, "s{to} = var_get(s{key})"),
            Self::VarSet { key, value } => write!(f, "var_set(s{key}, s{value})"),
            Self::Log { at, level } => write!(f, "log({at}) at level {level}"),
            Self::LogLevel => write!(f, "get_log_level()"),
            Self::Reset => write!(f, "reset()"),
            Self::Reverse { to, input } => write!(f, "s{to} = reverse(s{input})"),
            Self::HttpRequest { to, request, body } => {
                write!(f, "s{to} = http_request(s{request}, s{body})")
            }
            Self::HttpStatus => write!(f, "http_status_code()"),
            Self::Unreachable => write!(f, "unreachable"),
            Self::Clear { slot } => write!(f, "s{slot} = 0"),
            Self::Copy { to, from } => write!(f, "s{to} = s{from}"),
            Self::InputSet { slot, length } => write!(f, "input_set(s{slot}, {length})"),
            Self::LengthUnsafe { slot } => write!(f, "length_unsafe(s{slot})"),
        }
    }
}
