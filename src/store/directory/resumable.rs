//! Uploads into a directory that can be taken up again.
//!
//! In scope: the two files that such an upload is until it becomes its object, and who may write to them. Not in scope: how a file
//! gets its place (`upload`), and what is known of an upload (`store/resumable/record`).
//!
//! ```text
//! .vidgate/resumable-ID.json     what is known of it, replaced as a whole
//! .vidgate/resumable-ID.bytes    what came of it; locked by whoever writes, renamed to its key in the end
//! ```

use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{
    AtFlags, Dir, FlockOperation, Mode, OFlags, SeekFrom, fdatasync, flock, fstat, ftruncate, openat, renameat, seek, statat,
    unlinkat,
};
use rustix::io::{Errno, read, retry_on_intr};

use super::beneath::means_missing;
use super::upload::{Complete, Former, check_place, etag_of_file, explain, found, write_all};
use super::{Directory, gone, last_modified_of, size_of};
use crate::error::{Error, ErrorKind};
use crate::object::{ObjectKey, RESERVED};
use crate::store::resumable::{
    Counting, Finished, NewResumable, PieceSink, RECORD_LEN_MAX, Record, Resumable, Standing, UploadId, extended,
};

/// What the names of these files begin with, and how they end.
const PREFIX: &str = "resumable-";
const RECORD: &str = ".json";
const BYTES: &str = ".bytes";
/// A record that is being written.
const DRAFT: &str = ".draft";

/// How long is waited for another process that has the file, and how often it is tried meanwhile.
const LOCK_MAX: Duration = Duration::from_secs(5);
const LOCK_EVERY: Duration = Duration::from_millis(20);

impl Resumable for Directory {
    fn create(&self, id: &UploadId, new: &NewResumable) -> Result<(), Error> {
        let key = &new.upload.key;
        let pin = new.upload.condition.pin(key, found(self, key)?.as_ref())?;
        check_place(&self.root, key)?;
        let fail = |errno| if self.root.is_gone() { gone() } else { explain(errno, "make a file for", key) };
        let place = Place { folder: self.root.make_private(RESERVED).map_err(fail)?, id };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        retry_on_intr(|| openat(&place.folder, place.name(BYTES), flags, Mode::from_raw_mode(0o666))).map_err(fail)?;
        place.write(&Record::new(new, pin))
    }

    fn look(&self, id: &UploadId) -> Result<Standing, Error> {
        let place = self.place(id)?;
        let record = place.read()?;
        record.check_alive(SystemTime::now())?;
        if record.done.is_some() {
            return Ok(record.standing(record.len, Finished::Before));
        }
        match statat(&place.folder, place.name(BYTES), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(record.standing(record.counted(size_of(&stat)), Finished::No)),
            Err(Errno::NOENT) => place.missing(record).map(|record| record.standing(record.len, Finished::Now)),
            Err(errno) => Err(explain(errno, "look at", &record.key)),
        }
    }

    fn resume(&self, id: &UploadId, counting: Counting, expires_at: SystemTime) -> Result<Box<dyn PieceSink + '_>, Error> {
        let place = self.place(id)?;
        let record = place.read()?;
        record.check_alive(SystemTime::now())?;
        let key = record.key;
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match retry_on_intr(|| openat(&place.folder, place.name(BYTES), flags, Mode::empty())) {
            Ok(file) => file,
            Err(Errno::NOENT) => {
                let record = place.read()?;
                let record = if record.done.is_some() { record } else { place.missing(record)? };
                return Ok(Box::new(Ended(record.standing(record.len, Finished::Before))));
            }
            Err(errno) => return Err(explain(errno, "open", &key)),
        };
        lock(&file, &key)?;
        // What another process did before it let go of the file is known now.
        let mut record = place.read()?;
        let kept_len = size_of(&fstat(&file).map_err(|errno| explain(errno, "stat", &key))?);
        let offset = record.counted(kept_len);
        if offset < kept_len {
            ftruncate(&file, offset).map_err(|errno| explain(errno, "cut", &key))?;
        }
        let later = extended(record.expires_at, expires_at);
        // A checksum is compared at the end of what comes: until then the file is longer than what counts.
        let trusted = (counting == Counting::Together).then_some(offset);
        if later.is_some() || trusted != record.trusted {
            record.expires_at = later.unwrap_or(record.expires_at);
            record.trusted = trusted;
            place.write(&record)?;
        }
        seek(&file, SeekFrom::Start(offset)).map_err(|errno| explain(errno, "write", &key))?;
        let place = Place { folder: place.folder, id: id.clone() };
        Ok(Box::new(FilePieces { store: self, place, file, record, offset, kept: offset }))
    }

    fn remove(&self, id: &UploadId) -> Result<(), Error> {
        let place = self.place(id)?;
        place.read()?;
        place.remove()
    }

    fn remove_expired(&self, now: SystemTime, lifetime: Duration) -> Result<(), Error> {
        let fail = |errno| unusable(errno);
        let folder = match self.root.open_private(RESERVED) {
            Ok(folder) => folder,
            Err(errno) if means_missing(errno) => return Ok(()),
            Err(errno) => return Err(fail(errno)),
        };
        for entry in Dir::read_from(&folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let Some((id, _)) = entry.file_name().to_str().ok().and_then(id_of) else { continue };
            let place = self.place(&id)?;
            let is_over = match place.read() {
                Ok(record) => record.expires_at <= now,
                // No record, or none that can be read: it goes by its age.
                Err(_) => statat(&folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|stat| last_modified_of(&stat).checked_add(lifetime).is_some_and(|end| end <= now)),
            };
            if is_over {
                place.remove()?;
            }
        }
        Ok(())
    }
}

impl Directory {
    fn place<I: std::borrow::Borrow<UploadId>>(&self, id: I) -> Result<Place<I>, Error> {
        match self.root.open_private(RESERVED) {
            Ok(folder) => Ok(Place { folder, id }),
            Err(errno) if means_missing(errno) && self.root.is_gone() => Err(gone()),
            Err(errno) if means_missing(errno) => Err(none()),
            Err(errno) => Err(unusable(errno)),
        }
    }
}

/// Where the files of an upload lie.
struct Place<I> {
    folder: OwnedFd,
    id: I,
}

impl<I: std::borrow::Borrow<UploadId>> Place<I> {
    fn name(&self, ending: &str) -> String {
        format!("{PREFIX}{}{ending}", self.id.borrow().as_str())
    }

    fn read(&self) -> Result<Record, Error> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match retry_on_intr(|| openat(&self.folder, self.name(RECORD), flags, Mode::empty())) {
            Ok(file) => file,
            Err(errno) if means_missing(errno) => return Err(none()),
            Err(errno) => return Err(unusable(errno)),
        };
        let (mut bytes, mut len) = (vec![0; 4096], 0);
        loop {
            match retry_on_intr(|| read(&file, &mut bytes[len..])).map_err(unusable)? {
                0 => break,
                more => len += more,
            }
            if len == bytes.len() && len < RECORD_LEN_MAX {
                bytes.resize(len * 2, 0);
            }
        }
        let malformed =
            || Error::new(ErrorKind::UpstreamUnavailable, format!("the record of the upload {:?} is none", self.id.borrow()));
        Record::from_bytes(&bytes[..len]).ok_or_else(malformed)
    }

    /// Writes the record anew, as a whole.
    fn write(&self, record: &Record) -> Result<(), Error> {
        let fail = |errno| explain(errno, "note an upload of", &record.key);
        let draft = self.name(DRAFT);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = retry_on_intr(|| openat(&self.folder, &*draft, flags, Mode::from_raw_mode(0o600))).map_err(fail)?;
        write_all(&file, &record.to_bytes(), &record.key)?;
        fdatasync(&file).map_err(fail)?;
        renameat(&self.folder, &*draft, &self.folder, self.name(RECORD)).map_err(fail)
    }

    /// The record of an upload whose bytes are gone: it became its object, and whoever did that was ended before he noted it.
    fn missing(&self, mut record: Record) -> Result<Record, Error> {
        let Some(etag) = record.finishing.clone() else { return Err(ErrorKind::Gone.into()) };
        record.done = Some(etag);
        self.write(&record)?;
        Ok(record)
    }

    fn remove(&self) -> Result<(), Error> {
        for ending in [BYTES, DRAFT, RECORD] {
            match unlinkat(&self.folder, self.name(ending), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(unusable(errno)),
            }
        }
        Ok(())
    }
}

/// The upload that a file of this name belongs to.
fn id_of(name: &str) -> Option<(UploadId, &str)> {
    let (id, ending) = name.strip_prefix(PREFIX)?.split_once('.')?;
    UploadId::parse(id).map(|id| (id, ending))
}

/// Takes the file for this process alone; for a while another one may have it that is about to end.
fn lock(file: &OwnedFd, key: &ObjectKey) -> Result<(), Error> {
    let until = Instant::now() + LOCK_MAX;
    loop {
        match retry_on_intr(|| flock(file, FlockOperation::NonBlockingLockExclusive)) {
            // Where the file system has no locks, one process alone may have the directory.
            Ok(()) | Err(Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < until => thread::sleep(LOCK_EVERY),
            Err(Errno::WOULDBLOCK) => return Err(ErrorKind::Locked.into()),
            Err(errno) => return Err(explain(errno, "lock", key)),
        }
    }
}

/// An upload that somebody goes on with.
struct FilePieces<'d> {
    store: &'d Directory,
    place: Place<UploadId>,
    /// Locked.
    file: OwnedFd,
    record: Record,
    /// How many bytes there are, and how many of them stay whatever follows.
    offset: u64,
    kept: u64,
}

impl PieceSink for FilePieces<'_> {
    fn standing(&self) -> Standing {
        self.record.standing(self.offset, Finished::No)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        write_all(&self.file, bytes, &self.record.key)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn keep(&mut self) -> Result<(), Error> {
        // What a client is told to be kept outlasts the machine.
        fdatasync(&self.file).map_err(|errno| explain(errno, "sync", &self.record.key))?;
        if self.record.trusted.is_some() {
            self.record.trusted = None;
            self.place.write(&self.record)?;
        }
        self.kept = self.offset;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Standing, Error> {
        self.keep()?;
        if self.offset < self.record.len {
            return Ok(self.standing());
        }
        let etag = etag_of_file(&self.file, &self.record.key)?;
        // It is in its place already, where the process that put it there was ended before it could take away the other name.
        let is_there =
            self.record.finishing.as_ref() == Some(&etag) && found(self.store, &self.record.key)?.as_ref() == Some(&etag);
        let former = if is_there {
            Former::Stays
        } else {
            self.record.finishing = Some(etag.clone());
            self.place.write(&self.record)?;
            let Self { store, place, file, record, .. } = &*self;
            let name = place.name(BYTES);
            let complete = Complete { store, key: &record.key, pin: &record.pin, folder: &place.folder, file, name: &name };
            match complete.publish() {
                Ok(former) => former,
                Err(error) => {
                    if matches!(error.kind(), ErrorKind::PreconditionFailed | ErrorKind::Conflict | ErrorKind::BadKey) {
                        self.place.remove()?;
                    }
                    return Err(error);
                }
            }
        };
        self.record.done = Some(etag);
        self.place.write(&self.record)?;
        if former == Former::Stays
            && let Err(errno) = unlinkat(&self.place.folder, self.place.name(BYTES), AtFlags::empty())
        {
            log::warn!("the second name of {:?} could not be removed, and will be later: {errno}", self.record.key);
        }
        Ok(self.record.standing(self.offset, Finished::Now))
    }
}

impl Drop for FilePieces<'_> {
    fn drop(&mut self) {
        // What came since may be wrong.
        if self.kept < self.offset && self.record.done.is_none() {
            let _ = ftruncate(&self.file, self.kept);
        }
    }
}

/// An upload that has become its object.
struct Ended(Standing);

impl PieceSink for Ended {
    fn standing(&self) -> Standing {
        self.0.clone()
    }

    fn write(&mut self, _: &[u8]) -> Result<(), Error> {
        Err(ErrorKind::Gone.into())
    }

    fn keep(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Standing, Error> {
        Ok(self.0)
    }
}

fn none() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such upload")
}

fn unusable(errno: Errno) -> Error {
    Error::new(ErrorKind::UpstreamUnavailable, "the directory of uploads cannot be used")
        .with_source(std::io::Error::from(errno))
}
