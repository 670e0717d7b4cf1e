//! A store whose calls are counted.
//!
//! In scope: how often it is asked, how it answers, how long that takes. Not in scope: the bytes that come then (`source`).

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, ErrorKind};
use crate::metrics::{Metrics, Op, UpstreamStatus};
use crate::object::{ObjectId, ObjectKey, ObjectMeta};
use crate::present;
use crate::serve::pool;
use crate::store::{
    Counting, ListPage, ListQuery, Locality, NewResumable, PieceSink, Presigned, Resumable, Sink, Span, Standing, Store,
    Upload, UploadId,
};

/// Another store, counted.
pub(crate) struct Counted {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

impl Counted {
    pub(crate) fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }

    /// Counts one call, for all and for the present request. `ok` is what a good answer counts as.
    fn count<T>(&self, op: Op, ok: UpstreamStatus, call: impl FnOnce(&dyn Store) -> Result<T, Error>) -> Result<T, Error> {
        present::note_try();
        let started = Instant::now();
        let answer = pool::waiting(|| call(&*self.store));
        let status = answer.as_ref().map_or_else(|error| error.kind().into(), |_| ok);
        self.metrics.count_upstream(op, status, started.elapsed());
        answer
    }
}

impl Store for Counted {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        self.count(Op::Head, UpstreamStatus::Ok, |store| store.head(key))
    }

    fn open(&self, id: &ObjectId, range: Range<u64>) -> Result<Box<dyn Span>, Error> {
        self.count(Op::Get, UpstreamStatus::Partial, |store| store.open(id, range))
    }

    fn list(&self, query: &ListQuery) -> Result<ListPage, Error> {
        self.count(Op::List, UpstreamStatus::Ok, |store| store.list(query))
    }

    fn presign(&self, key: &ObjectKey, lifetime: Duration) -> Result<Option<Presigned>, Error> {
        // It may wait for credentials.
        pool::waiting(|| self.store.presign(key, lifetime))
    }

    fn ready(&self) -> Result<(), Error> {
        self.count(Op::Ready, UpstreamStatus::Ok, <dyn Store>::ready)
    }

    /// An upload counts once: when it cannot begin, or when it is finished, with the time that this takes.
    fn begin(&self, upload: &Upload) -> Result<Box<dyn Sink + '_>, Error> {
        present::note_try();
        let started = Instant::now();
        match self.store.begin(upload) {
            Ok(sink) => Ok(Box::new(CountedSink { sink, metrics: &self.metrics })),
            Err(error) => {
                self.metrics.count_upstream(Op::Put, error.kind().into(), started.elapsed());
                Err(error)
            }
        }
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), Error> {
        self.count(Op::Delete, UpstreamStatus::Ok, |store| store.delete(key))
    }

    fn sweep(&self) -> Result<(), Error> {
        self.store.sweep()
    }

    fn resumable(&self) -> Option<&dyn Resumable> {
        self.store.resumable().map(|_| self as &dyn Resumable)
    }

    fn locality(&self) -> Locality {
        self.store.locality()
    }

    fn identity(&self) -> String {
        self.store.identity()
    }
}

impl Counted {
    fn uploads(&self) -> Result<&dyn Resumable, Error> {
        self.store.resumable().ok_or_else(|| ErrorKind::NotConfigured.into())
    }
}

impl Resumable for Counted {
    fn create(&self, id: &UploadId, new: &NewResumable) -> Result<(), Error> {
        self.count(Op::Put, UpstreamStatus::Ok, |_| self.uploads()?.create(id, new))
    }

    fn look(&self, id: &UploadId) -> Result<Standing, Error> {
        self.count(Op::Head, UpstreamStatus::Ok, |_| self.uploads()?.look(id))
    }

    /// It counts when it cannot be taken up, or when it is kept or finished, with the time that this takes.
    fn resume(&self, id: &UploadId, counting: Counting, expires_at: SystemTime) -> Result<Box<dyn PieceSink + '_>, Error> {
        present::note_try();
        let started = Instant::now();
        match self.uploads()?.resume(id, counting, expires_at) {
            Ok(sink) => Ok(Box::new(CountedPieces { sink, metrics: &self.metrics })),
            Err(error) => {
                self.metrics.count_upstream(Op::Put, error.kind().into(), started.elapsed());
                Err(error)
            }
        }
    }

    fn remove(&self, id: &UploadId) -> Result<(), Error> {
        self.count(Op::Delete, UpstreamStatus::Ok, |_| self.uploads()?.remove(id))
    }

    fn remove_expired(&self, now: SystemTime, lifetime: Duration) -> Result<(), Error> {
        self.uploads()?.remove_expired(now, lifetime)
    }
}

/// An upload that is gone on with, counted when what came is kept.
struct CountedPieces<'s> {
    sink: Box<dyn PieceSink + 's>,
    metrics: &'s Metrics,
}

/// Counts what a sink answers in the end.
fn count_end<T>(metrics: &Metrics, end: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let started = Instant::now();
    let answer = end();
    let status = answer.as_ref().map_or_else(|error| error.kind().into(), |_| UpstreamStatus::Ok);
    metrics.count_upstream(Op::Put, status, started.elapsed());
    answer
}

impl PieceSink for CountedPieces<'_> {
    fn standing(&self) -> Standing {
        self.sink.standing()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sink.write(bytes)
    }

    fn keep(&mut self) -> Result<(), Error> {
        count_end(self.metrics, || self.sink.keep())
    }

    fn finish(self: Box<Self>) -> Result<Standing, Error> {
        let Self { sink, metrics } = *self;
        count_end(metrics, || sink.finish())
    }
}

/// What is being written, counted when it is finished.
struct CountedSink<'s> {
    sink: Box<dyn Sink + 's>,
    metrics: &'s Metrics,
}

impl Sink for CountedSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sink.write(bytes)
    }

    fn finish(self: Box<Self>) -> Result<ObjectMeta, Error> {
        let Self { sink, metrics } = *self;
        count_end(metrics, || sink.finish())
    }
}
