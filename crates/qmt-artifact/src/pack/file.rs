//! The files that are packed: checked and copied, and put into an archive where they need one.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use qmt_oci_ref::Digest;

use super::blob::{BUFFER_BYTES, Measured, Spool, temporary};
use crate::error::{ArtifactError, Limit, shown};
use crate::extract::rule::judge;
use crate::kind::PluginKind;
use crate::platform::HostPlatform;
use crate::sniff::SNIFF_BYTES;

/// Makes a compressed archive of one file, owned by root and last changed when the image was
/// created. Returns it with the digest and the length that it has before compression.
pub(super) fn archive(
    library: Spool,
    name: &str,
    seconds: u64,
) -> Result<(Spool, Digest, u64), ArtifactError> {
    write_archive(library, name, seconds).map_err(temporary)
}

fn write_archive(library: Spool, name: &str, seconds: u64) -> io::Result<(Spool, Digest, u64)> {
    let mut header = tar::Header::new_ustar();
    header.set_size(library.length());
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(seconds);
    header.set_entry_type(tar::EntryType::Regular);
    // No time and no name in the header: they are no part of what is packed.
    let gzip = GzBuilder::new()
        .mtime(0)
        .write(Spool::new()?, Compression::new(6));
    let mut builder = tar::Builder::new(Measured::new(gzip));
    builder.append_data(&mut header, name, library.into_reader()?)?;
    let (gzip, diff_id, unpacked) = builder.into_inner()?.finish();
    Ok((gzip.finish()?, diff_id, unpacked))
}

/// Copies a file that is of the right kind and not too large, so that it stays what it is while it
/// is packed and pushed.
pub(super) fn spool(
    path: &Path,
    kind: PluginKind,
    host: &HostPlatform,
    (what, limit): (Limit, u64),
) -> Result<Spool, ArtifactError> {
    let mut file = File::open(path).map_err(|source| read_error(path, source))?;
    let announced = file.metadata().map_err(|source| read_error(path, source))?;
    at_most(what, limit, announced.len())?;
    let mut spool = Spool::new().map_err(temporary)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut prefix = Vec::new();
    Read::by_ref(&mut file)
        .take(SNIFF_BYTES as u64)
        .read_to_end(&mut prefix)
        .map_err(|source| read_error(path, source))?;
    judge(&prefix, Some(kind), host)
        .map(drop)
        .map_err(|found| ArtifactError::Content {
            file: shown(path.as_os_str().as_encoded_bytes()),
            found,
        })?;
    spool.write_all(&prefix).map_err(temporary)?;
    loop {
        at_most(what, limit, spool.length())?;
        match file.read(&mut buffer) {
            Ok(0) => return Ok(spool),
            Ok(length) => {
                let read = buffer.get(..length).unwrap_or_default();
                spool.write_all(read).map_err(temporary)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(read_error(path, source)),
        }
    }
}

pub(super) fn at_most(what: Limit, limit: u64, found: u64) -> Result<(), ArtifactError> {
    if found > limit {
        return Err(ArtifactError::TooMuch { what, limit, found });
    }
    Ok(())
}

fn read_error(path: &Path, source: io::Error) -> ArtifactError {
    ArtifactError::ReadFile {
        path: path.to_owned(),
        source,
    }
}
