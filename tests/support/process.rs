//! The real program as a process of its own, and what the system says that it holds.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use tempfile::TempDir;

use crate::support::{liveness, wait_for};

/// How long a test waits for the program to get over what was done to it.
const RECOVERED_WITHIN: Duration = Duration::from_secs(20);

/// A running program, with a directory that holds `film.mp4`, sparse, of 256 MiB: more than any socket takes in.
pub(crate) struct Process {
    child: Child,
    addr: SocketAddr,
    dir: TempDir,
}

/// What the system says of a process (proc(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vitals {
    /// Threads.
    pub(crate) threads: usize,
    /// Open descriptors.
    pub(crate) descriptors: usize,
    /// Resident memory, in bytes.
    pub(crate) resident_len: usize,
}

impl Process {
    /// Starts it, on a free port of the loopback, with this environment and no other.
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_vidgate")), environment)
    }

    /// Starts it with a limit on its descriptors that it cannot raise.
    pub(crate) fn start_with_descriptors(max: usize, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("ulimit -n {max} && exec \"$0\""), env!("CARGO_BIN_EXE_vidgate")]);
        Self::start_by(command, environment)
    }

    /// Starts it with this directory on a file system of its own, of so many MiB, that nobody else sees.
    pub(crate) fn start_on_small_disk(folder: &Path, mib: usize, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new("/usr/bin/unshare");
        let script = format!("mount -t tmpfs -o size={mib}m tmpfs \"$0\" && exec \"$1\"");
        command.args(["--map-root-user", "--mount", "/bin/sh", "-c", &script]);
        command.arg(folder).arg(env!("CARGO_BIN_EXE_vidgate"));
        Self::start_by(command, environment)
    }

    fn start_by(mut command: Command, environment: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("samples")).unwrap();
        File::create(dir.path().join("samples/film.mp4")).unwrap().set_len(256 << 20).unwrap();
        command.env_clear().env("PORT", "0").envs(environment.iter().copied()).current_dir(dir.path());
        // Into a file: nobody reads a pipe while the program is under attack.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(dir.path().join("log")).unwrap());
        let mut child = command.spawn().expect("the program runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).unwrap();
        let addr = line.trim_end().strip_prefix("listening on http://").map(|addr| addr.parse().unwrap());
        let mut process = Self { child, addr: SocketAddr::from(([0; 4], 0)), dir };
        process.addr = addr.unwrap_or_else(|| panic!("no start line but {line:?}; the log: {}", process.log()));
        process
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Writes an object.
    pub(crate) fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        let path = self.dir.path().join("samples").join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// It is alive, after what this says was done to it.
    #[track_caller]
    pub(crate) fn check_alive(&self, after: &str) {
        liveness::check_alive(self.addr, self.child.id(), after);
    }

    /// Sets how many descriptors it may have, and gives how many it might have before.
    pub(crate) fn limit_descriptors(&self, max: u64) -> u64 {
        // What it may have at most it has from this process.
        let limit = Rlimit { current: Some(max), maximum: getrlimit(Resource::Nofile).maximum };
        let before = prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).unwrap();
        before.current.expect("a limit")
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// What it holds now.
    #[track_caller]
    pub(crate) fn vitals(&self) -> Vitals {
        let proc = format!("/proc/{}", self.child.id());
        let status = fs::read_to_string(format!("{proc}/status")).expect("the program lives");
        let number = |name: &str| {
            let line =
                status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {status}"));
            line.split_whitespace().next().unwrap().parse::<usize>().unwrap()
        };
        let descriptors = fs::read_dir(format!("{proc}/fd")).unwrap().count();
        Vitals { threads: number("Threads:"), descriptors, resident_len: number("VmRSS:") * 1024 }
    }

    /// The most memory that it ever held, in bytes (proc(5), `VmHWM`).
    #[track_caller]
    pub(crate) fn peak_len(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the program lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
    }

    /// The processor time that it used, in clock ticks (hundredths of a second on every Linux that is).
    #[track_caller]
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the program lives");
        // The name in parentheses may hold anything; utime and stime are the 12th and 13th behind it.
        let numbers: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        numbers[11..13].iter().map(|number| number.parse::<u64>().unwrap()).sum()
    }

    /// Waits until it holds no more descriptors than `before`, and asserts that its threads are the same and that its memory
    /// grew by at most so many bytes.
    #[track_caller]
    pub(crate) fn check_recovered(&self, before: Vitals, growth_max: usize) {
        wait_for("the descriptors to be given back", RECOVERED_WITHIN, || {
            (self.vitals().descriptors <= before.descriptors).then_some(())
        });
        let after = self.vitals();
        // Two of tiny_http's threads at most end by themselves some seconds after the start; of ours none does.
        let ended = before.threads.checked_sub(after.threads);
        assert!(ended.is_some_and(|ended| ended <= 2), "{before:?} became {after:?}");
        assert!(after.resident_len <= before.resident_len + growth_max, "{before:?} became {after:?}");
        let log = self.log();
        assert!(!log.contains("panic"), "{log}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets this process, the client, have as many descriptors as it may; fails where that is fewer than it needs.
#[track_caller]
pub(crate) fn raise_own_descriptors(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    assert!(limit.maximum.is_none_or(|max| max >= needed), "this test needs {needed} descriptors: ulimit -Hn says {limit:?}");
}
