//! An answer on its way to a client.
//!
//! In scope: one turn of sending. Not in scope: whose turn it is (`server`, `pool`), where it waits between turns (`lot`).

use std::time::Instant;

use bytes::{Buf, Bytes};

use crate::metrics::Closed;
use crate::serve::chunks::Next;
use crate::serve::connection::Connection;
use crate::serve::flights::{Landing, Wait};
use crate::serve::pace::Paced;
use crate::serve::quota::Permit;
use crate::serve::source::OpenSpan;
use crate::serve::visit::Visit;

/// How many bytes a stream may send in one turn, about. Then the others have theirs.
const QUANTUM_LEN: usize = 1024 * 1024;
/// The same for the first turn: enough for a player to begin with, and little enough that a thousand viewers who come at once
/// all have it soon.
pub(crate) const FIRST_QUANTUM_LEN: usize = 64 * 1024;
/// The same where many wait for their first byte: as much as the first packets of a connection hold anyway (RFC 6928: ten).
pub(crate) const FIRST_QUANTUM_LEN_CROWDED: usize = 16 * 1024;

/// One answer being sent: the connection, what is to be sent next, and where the rest comes from.
pub(crate) struct Stream {
    /// The right to be a stream, given back when it ends: first of all, or a client that sees the end and asks again could be one
    /// too many.
    _permit: Option<Permit>,
    pub(crate) connection: Connection,
    /// The request that it answers.
    pub(crate) visit: Visit,
    /// The head, as far as it is not sent.
    head: Bytes,
    /// The present slice of the body, as far as it is not sent.
    slice: Bytes,
    /// Where the next slices come from.
    rest: Option<Paced>,
    /// When the client last took a byte.
    pub(crate) last_progress: Instant,
    /// How much it may send in its next turn.
    quantum_len: usize,
    /// Whether the socket had room again soon when it last had none.
    pub(crate) drains_soon: bool,
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// All is sent.
    Done,
    /// There is more, and the socket has room: the next turn comes when the others had theirs.
    Again,
    /// There is more, and the socket has no room.
    Full,
    /// There is more, and it is not due before this time.
    NotBefore(Instant),
    /// There is more, and not before this came.
    Join(Wait),
    /// The body cannot be had to its end: the client must see that it is short.
    Cut,
    /// The client is gone.
    Gone,
}

impl Stream {
    /// An answer of these parts; `slice` is the whole body, or the first slice of one whose rest follows. About `quantum_len`
    /// bytes are sent in its first turn.
    #[expect(clippy::too_many_arguments, reason = "each is another part of an answer, and named at the one call")]
    pub(crate) fn new(
        connection: Connection,
        visit: Visit,
        head: Vec<u8>,
        slice: Bytes,
        rest: Option<Paced>,
        permit: Option<Permit>,
        now: Instant,
        quantum_len: usize,
    ) -> Self {
        Self {
            connection,
            visit,
            head: head.into(),
            slice,
            rest,
            _permit: permit,
            last_progress: now,
            quantum_len,
            drains_soon: false,
        }
    }

    /// Sends what the socket has room for, at most about a quantum of it. Reading from the store may block; sending does not.
    pub(crate) fn advance(&mut self) -> Turn {
        let turn = self.send_slices();
        if let Some(rest) = &mut self.rest {
            rest.give_turn_back();
        }
        turn
    }

    fn send_slices(&mut self) -> Turn {
        let quantum_len = std::mem::replace(&mut self.quantum_len, QUANTUM_LEN);
        let mut sent = 0;
        loop {
            if self.head.is_empty() && self.slice.is_empty() {
                let Some(rest) = &mut self.rest else { return Turn::Done };
                // What the socket has no room for would be asked of the store in vain, and a slow viewer always fills it.
                if sent > 0 && rest.chunks().len_left() > 0 && rest.chunks().must_ask() && !self.connection.has_room() {
                    return Turn::Full;
                }
                match rest.next(Instant::now) {
                    None => return Turn::Done,
                    Some(Next::NotBefore(at)) => return Turn::NotBefore(at),
                    Some(Next::Join(wait)) => return Turn::Join(wait),
                    Some(Next::Slice(slice)) => self.slice = slice,
                    Some(Next::Failed(error)) => {
                        log::warn!("the answer with {:?} is cut short: {}", rest.chunks().id().key, error.chain());
                        return Turn::Cut;
                    }
                }
            }
            match self.connection.send(&self.head, &self.slice) {
                Ok(len) => {
                    if len > 0 {
                        self.last_progress = Instant::now();
                        self.visit.sent(len, self.last_progress);
                    }
                    let full = len < self.head.len() + self.slice.len();
                    let of_head = len.min(self.head.len());
                    for (bytes, len) in [(&mut self.head, of_head), (&mut self.slice, len - of_head)] {
                        bytes.advance(len);
                        if bytes.is_empty() {
                            // Empty, it would still keep its buffer, for as long as the film lasts.
                            *bytes = Bytes::new();
                        }
                    }
                    sent += len;
                    if full {
                        return Turn::Full;
                    }
                }
                Err(error) => {
                    log::debug!("{} went away: {error}", self.connection.peer);
                    return Turn::Gone;
                }
            }
            if sent >= quantum_len && !self.is_all_sent() {
                return Turn::Again;
            }
        }
    }

    /// Whether nothing is left to be sent. Its end then needs no turn of its own, for which another thread would be woken.
    fn is_all_sent(&self) -> bool {
        let is_at_end = self.rest.as_ref().is_none_or(|rest| rest.chunks().len_left() == 0);
        self.head.is_empty() && self.slice.is_empty() && is_at_end
    }

    /// It ends for this reason, whoever drops it.
    pub(crate) fn end_for(&mut self, reason: Closed) {
        self.connection.closed = reason;
        self.visit.cut_short(reason);
    }

    /// What goes on when the stream has ended: its connection, and what is left of where its bytes came from. All else of it is gone
    /// when this returns, its place among the streams too.
    pub(crate) fn into_parts(self) -> (Connection, Option<Paced>) {
        (self.connection, self.rest)
    }

    /// Takes what it waited for.
    pub(crate) fn land(&mut self, landing: Landing) {
        if let Some(rest) = &mut self.rest {
            rest.land(landing);
        }
    }

    /// Whether it holds a read of the store, or a slice of one.
    pub(crate) fn holds_span(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.chunks().holds_span() || !self.slice.is_empty())
    }

    /// How many bytes it holds that it cannot give up while it waits: of a body that is in no store, and of requests that came
    /// before their turn.
    pub(crate) fn kept_len(&self) -> usize {
        let body_len = if self.rest.is_some() { 0 } else { self.slice.len() };
        self.head.len() + body_len + self.connection.collected_len()
    }

    /// Whether it may hold its read of the store, and what came of it, while it waits, as it does behind this turn.
    pub(crate) fn may_hold(&self, turn: &Turn) -> bool {
        let is_brief = match turn {
            Turn::Again | Turn::Join(_) => true,
            Turn::Full => self.drains_soon,
            _ => false,
        };
        self.rest.as_ref().is_none_or(|rest| rest.chunks().may_hold(is_brief))
    }

    /// Gives up what costs something while it waits: the open read, which the caller drops, and the unsent part of the slice,
    /// which will be read again.
    pub(crate) fn pause(&mut self) -> Option<OpenSpan> {
        let rest = self.rest.as_mut()?;
        let unsent = std::mem::take(&mut self.slice).len();
        rest.pause(unsent)
    }
}
