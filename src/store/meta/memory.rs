//! What is known in this process.
//!
//! In scope: entries, how long each may be used, and that nothing that was dropped comes back. Not in scope: where an entry is
//! from.
//!
//! An answer is on its way for a while: it was true when the store gave it, and an upload may make it false before it is put
//! here. So whoever asks takes a [`Ticket`] before, and [`Memory::put`] takes no answer whose ticket is older than the last
//! [`Memory::forget`] of its key.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::clock::pause_after;
use super::record::Answer;
use crate::object::ObjectKey;

/// The budget of all entries, in bytes as [`weight`](Weigh::weight) counts them: some 10,000 of usual length.
const WEIGHT_MAX: u64 = 4 * 1024 * 1024;
/// What an entry costs besides its texts, in bytes: its own fields, and its share of the table.
const ENTRY_WEIGHT: usize = 320;
/// Locks for the epochs of keys. More than threads of a usual pool, so that two rarely meet.
const STRIPES: usize = 64;

/// An answer, and how long it may be used.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) answer: Answer,
    /// When it was asked for.
    pub(super) asked_at: Instant,
    /// Until then the store need not be asked.
    pub(super) fresh_until: Instant,
    /// Until then it may be used where the store cannot be asked.
    pub(super) usable_until: Instant,
    /// How often the store could not be asked since.
    pub(super) failures: u32,
    /// Before then the store is not asked again, because it just could not be.
    pub(super) retry_at: Option<Instant>,
    /// When it was written to disk, if it was.
    pub(super) kept_at: Option<Instant>,
}

/// What an entry is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// To be used.
    Now,
    /// To be used only where the store cannot be asked.
    InNeed,
    /// For nothing.
    Never,
}

impl Entry {
    /// What it is good for at this moment. `distrusted_at` is when everything asked for before lost its freshness.
    fn good_for(&self, now: Instant, distrusted_at: Option<Instant>) -> Use {
        let is_trusted = distrusted_at.is_none_or(|at| self.asked_at >= at);
        if is_trusted && now < self.fresh_until {
            return Use::Now;
        }
        // That something was missing an hour ago is no answer to give today.
        if self.answer == Answer::Missing || now >= self.usable_until {
            return Use::Never;
        }
        if self.retry_at.is_some_and(|at| now < at) { Use::Now } else { Use::InNeed }
    }

    /// The entry after the store could not be asked once more, at `now`.
    pub(super) fn after_failure(mut self, now: Instant) -> Self {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.checked_add(pause_after(self.failures));
        self
    }
}

/// Says how old an answer is: not older than this, counted in calls of [`Memory::forget`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64);

/// All entries.
pub(super) struct Memory {
    entries: Cache<ObjectKey, Entry, Weigh>,
    /// How often a key of each stripe was forgotten.
    epochs: [Mutex<u64>; STRIPES],
    hasher: RandomState,
    distrusted_at: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Weigh;

impl Weighter<ObjectKey, Entry> for Weigh {
    fn weight(&self, key: &ObjectKey, entry: &Entry) -> u64 {
        let texts = match &entry.answer {
            Answer::Missing => 0,
            Answer::Found(meta) => {
                let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
                meta.id.etag.as_str().len() + len(&meta.content_type) + len(&meta.cache_control)
            }
        };
        (ENTRY_WEIGHT + key.as_str().len() + texts) as u64
    }
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            entries: Cache::with_weighter(10_000, WEIGHT_MAX, Weigh),
            epochs: [const { Mutex::new(0) }; STRIPES],
            hasher: RandomState::new(),
            distrusted_at: Mutex::new(None),
        }
    }

    /// What is known of a key, and what it is good for.
    pub(super) fn get(&self, key: &ObjectKey, now: Instant) -> Option<(Entry, Use)> {
        let entry = self.entries.get(key)?;
        let good_for = entry.good_for(now, *lock(&self.distrusted_at));
        (good_for != Use::Never).then_some((entry, good_for))
    }

    /// To be taken before an answer is asked for.
    pub(super) fn ticket(&self, key: &ObjectKey) -> Ticket {
        Ticket(*self.epoch(key))
    }

    /// Whether the key was not forgotten since.
    pub(super) fn is_valid(&self, key: &ObjectKey, ticket: Ticket) -> bool {
        *self.epoch(key) == ticket.0
    }

    /// Takes an answer in, if the key was not forgotten since its ticket; then `then` is called before it can be.
    pub(super) fn put(&self, key: &ObjectKey, ticket: Ticket, entry: Entry, then: impl FnOnce()) {
        let epoch = self.epoch(key);
        if *epoch == ticket.0 {
            self.entries.insert(key.clone(), entry);
            then();
        }
    }

    /// Drops what is known of a key, and whatever is on its way.
    pub(super) fn forget(&self, key: &ObjectKey) {
        let mut epoch = self.epoch(key);
        *epoch = epoch.wrapping_add(1);
        self.entries.remove(key);
    }

    /// From now on nothing that was asked for before `now` is fresh. It stays, for where the store cannot be asked.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))] // Only what is shared can be changed unheard.
    pub(super) fn distrust(&self, now: Instant) {
        *lock(&self.distrusted_at) = Some(now);
    }

    fn epoch(&self, key: &ObjectKey) -> MutexGuard<'_, u64> {
        // The remainder is below the number of stripes, whatever the width of usize.
        #[allow(clippy::cast_possible_truncation)]
        let stripe = self.hasher.hash_one(key) as usize % STRIPES;
        lock(&self.epochs[stripe])
    }
}

/// A value that is changed in one step is whole after a panic too.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A moment so long after another; the other itself where the clock has no such moment.
pub(super) fn after(at: Instant, span: Duration) -> Instant {
    at.checked_add(span).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(name).unwrap()
    }

    fn found(name: &str) -> Answer {
        use crate::object::{ETag, ObjectId, ObjectMeta};
        Answer::Found(ObjectMeta {
            id: ObjectId { key: key(name), etag: ETag::from_store("a").unwrap() },
            size: 1,
            last_modified: std::time::UNIX_EPOCH,
            content_type: None,
            cache_control: None,
        })
    }

    /// Fresh for 10 seconds, usable for 100.
    fn entry(answer: Answer, asked_at: Instant) -> Entry {
        let (fresh_until, usable_until) = (asked_at + 10 * SECOND, asked_at + 100 * SECOND);
        Entry { answer, asked_at, fresh_until, usable_until, failures: 0, retry_at: None, kept_at: None }
    }

    /// What an entry is good for so many seconds after it was asked for, where all was distrusted so many seconds after.
    #[track_caller]
    fn check(entry: &Entry, after: u32, distrusted_after: Option<u32>, want: Use) {
        let at = |secs: u32| entry.asked_at + secs * SECOND;
        assert_eq!(entry.good_for(at(after), distrusted_after.map(at)), want);
    }

    #[test]
    fn what_an_entry_is_good_for() {
        let start = Instant::now();
        let good = entry(found("a"), start);
        for (after, want) in [(0, Use::Now), (9, Use::Now), (10, Use::InNeed), (99, Use::InNeed), (100, Use::Never)] {
            check(&good, after, None, want);
        }
        check(&good, 1, Some(0), Use::Now);
        check(&good, 1, Some(1), Use::InNeed);
        check(&good, 1, Some(5), Use::InNeed);

        let missing = entry(Answer::Missing, start);
        for (after, want) in [(9, Use::Now), (10, Use::Never)] {
            check(&missing, after, None, want);
        }

        // The store was asked in vain, after 20 seconds and again after 21.
        let once = good.after_failure(start + 20 * SECOND);
        for (after, want) in [(20, Use::Now), (21, Use::InNeed)] {
            check(&once, after, None, want);
        }
        let twice = once.after_failure(start + 21 * SECOND);
        for (after, want) in [(21, Use::Now), (22, Use::Now), (23, Use::InNeed)] {
            check(&twice, after, None, want);
            check(&twice, after, Some(15), want);
        }
        let late = twice.after_failure(start + 98 * SECOND);
        for (after, want) in [(99, Use::Now), (100, Use::Never)] {
            check(&late, after, None, want);
        }
    }

    #[test]
    fn an_answer_that_was_on_its_way_when_its_key_was_forgotten_is_not_taken() {
        let (memory, now) = (Memory::new(), Instant::now());
        let old = memory.ticket(&key("a"));
        memory.forget(&key("a"));
        assert!(!memory.is_valid(&key("a"), old));
        let mut taken = 0;
        memory.put(&key("a"), old, entry(found("a"), now), || taken += 1);
        assert!(memory.get(&key("a"), now).is_none());
        let new = memory.ticket(&key("a"));
        memory.put(&key("a"), new, entry(found("a"), now), || taken += 1);
        assert_eq!(memory.get(&key("a"), now).unwrap().1, Use::Now);
        assert_eq!(taken, 1);
        memory.forget(&key("a"));
        assert!(memory.get(&key("a"), now).is_none());
    }

    #[test]
    fn distrust_leaves_what_is_asked_later_alone() {
        let (memory, now) = (Memory::new(), Instant::now());
        for (name, asked_at) in [("old", now), ("new", now + 2 * SECOND)] {
            let ticket = memory.ticket(&key(name));
            memory.put(&key(name), ticket, entry(found(name), asked_at), || {});
        }
        memory.distrust(now + SECOND);
        assert_eq!(memory.get(&key("old"), now + 3 * SECOND).unwrap().1, Use::InNeed);
        assert_eq!(memory.get(&key("new"), now + 3 * SECOND).unwrap().1, Use::Now);
    }

    #[test]
    fn entries_are_bounded() {
        let (memory, now) = (Memory::new(), Instant::now());
        for number in 0..50_000 {
            let name = format!("{number:0>100}");
            let ticket = memory.ticket(&key(&name));
            memory.put(&key(&name), ticket, entry(found(&name), now), || {});
        }
        assert!(memory.entries.weight() <= WEIGHT_MAX);
        let count = memory.entries.len();
        assert!((5_000..=12_000).contains(&count), "{count}");
    }
}
