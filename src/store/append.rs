//! Reading into the room that a buffer has left.
//!
//! In scope: that no more is read than may be, and nothing is zeroed first where that can be. Not in scope: what is read from.

use rustix::buffer::{Buffer, spare_capacity};
use rustix::io::retry_on_intr;

/// Something to read from, by one call of the system.
pub(super) trait Reads {
    /// Reads once.
    fn read_into<B: Buffer<u8>>(&self, buffer: B) -> rustix::io::Result<B::Output>;
}

/// Reads once, up to `want` bytes behind what `buf` holds. Gives 0 at the end.
///
/// # Errors
/// Those of the system; `buf` is as it was then.
pub(super) fn append(from: &impl Reads, buf: &mut Vec<u8>, want: usize) -> rustix::io::Result<usize> {
    let start = buf.len();
    buf.reserve_exact(want);
    if buf.capacity() - start == want {
        return retry_on_intr(|| from.read_into(spare_capacity(buf)));
    }
    // There is room for more than may be read, and only the initialised part of it can be given away in part.
    buf.resize(start + want, 0);
    let outcome = retry_on_intr(|| from.read_into(&mut buf[start..]));
    buf.truncate(start + outcome.unwrap_or(0));
    outcome
}
