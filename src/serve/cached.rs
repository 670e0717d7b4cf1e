//! Reading through the cache: a block that many want is read once.
//!
//! In scope: where a block comes from: memory, another stream that reads it, disk, an open read that goes on with it, or a new
//! one. Not in scope: keeping blocks (`store/blocks.rs`), and what follows a failure (`chunks`).
//!
//! ```text
//! in memory ──yes──► slice
//!    │ no
//! somebody reads it ──yes──► wait in the lot; the block comes along when it landed
//!    │ no: we do, and the others wait for us
//! on disk ──yes──► memory ──► slice
//!    │ no
//! an open read is left at it, or else a new one is opened ──► whole block ──► memory, disk, the others ──► slice
//!                                                        └─► first bytes, or 250 ms ──► slice of what came; the read is left
//! ```

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::Error;
use crate::object::ObjectId;
use crate::serve::chunks::Ask;
use crate::serve::churn;
use crate::serve::flights::{Landing, Lead, Wait};
use crate::serve::pool;
use crate::serve::source::{Fill, OpenSpan, Shared, Source};
use crate::serve::turns::HeldTurn;
use crate::store::blocks::{BlockId, ObjectDigest};

/// How long a viewer waits for a block to be whole before it is sent what came of it.
const WHOLE_WITHIN: Duration = Duration::from_millis(250);

/// The blocks of one version of an object, as one stream reads them.
pub(crate) struct Cached {
    object: ObjectDigest,
    object_size: u64,
    /// Where this stream left an open read, if it did.
    lease: Option<BlockId>,
}

/// What came of asking for a slice.
pub(crate) enum Got {
    /// These bytes, and whether they end a read of the store.
    Slice(Bytes, bool),
    /// Nothing before this came.
    Join(Wait),
}

impl Cached {
    pub(crate) fn new(object: ObjectDigest, object_size: u64) -> Self {
        Self { object, object_size, lease: None }
    }

    /// The next slice, where there is one now. `landing` is what this stream waited for.
    pub(crate) fn read(
        &mut self,
        source: &Source,
        shared: &Shared,
        id: &ObjectId,
        ask: &Ask,
        landing: Option<&Landing>,
        turn: &mut HeldTurn,
    ) -> Result<Got, Error> {
        let block_id = BlockId::at(self.object, ask.at);
        let is_left_here = self.lease == Some(block_id);
        match landing {
            Some(Landing::Block(landed, block)) if *landed == block_id => {
                drop(is_left_here.then(|| self.pause(source, shared)));
                let slice = self.cut(block, block_id, ask);
                source.metrics.cache_joined.inc_by(slice.len() as u64);
                shared.note_hit(self.begun_len(&slice, ask));
                return Ok(Got::Slice(slice, false));
            }
            Some(Landing::Failed(kind)) => return Err(Landing::failure(*kind)),
            _ => {}
        }
        if let Some(block) = shared.blocks.get(block_id) {
            // Another got there first: the read that was left here is of no more use.
            drop(is_left_here.then(|| self.pause(source, shared)));
            return Ok(self.hit(source, shared, &block, block_id, ask));
        }
        let Some(lead) = shared.flights.lead(&block_id) else { return Ok(Got::Join(Wait::Block(block_id))) };
        if let Some(block) = shared.blocks.get(block_id) {
            // It landed between the two looks.
            lead.land(&Landing::Block(block_id, block.clone()));
            return Ok(self.hit(source, shared, &block, block_id, ask));
        }
        if !shared.has_fill(block_id)
            && let Some(block) = self.look_on_disk(source, shared, block_id)
        {
            lead.land(&Landing::Block(block_id, block.clone()));
            return Ok(self.hit(source, shared, &block, block_id, ask));
        }
        // Behind the look at the disk, which needs no turn. Those who wait for the block meanwhile are told to go on themselves, and a
        // read that another stream left here stays where that finds it.
        if !turn.take(source, landing) {
            return Ok(Got::Join(Wait::Turn));
        }
        let fill = shared.take_fill(block_id);
        if is_left_here {
            self.lease = None;
        }
        let fill = match fill {
            Some(fill) => Ok(fill),
            None => self.open(source, shared, id, ask, block_id),
        };
        match fill.and_then(|fill| self.fill(source, fill, block_id, ask)) {
            Ok(filled) => {
                let slice = self.settle(source, shared, lead, block_id, filled, ask);
                source.metrics.cache_missed.inc_by(slice.0.len() as u64);
                Ok(Got::Slice(slice.0, slice.1))
            }
            Err(error) => {
                lead.land(&Landing::Failed(error.kind()));
                Err(error)
            }
        }
    }

    /// The stream has all that it asked for. A block that it began is read to its end, so that the next viewer finds it whole and
    /// the connection to the store can be used again. Should that fail, or take longer than a viewer would wait for it, nobody misses
    /// it. Its turn is one to spare: ends of answers must have neither all threads where a store hangs, nor keep others waiting.
    pub(crate) fn finish(&mut self, source: &Source, shared: &Shared) {
        let Some(block_id) = self.lease.take() else { return };
        // First the lead: who has it may be about to take what was left here.
        let lead = shared.flights.lead(&block_id);
        let Some(fill) = shared.take_fill(block_id).filter(|fill| !fill.block.is_empty()) else { return };
        let (Some(lead), Some(_turn)) = (lead, source.spare_turn()) else { return source.buffers.give_back(fill.block) };
        let range = block_id.range(self.object_size);
        let ask = Ask { at: range.start, end: range.end, span_end: range.end, len_max: usize::MAX, is_first: false };
        let Ok(filled) = self.fill(source, fill, block_id, &ask) else { return };
        if range.start + (filled.block.len() as u64) < range.end {
            return source.buffers.give_back(filled.block);
        }
        drop(self.settle(source, shared, lead, block_id, filled, &ask));
    }

    /// Whether the block that holds this offset is neither in memory nor what the read goes on with that this stream left.
    pub(crate) fn must_ask(&self, shared: &Shared, offset: u64) -> bool {
        self.lease.is_none() && !shared.blocks.is_in_ram(BlockId::at(self.object, offset))
    }

    /// Whether this stream left an open read.
    pub(crate) fn holds_span(&self) -> bool {
        self.lease.is_some()
    }

    /// Gives up the open read that this stream left, unless another goes on with it; the caller drops it.
    pub(crate) fn pause(&mut self, source: &Source, shared: &Shared) -> Option<OpenSpan> {
        let Fill { span, block } = shared.take_fill(self.lease.take()?)?;
        source.buffers.give_back(block);
        Some(span)
    }

    fn hit(&self, source: &Source, shared: &Shared, block: &Bytes, block_id: BlockId, ask: &Ask) -> Got {
        let slice = self.cut(block, block_id, ask);
        source.metrics.cache_hit.inc_by(slice.len() as u64);
        shared.note_hit(self.begun_len(&slice, ask));
        Got::Slice(slice, false)
    }

    fn look_on_disk(&self, source: &Source, shared: &Shared, block_id: BlockId) -> Option<Bytes> {
        let range = block_id.range(self.object_size);
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        match pool::waiting(|| shared.blocks.fetch(block_id, len, source.buffers.take())) {
            Ok(buffer) => {
                let block = source.buffers.share_block(buffer);
                shared.blocks.keep(block_id, &block);
                Some(block)
            }
            Err(buffer) => {
                source.buffers.give_back(buffer);
                None
            }
        }
    }

    /// Opens a read from the start of this block to the end of the one where the span ends, but no further than up to what is
    /// there already.
    fn open(&self, source: &Source, shared: &Shared, id: &ObjectId, ask: &Ask, block_id: BlockId) -> Result<Fill, Error> {
        let mut last = block_id;
        while last.range(self.object_size).end < ask.span_end && !shared.is_provided(last.next()) {
            last = last.next();
        }
        let range = block_id.range(self.object_size).start..last.range(self.object_size).end;
        Ok(Fill { span: source.open(id, range)?, block: source.buffers.take() })
    }

    /// Reads on until the block is whole, or there is something of what is asked for and the viewer should not wait for the rest.
    fn fill(&self, source: &Source, mut fill: Fill, block_id: BlockId, ask: &Ask) -> Result<Fill, Error> {
        let started = Instant::now();
        let range = block_id.range(self.object_size);
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        if fill.block.capacity() == 0 {
            fill.block = source.buffers.take();
        }
        while fill.block.len() < len {
            let at = range.start + fill.block.len() as u64;
            let left = len - fill.block.len();
            if let Err(error) = fill.span.read(&mut fill.block, left, at) {
                source.buffers.give_back(fill.block);
                return Err(error);
            }
            let reached = range.start + fill.block.len() as u64;
            if reached > ask.at && (ask.is_first || started.elapsed() >= WHOLE_WITHIN) {
                break;
            }
        }
        Ok(fill)
    }

    /// What follows a read: a whole block goes to all who want it and the open read on to the next one; a part of one goes to
    /// this viewer only.
    fn settle(
        &mut self,
        source: &Source,
        shared: &Shared,
        lead: Lead<'_, BlockId>,
        block_id: BlockId,
        fill: Fill,
        ask: &Ask,
    ) -> (Bytes, bool) {
        let range = block_id.range(self.object_size);
        if range.start + (fill.block.len() as u64) < range.end {
            let mut part = source.buffers.take();
            let from = usize::try_from(ask.at - range.start).unwrap_or(0);
            let len = usize::try_from(ask.end - ask.at).unwrap_or(usize::MAX).min(ask.len_max);
            part.extend_from_slice(&fill.block[from..fill.block.len().min(from.saturating_add(len))]);
            // Left before the others are told, so that one of them finds it.
            self.leave(source, shared, block_id, fill);
            drop(lead);
            return (source.buffers.share_slice(part), false);
        }
        let block = source.buffers.share_block(fill.block);
        let is_end = fill.span.end == range.end;
        shared.note_missed(block.len() as u64);
        // Left before the block can be found: whoever finds it asks for the next one, and would open a read of his own.
        if !is_end && !shared.blocks.has(block_id.next()) {
            self.leave(source, shared, block_id.next(), Fill { span: fill.span, block: Vec::new() });
        }
        shared.blocks.keep(block_id, &block);
        shared.blocks.store(block_id, &block);
        lead.land(&Landing::Block(block_id, block.clone()));
        (self.cut(&block, block_id, ask), is_end)
    }

    /// Leaves an open read for whoever goes on with this block. A stream leaves one at most, or nobody would end the others.
    fn leave(&mut self, source: &Source, shared: &Shared, block_id: BlockId, fill: Fill) {
        drop(self.pause(source, shared));
        match shared.leave_fill(block_id, fill) {
            None => self.lease = Some(block_id),
            // Another stream's is there already.
            Some(fill) => source.buffers.give_back(fill.block),
        }
    }

    /// How long the blocks are that begin in this slice: what is counted of it for the cache, as it was when they were read.
    fn begun_len(&self, slice: &Bytes, ask: &Ask) -> u64 {
        churn::begun_len(&(ask.at..ask.at + slice.len() as u64), ask.is_first, self.object_size)
    }

    /// The part of a block that is asked for.
    fn cut(&self, block: &Bytes, block_id: BlockId, ask: &Ask) -> Bytes {
        let start = block_id.range(self.object_size).start;
        let from = usize::try_from(ask.at - start).unwrap_or(usize::MAX);
        let len = usize::try_from(ask.end - ask.at).unwrap_or(usize::MAX).min(ask.len_max);
        block.slice(from..block.len().min(from.saturating_add(len)))
    }
}
