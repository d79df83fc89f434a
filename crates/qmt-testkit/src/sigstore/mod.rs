//! The private Sigstore: an authority, a log and a timestamp service that sign.
