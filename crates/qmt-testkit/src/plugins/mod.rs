//! Small plugins, Wasm and native, that tests can publish, load and call.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::TestkitError;

/// The Wasm plugin as text. It has no WASI imports; its exports are
///
/// | export | answer |
/// |---|---|
/// | `greet` | `Hello, <input>! (wasm)` |
/// | `echo` | the input |
/// | `config_value` | the value of the config key that the input names, or nothing |
/// | `count` | how often this instance was asked, the last decimal digit |
/// | `fail` | fails with the text `this export always fails` |
/// | `trap`, `spin`, `grow` | traps; never ends; takes all memory that it gets |
pub const ECHO_WAT: &str = include_str!("echo.wat");

/// The native plugin's source in C, with the ABI of `qmt_plugin.h`. It answers `greet`
/// (`Hello, <input>! (native)`), `echo`, `config_value`, `count` and `fail` as the Wasm one does,
/// and exports `int32_t qmt_test_add(int32_t, int32_t)` and the text `qmt_test_name` for hosts that
/// look for symbols of their own.
pub const ECHO_C: &str = include_str!("echo.c");

/// The source of a library whose constructor writes the file `QMT_TEST_MARKER`.
const MARKER_C: &str = include_str!("marker.c");

/// The Wasm plugin as a binary module.
pub fn echo_wasm() -> Vec<u8> {
    wasm(ECHO_WAT)
}

/// Any module from its text.
///
/// # Panics
///
/// If the text is not a module: the test itself is wrong.
pub fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("not a module: {error}"))
}

/// What the platform calls a plugin library: `plugin.so`, `plugin.dylib` or `plugin.dll`.
pub fn native_file_name() -> String {
    format!("plugin{}", std::env::consts::DLL_SUFFIX)
}

/// Compiles the native plugin into `folder` with the C compiler that `CC` names, or `cc`.
///
/// # Errors
///
/// [`File`](TestkitError::File) if `folder` cannot be written,
/// [`Compile`](TestkitError::Compile) if there is no compiler or it fails.
pub fn native_plugin(folder: &Path) -> Result<PathBuf, TestkitError> {
    compile(folder, &native_file_name(), ECHO_C, &[])
}

/// Compiles a native plugin that also writes the file `marker` as soon as it is opened, before any
/// call.
///
/// # Errors
///
/// As [`native_plugin`].
pub fn native_plugin_with_marker(folder: &Path, marker: &Path) -> Result<PathBuf, TestkitError> {
    let define = format!("-DQMT_TEST_MARKER=\"{}\"", marker.display());
    let source = format!("{ECHO_C}\n{MARKER_C}");
    compile(folder, &native_file_name(), &source, &[&define])
}

/// Compiles any C source into the shared library `folder/name`, with further compiler arguments.
///
/// # Errors
///
/// As [`native_plugin`].
pub fn compile(
    folder: &Path,
    name: &str,
    source: &str,
    arguments: &[&str],
) -> Result<PathBuf, TestkitError> {
    let (source_path, library) = (folder.join(format!("{name}.c")), folder.join(name));
    fs::write(&source_path, source).map_err(|source| TestkitError::File {
        path: source_path.clone(),
        source,
    })?;
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let failed = |output: String| TestkitError::Compile {
        compiler: compiler.clone(),
        output,
    };
    let output = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .args([&library, &source_path])
        .args(arguments)
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(library)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wasm_plugin_is_a_module() {
        assert!(echo_wasm().starts_with(b"\0asm\x01\0\0\0"));
    }

    #[test]
    fn the_native_plugin_compiles() {
        let folder = tempfile::tempdir().unwrap();
        let library = native_plugin(folder.path()).unwrap();
        assert!(fs::metadata(&library).unwrap().len() > 1000);
        let bytes = fs::read(&library).unwrap();
        for symbol in [
            "QMTABI\0\0\x01\0\0\0",
            "qmt_plugin_abi",
            "qmt_plugin_abi_version",
            "qmt_plugin_call",
            "qmt_plugin_free",
            "qmt_plugin_exports",
            "qmt_plugin_configure",
        ] {
            assert!(
                bytes
                    .windows(symbol.len())
                    .any(|window| window == symbol.as_bytes()),
                "{symbol}"
            );
        }
        let other = tempfile::tempdir().unwrap();
        native_plugin_with_marker(other.path(), &other.path().join("marker")).unwrap();
    }

    #[test]
    fn a_source_with_an_error_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = compile(folder.path(), "broken.so", "int main( {", &[]).unwrap_err();
        assert!(matches!(&error, TestkitError::Compile { output, .. } if output.contains("error")));
    }
}
