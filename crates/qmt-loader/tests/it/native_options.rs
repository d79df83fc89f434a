//! What the options of one native plugin change about its preflight.

use std::fs;

use qmt_loader::refusal::NativeRefusal;
use qmt_loader::{Artifact, LoadError, LoadOptions, Loader as _};
use qmt_oci_ref::PluginKind;

use crate::support::{artifact, refusal};
use crate::workshop::Workshop;

/// A plugin that needs a library of this name.
fn needing(workshop: &Workshop, name: &str) -> Artifact {
    let other = workshop.path(name);
    let soname = format!("-Wl,-soname,{name}");
    fs::write(&other, workshop.compile("echo.c", &[&*soname])).unwrap();
    let library = workshop.variant(&["-Wl,--no-as-needed", other.to_str().unwrap()]);
    artifact(PluginKind::Native, library)
}

/// NAT-07: the operator allows a library for one plugin, by its exact name.
#[test]
fn one_plugin_can_be_allowed_to_need_a_library() {
    let workshop = Workshop::new();
    let (loader, library) = (workshop.loader(), needing(&workshop, "libother.so.1"));
    let mut options = LoadOptions::default();
    for names in [&[][..], &["libother.so"], &["libother.so.1.2"]] {
        options.allow.libraries = names.iter().map(ToString::to_string).collect();
        let error = loader.preflight_with(&library, &options).unwrap_err();
        let LoadError::NativeRefused { reason, .. } = &error else {
            panic!("{error:?}");
        };
        let is_it =
            matches!(reason, NativeRefusal::Library { library } if library == "libother.so.1");
        assert!(is_it, "{reason:?}");
        assert!(reason.to_string().contains("`allow.libraries`"), "{reason}");
    }
    options.allow.libraries = vec!["libother.so.1".to_owned()];
    let preflight = loader.preflight_with(&library, &options).unwrap();
    assert!(preflight.imports.contains(&"libother.so.1".to_owned()));
    loader.preflight(&library).unwrap_err();
}

/// Plugins with OpenMP link with its runtime as those in C++ do with theirs.
#[test]
fn the_runtimes_of_openmp_are_on_the_list() {
    let workshop = Workshop::new();
    for name in ["libgomp.so.1", "libomp.so", "libomp.so.5"] {
        let library = needing(&workshop, name);
        let preflight = workshop.loader().preflight(&library).unwrap();
        assert!(
            preflight.imports.contains(&name.to_owned()),
            "{preflight:?}"
        );
    }
}

/// LIM-05: the largest library is that of the options, when it is loaded too.
#[tokio::test]
async fn a_library_above_the_limit_of_its_options_is_refused() {
    let workshop = Workshop::new();
    let library = artifact(PluginKind::Native, workshop.variant(&[]));
    let size = u64::try_from(library.bytes().len()).unwrap();
    let mut options = LoadOptions::default();
    options.limits.library_max = size - 1;
    let loader = workshop.loader();
    let result = loader.load(library.clone(), options.clone()).await;
    assert!(!workshop.marker().exists(), "the constructor ran");
    let error = refusal(result);
    let LoadError::NativeRefused { reason, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(
        matches!(reason, NativeRefusal::TooLarge { .. }),
        "{reason:?}"
    );
    options.limits.library_max = size;
    loader.load(library, options).await.unwrap();
}
