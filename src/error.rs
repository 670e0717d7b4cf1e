//! The one error of the crate.
//!
//! In scope: what went wrong ([`ErrorKind`]), on whose side ([`Side`]), and the one table that maps a kind to the status and
//! the code of the outward contract. Not in scope: how an error is written to a client (`http/response.rs`).

use std::error::Error as StdError;
use std::fmt;

/// Whose fault it was. Decides what a client may be told: the detail of a store's or our own failure goes to the log only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The request could not be served as it was asked.
    Client,
    /// The store behind us failed, refused or answered nonsense.
    Store,
    /// We failed.
    Us,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is malformed, or a parameter of it is.
    BadRequest,
    /// The object key of the request is not a legal one (see [`crate::object::ObjectKey`]).
    BadKey,
    /// `?chunkSize=` is not a decimal integer.
    BadChunkSize,
    /// A token is missing, or is not accepted (RFC 9110 section 15.5.2).
    Unauthorized,
    /// A good token, but for another object or another client (RFC 9110 section 15.5.4).
    Forbidden,
    /// There is no such route, or no such object.
    NotFound,
    /// The route exists, but not for this method.
    MethodNotAllowed,
    /// The request head was not complete in time (RFC 9110 section 15.5.9).
    RequestTimeout,
    /// The length of the body is not told beforehand (RFC 9110 section 15.5.12).
    LengthRequired,
    /// The body is longer than we read (RFC 9110 section 15.5.14).
    PayloadTooLarge,
    /// What is there stands in the way, and no condition of the request says so (RFC 9110 section 15.5.10).
    Conflict,
    /// `If-Match` or `If-Unmodified-Since` does not hold (RFC 9110 section 13.1), or another version of a protocol is wanted.
    PreconditionFailed,
    /// What was asked for ended, and is not coming back (RFC 9110 section 15.5.11).
    Gone,
    /// The body is not of the type that is taken here (RFC 9110 section 15.5.16).
    UnsupportedMediaType,
    /// Another request works on the same thing (RFC 4918 section 11.3).
    Locked,
    /// The body does not have the checksum that came with it (tus 1.0.0, "Checksum").
    ChecksumMismatch,
    /// The request target is longer than we read.
    UriTooLong,
    /// The first byte asked for lies behind the end of the object (RFC 9110 section 15.5.17).
    RangeNotSatisfiable,
    /// The request head is longer, or has more fields, than we read (RFC 6585 section 5).
    HeadTooLarge,
    /// This client has as many streams as it may (RFC 6585 section 4).
    TooManyStreams,
    /// A transfer coding other than `chunked` (RFC 9112 section 6.1).
    NotImplemented,
    /// An HTTP version other than 1.0 and 1.1 (RFC 9110 section 15.6.6).
    VersionNotSupported,
    /// The route exists, but what it needs is not configured.
    NotConfigured,
    /// We hold as many streams or requests as we may.
    Busy,
    /// The object is no longer the version that was asked for: it was replaced between two reads.
    Changed,
    /// The store cannot be reached, fails, or answers what no store may answer.
    UpstreamUnavailable,
    /// The store refuses us: wrong credentials, or no permission.
    UpstreamForbidden,
    /// The store took too long.
    UpstreamTimeout,
    /// The store asks for fewer requests (S3: 503 `SlowDown`).
    UpstreamBusy,
    /// A fault of our own.
    Internal,
}

impl ErrorKind {
    /// The status and the contract's code, and what a client is told where the detail is not for it.
    ///
    /// This is the only place that maps a kind to a status.
    const fn row(self) -> (u16, &'static str, Side, &'static str) {
        use Side::{Client, Store, Us};
        match self {
            Self::BadRequest => (400, "bad_request", Client, "the request is malformed"),
            Self::BadKey => (400, "bad_key", Client, "the object key is not valid"),
            Self::BadChunkSize => (400, "bad_chunk_size", Client, "chunkSize must be a whole number of bytes"),
            Self::Unauthorized => (401, "unauthorized", Client, "a token is needed here"),
            Self::Forbidden => (403, "forbidden", Client, "the token is for something else"),
            Self::NotFound => (404, "not_found", Client, "there is nothing here"),
            Self::MethodNotAllowed => (405, "method_not_allowed", Client, "this method is not for this address"),
            Self::RequestTimeout => (408, "bad_request", Client, "the request head was not complete in time"),
            Self::Conflict => (409, "conflict", Client, "what is there already stands in the way"),
            Self::PreconditionFailed => (412, "precondition_failed", Client, "a precondition of the request does not hold"),
            Self::Gone => (410, "not_found", Client, "this has ended"),
            Self::UnsupportedMediaType => (415, "bad_request", Client, "the body is not of a type that is taken here"),
            Self::Locked => (423, "conflict", Client, "another request works on this"),
            Self::ChecksumMismatch => (460, "bad_request", Client, "the body does not have the checksum that came with it"),
            Self::LengthRequired => (411, "bad_request", Client, "this address needs a Content-Length"),
            Self::PayloadTooLarge => (413, "payload_too_large", Client, "the body is too long"),
            Self::UriTooLong => (414, "bad_request", Client, "the request target is too long"),
            Self::RangeNotSatisfiable => {
                (416, "range_not_satisfiable", Client, "the range starts behind the end of the object")
            }
            Self::TooManyStreams => (429, "too_many_streams", Client, "this client has as many streams as it may have"),
            Self::HeadTooLarge => (431, "bad_request", Client, "the request head is too large"),
            Self::NotImplemented => (501, "bad_request", Client, "the only transfer coding known here is chunked"),
            Self::VersionNotSupported => (505, "bad_request", Client, "only HTTP/1.0 and HTTP/1.1 are spoken here"),
            Self::NotConfigured => (404, "not_configured", Client, "this is not configured on this server"),
            Self::Busy => (503, "busy", Us, "the server is busy, try again shortly"),
            Self::Changed => (502, "upstream_unavailable", Store, "the object changed while it was read"),
            Self::UpstreamUnavailable => {
                (502, "upstream_unavailable", Store, "the store of the videos cannot be read at the moment")
            }
            Self::UpstreamForbidden => (502, "upstream_forbidden", Store, "the store of the videos refuses this server"),
            Self::UpstreamBusy => {
                (502, "upstream_unavailable", Store, "the store of the videos has too much to do at the moment")
            }
            Self::UpstreamTimeout => (504, "upstream_timeout", Store, "the store of the videos took too long"),
            Self::Internal => (500, "internal", Us, "the server failed"),
        }
    }

    /// The HTTP status code that answers this kind.
    pub const fn status(self) -> u16 {
        self.row().0
    }

    /// The `code` of the error JSON.
    pub const fn code(self) -> &'static str {
        self.row().1
    }

    /// Whose fault it was.
    pub const fn side(self) -> Side {
        self.row().2
    }

    /// A sentence for whoever sees the kind and nothing else.
    pub const fn explain(self) -> &'static str {
        self.row().3
    }
}

/// An error: its kind, a detail for the log (and, where the client itself is at fault, for the client), and what caused it.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    detail: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind. `detail` holds the numbers and names; it must hold no secret.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), source: None }
    }

    /// Adds what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What a client is told: the detail where the client is at fault, a general sentence otherwise, so that no upstream
    /// address and no local path can leak.
    pub fn public_message(&self) -> &str {
        match self.kind.side() {
            // What is not there is told in one way, whichever store says so and however.
            Side::Client if !self.detail.is_empty() && self.kind != ErrorKind::NotFound => &self.detail,
            _ => self.kind.explain(),
        }
    }

    /// The whole chain in one line, for the log.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut next = self.source();
        while let Some(cause) = next {
            line.push_str(": ");
            line.push_str(&cause.to_string());
            next = cause.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.detail.is_empty() { self.kind.explain() } else { &self.detail })
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clients_own_fault_is_told_in_detail() {
        let theirs = Error::new(ErrorKind::BadKey, "the key has an empty segment");
        assert_eq!(theirs.public_message(), "the key has an empty segment");
        let stores = Error::new(ErrorKind::UpstreamUnavailable, "GET http://10.0.0.1/secret answered 500");
        assert_eq!(stores.public_message(), ErrorKind::UpstreamUnavailable.explain());
        let ours = Error::new(ErrorKind::Internal, "open of a local path failed");
        assert_eq!(ours.public_message(), ErrorKind::Internal.explain());
    }

    #[test]
    fn the_chain_names_each_cause_once() {
        let error = Error::new(ErrorKind::Internal, "reading failed").with_source(std::io::Error::other("disk on fire"));
        assert_eq!(error.to_string(), "reading failed");
        assert_eq!(error.chain(), "reading failed: disk on fire");
    }
}
