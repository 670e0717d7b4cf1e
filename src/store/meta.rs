//! What is known of objects, so that the store need not be asked each time.
//!
//! In scope: who is asked in which order, how long an answer is used, and what is done where the store cannot be asked. Not in
//! scope: that two requests for one key ask once (`serve` does that), and the bytes of objects.
//!
//! ```text
//! known ──► memory                                                    never blocks
//! look_up ─► memory ─► Redis ─► store ──► memory, Redis, kept record   blocks for bounded time
//!                                 └ cannot be asked: what memory still has ─► kept record ─► the error
//! forget ──► memory, Redis, kept record; the other nodes hear of it
//! ```

mod clock;
mod kept;
mod local;
mod memory;
mod outage;
mod record;
mod redis_url;
#[cfg_attr(not(feature = "redis"), path = "meta/without_redis.rs")]
mod shared;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use redis_url::RedisUrl;

use self::clock::{Clock, Now};
use self::kept::Kept;
use self::local::{Local, USABLE_MAX};
use self::memory::{Entry, Memory, Ticket, Use, after};
use self::outage::Outage;
use self::record::{Answer, Record, digest};
use self::shared::Shared;
use super::Store;
use crate::error::{Error, ErrorKind};
use crate::object::{ObjectKey, ObjectMeta};

/// How long "there is no such object" is believed, at most: whoever has just put an object there wants to see it.
const MISSING_TTL_MAX: Duration = Duration::from_secs(5);

/// How metadata is kept.
#[derive(Clone, Debug)]
pub struct MetaConfig {
    /// How long the store's answer is trusted. Zero asks the store each time.
    pub ttl: Duration,
    /// Where it is shared with other nodes.
    pub redis: Option<RedisUrl>,
    /// A folder for one small record of each object, which outlives the process.
    pub records: Option<PathBuf>,
    /// What tells this store from others that use the same Redis or folder: its endpoint and bucket, say.
    pub namespace: String,
}

/// What is known of the objects of a store.
///
/// An answer of the store, "there is no such object" included, is used for [`MetaConfig::ttl`] (the latter for 5 seconds at
/// most), and then the store is asked again. Where it cannot be asked, what it said within the last 24 hours is used on.
pub struct Metadata {
    store: Arc<dyn Store>,
    ttl: Duration,
    local: Arc<Local>,
    shared: Option<Shared>,
    outage: Outage,
    clock: Clock,
}

impl Metadata {
    /// The metadata of this store. Neither the store nor a Redis is asked yet.
    pub fn new(store: Arc<dyn Store>, config: MetaConfig) -> Self {
        Self::with_clock(store, config, clock::of_the_machine())
    }

    fn with_clock(store: Arc<dyn Store>, config: MetaConfig, clock: Clock) -> Self {
        let local = Arc::new(Local {
            // A digest, so that a namespace of any length and any characters can be part of a name.
            namespace: digest(&[config.namespace.as_bytes()]),
            memory: Memory::new(),
            kept: config.records.map(Kept::open),
        });
        // Where nothing is ever fresh there is nothing to share.
        let redis = config.redis.filter(|_| !config.ttl.is_zero());
        let shared = redis.and_then(|url| Shared::start(&url, &local));
        Self { store, ttl: config.ttl, local, shared, outage: Outage::default(), clock }
    }

    /// What may be answered without asking anybody: what is fresh in memory, and what is not but for whose sake the store was
    /// just asked in vain. Never blocks. `None` where [`look_up`](Self::look_up) is needed.
    ///
    /// # Errors
    /// The value is [`ErrorKind::NotFound`] for a name that is known not to exist.
    pub fn known(&self, key: &ObjectKey) -> Option<Result<ObjectMeta, Error>> {
        match self.local.memory.get(key, (self.clock)().at)? {
            (entry, Use::Now) => Some(tell(key, entry.answer)),
            _ => None,
        }
    }

    /// The metadata of an object: from memory, else from Redis, else from the store. Blocks no longer than the store does, and
    /// some 50 milliseconds for Redis.
    ///
    /// It may be called for one key by several threads; each of them then asks.
    ///
    /// # Errors
    /// As [`Store::head`]. Where the store cannot be reached, its error is answered only if nothing is known of the object.
    pub fn look_up(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        let now = (self.clock)();
        let held = match self.local.memory.get(key, now.at) {
            Some((entry, Use::Now)) => return tell(key, entry.answer),
            held => held.map(|(entry, _)| entry),
        };
        let ticket = self.local.memory.ticket(key);
        if let Some(answer) = self.ask_the_others(key, ticket, now) {
            return tell(key, answer);
        }
        match self.store.head(key) {
            Ok(meta) => {
                self.learn(key, ticket, now, Answer::Found(meta.clone()), held.as_ref());
                Ok(meta)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.learn(key, ticket, now, Answer::Missing, held.as_ref());
                Err(error)
            }
            Err(error) => match error.kind() {
                ErrorKind::UpstreamUnavailable | ErrorKind::UpstreamTimeout | ErrorKind::UpstreamBusy => {
                    self.make_do(key, ticket, held, error)
                }
                // It can be asked, and its answer is no.
                _ => Err(error),
            },
        }
    }

    /// Drops what is known of an object, everywhere: after an upload or a delete, and after a read that found another version.
    /// An answer that is on its way when this is called is not kept.
    pub fn forget(&self, key: &ObjectKey) {
        self.local.forget(key);
        if let Some(shared) = &self.shared {
            shared.forget(key);
            // Meanwhile somebody may have read the old record there.
            self.local.forget(key);
        }
    }

    /// What another node, or this one before it was started anew, learned within the TTL.
    fn ask_the_others(&self, key: &ObjectKey, ticket: Ticket, now: Now) -> Option<Answer> {
        let (Record { answer, .. }, fresh) = self.shared.as_ref()?.get(key)?;
        let ttl = self.ttl_of(&answer);
        // By no clock but that of the Redis: how long it is still fresh says how long ago it was learned.
        let age = ttl.saturating_sub(fresh);
        let entry = Entry {
            answer: answer.clone(),
            asked_at: now.at,
            fresh_until: after(now.at, fresh.min(ttl)),
            usable_until: after(now.at, USABLE_MAX.saturating_sub(age)),
            failures: 0,
            retry_at: None,
            kept_at: None,
        };
        self.local.memory.put(key, ticket, entry, || {});
        Some(answer)
    }

    fn ttl_of(&self, answer: &Answer) -> Duration {
        match answer {
            Answer::Found(_) => self.ttl,
            Answer::Missing => self.ttl.min(MISSING_TTL_MAX),
        }
    }

    /// Keeps an answer that the store gave to a question asked at `now`.
    fn learn(&self, key: &ObjectKey, ticket: Ticket, now: Now, answer: Answer, held: Option<&Entry>) {
        if self.outage.ends() {
            log::info!("the store answers again");
        }
        let ttl = self.ttl_of(&answer);
        let record = Record { answer, checked_at: now.wall };
        let bytes = record.to_bytes(&self.local.namespace, key);
        let kept_at = self.local.keep(key, ticket, now, &record.answer, bytes.as_deref(), held);
        let entry = Entry {
            answer: record.answer,
            asked_at: now.at,
            fresh_until: after(now.at, ttl),
            usable_until: after(now.at, USABLE_MAX),
            failures: 0,
            retry_at: None,
            kept_at,
        };
        // While the key cannot be forgotten, so that what is told of an upload later comes later there too.
        self.local.memory.put(key, ticket, entry, || {
            let left = ttl.saturating_sub((self.clock)().at.saturating_duration_since(now.at));
            if let (Some(shared), Some(bytes)) = (&self.shared, bytes) {
                shared.put(key, bytes, left);
            }
        });
    }

    /// What can be answered though the store could not be asked.
    fn make_do(&self, key: &ObjectKey, ticket: Ticket, held: Option<Entry>, error: Error) -> Result<ObjectMeta, Error> {
        // The attempt may have taken seconds.
        let now = (self.clock)();
        let Some(entry) = held.or_else(|| self.local.kept_entry(key, now)) else { return Err(error) };
        let entry = entry.after_failure(now.at);
        if self.outage.begins(now.at) {
            log::warn!("the store cannot be asked, so what it said before is used, for 24 hours at most: {}", error.chain());
        }
        let answer = entry.answer.clone();
        self.local.memory.put(key, ticket, entry, || {});
        tell(key, answer)
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// An answer as the store gives it.
fn tell(key: &ObjectKey, answer: Answer) -> Result<ObjectMeta, Error> {
    match answer {
        Answer::Found(meta) => Ok(meta),
        Answer::Missing => Err(Error::new(ErrorKind::NotFound, format!("there is no object {:?}", key.as_str()))),
    }
}

#[cfg(test)]
mod tests;
