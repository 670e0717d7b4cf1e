//! How many reads of the store are under way at a time.
//!
//! In scope: the bound, and that those beyond it come in the order in which they asked. They wait in the lot, without a thread, so
//! that a store which hangs leaves threads for viewers of what is kept. Not in scope: reading (`direct`, `cached`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::serve::flights::{Landing, Wait};
use crate::serve::lot::Lot;
use crate::serve::source::Source;

/// The part of the pool's threads that stays free of reads, as a divisor. What is here never waits, so a thread for each core is enough
/// for that.
const FREE_SHARE: usize = 8;
/// How many stay free at least, of a pool that has twice as many: one for what asks no store (see [`Pool`](crate::serve::pool::Pool)),
/// and one for viewers of what is kept.
const FREE_MIN: usize = 2;

/// How many of so many threads may read at a time.
fn reads_max(threads: usize) -> usize {
    let free = (threads / FREE_SHARE).max(FREE_MIN).min(threads / 2);
    (threads - free).max(1)
}

/// The reads that may be under way.
pub(crate) struct Turns {
    state: Mutex<State>,
    lot: Arc<Lot>,
}

struct State {
    /// How many there are, and how many of them nobody has.
    count: usize,
    free: usize,
    /// The connections that wait, the first first.
    waiting: VecDeque<usize>,
}

/// The right to one read. Dropped, it goes to the next who waits.
pub(crate) struct Turn {
    /// `None` where nobody waits for it.
    turns: Option<Arc<Turns>>,
}

impl Turns {
    /// As many as leave some of so many threads free.
    pub(crate) fn of_threads(threads: usize, lot: Arc<Lot>) -> Self {
        Self { state: Mutex::new(State { count: reads_max(threads), free: reads_max(threads), waiting: VecDeque::new() }), lot }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to one read, where there is one and nobody was first.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Arc<Turn>> {
        self.take_where(|state| state.free > 0 && state.waiting.is_empty())
    }

    /// The right to a read that nobody waits for: only where as many are left.
    pub(crate) fn take_spare(self: &Arc<Self>) -> Option<Arc<Turn>> {
        self.take_where(|state| state.free * 2 > state.count)
    }

    /// A free one, where this holds.
    fn take_where(self: &Arc<Self>, holds: impl FnOnce(&State) -> bool) -> Option<Arc<Turn>> {
        let mut state = self.lock();
        if !holds(&state) {
            return None;
        }
        state.free -= 1;
        Some(Arc::new(Turn { turns: Some(Arc::clone(self)) }))
    }

    /// The connection, which is in the lot already, gets the next turn that is not another's.
    pub(crate) fn wait(self: &Arc<Self>, connection_id: usize) {
        let mut state = self.lock();
        state.waiting.push_back(connection_id);
        if state.free > 0 {
            // One was given back since it was looked for.
            state.free -= 1;
            drop(state);
            self.pass_on();
        }
    }

    /// How many turns nobody has, and how many wait for one.
    #[cfg(test)]
    pub(crate) fn at_rest(&self) -> (usize, usize) {
        let state = self.lock();
        (state.free, state.waiting.len())
    }

    /// A turn that nobody has goes to the first who waits and is still there.
    fn pass_on(self: &Arc<Self>) {
        loop {
            let mut state = self.lock();
            let Some(id) = state.waiting.pop_front() else {
                state.free += 1;
                return;
            };
            drop(state);
            let turn = Arc::new(Turn { turns: Some(Arc::clone(self)) });
            let landing = Landing::Turn(turn);
            if self.lot.deliver(&[id], &Wait::Turn, &landing) > 0 {
                return;
            }
            if let Landing::Turn(turn) = landing
                && let Some(mut turn) = Arc::into_inner(turn)
            {
                // It goes on to the next one here, and not by being dropped: a crowd that left would be as deep as it was long.
                turn.turns = None;
            }
        }
    }
}

/// How long a stream keeps its turn without asking for another: a store that is slow must not serve a few streams only.
const HELD_MAX: Duration = Duration::from_millis(100);

/// The turn that a stream keeps while it sends. Given back after each read it would wait for the next one as often as it has a block
/// to read, behind all others.
#[derive(Default)]
pub(crate) struct HeldTurn(Option<(Arc<Turn>, Instant)>);

impl HeldTurn {
    /// Takes a turn, where none is held or one was for long: the one that was waited for, or one that is free. Says whether one is held
    /// now.
    pub(crate) fn take(&mut self, source: &Source, landing: Option<&Landing>) -> bool {
        let now = Instant::now();
        self.0.take_if(|(_, since)| now.duration_since(*since) > HELD_MAX);
        if self.0.is_none() {
            self.0 = source.turn(landing).map(|turn| (turn, now));
        }
        self.0.is_some()
    }

    pub(crate) fn give_back(&mut self) {
        self.0 = None;
    }
}

impl Turn {
    /// Of those that there are enough of.
    pub(crate) fn without_end() -> Self {
        Self { turns: None }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.pass_on();
        }
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Turn")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_threads_stay_free() {
        for (threads, want) in [(1, 1), (2, 1), (3, 2), (4, 2), (6, 4), (8, 6), (16, 14), (32, 28), (256, 224)] {
            assert_eq!(reads_max(threads), want, "{threads}");
        }
    }
}
