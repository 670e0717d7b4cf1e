//! Ranged reads of a store without TLS, from its socket straight into the caller's buffer.
//!
//! In scope: connections, one request at a time on each, and the framing of replies. Not in scope: what a reply means (`reply`);
//! stores behind TLS, and all that is no ranged read (`wire`).
//!
//! Through ureq each byte of a body is zeroed for and copied once more than it need be, and a request costs nine more calls of the
//! system: together a third of what a cold read costs (vendor-notes/ureq.md). Behind TLS, where bytes are copied as they are
//! decrypted, little of that can be saved, so ureq reads there.

use std::io::{self, ErrorKind as IoKind, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, recv};
use ureq::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use ureq::{Body, Timeout};

use super::low_water;
use super::reply::Request;
use super::span::UNFRAMED;
use super::wire::{ERROR_LEN_MAX, HEAD_LEN_MAX, IDLE_AGE_MAX, IDLE_MAX, Limits, unavailable};
use crate::error::{Error, ErrorKind};
use crate::http::chunked::{Decoder, Piece};
use crate::store::append::{self, Reads};

/// The fields of a reply; S3 and MinIO send some fifteen.
const FIELDS_MAX: usize = 100;

/// Those of a reply 206 that anybody looks at, here or in `reply`.
const PART_FIELDS: [&str; 5] = ["etag", "content-range", "content-length", "transfer-encoding", "connection"];

/// Room for a head that is sent, in bytes. From 1,033 on glibc has no free pieces of a thread's own.
const HEAD_CAPACITY: usize = 1000;

/// How much is read at once where a head is due, in bytes. What of the body comes with it is copied, so it is not much.
const HEAD_PIECE_LEN: usize = 2 * 1024;

/// How much of a body is waited for at a time, in bytes: two blocks of the cache. A reader that is woken by each piece that comes, of
/// 64 KiB at most, spends a tenth of its time on that.
const GATHERED_LEN: usize = 256 * 1024;

/// How much of a body must have come before that, in bytes: the first bytes are wanted as soon as they are there, and they may lie
/// behind the start of a block.
const GATHERED_BEHIND: usize = 128 * 1024;

/// How long so much is waited for. A store that takes longer is read piece by piece.
const GATHERED_WITHIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };

/// How much of a reply is waited for, in bytes: of a body that is no longer than this nearly all, and the head. MinIO sends a head, a
/// few kilobytes and the rest apart, and each would wake the reader.
const REPLY_LEN_MAX: usize = 64 * 1024;

/// How long so much is waited for. A refusal, which is shorter, is read so much later.
const REPLY_WITHIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 25_000_000 };

/// The connections to a store.
pub(super) struct Plain {
    /// Host and port, as a name to look up.
    authority: String,
    limits: Limits,
    /// Those that nobody uses, the last used last.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// A connection, and what came on it and was not taken yet.
struct Connection {
    socket: TcpStream,
    /// The limit that is set on reads.
    read_limit: Duration,
    /// How many bytes must be there before a read that waits is woken.
    low_water: usize,
    input: Vec<u8>,
}

/// The body of a reply.
pub(super) enum Payload {
    /// It is to be read from this connection.
    Connection(Open),
    /// It is read by ureq, or was read already.
    Body(Body),
}

/// A connection on which a body comes.
pub(super) struct Open {
    connection: Connection,
    /// Whether another request may follow on it.
    is_reusable: bool,
    /// How much of it was read.
    came: usize,
    /// Whether it came more slowly than it could be gathered.
    is_slow: bool,
}

impl From<Body> for Payload {
    fn from(body: Body) -> Self {
        Self::Body(body)
    }
}

impl From<Payload> for Body {
    /// What is not read yet is not read any more.
    fn from(payload: Payload) -> Self {
        match payload {
            Payload::Body(body) => body,
            Payload::Connection(_) => Body::builder().data(Vec::new()),
        }
    }
}

/// What went wrong before there was a reply.
enum Failure {
    /// The connection broke.
    Broken(io::Error),
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Plain {
    /// To the store at this host and port.
    pub(super) fn new(authority: String, limits: Limits) -> Self {
        Self { authority, limits, idle: Mutex::default() }
    }

    /// Sends a GET of this `http` URL, which may hold a signature, and once more where its connection broke before a reply came. The
    /// body of a reply 206, of which `len` bytes are due, is still to be read; that of any other was read as far as it is worth it.
    ///
    /// # Errors
    /// [`ErrorKind::UpstreamUnavailable`] and [`ErrorKind::UpstreamTimeout`].
    pub(super) fn get(
        &self,
        request: &Request,
        url: &str,
        fields: &[(&str, &str)],
        len: u64,
    ) -> Result<Response<Payload>, Error> {
        let rest = url.strip_prefix("http://").unwrap_or_default();
        let (host, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let mut head = Vec::with_capacity(HEAD_CAPACITY);
        let agent = concat!("vidgate/", env!("CARGO_PKG_VERSION"));
        // Writing into memory does not fail. A store that compressed would break every range.
        let _ = write!(head, "GET {target} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {agent}\r\naccept-encoding: identity\r\n");
        for (name, value) in fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.extend_from_slice(b"\r\n");

        let outcome = match self.ask(request, &head, len) {
            Err(Failure::Broken(_)) => self.ask(request, &head, len),
            done => done,
        };
        outcome.map_err(|failure| match failure {
            Failure::Broken(source) => {
                Error::new(ErrorKind::UpstreamUnavailable, format!("{request} failed")).with_source(source)
            }
            Failure::Other(error) => error,
        })
    }

    fn ask(&self, request: &Request, head: &[u8], len: u64) -> Result<Response<Payload>, Failure> {
        let mut connection = match self.take() {
            Some(connection) => connection,
            None => self.connect(request)?,
        };
        // The limit on sending was set when it was opened.
        connection.socket.write_all(head).map_err(|error| failed(request, error, "sending the request"))?;
        let deadline = Instant::now() + self.limits.head;
        let reply_len = usize::try_from(len).unwrap_or(usize::MAX).clamp(1, REPLY_LEN_MAX);
        connection.gather(reply_len, &REPLY_WITHIN).map_err(Failure::Broken)?;
        let reply = loop {
            if let Some((reply, len)) = parse(request, &connection.input)? {
                connection.input.drain(..len);
                // An interim answer is none (RFC 9110 section 15.2).
                if !reply.status().is_informational() || reply.status() == StatusCode::SWITCHING_PROTOCOLS {
                    break reply;
                }
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(late(request, "the head of the reply").into());
            }
            // Where the first piece is all of it, as it is nearly always, the limit is as it was.
            let limit = if connection.input.is_empty() { self.limits.head } else { left };
            connection.set_read_limit(limit).map_err(Failure::Broken)?;
            match connection.fill() {
                Ok(0) => return Err(Failure::Broken(IoKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return Err(failed(request, error, "the head of the reply")),
            }
        };
        connection.set_read_limit(self.limits.read).map_err(Failure::Broken)?;
        let fields = reply.headers();
        let closes = fields.get(header::CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
        let is_reusable = !closes && reply.version() == ureq::http::Version::HTTP_11;
        if reply.status() == StatusCode::PARTIAL_CONTENT {
            // With a transfer coding the length says nothing (RFC 9112 section 6.3).
            if fields.contains_key(header::TRANSFER_ENCODING) {
                return Err(request.nonsense(UNFRAMED).into());
            }
            let open = Open { connection, is_reusable, came: 0, is_slow: false };
            return Ok(reply.map(|()| Payload::Connection(open)));
        }
        let text = self.read_text(connection, &reply, is_reusable);
        Ok(reply.map(|()| Payload::Body(Body::builder().data(text))))
    }

    /// Reads a body that is no part of an object to its end, or as much as is worth it. Where it breaks, what came of it is told,
    /// and the status is what counts.
    fn read_text(&self, mut connection: Connection, reply: &Response<()>, is_reusable: bool) -> Vec<u8> {
        let fields = reply.headers();
        let has_coding = fields.contains_key(header::TRANSFER_ENCODING);
        let length = fields.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let len_max = if matches!(reply.status().as_u16(), 204 | 304) { Some(0) } else { length.filter(|_| !has_coding) };
        let want = usize::try_from(len_max.unwrap_or(ERROR_LEN_MAX).min(ERROR_LEN_MAX)).unwrap_or(0);
        // The reads of it may take as long as one read of a body, in all.
        let deadline = Instant::now() + self.limits.read;
        let mut text = loop {
            let input = &connection.input;
            let (text, is_whole) = if has_coding { decoded(input) } else { (input.clone(), false) };
            if is_whole || input.len() >= want || Instant::now() >= deadline || !matches!(connection.fill(), Ok(1..)) {
                break text;
            }
        };
        text.truncate(want);
        if is_reusable && len_max == Some(connection.input.len() as u64) {
            connection.input.clear();
            self.give_back(connection);
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes what was idle for too long. That is looked for at each request of the store, by whomever it is sent.
    pub(super) fn close_old(&self) {
        let mut idle = self.lock();
        let old = idle.partition_point(|idle| idle.since.elapsed() > IDLE_AGE_MAX);
        let closed: Vec<Idle> = idle.drain(..old).collect();
        drop(idle);
        drop(closed);
    }

    /// A connection that was used before and is as it should be: open, and with nothing on it.
    fn take(&self) -> Option<Connection> {
        self.close_old();
        loop {
            let Idle { connection, .. } = self.lock().pop()?;
            let looked = recv(&connection.socket, &mut [0; 1], RecvFlags::DONTWAIT | RecvFlags::PEEK);
            if looked.is_err_and(|error| error == Errno::AGAIN) {
                return Some(connection);
            }
        }
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.lock();
        if idle.len() < IDLE_MAX {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }

    /// Opens a connection to the first address that takes one; each has its share of the time.
    fn connect(&self, request: &Request) -> Result<Connection, Failure> {
        let addrs: Vec<SocketAddr> = match self.authority.to_socket_addrs() {
            Ok(addrs) => addrs.collect(),
            Err(_) => return Err(unavailable(request, "the host of the store has no address").into()),
        };
        let deadline = Instant::now() + self.limits.connect;
        let mut failure = None;
        for (number, addr) in addrs.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let others = u32::try_from(addrs.len() - number).unwrap_or(1);
            let share = left / others;
            if share.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(addr, share).and_then(|socket| Connection::new(socket, self.limits)) {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = Some(error),
            }
        }
        Err(match failure {
            Some(error) => failed(request, error, "connecting"),
            None => unavailable(request, "the host of the store has no address").into(),
        })
    }
}

impl Connection {
    fn new(socket: TcpStream, limits: Limits) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(limits.head))?;
        socket.set_read_timeout(Some(limits.head))?;
        Ok(Self { socket, read_limit: limits.head, low_water: 1, input: Vec::new() })
    }

    fn set_read_limit(&mut self, limit: Duration) -> io::Result<()> {
        if limit != self.read_limit {
            self.socket.set_read_timeout(Some(limit))?;
            self.read_limit = limit;
        }
        Ok(())
    }

    /// Waits until so many bytes are there, or the end is, and says whether that is so. No longer than `within`.
    fn gather(&mut self, len: usize, within: &Timespec) -> io::Result<bool> {
        self.set_low_water(len)?;
        let mut asked = [PollFd::new(&self.socket, PollFlags::IN)];
        let ready = retry_on_intr(|| poll(&mut asked, Some(within)))?;
        Ok(ready > 0)
    }

    /// Reads what is there; `None` where nothing is.
    fn take_ready(&self, buf: &mut Vec<u8>, len_max: usize) -> io::Result<Option<usize>> {
        match append::append(&Ready(&self.socket), buf, len_max) {
            Err(Errno::AGAIN) => Ok(None),
            done => Ok(Some(done?)),
        }
    }

    /// No read waits while this is more than 1: see [`low_water::set`].
    fn set_low_water(&mut self, len: usize) -> io::Result<()> {
        if len != self.low_water {
            low_water::set(&self.socket, len)?;
            self.low_water = len;
        }
        Ok(())
    }

    /// Reads a piece behind what came already.
    fn fill(&mut self) -> io::Result<usize> {
        match append::append(&Ready(&self.socket), &mut self.input, HEAD_PIECE_LEN) {
            Err(Errno::AGAIN) => {
                self.set_low_water(1)?;
                Ok(append::append(&Waiting(&self.socket), &mut self.input, HEAD_PIECE_LEN)?)
            }
            done => Ok(done?),
        }
    }
}

impl Open {
    /// What came of the body with its head, moved behind what `buf` holds, at most `len_max` of it; and what there is on the
    /// socket besides. Where nothing came yet, waits for some; for how much depends on how it came so far. `left` is how long the rest
    /// of the body is.
    ///
    /// # Errors
    /// Those of the socket.
    pub(super) fn read(&mut self, buf: &mut Vec<u8>, len_max: usize, left: usize) -> io::Result<usize> {
        let early = self.connection.input.len().min(len_max);
        let came = if early > 0 { self.take_early(buf, early, len_max) } else { self.receive(buf, len_max, left)? };
        self.came += came;
        Ok(came)
    }

    fn take_early(&mut self, buf: &mut Vec<u8>, early: usize, len_max: usize) -> usize {
        let Connection { socket, input, .. } = &mut self.connection;
        buf.extend_from_slice(&input[..early]);
        input.drain(..early);
        if early == len_max {
            return early;
        }
        // What went wrong will be said to who comes to read more.
        early + append::append(&Ready(socket), buf, len_max - early).unwrap_or(0)
    }

    fn receive(&mut self, buf: &mut Vec<u8>, len_max: usize, left: usize) -> io::Result<usize> {
        if !self.is_slow && self.came >= GATHERED_BEHIND {
            if let Some(len) = self.connection.take_ready(buf, len_max)? {
                return Ok(len);
            }
            self.is_slow = !self.connection.gather(left.min(GATHERED_LEN), &GATHERED_WITHIN)?;
            if let Some(len) = self.connection.take_ready(buf, len_max)? {
                return Ok(len);
            }
        }
        self.connection.set_low_water(1)?;
        append::append(&Waiting(&self.connection.socket), buf, len_max).map_err(|error| match error {
            // The limit on reads has passed; said as ureq says it.
            Errno::AGAIN => io::Error::other(ureq::Error::Timeout(Timeout::PerRead)),
            error => error.into(),
        })
    }

    /// Gives the connection back, where another request may follow on it.
    pub(super) fn finish(self, plain: &Plain) {
        // What came behind the body would be taken for the next reply.
        if self.is_reusable && self.connection.input.is_empty() {
            plain.give_back(self.connection);
        }
    }
}

/// A socket that is waited for.
struct Waiting<'s>(&'s TcpStream);

impl Reads for Waiting<'_> {
    fn read_into<B: rustix::buffer::Buffer<u8>>(&self, buffer: B) -> rustix::io::Result<B::Output> {
        recv(self.0, buffer, RecvFlags::empty()).map(|(output, _)| output)
    }
}

/// A socket of which only what is there is read.
struct Ready<'s>(&'s TcpStream);

impl Reads for Ready<'_> {
    fn read_into<B: rustix::buffer::Buffer<u8>>(&self, buffer: B) -> rustix::io::Result<B::Output> {
        recv(self.0, buffer, RecvFlags::DONTWAIT).map(|(output, _)| output)
    }
}

/// The head at the front of what came, and how long it is; `None` where it is not whole.
fn parse(request: &Request, input: &[u8]) -> Result<Option<(Response<()>, usize)>, Error> {
    let not_http = || unavailable(request, "the reply is not HTTP");
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut fields);
    let len = match parsed.parse(input) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_LEN_MAX => len,
        Ok(httparse::Status::Partial) if input.len() <= HEAD_LEN_MAX => return Ok(None),
        Ok(_) => {
            return Err(unavailable(request, &format!("the head of the reply is longer than {HEAD_LEN_MAX} bytes")));
        }
        Err(_) => return Err(not_http()),
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(not_http)?;
    let mut reply = Response::new(());
    *reply.status_mut() = status;
    let is_11 = parsed.version == Some(1);
    *reply.version_mut() = if is_11 { ureq::http::Version::HTTP_11 } else { ureq::http::Version::HTTP_10 };
    let is_of_use =
        |name: &str| status != StatusCode::PARTIAL_CONTENT || PART_FIELDS.iter().any(|it| name.eq_ignore_ascii_case(it));
    for field in parsed.headers.iter().filter(|field| is_of_use(field.name)) {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| not_http())?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| not_http())?;
        reply.headers_mut().append(name, value);
    }
    Ok(Some((reply, len)))
}

/// What of a body in chunks can be read, as text for people, and whether nothing more of it is to come: it may be whole, or no
/// such body.
fn decoded(input: &[u8]) -> (Vec<u8>, bool) {
    let (mut decoder, mut text, mut at) = (Decoder::default(), Vec::new(), 0);
    loop {
        match decoder.decode(&input[at..]) {
            Ok(Piece::Data(range)) => {
                text.extend_from_slice(&input[at + range.start..at + range.end]);
                at += range.end;
            }
            Ok(Piece::More) => return (text, false),
            Ok(Piece::End(_)) | Err(_) => return (text, true),
        }
    }
}

fn failed(request: &Request, error: io::Error, step: &str) -> Failure {
    match error.kind() {
        IoKind::WouldBlock | IoKind::TimedOut => late(request, step).into(),
        _ => Failure::Broken(error),
    }
}

fn late(request: &Request, step: &str) -> Error {
    Error::new(ErrorKind::UpstreamTimeout, format!("{request} took too long: {step}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[u8] = b"HTTP/1.1 206 Partial Content\r\nETag: \"a\"\r\nX:\r\nETag: \"b\"\r\n\r\n";

    #[test]
    fn a_head_comes_byte_by_byte() {
        let request = Request::new("GET", "the object", "a");
        let input = [GOOD, b"body"].concat();
        for len in 0..=input.len() {
            let got = parse(&request, &input[..len]).unwrap();
            assert_eq!(got.as_ref().map(|(_, len)| *len), (len >= GOOD.len()).then_some(GOOD.len()), "{len} bytes");
            if let Some((reply, _)) = got {
                let etags: Vec<_> = reply.headers().get_all(header::ETAG).iter().collect();
                assert_eq!(
                    (reply.status().as_u16(), etags),
                    (206, vec![&HeaderValue::from_static("\"a\""), &HeaderValue::from_static("\"b\"")])
                );
            }
        }
    }

    #[test]
    fn no_byte_of_a_head_makes_a_panic() {
        let request = Request::new("GET", "the object", "a");
        for at in 0..GOOD.len() {
            for byte in 0..=u8::MAX {
                let mut input = GOOD.to_vec();
                input[at] = byte;
                // Whatever it is then, no more is taken than there is.
                if let Ok(Some((_, len))) = parse(&request, &input) {
                    assert!(len <= input.len());
                }
            }
        }
    }

    #[test]
    fn text_in_chunks_is_read_as_far_as_it_goes() {
        #[track_caller]
        fn check(input: &str, want: &str, is_whole: bool) {
            let (text, ended) = decoded(input.as_bytes());
            assert_eq!((String::from_utf8(text).unwrap().as_str(), ended), (want, is_whole), "{input:?}");
        }
        check("", "", false);
        check("3\r\nabc\r\n0\r\n\r\n", "abc", true);
        check("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nrest", "abcde", true);
        check("3\r\nab", "ab", false);
        check("3\r\nabcd", "abc", true);
        check("x", "", true);
    }

    /// A body that a peer sends, of which enough came to gather the rest, and that peer.
    fn open_body() -> (Open, TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let connection = Connection::new(socket, Limits::default()).unwrap();
        let open = Open { connection, is_reusable: true, came: GATHERED_BEHIND, is_slow: false };
        (open, listener.accept().unwrap().0)
    }

    #[test]
    fn of_a_body_that_comes_slowly_each_piece_is_given_when_it_is_there() {
        const LEFT: usize = 1 << 20;
        let (mut open, mut peer) = open_body();
        open.connection.set_read_limit(Duration::from_millis(1)).unwrap();
        // Nothing follows a piece before it was read, so a read that waited for more would fail.
        for (len, is_slow) in [(10, false), (20, false), (0, true), (30, true), (0, true)] {
            peer.write_all(&vec![7; len]).unwrap();
            while rustix::io::ioctl_fionread(&open.connection.socket).unwrap() < len as u64 {}
            let mut buf = Vec::new();
            assert_eq!((open.read(&mut buf, 1000, LEFT).ok(), open.is_slow), ((len > 0).then_some(len), is_slow), "{len}");
            assert_eq!(buf.len(), len);
        }
        assert_eq!(open.connection.low_water, 1);
    }

    #[test]
    fn the_first_bytes_of_a_body_are_given_when_they_are_there() {
        let (mut open, mut peer) = open_body();
        open.came = 0;
        for len in [10, GATHERED_BEHIND - 11] {
            let sending = std::thread::spawn(move || {
                peer.write_all(&vec![7; len]).unwrap();
                peer
            });
            let mut buf = Vec::new();
            while buf.len() < len {
                assert!(open.read(&mut buf, 1 << 20, 1 << 20).unwrap() > 0);
            }
            peer = sending.join().unwrap();
            assert_eq!((open.connection.low_water, open.is_slow), (1, false), "{len}");
        }
    }

    #[test]
    fn a_body_that_comes_fast_is_read_to_its_end_and_the_connection_is_as_it_was() {
        const LEN: usize = 3 * GATHERED_LEN + 12345;
        let (mut open, mut peer) = open_body();
        let sent: Vec<u8> = (0..=250).cycle().take(LEN).collect();
        let body = sent.clone();
        let sending = std::thread::spawn(move || {
            peer.write_all(&body).unwrap();
            peer
        });
        let mut buf = Vec::new();
        while buf.len() < LEN {
            let left = LEN - buf.len();
            assert!((1..=100_000).contains(&open.read(&mut buf, left.min(100_000), left).unwrap()));
        }
        assert!(buf == sent);
        let mut peer = sending.join().unwrap();
        // The head of the next reply is short, and waited for by itself.
        open.connection.set_low_water(GATHERED_LEN).unwrap();
        peer.write_all(b"x").unwrap();
        assert_eq!(open.connection.fill().unwrap(), 1);
    }

    #[test]
    fn a_body_that_breaks_off_ends_while_more_is_waited_for() {
        let (mut open, mut peer) = open_body();
        let mut buf = Vec::new();
        peer.write_all(b"first").unwrap();
        while buf.len() < 5 {
            assert!(open.read(&mut buf, 1000, 1 << 20).unwrap() > 0);
        }
        peer.write_all(b"second").unwrap();
        drop(peer);
        // In one piece or two: what came before the break is given first.
        while buf.len() < 11 {
            assert!(open.read(&mut buf, 1000, 1 << 20).unwrap() > 0);
        }
        assert_eq!(open.read(&mut buf, 1000, 1 << 20).unwrap(), 0);
    }
}
