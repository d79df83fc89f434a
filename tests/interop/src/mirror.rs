//! Distribution as a pull-through mirror: a pull goes through it, and still works with the origin
//! gone.

use anyhow::Context as _;

use super::servers::{REGISTRIES, Registry};
use super::tier::Tier;
use crate::tools;
use qmt_e2e_tests::embedded::Published;

/// Runs the checks with distribution 3 twice; nothing where it is missing.
pub(super) fn run(tier: &Tier<'_>, image: &Published) -> anyhow::Result<Option<usize>> {
    let program = REGISTRIES.first().context("no registry program")?;
    if !tools::missing(program.tools).is_empty() {
        return Ok(None);
    }
    let folder = |name: &str| {
        let folder = tier.folder.join(name);
        std::fs::create_dir_all(&folder).map(|()| folder)
    };
    let origin = Registry::start(program, &folder("origin")?)?;
    let host = origin.host();
    let url = format!("http://{host}");
    let mirror = Registry::start_for(program, &folder("mirror")?, Some(&url))?;
    let through = mirror.host();

    let reference = format!("{host}/e2e/mirrored:1");
    tier.copy(&image.reference, &reference, false)?;
    let key = tier.sign("cosign2", &format!("{host}/e2e/mirrored@{}", image.digest))?;
    let config = |name: &str| -> anyhow::Result<_> {
        let file = tier.key_config(&host, &reference, &key, name)?;
        let text = std::fs::read_to_string(&file)?.replace(
            "plain_http = true\n",
            &format!("plain_http = true\nmirrors = [\"{through}\"]\n"),
        );
        // The mirror is trusted to resolve tags while the origin is unreachable.
        let table = format!(
            "\n[registries.\"{through}\"]\nplain_http = true\nresolve_tags = true\n\n[[providers]]"
        );
        std::fs::write(&file, text.replacen("\n[[providers]]", &table, 1))?;
        Ok(file)
    };
    let mut checks = tier
        .greet(&config("mirrored")?)
        .context("through the mirror")?;
    let kept = tier.folder.join("mirror/data/docker/registry/v2/blobs");
    anyhow::ensure!(kept.is_dir(), "the mirror got no request");
    drop(origin);
    checks += tier
        .greet(&config("mirrored-later")?)
        .context("with the origin gone")?;
    Ok(Some(checks + 1))
}
