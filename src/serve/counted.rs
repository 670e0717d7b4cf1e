//! A store whose calls are counted.
//!
//! In scope: how often it is asked, how it answers, how long that takes. Not in scope: the bytes that come then (`source`).

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::metrics::{Metrics, Op, UpstreamStatus};
use crate::object::{ObjectId, ObjectKey, ObjectMeta};
use crate::present;
use crate::store::{ListPage, ListQuery, Locality, Presigned, Sink, Span, Store, Upload};

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
        let answer = call(&*self.store);
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
        self.store.presign(key, lifetime)
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

    fn locality(&self) -> Locality {
        self.store.locality()
    }

    fn identity(&self) -> String {
        self.store.identity()
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
        let started = Instant::now();
        let answer = self.sink.finish();
        let status = answer.as_ref().map_or_else(|error| error.kind().into(), |_| UpstreamStatus::Ok);
        self.metrics.count_upstream(Op::Put, status, started.elapsed());
        answer
    }
}
