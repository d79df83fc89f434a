//! Numbers that cross between a plugin and a function of the host.

use wasmtime::{Val, ValType};

/// The type of a parameter or result of a function of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "WebAssembly has these number types"
)]
pub enum ValueType {
    /// A 32-bit integer.
    I32,
    /// A 64-bit integer, which Extism's memory handles are.
    I64,
    /// A 32-bit floating-point number.
    F32,
    /// A 64-bit floating-point number.
    F64,
}

/// A parameter or result of a function of the host.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "WebAssembly has these number types"
)]
pub enum Value {
    /// A 32-bit integer.
    I32(i32),
    /// A 64-bit integer, which Extism's memory handles are.
    I64(i64),
    /// A 32-bit floating-point number.
    F32(f32),
    /// A 64-bit floating-point number.
    F64(f64),
}

impl Value {
    /// Returns the type of the value.
    pub fn ty(self) -> ValueType {
        match self {
            Self::I32(_) => ValueType::I32,
            Self::I64(_) => ValueType::I64,
            Self::F32(_) => ValueType::F32,
            Self::F64(_) => ValueType::F64,
        }
    }

    /// Reads one of wasmtime's values; `None` for vectors and references.
    pub(super) fn of(value: &Val) -> Option<Self> {
        match value {
            Val::I32(number) => Some(Self::I32(*number)),
            Val::I64(number) => Some(Self::I64(*number)),
            Val::F32(bits) => Some(Self::F32(f32::from_bits(*bits))),
            Val::F64(bits) => Some(Self::F64(f64::from_bits(*bits))),
            _ => None,
        }
    }
}

impl From<ValueType> for ValType {
    fn from(ty: ValueType) -> Self {
        match ty {
            ValueType::I32 => Self::I32,
            ValueType::I64 => Self::I64,
            ValueType::F32 => Self::F32,
            ValueType::F64 => Self::F64,
        }
    }
}

impl From<Value> for Val {
    fn from(value: Value) -> Self {
        match value {
            Value::I32(number) => Self::I32(number),
            Value::I64(number) => Self::I64(number),
            Value::F32(number) => Self::F32(number.to_bits()),
            Value::F64(number) => Self::F64(number.to_bits()),
        }
    }
}
