//! The pool: a fixed number of threads, sized by the cores, that do all the work on requests and streams.
//!
//! In scope: the order in which work is done, how many threads do it at a time, and that a panic of one piece of it costs nobody
//! else anything. Not in scope: the work.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use threadpool::ThreadPool;

use crate::present;

/// What work is queued behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// An answer that asks no store: it never waits, so it never waits for those that do.
    Light,
    /// A request that has not got its first byte.
    FirstByte,
    /// The rest of a stream.
    Bulk,
}

/// First bytes go before bulk, but of this many pieces one is bulk, so that a rush of new viewers stops nobody's film.
const BULK_EVERY: usize = 16;

/// Light work goes before all other, but of this many pieces one is not light, so that a flood of it stops nobody's film either.
const READ_EVERY: usize = 16;

/// How many threads are woken for work, for each core, besides those that wait. More would be woken for a few microseconds' work each
/// and take turns at the core: with eight, cached ranges cost a fifth more.
const AWAKE_PER_CORE: usize = 4;

type Work = Box<dyn FnOnce() + Send>;

/// A pool of threads with a queue for each lane.
pub(crate) struct Pool {
    /// Each thread runs one job, [`run`], for as long as the pool is there. A job for each piece of work would cost three wake-ups
    /// of a thread where one does: the threads of `threadpool` wait for jobs one behind the other (vendor-notes/threadpool.md).
    _threads: ThreadPool,
    queues: Arc<Mutex<Queues>>,
}

struct Queues {
    light: VecDeque<Work>,
    first_byte: VecDeque<Work>,
    bulk: VecDeque<Work>,
    /// Pieces of work under way that may wait for the store, and how many there may be.
    reads: usize,
    reads_max: usize,
    /// First bytes since the last piece of bulk.
    since_bulk: usize,
    /// Light work since the last that was not.
    since_read: usize,
    /// The threads that neither sleep nor [wait](waiting), and up to how many more are woken.
    awake: usize,
    awake_max: usize,
    /// Those of them that were woken and have not looked yet. Each is to take one of the pieces that are queued, so that no other is
    /// woken for it.
    coming: usize,
    /// The threads that sleep. The last to go to sleep is the first to be woken: what it touches is still in the caches of its core.
    idle: Vec<Thread>,
    is_open: bool,
}

impl Queues {
    fn may_read(&self) -> bool {
        self.reads < self.reads_max && !(self.first_byte.is_empty() && self.bulk.is_empty())
    }

    /// The next piece, and whether it counts as a read.
    fn pop(&mut self) -> Option<(Work, bool)> {
        let may_read = self.may_read();
        if (self.since_read + 1 < READ_EVERY || !may_read)
            && let Some(work) = self.light.pop_front()
        {
            self.since_read += 1;
            return Some((work, false));
        }
        if !may_read {
            return None;
        }
        self.since_read = 0;
        let work = if self.since_bulk + 1 >= BULK_EVERY || self.first_byte.is_empty() {
            self.since_bulk = 0;
            self.bulk.pop_front().or_else(|| self.first_byte.pop_front())
        } else {
            self.since_bulk += 1;
            self.first_byte.pop_front()
        }?;
        self.reads += 1;
        Some((work, true))
    }

    /// A thread to be woken, where one sleeps, there is something for it, and not enough are awake. It counts as awake. So many
    /// `others` than those that were woken will soon look for work, too.
    fn sleeper(&mut self, others: usize) -> Option<Thread> {
        let reads = (self.first_byte.len() + self.bulk.len()).min(self.reads_max - self.reads);
        if self.awake >= self.awake_max || self.coming + others >= self.light.len() + reads {
            return None;
        }
        let thread = self.idle.pop()?;
        self.awake += 1;
        self.coming += 1;
        Some(thread)
    }
}

impl Pool {
    /// A pool of so many threads, at least one. Of more than one, one is kept for work that does not wait for the store, so that
    /// a store that hangs does not stop the rest.
    pub(crate) fn new(threads: usize) -> Self {
        Self::with_awake(threads, num_cpus::get() * AWAKE_PER_CORE)
    }

    /// The same, with so many that are woken at most while none of them waits.
    fn with_awake(threads: usize, awake_max: usize) -> Self {
        let count = threads.max(1);
        let queues = Arc::new(Mutex::new(Queues {
            light: VecDeque::new(),
            first_byte: VecDeque::new(),
            bulk: VecDeque::new(),
            reads: 0,
            reads_max: (count - 1).max(1),
            since_bulk: 0,
            since_read: 0,
            awake: count,
            awake_max,
            coming: 0,
            idle: Vec::with_capacity(count),
            is_open: true,
        }));
        let threads = threadpool::Builder::new().num_threads(count).thread_name("vidgate-pool".into()).build();
        for _ in 0..count {
            let queues = Arc::clone(&queues);
            threads.execute(move || {
                POOL.set(Some(Arc::clone(&queues)));
                run(&queues);
            });
        }
        Self { _threads: threads, queues }
    }

    /// How many requests wait for a thread that would answer them with bytes.
    pub(crate) fn first_bytes_waiting(&self) -> usize {
        lock(&self.queues).first_byte.len()
    }

    /// How many pieces of work wait for a thread.
    pub(crate) fn len(&self) -> usize {
        let queues = lock(&self.queues);
        queues.light.len() + queues.first_byte.len() + queues.bulk.len()
    }

    /// Queues a piece of work. Which piece a thread gets is decided when it has time for one.
    pub(crate) fn submit(&self, lane: Lane, work: impl FnOnce() + Send + 'static) {
        let work = Box::new(work);
        let sleeper = {
            let mut queues = lock(&self.queues);
            match lane {
                Lane::Light => queues.light.push_back(work),
                Lane::FirstByte => queues.first_byte.push_back(work),
                Lane::Bulk => queues.bulk.push_back(work),
            }
            // A thread of the pool looks itself when it is done with what it does, or before that waits.
            queues.sleeper(usize::from(POOL.with_borrow(Option::is_some)))
        };
        if let Some(thread) = sleeper {
            thread.unpark();
        }
    }
}

impl Drop for Pool {
    /// What is queued is still done; then the threads end.
    fn drop(&mut self) {
        let mut queues = lock(&self.queues);
        queues.is_open = false;
        queues.awake += queues.idle.len();
        queues.coming += queues.idle.len();
        queues.idle.drain(..).for_each(|thread| thread.unpark());
    }
}

fn lock(queues: &Mutex<Queues>) -> MutexGuard<'_, Queues> {
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// The queues of the pool that this thread is one of, unless it waits.
    static POOL: RefCell<Option<Arc<Mutex<Queues>>>> = const { RefCell::new(None) };
}

/// Does what may wait for something else than a core: the store, a disk. Meanwhile another thread of the pool has this one's place.
/// On a thread of no pool it is merely done.
pub(crate) fn waiting<T>(wait: impl FnOnce() -> T) -> T {
    let Some(queues) = POOL.take() else { return wait() };
    let sleeper = {
        let mut held = lock(&queues);
        held.awake -= 1;
        held.sleeper(0)
    };
    if let Some(thread) = sleeper {
        thread.unpark();
    }
    let _waiter = Waiter { queues: Some(queues) };
    wait()
}

/// A thread that waits, until it is dropped, by a panic too.
struct Waiter {
    queues: Option<Arc<Mutex<Queues>>>,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(queues) = self.queues.take() {
            lock(&queues).awake += 1;
            POOL.set(Some(queues));
        }
    }
}

/// Works until the pool is gone, and what was queued is done.
fn run(queues: &Mutex<Queues>) {
    let mut held = lock(queues);
    loop {
        if let Some((work, is_read)) = held.pop() {
            // There may be more than one piece for each wake-up: a read that ends makes room for another beside the one taken here.
            let sleeper = held.sleeper(0);
            drop(held);
            if let Some(thread) = sleeper {
                thread.unpark();
            }
            // What the work owned, its connection above all, is dropped while it unwinds, and that closes it.
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                log::error!("a panic ended what a thread did; its place stands before this line");
                present::end();
            }
            held = lock(queues);
            held.reads -= usize::from(is_read);
        } else if held.is_open {
            let this = thread::current();
            let id = this.id();
            held.idle.push(this);
            held.awake -= 1;
            drop(held);
            thread::park();
            held = lock(queues);
            // `park` may return without reason; then it is still among those that sleep.
            if let Some(at) = held.idle.iter().position(|thread| thread.id() == id) {
                held.idle.remove(at);
                held.awake += 1;
            } else {
                held.coming -= 1;
            }
        } else {
            return;
        }
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

    #[test]
    fn what_is_queued_is_done_before_the_threads_end() {
        let pool = Pool::new(2);
        let release = hold(&pool);
        let (done, results) = mpsc::channel();
        for _ in 0..100 {
            let done = done.clone();
            pool.submit(Lane::Bulk, move || done.send(()).unwrap());
        }
        drop((pool, release, done));
        assert_eq!(results.iter().count(), 100);
    }

    #[test]
    fn no_more_threads_are_woken_than_there_is_work() {
        let pool = Pool::with_awake(8, 8);
        while lock(&pool.queues).idle.len() < 8 {
            thread::yield_now();
        }
        // One piece, and one thread that is on its way to it: who looks for a sleeper now finds none.
        let mut queues = lock(&pool.queues);
        queues.first_byte.push_back(Box::new(|| ()));
        let woken = queues.sleeper(0).expect("there is work");
        assert!(queues.sleeper(0).is_none() && queues.sleeper(0).is_none());
        queues.light.push_back(Box::new(|| ()));
        assert!(queues.sleeper(1).is_none(), "somebody else will look");
        let woken_too = queues.sleeper(0).expect("there is more work");
        assert!(queues.sleeper(0).is_none());
        drop(queues);
        woken.unpark();
        woken_too.unpark();
        while lock(&pool.queues).idle.len() < 8 {
            thread::yield_now();
        }
        let queues = lock(&pool.queues);
        assert_eq!((queues.awake, queues.coming), (0, 0));
    }

    #[test]
    fn each_thread_that_sleeps_is_woken_for_work_of_its_own() {
        const THREADS: usize = 5;
        let pool = Pool::new(THREADS);
        for _ in 0..200 {
            // One read and light work for all other threads, which all wait for each other: none may be left to a busy thread.
            let meeting = Arc::new(std::sync::Barrier::new(THREADS + 1));
            for number in 0..THREADS {
                let meeting = Arc::clone(&meeting);
                let lane = if number % 2 == 0 { Lane::Light } else { Lane::FirstByte };
                pool.submit(lane, move || {
                    waiting(|| meeting.wait());
                });
            }
            meeting.wait();
        }
        assert_eq!(pool.len(), 0);
    }

    #[test]
    fn work_that_waits_leaves_a_thread_for_work_that_does_not() {
        let pool = Pool::new(3);
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let (done, order) = mpsc::channel();
        for _ in 0..10 {
            let (held, done) = (Arc::clone(&held), done.clone());
            pool.submit(Lane::FirstByte, move || {
                let _ = waiting(|| held.lock().unwrap().recv());
                done.send("read").unwrap();
            });
        }
        for _ in 0..100 {
            let done = done.clone();
            pool.submit(Lane::Light, move || done.send("light").unwrap());
        }
        drop(done);
        // All reads hang; what does not read is done all the same.
        assert_eq!(order.iter().take(100).collect::<Vec<_>>(), ["light"; 100]);
        drop(release);
        assert_eq!(order.iter().collect::<Vec<_>>(), ["read"; 10]);
    }

    /// Waits until all threads sleep; new ones do not at first.
    fn wait_asleep(pool: &Pool, threads: usize) {
        while lock(&pool.queues).idle.len() < threads {
            thread::yield_now();
        }
    }

    #[test]
    fn no_more_threads_are_woken_than_there_is_a_core_for() {
        let pool = Pool::with_awake(8, 2);
        wait_asleep(&pool, 8);
        let release = [hold(&pool), hold(&pool)];
        let (done, results) = mpsc::channel();
        for _ in 0..100 {
            let done = done.clone();
            pool.submit(Lane::Light, move || done.send(thread::current().id()).unwrap());
        }
        assert_eq!((pool.len(), lock(&pool.queues).idle.len()), (100, 6));
        drop((release, done));
        let mut threads: Vec<_> = results.iter().collect();
        assert_eq!(threads.len(), 100);
        threads.sort_by_key(|id| format!("{id:?}"));
        threads.dedup();
        assert!(threads.len() <= 2, "{threads:?}");
        wait_asleep(&pool, 8);
    }

    #[test]
    fn who_waits_has_another_in_his_place() {
        let pool = Pool::with_awake(8, 1);
        wait_asleep(&pool, 8);
        // Each piece waits for the next, and the last for nobody: all must be under way at a time.
        let (done, results) = mpsc::channel();
        let mut before: Option<mpsc::Sender<()>> = None;
        for number in 0..7 {
            let (tell, told) = mpsc::channel();
            let (tells_before, done) = (before.replace(tell), done.clone());
            pool.submit(Lane::FirstByte, move || {
                if number < 6 {
                    let _ = waiting(|| told.recv());
                }
                done.send(number).unwrap();
                drop(tells_before);
            });
        }
        drop(done);
        assert_eq!(results.iter().collect::<Vec<_>>(), [6, 5, 4, 3, 2, 1, 0]);
        wait_asleep(&pool, 8);
        assert_eq!(lock(&pool.queues).awake, 0);
    }

    #[test]
    fn a_panic_of_who_waits_leaves_the_count_right() {
        let pool = Pool::with_awake(2, 1);
        pool.submit(Lane::FirstByte, || waiting(|| panic!("this panic is part of a test")));
        let (done, results) = mpsc::channel();
        pool.submit(Lane::FirstByte, move || done.send(()).unwrap());
        assert_eq!(results.iter().count(), 1);
        wait_asleep(&pool, 2);
        assert_eq!(lock(&pool.queues).awake, 0);
    }
}
