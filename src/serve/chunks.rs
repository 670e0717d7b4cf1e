//! The bytes of one answer, chunk by chunk.
//!
//! In scope: how much of an object is asked of the store at a time, and that a read which fails is tried again. Not in scope:
//! reading (`direct`, `cached`), sending (`stream`).
//!
//! Three lengths are at work. A *slice* is what the iterator yields and what is in memory at a time. A *chunk* is the unit that
//! the client may choose by `?chunkSize=`: reads of the store begin and end at its multiples, or where blocks of the cache do. A
//! *span* is one read of the store: the rest of the first chunk, then by how much the viewer took since it last paused, so that a film
//! costs few requests and the tail of one that nobody watches is never pulled.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::error::{Error, ErrorKind};
use crate::http::response::ObjectPart;
use crate::object::ObjectId;
use crate::serve::buffers::BUFFER_LEN;
use crate::serve::cached::{Cached, Got};
use crate::serve::churn::{self, Wanted};
use crate::serve::direct::Direct;
use crate::serve::flights::{Landing, Wait};
use crate::serve::outage::{Outage, is_passing};
use crate::serve::source::{OpenSpan, Source};
use crate::serve::turns::HeldTurn;
use crate::store::blocks::{BlockId, ObjectDigest};

/// The first slice, and the first after each pause, in bytes; the next ones double. What the socket then has no room for was read
/// for nothing.
const SLICE_LEN_MIN: usize = 64 * 1024;
/// The longest span, in bytes. Who leaves ends it, so that no more of it is sent for nothing than sockets hold; it is one connection
/// that cannot be used again.
const SPAN_LEN_MAX: u64 = 64 * 1024 * 1024;
/// How many times as much as the viewer took the next span has: for one who never paused, and for one who did. A request costs MinIO
/// as much as a megabyte of body, so a fast viewer's film is read in few of them: 1, 7 and 56 MiB.
const SPAN_GROWTH: u64 = 7;
const SPAN_GROWTH_RESUMED: u64 = 1;
/// The span after a pause, in bytes: a viewer that was slower than its socket takes about as much as that has room for.
const SPAN_LEN_RESUMED: Range<u64> = 128 * 1024..512 * 1024;
/// How often the first bytes are asked for before the answer is an error: once more, for a connection that broke.
const FIRST_TRIES: usize = 2;

/// The slices of a part of an object, in order.
pub(crate) struct Chunks {
    source: Arc<Source>,
    id: ObjectId,
    object_size: u64,
    left: Range<u64>,
    chunk_len: u64,
    reader: Reader,
    /// What this stream waited for.
    landing: Option<Landing>,
    /// Its right to read, for as long as it sends.
    turn: HeldTurn,
    outage: Outage,
    /// How long the next slice is at most: by what the socket took so far, and as the pace allows.
    slice_len: usize,
    slice_len_paced: usize,
    /// How long the next span is at most.
    span_len: u64,
    /// Where the first span since the last pause began, and how much longer each gets.
    resumed_at: u64,
    span_growth: u64,
    is_first: bool,
}

enum Reader {
    Direct(Direct),
    Cached(Cached),
}

/// What comes next.
pub(crate) enum Next {
    /// These bytes.
    Slice(Bytes),
    /// Nothing before this time.
    NotBefore(Instant),
    /// Nothing before this came.
    Join(Wait),
    /// Nothing: the rest cannot be had.
    Failed(Error),
}

/// What the first look gives.
pub(crate) enum First {
    /// The first slice; empty for an empty object.
    Slice(Bytes),
    /// Nothing before this came.
    Join(Wait),
}

/// What a stream asks its reader for.
pub(crate) struct Ask {
    /// The offset of the next byte.
    pub(crate) at: u64,
    /// Where the stream's range ends.
    pub(crate) end: u64,
    /// How far a new read of the store goes.
    pub(crate) span_end: u64,
    /// How long the slice is at most.
    pub(crate) len_max: usize,
    /// Whether nothing has been yielded yet.
    pub(crate) is_first: bool,
}

impl Chunks {
    pub(crate) fn new(source: Arc<Source>, part: ObjectPart) -> Self {
        let reader = match &source.shared {
            Some(shared) => {
                let object = ObjectDigest::new(&source.identity, &part.id, part.object_size);
                match &shared.churn {
                    Some(churn)
                        if churn.passes_by(Wanted::of(object, &part.range), Instant::now())
                            && !shared.blocks.is_in_ram(BlockId::at(object, part.range.start)) =>
                    {
                        Reader::Direct(Direct::default())
                    }
                    _ => Reader::Cached(Cached::new(object, part.object_size)),
                }
            }
            None => Reader::Direct(Direct::default()),
        };
        let chunk_len = part.chunk_len.max(1) as u64;
        Self {
            source,
            reader,
            id: part.id,
            object_size: part.object_size,
            chunk_len,
            landing: None,
            turn: HeldTurn::default(),
            outage: Outage::default(),
            slice_len: SLICE_LEN_MIN,
            slice_len_paced: usize::MAX,
            span_len: chunk_len,
            resumed_at: part.range.start,
            span_growth: SPAN_GROWTH,
            left: part.range,
            is_first: true,
        }
    }

    /// What is read, for the log.
    pub(crate) fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Whether a read of the store is open.
    pub(crate) fn holds_span(&self) -> bool {
        match &self.reader {
            Reader::Direct(direct) => direct.holds_span(),
            Reader::Cached(cached) => cached.holds_span(),
        }
    }

    /// Whether the open read may be kept while the stream waits; see [`Source::may_hold`].
    pub(crate) fn may_hold(&self, is_brief: bool) -> bool {
        self.source.may_hold(is_brief)
    }

    /// Whether the next slice must be asked of the store, or of the disk: a viewer who has no room for it should wait first.
    pub(crate) fn must_ask(&self) -> bool {
        match (&self.reader, &self.source.shared) {
            (Reader::Cached(cached), Some(shared)) => cached.must_ask(shared, self.left.start),
            _ => !self.holds_span(),
        }
    }

    /// All was sent. What was begun for others is brought to its end, which may take a moment.
    pub(crate) fn finish(mut self) {
        if let (Reader::Cached(cached), Some(shared), true) = (&mut self.reader, &self.source.shared, self.left.is_empty()) {
            cached.finish(&self.source, shared);
        }
    }

    /// Gives the right to read back, where it has one: it sends no more for now.
    pub(crate) fn give_turn_back(&mut self) {
        self.turn.give_back();
    }

    /// How many bytes are left to be yielded.
    pub(crate) fn len_left(&self) -> u64 {
        self.left.end - self.left.start
    }

    /// The next slice is at most so long; at least a byte.
    pub(crate) fn limit_next(&mut self, len_max: usize) {
        self.slice_len_paced = len_max.max(1);
    }

    /// Takes what this stream waited for.
    pub(crate) fn land(&mut self, landing: Landing) {
        self.landing = Some(landing);
    }

    /// Gives up the open read, and the last `unsent` bytes that were yielded: they will be yielded again. What the viewer took
    /// since the last pause tells how much it will take after this one, so that the next span fits.
    pub(crate) fn pause(&mut self, unsent: usize) -> Option<OpenSpan> {
        self.left.start -= unsent as u64;
        self.span_len = (self.left.start - self.resumed_at).clamp(SPAN_LEN_RESUMED.start, SPAN_LEN_RESUMED.end);
        self.resumed_at = self.left.start;
        self.span_growth = SPAN_GROWTH_RESUMED;
        self.slice_len = SLICE_LEN_MIN;
        self.close()
    }

    /// Closes the open read, where one was left, and gives the right to read back: nothing is held while the first bytes are waited
    /// for.
    pub(crate) fn let_go(&mut self) {
        drop(self.close());
        self.give_turn_back();
    }

    fn close(&mut self) -> Option<OpenSpan> {
        match (&mut self.reader, &self.source.shared) {
            (Reader::Direct(direct), _) => direct.pause(),
            (Reader::Cached(cached), Some(shared)) => cached.pause(&self.source, shared),
            (Reader::Cached(_), None) => None,
        }
    }

    /// The first bytes, or why there are none. What may pass by itself is tried once more, at once.
    pub(crate) fn first(&mut self) -> Result<First, Error> {
        if self.left.is_empty() {
            return Ok(First::Slice(Bytes::new()));
        }
        let mut tries_left = FIRST_TRIES;
        loop {
            tries_left -= 1;
            match self.read() {
                Ok(Got::Slice(slice, _)) => return Ok(First::Slice(slice)),
                Ok(Got::Join(wait)) => return Ok(First::Join(wait)),
                // A store that asks for fewer requests gets no more of them.
                Err(error) if tries_left > 0 && is_passing(error.kind()) && error.kind() != ErrorKind::UpstreamBusy => {
                    log::debug!("{:?} is tried once more: {}", self.id.key, error.chain());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The end of a span that starts here: at the end of a chunk, unless it is shorter than one, or of the range.
    fn span_end(&self) -> u64 {
        let reach = self.left.start.saturating_add(self.span_len);
        let end = if self.span_len < self.chunk_len { reach } else { reach - reach % self.chunk_len };
        end.min(self.left.end)
    }

    fn read(&mut self) -> Result<Got, Error> {
        let at = self.left.start;
        let len_max = std::mem::replace(&mut self.slice_len_paced, usize::MAX);
        let ask = Ask { at, end: self.left.end, span_end: self.span_end(), len_max, is_first: self.is_first };
        let landing = self.landing.take();
        let got = match (&mut self.reader, &self.source.shared) {
            (Reader::Direct(direct), _) => {
                let chunk_left = usize::try_from(self.chunk_len - at % self.chunk_len).unwrap_or(usize::MAX);
                let ask = Ask { len_max: len_max.min(chunk_left).min(self.slice_len), ..ask };
                let got = direct.read(&self.source, &self.id, &ask, landing.as_ref(), &mut self.turn);
                if let (Some(shared), Ok(Got::Slice(slice, _))) = (&self.source.shared, &got) {
                    self.source.metrics.cache_missed.inc_by(slice.len() as u64);
                    shared.note_missed(churn::begun_len(&(at..at + slice.len() as u64), self.is_first, self.object_size));
                }
                got
            }
            // Blocks are in memory whole, so a slice ends where its block does.
            (Reader::Cached(cached), Some(shared)) => {
                cached.read(&self.source, shared, &self.id, &ask, landing.as_ref(), &mut self.turn)
            }
            (Reader::Cached(_), None) => Err(ErrorKind::Internal.into()),
        };
        if let Ok(Got::Slice(slice, is_end)) = &got {
            self.left.start += slice.len() as u64;
            self.is_first = false;
            self.slice_len = (self.slice_len * 2).min(BUFFER_LEN);
            if *is_end {
                // At least as much again as it took since its last pause: so twice as much each time, however short the first one was.
                let taken = (self.left.start - self.resumed_at).saturating_mul(self.span_growth);
                self.span_len = self.span_len.max(taken).min(SPAN_LEN_MAX.max(self.chunk_len));
            }
        }
        got
    }

    /// A read failed, after the head was sent.
    fn failed(&mut self, error: Error) -> Next {
        let chance = RandomState::new().build_hasher().finish();
        let Some(at) = self.outage.failed(error.kind(), Instant::now(), self.source.resume, chance) else {
            let resumes = &self.source.metrics.resumes;
            if is_gone(error.kind()) {
                self.source.forget(&self.id.key);
            }
            if error.kind() == ErrorKind::Changed {
                resumes.changed.inc();
            } else {
                resumes.failed.inc();
            }
            return Next::Failed(error);
        };
        log::debug!("reading {:?} goes on at {}: {}", self.id.key, self.left.start, error.chain());
        Next::NotBefore(at)
    }
}

/// Whether the version that was asked for is not there any more, so that what is known of the object is out of date.
pub(crate) fn is_gone(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Changed | ErrorKind::NotFound)
}

impl Iterator for Chunks {
    type Item = Next;

    fn next(&mut self) -> Option<Next> {
        if self.left.is_empty() {
            return None;
        }
        Some(match self.read() {
            Ok(Got::Slice(slice, _)) => {
                if self.outage.end() {
                    self.source.metrics.resumes.resumed.inc();
                }
                Next::Slice(slice)
            }
            Ok(Got::Join(wait)) => Next::Join(wait),
            Err(error) => self.failed(error),
        })
    }
}

impl Drop for Chunks {
    /// A viewer who leaves stops the read of the store at once.
    fn drop(&mut self) {
        self.let_go();
    }
}
