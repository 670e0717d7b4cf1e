//! What this node has of its own: memory and kept records, dropped together.
//!
//! In scope: that the two agree. Not in scope: what is shared with other nodes (`shared`), and who asks the store.

use std::time::{Duration, Instant};

use super::clock::Now;
use super::kept::Kept;
use super::memory::{Entry, Memory, Ticket, after};
use super::record::{Answer, Record};
use crate::object::ObjectKey;

/// How old metadata may be that is used because the store cannot be asked.
pub(super) const USABLE_MAX: Duration = Duration::from_hours(24);
/// After this long a record is written anew though it says the same, so that it does not grow too old while it is true.
const KEPT_AGE_MAX: Duration = Duration::from_hours(1);

/// Memory, the folder of records where there is one, and the namespace, a digest, that both belong to.
pub(super) struct Local {
    pub(super) namespace: String,
    pub(super) memory: Memory,
    pub(super) kept: Option<Kept>,
}

impl Local {
    /// Drops what is known of an object, and whatever is on its way.
    pub(super) fn forget(&self, key: &ObjectKey) {
        self.memory.forget(key);
        if let Some(kept) = &self.kept {
            kept.remove(&self.namespace, key);
        }
    }

    /// Writes, or removes, the record of an answer of the store, where that is needed. Gives when it was written.
    pub(super) fn keep(
        &self,
        key: &ObjectKey,
        ticket: Ticket,
        now: Now,
        answer: &Answer,
        bytes: Option<&[u8]>,
        held: Option<&Entry>,
    ) -> Option<Instant> {
        let kept = self.kept.as_ref()?;
        let (Answer::Found(_), Some(bytes)) = (answer, bytes) else {
            kept.remove(&self.namespace, key);
            return None;
        };
        let kept_at = held.filter(|held| held.answer == *answer).and_then(|held| held.kept_at);
        if let Some(at) = kept_at.filter(|at| now.at.saturating_duration_since(*at) < KEPT_AGE_MAX) {
            return Some(at);
        }
        kept.write(&self.namespace, key, bytes);
        // Whoever forgot the key in the meantime may have removed the record before it was there.
        if !self.memory.is_valid(key, ticket) {
            kept.remove(&self.namespace, key);
        }
        Some(now.at)
    }

    /// An entry that is not fresh, from the kept record of a key.
    pub(super) fn kept_entry(&self, key: &ObjectKey, now: Now) -> Option<Entry> {
        let Record { answer, checked_at } = self.kept.as_ref()?.read(&self.namespace, key)?;
        // A clock that was put back makes a record of the future, and one that was put far back shows nothing of its age.
        let age = match now.wall.duration_since(checked_at) {
            Ok(age) => age,
            Err(ahead) if ahead.duration() < USABLE_MAX => Duration::ZERO,
            Err(_) => return None,
        };
        let usable = USABLE_MAX.checked_sub(age).filter(|left| !left.is_zero() && answer != Answer::Missing)?;
        Some(Entry {
            answer,
            asked_at: now.at,
            fresh_until: now.at,
            usable_until: after(now.at, usable),
            failures: 0,
            retry_at: None,
            // Not known to be the present version: written anew once the store has answered.
            kept_at: None,
        })
    }
}
