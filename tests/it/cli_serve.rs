//! The command line of the real program, once it listens: the start line, signals, exit codes.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::cli::vidgate;

/// No step of these tests takes so long; a program that hangs fails its test then instead of never.
const DEADLINE: Duration = Duration::from_mins(1);

/// A running program, with a directory that holds one sparse film of 256 MiB: more than any socket takes in.
struct Running {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: BufReader<ChildStderr>,
    _dir: TempDir,
    /// Kills the program at the deadline, unless it is dropped before.
    _watchdog: Sender<()>,
}

impl Running {
    fn start(arguments: &[&str], stdout: Stdio) -> Self {
        Self::start_with(arguments, stdout, &[])
    }

    fn start_with(arguments: &[&str], stdout: Stdio, environment: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        Self::start_as(vidgate(dir.path()), dir, arguments, stdout, environment)
    }

    /// The program as this command runs it, in this directory.
    fn start_as(mut command: Command, dir: TempDir, arguments: &[&str], stdout: Stdio, environment: &[(&str, &str)]) -> Self {
        fs::create_dir(dir.path().join("samples")).unwrap();
        File::create(dir.path().join("samples/film.mp4")).unwrap().set_len(256 << 20).unwrap();
        command.args(arguments).env("PORT", "0").env("VIDGATE_LOG_FORMAT", "text").stdout(stdout).stderr(Stdio::piped());
        command.envs(environment.iter().copied());
        let mut child = command.spawn().expect("the program runs");
        let stdout = child.stdout.take().map(BufReader::new);
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let pid = Pid::from_child(&child);
        let (watchdog, alive) = mpsc::channel();
        thread::spawn(move || {
            if alive.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        Self { child, stdout, stderr, _dir: dir, _watchdog: watchdog }
    }

    /// The start line, without its end.
    fn start_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().expect("piped").read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "{line:?}");
        line.trim_end().to_owned()
    }

    /// Reads the log up to a line that has this in it.
    fn wait_for_log(&mut self, part: &str) {
        let mut log = String::new();
        while self.stderr.read_line(&mut log).unwrap() > 0 {
            if log.lines().last().is_some_and(|line| line.contains(part)) {
                return;
            }
        }
        panic!("the log ended without {part:?}:\n{log}");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; gives how it ended and what else was on standard output.
    fn end(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        if let Some(stdout) = &mut self.stdout {
            stdout.read_to_string(&mut rest).unwrap();
        }
        // Read out, so that a program with much to say is not held up by a full pipe.
        io::copy(&mut self.stderr, &mut io::sink()).unwrap();
        (self.child.wait().unwrap(), rest)
    }
}

impl Drop for Running {
    /// A test that failed leaves no program behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opens a stream and reads its first bytes; what comes after them stays unread, so the stream stays open.
fn open_stream(start_line: &str) -> TcpStream {
    let addr = start_line.strip_prefix("listening on http://").expect("a start line");
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET /api/videos/film.mp4/stream HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stream
}

#[test]
fn the_start_line_is_all_of_standard_output_and_a_signal_ends_it_well() {
    for (arguments, signal) in [(&[][..], Signal::TERM), (&["serve"], Signal::INT), (&["--log", "trace"], Signal::TERM)] {
        let mut running = Running::start(arguments, Stdio::piped());
        let line = running.start_line();
        let port = line.strip_prefix("listening on http://127.0.0.1:").expect("a start line").parse::<u16>().unwrap();
        assert_ne!(port, 0);
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        running.signal(signal);
        let (status, rest) = running.end();
        assert_eq!((status.code(), rest.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

/// How each thread of a process is scheduled (proc(5), the 41st value of `stat`).
fn policies(child: &Child) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().flatten();
    let policy = |stat: String| stat.rsplit_once(')').unwrap().1.split_whitespace().nth(38).unwrap().parse().unwrap();
    tasks.map(|task| policy(fs::read_to_string(task.path().join("stat")).unwrap())).collect()
}

#[test]
fn its_threads_wait_for_a_core_unless_somebody_chose_how_it_is_scheduled() {
    // sched(7): what is said of a process that nobody said anything of, and of one that only has what others leave.
    const BATCH: u32 = 3;
    const IDLE: u32 = 5;
    let mut running = Running::start(&[], Stdio::piped());
    running.start_line();
    let policies_seen = policies(&running.child);
    assert!(policies_seen.len() > 8 && policies_seen.iter().all(|policy| *policy == BATCH), "{policies_seen:?}");

    let dir = TempDir::new().unwrap();
    let mut chosen = Command::new("chrt");
    let program = vidgate(dir.path()).get_program().to_owned();
    chosen.args(["--idle", "0"]).arg(program).env_clear().current_dir(dir.path()).stdin(Stdio::null());
    let mut running = Running::start_as(chosen, dir, &[], Stdio::piped(), &[]);
    running.start_line();
    let policies_seen = policies(&running.child);
    assert!(policies_seen.len() > 8 && policies_seen.iter().all(|policy| *policy == IDLE), "{policies_seen:?}");
}

#[test]
fn a_supervisor_hears_when_it_listens_and_when_it_ends() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("notify");
    let heard = UnixDatagram::bind(&path).unwrap();
    heard.set_read_timeout(Some(DEADLINE)).unwrap();
    let hear = || {
        let mut text = [0; 64];
        let len = heard.recv(&mut text).unwrap();
        String::from_utf8(text[..len].to_vec()).unwrap()
    };
    let mut running = Running::start_with(&[], Stdio::piped(), &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    assert_eq!(hear(), "READY=1");
    running.start_line();
    running.signal(Signal::TERM);
    assert_eq!(hear(), "STOPPING=1");
    assert_eq!(running.end().0.code(), Some(0));
}

#[test]
fn an_ipv6_address_stands_in_brackets() {
    for host in ["::1", "[::1]"] {
        let mut running = Running::start(&["--host", host], Stdio::piped());
        let line = running.start_line();
        assert!(line.starts_with("listening on http://[::1]:"), "{line}");
        running.signal(Signal::TERM);
        assert_eq!(running.end().0.code(), Some(0));
    }
}

#[test]
fn an_address_in_use_is_one_line_and_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut running = Running::start(&["--port", &port], Stdio::piped());
    let mut said = String::new();
    running.stderr.read_to_string(&mut said).unwrap();
    let (status, rest) = running.end();
    assert_eq!((status.code(), rest.as_str()), (Some(1), ""));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("vidgate: ") && said.contains(&port) && said.to_lowercase().contains("in use"), "{said}");
}

#[test]
fn a_closed_standard_output_is_survived() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut running = Running::start(&[], Stdio::from(writer));
    running.wait_for_log("the start line could not be written");
    running.signal(Signal::TERM);
    assert_eq!(running.end().0.code(), Some(0));
}

#[test]
fn a_stream_that_does_not_end_is_cut_after_the_drain_time() {
    let mut running = Running::start(&["--drain-timeout", "50ms"], Stdio::piped());
    let _stream = open_stream(&running.start_line());
    running.signal(Signal::TERM);
    running.wait_for_log("are cut");
    assert_eq!(running.end().0.code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_drain_at_once() {
    for (second, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut running = Running::start(&["--drain-timeout", "24h"], Stdio::piped());
        let _stream = open_stream(&running.start_line());
        running.signal(Signal::TERM);
        // Two signals of a kind in one moment are one to the system; the log says when the first has arrived.
        running.wait_for_log("no new connections");
        running.signal(second);
        let (status, _) = running.end();
        assert_eq!((status.code(), status.signal()), (Some(code), None));
    }
}
