//! Plugins that Extism's development kits make, and the calls of them. Their sources are in `kits/`;
//! those that cargo or rustc must not take for the workspace's own end in `.txt`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use qmt_e2e_tests::projects;
use xshell::{Shell, cmd};

use super::host::{Call, Module};
use crate::real::quietly;

/// Names of cases begin with this.
pub(super) const GROUP: &str = "kit/";

/// A development kit, and the plugin that is made with it.
pub(super) struct Kit {
    pub(super) name: &'static str,
    /// The programs that build it.
    pub(super) needed: &'static [&'static str],
    /// The functions that this plugin has and not all of them.
    own: &'static [&'static str],
    build: fn(&Shell, &Path) -> anyhow::Result<PathBuf>,
}

pub(super) const KITS: &[Kit] = &[
    Kit {
        name: "rust",
        needed: projects::DEBIAN_FILES,
        own: &["fail_with_causes", "json"],
        build: build_rust,
    },
    Kit {
        name: "go",
        needed: &["go"],
        own: &["fail_with_code", "json"],
        build: build_go,
    },
    Kit {
        name: "assemblyscript",
        needed: &["npm"],
        own: &["fail_with_code", "json"],
        build: build_assemblyscript,
    },
    Kit {
        name: "c",
        needed: &["clang-19", "wasm-ld-19"],
        own: &["fail_with_code"],
        build: build_c,
    },
];

/// A name, and calls in one instance.
type Exercise = (&'static str, Vec<Call>);

impl Kit {
    /// Builds the plugin in a folder of its own.
    pub(super) fn build(&self, sh: &Shell, folder: &Path) -> anyhow::Result<Module> {
        let folder = folder.join(self.name);
        std::fs::create_dir_all(&folder)?;
        let _there = sh.push_dir(&folder);
        let file = (self.build)(sh, &folder).with_context(|| self.name)?;
        Ok(Module::new(self.name, std::fs::read(folder.join(file))?))
    }

    /// Returns what is called of the plugin.
    pub(super) fn exercises(&self) -> Vec<Exercise> {
        let mut exercises = exercises();
        exercises.retain(|(_, calls)| {
            calls.iter().all(|call| {
                !OPTIONAL.contains(&call.export.as_str())
                    || self.own.contains(&call.export.as_str())
            })
        });
        exercises
    }
}

/// The functions that not every plugin has.
const OPTIONAL: &[&str] = &["fail_with_causes", "fail_with_code", "json"];

fn exercises() -> Vec<Exercise> {
    let call = |export: &str, input: &str| Call::new(export, input);
    let large = |key: &str| {
        let mut input = format!("{key}\n").into_bytes();
        input.resize(700_000, b'v');
        Call::new("set", input)
    };
    let bytes = |length: usize| -> Vec<u8> { (0..=u8::MAX).cycle().take(length).collect() };
    let sizes = [0, 1, 7, 8, 9, 0, 65_536, 1 << 20, 15];
    let question = r#"{"text":"one two Two three THREE three"}"#;
    vec![
        (
            "echo",
            sizes.map(|size| Call::new("echo", bytes(size))).into(),
        ),
        (
            "errors",
            vec![
                call("fail", "a reason"),
                call("echo", "and on"),
                call("fail", "\u{fc}\u{202e}\x1b[2J\nsecond line"),
                call("fail", ""),
                call("fail", &"long ".repeat(1000)),
            ],
        ),
        ("causes", vec![call("fail_with_causes", "the cause")]),
        (
            "codes",
            vec![call("fail_with_code", ""), call("echo", "and on")],
        ),
        (
            "configuration",
            ["present", "empty", "absent", "", "schl\u{fc}ssel"]
                .map(|key| call("config", key))
                .into(),
        ),
        (
            "variables",
            vec![
                call("get", "a"),
                call("set", "a\n1"),
                call("get", "a"),
                call("set", "a\n22"),
                call("set", "\u{e4}\nother"),
                call("get", "a"),
                call("get", "\u{e4}"),
                call("set", "a\n"),
                call("get", "a"),
                call("remove", "\u{e4}"),
                call("remove", "\u{e4}"),
                call("get", "\u{e4}"),
                call("set", "\nof no name"),
                call("get", ""),
            ],
        ),
        ("a large variable", vec![large("a"), call("get", "a")]),
        (
            "too large variables",
            vec![large("a"), large("b"), call("get", "a")],
        ),
        (
            "logs",
            ["a line", "", "two\nlines", "\x1b[2J\ttab \u{202e}"]
                .map(|line| call("log", line))
                .into(),
        ),
        ("panic", vec![call("panic", "out of order")]),
        ("json", vec![call("json", question), call("json", "{}")]),
        (
            "json that is wrong",
            vec![call("json", "{\"text\":"), call("echo", "and on")],
        ),
        (
            "heavy",
            vec![call("heavy", "20000"), call("heavy", "30000")],
        ),
        (
            "host function",
            vec![
                call("host", "abc"),
                call("host", ""),
                Call::new("host", bytes(100_000)),
            ],
        ),
        ("host function fails", vec![call("host", "fail")]),
        (
            "request that is not granted",
            vec![call("request", "http://127.0.0.1:1/")],
        ),
        ("request without a host", vec![call("request", "nothing")]),
    ]
}

/// By Debian's compiler, which has the sources of the standard library; rustup's has no library for
/// Wasm unless it is asked for one.
fn build_rust(sh: &Shell, folder: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder.join("src"))?;
    std::fs::write(
        folder.join("src/lib.rs"),
        include_str!("kits/plugin.rs.txt"),
    )?;
    std::fs::write(
        folder.join("Cargo.toml"),
        include_str!("kits/Cargo.toml.txt"),
    )?;
    let target = "wasm32-unknown-unknown";
    let build = cmd!(
        sh,
        "/usr/bin/cargo build --quiet --target {target} --release"
    );
    let build = build
        .envs(projects::DEBIAN.iter().copied())
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTUP_TOOLCHAIN");
    quietly(build)?;
    Ok("target/wasm32-unknown-unknown/release/plugin.wasm".into())
}

fn build_go(sh: &Shell, folder: &Path) -> anyhow::Result<PathBuf> {
    std::fs::write(folder.join("main.go"), include_str!("kits/plugin.go"))?;
    std::fs::write(folder.join("go.mod"), include_str!("kits/go.mod.txt"))?;
    std::fs::write(folder.join("go.sum"), include_str!("kits/go.sum.txt"))?;
    let build = cmd!(
        sh,
        "go build -buildmode=c-shared -ldflags=-s -o plugin.wasm ."
    );
    quietly(build.env("GOOS", "wasip1").env("GOARCH", "wasm"))?;
    Ok("plugin.wasm".into())
}

fn build_assemblyscript(sh: &Shell, folder: &Path) -> anyhow::Result<PathBuf> {
    std::fs::write(folder.join("index.ts"), include_str!("kits/plugin.ts"))?;
    std::fs::write(folder.join("package.json"), "{\"private\": true}")?;
    let packages = ["assemblyscript@0.28.20", "@extism/as-pdk@1.0.0"];
    quietly(cmd!(
        sh,
        "npm install --no-audit --no-fund --ignore-scripts {packages...}"
    ))?;
    quietly(cmd!(
        sh,
        "npx asc index.ts --outFile plugin.wasm --optimize --use abort=index/myAbort"
    ))?;
    Ok("plugin.wasm".into())
}

fn build_c(sh: &Shell, folder: &Path) -> anyhow::Result<PathBuf> {
    std::fs::write(folder.join("plugin.c"), include_str!("kits/plugin.c"))?;
    let warnings = ["-Wall", "-Wextra", "-Werror"];
    quietly(cmd!(
        sh,
        "clang-19 --target=wasm32 -nostdlib -O2 {warnings...} -Wl,--no-entry -o plugin.wasm plugin.c"
    ))?;
    Ok("plugin.wasm".into())
}
