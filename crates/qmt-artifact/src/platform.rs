//! Which platform fits the host, by the rules of containerd.
//!
//! They are those of <https://github.com/containerd/platforms> at v1.0.0, with one exception: an
//! amd64 host takes no `386` entry and an arm64 host no `arm` entry. A container may hold them, a
//! process cannot load them.

use std::cmp::Reverse;
use std::fmt;

use qmt_oci_ref::manifest::{Arch, Os};
use qmt_oci_ref::{Platform, manifest, text};

use crate::sniff::NativeFormat;

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
    is_same_version: bool,
}

impl HostPlatform {
    /// Returns the platform of this process. On amd64 the variant is the highest that the
    /// processor runs.
    pub fn current() -> Self {
        let mut platform = manifest::platform(std::env::consts::OS, std::env::consts::ARCH);
        platform.set_variant(current_variant().map(str::to_owned));
        Self::new(&platform)
    }

    /// Makes `platform` the host's, in its normal form: `macos` is `darwin`, `x86_64` is `amd64`,
    /// `arm64/v8` is `arm64`.
    pub fn new(platform: &Platform) -> Self {
        Self {
            platform: normalized(platform),
        }
    }

    /// Returns the platform in its normal form.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Returns the format of native code that the host loads.
    pub(crate) fn format(&self) -> NativeFormat {
        NativeFormat::of_os(self.platform.os())
    }

    /// Returns how well native code for `entry` fits, or `None` if it does not run on this host.
    pub(crate) fn fit(&self, entry: &Platform) -> Option<Fit> {
        let host = &self.platform;
        let entry = normalized(entry);
        if entry.os() != host.os() || entry.architecture() != host.architecture() {
            return None;
        }
        let mut variants = usable_variants(host).into_iter();
        let variant = variants.position(|usable| usable == *entry.variant())?;
        let (required, available) = (features(&entry), features(host));
        let has_all = required.iter().all(|feature| available.contains(feature));
        if !has_all || !version_fits(host, &entry) {
            return None;
        }
        Some(Fit {
            variant: Reverse(variant),
            features: required.len(),
            is_same_version: entry.os_version().is_some()
                && entry.os_version() == host.os_version(),
        })
    }
}

impl fmt::Display for HostPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::platform(&self.platform))
    }
}

/// Reports whether `platform` is Wasm: `wasi/wasm`, `wasip1/wasm` or `wasip2/wasm`.
pub(crate) fn is_wasm(platform: &Platform) -> bool {
    let platform = normalized(platform);
    *platform.architecture() == Arch::Wasm
        && matches!(platform.os(), Os::Other(os) if matches!(&**os, "wasi" | "wasip1" | "wasip2"))
}

/// Reports whether `platform` is the one that builders give to attestations.
pub(crate) fn is_unknown(platform: &Platform) -> bool {
    let unknown = || "unknown".to_owned();
    *platform.os() == Os::Other(unknown()) && *platform.architecture() == Arch::Other(unknown())
}

/// Returns the normal form of a platform; the names are those of the Go language.
pub(crate) fn normalized(platform: &Platform) -> Platform {
    let non_empty = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let os = platform.os().to_string().to_ascii_lowercase();
    let os = if os == "macos" { "darwin" } else { &os };
    let architecture = platform.architecture().to_string().to_ascii_lowercase();
    let variant = non_empty(platform.variant()).map(|variant| variant.to_ascii_lowercase());
    let (architecture, variant) = match architecture.as_str() {
        "i386" | "x86" => ("386", None),
        "x86_64" | "x86-64" | "amd64" => ("amd64", variant.filter(|variant| variant != "v1")),
        "aarch64" | "arm64" => {
            let is_base = |variant: &String| matches!(variant.as_str(), "8" | "v8");
            ("arm64", variant.filter(|variant| !is_base(variant)))
        }
        "armhf" => ("arm", Some("v7".to_owned())),
        "armel" => ("arm", Some("v6".to_owned())),
        "arm" => ("arm", Some(arm_variant(variant.as_deref()))),
        "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", variant),
        "loongarch64" => ("loong64", variant),
        architecture => (architecture, variant),
    };
    let mut normal = manifest::platform(os, architecture);
    normal.set_variant(variant);
    normal.set_os_version(non_empty(platform.os_version()));
    normal.set_os_features(platform.os_features().clone());
    normal
}

fn features(platform: &Platform) -> &[String] {
    platform.os_features().as_deref().unwrap_or_default()
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
    let own = host.variant().as_deref();
    let mut usable = vec![host.variant().clone()];
    match host.architecture() {
        Arch::Amd64 => {
            let level = own.map_or(1, |own| number(own.strip_prefix('v')));
            usable.extend((2..level).rev().map(|level| Some(format!("v{level}"))));
            if level > 1 {
                usable.push(None);
            }
        }
        Arch::ARM => {
            let version = number(own.and_then(|own| own.strip_prefix('v')));
            let lower = (5..version).rev();
            usable.extend(lower.map(|version| Some(format!("v{version}"))));
        }
        Arch::ARM64 => usable.extend(lower_arm64(own.unwrap_or("v8"))),
        _ => {}
    }
    usable
}

/// Returns the variants that hosts of this architecture can have, in words, if the variant of
/// `platform`, which is in its normal form, is not among them: no host would ever match.
pub(crate) fn unknown_variant(platform: &Platform) -> Option<&'static str> {
    let (highest, known) = match platform.architecture() {
        Arch::Amd64 => ("v4", "v1, v2, v3 and v4"),
        Arch::ARM => ("v8", "v5, v6, v7 and v8"),
        Arch::ARM64 => ("v9.9", "v8, v8.1 and so on, v9, v9.1 and so on"),
        // Variants of others have no order, and are compared as text.
        _ => return None,
    };
    let mut host = platform.clone();
    host.set_variant(Some(highest.to_owned()));
    let is_known = usable_variants(&host).contains(platform.variant());
    (!is_known).then_some(known)
}

/// Lists the arm64 variants below `own`: v9.x runs v9.0 to x-1 and v8.0 to x+5.
fn lower_arm64(own: &str) -> Vec<Option<String>> {
    let Some(version) = own.strip_prefix('v') else {
        return Vec::new();
    };
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    let (major, minor) = (number(Some(major)), number(Some(minor)));
    let name = |major: u32, minor: u32| match (major, minor) {
        (8, 0) => None,
        (major, 0) => Some(format!("v{major}")),
        (major, minor) => Some(format!("v{major}.{minor}")),
    };
    let (nines, eights) = match major {
        9 => (minor, minor + 6),
        8 => (0, minor),
        _ => (0, 0),
    };
    let nines = (0..nines).rev().map(|minor| name(9, minor));
    let eights = (0..eights).rev().map(|minor| name(8, minor));
    nines.chain(eights).collect()
}

/// Reads a small version number; anything else is 0, which matches nothing below it.
fn number(text: Option<&str>) -> u32 {
    let number = text.and_then(|text| text.parse::<u8>().ok());
    number.map_or(0, u32::from)
}

/// Compares `os.version`, which matters on Windows alone: the builds must be the same, or both from
/// Server 2022 on, where the kernel's interface is stable, and the host the newer.
fn version_fits(host: &Platform, entry: &Platform) -> bool {
    const STABLE_SINCE: u32 = 20_348;
    if *host.os() != Os::Windows {
        return true;
    }
    let (Some(host), Some(entry)) = (host.os_version(), entry.os_version()) else {
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
    let levels = [(v4, "v4"), (v3, "v3"), (v2, "v2")];
    let highest = levels.into_iter().find(|(is_supported, _)| *is_supported);
    highest.map(|(_, level)| level)
}

#[cfg(not(target_arch = "x86_64"))]
fn current_variant() -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests;
