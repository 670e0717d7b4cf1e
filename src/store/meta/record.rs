//! What is known of one object, as bytes for Redis and for disk.
//!
//! In scope: the form of a record, and that nothing but a whole, true one is read. Not in scope: where it lies (`kept`, `shared`).
//!
//! Two lines: a JSON object, and the SHA-256 of that first line in hexadecimal. The JSON is for a person with `redis-cli` or
//! `cat`, the sum finds any byte that was changed. The sum proves no origin, so every field is checked as one of a store would be.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::clock::unix_secs;
use crate::object::{ETag, ObjectId, ObjectKey, ObjectMeta};

/// The version of this form. Part of the names in Redis too, so that two programs of different versions do not meet.
pub(super) const VERSION: u64 = 1;
/// The longest record, in bytes. A key of 1024 bytes and two fields of the store are 4 KiB; what is longer is not kept.
pub(super) const RECORD_LEN_MAX: usize = 16 * 1024;
/// The end of the year 9999, in seconds since 1970: an HTTP date has four digits for the year (RFC 9110 section 5.6.7).
const UNIX_SECS_MAX: u64 = 253_402_300_799;

/// The SHA-256 of something, in hexadecimal.
pub(super) fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        // With its length in front, so that no two lists of parts are one text.
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hex(&hasher.finalize())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    digits.map(char::from).collect()
}

/// What the store said of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// There is an object.
    Found(ObjectMeta),
    /// There is none.
    Missing,
}

/// An answer, and when the store gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) answer: Answer,
    /// To the second.
    pub(super) checked_at: SystemTime,
}

impl Record {
    /// The bytes of a record of this key in this namespace (a digest). `None` where it has no record: too long, or of a time that
    /// no record can say.
    pub(super) fn to_bytes(&self, namespace: &str, key: &ObjectKey) -> Option<Vec<u8>> {
        let checked_at = unix_secs(self.checked_at)?;
        let mut record = json!({"v": VERSION, "ns": namespace, "key": key.as_str(), "checked_at": checked_at});
        if let Answer::Found(meta) = &self.answer {
            record["etag"] = meta.id.etag.as_str().into();
            record["size"] = meta.size.into();
            record["last_modified"] = unix_secs(meta.last_modified)?.into();
            record["content_type"] = meta.content_type.as_deref().into();
            record["cache_control"] = meta.cache_control.as_deref().into();
        }
        let line = record.to_string();
        let bytes = format!("{line}\n{}\n", hex(&Sha256::digest(&line))).into_bytes();
        (bytes.len() <= RECORD_LEN_MAX).then_some(bytes)
    }

    /// The record in these bytes, if they are a whole one of this key in this namespace.
    pub(super) fn from_bytes(bytes: &[u8], namespace: &str, key: &ObjectKey) -> Option<Self> {
        if bytes.len() > RECORD_LEN_MAX {
            return None;
        }
        let mut lines = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?.split('\n');
        let (line, sum) = (lines.next()?, lines.next()?);
        if lines.next().is_some() || sum != hex(&Sha256::digest(line)) {
            return None;
        }
        let record: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| record.get(name)?.as_str();
        let secs = |name: &str| record.get(name)?.as_u64().filter(|secs| *secs <= UNIX_SECS_MAX).map(time);
        if record.get("v")?.as_u64()? != VERSION || text("ns")? != namespace || text("key")? != key.as_str() {
            return None;
        }
        let answer = if record.get("etag").is_none() {
            Answer::Missing
        } else {
            Answer::Found(ObjectMeta {
                id: ObjectId { key: key.clone(), etag: ETag::from_store(text("etag")?).ok()? },
                size: record.get("size")?.as_u64()?,
                last_modified: secs("last_modified")?,
                content_type: field(record.get("content_type")?)?,
                cache_control: field(record.get("cache_control")?)?,
            })
        };
        Some(Self { answer, checked_at: secs("checked_at")? })
    }
}

fn time(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

/// A field of the store, or null: it goes into the head of an answer, so it has what a store's reply could have and no line end.
#[allow(clippy::option_option)] // Illegal, absent, there.
fn field(value: &Value) -> Option<Option<String>> {
    if value.is_null() {
        return Some(None);
    }
    let text = value.as_str()?;
    let is_legal = text.bytes().all(|byte| byte == b'\t' || (0x20..=0x7e).contains(&byte));
    is_legal.then(|| Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMESPACE: &str = "n";

    fn key() -> ObjectKey {
        ObjectKey::new("films/\u{e9}t\u{e9} \"1\".mp4").unwrap()
    }

    fn found() -> Record {
        let meta = ObjectMeta {
            id: ObjectId { key: key(), etag: ETag::from_store("\"abc-2\"").unwrap() },
            size: u64::MAX,
            last_modified: time(784_111_777),
            content_type: Some("video/mp4; codecs=\"avc1\"".to_owned()),
            cache_control: None,
        };
        Record { answer: Answer::Found(meta), checked_at: time(1_700_000_000) }
    }

    fn missing() -> Record {
        Record { answer: Answer::Missing, checked_at: time(0) }
    }

    fn read(bytes: &[u8]) -> Option<Record> {
        Record::from_bytes(bytes, NAMESPACE, &key())
    }

    #[test]
    fn what_is_written_is_read_again() {
        for record in [found(), missing()] {
            assert_eq!(read(&record.to_bytes(NAMESPACE, &key()).unwrap()), Some(record));
        }
    }

    #[test]
    fn every_byte_that_is_changed_and_every_cut_is_noticed() {
        for record in [found(), missing()] {
            let bytes = record.to_bytes(NAMESPACE, &key()).unwrap();
            for at in 0..bytes.len() {
                assert_eq!(read(&bytes[..at]), None, "cut at {at}");
                for bit in 0..8 {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= 1 << bit;
                    assert_eq!(read(&flipped), None, "bit {bit} of byte {at}");
                }
                let mut doubled = bytes.clone();
                doubled.insert(at, bytes[at]);
                assert_eq!(read(&doubled), None, "byte {at} twice");
            }
            assert_eq!(read(&[bytes.as_slice(), b"\n"].concat()), None);
            assert_eq!(read(&[bytes.as_slice(), &bytes].concat()), None);
        }
    }

    #[test]
    fn a_record_of_another_key_or_namespace_is_none() {
        let bytes = found().to_bytes(NAMESPACE, &key()).unwrap();
        assert_eq!(Record::from_bytes(&bytes, "m", &key()), None);
        assert_eq!(Record::from_bytes(&bytes, NAMESPACE, &ObjectKey::new("other").unwrap()), None);
    }

    /// A record with this JSON and a sum that is right.
    fn sealed(line: &str) -> Vec<u8> {
        format!("{line}\n{}\n", hex(&Sha256::digest(line))).into_bytes()
    }

    #[test]
    fn records_that_somebody_else_wrote() {
        let good = json!({"v": 1, "ns": NAMESPACE, "key": key().as_str(), "checked_at": 1, "etag": "\"a\"", "size": 1,
            "last_modified": 1, "content_type": null, "cache_control": "no-cache"});
        assert!(read(&sealed(&good.to_string())).is_some());
        for (name, bad) in [
            ("v", json!(2)),
            ("v", json!("1")),
            ("v", Value::Null),
            ("etag", json!("W/\"a\"")),
            ("etag", json!("a\r\nb")),
            ("etag", json!(1)),
            ("etag", Value::Null),
            ("size", json!(-1)),
            ("size", json!(1.5)),
            ("size", json!("1")),
            ("last_modified", json!(UNIX_SECS_MAX + 1)),
            ("last_modified", json!(-1)),
            ("checked_at", json!(u64::MAX)),
            ("checked_at", Value::Null),
            ("content_type", json!("a\r\nX: y")),
            ("content_type", json!("\u{e9}")),
            ("cache_control", json!("a\u{0}")),
            ("cache_control", json!(["a"])),
        ] {
            let mut record = good.clone();
            record[name] = bad;
            assert_eq!(read(&sealed(&record.to_string())), None, "{record}");
        }
        for name in ["v", "ns", "key", "checked_at", "size", "last_modified", "content_type", "cache_control"] {
            let mut record = good.clone();
            record.as_object_mut().unwrap().remove(name);
            assert_eq!(read(&sealed(&record.to_string())), None, "{record}");
        }
        for text in ["", "null", "[]", "{}", "1", "\"\"", &"[".repeat(10_000), &" ".repeat(RECORD_LEN_MAX)] {
            assert_eq!(read(&sealed(text)), None, "{text:.20}");
            assert_eq!(read(text.as_bytes()), None, "{text:.20}");
        }
    }

    #[test]
    fn what_has_no_record() {
        let with = |change: fn(&mut ObjectMeta)| {
            let mut record = found();
            let Answer::Found(meta) = &mut record.answer else { panic!() };
            change(meta);
            record.to_bytes(NAMESPACE, &key())
        };
        assert!(with(|meta| meta.cache_control = Some("x".repeat(RECORD_LEN_MAX / 2))).is_some());
        assert_eq!(with(|meta| meta.cache_control = Some("x".repeat(RECORD_LEN_MAX))), None);
        assert_eq!(with(|meta| meta.last_modified = UNIX_EPOCH - Duration::from_secs(1)), None);
    }

    #[test]
    fn digests_know_where_a_part_ends() {
        assert_eq!(digest(&[b"ab", b"c"]).len(), 64);
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_ne!(digest(&[b"abc"]), digest(&[b"abc", b""]));
    }
}
