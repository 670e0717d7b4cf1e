//! The lanes: how a request head gets from the door to the tiny_http listener, and from there to the pool.
//!
//! In scope: everything that names tiny_http. The listener is bound to a Unix socket in a private directory; the door writes
//! heads that it has found well-formed, and has written anew, into a few connections to it, one after another; the listener
//! parses and queues them. The lanes' other direction is shut: the listener answers 500 for a request that is dropped, and that
//! goes nowhere. The client is answered on its own connection. Why it is so: vendor-notes/tiny_http.md. Not in scope: what
//! becomes of a request.

use std::io;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use polling::Poller;
use tempfile::TempDir;

use crate::error::{Error, ErrorKind};
use crate::http::head::{CONNECTION_ID, Fields, Head};
use crate::serve::socket::{Registered, send};

/// How many lanes there are. tiny_http keeps four threads for its connections, and one that has to wait for a thread may wait for
/// ever.
pub(crate) const LANES: usize = 4;
/// How long the listener may take for the first head on a new lane: as long as a machine may take that is far too busy. It is
/// waited for at the start only.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// How much memory a lane keeps for heads that it has no room for, in bytes, once there are none.
const BACKLOG_KEPT: usize = 64 * 1024;

/// The connection of a probe. No other has this number: they are counted from 1.
const PROBE_ID: usize = 0;
/// The head of a probe. `lanes::tests` hold it to the name of the field and to the number.
const PROBE: &[u8] = b"GET /lane HTTP/1.1\r\nx-vidgate-connection: 0\r\n\r\n";

/// A request as the handler gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The method, case as sent.
    pub(crate) method: String,
    /// The target in origin-form, or `*`.
    pub(crate) target: String,
    /// The fields that a handler reads.
    pub(crate) fields: Fields,
    /// The body, where it is one of those that come with their head. It does not come by a lane.
    pub(crate) body: Vec<u8>,
}

/// The far end of the lanes: yields the requests.
pub(crate) struct Listener {
    server: tiny_http::Server,
    /// Holds the socket; removed with the listener.
    _directory: TempDir,
}

impl Listener {
    /// The next request, and the connection that it came on; `None` for a probe. Blocks.
    ///
    /// # Errors
    /// Where the listener stopped, or was told to by [`unblock`](Self::unblock).
    pub(crate) fn receive(&self) -> io::Result<Option<(usize, Request)>> {
        Ok(parts(self.server.recv()?).filter(|(connection, _)| *connection != PROBE_ID))
    }

    /// Makes one [`receive`](Self::receive) fail.
    pub(crate) fn unblock(&self) {
        self.server.unblock();
    }
}

/// Takes a request apart. Its writer is dropped without a word: dropping the request itself would format a 500, and wait with it
/// until every earlier request of the lane is answered.
fn parts(request: tiny_http::Request) -> Option<(usize, Request)> {
    let mut connection = None;
    let mut fields = Vec::with_capacity(request.headers().len());
    for header in request.headers() {
        let (name, value) = (header.field.as_str().as_str(), header.value.as_str());
        if name == CONNECTION_ID {
            connection = value.parse().ok();
        } else {
            fields.push((name, value));
        }
    }
    let fields = fields.into_iter().collect();
    let parts =
        Request { method: request.method().as_str().to_owned(), target: request.url().to_owned(), fields, body: Vec::new() };
    drop(request.into_writer());
    Some((connection?, parts))
}

/// The near end of the lanes: takes the heads. It belongs to the door.
pub(crate) struct Lanes {
    ends: Vec<LaneEnd>,
    next: usize,
    /// How many bytes of heads were written since the last flush.
    written: usize,
    path: PathBuf,
    poller: Arc<Poller>,
    /// The event key of the first lane; those of the others lie below it.
    key: usize,
}

struct LaneEnd {
    socket: Registered<UnixStream>,
    /// Heads that the socket had no room for. There is at most one for each connection.
    backlog: Vec<u8>,
    /// How many bytes of them are sent, from the front.
    sent_len: usize,
}

/// Opens the listener and the lanes to it, and proves that each lane works. The lanes' events carry keys down from `key`.
///
/// # Errors
/// [`ErrorKind::Internal`], with what failed.
pub(crate) fn open(poller: &Arc<Poller>, key: usize) -> Result<(Lanes, Listener), Error> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| Error::new(ErrorKind::Internal, what).with_source(error)
    };
    let directory = tempfile::Builder::new()
        .prefix("vidgate-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir()
        .map_err(failed("cannot make a private directory for the listener"))?;
    let path = directory.path().join("lanes");
    let server = tiny_http::Server::http_unix(&path)
        .map_err(|error| Error::new(ErrorKind::Internal, "cannot start the listener behind the door").with_source(error))?;

    let mut lanes = Lanes { ends: Vec::with_capacity(LANES), next: 0, written: 0, path, poller: Arc::clone(poller), key };
    for number in 0..LANES {
        // One after the other, each proven before the next: a connection that has to wait for a thread of the listener may wait
        // for ever.
        let lane = lanes.open_lane(number).map_err(failed("cannot open a lane to the listener"))?;
        lanes.ends.push(lane);
        let probe = server.recv_timeout(PROBE_TIMEOUT).map_err(failed("the listener failed"))?;
        if probe.and_then(parts).is_none_or(|(connection, _)| connection != PROBE_ID) {
            return Err(Error::new(ErrorKind::Internal, "a lane to the listener is dead"));
        }
    }
    Ok((lanes, Listener { server, _directory: directory }))
}

impl Lanes {
    /// Opens a lane, with a probe as its first head.
    fn open_lane(&self, number: usize) -> io::Result<LaneEnd> {
        let socket = UnixStream::connect(&self.path)?;
        socket.shutdown(Shutdown::Read)?;
        socket.set_nonblocking(true)?;
        let socket = Registered::new(socket, &self.poller, self.key - number)?;
        let mut lane = LaneEnd { socket, backlog: PROBE.into(), sent_len: 0 };
        lane.flush()?;
        Ok(lane)
    }

    /// Which lane the next head goes by: the same one until it is [flushed](Self::flush), so that heads which come at a time cost
    /// the listener one wake-up.
    pub(crate) fn choose(&self) -> usize {
        self.next
    }

    /// The lane that is to be flushed, where heads of so many bytes were written since the last time, or of any.
    pub(crate) fn due(&self, len_min: usize) -> Option<usize> {
        (self.written >= len_min.max(1)).then_some(self.next)
    }

    /// Writes a head anew, with the id of its connection. It is sent by [`flush`](Self::flush), once the connection is where the
    /// dispatcher will look for it.
    pub(crate) fn write(&mut self, number: usize, connection_id: usize, head: &Head<'_>) {
        let backlog = &mut self.ends[number].backlog;
        let before = backlog.len();
        head.write_canonical(connection_id, backlog);
        self.written += backlog.len() - before;
    }

    /// Sends what was written, as far as there is room. Where some is left, an event with the lane's key tells when to go on.
    ///
    /// # Errors
    /// Where the lane is broken.
    pub(crate) fn flush(&mut self, number: usize) -> io::Result<()> {
        if number == self.next {
            self.written = 0;
            self.next = (self.next + 1) % self.ends.len();
        }
        self.ends[number].flush()
    }

    /// Sends a head by every lane that means nothing but that the lane, the listener and the dispatcher work.
    ///
    /// # Errors
    /// The first lane that is broken.
    pub(crate) fn probe(&mut self) -> Result<(), (usize, io::Error)> {
        for (number, lane) in self.ends.iter_mut().enumerate() {
            // A lane that has a backlog is waited for already.
            if lane.backlog.is_empty() {
                lane.backlog.extend_from_slice(PROBE);
                lane.flush().map_err(|error| (number, error))?;
            }
        }
        Ok(())
    }

    /// Breaks a lane, for tests of what follows.
    #[cfg(test)]
    pub(crate) fn break_lane(&self, number: usize) {
        self.ends[number].socket.shutdown(Shutdown::Both).unwrap();
    }

    /// Opens a broken lane anew. What was written to it and not sent is gone with it.
    ///
    /// # Errors
    /// Where the listener cannot be reached. The lane stays broken.
    pub(crate) fn reopen(&mut self, number: usize) -> io::Result<()> {
        let broken = &mut self.ends[number];
        (broken.backlog, broken.sent_len) = (Vec::new(), 0);
        // Where it is only slow it may stand in the middle of a head, to which nothing must be added.
        let _ = broken.socket.shutdown(Shutdown::Both);
        self.ends[number] = self.open_lane(number)?;
        Ok(())
    }
}

impl LaneEnd {
    fn flush(&mut self) -> io::Result<()> {
        self.sent_len += send(&*self.socket, &[], &self.backlog[self.sent_len..])?;
        // What is left is moved when it is no more than what it is moved over, so that each byte is moved once.
        if self.sent_len * 2 >= self.backlog.len() {
            self.backlog.drain(..self.sent_len);
            self.sent_len = 0;
        }
        if self.backlog.is_empty() {
            if self.backlog.capacity() > BACKLOG_KEPT {
                self.backlog = Vec::new();
            }
            return Ok(());
        }
        self.socket.want_write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{Outcome, Seen, parse};

    fn write(lanes: &mut Lanes, number: usize, id: usize) {
        let Outcome::Head(head, _) = parse(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", &mut Seen::default()) else {
            panic!("a good head")
        };
        lanes.write(number, id, &head);
    }

    fn hand_over(lanes: &mut Lanes, number: usize, id: usize) -> io::Result<()> {
        write(lanes, number, id);
        lanes.flush(number)
    }

    #[test]
    fn heads_that_come_at_a_time_go_by_one_lane() {
        let poller = Arc::new(Poller::new().unwrap());
        let (mut lanes, listener) = open(&poller, usize::MAX - 10).unwrap();
        assert_eq!(lanes.due(0), None, "nothing was written");
        let number = lanes.choose();
        for id in 1..4 {
            assert_eq!(lanes.choose(), number);
            write(&mut lanes, number, id);
        }
        assert_eq!((lanes.due(0), lanes.due(40), lanes.due(4096)), (Some(number), Some(number), None));
        lanes.flush(number).unwrap();
        assert_eq!(lanes.due(0), None);
        assert_ne!(lanes.choose(), number, "the next ones go by another");
        let ids: Vec<_> = (0..3).map(|_| listener.receive().unwrap().map(|(id, _)| id)).collect();
        assert_eq!(ids, [Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn a_broken_lane_is_noticed_and_opened_anew() {
        let poller = Arc::new(Poller::new().unwrap());
        let (mut lanes, listener) = open(&poller, usize::MAX - 10).unwrap();
        for number in 0..LANES {
            hand_over(&mut lanes, number, 100 + number).unwrap();
            assert_eq!(listener.receive().unwrap().map(|(id, _)| id), Some(100 + number));
            lanes.ends[number].socket.shutdown(Shutdown::Both).unwrap();
            assert_eq!(lanes.probe().map_err(|(broken, _)| broken), Err(number));
            assert!(hand_over(&mut lanes, number, 7).is_err());
            // The lanes before it answered their probes.
            for _ in 0..number {
                assert_eq!(listener.receive().unwrap(), None);
            }
            // As long as it cannot be opened it stays broken, whatever was written to it and sent.
            let path = std::mem::replace(&mut lanes.path, "/nowhere/lanes".into());
            write(&mut lanes, number, 8);
            lanes.ends[number].sent_len = 10;
            assert!(lanes.reopen(number).is_err());
            assert_eq!(lanes.probe().map_err(|(broken, _)| broken), Err(number));
            for _ in 0..number {
                assert_eq!(listener.receive().unwrap(), None);
            }
            lanes.path = path;
            lanes.reopen(number).unwrap();
            assert_eq!(listener.receive().unwrap(), None, "the probe of the new lane");
            hand_over(&mut lanes, number, 200 + number).unwrap();
            let (id, request) = listener.receive().unwrap().unwrap();
            assert_eq!((id, request.method.as_str(), request.target.as_str()), (200 + number, "GET", "/x"));
        }
    }
}
