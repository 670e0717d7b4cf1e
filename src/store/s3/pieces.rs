//! Going on with an upload into a bucket.
//!
//! In scope: when what came becomes a part or a piece, and how the parts become the object. Not in scope: how far an upload is
//! (`resumable`).
//!
//! One part is in memory at a time. It is sent when it is whole. Until then what came of it is kept in pieces, from time to time, so
//! that little is lost where this process is killed, and in the end.

use std::time::{Duration, Instant};

use md5::{Digest as _, Md5};
use rusty_s3::Credentials;

use super::S3;
use super::multipart;
use super::reply::{self, Request};
use super::resumable::{Found, Piece, multipart_of, part_len, record_name, writer_name};
use super::upload::{etag_of_parts, hex, may_pass, patiently};
use super::wire::{Sending, Wire};
use crate::error::{Error, ErrorKind};
use crate::object::ETag;
use crate::store::Store as _;
use crate::store::resumable::{Counting, Finished, PieceSink, Record, Standing, UploadId};
use crate::store::write::Pin;

/// The shortest piece that is kept before it must be, in bytes: what may be lost where this process is killed. Of long parts it is
/// a sixteenth, so that there are never many pieces.
const PIECE_LEN_MIN: u64 = 512 * 1024;
const PIECES_PER_PART: u64 = 16;

/// How many pieces a part may be in: a client may send as few bytes at a time as it likes.
const PIECES_MAX: usize = 64;

/// How many bytes must come before others are told of it, in bytes: what is shorter is sent again as soon.
const TOLD_LEN_MIN: u64 = 256 * 1024;

/// The longest part, in bytes (AWS, "Amazon S3 multipart upload limits").
const PART_LEN_MAX: u64 = 5 << 30;

/// How long nothing must have been kept: whoever sends a part in less has it whole soon enough.
const KEEP_AFTER: Duration = Duration::from_millis(100);

/// An upload that somebody goes on with.
pub(super) struct PartPieces<'s> {
    store: &'s S3,
    wire: Wire,
    id: UploadId,
    record: Record,
    /// The version of the record.
    version: ETag,
    finished: Finished,
    counting: Counting,
    /// Where it was taken up.
    start: u64,
    /// The versions of the parts that are sent, in order.
    etags: Vec<String>,
    /// How many parts the bucket has in a row, those included that do not count.
    listed: usize,
    /// What came of the next part, and how much of it is kept in pieces.
    part: Vec<u8>,
    kept_len: usize,
    /// Pieces of parts that are whole by now, and of the present part.
    stale: Vec<Piece>,
    pieces: Vec<Piece>,
    /// When something was kept last, where anything was.
    kept_at: Option<Instant>,
    /// How many bytes came, and whether others are told that some may not be kept.
    came_len: u64,
    is_told: bool,
}

impl<'s> PartPieces<'s> {
    /// Goes on with what was found: reads the pieces back.
    pub(super) fn new(
        store: &'s S3,
        wire: Wire,
        id: UploadId,
        found: Found,
        finished: Finished,
        counting: Counting,
    ) -> Result<Self, Error> {
        let Found { record, version, parts, counted, pieces, offset } = found;
        let listed = parts.len();
        let etags: Vec<String> = parts.into_iter().take(counted).map(|part| part.etag).collect();
        let mut this = Self {
            store,
            wire,
            id,
            record,
            version,
            finished,
            counting,
            start: offset,
            etags,
            listed,
            part: Vec::new(),
            kept_len: 0,
            stale: Vec::new(),
            pieces: Vec::new(),
            kept_at: None,
            came_len: 0,
            is_told: false,
        };
        if finished == Finished::No {
            this.read_back(pieces)?;
        }
        Ok(this)
    }

    /// Reads the pieces of the part that is not whole.
    fn read_back(&mut self, pieces: Vec<Piece>) -> Result<(), Error> {
        for piece in &pieces {
            let at = self.offset();
            if at >= self.start {
                break;
            }
            let gone = || Error::new(ErrorKind::Locked, "another request goes on with this upload");
            let (bytes, _) = self.store.get_own(&piece.name(&self.id), piece.len)?.ok_or_else(gone)?;
            let skipped = usize::try_from(at - piece.at).unwrap_or(usize::MAX);
            let wanted = usize::try_from(piece.end().min(self.start) - piece.at).unwrap_or(usize::MAX);
            self.part.extend_from_slice(bytes.get(skipped..wanted).ok_or_else(gone)?);
        }
        self.kept_len = self.part.len();
        self.pieces = pieces;
        if self.offset() == self.start {
            Ok(())
        } else {
            let detail = format!("the upload {:?} has {} bytes where {} are told", self.id, self.offset(), self.start);
            Err(Error::new(ErrorKind::UpstreamUnavailable, detail))
        }
    }

    /// Where the part in memory begins.
    fn part_start(&self) -> u64 {
        (self.etags.len() as u64 * part_len(&self.record)).min(self.record.len)
    }

    fn offset(&self) -> u64 {
        if self.finished == Finished::No { self.part_start() + self.part.len() as u64 } else { self.record.len }
    }

    /// Whether the part in memory is whole, and another follows.
    fn is_part_whole(&self) -> bool {
        self.part.len() as u64 == part_len(&self.record) && self.offset() < self.record.len
    }

    fn save(&mut self) -> Result<(), Error> {
        let (name, pin) = (record_name(&self.id), Pin::Version(self.version.clone()));
        self.version = self.store.put_own(&self.wire, &name, &self.record.to_bytes(), &pin)?;
        Ok(())
    }

    /// Tells other processes that bytes come here, once it is worth that.
    fn tell(&mut self, len: usize) -> Result<(), Error> {
        self.came_len += len as u64;
        if !self.is_told && self.counting == Counting::AtOnce && self.came_len >= TOLD_LEN_MIN {
            self.store.put_own(&self.wire, &writer_name(&self.id), b"", &Pin::Any)?;
            self.is_told = true;
        }
        Ok(())
    }

    fn send_part(&mut self) -> Result<(), Error> {
        let Some(parts) = &self.record.parts else { return Err(ErrorKind::Internal.into()) };
        let multipart = multipart_of(&self.record, parts);
        if self.counting == Counting::Together && self.record.trusted.is_none() {
            // From here on the bucket has parts that nobody knows to be right.
            self.record.trusted = Some(self.start);
            self.save()?;
        }
        let number = u16::try_from(self.etags.len() + 1).unwrap_or(u16::MAX);
        let outcome = patiently(|| multipart.put_part(self.store, &self.wire, number, &self.part));
        let (etag, _) = outcome.map_err(|(error, _)| error)?;
        self.etags.push(etag);
        self.part.clear();
        self.kept_len = 0;
        self.stale.append(&mut self.pieces);
        self.kept_at = Some(Instant::now());
        if self.counting == Counting::AtOnce { self.count_what_is_kept() } else { Ok(()) }
    }

    /// Keeps what came of the part in memory since its last piece.
    fn keep_piece(&mut self) -> Result<(), Error> {
        let bytes = &self.part[self.kept_len..];
        let mut piece = Piece { at: self.part_start() + self.kept_len as u64, len: bytes.len() as u64 };
        if piece.len > 0 {
            if self.pieces.len() < PIECES_MAX {
                put_piece(self.store, &self.wire, &piece.name(&self.id), bytes)?;
            } else {
                // So many small ones are made one.
                let whole = Piece { at: self.part_start(), len: self.part.len() as u64 };
                put_piece(self.store, &self.wire, &whole.name(&self.id), &self.part)?;
                self.stale.extend(self.pieces.drain(..).filter(|piece| piece.at != whole.at));
                piece = whole;
            }
            self.pieces.push(piece);
            self.kept_len = self.part.len();
        }
        self.kept_at = Some(Instant::now());
        Ok(())
    }

    /// All that was kept counts. What it made needless is removed.
    fn count_what_is_kept(&mut self) -> Result<(), Error> {
        if self.record.trusted.is_some() {
            // Parts behind this one may still be those that nobody knows to be right.
            let kept = self.part_start() + self.kept_len as u64;
            self.record.trusted = (self.etags.len() < self.listed).then_some(kept);
            self.save()?;
        }
        for piece in self.stale.drain(..) {
            if let Err(error) = self.store.delete_own(&piece.name(&self.id)) {
                log::debug!("a piece of an upload could not be removed, and will be at its end: {}", error.chain());
            }
        }
        Ok(())
    }

    /// Makes what came the object.
    fn complete(&mut self) -> Result<ETag, Error> {
        if self.record.parts.is_some() && !self.part.is_empty() {
            self.send_part()?;
        }
        let expected =
            if self.record.parts.is_some() { etag_of_parts(&self.etags) } else { Some(hex(&Md5::digest(&self.part))) };
        let expected = expected.and_then(|etag| ETag::from_store(&etag).ok());
        // A store that encrypts with keys of its own has other versions, and then this one is nobody's.
        self.record.finishing = Some(match expected {
            Some(etag) => etag,
            None => ETag::from_store(self.id.as_str())?,
        });
        self.record.trusted = None;
        self.save()?;
        let (store, wire, record) = (self.store, &self.wire, &self.record);
        let outcome = match &record.parts {
            Some(parts) => {
                let multipart = multipart_of(record, parts);
                patiently(|| multipart.complete(store, wire, &self.etags, &record.pin))
            }
            None => patiently(|| put(store, wire, record, &self.part)),
        };
        match outcome {
            Ok((etag, _)) => Ok(etag),
            Err((error, 0)) if !may_pass(error.kind()) => Err(error),
            Err((error, _)) => {
                // A refusal may be about what the request had done itself when its answer was lost.
                let found = store.head(&record.key).ok().filter(|meta| meta.size == record.len).map(|meta| meta.id.etag);
                match found {
                    Some(found) if Some(&found) == record.finishing.as_ref() => Ok(found),
                    _ => Err(error),
                }
            }
        }
    }
}

impl Drop for PartPieces<'_> {
    fn drop(&mut self) {
        // Where it cannot be taken back, others wait a moment in vain.
        if self.is_told
            && let Err(error) = self.store.delete_own(&writer_name(&self.id))
        {
            log::debug!("that an upload is received here could not be taken back: {}", error.chain());
        }
    }
}

/// Writes a piece, where nobody has written as much of it. What another process has written is never cut short by this one, which
/// may have been overtaken.
fn put_piece(store: &S3, wire: &Wire, name: &str, bytes: &[u8]) -> Result<(), Error> {
    match store.put_own(wire, name, bytes, &Pin::Nothing) {
        Err(error) if error.kind() == ErrorKind::Locked => match store.get_own(name, PART_LEN_MAX)? {
            Some((found, _)) if found.starts_with(bytes) => Ok(()),
            Some((_, version)) => store.put_own(wire, name, bytes, &Pin::Version(version)).map(drop),
            None => Err(error),
        },
        outcome => outcome.map(drop),
    }
}

/// Puts what is all in memory.
fn put(store: &S3, wire: &Wire, record: &Record, bytes: &[u8]) -> Result<ETag, Error> {
    let request = Request::new("PUT", "the object", record.key.as_str());
    let sign = |credentials: &Credentials| S3::presign(&store.bucket.put_object(Some(credentials), record.key.as_str()));
    let mut fields = Vec::from_iter(record.content_type.as_deref().map(|content_type| ("content-type", content_type)));
    fields.extend(multipart::condition(&record.pin));
    let response = store.ask_by(wire, &request, &fields, Sending::OnCondition(bytes), sign)?;
    if response.status().as_u16() != 200 {
        return Err(multipart::refuse_write(wire, &request, response, &record.pin));
    }
    let etag = reply::check_put(&request, response.headers())?;
    multipart::finish_reply(wire, response);
    Ok(etag)
}

impl PieceSink for PartPieces<'_> {
    fn standing(&self) -> Standing {
        self.record.standing(self.offset(), self.finished)
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.tell(bytes.len())?;
        let part_len = part_len(&self.record);
        while !bytes.is_empty() {
            if self.is_part_whole() {
                self.send_part()?;
            }
            let room = usize::try_from(part_len - self.part.len() as u64).unwrap_or(usize::MAX);
            let len = bytes.len().min(room);
            if len == 0 {
                return Err(Error::new(ErrorKind::PayloadTooLarge, "more bytes came than the upload has"));
            }
            self.part.extend_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
        }
        if self.is_part_whole() {
            return self.send_part();
        }
        let not_kept_len = (self.part.len() - self.kept_len) as u64;
        let is_worth = not_kept_len >= PIECE_LEN_MIN.max(part_len / PIECES_PER_PART);
        // The end is kept by whoever knows that no more comes.
        if self.counting == Counting::AtOnce
            && is_worth
            && self.kept_at.is_none_or(|at| at.elapsed() >= KEEP_AFTER)
            && self.offset() < self.record.len
        {
            self.keep_piece()?;
            return self.count_what_is_kept();
        }
        Ok(())
    }

    fn keep(&mut self) -> Result<(), Error> {
        if self.finished != Finished::No {
            return Ok(());
        }
        self.keep_piece()?;
        self.count_what_is_kept()
    }

    fn finish(mut self: Box<Self>) -> Result<Standing, Error> {
        if self.finished != Finished::No || self.offset() < self.record.len {
            self.keep()?;
            return Ok(self.standing());
        }
        match self.complete() {
            Ok(etag) => {
                self.finished = Finished::Now;
                self.record.done = Some(etag);
                self.save()?;
                self.store.remove_pieces(&self.id);
                Ok(self.standing())
            }
            Err(error) => {
                if matches!(error.kind(), ErrorKind::PreconditionFailed | ErrorKind::Conflict | ErrorKind::BadKey) {
                    self.store.remove_upload(&self.id, Some(&self.record))?;
                }
                Err(error)
            }
        }
    }
}
