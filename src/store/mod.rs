//! Where the bytes come from.
//!
//! In scope: the [`Store`] trait and its contract, which every store keeps and one suite of tests proves on all of them.
//! Not in scope: what a client is answered (`http`), and when and how much is read (`serve`).

mod adapted;
mod append;
pub(crate) mod blocks;
pub mod credentials;
mod directory;
mod meta;
mod resumable;
mod s3;
mod write;

use std::ops::Range;
use std::time::{Duration, SystemTime};

pub use adapted::{Adapted, Adaptor, Chunk};
pub use credentials::CredentialsConfig;
pub use directory::{Directory, Resolution};
pub use meta::{MetaConfig, Metadata, RedisUrl};
pub use resumable::{Counting, Finished, NewResumable, PieceSink, Resumable, Standing, UploadId};
pub use s3::{Addressing, BucketLook, Limits, S3, S3Config};
pub use write::{Condition, Sink, Upload};

use crate::error::Error;
use crate::object::{ETag, KEY_LEN_MAX, ObjectId, ObjectKey, ObjectMeta};

/// A source of objects. Its calls block; they are made on a pool of threads and must come back in bounded time.
///
/// # Contract
/// 1. [`head`](Store::head) answers [`NotFound`](crate::ErrorKind::NotFound) for what does not exist, and never for a store
///    that cannot be asked.
/// 2. [`open`](Store::open) yields bytes of the version named by the [`ObjectId`] and of no other. Where that version is gone,
///    it, or a read of what it opened, answers [`Changed`](crate::ErrorKind::Changed) (or `NotFound` where nothing is left).
/// 3. What is opened yields exactly the bytes of the range, in order: never one more, and fewer only with an error.
/// 4. Every reply is checked before a byte of it is used.
/// 5. [`list`](Store::list) is in ascending order of the keys' UTF-8 bytes, and a page that starts after the last key of
///    another continues it. Keys that no [`ObjectKey`] can spell are left out.
/// 6. A store that fails answers an error of the store's side; its detail, which is for the log, holds no secret.
pub trait Store: Send + Sync + 'static {
    /// The metadata of the object's present version.
    ///
    /// # Errors
    /// As rules 1 and 6 say.
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error>;

    /// Opens a span of this version: `range` in bytes, half-open, not empty, within the object's size.
    ///
    /// # Errors
    /// As rules 2 and 6 say.
    fn open(&self, id: &ObjectId, range: Range<u64>) -> Result<Box<dyn Span>, Error>;

    /// One page of what there is.
    ///
    /// # Errors
    /// As rule 6 says.
    fn list(&self, query: &ListQuery) -> Result<ListPage, Error>;

    /// A URL by which anybody can have the object from the store itself, for so long or less; `None` where there is none. The
    /// store is not asked, and the object need not exist.
    ///
    /// # Errors
    /// As rule 6 says, where there is nothing to sign with.
    fn presign(&self, key: &ObjectKey, lifetime: Duration) -> Result<Option<Presigned>, Error> {
        let _ = (key, lifetime);
        Ok(None)
    }

    /// Whether it can be asked at all, for those who decide whether viewers are sent here. Where a store says nothing else, one
    /// entry of its listing is asked for.
    ///
    /// # Errors
    /// As rule 6 says.
    fn ready(&self) -> Result<(), Error> {
        self.list(&ListQuery { limit: 1, ..ListQuery::default() }).map(drop)
    }

    /// Begins to write an object. See [`Sink`] for what is promised of it.
    ///
    /// # Errors
    /// [`NotConfigured`](crate::ErrorKind::NotConfigured) where this store is only read, as one that says nothing is;
    /// [`PreconditionFailed`](crate::ErrorKind::PreconditionFailed) where the condition does not hold already;
    /// [`Conflict`](crate::ErrorKind::Conflict) where the store cannot have such a key; and as rule 6 says.
    fn begin(&self, upload: &Upload) -> Result<Box<dyn Sink + '_>, Error> {
        let _ = upload;
        Err(write::read_only())
    }

    /// Removes an object, where there is one.
    ///
    /// # Errors
    /// [`NotConfigured`](crate::ErrorKind::NotConfigured) where this store is only read, as one that says nothing is; and as
    /// rule 6 says.
    fn delete(&self, key: &ObjectKey) -> Result<(), Error> {
        let _ = key;
        Err(write::read_only())
    }

    /// Removes what uploads left behind that ended without anybody to end them. Called from time to time; it may do nothing.
    ///
    /// # Errors
    /// As rule 6 says.
    fn sweep(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Uploads that can be taken up again, where this store has them; one that says nothing has not.
    fn resumable(&self) -> Option<&dyn Resumable> {
        None
    }

    /// Whether it is worth keeping what was read. [`Locality::Far`] where a store says nothing.
    fn locality(&self) -> Locality {
        Locality::Far
    }

    /// Tells this store from others that share a cache with it: where it is, without anything secret. Empty where a store says
    /// nothing, and then all such stores are taken for one.
    fn identity(&self) -> String {
        String::new()
    }
}

/// A URL that is signed: a secret, until it ends.
#[derive(Clone, PartialEq, Eq)]
pub struct Presigned {
    /// The URL.
    pub url: String,
    /// How long it is good: as long as was asked for, or as what it was signed with.
    pub lifetime: Duration,
}

/// How far away the bytes of a store are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locality {
    /// As quick to ask as a cache would be: nothing of it is kept.
    Near,
    /// Behind a network: what was read is worth keeping.
    Far,
}

/// An open read of a part of one version of an object. Dropping it ends the read at once, whatever is left of it.
pub trait Span: Send {
    /// Appends the next bytes to `buf`: at least one and at most `len_max`, as many as come without waiting for more than one
    /// reply of the store. 0 is answered at the end of the span only.
    ///
    /// # Errors
    /// As rules 2, 3 and 6 of [`Store`] say. A span that answered an error is not read again.
    fn read(&mut self, buf: &mut Vec<u8>, len_max: usize) -> Result<usize, Error>;
}

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Only keys that start so.
    pub prefix: String,
    /// Only keys behind this one, in byte order; it need not exist.
    pub after: Option<String>,
    /// At most so many, 1 to 1000.
    pub limit: usize,
}

impl ListQuery {
    /// Whether any key can start with the prefix: no key has a control character, or a segment that is empty or made of dots.
    /// Stores differ in what they answer to such a prefix, so none is asked.
    fn can_match(&self) -> bool {
        let folders = self.prefix.rsplit_once('/').map(|(folders, _)| folders);
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
        self.prefix.len() <= KEY_LEN_MAX
            && !self.prefix.chars().any(char::is_control)
            && folders.into_iter().flat_map(|folders| folders.split('/')).all(is_segment)
    }
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// The objects, in order.
    pub entries: Vec<ListEntry>,
    /// The `after` of the next page; `None` where this was the last one.
    pub next: Option<String>,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// Its name.
    pub key: ObjectKey,
    /// Its version.
    pub etag: ETag,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written.
    pub last_modified: SystemTime,
}
