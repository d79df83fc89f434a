//! The protocol of tuf-conformance, spoken by the example that implements it, over HTTP.
//! <https://github.com/theupdateframework/tuf-conformance/blob/main/CLIENT-CLI.md>

use std::path::Path;
use std::time::{Duration, SystemTime};

use qmt_testkit::{PlainServer, PrivateSigstore, TufDefect, TufRepository, TufRole};
use serde_json::Value;
use tempfile::TempDir;

#[expect(dead_code, reason = "its `main` is that of another program")]
#[path = "../../examples/tuf_client.rs"]
mod client;

struct Lab {
    server: PlainServer,
    repository: TufRepository,
    folder: TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Self {
            server: PlainServer::start().unwrap(),
            repository: PrivateSigstore::new().tuf_repository(),
            folder: TempDir::new().unwrap(),
        };
        lab.serve();
        let root = lab.folder.path().join("first.json");
        std::fs::write(&root, lab.repository.initial_root()).unwrap();
        assert!(lab.run(&["init", root.to_str().unwrap()]));
        lab
    }

    /// Serves what the repository publishes, with the targets under another URL.
    fn serve(&self) {
        for (name, content) in self.repository.files().iter() {
            let place = match name.strip_prefix("targets/") {
                Some(name) => format!("/elsewhere/{name}"),
                None => format!("/metadata/{name}"),
            };
            self.server.put(&place, content.clone());
        }
    }

    fn run(&self, words: &[&str]) -> bool {
        let folder = self.folder.path().join("metadata");
        let url = self.server.url();
        let metadata = format!("{url}/metadata/");
        let targets = format!("{url}/elsewhere/");
        let downloads = self.folder.path().join("downloads");
        let options = [
            ["--metadata-dir", folder.to_str().unwrap()],
            ["--metadata-url", &metadata],
            ["--target-base-url", &targets],
            ["--target-dir", downloads.to_str().unwrap()],
        ];
        let arguments = options.concat().into_iter().chain(words.iter().copied());
        client::run(arguments.map(ToOwned::to_owned)).is_ok()
    }

    fn download(&self, name: &str) -> bool {
        self.run(&["--target-name", name, "download"])
    }

    /// The trusted versions, in the order of the workflow; 0 for a role without metadata.
    fn trusted(&self) -> [u64; 4] {
        ["root", "timestamp", "snapshot", "targets"].map(|role| {
            let path = self.folder.path().join(format!("metadata/{role}.json"));
            let content = std::fs::read(path).unwrap_or_default();
            let json: Value = serde_json::from_slice(&content).unwrap_or_default();
            json["signed"]["version"].as_u64().unwrap_or_default()
        })
    }

    fn downloaded(&self) -> Vec<Vec<u8>> {
        let entries = std::fs::read_dir(self.folder.path().join("downloads"));
        let entries = entries
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path());
        entries.map(|path| std::fs::read(path).unwrap()).collect()
    }
}

/// TUF-01: what is trusted stands in the folder, byte for byte, also after a command that failed.
#[test]
fn tuf_01_the_folder_holds_what_is_trusted() {
    let mut lab = Lab::new();
    assert_eq!(lab.trusted(), [1, 0, 0, 0]);
    assert!(lab.run(&["refresh"]));
    assert_eq!(lab.trusted(), [1, 1, 1, 1]);
    let stored = std::fs::read(lab.folder.path().join("metadata/timestamp.json")).unwrap();
    assert_eq!(
        stored,
        lab.repository.files().get("timestamp.json").unwrap()[..]
    );
    // A new root, a new timestamp and snapshot, and targets that have expired.
    lab.repository.rotate(TufRole::Timestamp);
    let yesterday = SystemTime::now() - Duration::from_hours(24);
    lab.repository.set_expiry(TufRole::Targets, yesterday);
    lab.repository.publish();
    lab.serve();
    assert!(!lab.run(&["refresh"]));
    let [root, timestamp, snapshot, targets] = lab.trusted();
    assert!(
        root == 2 && timestamp > 1 && snapshot > 1 && targets == 1,
        "{:?}",
        lab.trusted()
    );
}

/// TUF-01: targets are stored once each, and only if they are what the metadata says.
#[test]
fn tuf_01_targets_are_downloaded_by_their_path() {
    let mut lab = Lab::new();
    assert!(!lab.download("missing"));
    assert_eq!(lab.trusted(), [1, 1, 1, 1]);
    lab.repository
        .set_target("a/b c/one.txt", "first".as_bytes());
    lab.repository.publish();
    lab.serve();
    assert!(lab.download("a/b c/one.txt"));
    assert_eq!(lab.downloaded(), [b"first"]);
    lab.repository
        .set_target("a/b c/one.txt", "second".as_bytes());
    lab.repository.publish();
    lab.serve();
    assert!(lab.download("a/b c/one.txt"));
    assert_eq!(lab.downloaded(), [b"second"]);
    for defect in TufDefect::of_publishing() {
        let mut lab = Lab::new();
        assert!(lab.run(&["refresh"]));
        lab.repository.publish_bad(defect);
        lab.serve();
        assert!(!lab.download("trusted_root.json"), "{defect:?}");
        assert!(lab.downloaded().is_empty(), "{defect:?}");
    }
}

/// Commands that the suite does not define fail.
#[test]
fn unknown_commands_fail() {
    let lab = Lab::new();
    for words in [
        &[][..],
        &["update"],
        &["refresh", "now"],
        &["init"],
        &["refresh", "--metadata-url"],
    ] {
        assert!(!lab.run(words), "{words:?}");
    }
    assert!(!Path::new("client").exists());
}
