//! WASI preview 1 by `wasmtime-wasi`, for modules that import it.
//!
//! A plugin gets clocks, random numbers and the folders that it was granted; its standard streams
//! are empty, and it has no arguments, environment or sockets. Everything that waits is
//! asynchronous, so that a call ends at its deadline also while it sleeps or reads a slow disk.

use std::io;
use std::path::PathBuf;

use wasmtime::{AsContextMut, Caller, Extern, Linker, Result};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1;
use wasmtime_wasi::{FsPerms, ResourceTableError, WasiCtxBuilder, WasiView};
use wiggle::{GuestMemory, GuestPtr};

use super::imports::{WASI_PREVIEW_1, WASI_UNSTABLE};
use super::state::State;
use crate::error::LoadError;

/// A folder of the host that a plugin may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folder {
    pub(super) host: PathBuf,
    pub(super) guest: String,
    pub(super) read_only: bool,
}

/// The files, folders and pending waits that one instance may have open at a time: a fraction of the
/// 1,024 descriptors that many systems give to a process.
const OPEN_MAX: usize = 256;

/// Opens the granted folders for one instance.
pub(super) fn context(folders: &[Folder]) -> Result<WasiP1Ctx, LoadError> {
    let mut builder = WasiCtxBuilder::new();
    for folder in folders {
        let rights = if folder.read_only {
            FsPerms::ReadOnly
        } else {
            FsPerms::ReadWrite
        };
        let opened = builder.preopened_dir(&folder.host, &folder.guest, rights);
        // It existed when it was granted.
        opened.map_err(|error| LoadError::Io {
            action: "open the granted folder",
            path: folder.host.clone(),
            source: error.downcast().unwrap_or_else(io::Error::other),
        })?;
    }
    Ok(build(&mut builder))
}

fn build(builder: &mut WasiCtxBuilder) -> WasiP1Ctx {
    let mut context = builder.build_p1();
    context.ctx().table.set_max_capacity(OPEN_MAX);
    context
}

/// The context that [`context`] made, or one without folders.
fn wasi(state: &mut State) -> &mut WasiP1Ctx {
    state
        .wasi
        .get_or_insert_with(|| build(&mut WasiCtxBuilder::new()))
}

/// Links a version of WASI, and puts our own functions before those that open a file by its name:
/// they wait for the other end of a FIFO, in a thread which nothing ends.
macro_rules! link {
    ($name:ident, $version:ident, $functions:ident, $trait:ident, $module:expr) => {
        pub(super) fn $name(linker: &mut Linker<State>) -> Result<()> {
            use wasmtime_wasi::$version::types::{Errno, Fd, Filetype, Lookupflags};
            use wasmtime_wasi::$version::$functions::{self as functions, $trait as Wasi};

            /// Reports whether the name is that of a file which opening may have to wait for.
            async fn waits(
                wasi: &mut WasiP1Ctx,
                memory: &mut GuestMemory<'_>,
                (folder, follow, path, length): (i32, i32, i32, i32),
            ) -> bool {
                let Ok(follow) = Lookupflags::try_from(follow.cast_unsigned()) else {
                    return false;
                };
                let folder = Fd::from(folder.cast_unsigned());
                let path = GuestPtr::<str>::new((path.cast_unsigned(), length.cast_unsigned()));
                let found = Wasi::path_filestat_get(wasi, memory, folder, follow, path).await;
                found.is_ok_and(|found| {
                    !matches!(
                        found.filetype,
                        Filetype::RegularFile | Filetype::Directory | Filetype::SymbolicLink
                    )
                })
            }

            fn number(error: Errno) -> i32 {
                i32::from(u16::from(error))
            }

            wasmtime_wasi::$version::add_to_linker_async(linker, wasi)?;
            linker.allow_shadowing(true);
            linker.func_wrap_async(
                $module,
                "path_open",
                |mut caller: Caller<'_, State>,
                 (folder, follow, path, length, open, base, inherited, flags, opened)| {
                    Box::new(async move {
                        let (mut memory, wasi) = parts(&mut caller)?;
                        if waits(wasi, &mut memory, (folder, follow, path, length)).await {
                            return Ok(number(Errno::Notsup));
                        }
                        let result = functions::path_open(
                            wasi,
                            &mut memory,
                            folder,
                            follow,
                            path,
                            length,
                            open,
                            base,
                            inherited,
                            flags,
                            opened,
                        );
                        match result.await {
                            Err(error) if is_full(&error) => Ok(number(Errno::Mfile)),
                            result => result,
                        }
                    })
                },
            )?;
            linker.func_wrap_async(
                $module,
                "path_filestat_set_times",
                |mut caller: Caller<'_, State>,
                 (folder, follow, path, length, accessed, modified, flags)| {
                    Box::new(async move {
                        let (mut memory, wasi) = parts(&mut caller)?;
                        if waits(wasi, &mut memory, (folder, follow, path, length)).await {
                            return Ok(number(Errno::Notsup));
                        }
                        functions::path_filestat_set_times(
                            wasi,
                            &mut memory,
                            folder,
                            follow,
                            path,
                            length,
                            accessed,
                            modified,
                            flags,
                        )
                        .await
                    })
                },
            )?;
            Ok(())
        }
    };
}

/// Returns the memory of the calling module, and the context for one call.
fn parts<'a>(caller: &'a mut Caller<'_, State>) -> Result<(GuestMemory<'a>, &'a mut WasiP1Ctx)> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmtime::Error::msg("the module exports no memory"));
    };
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (bytes, state) = memory.data_and_store_mut(caller);
    let wasi = wasi(state);
    WasiSnapshotPreview1::set_hostcall_fuel(wasi, fuel);
    Ok((GuestMemory::Unshared(bytes), wasi))
}

/// Reports whether the instance has as much open as it may.
fn is_full(error: &wasmtime::Error) -> bool {
    matches!(error.downcast_ref(), Some(ResourceTableError::Full))
}

link!(
    link,
    p1,
    wasi_snapshot_preview1,
    WasiSnapshotPreview1,
    WASI_PREVIEW_1
);
link!(
    link_unstable,
    p0,
    wasi_unstable,
    WasiUnstable,
    WASI_UNSTABLE
);
