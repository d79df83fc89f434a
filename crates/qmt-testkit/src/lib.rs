#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod clock;
mod error;
mod image;
pub mod plugins;
mod registry;
mod sigstore;

pub use self::sigstore::{
    Attestation, BUNDLE_V03, DSSE_ENVELOPE, Flaw, Format, GITHUB_ISSUER, Identity, KeyKind,
    KeyPair, LogKind, Part, PrivateSigstore, SIGN_PREDICATE, SIMPLE_SIGNING,
    SIMPLE_SIGNING_ARTIFACT, SLSA_V1, SLSA_V02, SignatureImage, SignedBundle,
    SignedCertificateTimestamp, SignedSubject, Signer, Signing, SimpleAttestation, SimpleSigning,
    Spelling, SubjectName, TRUSTED_ROOT_TARGET, TrustPart, TrustedRootBuilder, TufFiles, TufFlaw,
    TufRepository, TufRole, Twin, attach_bundle, attach_simple,
};

pub use self::clock::TestClock;
pub use self::error::TestkitError;
pub use self::image::{Archive, Image, ImageBuilder, IndexBuilder, Layer, TarEntry};
pub use self::registry::{
    Auth, Certificates, Cut, FakeRegistry, FakeRegistryBuilder, Fault, Flood, FloodServer, Gate,
    Harm, LoggedRequest, PlainServer, ProxyServer, TlsOptions, TokenIssuer, TokenOptions,
    TokenServer, WireProxy,
};
