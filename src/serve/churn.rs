//! Whether the cache is worth filling.
//!
//! In scope: telling when blocks leave it sooner than anybody could want them again, and which answers are read past it then. Not in
//! scope: reading (`direct`, `cached`).
//!
//! A cache that is filled anew within a second, and hardly ever has what is asked for, keeps nothing for the viewer who comes next; and
//! each block of it costs, for it is read into memory that no cache of the processor holds, and whole, however little of it is wanted.
//! Who asks for a film then for the first time in a second, or for a part of a block, reads past it. The next one does not: so what many
//! ask for at a time still costs two reads of the store at most.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::blocks::{BLOCK_LEN, BlockId, ObjectDigest};

/// A cache that is filled anew within this time is passed by.
const KEPT_MIN: Duration = Duration::from_secs(1);
/// Of so many bytes that were read, as many as one may have been in the cache.
const HIT_SHARE: u64 = 8;
/// How many films and blocks are remembered, those of the last [`KEPT_MIN`]: of more than these some are forgotten.
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
    /// Since when bytes were counted, and how many of the blocks were not there that were asked for.
    since: Instant,
    missed: u64,
    /// Whether it was so the last time that as much was read as the cache holds.
    was_in_vain: bool,
    /// When what was asked for last, while the cache is in vain.
    asked: HashMap<Wanted, Instant>,
}

/// What an answer is made of, as far as another one would be made of the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    /// A film, from wherever.
    Film(ObjectDigest),
    /// No more than a block has.
    Block(BlockId),
}

impl Wanted {
    /// This part of an object.
    pub(crate) fn of(object: ObjectDigest, range: &Range<u64>) -> Self {
        if range.end - range.start <= BLOCK_LEN as u64 {
            Self::Block(BlockId::at(object, range.start))
        } else {
            Self::Film(object)
        }
    }
}

/// How long the blocks are that begin in this part of an object of `size` bytes; with `is_first` also the one that holds its first byte.
pub(crate) fn begun_len(range: &Range<u64>, is_first: bool, size: u64) -> u64 {
    let len = BLOCK_LEN as u64;
    let first = if is_first { range.start / len } else { range.start.div_ceil(len) };
    (range.end.div_ceil(len) * len).min(size).saturating_sub(first * len)
}

impl Churn {
    /// Of a cache of so many bytes.
    pub(crate) fn new(capacity: u64, now: Instant) -> Self {
        let state = State { since: now, missed: 0, was_in_vain: false, asked: HashMap::new() };
        Self { capacity, hit: AtomicU64::new(0), state: Mutex::new(state) }
    }

    /// Blocks of so many bytes were in the cache.
    pub(crate) fn note_hit(&self, len: u64) {
        self.hit.fetch_add(len, Ordering::Relaxed);
    }

    /// Blocks of so many bytes had to be read, or would have been if this were not passed by.
    pub(crate) fn note_missed(&self, len: u64, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.missed += len;
        if state.missed >= self.capacity {
            let hit = self.hit.swap(0, Ordering::Relaxed);
            state.was_in_vain = now.duration_since(state.since) < KEPT_MIN && hit * HIT_SHARE < state.missed;
            (state.since, state.missed) = (now, 0);
        }
    }

    /// Whether an answer of this is to be read past the cache.
    pub(crate) fn passes_by(&self, wanted: Wanted, now: Instant) -> bool {
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
        !state.asked.insert(wanted, now).is_some_and(is_recent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ETag, ObjectId, ObjectKey};

    const MIB: usize = 1 << 20;

    fn film(number: u32) -> Wanted {
        let id = ObjectId { key: ObjectKey::new(&number.to_string()).unwrap(), etag: ETag::from_store("v").unwrap() };
        Wanted::Film(ObjectDigest::new("", &id, 1))
    }

    #[test]
    fn a_part_of_a_block_is_the_same_as_another_part_of_it_and_as_no_film() {
        let object = match film(1) {
            Wanted::Film(object) => object,
            Wanted::Block(_) => panic!("a film"),
        };
        let len = BLOCK_LEN as u64;
        let of = |start, end| Wanted::of(object, &(start..end));
        assert_eq!(of(0, 2), of(len - 1, len));
        assert_eq!(of(0, len), of(0, 1));
        assert_ne!(of(0, 2), of(len, len + 2));
        assert_eq!([of(0, len + 1), of(7 * len, 99 * len)], [film(1); 2]);
        assert_ne!(of(0, 2), film(1));
    }

    #[test]
    fn blocks_count_once_however_they_are_read() {
        let len = BLOCK_LEN as u64;
        // Where the slices of an answer begin and end, and how many blocks they have a part of.
        for (ends, want) in [
            (vec![0, 1], 1),
            (vec![1, 2, len], 1),
            (vec![1, 2, len + 1], 2),
            (vec![5 * len, 6 * len, 7 * len], 2),
            (vec![len - 1, len, 2 * len, 2 * len + 1], 3),
        ] {
            let slices = ends.windows(2).enumerate();
            let counted: u64 = slices.map(|(number, ends)| begun_len(&(ends[0]..ends[1]), number == 0, 99 * len)).sum();
            assert_eq!(counted, want * len, "{ends:?}");
        }
        // The last block is as long as it is.
        assert_eq!((begun_len(&(0..10), true, 10), begun_len(&(len..len + 1), true, len + 20)), (10, 20));
    }

    #[test]
    fn a_cache_is_passed_by_while_it_is_filled_anew_within_a_second_for_nobody() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        // How long it takes to fill it, and how many of nine bytes it had: is it passed by?
        for (millis, hits, want) in [(900, 0, true), (1000, 0, false), (900, 1, true), (900, 2, false)] {
            let churn = Churn::new(8 * MIB as u64, start);
            for _ in 0..hits {
                churn.note_hit(MIB as u64 * 9 / 10);
            }
            for _ in 0..7 {
                churn.note_missed(MIB as u64, at(2));
            }
            assert!(!churn.passes_by(film(1), at(millis)), "it is not full");
            churn.note_missed(MIB as u64, at(millis));
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
