//! Blocks on disk: they outlive the process.
//!
//! In scope: one file a block below a directory, within a budget; reading one with its checksum, writing one so that it is there
//! whole or not at all. Whatever goes wrong with a file is a miss. Several processes may share the directory: files come and go
//! by one rename or one removal. Not in scope: how a file looks (`file`).

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use super::{BLOCK_LEN, BlockId, HOT_SHARE, faults, file};
use crate::error::{Error, ErrorKind};

/// How many blocks wait to be written: 8 MiB at most. A disk that is slower than the store gets what it can keep up with.
const QUEUE_MAX: usize = 64;
/// How long nothing is written after a write failed.
const FAILED_PAUSE: Duration = Duration::from_secs(10);
/// A file that was being written so long ago never will be whole: its process is gone.
const ABANDONED_AFTER: Duration = Duration::from_mins(1);
/// The directory is looked through anew when this part of the budget was written since, for other processes write there too.
const RESCAN_SHARE: u64 = 16;

/// The files, and what is known of them.
pub(super) struct DiskCache {
    shared: Arc<Shared>,
    /// `None` only while this is dropped.
    queue: Option<SyncSender<(BlockId, Bytes)>>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    /// Holds the folders of blocks.
    blocks: PathBuf,
    /// Holds files that are being written.
    drafts: PathBuf,
    /// Tells the drafts of this cache from those of others that share the directory. Not the number of the process: two in
    /// containers of their own have the same one.
    mark: String,
    /// What is there, as far as this process knows. What it evicts is removed.
    index: Cache<BlockId, Room, RoomWeight, DefaultHashBuilder, Collect>,
    evictions: Arc<AtomicU64>,
    /// Whether the last write failed: it is told once.
    is_failing: AtomicBool,
}

impl DiskCache {
    /// Uses this directory, which is made where it is missing, for at most so many bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where nothing can be written there.
    pub(super) fn open(folder: &Path, len_max: u64, evictions: Arc<AtomicU64>) -> Result<Self, Error> {
        let failed = |error: io::Error| {
            let detail = format!("the directory {} cannot be used as a cache", folder.display());
            Error::new(ErrorKind::Internal, detail).with_source(error)
        };
        let (blocks, drafts) = (folder.join("blocks-1"), folder.join("drafts"));
        for folder in [&blocks, &drafts] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        let mark = format!("{:016x}", RandomState::new().build_hasher().finish());
        let probe = drafts.join(format!("probe-{mark}"));
        File::create(&probe).and_then(|_| fs::remove_file(&probe)).map_err(failed)?;
        let count = usize::try_from(len_max / file::room(BLOCK_LEN)).unwrap_or(usize::MAX).max(1);
        let mut options = OptionsBuilder::new();
        options.estimated_items_capacity(count).weight_capacity(len_max).hot_allocation(HOT_SHARE);
        // As in `Blocks::new`: what has no default is set.
        let options = options.build().expect("an estimate and a capacity are all that the options need");
        let index = Cache::with_options(options, RoomWeight, DefaultHashBuilder::default(), Collect);
        let shared = Arc::new(Shared { blocks, drafts, mark, index, evictions, is_failing: AtomicBool::new(false) });
        let (queue, queued) = sync_channel(QUEUE_MAX);
        let writer = {
            let shared = Arc::clone(&shared);
            move || shared.write_all(&queued, len_max)
        };
        let writer = thread::Builder::new().name("vidgate-disk".into()).spawn(writer).map_err(failed)?;
        Ok(Self { shared, queue: Some(queue), writer: Some(writer) })
    }

    /// Whether the block is there, as far as this process knows.
    pub(super) fn has(&self, id: BlockId) -> bool {
        self.shared.index.contains_key(&id)
    }

    /// How many bytes are there, as far as this process knows.
    pub(super) fn len(&self) -> u64 {
        self.shared.index.weight()
    }

    /// Reads the block of this length into `buffer`, which comes back empty where it cannot be had.
    pub(super) fn read(&self, id: BlockId, len: usize, mut buffer: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
        buffer.clear();
        if self.shared.read(id, len, &mut buffer).is_ok() {
            return Ok(buffer);
        }
        buffer.clear();
        Err(buffer)
    }

    /// Queues the block to be written, unless it is there or too many wait.
    pub(super) fn write(&self, id: BlockId, block: Bytes) {
        if self.has(id) {
            return;
        }
        if let Some(queue) = &self.queue
            && let Err(TrySendError::Full(_)) = queue.try_send((id, block))
        {
            log::debug!("the disk of the cache is slower than the store: a block is not kept");
        }
    }
}

impl Drop for DiskCache {
    /// Waits until what is queued is written: at most a few milliseconds of a disk that works.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A panic of its was printed when it happened.
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn path(&self, id: BlockId) -> PathBuf {
        self.blocks.join(file::folder(id)).join(file::name(id))
    }

    fn read(&self, id: BlockId, len: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        let is_known = self.index.get(&id).is_some();
        let path = self.path(id);
        // Where it is not known, another process may have written it.
        let mut found = faults::or(|| File::open(&path)).inspect_err(|_| {
            self.index.remove(&id);
        })?;
        let mut header = [0; file::HEADER_LEN];
        // One byte more than there should be, so that a file that is too long is noticed.
        let outcome = faults::or(|| found.read_exact(&mut header))
            .and_then(|()| faults::or(|| found.take(len as u64 + 1).read_to_end(buffer)));
        if outcome.is_err() || buffer.len() != len || !file::is_intact(id, &header, buffer) {
            log::warn!("a block of the cache on disk is damaged and removed: {}", file::name(id));
            self.remove(id);
            return Err(io::ErrorKind::InvalidData.into());
        }
        if !is_known {
            self.note(id, len);
        }
        Ok(())
    }

    /// Writes what is queued, until nobody queues any more.
    fn write_all(&self, queued: &Receiver<(BlockId, Bytes)>, len_max: u64) {
        self.remove_abandoned();
        self.scan();
        let mut written_len = 0;
        let mut pause_until = None;
        for (id, block) in queued {
            if self.index.contains_key(&id) || pause_until.is_some_and(|until| Instant::now() < until) {
                continue;
            }
            match self.write(id, &block) {
                Ok(()) => {
                    if self.is_failing.swap(false, Ordering::Relaxed) {
                        log::info!("the cache on disk can be written again");
                    }
                    pause_until = None;
                    self.note(id, block.len());
                    written_len += file::room(block.len());
                }
                Err(error) => {
                    if !self.is_failing.swap(true, Ordering::Relaxed) {
                        log::warn!("the cache on disk cannot be written and is left as it is for now: {error}");
                    }
                    pause_until = Some(Instant::now() + FAILED_PAUSE);
                }
            }
            if written_len > len_max / RESCAN_SHARE {
                self.scan();
                written_len = 0;
            }
        }
    }

    /// Writes a block under another name, then gives it its own: it is there whole, or not at all.
    fn write(&self, id: BlockId, block: &[u8]) -> io::Result<()> {
        let draft = self.drafts.join(format!("{}-{}", file::name(id), self.mark));
        let path = self.path(id);
        let write = || {
            let mut options = OpenOptions::new();
            let mut out = faults::or(|| options.write(true).create(true).truncate(true).mode(0o600).open(&draft))?;
            let header = file::header(id, block);
            let written = faults::or(|| out.write_vectored(&[IoSlice::new(&header), IoSlice::new(block)]))?;
            // The rest of what one call did not take.
            let (in_header, in_block) = (written.min(header.len()), written.saturating_sub(header.len()));
            out.write_all(&header[in_header..])?;
            faults::or(|| out.write_all(&block[in_block..]))?;
            match faults::or(|| fs::rename(&draft, &path)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let folder = self.blocks.join(file::folder(id));
                    faults::or(|| DirBuilder::new().recursive(true).mode(0o700).create(&folder))?;
                    faults::or(|| fs::rename(&draft, &path))
                }
                done => done,
            }
        };
        write().inspect_err(|_| drop(fs::remove_file(&draft)))
    }

    /// Takes the block into the index, and removes the files of those that must go for it.
    fn note(&self, id: BlockId, len: usize) {
        let mut evicted = Vec::new();
        self.index.insert_with_lifecycle(id, Room(file::room(len)), &mut evicted);
        // An entry that was replaced by one of the same name, by the scan for one, is told like one that was evicted.
        for id in evicted.into_iter().filter(|id| !self.index.contains_key(id)) {
            self.evictions.fetch_add(1, Ordering::Relaxed);
            // It may be gone already, by another process.
            let _ = fs::remove_file(self.path(id));
        }
    }

    fn remove(&self, id: BlockId) {
        self.index.remove(&id);
        let _ = fs::remove_file(self.path(id));
    }

    /// Brings the index up to what is there.
    fn scan(&self) {
        let mut seen = HashSet::new();
        for folder in entries(&self.blocks) {
            for entry in entries(&folder) {
                let id = entry.file_name().and_then(|name| file::parse_name(name.to_str()?));
                let len = fs::symlink_metadata(&entry).ok().filter(fs::Metadata::is_file).map(|found| found.len());
                let (Some(id), Some(len)) = (id, len) else { continue };
                seen.insert(id);
                if !self.index.contains_key(&id) {
                    let len = usize::try_from(len).unwrap_or(usize::MAX);
                    self.note(id, len.saturating_sub(file::HEADER_LEN));
                }
            }
        }
        self.index.retain(|id, _| seen.contains(id));
    }

    /// Removes what processes that are gone did not finish.
    fn remove_abandoned(&self) {
        for draft in entries(&self.drafts) {
            let written_at = fs::metadata(&draft).and_then(|found| found.modified());
            let age = written_at.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            if age.is_some_and(|age| age > ABANDONED_AFTER) {
                let _ = fs::remove_file(&draft);
            }
        }
    }
}

/// What is in a folder; nothing where it cannot be read.
fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok().map(|entry| entry.path()))
}

/// How many bytes a file takes on disk.
#[derive(Clone, Copy)]
struct Room(u64);

#[derive(Clone)]
struct RoomWeight;

impl Weighter<BlockId, Room> for RoomWeight {
    fn weight(&self, _: &BlockId, room: &Room) -> u64 {
        room.0
    }
}

/// Collects what is evicted, for its files to be removed.
#[derive(Clone)]
struct Collect;

impl Lifecycle<BlockId, Room> for Collect {
    type RequestState = Vec<BlockId>;

    fn on_evict(&self, evicted: &mut Self::RequestState, id: BlockId, _: Room) {
        evicted.push(id);
    }
}

#[cfg(test)]
mod tests;
