//! The parts of a signature that are not checked, and are reported as ignored.

/// A part of a signature that was not checked. It proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ignored {
    /// The trust root knows no transparency log.
    LogEntries,
    /// The trust root does not know the log.
    UnknownLog,
    /// The trust root knows no timestamp authority.
    Timestamps,
    /// The trust root does not know the timestamp authority.
    UnknownAuthority,
    /// The trust root knows no certificate transparency log.
    CertificateTimestamps,
    /// A log entry or timestamp that cannot be read, of a kind that the trust root knows.
    Unreadable,
}

impl Ignored {
    pub(crate) fn warning(self) -> &'static str {
        match self {
            Self::LogEntries => {
                "its log entry was ignored: the trust root knows no transparency log"
            }
            Self::UnknownLog => {
                "a log entry was ignored: the trust root does not know its transparency log"
            }
            Self::UnknownAuthority => {
                "a timestamp was ignored: the trust root does not know its timestamp authority"
            }
            Self::Timestamps => {
                "its timestamp was ignored: the trust root knows no timestamp authority"
            }
            Self::CertificateTimestamps => {
                "the timestamps in its certificate were not checked: the trust root knows no \
                 certificate transparency log"
            }
            Self::Unreadable => {
                "its log entry or timestamp cannot be read, and was ignored: its key needs none"
            }
        }
    }
}
