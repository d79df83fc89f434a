//! Hosts that run for days.

use qmt_testkit::{PlainServer, PrivateSigstore};
use qmt_verify::Verifier;

use super::*;

const HOUR: Duration = Duration::from_hours(1);

/// As a start would: no trust is used beyond its refresh and its expiry.
#[tokio::test]
async fn a_host_that_runs_on_refreshes_its_trust_root() {
    let folder = tempfile::tempdir().unwrap();
    let (server, tuf) = (
        PlainServer::start().unwrap(),
        PrivateSigstore::new().tuf_repository(),
    );
    for (name, content) in tuf.files().iter() {
        server.put(&format!("/tuf/{name}"), content.clone());
    }
    std::fs::write(folder.path().join("root.json"), tuf.initial_root()).unwrap();
    let config = format!(
        "[oci]\ntuf_url = \"{}/tuf\"\ntuf_root = \"root.json\"\ncache_dir = \"cache\"\n\
         [registries.\"{}\"]\nplain_http = true\n",
        server.url(),
        server.address()
    );
    let path = folder.path().join("plugins.toml");
    std::fs::write(&path, config).unwrap();
    let host = PluginHost::builder(ConfigFile::read(path).unwrap());
    let host = host.build().unwrap();
    let repository: Repository = "ghcr.io/acme/greeter".parse().unwrap();
    let start = SystemTime::now();
    let verifier = async |age| match of(&host, &repository, start + age).await {
        Ok(Trust::Verify(verifier)) => verifier,
        Ok(Trust::Skip) => panic!("nothing is verified"),
        Err(error) => panic!("{error:?}"),
    };
    let is_same = |one: &Arc<dyn Verifier>, other| Arc::ptr_eq(one, &other);
    let refreshes = || server.count("GET", "/tuf/timestamp.json");

    let first = verifier(HOUR / 2).await;
    for age in [HOUR / 2, HOUR, Duration::ZERO] {
        assert!(is_same(&first, verifier(age).await), "{age:?}");
    }
    // It is read again, at first from the cache of the TUF metadata.
    let second = verifier(2 * HOUR).await;
    assert!(!is_same(&first, second));
    assert_eq!(refreshes(), 1);
    verifier(25 * HOUR).await;
    assert_eq!(refreshes(), 2);
    let expired = of(&host, &repository, start + 400 * 24 * HOUR).await;
    assert!(matches!(expired, Err(Error::Trust(_))));
}
