//! Trust roots from a TUF repository, in several processes: at once, and killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use qmt_testkit::{PrivateSigstore, TufRepository, TufRole};
use qmt_verify::BoxError;
use qmt_verify::trust::{TrustRoot, TufOptions, TufTransport};
use tempfile::TempDir;

/// Set where this process is one of many: the folder that they share.
const FOLDER: &str = "QMT_TUF_FOLDER";
/// Set where it goes on until it is killed.
const ENDLESS: &str = "QMT_TUF_ENDLESS";
const URL: &str = "https://tuf.example/";

/// A repository in a folder, and a list of what was asked for.
struct Folder(PathBuf);

impl Folder {
    fn options(&self, refresh_after: Duration) -> TufOptions {
        let root = std::fs::read(self.0.join("first-root.json")).unwrap();
        TufOptions::new(URL, root, self.0.join("cache")).with_refresh_after(refresh_after)
    }

    fn publish(&self, repository: &TufRepository) {
        repository
            .files()
            .write_to(&self.0.join("repository"))
            .unwrap();
    }

    /// How often something was asked for.
    fn asked(&self, name: &str) -> usize {
        let asked = std::fs::read_to_string(self.0.join("asked")).unwrap();
        asked.lines().filter(|line| *line == name).count()
    }
}

#[async_trait]
impl TufTransport for Folder {
    async fn get(&self, url: &str, _: u64) -> Result<Option<Bytes>, BoxError> {
        let name = url.strip_prefix(URL).ok_or("another host")?;
        let asked = self.0.join("asked");
        let mut asked = std::fs::File::options()
            .append(true)
            .create(true)
            .open(asked)?;
        // One write, so that lines of several processes stay whole.
        asked.write_all(format!("{name}\n").as_bytes())?;
        match std::fs::read(self.0.join("repository").join(name)) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A transport that is not to be asked.
struct Unused;

#[async_trait]
impl TufTransport for Unused {
    async fn get(&self, _: &str, _: u64) -> Result<Option<Bytes>, BoxError> {
        Err("there is no network".into())
    }
}

fn lab() -> (TempDir, Folder, TufRepository) {
    let scratch = TempDir::new().unwrap();
    let folder = Folder(scratch.path().to_owned());
    let repository = PrivateSigstore::new().tuf_repository();
    std::fs::write(folder.0.join("first-root.json"), repository.initial_root()).unwrap();
    folder.publish(&repository);
    (scratch, folder, repository)
}

fn start(folder: &Path, endless: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "tuf_processes::acts_as_one_of_many",
            "--exact",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped());
    if endless {
        command.env(ENDLESS, "1");
    }
    command.spawn().unwrap()
}

/// A test that is one of the processes where the environment says so.
#[tokio::test]
async fn acts_as_one_of_many() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        let (_scratch, folder, _) = lab();
        let options = folder.options(Duration::from_hours(24));
        let outcome = TrustRoot::from_tuf(&options, &Unused, SystemTime::now()).await;
        assert!(outcome.is_err(), "no repository was asked");
        return;
    };
    let folder = Folder(folder.into());
    let endless = std::env::var_os(ENDLESS).is_some();
    let refresh_after = if endless {
        Duration::ZERO
    } else {
        Duration::from_hours(24)
    };
    let options = folder.options(refresh_after);
    loop {
        TrustRoot::from_tuf(&options, &folder, SystemTime::now())
            .await
            .unwrap();
        println!("loaded");
        if !endless {
            return;
        }
    }
}

/// TUF-05, TUF-06: of many processes at once, one refreshes and the others take what it got.
#[test]
fn tuf_06_of_many_processes_one_refreshes() {
    let (_scratch, folder, _) = lab();
    let children: Vec<Child> = (0..64).map(|_| start(&folder.0, false)).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("loaded"));
    }
    assert_eq!(folder.asked("timestamp.json"), 1);
}

/// How many processes are killed; see `drill`.
fn kills() -> u32 {
    match std::env::var("QMT_DRILL").as_deref() {
        Ok("long") => 1_000,
        Ok("full") => 100,
        _ => 6,
    }
}

/// TUF-05, F17: killed in the midst of a refresh, whenever that is: what was verified last serves on
/// without a network, and the next refresh works.
#[tokio::test]
async fn tuf_05_a_killed_process_loses_nothing() {
    let (_scratch, folder, mut repository) = lab();
    let day = folder.options(Duration::from_hours(24));
    let always = folder.options(Duration::ZERO);
    TrustRoot::from_tuf(&day, &folder, SystemTime::now())
        .await
        .unwrap();
    for round in 0..kills() {
        if round % 8 == 0 {
            repository.rotate(TufRole::Targets);
        } else {
            repository.publish();
        }
        folder.publish(&repository);
        let mut child = start(&folder.0, true);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Until it is at work, and a little longer each time.
        let loaded = |line: &std::io::Result<String>| line.as_ref().unwrap() == "loaded";
        assert!(lines.by_ref().any(|line| loaded(&line)));
        tokio::time::sleep(Duration::from_micros(u64::from(round) * 337 % 9_000)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        TrustRoot::from_tuf_cache(&day, SystemTime::now())
            .await
            .unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        TrustRoot::from_tuf(&always, &Unused, SystemTime::now())
            .await
            .unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        TrustRoot::from_tuf(&always, &folder, SystemTime::now())
            .await
            .unwrap_or_else(|error| panic!("round {round}: {error:?}"));
    }
    println!("drill F17 kills: {} cases, 0 violations", kills());
}
