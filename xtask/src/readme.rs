//! The shell commands of README.md and docs/*.md, run as a reader types them.
//!
//! A ```` ```sh ```` block is run when an HTML comment that says `runnable` is right above it:
//!
//! - `<!-- runnable -->`: run to its end; it must end with exit code 0.
//! - `<!-- runnable: background 127.0.0.1:5000 -->`: started and left running for the blocks after
//!   it; they begin once something listens at that address.
//!
//! One bash in the project's folder runs all marked blocks of a file in order, so variables and the
//! current folder persist from block to block.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::project;

/// One ```` ```sh ```` block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    file: PathBuf,
    /// Of the opening fence, from 1.
    line: usize,
    mark: Mark,
    text: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Mark {
    NotRun,
    Run,
    Background { address: String },
    Unknown { text: String },
}

impl Block {
    fn is_run(&self) -> bool {
        self.mark != Mark::NotRun
    }
}

impl std::fmt::Display for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = if self.is_run() {
            "run by ci"
        } else {
            "not run"
        };
        write!(
            f,
            "{}:{}: `sh` block, {how}",
            self.file.display(),
            self.line
        )
    }
}

/// The `sh` blocks of all guides among `files` (relative to `root`).
pub(crate) fn blocks_of(root: &Path, files: &[PathBuf]) -> anyhow::Result<Vec<Block>> {
    let mut blocks = Vec::new();
    for file in files.iter().filter(|file| is_guide(file)) {
        blocks.extend(parse(file, &std::fs::read_to_string(root.join(file))?));
    }
    Ok(blocks)
}

/// Runs every marked block; `covered` are commands that the caller has run as steps of its own.
pub(crate) fn run_all(sh: &Shell, covered: &[&str]) -> anyhow::Result<String> {
    let files = project::files(sh)?;
    let blocks = blocks_of(&project::root(), &files)?;
    let first = |block: &Block| block.is_run() && block.file == Path::new("README.md");
    anyhow::ensure!(
        blocks.iter().any(first),
        "README.md marks no `sh` block as runnable; see CONTRIBUTING.md"
    );
    let mut ran = 0;
    for file in files.iter().filter(|file| is_guide(file)) {
        let of_file: Vec<&Block> = blocks
            .iter()
            .filter(|block| block.file == *file && block.is_run())
            .collect();
        if of_file.is_empty() {
            continue;
        }
        let script = script(&of_file, covered)?;
        cmd!(sh, "bash -c {script}")
            .quiet()
            .run()
            .with_context(|| format!("the commands of {} do not work", file.display()))?;
        ran += of_file.len();
    }
    Ok(format!(
        "{ran} of {} blocks are marked runnable, all work",
        blocks.len()
    ))
}

fn is_guide(file: &Path) -> bool {
    let markdown = file.extension().is_some_and(|extension| extension == "md");
    markdown && (file == Path::new("README.md") || file.parent() == Some(Path::new("docs")))
}

fn parse(file: &Path, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut mark = Mark::NotRun;
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let line = line.trim();
        if let Some(fence) = line.strip_prefix("```") {
            let body: Vec<&str> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| !line.trim().starts_with("```"))
                .collect();
            let mark = std::mem::replace(&mut mark, Mark::NotRun);
            if fence.trim() == "sh" {
                let block = Block {
                    file: file.to_owned(),
                    line: at + 1,
                    mark,
                    text: body.join("\n"),
                };
                blocks.push(block);
            }
        } else if let Some(comment) = line.strip_prefix("<!--") {
            mark = parse_mark(comment.trim_end_matches("-->").trim());
        } else if !line.is_empty() {
            mark = Mark::NotRun;
        }
    }
    blocks
}

fn parse_mark(comment: &str) -> Mark {
    let Some(rest) = comment.strip_prefix("runnable") else {
        return Mark::NotRun;
    };
    match rest.trim_start_matches(':').trim().split_once(' ') {
        None if rest.is_empty() => Mark::Run,
        Some(("background", address)) => Mark::Background {
            address: address.trim().to_owned(),
        },
        _ => Mark::Unknown {
            text: comment.to_owned(),
        },
    }
}

/// One bash script out of the blocks of one file.
fn script(blocks: &[&Block], covered: &[&str]) -> anyhow::Result<String> {
    let mut script = String::from(
        "set -euo pipefail\ntrap 'for job in $(jobs -p); do kill \"$job\" || true; done' EXIT\n",
    );
    // The commands that ci has just run are not run twice.
    let covered: Vec<String> = covered
        .iter()
        .map(|step| format!("'xtask {step}'"))
        .collect();
    if !covered.is_empty() {
        let _ = writeln!(
            script,
            "cargo() {{ case \"$*\" in {}) echo \"(cargo $* is a step of its own)\";; \
             *) command cargo \"$@\";; esac; }}",
            covered.join("|")
        );
    }
    for Block {
        file,
        line,
        mark,
        text,
    } in blocks
    {
        let place = format!("{}:{line}", file.display());
        let _ = writeln!(script, "echo '+ {place}'");
        match mark {
            Mark::NotRun => {}
            Mark::Run => {
                let _ = writeln!(script, "{text}");
            }
            Mark::Background { address } => {
                let (host, port) = address
                    .rsplit_once(':')
                    .with_context(|| format!("{place}: `{address}` is not HOST:PORT"))?;
                // `exec` of a lone command lets the trap reach it and not only its shell.
                let _ = writeln!(
                    script,
                    "( {text}\n) & job=$!\nfor _ in $(seq 600); do\n  \
                     if (exec 3<>/dev/tcp/{host}/{port}) 2>/dev/null; then break; fi\n  \
                     kill -0 \"$job\"\n  sleep 0.5\ndone\n\
                     (exec 3<>/dev/tcp/{host}/{port})"
                );
            }
            Mark::Unknown { text } => {
                anyhow::bail!("{place}: `<!-- {text} -->` is not understood; see CONTRIBUTING.md")
            }
        }
    }
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUIDE: &str = "\
# Title
<!-- runnable -->
```sh
echo one
```
Text.
```sh
echo not run
```
<!-- runnable: background 127.0.0.1:5000 -->

```sh
serve
```
<!-- runnable -->
```toml
key = 1
```
<!-- runnable: sometimes -->
```sh
echo two
```
";

    #[test]
    fn marks_belong_to_the_block_below_them() {
        let blocks = parse(Path::new("README.md"), GUIDE);
        let seen: Vec<(usize, &Mark, &str)> = blocks
            .iter()
            .map(|block| (block.line, &block.mark, block.text.as_str()))
            .collect();
        let expected = [
            (3, &Mark::Run, "echo one"),
            (7, &Mark::NotRun, "echo not run"),
            (
                12,
                &Mark::Background {
                    address: "127.0.0.1:5000".to_owned(),
                },
                "serve",
            ),
            (
                20,
                &Mark::Unknown {
                    text: "runnable: sometimes".to_owned(),
                },
                "echo two",
            ),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn an_unknown_mark_is_an_error_that_names_its_place() {
        let blocks = parse(Path::new("docs/x.md"), GUIDE);
        let error = script(&blocks.iter().collect::<Vec<_>>(), &[]).unwrap_err();
        assert!(error.to_string().starts_with("docs/x.md:20: "), "{error}");
    }

    #[test]
    fn blocks_of_a_file_share_a_shell_and_the_first_failure_ends_it() {
        let sh = Shell::new().unwrap();
        let run = |guide: &str, covered: &[&str]| {
            let blocks = parse(Path::new("README.md"), guide);
            let blocks: Vec<&Block> = blocks.iter().filter(|block| block.is_run()).collect();
            let script = script(&blocks, covered).unwrap();
            cmd!(sh, "bash -c {script}").quiet().ignore_stderr().read()
        };
        let block = |text: &str| format!("<!-- runnable -->\n```sh\n{text}\n```\n");
        let shared = format!("{}{}", block("word=shared"), block("echo \"$word\""));
        assert!(run(&shared, &[]).unwrap().ends_with("shared"));
        assert!(run(&format!("{}{}", block("false"), block("true")), &[]).is_err());
        let covered = run(&block("cargo xtask demo"), &["demo"]).unwrap();
        assert!(covered.contains("step of its own"), "{covered}");
    }

    #[test]
    fn guides_are_the_readme_and_docs() {
        assert!(is_guide(Path::new("README.md")));
        assert!(is_guide(Path::new("docs/operators.md")));
        assert!(!is_guide(Path::new("CONTRIBUTING.md")));
        assert!(!is_guide(Path::new("crates/qmt-cache/README.md")));
    }
}
