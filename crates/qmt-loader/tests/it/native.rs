//! Native plugins: good ones, and libraries that break one rule each.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use qmt_loader::native::{NativeLoader, NativePlugin};
use qmt_loader::refusal::NativeRefusal;
use qmt_loader::{Artifact, LoadError, LoadOptions, Loader, Plugin};
use qmt_oci_ref::Digest;
use qmt_oci_ref::PluginKind;

use crate::support::{SLACK, artifact, fixtures, refusal, wasm, within};

/// An option that a native plugin cannot have is refused, and nothing of it runs.
#[tokio::test]
async fn nothing_is_called_at_the_start_of_a_native_plugin() {
    let workshop = Workshop::new();
    let library = workshop.compile("echo.c", &[]);
    let native = || artifact(PluginKind::Native, library.clone());
    let mut options = LoadOptions::default();
    workshop
        .loader()
        .load(native(), options.clone())
        .await
        .unwrap();
    options.at_start = Some("greet".to_owned());
    let error = refusal(workshop.loader().load(native(), options).await);
    assert!(matches!(error, LoadError::Grant { .. }), "{error:?}");
}

/// A folder with what one test compiles.
pub(crate) struct Workshop(tempfile::TempDir);

impl Workshop {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn loader(&self) -> NativeLoader {
        NativeLoader::new(self.path("private"))
    }

    /// Where constructors of `variants.c` leave their mark.
    pub(crate) fn marker(&self) -> PathBuf {
        self.path("marker")
    }

    /// Compiles a file of `echo-c` into a shared library, unless `flags` say otherwise.
    pub(crate) fn compile(&self, source: &str, flags: &[&str]) -> Vec<u8> {
        let out = self.path("library.so");
        let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../qmt-plugin-sdk/include");
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-I"])
            .arg(include)
            .arg("-o")
            .arg(&out)
            .arg(fixtures().join("echo-c").join(source))
            .args(flags)
            .output()
            .expect("a C compiler is needed");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}");
        fs::read(out).unwrap()
    }

    pub(crate) fn variant(&self, flags: &[&str]) -> Vec<u8> {
        let marker = format!("-DMARKER=\"{}\"", self.marker().display());
        self.compile("variants.c", &[&[marker.as_str()], flags].concat())
    }

    /// Loads `bytes`, which must be refused, and checks that none of the code ran.
    pub(crate) async fn refuses(&self, bytes: Vec<u8>) -> NativeRefusal {
        let library = artifact(PluginKind::Native, bytes);
        let result = self.loader().load(library, LoadOptions::default()).await;
        assert!(!self.marker().exists(), "the constructor ran");
        match refusal(result) {
            LoadError::NativeRefused { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }
}

fn native(plugin: &dyn Plugin) -> &NativePlugin {
    (plugin as &dyn std::any::Any).downcast_ref().unwrap()
}

#[tokio::test]
async fn the_echo_plugin_answers() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.compile("echo.c", &[]));
    let preflight = workshop.loader().preflight(&library).unwrap();
    assert_eq!(preflight.abi, Some(1));
    assert!(preflight.exports.contains(&"qmt_plugin_call".to_owned()));
    assert!(preflight.imports.contains(&"libc.so.6".to_owned()));
    let plugin = workshop
        .loader()
        .load(library, LoadOptions::default())
        .await
        .unwrap();
    assert_eq!(plugin.kind(), PluginKind::Native);
    assert_eq!(plugin.exports(), ["fails", "greet"]);
    for (name, answer) in [("Ada", "Hello, Ada! (native)"), ("", "Hello, ! (native)")] {
        assert_eq!(
            plugin.call("greet", Bytes::from(name)).await.unwrap(),
            answer
        );
        let blocking = plugin.call_blocking("greet", Bytes::from(name));
        assert_eq!(blocking.unwrap(), answer);
    }
    match plugin.call("fails", Bytes::new()).await.unwrap_err() {
        LoadError::PluginFailed { message, .. } => assert_eq!(message, "no \\u{1b}[J"),
        other => panic!("{other:?}"),
    }
    let error = plugin.call("missing", Bytes::new()).await.unwrap_err();
    assert!(
        matches!(error, LoadError::UnknownExport { .. }),
        "{error:?}"
    );
    plugin.unload().await.unwrap();
    let error = plugin.call("greet", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::Unloaded { .. }), "{error:?}");
    let error = plugin.call_blocking("greet", Bytes::new()).unwrap_err();
    assert!(matches!(error, LoadError::Unloaded { .. }), "{error:?}");
}

/// NAT-01: a constructor runs when the library is opened, and not before.
#[tokio::test]
async fn constructors_run_at_the_opening_only() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.variant(&[]));
    workshop.loader().preflight(&library).unwrap();
    assert!(!workshop.marker().exists());
    workshop
        .loader()
        .load(library, LoadOptions::default())
        .await
        .unwrap();
    assert!(workshop.marker().exists());
}

/// NAT-01, NAT-03: the mark in the file decides before anything is opened.
#[tokio::test]
async fn another_abi_version_is_refused_before_the_opening() {
    let workshop = Workshop::new();
    let reason = workshop.refuses(workshop.variant(&["-DOTHER_MARK"])).await;
    assert!(
        matches!(
            reason,
            NativeRefusal::AbiVersion {
                found: 2,
                supported: 1
            }
        ),
        "{reason:?}"
    );
}

/// NAT-03: a library without the mark is asked, and nothing else of it is called.
#[tokio::test]
async fn another_abi_version_is_refused_at_the_latest_after_the_opening() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.variant(&["-DOTHER_VERSION"]));
    let result = workshop
        .loader()
        .load(library, LoadOptions::default())
        .await;
    let error = refusal(result);
    assert!(
        matches!(error, LoadError::AbiVersion { found: 2, .. }),
        "{error:?}"
    );
}

/// NAT-03: half an ABI, or data where a function must be.
#[tokio::test]
async fn an_incomplete_abi_is_refused() {
    let workshop = Workshop::new();
    let reason = workshop.refuses(workshop.variant(&["-DNO_FREE"])).await;
    assert!(
        matches!(
            reason,
            NativeRefusal::IncompleteAbi {
                missing: "qmt_plugin_free"
            }
        ),
        "{reason:?}"
    );
    let reason = workshop
        .refuses(workshop.variant(&["-DVERSION_IS_DATA"]))
        .await;
    assert!(
        matches!(reason, NativeRefusal::SymbolKind { .. }),
        "{reason:?}"
    );
}

/// NAT-03: configuration is taken once, the same one again is fine, another one is refused.
#[tokio::test]
async fn configuration_is_taken_once() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.variant(&["-DCONFIGURE"]));
    let load = |value: Option<&str>| {
        let mut options = LoadOptions::default();
        if let Some(value) = value {
            options.config.insert("key".into(), value.into());
        }
        let (loader, library) = (workshop.loader(), library.clone());
        async move { loader.load(library, options).await }
    };
    let error = refusal(load(Some("other")).await);
    assert!(matches!(error, LoadError::Start { .. }), "{error:?}");
    load(Some("value")).await.ok().unwrap();
    load(Some("value")).await.ok().unwrap();
    for other in [Some("other"), None] {
        let error = refusal(load(other).await);
        assert!(matches!(error, LoadError::Configured { .. }), "{error:?}");
    }
}

/// A library for hosts with an ABI of their own: symbols yes, calls no.
#[tokio::test]
async fn a_library_without_our_abi_has_symbols_only() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.variant(&["-DNO_ABI"]));
    let plugin = workshop
        .loader()
        .load(library, LoadOptions::default())
        .await
        .unwrap();
    let error = plugin.call("answer", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::NotCallable { .. }), "{error:?}");
    let native = native(&*plugin);
    assert!(!native.is_callable());
    let symbol = native
        .symbol::<extern "C" fn(i32) -> i32>("answer")
        .unwrap();
    assert!(!symbol.as_ptr().is_null());
    for name in ["missing", "", "answer\0x"] {
        let error = native.symbol::<*const i32>(name).unwrap_err();
        assert!(
            matches!(error, LoadError::MissingSymbol { .. }),
            "{error:?}"
        );
    }
    let error = native.symbol::<u8>("answer").unwrap_err();
    assert!(matches!(error, LoadError::SymbolType { .. }), "{error:?}");
    // NAT-06: unloading the plugin leaves the library where the symbol needs it.
    plugin.unload().await.unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let address = symbol.as_ptr() as usize;
    assert!(
        maps.lines()
            .any(|line| holds(line, address) && line.contains("memfd:qmt-plugin"))
    );
    let error = native.symbol::<*const i32>("answer").unwrap_err();
    assert!(matches!(error, LoadError::Unloaded { .. }), "{error:?}");
}

/// Whether a line of `/proc/self/maps` is about a range with `address` in it.
fn holds(line: &str, address: usize) -> bool {
    let range = line.split(' ').next().unwrap();
    let (first, last) = range.split_once('-').unwrap();
    let number = |text| usize::from_str_radix(text, 16).unwrap();
    (number(first)..number(last)).contains(&address)
}

/// NAT-06: a digest is opened once; NAT-08: libraries with the same names do not meet.
#[tokio::test]
async fn libraries_are_opened_once_and_apart() {
    let workshop = Workshop::new();
    let (one, two) = (
        workshop.variant(&["-DANSWER=1"]),
        workshop.variant(&["-DANSWER=2", "-DINTERPOSE"]),
    );
    let address = async |bytes: &[u8]| {
        let library = artifact(PluginKind::Native, bytes.to_vec());
        let plugin = workshop
            .loader()
            .load(library, LoadOptions::default())
            .await
            .unwrap();
        let symbol = native(&*plugin).symbol::<extern "C" fn(i32) -> i32>("answer");
        symbol.unwrap().as_ptr() as usize
    };
    let first = address(&one).await;
    assert_eq!(first, address(&one).await);
    assert_ne!(first, address(&two).await);
    // The host's own functions stay what they were.
    assert!(std::hint::black_box(0.0_f64).cos() < 2.0);
}

/// NAT-05: a call that does not end is given up in time; an output that cannot be is not read.
#[tokio::test(flavor = "multi_thread")]
async fn calls_are_limited() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.variant(&["-DANSWER=3"]));
    let timeout = Duration::from_millis(200);
    let plugin = workshop
        .loader()
        .load(library, within(timeout))
        .await
        .unwrap();
    let begin = Instant::now();
    let error = plugin.call("spin", Bytes::new()).await.unwrap_err();
    assert!(matches!(error, LoadError::TimedOut { .. }), "{error:?}");
    assert!(begin.elapsed() < timeout + SLACK);
    let error = plugin.call("huge", Bytes::new()).await.unwrap_err();
    assert!(
        matches!(error, LoadError::OutputTooLarge { .. }),
        "{error:?}"
    );
}

/// NAT-07: everything by which a library could bring along what nobody verified.
#[tokio::test]
async fn search_paths_and_strange_libraries_are_refused() {
    let workshop = Workshop::new();
    for path in ["-Wl,-rpath,$ORIGIN", "-Wl,-rpath,/tmp,--disable-new-dtags"] {
        let reason = workshop.refuses(workshop.variant(&[path])).await;
        assert!(
            matches!(reason, NativeRefusal::SearchPath { .. }),
            "{reason:?}"
        );
    }
    let other = workshop.path("libother.so");
    fs::write(
        &other,
        workshop.compile("echo.c", &["-Wl,-soname,libother.so"]),
    )
    .unwrap();
    let needy = workshop.variant(&["-Wl,--no-as-needed", other.to_str().unwrap()]);
    let reason = workshop.refuses(needy.clone()).await;
    let is_other =
        matches!(&reason, NativeRefusal::Library { library } if library == "libother.so");
    assert!(is_other, "{reason:?}");
    // The good twin: the operator allows it.
    let allowing = workshop.loader().allow_library("libother.so");
    let preflight = allowing
        .preflight(&artifact(PluginKind::Native, needy))
        .unwrap();
    assert!(preflight.imports.contains(&"libother.so".to_owned()));
    for (flag, name) in [
        ("-Wl,-f,libm.so.6", "auxiliary"),
        ("-Wl,-F,libm.so.6", "filter"),
    ] {
        let reason = workshop.refuses(workshop.variant(&[flag])).await;
        assert!(
            matches!(reason, NativeRefusal::Malformed { .. }),
            "{name}: {reason:?}"
        );
    }
}

/// NAT-07: memory that can be written and run.
#[tokio::test]
async fn executable_stacks_and_patched_code_are_refused() {
    let workshop = Workshop::new();
    let reason = workshop
        .refuses(workshop.variant(&["-Wl,-z,execstack"]))
        .await;
    assert!(
        matches!(reason, NativeRefusal::ExecutableStack),
        "{reason:?}"
    );
    let good = workshop.variant(&[]);
    let headers = Headers::of(&good);
    // Without the header, the dynamic loader takes the stack for an executable one.
    let mut bytes = good.clone();
    let stack = headers.find(&good, object::elf::PT_GNU_STACK);
    bytes[stack..stack + 4].copy_from_slice(&object::elf::PT_NULL.to_le_bytes());
    let reason = workshop.refuses(bytes).await;
    assert!(
        matches!(reason, NativeRefusal::ExecutableStack),
        "{reason:?}"
    );
    let mut bytes = good.clone();
    let load = headers.find(&good, object::elf::PT_LOAD);
    bytes[load + 4..load + 8].copy_from_slice(&7_u32.to_le_bytes());
    let reason = workshop.refuses(bytes).await;
    assert!(matches!(reason, NativeRefusal::WritableCode), "{reason:?}");
    if cfg!(target_arch = "x86_64") {
        let bytes = workshop.variant(&["-DTEXT_RELOCATIONS", "-Wl,-z,notext"]);
        let reason = workshop.refuses(bytes).await;
        assert!(
            matches!(reason, NativeRefusal::TextRelocations),
            "{reason:?}"
        );
    }
}

/// NAT-02: other machines, other kinds of files.
#[tokio::test]
async fn what_is_no_library_of_this_machine_is_refused() {
    let workshop = Workshop::new();
    let good = workshop.variant(&[]);
    workshop
        .loader()
        .preflight(&artifact(PluginKind::Native, good.clone()))
        .unwrap();
    let with = |offset: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[offset] = value;
        bytes
    };
    // Class, byte order, system, machine.
    for (offset, value) in [(7, 9), (7, 0xff), (18, 0x28), (18, 0)] {
        let reason = workshop.refuses(with(offset, value)).await;
        assert!(
            matches!(reason, NativeRefusal::WrongPlatform { .. }),
            "{offset}: {reason:?}"
        );
    }
    for (offset, value) in [(4, 1), (5, 2)] {
        // The rest does not fit any more; whichever is found first is said.
        let reason = workshop.refuses(with(offset, value)).await;
        let refused = matches!(
            reason,
            NativeRefusal::WrongPlatform { .. } | NativeRefusal::Malformed { .. }
        );
        assert!(refused, "{reason:?}");
    }
    for kind in [0, 1, 2, 4, 9] {
        let reason = workshop.refuses(with(16, kind)).await;
        assert!(
            matches!(reason, NativeRefusal::NotALibrary { .. }),
            "{kind}: {reason:?}"
        );
    }
    for text in ["", "\x7fELF", "#!/bin/sh\n", "MZ", "\u{feff}"] {
        let reason = workshop.refuses(text.into()).await;
        let refused = matches!(
            reason,
            NativeRefusal::UnknownFormat | NativeRefusal::Malformed { .. }
        );
        assert!(refused, "{text:?}: {reason:?}");
    }
    let reason = workshop
        .refuses(wasm("echo-wasm/echo.wat").bytes().to_vec())
        .await;
    assert!(matches!(reason, NativeRefusal::UnknownFormat), "{reason:?}");
}

/// NAT-02: executables, also those that are position independent, and object files.
#[tokio::test]
async fn executables_are_refused() {
    let workshop = Workshop::new();
    let source = workshop.path("main.c");
    fs::write(&source, "int main(void) { return 0; }").unwrap();
    for flags in [&["-pie"][..], &["-no-pie"], &["-c"]] {
        let out = workshop.path("program");
        let compiled = Command::new("cc")
            .arg(&source)
            .args(flags)
            .arg("-o")
            .arg(&out)
            .status();
        assert!(compiled.unwrap().success());
        let reason = workshop.refuses(fs::read(out).unwrap()).await;
        let refused = matches!(reason, NativeRefusal::NotALibrary { .. });
        assert!(refused, "{flags:?}: {reason:?}");
    }
}

/// NAT-02: cut off anywhere, or with nonsense anywhere in its headers, it is an error, not a crash.
#[test]
fn damaged_libraries_are_refused() {
    let workshop = Workshop::new();
    let good = workshop.variant(&[]);
    let loader = workshop.loader();
    let preflight = |bytes: Vec<u8>| loader.preflight(&artifact(PluginKind::Native, bytes));
    let needed = Headers::of(&good).end_of_segments(&good);
    assert!(needed < good.len());
    for len in (0..needed).step_by(64).chain([needed - 1]) {
        preflight(good[..len].to_vec()).unwrap_err();
    }
    // Behind the last segment there is only what linkers and debuggers read.
    preflight(good[..needed].to_vec()).unwrap();
    // Nothing of this may panic; much of it is refused.
    let headers = Headers::of(&good);
    let dynamic = headers.find(&good, object::elf::PT_DYNAMIC);
    let dynamic = headers.offset(&good, dynamic);
    let spots = (0..headers.end).chain(dynamic..dynamic + 16 * 30);
    let mut refused = 0;
    for spot in spots {
        for value in [0x00, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[spot] = value;
            refused += usize::from(preflight(bytes).is_err());
        }
    }
    assert!(refused > 500, "{refused}");
    // What the dynamic loader does not read, we do not read either.
    let mut bytes = good.clone();
    bytes[40..48].fill(0xff);
    bytes[58..64].fill(0xff);
    preflight(bytes).unwrap();
}

/// Bytes that are not what the digest says are found in the copy, before it is opened.
#[tokio::test]
async fn a_copy_that_is_not_what_the_digest_says_is_not_opened() {
    let workshop = Workshop::new();
    let bytes = workshop.variant(&["-DANSWER=4"]);
    let digest = Digest::sha256("something else");
    let library = Artifact::from_verified(PluginKind::Native, bytes.into(), digest, "fixture");
    let error = refusal(
        workshop
            .loader()
            .load(library, LoadOptions::default())
            .await,
    );
    assert!(
        matches!(error, LoadError::DigestMismatch { .. }),
        "{error:?}"
    );
    assert!(!workshop.marker().exists());
}

#[tokio::test]
async fn a_wasm_artifact_is_for_another_loader() {
    let workshop = Workshop::new();
    let result = workshop
        .loader()
        .load(wasm("echo-wasm/echo.wat"), LoadOptions::default())
        .await;
    let error = refusal(result);
    assert!(matches!(error, LoadError::KindMismatch { .. }), "{error:?}");
}

/// Where the program headers of a 64-bit little-endian file are.
struct Headers {
    start: usize,
    count: usize,
    end: usize,
}

impl Headers {
    const SIZE: usize = 56;

    fn of(bytes: &[u8]) -> Self {
        let start = usize::try_from(u64::from_le_bytes(bytes[32..40].try_into().unwrap())).unwrap();
        let count = usize::from(u16::from_le_bytes(bytes[56..58].try_into().unwrap()));
        Self {
            start,
            count,
            end: start + count * Self::SIZE,
        }
    }

    /// The first header of a type.
    fn find(&self, bytes: &[u8], kind: u32) -> usize {
        (0..self.count)
            .map(|index| self.start + index * Self::SIZE)
            .find(|at| bytes[*at..at + 4] == kind.to_le_bytes())
            .unwrap()
    }

    fn offset(&self, bytes: &[u8], at: usize) -> usize {
        assert!(at >= self.start);
        usize::try_from(u64::from_le_bytes(
            bytes[at + 8..at + 16].try_into().unwrap(),
        ))
        .unwrap()
    }

    fn end_of_segments(&self, bytes: &[u8]) -> usize {
        let ends = (0..self.count).map(|index| {
            let at = self.start + index * Self::SIZE;
            let size = u64::from_le_bytes(bytes[at + 32..at + 40].try_into().unwrap());
            self.offset(bytes, at) + usize::try_from(size).unwrap()
        });
        ends.max().unwrap()
    }
}
