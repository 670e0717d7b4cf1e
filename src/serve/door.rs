//! The door: the one thread that faces the network.
//!
//! In scope: accepting, collecting one request head at a time from each connection, refusing what is malformed, and noticing
//! what waited connections waited for, or waited for too long. It never blocks but in the poller. Not in scope: what a head must
//! look like (`http/head.rs`), who waits for what (`lot`), and anything that reads the store or sends a body (`work`).

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use polling::{Events, Poller};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Side};
use crate::http::body;
use crate::http::head::{self, Outcome};
use crate::http::response::{Body, Persistence, Response};
use crate::metrics::Closed;
use crate::serve::connection::{Connection, Entrance, READ_LEN, RequestFacts};
use crate::serve::flights::Landing;
use crate::serve::lanes::{LANES, Lanes};
use crate::serve::lot::{Landed, Lot, Waiting};
use crate::serve::socket::{Received, Registered};
use crate::serve::vitals::Pulse;
use crate::serve::work::Work;

/// The poller's key of the listening socket. Connections have small numbers, and `usize::MAX` is the poller's own.
pub(crate) const LISTENER_KEY: usize = usize::MAX - 1;
/// The same of the socket for the metrics.
pub(crate) const METRICS_KEY: usize = usize::MAX - 2;
/// The key of the first lane; those of the others lie below it.
pub(crate) const LANE_KEY: usize = usize::MAX - 3;
/// How many connections are accepted before the others are looked at again.
const ACCEPTS_MAX: usize = 256;
/// How many connections that somebody else accepted may wait for the door: far fewer than there are descriptors kept for other things.
const GIVEN_MAX: usize = 64;
/// How many bytes of heads go to the listener together: those that came at a time cost it one wake-up.
const HEADS_LEN: usize = 4 * 1024;
/// How often the lanes are probed.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// How often it is told that accepting pauses, at most.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// How long nothing is accepted where all connections are being worked on.
const OVERFULL_PAUSE: Duration = Duration::from_millis(5);
/// How long nothing is accepted after the process ran out of descriptors or memory for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What a client waits for that asked before it sends a body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What others tell the door.
#[derive(Default)]
pub(crate) struct Signals {
    /// Accept nobody any more, and let the connections end.
    pub(crate) drain: AtomicBool,
    /// End.
    pub(crate) stop: AtomicBool,
    /// Connections that somebody else accepted, with the address of the client, oldest first.
    given: Mutex<VecDeque<(TcpStream, SocketAddr)>>,
}

impl Signals {
    fn given(&self) -> MutexGuard<'_, VecDeque<(TcpStream, SocketAddr)>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The door is to serve this connection. It must be woken.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] where it has not come to those that it was given before.
    pub(crate) fn give(&self, socket: TcpStream, peer: SocketAddr) -> Result<(), Error> {
        let mut given = self.given();
        if given.len() >= GIVEN_MAX {
            return Err(Error::new(ErrorKind::Busy, format!("{GIVEN_MAX} connections wait to be taken")));
        }
        given.push_back((socket, peer));
        Ok(())
    }
}

pub(crate) struct Door {
    pub(crate) poller: Arc<Poller>,
    pub(crate) listener: Option<Registered<TcpListener>>,
    /// That of the metrics, where they have an address of their own.
    pub(crate) metrics_listener: Option<Registered<TcpListener>>,
    pub(crate) lanes: Lanes,
    pub(crate) lot: Arc<Lot>,
    pub(crate) work: Arc<Work>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) pulse: Arc<Pulse>,
    /// When the lanes are probed next.
    pub(crate) probe_at: Instant,
    /// Nothing is accepted before this time.
    pub(crate) accept_from: Option<Instant>,
    /// When it was last told that accepting pauses.
    pub(crate) accept_warned: Option<Instant>,
}

impl Door {
    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) {
        let mut events = Events::new();
        let mut scratch = Box::new([0; READ_LEN]);
        self.listen();
        while !self.signals.stop.load(Ordering::Acquire) {
            events.clear();
            let wakes_at = [self.lot.next_alarm(), self.accept_from].into_iter().flatten().fold(self.probe_at, Instant::min);
            let timeout = wakes_at.saturating_duration_since(Instant::now());
            if let Err(error) = self.poller.wait(&mut events, Some(timeout)) {
                log::error!("the poller failed: {error}");
                return;
            }
            if self.signals.drain.load(Ordering::Acquire) && self.listener.take().is_some() {
                self.metrics_listener = None;
                drop(self.lot.start_draining());
            }
            let now = Instant::now();
            self.pulse.door.fetch_add(1, Ordering::Relaxed);
            self.probe_lanes(now);
            for event in events.iter() {
                match event.key {
                    LISTENER_KEY => self.accept(now, &mut scratch),
                    METRICS_KEY => self.accept_at(Entrance::Metrics, now, &mut scratch),
                    key if key > LANE_KEY - LANES => self.flush_lane(LANE_KEY - key, now),
                    id => {
                        if let Some(waiting) = self.lot.take(id) {
                            self.go_on(waiting, now, &mut scratch);
                        }
                    }
                }
            }
            while let Some(waiting) = self.lot.pop_ready() {
                self.go_on(waiting, now, &mut scratch);
            }
            while let Some(waiting) = self.lot.pop_overdue(now) {
                self.overdue(waiting, now);
            }
            if self.accept_from.is_some_and(|from| from <= now) {
                self.accept_from = None;
                self.listen();
            }
            self.take_given(now, &mut scratch);
            self.flush_written(0, now);
        }
        drop(self.lot.close());
    }

    /// Asks for the next event of the listening sockets.
    fn listen(&self) {
        for listener in [&self.listener, &self.metrics_listener].into_iter().flatten() {
            if let Err(error) = listener.want_read() {
                log::error!("nothing is accepted any more: {error}");
            }
        }
    }

    /// Takes the connections that somebody else accepted.
    fn take_given(&mut self, now: Instant, scratch: &mut [u8; READ_LEN]) {
        for _ in 0..ACCEPTS_MAX {
            // First, for it is so most of the time, and the lot is everybody's.
            if self.signals.given().is_empty() {
                return;
            }
            if self.lot.is_overfull() {
                self.accept_from.get_or_insert(now + OVERFULL_PAUSE);
                return;
            }
            let Some((socket, peer)) = self.signals.given().pop_front() else { return };
            // Who comes late finds the door shut, whoever brought him.
            if self.listener.is_some() {
                self.welcome(socket, peer, Entrance::Public, now, scratch);
            }
        }
        // There may be more.
        self.lot.wake_door();
    }

    fn accept(&mut self, now: Instant, scratch: &mut [u8; READ_LEN]) {
        self.accept_at(Entrance::Public, now, scratch);
    }

    fn accept_at(&mut self, entrance: Entrance, now: Instant, scratch: &mut [u8; READ_LEN]) {
        for _ in 0..ACCEPTS_MAX {
            let listener = match entrance {
                Entrance::Public => &self.listener,
                Entrance::Metrics => &self.metrics_listener,
            };
            let Some(listener) = listener else { return };
            if self.lot.is_overfull() {
                // All are being worked on; some of them will wait for something in a moment.
                self.accept_from = Some(now + OVERFULL_PAUSE);
                return;
            }
            match listener.accept() {
                Ok((socket, peer)) => self.welcome(socket, peer, entrance, now, scratch),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => match Errno::from_io_error(&error) {
                    // Out of something that comes back when a connection ends. The event would come again at once.
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                        if self.accept_warned.is_none_or(|warned| now.duration_since(warned) > WARN_EVERY) {
                            log::warn!("accepting pauses: {error}");
                            self.accept_warned = Some(now);
                        }
                        self.accept_from = Some(now + ACCEPT_PAUSE);
                        return;
                    }
                    // A client that left before it was accepted, or a network that says so (accept(2), "Error handling").
                    _ => log::debug!("a connection was not accepted: {error}"),
                },
            }
        }
        self.listen();
    }

    /// Has a new client, and room for it.
    fn welcome(&mut self, socket: TcpStream, peer: SocketAddr, entrance: Entrance, now: Instant, scratch: &mut [u8; READ_LEN]) {
        for waiting in self.lot.make_room(peer.ip()) {
            self.let_go(waiting);
        }
        // Most clients have said by now what they want. Whoever has must not be taken for idle.
        match admit(socket, peer, &self.poller, &self.lot, now) {
            Ok(mut connection) => {
                connection.entrance = entrance;
                self.collect(connection, now, scratch);
            }
            Err(error) => log::debug!("{peer} went away at once: {error}"),
        }
    }

    /// Sends the heads that were written, where they have so many bytes.
    fn flush_written(&mut self, len_min: usize, now: Instant) {
        if let Some(number) = self.lanes.due(len_min) {
            self.flush_lane(number, now);
        }
    }

    fn flush_lane(&mut self, number: usize, now: Instant) {
        if let Err(error) = self.lanes.flush(number) {
            self.mend_lane(number, &error, now);
        }
    }

    /// Sends probes by the lanes, so that one which broke is noticed before somebody needs it.
    fn probe_lanes(&mut self, now: Instant) {
        if now < self.probe_at {
            return;
        }
        self.probe_at = now + PROBE_EVERY;
        if let Err((number, error)) = self.lanes.probe() {
            self.mend_lane(number, &error, now);
        }
    }

    /// A lane broke: those whose requests it had are told to come again, and it is opened anew.
    fn mend_lane(&mut self, number: usize, error: &io::Error, now: Instant) {
        log::error!("lane {number} to the listener broke and is opened anew: {error}");
        for connection in self.lot.take_handovers(number) {
            self.refuse(connection, &ErrorKind::Busy.into(), now);
        }
        if let Err(error) = self.lanes.reopen(number) {
            // The next probe, or the next head that goes by this lane, tries again.
            log::error!("lane {number} cannot be opened: {error}");
        }
    }

    /// Something happened that a connection waited for.
    fn go_on(&mut self, waiting: Waiting, now: Instant, scratch: &mut [u8; READ_LEN]) {
        match waiting {
            Waiting::Request(connection) => self.collect(connection, now, scratch),
            Waiting::Room(stream) => self.work.submit_resumed(stream),
            // They asked for no event but the one that the viewer is gone.
            Waiting::Pace(stream) | Waiting::Block(stream, _) => self.work.submit_end(stream),
            Waiting::Goodbye(connection, len_left) => self.discard(connection, len_left, scratch),
            Waiting::Handover(..) | Waiting::Asked(..) => {}
        }
    }

    /// Reads on until there is a whole head, or nothing to read.
    fn collect(&mut self, mut connection: Connection, now: Instant, scratch: &mut [u8; READ_LEN]) {
        let id = connection.id;
        loop {
            let is_short_of_body = connection.is_short_of_body();
            let (collected, seen) = connection.collected();
            let outcome = if is_short_of_body { Outcome::Incomplete } else { head::parse(collected, seen) };
            match outcome {
                Outcome::Head(head, len) => {
                    let body_len = match body::collected_len(&head) {
                        Ok(body_len) => body_len,
                        Err(error) => return self.refuse(connection, &error, now),
                    };
                    if !self.lot.may_ask(len + body_len) {
                        return self.refuse(connection, &ErrorKind::Busy.into(), now);
                    }
                    if collected.len() >= len + body_len {
                        let facts = RequestFacts::from(&head);
                        let lane = self.lanes.choose();
                        self.lanes.write(lane, id, &head);
                        connection.begin_request(len, body_len, facts);
                        self.lot.wait_for_handover(connection, lane, now);
                        return self.flush_written(HEADS_LEN, now);
                    }
                    let asks_to_go_on = head.expects_continue && collected.len() == len;
                    connection.wait_for_body(len + body_len);
                    // RFC 9110 section 10.1.1. Twenty-five bytes fit every socket that has nothing to send; a client that gets
                    // only some of them waits a moment and goes on by itself.
                    if asks_to_go_on && connection.send(&[], CONTINUE).is_err() {
                        return;
                    }
                }
                Outcome::Reject(kind, why) => return self.refuse(connection, &Error::new(kind, why), now),
                Outcome::Incomplete => {}
            }
            match connection.receive(scratch, now) {
                Ok(Received::Bytes(_)) => {}
                Ok(Received::Nothing) => {
                    self.lot.wait_for_request(connection, now);
                    for slow in self.lot.take_surplus_heads() {
                        self.refuse(slow, &ErrorKind::RequestTimeout.into(), now);
                    }
                    return;
                }
                // Closed between two requests, or in the middle of one: there is nobody to answer.
                Ok(Received::End) | Err(_) => return,
            }
        }
    }

    /// Reads what a client still sends, so that it reads what it was sent.
    fn discard(&self, mut connection: Connection, mut len_left: usize, scratch: &mut [u8; READ_LEN]) {
        loop {
            match connection.discard(scratch) {
                Ok(Received::Bytes(len)) if len < len_left => len_left -= len,
                Ok(Received::Nothing) => return self.lot.wait_on_for_goodbye(connection, len_left),
                Ok(Received::Bytes(_) | Received::End) | Err(_) => return,
            }
        }
    }

    /// A connection goes so that another may come. A read of the store is closed where that may block.
    fn let_go(&self, mut waiting: Waiting) {
        waiting.end_for(Closed::Evicted);
        if let Waiting::Room(stream) | Waiting::Pace(stream) | Waiting::Block(stream, _) = waiting {
            self.work.submit_end(stream);
        }
    }

    /// A connection waited too long.
    fn overdue(&mut self, waiting: Waiting, now: Instant) {
        match waiting {
            // RFC 9110 section 15.5.9; where no byte of a request came there is nothing to answer.
            Waiting::Request(connection) if connection.has_collected() => {
                self.refuse(connection, &ErrorKind::RequestTimeout.into(), now);
            }
            Waiting::Room(stream) if stream.holds_span() => self.work.submit_pause(stream),
            Waiting::Room(mut stream) => stream.end_for(Closed::Stalled),
            Waiting::Pace(stream) => self.work.submit_stream(stream),
            waiting @ (Waiting::Block(..) | Waiting::Asked(..)) => {
                if let Some(landed) = Landed::of(waiting, Landing::Failed(ErrorKind::UpstreamTimeout)) {
                    self.work.submit_landed(landed);
                }
            }
            Waiting::Handover(connection, lane) => {
                self.refuse(connection, &Error::new(ErrorKind::Busy, "the listener lost the request"), now);
                // Whatever else went into this lane is behind it.
                self.mend_lane(lane, &io::ErrorKind::TimedOut.into(), now);
            }
            Waiting::Request(mut connection) => connection.closed = Closed::Idle,
            Waiting::Goodbye(..) => {}
        }
    }

    /// Answers with an error and closes. The answer is far smaller than an empty send buffer; a client that has filled it with
    /// answers it does not read gets none.
    fn refuse(&self, mut connection: Connection, error: &Error, now: Instant) {
        connection.closed = Closed::Refused;
        let mut visit = self.work.visits.begin_refused(connection.peer.ip(), now);
        // What the client did wrong is no matter of ours.
        let level = if error.kind().side() == Side::Us { log::Level::Warn } else { log::Level::Debug };
        log::log!(level, request:% = visit.id; "{} is refused: {}", connection.peer, error.chain());
        let mut response = Response::with_error(error);
        self.work.handler.cors.mark(head::origin(connection.refused_head()), &mut response);
        response.field("X-Request-Id", visit.id.as_str());
        let mut bytes = Vec::with_capacity(512);
        response.write_head(&httpdate::fmt_http_date(SystemTime::now()), Persistence::Close, &mut bytes);
        visit.answered(&response, bytes.len(), None);
        // RFC 9112 section 6.3: the answer to HEAD ends with its head.
        let is_head = connection.refused_head().trim_ascii_start().starts_with(b"HEAD ");
        if let (Body::Bytes(body), false) = (&response.body, is_head) {
            bytes.extend_from_slice(body);
        }
        if let Ok(len) = connection.send(&[], &bytes) {
            visit.sent(len, Instant::now());
            visit.cut_short(Closed::Refused);
            self.lot.wait_for_goodbye(connection, now);
        }
    }
}

/// Gives a new client its slot.
fn admit(socket: TcpStream, peer: SocketAddr, poller: &Arc<Poller>, lot: &Arc<Lot>, now: Instant) -> io::Result<Connection> {
    socket.set_nonblocking(true)?;
    // A short answer must not wait for the acknowledgement of the one before it.
    socket.set_nodelay(true)?;
    let id = lot.admit(peer.ip(), now);
    match Registered::new(socket, poller, id) {
        Ok(socket) => Ok(Connection::new(id, peer, socket, Arc::clone(lot))),
        Err(error) => {
            lot.forget(id);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests;
