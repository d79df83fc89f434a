//! Which platform fits the host, judged as containerd does.
//!
//! The rules are those of <https://github.com/containerd/platforms> at v1.0.0, but for one: an
//! amd64 host takes no `386` entry and an arm64 host no `arm` entry. A container may hold them, a
//! process cannot load them.

use std::cmp::Reverse;
use std::fmt;

use qmt_oci_ref::Platform;

/// The platform that plugins run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPlatform {
    platform: Platform,
}

/// How well an entry fits; greater is better.
///
/// The order is: the higher variant that the host runs, then more of `os.features`, then the
/// `os.version` that equals the host's. Among equals the first entry of the index wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fit {
    variant: Reverse<usize>,
    features: usize,
    same_version: bool,
}

impl HostPlatform {
    /// Returns the platform of this process. On amd64 the level is the highest that the
    /// processor runs.
    pub fn current() -> Self {
        let mut platform = Platform::new(std::env::consts::OS, std::env::consts::ARCH);
        platform.variant = current_variant().map(str::to_owned);
        Self::new(platform)
    }

    /// Takes `platform` for the host's, in its normal form: `macos` is `darwin`, `x86_64` is
    /// `amd64`, `arm64/v8` is `arm64`.
    pub fn new(mut platform: Platform) -> Self {
        normalize(&mut platform);
        Self { platform }
    }

    /// Returns the platform in its normal form.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Judges whether native code for `entry` runs here, and how well it fits.
    pub(crate) fn fit(&self, entry: &Platform) -> Option<Fit> {
        let host = &self.platform;
        let entry = normalized(entry);
        if entry.os != host.os || entry.architecture != host.architecture {
            return None;
        }
        let variants = usable_variants(host);
        let variant = variants
            .iter()
            .position(|usable| *usable == entry.variant)?;
        if !entry
            .os_features
            .iter()
            .all(|feature| host.os_features.contains(feature))
        {
            return None;
        }
        if !version_fits(host, &entry) {
            return None;
        }
        Some(Fit {
            variant: Reverse(variant),
            features: entry.os_features.len(),
            same_version: entry.os_version.is_some() && entry.os_version == host.os_version,
        })
    }
}

impl fmt::Display for HostPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.platform.fmt(f)
    }
}

/// Reports whether `platform` is Wasm: `wasi/wasm`, `wasip1/wasm` or `wasip2/wasm`.
pub(crate) fn is_wasm(platform: &Platform) -> bool {
    let platform = normalized(platform);
    platform.architecture == "wasm" && matches!(platform.os.as_str(), "wasi" | "wasip1" | "wasip2")
}

/// Reports whether `platform` is the one that builders give to attestations.
pub(crate) fn is_unknown(platform: &Platform) -> bool {
    platform.os == "unknown" && platform.architecture == "unknown"
}

/// Returns the normal form of a platform; the names are the ones of the Go language.
pub(crate) fn normalized(platform: &Platform) -> Platform {
    let mut normal = platform.clone();
    normalize(&mut normal);
    normal
}

fn normalize(platform: &mut Platform) {
    let filled = |text: &mut Option<String>| text.take().filter(|text| !text.is_empty());
    platform.os.make_ascii_lowercase();
    if platform.os == "macos" {
        "darwin".clone_into(&mut platform.os);
    }
    let variant = filled(&mut platform.variant).map(|variant| variant.to_ascii_lowercase());
    platform.architecture.make_ascii_lowercase();
    let (architecture, variant) = match platform.architecture.as_str() {
        "i386" | "x86" => ("386", None),
        "x86_64" | "x86-64" | "amd64" => ("amd64", variant.filter(|variant| variant != "v1")),
        "aarch64" | "arm64" => (
            "arm64",
            variant.filter(|variant| variant != "8" && variant != "v8"),
        ),
        "armhf" => ("arm", Some("v7".to_owned())),
        "armel" => ("arm", Some("v6".to_owned())),
        "arm" => ("arm", Some(arm_variant(variant.as_deref()))),
        "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", variant),
        "loongarch64" => ("loong64", variant),
        architecture => (architecture, variant),
    };
    platform.architecture = architecture.to_owned();
    platform.variant = variant;
    platform.os_version = filled(&mut platform.os_version);
}

fn arm_variant(variant: Option<&str>) -> String {
    match variant {
        None | Some("7") => "v7".to_owned(),
        Some(digit @ ("5" | "6" | "8")) => format!("v{digit}"),
        Some(variant) => variant.to_owned(),
    }
}

/// Lists the variants that the host runs, best first. `None` is the architecture's base.
fn usable_variants(host: &Platform) -> Vec<Option<String>> {
    let own = host.variant.clone();
    let mut usable = vec![own.clone()];
    let own = own.as_deref();
    match host.architecture.as_str() {
        "amd64" => {
            let level = own.map_or(1, |own| number(own.strip_prefix('v')));
            usable.extend((2..level).rev().map(|level| Some(format!("v{level}"))));
            if level > 1 {
                usable.push(None);
            }
        }
        "arm" => {
            let version = number(own.and_then(|own| own.strip_prefix('v')));
            usable.extend(
                (5..version)
                    .rev()
                    .map(|version| Some(format!("v{version}"))),
            );
        }
        "arm64" => usable.extend(lower_arm64(own.unwrap_or("v8"))),
        _ => {}
    }
    usable
}

/// Returns the variants that hosts of this architecture can have, in words, where that of
/// `platform`, which is in its normal form, is none of them: no host would ever match.
pub(crate) fn unknown_variant(platform: &Platform) -> Option<&'static str> {
    let (highest, known) = match platform.architecture.as_str() {
        "amd64" => ("v4", "v1, v2, v3 and v4"),
        "arm" => ("v8", "v5, v6, v7 and v8"),
        "arm64" => ("v9.9", "v8, v8.1 and so on, v9, v9.1 and so on"),
        // Variants of others have no order, and are compared as text.
        _ => return None,
    };
    let mut host = platform.clone();
    host.variant = Some(highest.to_owned());
    let is_known = usable_variants(&host).contains(&platform.variant);
    (!is_known).then_some(known)
}

/// Lists the arm64 variants below `own`: v9.x runs v9.0…x-1 and v8.0…x+5.
fn lower_arm64(own: &str) -> Vec<Option<String>> {
    let Some(version) = own.strip_prefix('v') else {
        return Vec::new();
    };
    let (major, minor) = version
        .split_once('.')
        .map_or((version, "0"), |(major, minor)| (major, minor));
    let (major, minor) = (number(Some(major)), number(Some(minor)));
    let mut lower = Vec::new();
    let named = |major: u32, minor: u32| match (major, minor) {
        (8, 0) => None,
        (major, 0) => Some(format!("v{major}")),
        (major, minor) => Some(format!("v{major}.{minor}")),
    };
    let below = match major {
        9 => {
            lower.extend((0..minor).rev().map(|minor| named(9, minor)));
            minor + 6
        }
        8 => minor,
        _ => 0,
    };
    lower.extend((0..below).rev().map(|minor| named(8, minor)));
    lower
}

/// Reads a small version number; anything else is 0, which matches nothing below it.
fn number(text: Option<&str>) -> u32 {
    text.and_then(|text| text.parse::<u8>().ok())
        .map_or(0, u32::from)
}

/// Judges `os.version`, which has a meaning on Windows alone: the builds must be the same, or
/// both from Server 2022 on, where the kernel's interface is stable and the host the newer.
fn version_fits(host: &Platform, entry: &Platform) -> bool {
    const STABLE_SINCE: u32 = 20_348;
    if host.os != "windows" {
        return true;
    }
    let (Some(host), Some(entry)) = (&host.os_version, &entry.os_version) else {
        return true;
    };
    let (Some(host), Some(entry)) = (build(host), build(entry)) else {
        return host == entry;
    };
    if (host.0, host.1) != (entry.0, entry.1) {
        return false;
    }
    host.2 == entry.2 || (STABLE_SINCE <= entry.2 && entry.2 <= host.2)
}

/// Reads major, minor and build of a Windows version; the revision doesn't count.
fn build(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(target_arch = "x86_64")]
fn current_variant() -> Option<&'static str> {
    macro_rules! has {
        ($($feature:tt),*) => { $(std::arch::is_x86_feature_detected!($feature))&&* };
    }
    // The levels of the x86-64 psABI, as far as the standard library names their features.
    let v2 = has!("cmpxchg16b", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3");
    let v3 = v2
        && has!(
            "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "movbe"
        );
    let v4 = v3 && has!("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl");
    match (v2, v3, v4) {
        (_, _, true) => Some("v4"),
        (_, true, _) => Some("v3"),
        (true, ..) => Some("v2"),
        _ => None,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn current_variant() -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests;
