//! The forms of paths and arguments.

use qmt_oci_ref::text;

use super::*;
use crate::error::Error;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn every_form_of_a_path() {
    let digest = format!("sha256:{HEX}");
    for (path, shown) in [
        ("oci://ghcr.io/a/b", "oci://ghcr.io/a/b:latest"),
        ("oci-layout://x/y:1", "oci-layout://x/y:1"),
        ("oci-layout://x/y", "oci-layout://x/y:latest"),
        ("oci-layout://c:/x", "oci-layout://c:/x:latest"),
        ("oci-layout://job@2/l:v1", "oci-layout://job@2/l:v1"),
        ("oci-layout://job@2/l", "oci-layout://job@2/l:latest"),
        ("oci-layout://@scope/l@2:v1", "oci-layout://@scope/l@2:v1"),
        ("oci-layout://l@2", "oci-layout://l@2:latest"),
        ("oci-layout://a:b@c/l", "oci-layout://a:b@c/l:latest"),
        ("plugins/echo.wasm", "plugins/echo.wasm"),
        ("file:///plugins/echo.wasm", "/plugins/echo.wasm"),
        ("file:/plugins/echo.wasm", "/plugins/echo.wasm"),
        ("file://localhost/plugins/a%20b.wasm", "/plugins/a b.wasm"),
        ("~/echo.wasm", "~/echo.wasm"),
        ("oci-layout://~/x:1", "oci-layout://~/x:1"),
        ("./echo.wasm", "./echo.wasm"),
        ("c:/plugins/echo.wasm", "c:/plugins/echo.wasm"),
    ] {
        assert_eq!(
            PluginSource::parse(path, None).unwrap().to_string(),
            shown,
            "{path}"
        );
    }
    for folder in [
        "x",
        "job@2/l",
        "@scope/l@2",
        "l:v1",
        "c:/x",
        "a:b/l",
        "l:v1/",
    ] {
        let path = format!("oci-layout://{folder}@{digest}");
        let pinned = PluginSource::parse(&path, None).unwrap();
        assert!(!pinned.is_mutable());
        assert_eq!(pinned.to_string(), path);
    }
    let colon = PluginSource::parse(&format!("oci-layout:///l/x:1.tar/@{digest}"), None).unwrap();
    let PluginSource::Layout {
        path, tag: None, ..
    } = colon
    else {
        panic!("not a layout without a tag");
    };
    // With a slash at its end, a file is not found.
    assert_eq!(path.to_str(), Some("/l/x:1.tar"));
    let both = PluginSource::parse(&format!("oci-layout://l:v1@{digest}"), None).unwrap();
    let PluginSource::Layout { path, tag, digest } = both else {
        panic!("not a layout");
    };
    assert_eq!((path, tag.unwrap().as_str()), ("l".into(), "v1"));
    assert!(digest.is_some());
    let url = PluginSource::parse("https://u:secret@h/p.wasm?token=secret", Some(HEX)).unwrap();
    assert_eq!(url.to_string(), "https://h/p.wasm");
    // As PowerShell writes it.
    let hex = format!(" {}", HEX.to_ascii_uppercase());
    let url = PluginSource::parse("https://h:8443/p.wasm#secret", Some(&hex)).unwrap();
    assert_eq!(url.to_string(), "https://h:8443/p.wasm");
}

#[test]
fn an_argument_is_a_file_by_its_form_alone() {
    for file in [
        "./plugin.wasm",
        "../a/plugin",
        "/srv/plugin.so",
        "plugin.wasm",
        "target/debug/plugin.so",
        "file:///srv/x",
        "./ghcr.io/acme/echo:1",
    ] {
        let source = PluginSource::parse_argument(file).unwrap();
        assert!(
            matches!(source, PluginSource::File(_)),
            "{file}: {source:?}"
        );
        assert!(source.unsigned().is_some(), "{file}");
    }
    for image in [
        "ghcr.io/acme/plugin.wasm",
        "localhost:5000/plugin.wasm",
        "oci://plugin.wasm",
        "acme/echo",
        "ghcr.io/acme/echo:1",
        "oci-layout://dir:1",
    ] {
        let source = PluginSource::parse_argument(image).unwrap();
        assert!(source.unsigned().is_none(), "{image}: {source:?}");
    }
}

#[test]
fn what_is_refused() {
    for (path, sha256) in [
        ("oci://Ghcr.io/A", None),
        ("oci-layout://:1", None),
        ("oci-layout://x@sha256:00", None),
        ("oci-layout://job@2/x@sha256:00", None),
        ("https://h/p.wasm", None),
        ("https://h/p.wasm", Some("00")),
        ("oci://ghcr.io/a/b", Some(HEX)),
        ("http://h/p.wasm", None),
        ("s3://bucket/p.wasm", None),
        ("$PLUGINS/p.wasm", None),
        ("oci-layout://$HOME/x:1", None),
        ("~alice/p.wasm", None),
        ("oci-layout://l:a b", None),
    ] {
        assert!(
            PluginSource::parse(path, sha256).is_err(),
            "{path} was accepted"
        );
    }
}

/// An error names what is wrong, and what to write instead.
#[test]
fn errors_name_the_path_and_the_next_step() {
    for (path, words) in [
        ("oci-layout://l:", "`oci-layout://l:` ends without a tag"),
        (" oci://ghcr.io/a/b", "begins or ends with a space"),
        ("oci-layout://l:v1\n", "begins or ends with a space"),
        (
            "docker-archive:l.tar",
            "`skopeo copy docker-archive:l.tar oci:",
        ),
        ("docker-daemon:a/b:1", "`oci-layout://LAYOUT:latest`"),
        ("dir:/srv/l", "for skopeo"),
        (
            "dir:/srv/my images",
            "`skopeo copy 'dir:/srv/my images' oci:",
        ),
        ("https://h.example/p.wasm", "`path`"),
        ("https://h.example:8443/p.wasm", "`path`"),
    ] {
        let error = PluginSource::parse(path, None).expect_err(path).to_string();
        assert!(error.contains(words), "{path}: {error}");
    }
    for path in ["./dir:x", "plugins/dir:x", "directory/p.wasm", " p.wasm"] {
        PluginSource::parse(path, None).expect(path);
    }
    PluginSource::parse("https://ghcr.io/acme/x:1", Some(HEX)).unwrap();
}

/// Docker Hub has no image of such a name, which its grammar allows.
#[test]
fn a_registry_without_a_repository_is_asked_about() {
    for (name, host) in [
        ("ghcr.io", "ghcr.io"),
        ("GHCR.io", "ghcr.io"),
        ("ghcr.io:latest", "ghcr.io"),
        ("ghcr.io/", "ghcr.io"),
        ("localhost:5000//", "localhost:5000"),
        ("registry.example.com:5000", "registry.example.com:5000"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("localhost:5000", "localhost:5000"),
        ("localhost", "localhost"),
    ] {
        let digest = format!("{name}@sha256:{HEX}");
        let user = format!("docker://u:s3cret@{name}");
        let text = PluginSource::parse(&user, None).unwrap_err().to_string();
        assert!(!text.contains("s3cret"), "{text}");
        for name in [name, &digest] {
            let words = format!("did you mean `oci://{host}/NAMESPACE/NAME:TAG`?");
            for path in [format!("oci://{name}"), format!("docker://{name}")] {
                let error = PluginSource::parse(&path, None).expect_err(&path);
                let text = text::messages(&error).join(": ");
                assert!(text.ends_with(&words), "{path}: {text}");
            }
            for parse in [
                PluginSource::parse_argument,
                PluginSource::parse_reference,
                PluginSource::parse_destination,
            ] {
                let text = parse(name).expect_err(name).to_string();
                assert!(text.ends_with(&words), "{name}: {text}");
            }
        }
    }
    for image in [
        "docker.io/ghcr.io",
        "redis:7",
        "redis:1.2.3",
        "acme/echo.v2",
    ] {
        PluginSource::parse_argument(image).expect(image);
        PluginSource::parse(&format!("oci://{image}"), None).expect(image);
    }
}

/// CFG-02: a token, or a password with characters of URLs, in front of a registry or an image.
#[test]
fn a_credential_in_front_of_a_registry_is_not_shown() {
    let digest = format!("ghcr.io@sha256:{HEX}");
    let image = format!("ghcr.io/acme/echo@sha256:{HEX}");
    for host in [
        "ghcr.io",
        "localhost:5000/",
        "ghcr.io/acme/echo",
        &digest,
        &image,
    ] {
        for user in [
            "s3cret",
            "u:s3cret",
            "u:a/s3cret",
            "u:s3cret#x",
            "u:a@s3cret",
            "u:://s3cret",
        ] {
            for scheme in ["oci", "docker", "https", "http", "OCI"] {
                let path = format!("{scheme}://{user}@{host}");
                for result in [
                    PluginSource::parse(&path, None),
                    PluginSource::parse_argument(&path),
                    PluginSource::parse_destination(&path),
                ] {
                    let error = Error::source(&path, result.expect_err(&path));
                    let shown = text::messages(&error).join(": ");
                    assert!(!shown.contains("s3cret"), "{path}: {shown}");
                }
            }
        }
    }
}

/// Quotes keep a shell from replacing `~`.
#[test]
fn an_argument_may_be_in_the_home_folder() {
    let home = directories::BaseDirs::new().unwrap().home_dir().to_owned();
    for (text, path) in [
        ("~/x.wasm", home.join("x.wasm")),
        ("~/layout", home.join("layout")),
        ("~", home.clone()),
        ("~x.wasm", "~x.wasm".into()),
    ] {
        let source = PluginSource::parse_argument(text).unwrap();
        assert_eq!(source, PluginSource::File(path), "{text}");
    }
    let error = PluginSource::parse_argument("~alice/x.wasm").unwrap_err();
    assert!(error.to_string().contains("of another user"), "{error}");
}

#[test]
fn a_misspelled_scheme_is_asked_about() {
    for (path, meant) in [
        ("oci:/ghcr.io/a/b", "oci://ghcr.io/a/b"),
        ("oci:ghcr.io/a/b", "oci://ghcr.io/a/b"),
        ("OCI://ghcr.io/a/b", "oci://ghcr.io/a/b"),
        ("oci//ghcr.io/a/b", "oci://ghcr.io/a/b"),
        ("docker://ghcr.io/a/b", "oci://ghcr.io/a/b"),
        ("oci-layout:dir:1", "oci-layout://dir:1"),
        ("oci-layout:/abs/dir:1", "oci-layout:///abs/dir:1"),
        ("Oci-Layout:///abs/dir", "oci-layout:///abs/dir"),
        ("oci-archive:x.tar", "oci-layout://x.tar"),
        ("https:/h/p.wasm", "https://h/p.wasm"),
        ("oci:/srv/l:v1", "oci-layout:///srv/l:v1"),
        ("oci:l:v1", "oci-layout://l:v1"),
        ("oci:../l.d/x:v1", "oci-layout://../l.d/x:v1"),
        ("oci:localhost:5000/x:1", "oci://localhost:5000/x:1"),
        ("ocidir://l:v1", "oci-layout://l:v1"),
        ("oci+layout://l:v1", "oci-layout://l:v1"),
        ("https://ghcr.io/acme/x:1", "oci://ghcr.io/acme/x:1"),
    ] {
        let error = PluginSource::parse(path, None).expect_err(path).to_string();
        assert_eq!(error, format!("did you mean `{meant}`?"), "{path}");
    }
    // On the command line, a host may be called as a scheme is.
    let argument = |text: &str| PluginSource::parse_argument(text).map(|source| source.to_string());
    assert_eq!(argument("oci:5000/a/b:1").unwrap(), "oci://oci:5000/a/b:1");
    let error = argument("oci:/ghcr.io/a/b").unwrap_err().to_string();
    assert_eq!(error, "did you mean `oci://ghcr.io/a/b`?");
    for address in ["https://ghcr.io/a/b:1", "HTTP://ghcr.io/a/b:1"] {
        let error = argument(address).unwrap_err().to_string();
        assert_eq!(error, "did you mean `oci://ghcr.io/a/b:1`?", "{address}");
    }
    let error = argument("dir:/srv/image").unwrap_err().to_string();
    assert!(error.contains("skopeo copy"), "{error}");
}

/// The form of one image, with one slip each.
#[test]
fn the_right_form_of_an_image_is_proposed() {
    let right = "oci://ghcr.io/org/p:1";
    for path in [
        "oci:///ghcr.io/org/p:1",
        "oci:////ghcr.io/org/p:1",
        "oci:ghcr.io/org/p:1",
        "OCI://ghcr.io/org/p:1",
        "Oci:///ghcr.io/org/p:1",
        "oci:// ghcr.io/org/p:1",
        "oci://ghcr.io//org/p:1",
        "oci://ghcr.io/org/p:1/",
        "oci://oci://ghcr.io/org/p:1",
        "oci://https://ghcr.io/org/p:1",
        "oci:///u:s3cret@ghcr.io/org/p:1",
        "docker://ghcr.io/org/p:1",
        "docker:///ghcr.io/org/p:1",
        "oras://ghcr.io/org/p:1",
        "https://ghcr.io/org/p:1",
        "https:///ghcr.io/org/p:1",
        "HTTPS://ghcr.io/org/p:1",
        "http://ghcr.io/org/p:1",
        "HTTP://u:s3cret@ghcr.io/org/p:1",
        " oci://ghcr.io/org/p:1",
        "oci://ghcr.io/org/p:1\t",
        "ghcr.io/org/p:1 ",
        " OCI:///ghcr.io/org/p:1\n",
        " docker://u:s3cret@ghcr.io/org/p:1",
    ] {
        let asked = format!("did you mean `{right}`?");
        let with_space = format!("it begins or ends with a space; write `{right}`");
        let words = [&asked, &with_space][usize::from(path.trim() != path)];
        let in_config = PluginSource::parse(path, None).expect_err(path);
        let argument = PluginSource::parse_argument(path).expect_err(path);
        for error in [in_config, argument] {
            let shown = text::messages(&error).join(": ");
            // The rule that a name with `oci://` breaks comes first.
            let is_image = matches!(error, SourceError::MisspelledImage { .. });
            assert!(
                if is_image {
                    shown.ends_with(&format!("; {words}"))
                } else {
                    shown == *words
                },
                "{path}: {shown}"
            );
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
    for (path, meant) in [
        ("oci:///srv/l:v1", "did you mean `oci-layout:///srv/l:v1`?"),
        ("https:///h/p.wasm", "requires `sha256"),
        ("http://h.example/p.wasm", "by `https://` only"),
        ("http://ghcr.io/a/b", "did you mean `oci://ghcr.io/a/b`?"),
        (" ghcr.io/a/b", "write `oci://ghcr.io/a/b`"),
        ("oci-layout://l:v1 ", "write `oci-layout://l:v1`"),
        ("s3://bucket.example/p.wasm", "`s3://` is not supported"),
    ] {
        let error = PluginSource::parse(path, None).expect_err(path).to_string();
        assert!(error.contains(meant), "{path}: {error}");
    }
}

/// What is proposed can be used, and has no password.
#[test]
fn a_proposed_name_can_be_used() {
    for (path, words) in [
        (
            "docker://GHCR.io/acme/x:1",
            "did you mean `oci://ghcr.io/acme/x:1`?",
        ),
        (
            "docker://u:s3cret@GHCR.io/a/x:1",
            "did you mean `oci://ghcr.io/a/x:1`?",
        ),
        (
            "docker://u@ghcr.io/a/x:1",
            "did you mean `oci://ghcr.io/a/x:1`?",
        ),
        (
            "docker://u:s3cret?@ghcr.io/a/x:1?y",
            "did you mean `oci://ghcr.io/a/x:1`?",
        ),
        (
            "docker://u:s3cret#@ghcr.io/a/x:1#y",
            "did you mean `oci://ghcr.io/a/x:1`?",
        ),
        (
            "https:/u:s3cret@h.example/p.wasm",
            "did you mean `https://h.example/p.wasm`?",
        ),
        (
            "https://u:s3cret@ghcr.io/a/b:1",
            "did you mean `oci://ghcr.io/a/b:1`?",
        ),
        (
            "https://ghcr.io/a/b",
            "if it is an image, write `oci://ghcr.io/a/b`",
        ),
        (
            "https://u:s3cret@GHCR.io/a/b",
            "if it is an image, write `oci://ghcr.io/a/b`",
        ),
        (
            "docker://GHCR.io/Acme/x:1",
            "repository names are lower case",
        ),
        (
            "docker://u:s3cret@ghcr.io/Acme/x:1",
            "repository names are lower case",
        ),
        (
            "docker://u:s3/cret@ghcr.io/a/x:1",
            "did you mean `oci://ghcr.io/a/x:1`?",
        ),
    ] {
        let error = PluginSource::parse(path, None).expect_err(path);
        let shown = text::messages(&error).join(": ");
        assert!(shown.contains(words), "{path}: {shown}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("cret@"),
            "{path}: {shown}"
        );
        let proposed = shown.split('`').find(|part| part.starts_with("oci://ghcr"));
        if let Some(proposed) = proposed {
            PluginSource::parse(proposed, None).expect(proposed);
        }
    }
    for path in [
        "https://h.example/a/p.wasm",
        "https://h.example/p?x=s3cret",
        "https://h.example/",
    ] {
        let error = PluginSource::parse(path, None).expect_err(path);
        assert!(matches!(error, SourceError::NoSha256), "{path}: {error}");
    }
    for (argument, meant) in [
        ("https://u:s3cret@GHCR.io/a/b/", "`oci://ghcr.io/a/b`"),
        ("https://ghcr.io/a/b:1?x=s3cret", "`oci://ghcr.io/a/b:1`"),
    ] {
        let error = PluginSource::parse_argument(argument)
            .unwrap_err()
            .to_string();
        assert_eq!(error, format!("did you mean {meant}?"), "{argument}");
    }
}

/// The web site of a registry is not the registry.
#[test]
fn an_image_is_proposed_for_the_page_about_it() {
    for (page, image) in [
        ("hub.docker.com/r/acme/x", "docker.io/acme/x"),
        ("HUB.docker.com/r/acme/x/tags", "docker.io/acme/x"),
        ("hub.docker.com/_/x", "docker.io/library/x"),
        (
            "hub.docker.com/layers/acme/x/v1/images/sha256-0",
            "docker.io/acme/x:v1",
        ),
        ("github.com/Acme/repo/pkgs/container/x", "ghcr.io/acme/x"),
        (
            "github.com/orgs/acme/packages/container/package/x",
            "ghcr.io/acme/x",
        ),
        ("quay.io/repository/a/b", "quay.io/a/b"),
        // Not such a page.
        ("quay.io/a/b", "quay.io/a/b"),
        ("ghcr.io/r/acme/x", "ghcr.io/r/acme/x"),
    ] {
        let page = format!("https://{page}");
        let error = PluginSource::parse_argument(&page).unwrap_err().to_string();
        assert_eq!(error, format!("did you mean `oci://{image}`?"), "{page}");
        let error = PluginSource::parse(&page, None).unwrap_err().to_string();
        assert!(
            error.contains(&format!("`oci://{image}`")),
            "{page}: {error}"
        );
    }
}

#[test]
fn paths_with_a_home_folder() {
    let home = directories::BaseDirs::new().unwrap().home_dir().to_owned();
    let located = |path: &str| {
        let source = PluginSource::parse(path, None).unwrap();
        source.relative_to(Path::new("/etc/plugins"))
    };
    assert_eq!(located("~/p.wasm"), PluginSource::File(home.join("p.wasm")));
    let PluginSource::Layout { path, .. } = located("oci-layout://~/x:1") else {
        panic!("not a layout");
    };
    assert_eq!(path, home.join("x"));
    let absolute = PluginSource::File("/p.wasm".into());
    assert_eq!(located("file:///p.wasm"), absolute);
}

#[test]
fn what_reads_like_an_image() {
    for path in [
        "ghcr.io/a/b",
        "ghcr.io/a/b:1",
        "localhost/a/b",
        "localhost:5000/a",
        "a/b:1",
    ] {
        assert!(is_like_image(path), "{path}");
    }
    for path in [
        "plugins/echo",
        "./ghcr.io/a",
        "../a:b/c",
        "echo.wasm",
        "/a.b/c",
        "a\\b",
    ] {
        assert!(!is_like_image(path), "{path}");
    }
}

/// A next step that fits what is given.
#[test]
fn a_url_with_a_digest_is_written_with_https() {
    for (path, words) in [
        ("http://h.example/p.wasm", "by `https://` only"),
        ("https:/h.example/p.wasm", "`https://h.example/p.wasm`"),
        ("HTTPS://h.example/p.wasm", "`https://h.example/p.wasm`"),
        ("oci://ghcr.io/a/b", "`@sha256:…`"),
        ("plugin.wasm", "`https://` path only"),
    ] {
        let error = PluginSource::parse(path, Some(HEX)).unwrap_err();
        assert!(error.to_string().contains(words), "{path}: {error}");
    }
}

#[test]
fn the_path_of_a_layout_is_recognised_without_its_scheme() {
    for path in ["./l:v1", "../l", "/srv/l:v1", "~/l:v1", "/srv/My l"] {
        let error = PluginSource::parse_reference(path).unwrap_err();
        let meant = format!("did you mean `oci-layout://{path}`?");
        assert_eq!(error.to_string(), meant);
    }
}

/// The store of another tool is a source for `skopeo copy`, and a target after publishing.
#[test]
fn a_destination_of_other_tools_is_copied_to() {
    let error = PluginSource::parse_destination("dir:l").unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`skopeo copy oci:LAYOUT:TAG dir:l`"),
        "{text}"
    );
    assert!(PluginSource::parse_destination("oci-layout://l:1").is_ok());
    assert!(PluginSource::parse_destination("ghcr.io/acme/echo:1").is_ok());
}

#[test]
fn a_dot_is_not_repeated() {
    for (path, located) in [
        ("./x.wasm", "./x.wasm"),
        ("x.wasm", "./x.wasm"),
        ("../x.wasm", "./../x.wasm"),
        ("oci-layout://./l:1", "oci-layout://./l:1"),
    ] {
        let source = PluginSource::parse(path, None).unwrap();
        let source = source.relative_to(Path::new("."));
        assert_eq!(source.to_string(), located);
    }
}

/// It would be looked up as a name when the plugin is fetched.
#[test]
fn a_variable_in_place_of_the_host_of_a_url_is_refused() {
    let sha256 = "a".repeat(64);
    for url in [
        "https://${HOST}/x.wasm",
        "https://$HOST:8443/x.wasm",
        "https://a.${TLD}/x.wasm",
    ] {
        let error = PluginSource::parse(url, Some(&sha256)).unwrap_err();
        assert!(
            error.to_string().contains("environment variables"),
            "{error}"
        );
    }
    for url in [
        "https://a_b.example/$x/{y}.wasm",
        "https://[::1]:8443/x",
        "https://127.0.0.1/x",
    ] {
        PluginSource::parse(url, Some(&sha256)).unwrap();
    }
}

#[test]
fn a_layout_on_disk_is_asked_about_with_its_scheme() {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("job@2/l");
    std::fs::create_dir_all(&layout).unwrap();
    std::fs::write(layout.join("oci-layout"), "{}").unwrap();
    let path = format!("{}:v1", layout.display());
    let meant = format!("did you mean `oci-layout://{path}`?");
    let written = format!("oci+layout://{path}");
    let error = PluginSource::parse(&written, None).unwrap_err();
    assert_eq!(error.to_string(), meant);
    let error = PluginSource::parse_reference(&path).unwrap_err();
    assert_eq!(error.to_string(), meant);
}
