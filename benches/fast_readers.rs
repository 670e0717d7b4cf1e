//! Opens a few clients who read as fast as they can, or ask for the first bytes again and again.
//!
//! ```sh
//! cargo bench --bench fast_readers -- whole URL CLIENTS SECONDS [SERVER_PID [STORE_PID]]
//! cargo bench --bench fast_readers -- ranges URL CLIENTS BYTES SECONDS [SERVER_PID [STORE_PID]]
//! cargo bench --bench fast_readers -- first-byte URL SECONDS
//! ```
//!
//! `whole` reads films from one end to the other, over and over, and prints what each client got. `ranges` asks for ranges of
//! one length at places all over the films, each client on one connection, and prints how many a second. A URL with a number in
//! braces, `cold-{64}.mp4`, stands for so many films, and each client has a place of its own among them. `first-byte` opens a
//! connection twice a second and prints how long the first byte took.
//!
//! Where processes are named, the processor time of each and of those that it started is told per GB, between the same two moments
//! as the bytes are counted, and the clients' own beside it. Clients let the kernel throw bodies away instead of copying them
//! (Linux, `MSG_TRUNC` in tcp(7)), so that on a machine with few cores they do not hide what the servers cost.

#![allow(missing_docs, unreachable_pub, reason = "a program of its own")]
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "figures for people")]

#[path = "support/film.rs"]
mod film;
#[path = "support/usage.rs"]
mod usage;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use film::{Films, film_len};
use rustix::net::RecvFlags;
use usage::{Usage, family, usage};

/// How often a new connection asks for its first byte.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// Clients run for so long before anything is counted: their windows open meanwhile.
const WARM_FOR: Duration = Duration::from_millis(300);
/// What is read of a head at a time. More would be copied of the body behind it.
const HEAD_LEN: usize = 2048;
/// What is thrown away of a body at a time.
const BODY_LEN: usize = 1024 * 1024;

/// A client on one connection at a time.
struct Client {
    addr: SocketAddr,
    stream: TcpStream,
    buf: Vec<u8>,
}

/// What a client did so far.
#[derive(Default)]
struct Tally {
    bytes: AtomicU64,
    answers: AtomicU64,
}

/// What all clients did between two moments, and what it cost.
struct Measured {
    seconds: f64,
    bytes: Vec<u64>,
    answers: u64,
    server: Usage,
    cpu_ticks: [u64; 3],
}

fn main() {
    // cargo adds --bench.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["whole", url, clients, seconds, ref pids @ ..] => whole(url, number(clients), for_seconds(seconds), pids),
        ["ranges", url, clients, len, seconds, ref pids @ ..] => {
            ranges(url, number(clients), number(len), for_seconds(seconds), pids);
        }
        ["first-byte", url, seconds] => first_byte(url, for_seconds(seconds)),
        _ => {
            eprintln!(
                "usage: fast_readers whole URL CLIENTS SECONDS [SERVER_PID [STORE_PID]] | ranges URL CLIENTS BYTES SECONDS \
                 [SERVER_PID [STORE_PID]] | first-byte URL SECONDS"
            );
            std::process::exit(2);
        }
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

fn for_seconds(text: &str) -> Duration {
    Duration::from_secs(text.parse().expect("seconds"))
}

impl Client {
    fn new(addr: SocketAddr) -> Self {
        Self { addr, stream: connect(addr), buf: vec![0; BODY_LEN] }
    }

    /// Asks, and gives how many bytes of body follow and how many of them have come.
    fn ask(&mut self, path: &str, range: &str) -> (usize, usize) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{range}\r\n", self.addr);
        let mut head = Vec::new();
        if self.stream.write_all(request.as_bytes()).is_err() {
            // Servers end connections after some thousand requests.
            self.stream = connect(self.addr);
            self.stream.write_all(request.as_bytes()).expect("the server reads");
        }
        loop {
            match self.stream.read(&mut self.buf[..HEAD_LEN]).unwrap_or(0) {
                0 if head.is_empty() => {
                    self.stream = connect(self.addr);
                    self.stream.write_all(request.as_bytes()).expect("the server reads");
                }
                0 => panic!("cut in the middle of a head"),
                len => head.extend_from_slice(&self.buf[..len]),
            }
            if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&head[..end]).to_ascii_lowercase();
                assert!(text.starts_with("http/1.1 20"), "{text}");
                let len = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
                return (len.expect("a Content-Length"), head.len() - end - 4);
            }
        }
    }

    /// Throws the rest of a body away, until it is to stop, and counts it.
    fn skip(&mut self, len: usize, stop: &AtomicBool, bytes: &AtomicU64) {
        let mut came = 0;
        while came < len && !stop.load(Ordering::Relaxed) {
            let most = self.buf.len().min(len - came);
            match discard(&self.stream, &mut self.buf[..most]).expect("the server sends") {
                0 => panic!("cut {} bytes before the end", len - came),
                piece => {
                    came += piece;
                    bytes.fetch_add(piece as u64, Ordering::Relaxed);
                }
            }
        }
    }
}

/// Takes bytes off a socket without looking at them; gives how many they were.
fn discard(stream: &TcpStream, buf: &mut [u8]) -> io::Result<usize> {
    let flags = if cfg!(target_os = "linux") { RecvFlags::TRUNC } else { RecvFlags::empty() };
    let (_, len) = rustix::net::recv(stream, buf, flags)?;
    Ok(len)
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the server accepts");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// Runs so many clients at once, and counts what they do between two moments.
fn measure(clients: usize, lasts: Duration, pids: &[&str], client: impl Fn(usize, &Tally, &AtomicBool) + Sync) -> Measured {
    let pids: Vec<u32> = pids.iter().map(|pid| pid.parse().expect("a process id")).collect();
    let families: Vec<Vec<u32>> = pids.iter().map(|pid| family(&[*pid])).collect();
    let (server, store) = (families.first().map_or(&[][..], Vec::as_slice), families.get(1).map_or(&[][..], Vec::as_slice));
    let own = [std::process::id()];
    let tallies: Vec<Tally> = (0..clients).map(|_| Tally::default()).collect();
    let count =
        |of: fn(&Tally) -> &AtomicU64| tallies.iter().map(|tally| of(tally).load(Ordering::Relaxed)).collect::<Vec<u64>>();
    let look = || {
        let ticks = [server, store, &own].map(|pids| usage(pids).cpu_ticks);
        (Instant::now(), ticks, count(|tally| &tally.bytes), count(|tally| &tally.answers))
    };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for (number, tally) in tallies.iter().enumerate() {
            let (client, stop) = (&client, &stop);
            scope.spawn(move || client(number, tally, stop));
        }
        thread::sleep(WARM_FOR);
        let (began_at, ticks_before, bytes_before, answers_before) = look();
        thread::sleep(lasts);
        let (ended_at, ticks, bytes, answers) = look();
        let server = usage(server);
        stop.store(true, Ordering::Relaxed);
        Measured {
            seconds: (ended_at - began_at).as_secs_f64(),
            bytes: bytes.iter().zip(&bytes_before).map(|(now, before)| now - before).collect(),
            answers: answers.iter().sum::<u64>() - answers_before.iter().sum::<u64>(),
            server,
            cpu_ticks: [0, 1, 2].map(|at| ticks[at].saturating_sub(ticks_before[at])),
        }
    })
}

impl Measured {
    /// What it cost, where a server was named.
    fn costs(&self) -> String {
        if self.server.rss_kib == 0 {
            return String::new();
        }
        let gb = self.bytes.iter().sum::<u64>() as f64 / 1e9;
        let [server, store, own] = self.cpu_ticks.map(|ticks| ticks as f64 / 100.0 / gb);
        format!(
            "; CPU s/GB: server {server:.4}, store {store:.4}, clients {own:.4}; memory: RSS {:.1} MB, PSS {:.1} MB",
            self.server.rss_kib as f64 / 1024.0,
            self.server.pss_kib as f64 / 1024.0,
        )
    }
}

fn whole(url: &str, clients: usize, lasts: Duration, pids: &[&str]) {
    let films = Films::at(url);
    let measured = measure(clients, lasts, pids, |number, tally, stop| {
        let mut client = Client::new(films.addr);
        let mut film = number as u64 * films.count / clients as u64;
        while !stop.load(Ordering::Relaxed) {
            let (len, early) = client.ask(&films.path(film), "");
            tally.bytes.fetch_add(early as u64, Ordering::Relaxed);
            client.skip(len - early, stop, &tally.bytes);
            tally.answers.fetch_add(1, Ordering::Relaxed);
            film += 1;
        }
    });
    let mb = |bytes: u64| bytes as f64 / 1e6 / measured.seconds;
    let mean = mb(measured.bytes.iter().sum()) / clients as f64;
    let least = measured.bytes.iter().min().copied().unwrap_or(0);
    let most = measured.bytes.iter().max().copied().unwrap_or(0);
    println!(
        "{clients} at full speed: {:.1} MB/s in all, slowest {:.1} MB/s = {:.2} of the mean, fastest {:.1} MB/s = {:.2} of the mean{}",
        mean * clients as f64,
        mb(least),
        mb(least) / mean,
        mb(most),
        mb(most) / mean,
        measured.costs(),
    );
}

fn ranges(url: &str, clients: usize, len: usize, lasts: Duration, pids: &[&str]) {
    let films = Films::at(url);
    let places = film_len(films.addr, &films.path(0)).expect("a film") / len as u64;
    let measured = measure(clients, lasts, pids, |number, tally, stop| {
        let mut client = Client::new(films.addr);
        let mut count = number as u64 * 7919;
        while !stop.load(Ordering::Relaxed) {
            let place = count.wrapping_mul(2_654_435_761) % (places * films.count);
            let from = place % places * len as u64;
            let (due, early) =
                client.ask(&films.path(place / places), &format!("Range: bytes={from}-{}\r\n", from + len as u64 - 1));
            assert_eq!(due, len, "the server ignores the range");
            tally.bytes.fetch_add(early as u64, Ordering::Relaxed);
            client.skip(due - early, stop, &tally.bytes);
            tally.answers.fetch_add(1, Ordering::Relaxed);
            count += 1;
        }
    });
    println!(
        "{clients} clients, ranges of {len}: {:.0} a second{}",
        measured.answers as f64 / measured.seconds,
        measured.costs()
    );
}

fn first_byte(url: &str, lasts: Duration) {
    let films = Films::at(url);
    let until = Instant::now() + lasts;
    let mut times = Vec::new();
    while Instant::now() < until {
        let started = Instant::now();
        Client::new(films.addr).ask(&films.path(times.len() as u64), "Range: bytes=0-65535\r\n");
        times.push(started.elapsed());
        thread::sleep(PROBE_EVERY);
    }
    times.sort();
    let ms = |at: usize| times[at].as_secs_f64() * 1000.0;
    let (median, p99) = (times.len() / 2, (times.len() - 1) * 99 / 100);
    println!(
        "{} new viewers: first byte p50 {:.1} ms p99 {:.1} ms max {:.1} ms",
        times.len(),
        ms(median),
        ms(p99),
        ms(times.len() - 1)
    );
}
