//! The requests of a multipart upload.
//!
//! In scope: creating one, its parts, completing and aborting it, each sent and its reply checked; and those that could not be
//! aborted when they ended. Not in scope: which bytes make a part (`upload`).

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use instant_xml::FromXml;
use jiff::{SignedDuration, Timestamp};
use rusty_s3::actions::{CompleteMultipartUploadResponse, CreateMultipartUpload, ListParts};
use rusty_s3::{Credentials, Method, signing};
use ureq::Body;
use ureq::http::Response;

use super::reply::{self, Request};
use super::wire::{Sending, Wire};
use super::{PRESIGN_LIFETIME, S3};
use crate::error::{Error, ErrorKind};
use crate::object::{ETag, ObjectKey};
use crate::store::write::Pin;

/// The most parts of one object (AWS, "Amazon S3 multipart upload limits").
pub(super) const PARTS_MAX: u64 = 10_000;

/// The smallest part but the last, in bytes (the same).
const PART_LEN_MIN: u64 = 5 * 1024 * 1024;

/// Parts are as long as a multiple of this, in bytes.
const PART_LEN_STEP: u64 = 1024 * 1024;

/// The longest id of a multipart upload. Those of S3 have some 130 characters, those of MinIO up to 200.
const ID_LEN_MAX: usize = 1024;

/// How much the clocks of the store and of this machine may differ where uploads are told apart by their time.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(5);

/// How many uploads that could not be aborted are remembered. Beyond, the oldest is left to the bucket's lifecycle rules.
const ORPHANS_MAX: usize = 1000;

/// A multipart upload of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Multipart {
    pub(super) key: ObjectKey,
    pub(super) id: String,
}

/// A part that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its version.
    pub(super) etag: String,
    /// How many bytes it has.
    pub(super) len: u64,
}

/// How long the parts of an object of at most `size_max` bytes are, so that as many as there may be suffice.
pub(super) fn part_len(size_max: u64) -> u64 {
    size_max.div_ceil(PARTS_MAX).next_multiple_of(PART_LEN_STEP).max(PART_LEN_MIN)
}

impl Multipart {
    /// Creates one. Where the reply is lost, what may have been created without us is aborted.
    pub(super) fn create(store: &S3, wire: &Wire, key: &ObjectKey, content_type: &str) -> Result<Self, Error> {
        // Where it may not be listed, what is lost with a reply is left to the bucket's lifecycle rules.
        let before = list(store, key).ok();
        let request = Request::new("POST", "the upload of", key.as_str());
        let sign =
            |credentials: &Credentials| S3::presign(&store.bucket.create_multipart_upload(Some(credentials), key.as_str()));
        let fields = [("content-type", content_type)];
        let created = store
            .ask_by(wire, &request, &fields, Sending::Once(&[]), sign)
            .and_then(|response| check_created(wire, &request, response));
        match created {
            Ok(id) => Ok(Self { key: key.clone(), id }),
            Err(error) => {
                if let Some(before) = before {
                    let before = before.into_iter().map(|it| it.id).collect();
                    store.orphans.abort_or_keep(store, Orphan::Unknown { key: key.clone(), before, until: Timestamp::now() });
                }
                Err(error)
            }
        }
    }

    /// Sends a part, and gives its version.
    pub(super) fn put_part(&self, store: &S3, wire: &Wire, number: u16, bytes: &[u8]) -> Result<String, Error> {
        let request = Request::new("PUT", "a part of", self.key.as_str());
        let sign = |credentials: &Credentials| {
            S3::presign(&store.bucket.upload_part(Some(credentials), self.key.as_str(), number, &self.id))
        };
        let response = store.ask_by(wire, &request, &[], Sending::Part(bytes), sign)?;
        if response.status().as_u16() != 200 {
            return Err(refuse_write(wire, &request, response, &Pin::Any));
        }
        let etag = reply::check_put(&request, response.headers())?;
        finish_reply(wire, response);
        Ok(etag.as_str().to_owned())
    }

    /// Makes the parts an object, and gives its version.
    pub(super) fn complete(&self, store: &S3, wire: &Wire, etags: &[String], pin: &Pin) -> Result<ETag, Error> {
        let request = Request::new("POST", "the upload of", self.key.as_str());
        let action = |credentials: Option<&Credentials>| {
            let etags = etags.iter().map(String::as_str);
            let action = store.bucket.complete_multipart_upload(credentials, self.key.as_str(), &self.id, etags.clone());
            (credentials.map(|_| S3::presign(&action)), action.body())
        };
        let body = action(None).1;
        let sign = |credentials: &Credentials| action(Some(credentials)).0.unwrap_or_default();
        let mut fields = vec![("content-type", "application/xml")];
        fields.extend(condition(pin));
        let response = store.ask_by(wire, &request, &fields, Sending::Once(body.as_bytes()), sign)?;
        if response.status().as_u16() != 200 {
            return Err(refuse_write(wire, &request, response, pin));
        }
        let text = wire.text(&request, response)?;
        match CompleteMultipartUploadResponse::parse(text.trim_start()) {
            Ok(done) => ETag::from_store(done.etag()),
            Err(_) => Err(reply::error_in_good_reply(&request, text.as_bytes(), pin)
                .unwrap_or_else(|| request.nonsense("something that cannot be parsed"))),
        }
    }

    /// Its parts from the first one on, as far as none is missing: version and length of each. `None` where there is no such upload,
    /// for it was completed or aborted.
    pub(super) fn parts(&self, store: &S3) -> Result<Option<Vec<Part>>, Error> {
        let request = Request::new("GET", "the parts of", self.key.as_str());
        let mut parts = Vec::new();
        let mut marker = None;
        loop {
            let sign = |credentials: &Credentials| {
                let mut action = store.bucket.list_parts(Some(credentials), self.key.as_str(), &self.id);
                if let Some(marker) = marker {
                    action.set_part_number_marker(marker);
                }
                S3::presign(&action)
            };
            let response = store.ask(&request, &[], sign)?;
            if response.status().as_u16() != 200 {
                return match store.wire.refuse(&request, response) {
                    error if error.kind() == ErrorKind::NotFound => store.check_bucket().map(|()| None),
                    error => Err(error),
                };
            }
            let text = store.wire.text(&request, response)?;
            let page = ListParts::parse_response(&text).map_err(|_| request.nonsense("a list that cannot be parsed"))?;
            for part in page.parts {
                if usize::from(part.number) != parts.len() + 1 {
                    return Ok(Some(parts));
                }
                parts.push(Part { etag: part.etag, len: part.size });
            }
            match page.next_part_number_marker {
                None => return Ok(Some(parts)),
                // Going back would never end.
                Some(next) if usize::from(next) != parts.len() => return Err(request.nonsense("a page out of order")),
                next => marker = next,
            }
        }
    }

    /// Ends it, with all its parts. That there is none is as good.
    pub(super) fn abort(&self, store: &S3) -> Result<(), Error> {
        let request = Request::new("DELETE", "the upload of", self.key.as_str());
        let sign = |credentials: &Credentials| {
            S3::presign(&store.bucket.abort_multipart_upload(Some(credentials), self.key.as_str(), &self.id))
        };
        let response = store.ask(&request, &[], sign)?;
        match response.status().as_u16() {
            200 | 204 | 404 => Ok(()),
            _ => Err(store.wire.refuse(&request, response)),
        }
    }
}

/// The fields that say on what condition something is written.
pub(super) fn condition(pin: &Pin) -> Option<(&'static str, &str)> {
    match pin {
        Pin::Any => None,
        Pin::Nothing => Some(("if-none-match", "*")),
        Pin::Version(etag) => Some(("if-match", etag.as_str())),
    }
}

/// The error for a reply that refuses what was to be written.
pub(super) fn refuse_write(wire: &Wire, request: &Request, response: Response<Body>, pin: &Pin) -> Error {
    let (head, body) = wire.split(response);
    reply::refuse_write(request, head.status, &head.headers, &body, pin)
}

/// Reads an empty reply to its end, so that its connection can be used again.
pub(super) fn finish_reply(wire: &Wire, response: Response<Body>) {
    drop(wire.split(response));
}

fn check_created(wire: &Wire, request: &Request, response: Response<Body>) -> Result<String, Error> {
    if response.status().as_u16() != 200 {
        return Err(refuse_write(wire, request, response, &Pin::Any));
    }
    let text = wire.text(request, response)?;
    let created = CreateMultipartUpload::parse_response(&text).map_err(|_| request.nonsense("no id of an upload"))?;
    let id = created.upload_id();
    if id.is_empty() || id.len() > ID_LEN_MAX {
        return Err(request.nonsense("an id of an upload that is none"));
    }
    Ok(id.to_owned())
}

/// The multipart uploads of exactly this key. There is no such action in rusty-s3, which signs it all the same.
fn list(store: &S3, key: &ObjectKey) -> Result<Vec<ListedUpload>, Error> {
    let request = Request::new("GET", "the uploads of", key.as_str());
    let sign = |credentials: &Credentials| {
        // In the order of the names, as the signature wants it.
        let query = [("prefix", key.as_str()), ("uploads", "")];
        let url = store.bucket.base_url().clone();
        let (id, secret, token) = (credentials.key(), credentials.secret(), credentials.token());
        let lifetime = PRESIGN_LIFETIME.as_secs();
        let region = store.bucket.region();
        let no_fields = std::iter::empty();
        signing::sign(&Timestamp::now(), Method::Get, url, id, secret, token, region, lifetime, query.into_iter(), no_fields)
            .into()
    };
    let response = store.ask(&request, &[], sign)?;
    if response.status().as_u16() != 200 {
        return Err(store.wire.refuse(&request, response));
    }
    let text = store.wire.text(&request, response)?;
    let found: ListUploadsReply = instant_xml::from_str(&text).map_err(|_| request.nonsense("a list that cannot be parsed"))?;
    Ok(found.uploads.into_iter().filter(|it| it.key == key.as_str()).collect())
}

#[derive(Debug, FromXml)]
#[xml(rename = "ListMultipartUploadsResult", ns("http://s3.amazonaws.com/doc/2006-03-01/"))]
struct ListUploadsReply {
    uploads: Vec<ListedUpload>,
}

#[derive(Debug, FromXml)]
#[xml(rename = "Upload", ns("http://s3.amazonaws.com/doc/2006-03-01/"))]
struct ListedUpload {
    #[xml(rename = "Key")]
    key: String,
    #[xml(rename = "UploadId")]
    id: String,
    #[xml(rename = "Initiated")]
    initiated: Option<String>,
}

impl ListedUpload {
    /// Whether it was there by this time, by a clock that may be somewhat off. Where it does not say, it was.
    fn is_older_than(&self, time: Timestamp) -> bool {
        let initiated: Option<Timestamp> = self.initiated.as_deref().and_then(|text| text.parse().ok());
        initiated.is_none_or(|initiated| initiated <= time.saturating_add(CLOCK_SKEW).unwrap_or(time))
    }
}

/// What is to be aborted once the store can be asked.
#[derive(Debug)]
pub(super) enum Orphan {
    /// This one.
    Known(Multipart),
    /// Those of this key that came up to this time, but for these, which were there before: the reply that had the id was lost.
    Unknown { key: ObjectKey, before: Vec<String>, until: Timestamp },
}

impl Orphan {
    fn abort(&self, store: &S3) -> Result<(), Error> {
        match self {
            Self::Known(multipart) => multipart.abort(store),
            Self::Unknown { key, before, until } => {
                let found = list(store, key)?;
                let mut new = found.into_iter().filter(|it| !before.contains(&it.id) && it.is_older_than(*until));
                new.try_for_each(|it| Multipart { key: key.clone(), id: it.id }.abort(store))
            }
        }
    }
}

/// Multipart uploads that are to be aborted.
#[derive(Debug, Default)]
pub(super) struct Orphans(Mutex<VecDeque<Orphan>>);

impl Orphans {
    fn push(&self, orphan: Orphan) {
        let mut orphans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if orphans.len() == ORPHANS_MAX {
            log::warn!("too many uploads could not be aborted, and one of them stays: {:?}", orphans.pop_front());
        }
        orphans.push_back(orphan);
    }

    /// Aborts this one now, or later where the store cannot be asked.
    pub(super) fn abort_or_keep(&self, store: &S3, orphan: Orphan) {
        if let Err(error) = orphan.abort(store) {
            log::warn!("an upload could not be aborted, and will be later: {}", error.chain());
            self.push(orphan);
        }
    }

    /// Aborts those that are kept, until one of them fails.
    pub(super) fn abort(&self, store: &S3) -> Result<(), Error> {
        loop {
            let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(orphan) = next else { return Ok(()) };
            if let Err(error) = orphan.abort(store) {
                self.push(orphan);
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_parts_as_there_may_be_suffice() {
        const MIB: u64 = 1024 * 1024;
        for (size_max, want) in [
            (0, 5 * MIB),
            (1, 5 * MIB),
            (16 * 1024 * MIB, 5 * MIB),
            (50_000 * MIB, 5 * MIB),
            (50_000 * MIB + 1, 6 * MIB),
            // The largest object of S3.
            (5 * 1024 * 1024 * MIB, 525 * MIB),
        ] {
            assert_eq!(part_len(size_max), want, "{size_max}");
            assert!(size_max.div_ceil(part_len(size_max)) <= PARTS_MAX);
        }
        for size_max in (0..=5 * 1024 * 1024).map(|mib| mib * MIB + 1) {
            assert!(size_max.div_ceil(part_len(size_max)) <= PARTS_MAX, "{size_max}");
        }
    }

    #[test]
    fn lists_of_uploads() {
        let xml = "<?xml version=\"1.0\"?><ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                   <Bucket>films</Bucket><KeyMarker></KeyMarker><IsTruncated>false</IsTruncated>\
                   <Upload><Key>a</Key><UploadId>1</UploadId><Initiated>2026-01-01T00:00:00Z</Initiated></Upload>\
                   <Upload><Key>ab</Key><UploadId>2</UploadId></Upload></ListMultipartUploadsResult>";
        let found: ListUploadsReply = instant_xml::from_str(xml).unwrap();
        let found: Vec<_> = found.uploads.into_iter().map(|it| (it.key, it.id)).collect();
        assert_eq!(found, [("a".to_owned(), "1".to_owned()), ("ab".to_owned(), "2".to_owned())]);
    }
}
