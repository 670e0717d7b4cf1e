//! Where calls to the disk can be made to fail.
//!
//! In scope: in the unit tests, the Nth call fails. Elsewhere this is nothing but the call.

/// Makes the call, or fails it where a test said so.
#[cfg(not(test))]
pub(super) fn or<T>(call: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
    call()
}

#[cfg(test)]
pub(super) use in_tests::{or, set};

#[cfg(test)]
mod in_tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Calls left until one fails; 0 for none. Of all threads, for a cache writes on one of its own: only one test uses it.
    static LEFT: AtomicUsize = AtomicUsize::new(0);

    /// The call with this number fails, counted from 1 and from now on. Says how many were left of what was set before.
    pub(in super::super) fn set(number: usize) -> usize {
        LEFT.swap(number, Ordering::SeqCst)
    }

    /// See above.
    pub(in super::super) fn or<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let left = LEFT.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left == Ok(1) { Err(io::Error::other("a fault of a test")) } else { call() }
    }
}
