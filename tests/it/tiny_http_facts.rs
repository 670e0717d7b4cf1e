//! What `tiny_http` 0.12.0 does, run against the crate itself: `vendor-notes/tiny_http.md` says what follows from it.
//!
//! `defects` holds what keeps it off the network; each of its tests passes while the defect exists, so that an upgrade
//! which mends one turns a test red and the door can be reconsidered. `lanes` holds what we rely on behind the door.

mod defects;
mod lanes;

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tiny_http::{Request, Server};

/// The bound on anything that must happen: reached only by a failure.
const SOON: Duration = Duration::from_secs(20);
/// How long something that must not happen is watched for.
const NEVER: Duration = Duration::from_millis(300);
/// Set in the process that [`run_alone`] starts.
const ALONE: &str = "TEST_ALONE";

/// A server on a free port of the loopback.
fn serve() -> (Server, SocketAddr) {
    let server = Server::http("127.0.0.1:0").unwrap();
    let addr = server.server_addr().to_ip().unwrap();
    (server, addr)
}

/// A new connection with `bytes` already sent and nothing read.
fn send(addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

/// The next request in the server's queue.
#[track_caller]
fn next(server: &Server) -> Request {
    server.recv_timeout(SOON).unwrap().expect("a request within the bound")
}

/// Reads up to the end of the next head and no further.
fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// True if not a byte and no end of file comes from the stream within [`NEVER`].
fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(NEVER)).unwrap();
    let answer = stream.read(&mut [0; 1]);
    stream.set_read_timeout(Some(SOON)).unwrap();
    is_timeout(&answer)
}

fn is_timeout(read: &io::Result<usize>) -> bool {
    matches!(read, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
}

/// Waits until `condition` holds, giving up after [`SOON`].
#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "not within the bound: {what}");
        thread::yield_now();
    }
}

/// Descriptors this process has open; one of them is the look itself.
fn descriptors() -> usize {
    fs::read_dir("/dev/fd").unwrap().count()
}

fn is_alone() -> bool {
    env::var_os(ALONE).is_some()
}

/// Runs one test of this binary again in a process of its own, where it finds [`is_alone`] true:
/// for what would end or cripple the process that runs all the tests.
#[track_caller]
fn run_alone(test: &str) -> Output {
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, "1")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&child);
    let (done, output) = mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = output.recv_timeout(3 * SOON) else {
        kill_process(pid, Signal::KILL).unwrap();
        panic!("{test} did not end alone within the bound");
    };
    output.unwrap()
}

/// Runs one test alone and demands that it passes there; gives what it wrote to standard error.
#[track_caller]
fn pass_alone(test: &str) -> String {
    let output = run_alone(test);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && stdout.contains("1 passed"), "{test}: {stdout}{stderr}");
    stderr
}
