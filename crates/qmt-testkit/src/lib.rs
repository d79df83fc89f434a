#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod clock;
mod error;
mod image;
pub mod plugins;
mod registry;
mod sigstore;

pub use self::sigstore::{
    Attestation, BUNDLE_V03, DSSE_ENVELOPE, Defect, Encoding, Format, GITHUB_ISSUER, Identity,
    KeyKind, KeyPair, LogKind, Part, PrivateSigstore, SIGN_PREDICATE, SIMPLE_SIGNING,
    SIMPLE_SIGNING_ARTIFACT, SLSA_V1, SLSA_V02, SignatureImage, SignedBundle,
    SignedCertificateTimestamp, SignedSubject, Signer, Signing, SimpleAttestation, SimpleSigning,
    SubjectName, TRUSTED_ROOT_TARGET, Tampered, TrustPart, TrustedRootBuilder, TufDefect, TufFiles,
    TufRepository, TufRole, attach_bundle, attach_simple,
};

pub use self::clock::TestClock;
pub use self::error::TestkitError;
pub use self::image::{Archive, Image, ImageBuilder, IndexBuilder, Layer, TarEntry};
pub use self::registry::{
    Auth, Certificates, Cut, FakeRegistry, FakeRegistryBuilder, Fault, Flood, FloodServer, Gate,
    LoggedRequest, PlainServer, ProxyServer, TlsOptions, TokenIssuer, TokenOptions, TokenServer,
    WireFault, WireProxy,
};
