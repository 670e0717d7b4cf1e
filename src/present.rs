//! The request that a thread works on at the moment.
//!
//! In scope: its id, which each line that is logged meanwhile carries; what it costs: bytes by how the cache had them, and questions
//! to the store; and the object that it turns out to be about. All are noted deep inside, where nobody knows for whom. Not in scope:
//! what a request is.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::thread;

use crate::object::ObjectKey;

/// The id of a request; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// An id that is fit for a field and a line of a log: see [`crate::http::request_id`].
    pub(crate) fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the cache had bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheOutcome {
    /// They were there.
    Hit,
    /// Another request was reading them.
    Joined,
    /// They were read from the store.
    Miss,
}

impl CacheOutcome {
    /// Its label.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Joined => "joined",
            Self::Miss => "miss",
        }
    }
}

/// What a request cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    hit_len: u64,
    joined_len: u64,
    missed_len: u64,
    /// How often the store was asked.
    pub(crate) tries: u32,
}

impl Tally {
    /// Both together.
    pub(crate) fn add(&mut self, more: Self) {
        self.hit_len += more.hit_len;
        self.joined_len += more.joined_len;
        self.missed_len += more.missed_len;
        self.tries += more.tries;
    }

    /// How the cache had the bytes, in a word; `None` where it was not asked.
    pub(crate) fn cache(&self) -> Option<&'static str> {
        match (self.hit_len > 0, self.joined_len > 0, self.missed_len > 0) {
            (false, false, false) => None,
            (true, false, false) => Some(CacheOutcome::Hit.name()),
            (false, true, false) => Some(CacheOutcome::Joined.name()),
            (false, false, true) => Some(CacheOutcome::Miss.name()),
            _ => Some("mixed"),
        }
    }
}

/// The request, and what was noted of it.
struct Present {
    id: RequestId,
    noted: Noted,
}

/// What was noted of a request while a thread worked on it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) tally: Tally,
    /// The object, where only the work told which.
    pub(crate) object: Option<ObjectKey>,
}

thread_local! {
    static PRESENT: RefCell<Option<Present>> = const { RefCell::new(None) };
}

/// While it lives, this thread works on one request.
pub(crate) struct Scope(());

impl Scope {
    /// From now on it is this one.
    pub(crate) fn enter(id: &RequestId) -> Self {
        PRESENT.with_borrow_mut(|present| *present = Some(Present { id: id.clone(), noted: Noted::default() }));
        Self(())
    }

    /// No more, and this was noted.
    pub(crate) fn leave(self) -> Noted {
        let present = PRESENT.take();
        drop(self);
        present.map(|present| present.noted).unwrap_or_default()
    }
}

impl Drop for Scope {
    /// A panic leaves it to whoever catches that, who has something to say of the same request: see [`end`].
    fn drop(&mut self) {
        if !thread::panicking() {
            end();
        }
    }
}

/// This thread works on none any more. Whoever catches a panic must call it: the next piece of work is another's.
pub(crate) fn end() {
    PRESENT.take();
}

/// The id of the request that this thread works on. For a logger that is not ours: see [`crate::logging`].
pub fn request_id() -> Option<RequestId> {
    PRESENT.with_borrow(|present| present.as_ref().map(|present| present.id.clone()))
}

/// The cache had so many bytes in this way.
pub(crate) fn note_cache(outcome: CacheOutcome, len: u64) {
    note(|noted| match outcome {
        CacheOutcome::Hit => noted.tally.hit_len += len,
        CacheOutcome::Joined => noted.tally.joined_len += len,
        CacheOutcome::Miss => noted.tally.missed_len += len,
    });
}

/// The store was asked once.
pub(crate) fn note_try() {
    note(|noted| noted.tally.tries += 1);
}

/// The request is about this object, which its address does not say.
pub(crate) fn note_object(key: &ObjectKey) {
    note(|noted| noted.object = Some(key.clone()));
}

fn note(change: impl FnOnce(&mut Noted)) {
    PRESENT.with_borrow_mut(|present| {
        if let Some(present) = present {
            change(&mut present.noted);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_goes_to_the_present_request_and_to_nobody_else() {
        note_try();
        assert_eq!(request_id(), None);
        let scope = Scope::enter(&RequestId::new("a"));
        assert_eq!(request_id().unwrap().as_str(), "a");
        note_try();
        note_cache(CacheOutcome::Miss, 3);
        std::thread::spawn(|| assert_eq!(request_id(), None)).join().unwrap();
        let key = ObjectKey::new("film.mp4").unwrap();
        note_object(&key);
        let Noted { tally, object } = scope.leave();
        assert_eq!((tally.tries, tally.cache(), object), (1, Some("miss"), Some(key)));
        assert_eq!(request_id(), None);
        assert_eq!(Scope::enter(&RequestId::new("b")).leave(), Noted::default());
    }

    #[test]
    fn a_panic_leaves_it_to_whoever_catches_that() {
        let panicked = std::panic::catch_unwind(|| {
            let _scope = Scope::enter(&RequestId::new("a"));
            panic!("this panic is part of a test");
        });
        assert!(panicked.is_err());
        assert_eq!(request_id().unwrap().as_str(), "a");
        end();
        assert_eq!(request_id(), None);
    }

    #[test]
    fn how_the_cache_had_it_in_a_word() {
        let tally = |lens: [u64; 3]| Tally { hit_len: lens[0], joined_len: lens[1], missed_len: lens[2], tries: 0 }.cache();
        assert_eq!(tally([0, 0, 0]), None);
        assert_eq!(tally([1, 0, 0]), Some("hit"));
        assert_eq!(tally([0, 1, 0]), Some("joined"));
        assert_eq!(tally([0, 0, 1]), Some("miss"));
        assert_eq!(tally([1, 0, 1]), Some("mixed"));
    }
}
