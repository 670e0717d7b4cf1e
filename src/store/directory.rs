//! A directory of files as a store.
//!
//! In scope: the contract of [`Store`] on top of a file system. Not in scope: staying below the root (`beneath`), the order of a
//! listing (`listing`), and writing (`upload`, `resumable`).

mod beneath;
mod listing;
mod resumable;
mod upload;

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use rustix::buffer::Buffer;
use rustix::fs::{Stat, fstat};
use rustix::io::pread;

pub use beneath::Resolution;
use beneath::Root;

use super::append::{self, Reads};
use super::{ListEntry, ListPage, ListQuery, Locality, Resumable, Sink, Span, Store, Upload, write};
use crate::error::{Error, ErrorKind};
use crate::object::{ETag, ObjectId, ObjectKey, ObjectMeta};

/// A store whose objects are the regular files below a directory, which it never leaves.
///
/// A key is a path below the root. A version is told by inode, size and modification time in nanoseconds: a file that is
/// written in place at the same length, twice within the resolution of the file system's clock, looks the same. Put new
/// versions in place by renaming.
///
/// Entries whose name starts with a dot are not listed, nor is anything below a directory of such a name; they can be read by
/// their key. A symbolic link to a file inside the root is an object like any other; symbolic links to directories can be read
/// through, but are not listed, because they may form a circle. With [`Resolution::Walk`] no symbolic link exists.
///
/// What is being uploaded lies in a directory of its own below the root, [`RESERVED`](crate::object::RESERVED), and is renamed when
/// it is complete; so the whole root must be one file system where it is written to. Media types are not stored.
#[derive(Debug)]
pub struct Directory {
    root: Root,
    /// Held while an upload is put in its place.
    publishing: Mutex<()>,
}

impl Directory {
    /// Opens the directory at `root`, once: if it is renamed later, it stays the store.
    ///
    /// # Errors
    /// [`ErrorKind::UpstreamForbidden`] where it may not be opened, [`ErrorKind::UpstreamUnavailable`] where it cannot be opened
    /// or is no directory.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(root, Resolution::Kernel)
    }

    /// As [`Directory::open`], with the way chosen in which paths are resolved. [`Resolution::Kernel`] falls back to
    /// [`Resolution::Walk`] where the kernel lacks it.
    ///
    /// # Errors
    /// As [`Directory::open`].
    pub fn open_with(root: impl AsRef<Path>, resolution: Resolution) -> Result<Self, Error> {
        let path = root.as_ref();
        let root = Root::open(path, resolution).map_err(|error| {
            let (kind, why) = match error.kind() {
                io::ErrorKind::PermissionDenied => (ErrorKind::UpstreamForbidden, "may not be opened"),
                io::ErrorKind::NotADirectory => (ErrorKind::UpstreamUnavailable, "is not a directory"),
                io::ErrorKind::NotFound => (ErrorKind::UpstreamUnavailable, "does not exist"),
                _ => (ErrorKind::UpstreamUnavailable, "cannot be opened"),
            };
            Error::new(kind, format!("the directory {} {why}", path.display())).with_source(error)
        })?;
        Ok(Self { root, publishing: Mutex::default() })
    }

    /// How paths are resolved.
    pub fn resolution(&self) -> Resolution {
        self.root.resolution()
    }

    fn open_file(&self, key: &ObjectKey) -> Result<(OwnedFd, Stat), Error> {
        self.root.open_file(key.as_str()).map_err(|errno| {
            let error = beneath::explain(errno, "open", key.as_str());
            if error.kind() == ErrorKind::NotFound && self.root.is_gone() { gone() } else { error }
        })
    }
}

impl Store for Directory {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        let (_, stat) = self.open_file(key)?;
        Ok(ObjectMeta {
            id: ObjectId { key: key.clone(), etag: etag_of(&stat)? },
            size: size_of(&stat),
            last_modified: last_modified_of(&stat),
            content_type: None,
            cache_control: None,
        })
    }

    fn open(&self, id: &ObjectId, range: Range<u64>) -> Result<Box<dyn Span>, Error> {
        let (file, stat) = self.open_file(&id.key)?;
        if etag_of(&stat)? != id.etag {
            return Err(changed(id, "before it was opened"));
        }
        let size = size_of(&stat);
        if range.is_empty() || range.end > size {
            let detail = format!("the range {range:?} is empty or outside of {:?}, which has {size} bytes", id.key);
            return Err(Error::new(ErrorKind::Internal, detail));
        }
        Ok(Box::new(FileSpan { file, id: id.clone(), range }))
    }

    fn list(&self, query: &ListQuery) -> Result<ListPage, Error> {
        let mut found = listing::find(&self.root, query, query.limit.saturating_add(1))?;
        if found.is_empty() && self.root.is_gone() {
            return Err(gone());
        }
        let has_more = found.len() > query.limit;
        found.truncate(query.limit);
        let entry = |(key, stat): listing::Found| {
            Ok(ListEntry { key, etag: etag_of(&stat)?, size: size_of(&stat), last_modified: last_modified_of(&stat) })
        };
        let entries = found.into_iter().map(entry).collect::<Result<Vec<_>, Error>>()?;
        let next = entries.last().filter(|_| has_more).map(|last| last.key.as_str().to_owned());
        Ok(ListPage { entries, next })
    }

    /// Listing it would read all names of its first folder.
    fn ready(&self) -> Result<(), Error> {
        if self.root.is_gone() { Err(gone()) } else { Ok(()) }
    }

    fn begin(&self, upload: &Upload) -> Result<Box<dyn Sink + '_>, Error> {
        write::built_in()?;
        Ok(Box::new(upload::FileSink::begin(self, upload)?))
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), Error> {
        write::built_in()?;
        upload::delete(&self.root, key)
    }

    fn sweep(&self) -> Result<(), Error> {
        if write::built_in().is_err() {
            return Ok(());
        }
        upload::sweep(&self.root)
    }

    fn resumable(&self) -> Option<&dyn Resumable> {
        if write::built_in().is_ok() { Some(self) } else { None }
    }

    /// The kernel keeps files in memory already, and a look at one is no dearer than a look into a cache.
    fn locality(&self) -> Locality {
        Locality::Near
    }
}

/// An open file, and what is still to be read of it.
struct FileSpan {
    file: OwnedFd,
    id: ObjectId,
    range: Range<u64>,
}

impl Span for FileSpan {
    fn read(&mut self, buf: &mut Vec<u8>, len_max: usize) -> Result<usize, Error> {
        let left = usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX);
        let want = len_max.min(left);
        if want == 0 {
            return Ok(0);
        }
        let start = buf.len();
        let outcome = self.append(buf, want).and_then(|read_len| self.check_version().map(|()| read_len));
        match outcome {
            Ok(read_len) => {
                self.range.start += read_len as u64;
                Ok(read_len)
            }
            Err(error) => {
                // What was read may be of another version: the caller never sees it.
                buf.truncate(start);
                Err(error)
            }
        }
    }
}

impl Reads for FileSpan {
    fn read_into<B: Buffer<u8>>(&self, buffer: B) -> rustix::io::Result<B::Output> {
        pread(&self.file, buffer, self.range.start)
    }
}

impl FileSpan {
    /// Reads up to `want` bytes behind what `buf` holds; not 0.
    fn append(&self, buf: &mut Vec<u8>, want: usize) -> Result<usize, Error> {
        match append::append(self, buf, want) {
            Ok(0) => Err(changed(&self.id, "and ends early now")),
            Ok(read_len) => Ok(read_len),
            Err(errno) => Err(beneath::explain(errno, "read", self.id.key.as_str())),
        }
    }

    fn check_version(&self) -> Result<(), Error> {
        let stat = fstat(&self.file).map_err(|errno| beneath::explain(errno, "stat", self.id.key.as_str()))?;
        if etag_of(&stat)? == self.id.etag { Ok(()) } else { Err(changed(&self.id, "while it was read")) }
    }
}

fn etag_of(stat: &Stat) -> Result<ETag, Error> {
    // The fields have different types on different systems; all of them fit. A time before 1970 wraps, which does no harm.
    let mtime_ns = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
    ETag::from_store(&format!("\"{:x}-{:x}-{mtime_ns:x}\"", stat.st_ino, stat.st_size))
}

fn size_of(stat: &Stat) -> u64 {
    // A regular file has no negative size.
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn last_modified_of(stat: &Stat) -> SystemTime {
    let since = Duration::from_secs(stat.st_mtime.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let time = if stat.st_mtime < 0 { epoch.checked_sub(since) } else { epoch.checked_add(since) };
    time.unwrap_or(epoch)
}

fn changed(id: &ObjectId, when: &str) -> Error {
    Error::new(ErrorKind::Changed, format!("{:?} is no longer the version {}: it changed {when}", id.key, id.etag))
}

fn gone() -> Error {
    Error::new(ErrorKind::UpstreamUnavailable, "the directory of the store was removed")
}
