//! A client's connection.
//!
//! In scope: its socket, the bytes that came and are not yet a request, and how it goes on. Not in scope: where it waits
//! (`lot`).

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::http::head::{BodyFraming, Head, Seen};
use crate::http::response::Persistence;
use crate::metrics::Closed;
use crate::serve::lot::Lot;
use crate::serve::socket::{
    Received, Registered, has_room, has_unread, is_reset, receive, send, set_not_sent_max, wait_readable,
};

/// How many bytes are read at once while a head is collected: more than most heads have. What comes behind a head is held until
/// that request is answered, so this bounds what a client can make us hold by sending requests ahead.
pub(crate) const READ_LEN: usize = 4 * 1024;

/// The shortest piece that is sent at once, in bytes.
const PIECE_LEN_MIN: usize = 8 * 1024;

/// What the kernel puts into one packet before it cuts it up, in bytes.
const PACKET_LEN: usize = 64 * 1024;

/// How many requests a connection may bring; the answer to the last says that it ends. Hours of a player, which then opens another;
/// and whoever sends requests without end gives his place to be had by others from time to time.
const REQUESTS_MAX: u32 = 10_000;

/// A connection, owned by whoever does something with it at the moment: the lot, the door, or a thread of the pool. Dropping it
/// closes it.
pub(crate) struct Connection {
    /// Its name in the lot.
    pub(crate) id: usize,
    /// The client's address.
    pub(crate) peer: SocketAddr,
    socket: Registered<TcpStream>,
    lot: Arc<Lot>,
    /// How many bytes the socket may hold that are not on their way, and how many of them were granted later.
    not_sent_max: usize,
    grown_len: usize,
    /// Bytes that came and are no part of a request yet, and how far they were looked at.
    inbox: Vec<u8>,
    seen: Seen,
    /// How long the whole head at the front of them is, while it is handed over.
    head_len: usize,
    /// When the first byte of the present head came.
    pub(crate) head_since: Option<Instant>,
    /// What the request that is being answered said of the connection.
    http_11: bool,
    keep_alive: bool,
    body: BodyFraming,
    expects_continue: bool,
    /// How many requests it has brought so far.
    requests: u32,
    /// How long the head of the request is that is not answered yet, as the lot counts it.
    asked_len: usize,
    /// How many bytes must be collected before it is worth looking at them again: a head is there, and not yet its body.
    wanted_len: usize,
    /// How long the body is that came with the head, while it is handed over.
    body_len: usize,
    /// By which address it came in.
    pub(crate) entrance: Entrance,
    /// What it ends for, should it end now.
    pub(crate) closed: Closed,
}

/// The addresses that are listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// That of the viewers.
    Public,
    /// That of the metrics, where they have one of their own.
    Metrics,
}

impl Connection {
    pub(crate) fn new(id: usize, peer: SocketAddr, socket: Registered<TcpStream>, lot: Arc<Lot>) -> Self {
        let not_sent_max = lot.budget().share(lot.len());
        set_not_sent_max(&*socket, not_sent_max);
        Self {
            id,
            peer,
            socket,
            lot,
            not_sent_max,
            grown_len: 0,
            inbox: Vec::new(),
            seen: Seen::default(),
            head_len: 0,
            head_since: None,
            http_11: true,
            keep_alive: false,
            body: BodyFraming::None,
            expects_continue: false,
            requests: 0,
            asked_len: 0,
            wanted_len: 0,
            body_len: 0,
            entrance: Entrance::Public,
            closed: Closed::Client,
        }
    }

    /// The bytes collected so far, and how far they were looked at.
    pub(crate) fn collected(&mut self) -> (&[u8], &mut Seen) {
        (&self.inbox, &mut self.seen)
    }

    /// Whether there are bytes that could be a request already.
    pub(crate) fn has_collected(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Whether a head waits for the rest of its body.
    pub(crate) fn is_short_of_body(&self) -> bool {
        self.inbox.len() < self.wanted_len
    }

    /// A head is there, but its body, which is to come with it, is not. Both end so many bytes from the front.
    pub(crate) fn wait_for_body(&mut self, end: usize) {
        self.wanted_len = end;
        // The head is looked at again, once.
        self.seen = Seen::default();
    }

    /// What was collected has a whole head at its front, and behind it the body, where it is one that comes with its head. Both
    /// stay there until the request is [`handed over`](Self::take_off_head): where that fails, the answer depends on the head.
    pub(crate) fn begin_request(&mut self, head_len: usize, body_len: usize, facts: RequestFacts) {
        (self.head_len, self.body_len, self.wanted_len) = (head_len, body_len, 0);
        self.head_since = None;
        self.requests += 1;
        self.http_11 = facts.http_11;
        self.keep_alive = facts.keep_alive && self.requests < REQUESTS_MAX;
        self.body = if body_len > 0 { BodyFraming::None } else { facts.body };
        self.expects_continue = facts.expects_continue;
        self.asked_len = head_len + body_len;
        self.lot.count_asked(self.asked_len);
    }

    /// Takes the head off the front of what was collected, and gives the body that came with it. What is left is the next request,
    /// or the start of it.
    pub(crate) fn take_off_head(&mut self) -> Vec<u8> {
        let (head_len, body_len) = (std::mem::take(&mut self.head_len), std::mem::take(&mut self.body_len));
        let body = self.inbox[head_len..head_len + body_len].to_vec();
        // It may wait for as long as a film, so it holds no more than it needs; an idle connection holds nothing.
        self.inbox = self.inbox[head_len + body_len..].to_vec();
        self.seen = Seen::default();
        body
    }

    /// The head that is to be refused, as far as it came: without what may stand behind it.
    pub(crate) fn refused_head(&self) -> &[u8] {
        if self.head_len > 0 { &self.inbox[..self.head_len] } else { &self.inbox }
    }

    /// The answer to the present request is known: its head is needed no more.
    pub(crate) fn end_request(&mut self) {
        self.lot.give_back_asked(std::mem::take(&mut self.asked_len));
    }

    /// Whether it has sent something that nobody has looked at yet. It may be a request.
    pub(crate) fn may_have_asked(&self) -> bool {
        (self.has_collected() && self.seen == Seen::default() && !self.is_short_of_body()) || has_unread(&*self.socket)
    }

    /// Reads what is there; what comes is appended to what was collected.
    pub(crate) fn receive(&mut self, scratch: &mut [u8; READ_LEN], now: Instant) -> std::io::Result<Received> {
        let received = receive(&*self.socket, scratch)?;
        if let Received::Bytes(len) = received {
            self.inbox.extend_from_slice(&scratch[..len]);
            self.head_since.get_or_insert(now);
        }
        Ok(received)
    }

    /// Reads what is there and forgets it.
    pub(crate) fn discard(&mut self, scratch: &mut [u8; READ_LEN]) -> std::io::Result<Received> {
        receive(&*self.socket, scratch)
    }

    /// How the body of the present request is framed, as far as nobody read it.
    pub(crate) fn body_framing(&self) -> BodyFraming {
        self.body
    }

    /// Whether the client still waits to be told that it may send the body. It is told once; and where some of the body came, it
    /// did not wait.
    pub(crate) fn take_expectation(&mut self) -> bool {
        std::mem::take(&mut self.expects_continue) && self.body != BodyFraming::None && self.inbox.is_empty()
    }

    /// Takes bytes of the body: what came with the head, then what is there now.
    pub(crate) fn receive_body(&mut self, buf: &mut [u8]) -> std::io::Result<Received> {
        if self.inbox.is_empty() {
            return receive(&*self.socket, buf);
        }
        let len = buf.len().min(self.inbox.len());
        buf[..len].copy_from_slice(&self.inbox[..len]);
        self.inbox = self.inbox[len..].to_vec();
        Ok(Received::Bytes(len))
    }

    /// Waits for bytes of the body, at most so long. Whoever does anything else with a connection leaves waiting to the lot.
    pub(crate) fn wait_for_body_bytes(&self, timeout: Duration) -> std::io::Result<()> {
        wait_readable(&*self.socket, timeout)
    }

    /// These bytes came behind the body: they are the next request, or the start of it.
    pub(crate) fn put_back(&mut self, bytes: &[u8]) {
        self.inbox = bytes.to_vec();
    }

    /// The body was read to its end, so another request may follow.
    pub(crate) fn end_body(&mut self) {
        self.body = BodyFraming::None;
    }

    /// Sends what there is room for of a head and what follows it, either of which may be empty, and says how much that was of both
    /// together; see [`send`].
    pub(crate) fn send(&self, head: &[u8], slice: &[u8]) -> std::io::Result<usize> {
        // What begins while there is room is taken up to the end of a packet of 64 KiB, however little room there is.
        let piece_len = self.not_sent_max.max(PIECE_LEN_MIN);
        let (mut piece, mut rest) = slice.split_at(slice.len().min(piece_len));
        let mut sent = send(&*self.socket, head, piece)?;
        let mut due = head.len() + piece.len();
        // Into a packet that is not full the kernel takes more without a look at how much waits.
        let has_room = || piece_len >= PACKET_LEN || has_room(&*self.socket);
        while sent == due && !rest.is_empty() && has_room() {
            (piece, rest) = rest.split_at(rest.len().min(piece_len));
            due += piece.len();
            // What went wrong the next call says again.
            sent += send(&*self.socket, &[], piece).unwrap_or(0);
        }
        Ok(sent)
    }

    /// Whether the socket has room now; see [`has_room`].
    pub(crate) fn has_room(&self) -> bool {
        has_room(&*self.socket)
    }

    /// The client drains the socket fast: it may hold twice as much, so that it is filled half as often.
    pub(crate) fn grow(&mut self) {
        if let Some(doubled) = self.lot.budget().double(self.not_sent_max) {
            self.grown_len += doubled - self.not_sent_max;
            self.not_sent_max = doubled;
            set_not_sent_max(&*self.socket, doubled);
        }
    }

    /// There are so many clients by now that each may hold half of what this one was given, or less: it may hold no more from here on.
    /// What a fast one was granted it keeps.
    pub(crate) fn shrink(&mut self, clients: usize) {
        let share = self.lot.budget().share(clients);
        if self.grown_len == 0 && share <= self.not_sent_max / 2 {
            self.not_sent_max = share;
            set_not_sent_max(&*self.socket, share);
        }
    }

    /// What an answer to the present request says of the connection. A body that nobody read would be taken for the next
    /// request, so the connection ends then.
    pub(crate) fn persistence(&self) -> Persistence {
        match (self.keep_alive && self.body == BodyFraming::None, self.http_11) {
            (false, _) => Persistence::Close,
            (true, true) => Persistence::Default,
            (true, false) => Persistence::KeepAlive,
        }
    }

    /// The connection will end behind the present answer.
    pub(crate) fn end_after_answer(&mut self) {
        self.keep_alive = false;
    }

    /// Whether the client is gone, so that nobody would get an answer.
    pub(crate) fn is_reset(&self) -> bool {
        is_reset(&*self.socket)
    }

    /// Tells the client that there is nothing more to come, so that it can read what it was sent; closing at once, with bytes of
    /// its own unread, would reset the connection and could destroy that (RFC 9112 section 9.6).
    pub(crate) fn shutdown(&mut self) {
        self.end_request();
        self.inbox = Vec::new();
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Asks for one event: see [`Registered`].
    pub(crate) fn want_read(&self) -> std::io::Result<()> {
        self.socket.want_read()
    }

    /// How many bytes are held of requests that are not complete, or whose turn has not come.
    pub(crate) fn collected_len(&self) -> usize {
        self.inbox.capacity()
    }

    /// Asks for one event: see [`Registered`].
    pub(crate) fn want_nothing(&self) -> std::io::Result<()> {
        self.socket.want_nothing()
    }

    /// Asks for one event: see [`Registered`].
    pub(crate) fn want_write(&self) -> std::io::Result<()> {
        self.socket.want_write()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end_request();
        self.lot.budget().give_back(self.grown_len);
        self.lot.count_closed(self.closed);
        self.lot.forget(self.id);
    }
}

/// What a request head says of the connection.
#[derive(Clone, Copy)]
pub(crate) struct RequestFacts {
    http_11: bool,
    keep_alive: bool,
    body: BodyFraming,
    expects_continue: bool,
}

impl From<&Head<'_>> for RequestFacts {
    fn from(head: &Head<'_>) -> Self {
        let Head { http_11, keep_alive, body, expects_continue, .. } = *head;
        Self { http_11, keep_alive, body, expects_continue }
    }
}
