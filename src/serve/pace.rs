//! Pacing: a stream that sends no faster than its film plays.
//!
//! In scope: when how much may be sent. Not in scope: waiting for it (`lot`): nobody sleeps here.

use std::time::{Duration, Instant};

use crate::serve::chunks::{Chunks, Next};
use crate::serve::flights::Landing;
use crate::serve::source::OpenSpan;

/// How fast streams are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Bytes a second, at least one.
    pub(crate) rate: u64,
    /// Bytes before the rate counts.
    pub(crate) burst: u64,
}

impl Pace {
    /// What is worth a turn: a quarter of a second's bytes, within what a socket takes at once.
    fn step(self) -> u64 {
        (self.rate / 4).clamp(4 * 1024, 64 * 1024)
    }

    /// How many bytes may have been sent so long after the start.
    fn due(self, elapsed: Duration) -> u64 {
        let earned = elapsed.as_millis().saturating_mul(u128::from(self.rate)) / 1000;
        self.burst.saturating_add(u64::try_from(earned).unwrap_or(u64::MAX))
    }

    /// How long after the start so many bytes may have been sent.
    fn reached(self, bytes: u64) -> Duration {
        let millis = u128::from(bytes.saturating_sub(self.burst)) * 1000;
        Duration::from_millis(u64::try_from(millis.div_ceil(u128::from(self.rate))).unwrap_or(u64::MAX))
    }
}

/// The slices of an answer, no faster than its pace.
pub(crate) struct Paced {
    chunks: Chunks,
    pace: Option<Pace>,
    started: Instant,
    /// Bytes that were yielded.
    yielded: u64,
}

impl Paced {
    /// Paces what is left of `chunks`, of which `yielded` bytes have been yielded.
    pub(crate) fn new(chunks: Chunks, pace: Option<Pace>, yielded: usize, now: Instant) -> Self {
        Self { chunks, pace, started: now, yielded: yielded as u64 }
    }

    /// See [`Chunks::finish`].
    pub(crate) fn finish(self) {
        self.chunks.finish();
    }

    /// The slices themselves.
    pub(crate) fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    /// What comes next, no more of it than is due at `now`; `None` at the end. Reads from the store, and may block for that.
    pub(crate) fn next(&mut self, now: impl FnOnce() -> Instant) -> Option<Next> {
        if let Some(pace) = self.pace {
            let due = pace.due(now().duration_since(self.started)).saturating_sub(self.yielded);
            // The end of a film may be shorter than a step.
            let step = pace.step().min(self.chunks.len_left());
            if due < step {
                return Some(Next::NotBefore(self.started + pace.reached(self.yielded + step)));
            }
            self.chunks.limit_next(usize::try_from(due).unwrap_or(usize::MAX));
        }
        let next = self.chunks.next();
        if let Some(Next::Slice(slice)) = &next {
            self.yielded += slice.len() as u64;
        }
        next
    }

    /// See [`Chunks::give_turn_back`].
    pub(crate) fn give_turn_back(&mut self) {
        self.chunks.give_turn_back();
    }

    /// See [`Chunks::land`].
    pub(crate) fn land(&mut self, landing: Landing) {
        self.chunks.land(landing);
    }

    /// See [`Chunks::pause`].
    pub(crate) fn pause(&mut self, unsent: usize) -> Option<OpenSpan> {
        self.yielded -= unsent as u64;
        self.chunks.pause(unsent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_when() {
        let pace = Pace { rate: 1000, burst: 500 };
        for (millis, bytes) in [(0, 500), (1, 501), (1000, 1500), (3_600_000, 3_600_500)] {
            assert_eq!(pace.due(Duration::from_millis(millis)), bytes);
            assert_eq!(pace.reached(bytes), Duration::from_millis(millis));
        }
        assert_eq!(pace.reached(10), Duration::ZERO);
        assert_eq!(Pace { rate: u64::MAX, burst: u64::MAX }.due(Duration::from_hours(1)), u64::MAX);
        assert_eq!(Pace { rate: 3, burst: 0 }.reached(1), Duration::from_millis(334));
    }
}
