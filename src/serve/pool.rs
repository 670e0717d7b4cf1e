//! The pool: a fixed number of threads, sized by the cores, that do all the work on requests and streams.
//!
//! In scope: the order in which work is done, and that a panic of one piece of it costs nobody else anything. Not in scope: the
//! work.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use threadpool::ThreadPool;

/// What work is queued behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A request that has not got its first byte.
    FirstByte,
    /// The rest of a stream.
    Bulk,
}

/// First bytes go before bulk, but of this many pieces one is bulk, so that a rush of new viewers stops nobody's film.
const BULK_EVERY: usize = 16;

type Work = Box<dyn FnOnce() + Send>;

/// A pool of threads with two queues.
pub(crate) struct Pool {
    threads: ThreadPool,
    queues: Arc<Mutex<Queues>>,
}

#[derive(Default)]
struct Queues {
    first_byte: VecDeque<Work>,
    bulk: VecDeque<Work>,
    /// Pieces taken since the last one of bulk.
    since_bulk: usize,
}

impl Queues {
    fn pop(&mut self) -> Option<Work> {
        if self.since_bulk + 1 >= BULK_EVERY || self.first_byte.is_empty() {
            self.since_bulk = 0;
            return self.bulk.pop_front().or_else(|| self.first_byte.pop_front());
        }
        self.since_bulk += 1;
        self.first_byte.pop_front()
    }
}

impl Pool {
    /// A pool of so many threads, at least one.
    pub(crate) fn new(threads: usize) -> Self {
        let threads = threadpool::Builder::new().num_threads(threads.max(1)).thread_name("vidgate-pool".into()).build();
        Self { threads, queues: Arc::default() }
    }

    /// Queues a piece of work.
    pub(crate) fn submit(&self, lane: Lane, work: impl FnOnce() + Send + 'static) {
        {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            match lane {
                Lane::FirstByte => queues.first_byte.push_back(Box::new(work)),
                Lane::Bulk => queues.bulk.push_back(Box::new(work)),
            }
        }
        // One job a piece of work; which piece a job gets is decided when a thread has time for it.
        let queues = Arc::clone(&self.queues);
        self.threads.execute(move || {
            let work = queues.lock().unwrap_or_else(PoisonError::into_inner).pop();
            // What the work owned, its connection above all, is dropped while it unwinds, and that closes it.
            if let Some(work) = work
                && catch_unwind(AssertUnwindSafe(work)).is_err()
            {
                log::error!("a panic ended a connection; its place was printed before this line");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Keeps the pool's one thread until the sender is dropped.
    fn hold(pool: &Pool) -> mpsc::Sender<()> {
        let (release, held) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        pool.submit(Lane::Bulk, move || {
            started.send(()).unwrap();
            let _ = held.recv();
        });
        has_started.recv().unwrap();
        release
    }

    #[test]
    fn first_bytes_go_first_and_bulk_is_not_starved() {
        let pool = Pool::new(1);
        let release = hold(&pool);
        let (done, order) = mpsc::channel();
        for (lane, name) in [(Lane::Bulk, 'b'), (Lane::FirstByte, 'f')] {
            for _ in 0..20 {
                let done = done.clone();
                pool.submit(lane, move || done.send(name).unwrap());
            }
        }
        drop((release, done));
        assert_eq!(order.iter().collect::<String>(), format!("{}b{}{}", "f".repeat(15), "f".repeat(5), "b".repeat(19)));
    }

    #[test]
    fn a_panic_costs_no_thread_and_no_other_work() {
        let pool = Pool::new(1);
        let release = hold(&pool);
        let (done, results) = mpsc::channel();
        for number in 0..20 {
            let done = done.clone();
            pool.submit(Lane::FirstByte, move || {
                assert!(number % 2 == 1, "this panic is part of a test");
                done.send(number).unwrap();
            });
        }
        drop((release, done));
        assert_eq!(results.iter().sum::<i32>(), 100);
    }
}
