//! The one system call of a worker that no library offers as safe code.
#![expect(
    unsafe_code,
    reason = "no library offers this system call as safe code"
)]

use std::io;
use std::os::fd::RawFd;

/// Closes all descriptors from `first` on (Linux 5.9). It must be called at the beginning of `main`,
/// before anything in the process owns one of them.
pub(super) fn close_from(first: RawFd) -> io::Result<()> {
    // SAFETY: the call takes three numbers and touches no memory. The descriptors were inherited, so
    // no value of this process owns one of them.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    if closed == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `nothing_is_inherited` of the integration tests proves that the others are closed.
    #[test]
    fn descriptors_below_the_first_stay_open() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        close_from(1 << 24).unwrap();
        file.metadata().unwrap();
    }
}
