//! Whether the cache is worth filling.
//!
//! In scope: telling when blocks leave it sooner than anybody could want them again, and which answers are read past it then. Not in
//! scope: reading (`direct`, `cached`).
//!
//! A cache that is filled anew within a second, and hardly ever has what is asked for, keeps nothing for the viewer who comes next; and
//! each block of it costs, for it is read into memory that no cache of the processor holds. Who asks for a film then for the first time
//! in a second reads past it. The next one does not: so what many ask for at a time still costs two reads of the store at most.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::blocks::ObjectDigest;

/// A cache that is filled anew within this time is passed by.
const KEPT_MIN: Duration = Duration::from_secs(1);
/// Of so many bytes that were read, as many as one may have been in the cache.
const HIT_SHARE: u64 = 8;
/// How many films are remembered, those of the last [`KEPT_MIN`]: of more than these some are forgotten.
const ASKED_MAX: usize = 4096;

/// What became of the last bytes that were asked of a cache.
pub(crate) struct Churn {
    /// How many bytes the cache holds.
    capacity: u64,
    /// How many bytes of late were in it. Counted without the lock: what the cache has is on the way of every answer.
    hit: AtomicU64,
    state: Mutex<State>,
}

struct State {
    /// Since when bytes were counted, and how many had to be read.
    since: Instant,
    missed: u64,
    /// Whether it was so the last time that as much was read as the cache holds.
    was_in_vain: bool,
    /// When which film was asked for last, while the cache is in vain.
    asked: HashMap<ObjectDigest, Instant>,
}

impl Churn {
    /// Of a cache of so many bytes.
    pub(crate) fn new(capacity: u64, now: Instant) -> Self {
        let state = State { since: now, missed: 0, was_in_vain: false, asked: HashMap::new() };
        Self { capacity, hit: AtomicU64::new(0), state: Mutex::new(state) }
    }

    /// So many bytes were in the cache.
    pub(crate) fn note_hit(&self, len: usize) {
        self.hit.fetch_add(len as u64, Ordering::Relaxed);
    }

    /// So many bytes had to be read.
    pub(crate) fn note_missed(&self, len: usize, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.missed += len as u64;
        if state.missed >= self.capacity {
            let hit = self.hit.swap(0, Ordering::Relaxed);
            state.was_in_vain = now.duration_since(state.since) < KEPT_MIN && hit * HIT_SHARE < state.missed;
            (state.since, state.missed) = (now, 0);
        }
    }

    /// Whether an answer of this film is to be read past the cache.
    pub(crate) fn passes_by(&self, object: ObjectDigest, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.was_in_vain || now.duration_since(state.since) >= KEPT_MIN {
            return false;
        }
        let is_recent = |asked: Instant| now.duration_since(asked) < KEPT_MIN;
        if state.asked.len() >= ASKED_MAX {
            state.asked.retain(|_, asked| is_recent(*asked));
        }
        if state.asked.len() >= ASKED_MAX {
            state.asked.clear();
        }
        !state.asked.insert(object, now).is_some_and(is_recent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ETag, ObjectId, ObjectKey};

    const MIB: usize = 1 << 20;

    fn film(number: u32) -> ObjectDigest {
        let id = ObjectId { key: ObjectKey::new(&number.to_string()).unwrap(), etag: ETag::from_store("v").unwrap() };
        ObjectDigest::new("", &id, 1)
    }

    #[test]
    fn a_cache_is_passed_by_while_it_is_filled_anew_within_a_second_for_nobody() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        // How long it takes to fill it, and how many of nine bytes it had: is it passed by?
        for (millis, hits, want) in [(900, 0, true), (1000, 0, false), (900, 1, true), (900, 2, false)] {
            let churn = Churn::new(8 * MIB as u64, start);
            for _ in 0..hits {
                churn.note_hit(MIB * 9 / 10);
            }
            for _ in 0..7 {
                churn.note_missed(MIB, at(2));
            }
            assert!(!churn.passes_by(film(1), at(millis)), "it is not full");
            churn.note_missed(MIB, at(millis));
            assert_eq!(churn.passes_by(film(1), at(millis)), want, "{millis} {hits}");
            assert!(!churn.passes_by(film(2), at(millis + 1000)), "nothing was read for a second");
        }
    }

    #[test]
    fn a_film_that_is_asked_for_again_within_a_second_is_not_read_past_the_cache() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let churn = Churn::new(1, start);
        for (millis, number, want) in
            [(10, 1, true), (20, 2, true), (500, 1, false), (1400, 1, false), (1401, 2, true), (2400, 1, true)]
        {
            churn.note_missed(1, at(millis));
            assert_eq!(churn.passes_by(film(number), at(millis)), want, "{millis}");
        }
        for number in 0..2 * u32::try_from(ASKED_MAX).unwrap() {
            churn.passes_by(film(number), at(2401));
        }
        assert!(churn.state.lock().unwrap().asked.len() <= ASKED_MAX);
    }
}
