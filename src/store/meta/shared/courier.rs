//! The thread that asks and tells the server.
//!
//! In scope: one job after another on one connection; noticing that the server does not answer, leaving it alone for a while, and
//! noticing that it does again. Not in scope: waiting requests (`shared`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use redis::{Cmd, Connection, Pipeline, RedisError, RedisResult, cmd, pipe};

use super::link::{Link, is_refusal, tell};
use super::{ANSWER_WAIT_MAX, Health, Job, Names};
use crate::object::ObjectKey;
use crate::store::meta::clock::pause_after;
use crate::store::meta::record::{RECORD_LEN_MAX, Record};

/// Keys to forget that are kept in mind while the server does not answer. Of the older ones the records end with their TTL.
const FORGOTTEN_MAX: usize = 1000;
/// So many of them are told at once: the crate waits for each reply anew, even where the one before did not come.
const FORGOTTEN_AT_ONCE: usize = 10;
/// Failures further apart than this are not counted as in a row.
const CALM: Duration = Duration::from_mins(1);

/// The courier.
pub(super) struct Courier {
    link: Arc<Link>,
    names: Arc<Names>,
    health: Arc<Health>,
    namespace: String,
    connection: Option<Connection>,
    failures: u32,
    failed_at: Option<Instant>,
    /// Whether the present failure has been counted: a request may have seen it first.
    is_counted: bool,
    forgotten: VecDeque<ObjectKey>,
}

impl Courier {
    pub(super) fn new(link: Arc<Link>, names: Arc<Names>, health: Arc<Health>, namespace: String) -> Self {
        Self {
            link,
            names,
            health,
            namespace,
            connection: None,
            failures: 0,
            failed_at: None,
            is_counted: false,
            forgotten: VecDeque::new(),
        }
    }

    /// Works until nobody can give it anything to do any more.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        if let Err(error) = self.rise() {
            self.fall(&tell(&error));
        }
        loop {
            let wait = self.wait();
            if wait == Some(Duration::ZERO) {
                if let Err(error) = self.rise() {
                    self.fall(&tell(&error));
                }
                continue;
            }
            let job = match wait {
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(wait) => jobs.recv_timeout(wait),
            };
            match job {
                Ok(job) => self.work(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// How long until the server is to be tried again; `None` while it answers.
    fn wait(&mut self) -> Option<Duration> {
        if self.health.is_up() {
            return None;
        }
        if !self.is_counted {
            self.count();
        }
        let retry_at = self.failed_at? + pause_after(self.failures);
        Some(retry_at.saturating_duration_since(Instant::now()))
    }

    fn fall(&mut self, why: &str) {
        self.connection = None;
        self.health.fall(why);
        self.count();
    }

    fn count(&mut self) {
        let now = Instant::now();
        let is_in_a_row = self.failed_at.is_some_and(|at| now.saturating_duration_since(at) < CALM);
        self.failures = if is_in_a_row { self.failures.saturating_add(1) } else { 1 };
        (self.failed_at, self.is_counted) = (Some(now), true);
    }

    /// Connects where that is needed, sees whether the server answers, and makes up for what could not be told.
    fn rise(&mut self) -> RedisResult<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.link.open(ANSWER_WAIT_MAX)?,
        };
        cmd("PING").exec(&mut connection)?;
        while !self.forgotten.is_empty() {
            let part = self.forgotten.len().min(FORGOTTEN_AT_ONCE);
            let mut made_up = pipe();
            for key in self.forgotten.iter().take(part) {
                self.add_forget(&mut made_up, key);
            }
            made_up.exec(&mut connection)?;
            self.forgotten.drain(..part);
        }
        self.connection = Some(connection);
        self.is_counted = false;
        self.health.rise();
        Ok(())
    }

    fn add_forget(&self, pipeline: &mut Pipeline, key: &ObjectKey) {
        pipeline.add_command(self.delete(key)).ignore();
        pipeline.cmd("PUBLISH").arg(self.names.channel()).arg(self.names.message(key)).ignore();
    }

    fn delete(&self, key: &ObjectKey) -> Cmd {
        let mut delete = cmd("DEL");
        delete.arg(self.names.record(key));
        delete
    }

    fn work(&mut self, job: Job) {
        match job {
            // What there is to see, `run` sees before the next job.
            Job::Look => {}
            Job::Get { due, .. } if Instant::now() >= due => {}
            Job::Get { key, answer, .. } => {
                let got = self.get(&key);
                // Whoever asked may have gone on without it.
                let _ = answer.send(got);
            }
            Job::Put { key, bytes, ttl } => {
                let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                let set = cmd("SET").arg(self.names.record(&key)).arg(bytes).arg("PX").arg(ttl_ms).to_owned();
                self.exchange(&mut |connection| set.exec(connection));
            }
            Job::Forget { key, done } => {
                let mut forget = pipe();
                self.add_forget(&mut forget, &key);
                if !self.exchange(&mut |connection| forget.exec(connection)) {
                    if self.forgotten.len() >= FORGOTTEN_MAX {
                        self.forgotten.pop_front();
                    }
                    self.forgotten.push_back(key);
                }
                let _ = done.send(None);
            }
            Job::Delete { key, done } => {
                let delete = self.delete(&key);
                self.exchange(&mut |connection| delete.exec(connection));
                let _ = done.send(None);
            }
        }
    }

    /// The record of a key, if there is a good one, and for how long it is fresh: by the server's clock, the only one that all
    /// nodes share.
    fn get(&mut self, key: &ObjectKey) -> Option<(Record, Duration)> {
        let name = self.names.record(key);
        let mut ask = pipe();
        // Not GET: whoever puts half a gigabyte there does not make us read it.
        ask.cmd("GETRANGE").arg(&name).arg(0).arg(RECORD_LEN_MAX).cmd("PTTL").arg(&name);
        let mut got: Option<(Vec<u8>, i64)> = None;
        self.exchange(&mut |connection| {
            got = Some(ask.query(connection)?);
            Ok(())
        });
        let (bytes, ttl_ms) = got?;
        if bytes.is_empty() {
            return None;
        }
        // What has no TTL is not from us.
        let ttl = u64::try_from(ttl_ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis);
        let record = Record::from_bytes(&bytes, &self.namespace, key).zip(ttl);
        match record {
            Some(_) => self.health.accept(),
            None => self.health.refuse("a record that is damaged, or not one of ours"),
        }
        record
    }

    /// Says something to the server, where it answers these days, and gives whether it was answered. A connection that the server
    /// closed, as it may at any time, is opened anew and the same is said once more; all that is said here may be said twice.
    ///
    /// Not generic, so that there is one copy of it.
    fn exchange(&mut self, say: &mut dyn FnMut(&mut Connection) -> RedisResult<()>) -> bool {
        if !self.health.is_up() {
            return false;
        }
        let mut result = match &mut self.connection {
            Some(connection) => say(connection),
            None => self.reopen().and_then(&mut *say),
        };
        if result.as_ref().is_err_and(RedisError::is_connection_dropped) {
            result = self.reopen().and_then(say);
        }
        match result {
            Ok(()) => return true,
            Err(error) if is_refusal(&error) => self.health.refuse(&tell(&error)),
            Err(error) => self.fall(&tell(&error)),
        }
        false
    }

    fn reopen(&mut self) -> RedisResult<&mut Connection> {
        Ok(self.connection.insert(self.link.open(ANSWER_WAIT_MAX)?))
    }
}
