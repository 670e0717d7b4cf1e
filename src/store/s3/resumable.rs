//! Uploads into a bucket that can be taken up again.
//!
//! In scope: which objects such an upload is until it becomes its object, and how far they say that it is. Not in scope: going on
//! with it (`pieces`), and what is known of it (`store/resumable/record`).
//!
//! ```text
//! .vidgate/uploads/ID.json         what is known of it; each change is conditional on the version that was read
//! the parts of a multipart upload  each of one length, so that its number says where it lies, whoever sends it
//! .vidgate/uploads/ID/OFFSET       pieces of the part that is not whole yet, each by where it begins
//! .vidgate/uploads/ID/writer       somebody receives bytes that are not kept yet
//! ```
//!
//! So two processes that go on with the same upload cannot mix it up: what they send for a place has one name, by that place.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::S3;
use super::listing::Named;
use super::multipart::{self, Multipart, Orphan, Part};
use super::own;
use super::pieces::PartPieces;
use super::wire::Wire;
use crate::error::{Error, ErrorKind};
use crate::object::{ETag, content_type_of};
use crate::store::resumable::{
    Counting, Finished, NewResumable, Parts, PieceSink, RECORD_LEN_MAX, Record, Resumable, Standing, UploadId, extended,
};
use crate::store::write::Pin;
use crate::store::{Condition, Store as _};

/// The last segment of the name of what is there while somebody receives. It is no number, as that of a piece is.
const WRITER: &str = "writer";

/// How long another process is waited for that receives: its client may have come here because their connection broke, and what came
/// by it is kept in a moment. One that was killed is waited for in vain, once.
const WRITER_MAX: Duration = Duration::from_millis(1500);
const WRITER_EVERY: Duration = Duration::from_millis(50);

/// A piece of a part that is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Where it begins in the object, in bytes.
    pub(super) at: u64,
    /// How many bytes it has.
    pub(super) len: u64,
}

impl Piece {
    pub(super) fn end(&self) -> u64 {
        self.at + self.len
    }

    /// Its name in the bucket.
    pub(super) fn name(self, id: &UploadId) -> String {
        own::name(&format!("{}/{:016x}", id.as_str(), self.at))
    }
}

/// An upload as it lies in the bucket.
pub(super) struct Found {
    pub(super) record: Record,
    /// The version of the record.
    pub(super) version: ETag,
    /// Its parts from the first one on, all that the bucket has in a row.
    pub(super) parts: Vec<Part>,
    /// How many of them count.
    pub(super) counted: usize,
    /// The pieces of the part behind those that count, in order.
    pub(super) pieces: Vec<Piece>,
    /// How many bytes count.
    pub(super) offset: u64,
}

pub(super) fn record_name(id: &UploadId) -> String {
    own::name(&format!("{}.json", id.as_str()))
}

/// What is there while somebody receives.
pub(super) fn writer_name(id: &UploadId) -> String {
    own::name(&format!("{}/{WRITER}", id.as_str()))
}

/// The folder of the pieces.
pub(super) fn folder_name(id: &UploadId) -> String {
    own::name(&format!("{}/", id.as_str()))
}

pub(super) fn multipart_of(record: &Record, parts: &Parts) -> Multipart {
    Multipart { key: record.key.clone(), id: parts.id.clone() }
}

/// How long each part is but the last. What has no parts is one.
pub(super) fn part_len(record: &Record) -> u64 {
    record.parts.as_ref().map_or(record.len, |parts| parts.part_len).max(1)
}

/// Of the parts in a row, how many are whole and count; and of pieces, which of them go on behind these, and to where.
fn count(record: &Record, parts: &[Part], pieces: &[Piece]) -> (usize, Vec<Piece>, u64) {
    let part_len = part_len(record);
    let is_whole = |(at, part): &(usize, &Part)| {
        let start = *at as u64 * part_len;
        start < record.len && part.len == part_len.min(record.len - start)
    };
    let whole = parts.iter().enumerate().take_while(is_whole).count();
    let whole_len = (whole as u64 * part_len).min(record.len);
    let trusted = record.counted(whole_len);
    // The part in which the bytes that count end.
    let count = if trusted < whole_len { usize::try_from(trusted / part_len).unwrap_or(whole) } else { whole };
    let start = (count as u64 * part_len).min(record.len);
    let (end_max, mut end, mut used) = ((start + part_len).min(record.len), start, Vec::new());
    for piece in pieces.iter().filter(|piece| piece.at >= start && piece.end() <= end_max) {
        // One may lie over the end of another, where two processes wrote them: the bytes are the same.
        if piece.at <= end && piece.end() > end {
            used.push(*piece);
            end = piece.end();
        }
    }
    (count, used, record.counted(end))
}

/// The pieces among the objects in the folder of an upload.
fn pieces_of(names: &[Named], id: &UploadId) -> Vec<Piece> {
    let folder = folder_name(id);
    let piece = |named: &Named| {
        let at = u64::from_str_radix(named.name.strip_prefix(&folder)?, 16).ok()?;
        at.checked_add(named.size).map(|_| Piece { at, len: named.size })
    };
    names.iter().filter_map(piece).collect()
}

impl S3 {
    fn read_record(&self, id: &UploadId) -> Result<(Record, ETag), Error> {
        let none = || Error::new(ErrorKind::NotFound, "there is no such upload");
        let (bytes, version) = self.get_own(&record_name(id), RECORD_LEN_MAX as u64)?.ok_or_else(none)?;
        let malformed = || Error::new(ErrorKind::UpstreamUnavailable, format!("the record of the upload {id:?} is none"));
        Ok((Record::from_bytes(&bytes).ok_or_else(malformed)?, version))
    }

    /// The objects in the folder of an upload, once no other process receives bytes for it, or that was waited for long enough.
    fn list_folder(&self, id: &UploadId) -> Result<Vec<Named>, Error> {
        let (writer, until) = (writer_name(id), Instant::now() + WRITER_MAX);
        loop {
            let names = self.list_own(&folder_name(id))?;
            if names.iter().all(|named| named.name != writer) {
                return Ok(names);
            }
            if Instant::now() >= until {
                // It was killed, or receives for long: nobody else need wait for it.
                self.delete_own(&writer)?;
                return Ok(names);
            }
            thread::sleep(WRITER_EVERY);
        }
    }

    /// Looks an upload up, and notes that it became its object where whoever saw to that could not.
    pub(super) fn find(&self, id: &UploadId) -> Result<(Found, Finished), Error> {
        // First, for what was kept since is found all the same: whoever makes a part of pieces removes them later.
        let names = self.list_folder(id)?;
        let (mut record, mut version) = self.read_record(id)?;
        record.check_alive(SystemTime::now())?;
        let ended = |record: Record, version, finished| {
            let offset = record.len;
            Ok((Found { record, version, parts: Vec::new(), counted: 0, pieces: Vec::new(), offset }, finished))
        };
        if record.done.is_some() {
            return ended(record, version, Finished::Before);
        }
        let parts = match record.parts.as_ref().map(|parts| multipart_of(&record, parts).parts(self)).transpose()? {
            None => Some(Vec::new()),
            Some(parts) => parts,
        };
        if let Some(etag) = record.finishing.clone() {
            // Nothing but becoming the object ends the parts while there is a record of them.
            let is_there = parts.is_none()
                || match self.head(&record.key) {
                    Ok(meta) => meta.id.etag == etag && meta.size == record.len,
                    Err(error) if error.kind() == ErrorKind::NotFound => false,
                    Err(error) => return Err(error),
                };
            if is_there {
                record.done = Some(etag);
                version = self.put_own(&self.wire, &record_name(id), &record.to_bytes(), &Pin::Version(version))?;
                self.remove_pieces(id);
                return ended(record, version, Finished::Now);
            }
        }
        let gone = || Error::new(ErrorKind::Gone, "the parts of this upload are gone");
        let parts = parts.ok_or_else(gone)?;
        let (counted, pieces, offset) = count(&record, &parts, &pieces_of(&names, id));
        log::debug!("the upload {id:?} has {counted} of {} parts, {} pieces, {offset} bytes", parts.len(), pieces.len());
        Ok((Found { record, version, parts, counted, pieces, offset }, Finished::No))
    }

    /// Removes the pieces of an upload that needs them no more. What cannot be removed is swept.
    pub(super) fn remove_pieces(&self, id: &UploadId) {
        let remove = || self.list_own(&folder_name(id))?.iter().try_for_each(|named| self.delete_own(&named.name));
        if let Err(error) = remove() {
            log::warn!("pieces of an upload could not be removed, and will be later: {}", error.chain());
        }
    }

    /// Removes all of an upload, its record last, so that what fails can be tried again.
    pub(super) fn remove_upload(&self, id: &UploadId, record: Option<&Record>) -> Result<(), Error> {
        if let Some(record) = record.filter(|record| record.done.is_none())
            && let Some(parts) = &record.parts
        {
            multipart_of(record, parts).abort(self)?;
        }
        self.list_own(&folder_name(id))?.iter().try_for_each(|named| self.delete_own(&named.name))?;
        self.delete_own(&record_name(id))
    }

    fn upload_wire(&self) -> Wire {
        self.wire.for_upload()
    }
}

impl Resumable for S3 {
    fn create(&self, id: &UploadId, new: &NewResumable) -> Result<(), Error> {
        let (key, condition) = (&new.upload.key, &new.upload.condition);
        let pin = match condition {
            Condition::None => Pin::Any,
            _ => match self.head(key) {
                Ok(meta) => condition.pin(key, Some(&meta.id.etag))?,
                Err(error) if error.kind() == ErrorKind::NotFound => condition.pin(key, None)?,
                Err(error) => return Err(error),
            },
        };
        let mut record = Record::new(new, pin);
        let content_type = record.content_type.get_or_insert_with(|| content_type_of(key).to_owned()).clone();
        let part_len = multipart::part_len(record.len);
        let multipart = if record.len > part_len {
            let multipart = Multipart::create(self, &self.wire, key, &content_type)?;
            record.parts = Some(Parts { id: multipart.id.clone(), part_len });
            Some(multipart)
        } else {
            None
        };
        match self.put_own(&self.wire, &record_name(id), &record.to_bytes(), &Pin::Nothing) {
            Ok(_) => Ok(()),
            Err(error) => {
                if let Some(multipart) = multipart {
                    self.orphans.abort_or_keep(self, Orphan::Known(multipart));
                }
                Err(error)
            }
        }
    }

    fn look(&self, id: &UploadId) -> Result<Standing, Error> {
        let (found, finished) = self.find(id)?;
        Ok(found.record.standing(found.offset, finished))
    }

    fn resume(&self, id: &UploadId, counting: Counting, expires_at: SystemTime) -> Result<Box<dyn PieceSink + '_>, Error> {
        let (mut found, finished) = self.find(id)?;
        let wire = self.upload_wire();
        if finished == Finished::No
            && let Some(later) = extended(found.record.expires_at, expires_at)
        {
            found.record.expires_at = later;
            let bytes = found.record.to_bytes();
            found.version = self.put_own(&wire, &record_name(id), &bytes, &Pin::Version(found.version))?;
        }
        Ok(Box::new(PartPieces::new(self, wire, id.clone(), found, finished, counting)?))
    }

    fn remove(&self, id: &UploadId) -> Result<(), Error> {
        let (record, _) = self.read_record(id)?;
        self.remove_upload(id, Some(&record))
    }

    fn remove_expired(&self, now: SystemTime, lifetime: Duration) -> Result<(), Error> {
        let prefix = own::name("");
        let names = self.list_own(&prefix)?;
        // A record is written when its time is set, so a young one need not be read.
        let is_old = |time: SystemTime| time.checked_add(lifetime).is_some_and(|end| end <= now);
        let id_of = |name: &str| UploadId::parse(name.strip_prefix(&prefix)?.split(['.', '/']).next()?);
        let mut with_record = None;
        for named in &names {
            let Some(id) = id_of(&named.name) else { continue };
            if named.name == record_name(&id) {
                if is_old(named.last_modified)
                    && let Some((bytes, _)) = self.get_own(&named.name, RECORD_LEN_MAX as u64)?
                {
                    // What cannot be read is of no use to anybody.
                    let record = Record::from_bytes(&bytes);
                    if record.as_ref().is_none_or(|record| record.expires_at <= now) {
                        self.remove_upload(&id, record.as_ref())?;
                    }
                }
                with_record = Some(id);
            } else if with_record.as_ref() != Some(&id) && is_old(named.last_modified) {
                // A piece that came when its upload had ended.
                self.delete_own(&named.name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectKey;

    const PART: u64 = 10;

    fn record(len: u64, trusted: Option<u64>) -> Record {
        Record {
            key: ObjectKey::new("film.mp4").unwrap(),
            len,
            content_type: None,
            metadata: String::new(),
            pin: Pin::Any,
            expires_at: SystemTime::UNIX_EPOCH,
            parts: Some(Parts { id: "u".into(), part_len: PART }),
            trusted,
            finishing: None,
            done: None,
        }
    }

    /// How many parts and bytes count, of parts of these lengths and these pieces.
    #[track_caller]
    fn check(trusted: Option<u64>, parts: &[u64], pieces: &[(u64, u64)], want: (usize, u64)) {
        let record = record(35, trusted);
        let parts: Vec<Part> = parts.iter().map(|len| Part { etag: "\"a\"".into(), len: *len }).collect();
        let pieces: Vec<Piece> = pieces.iter().map(|(at, len)| Piece { at: *at, len: *len }).collect();
        let (count, used, offset) = count(&record, &parts, &pieces);
        assert_eq!((count, offset), want, "{parts:?} {pieces:?}");
        let end = used.iter().fold(count as u64 * PART, |end, piece| {
            assert!(piece.at <= end && piece.end() > end, "{used:?}");
            piece.end()
        });
        assert!(end.min(35) >= offset, "the pieces reach as far as is told");
    }

    #[test]
    fn how_far_an_upload_is() {
        check(None, &[], &[], (0, 0));
        check(None, &[], &[(0, 3), (3, 4)], (0, 7));
        check(None, &[10, 10], &[], (2, 20));
        check(None, &[10, 10], &[(20, 1), (21, 9)], (2, 30));
        check(None, &[10, 10, 10, 5], &[], (4, 35));
        check(None, &[10, 10, 10], &[(30, 5)], (3, 35));
        // What is behind a gap does not count, nor what was left of a part that is whole by now.
        check(None, &[10], &[(3, 4), (11, 2), (20, 5)], (1, 10));
        check(None, &[10], &[(0, 3), (3, 4), (10, 2), (13, 2)], (1, 12));
        // Two wrote them.
        check(None, &[], &[(0, 3), (2, 6), (3, 2), (8, 1)], (0, 9));
        // Parts that are not as long as they must be.
        check(None, &[10, 9, 10], &[], (1, 10));
        check(None, &[10, 10, 10, 6], &[], (3, 30));
        check(None, &[10, 10, 10, 5, 5], &[], (4, 35));
        check(None, &[10], &[(10, 11)], (1, 10));
    }

    #[test]
    fn what_came_with_a_checksum_counts_once_it_was_compared() {
        check(Some(0), &[10, 10], &[], (0, 0));
        check(Some(10), &[10, 10], &[], (1, 10));
        check(Some(14), &[10, 10, 10], &[(10, 2), (12, 2)], (1, 14));
        check(Some(14), &[10, 10, 10], &[(10, 2), (12, 2), (14, 3)], (1, 14));
        check(Some(20), &[10, 10], &[(20, 3)], (2, 20));
        check(Some(23), &[10, 10], &[(20, 3)], (2, 23));
        check(Some(35), &[10, 10], &[(20, 3)], (2, 23));
    }
}
