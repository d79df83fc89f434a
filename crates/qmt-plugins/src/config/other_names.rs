//! What keys of the config are called elsewhere.

/// Keys, each with its names at docker, containerd, podman, oras, cosign and policy-controller, and in
/// other tables of the config, as [`compact`] returns them.
const OTHER_NAMES: &[(&str, &[&str])] = &[
    ("path", &["image", "ref", "reference", "source", "url"]),
    ("plain_http", &["http", "insecure"]),
    (
        "ca_file",
        &[
            "ca",
            "cacert",
            "cacerts",
            "certificateauthority",
            "insecureskiptlsverify",
            "insecureskipverify",
            "skiptlsverify",
            "skipverify",
            "tlsverify",
        ],
    ),
    (
        "client_cert",
        &["cert", "certfile", "certificate", "clientcertificate"],
    ),
    (
        "client_key",
        &["clientkeypassword", "key", "keyfile", "privatekey"],
    ),
    ("proxy", &["httpproxy", "httpsproxy", "proxyurl"]),
    ("mirrors", &["endpoint", "mirror"]),
    (
        "scope",
        &["glob", "image", "images", "pattern", "repository"],
    ),
    (
        "any_of",
        &[
            "authorities",
            "authority",
            "identities",
            "keyless",
            "signers",
        ],
    ),
    ("require", &["threshold"]),
    ("public_keys", &["key", "keys", "publickey"]),
    ("key", &["keys", "publickey", "publickeys"]),
    (
        "cert_email",
        &[
            "certidentity",
            "certificateidentity",
            "email",
            "signer",
            "subject",
        ],
    ),
    (
        "identity",
        &[
            "certemail",
            "certidentity",
            "certificateidentity",
            "certurl",
            "email",
            "san",
            "signer",
            "subject",
        ],
    ),
    (
        "identity_regex",
        &[
            "certidentityregexp",
            "certificateidentityregexp",
            "identityregexp",
            "subjectregex",
            "subjectregexp",
        ],
    ),
    (
        "cert_issuer",
        &[
            "certificateissuer",
            "certificateoidcissuer",
            "certificateoidcissuerregexp",
            "certoidcissuer",
            "issuer",
            "issuerregex",
            "issuerregexp",
            "oidcissuer",
        ],
    ),
    (
        "issuer",
        &[
            "certificateissuer",
            "certificateoidcissuer",
            "certificateoidcissuerregexp",
            "certissuer",
            "certoidcissuer",
            "issuerregex",
            "issuerregexp",
            "oidcissuer",
        ],
    ),
    (
        "github_repository",
        &["githubworkflowrepository", "repository"],
    ),
    (
        "transparency_log",
        &["ignoretlog", "insecureignoretlog", "rekor", "tlog"],
    ),
];

/// The names of an identity that is written as `cert_url` if it is a URL.
const NAMES_OF_URLS: &[&str] = &["certidentity", "certificateidentity", "signer", "subject"];

/// Returns the keys that `name` can mean. The first one that its table has is meant.
pub(super) fn meant(name: &str, value: Option<&str>) -> impl Iterator<Item = &'static str> + Clone {
    let name = compact(name);
    let is_url = value.is_some_and(|value| value.contains("://"));
    let url = (is_url && NAMES_OF_URLS.contains(&&*name)).then_some("cert_url");
    let others = OTHER_NAMES.iter();
    let others = others.filter(move |(_, others)| others.contains(&&*name));
    url.into_iter().chain(others.map(|(here, _)| *here))
}

/// Returns the known key that has the same words.
pub(super) fn same(name: &str, known: &[&str]) -> Option<String> {
    let name = compact(name);
    let same = known.iter().find(|here| compact(here) == name);
    same.map(|here| (*here).to_owned())
}

/// Returns a key in lower case and without what separates its words.
fn compact(key: &str) -> String {
    let key = key.chars().filter(char::is_ascii_alphanumeric);
    key.collect::<String>().to_ascii_lowercase()
}
