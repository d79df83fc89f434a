//! The TUF repository against an independent client.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qmt_testkit::{
    PlainServer, PrivateSigstore, TRUSTED_ROOT_TARGET, TufDefect, TufFiles, TufRepository, TufRole,
};
use sigstore_tuf::Updater;
use sigstore_tuf::transport::{FetchFuture, Repository};

#[derive(Clone, Default)]
struct Served(Arc<Mutex<TufFiles>>);

impl Served {
    fn serve(&self, repository: &TufRepository) {
        *self.0.lock().unwrap() = repository.files().clone();
    }

    fn fetch(&self, name: &str, limit: u64) -> FetchFuture<'static> {
        let found = self.0.lock().unwrap().get(name).map(|bytes| bytes.to_vec());
        let found = found.filter(|bytes| bytes.len() as u64 <= limit);
        Box::pin(async move { Ok(found) })
    }
}

impl Repository for Served {
    fn fetch_metadata<'a>(&'a self, name: &'a str, limit: u64) -> FetchFuture<'a> {
        self.fetch(name, limit)
    }

    fn fetch_target<'a>(&'a self, path: &'a str, limit: u64) -> FetchFuture<'a> {
        self.fetch(&format!("targets/{path}"), limit)
    }
}

struct Client {
    updater: Updater,
    now: jiff::Timestamp,
}

impl Client {
    fn new(served: &Served, repository: &TufRepository, sigstore: &PrivateSigstore) -> Self {
        Self {
            updater: Updater::new(served.clone(), &repository.initial_root()).unwrap(),
            now: jiff::Timestamp::try_from(sigstore.time() + Duration::from_mins(1)).unwrap(),
        }
    }

    async fn trusted_root(&mut self) -> Result<Vec<u8>, String> {
        self.updater
            .refresh(self.now)
            .await
            .map_err(|e| e.to_string())?;
        self.updater
            .get_target(TRUSTED_ROOT_TARGET, self.now)
            .await
            .map_err(|e| e.to_string())
    }
}

#[tokio::test]
async fn a_client_follows_publications_and_rotations_to_the_newest_target() {
    let sigstore = PrivateSigstore::new();
    let mut repository = sigstore.tuf_repository();
    let served = Served::default();
    served.serve(&repository);
    let mut early = Client::new(&served, &repository, &sigstore);
    let content = early.trusted_root().await.unwrap();
    assert_eq!(content, sigstore.trusted_root_json().into_bytes());

    for role in TufRole::ALL {
        repository.rotate(role);
    }
    repository.set_target(TRUSTED_ROOT_TARGET, "newer");
    repository.set_target("folder/other.json", "other");
    repository.publish();
    served.serve(&repository);
    let mut late = Client::new(&served, &repository, &sigstore);
    for client in [&mut early, &mut late] {
        assert_eq!(client.trusted_root().await.unwrap(), b"newer");
        assert_eq!(client.updater.trusted().root().version, 5);
        let other = client
            .updater
            .get_target("folder/other.json", client.now)
            .await;
        assert_eq!(other.unwrap(), b"other");
    }
}

/// TUF-02, TUF-04.
#[tokio::test]
async fn every_defect_of_a_publication_is_noticed() {
    let sigstore = PrivateSigstore::new();
    for defect in TufDefect::of_publishing() {
        let mut repository = sigstore.tuf_repository();
        repository.publish();
        let served = Served::default();
        served.serve(&repository);
        let mut client = Client::new(&served, &repository, &sigstore);
        client.trusted_root().await.unwrap();

        repository.set_target(TRUSTED_ROOT_TARGET, "newer");
        repository.publish_bad(defect);
        served.serve(&repository);
        let verdict = client.trusted_root().await.map(drop);
        let error = verdict.expect_err(&format!("{defect:?}"));
        println!("{defect:?}: {error}");

        repository.publish();
        repository.publish();
        served.serve(&repository);
        let healed = client.trusted_root().await;
        assert_eq!(healed.as_deref(), Ok(&b"newer"[..]), "after {defect:?}");
    }
}

/// TUF-02.
#[tokio::test]
async fn every_defect_of_a_rotation_is_noticed() {
    let sigstore = PrivateSigstore::new();
    for defect in TufDefect::of_rotation() {
        let mut repository = sigstore.tuf_repository();
        let served = Served::default();
        served.serve(&repository);
        let mut client = Client::new(&served, &repository, &sigstore);
        client.trusted_root().await.unwrap();
        repository.rotate_bad(TufRole::Root, defect);
        served.serve(&repository);
        let verdict = client.trusted_root().await.map(drop);
        if defect == TufDefect::OneKeyTwoIds {
            // This client takes the IDs in the root as given; its caller has to compare keys.
            verdict.unwrap();
        } else {
            let error = verdict.expect_err(&format!("{defect:?}"));
            println!("{defect:?}: {error}");
        }
    }
}

/// TUF-04: a mirror that serves yesterday's files for ever is found out by the dates.
#[tokio::test]
async fn every_role_ends() {
    let sigstore = PrivateSigstore::new();
    for role in TufRole::ALL {
        let mut repository = sigstore.tuf_repository();
        repository.set_expiry(role, sigstore.time() + Duration::from_hours(1));
        repository.rotate(TufRole::Root);
        let served = Served::default();
        served.serve(&repository);
        let mut client = Client::new(&served, &repository, &sigstore);
        client.trusted_root().await.unwrap();
        client.now =
            jiff::Timestamp::try_from(sigstore.time() + Duration::from_secs(3601)).unwrap();
        let error = client.trusted_root().await.unwrap_err();
        assert!(error.contains("expired"), "{role:?}: {error}");
    }
}

/// TUF-02: an older state of the whole repository is a rollback.
#[tokio::test]
async fn an_older_state_is_a_rollback() {
    let sigstore = PrivateSigstore::new();
    let mut repository = sigstore.tuf_repository();
    let old = repository.files().clone();
    repository.publish();
    let served = Served::default();
    served.serve(&repository);
    let mut client = Client::new(&served, &repository, &sigstore);
    client.trusted_root().await.unwrap();
    *served.0.lock().unwrap() = old.clone();
    client.trusted_root().await.unwrap_err();
    let mut newcomer = Client::new(&served, &repository, &sigstore);
    newcomer.trusted_root().await.unwrap();
    assert_eq!(old.names().count(), old.iter().count());
}

/// TUF-06: a client that was born long ago walks up.
#[tokio::test]
async fn many_roots_are_walked_up_to_the_clients_limit() {
    let sigstore = PrivateSigstore::new();
    let mut repository = sigstore.tuf_repository();
    let served = Served::default();
    for _ in 0..31 {
        repository.renew_root();
    }
    served.serve(&repository);
    let mut client = Client::new(&served, &repository, &sigstore);
    client.trusted_root().await.unwrap();
    assert_eq!(client.updater.trusted().root().version, 32);
    repository.renew_root();
    served.serve(&repository);
    let mut client = Client::new(&served, &repository, &sigstore);
    let error = client.trusted_root().await.unwrap_err();
    assert!(error.contains("32 root rotations"), "{error}");
}

#[test]
fn files_are_the_same_in_a_folder_and_on_a_server() {
    let sigstore = PrivateSigstore::new();
    let files = sigstore.tuf_repository().files().clone();
    let folder = tempfile::tempdir().unwrap();
    files.write_to(folder.path()).unwrap();
    for (name, content) in files.iter() {
        assert_eq!(
            std::fs::read(folder.path().join(name)).unwrap(),
            content[..]
        );
    }
    let server = PlainServer::start().unwrap();
    server.put("/other", "other");
    let get = |path: &str| {
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    };
    files.serve_on(&server, "tuf");
    assert!(get("/tuf/timestamp.json").ends_with(files.get("timestamp.json").unwrap()));
    // What a later state does not have is served no more.
    let mut later = files.clone();
    later.remove("timestamp.json").unwrap();
    later.serve_on(&server, "tuf");
    assert!(get("/tuf/timestamp.json").starts_with(b"HTTP/1.1 404"));
    assert!(get("/tuf/1.root.json").ends_with(files.get("1.root.json").unwrap()));
    assert!(get("/other").ends_with(b"other"));
}
