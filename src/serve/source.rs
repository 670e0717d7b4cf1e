//! Where the bytes of answers come from: the store, and what is kept of it.
//!
//! In scope: what all streams share: the store, the cache, who reads which block, and the reads that are open. Not in scope: what
//! one stream asks for (`chunks`).

use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::metrics::Metrics;
use crate::object::{ObjectId, ObjectKey, ObjectMeta};
use crate::serve::buffers::Buffers;
use crate::serve::churn::Churn;
use crate::serve::flights::{Flights, Landing, Wait};
use crate::serve::lot::Lot;
use crate::serve::outage::Resume;
use crate::serve::pool;
use crate::serve::turns::{Turn, Turns};
use crate::store::blocks::{BlockId, Blocks};
use crate::store::{Metadata, Span, Store};

/// How many reads may be open, and how many slices in memory, before streams that wait for long give theirs up. Each costs a
/// connection to the store, or a descriptor, and a buffer or two, in the kernel too.
const SPANS_KEPT_MAX: usize = 32;
/// The same before streams that wait briefly give theirs up: what they read then would be read again at once. By how much memory the
/// kernel has for clients, and by that for each.
const SPANS_BUSY_MAX: RangeInclusive<usize> = SPANS_KEPT_MAX..=128;
const SPAN_MEMORY: usize = 512 * 1024;

/// The store, and what is kept of it.
pub(crate) struct Source {
    pub(crate) store: Arc<dyn Store>,
    /// Tells the store's objects from those of others in the cache.
    pub(crate) identity: String,
    pub(crate) buffers: Arc<Buffers>,
    /// How broken reads are tried again.
    pub(crate) resume: Resume,
    pub(crate) metrics: Arc<Metrics>,
    /// How many may read at a time; `None` for as many as there are threads.
    turns: Option<Arc<Turns>>,
    /// How many reads are open, of all streams, and how many may be before those that wait briefly give theirs up.
    spans_open: Arc<AtomicUsize>,
    spans_busy_max: usize,
    /// The cache; `None` where nothing is kept.
    pub(crate) shared: Option<Shared>,
    /// What is known of objects, and who asks for more; `None` where the store is asked each time.
    known: Option<(Metadata, Flights<ObjectKey>)>,
}

/// What came of looking at an object.
pub(crate) enum Looked {
    /// Its metadata.
    Meta(ObjectMeta),
    /// Another request asks the store for it.
    Join(Wait),
}

/// What streams share that read the same blocks.
pub(crate) struct Shared {
    pub(crate) blocks: Blocks,
    /// Whether it is worth filling; `None` where what was read is kept on disk too.
    pub(crate) churn: Option<Churn>,
    /// Who reads which block.
    pub(crate) flights: Flights<BlockId>,
    /// Open reads that nobody reads from at the moment, by the block that they go on with.
    fills: Mutex<HashMap<BlockId, Fill>>,
}

impl Source {
    /// A store that is as near as a cache: nothing of it is kept. `memory` is how many bytes the kernel may hold for all clients.
    pub(crate) fn near(store: Arc<dyn Store>, resume: Resume, metrics: Arc<Metrics>, memory: usize) -> Self {
        let (identity, buffers, spans_open) = (store.identity(), Arc::default(), Arc::default());
        let spans_busy_max = (memory / SPAN_MEMORY).clamp(*SPANS_BUSY_MAX.start(), *SPANS_BUSY_MAX.end());
        Self { store, identity, buffers, resume, metrics, turns: None, spans_open, spans_busy_max, shared: None, known: None }
    }

    /// A store behind a network: what was read of it is kept in `blocks`, if there are any, and what was asked in `metadata`; and
    /// of so many threads some stay free of waiting for it.
    pub(crate) fn far(self, blocks: Option<Blocks>, metadata: Metadata, threads: usize, lot: &Arc<Lot>) -> Self {
        let churn = |blocks: &Blocks| Some(Churn::new(blocks.only_in_ram()?, Instant::now()));
        let shared = blocks.map(|blocks| Shared {
            churn: churn(&blocks),
            blocks,
            flights: Flights::new(Arc::clone(lot)),
            fills: Mutex::default(),
        });
        let known = Some((metadata, Flights::new(Arc::clone(lot))));
        Self { turns: Some(Arc::new(Turns::of_threads(threads, Arc::clone(lot)))), shared, known, ..self }
    }

    /// The metadata of the object's present version. `landing` is what the request waited for, where it did.
    pub(crate) fn head(&self, key: &ObjectKey, landing: Option<&Landing>) -> Result<Looked, Error> {
        let Some((metadata, flights)) = &self.known else { return self.store.head(key).map(Looked::Meta) };
        match landing {
            Some(Landing::Meta(meta)) if meta.id.key == *key => return Ok(Looked::Meta((**meta).clone())),
            Some(Landing::Failed(ErrorKind::NotFound)) => return Err(ErrorKind::NotFound.into()),
            _ => {}
        }
        if let Some(known) = metadata.known(key) {
            return known.map(Looked::Meta);
        }
        if flights.has(key) {
            return Ok(Looked::Join(Wait::Meta(key.clone())));
        }
        let Some(_turn) = self.turn(landing) else { return Ok(Looked::Join(Wait::Turn)) };
        let Some(lead) = flights.lead(key) else { return Ok(Looked::Join(Wait::Meta(key.clone()))) };
        // It may have landed between the two looks.
        let found = metadata.known(key).unwrap_or_else(|| pool::waiting(|| metadata.look_up(key)));
        lead.land(&match &found {
            Ok(meta) => Landing::Meta(Arc::new(meta.clone())),
            Err(error) => Landing::Failed(error.kind()),
        });
        found.map(Looked::Meta)
    }

    /// The right to ask the store: the one that was waited for, or one that is free.
    pub(crate) fn turn(&self, landing: Option<&Landing>) -> Option<Arc<Turn>> {
        match (&self.turns, landing) {
            (None, _) => Some(Arc::new(Turn::without_end())),
            (Some(_), Some(Landing::Turn(turn))) => Some(Arc::clone(turn)),
            (Some(turns), _) => turns.take(),
        }
    }

    /// The right to ask the store for what nobody waits for, where that keeps nobody waiting.
    pub(crate) fn spare_turn(&self) -> Option<Arc<Turn>> {
        match &self.turns {
            None => Some(Arc::new(Turn::without_end())),
            Some(turns) => turns.take_spare(),
        }
    }

    /// What was known of the object is no longer so.
    pub(crate) fn forget(&self, key: &ObjectKey) {
        if let Some((metadata, _)) = &self.known {
            pool::waiting(|| metadata.forget(key));
        }
    }

    /// The connection, which is in the lot already, will be told what becomes of this; `false` where nobody fetches it any more.
    pub(crate) fn join(&self, wait: &Wait, connection_id: usize) -> bool {
        match wait {
            Wait::Block(block) => self.shared.as_ref().is_some_and(|shared| shared.flights.join(block, connection_id)),
            Wait::Turn => {
                if let Some(turns) = &self.turns {
                    turns.wait(connection_id);
                }
                self.turns.is_some()
            }
            Wait::Meta(key) => self.known.as_ref().is_some_and(|(_, flights)| flights.join(key, connection_id)),
        }
    }

    /// What was counted, as Prometheus reads it.
    pub(crate) fn metrics_text(&self) -> Result<Vec<u8>, Error> {
        let blocks = self.shared.as_ref().map(|shared| &shared.blocks);
        let len = blocks.map_or(0, |blocks| blocks.ram_len() + blocks.disk_len());
        self.metrics.text(len, blocks.map_or(0, Blocks::evictions))
    }

    /// Opens a read of this part of an object.
    pub(crate) fn open(&self, id: &ObjectId, range: Range<u64>) -> Result<OpenSpan, Error> {
        let end = range.end;
        let span = self.store.open(id, range)?;
        self.spans_open.fetch_add(1, Ordering::Relaxed);
        Ok(OpenSpan { span, end, spans_open: Arc::clone(&self.spans_open), metrics: Arc::clone(&self.metrics) })
    }

    /// Whether an open read, and what came of it, may be kept while its stream waits, briefly or not: not where too many are kept
    /// already. The last slice of a read outlives it, and a block its place in the cache, so all three are counted.
    pub(crate) fn may_hold(&self, is_brief: bool) -> bool {
        let kept_max = if is_brief { self.spans_busy_max } else { SPANS_KEPT_MAX };
        let in_cache = self.shared.as_ref().map_or(0, |shared| shared.blocks.ram_count());
        let evicted = self.buffers.blocks().saturating_sub(in_cache);
        self.spans_open.load(Ordering::Relaxed).max(self.buffers.slices()).max(evicted) <= kept_max
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<BlockId, Fill>> {
        self.fills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks of so many bytes were here.
    pub(crate) fn note_hit(&self, len: u64) {
        if let Some(churn) = &self.churn {
            churn.note_hit(len);
        }
    }

    /// Blocks of so many bytes were not here.
    pub(crate) fn note_missed(&self, len: u64) {
        if let Some(churn) = &self.churn {
            churn.note_missed(len, Instant::now());
        }
    }

    /// Whether there is an open read that goes on with this block.
    pub(crate) fn has_fill(&self, id: BlockId) -> bool {
        self.lock().contains_key(&id)
    }

    /// The open read that goes on with this block.
    pub(crate) fn take_fill(&self, id: BlockId) -> Option<Fill> {
        self.lock().remove(&id)
    }

    /// Leaves an open read for whoever wants this block. Where there is one already, the given one comes back.
    pub(crate) fn leave_fill(&self, id: BlockId, fill: Fill) -> Option<Fill> {
        match self.lock().entry(id) {
            std::collections::hash_map::Entry::Occupied(_) => Some(fill),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(fill);
                None
            }
        }
    }

    /// Whether somebody has this block, or reads it, or can go on with it: a read need not go so far.
    pub(crate) fn is_provided(&self, id: BlockId) -> bool {
        self.blocks.has(id) || self.flights.has(&id) || self.has_fill(id)
    }
}

/// An open read of some blocks, and what came of the present one.
pub(crate) struct Fill {
    pub(crate) span: OpenSpan,
    pub(crate) block: Vec<u8>,
}

/// A read of the store, counted while it is open.
pub(crate) struct OpenSpan {
    span: Box<dyn Span>,
    /// Where it ends, in the object.
    pub(crate) end: u64,
    spans_open: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl OpenSpan {
    /// See [`Span::read`]; what a store must not do is an error. `at` is the offset, for the log.
    pub(crate) fn read(&mut self, buffer: &mut Vec<u8>, len_max: usize, at: u64) -> Result<usize, Error> {
        let before = buffer.len();
        let len = pool::waiting(|| self.span.read(buffer, len_max))?;
        if len == 0 || len > len_max || len != buffer.len() - before {
            let detail = format!("the store yielded {len} bytes at {at}, where 1 to {len_max} were due");
            return Err(Error::new(ErrorKind::UpstreamUnavailable, detail));
        }
        self.metrics.upstream_bytes.inc_by(len as u64);
        Ok(len)
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        self.spans_open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod chaos;

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use bytes::Bytes;

    use super::*;
    use crate::config::Config;
    use crate::http::response::ObjectPart;
    use crate::object::ETag;
    use crate::serve::chunks::{Chunks, First, Next};
    use crate::serve::server::Parts;
    use crate::store::blocks::{BLOCK_LEN, ObjectDigest};
    use crate::store::{Directory, ListPage, ListQuery};

    #[test]
    fn slices_whose_read_is_at_its_end_count_as_kept() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("film.mp4"), [0; 4096]).unwrap();
        let config = Config { host: "127.0.0.1".into(), port: 0, ..Config::default() };
        let parts = Parts::assemble(&config, Arc::new(Directory::open(root.path()).unwrap())).unwrap();
        let source = Arc::clone(&parts.door.work.handler.source);
        let id = source.store.head(&ObjectKey::new("film.mp4").unwrap()).unwrap().id;
        let part = ObjectPart { id, object_size: 4096, range: 0..4096, chunk_len: 4096 };
        let busy_max = source.spans_busy_max;
        let mut viewers: Vec<Chunks> = (0..=busy_max).map(|_| Chunks::new(Arc::clone(&source), part.clone())).collect();
        let first = |chunks: &mut Chunks| match chunks.first().unwrap() {
            First::Slice(slice) => slice,
            First::Join(_) => panic!("nobody else reads"),
        };
        let mut slices: Vec<Bytes> = viewers.iter_mut().map(first).collect();
        assert!(viewers.iter().all(|chunks| !chunks.holds_span()), "one slice is all of it");
        // How many are in memory, and whether one who waits may hold his: for long, and briefly.
        for (count, want) in
            [(busy_max + 1, [false, false]), (SPANS_KEPT_MAX + 1, [false, true]), (SPANS_KEPT_MAX, [true, true])]
        {
            slices.truncate(count);
            assert_eq!([source.may_hold(false), source.may_hold(true)], want, "{count} of {busy_max}");
        }
    }

    /// A far store of one object of zeros, which are all there at once.
    struct Zeros(u64);

    impl Store for Zeros {
        fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
            let id = ObjectId { key: key.clone(), etag: ETag::from_store("v")? };
            Ok(ObjectMeta { id, size: self.0, last_modified: UNIX_EPOCH, content_type: None, cache_control: None })
        }

        fn open(&self, _: &ObjectId, _: Range<u64>) -> Result<Box<dyn Span>, Error> {
            Ok(Box::new(Self(0)))
        }

        fn list(&self, _: &ListQuery) -> Result<ListPage, Error> {
            Ok(ListPage::default())
        }
    }

    impl Span for Zeros {
        fn read(&mut self, buf: &mut Vec<u8>, len_max: usize) -> Result<usize, Error> {
            buf.resize(buf.len() + len_max, 0);
            Ok(len_max)
        }
    }

    #[test]
    fn blocks_that_the_cache_had_to_let_go_count_as_kept() {
        let size = 100 * BLOCK_LEN as u64;
        let config = Config { host: "127.0.0.1".into(), port: 0, cache_ram: 1 << 20, ..Config::default() };
        let parts = Parts::assemble(&config, Arc::new(Zeros(size))).unwrap();
        let source = Arc::clone(&parts.door.work.handler.source);
        let id = source.store.head(&ObjectKey::new("film.mp4").unwrap()).unwrap().id;
        let watch = |index: u64| {
            let start = index * BLOCK_LEN as u64;
            let part = ObjectPart { id: id.clone(), object_size: size, range: start..size, chunk_len: BLOCK_LEN };
            match Chunks::new(Arc::clone(&source), part).first().unwrap() {
                First::Slice(slice) => slice,
                First::Join(_) => panic!("nobody else reads"),
            }
        };
        // Of one block that is in the cache, any number may be held.
        let same: Vec<Bytes> = (0..100).map(|_| watch(0)).collect();
        assert!(source.may_hold(false));
        let others: Vec<Bytes> = (1..50).map(watch).collect();
        // Small objects are in the cache as well, and have no part in it.
        for number in 0..100 {
            let mut small = source.buffers.take();
            small.resize(100, 0);
            let small = source.buffers.share_block(small);
            let object = ObjectDigest::new(&format!("subtitles {number}"), &id, 100);
            source.shared.as_ref().unwrap().blocks.keep(BlockId { object, index: 0 }, &small);
        }
        assert!(
            !source.may_hold(false),
            "{} blocks are in memory, {} in the cache",
            source.buffers.blocks(),
            config.cache_ram / (1 << 17)
        );
        drop((same, others));
        assert!(source.may_hold(false));
    }

    #[test]
    fn who_gets_no_turn_closes_nobodys_read() {
        let size = 100 * BLOCK_LEN as u64;
        let config = Config { host: "127.0.0.1".into(), port: 0, ..Config::default() };
        let parts = Parts::assemble(&config, Arc::new(Zeros(size))).unwrap();
        let source = Arc::clone(&parts.door.work.handler.source);
        let id = source.store.head(&ObjectKey::new("film.mp4").unwrap()).unwrap().id;
        let watch = |range: Range<u64>| {
            Chunks::new(Arc::clone(&source), ObjectPart { id: id.clone(), object_size: size, range, chunk_len: 1 << 20 })
        };
        let mut viewer = watch(0..size);
        assert!(matches!(viewer.first().unwrap(), First::Slice(slice) if slice.len() == BLOCK_LEN));
        viewer.give_turn_back();
        let is_open = || source.spans_open.load(Ordering::Relaxed) == 1 && viewer.holds_span();
        assert!(is_open());
        let turns: Vec<_> = std::iter::from_fn(|| source.turn(None)).collect();
        let mut other = watch(BLOCK_LEN as u64..size);
        assert!(matches!(other.first().unwrap(), First::Join(Wait::Turn)));
        other.let_go();
        drop(other);
        assert!(is_open() && !turns.is_empty());
        drop(turns);
        assert!(matches!(viewer.next(), Some(Next::Slice(slice)) if slice.len() == BLOCK_LEN));
        assert_eq!(source.spans_open.load(Ordering::Relaxed), 1, "it was gone on with");
    }

    #[test]
    fn a_cache_that_keeps_nothing_is_passed_by_but_for_films_that_are_asked_for_again() {
        let size = 100 * BLOCK_LEN as u64;
        let config = Config { host: "127.0.0.1".into(), port: 0, cache_ram: 1 << 20, ..Config::default() };
        let parts = Parts::assemble(&config, Arc::new(Zeros(size))).unwrap();
        let source = Arc::clone(&parts.door.work.handler.source);
        let blocks = &source.shared.as_ref().unwrap().blocks;
        // Whether the block is in memory when it was watched.
        let watch = |film: &str, index: u64| {
            let id = source.store.head(&ObjectKey::new(film).unwrap()).unwrap().id;
            let block = BlockId { object: ObjectDigest::new(&source.identity, &id, size), index };
            let start = index * BLOCK_LEN as u64;
            let part = ObjectPart { id, object_size: size, range: start..size, chunk_len: BLOCK_LEN };
            let first = Chunks::new(Arc::clone(&source), part).first().unwrap();
            assert!(matches!(first, First::Slice(slice) if !slice.is_empty()));
            blocks.is_in_ram(block)
        };
        assert!(watch("new.mp4", 0));
        // Twice its budget, and within a second, if not at once then in one of the next times.
        let passed_by = (0..1000).map(|number| format!("{number}.mp4")).find(|film| {
            for index in 0..20 {
                watch("other.mp4", index);
            }
            !watch(film, 0)
        });
        assert!(watch(&passed_by.unwrap(), 1), "it was asked for a moment ago");
    }
}
