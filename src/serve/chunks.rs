//! The bytes of one answer, chunk by chunk.
//!
//! In scope: how much of an object is asked of the store at a time. Not in scope: asking (`store`), sending (`stream`).
//!
//! Three lengths are at work. A *slice* is what the iterator yields and what is in memory at a time. A *chunk* is the unit that
//! the client may choose by `?chunkSize=`: reads of the store begin and end at its multiples. A *span* is one read of the store:
//! the rest of the first chunk, then twice as much each time the viewer has kept up, so that a film costs few requests and the
//! tail of one that nobody watches is never pulled.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::error::{Error, ErrorKind};
use crate::http::response::ObjectPart;
use crate::object::ObjectId;
use crate::store::{Span, Store};

/// The first slice, and the first after each pause, in bytes; the next ones double. What the socket then has no room for was read
/// for nothing.
const SLICE_LEN_MIN: usize = 64 * 1024;
/// The longest slice, in bytes: the most that a viewer costs in memory while it is served. Larger ones gain nothing (a socket
/// takes about as much at a time), and fit no cache of the processor.
const SLICE_LEN_MAX: usize = 128 * 1024;
/// The longest span, in bytes. It bounds what is read for a viewer who leaves.
const SPAN_LEN_MAX: u64 = 16 * 1024 * 1024;
/// The span after a pause, in bytes: a viewer that was slower than its socket takes about as much as that has room for.
const SPAN_LEN_RESUMED: Range<u64> = 128 * 1024..512 * 1024;

/// How many spans may be open before streams that wait give theirs up. Each costs a connection to the store, or a descriptor, and
/// a buffer or two.
const SPANS_KEPT_MAX: usize = 32;

/// The buffers of slices that were sent, for the next ones. Freed and allocated anew, they would tear the heap into pieces between
/// what the waiting streams hold, and a thousand viewers would cost several times what they need. There are never more than were
/// in use at the same time: one for each thread, and one for each span that is kept.
#[derive(Default)]
struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<u8> {
        let used = self.lock().pop();
        used.unwrap_or_else(|| Vec::with_capacity(SLICE_LEN_MAX))
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        // A store may have put another buffer in its place, or made it grow.
        if buffer.capacity() == SLICE_LEN_MAX {
            buffer.clear();
            self.lock().push(buffer);
        }
    }
}

/// A slice in a buffer that goes back when it is sent.
struct Slice {
    buffer: Vec<u8>,
    home: Arc<Buffers>,
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.buffer));
    }
}

/// Where slices come from.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) store: Arc<dyn Store>,
    /// How many spans are open, of all streams.
    spans_open: Arc<AtomicUsize>,
    buffers: Arc<Buffers>,
}

impl Source {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, spans_open: Arc::default(), buffers: Arc::default() }
    }

    fn open(&self, id: &ObjectId, range: Range<u64>) -> Result<OpenSpan, Error> {
        let end = range.end;
        let span = self.store.open(id, range)?;
        self.spans_open.fetch_add(1, Ordering::Relaxed);
        Ok(OpenSpan { span, end, spans_open: Arc::clone(&self.spans_open) })
    }
}

/// A read of the store, counted while it is open.
pub(crate) struct OpenSpan {
    span: Box<dyn Span>,
    end: u64,
    spans_open: Arc<AtomicUsize>,
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        self.spans_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The slices of a part of an object, in order. After an error it is not asked again.
pub(crate) struct Chunks {
    source: Source,
    id: ObjectId,
    left: Range<u64>,
    chunk_len: u64,
    /// The open read.
    span: Option<OpenSpan>,
    /// How long the next slice is at most.
    slice_len: usize,
    /// How long the next span is at most.
    span_len: u64,
    /// Where the first span since the last pause began.
    resumed_at: u64,
}

impl Chunks {
    pub(crate) fn new(source: Source, part: ObjectPart) -> Self {
        let chunk_len = part.chunk_len.max(1) as u64;
        let resumed_at = part.range.start;
        Self {
            source,
            id: part.id,
            left: part.range,
            chunk_len,
            span: None,
            slice_len: SLICE_LEN_MIN,
            span_len: chunk_len,
            resumed_at,
        }
    }

    /// What is read, for the log.
    pub(crate) fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Whether a read of the store is open.
    pub(crate) fn holds_span(&self) -> bool {
        self.span.is_some()
    }

    /// Whether the open read may be kept while the stream waits: not where too many are kept already.
    pub(crate) fn may_hold(&self) -> bool {
        self.source.spans_open.load(Ordering::Relaxed) <= SPANS_KEPT_MAX
    }

    /// How many bytes are left to be yielded.
    pub(crate) fn len_left(&self) -> u64 {
        self.left.end - self.left.start
    }

    /// The next slice is at most so long; at least a byte.
    pub(crate) fn limit_next(&mut self, len_max: usize) {
        self.slice_len = self.slice_len.min(len_max.max(1));
    }

    /// Gives up the open read, and the last `unsent` bytes that were yielded: they will be yielded again. What the viewer took
    /// since the last pause tells how much it will take after this one, so that the next span fits.
    pub(crate) fn pause(&mut self, unsent: usize) -> Option<OpenSpan> {
        self.left.start -= unsent as u64;
        self.span_len = (self.left.start - self.resumed_at).clamp(SPAN_LEN_RESUMED.start, SPAN_LEN_RESUMED.end);
        self.resumed_at = self.left.start;
        self.slice_len = SLICE_LEN_MIN;
        self.span.take()
    }

    /// The end of a span that starts here: at the end of a chunk, unless it is shorter than one, or of the range.
    fn span_end(&self) -> u64 {
        let reach = self.left.start.saturating_add(self.span_len);
        let end = if self.span_len < self.chunk_len { reach } else { reach - reach % self.chunk_len };
        end.min(self.left.end)
    }

    fn read(&mut self) -> Result<Bytes, Error> {
        let span = match self.span.take() {
            Some(span) => span,
            None => self.source.open(&self.id, self.left.start..self.span_end())?,
        };
        let span = self.span.insert(span);
        let span_end = span.end;
        let chunk_left = self.chunk_len - self.left.start % self.chunk_len;
        let due = (span_end - self.left.start).min(chunk_left);
        let len_max = usize::try_from(due).unwrap_or(usize::MAX).min(self.slice_len);
        let mut slice = Slice { buffer: self.source.buffers.take(), home: Arc::clone(&self.source.buffers) };
        let len = span.span.read(&mut slice.buffer, len_max)?;
        if len == 0 || len > len_max || len != slice.buffer.len() {
            let at = self.left.start;
            let detail = format!("the store yielded {len} bytes at offset {at}, where 1 to {len_max} were due");
            return Err(Error::new(ErrorKind::UpstreamUnavailable, detail));
        }
        self.left.start += len as u64;
        self.slice_len = (self.slice_len * 2).min(SLICE_LEN_MAX);
        if self.left.start == span_end {
            self.span = None;
            self.span_len = (self.span_len * 2).clamp(self.chunk_len, SPAN_LEN_MAX.max(self.chunk_len));
        }
        Ok(Bytes::from_owner(slice))
    }
}

impl Iterator for Chunks {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.left.is_empty()).then(|| self.read())
    }
}
