//! The body of a ranged reply, as a span.
//!
//! In scope: exactly the bytes of the range, and giving the connection back. Not in scope: the head of the reply (`reply`).

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use ureq::BodyReader;

use super::plain::{Open, Payload, Plain};
use super::reply::Request;
use super::wire;
use crate::error::{Error, ErrorKind};
use crate::store::Span;

/// How much is asked of ureq at once, in bytes: what its input buffer holds. A larger piece would be zeroed for nothing.
const PIECE_LEN: usize = 64 * 1024;

/// What a reply is whose end could not be told from a break.
pub(super) const UNFRAMED: &str = "a body that is not framed by the length of the range";

/// An open body, and what is still to come of it.
pub(super) struct BodySpan {
    request: Request,
    body: Source,
    whole: Range<u64>,
    /// The offset, in the object, of the next byte.
    at: u64,
}

/// Where the bytes come from.
enum Source {
    Ureq(BodyReader<'static>),
    Connection(Open, Arc<Plain>),
    /// Nowhere: the last has come, or the connection broke.
    Ended,
}

impl BodySpan {
    /// Takes the body of a reply whose head was checked, and which is framed by nothing but its length where it comes on a
    /// connection of `plain`.
    ///
    /// # Errors
    /// [`ErrorKind::UpstreamUnavailable`] where the body is framed otherwise than by the length of the range: its end could not
    /// be told from a break.
    pub(super) fn new(
        request: Request,
        payload: Payload,
        whole: Range<u64>,
        plain: Option<&Arc<Plain>>,
    ) -> Result<Self, Error> {
        let body = match (payload, plain) {
            (Payload::Connection(open), Some(plain)) => Source::Connection(open, Arc::clone(plain)),
            // ureq prefers `chunked` where both are sent (RFC 9112 section 6.3), so the field alone does not say it.
            (Payload::Body(body), _) if body.content_length() == Some(whole.end - whole.start) => {
                Source::Ureq(body.into_reader())
            }
            _ => return Err(request.nonsense(UNFRAMED)),
        };
        Ok(Self { request, body, at: whole.start, whole })
    }

    /// Gives the connection back.
    fn finish(&mut self) {
        match std::mem::replace(&mut self.body, Source::Ended) {
            // ureq must see the end of the body, which it does without reading from the connection. One that sends more than it
            // said is closed by it instead. The span is whole; whatever this says, its bytes are good.
            Source::Ureq(mut body) => drop(body.read(&mut [0])),
            Source::Connection(open, plain) => open.finish(&plain),
            Source::Ended => {}
        }
    }

    fn broken(&self, error: &std::io::Error) -> String {
        let Range { start, end } = self.whole;
        format!("{} broke off at byte {} of {start} to {end}: {}", self.request, self.at, error.kind())
    }
}

impl Source {
    fn read(&mut self, buf: &mut Vec<u8>, want: usize, left: usize) -> std::io::Result<usize> {
        match self {
            Self::Ureq(body) => {
                let start = buf.len();
                buf.resize(start + want.min(PIECE_LEN), 0);
                let outcome = body.read(&mut buf[start..]);
                buf.truncate(start + outcome.as_ref().map_or(0, |read_len| *read_len));
                outcome
            }
            Self::Connection(open, _) => open.read(buf, want, left),
            Self::Ended => Ok(0),
        }
    }
}

impl Span for BodySpan {
    /// One call gives what a buffer holds, or else what one read of the socket gives. So bytes that are there are never kept back
    /// for bytes that may be long in coming.
    fn read(&mut self, buf: &mut Vec<u8>, len_max: usize) -> Result<usize, Error> {
        let left = usize::try_from(self.whole.end - self.at).unwrap_or(usize::MAX);
        let want = len_max.min(left);
        if want == 0 {
            return Ok(0);
        }
        match self.body.read(buf, want, left) {
            Ok(0) => Err(Error::new(ErrorKind::UpstreamUnavailable, self.broken(&std::io::ErrorKind::UnexpectedEof.into()))),
            Ok(read_len) => {
                self.at += read_len as u64;
                if self.at == self.whole.end {
                    self.finish();
                }
                Ok(read_len)
            }
            Err(error) => {
                let detail = self.broken(&error);
                let error = wire::fail(&self.request, ureq::Error::from(error));
                Err(Error::new(error.kind(), detail).with_source(error))
            }
        }
    }
}
