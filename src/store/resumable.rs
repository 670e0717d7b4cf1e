//! Putting objects into a store in several goes, with anything in between: another connection, another process, a day.
//!
//! In scope: the contract of an upload that can be taken up again. Not in scope: how each store keeps what came, and how a client
//! speaks of it (`http/tus`, `serve/resumable`).
//!
//! All that is known of such an upload lies in the store, below [`RESERVED`](crate::object::RESERVED): whoever has the store can go
//! on with it.

mod record;

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, SystemTime};

pub(super) use record::{Parts, RECORD_LEN_MAX, Record};

use super::Upload;
use crate::error::Error;
use crate::object::ObjectKey;

/// The name of an upload: 32 hexadecimal digits in lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(Box<str>);

impl UploadId {
    /// How many characters it has.
    const LEN: usize = 32;

    /// A name that nobody has had or could tell beforehand.
    pub fn new() -> Self {
        // The keys of each state are random, and what the hash makes of nothing under such a key is as good as random.
        let half = || RandomState::new().hash_one(0_u8);
        Self(format!("{:016x}{:016x}", half(), half()).into())
    }

    /// Takes a name as a path spells it; `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == Self::LEN && text.bytes().all(is_digit)).then(|| Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for UploadId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An upload that is to be made in several goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewResumable {
    /// What it becomes. Its `size_max` is its length, exactly.
    pub upload: Upload,
    /// What its client says of it, kept as it is.
    pub metadata: String,
    /// When it ends, where nobody goes on with it.
    pub expires_at: SystemTime,
}

/// How far an upload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it becomes.
    pub key: ObjectKey,
    /// How many bytes it will have.
    pub len: u64,
    /// How many of them are kept: the next one to be sent.
    pub offset: u64,
    /// What its client said of it.
    pub metadata: String,
    /// When it ends, where nobody goes on with it.
    pub expires_at: SystemTime,
    /// Whether it is the object.
    pub finished: Finished,
}

/// Whether an upload became its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// Not yet.
    No,
    /// Just now, by this call: what was known of the key is no longer so.
    Now,
    /// Earlier.
    Before,
}

/// When bytes count that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// As they are kept, whatever follows.
    AtOnce,
    /// All of them when they are [kept](PieceSink::keep), for only then it is known that they are right; before that, none.
    Together,
}

/// Uploads that can be taken up again.
///
/// # Contract
/// 1. What was [kept](PieceSink::keep) outlasts this process.
/// 2. Two that write to one upload at a time, here or in other processes, are never mixed up: what counts of a byte's place is
///    what was sent for that place. One of them may be answered [`Locked`](crate::ErrorKind::Locked).
/// 3. An upload holds a bounded part of its object in memory.
/// 4. The object is seen when all of it is there, at once, on the condition of its [`Upload`] as it was when it was created.
/// 5. What ended is [`NotFound`](crate::ErrorKind::NotFound) or [`Gone`](crate::ErrorKind::Gone).
pub trait Resumable: Send + Sync {
    /// Makes a new upload. Nothing of it is there yet; it can be [taken up](Self::resume).
    ///
    /// # Errors
    /// As [`Store::begin`](super::Store::begin).
    fn create(&self, id: &UploadId, new: &NewResumable) -> Result<(), Error>;

    /// How far it is. One that has all its bytes and is not finished could not be: [take it up](Self::resume) to try again.
    ///
    /// # Errors
    /// As rule 5 says, and rule 6 of [`Store`](super::Store).
    fn look(&self, id: &UploadId) -> Result<Standing, Error>;

    /// Goes on with it, behind what is kept. It is then kept until `expires_at`, if not longer already.
    ///
    /// # Errors
    /// [`Locked`](crate::ErrorKind::Locked) where another process has it; and as [`look`](Self::look).
    fn resume(&self, id: &UploadId, counting: Counting, expires_at: SystemTime) -> Result<Box<dyn PieceSink + '_>, Error>;

    /// Ends it, and frees what it holds. An object that it became stays.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    fn remove(&self, id: &UploadId) -> Result<(), Error>;

    /// Ends all that have expired by now; whatever else is found of them that is older than `lifetime` goes too. Several processes
    /// may do this at a time.
    ///
    /// # Errors
    /// As rule 6 of [`Store`](super::Store) says.
    fn remove_expired(&self, now: SystemTime, lifetime: Duration) -> Result<(), Error>;
}

/// An upload that somebody goes on with. Dropped, it keeps what it had kept; what was written since may be lost.
pub trait PieceSink: Send {
    /// How far it is.
    fn standing(&self) -> Standing;

    /// Appends bytes, no more than are missing. Blocks while the store takes them. Where they [count at once](Counting::AtOnce),
    /// they are kept from time to time.
    ///
    /// # Errors
    /// As rule 6 of [`Store`](super::Store) says, and [`Locked`](crate::ErrorKind::Locked) where another process has it by now. What
    /// answered an error is only dropped.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error>;

    /// Keeps what was written.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn keep(&mut self) -> Result<(), Error>;

    /// Keeps what was written, and makes it the object where that is all.
    ///
    /// # Errors
    /// [`PreconditionFailed`](crate::ErrorKind::PreconditionFailed) and [`Conflict`](crate::ErrorKind::Conflict) as
    /// [`Sink::finish`](super::Sink::finish): it can never become the object then, and is removed. As [`write`](Self::write)
    /// else, and can be tried again.
    fn finish(self: Box<Self>) -> Result<Standing, Error>;
}

/// When an upload ends that is gone on with now: later than before, where that is worth the writing.
pub(super) fn extended(before: SystemTime, wanted: SystemTime) -> Option<SystemTime> {
    const WORTH: Duration = Duration::from_mins(10);

    let now = SystemTime::now();
    let left = before.duration_since(now).unwrap_or_default();
    let wanted_left = wanted.duration_since(now).unwrap_or_default();
    // A quarter of its time, or ten minutes of a long one.
    (wanted_left > left + (wanted_left / 4).min(WORTH)).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_uploads() {
        let (one, other) = (UploadId::new(), UploadId::new());
        assert_ne!(one, other);
        for id in [&one, &other] {
            assert_eq!(UploadId::parse(id.as_str()).as_ref(), Some(id));
        }
        let good = "0123456789abcdef0123456789abcdef";
        assert!(UploadId::parse(good).is_some());
        for bad in
            ["", "..", &good[1..], &format!("{good}0"), &good.to_uppercase(), &good.replace('a', "g"), &good.replace('a', "/")]
        {
            assert_eq!(UploadId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_gone_on_with_is_kept_longer_now_and_then() {
        let now = SystemTime::now();
        let hour = Duration::from_hours(1);
        for (left, wanted, is_worth) in [
            (24 * hour, 24 * hour, false),
            (23 * hour + Duration::from_mins(51), 24 * hour, false),
            (23 * hour + Duration::from_mins(49), 24 * hour, true),
            (hour, 24 * hour, true),
            (24 * hour, hour, false),
            (Duration::from_millis(1900), Duration::from_secs(2), false),
            (Duration::from_secs(1), Duration::from_secs(2), true),
        ] {
            let got = extended(now + left, now + wanted);
            assert_eq!(got, is_worth.then_some(now + wanted), "{left:?} {wanted:?}");
        }
        assert_eq!(extended(now - hour, now + hour), Some(now + hour));
    }
}
