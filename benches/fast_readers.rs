//! Opens a few clients who read as fast as they can, or ask for the first bytes again and again.
//!
//! ```sh
//! cargo bench --bench fast_readers -- whole URL CLIENTS SECONDS
//! cargo bench --bench fast_readers -- ranges URL CLIENTS BYTES SECONDS
//! cargo bench --bench fast_readers -- first-byte URL SECONDS
//! ```
//!
//! `whole` reads the film from one end to the other, over and over, and prints what each client got. `ranges` asks for ranges of
//! one length at places all over the film, each client on one connection, and prints how many a second. `first-byte` opens a
//! connection twice a second and prints how long the first byte took.

#![allow(missing_docs, unreachable_pub, reason = "a program of its own")]
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "figures for people")]

#[path = "support/film.rs"]
mod film;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use film::{film_len, split};

/// How often a new connection asks for its first byte.
const PROBE_EVERY: Duration = Duration::from_millis(500);

/// A client on one connection at a time.
struct Client {
    addr: SocketAddr,
    path: String,
    stream: TcpStream,
    buf: Vec<u8>,
}

fn main() {
    // cargo adds --bench.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["whole", url, clients, seconds] => whole(url, number(clients), for_seconds(seconds)),
        ["ranges", url, clients, len, seconds] => ranges(url, number(clients), number(len), for_seconds(seconds)),
        ["first-byte", url, seconds] => first_byte(url, for_seconds(seconds)),
        _ => {
            eprintln!(
                "usage: fast_readers whole URL CLIENTS SECONDS | ranges URL CLIENTS BYTES SECONDS | first-byte URL SECONDS"
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
    fn new(url: &str) -> Self {
        let (addr, path) = split(url);
        let stream = connect(addr);
        Self { addr, path, stream, buf: vec![0; 256 * 1024] }
    }

    /// Asks, and gives how many bytes of body follow and how many of them have come.
    fn ask(&mut self, range: &str) -> (usize, usize) {
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n{range}\r\n", self.path, self.addr);
        let mut head = Vec::new();
        if self.stream.write_all(request.as_bytes()).is_err() {
            // Servers end connections after some thousand requests.
            self.stream = connect(self.addr);
            self.stream.write_all(request.as_bytes()).expect("the server reads");
        }
        loop {
            match self.stream.read(&mut self.buf).unwrap_or(0) {
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

    /// Reads the rest of a body, until the time is up; says how much of it came.
    fn read(&mut self, len: usize, until: Instant) -> usize {
        let mut came = 0;
        while came < len && Instant::now() < until {
            let most = self.buf.len().min(len - came);
            match self.stream.read(&mut self.buf[..most]).expect("the server sends") {
                0 => panic!("cut {} bytes before the end", len - came),
                piece => came += piece,
            }
        }
        came
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the server accepts");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// Runs so many clients at once, until a common time; gives what each of them did.
fn all(clients: usize, lasts: Duration, client: impl Fn(usize, Instant) -> u64 + Sync) -> Vec<u64> {
    let until = Instant::now() + lasts;
    thread::scope(|scope| {
        let client = &client;
        let threads: Vec<_> = (0..clients).map(|number| scope.spawn(move || client(number, until))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client")).collect()
    })
}

fn whole(url: &str, clients: usize, lasts: Duration) {
    let came = all(clients, lasts, |_, until| {
        let mut client = Client::new(url);
        let mut sum = 0;
        while Instant::now() < until {
            let (len, early) = client.ask("");
            sum += (early + client.read(len - early, until)) as u64;
        }
        sum
    });
    let mb = |bytes: u64| bytes as f64 / 1e6 / lasts.as_secs_f64();
    let mean = mb(came.iter().sum()) / clients as f64;
    let (least, most) = (came.iter().min().copied().unwrap_or(0), came.iter().max().copied().unwrap_or(0));
    println!(
        "{clients} at full speed: {:.1} MB/s in all, slowest {:.1} MB/s = {:.2} of the mean, fastest {:.1} MB/s = {:.2} of the mean",
        mean * clients as f64,
        mb(least),
        mb(least) / mean,
        mb(most),
        mb(most) / mean,
    );
}

fn ranges(url: &str, clients: usize, len: usize, lasts: Duration) {
    let (addr, path) = split(url);
    let places = film_len(addr, &path) / len as u64;
    let counts = all(clients, lasts, |number, until| {
        let mut client = Client::new(url);
        let mut count = 0;
        while Instant::now() < until {
            let from = (count + number as u64 * 7919).wrapping_mul(2_654_435_761) % places * len as u64;
            let (due, early) = client.ask(&format!("Range: bytes={from}-{}\r\n", from + len as u64 - 1));
            assert_eq!(due, len, "the server ignores the range");
            client.read(due - early, until + Duration::from_secs(30));
            count += 1;
        }
        count
    });
    println!("{clients} clients, ranges of {len}: {:.0} a second", counts.iter().sum::<u64>() as f64 / lasts.as_secs_f64());
}

fn first_byte(url: &str, lasts: Duration) {
    let until = Instant::now() + lasts;
    let mut times = Vec::new();
    while Instant::now() < until {
        let started = Instant::now();
        let mut client = Client::new(url);
        client.ask("Range: bytes=0-65535\r\n");
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
