//! The chunk cache: what was read of far stores, in blocks of one size, so that many viewers of a film cost one read of it.
//!
//! In scope: what a block is called, and keeping blocks in memory (here) and on disk (`disk`) within their budgets. A fault of a
//! cache is a miss, never an error. Not in scope: who reads a block that is nowhere, and who waits for it (`serve/flights.rs`).

mod disk;
mod faults;
mod file;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use sha2::{Digest, Sha256};

use self::disk::DiskCache;
use crate::error::Error;
use crate::object::ObjectId;

/// The length of a block in bytes; the last one of an object may be shorter. What a socket takes at a time: longer ones would be
/// read for viewers who leave before their end, shorter ones cost more calls.
pub(crate) const BLOCK_LEN: usize = 128 * 1024;

/// The part of a cache that is for what was asked for more than once. The library's own choice, 0.97, would leave a new film next
/// to nothing where a cache is full, and its first viewers are seldom at the same second.
const HOT_SHARE: f64 = 0.75;

/// What an entry costs in memory besides its bytes: key, reference counts, and its places in the tables of the cache.
const ENTRY_LEN: u64 = 256;

/// One version of an object of one store, in 16 bytes: the front of a SHA-256, so that nobody can make up a key or an entity tag
/// that is taken for another.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ObjectDigest([u8; 16]);

impl ObjectDigest {
    /// The digest of a version of so many bytes in the store of this [identity](crate::store::Store::identity). The size is part of
    /// it because a store may give two contents one entity tag, and no block may be shorter than what is asked of it.
    pub(crate) fn new(store: &str, id: &ObjectId, object_size: u64) -> Self {
        let mut sha = Sha256::new();
        sha.update(object_size.to_le_bytes());
        // Each part with its length in front, or the end of one could be the start of the next.
        for part in [store, id.key.as_str(), id.etag.as_str()] {
            sha.update((part.len() as u64).to_le_bytes());
            sha.update(part);
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&sha.finalize()[..16]);
        Self(digest)
    }
}

impl fmt::Debug for ObjectDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The name of a block: which object, and which of its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BlockId {
    pub(crate) object: ObjectDigest,
    pub(crate) index: u64,
}

impl BlockId {
    /// The block that holds the byte at this offset.
    pub(crate) fn at(object: ObjectDigest, offset: u64) -> Self {
        Self { object, index: offset / BLOCK_LEN as u64 }
    }

    /// The bytes that it holds of an object of this size.
    pub(crate) fn range(self, object_size: u64) -> Range<u64> {
        let start = self.index * BLOCK_LEN as u64;
        start..object_size.min(start + BLOCK_LEN as u64)
    }

    /// The block behind it.
    pub(crate) fn next(self) -> Self {
        Self { index: self.index + 1, ..self }
    }
}

/// Where blocks are kept, and how much of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget<'a> {
    /// In memory, in bytes; 0 for not at all.
    pub(crate) ram_len_max: u64,
    /// In this directory, and how many bytes there.
    pub(crate) disk: Option<(&'a Path, u64)>,
}

/// The cache.
pub(crate) struct Blocks {
    ram: Option<Cache<BlockId, Bytes, Weight, DefaultHashBuilder, CountEvictions>>,
    disk: Option<DiskCache>,
    evictions: Arc<AtomicU64>,
}

impl Blocks {
    /// A cache within this budget; `None` where nothing is to be kept anywhere.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) where the directory cannot be used.
    pub(crate) fn new(budget: Budget<'_>) -> Result<Option<Self>, Error> {
        let evictions = Arc::<AtomicU64>::default();
        let ram = (budget.ram_len_max > 0).then(|| {
            let count = usize::try_from(budget.ram_len_max / BLOCK_LEN as u64).unwrap_or(usize::MAX).max(1);
            let mut options = OptionsBuilder::new();
            options.estimated_items_capacity(count).weight_capacity(budget.ram_len_max).hot_allocation(HOT_SHARE);
            // Of what may be missing all is set, so this cannot fail.
            let options = options.build().expect("an estimate and a capacity are all that the options need");
            Cache::with_options(options, Weight, DefaultHashBuilder::default(), CountEvictions(Arc::clone(&evictions)))
        });
        let disk = budget.disk.map(|(folder, len_max)| DiskCache::open(folder, len_max, Arc::clone(&evictions))).transpose()?;
        Ok((ram.is_some() || disk.is_some()).then_some(Self { ram, disk, evictions }))
    }

    /// A block that is in memory.
    pub(crate) fn get(&self, id: BlockId) -> Option<Bytes> {
        self.ram.as_ref()?.get(&id)
    }

    /// Reads a block that is on disk, and has this length, into the buffer, which comes back empty where it is not there. May
    /// block.
    pub(crate) fn fetch(&self, id: BlockId, len: usize, buffer: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
        match &self.disk {
            Some(disk) => disk.read(id, len, buffer),
            None => Err(buffer),
        }
    }

    /// Whether the block is in memory.
    pub(crate) fn is_in_ram(&self, id: BlockId) -> bool {
        self.ram.as_ref().is_some_and(|ram| ram.contains_key(&id))
    }

    /// Whether the block is in memory or said to be on disk.
    pub(crate) fn has(&self, id: BlockId) -> bool {
        self.is_in_ram(id) || self.disk.as_ref().is_some_and(|disk| disk.has(id))
    }

    /// Keeps a block in memory.
    pub(crate) fn keep(&self, id: BlockId, block: &Bytes) {
        if let Some(ram) = &self.ram {
            ram.insert(id, block.clone());
        }
    }

    /// Keeps a block on disk, a little later. Where the disk is slower than the store, some are not kept.
    pub(crate) fn store(&self, id: BlockId, block: &Bytes) {
        if let Some(disk) = &self.disk {
            disk.write(id, block.clone());
        }
    }

    /// How many bytes there may be in memory, where there is nothing on disk.
    pub(crate) fn only_in_ram(&self) -> Option<u64> {
        if self.disk.is_some() { None } else { self.ram.as_ref().map(Cache::capacity) }
    }

    /// How many bytes are in memory.
    pub(crate) fn ram_len(&self) -> u64 {
        self.ram.as_ref().map_or(0, Cache::weight)
    }

    /// How many blocks are in memory.
    pub(crate) fn ram_count(&self) -> usize {
        self.ram.as_ref().map_or(0, Cache::len)
    }

    /// How many bytes are on disk.
    pub(crate) fn disk_len(&self) -> u64 {
        self.disk.as_ref().map_or(0, DiskCache::len)
    }

    /// How many blocks had to go so that others could be kept, in memory and on disk.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<BlockId, Bytes> for Weight {
    fn weight(&self, _: &BlockId, block: &Bytes) -> u64 {
        block.len() as u64 + ENTRY_LEN
    }
}

/// Counts what is evicted, and lets go of it behind the lock.
#[derive(Clone)]
struct CountEvictions(Arc<AtomicU64>);

impl Lifecycle<BlockId, Bytes> for CountEvictions {
    type RequestState = Vec<Bytes>;

    fn on_evict(&self, evicted: &mut Self::RequestState, _: BlockId, block: Bytes) {
        self.0.fetch_add(1, Ordering::Relaxed);
        evicted.push(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ETag, ObjectKey};

    fn digest(store: &str, key: &str, etag: &str) -> ObjectDigest {
        sized_digest(store, key, etag, 1)
    }

    fn sized_digest(store: &str, key: &str, etag: &str, object_size: u64) -> ObjectDigest {
        let id = ObjectId { key: ObjectKey::new(key).unwrap(), etag: ETag::from_store(etag).unwrap() };
        ObjectDigest::new(store, &id, object_size)
    }

    #[test]
    fn a_digest_stands_for_one_version_of_one_object() {
        assert_eq!(digest("s", "a", "1"), digest("s", "a", "1"));
        let all = [("s", "a", "1"), ("s", "a", "2"), ("s", "b", "1"), ("t", "a", "1"), ("sa", "b", "1"), ("s", "ab", "1")];
        for (number, one) in all.iter().enumerate() {
            for other in &all[..number] {
                assert_ne!(digest(one.0, one.1, one.2), digest(other.0, other.1, other.2), "{one:?} {other:?}");
            }
        }
        assert_ne!(digest("s", "a", "1"), sized_digest("s", "a", "1", 2));
        assert_eq!(format!("{:?}", digest("s", "a", "1")).len(), 32);
    }

    #[test]
    fn blocks_cover_an_object() {
        let object = digest("s", "a", "1");
        let len = BLOCK_LEN as u64;
        for (size, offset, want) in [
            (1, 0, 0..1),
            (len, 0, 0..len),
            (len + 1, len - 1, 0..len),
            (len + 1, len, len..len + 1),
            (10 * len + 5, 9 * len + 7, 9 * len..10 * len),
        ] {
            assert_eq!(BlockId::at(object, offset).range(size), want, "{size} {offset}");
        }
        assert_eq!(BlockId::at(object, 0).next(), BlockId::at(object, len));
    }

    #[test]
    fn the_budget_of_memory_is_kept_and_evictions_are_counted() {
        let blocks = Blocks::new(Budget { ram_len_max: 4 << 20, disk: None }).unwrap().unwrap();
        let object = digest("s", "a", "1");
        let block = Bytes::from(vec![7; BLOCK_LEN]);
        for index in 0..1000 {
            blocks.keep(BlockId { object, index }, &block);
            assert!(blocks.ram_len() <= 4 << 20, "{index}");
        }
        assert_eq!(blocks.evictions() + blocks.ram_len() / (BLOCK_LEN as u64 + ENTRY_LEN), 1000);
        let kept = (0..1000).filter(|index| blocks.get(BlockId { object, index: *index }).is_some()).count();
        assert!((20..=32).contains(&kept), "{kept}");
        assert!(Blocks::new(Budget { ram_len_max: 0, disk: None }).unwrap().is_none());
    }
}
