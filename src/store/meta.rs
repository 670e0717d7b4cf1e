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
mod memory;
mod outage;
mod record;
mod redis_url;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use redis_url::RedisUrl;

use self::clock::{Clock, Now};
use self::kept::Kept;
use self::memory::{Entry, Memory, Ticket, Use, after};
use self::outage::Outage;
use self::record::{Answer, Record, digest};
use super::Store;
use crate::error::{Error, ErrorKind};
use crate::object::{ObjectKey, ObjectMeta};

/// How long "there is no such object" is believed, at most: whoever has just put an object there wants to see it.
const MISSING_TTL_MAX: Duration = Duration::from_secs(5);
/// How old metadata may be that is used because the store cannot be asked.
const USABLE_MAX: Duration = Duration::from_hours(24);
/// After this long a record is written anew though it says the same, so that it does not grow too old while it is true.
const KEPT_AGE_MAX: Duration = Duration::from_hours(1);

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
    /// A digest, so that a namespace of any length and any characters can be part of a name.
    namespace: String,
    memory: Arc<Memory>,
    kept: Option<Arc<Kept>>,
    outage: Outage,
    clock: Clock,
}

impl Metadata {
    /// The metadata of this store. Neither the store nor a Redis is asked yet.
    pub fn new(store: Arc<dyn Store>, config: MetaConfig) -> Self {
        Self::with_clock(store, config, clock::of_the_machine())
    }

    fn with_clock(store: Arc<dyn Store>, config: MetaConfig, clock: Clock) -> Self {
        let kept = config.records.map(|folder| Arc::new(Kept::open(folder)));
        let (namespace, memory) = (digest(&[config.namespace.as_bytes()]), Arc::new(Memory::new()));
        Self { store, ttl: config.ttl, namespace, memory, kept, outage: Outage::default(), clock }
    }

    /// What may be answered without asking anybody: what is fresh in memory, and what is not but for whose sake the store was
    /// just asked in vain. Never blocks. `None` where [`look_up`](Self::look_up) is needed.
    ///
    /// # Errors
    /// The value is [`ErrorKind::NotFound`] for a name that is known not to exist.
    pub fn known(&self, key: &ObjectKey) -> Option<Result<ObjectMeta, Error>> {
        match self.memory.get(key, (self.clock)().at)? {
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
        let held = match self.memory.get(key, now.at) {
            Some((entry, Use::Now)) => return tell(key, entry.answer),
            held => held.map(|(entry, _)| entry),
        };
        let ticket = self.memory.ticket(key);
        match self.store.head(key) {
            Ok(meta) => {
                self.learn(key, ticket, now, Answer::Found(meta.clone()), held);
                Ok(meta)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.learn(key, ticket, now, Answer::Missing, held);
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
        self.memory.forget(key);
        if let Some(kept) = &self.kept {
            kept.remove(&self.namespace, key);
        }
    }

    /// Keeps an answer that the store gave to a question asked at `now`.
    fn learn(&self, key: &ObjectKey, ticket: Ticket, now: Now, answer: Answer, held: Option<Entry>) {
        if self.outage.ends() {
            log::info!("the store answers again");
        }
        let ttl = match answer {
            Answer::Found(_) => self.ttl,
            Answer::Missing => self.ttl.min(MISSING_TTL_MAX),
        };
        let record = Record { answer: answer.clone(), checked_at: now.wall };
        let bytes = record.to_bytes(&self.namespace, key);
        let kept_at = self.keep(key, ticket, now, &record, bytes.as_deref(), held);
        let entry = Entry {
            answer,
            asked_at: now.at,
            fresh_until: after(now.at, ttl),
            usable_until: after(now.at, USABLE_MAX),
            failures: 0,
            retry_at: None,
            kept_at,
        };
        self.memory.put(key, ticket, entry, || {});
    }

    /// Writes, or removes, the record of an answer, where that is needed. Gives when it was written.
    fn keep(
        &self,
        key: &ObjectKey,
        ticket: Ticket,
        now: Now,
        record: &Record,
        bytes: Option<&[u8]>,
        held: Option<Entry>,
    ) -> Option<std::time::Instant> {
        let kept = self.kept.as_deref()?;
        let (Answer::Found(_), Some(bytes)) = (&record.answer, bytes) else {
            kept.remove(&self.namespace, key);
            return None;
        };
        let still_good = held.filter(|held| held.answer == record.answer).and_then(|held| held.kept_at);
        if let Some(at) = still_good.filter(|at| now.at.saturating_duration_since(*at) < KEPT_AGE_MAX) {
            return Some(at);
        }
        kept.write(&self.namespace, key, bytes);
        // Whoever forgot the key in the meantime may have removed the record before it was there.
        if !self.memory.is_valid(key, ticket) {
            kept.remove(&self.namespace, key);
        }
        Some(now.at)
    }

    /// What can be answered though the store could not be asked.
    fn make_do(&self, key: &ObjectKey, ticket: Ticket, held: Option<Entry>, error: Error) -> Result<ObjectMeta, Error> {
        // The attempt may have taken seconds.
        let now = (self.clock)();
        let Some(entry) = held.or_else(|| self.kept_entry(key, now)) else { return Err(error) };
        let entry = entry.after_failure(now.at);
        if self.outage.begins(now.at) {
            log::warn!("the store cannot be asked, so what it said before is used, for 24 hours at most: {}", error.chain());
        }
        let answer = entry.answer.clone();
        self.memory.put(key, ticket, entry, || {});
        tell(key, answer)
    }

    /// An entry that is not fresh, from the kept record of a key.
    fn kept_entry(&self, key: &ObjectKey, now: Now) -> Option<Entry> {
        let record = self.kept.as_deref()?.read(&self.namespace, key)?;
        // A clock that was put back makes a record of the future, and one that was put far back shows nothing of its age.
        let age = match now.wall.duration_since(record.checked_at) {
            Ok(age) => age,
            Err(ahead) if ahead.duration() < USABLE_MAX => Duration::ZERO,
            Err(_) => return None,
        };
        let usable = USABLE_MAX.checked_sub(age).filter(|left| !left.is_zero() && record.answer != Answer::Missing)?;
        Some(Entry {
            answer: record.answer,
            asked_at: now.at,
            fresh_until: now.at,
            usable_until: after(now.at, usable),
            failures: 0,
            retry_at: None,
            // Not known to be the present version: written anew once the store has answered.
            kept_at: None,
        })
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
