//! Rules about crate roots: `unsafe` is forbidden, and `lib.rs` lists few public names.

use syn::{Attribute, Item, UseTree, Visibility};

use super::Finding;

/// The most public names of a crate; crates that are not listed have no ceiling.
const CEILINGS: &[(&str, usize)] = &[
    ("qmt-oci-ref", 25),
    ("qmt-storage", 15),
    ("qmt-registry", 15),
    ("qmt-artifact", 15),
    ("qmt-verify", 15),
    ("qmt-cache", 15),
    ("qmt-plugin-sdk", 15),
    ("qmt-loader", 15),
    ("qmt-plugins", 25),
];

/// The crates with files that may hold `unsafe`, so that their roots cannot forbid it.
const UNSAFE_CRATES: [&str; 3] = ["qmt-loader", "qmt-plugin-sdk", "querymt-adapter"];

/// Checks that the crate root forbids unsafe code.
pub(super) fn forbids_unsafe(package: &str, place: &str, root: &syn::File) -> Option<Finding> {
    let forbids = |attribute: &Attribute| {
        attribute.path().is_ident("forbid") && super::has_ident(attribute, "unsafe_code")
    };
    (!UNSAFE_CRATES.contains(&package) && !root.attrs.iter().any(forbids))
        .then(|| Finding::error(place, "a crate root without `#![forbid(unsafe_code)]`"))
}

/// Refuses a `lib.rs` that lists more public names than its ceiling.
pub(super) fn ceiling(package: &str, place: &str, root: &syn::File) -> Option<Finding> {
    let (_, most) = CEILINGS.iter().find(|(name, _)| *name == package)?;
    let names = public_names(root);
    (names.len() > *most).then(|| {
        let (count, names) = (names.len(), names.join(", "));
        Finding::error(
            place,
            format!("{count} public names, ceiling {most}: {names}"),
        )
    })
}

/// The names that the crate root offers; those of test features are not counted, and a public module
/// counts as one name, whatever it offers: the loader groups its names in such modules.
fn public_names(root: &syn::File) -> Vec<String> {
    let mut names = Vec::new();
    for item in &root.items {
        let (attributes, visibility, name) = match item {
            Item::Use(item) => (&item.attrs, &item.vis, None),
            Item::Mod(item) => (&item.attrs, &item.vis, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, &item.vis, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, &item.vis, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, &item.vis, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, &item.vis, Some(&item.sig.ident)),
            Item::Type(item) => (&item.attrs, &item.vis, Some(&item.ident)),
            Item::Const(item) => (&item.attrs, &item.vis, Some(&item.ident)),
            Item::Static(item) => (&item.attrs, &item.vis, Some(&item.ident)),
            _ => continue,
        };
        let for_tests = attributes.iter().any(|attribute| {
            attribute.path().is_ident("cfg")
                && (super::has_ident(attribute, "test") || super::renders(attribute, "test-util"))
        });
        if for_tests || !matches!(visibility, Visibility::Public(_)) {
            continue;
        }
        names.extend(name.map(ToString::to_string));
        if let Item::Use(item) = item {
            leaves(&item.tree, &mut names);
        }
    }
    names
}

/// The names at the ends of a `use` tree, renamed ones under their new name.
fn leaves(tree: &UseTree, names: &mut Vec<String>) {
    match tree {
        UseTree::Path(path) => leaves(&path.tree, names),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, names)),
        UseTree::Name(name) => names.push(name.ident.to_string()),
        UseTree::Rename(rename) => names.push(rename.rename.to_string()),
        UseTree::Glob(_) => names.push("*".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_names_are_counted_as_a_reader_sees_them() {
        let text = "
//! pub use not::Counted;
#![forbid(unsafe_code)]
mod error;
pub mod danger;
pub use self::error::Error;
pub use self::http::{
    Builder, Client as HttpClient,
    options::{HostOptions, Mirror},
};
#[cfg(feature = \"test-util\")]
pub use self::registry::MockRegistry;
#[cfg(feature = \"http\")]
pub use self::registry::Registry;
pub const LIMIT: u64 = 3;
pub(crate) use self::x::Hidden;
";
        let expected = [
            "danger",
            "Error",
            "Builder",
            "HttpClient",
            "HostOptions",
            "Mirror",
            "Registry",
            "LIMIT",
        ];
        assert_eq!(public_names(&syn::parse_file(text).unwrap()), expected);
    }

    #[test]
    fn ceilings_hold_at_their_limits() {
        for (package, most) in CEILINGS {
            let check = |count: usize| {
                let lines = (0..count).map(|at| format!("pub use self::m::N{at};\n"));
                let root = syn::parse_file(&lines.collect::<String>()).unwrap();
                ceiling(package, "lib.rs", &root)
            };
            assert!(check(*most).is_none() && check(*most + 1).is_some());
        }
    }

    #[test]
    fn a_root_forbids_unsafe_or_is_the_loader() {
        let check = |package: &str, text: &str| {
            forbids_unsafe(package, "lib.rs", &syn::parse_file(text).unwrap()).is_none()
        };
        assert!(check("qmt-cache", "#![forbid(unsafe_code)]\n"));
        assert!(!check("qmt-cache", "// #![forbid(unsafe_code)]\n"));
        assert!(check("qmt-loader", ""));
    }
}
