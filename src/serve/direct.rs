//! Reading without a cache: each stream has a read of its own.
//!
//! In scope: one open read, slice by slice. Not in scope: how long it is and what follows a failure (`chunks`).

use crate::error::Error;
use crate::object::ObjectId;
use crate::serve::cached::Got;
use crate::serve::chunks::Ask;
use crate::serve::flights::{Landing, Wait};
use crate::serve::source::{OpenSpan, Source};
use crate::serve::turns::HeldTurn;

/// The open read of a stream.
#[derive(Default)]
pub(crate) struct Direct {
    span: Option<OpenSpan>,
}

impl Direct {
    /// The next slice, and whether it ends its span. `landing` is what this stream waited for.
    pub(crate) fn read(
        &mut self,
        source: &Source,
        id: &ObjectId,
        ask: &Ask,
        landing: Option<&Landing>,
        turn: &mut HeldTurn,
    ) -> Result<Got, Error> {
        if let Some(Landing::Failed(kind)) = landing {
            return Err(Landing::failure(*kind));
        }
        if !turn.take(source, landing) {
            return Ok(Got::Join(Wait::Turn));
        }
        // Taken out: a read that failed is not read from again.
        let mut span = match self.span.take() {
            Some(span) => span,
            None => source.open(id, ask.at..ask.span_end)?,
        };
        let left = usize::try_from(span.end - ask.at).unwrap_or(usize::MAX);
        let len_max = ask.len_max.min(left);
        let mut buffer = source.buffers.take_for(len_max);
        let read = span.read(&mut buffer, len_max, ask.at);
        let slice = source.buffers.share_slice(buffer);
        read?;
        let is_end = ask.at + slice.len() as u64 == span.end;
        if !is_end {
            self.span = Some(span);
        }
        Ok(Got::Slice(slice, is_end))
    }

    pub(crate) fn holds_span(&self) -> bool {
        self.span.is_some()
    }

    /// Gives up the open read, for the caller to drop.
    pub(crate) fn pause(&mut self) -> Option<OpenSpan> {
        self.span.take()
    }
}
