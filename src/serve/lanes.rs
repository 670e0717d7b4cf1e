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
/// How long the listener may take for the first head on a new lane.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// A request as the handler gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The method, case as sent.
    pub(crate) method: String,
    /// The target in origin-form, or `*`.
    pub(crate) target: String,
    /// The fields that a handler reads.
    pub(crate) fields: Fields,
}

/// The far end of the lanes: yields the requests.
pub(crate) struct Listener {
    server: tiny_http::Server,
    /// Holds the socket; removed with the listener.
    _directory: TempDir,
}

impl Listener {
    /// The next request, and the connection that it came on. Blocks.
    ///
    /// # Errors
    /// Where the listener stopped, or was told to by [`unblock`](Self::unblock).
    pub(crate) fn receive(&self) -> io::Result<(usize, Request)> {
        loop {
            if let Some(received) = parts(self.server.recv()?) {
                return Ok(received);
            }
        }
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
    let parts = Request { method: request.method().as_str().to_owned(), target: request.url().to_owned(), fields };
    drop(request.into_writer());
    Some((connection?, parts))
}

/// The near end of the lanes: takes the heads. It belongs to the door.
pub(crate) struct Lanes {
    lanes: Vec<LaneEnd>,
    next: usize,
}

struct LaneEnd {
    socket: Registered<UnixStream>,
    /// Heads that the socket had no room for. There is at most one for each connection.
    backlog: Vec<u8>,
}

/// Opens the listener and the lanes to it, and proves that each lane works. The lanes' events carry keys down from `last_key`.
///
/// # Errors
/// [`ErrorKind::Internal`], with what failed.
pub(crate) fn open(poller: &Arc<Poller>, last_key: usize) -> Result<(Lanes, Listener), Error> {
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

    let mut lanes = Vec::with_capacity(LANES);
    for number in 0..LANES {
        let mut socket = UnixStream::connect(&path).map_err(failed("cannot open a lane to the listener"))?;
        socket.shutdown(Shutdown::Read).map_err(failed("cannot shut a lane's read side"))?;
        io::Write::write_all(&mut socket, format!("GET /lane HTTP/1.1\r\n{CONNECTION_ID}: {number}\r\n\r\n").as_bytes())
            .map_err(failed("cannot write to a lane"))?;
        let probe = server.recv_timeout(PROBE_TIMEOUT).map_err(failed("the listener failed"))?;
        if probe.and_then(parts).is_none_or(|(connection, _)| connection != number) {
            return Err(Error::new(ErrorKind::Internal, "a lane to the listener is dead"));
        }
        socket.set_nonblocking(true).map_err(failed("cannot set up a lane"))?;
        let socket = Registered::new(socket, poller, last_key - number).map_err(failed("cannot register a lane"))?;
        lanes.push(LaneEnd { socket, backlog: Vec::new() });
    }
    Ok((Lanes { lanes, next: 0 }, Listener { server, _directory: directory }))
}

impl Lanes {
    /// Writes a head anew, with the id of its connection. It is sent by [`send`](Self::send), once the connection is where the
    /// dispatcher will look for it.
    pub(crate) fn write(&mut self, connection_id: usize, head: &Head<'_>) {
        self.next = (self.next + 1) % self.lanes.len();
        head.write_canonical(connection_id, &mut self.lanes[self.next].backlog);
    }

    /// Sends what was written last, as far as there is room; the rest follows by [`flush`](Self::flush).
    ///
    /// # Errors
    /// Where the lane is broken.
    pub(crate) fn send(&mut self) -> io::Result<()> {
        self.flush(self.next)
    }

    /// Goes on with a lane that has room again; `number` counts from the last key.
    ///
    /// # Errors
    /// Where the lane is broken.
    pub(crate) fn flush(&mut self, number: usize) -> io::Result<()> {
        self.lanes.get_mut(number).map_or(Ok(()), LaneEnd::flush)
    }
}

impl LaneEnd {
    fn flush(&mut self) -> io::Result<()> {
        let len = send(&*self.socket, &self.backlog, false)?;
        self.backlog.drain(..len);
        if self.backlog.is_empty() {
            return Ok(());
        }
        self.socket.want_write()
    }
}
