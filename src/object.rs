//! What a store holds: keys, entity tags, versions and their metadata.
//!
//! In scope: the legal forms of each, and the guess of a content type. Not in scope: any I/O.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, ErrorKind};

/// The longest key, in bytes of its UTF-8 (the limit of S3: AWS, "Naming Amazon S3 objects").
pub const KEY_LEN_MAX: usize = 1024;

/// The first segment of names that are not objects: what this program keeps beside them is there.
pub const RESERVED: &str = ".vidgate";

/// What stays as it is in a path segment: the unreserved characters of RFC 3986 section 2.3.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The name of an object. One that exists is legal: valid UTF-8 of 1 to 1024 bytes, with no empty, `.` or `..` segment and no
/// control character, so it names the same thing as a path of a URL, as an S3 key and as a file below a directory. What lies
/// below [`RESERVED`] is none.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(Arc<str>);

impl ObjectKey {
    /// Takes a key as the store spells it.
    ///
    /// # Errors
    /// [`ErrorKind::BadKey`], with what is wrong with it.
    pub fn new(key: &str) -> Result<Self, Error> {
        let bad = |why: &str| Err(Error::new(ErrorKind::BadKey, why));
        if key.is_empty() {
            return bad("the key is empty");
        }
        if key.len() > KEY_LEN_MAX {
            return Err(Error::new(ErrorKind::BadKey, format!("the key has {} bytes, {KEY_LEN_MAX} are allowed", key.len())));
        }
        if key.chars().any(char::is_control) {
            return bad("the key has a control character");
        }
        if key.split('/').next() == Some(RESERVED) {
            return bad("the key is one of those that are kept for the server itself");
        }
        for segment in key.split('/') {
            match segment {
                "" => return bad("the key has an empty segment"),
                "." | ".." => return bad("the key has a segment of dots"),
                _ => {}
            }
        }
        Ok(Self(key.into()))
    }

    /// Takes a key as a request path spells it: percent-decodes it, once, then checks it.
    ///
    /// # Errors
    /// [`ErrorKind::BadKey`]: a broken percent escape, bytes that are not UTF-8, or what [`ObjectKey::new`] refuses.
    pub fn from_path(raw: &str) -> Result<Self, Error> {
        let bytes = raw.as_bytes();
        for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
            let escape = bytes.get(at + 1..at + 3);
            if !escape.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                return Err(Error::new(ErrorKind::BadKey, "the key has a broken percent escape"));
            }
        }
        match percent_decode_str(raw).decode_utf8() {
            Ok(key) => Self::new(&key),
            Err(_) => Err(Error::new(ErrorKind::BadKey, "the key is not UTF-8")),
        }
    }

    /// The key as the store spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment: what a person would call the file name.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The key as a URL path without a leading slash: each segment percent-encoded, `/` kept.
    pub fn to_path(&self) -> String {
        let mut path = String::with_capacity(self.0.len());
        for (index, segment) in self.0.split('/').enumerate() {
            if index > 0 {
                path.push('/');
            }
            path.extend(utf8_percent_encode(segment, SEGMENT));
        }
        path
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A strong entity tag in its quotes, as RFC 9110 section 8.8.3 writes it: `"abc"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(Arc<str>);

impl ETag {
    /// Takes the entity tag that a store sent. Some stores leave the quotes away; they are added.
    ///
    /// # Errors
    /// [`ErrorKind::UpstreamUnavailable`] where it is weak, empty or has a character that RFC 9110 does not allow: such a tag
    /// cannot name one version of the bytes.
    pub fn from_store(raw: &str) -> Result<Self, Error> {
        let opaque = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(raw);
        // etagc = %x21 / %x23-7E / obs-text; obs-text is refused, because it would have to travel through String.
        if opaque.is_empty() || opaque.starts_with("W/") || !opaque.bytes().all(|b| b == 0x21 || (0x23..=0x7e).contains(&b)) {
            return Err(Error::new(ErrorKind::UpstreamUnavailable, format!("the store sent no strong ETag but {raw:?}")));
        }
        Ok(Self(format!("\"{opaque}\"").into()))
    }

    /// The tag with its quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this text is the tag, with its quotes or without.
    pub fn is_named_by(&self, text: &str) -> bool {
        text == &*self.0 || text == &self.0[1..self.0.len() - 1]
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One version of one object: the key and the entity tag travel together, so that no read can mix two versions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId {
    /// Its name.
    pub key: ObjectKey,
    /// Its version.
    pub etag: ETag,
}

/// What a store says of an object besides its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Which version of which object this describes.
    pub id: ObjectId,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written, to the second (RFC 9110 section 8.8.2).
    pub last_modified: SystemTime,
    /// The stored media type, if any.
    pub content_type: Option<String>,
    /// The stored `Cache-Control`, if any.
    pub cache_control: Option<String>,
}

impl ObjectMeta {
    /// The media type to answer with: the stored one, or by extension where that is absent or says nothing.
    pub fn content_type(&self) -> &str {
        match self.content_type.as_deref() {
            None | Some("" | "application/octet-stream" | "binary/octet-stream") => content_type_of(&self.id.key),
            Some(stored) => stored,
        }
    }
}

/// The media type that an extension stands for; `application/octet-stream` where it is not a known one.
pub fn content_type_of(key: &ObjectKey) -> &'static str {
    let extension = key.file_name().rsplit_once('.').map_or("", |(_, extension)| extension);
    let extension = extension.to_ascii_lowercase();
    match extension.as_str() {
        "mp4" | "m4v" => "video/mp4",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        "mkv" => "video/x-matroska",
        "ogv" => "video/ogg",
        "avi" => "video/x-msvideo",
        "mpg" | "mpeg" => "video/mpeg",
        "ts" | "m2ts" | "mts" => "video/mp2t",
        "3gp" => "video/3gpp",
        "flv" => "video/x-flv",
        "wmv" => "video/x-ms-wmv",
        "m4s" => "video/iso.segment",
        "m3u8" => "application/vnd.apple.mpegurl",
        "mpd" => "application/dash+xml",
        "vtt" => "text/vtt; charset=utf-8",
        "srt" => "application/x-subrip; charset=utf-8",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "aac" => "audio/aac",
        "flac" => "audio/flac",
        "oga" | "ogg" | "opus" => "audio/ogg",
        "wav" => "audio/wav",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, want: Option<&str>) {
        let got = ObjectKey::from_path(raw);
        match (&got, want) {
            (Ok(key), Some(want)) => assert_eq!(key.as_str(), want),
            (Err(error), None) => assert_eq!(error.kind(), ErrorKind::BadKey),
            _ => panic!("{raw:?} gave {got:?}"),
        }
    }

    #[test]
    fn keys_of_request_paths() {
        check("film.mp4", Some("film.mp4"));
        check("a/b/c.mp4", Some("a/b/c.mp4"));
        check("a%2Fb", Some("a/b"));
        check("with%20space", Some("with space"));
        check("a+b", Some("a+b"));
        check("%26%3D%23%3F%25", Some("&=#?%"));
        check("&=", Some("&="));
        check("%D1%84%D0%B8%D0%BB%D1%8C%D0%BC", Some("фильм"));
        check("фильм", Some("фильм"));
        // Decoded once: what is left may look like an escape, and is then part of the name.
        check("%252e%252e", Some("%2e%2e"));
        check("a%252Fb", Some("a%2Fb"));
        check("...", Some("..."));
        check(".hidden", Some(".hidden"));
        check(".vidgate2", Some(".vidgate2"));
        check("a/.vidgate", Some("a/.vidgate"));
        check(&"x".repeat(1024), Some(&"x".repeat(1024)));
        check(&"%78".repeat(1024), Some(&"x".repeat(1024)));

        check("", None);
        check(".", None);
        check("..", None);
        check("../x", None);
        check("a/../x", None);
        check("a/..", None);
        check(".vidgate", None);
        check(".vidgate/x", None);
        check("%2Evidgate%2Fx", None);
        check("%2e%2e/x", None);
        check("a%2F..%2Fx", None);
        check("a/%2E", None);
        check("/a", None);
        check("a/", None);
        check("a//b", None);
        check("a%2F%2Fb", None);
        check("%2Fa", None);
        check("a%00b", None);
        check("a%0Ab", None);
        check("a%7F", None);
        check("a%C2%85", None);
        check("%FF", None);
        check("%C0%AE%C0%AE/x", None);
        check("%ED%A0%80", None);
        check("%", None);
        check("%4", None);
        check("a%zz", None);
        check(&"x".repeat(1025), None);
        check(&"%D1%84".repeat(513), None);
    }

    #[test]
    fn a_key_survives_the_way_through_a_path() {
        for key in ["a b/ü&=+#?%.mp4", "фильм/ 1", "~x/!'()*", "a%2Fb"] {
            let key = ObjectKey::new(key).unwrap();
            assert!(key.to_path().is_ascii());
            assert_eq!(ObjectKey::from_path(&key.to_path()).unwrap(), key);
        }
    }

    #[test]
    fn entity_tags_of_stores() {
        assert_eq!(ETag::from_store("\"abc-2\"").unwrap().as_str(), "\"abc-2\"");
        assert_eq!(ETag::from_store("abc").unwrap().as_str(), "\"abc\"");
        for (text, is_named) in
            [("abc", true), ("\"abc\"", true), ("\"abc", false), ("W/\"abc\"", false), ("ab", false), ("", false)]
        {
            assert_eq!(ETag::from_store("abc").unwrap().is_named_by(text), is_named, "{text}");
        }
        for bad in ["", "\"\"", "W/\"abc\"", "a\"b", "\"a", "a b", "a\r\nX: y", "é"] {
            assert!(ETag::from_store(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn content_types_by_extension() {
        for (key, want) in [
            ("a/film.MP4", "video/mp4"),
            ("list.m3u8", "application/vnd.apple.mpegurl"),
            ("a.b/noextension", "application/octet-stream"),
            ("page.html", "application/octet-stream"),
        ] {
            assert_eq!(content_type_of(&ObjectKey::new(key).unwrap()), want);
        }
    }
}
