//! What is known of an upload that can be taken up again, as the bytes of a small object or file.
//!
//! In scope: the form of a record, and that nothing but a whole, true one is read. Not in scope: where it lies.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{Finished, NewResumable, Standing};
use crate::error::{Error, ErrorKind};
use crate::object::{ETag, ObjectKey};
use crate::store::write::Pin;

/// The version of this form.
const VERSION: u64 = 1;
/// The longest record, in bytes: a key, a media type, metadata as long as a request head and the ids of a store.
pub(crate) const RECORD_LEN_MAX: usize = 128 * 1024;
/// The end of the year 9999, in seconds since 1970: an HTTP date has four digits for the year (RFC 9110 section 5.6.7).
const UNIX_SECS_MAX: u64 = 253_402_300_799;

/// What is known of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: ObjectKey,
    /// How many bytes it will have.
    pub(crate) len: u64,
    pub(crate) content_type: Option<String>,
    pub(crate) metadata: String,
    /// What it may replace.
    pub(crate) pin: Pin,
    /// To the second.
    pub(crate) expires_at: SystemTime,
    /// Where its store takes it in parts: which.
    pub(crate) parts: Option<Parts>,
    /// Where set, what is kept counts up to here at most: what is behind came with a checksum that was not compared yet.
    pub(crate) trusted: Option<u64>,
    /// The version that it is about to become. Where the key has it, it has become that.
    pub(crate) finishing: Option<ETag>,
    /// The version that it became.
    pub(crate) done: Option<ETag>,
}

/// The parts of an object in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// What the bucket calls them.
    pub(crate) id: String,
    /// How long each is but the last, in bytes.
    pub(crate) part_len: u64,
}

impl Record {
    /// That of a new upload.
    pub(crate) fn new(new: &NewResumable, pin: Pin) -> Self {
        let upload = &new.upload;
        Self {
            key: upload.key.clone(),
            len: upload.size_max,
            content_type: upload.content_type.clone(),
            metadata: new.metadata.clone(),
            pin,
            expires_at: new.expires_at,
            parts: None,
            trusted: None,
            finishing: None,
            done: None,
        }
    }

    /// Whether it has not expired by this time.
    ///
    /// # Errors
    /// [`ErrorKind::Gone`] where it has.
    pub(crate) fn check_alive(&self, now: SystemTime) -> Result<(), Error> {
        if self.expires_at > now { Ok(()) } else { Err(Error::new(ErrorKind::Gone, "the upload has expired")) }
    }

    /// How far it is, where so many bytes are kept.
    pub(crate) fn standing(&self, offset: u64, finished: Finished) -> Standing {
        let (key, len, metadata) = (self.key.clone(), self.len, self.metadata.clone());
        Standing { key, len, offset, metadata, expires_at: self.expires_at, finished }
    }

    /// Of so many bytes that are kept, how many count.
    pub(crate) fn counted(&self, kept_len: u64) -> u64 {
        kept_len.min(self.trusted.unwrap_or(self.len)).min(self.len)
    }

    /// Its bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Rounded up, for what is promised is kept.
        let expires_at = self.expires_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis().div_ceil(1000);
        let pin = match &self.pin {
            Pin::Any => json!("any"),
            Pin::Nothing => json!("nothing"),
            Pin::Version(etag) => json!({"version": etag.as_str()}),
        };
        let tag = |etag: &Option<ETag>| etag.as_ref().map(|etag| etag.as_str().to_owned());
        let record = json!({
            "v": VERSION,
            "key": self.key.as_str(),
            "len": self.len,
            "content_type": self.content_type,
            "metadata": self.metadata,
            "replaces": pin,
            "expires_at": u64::try_from(expires_at).unwrap_or(UNIX_SECS_MAX),
            "parts": self.parts.as_ref().map(|parts| json!({"id": parts.id, "len": parts.part_len})),
            "trusted": self.trusted,
            "finishing": tag(&self.finishing),
            "done": tag(&self.done),
        });
        record.to_string().into_bytes()
    }

    /// The record in these bytes, where they are a whole one.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let record: Value = serde_json::from_slice(bytes).ok()?;
        let number = |name: &str| record.get(name)?.as_u64();
        if bytes.len() > RECORD_LEN_MAX || number("v")? != VERSION {
            return None;
        }
        let len = number("len")?;
        let pin = match record.get("replaces")? {
            Value::String(what) if what == "any" => Pin::Any,
            Value::String(what) if what == "nothing" => Pin::Nothing,
            other => Pin::Version(ETag::from_store(other.get("version")?.as_str()?).ok()?),
        };
        let parts = match record.get("parts")? {
            Value::Null => None,
            parts => {
                let (id, part_len) = (parts.get("id")?.as_str()?, parts.get("len")?.as_u64()?);
                Some(Parts { id: id.to_owned(), part_len }).filter(|parts| parts.part_len > 0 && !parts.id.is_empty())
            }
        };
        if parts.is_none() && !record["parts"].is_null() {
            return None;
        }
        let trusted = match record.get("trusted")? {
            Value::Null => None,
            trusted => Some(trusted.as_u64().filter(|trusted| *trusted <= len)?),
        };
        Some(Self {
            key: ObjectKey::new(record.get("key")?.as_str()?).ok()?,
            len,
            content_type: text(record.get("content_type")?)?,
            metadata: text(record.get("metadata")?)??,
            pin,
            expires_at: number("expires_at").filter(|secs| *secs <= UNIX_SECS_MAX).map(time)?,
            parts,
            trusted,
            finishing: tag(record.get("finishing")?)?,
            done: tag(record.get("done")?)?,
        })
    }
}

fn time(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

/// A text that goes into the head of an answer or request, or null.
#[allow(clippy::option_option)] // Illegal, absent, there.
fn text(value: &Value) -> Option<Option<String>> {
    if value.is_null() {
        return Some(None);
    }
    let text = value.as_str()?;
    let is_legal = text.bytes().all(|byte| byte == b'\t' || (0x20..=0x7e).contains(&byte));
    is_legal.then(|| Some(text.to_owned()))
}

#[allow(clippy::option_option)] // As above.
fn tag(value: &Value) -> Option<Option<ETag>> {
    text(value)?.map_or(Some(None), |text| ETag::from_store(&text).ok().map(Some))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            key: ObjectKey::new("films/\u{e9}t\u{e9} \"1\".mp4").unwrap(),
            len: 12_000_000,
            content_type: Some("video/mp4; codecs=\"avc1\"".to_owned()),
            metadata: "filename ZmlsbQ==,empty".to_owned(),
            pin: Pin::Version(ETag::from_store("\"a\"").unwrap()),
            expires_at: time(1_800_000_000),
            parts: Some(Parts { id: "u/1+2=".to_owned(), part_len: 5 << 20 }),
            trusted: Some(7),
            finishing: Some(ETag::from_store("\"b-2\"").unwrap()),
            done: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let whole = record();
        let done = whole.finishing.clone();
        for record in [
            whole.clone(),
            Record { pin: Pin::Any, parts: None, trusted: None, finishing: None, content_type: None, ..whole.clone() },
            Record { pin: Pin::Nothing, done, metadata: String::new(), len: u64::MAX, ..whole.clone() },
        ] {
            assert_eq!(Record::from_bytes(&record.to_bytes()), Some(record));
        }
    }

    #[test]
    fn what_is_no_record_is_not_read() {
        let bytes = record().to_bytes();
        for len in 0..bytes.len() {
            assert_eq!(Record::from_bytes(&bytes[..len]), None, "{len}");
        }
        let good: Value = serde_json::from_slice(&bytes).unwrap();
        for (name, bad) in [
            ("v", json!(2)),
            ("key", json!("../x")),
            ("key", json!(".vidgate/x")),
            ("len", json!(-1)),
            ("len", json!("1")),
            ("content_type", json!("a\r\nb")),
            ("metadata", json!("a\nb")),
            ("metadata", Value::Null),
            ("replaces", json!("all")),
            ("replaces", json!({"version": "W/\"a\""})),
            ("expires_at", json!(u64::MAX)),
            ("parts", json!({"id": "", "len": 1})),
            ("parts", json!({"id": "a", "len": 0})),
            ("parts", json!(1)),
            ("trusted", json!(12_000_001)),
            ("finishing", json!("")),
            ("done", json!(1)),
        ] {
            let mut record = good.clone();
            record[name] = bad.clone();
            assert_eq!(Record::from_bytes(record.to_string().as_bytes()), None, "{name}: {bad}");
            record.as_object_mut().unwrap().remove(name);
            assert_eq!(Record::from_bytes(record.to_string().as_bytes()), None, "{name} is missing");
        }
    }

    #[test]
    fn what_counts_of_what_is_kept() {
        for (trusted, kept_len, want) in [(None, 0, 0), (None, 9, 9), (None, 11, 10), (Some(4), 9, 4), (Some(4), 3, 3)] {
            let record = Record { len: 10, trusted, ..record() };
            assert_eq!(record.counted(kept_len), want, "{trusted:?} {kept_len}");
        }
    }
}
