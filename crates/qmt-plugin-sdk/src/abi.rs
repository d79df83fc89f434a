//! The C interface of native plugins, for hosts and authors: `qmt_plugin.h` and its constants.

/// The version of [`HEADER`].
pub const VERSION: u32 = 1;

/// The first bytes of the [`Mark`], which is the symbol `qmt_plugin_abi`.
pub const MAGIC: [u8; 8] = *b"QMTABI\0\0";

/// The interface in C: `qmt_plugin.h`.
pub const HEADER: &str = include_str!("../include/qmt_plugin.h");

/// The mark in the library's read-only data, by which a host knows the version before it opens the
/// library.
#[derive(Debug)]
#[repr(C)]
#[non_exhaustive]
pub struct Mark {
    magic: [u8; 8],
    version: u32,
}

impl Mark {
    /// The mark of [`VERSION`].
    pub const CURRENT: Self = Self {
        magic: MAGIC,
        version: VERSION,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_the_same_version_and_mark() {
        let version = format!("#define QMT_PLUGIN_ABI_VERSION {VERSION}u\n");
        assert!(HEADER.contains(&version));
        let magic = MAGIC.map(|byte| match byte {
            0 => "0".to_owned(),
            letter => format!("'{}'", char::from(letter)),
        });
        assert!(HEADER.contains(&magic.join(", ")));
        assert_eq!(size_of::<Mark>(), 12);
    }
}
