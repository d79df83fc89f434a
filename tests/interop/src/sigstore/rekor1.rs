//! Rekor v1: Trillian's log server and signer on a PostgreSQL of our own, and Rekor in front.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde::Deserialize;
use xshell::cmd;

use super::authority;
use super::processes::Processes;
use super::services::{Service, port, ports, write};
use crate::real;
use crate::tools;

/// Without these there is no Rekor v1.
pub(super) const NEEDED: &[&str] = &[
    "rekor1",
    "trillian_log_server",
    "trillian_log_signer",
    "createtree",
    "postgres",
    "go",
];
/// PostgreSQL refuses to be run by root; Debian has this user for it.
const USER: &str = "postgres";
const DATABASE: &str = "trillian";

/// The database's files, removed with this value. They are in a folder of their own because the
/// scratch folder is closed to other users.
pub(super) struct Database {
    folder: PathBuf,
    owner: Option<(u32, u32)>,
}

impl Drop for Database {
    fn drop(&mut self) {
        // What cannot be removed lies in the folder for temporary files, and goes with it.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Database {
    /// A folder that is made before the programs start, so that it outlives them.
    pub(super) fn folder() -> anyhow::Result<Self> {
        let name = format!("e2e-postgres-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let owner = owner()?;
        std::fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        let database = Self { folder, owner };
        std::fs::set_permissions(&database.folder, Permissions::from_mode(0o700))?;
        if let Some((user, group)) = database.owner {
            chown(&database.folder, Some(user), Some(group))?;
        }
        Ok(database)
    }

    fn start(&self, processes: &mut Processes) -> anyhow::Result<SocketAddr> {
        let data = self.folder.join("data");
        let mut command = self.command("initdb")?;
        command
            .args(["--auth=trust", "--no-sync", "--username", USER, "--pgdata"])
            .arg(&data);
        run(&mut command)?;
        let [address] = ports()?;
        let mut command = self.command("postgres")?;
        command
            .args(["-h", "127.0.0.1", "-p", &port(address), "-c", "fsync=off"])
            .arg("-k")
            .arg(&self.folder)
            .arg("-D")
            .arg(&data);
        processes.start_gently("postgres", command)?;
        let create = format!("create database {DATABASE}");
        processes.wait_until("PostgreSQL", || {
            let psql = psql(address, "postgres", &["-c", "select 1"]);
            psql.is_ok_and(|mut psql| psql.status().is_ok_and(|status| status.success()))
        })?;
        run(&mut psql(address, "postgres", &["-c", &create])?)?;
        let schema = schema()?;
        let schema = schema.to_str().context("a path that is not UTF-8")?;
        run(&mut psql(
            address,
            DATABASE,
            &["-v", "ON_ERROR_STOP=1", "-f", schema],
        )?)?;
        Ok(address)
    }

    /// A program of PostgreSQL, as its user.
    fn command(&self, name: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(program(name)?);
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command.current_dir(&self.folder);
        Ok(command)
    }
}

/// Starts all of it.
pub(super) fn start(
    processes: &mut Processes,
    database: &Database,
    folder: &Path,
) -> anyhow::Result<Service> {
    let address = database.start(processes)?;
    let uri = format!("postgresql://{USER}@{address}/{DATABASE}");
    let trillian = |name: &str, rpc: SocketAddr, http: SocketAddr| {
        let mut command = Command::new(real::tool(name)?);
        command
            .args(["--storage_system", "postgresql", "--quota_system", "noop"])
            .args(["--postgresql_uri", &uri])
            .args(["--rpc_endpoint", &rpc.to_string()])
            .args(["--http_endpoint", &http.to_string()]);
        anyhow::Ok(command)
    };
    let [rpc, http, signer_rpc, signer_http, rekor] = ports()?;
    processes.start(
        "trillian-server",
        trillian("trillian_log_server", rpc, http)?,
    )?;
    let mut signer = trillian("trillian_log_signer", signer_rpc, signer_http)?;
    signer.args(["--force_master", "--batch_size", "100"]);
    signer.args(["--sequencer_interval", "100ms"]);
    processes.start("trillian-signer", signer)?;
    processes.wait_for(http, "/healthz")?;

    let sh = crate::shell()?;
    let createtree = real::tool("createtree")?;
    let server = rpc.to_string();
    let tree = cmd!(sh, "{createtree} --admin_server {server}")
        .quiet()
        .ignore_stderr()
        .read()?;
    let (private, public) = authority::key()?;
    let private = write(folder, "rekor1.key", &private)?;
    let trust = write(folder, "rekor1.pub", &public)?;
    let mut command = Command::new(real::tool("rekor1")?);
    command
        .args(["serve", "--host", "127.0.0.1", "--port", &port(rekor)])
        .args(["--rekor_server.hostname", "127.0.0.1"])
        .arg("--rekor_server.signer")
        .arg(&private)
        .args(["--trillian_log_server.address", "127.0.0.1"])
        .args(["--trillian_log_server.port", &port(rpc)])
        .args(["--trillian_log_server.tlog_id", &tree])
        // Without the search, which needs a Redis.
        .arg("--enabled_api_endpoints")
        .arg("getLogInfo,getPublicKey,getLogProof,createLogEntry,getLogEntryByIndex,getLogEntryByUUID");
    processes.start("rekor1", command)?;
    processes.wait_for(rekor, "/api/v1/log")?;
    let url = format!("http://{rekor}");
    Ok(Service { url, trust })
}

/// A program of PostgreSQL: they are all of one version, in one folder.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let postgres = std::fs::canonicalize(real::tool("postgres")?)?;
    Ok(postgres.with_file_name(name))
}

fn psql(address: SocketAddr, database: &str, arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(program("psql")?);
    command
        .args(["-q", "-h", "127.0.0.1", "-p", &port(address)])
        .args(["-U", USER, "-d", database])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(command)
}

/// Runs a program to its end, which must be a good one.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    anyhow::ensure!(
        output.status.success(),
        "{}: {}",
        command.get_program().to_string_lossy(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Where Trillian's module keeps the tables that it needs.
fn schema() -> anyhow::Result<PathBuf> {
    #[derive(Deserialize)]
    struct Module {
        #[serde(rename = "Dir")]
        folder: PathBuf,
    }
    let sh = crate::shell()?;
    let module = format!(
        "github.com/google/trillian@{}",
        tools::version("trillian_log_server").context("Trillian's version")?
    );
    let module = cmd!(sh, "go mod download -json {module}").quiet().read()?;
    let Module { folder } = serde_json::from_str(&module)?;
    Ok(folder.join("storage/postgresql/schema/storage.sql"))
}

/// User and group of PostgreSQL where we are root: only root may change its user.
fn owner() -> anyhow::Result<Option<(u32, u32)>> {
    let sh = crate::shell()?;
    if cmd!(sh, "id -u").quiet().read()? != "0" {
        return Ok(None);
    }
    let user = cmd!(sh, "id -u {USER}").quiet().read();
    let user = user.context("PostgreSQL refuses to be run by root, and its user is not there")?;
    let group = cmd!(sh, "id -g {USER}").quiet().read()?;
    Ok(Some((user.parse()?, group.parse()?)))
}
