//! What a GET or HEAD of an object is answered: the one place that chooses 200, 206, 304, 412 or 416.
//!
//! In scope: preconditions and range, put together in the order of RFC 9110 section 13.2.2, and the fields of the answer. Not in
//! scope: fetching the metadata or the bytes.

use std::time::{Duration, SystemTime};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{Error, ErrorKind};
use crate::http::conditional::{self, Verdict};
use crate::http::head::Fields;
use crate::http::range::{self, Wanted};
use crate::http::response::{Body, ObjectPart, Response};
use crate::object::ObjectMeta;

/// What the request says of the bytes, besides which of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The size of a chunk in bytes.
    pub chunk_len: usize,
    /// The file name to save as; empty for the object's own.
    pub download: Option<String>,
    /// The version that the address names, with its quotes or without: of any other there is nothing to be had.
    pub version: Option<String>,
    /// Who may be given the same answer by a cache in between.
    pub audience: Audience,
}

/// Who may be given an answer that a shared cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// Whoever asks for the same address, for as long as the object says.
    #[default]
    Anybody,
    /// Nobody but the client that asked: what let it in does not stand in the address. An object whose own `Cache-Control` says
    /// `public` would be given to strangers, for that allows it (RFC 9111 section 3.5).
    Asker,
}

/// The answer to a GET or HEAD of the object. HEAD is answered what GET without a Range would be (RFC 9110 section 14.2 defines
/// Range for GET only).
pub fn answer(is_head: bool, fields: &Fields, meta: &ObjectMeta, options: &Options) -> Response {
    // Before the fields of RFC 9110 section 13.2.2, for it says what the address is of. A browser's player cannot send If-Match, and
    // what it does instead (If-Range or nothing) would give it the bytes of a new version in the middle of an old one.
    let is_other = options.version.as_deref().is_some_and(|version| !meta.id.etag.is_named_by(version));
    let verdict = if is_other { Verdict::Failed } else { conditional::evaluate(fields, &meta.id.etag, meta.last_modified) };
    let range = match verdict {
        Verdict::Failed => {
            let mut response = Response::with_error(&ErrorKind::PreconditionFailed.into());
            response.field("ETag", meta.id.etag.as_str());
            return response;
        }
        Verdict::NotModified => {
            let mut response = Response::new(304);
            add_validators(&mut response, meta, options.audience);
            return response;
        }
        Verdict::ProceedWhole => None,
        Verdict::Proceed if is_head => None,
        Verdict::Proceed => fields.get("range"),
    };
    let (status, part) = match range::resolve(range, meta.size) {
        Wanted::Whole => (200, 0..meta.size),
        Wanted::Part(part) => (206, part),
        Wanted::Unsatisfiable => {
            let detail = format!("the range starts behind the end of the object, which has {} bytes", meta.size);
            let mut response = Response::with_error(&Error::new(ErrorKind::RangeNotSatisfiable, detail));
            response.field("Content-Range", &format!("bytes */{}", meta.size));
            return response;
        }
    };
    let mut response = Response::new(status);
    if status == 206 {
        response.field("Content-Range", &format!("bytes {}-{}/{}", part.start, part.end - 1, meta.size));
    }
    response.field("Content-Type", meta.content_type());
    response.field("Accept-Ranges", "bytes");
    add_validators(&mut response, meta, options.audience);
    response.field("Cross-Origin-Resource-Policy", "cross-origin");
    response.field("X-Content-Type-Options", "nosniff");
    if is_active(meta.content_type()) {
        // Whoever may write to the bucket may not run scripts in the pages of this server.
        response.field("Content-Security-Policy", "sandbox; default-src 'none'");
    }
    if let Some(name) = &options.download {
        let name = if name.is_empty() { meta.id.key.file_name() } else { name };
        response.field("Content-Disposition", &attachment(name));
    }
    let part = ObjectPart { id: meta.id.clone(), range: part, object_size: meta.size, chunk_len: options.chunk_len };
    response.body = Body::Object(part);
    response
}

/// The fields that a 304 has as well (RFC 9110 section 15.4.5).
fn add_validators(response: &mut Response, meta: &ObjectMeta, audience: Audience) {
    response.field("ETag", meta.id.etag.as_str());
    response.field("Last-Modified", &http_date(meta.last_modified));
    let own = meta.cache_control.as_deref().filter(|own| audience == Audience::Anybody || keeps_to_asker(own));
    response.field("Cache-Control", own.unwrap_or("private, max-age=0, must-revalidate"));
}

/// Whether a `Cache-Control` keeps shared caches from holding the answer (RFC 9111 sections 5.2.2.5 and 5.2.2.7). With an argument
/// `private` is about single fields only.
fn keeps_to_asker(cache_control: &str) -> bool {
    let mut directives = cache_control.split(',').map(str::trim);
    directives.any(|it| it.eq_ignore_ascii_case("private") || it.eq_ignore_ascii_case("no-store"))
}

/// An HTTP date. A time that it cannot say (before 1970, behind 9999) becomes the nearest that it can.
fn http_date(time: SystemTime) -> String {
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    httpdate::fmt_http_date(time.clamp(SystemTime::UNIX_EPOCH, last))
}

/// Media types that a browser runs scripts of when it shows them.
fn is_active(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "text/html" || essence.ends_with("/xml") || essence.ends_with("+xml") && essence != "application/dash+xml"
}

/// attr-char of RFC 8187 section 3.2.1.
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// A Content-Disposition that saves the body under this name (RFC 6266): plain ASCII for old clients, and the name itself as
/// RFC 8187 encodes it. Path separators do not survive, as section 4.3 asks of recipients.
fn attachment(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_control() || matches!(c, '/' | '\\') { '_' } else { c }).collect();
    // Section 4.3 and appendix D: no quotes and no percent sign in the plain form, which some clients would decode.
    let plain: String = name.chars().map(|c| if c.is_ascii() && !matches!(c, '"' | '%') { c } else { '_' }).collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(&name, ATTR_CHAR))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ETag, ObjectId, ObjectKey};

    fn meta(size: u64) -> ObjectMeta {
        ObjectMeta {
            id: ObjectId { key: ObjectKey::new("a/film.mp4").unwrap(), etag: ETag::from_store("\"v\"").unwrap() },
            size,
            last_modified: std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777),
            content_type: None,
            cache_control: None,
        }
    }

    /// Status, Content-Range and the bytes sent.
    #[track_caller]
    fn check(method: &str, fields: &[(&str, &str)], size: u64, status: u16, content_range: Option<&str>, length: Option<u64>) {
        let response = answer(method == "HEAD", &fields.iter().copied().collect(), &meta(size), &Options::default());
        let is_object = matches!(response.body, Body::Object(_));
        assert_eq!(response.status(), status, "{fields:?}");
        assert_eq!(response.get("Content-Range"), content_range, "{fields:?}");
        assert_eq!(is_object.then(|| response.content_length()).flatten(), length, "{fields:?}");
    }

    #[test]
    fn statuses() {
        check("GET", &[], 10, 200, None, Some(10));
        check("GET", &[("range", "bytes=0-")], 10, 206, Some("bytes 0-9/10"), Some(10));
        check("GET", &[("range", "bytes=0-1")], 10, 206, Some("bytes 0-1/10"), Some(2));
        check("GET", &[("range", "bytes=-3")], 10, 206, Some("bytes 7-9/10"), Some(3));
        check("GET", &[("range", "bytes=0-1,2-3")], 10, 200, None, Some(10));
        check("GET", &[("range", "bytes=10-")], 10, 416, Some("bytes */10"), None);
        check("GET", &[("range", "bytes=0-")], 0, 200, None, Some(0));
        check("HEAD", &[("range", "bytes=0-1")], 10, 200, None, Some(10));
        check("HEAD", &[("range", "bytes=10-")], 10, 200, None, Some(10));
        check("GET", &[("range", "bytes=0-1"), ("if-range", "\"v\"")], 10, 206, Some("bytes 0-1/10"), Some(2));
        check("GET", &[("range", "bytes=0-1"), ("if-range", "\"w\"")], 10, 200, None, Some(10));
        check("GET", &[("range", "bytes=99-"), ("if-range", "\"w\"")], 10, 200, None, Some(10));
        check("GET", &[("if-range", "\"w\"")], 10, 200, None, Some(10));
        check("GET", &[("if-none-match", "\"v\""), ("range", "bytes=0-1")], 10, 304, None, None);
        check("HEAD", &[("if-none-match", "*")], 10, 304, None, None);
        check("GET", &[("if-match", "\"w\""), ("range", "bytes=99-")], 10, 412, None, None);
        check("HEAD", &[("if-match", "\"w\"")], 10, 412, None, None);
    }

    #[test]
    fn an_address_of_a_version_answers_no_other() {
        for (version, is_ours) in [
            ("\"v\"", true),
            ("v", true),
            ("\"w\"", false),
            ("w", false),
            ("W/\"v\"", false),
            ("\"v", false),
            ("\"\"v\"\"", false),
            ("\"v\", \"w\"", false),
            ("*", false),
            ("", false),
        ] {
            let options = Options { version: Some(version.to_owned()), ..Options::default() };
            for (fields, ours) in [
                (&[][..], 200),
                (&[("range", "bytes=0-1")][..], 206),
                (&[("range", "bytes=0-1"), ("if-range", "\"w\"")][..], 200),
                (&[("if-none-match", "\"v\"")][..], 304),
                (&[("if-match", "\"w\"")][..], 412),
                (&[("range", "bytes=10-")][..], 416),
            ] {
                let response = answer(false, &fields.iter().copied().collect(), &meta(10), &options);
                assert_eq!(response.status(), if is_ours { ours } else { 412 }, "{version} {fields:?}");
                // Who asked for another learns which there is.
                assert!(is_ours || response.get("ETag") == Some("\"v\""), "{version} {fields:?}");
            }
        }
    }

    #[test]
    fn fields_of_the_bytes() {
        let mut meta = meta(10);
        let options = Options { chunk_len: 5, download: Some(String::new()), ..Options::default() };
        let response = answer(false, &Fields::default(), &meta, &options);
        for (name, want) in [
            ("Content-Type", Some("video/mp4")),
            ("Accept-Ranges", Some("bytes")),
            ("ETag", Some("\"v\"")),
            ("Last-Modified", Some("Sun, 06 Nov 1994 08:49:37 GMT")),
            ("Cache-Control", Some("private, max-age=0, must-revalidate")),
            ("Cross-Origin-Resource-Policy", Some("cross-origin")),
            ("X-Content-Type-Options", Some("nosniff")),
            ("Content-Disposition", Some("attachment; filename=\"film.mp4\"; filename*=UTF-8''film.mp4")),
            ("Content-Security-Policy", None),
            ("Content-Encoding", None),
            ("Transfer-Encoding", None),
        ] {
            assert_eq!(response.get(name), want, "{name}");
        }
        meta.content_type = Some("Text/HTML; charset=utf-8".into());
        meta.cache_control = Some("public, max-age=60".into());
        let response = answer(false, &Fields::default(), &meta, &Options::default());
        assert_eq!(response.get("Content-Type"), Some("Text/HTML; charset=utf-8"));
        assert_eq!(response.get("Cache-Control"), Some("public, max-age=60"));
        assert_eq!(response.get("Content-Security-Policy"), Some("sandbox; default-src 'none'"));
        assert_eq!(response.get("Content-Disposition"), None);
    }

    #[test]
    fn what_a_shared_cache_may_hold() {
        let default = "private, max-age=0, must-revalidate";
        for (own, for_anybody, for_asker) in [
            (None, default, default),
            (Some("public, max-age=60"), "public, max-age=60", default),
            (Some("s-maxage=60"), "s-maxage=60", default),
            (Some("max-age=60, must-revalidate"), "max-age=60, must-revalidate", default),
            (Some("private=\"x\", public"), "private=\"x\", public", default),
            (Some("max-age=60,Private"), "max-age=60,Private", "max-age=60,Private"),
            (Some("no-store"), "no-store", "no-store"),
        ] {
            let meta = ObjectMeta { cache_control: own.map(str::to_owned), ..meta(10) };
            for (audience, want) in [(Audience::Anybody, for_anybody), (Audience::Asker, for_asker)] {
                let options = Options { audience, ..Options::default() };
                for fields in [Fields::default(), [("if-none-match", "\"v\"")].into_iter().collect()] {
                    let response = answer(false, &fields, &meta, &options);
                    assert_eq!(response.get("Cache-Control"), Some(want), "{own:?} {audience:?} {fields:?}");
                }
            }
        }
    }

    #[test]
    fn times_that_http_cannot_say() {
        let year_10_000 = Duration::from_secs(253_402_300_799) + Duration::from_secs(1);
        for (time, want) in [
            (SystemTime::UNIX_EPOCH - Duration::from_secs(1), "Thu, 01 Jan 1970 00:00:00 GMT"),
            (SystemTime::UNIX_EPOCH + year_10_000, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(http_date(time), want);
        }
    }

    #[test]
    fn names_to_save_as() {
        for (name, want) in [
            ("film.mp4", "attachment; filename=\"film.mp4\"; filename*=UTF-8''film.mp4"),
            ("a \"b\".mp4", "attachment; filename=\"a _b_.mp4\"; filename*=UTF-8''a%20%22b%22.mp4"),
            ("я.mp4", "attachment; filename=\"_.mp4\"; filename*=UTF-8''%D1%8F.mp4"),
            ("../../etc/x", "attachment; filename=\".._.._etc_x\"; filename*=UTF-8''.._.._etc_x"),
            ("a\r\nb%41", "attachment; filename=\"a__b_41\"; filename*=UTF-8''a__b%2541"),
        ] {
            assert_eq!(attachment(name), want);
        }
    }
}
