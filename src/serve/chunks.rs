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

use bytes::Bytes;

use crate::error::{Error, ErrorKind};
use crate::http::response::ObjectPart;
use crate::object::ObjectId;
use crate::store::{Span, Store};

/// The longest slice, in bytes: the most that a viewer costs in memory while it is served. Larger ones gain nothing (a socket
/// takes about as much at a time), and fit no cache of the processor.
const SLICE_LEN_MAX: usize = 256 * 1024;
/// The longest span, in bytes. It bounds what is read for a viewer who leaves.
const SPAN_LEN_MAX: u64 = 16 * 1024 * 1024;
/// The span after a pause, in bytes: a viewer that was slower than its socket takes about as much as that has room for.
const SPAN_LEN_RESUMED: Range<u64> = 128 * 1024..512 * 1024;

/// The slices of a part of an object, in order. After an error it is not asked again.
pub(crate) struct Chunks {
    store: Arc<dyn Store>,
    id: ObjectId,
    left: Range<u64>,
    chunk_len: u64,
    /// The open read, and where it ends.
    span: Option<(Box<dyn Span>, u64)>,
    /// How long the next span is at most.
    span_len: u64,
    /// Where the first span since the last pause began.
    resumed_at: u64,
}

impl Chunks {
    pub(crate) fn new(store: Arc<dyn Store>, part: ObjectPart) -> Self {
        let chunk_len = part.chunk_len.max(1) as u64;
        let resumed_at = part.range.start;
        Self { store, id: part.id, left: part.range, chunk_len, span: None, span_len: chunk_len, resumed_at }
    }

    /// What is read, for the log.
    pub(crate) fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Whether a read of the store is open.
    pub(crate) fn holds_span(&self) -> bool {
        self.span.is_some()
    }

    /// Gives up the open read, and the last `unsent` bytes that were yielded: they will be yielded again. What the viewer took
    /// since the last pause tells how much it will take after this one, so that the next span fits.
    pub(crate) fn pause(&mut self, unsent: usize) -> Option<Box<dyn Span>> {
        self.left.start -= unsent as u64;
        self.span_len = (self.left.start - self.resumed_at).clamp(SPAN_LEN_RESUMED.start, SPAN_LEN_RESUMED.end);
        self.resumed_at = self.left.start;
        self.span.take().map(|(span, _)| span)
    }

    /// The end of a span that starts here: at the end of a chunk, unless it is shorter than one, or of the range.
    fn span_end(&self) -> u64 {
        let reach = self.left.start.saturating_add(self.span_len);
        let end = if self.span_len < self.chunk_len { reach } else { reach - reach % self.chunk_len };
        end.min(self.left.end)
    }

    fn read(&mut self) -> Result<Bytes, Error> {
        let span_end = match &self.span {
            Some((_, end)) => *end,
            None => {
                let end = self.span_end();
                self.span = Some((self.store.open(&self.id, self.left.start..end)?, end));
                end
            }
        };
        let Some((span, _)) = &mut self.span else { return Err(ErrorKind::Internal.into()) };
        let chunk_left = self.chunk_len - self.left.start % self.chunk_len;
        // At most SLICE_LEN_MAX, so it fits.
        let len_max = (span_end - self.left.start).min(chunk_left).min(SLICE_LEN_MAX as u64) as usize;
        let mut slice = Vec::new();
        let len = span.read(&mut slice, len_max)?;
        if len == 0 || len > len_max || len != slice.len() {
            let at = self.left.start;
            let detail = format!("the store yielded {len} bytes at offset {at}, where 1 to {len_max} were due");
            return Err(Error::new(ErrorKind::UpstreamUnavailable, detail));
        }
        self.left.start += len as u64;
        if self.left.start == span_end {
            self.span = None;
            self.span_len = (self.span_len * 2).clamp(self.chunk_len, SPAN_LEN_MAX.max(self.chunk_len));
        }
        Ok(slice.into())
    }
}

impl Iterator for Chunks {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.left.is_empty()).then(|| self.read())
    }
}
