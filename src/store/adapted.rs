//! A store whose bytes pass through an adaptor.
//!
//! In scope: each chunk that is read of another store is shown to a function, which may look at it, change its bytes, or take its
//! time. Not in scope: what the function does.

use std::ops::Range;
use std::sync::Arc;

use super::{ListPage, ListQuery, Locality, Span, Store};
use crate::error::{Error, ErrorKind};
use crate::object::{ETag, ObjectId, ObjectKey, ObjectMeta};

/// A chunk on its way.
#[derive(Debug)]
pub struct Chunk<'c> {
    /// Of which version of which object it is.
    pub id: &'c ObjectId,
    /// Where it begins in the object, in bytes.
    pub at: u64,
    /// Its bytes, which may be changed. How many there are may not.
    pub bytes: &'c mut [u8],
}

/// What is done with each chunk. It is called on threads of the pool, by several at a time, with chunks of any length and in any
/// order: what it does to a byte may depend on where the byte lies, and not on what was seen before.
///
/// An error ends the answer, as one of the store would.
pub trait Adaptor: Send + Sync + 'static {
    /// Looks at a chunk, or changes it.
    ///
    /// # Errors
    /// Whatever the adaptor finds wrong.
    fn adapt(&self, chunk: Chunk<'_>) -> Result<(), Error>;
}

impl<F: Fn(Chunk<'_>) -> Result<(), Error> + Send + Sync + 'static> Adaptor for F {
    fn adapt(&self, chunk: Chunk<'_>) -> Result<(), Error> {
        self(chunk)
    }
}

/// Another store, whose bytes pass through an [`Adaptor`]. The cache keeps what came out of it, so the adaptor sees each read of a
/// store behind a network once, and not each viewer of what was read.
///
/// It is for reading: uploads and deletes answer 404 `not_configured`, for nothing says how bytes come to be what the adaptor reads.
/// Links lead to this server and never to the other store; those of a CloudFront distribution lead to whatever its origin is, which must
/// then be this server.
///
/// ```
/// use std::sync::Arc;
/// use vidgate::store::{Adapted, Chunk, Directory};
/// use vidgate::{Config, Server};
///
/// # fn main() -> Result<(), vidgate::Error> {
/// let videos = tempfile::tempdir().unwrap();
/// let upper = |chunk: Chunk<'_>| {
///     chunk.bytes.make_ascii_uppercase();
///     Ok(())
/// };
/// let store = Adapted::new("upper", Arc::new(Directory::open(videos.path())?), upper)?;
/// let server = Server::start_with_store(&Config { port: 0, ..Config::default() }, Arc::new(store))?;
/// # drop(server);
/// # Ok(())
/// # }
/// ```
pub struct Adapted {
    name: String,
    store: Arc<dyn Store>,
    adaptor: Arc<dyn Adaptor>,
}

impl Adapted {
    /// A store with these bytes. `name` stands for what the adaptor does: it becomes part of each entity tag, so that what a player or
    /// a cache has of the plain object, or of what another adaptor made of it, is not taken for this. Change it when the adaptor
    /// changes.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where the name is not made of 1 to 32 ASCII letters and digits.
    pub fn new(name: &str, store: Arc<dyn Store>, adaptor: impl Adaptor) -> Result<Self, Error> {
        if name.is_empty() || name.len() > 32 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Error::new(ErrorKind::Internal, "an adaptor's name is made of 1 to 32 ASCII letters and digits"));
        }
        Ok(Self { name: name.to_owned(), store, adaptor: Arc::new(adaptor) })
    }

    /// The tag of what comes out, for that of what goes in.
    fn tag(&self, plain: &ETag) -> Result<ETag, Error> {
        ETag::from_store(&format!("\"{}~{}\"", plain.as_str().trim_matches('"'), self.name))
    }

    /// The other way; `None` where the tag is none of ours, and so of no version that there is.
    fn plain(&self, tag: &ETag) -> Option<ETag> {
        let plain = tag.as_str().trim_matches('"').strip_suffix(&self.name)?.strip_suffix('~')?;
        ETag::from_store(&format!("\"{plain}\"")).ok()
    }
}

impl Store for Adapted {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        let mut meta = self.store.head(key)?;
        meta.id.etag = self.tag(&meta.id.etag)?;
        Ok(meta)
    }

    fn open(&self, id: &ObjectId, range: Range<u64>) -> Result<Box<dyn Span>, Error> {
        let Some(etag) = self.plain(&id.etag) else {
            return Err(Error::new(ErrorKind::Changed, format!("{} is no version of {:?}", id.etag, id.key)));
        };
        let at = range.start;
        let span = self.store.open(&ObjectId { key: id.key.clone(), etag }, range)?;
        Ok(Box::new(AdaptedSpan { span, id: id.clone(), at, adaptor: Arc::clone(&self.adaptor) }))
    }

    fn list(&self, query: &ListQuery) -> Result<ListPage, Error> {
        let mut page = self.store.list(query)?;
        for entry in &mut page.entries {
            entry.etag = self.tag(&entry.etag)?;
        }
        Ok(page)
    }

    // No `presign`: such a URL would lead to the plain bytes.

    fn ready(&self) -> Result<(), Error> {
        self.store.ready()
    }

    fn locality(&self) -> Locality {
        self.store.locality()
    }

    fn identity(&self) -> String {
        format!("{}~{}", self.store.identity(), self.name)
    }
}

struct AdaptedSpan {
    span: Box<dyn Span>,
    id: ObjectId,
    at: u64,
    adaptor: Arc<dyn Adaptor>,
}

impl Span for AdaptedSpan {
    fn read(&mut self, buf: &mut Vec<u8>, len_max: usize) -> Result<usize, Error> {
        let before = buf.len();
        let len = self.span.read(buf, len_max)?;
        let Some(bytes) = buf.get_mut(before..).filter(|bytes| !bytes.is_empty()) else { return Ok(len) };
        self.adaptor.adapt(Chunk { id: &self.id, at: self.at, bytes })?;
        self.at += len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Directory;

    fn xor() -> impl Adaptor {
        |chunk: Chunk<'_>| {
            for (byte, at) in chunk.bytes.iter_mut().zip(chunk.at..) {
                *byte ^= u8::try_from(at % 251).unwrap();
            }
            Ok(())
        }
    }

    fn adapted(adaptor: impl Adaptor) -> (Adapted, tempfile::TempDir) {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("film.mp4"), [0; 2000]).unwrap();
        (Adapted::new("xor", Arc::new(Directory::open(root.path()).unwrap()), adaptor).unwrap(), root)
    }

    fn read(store: &dyn Store, range: Range<u64>, len_max: usize) -> Result<Vec<u8>, Error> {
        let id = store.head(&ObjectKey::new("film.mp4").unwrap())?.id;
        let mut span = store.open(&id, range)?;
        let mut bytes = Vec::new();
        while span.read(&mut bytes, len_max)? > 0 {}
        Ok(bytes)
    }

    #[test]
    fn a_byte_comes_out_the_same_whatever_is_read_around_it() {
        let (store, _root) = adapted(xor());
        let want: Vec<u8> = (0..2000_u64).map(|at| u8::try_from(at % 251).unwrap()).collect();
        for len_max in [1, 7, 1000, 5000] {
            for range in [0..2000, 0..1, 1999..2000, 250..700] {
                let (start, end) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
                assert_eq!(read(&store, range, len_max).unwrap(), want[start..end]);
            }
        }
    }

    #[test]
    fn its_versions_are_not_those_of_the_plain_store() {
        let (store, _root) = adapted(xor());
        let key = ObjectKey::new("film.mp4").unwrap();
        let plain = store.store.head(&key).unwrap().id;
        let ours = store.head(&key).unwrap().id;
        assert_eq!(ours.etag.as_str(), format!("{}~xor\"", plain.etag.as_str().trim_end_matches('"')));
        assert_eq!(store.open(&plain, 0..1).err().unwrap().kind(), ErrorKind::Changed);
        assert_eq!(store.list(&ListQuery { limit: 1, ..ListQuery::default() }).unwrap().entries[0].etag, ours.etag);
        assert_ne!(store.identity(), store.store.identity());
    }

    #[test]
    fn its_errors_are_those_of_the_read() {
        let (store, _root) = adapted(|_: Chunk<'_>| Err(ErrorKind::Internal.into()));
        assert_eq!(read(&store, 0..1, 1).unwrap_err().kind(), ErrorKind::Internal);
        for bad in ["", "a b", "a~", "é", &"x".repeat(33)] {
            assert!(Adapted::new(bad, Arc::clone(&store.store), xor()).is_err(), "{bad:?}");
        }
    }
}
