//! What the pool does: answers requests, and sends streams on, turn by turn.
//!
//! In scope: what follows each turn. Not in scope: the answer (`handler`), the sending (`stream`), the waiting (`lot`).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::http::response::Persistence;
use crate::http::route;
use crate::serve::connection::Connection;
use crate::serve::handler::Handler;
use crate::serve::lanes::Request;
use crate::serve::lot::Lot;
use crate::serve::pace::{Pace, Paced};
use crate::serve::pool::{Lane, Pool};
use crate::serve::stream::{Stream, Turn};

/// The bodies that are sent in one packet with their head, in bytes at most.
const JOINED_LEN_MAX: usize = 16 * 1024;

/// A client that makes room so soon takes more than its socket holds.
const FAST_DRAIN: Duration = Duration::from_millis(5);

/// Everything that work needs.
pub(crate) struct Work {
    pub(crate) handler: Handler,
    pub(crate) pool: Pool,
    pub(crate) lot: Arc<Lot>,
    /// How fast streams are sent; `None` as fast as they can be.
    pub(crate) pace: Option<Pace>,
}

impl Work {
    /// Queues a request that came on this connection.
    pub(crate) fn submit_request(self: &Arc<Self>, connection: Connection, request: Request) {
        let work = Arc::clone(self);
        let asks_store = route::resolve(route::split(&request.target).0).is_ok_and(|route| route.asks_store());
        let lane = if asks_store { Lane::FirstByte } else { Lane::Light };
        self.pool.submit(lane, move || work.answer(connection, &request));
    }

    /// Queues the next turn of a stream whose socket has room again.
    pub(crate) fn submit_resumed(self: &Arc<Self>, mut stream: Box<Stream>) {
        if stream.last_progress.elapsed() < FAST_DRAIN {
            stream.connection.grow();
        }
        self.submit_stream(stream);
    }

    /// Queues the next turn of a stream.
    pub(crate) fn submit_stream(self: &Arc<Self>, stream: Box<Stream>) {
        let work = Arc::clone(self);
        self.pool.submit(Lane::Bulk, move || work.advance(stream));
    }

    /// The viewer is gone. The span is closed on a thread that may block.
    pub(crate) fn submit_end(&self, stream: Box<Stream>) {
        self.pool.submit(Lane::Bulk, move || drop(stream));
    }

    /// A parked stream gives up what it holds, and waits on. The span is closed on a thread that may block.
    pub(crate) fn submit_pause(self: &Arc<Self>, mut stream: Box<Stream>) {
        let span = stream.pause();
        self.lot.wait_for_room(stream, Instant::now());
        if let Some(span) = span {
            self.pool.submit(Lane::Bulk, move || drop(span));
        }
    }

    fn answer(self: &Arc<Self>, mut connection: Connection, request: &Request) {
        if connection.is_reset() {
            // It left while it was queued. The store need not be asked for nobody.
            return;
        }
        let answer = self.handler.answer(request, connection.peer.ip());
        if self.lot.is_draining() {
            connection.end_after_answer();
        }
        let mut head = Vec::with_capacity(1024);
        let date = httpdate::fmt_http_date(SystemTime::now());
        answer.response.write_head(&date, connection.persistence(), &mut head);
        log::debug!("{} {} {:?} {}", connection.peer, request.method, request.target, answer.response.status());
        let mut slice = answer.slice;
        if slice.len() <= JOINED_LEN_MAX && answer.chunks.is_none() {
            head.extend_from_slice(&slice);
            slice.clear();
        }
        let now = Instant::now();
        let rest = answer.chunks.map(|chunks| Paced::new(chunks, self.pace, slice.len(), now));
        self.advance(Box::new(Stream::new(connection, head, slice, rest, answer.permit, now)));
    }

    fn advance(self: &Arc<Self>, mut stream: Box<Stream>) {
        let turn = stream.advance();
        if matches!(turn, Turn::Again | Turn::Full | Turn::NotBefore(_)) && !stream.may_hold() {
            drop(stream.pause());
        }
        match turn {
            Turn::Again => self.submit_stream(stream),
            Turn::Full => self.lot.wait_for_room(stream, Instant::now()),
            Turn::NotBefore(due) => self.lot.wait_for_pace(stream, due),
            Turn::Gone => {}
            Turn::Cut => self.lot.wait_for_goodbye(stream.connection, Instant::now()),
            Turn::Done if stream.connection.persistence() == Persistence::Close => {
                self.lot.wait_for_goodbye(stream.connection, Instant::now());
            }
            Turn::Done => self.lot.next_request(stream.connection, Instant::now()),
        }
    }
}
