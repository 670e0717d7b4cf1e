//! What a request is answered, and how its head is written.
//!
//! In scope: the fields, the framing (always Content-Length, RFC 9112 section 6.2), the error JSON. Not in scope: which answer
//! it is (`plan`, `serve/handler.rs`), and sending it (`serve/stream.rs`).

use std::io::Write as _;
use std::ops::Range;

use bytes::Bytes;
use serde_json::json;

use crate::error::{Error, ErrorKind};
use crate::object::ObjectId;

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    status: u16,
    /// The field lines, each with its CR LF.
    fields: Vec<u8>,
    /// What is sent behind the head.
    pub body: Body,
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub enum Body {
    /// None, and no Content-Length: 204 and 304 (RFC 9110 section 8.6).
    None,
    /// These bytes.
    Bytes(Bytes),
    /// A part of an object.
    Object(ObjectPart),
}

/// Which bytes of which version of an object are sent, and in what chunks they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPart {
    /// The version.
    pub id: ObjectId,
    /// The bytes, half-open; empty for an empty object only.
    pub range: Range<u64>,
    /// The size of the whole object, in bytes.
    pub object_size: u64,
    /// The size of a chunk, in bytes.
    pub chunk_len: usize,
}

/// What the head says of the connection (RFC 9112 section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It goes on, which HTTP/1.1 need not be told.
    Default,
    /// It goes on, and an HTTP/1.0 client must be told.
    KeepAlive,
    /// It ends behind this answer.
    Close,
}

impl Response {
    /// An answer without a body.
    pub fn new(status: u16) -> Self {
        Self { status, fields: Vec::with_capacity(512), body: Body::None }
    }

    /// An answer with bytes of this media type.
    pub fn with_bytes(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut response = Self::new(status);
        response.field("Content-Type", content_type);
        response.body = Body::Bytes(body.into());
        response
    }

    /// An answer in JSON that no cache keeps.
    pub fn with_json(status: u16, body: &serde_json::Value) -> Self {
        let mut response = Self::with_bytes(status, "application/json", body.to_string());
        response.field("Cache-Control", "no-store");
        response.field("X-Content-Type-Options", "nosniff");
        response
    }

    /// The contract's error JSON. What the client may not know is not in it.
    pub fn with_error(error: &Error) -> Self {
        let body = json!({"error": {"code": error.kind().code(), "message": error.public_message()}});
        let mut response = Self::with_json(error.kind().status(), &body);
        if matches!(error.kind(), ErrorKind::Busy | ErrorKind::TooManyStreams) {
            response.field("Retry-After", "1");
        }
        if error.kind() == ErrorKind::Unauthorized {
            // RFC 9110 section 15.5.2: a 401 says how to do better. RFC 6750 has the scheme.
            response.field("WWW-Authenticate", "Bearer");
        }
        response
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Takes another status, for the same body.
    pub fn set_status(&mut self, status: u16) {
        self.status = status;
    }

    /// Adds a field. A control character in the value, which could start another field, becomes a space.
    pub fn field(&mut self, name: &str, value: &str) {
        self.fields.extend_from_slice(name.as_bytes());
        self.fields.extend_from_slice(b": ");
        self.fields.extend(value.bytes().map(|byte| if byte < b' ' || byte == 0x7f { b' ' } else { byte }));
        self.fields.extend_from_slice(b"\r\n");
    }

    /// The value of a field that was added.
    pub fn get(&self, name: &str) -> Option<&str> {
        let lines = std::str::from_utf8(&self.fields).ok()?.lines();
        lines
            .filter_map(|line| line.split_once(": "))
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The length of the body, in bytes, as Content-Length says it.
    pub fn content_length(&self) -> Option<u64> {
        match &self.body {
            Body::None => None,
            Body::Bytes(bytes) => Some(bytes.len() as u64),
            Body::Object(part) => Some(part.range.end - part.range.start),
        }
    }

    /// Writes the head. `date` is the present time as an IMF-fixdate (RFC 9110 section 6.6.1).
    pub fn write_head(&self, date: &str, persistence: Persistence, out: &mut Vec<u8>) {
        // Writing into a Vec cannot fail.
        let _ = write!(out, "HTTP/1.1 {} {}\r\nDate: {date}\r\n", self.status, reason(self.status));
        if let Some(length) = self.content_length() {
            let _ = write!(out, "Content-Length: {length}\r\n");
        }
        out.extend_from_slice(&self.fields);
        out.extend_from_slice(match persistence {
            Persistence::Default => b"\r\n",
            Persistence::KeepAlive => b"Connection: keep-alive\r\n\r\n",
            Persistence::Close => b"Connection: close\r\n\r\n",
        });
    }
}

/// The reason phrases of RFC 9110 section 15, for the statuses that are answered here.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        206 => "Partial Content",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        423 => "Locked",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        // Of the tus protocol, "Checksum".
        460 => "Checksum Mismatch",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        // RFC 9112 section 4: the phrase may be empty.
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(response: &Response, persistence: Persistence, want: &str) {
        let mut out = Vec::new();
        response.write_head("Sun, 06 Nov 1994 08:49:37 GMT", persistence, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn heads() {
        check(
            &Response::new(204),
            Persistence::Default,
            "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
        );
        check(
            &Response::with_bytes(200, "text/plain", "hello"),
            Persistence::Close,
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n",
        );
        check(
            &Response::with_bytes(200, "text/plain", ""),
            Persistence::KeepAlive,
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\nContent-Type: text/plain\r\nConnection: keep-alive\r\n\r\n",
        );
    }

    #[test]
    fn no_value_starts_another_field() {
        let mut response = Response::new(204);
        response.field("X", "a\r\nSet-Cookie: b\0");
        assert_eq!(response.get("X"), Some("a  Set-Cookie: b "));
        assert_eq!(response.get("Set-Cookie"), None);
    }

    #[test]
    fn errors_are_the_contracts_json() {
        let response = Response::with_error(&Error::new(ErrorKind::UpstreamForbidden, "AKIASECRET was refused"));
        assert_eq!(response.status(), 502);
        assert_eq!(response.get("Cache-Control"), Some("no-store"));
        let Body::Bytes(body) = &response.body else { panic!("no body") };
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        let message = ErrorKind::UpstreamForbidden.explain();
        assert_eq!(body, json!({"error": {"code": "upstream_forbidden", "message": message}}));
        assert_eq!(Response::with_error(&ErrorKind::Busy.into()).get("Retry-After"), Some("1"));
    }
}
