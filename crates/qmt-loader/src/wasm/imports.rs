//! What every Wasm plugin may import, whether or not it does anything for it.

/// The module of Extism's own functions.
pub(super) const EXTISM_ENV: &str = "extism:host/env";
/// The module of the host's functions, unless the host names another.
pub(crate) const EXTISM_USER: &str = "extism:host/user";

/// The module of WASI preview 1.
pub(super) const WASI_PREVIEW_1: &str = "wasi_snapshot_preview1";
/// The module of the preview before it.
pub(super) const WASI_UNSTABLE: &str = "wasi_unstable";

/// Returns whether Extism or WASI has the function. None of them gives a right by being there.
pub(super) fn is_offered(module: &str, name: &str) -> bool {
    match module {
        EXTISM_ENV => EXTISM_FUNCTIONS.binary_search(&name).is_ok(),
        _ if is_wasi(module) => WASI_FUNCTIONS.binary_search(&name).is_ok(),
        _ => false,
    }
}

/// Returns whether `module` is a version of WASI that Extism knows.
pub(super) fn is_wasi(module: &str) -> bool {
    matches!(module, WASI_PREVIEW_1 | WASI_UNSTABLE)
}

/// Extism's kernel and its built-in host functions, sorted.
const EXTISM_FUNCTIONS: [&str; 32] = [
    "alloc",
    "config_get",
    "error_get",
    "error_set",
    "free",
    "get_log_level",
    "http_headers",
    "http_request",
    "http_status_code",
    "input_length",
    "input_load_u64",
    "input_load_u8",
    "input_offset",
    "input_set",
    "length",
    "length_unsafe",
    "load_u64",
    "load_u8",
    "log_debug",
    "log_error",
    "log_info",
    "log_trace",
    "log_warn",
    "memory_bytes",
    "output_length",
    "output_offset",
    "output_set",
    "reset",
    "store_u64",
    "store_u8",
    "var_get",
    "var_set",
];

/// <https://github.com/WebAssembly/WASI/blob/snapshot-01/phases/snapshot/docs.md>, sorted.
const WASI_FUNCTIONS: [&str; 46] = [
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_renumber",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "fd_write",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "proc_exit",
    "proc_raise",
    "random_get",
    "sched_yield",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

/// Returns all functions that [`is_offered`] accepts, as (module, name).
pub(super) fn offered<'a>() -> impl Iterator<Item = (&'a str, &'a str)> {
    let extism = EXTISM_FUNCTIONS.map(|name| (EXTISM_ENV, name));
    let wasi = WASI_FUNCTIONS
        .iter()
        .flat_map(|name| [WASI_PREVIEW_1, WASI_UNSTABLE].map(|module| (module, *name)));
    extism.into_iter().chain(wasi)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_so_that_they_can_be_searched() {
        assert!(EXTISM_FUNCTIONS.is_sorted());
        assert!(WASI_FUNCTIONS.is_sorted());
        assert!(is_offered("wasi_snapshot_preview1", "fd_write"));
        assert!(is_offered(EXTISM_ENV, "alloc"));
        assert!(!is_offered(EXTISM_ENV, "fd_write"));
        assert!(!is_offered(EXTISM_USER, "alloc"));
        assert!(offered().all(|(module, name)| is_offered(module, name)));
    }
}
