//! The facade against a registry over real HTTP and a private Sigstore.

mod cached;
mod escalation;
mod journey;
mod moving;
mod publish;
mod scene;
mod sources;
mod trust;
