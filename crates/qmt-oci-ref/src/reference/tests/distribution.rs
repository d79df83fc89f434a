//! The distribution project's own tables.

use super::*;

/// REF-01: the rows of the distribution project's `reference_test.go`, normalised as
/// `ParseNormalizedNamed` does it. No outcome differs.
#[test]
fn distribution_references() {
    let hub = "docker.io/library/";
    check("test_com", &format!("{hub}test_com:latest"));
    check("test.com:tag", &format!("{hub}test.com:tag"));
    check("test.com:5000", &format!("{hub}test.com:5000"));
    check("test.com/repo:tag", "test.com/repo:tag");
    check("test:5000/repo", "test:5000/repo:latest");
    check("test:5000/repo:tag", "test:5000/repo:tag");
    check(
        &format!("test:5000/repo@{SHA256}"),
        &format!("test:5000/repo@{SHA256}"),
    );
    check(
        &format!("test:5000/repo:tag@{SHA256}"),
        &format!("test:5000/repo:tag@{SHA256}"),
    );
    check("lowercase:Uppercase", &format!("{hub}lowercase:Uppercase"));
    let long = format!("{}a", "a/".repeat(127));
    check(
        &format!("{long}:tag-over-max"),
        &format!("docker.io/{long}:tag-over-max"),
    );
    check(
        "sub-dom1.foo.com/bar/baz/quux",
        "sub-dom1.foo.com/bar/baz/quux:latest",
    );
    check(
        "sub-dom1.foo.com/bar/baz/quux:some-long-tag",
        "sub-dom1.foo.com/bar/baz/quux:some-long-tag",
    );
    check(
        "b.gcr.io/test.example.com/my-app:test.example.com",
        "b.gcr.io/test.example.com/my-app:test.example.com",
    );
    check(
        "xn--n3h.com/myimage:xn--n3h.com",
        "xn--n3h.com/myimage:xn--n3h.com",
    );
    let sha512 = format!("sha512:{}", "f".repeat(128));
    check(
        &format!("xn--7o8h.com/myimage:xn--7o8h.com@{sha512}"),
        &format!("xn--7o8h.com/myimage:xn--7o8h.com@{sha512}"),
    );
    check("foo_bar.com:8080", &format!("{hub}foo_bar.com:8080"));
    check("foo/foo_bar.com:8080", "docker.io/foo/foo_bar.com:8080");
    check("192.168.1.1", &format!("{hub}192.168.1.1:latest"));
    check("192.168.1.1:tag", &format!("{hub}192.168.1.1:tag"));
    check("192.168.1.1:5000", &format!("{hub}192.168.1.1:5000"));
    check("192.168.1.1/repo", "192.168.1.1/repo:latest");
    check("192.168.1.1:5000/repo", "192.168.1.1:5000/repo:latest");
    check("192.168.1.1:5000/repo:5050", "192.168.1.1:5000/repo:5050");
    check("[2001:db8::1]/repo", "[2001:db8::1]/repo:latest");
    check(
        "[2001:db8:1:2:3:4:5:6]/repo:tag",
        "[2001:db8:1:2:3:4:5:6]/repo:tag",
    );
    check("[2001:db8::1]:5000/repo", "[2001:db8::1]:5000/repo:latest");
    check("[2001:db8::1]:5000/repo:tag", "[2001:db8::1]:5000/repo:tag");
    check(
        &format!("[2001:db8::1]:5000/repo@{SHA256}"),
        &format!("[2001:db8::1]:5000/repo@{SHA256}"),
    );
    check(
        &format!("[2001:db8::1]:5000/repo:tag@{SHA256}"),
        &format!("[2001:db8::1]:5000/repo:tag@{SHA256}"),
    );
    check("[2001:db8::]:5000/repo", "[2001:db8::]:5000/repo:latest");
    check("[::1]:5000/repo", "[::1]:5000/repo:latest");

    for text in [
        "",
        ":justtag",
        &format!("@{SHA256}"),
        "repo@sha256:ffffffffffffffffffffffffffffffffff",
        &format!("validname@invaliddigest:{}", "f".repeat(128)),
        "Uppercase:tag",
        "test:5000/Uppercase/lowercase:tag",
        &format!("{}a:tag", "a/".repeat(128)),
        "aa/asdf$$^/aa",
        "[2001:db8::1]",
        "[2001:db8::1]:5000",
        "[2001:db8::1]:tag",
        "[fe80::1%eth0]:5000/repo",
        "[fe80::1%@invalidzone]:5000/repo",
    ] {
        refuse(text);
    }
}

/// REF-01: the rows of `normalize_test.go`. Upper case in a host is accepted and lowered.
#[test]
fn distribution_normalisation() {
    for (text, canonical) in [
        ("docker/docker", "docker.io/docker/docker"),
        ("library/debian", "docker.io/library/debian"),
        ("debian", "docker.io/library/debian"),
        ("docker.io/docker/docker", "docker.io/docker/docker"),
        ("docker.io/debian", "docker.io/library/debian"),
        ("index.docker.io/docker/docker", "docker.io/docker/docker"),
        ("index.docker.io/debian", "docker.io/library/debian"),
        (
            "127.0.0.1:5000/docker/docker",
            "127.0.0.1:5000/docker/docker",
        ),
        ("127.0.0.1:5000/debian", "127.0.0.1:5000/debian"),
        ("192.168.0.1:8/debian", "192.168.0.1:8/debian"),
        (
            "thisisthesongthatneverendsitgoesonandonandonthisisthesongthatnev",
            "docker.io/library/thisisthesongthatneverendsitgoesonandonandonthisisthesongthatnev",
        ),
        ("[fc00::1]:5000/docker", "[fc00::1]:5000/docker"),
        (
            "[fc00:1:2:3:4:5:6:7]:5000/library/debian",
            "[fc00:1:2:3:4:5:6:7]:5000/library/debian",
        ),
        (
            "docker.io/1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a",
            "docker.io/library/1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a",
        ),
        ("Docker/docker", "docker/docker"),
        ("docker-rules/docker", "docker.io/docker-rules/docker"),
        ("docker---rules/docker", "docker.io/docker---rules/docker"),
        ("d/docker", "docker.io/d/docker"),
        ("dock__er/docker", "docker.io/dock__er/docker"),
        (
            "library/ubuntu-12.04-base",
            "docker.io/library/ubuntu-12.04-base",
        ),
        ("docker.io/library/foo/bar", "docker.io/library/foo/bar"),
        ("localhost/foo", "localhost/foo"),
    ] {
        let reference = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(reference.repository().to_string(), canonical, "{text}");
    }
    let long = "this_is_not_a_valid_namespace_because_its_lenth_is_greater_than_255_".repeat(4);
    for text in [
        "https://github.com/docker/docker",
        "docker/Docker",
        "-docker",
        "-docker/docker",
        "-docker.io/docker/docker",
        "docker///docker",
        "docker.io/docker/Docker",
        "docker.io/docker///docker",
        "[fc00::1]",
        "[fc00::1]:5000",
        "fc00::1:5000/debian",
        "[2001:db8:3:4::192.0.2.33]:5000/debian",
        "1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a",
        "docker-/docker",
        "-docker-/docker",
        "____/____",
        "_docker/_docker",
        "dock..er/docker",
        "dock_.er/docker",
        "dock-.er/docker",
        "docker/",
        "busybox:-foo",
        "busybox@foo",
        &format!("{long}/docker"),
    ] {
        refuse(text);
    }
}
