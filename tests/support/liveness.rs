//! That a server is alive: it answers within a second, by its own time.
//!
//! The tests share a few cores with each other and with whatever else runs, so a second of the clock says nothing of the server.
//! What counts is the clock's time without the time in which a thread of the server, or the one that asks, had something to do
//! and no core to do it on. The kernel counts that for each thread. A thread that sleeps, waits for a lock or hangs is not
//! waiting for a core: none of that is taken off.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long the server may take, by its own time.
const ALIVE_WITHIN: Duration = Duration::from_secs(1);
/// How long it may take by the clock, whatever the machine does.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Asks the server of this process for `/healthz`, on a connection of its own and to its end, once; `after` says what was done to
/// it before.
#[track_caller]
pub(crate) fn check_alive(addr: SocketAddr, pid: u32, after: &str) {
    let waited = waited_for_cores(pid);
    let started = Instant::now();
    let mut answer = Vec::new();
    let asked = TcpStream::connect(addr).and_then(|mut stream| {
        stream.set_read_timeout(Some(ANSWERED_WITHIN))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        stream.read_to_end(&mut answer)
    });
    let clock = started.elapsed();
    assert!(asked.is_ok(), "the server is not alive after {after}: {asked:?}");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "after {after}: {:?}", String::from_utf8_lossy(&answer));
    if clock >= ALIVE_WITHIN {
        let waited = waited_for_cores(pid).saturating_sub(waited);
        let own = clock.saturating_sub(waited);
        assert!(own < ALIVE_WITHIN, "/healthz took {clock:?} after {after}, of which it waited {waited:?} for a core");
    }
}

/// For how long the threads of a process, and this one, have waited for a core so far (the second number of `schedstat`, see the
/// kernel's sched-stats; where there is none, nothing).
fn waited_for_cores(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let files = tasks.map(|task| task.path().join("schedstat")).chain(["/proc/thread-self/schedstat".into()]);
    // A thread may end between the two.
    let waits = files.filter_map(|file| fs::read_to_string(file).ok()?.split_whitespace().nth(1)?.parse().ok());
    waits.map(Duration::from_nanos).sum()
}
