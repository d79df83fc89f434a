//! What is not packed, and the limits of what is.

use super::*;

#[test]
fn requests_that_make_no_image_are_refused() {
    let files = Files::new();
    let native = |text: &str| {
        let (os, architecture) = text.split_once('/').unwrap();
        request().with_native(platform(os, architecture), files.path("amd64.so"))
    };
    let mut too_late = files.all();
    too_late.created = UNIX_EPOCH + YEAR_10000;
    let problem = |request: &PackRequest| match pack(request).unwrap_err() {
        ArtifactError::Pack { reason } => reason,
        error => panic!("{error:?}"),
    };
    assert_eq!(problem(&request()), PackProblem::Nothing);
    assert_eq!(problem(&too_late), PackProblem::Created);
    let twice =
        native("linux/amd64").with_native(platform("Linux", "x86_64"), files.path("amd64.so"));
    assert!(matches!(problem(&twice), PackProblem::Twice { .. }));
    for platform in ["wasi/wasm", "unknown/unknown", "/amd64", "linux/"] {
        let problem = problem(&native(platform));
        assert!(
            matches!(problem, PackProblem::Platform { .. }),
            "{platform}: {problem:?}"
        );
    }
    for variant in ["v99", "v2/x"] {
        let mut platform = platform("linux", "amd64");
        platform.set_variant(Some(variant.to_owned()));
        let problem = problem(&request().with_native(platform, files.path("amd64.so")));
        assert!(
            matches!(problem, PackProblem::Variant { .. }),
            "{variant}: {problem:?}"
        );
        let text = problem.to_string();
        assert!(text.contains("v1, v2, v3 and v4"), "{text}");
    }
    for name in ["mt.query.plugin.type", "org.opencontainers.image.created"] {
        let problem = problem(&files.all().with_annotation(name, "x"));
        assert!(
            matches!(problem, PackProblem::Annotation { .. }),
            "{name}: {problem:?}"
        );
    }
}

/// LIM-05: what hosts would refuse by its size is not packed.
#[test]
fn lim_files_past_the_limits_are_not_packed() {
    let files = Files::new();
    let sparse = |name: &str, magic: &[u8], size: u64| {
        files.write(name, magic);
        let file = File::options().write(true).open(files.path(name)).unwrap();
        file.set_len(size).unwrap();
    };
    sparse("large.wasm", MODULE, 64 << 20);
    assert!(pack(&request().with_wasm(files.path("large.wasm"))).is_ok());
    sparse("large.wasm", MODULE, (64 << 20) + 1);
    match pack(&request().with_wasm(files.path("large.wasm"))).unwrap_err() {
        ArtifactError::LimitExceeded {
            what: Limit::WasmBytes,
            limit: 67_108_864,
            found: 67_108_865,
        } => {}
        error => panic!("{error:?}"),
    }
    // What the operator's `max_artifact_size` lets in, publishing lets out; and no more.
    let size = (64 << 20) + 1;
    for (most, fits) in [(size, true), (size - 1, false)] {
        let limits = ExtractLimits::default().with_artifact_bytes(most);
        let request = request().with_wasm(files.path("large.wasm"));
        assert_eq!(pack(&request.with_limits(limits)).is_ok(), fits, "{most}");
    }
    // A library of zeros shrinks so much that hosts would take it for a bomb.
    sparse("zeros.so", &elf(object::elf::EM_X86_64), 32 << 20);
    let native = request().with_native(platform("linux", "amd64"), files.path("zeros.so"));
    let error = pack(&native).unwrap_err();
    assert!(
        matches!(
            error,
            ArtifactError::LimitExceeded {
                what: Limit::Ratio,
                ..
            }
        ),
        "{error:?}"
    );
}

/// LIM-05: what is packed under limits is taken under the same ones, to the byte.
#[tokio::test]
async fn lim_an_archive_at_the_limits_goes_both_ways() {
    let files = Files::new();
    let native = request().with_native(platform("linux", "amd64"), files.path("amd64.so"));
    let image = pack(&native).unwrap();
    let packed = image.blobs[0].descriptor.size();
    let library = u64::try_from(elf(object::elf::EM_X86_64).len()).unwrap();
    // A header, the content in whole blocks of 512 bytes, and the end.
    let unpacked = 512 + library.div_ceil(512) * 512 + 1024;
    let limits = |less: (u64, u64)| ExtractLimits {
        archive_bytes: packed - less.0,
        unpacked_bytes: unpacked - less.1,
        ..ExtractLimits::default()
    };
    for (less, expected) in [
        ((1, 0), Limit::ArchiveBytes),
        ((0, 1), Limit::UnpackedBytes),
    ] {
        match pack(&native.clone().with_limits(limits(less))).unwrap_err() {
            ArtifactError::LimitExceeded { what, .. } => assert_eq!(what, expected),
            error => panic!("{error:?}"),
        }
    }
    let image = pack(&native.with_limits(limits((0, 0)))).unwrap();
    let (registry, repository) = (pushed(&image), repository());
    let request =
        SelectionRequest::new(image.root).with_host(HostPlatform::new(&platform("linux", "amd64")));
    let selection = select(request, &registry, &repository).await.unwrap();
    let sink = Box::new(Vec::new());
    extract(&selection, &registry, &repository, sink, &limits((0, 0)))
        .await
        .unwrap();
}
