//! The lot: where every connection waits that nobody works on.
//!
//! In scope: what each waits for and until when, and taking it out again when that happens. A waiting connection costs its
//! descriptor and its slot: no thread, no buffer, no connection to the store. Not in scope: what is done with it then (`door`).
//!
//! Locks: the lot's one lock is held for a few instructions (and one call to the poller) at a time, never while a connection is
//! dropped, for that comes back here.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use polling::Poller;

use crate::serve::connection::Connection;
use crate::serve::stream::Stream;

/// How long the connections wait for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For the rest of a request head, from its first byte.
    pub(crate) head: Duration,
    /// For the first byte of a request.
    pub(crate) idle: Duration,
    /// For a viewer to take a byte.
    pub(crate) stall: Duration,
}

/// How long a parked stream keeps its open read of the store, in case the viewer is merely a little slow.
const SPAN_KEPT: Duration = Duration::from_secs(1);
/// How long a client gets to read the end of what it was sent.
const LINGER: Duration = Duration::from_secs(2);
/// How many bytes a client may still send after its last answer before it is cut off.
const LINGER_LEN_MAX: usize = 256 * 1024;

/// Who waits, and for what.
pub(crate) enum Waiting {
    /// For bytes of a request head.
    Request(Connection),
    /// For the listener behind the door to hand the request to the pool.
    Handover(Connection),
    /// For room in the socket's send buffer.
    Room(Box<Stream>),
    /// For the client to close; so many bytes of it may still be thrown away.
    Goodbye(Connection, usize),
}

pub(crate) struct Lot {
    poller: Arc<Poller>,
    patience: Patience,
    inner: Mutex<Inner>,
    emptied: Condvar,
}

#[derive(Default)]
struct Inner {
    /// One slot a connection, from its accept to its end.
    slots: HashMap<usize, Slot>,
    next_id: usize,
    /// When to look at which slot. Each slot has at most one entry that counts: `Slot::armed`.
    alarms: BinaryHeap<Reverse<(Instant, usize)>>,
    /// When the door will look again by itself.
    door_wakes_at: Option<Instant>,
    /// Connections whose next request came with the last one, so that no event will tell of it.
    ready: VecDeque<usize>,
    /// No request is waited for any more.
    draining: bool,
}

struct Slot {
    /// `None` while somebody works on the connection.
    waiting: Option<Waiting>,
    deadline: Instant,
    /// The earliest entry in `alarms`.
    armed: Option<Instant>,
}

impl Lot {
    pub(crate) fn new(poller: Arc<Poller>, patience: Patience) -> Self {
        Self { poller, patience, inner: Mutex::default(), emptied: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change under the lock leaves the lot whole, so a panic of another thread spoils nothing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot for a new connection; the number names it from now on and is used once only.
    pub(crate) fn admit(&self, now: Instant) -> usize {
        let mut inner = self.lock();
        let id = inner.next_id;
        inner.next_id += 1;
        inner.slots.insert(id, Slot { waiting: None, deadline: now, armed: None });
        id
    }

    /// The connection is gone.
    pub(crate) fn forget(&self, id: usize) {
        let mut inner = self.lock();
        let slot = inner.slots.remove(&id);
        let empty = inner.slots.is_empty();
        drop(inner);
        // Whoever drops a connection has it, so the slot is empty.
        drop(slot);
        if empty {
            self.emptied.notify_all();
        }
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().slots.len()
    }

    /// Waits for a request, or for the rest of one.
    pub(crate) fn wait_for_request(&self, connection: Connection, now: Instant) {
        let deadline = match connection.head_since {
            Some(since) => since + self.patience.head,
            None => now + self.patience.idle,
        };
        self.put(connection.id, Waiting::Request(connection), deadline);
    }

    /// Looks at the connection's next request, which may have come already; else waits for it.
    pub(crate) fn next_request(&self, mut connection: Connection, now: Instant) {
        if connection.has_collected() {
            connection.head_since = Some(now);
            let id = connection.id;
            let mut inner = self.lock();
            let Some(slot) = inner.slots.get_mut(&id) else { return };
            slot.waiting = Some(Waiting::Request(connection));
            inner.ready.push_back(id);
            drop(inner);
            self.wake_door();
        } else {
            self.wait_for_request(connection, now);
        }
    }

    /// Waits for the listener.
    pub(crate) fn wait_for_handover(&self, connection: Connection, now: Instant) {
        // The listener answers at once or never; a stall of it is as long as one of a viewer.
        self.put(connection.id, Waiting::Handover(connection), now + self.patience.stall);
    }

    /// Waits until the viewer has taken some of what it was sent.
    pub(crate) fn wait_for_room(&self, stream: Box<Stream>, now: Instant) {
        let stalled_at = stream.last_progress + self.patience.stall;
        let deadline = if stream.holds_span() { stalled_at.min(now + SPAN_KEPT) } else { stalled_at };
        self.put(stream.connection.id, Waiting::Room(stream), deadline);
    }

    /// Waits for the client to close, for a moment.
    pub(crate) fn wait_for_goodbye(&self, mut connection: Connection, now: Instant) {
        connection.shutdown();
        self.put(connection.id, Waiting::Goodbye(connection, LINGER_LEN_MAX), now + LINGER);
    }

    /// Goes on waiting for the client to close: neither the deadline nor the number of bytes starts anew.
    pub(crate) fn wait_on_for_goodbye(&self, connection: Connection, len_left: usize) {
        let deadline = self.lock().slots.get(&connection.id).map(|slot| slot.deadline);
        if let Some(deadline) = deadline {
            self.put(connection.id, Waiting::Goodbye(connection, len_left), deadline);
        }
    }

    fn put(&self, id: usize, waiting: Waiting, deadline: Instant) {
        let mut inner = self.lock();
        let draining = inner.draining;
        let Some(slot) = inner.slots.get_mut(&id) else {
            drop(inner);
            return drop(waiting);
        };
        let asked = match &waiting {
            Waiting::Request(connection) if draining && !connection.has_collected() => Err(std::io::ErrorKind::Other.into()),
            Waiting::Request(connection) | Waiting::Goodbye(connection, _) => connection.want_read(),
            Waiting::Room(stream) => stream.connection.want_write(),
            Waiting::Handover(_) => Ok(()),
        };
        if asked.is_err() {
            // Draining, or the poller refuses: in either case nobody would ever look at it again.
            drop(inner);
            return drop(waiting);
        }
        slot.waiting = Some(waiting);
        slot.deadline = deadline;
        // One alarm that comes too early is looked at and set again; one that comes too late must be set now.
        if slot.armed.is_none_or(|armed| deadline < armed) {
            slot.armed = Some(deadline);
            inner.alarms.push(Reverse((deadline, id)));
            if inner.door_wakes_at.is_some_and(|wakes_at| deadline < wakes_at) {
                inner.door_wakes_at = None;
                drop(inner);
                self.wake_door();
            }
        }
    }

    /// Takes out what waits under this number, for whatever it waited.
    pub(crate) fn take(&self, id: usize) -> Option<Waiting> {
        self.lock().slots.get_mut(&id)?.waiting.take()
    }

    /// Takes out a connection that waits for the listener.
    pub(crate) fn take_handover(&self, id: usize) -> Option<Connection> {
        let mut inner = self.lock();
        let slot = inner.slots.get_mut(&id)?;
        match slot.waiting.take() {
            Some(Waiting::Handover(connection)) => Some(connection),
            other => {
                slot.waiting = other;
                None
            }
        }
    }

    /// The next connection whose request came already.
    pub(crate) fn pop_ready(&self) -> Option<usize> {
        self.lock().ready.pop_front()
    }

    /// Takes out one that waited too long; `None` where there is none at this time. What is left to wait, in any case at most,
    /// is [`next_alarm`](Self::next_alarm).
    pub(crate) fn pop_overdue(&self, now: Instant) -> Option<Waiting> {
        let mut inner = self.lock();
        loop {
            let Reverse((at, id)) = *inner.alarms.peek()?;
            if at > now {
                return None;
            }
            inner.alarms.pop();
            // The slot may be gone, or this may be an alarm that was set again earlier.
            let Some(slot) = inner.slots.get_mut(&id).filter(|slot| slot.armed == Some(at)) else { continue };
            slot.armed = None;
            if slot.waiting.is_none() {
                continue;
            }
            if slot.deadline <= now {
                return slot.waiting.take();
            }
            let deadline = slot.deadline;
            slot.armed = Some(deadline);
            inner.alarms.push(Reverse((deadline, id)));
        }
    }

    /// When the door must look again. Alarms that are set earlier than this later on wake it.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        let mut inner = self.lock();
        let at = inner.alarms.peek().map(|Reverse((at, _))| *at);
        let now_ready = (!inner.ready.is_empty()).then(Instant::now);
        let wakes_at = now_ready.or(at);
        // Without any alarm the door sleeps for ever, so that any alarm is earlier.
        inner.door_wakes_at = Some(wakes_at.unwrap_or_else(|| Instant::now() + Duration::from_secs(1 << 30)));
        wakes_at
    }

    /// Makes the door look at once.
    pub(crate) fn wake_door(&self) {
        // Fails only where the poller itself is broken, and then the door's own wait fails too.
        let _ = self.poller.notify();
    }

    /// From now on no request is waited for: takes out the connections that wait for one, to be dropped by the caller.
    pub(crate) fn start_draining(&self) -> Vec<Waiting> {
        let mut inner = self.lock();
        inner.draining = true;
        let idle = |slot: &mut Slot| match &slot.waiting {
            Some(Waiting::Request(connection)) if !connection.has_collected() => slot.waiting.take(),
            _ => None,
        };
        inner.slots.values_mut().filter_map(idle).collect()
    }

    /// Whether connections end behind their present answer.
    pub(crate) fn is_draining(&self) -> bool {
        self.lock().draining
    }

    /// Takes out everything that waits, to be dropped by the caller.
    pub(crate) fn take_all(&self) -> Vec<Waiting> {
        self.lock().slots.values_mut().filter_map(|slot| slot.waiting.take()).collect()
    }

    /// Waits until there is no connection any more, at most so long. Says whether that is so.
    pub(crate) fn wait_until_empty(&self, timeout: Duration) -> bool {
        let inner = self.lock();
        let waited = self.emptied.wait_timeout_while(inner, timeout, |inner| !inner.slots.is_empty());
        let (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        inner.slots.is_empty()
    }
}
