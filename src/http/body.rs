//! The small bodies that are collected together with their head.
//!
//! In scope: which requests have one, and whether all of it came. Not in scope: what is in it, and the bodies of uploads.
//!
//! A body of a few hundred bytes is waited for as the head is: without a thread, within the time that a head may take, and counted
//! with the bytes of heads. So whoever sends it slowly costs no more than whoever sends a head slowly.

use crate::error::{Error, ErrorKind};
use crate::http::head::{BodyFraming, Head};
use crate::http::route;

/// The longest body that is collected, in bytes; above: 413.
pub const BODY_LEN_MAX: u64 = 16 * 1024;

/// How many bytes of body are collected with this head: 0 where it has none, or one that is none of those.
///
/// # Errors
/// [`ErrorKind::PayloadTooLarge`], and [`ErrorKind::LengthRequired`] where the length is not told beforehand: what sends JSON
/// knows it.
pub fn collected_len(head: &Head<'_>) -> Result<usize, Error> {
    if head.method != "POST" || route::split(&head.target).0 != route::TOKENS {
        return Ok(0);
    }
    match head.body {
        BodyFraming::None => Ok(0),
        BodyFraming::Length(len) if len <= BODY_LEN_MAX => Ok(usize::try_from(len).unwrap_or(0)),
        BodyFraming::Length(len) => {
            Err(Error::new(ErrorKind::PayloadTooLarge, format!("the body has {len} bytes, {BODY_LEN_MAX} are allowed")))
        }
        BodyFraming::Chunked => Err(ErrorKind::LengthRequired.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{Outcome, Seen, parse};

    #[track_caller]
    fn check(line: &str, framing: &str, want: Result<usize, u16>) {
        let raw = format!("{line} HTTP/1.1\r\nHost: a\r\n{framing}\r\n");
        let Outcome::Head(head, _) = parse(raw.as_bytes(), &mut Seen::default()) else { panic!("{raw}") };
        assert_eq!(collected_len(&head).map_err(|error| error.kind().status()), want, "{raw}");
    }

    #[test]
    fn which_bodies_are_collected() {
        check("POST /api/tokens", "Content-Length: 10\r\n", Ok(10));
        check("POST /api/tokens?x", "Content-Length: 16384\r\n", Ok(16384));
        check("POST /api/tokens", "Content-Length: 16385\r\n", Err(413));
        check("POST /api/tokens", "Content-Length: 18446744073709551615\r\n", Err(413));
        check("POST /api/tokens", "Content-Length: 0\r\n", Ok(0));
        check("POST /api/tokens", "", Ok(0));
        check("POST /api/tokens", "Transfer-Encoding: chunked\r\n", Err(411));
        for other in
            ["GET /api/tokens", "PUT /api/tokens", "POST /api/tokens/", "POST /api/videos", "POST /", "post /api/tokens"]
        {
            check(other, "Content-Length: 18446744073709551615\r\n", Ok(0));
            check(other, "Transfer-Encoding: chunked\r\n", Ok(0));
        }
    }
}
