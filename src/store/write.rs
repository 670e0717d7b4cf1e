//! Putting objects into a store.
//!
//! In scope: what is put where and on what condition, and the contract of what is being written. Not in scope: how each store does
//! it.

use crate::error::{Error, ErrorKind};
use crate::object::{ETag, ObjectKey, ObjectMeta};

/// An object that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its name.
    pub key: ObjectKey,
    /// Its media type, where one is stored; a store that stores none answers by the extension.
    pub content_type: Option<String>,
    /// How many bytes it will have at most; exactly, where that is known. A store plans by it, and refuses nothing by it.
    pub size_max: u64,
    /// On what condition it may be written.
    pub condition: Condition,
}

/// What must hold of the key for an object to be written under it (RFC 9110 section 13.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing: what is there is replaced.
    #[default]
    None,
    /// There is no object: `If-None-Match: *`.
    Absent,
    /// There is an object: `If-Match: *`.
    Present,
    /// The object is of one of these versions: `If-Match: "a", "b"`.
    Versions(Vec<ETag>),
}

/// What may be replaced in the end, as it was found when the upload began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pin {
    /// Whatever is there by then.
    Any,
    /// Nothing: there must be no object.
    Nothing,
    /// This version, and no other.
    Version(ETag),
}

impl Condition {
    /// What may be replaced, where this version is there now, or nothing.
    ///
    /// # Errors
    /// [`ErrorKind::PreconditionFailed`] where the condition does not hold.
    pub(super) fn pin(&self, key: &ObjectKey, found: Option<&ETag>) -> Result<Pin, Error> {
        match (self, found) {
            (Self::None, _) => Ok(Pin::Any),
            (Self::Absent, None) => Ok(Pin::Nothing),
            (Self::Present, Some(found)) => Ok(Pin::Version(found.clone())),
            (Self::Versions(wanted), Some(found)) if wanted.contains(found) => Ok(Pin::Version(found.clone())),
            (_, found) => Err(not_so(key, found)),
        }
    }
}

impl Pin {
    /// Whether what is there by now may be replaced.
    ///
    /// # Errors
    /// [`ErrorKind::PreconditionFailed`] where it may not.
    pub(super) fn check(&self, key: &ObjectKey, found: Option<&ETag>) -> Result<(), Error> {
        match (self, found) {
            (Self::Any, _) | (Self::Nothing, None) => Ok(()),
            (Self::Version(wanted), Some(found)) if wanted == found => Ok(()),
            (_, found) => Err(not_so(key, found)),
        }
    }
}

fn not_so(key: &ObjectKey, found: Option<&ETag>) -> Error {
    let there = found.map_or_else(|| "there is none".to_owned(), |found| format!("there is the version {found}"));
    Error::new(ErrorKind::PreconditionFailed, format!("the object {key:?} is not as the request wants it to be: {there}"))
}

/// An object that is being written.
///
/// # Contract
/// 1. Nothing of it can be seen before [`finish`](Sink::finish) has answered, and then all of it.
/// 2. Dropped before that it leaves nothing behind: no object, and nothing that costs room. A store that cannot be asked at that
///    moment is asked again later.
/// 3. It holds a bounded part of the object in memory, whatever is written.
/// 4. The condition of its [`Upload`] is checked when it begins, and again in the moment in which it becomes visible. A version
///    that fitted when it began is the only one that is replaced.
pub trait Sink: Send {
    /// Appends bytes. Blocks while the store takes them.
    ///
    /// # Errors
    /// As rule 6 of [`Store`](super::Store) says. A sink that answered an error is only dropped.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error>;

    /// Makes what was written the object, and says what the store says of it then.
    ///
    /// # Errors
    /// [`ErrorKind::PreconditionFailed`] where the condition does not hold, [`ErrorKind::Conflict`] where what is there cannot
    /// be replaced, and as rule 6 of [`Store`](super::Store) says.
    fn finish(self: Box<Self>) -> Result<ObjectMeta, Error>;
}

/// Whether this program writes at all. Decided when it is built, so that nothing of what writes is in one that does not.
///
/// # Errors
/// [`ErrorKind::NotConfigured`] in a program that was built without its feature `uploads`.
pub(super) fn built_in() -> Result<(), Error> {
    if cfg!(feature = "uploads") { Ok(()) } else { Err(read_only()) }
}

/// The answer of a store that is only read.
pub(super) fn read_only() -> Error {
    Error::new(ErrorKind::NotConfigured, "this store cannot be written to")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        let key = ObjectKey::new("film.mp4").unwrap();
        let tag = |text: &str| ETag::from_store(text).unwrap();
        let (a, b) = (tag("a"), tag("b"));
        let check = |condition: &Condition, want: [Option<Pin>; 3]| {
            for (found, want) in [None, Some(&a), Some(&b)].into_iter().zip(want) {
                let got = condition.pin(&key, found).map_err(|error| error.kind());
                assert_eq!(got, want.ok_or(ErrorKind::PreconditionFailed), "{condition:?} of {found:?}");
            }
        };
        let version = |of: &ETag| Some(Pin::Version(of.clone()));
        check(&Condition::None, [Some(Pin::Any), Some(Pin::Any), Some(Pin::Any)]);
        check(&Condition::Absent, [Some(Pin::Nothing), None, None]);
        check(&Condition::Present, [None, version(&a), version(&b)]);
        check(&Condition::Versions(vec![a.clone()]), [None, version(&a), None]);
        check(&Condition::Versions(vec![b.clone(), a.clone()]), [None, version(&a), version(&b)]);
        check(&Condition::Versions(vec![]), [None, None, None]);
        for (pin, want) in [
            (Pin::Any, [true, true, true]),
            (Pin::Nothing, [true, false, false]),
            (Pin::Version(a.clone()), [false, true, false]),
        ] {
            let got = [None, Some(&a), Some(&b)].map(|found| pin.check(&key, found).is_ok());
            assert_eq!(got, want, "{pin:?}");
        }
    }
}
