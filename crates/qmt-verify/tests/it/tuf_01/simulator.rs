//! A TUF repository that publishes what the test sets, and a client that reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::Digest;
use qmt_testkit::{KeyKind, KeyPair, PrivateSigstore};
use qmt_verify::trust::{TrustRoot, TufOptions, TufTransport};
use qmt_verify::{BoxError, VerifyError};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

const URL: &str = "https://tuf.example";
pub const TARGET: &str = "trusted_root.json";
/// 2026-11-24T00:00:00Z, when all cases are played.
const NOW: u64 = 1_795_478_400;
pub const DAY: Duration = Duration::from_hours(24);
pub const YESTERDAY: &str = "2026-11-23T00:00:00Z";
pub const IN_A_WEEK: &str = "2026-12-01T00:00:00Z";
const LATER: &str = "2030-01-01T00:00:00Z";
/// From the root downwards.
pub const ROLES: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];

/// What is published of a role, with keys by their number.
#[derive(Clone)]
pub struct Role {
    pub keys: Vec<usize>,
    pub threshold: usize,
    /// Whose signatures the metadata carries.
    pub signers: Vec<usize>,
    pub version: u64,
    pub expires: &'static str,
}

impl Role {
    pub fn of(keys: &[usize], threshold: usize, signers: &[usize]) -> Self {
        Self {
            keys: keys.to_vec(),
            threshold,
            signers: signers.to_vec(),
            version: 1,
            expires: LATER,
        }
    }
}

/// A delegation of `by` to `to`.
pub struct Delegation {
    pub by: &'static str,
    pub to: &'static str,
    pub paths: &'static str,
    pub terminating: bool,
}

/// The repository.
pub struct Simulator {
    keys: Vec<KeyPair>,
    pub roles: BTreeMap<&'static str, Role>,
    pub delegations: Vec<Delegation>,
    /// Which role lists the target.
    pub lists_target: &'static str,
    pub target: String,
    /// Whether hashes and lengths are pinned in addition to versions.
    pub hashes: bool,
    /// Laid over the root's content.
    pub root_extra: Value,
    pub key_extra: Map<String, Value>,
    /// The additional names of keys: the name, and the number of the key.
    pub aliases: Vec<(String, usize)>,
    /// What the snapshot pins instead of the right version of a role.
    pub pinned: BTreeMap<&'static str, u64>,
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    asked: Mutex<Vec<String>>,
}

impl Simulator {
    /// Version 1 of everything, each role with its own key.
    pub fn new() -> Self {
        let roles = ROLES.iter().enumerate();
        let mut simulator = Self {
            keys: (0..12)
                .map(|_| KeyPair::generate(KeyKind::Ed25519))
                .collect(),
            roles: roles
                .map(|(number, role)| (*role, Role::of(&[number], 1, &[number])))
                .collect(),
            delegations: Vec::new(),
            lists_target: "targets",
            target: PrivateSigstore::new().trusted_root_json(),
            hashes: true,
            root_extra: json!({}),
            key_extra: Map::new(),
            aliases: Vec::new(),
            pinned: BTreeMap::new(),
            files: Mutex::default(),
            asked: Mutex::default(),
        };
        simulator.publish(&ROLES);
        simulator
    }

    pub fn role(&mut self, name: &str) -> &mut Role {
        self.roles.get_mut(name).unwrap()
    }

    /// Writes the metadata of these roles as they are.
    pub fn publish(&mut self, roles: &[&str]) {
        for role in roles {
            let name = match *role {
                "timestamp" => "timestamp.json".to_owned(),
                _ => format!("{}.{}.json", self.roles[role].version, quoted(role)),
            };
            let content = self.content(role);
            self.put(&name, content);
        }
        let hash = Digest::sha256(&self.target);
        let name = format!("targets/{}.{TARGET}", hash.hex());
        self.put(&name, self.target.clone().into_bytes());
    }

    /// Writes the next versions of these roles.
    pub fn update(&mut self, roles: &[&str]) {
        for role in roles {
            self.role(role).version += 1;
        }
        self.publish(roles);
    }

    pub fn put(&self, name: &str, content: Vec<u8>) {
        self.files.lock().unwrap().insert(name.to_owned(), content);
    }

    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.files.lock().unwrap().clone()
    }

    pub fn serve(&self, files: BTreeMap<String, Vec<u8>>) {
        *self.files.lock().unwrap() = files;
    }

    /// What was asked for since the last time.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn key_id(&self, number: usize) -> String {
        Digest::sha256(self.keys[number].public_der())
            .hex()
            .to_owned()
    }

    fn key(&self, number: usize) -> Value {
        let der = self.keys[number].public_der();
        let public = hex::encode(&der[der.len() - 32..]);
        let mut key = self.key_extra.clone();
        key.insert("keytype".into(), "ed25519".into());
        key.insert("scheme".into(), "ed25519".into());
        key.insert("keyval".into(), json!({ "public": public }));
        key.into()
    }

    fn pin(&self, role: &'static str) -> Value {
        let version = self.pinned.get(role).unwrap_or(&self.roles[role].version);
        let mut pin = json!({ "version": version });
        if self.hashes {
            let content = self.content(role);
            pin["length"] = content.len().into();
            pin["hashes"] = json!({ "sha256": Digest::sha256(&content).hex() });
        }
        pin
    }

    fn content(&self, role: &str) -> Vec<u8> {
        let state = &self.roles[role];
        let kind = if ROLES.contains(&role) {
            role
        } else {
            "targets"
        };
        let mut signed = json!({
            "_type": kind, "spec_version": "1.0.31",
            "version": state.version, "expires": state.expires,
        });
        match role {
            "root" => self.fill_root(&mut signed),
            "timestamp" => signed["meta"] = json!({ "snapshot.json": self.pin("snapshot") }),
            "snapshot" => {
                let below = self
                    .roles
                    .keys()
                    .filter(|role| !["root", "snapshot", "timestamp"].contains(role));
                let pins = below.map(|role| (format!("{role}.json"), self.pin(role)));
                signed["meta"] = Value::Object(pins.collect());
            }
            _ => self.fill_targets(role, &mut signed),
        }
        let message = canonical(&signed);
        let mut signatures = Vec::new();
        for number in &state.signers {
            let signature = hex::encode(self.keys[*number].sign(&message));
            signatures.push(json!({ "keyid": self.key_id(*number), "sig": signature }));
            for (alias, _) in self.aliases.iter().filter(|(_, key)| key == number) {
                signatures.push(json!({ "keyid": alias, "sig": signature }));
            }
        }
        json!({ "signed": signed, "signatures": signatures })
            .to_string()
            .into_bytes()
    }

    fn fill_root(&self, signed: &mut Value) {
        let (mut keys, mut roles) = (Map::new(), Map::new());
        for role in ROLES {
            let state = &self.roles[role];
            let mut ids = Vec::new();
            for number in &state.keys {
                keys.insert(self.key_id(*number), self.key(*number));
                ids.push(self.key_id(*number));
                for (alias, _) in self.aliases.iter().filter(|(_, key)| key == number) {
                    keys.insert(alias.clone(), self.key(*number));
                    ids.push(alias.clone());
                }
            }
            roles.insert(
                role.into(),
                json!({ "keyids": ids, "threshold": state.threshold }),
            );
        }
        signed["consistent_snapshot"] = true.into();
        signed["keys"] = keys.into();
        signed["roles"] = roles.into();
        for (name, value) in self.root_extra.as_object().unwrap() {
            signed[name] = value.clone();
        }
    }

    fn fill_targets(&self, role: &str, signed: &mut Value) {
        signed["targets"] = json!({});
        if role == self.lists_target {
            let hash = Digest::sha256(&self.target);
            signed["targets"][TARGET] =
                json!({ "length": self.target.len(), "hashes": { "sha256": hash.hex() } });
        }
        let (mut keys, mut roles) = (Map::new(), Vec::new());
        for delegation in self.delegations.iter().filter(|one| one.by == role) {
            let state = &self.roles[delegation.to];
            let ids: Vec<String> = state.keys.iter().map(|key| self.key_id(*key)).collect();
            keys.extend(
                state
                    .keys
                    .iter()
                    .map(|key| (self.key_id(*key), self.key(*key))),
            );
            roles.push(json!({
                "name": delegation.to, "keyids": ids, "threshold": state.threshold,
                "paths": [delegation.paths], "terminating": delegation.terminating,
            }));
        }
        if !roles.is_empty() {
            signed["delegations"] = json!({ "keys": keys, "roles": roles });
        }
    }
}

#[async_trait]
impl TufTransport for Simulator {
    async fn get(&self, url: &str, _: u64) -> Result<Option<Bytes>, BoxError> {
        let name = url.strip_prefix(URL).ok_or("another host")?;
        let name = name.strip_prefix('/').ok_or("another folder")?;
        self.asked.lock().unwrap().push(name.to_owned());
        Ok(self
            .files
            .lock()
            .unwrap()
            .get(name)
            .cloned()
            .map(Bytes::from))
    }
}

/// A name as it stands in a URL.
pub fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    name.bytes()
        .map(|byte| match byte {
            _ if plain(byte) => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Canonical JSON, of which our values need only that names are sorted and nothing is in between.
fn canonical(value: &Value) -> Vec<u8> {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields: BTreeMap<_, _> = fields.iter().collect();
                let fields = fields
                    .into_iter()
                    .map(|(name, value)| (name.clone(), sorted(value)));
                Value::Object(fields.collect())
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    sorted(value).to_string().into_bytes()
}

/// A client with its own cache, which sends requests at each refresh.
pub struct Client {
    options: TufOptions,
    folder: Arc<TempDir>,
    pub now: SystemTime,
}

impl Client {
    /// A client that was born with the first root.
    pub fn of(simulator: &Simulator) -> Self {
        Self::born_with(simulator.files()["1.root.json"].clone())
    }

    pub fn born_with(root: Vec<u8>) -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        let options = TufOptions::new(URL, root, folder.path()).with_refresh_after(Duration::ZERO);
        Self {
            options,
            folder,
            now: UNIX_EPOCH + Duration::from_secs(NOW),
        }
    }

    /// Refreshes; the versions of root and targets.
    pub async fn refresh(&self, simulator: &Simulator) -> Result<(u64, u64), VerifyError> {
        let root = TrustRoot::from_tuf(&self.options, simulator, self.now).await?;
        Ok(versions(&root))
    }

    /// The versions of what is cached, if it holds.
    pub async fn cached(&self) -> Result<(u64, u64), VerifyError> {
        assert!(self.folder.path().exists());
        let root = TrustRoot::from_tuf_cache(&self.options, self.now).await?;
        Ok(versions(&root))
    }
}

fn versions(root: &TrustRoot) -> (u64, u64) {
    let version = root.describe().version.clone().unwrap();
    let numbers: Vec<u64> = version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    (numbers[0], numbers[1])
}
