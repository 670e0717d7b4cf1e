//! Writing files that appear when they are complete.
//!
//! In scope: the temporary file, putting it in its place on a condition, removing, and what is left of writers that were killed.
//! Not in scope: how a path becomes a descriptor (`beneath`).
//!
//! A temporary file lies in a hidden directory right below the root, so that it is in the same file system, and is locked for as
//! long as somebody writes it: one that nobody has locked was left behind.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, fstat, fsync, linkat, openat, renameat, statat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr, write};

use super::beneath::{Missing, Root, means_missing, sync_folder};
use super::{Directory, etag_of, gone, last_modified_of, size_of};
use crate::error::{Error, ErrorKind};
use crate::object::{ETag, ObjectId, ObjectKey, ObjectMeta, RESERVED};
use crate::store::write::Pin;
use crate::store::{Sink, Upload};

/// What the names of temporary files begin with.
const PREFIX: &str = "upload-";

/// How old a temporary file is, at least, that nobody has locked and that is removed for it: a younger one may be about to be
/// locked.
const AGE_MIN: Duration = Duration::from_mins(1);

/// How many names are tried for a temporary file.
const NAMES_MAX: usize = 16;

/// A file that is being written.
pub(super) struct FileSink<'d> {
    store: &'d Directory,
    upload: Upload,
    pin: Pin,
    /// Where temporary files lie.
    folder: OwnedFd,
    /// The file, locked, and its name in there.
    file: OwnedFd,
    name: String,
    /// Whether it still lies there.
    is_temporary: bool,
}

impl<'d> FileSink<'d> {
    pub(super) fn begin(store: &'d Directory, upload: &Upload) -> Result<Self, Error> {
        let key = &upload.key;
        let pin = upload.condition.pin(key, found(store, key)?.as_ref())?;
        check_place(&store.root, key)?;
        let folder = store
            .root
            .make_private(RESERVED)
            .map_err(|errno| if store.root.is_gone() { gone() } else { explain(errno, "make a directory for", key) })?;
        let (file, name) = make_file(&folder).map_err(|errno| explain(errno, "make a file for", key))?;
        Ok(Self { store, upload: upload.clone(), pin, folder, file, name, is_temporary: true })
    }

    fn complete(&self) -> Complete<'_> {
        let Self { store, upload, pin, folder, file, name, .. } = self;
        Complete { store, key: &upload.key, pin, folder, file, name }
    }
}

/// A file that has all its bytes, and is not in its place yet.
pub(super) struct Complete<'c> {
    pub(super) store: &'c Directory,
    pub(super) key: &'c ObjectKey,
    pub(super) pin: &'c Pin,
    /// Where it lies, and its name in there.
    pub(super) folder: &'c OwnedFd,
    pub(super) file: &'c OwnedFd,
    pub(super) name: &'c str,
}

/// What became of the name that a file had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Former {
    /// It is gone.
    Gone,
    /// It is still there.
    Stays,
}

impl Complete<'_> {
    /// Puts the file in its place. One upload at a time does this, of all processes that share the directory, so that none comes
    /// between the look at what is there and the change of it. Other programs may.
    pub(super) fn publish(&self) -> Result<Former, Error> {
        let key = self.key;
        let fail = |what: &'static str| move |errno| explain(errno, what, key);
        fsync(self.file).map_err(fail("sync"))?;
        let (parent, name) =
            self.store.root.open_parent(key.as_str(), Missing::Make).map_err(fail("make the directories of"))?;
        let _one_at_a_time = self.store.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        match retry_on_intr(|| flock(self.folder, FlockOperation::LockExclusive)) {
            // NFS locks no directory (flock(2)), others lock nothing: then other processes are like other programs.
            Ok(()) | Err(Errno::BADF | Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) => {}
            Err(errno) => return Err(fail("lock the directory for")(errno)),
        }
        if *self.pin != Pin::Any {
            self.pin.check(key, found(self.store, key)?.as_ref())?;
        }
        let mut former = Former::Gone;
        if *self.pin == Pin::Nothing {
            // A link is made where there is nothing, or not at all; a rename would replace what came meanwhile.
            match linkat(self.folder, self.name, &parent, name, AtFlags::empty()) {
                Ok(()) => former = Former::Stays,
                Err(Errno::EXIST) => self.pin.check(key, Some(&etag_of_file(self.file, key)?))?,
                // The file system knows no links.
                Err(Errno::PERM | Errno::NOTSUP) => {
                    rename_to_nothing(self.folder, self.name, &parent, name).map_err(fail("put in its place"))?;
                }
                Err(errno) => return Err(fail("put in its place")(errno)),
            }
        } else {
            renameat(self.folder, self.name, &parent, name).map_err(fail("put in its place"))?;
        }
        if let Err(errno) = sync_folder(std::os::fd::AsFd::as_fd(&parent)) {
            // It is there, and whoever looks sees it.
            log::warn!("the directory of {key:?} could not be synced: {errno}");
        }
        Ok(former)
    }
}

/// The version that a file is, wherever it lies.
pub(super) fn etag_of_file(file: &OwnedFd, key: &ObjectKey) -> Result<ETag, Error> {
    etag_of(&fstat(file).map_err(|errno| explain(errno, "stat", key))?)
}

impl Sink for FileSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        write_all(&self.file, bytes, &self.upload.key)
    }

    fn finish(mut self: Box<Self>) -> Result<ObjectMeta, Error> {
        self.is_temporary = self.complete().publish()? == Former::Stays;
        let stat = fstat(&self.file).map_err(|errno| explain(errno, "stat", &self.upload.key))?;
        Ok(ObjectMeta {
            id: ObjectId { key: self.upload.key.clone(), etag: etag_of(&stat)? },
            size: size_of(&stat),
            last_modified: last_modified_of(&stat),
            content_type: None,
            cache_control: None,
        })
    }
}

impl Drop for FileSink<'_> {
    fn drop(&mut self) {
        if self.is_temporary
            && let Err(errno) = unlinkat(&self.folder, &*self.name, AtFlags::empty())
        {
            log::warn!("the temporary file {:?} could not be removed, and will be later: {errno}", self.name);
        }
    }
}

/// Writes bytes where the file is at.
pub(super) fn write_all(file: &OwnedFd, mut bytes: &[u8], key: &ObjectKey) -> Result<(), Error> {
    while !bytes.is_empty() {
        match retry_on_intr(|| write(file, bytes)) {
            Ok(0) => return Err(explain(Errno::IO, "write", key)),
            Ok(len) => bytes = &bytes[len..],
            Err(errno) => return Err(explain(errno, "write", key)),
        }
    }
    Ok(())
}

/// The version that is there now.
pub(super) fn found(store: &Directory, key: &ObjectKey) -> Result<Option<ETag>, Error> {
    match store.root.stat_file(key.as_str()) {
        Ok(stat) => etag_of(&stat).map(Some),
        Err(errno) if means_missing(errno) && store.root.is_gone() => Err(gone()),
        Err(errno) if means_missing(errno) => Ok(None),
        Err(errno) => Err(explain(errno, "look at", key)),
    }
}

/// Refuses early what could not be put in its place later.
pub(super) fn check_place(root: &Root, key: &ObjectKey) -> Result<(), Error> {
    let (parent, name) = match root.open_parent(key.as_str(), Missing::Fail) {
        Ok(place) => place,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(explain(errno, "have", key)),
    };
    match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Err(explain(Errno::ISDIR, "have", key)),
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(explain(errno, "have", key)),
    }
}

/// Makes a temporary file, and locks it.
fn make_file(folder: &OwnedFd) -> Result<(OwnedFd, String), Errno> {
    static COUNT: AtomicU64 = AtomicU64::new(0);

    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    for _ in 0..NAMES_MAX {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{:x}-{:x}-{count:x}", std::process::id(), since_epoch.as_nanos());
        match retry_on_intr(|| openat(folder, &*name, flags, Mode::from_raw_mode(0o666))) {
            // Another machine that shares the directory had the same idea.
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
            Ok(file) => {
                // Where the file system has no locks, what is left behind stays: it cannot be told from what is written.
                let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
                return Ok((file, name));
            }
        }
    }
    Err(Errno::EXIST)
}

/// Renames where there is nothing, or not at all.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn rename_to_nothing(from: &OwnedFd, name: &str, to: &OwnedFd, new_name: &str) -> Result<(), Errno> {
    rustix::fs::renameat_with(from, name, to, new_name, rustix::fs::RenameFlags::NOREPLACE)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn rename_to_nothing(_: &OwnedFd, _: &str, _: &OwnedFd, _: &str) -> Result<(), Errno> {
    Err(Errno::NOTSUP)
}

/// Removes an object, where there is one. The directories that it was in stay.
pub(super) fn delete(root: &Root, key: &ObjectKey) -> Result<(), Error> {
    let outcome = root
        .stat_file(key.as_str())
        .and_then(|_| root.open_parent(key.as_str(), Missing::Fail))
        .and_then(|(parent, name)| unlinkat(&parent, name, AtFlags::empty()));
    match outcome {
        Ok(()) => Ok(()),
        Err(errno) if means_missing(errno) && root.is_gone() => Err(gone()),
        Err(errno) if means_missing(errno) => Ok(()),
        Err(errno) => Err(explain(errno, "remove", key)),
    }
}

/// Removes the temporary files that nobody writes any more.
pub(super) fn sweep(root: &Root) -> Result<(), Error> {
    let fail = |errno: Errno| {
        let error = Error::new(ErrorKind::UpstreamUnavailable, "the directory store cannot be swept");
        error.with_source(io::Error::from(errno))
    };
    let folder = match root.open_private(RESERVED) {
        Ok(folder) => folder,
        Err(errno) if means_missing(errno) => return Ok(()),
        Err(errno) => return Err(fail(errno)),
    };
    for entry in Dir::read_from(&folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if !entry.file_name().to_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        // To write, for NFS locks for one alone only what may be written to.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Gone meanwhile, or of another user: not ours to remove.
        let Ok(file) = openat(&folder, entry.file_name(), flags, Mode::empty()) else { continue };
        let Ok(stat) = fstat(&file) else { continue };
        let age = last_modified_of(&stat).elapsed().unwrap_or_default();
        if age >= AGE_MIN && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            unlinkat(&folder, entry.file_name(), AtFlags::empty()).map_err(fail)?;
        }
    }
    Ok(())
}

/// The crate's error for a failed system call while the object `key` is written.
pub(super) fn explain(errno: Errno, what: &str, key: &ObjectKey) -> Error {
    let (kind, why) = match errno {
        Errno::ACCESS | Errno::PERM => (ErrorKind::UpstreamForbidden, ""),
        Errno::NAMETOOLONG => (ErrorKind::BadKey, ": a segment of it is too long"),
        // A file where a directory is wanted, or the other way round; or a link that leads nowhere, or out of the root.
        Errno::NOTDIR | Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST | Errno::LOOP | Errno::NOENT => {
            (ErrorKind::Conflict, ": something else is there")
        }
        _ => (ErrorKind::UpstreamUnavailable, ""),
    };
    Error::new(kind, format!("the directory store cannot {what} {:?}{why}", key.as_str())).with_source(io::Error::from(errno))
}

#[cfg(all(test, feature = "uploads"))]
mod tests {
    use super::*;
    use crate::store::Store as _;

    #[test]
    fn what_a_failed_call_means() {
        use ErrorKind::{BadKey, Conflict, UpstreamForbidden, UpstreamUnavailable};
        let key = ObjectKey::new("a.mp4").unwrap();
        for (errno, want) in [
            (Errno::ACCESS, UpstreamForbidden),
            (Errno::NAMETOOLONG, BadKey),
            (Errno::NOTDIR, Conflict),
            (Errno::ISDIR, Conflict),
            (Errno::NOSPC, UpstreamUnavailable),
            (Errno::ROFS, UpstreamUnavailable),
            (Errno::XDEV, UpstreamUnavailable),
        ] {
            assert_eq!(explain(errno, "write", &key).kind(), want, "{errno:?}");
        }
    }

    #[test]
    fn what_writers_left_is_swept_and_what_they_write_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = Directory::open(dir.path()).unwrap();
        store.sweep().unwrap();
        let key = ObjectKey::new("a.mp4").unwrap();
        let upload = Upload { key, content_type: None, size_max: 10, condition: crate::store::Condition::None };
        let mut sink = store.begin(&upload).unwrap();
        sink.write(b"film").unwrap();
        let hidden = dir.path().join(RESERVED);
        let left = [hidden.join("upload-left"), hidden.join("upload-young"), hidden.join("other")];
        for path in &left {
            std::fs::write(path, b"x").unwrap();
        }
        let long_ago = SystemTime::now() - AGE_MIN * 2;
        for entry in std::fs::read_dir(&hidden).unwrap().map(Result::unwrap).filter(|it| it.path() != left[1]) {
            std::fs::File::options().write(true).open(entry.path()).unwrap().set_modified(long_ago).unwrap();
        }
        store.sweep().unwrap();
        assert_eq!(left.each_ref().map(|path| path.exists()), [false, true, true]);
        assert_eq!(sink.finish().unwrap().size, 4);
        assert_eq!(std::fs::read(dir.path().join("a.mp4")).unwrap(), b"film");
    }
}
