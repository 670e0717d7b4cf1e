//! The buffers that bytes of the store are read into.
//!
//! In scope: using them again. Not in scope: what is read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// The length of a buffer, in bytes: the most that a viewer costs in memory while it is served. Larger ones gain nothing (a socket
/// takes about as much at a time), and fit no cache of the processor.
pub(crate) const BUFFER_LEN: usize = 128 * 1024;
/// The length of those for slices that are no longer: first ones, and parts of films that somebody asks for one by one. What is read
/// into the front of a longer one costs as much again, for all of that is zeroed before (`append`).
pub(crate) const SMALL_LEN: usize = 64 * 1024;

/// A block that fills less than this part of its buffer is kept in a buffer of its own size.
const COPIED_SHARE: usize = 2;

/// The buffers that nobody uses at the moment. Freed and allocated anew, they would tear the heap into pieces between what the
/// waiting streams hold, and a thousand viewers would cost several times what they need. There are never more than were in use at
/// the same time: one for each thread, one for each slice that is kept, and those of the cache.
#[derive(Default)]
pub(crate) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
    small: Mutex<Vec<Vec<u8>>>,
    /// How many hold a slice of one stream, and how many a block that many may share, the cache among them.
    slices: AtomicUsize,
    blocks: AtomicUsize,
}

impl Buffers {
    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_small(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.small.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty buffer.
    pub(crate) fn take(&self) -> Vec<u8> {
        let used = self.lock().pop();
        used.unwrap_or_else(|| Vec::with_capacity(BUFFER_LEN))
    }

    /// An empty buffer for so many bytes at most, of those that a slice has.
    pub(crate) fn take_for(&self, len: usize) -> Vec<u8> {
        if len > SMALL_LEN {
            return self.take();
        }
        let used = self.lock_small().pop();
        used.unwrap_or_else(|| Vec::with_capacity(SMALL_LEN))
    }

    /// Takes a buffer back.
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        // A store may have put another buffer in its place, or made it grow.
        match buffer.capacity() {
            BUFFER_LEN => self.lock().push(buffer),
            SMALL_LEN => self.lock_small().push(buffer),
            _ => {}
        }
    }

    /// Makes what is in a buffer a value that many can hold. The buffer comes back when the last of them let go.
    fn share(self: &Arc<Self>, buffer: Vec<u8>, holds: Holds) -> Bytes {
        let home = Arc::clone(self);
        home.count(holds).fetch_add(1, Ordering::Relaxed);
        Bytes::from_owner(Shared { buffer, home, holds })
    }

    fn count(&self, holds: Holds) -> &AtomicUsize {
        match holds {
            Holds::Slice => &self.slices,
            Holds::Block | Holds::Copy => &self.blocks,
        }
    }

    /// The same for a slice of one stream, which counts until it is sent or given up.
    pub(crate) fn share_slice(self: &Arc<Self>, buffer: Vec<u8>) -> Bytes {
        self.share(buffer, Holds::Slice)
    }

    /// How many slices of single streams there are.
    pub(crate) fn slices(&self) -> usize {
        self.slices.load(Ordering::Relaxed)
    }

    /// How many blocks there are, those in the cache included.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.load(Ordering::Relaxed)
    }

    /// The same for a block, which will be kept for long: where it fills little of its buffer, it gets one of its own size.
    pub(crate) fn share_block(self: &Arc<Self>, buffer: Vec<u8>) -> Bytes {
        if buffer.len() * COPIED_SHARE > buffer.capacity() {
            return self.share(buffer, Holds::Block);
        }
        let copy = buffer.as_slice().to_vec();
        self.give_back(buffer);
        self.share(copy, Holds::Copy)
    }
}

#[derive(Clone, Copy)]
enum Holds {
    Slice,
    Block,
    /// A block, in a buffer of its own size, which is of no use to another.
    Copy,
}

struct Shared {
    buffer: Vec<u8>,
    home: Arc<Buffers>,
    holds: Holds,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.home.count(self.holds).fetch_sub(1, Ordering::Relaxed);
        if !matches!(self.holds, Holds::Copy) {
            self.home.give_back(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_nobody_holds_it() {
        let buffers = Arc::<Buffers>::default();
        let mut buffer = buffers.take();
        buffer.resize(BUFFER_LEN, 1);
        let one = buffers.share_block(buffer);
        let other = one.slice(5..);
        drop(one);
        assert_eq!(buffers.lock().len(), 0);
        drop(other);
        assert_eq!(buffers.lock().len(), 1);
        let mut small = buffers.take();
        small.extend_from_slice(b"small");
        let kept = buffers.share_block(small);
        assert_eq!((&kept[..], buffers.lock().len()), (&b"small"[..], 1));
        // Nor does one that is as long as those for slices, which nobody may ever want.
        let mut half = buffers.take();
        half.resize(SMALL_LEN, 1);
        drop(buffers.share_block(half));
        assert_eq!((buffers.lock().len(), buffers.lock_small().len(), buffers.blocks()), (1, 0, 1));
        buffers.give_back(Vec::with_capacity(BUFFER_LEN * 2));
        assert_eq!(buffers.lock().len(), 1);
        drop(buffers.share_slice(buffers.take_for(SMALL_LEN)));
        assert_eq!((buffers.lock().len(), buffers.lock_small().len()), (1, 1));
        assert_eq!(buffers.take_for(1).capacity(), SMALL_LEN);
        assert_eq!(buffers.take_for(SMALL_LEN + 1).capacity(), BUFFER_LEN);
        assert_eq!((buffers.lock().len(), buffers.lock_small().len()), (0, 0));
    }

    #[test]
    fn slices_are_counted_while_they_are_held() {
        let buffers = Arc::<Buffers>::default();
        let slices: Vec<Bytes> = (0..5).map(|_| buffers.share_slice(buffers.take())).collect();
        let block = buffers.share(buffers.take(), Holds::Block);
        assert_eq!(buffers.slices(), 5);
        drop(slices);
        assert_eq!(buffers.slices(), 0);
        drop(block);
        assert_eq!((buffers.slices(), buffers.lock().len()), (0, 6));
    }
}
