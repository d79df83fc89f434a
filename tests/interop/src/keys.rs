//! The kinds of key that `publish --sign-key` signs with: cosign 3 accepts each, plain and in cosign's
//! own encryption, and so do we; a kind that no signature can satisfy both with is refused.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use xshell::cmd;

use super::real::{PASSWORD, quietly, tool};
use super::servers::{REGISTRIES, Registry};
use super::tier::Tier;
use crate::tools;

/// How openssl names a kind and its options, and whether it signs.
const KINDS: &[(&str, &[&str], bool)] = &[
    ("EC", &["-pkeyopt", "ec_paramgen_curve:P-256"], true),
    ("ed25519", &[], true),
    ("RSA", &["-pkeyopt", "rsa_keygen_bits:2048"], true),
    ("RSA", &["-pkeyopt", "rsa_keygen_bits:4096"], true),
    ("RSA", &["-pkeyopt", "rsa_keygen_bits:1024"], false),
    ("EC", &["-pkeyopt", "ec_paramgen_curve:P-384"], false),
    ("EC", &["-pkeyopt", "ec_paramgen_curve:P-521"], false),
];

/// Runs the checks against distribution 3; nothing where it or openssl is missing.
pub(super) fn run(tier: &Tier<'_>) -> anyhow::Result<Option<usize>> {
    let program = REGISTRIES.first().context("no registry program")?;
    let Some(openssl) = tools::find("openssl") else {
        return Ok(None);
    };
    if !tools::missing(program.tools).is_empty() {
        return Ok(None);
    }
    let registry = Registry::start(program, &tier.folder)?;
    let host = registry.host();
    let other = tier.new_key("cosign3", "bystander")?;
    let mut checks = 0;
    for (number, &(kind, options, signs)) in KINDS.iter().enumerate() {
        let name = format!("key-{number}");
        let plain = tier.folder.join(format!("{name}.pem"));
        quietly(cmd!(
            tier.sh,
            "{openssl} genpkey -algorithm {kind} {options...} -out {plain}"
        ))?;
        let place = || format!("{kind} {}", options.join(" "));
        if signs {
            let public = plain.with_extension("pub");
            quietly(cmd!(
                tier.sh,
                "{openssl} pkey -in {plain} -pubout -out {public}"
            ))?;
            for (form, key) in [
                ("plain", plain.clone()),
                ("encrypted", imported(tier, &plain)?),
            ] {
                let reference = format!("{host}/e2e/{name}-{form}:1");
                checks += signed(tier, &host, &reference, &key, &public, &other)
                    .with_context(place)
                    .context(form)?;
            }
        } else {
            let destination = format!("oci://{host}/e2e/{name}:1");
            let answer = tier.try_publish(&host, &destination, &plain, false)?;
            anyhow::ensure!(
                answer.code == Some(6) && answer.stdout.contains("ECDSA on P-256, Ed25519, or RSA"),
                "{} is not refused with the reason\n{}",
                place(),
                answer.transcript()
            );
            checks += 1;
        }
    }
    Ok(Some(checks))
}

/// The same key as cosign keeps it, encrypted.
fn imported(tier: &Tier<'_>, plain: &Path) -> anyhow::Result<PathBuf> {
    let cosign = tool("cosign3")?;
    let prefix = plain.with_extension("cosign");
    let import = cmd!(
        tier.sh,
        "{cosign} import-key-pair --yes --key {plain} --output-key-prefix {prefix}"
    );
    quietly(import.env("COSIGN_PASSWORD", PASSWORD))?;
    Ok(PathBuf::from(format!("{}.key", prefix.display())))
}

/// Publishes with `key`; cosign and our own command take its public half and no other.
fn signed(
    tier: &Tier<'_>,
    host: &str,
    reference: &str,
    key: &Path,
    public: &Path,
    other: &Path,
) -> anyhow::Result<usize> {
    let digest = tier.publish(host, reference, key, false)?;
    tier.accepted_by_key(reference, &digest, public, other)
}
