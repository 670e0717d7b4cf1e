//! Reading the body of an upload from a client's own connection.
//!
//! In scope: its framing, its limit, and how slow it may be. It blocks: an upload has a thread of its own. Not in scope: what is in
//! the body (`upload`).

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::http::chunked::{Decoder, Piece};
use crate::http::head::BodyFraming;
use crate::serve::connection::Connection;
use crate::serve::socket::Received;

/// How many bytes are read at once.
const READ_LEN: usize = 64 * 1024;

/// How long is waited for a client at a time, before it is looked at whether it is waited for in vain.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long, and for how many bytes, a client that is answered in the middle of its body is listened to.
const DRAIN_MAX: Duration = Duration::from_secs(2);
const DRAIN_LEN_MAX: usize = 64 * 1024 * 1024;

/// What a client waits for that asked before it sends a body (RFC 9110 section 10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How slow a client may be: so many bytes at least in each span of waiting for it. The time that the store takes does not count.
#[derive(Debug)]
struct Progress {
    waited: Duration,
    len: usize,
}

impl Progress {
    const WINDOW: Duration = Duration::from_secs(30);
    const WINDOW_LEN: usize = 30 * 1024;

    const START: Self = Self { waited: Duration::ZERO, len: 0 };

    /// So many bytes came after so long a wait, none where it was in vain. Says whether that is enough so far.
    fn note(&mut self, waited: Duration, len: usize) -> bool {
        self.waited += waited;
        self.len += len;
        if self.len >= Self::WINDOW_LEN {
            *self = Self::START;
        }
        self.waited < Self::WINDOW
    }
}

enum Framing {
    Length(u64),
    Chunked(Decoder),
    /// It was read to its end.
    Over,
}

/// The body of one request.
pub(crate) struct BodyReader<'c> {
    connection: &'c mut Connection,
    framing: Framing,
    /// How many bytes it may have.
    len_max: u64,
    len: u64,
    progress: Progress,
    /// Any of them ends the wait for the client.
    stops: &'c [&'c AtomicBool],
    buf: Box<[u8]>,
    /// What of it came and is not given yet.
    ready: Range<usize>,
}

impl<'c> BodyReader<'c> {
    /// The body of the request that this connection brought.
    ///
    /// # Errors
    /// [`ErrorKind::PayloadTooLarge`] where its length says that it is longer than that.
    pub(crate) fn new(connection: &'c mut Connection, len_max: u64, stops: &'c [&'c AtomicBool]) -> Result<Self, Error> {
        let framing = match connection.body_framing() {
            BodyFraming::None => Framing::Over,
            BodyFraming::Length(len) if len > len_max => return Err(too_long(len_max)),
            BodyFraming::Length(len) => Framing::Length(len),
            BodyFraming::Chunked => Framing::Chunked(Decoder::default()),
        };
        let buf = vec![0; READ_LEN].into_boxed_slice();
        Ok(Self { connection, framing, len_max, len: 0, progress: Progress::START, stops, buf, ready: 0..0 })
    }

    /// Tells a client that waits for it to go on. Whoever refuses a body does so before.
    ///
    /// # Errors
    /// Where the client is gone.
    pub(crate) fn go_on(&mut self) -> Result<(), Error> {
        if self.connection.take_expectation() {
            // The socket has room: nothing was sent since the last answer, which the client has had.
            self.connection.send(&[], CONTINUE).map_err(gone)?;
        }
        Ok(())
    }

    /// The next bytes; `None` where the body has ended.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] where it is malformed or ends early, [`ErrorKind::PayloadTooLarge`] where it is longer than it
    /// may be, [`ErrorKind::RequestTimeout`] where it comes too slowly, [`ErrorKind::Busy`] where the server stops.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        loop {
            match &mut self.framing {
                Framing::Over => return Ok(None),
                Framing::Length(left) => {
                    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(READ_LEN);
                    let came = receive(self.connection, &mut self.buf[..len], &mut self.progress, self.stops)?;
                    *left -= came as u64;
                    if *left == 0 {
                        self.end();
                    }
                    return Ok(Some(&self.buf[..came]));
                }
                Framing::Chunked(decoder) => {
                    let ready = self.ready.clone();
                    match decoder.decode(&self.buf[ready.clone()]).map_err(|bad| Error::new(ErrorKind::BadRequest, bad.0))? {
                        Piece::Data(data) => {
                            let data = ready.start + data.start..ready.start + data.end;
                            self.ready.start = data.end;
                            self.len += data.len() as u64;
                            if self.len > self.len_max {
                                return Err(too_long(self.len_max));
                            }
                            return Ok(Some(&self.buf[data]));
                        }
                        Piece::End(taken) => {
                            self.connection.put_back(&self.buf[ready.start + taken..ready.end]);
                            self.end();
                        }
                        Piece::More => {
                            let came = receive(self.connection, &mut self.buf, &mut self.progress, self.stops)?;
                            self.ready = 0..came;
                        }
                    }
                }
            }
        }
    }

    fn end(&mut self) {
        self.framing = Framing::Over;
        self.connection.end_body();
    }
}

/// Waits for bytes, and takes as many as there are and fit: at least one.
fn receive(
    connection: &mut Connection,
    buf: &mut [u8],
    progress: &mut Progress,
    stops: &[&AtomicBool],
) -> Result<usize, Error> {
    loop {
        match connection.receive_body(buf).map_err(gone)? {
            Received::Bytes(len) => {
                progress.note(Duration::ZERO, len);
                return Ok(len);
            }
            Received::End => return Err(Error::new(ErrorKind::BadRequest, "the body ended before its end")),
            Received::Nothing if stops.iter().any(|stop| stop.load(Ordering::Relaxed)) => return Err(ErrorKind::Busy.into()),
            Received::Nothing => {
                let since = Instant::now();
                connection.wait_for_body_bytes(LOOK_EVERY).map_err(gone)?;
                if !progress.note(since.elapsed(), 0) {
                    let detail = format!(
                        "the body comes too slowly: {} bytes are wanted each {} seconds",
                        Progress::WINDOW_LEN,
                        Progress::WINDOW.as_secs()
                    );
                    return Err(Error::new(ErrorKind::RequestTimeout, detail));
                }
            }
        }
    }
}

/// Reads and forgets what a client still sends of a body that is answered already, for a moment: closing at once would reset the
/// connection and could destroy the answer (RFC 9112 section 9.6).
pub(crate) fn drain(connection: &mut Connection, is_stopping: &AtomicBool) {
    connection.shutdown();
    let (until, mut len_left) = (Instant::now() + DRAIN_MAX, DRAIN_LEN_MAX);
    let mut buf = vec![0; READ_LEN];
    while Instant::now() < until && len_left > 0 && !is_stopping.load(Ordering::Relaxed) {
        match connection.receive_body(&mut buf) {
            Ok(Received::Bytes(len)) => len_left = len_left.saturating_sub(len),
            Ok(Received::Nothing) if connection.wait_for_body_bytes(LOOK_EVERY).is_ok() => {}
            Ok(Received::Nothing | Received::End) | Err(_) => return,
        }
    }
}

fn too_long(len_max: u64) -> Error {
    Error::new(ErrorKind::PayloadTooLarge, format!("the body is longer than {len_max} bytes"))
}

/// The client is gone, so nobody will read this.
fn gone(error: std::io::Error) -> Error {
    Error::new(ErrorKind::BadRequest, "the client left in the middle of its body").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_slow_a_body_may_be() {
        let second = Duration::from_secs(1);
        // A kilobyte and a little each second is enough, for ever.
        let mut progress = Progress::START;
        assert!((0..1000).all(|_| progress.note(second, 1100)));
        // Less is not, whether it comes byte by byte or not at all.
        let mut progress = Progress::START;
        assert_eq!((0..1000).take_while(|_| progress.note(second, 1000)).count(), 29);
        let mut progress = Progress::START;
        assert_eq!((0..1000).take_while(|_| progress.note(second, 0)).count(), 29);
        // Much at a time buys no more than a window.
        let mut progress = Progress::START;
        assert!(progress.note(Duration::ZERO, 1 << 30));
        assert_eq!((0..1000).take_while(|_| progress.note(second, 0)).count(), 29);
    }
}
