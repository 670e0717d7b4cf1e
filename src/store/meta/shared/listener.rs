//! The thread that hears what other nodes forget.
//!
//! In scope: one subscription, kept up. Not in scope: what is told (`courier`).
//!
//! What was told while there was no subscription was not heard. So each new subscription takes the freshness from all that was
//! asked before it; and without one, the TTL is what bounds the age of an entry.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redis::{RedisResult, Value};

use super::link::{Link, is_refusal, tell};
use super::{ANSWER_WAIT_MAX, Answer, Health, Job, Names};
use crate::store::meta::clock::pause_after;
use crate::store::meta::local::Local;

/// How long it listens before it looks whether it is still wanted.
const LISTEN_MAX: Duration = Duration::from_secs(1);
/// After so many silent stretches it asks whether the server is still there: a connection can be dead and not say so.
const SILENT_MAX: u32 = 3;
/// A subscription that held for this long was a good one.
const GOOD_AFTER: Duration = Duration::from_mins(1);

/// The listener.
pub(super) struct Listener {
    pub(super) link: Arc<Link>,
    pub(super) names: Arc<Names>,
    pub(super) health: Arc<Health>,
    pub(super) local: Weak<Local>,
    pub(super) jobs: SyncSender<Job>,
    /// Nothing ever comes of it: it ends when this thread is to end.
    pub(super) stopped: Receiver<Answer>,
}

impl Listener {
    /// Listens until it is told to end.
    pub(super) fn run(self) {
        let mut failures = 0_u32;
        loop {
            let begun = Instant::now();
            match self.listen() {
                Ok(()) => return,
                // Silence is what the courier tells of. That nothing may be heard on a server that answers is told here.
                Err(error) if is_refusal(&error) => self.health.refuse(&format!("SUBSCRIBE: {}", tell(&error))),
                Err(error) => log::debug!("the subscription at {} ended: {}", self.health.address, tell(&error)),
            }
            failures = if begun.elapsed() > GOOD_AFTER { 1 } else { failures.saturating_add(1) };
            if self.stopped.recv_timeout(pause_after(failures)) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// One subscription, until it fails or is no longer wanted.
    fn listen(&self) -> RedisResult<()> {
        let mut connection = self.link.open(LISTEN_MAX)?;
        let mut subscription = connection.as_pubsub();
        subscription.subscribe(self.names.channel())?;
        if let Some(local) = self.local.upgrade() {
            local.memory.distrust(Instant::now());
        }
        let mut silent = 0;
        while self.stopped.try_recv() == Err(TryRecvError::Empty) {
            match subscription.get_message() {
                Ok(message) => {
                    silent = 0;
                    self.hear(message.get_payload_bytes());
                }
                Err(error) if error.is_timeout() && silent < SILENT_MAX => silent += 1,
                Err(error) if error.is_timeout() => {
                    subscription.ping::<Value>()?;
                    silent = 0;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn hear(&self, message: &[u8]) {
        let (Some(local), Some(key)) = (self.local.upgrade(), self.names.heard(message)) else { return };
        local.forget(&key);
        // Between the other node's upload and this moment, this one may have put the record of the old version back, and read it.
        let (done, is_done) = mpsc::sync_channel(1);
        if self.jobs.try_send(Job::Delete { key: key.clone(), done }).is_ok() {
            let _ = is_done.recv_timeout(ANSWER_WAIT_MAX);
            local.forget(&key);
        }
    }
}
