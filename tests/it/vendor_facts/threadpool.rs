//! `threadpool`: a fixed number of threads, first in first out, that outlive their jobs' panics.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use threadpool::{Builder, ThreadPool};

/// The bound on anything that must happen.
const SOON: Duration = Duration::from_secs(20);
/// How long something that must not happen is watched for.
const NEVER: Duration = Duration::from_millis(300);

#[track_caller]
fn take<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(SOON).unwrap()
}

#[test]
fn one_thread_starts_jobs_in_their_order() {
    let pool = ThreadPool::new(1);
    let (ran, order) = channel();
    for n in 0..1000 {
        let ran = ran.clone();
        pool.execute(move || ran.send(n).unwrap());
    }
    for n in 0..1000 {
        assert_eq!(take(&order), n);
    }
}

#[test]
fn a_panicking_job_does_not_shrink_the_pool() {
    let pool = Builder::new().num_threads(2).thread_name("panics on purpose".into()).build();
    for _ in 0..20 {
        pool.execute(|| panic!("on purpose"));
    }
    pool.join();
    assert_eq!(pool.panic_count(), 20);
    // Two jobs that each need the other running prove two threads.
    let (to_a, a) = channel();
    let (to_b, b) = channel();
    let (done, both) = channel();
    let done_b = done.clone();
    pool.execute(move || {
        to_b.send(()).unwrap();
        take(&a);
        done.send(()).unwrap();
    });
    pool.execute(move || {
        take(&b);
        to_a.send(()).unwrap();
        done_b.send(()).unwrap();
    });
    take(&both);
    take(&both);
}

#[test]
fn execute_never_waits_and_the_queue_has_no_limit() {
    let pool = ThreadPool::new(1);
    let (release, held) = channel::<()>();
    let (started, running) = channel();
    pool.execute(move || {
        started.send(()).unwrap();
        held.recv().unwrap();
    });
    take(&running);
    for _ in 0..100_000 {
        pool.execute(|| {});
    }
    assert_eq!(pool.queued_count(), 100_000);
    release.send(()).unwrap();
    pool.join();
    assert_eq!((pool.queued_count(), pool.active_count()), (0, 0));
}

#[test]
fn dropping_the_pool_waits_for_nothing_and_loses_no_job() {
    let pool = ThreadPool::new(1);
    let (release, held) = channel::<()>();
    let (ran, jobs) = channel();
    pool.execute(move || held.recv().unwrap());
    for n in 0..10 {
        let ran = ran.clone();
        pool.execute(move || ran.send(n).unwrap());
    }
    drop(pool);
    assert!(jobs.recv_timeout(NEVER).is_err());
    release.send(()).unwrap();
    for n in 0..10 {
        assert_eq!(take(&jobs), n);
    }
}

#[test]
fn threads_have_the_name_we_give() {
    let (ran, names) = channel();
    Builder::new().num_threads(1).thread_name("worker".into()).build().execute(move || {
        ran.send(thread::current().name().map(str::to_owned)).unwrap();
    });
    assert_eq!(take(&names).as_deref(), Some("worker"));
}
