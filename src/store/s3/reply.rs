//! What a reply of the store must look like before a byte of it is used.
//!
//! In scope: pure checks of status and fields. Not in scope: any I/O.

use std::fmt;
use std::ops::Range;
use std::time::SystemTime;

use ureq::http::{HeaderMap, StatusCode};

use crate::error::{Error, ErrorKind};
use crate::object::{ETag, ObjectId, ObjectKey, ObjectMeta};
use crate::store::credentials::Doubt;
use crate::store::write::Pin;

/// How much of what the store says in its own words is repeated, in characters.
const QUOTE_LEN_MAX: usize = 200;

/// What a store says of a name, or of the beginning of names, that it cannot hold.
const UNSPEAKABLE: [&str; 3] = ["KeyTooLongError", "XMinioInvalidObjectName", "XMinioInvalidResourceName"];

/// What a store says of credentials that are good no more, or not yet or never were (AWS, "Error responses"): others may be.
/// MinIO calls the third one `InvalidTokenId`.
const OF_CREDENTIALS: [&str; 5] =
    ["ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "InvalidTokenId", "TokenRefreshRequired"];

/// What was asked, for the details of errors: `GET of the object "a.mp4"`. It never holds a URL.
#[derive(Clone, Debug)]
pub(super) struct Request {
    method: &'static str,
    what: &'static str,
    name: String,
}

impl Request {
    pub(super) fn new(method: &'static str, what: &'static str, name: &str) -> Self {
        Self { method, what, name: name.to_owned() }
    }

    /// The HTTP method, or LIST for a GET of the bucket.
    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    /// The error for a reply that no store may send.
    pub(super) fn nonsense(&self, what: &str) -> Error {
        Error::new(ErrorKind::UpstreamUnavailable, format!("{self} was answered with {what}"))
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} {:?}", self.method, self.what, self.name)
    }
}

/// Checks the fields of a reply 200 to HEAD.
pub(super) fn check_head(request: &Request, fields: &HeaderMap, key: &ObjectKey) -> Result<ObjectMeta, Error> {
    let size = parse_decimal(single(request, fields, "content-length")?)
        .ok_or_else(|| request.nonsense("a length that is not a number"))?;
    let etag = ETag::from_store(single(request, fields, "etag")?)?;
    let last_modified = httpdate::parse_http_date(single(request, fields, "last-modified")?)
        .map_err(|_| request.nonsense("a Last-Modified that is not a date"))?;
    Ok(ObjectMeta {
        id: ObjectId { key: key.clone(), etag },
        size,
        last_modified,
        content_type: text(fields, "content-type"),
        cache_control: text(fields, "cache-control"),
    })
}

/// Checks the fields of a reply 206 to GET: exactly the range of exactly the version. A `Content-Encoding` is a property of the
/// stored bytes, which pass through as they are.
pub(super) fn check_span(request: &Request, fields: &HeaderMap, id: &ObjectId, range: &Range<u64>) -> Result<(), Error> {
    let etag = ETag::from_store(single(request, fields, "etag")?)?;
    if etag != id.etag {
        let detail = format!("{request} was answered with the version {etag}, not {}", id.etag);
        return Err(Error::new(ErrorKind::Changed, detail));
    }
    let content_range = single(request, fields, "content-range")?;
    if !is_content_range(content_range, range) {
        return Err(request.nonsense(&format!("another range than {range:?}: {:?}", quote(content_range.as_bytes()))));
    }
    let length = single(request, fields, "content-length")?;
    if parse_decimal(length) != Some(range.end - range.start) {
        return Err(request.nonsense(&format!("the length {:?} for {range:?}", quote(length.as_bytes()))));
    }
    Ok(())
}

/// Checks the fields of a reply 200 to what was put: its version.
pub(super) fn check_put(request: &Request, fields: &HeaderMap) -> Result<ETag, Error> {
    ETag::from_store(single(request, fields, "etag")?)
}

/// The error for a refusal of what was to be written. A store is asked to write on a condition in a request of its own, so what it
/// says of that is said to the client.
pub(super) fn refuse_write(request: &Request, status: StatusCode, fields: &HeaderMap, body: &[u8], pin: &Pin) -> Error {
    let error = refuse(request, status, fields, body);
    let kind = match (error.kind(), status.as_u16(), pin) {
        // 409 where somebody else writes the same key (AWS, "Conditional writes").
        (ErrorKind::Changed, 412, _) | (_, 409, Pin::Nothing | Pin::Version(_)) => ErrorKind::PreconditionFailed,
        // The object whose version was to be replaced is gone.
        (ErrorKind::NotFound, 404, Pin::Version(_)) if code_of(fields, body).as_deref() != Some("NoSuchUpload") => {
            ErrorKind::PreconditionFailed
        }
        (ErrorKind::NotFound, 404, _) => ErrorKind::UpstreamUnavailable,
        // Names that the store cannot have.
        (ErrorKind::NotFound, _, _) => ErrorKind::BadKey,
        (kind, ..) => kind,
    };
    Error::new(kind, error.to_string())
}

/// The error in a reply 200 that is one all the same: the store began to answer before it knew (AWS, `CompleteMultipartUpload`).
pub(super) fn error_in_good_reply(request: &Request, body: &[u8], pin: &Pin) -> Option<Error> {
    let code = element(body, "Code")?;
    let status = match code.as_str() {
        "PreconditionFailed" => StatusCode::PRECONDITION_FAILED,
        "ConditionalRequestConflict" => StatusCode::CONFLICT,
        "NoSuchUpload" | "NoSuchKey" => StatusCode::NOT_FOUND,
        "SlowDown" | "ServiceUnavailable" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Some(refuse_write(request, status, &HeaderMap::new(), body, pin))
}

/// Whether a reply of this status may be about the credentials. S3 answers 400 where a token has expired.
pub(super) fn may_doubt(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 401 | 403)
}

/// Whether such a reply is about the credentials, as far as it says; `None` where it is about something else.
pub(super) fn doubt(status: StatusCode, fields: &HeaderMap, body: &[u8]) -> Option<Doubt> {
    match code_of(fields, body) {
        _ if !may_doubt(status) => None,
        Some(code) if OF_CREDENTIALS.contains(&code.as_str()) => Some(Doubt::Certain),
        Some(_) => None,
        None => Some(Doubt::Uncertain),
    }
}

/// Whether good credentials lack a permission (AWS, "Error responses": `AccessDenied`), and nothing else is wrong.
pub(super) fn is_for_want_of_permission(status: StatusCode, fields: &HeaderMap, body: &[u8]) -> bool {
    status == StatusCode::FORBIDDEN && code_of(fields, body).is_some_and(|code| code == "AccessDenied")
}

/// What the store calls an error. MinIO says it to HEAD too, in a field of its own.
fn code_of(fields: &HeaderMap, body: &[u8]) -> Option<String> {
    element(body, "Code").or_else(|| text(fields, "x-minio-error-code").map(|code| quote(code.as_bytes())))
}

/// The error for a status that is not the one hoped for. `body` is what the store says of it, or the beginning of that.
pub(super) fn refuse(request: &Request, status: StatusCode, fields: &HeaderMap, body: &[u8]) -> Error {
    let code = code_of(fields, body).unwrap_or_default();
    let kind = match status.as_u16() {
        401 | 403 => ErrorKind::UpstreamForbidden,
        400 if OF_CREDENTIALS.contains(&code.as_str()) => ErrorKind::UpstreamForbidden,
        404 if code == "NoSuchBucket" || request.method == "LIST" => return missing_bucket(&request.name_of_bucket(body)),
        404 => ErrorKind::NotFound,
        // Names that MinIO cannot store, because its file system cannot: nothing of such a name can exist.
        400 if UNSPEAKABLE.contains(&code.as_str()) => ErrorKind::NotFound,
        // 416 where the range is within the version asked for: the object is another, shorter one by now.
        412 | 416 => ErrorKind::Changed,
        // SlowDown and ServiceUnavailable ask for fewer requests both (AWS, "Error responses"); other stores send 429.
        429 | 503 => ErrorKind::UpstreamBusy,
        _ => ErrorKind::UpstreamUnavailable,
    };
    let mut detail = format!("{request} was answered with {}", status.as_u16());
    if !code.is_empty() {
        detail.push(' ');
        detail.push_str(&code);
    }
    if let Some(message) = element(body, "Message").filter(|message| !message.is_empty()) {
        detail.push_str(": ");
        detail.push_str(&message);
    }
    let region = text(fields, "x-amz-bucket-region").filter(|_| status.is_redirection() || status.as_u16() == 400);
    if let Some(region) = region {
        detail.push_str("; the bucket is in the region ");
        detail.push_str(&quote(region.as_bytes()));
    }
    Error::new(kind, detail)
}

/// The error for a bucket that does not exist: a fault of the settings, and never "not found" for a client.
pub(super) fn missing_bucket(name: &str) -> Error {
    let named = if name.is_empty() { String::new() } else { format!(" {name:?}") };
    Error::new(ErrorKind::UpstreamUnavailable, format!("the bucket{named} does not exist"))
}

impl Request {
    fn name_of_bucket(&self, body: &[u8]) -> String {
        if self.what == "the bucket" { self.name.clone() } else { element(body, "BucketName").unwrap_or_default() }
    }
}

/// The time that the store says it is.
pub(super) fn date(fields: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(fields.get("date")?.to_str().ok()?).ok()
}

/// The value of a field that must be there exactly once.
fn single<'a>(request: &Request, fields: &'a HeaderMap, name: &str) -> Result<&'a str, Error> {
    let mut values = fields.get_all(name).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (Some(Ok(value)), None) => Ok(value.trim()),
        (None, _) => Err(request.nonsense(&format!("no {name}"))),
        _ => Err(request.nonsense(&format!("a {name} that is not one plain value"))),
    }
}

/// The value of a field that may be there; nothing where it cannot be sent on as it is.
fn text(fields: &HeaderMap, name: &str) -> Option<String> {
    let value = fields.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// Digits only: `u64::from_str` would take a `+`.
fn parse_decimal(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Whether this is the `Content-Range` of exactly this range, of an object of a known size (RFC 9110 section 14.4).
fn is_content_range(text: &str, range: &Range<u64>) -> bool {
    let parse = || {
        let (first, rest) = text.strip_prefix("bytes ")?.split_once('-')?;
        let (last, size) = rest.split_once('/')?;
        Some((parse_decimal(first)?, parse_decimal(last)?, parse_decimal(size)?))
    };
    parse().is_some_and(|(first, last, size)| first == range.start && last == range.end - 1 && last < size)
}

/// The text of the first element of this name in an error of S3, tolerantly: it may be cut short, or no XML at all.
fn element(body: &[u8], name: &str) -> Option<String> {
    let body = String::from_utf8_lossy(body);
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once("</")?;
    // No store puts the URL or its signature into these; should one, they go no further.
    let is_secret = ["X-Amz-", "x-amz-", "Signature="].iter().any(|mark| text.contains(mark));
    if is_secret { None } else { Some(quote(text.as_bytes())) }
}

/// What a peer said, made fit for one line of a log.
fn quote(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.trim().chars().take(QUOTE_LEN_MAX).map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests;
