//! Counts the system calls that write to sockets: the program has its own `send` and `writev`, which std calls instead
//! of those of libc. `/proc/self/io` does not count `send`, and a tracer would slow down what is measured.

use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);

pub(super) fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{ptr, sync::atomic::Ordering};

    use libc::{SYS_writev, c_int, c_void, iovec, sendto, size_t, ssize_t, syscall};

    use super::COUNT;

    /// As libc's `send`.
    ///
    /// # Safety
    ///
    /// As for libc's `send`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn send(socket: c_int, bytes: *const c_void, len: size_t, flags: c_int) -> ssize_t {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `send`, and `sendto` without an address does the same.
        unsafe { sendto(socket, bytes, len, flags, ptr::null(), 0) }
    }

    /// As libc's `writev`.
    ///
    /// # Safety
    ///
    /// As for libc's `writev`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn writev(file: c_int, slices: *const iovec, count: c_int) -> ssize_t {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `writev`, which does this same system call.
        unsafe { syscall(SYS_writev, file, slices, count) as ssize_t }
    }
}
