//! `docs/internal/security-coverage.md` names tests that exist, every id of the security list, and
//! every test that says of itself which id it covers. With `QMT_UPDATE_COVERAGE` set, names of
//! tests are put into the rows of their ids, and names of tests that are gone are taken out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::command::root;

/// Groups of ids, and how many each has. One is added here when the list gets longer.
const GROUPS: [(&str, usize); 11] = [
    ("AUTH", 21),
    ("DIG", 15),
    ("REF", 6),
    ("TAR", 13),
    ("CACHE", 14),
    ("SIG", 21),
    ("TUF", 6),
    ("WASM", 12),
    ("NAT", 8),
    ("CFG", 8),
    ("LIM", 13),
];
/// The fault drills.
const DRILLS: [&str; 24] = [
    "F1", "F1b", "F2", "F2b", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F10b", "F11",
    "F12", "F13", "F14", "F15", "F16", "F17", "F18", "F19", "F20", "F21",
];

/// The tests of the project by their names in the document, with the ids that they carry.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let mut files = Vec::new();
    for folder in ["crates", "tests/e2e/src", "tests/e2e/tests"] {
        sources(&root().join(folder), &mut files);
    }
    let mut tests = BTreeMap::new();
    for file in files {
        let module = module(file.strip_prefix(root()).unwrap());
        for (name, ids) in tests_in(&fs::read_to_string(&file).unwrap()) {
            tests.insert(format!("{module}::{name}"), ids);
        }
    }
    tests
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

/// `crates/qmt-verify/tests/it/policy.rs` → `qmt_verify::it::policy`.
fn module(file: &Path) -> String {
    let parts: Vec<_> = file.iter().map(|part| part.to_str().unwrap()).collect();
    let (name, rest) = match parts.as_slice() {
        ["tests", "e2e", _, rest @ ..] => ("qmt-e2e-tests", rest),
        ["crates", name, _, rest @ ..] => (*name, rest),
        _ => panic!("{}", file.display()),
    };
    let mut path = vec![name.replace('-', "_")];
    path.extend(
        rest.iter()
            .map(|part| part.trim_end_matches(".rs").to_owned()),
    );
    if matches!(
        path.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        path.pop();
    }
    path.join("::")
}

/// The tests of one file, with the ids in their doc comments and names.
fn tests_in(text: &str) -> Vec<(String, BTreeSet<String>)> {
    let (mut tests, mut doc, mut is_test) = (Vec::new(), String::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            doc.push_str(words);
        } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if !line.is_empty() && !line.starts_with("#[") && !line.starts_with("//") {
            let name = line
                .strip_prefix("async ")
                .unwrap_or(line)
                .strip_prefix("fn ");
            if let (true, Some(name)) = (is_test, name) {
                let name = name.split('(').next().unwrap_or(name);
                let shown = doc.clone() + " " + &name.to_ascii_uppercase().replace('_', "-");
                tests.push((name.to_owned(), ids_in(&shown)));
            }
            (doc, is_test) = (String::new(), false);
        }
    }
    tests
}

/// What looks like an id of a group: its name, a hyphen and two digits.
fn ids_in(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (group, _) in GROUPS {
        for (at, _) in text.match_indices(&format!("{group}-")) {
            let follows = |c: char| c.is_ascii_alphanumeric();
            let number = text.get(at + group.len() + 1..at + group.len() + 3);
            let after = text[at..].chars().nth(group.len() + 3);
            if let Some(number) = number
                && !text[..at].ends_with(follows)
                && number.bytes().all(|byte| byte.is_ascii_digit())
                && !after.is_some_and(follows)
            {
                found.insert(format!("{group}-{number}"));
            }
        }
    }
    found
}

/// The rows of the document: id, tests, what is missing.
fn rows() -> BTreeMap<String, (Vec<String>, String)> {
    let text = fs::read_to_string(root().join("docs/internal/security-coverage.md")).unwrap();
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, tests, missing] = cells[..] else {
            panic!("a row of three cells: {line}");
        };
        let is_id = id.starts_with(|first: char| first.is_ascii_uppercase());
        if is_id {
            let tests = tests.split('`').filter(|name| name.contains("::"));
            let row = (tests.map(str::to_owned).collect(), missing.to_owned());
            assert!(
                rows.insert(id.to_owned(), row).is_none(),
                "{id} stands twice"
            );
        }
    }
    rows
}

/// What each id is about, as the lists above the tables say it.
fn words() -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("docs/internal/security-coverage.md")).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("- "));
    let mut words = BTreeMap::new();
    for (id, about) in lines.filter_map(|line| line.split_once(": ")) {
        let before = words.insert(id.to_owned(), about.to_owned());
        assert!(before.is_none(), "{id} is explained twice");
    }
    words
}

/// Puts the tests into the rows of the ids that they carry, and takes out those that are gone.
fn update(tests: &BTreeMap<String, BTreeSet<String>>) {
    let path = root().join("docs/internal/security-coverage.md");
    let mut text = String::new();
    for line in fs::read_to_string(&path).unwrap().lines() {
        let cells: Vec<_> = line.split(" | ").collect();
        if let [id, named, missing] = cells[..]
            && let Some(id) = id.strip_prefix("| ")
            && rows().contains_key(id)
        {
            let there = named.split('`').filter(|name| tests.contains_key(*name));
            let mut names: Vec<_> = there.collect();
            for (name, ids) in tests.iter().filter(|(name, _)| counts(name)) {
                if ids.contains(id) && !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            let _ = writeln!(text, "| {id} | {} | {missing}", names.join("<br>"));
        } else {
            text += line;
            text += "\n";
        }
    }
    fs::write(path, text).unwrap();
}

/// The kit's own tests prove the kit.
fn counts(name: &str) -> bool {
    !name.starts_with("qmt_testkit")
}

#[test]
fn the_document_names_every_id_and_only_tests_that_exist() {
    let tests = tests();
    if std::env::var_os("QMT_UPDATE_COVERAGE").is_some() {
        update(&tests);
    }
    let rows = rows();
    let mut wrong = Vec::new();
    let of_groups = GROUPS
        .iter()
        .flat_map(|(group, count)| (1..=*count).map(move |number| format!("{group}-{number:02}")));
    let ids: Vec<String> = of_groups.chain(DRILLS.map(str::to_owned)).collect();
    let words = words();
    for id in words.keys().filter(|id| !ids.contains(id)) {
        wrong.push(format!("{id} is explained and not on the list"));
    }
    for id in &ids {
        if !words.contains_key(id) {
            wrong.push(format!("no list says what {id} is about"));
        }
        match rows.get(id) {
            None => wrong.push(format!("{id} has no row")),
            Some((tests, missing)) if tests.is_empty() && missing.is_empty() => {
                wrong.push(format!("{id} has neither a test nor a word why"));
            }
            Some(_) => {}
        }
    }
    for (id, (named, _)) in &rows {
        if !ids.contains(id) {
            wrong.push(format!("{id} is not on the list"));
        }
        for name in named.iter().filter(|name| !tests.contains_key(*name)) {
            wrong.push(format!("{id}: there is no test `{name}`"));
        }
    }
    for (name, carried) in tests.iter().filter(|(name, _)| counts(name)) {
        for id in carried {
            if !rows.get(id).is_some_and(|(named, _)| named.contains(name)) {
                wrong.push(format!("`{name}` covers {id}, and its row does not say so"));
            }
        }
    }
    let advice = "QMT_UPDATE_COVERAGE=1 cargo test -p qmt-e2e-tests coverage";
    assert!(
        wrong.is_empty(),
        "{wrong:#?}\nto put names into their rows: {advice}"
    );
    assert!(tests.len() > 700, "{} tests found", tests.len());
}

#[test]
fn ids_are_found_in_words_and_names() {
    let found = |text: &str| ids_in(text).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(
        found("DIG-02, DIG-08: the bytes (SIG-06)."),
        "DIG-02 DIG-08 SIG-06"
    );
    assert_eq!(found("TAR-02-TAR-05-ONLY-A-FILE"), "TAR-02 TAR-05");
    assert_eq!(
        found("RUSTSEC-2026-0113, XDIG-02, DIG-2, DIG-021, DIG-"),
        ""
    );
    let text = "/// SIG-01.\n#[test]\nfn a() {}\n/// SIG-02\nfn b() {}\n#[tokio::test]\nasync fn nat_03_c() {}\n";
    let tests = tests_in(text);
    assert_eq!(tests.len(), 2);
    assert_eq!(
        tests[0],
        ("a".to_owned(), BTreeSet::from(["SIG-01".to_owned()]))
    );
    assert_eq!(tests[1].1, BTreeSet::from(["NAT-03".to_owned()]));
    assert_eq!(module(Path::new("crates/qmt-a/src/b/mod.rs")), "qmt_a::b");
    assert_eq!(
        module(Path::new("crates/qmt-a/tests/it/main.rs")),
        "qmt_a::it"
    );
    assert_eq!(
        module(Path::new("tests/e2e/tests/it/cases.rs")),
        "qmt_e2e_tests::it::cases"
    );
}
