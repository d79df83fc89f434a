//! The files that are packed: checked and copied, libraries into an archive.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use qmt_oci_ref::{Digest, PluginKind};

use super::blob::{BUFFER_BYTES, Measured, Spool, temporary};
use crate::error::{ArtifactError, at_most, escaped};
use crate::extract::candidate::identify;
use crate::platform::HostPlatform;
use crate::problem::Limit;
use crate::sniff::SNIFF_BYTES;

/// Makes a compressed archive of one file, owned by root and last changed when the image was
/// created. Returns it with the digest and the length that it has before compression.
pub(super) fn archive(
    library: Spool,
    name: &str,
    seconds: u64,
) -> io::Result<(Spool, Digest, u64)> {
    let mut header = tar::Header::new_ustar();
    header.set_size(library.length());
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(seconds);
    header.set_entry_type(tar::EntryType::Regular);
    // The gzip header has no time and no name, so that they do not change the digest.
    let gzip = GzBuilder::new()
        .mtime(0)
        .write(Spool::create()?, Compression::new(6));
    let mut builder = tar::Builder::new(Measured::new(gzip));
    builder.append_data(&mut header, name, library.into_reader()?)?;
    let (gzip, diff_id, unpacked) = builder.into_inner()?.finish();
    Ok((gzip.finish()?, diff_id, unpacked))
}

/// Copies a file that is of the right kind and within the limit, so that it does not change while it
/// is packed and pushed.
pub(super) fn spool(
    path: &Path,
    kind: PluginKind,
    host: &HostPlatform,
    (what, limit): (Limit, u64),
) -> Result<Spool, ArtifactError> {
    let read_error = |source| ArtifactError::ReadFile {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(read_error)?;
    let announced = file.metadata().map_err(read_error)?;
    at_most(what, limit, announced.len())?;
    let mut spool = Spool::create().map_err(temporary)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut prefix = Vec::new();
    Read::by_ref(&mut file)
        .take(SNIFF_BYTES as u64)
        .read_to_end(&mut prefix)
        .map_err(read_error)?;
    identify(&prefix, Some(kind), host).map_err(|problem| ArtifactError::Content {
        file: escaped(path.as_os_str().as_encoded_bytes()),
        problem,
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
            Err(source) => return Err(read_error(source)),
        }
    }
}
