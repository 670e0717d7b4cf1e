//! The body of a ranged reply, as a span.
//!
//! In scope: exactly the bytes of the range, and giving the connection back. Not in scope: the head of the reply (`reply`).

use std::io::Read;
use std::ops::Range;

use ureq::{Body, BodyReader};

use super::reply::Request;
use super::wire;
use crate::error::{Error, ErrorKind};
use crate::store::Span;

/// How much is asked of ureq at once, in bytes: what its input buffer holds. A larger piece would be zeroed for nothing.
const PIECE_LEN: usize = 64 * 1024;

/// An open body, and what is still to come of it.
pub(super) struct BodySpan {
    request: Request,
    body: BodyReader<'static>,
    whole: Range<u64>,
    /// The offset, in the object, of the next byte.
    at: u64,
}

impl BodySpan {
    /// Takes the body of a reply whose head was checked.
    ///
    /// # Errors
    /// [`ErrorKind::UpstreamUnavailable`] where the body is framed otherwise than by the length of the range: its end could not
    /// be told from a break.
    pub(super) fn new(request: Request, body: Body, whole: Range<u64>) -> Result<Self, Error> {
        // ureq prefers `chunked` where both are sent (RFC 9112 section 6.3), so the field alone does not say it.
        if body.content_length() != Some(whole.end - whole.start) {
            return Err(request.nonsense("a body that is not framed by the length of the range"));
        }
        Ok(Self { request, body: body.into_reader(), at: whole.start, whole })
    }

    /// Lets ureq see the end of the body, which it does without reading from the connection: only then the connection goes back
    /// to the pool. One that sends more than it said is closed by ureq instead.
    fn finish(&mut self) {
        // The span is whole; whatever this says, its bytes are good.
        let _ = self.body.read(&mut [0]);
    }

    fn broken(&self, error: &std::io::Error) -> String {
        let Range { start, end } = self.whole;
        format!("{} broke off at byte {} of {start} to {end}: {}", self.request, self.at, error.kind())
    }
}

impl Span for BodySpan {
    /// One call is one read of ureq: what its buffer holds, or else what one read of the socket gives. So bytes that are there are
    /// never kept back for bytes that may be long in coming.
    fn read(&mut self, buf: &mut Vec<u8>, len_max: usize) -> Result<usize, Error> {
        let left = usize::try_from(self.whole.end - self.at).unwrap_or(usize::MAX);
        let want = len_max.min(left).min(PIECE_LEN);
        if want == 0 {
            return Ok(0);
        }
        let start = buf.len();
        buf.resize(start + want, 0);
        let outcome = self.body.read(&mut buf[start..]);
        buf.truncate(start + outcome.as_ref().map_or(0, |read_len| *read_len));
        match outcome {
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
