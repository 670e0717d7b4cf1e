//! What is shared with the other nodes, through Redis or Valkey.
//!
//! In scope: the face that requests see, which never waits long and never fails. Not in scope: talking to the server (`courier`,
//! `listener`, `link`).
//!
//! ```text
//! requests ──jobs──► courier   one thread, one connection: GET, SET, DEL + PUBLISH, in order
//!    ▲                  │
//!    └──answer──────────┘      or nothing, after 50 ms
//!
//! local ◄── forget ── listener one thread, one connection: SUBSCRIBE; other nodes' uploads and deletes
//! ```
//!
//! No request talks to the server itself. Whatever can block there, a name that is not resolved, a connection that is not taken,
//! a reply that does not end, blocks the courier; the request goes on without an answer after its time, and from then on nobody
//! asks until the courier has seen the server answer again.

mod courier;
mod link;
mod listener;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use self::courier::Courier;
use self::link::Link;
use self::listener::Listener;
use super::RedisUrl;
use super::local::Local;
use super::outage::Outage;
use super::record::{Record, VERSION, digest};
use crate::object::ObjectKey;

/// How long a request waits for the courier.
const ANSWER_WAIT_MAX: Duration = Duration::from_millis(50);
/// Jobs that wait for the courier. He does thousands a second; where they pile up the server is slow, and more need not wait.
const JOBS_MAX: usize = 256;

/// What comes back of a job: a record and how long it is fresh, or that it is done. One type for all: each further type of
/// channel is a further copy of its code.
type Answer = Option<(Record, Duration)>;

/// What the courier is asked to do.
enum Job {
    /// Bring a record, unless it is too late.
    Get { key: ObjectKey, due: Instant, answer: SyncSender<Answer> },
    /// Put a record there, for so long.
    Put { key: ObjectKey, bytes: Vec<u8>, ttl: Duration },
    /// Delete a record, and tell the other nodes.
    Forget { key: ObjectKey, done: SyncSender<Answer> },
    /// Look whether the server answers: a request waited in vain.
    Look,
    /// Delete a record, of which another node told.
    Delete { key: ObjectKey, done: SyncSender<Answer> },
}

/// The names of things in Redis.
struct Names {
    prefix: String,
    /// Tells this node from the others, so that it does not listen to itself.
    node: String,
}

impl Names {
    fn new(namespace: &str) -> Self {
        let node = format!("{:016x}", RandomState::new().hash_one(namespace));
        Self { prefix: format!("vidgate:{VERSION}:{namespace}"), node }
    }

    /// Where the record of a key is.
    fn record(&self, key: &ObjectKey) -> String {
        format!("{}:{}", self.prefix, digest(&[key.as_str().as_bytes()]))
    }

    /// Where nodes tell one another which keys to forget.
    fn channel(&self) -> String {
        format!("{}:forget", self.prefix)
    }

    /// What this node tells the others.
    fn message(&self, key: &ObjectKey) -> String {
        format!("{} {}", self.node, key.as_str())
    }

    /// The key in what another node told; `None` for what this one did, and for nonsense.
    fn heard(&self, message: &[u8]) -> Option<ObjectKey> {
        let (node, key) = std::str::from_utf8(message).ok()?.split_once(' ')?;
        if node == self.node { None } else { ObjectKey::new(key).ok() }
    }
}

/// Whether the server answers.
struct Health {
    address: String,
    is_up: AtomicBool,
    silence: Outage,
    nonsense: Outage,
}

impl Health {
    fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    /// It did not answer as it should. From now on nobody asks until [`Health::rise`].
    fn fall(&self, why: &str) {
        self.is_up.store(false, Ordering::Release);
        if self.silence.begins(Instant::now()) {
            log::warn!("the Redis at {} does not answer, so each server goes by what it knows itself: {why}", self.address);
        }
    }

    /// It answers again.
    fn rise(&self) {
        self.is_up.store(true, Ordering::Release);
        if self.silence.ends() {
            log::info!("the Redis at {} answers", self.address);
        }
    }

    /// It answers, and what it answers is of no use.
    fn refuse(&self, why: &str) {
        if self.nonsense.begins(Instant::now()) {
            log::warn!("the Redis at {} answered what is of no use, so the store is asked: {why}", self.address);
        }
    }

    /// What it answered is of use.
    fn accept(&self) {
        self.nonsense.ends();
    }
}

/// The records that nodes share. Dropping it ends its threads, as soon as they are not blocked.
pub(super) struct Shared {
    jobs: SyncSender<Job>,
    health: Arc<Health>,
    /// Tells the listener to end, by being dropped.
    _stop: SyncSender<Answer>,
}

impl Shared {
    /// Starts the two threads; they connect on their own. `None`, told in the log, where the system gives no threads.
    pub(super) fn start(url: &RedisUrl, local: &Arc<Local>) -> Option<Self> {
        let names = Arc::new(Names::new(&local.namespace));
        let health = Arc::new(Health {
            address: url.address(),
            // The first requests wait for the first connection, so that servers that start together ask once.
            is_up: AtomicBool::new(true),
            silence: Outage::default(),
            nonsense: Outage::default(),
        });
        let (jobs, orders) = mpsc::sync_channel(JOBS_MAX);
        let (stop, stopped) = mpsc::sync_channel(0);
        let link = Arc::new(Link::new(url.clone()));
        let courier = Courier::new(Arc::clone(&link), Arc::clone(&names), Arc::clone(&health), local.namespace.clone());
        let listener =
            Listener { link, names, health: Arc::clone(&health), local: Arc::downgrade(local), jobs: jobs.clone(), stopped };
        let start = |name: &str, run: Box<dyn FnOnce() + Send>| thread::Builder::new().name(name.to_owned()).spawn(run);
        let threads = start("vidgate-redis", Box::new(move || courier.run(&orders)))
            .and_then(|_| start("vidgate-forget", Box::new(move || listener.run())));
        match threads {
            Ok(_) => Some(Self { jobs, health, _stop: stop }),
            Err(error) => {
                log::warn!("the Redis at {} is not used: {error}", url.address());
                None
            }
        }
    }

    /// The record that some node put there, and for how long it is still fresh. `None` at once where the server does not answer
    /// these days, and after 50 milliseconds where that is only seen now.
    pub(super) fn get(&self, key: &ObjectKey) -> Option<(Record, Duration)> {
        let due = Instant::now() + ANSWER_WAIT_MAX;
        self.ask(&|answer| Job::Get { key: key.clone(), due, answer })
    }

    /// Puts a record there, for so long. Nobody waits for it.
    pub(super) fn put(&self, key: &ObjectKey, bytes: Vec<u8>, ttl: Duration) {
        if self.health.is_up() && ttl >= Duration::from_millis(1) {
            let _ = self.jobs.try_send(Job::Put { key: key.clone(), bytes, ttl });
        }
    }

    /// Deletes a record and tells the other nodes: now, or once the server answers.
    pub(super) fn forget(&self, key: &ObjectKey) {
        let job = |done| Job::Forget { key: key.clone(), done };
        if self.health.is_up() {
            self.ask(&job);
        } else {
            // The courier keeps it in mind. Where even his queue is full, the TTL of the record is what ends it.
            let _ = self.jobs.try_send(job(mpsc::sync_channel(1).0));
        }
    }

    fn ask(&self, job: &dyn Fn(SyncSender<Answer>) -> Job) -> Answer {
        if !self.health.is_up() {
            return None;
        }
        let (answer, answers) = mpsc::sync_channel(1);
        // A queue that is full is not waited for.
        self.jobs.try_send(job(answer)).ok()?;
        match answers.recv_timeout(ANSWER_WAIT_MAX) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                self.health.fall("no answer within 50 ms");
                // The courier may have come back just after, and now nobody else has anything for him to do.
                let _ = self.jobs.try_send(Job::Look);
                None
            }
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_messages() {
        let (ours, theirs) = (Names::new("n"), Names::new("n"));
        let key = ObjectKey::new("a b/\u{e9}.mp4").unwrap();
        assert_eq!(ours.record(&key), theirs.record(&key));
        assert!(ours.record(&key).starts_with("vidgate:1:n:") && ours.channel() == "vidgate:1:n:forget");
        assert_ne!(ours.record(&key), Names::new("m").record(&key));
        assert_eq!(theirs.heard(ours.message(&key).as_bytes()), Some(key.clone()));
        assert_eq!(ours.heard(ours.message(&key).as_bytes()), None);
        for nonsense in [b"".as_slice(), b"x", b"x ", b"x ../y", b"x a\0b", b"x \xff", &[b' '; 2000]] {
            assert_eq!(ours.heard(nonsense), None, "{nonsense:?}");
        }
    }
}
