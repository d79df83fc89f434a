//! An in-process OCI registry and a private Sigstore for tests.
#![forbid(unsafe_code)]

mod clock;
mod error;
mod image;
pub mod plugins;
mod registry;
mod sigstore;

pub use self::sigstore::{
    BUNDLE_V03, Flaw, Format, GITHUB_ISSUER, Identity, KeyKind, KeyPair, LogKind, PrivateSigstore,
    SIGN_PREDICATE, SIMPLE_SIGNING, SIMPLE_SIGNING_ARTIFACT, SignatureImage, SignedBundle,
    SignedSubject, Signer, Signing, SimpleSigning, SubjectName, TrustPart, TrustedRootBuilder,
    Twin,
};

pub use self::clock::TestClock;
pub use self::error::TestkitError;
pub use self::image::{Archive, Image, ImageBuilder, IndexBuilder, Layer, TarEntry};
pub use self::registry::{
    Auth, Certificates, Cut, FakeRegistry, FakeRegistryBuilder, Fault, LoggedRequest, PlainServer,
    TlsOptions, TokenIssuer, TokenOptions, TokenServer,
};
