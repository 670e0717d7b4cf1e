//! The lot: where every connection waits that nobody works on.
//!
//! In scope: what each waits for and until when, and taking it out again when that happens. A waiting connection costs its
//! descriptor and its slot: no thread, no buffer, no connection to the store. Not in scope: what is done with it then (`door`).
//!
//! Locks: the lot's one lock is held for a few instructions at a time, with a call to the poller, or, where somebody must go for a new
//! client, a look at the sockets of those who may; never while a connection is dropped, for that comes back here.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use polling::Poller;

use crate::http::forwarded;
use crate::metrics::{Census, Closed, Metrics};
use crate::serve::alarms::Alarms;
use crate::serve::budget::SendBudget;
use crate::serve::connection::Connection;
use crate::serve::flights::{Landing, Wait};
use crate::serve::stream::Stream;
use crate::serve::work::Asked;

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
/// How long the listener may take to hand a request over. It takes microseconds, or it is broken.
const HANDOVER_MAX: Duration = Duration::from_secs(30);
/// How long a stream waits for a block that another stream reads, before it counts as a failure.
const BLOCK_MAX: Duration = Duration::from_secs(30);
/// How long a client gets to read the end of what it was sent.
const LINGER: Duration = Duration::from_secs(2);
/// How many bytes a client may still send after its last answer before it is cut off.
const LINGER_LEN_MAX: usize = 256 * 1024;
/// How many bytes of heads that are not complete are held, of all connections. Beyond, the slowest are let go.
const COLLECTED_LEN_MAX: usize = 16 * 1024 * 1024;
/// The part of what may be held that is let go at once where room must be made, as a divisor.
const MADE_AT_ONCE: usize = 128;
/// How many bytes of heads are held of requests that are not answered yet. Beyond, the next that is long is refused.
pub(crate) const ASKED_LEN_MAX: usize = 64 * 1024 * 1024;
/// A head so short is never refused for that, in bytes: almost all are shorter, and what they hold the number of connections bounds.
const SHORT_HEAD_LEN: usize = 2 * 1024;
/// How many of those who would have to go may turn out to have asked just now, before nobody goes for the moment.
const ASKING_MAX: usize = 64;
/// How many bytes of answers that are in no store are held for clients who do not read them. Beyond, the next such client is let
/// go.
const KEPT_LEN_MAX: usize = 64 * 1024 * 1024;
/// The part of all connections that one client may have, as a divisor. Whoever shares an address with many others should come
/// through a proxy that is trusted, which has no such limit.
const CLIENT_SHARE: usize = 2;

/// How many connections there may be.
#[derive(Debug)]
pub(crate) struct Room {
    /// In all.
    pub(crate) connections_max: usize,
    /// What the kernel may hold for them.
    pub(crate) send_budget: SendBudget,
    /// The proxies, for which there is no limit of their own; nor is there for this machine itself.
    pub(crate) trusted_proxies: Vec<IpNet>,
}

/// Who waits, and for what.
pub(crate) enum Waiting {
    /// For bytes of a request head.
    Request(Connection),
    /// For the listener behind the door to hand the request to the pool, which it got by this lane.
    Handover(Connection, usize),
    /// For room in the socket's send buffer.
    Room(Box<Stream>),
    /// For the time when more of a paced stream is due.
    Pace(Box<Stream>),
    /// For a block that another stream reads, or a turn to read it.
    Block(Box<Stream>, Wait),
    /// For what another request fetches, or a turn to fetch it; nothing of the answer is sent yet.
    Asked(Box<Asked>, Wait),
    /// For the client to close; so many bytes of it may still be thrown away.
    Goodbye(Connection, usize),
}

impl Waiting {
    /// It ends for this reason, whoever drops it. Of a goodbye it is known already.
    pub(crate) fn end_for(&mut self, reason: Closed) {
        match self {
            Self::Request(connection) | Self::Handover(connection, _) => connection.closed = reason,
            Self::Room(stream) | Self::Pace(stream) | Self::Block(stream, _) => stream.end_for(reason),
            Self::Asked(asked, _) => asked.end_for(reason),
            Self::Goodbye(..) => {}
        }
    }

    /// The same, as it goes.
    fn ended_for(mut self, reason: Closed) -> Self {
        self.end_for(reason);
        self
    }
}

/// Who waited for something that came, and has it.
pub(crate) enum Landed {
    Stream(Box<Stream>),
    Asked(Box<Asked>),
}

impl Landed {
    /// Gives what was waited for to whoever did; `None` where it waits for something else.
    pub(crate) fn of(waiting: Waiting, landing: Landing) -> Option<Self> {
        match waiting {
            Waiting::Block(mut stream, _) => {
                stream.land(landing);
                Some(Self::Stream(stream))
            }
            Waiting::Asked(mut asked, _) => {
                asked.land(landing);
                Some(Self::Asked(asked))
            }
            _ => None,
        }
    }
}

type Onward = Box<dyn Fn(Landed) + Send + Sync>;

pub(crate) struct Lot {
    poller: Arc<Poller>,
    patience: Patience,
    room: Room,
    inner: Mutex<Inner>,
    emptied: Condvar,
    /// How many slots there are.
    count: AtomicUsize,
    /// How many bytes the heads have that are not answered yet.
    asked_len: AtomicUsize,
    metrics: Arc<Metrics>,
    /// Who goes on with what was waited for.
    onward: OnceLock<Onward>,
}

#[derive(Default)]
struct Inner {
    /// One slot a connection, from its accept to its end.
    slots: HashMap<usize, Slot>,
    next_id: usize,
    /// How many connections each client has, of those that are counted.
    clients: HashMap<IpAddr, usize>,
    /// How many bytes the connections that wait for the rest of a head hold.
    collected_len: usize,
    /// How many bytes the streams that wait for room hold and cannot give up.
    kept_len: usize,
    /// When to look at which slot.
    alarms: Alarms,
    /// When the door will look again by itself.
    door_wakes_at: Option<Instant>,
    /// Connections whose next request came with the last one, so that no event will tell of it.
    ready: VecDeque<usize>,
    /// No request is waited for any more.
    draining: bool,
    /// Nothing is waited for any more: there is no door that would look.
    closed: bool,
}

struct Slot {
    /// Whose it is; `None` where that is not counted.
    client: Option<IpAddr>,
    /// When it began to wait.
    since: Instant,
    /// `None` while somebody works on the connection.
    waiting: Option<Waiting>,
    deadline: Instant,
    /// Its entry in `alarms` that counts.
    armed: Option<Instant>,
}

impl Slot {
    /// In which order connections go where there are too many: those that end anyway, those that wait for a request, those in the
    /// middle of one, then the streams, in each class the longest waiting first. `None` is not to go: somebody works on it.
    fn expendability(&self) -> Option<(u8, Instant)> {
        match self.waiting.as_ref()? {
            Waiting::Goodbye(..) => Some((0, self.since)),
            Waiting::Request(connection) => match connection.head_since {
                None => Some((1, self.since)),
                Some(since) => Some((2, since)),
            },
            Waiting::Room(stream) => Some((3, stream.last_progress)),
            // A stream that waits for its pace is not stalled at all.
            Waiting::Pace(stream) | Waiting::Block(stream, _) => Some((4, stream.last_progress)),
            // They are as good as being worked on.
            Waiting::Handover(..) | Waiting::Asked(..) => None,
        }
    }

    /// Whether it waits for a request that has come meanwhile.
    fn may_have_asked(&self) -> bool {
        matches!(&self.waiting, Some(Waiting::Request(connection)) if connection.may_have_asked())
    }
}

impl Inner {
    /// Takes out what waits in a slot.
    fn take(&mut self, id: usize) -> Option<Waiting> {
        let waiting = self.slots.get_mut(&id)?.waiting.take()?;
        match &waiting {
            Waiting::Request(connection) => self.collected_len -= connection.collected_len(),
            Waiting::Room(stream) => self.kept_len -= stream.kept_len(),
            _ => {}
        }
        Some(waiting)
    }

    /// Sets the alarm of a slot; the one that it had does not count any more.
    fn set_alarm(&mut self, at: Instant, id: usize) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.armed = Some(at);
        }
        let slots = &self.slots;
        let counts = |at, id| slots.get(&id).is_some_and(|slot| slot.armed == Some(at));
        self.alarms.set(at, id, slots.len(), counts);
    }

    /// Takes out so many of the slots that fit, the most expendable first. Whoever has asked and was not heard yet stays: the door
    /// is about to hear it.
    fn take_expendable(&mut self, count: usize, fits: impl Fn(&Slot) -> bool) -> Vec<Waiting> {
        let fitting = self.slots.iter().filter(|(_, slot)| fits(slot));
        let order = fitting.filter_map(|(id, slot)| Some(Reverse((slot.expendability()?, *id))));
        let mut order: BinaryHeap<Reverse<((u8, Instant), usize)>> = order.collect::<Vec<_>>().into();
        let (mut taken, mut asking) = (Vec::new(), 0);
        while taken.len() < count && asking < ASKING_MAX {
            let Some(Reverse((_, id))) = order.pop() else { break };
            if self.slots.get(&id).is_some_and(Slot::may_have_asked) {
                asking += 1;
            } else {
                taken.extend(self.take(id));
                // It is dropped later, on a thread that may block; the next client must not cost another one its place for that.
                let client = self.slots.get_mut(&id).and_then(|slot| slot.client.take());
                self.count_out(client);
            }
        }
        taken
    }

    /// One connection less of this client.
    fn count_out(&mut self, client: Option<IpAddr>) {
        if let Some(client) = client
            && let Some(count) = self.clients.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
    }
}

impl Lot {
    pub(crate) fn new(poller: Arc<Poller>, patience: Patience, room: Room, metrics: Arc<Metrics>) -> Self {
        let (inner, emptied) = (Mutex::default(), Condvar::new());
        let (count, asked_len) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { poller, patience, room, inner, emptied, count, asked_len, metrics, onward: OnceLock::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change under the lock leaves the lot whole, so a panic of another thread spoils nothing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot for a new connection; the number, 1 or more, names it from now on and is used once only.
    pub(crate) fn admit(&self, peer: IpAddr, now: Instant) -> usize {
        let peer = peer.to_canonical();
        let is_counted = !peer.is_loopback() && !self.room.trusted_proxies.iter().any(|net| net.contains(&peer));
        let client = is_counted.then(|| forwarded::group(peer));
        let mut inner = self.lock();
        inner.next_id += 1;
        let id = inner.next_id;
        if let Some(client) = client {
            *inner.clients.entry(client).or_default() += 1;
        }
        inner.slots.insert(id, Slot { client, since: now, waiting: None, deadline: now, armed: None });
        self.count.store(inner.slots.len(), Ordering::Relaxed);
        id
    }

    /// How many connections there are, or were a moment ago.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// What is here, counted; `queue` is not. All slots are looked at.
    pub(crate) fn census(&self) -> Census {
        let inner = self.lock();
        let is_parked = |slot: &&Slot| matches!(slot.waiting, Some(Waiting::Room(_) | Waiting::Pace(_) | Waiting::Block(..)));
        Census { connections: inner.slots.len(), parked: inner.slots.values().filter(is_parked).count(), queue: 0 }
    }

    /// A connection ended.
    pub(crate) fn count_closed(&self, reason: Closed) {
        self.metrics.count_closed(reason);
    }

    /// What the kernel may hold for the clients.
    pub(crate) fn budget(&self) -> &SendBudget {
        &self.room.send_budget
    }

    /// Whether there is room for one more head of this length among those that are not answered yet.
    pub(crate) fn may_ask(&self, len: usize) -> bool {
        len <= SHORT_HEAD_LEN || len <= ASKED_LEN_MAX.saturating_sub(self.asked_len.load(Ordering::Relaxed))
    }

    /// A request whose head has this length waits for its answer, which is to be given [`back`](Self::give_back_asked).
    pub(crate) fn count_asked(&self, len: usize) {
        self.asked_len.fetch_add(len, Ordering::Relaxed);
    }

    /// A request is answered.
    pub(crate) fn give_back_asked(&self, len: usize) {
        self.asked_len.fetch_sub(len, Ordering::Relaxed);
    }

    /// Takes out those that must go so that one more client gets in, to be dropped by the caller. Where this client has its share,
    /// these are of its own. It is a few at a time, so that a crowd at the door does not have all connections looked at for each
    /// of it.
    pub(crate) fn make_room(&self, peer: IpAddr) -> Vec<Waiting> {
        let mut inner = self.lock();
        let client = forwarded::group(peer);
        let share = (self.room.connections_max / CLIENT_SHARE).max(1);
        if inner.clients.get(&client).is_some_and(|count| *count >= share) {
            inner.take_expendable(1 + share / MADE_AT_ONCE, |slot| slot.client == Some(client))
        } else if inner.slots.len() >= self.room.connections_max {
            inner.take_expendable(1 + self.room.connections_max / MADE_AT_ONCE, |_| true)
        } else {
            Vec::new()
        }
    }

    /// Whether there are more connections than there may be, because [`make_room`](Self::make_room) found none to let go.
    pub(crate) fn is_overfull(&self) -> bool {
        self.lock().slots.len() > self.room.connections_max
    }

    /// The connection is gone.
    pub(crate) fn forget(&self, id: usize) {
        let mut inner = self.lock();
        let slot = inner.slots.remove(&id);
        self.count.store(inner.slots.len(), Ordering::Relaxed);
        inner.count_out(slot.as_ref().and_then(|slot| slot.client));
        let empty = inner.slots.is_empty();
        drop(inner);
        // Whoever drops a connection has it, so the slot is empty.
        drop(slot);
        if empty {
            self.emptied.notify_all();
        }
    }

    /// Waits for a request, or for the rest of one.
    pub(crate) fn wait_for_request(&self, connection: Connection, now: Instant) {
        let deadline = match connection.head_since {
            Some(since) => since + self.patience.head,
            None => now + self.patience.idle,
        };
        self.put(connection.id, Waiting::Request(connection), deadline);
    }

    /// Where more is held of incomplete heads than may be, takes out those that have been coming for the longest time: so many that
    /// there is some room again, for all connections are looked at to find them.
    pub(crate) fn take_surplus_heads(&self) -> Vec<Connection> {
        let mut inner = self.lock();
        let mut taken = Vec::new();
        if inner.collected_len <= COLLECTED_LEN_MAX {
            return taken;
        }
        let heads = inner.slots.iter().filter_map(|(id, slot)| match &slot.waiting {
            Some(Waiting::Request(connection)) => Some(Reverse((connection.head_since?, *id))),
            _ => None,
        });
        let mut heads: BinaryHeap<Reverse<(Instant, usize)>> = heads.collect::<Vec<_>>().into();
        while inner.collected_len > COLLECTED_LEN_MAX - COLLECTED_LEN_MAX / MADE_AT_ONCE {
            let Some(Reverse((_, slowest))) = heads.pop() else { break };
            if let Some(Waiting::Request(connection)) = inner.take(slowest) {
                taken.push(connection);
            }
        }
        taken
    }

    /// Looks at the connection's next request, which may have come already; else waits for it.
    pub(crate) fn next_request(&self, mut connection: Connection, now: Instant) {
        if connection.has_collected() {
            connection.head_since = Some(now);
            let id = connection.id;
            let mut inner = self.lock();
            if inner.closed {
                drop(inner);
                return drop(connection);
            }
            inner.collected_len += connection.collected_len();
            let Some(slot) = inner.slots.get_mut(&id) else { return };
            slot.waiting = Some(Waiting::Request(connection));
            slot.since = now;
            // Else the deadline of what it waited for before could count, and refuse it for being late.
            slot.deadline = now + self.patience.head;
            inner.ready.push_back(id);
            drop(inner);
            self.wake_door();
        } else {
            self.wait_for_request(connection, now);
        }
    }

    /// Waits for the listener.
    pub(crate) fn wait_for_handover(&self, connection: Connection, lane: usize, now: Instant) {
        self.put(connection.id, Waiting::Handover(connection, lane), now + HANDOVER_MAX);
    }

    /// Waits until the viewer has taken some of what it was sent.
    pub(crate) fn wait_for_room(&self, stream: Box<Stream>, now: Instant) {
        let stalled_at = stream.last_progress + self.patience.stall;
        let deadline = if stream.holds_span() { stalled_at.min(now + SPAN_KEPT) } else { stalled_at };
        self.put(stream.connection.id, Waiting::Room(stream), deadline);
    }

    /// Waits until more of a paced stream is due.
    pub(crate) fn wait_for_pace(&self, stream: Box<Stream>, due: Instant) {
        self.put(stream.connection.id, Waiting::Pace(stream), due);
    }

    /// Waits for a block that another stream reads, or for a turn to read it.
    pub(crate) fn wait_for_block(&self, stream: Box<Stream>, wait: Wait, now: Instant) {
        self.put(stream.connection.id, Waiting::Block(stream, wait), now + BLOCK_MAX);
    }

    /// Waits for what another request fetches, or for a turn to fetch it.
    pub(crate) fn wait_for_answer(&self, asked: Box<Asked>, wait: Wait) {
        let deadline = asked.deadline();
        self.put(asked.connection.id, Waiting::Asked(asked, wait), deadline);
    }

    /// Names who goes on with the connections for which came what they waited for. To be said once, before any waits.
    pub(crate) fn set_onward(&self, onward: impl Fn(Landed) + Send + Sync + 'static) {
        // Whoever said it first goes on with them.
        let _ = self.onward.set(Box::new(onward));
    }

    /// What these connections waited for came, and they go on. Says how many there were. The others left meanwhile, or gave up, or
    /// have it already: a number may stand in a list of those who wait long after its connection went on to wait for something else,
    /// and what became of the one thing says nothing of the other.
    pub(crate) fn deliver(&self, ids: &[usize], wait: &Wait, landing: &Landing) -> usize {
        let mut inner = self.lock();
        let mut landed = Vec::with_capacity(ids.len());
        for id in ids {
            let waits_for = inner.slots.get(id).and_then(|slot| slot.waiting.as_ref());
            if let Some(Waiting::Block(_, its) | Waiting::Asked(_, its)) = waits_for
                && its == wait
            {
                landed.extend(inner.take(*id));
            }
        }
        // What a landing is dropped for may come back here.
        drop(inner);
        let count = landed.len();
        for landed in landed.into_iter().filter_map(|waiting| Landed::of(waiting, landing.clone())) {
            if let Some(onward) = self.onward.get() {
                onward(landed);
            }
        }
        count
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

    fn put(&self, id: usize, mut waiting: Waiting, deadline: Instant) {
        if let Waiting::Room(stream) = &mut waiting {
            stream.connection.shrink(self.len());
        }
        let mut inner = self.lock();
        let Inner { draining, closed, kept_len, .. } = *inner;
        let Some(slot) = inner.slots.get_mut(&id).filter(|_| !closed) else {
            drop(inner);
            return drop(waiting.ended_for(Closed::Stopped));
        };
        let asked = match &waiting {
            Waiting::Request(connection) if draining && !connection.has_collected() => Err(std::io::ErrorKind::Other.into()),
            Waiting::Request(connection) | Waiting::Goodbye(connection, _) => connection.want_read(),
            Waiting::Room(stream) if stream.kept_len() > KEPT_LEN_MAX.saturating_sub(kept_len) => {
                Err(std::io::ErrorKind::OutOfMemory.into())
            }
            Waiting::Room(stream) => stream.connection.want_write(),
            Waiting::Pace(stream) | Waiting::Block(stream, _) => stream.connection.want_nothing(),
            Waiting::Asked(asked, _) => asked.connection.want_nothing(),
            Waiting::Handover(..) => Ok(()),
        };
        if asked.is_err() {
            // Draining, or too much is held already, or the poller refuses and nobody would ever look at it again.
            drop(inner);
            let reason = if draining { Closed::Stopped } else { Closed::Evicted };
            return drop(waiting.ended_for(reason));
        }
        let (collected_len, kept_len) = match &waiting {
            Waiting::Request(connection) => (connection.collected_len(), 0),
            Waiting::Room(stream) => (0, stream.kept_len()),
            _ => (0, 0),
        };
        slot.waiting = Some(waiting);
        slot.since = Instant::now();
        slot.deadline = deadline;
        inner.collected_len += collected_len;
        inner.kept_len += kept_len;
        let Some(slot) = inner.slots.get_mut(&id) else { return };
        // One alarm that comes too early is looked at and set again; one that comes too late must be set now.
        if slot.armed.is_none_or(|armed| deadline < armed) {
            inner.set_alarm(deadline, id);
            if inner.door_wakes_at.is_some_and(|wakes_at| deadline < wakes_at) {
                inner.door_wakes_at = None;
                drop(inner);
                self.wake_door();
            }
        }
    }

    /// Takes out what waits under this number for an event. A connection that waits for the listener stays: the dispatcher will
    /// ask for it.
    pub(crate) fn take(&self, id: usize) -> Option<Waiting> {
        let mut inner = self.lock();
        let waits_for_listener = matches!(inner.slots.get(&id)?.waiting, Some(Waiting::Handover(..)));
        if waits_for_listener { None } else { inner.take(id) }
    }

    /// Takes out a connection that waits for the listener.
    pub(crate) fn take_handover(&self, id: usize) -> Option<Connection> {
        let mut inner = self.lock();
        let slot = inner.slots.get_mut(&id)?;
        match slot.waiting.take() {
            Some(Waiting::Handover(connection, _)) => Some(connection),
            other => {
                slot.waiting = other;
                None
            }
        }
    }

    /// Takes out the connections whose requests were sent by a lane that is broken.
    pub(crate) fn take_handovers(&self, lane: usize) -> Vec<Connection> {
        let mut inner = self.lock();
        let ids: Vec<usize> = inner
            .slots
            .iter()
            .filter(|(_, slot)| matches!(slot.waiting, Some(Waiting::Handover(_, its)) if its == lane))
            .map(|(id, _)| *id)
            .collect();
        let taken = ids.into_iter().filter_map(|id| inner.take(id));
        taken
            .filter_map(|waiting| if let Waiting::Handover(connection, _) = waiting { Some(connection) } else { None })
            .collect()
    }

    /// Takes out the next connection whose request came already. Some have been taken out since, by an event or because it was late,
    /// and may wait for something else by now: they are left alone.
    pub(crate) fn pop_ready(&self) -> Option<Waiting> {
        let mut inner = self.lock();
        loop {
            let id = inner.ready.pop_front()?;
            if inner.slots.get(&id).is_some_and(|slot| matches!(slot.waiting, Some(Waiting::Request(_)))) {
                return inner.take(id);
            }
        }
    }

    /// Takes out one that waited too long; `None` where there is none at this time. What is left to wait, in any case at most,
    /// is [`next_alarm`](Self::next_alarm).
    pub(crate) fn pop_overdue(&self, now: Instant) -> Option<Waiting> {
        let mut inner = self.lock();
        loop {
            let (at, id) = inner.alarms.pop(now)?;
            // The slot may be gone, or this may be an alarm that was set again earlier.
            let Some(slot) = inner.slots.get_mut(&id).filter(|slot| slot.armed == Some(at)) else { continue };
            slot.armed = None;
            if slot.waiting.is_none() {
                continue;
            }
            if slot.deadline <= now {
                return inner.take(id);
            }
            let deadline = slot.deadline;
            inner.set_alarm(deadline, id);
        }
    }

    /// When the door must look again. Alarms that are set earlier than this later on wake it.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        let mut inner = self.lock();
        let at = inner.alarms.next();
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
            // They hold nothing, so nothing needs to be counted down.
            Some(Waiting::Request(connection)) if !connection.has_collected() => slot.waiting.take(),
            _ => None,
        };
        inner.slots.values_mut().filter_map(idle).map(|waiting| waiting.ended_for(Closed::Stopped)).collect()
    }

    /// Whether connections end behind their present answer.
    pub(crate) fn is_draining(&self) -> bool {
        self.lock().draining
    }

    /// From now on nothing waits: takes out everything that does, to be dropped by the caller. What comes later is dropped at
    /// once.
    pub(crate) fn close(&self) -> Vec<Waiting> {
        let mut inner = self.lock();
        inner.closed = true;
        inner.collected_len = 0;
        inner.kept_len = 0;
        let waiting = inner.slots.values_mut().filter_map(|slot| slot.waiting.take());
        waiting.map(|waiting| waiting.ended_for(Closed::Stopped)).collect()
    }

    /// Waits until there is no connection any more, at most so long. Says whether that is so.
    pub(crate) fn wait_until_empty(&self, timeout: Duration) -> bool {
        let inner = self.lock();
        let waited = self.emptied.wait_timeout_while(inner, timeout, |inner| !inner.slots.is_empty());
        let (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        inner.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::serve::connection::READ_LEN;
    use crate::serve::socket::{Received, Registered};

    const SECOND: Duration = Duration::from_secs(1);

    /// A lot with one connection, its client, and when it came.
    fn one() -> (Arc<Lot>, Connection, TcpStream, Instant) {
        let poller = Arc::new(Poller::new().unwrap());
        let patience = Patience { head: 10 * SECOND, idle: 60 * SECOND, stall: 1800 * SECOND };
        let room = Room { connections_max: 10, send_budget: SendBudget::new(1 << 20), trusted_proxies: Vec::new() };
        let lot = Arc::new(Lot::new(Arc::clone(&poller), patience, room, Arc::new(Metrics::new().unwrap())));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, peer) = listener.accept().unwrap();
        let now = Instant::now();
        let id = lot.admit(peer.ip(), now);
        let connection = Connection::new(id, peer, Registered::new(socket, &poller, id).unwrap(), Arc::clone(&lot));
        (lot, connection, client, now)
    }

    #[test]
    fn a_request_that_came_early_is_not_late() {
        let (lot, mut connection, mut client, start) = one();
        client.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        while connection.receive(&mut [0; READ_LEN], start).unwrap() == Received::Nothing {}
        // The answer before waited until this second, and the pool was done with it just then.
        let id = connection.id;
        lot.put(id, Waiting::Handover(connection, 0), start + SECOND);
        let connection = lot.take_handover(id).unwrap();
        lot.next_request(connection, start + SECOND);
        assert!(lot.pop_overdue(start + 2 * SECOND).is_none(), "it would be answered 408");
        assert!(lot.pop_ready().is_some());
    }

    #[test]
    fn alarms_are_as_many_as_connections() {
        let (lot, mut connection, _client, start) = one();
        let id = connection.id;
        for number in 0..10_000 {
            let now = start + SECOND * number;
            // What a slow viewer does: parks with an open read, gives it up after a second, takes some.
            lot.put(id, Waiting::Handover(connection, 0), now + SECOND);
            let Some(Waiting::Handover(parked, _)) = lot.pop_overdue(now + SECOND) else { panic!("it was due") };
            lot.put(id, Waiting::Handover(parked, 0), now + 1800 * SECOND);
            connection = lot.take_handover(id).unwrap();
        }
        let count = lot.lock().alarms.len();
        assert!(count < 100, "{count} alarms for one connection");
    }

    #[test]
    fn nothing_waits_in_a_closed_lot() {
        let (lot, connection, _client, now) = one();
        drop(lot.close());
        lot.wait_for_request(connection, now);
        assert!(lot.wait_until_empty(Duration::ZERO));
    }

    /// So many more connections in the lot, which say that they come from this address and wait for a request.
    fn crowd(lot: &Arc<Lot>, address: &str, count: usize) -> Vec<TcpStream> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
            let (socket, _) = listener.accept().unwrap();
            let peer = (address.parse::<IpAddr>().unwrap(), 1).into();
            let now = Instant::now();
            drop(lot.make_room(address.parse().unwrap()));
            let id = lot.admit(address.parse().unwrap(), now);
            let socket = Registered::new(socket, &lot.poller, id).unwrap();
            lot.wait_for_request(Connection::new(id, peer, socket, Arc::clone(lot)), now);
        }
        clients
    }

    #[test]
    fn one_client_has_its_share_and_no_more() {
        let (lot, connection, _client, _) = one();
        drop(connection);
        // Of ten connections five are for one client; those it has beyond cost it its own, and nobody else theirs.
        let _crowd = crowd(&lot, "192.0.2.1", 9);
        assert_eq!(lot.len(), 5);
        let _others = crowd(&lot, "2001:db8::1", 2);
        let _of_the_same = crowd(&lot, "2001:db8::2", 9);
        assert_eq!(lot.len(), 10);
        let count = |address: &str| lot.lock().clients.get(&address.parse().unwrap()).copied();
        assert_eq!((count("192.0.2.1"), count("2001:db8::")), (Some(5), Some(5)));
        // This machine, where a proxy may be, has no share; but all are in use, so each costs an idle one its place.
        let _local = crowd(&lot, "127.0.0.1", 9);
        assert_eq!(lot.len(), 10);
        drop(lot.close());
        assert!(lot.lock().clients.is_empty() && lot.lock().collected_len == 0);
    }

    #[test]
    fn who_has_to_go_and_is_not_gone_yet_costs_no_other_its_place() {
        let (lot, connection, _client, _) = one();
        drop(connection);
        let _crowd = crowd(&lot, "192.0.2.1", 5);
        // Nobody drops them, as long as the pool has no time for it.
        let address = "192.0.2.1".parse().unwrap();
        let leaving = lot.make_room(address);
        assert_eq!((leaving.len(), lot.make_room(address).len(), lot.len()), (1, 0, 5));
        drop(leaving);
        assert_eq!((lot.lock().clients[&address], lot.len()), (4, 4));
    }

    #[test]
    fn surplus_heads_go_the_slowest_first_and_some_at_once() {
        let (lot, connection, _client, now) = one();
        drop(connection);
        let _clients = crowd(&lot, "127.0.0.1", 10);
        for id in 2..12 {
            let Some(Waiting::Request(mut connection)) = lot.take(id) else { panic!("no connection {id}") };
            // The later ones are the slower ones here.
            connection.head_since = Some(now + SECOND * (20 - u32::try_from(id).unwrap()));
            lot.wait_for_request(connection, now);
        }
        assert!(lot.take_surplus_heads().is_empty());
        // Together they hold nothing, and somebody else a little more than may be.
        lot.lock().collected_len = COLLECTED_LEN_MAX + 1;
        let taken: Vec<usize> = lot.take_surplus_heads().iter().map(|connection| connection.id).collect();
        assert_eq!(taken, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2], "nothing was enough");
        lot.lock().collected_len = 0;
    }

    #[test]
    fn who_has_asked_and_was_not_heard_yet_stays() {
        let (lot, connection, _client, now) = one();
        drop(connection);
        let mut clients = crowd(&lot, "127.0.0.1", 10);
        let mut received = |number: usize| {
            clients[number].write_all(b"GET / HTTP/1.1\r\n").unwrap();
            // The first had the number 1, and is gone.
            let Some(Waiting::Request(mut connection)) = lot.take(number + 2) else { panic!("no connection {number}") };
            while connection.receive(&mut [0; READ_LEN], now).unwrap() == Received::Nothing {}
            connection
        };
        // One sent its next request along with the last; one sent a part, which was looked at.
        lot.next_request(received(1), now);
        let mut slow = received(2);
        let (collected, seen) = slow.collected();
        assert_eq!(crate::http::head::parse(collected, seen), crate::http::head::Outcome::Incomplete);
        lot.wait_for_request(slow, now);
        // One has just asked, and the event is still to be seen. One is gone, and that is no request.
        clients[0].write_all(b"GET").unwrap();
        clients[3].shutdown(std::net::Shutdown::Write).unwrap();
        let gone = lot.lock().take_expendable(10, |_| true);
        assert_eq!(gone.len(), 8);
        drop(gone);
        assert!(lot.take(2).is_some() && lot.take(3).is_some(), "those two had asked");
    }

    #[test]
    fn the_requests_of_a_broken_lane_are_found() {
        let (lot, connection, _client, now) = one();
        lot.wait_for_handover(connection, 2, now);
        assert!(lot.take_handovers(1).is_empty());
        assert_eq!(lot.take_handovers(2).len(), 1);
        assert_eq!(lot.len(), 0, "it was dropped with the list");
    }
}
