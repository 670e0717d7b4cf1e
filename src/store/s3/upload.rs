//! Writing an object into a bucket.
//!
//! In scope: which bytes make a part, how often it is sent, and what an answer that was lost may have meant. Not in scope: the
//! requests of a multipart upload (`multipart`).
//!
//! One part is in memory at a time. What fits into one part is put by a single request, so that a bucket sees a multipart upload
//! only of what is longer.

use std::thread;
use std::time::{Duration, SystemTime};

use md5::{Digest, Md5};
use rusty_s3::Credentials;

use super::S3;
use super::multipart::{self, Multipart, Orphan, PARTS_MAX};
use super::reply::{self, Request};
use super::wire::{Sending, Wire};
use crate::error::{Error, ErrorKind};
use crate::object::{ETag, ObjectId, ObjectKey, ObjectMeta, content_type_of};
use crate::store::write::Pin;
use crate::store::{Sink, Store, Upload};

/// How long it is waited before a request is sent again that failed for a reason that may pass.
const PAUSES: [Duration; 3] = [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];

/// The room that is made for a part at first, in bytes; it grows as bytes come.
const PART_LEN_FIRST: usize = 64 * 1024;

/// An object that is being written.
pub(super) struct PartSink<'s> {
    store: &'s S3,
    wire: Wire,
    key: ObjectKey,
    content_type: String,
    pin: Pin,
    /// How long a part is, in bytes.
    part_len: usize,
    /// The part that is not sent yet.
    part: Vec<u8>,
    /// What the parts that are sent belong to.
    multipart: Option<Multipart>,
    /// Their versions, in order.
    etags: Vec<String>,
    /// How many bytes they have.
    sent_len: u64,
}

impl<'s> PartSink<'s> {
    pub(super) fn begin(store: &'s S3, upload: &Upload) -> Result<Self, Error> {
        let key = upload.key.clone();
        let pin = match upload.condition {
            crate::store::Condition::None => Pin::Any,
            _ => match store.head(&key) {
                Ok(meta) => upload.condition.pin(&key, Some(&meta.id.etag))?,
                Err(error) if error.kind() == ErrorKind::NotFound => upload.condition.pin(&key, None)?,
                Err(error) => return Err(error),
            },
        };
        let content_type = upload.content_type.clone().unwrap_or_else(|| content_type_of(&key).to_owned());
        let part_len = usize::try_from(multipart::part_len(upload.size_max)).unwrap_or(usize::MAX);
        let wire = store.wire.for_upload();
        let (part, etags) = (Vec::new(), Vec::new());
        Ok(Self { store, wire, key, content_type, pin, part_len, part, multipart: None, etags, sent_len: 0 })
    }

    /// Sends the part that is in memory.
    fn send_part(&mut self) -> Result<(), Error> {
        if self.etags.len() as u64 >= PARTS_MAX {
            let detail = format!("{:?} is longer than was said: {PARTS_MAX} parts are sent", self.key);
            return Err(Error::new(ErrorKind::PayloadTooLarge, detail));
        }
        let multipart = match self.multipart.take() {
            Some(multipart) => multipart,
            None => Multipart::create(self.store, &self.wire, &self.key, &self.content_type)?,
        };
        let multipart = self.multipart.insert(multipart);
        let number = u16::try_from(self.etags.len() + 1).unwrap_or(u16::MAX);
        let outcome = patiently(|| multipart.put_part(self.store, &self.wire, number, &self.part));
        let (etag, _) = outcome.map_err(|(error, _)| error)?;
        self.etags.push(etag);
        self.sent_len += self.part.len() as u64;
        self.part.clear();
        Ok(())
    }

    /// Puts what is all in memory.
    fn put(&self) -> Result<ETag, Error> {
        let request = Request::new("PUT", "the object", self.key.as_str());
        let (bucket, key) = (&self.store.bucket, self.key.as_str());
        let sign = |credentials: &Credentials| S3::presign(&bucket.put_object(Some(credentials), key));
        let mut fields = vec![("content-type", self.content_type.as_str())];
        fields.extend(multipart::condition(&self.pin));
        let outcome = patiently(|| {
            let response = self.store.ask_by(&self.wire, &request, &fields, Sending::OnCondition(&self.part), sign)?;
            if response.status().as_u16() != 200 {
                return Err(multipart::refuse_write(&self.wire, &request, response, &self.pin));
            }
            let etag = reply::check_put(&request, response.headers())?;
            multipart::finish_reply(&self.wire, response);
            Ok(etag)
        });
        self.judge(outcome, || Some(hex(&Md5::digest(&self.part))))
    }

    /// Completes what was sent in parts.
    fn complete(&mut self) -> Result<ETag, Error> {
        let Some(multipart) = self.multipart.clone() else { return Err(ErrorKind::Internal.into()) };
        let outcome = patiently(|| multipart.complete(self.store, &self.wire, &self.etags, &self.pin));
        let etag = self.judge(outcome, || etag_of_parts(&self.etags))?;
        // There is nothing left to abort.
        self.multipart = None;
        Ok(etag)
    }

    /// What became of a request that makes the object visible. Where an answer was lost, a later refusal may be about what the
    /// request had done itself: then the object is there, and is of the version that its bytes have.
    fn judge(
        &self,
        outcome: Result<(ETag, usize), (Error, usize)>,
        expected: impl Fn() -> Option<String>,
    ) -> Result<ETag, Error> {
        match outcome {
            Ok((etag, _)) => Ok(etag),
            Err((error, 0)) if !may_pass(error.kind()) => Err(error),
            Err((error, _)) => {
                let expected = expected().and_then(|etag| ETag::from_store(&etag).ok());
                let found = self.store.head(&self.key).ok().map(|meta| meta.id.etag);
                match (expected, found) {
                    (Some(expected), Some(found)) if expected == found => Ok(found),
                    _ => Err(error),
                }
            }
        }
    }
}

impl Sink for PartSink<'_> {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            // A full part is sent when more comes: the last one may be the only one.
            if self.part.len() == self.part_len {
                self.send_part()?;
            }
            let len = bytes.len().min(self.part_len - self.part.len());
            let wanted = self.part.len() + len;
            if self.part.capacity() < wanted {
                let room = wanted.max(PART_LEN_FIRST).max(2 * self.part.capacity()).min(self.part_len);
                self.part.reserve_exact(room - self.part.len());
            }
            self.part.extend_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<ObjectMeta, Error> {
        let etag = if self.multipart.is_some() {
            self.send_part()?;
            self.complete()?
        } else {
            let etag = self.put()?;
            self.sent_len = self.part.len() as u64;
            etag
        };
        let id = ObjectId { key: self.key.clone(), etag };
        match self.store.head(&self.key) {
            Ok(meta) if meta.id == id && meta.size != self.sent_len => {
                let detail = format!("{:?} has {} bytes in the store, and {} were sent", self.key, meta.size, self.sent_len);
                Err(Error::new(ErrorKind::UpstreamUnavailable, detail))
            }
            Ok(meta) if meta.id == id => Ok(meta),
            // It is there, whatever is there by now or can be asked.
            _ => Ok(ObjectMeta {
                id,
                size: self.sent_len,
                last_modified: SystemTime::now(),
                content_type: Some(self.content_type.clone()),
                cache_control: None,
            }),
        }
    }
}

impl Drop for PartSink<'_> {
    fn drop(&mut self) {
        if let Some(multipart) = self.multipart.take() {
            self.store.orphans.abort_or_keep(self.store, Orphan::Known(multipart));
        }
    }
}

/// Whether an error may be gone at the next try.
pub(super) fn may_pass(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UpstreamUnavailable | ErrorKind::UpstreamTimeout | ErrorKind::UpstreamBusy)
}

/// Tries until it succeeds, or fails for a reason that will not pass, or has failed as often as it may. Tells how often it had
/// failed before.
pub(super) fn patiently<T>(call: impl Fn() -> Result<T, Error>) -> Result<(T, usize), (Error, usize)> {
    let mut failures = 0;
    loop {
        match (call(), PAUSES.get(failures)) {
            (Ok(done), _) => return Ok((done, failures)),
            (Err(error), Some(pause)) if may_pass(error.kind()) => {
                log::debug!("tried again in {pause:?}: {}", error.chain());
                thread::sleep(*pause);
                failures += 1;
            }
            (Err(error), _) => return Err((error, failures)),
        }
    }
}

/// The ETag of an object that was put together from parts with these: the MD5 of their MD5s, and how many they are. A store that
/// encrypts with keys of its own has others, and then there is none here.
pub(super) fn etag_of_parts(etags: &[String]) -> Option<String> {
    let mut whole = Md5::new();
    for etag in etags {
        let digits = etag.trim_matches('"').as_bytes();
        if digits.len() != 32 {
            return None;
        }
        for pair in digits.chunks_exact(2) {
            let pair = std::str::from_utf8(pair).ok()?;
            whole.update([u8::from_str_radix(pair, 16).ok()?]);
        }
    }
    Some(format!("{}-{}", hex(&whole.finalize()), etags.len()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;

    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_of_parts() {
        // printf 'a' | md5sum; and of both digests in binary, one behind the other.
        let a = "\"0cc175b9c0f1b6a831c399e269772661\"".to_owned();
        let b = "92eb5ffee6ae2fec3ad71c777531578f".to_owned();
        assert_eq!(etag_of_parts(&[a.clone(), b]).as_deref(), Some("96e024ba2074fe77e8e965ba43a704be-2"));
        assert_eq!(etag_of_parts(&["\"0cc175\"".to_owned(), a.clone()]), None);
        assert_eq!(etag_of_parts(&[a.replace('0', "x")]), None);
    }
}
