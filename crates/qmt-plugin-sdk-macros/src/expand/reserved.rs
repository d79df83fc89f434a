//! The names that a Wasm module cannot export a function under.

/// Functions of the compiler's library for `wasm32-unknown-unknown`. Code that the author never sees
/// calls them, and the linker would take an exported function of the same name instead.
const LIBRARY: &[&str] = &[
    "memcpy",
    "memmove",
    "memset",
    "memcmp",
    "bcmp",
    "strlen",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "cbrt",
    "ceil",
    "copysign",
    "cos",
    "cosh",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "fdim",
    "floor",
    "fma",
    "fmax",
    "fmaximum",
    "fmaximum_num",
    "fmin",
    "fminimum",
    "fminimum_num",
    "fmod",
    "hypot",
    "ldexp",
    "lgamma_r",
    "lgammaf_r",
    "log",
    "log10",
    "log1p",
    "log2",
    "pow",
    "rint",
    "round",
    "roundeven",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "tgamma",
    "trunc",
];

/// What the linker defines, and what hosts call to start a module.
const LINKER: &[&str] = &["main", "memory", "_start", "_initialize", "hs_init"];

/// Whether `name`, or `name` without the `f` of a function of `f32`, is reserved.
pub(super) fn is_reserved(name: &str) -> bool {
    let double = name.strip_suffix('f').unwrap_or(name);
    name.starts_with("__")
        || LINKER.contains(&name)
        || LIBRARY.contains(&name)
        || LIBRARY.contains(&double)
}
