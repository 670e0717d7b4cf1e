//! What the pool does: answers requests, and sends streams on, turn by turn.
//!
//! In scope: what follows each turn. Not in scope: the answer (`handler`), the sending (`stream`), the waiting (`lot`).

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, ErrorKind};
use crate::http::head::BodyFraming;
use crate::http::response::Persistence;
use crate::http::route::{self, Route};
use crate::http::tus;
use crate::metrics::{Census, Closed};
use crate::serve::body;
use crate::serve::connection::{Connection, Entrance};
use crate::serve::flights::{Landing, Wait};
use crate::serve::handler::{Answer, Begun, Handler, Outcome};
use crate::serve::lanes::Request;
use crate::serve::lot::{Landed, Lot};
use crate::serve::pace::{Pace, Paced};
use crate::serve::pool::{Lane, Pool};
use crate::serve::stream::{FIRST_QUANTUM_LEN, FIRST_QUANTUM_LEN_CROWDED, Stream, Turn};
use crate::serve::upload::{Task, Uploads};
use crate::serve::visit::{Visit, Visits};

/// A client that makes room so soon takes more than its socket holds.
const FAST_DRAIN: Duration = Duration::from_millis(5);

/// A client that makes room so soon will do so again: it is as fast as the others who are, and there may be many of those.
const SOON_DRAIN: Duration = Duration::from_millis(100);

/// So many requests that wait for their first byte are a crowd: a few milliseconds' work.
const CROWD: usize = 64;

/// Room for the head of an answer, in bytes. From 1,033 on glibc has no free pieces of a thread's own.
const HEAD_CAPACITY: usize = 1000;

/// A client that asked so recently is not looked for before it is answered.
const QUEUED_BRIEFLY: Duration = Duration::from_millis(2);

/// How long a request waits for what others fetch before it is an error.
const JOINED_MAX: Duration = Duration::from_secs(30);
/// How many fetches of others may fail before a request that waits for them is an error.
const JOINED_FAILURES_MAX: u32 = 2;

/// A request that is being answered.
pub(crate) struct Asked {
    pub(crate) connection: Connection,
    visit: Visit,
    request: Request,
    lane: Lane,
    since: Instant,
    /// What it waited for, where it did.
    landing: Option<Landing>,
    /// What there was of its answer then.
    begun: Option<Box<Begun>>,
    /// How often that was a failure.
    failures: u32,
}

impl Asked {
    /// Takes what it waited for.
    pub(crate) fn land(&mut self, landing: Landing) {
        self.landing = Some(landing);
    }

    /// It ends for this reason, whoever drops it.
    pub(crate) fn end_for(&mut self, reason: Closed) {
        self.connection.closed = reason;
        self.visit.cut_short(reason);
    }

    /// When it must have been answered.
    pub(crate) fn deadline(&self) -> Instant {
        self.since + JOINED_MAX
    }
}

/// Everything that work needs.
pub(crate) struct Work {
    pub(crate) handler: Handler,
    pub(crate) pool: Pool,
    pub(crate) lot: Arc<Lot>,
    /// How fast streams are sent; `None` as fast as they can be.
    pub(crate) pace: Option<Pace>,
    pub(crate) visits: Visits,
    pub(crate) uploads: Uploads,
    /// Whether the metrics have an address of their own.
    pub(crate) metrics_apart: bool,
}

impl Work {
    /// Queues a request that came on this connection.
    pub(crate) fn submit_request(self: &Arc<Self>, mut connection: Connection, mut request: Request) {
        request.body = connection.take_off_head();
        let since = Instant::now();
        if tus::is_path(route::split(&request.target).0)
            && let Some(method) = tus::method(&request.method, &request.fields)
        {
            method.clone_into(&mut request.method);
        }
        let route = route::resolve(route::split(&request.target).0).ok();
        let visit = self.visits.begin(connection.peer.ip(), &request, route.as_ref(), since);
        // An upload asks the store on its own thread; here only its head is looked at.
        let is_upload = matches!(request.method.as_str(), "PUT" | "POST");
        let asks_store = route.is_some_and(|route| route.asks_store());
        let lane = if asks_store && !is_upload { Lane::FirstByte } else { Lane::Light };
        self.submit_asked(Box::new(Asked { connection, visit, request, lane, since, landing: None, begun: None, failures: 0 }));
    }

    /// Queues what goes on because what it waited for came.
    pub(crate) fn submit_landed(self: &Arc<Self>, landed: Landed) {
        match landed {
            Landed::Stream(stream) => self.submit_stream(stream),
            Landed::Asked(asked) => self.submit_asked(asked),
        }
    }

    /// Queues a request, for the first time or because what it waited for came.
    pub(crate) fn submit_asked(self: &Arc<Self>, asked: Box<Asked>) {
        let work = Arc::clone(self);
        self.pool.submit(asked.lane, move || work.answer(asked));
    }

    /// Queues the next turn of a stream whose socket has room again.
    pub(crate) fn submit_resumed(self: &Arc<Self>, mut stream: Box<Stream>) {
        let waited = stream.last_progress.elapsed();
        stream.drains_soon = waited < SOON_DRAIN;
        if waited < FAST_DRAIN {
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

    fn answer(self: &Arc<Self>, mut asked: Box<Asked>) {
        if asked.since.elapsed() > QUEUED_BRIEFLY && asked.connection.is_reset() {
            // It left while it was queued. The store need not be asked for nobody.
            return;
        }
        let (landing, begun) = (asked.landing.take(), asked.begun.take());
        let mut failed = None;
        if let Some(Landing::Failed(kind)) = &landing {
            asked.failures += 1;
            failed = (asked.failures >= JOINED_FAILURES_MAX).then(|| Landing::failure(*kind));
        }
        if Instant::now() >= asked.deadline() {
            failed = Some(Error::new(ErrorKind::UpstreamTimeout, "what others read of the store took too long"));
        }
        let peer = asked.connection.peer.ip();
        let is_crowded = self.pool.first_bytes_waiting() >= CROWD;
        let quantum_len = if is_crowded { FIRST_QUANTUM_LEN_CROWDED } else { FIRST_QUANTUM_LEN };
        let scope = asked.visit.enter();
        let outcome = match failed.or_else(|| self.at_entrance(&asked).err()) {
            Some(error) => Outcome::Answer(Box::new(self.handler.refuse(&asked.request, &error))),
            None => self.handler.answer(&asked.request, peer, landing, begun, quantum_len),
        };
        asked.visit.leave(scope);
        match outcome {
            Outcome::Answer(answer) => self.send(*asked, *answer, quantum_len),
            Outcome::Join(wait, begun) => {
                asked.begun = begun;
                self.join_asked(asked, &wait);
            }
            Outcome::Receive(task) => self.start_upload(asked, *task),
        }
    }

    /// The request gets a thread of its own, where there is one for it.
    fn start_upload(self: &Arc<Self>, mut asked: Box<Asked>, task: Task) {
        let place = match self.uploads.enter(&task) {
            Ok(place) => place,
            Err(error) => {
                let scope = asked.visit.enter();
                let answer = self.handler.refuse(&asked.request, &error);
                asked.visit.leave(scope);
                return self.send(*asked, answer, FIRST_QUANTUM_LEN);
            }
        };
        let (work, id) = (Arc::clone(self), asked.visit.id.clone());
        let run = move || {
            work.receive(*asked, task);
            drop(place);
        };
        if let Err(error) = thread::Builder::new().name("vidgate-upload".into()).spawn(run) {
            // What it was to do is dropped, and the connection with it.
            log::error!(request:% = id; "no thread can be started for an upload: {error}");
        }
    }

    /// Receives an upload and answers it, on a thread of its own.
    fn receive(self: &Arc<Self>, mut asked: Asked, task: Task) {
        let scope = asked.visit.enter();
        let answer = self.handler.receive(&asked.request, task, &mut asked.connection, self.uploads.is_stopping());
        asked.visit.leave(scope);
        let has_unread = asked.connection.body_framing() != BodyFraming::None;
        let mut stream = self.prepare(asked, answer, FIRST_QUANTUM_LEN);
        if has_unread && Self::take_turn(&mut stream) == Turn::Done {
            // A client that sends on must read why it need not; here it holds nobody up but its own thread.
            stream.visit.done();
            stream.connection.closed = Closed::Done;
            body::drain(&mut stream.connection, self.uploads.is_stopping());
            self.lot.wait_for_goodbye(stream.connection, Instant::now());
        } else {
            self.advance(stream);
        }
    }

    /// Where the metrics have an address of their own they are there only, and nothing is there but what those want who watch the
    /// server. For them what is not counted is looked at.
    fn at_entrance(&self, asked: &Asked) -> Result<(), Error> {
        let route = route::resolve(route::split(&asked.request.target).0);
        let is_metrics = matches!(route, Ok(Route::Metrics));
        let is_for_watchers = is_metrics || matches!(route, Ok(Route::Health | Route::Ready));
        match asked.connection.entrance {
            Entrance::Public if is_metrics && self.metrics_apart => return Err(ErrorKind::NotFound.into()),
            Entrance::Metrics if !is_for_watchers => return Err(ErrorKind::NotFound.into()),
            _ => {}
        }
        if is_metrics {
            self.visits.metrics().take_census(Census { queue: self.pool.len(), ..self.lot.census() });
        }
        if matches!(route, Ok(Route::Ready)) && self.lot.is_draining() {
            return Err(Error::new(ErrorKind::Busy, "the server ends"));
        }
        Ok(())
    }

    /// The request waits for what another fetches.
    fn join_asked(self: &Arc<Self>, asked: Box<Asked>, wait: &Wait) {
        let id = asked.connection.id;
        // In the lot first, so that it is found there however soon the other lands.
        self.lot.wait_for_answer(asked, wait.clone());
        if !self.handler.join(wait, id) {
            self.lot.deliver(&[id], wait, &Landing::Again);
        }
    }

    fn send(self: &Arc<Self>, asked: Asked, answer: Answer, quantum_len: usize) {
        let stream = self.prepare(asked, answer, quantum_len);
        self.advance(stream);
    }

    fn prepare(&self, asked: Asked, mut answer: Answer, quantum_len: usize) -> Box<Stream> {
        let Asked { mut connection, mut visit, request, .. } = asked;
        connection.end_request();
        if self.lot.is_draining() {
            connection.end_after_answer();
        }
        let mut head = Vec::with_capacity(HEAD_CAPACITY);
        let date = httpdate::fmt_http_date(SystemTime::now());
        answer.response.field("X-Request-Id", visit.id.as_str());
        answer.response.write_head(&date, connection.persistence(), &mut head);
        visit.answered(&answer.response, head.len(), request.fields.get("range"));
        if log::log_enabled!(log::Level::Debug) {
            let target = route::without_tokens(&request.target);
            let (peer, method, status) = (connection.peer, &request.method, answer.response.status());
            log::debug!(request:% = visit.id; "{peer} {method} {target:?} {status}");
        }
        let slice = answer.slice;
        if answer.chunks.is_some() {
            visit.begin_stream();
        }
        let now = Instant::now();
        let rest = answer.chunks.map(|chunks| Paced::new(chunks, self.pace, slice.len(), now));
        Box::new(Stream::new(connection, visit, head, slice, rest, answer.permit, now, quantum_len))
    }

    /// Sends what the socket has room for, on behalf of the stream's request.
    fn take_turn(stream: &mut Stream) -> Turn {
        let scope = stream.visit.enter();
        let turn = stream.advance();
        stream.visit.leave(scope);
        turn
    }

    fn advance(self: &Arc<Self>, mut stream: Box<Stream>) {
        let turn = Self::take_turn(&mut stream);
        if matches!(turn, Turn::Again | Turn::Full | Turn::NotBefore(_) | Turn::Join(_)) && !stream.may_hold(&turn) {
            drop(stream.pause());
        }
        match turn {
            Turn::Again => self.submit_stream(stream),
            Turn::Full => self.lot.wait_for_room(stream, Instant::now()),
            Turn::NotBefore(due) => self.lot.wait_for_pace(stream, due),
            Turn::Join(wait) => {
                let id = stream.connection.id;
                self.lot.wait_for_block(stream, wait.clone(), Instant::now());
                if !self.handler.join(&wait, id) {
                    self.lot.deliver(&[id], &wait, &Landing::Again);
                }
            }
            Turn::Gone => {}
            Turn::Cut => {
                stream.end_for(Closed::Cut);
                let (connection, _) = stream.into_parts();
                self.lot.wait_for_goodbye(connection, Instant::now());
            }
            Turn::Done => {
                stream.visit.done();
                let (mut connection, rest) = stream.into_parts();
                if connection.persistence() == Persistence::Close {
                    connection.closed = Closed::Done;
                    self.lot.wait_for_goodbye(connection, Instant::now());
                } else {
                    self.lot.next_request(connection, Instant::now());
                }
                // The client is free to go on, whatever the store does to the rest of a block.
                if let Some(rest) = rest {
                    rest.finish();
                }
            }
        }
    }
}
