//! Opens many viewers who read slowly, and says how they fared and what they cost the server.
//!
//! ```sh
//! cargo bench --bench slow_readers -- URL VIEWERS BYTES_PER_SECOND SECONDS [SERVER_PID]
//! ```
//!
//! All viewers connect at once, ask for the film from a place of their own, and read it at the pace of a film with a receive
//! buffer of 64 KiB. A viewer is lost that is refused, cut, has no first byte within 30 seconds, or in the end has less than half
//! of what its pace is. The numbers of the server are read from `/proc`, so they are there on Linux only.

#![allow(unsafe_code, reason = "registering sockets with the poller")]
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "figures for people")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use polling::{Event, Events, Poller};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

const RECEIVE_BUFFER_LEN: usize = 64 * 1024;
const FIRST_BYTE_MAX: Duration = Duration::from_secs(30);
/// How often a viewer looks for bytes, which is also how uneven its pace is.
const TICK: Duration = Duration::from_millis(500);

struct Viewer {
    stream: TcpStream,
    asked_at: Instant,
    first_byte: Option<Duration>,
    received: u64,
    lost: Option<&'static str>,
}

#[derive(Clone, Copy, Default)]
struct Usage {
    rss_kib: u64,
    threads: u64,
    cpu_ticks: u64,
}

fn main() {
    // cargo adds --bench.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [url, count, pace, seconds, rest @ ..] = &args[..] else {
        eprintln!("usage: slow_readers URL VIEWERS BYTES_PER_SECOND SECONDS [SERVER_PID ...]");
        std::process::exit(2);
    };
    let count: usize = count.parse().expect("a number of viewers");
    let pace: u64 = pace.parse().expect("bytes a second");
    let lasts = Duration::from_secs(seconds.parse().expect("seconds"));
    let pids: Vec<u32> = rest.iter().map(|pid| pid.parse().expect("a process id")).collect();
    let (addr, path) = split(url);
    let film_len = film_len(addr, &path);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("as many descriptors as may be had");

    let before = usage(&pids);
    let started = Instant::now();
    let poller = Poller::new().expect("a poller");
    let mut viewers = open(&poller, addr, &path, film_len, count);
    let mut peak = before;
    watch(&poller, &mut viewers, pace, started, lasts, || peak = usage(&pids));
    let after = usage(&pids);

    for viewer in &mut viewers {
        let due = pace * started.elapsed().as_secs() / 2;
        if viewer.lost.is_none() && viewer.first_byte.is_none() {
            viewer.lost = Some("no first byte");
        } else if viewer.lost.is_none() && viewer.received < due.min(film_len / 2) {
            viewer.lost = Some("too slow");
        }
    }
    drop(poller);
    report(&viewers, pace, before, peak, after);
}

/// Host, port and path of a plain HTTP URL.
fn split(url: &str) -> (SocketAddr, String) {
    let rest = url.strip_prefix("http://").expect("an http:// URL");
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let addr = authority.to_socket_addrs().expect("host:port").next().expect("an address");
    assert!(addr.ip().is_loopback(), "loads stay on this machine");
    (addr, if path.is_empty() { "/".into() } else { path.into() })
}

fn film_len(addr: SocketAddr, path: &str) -> u64 {
    let mut stream = TcpStream::connect(addr).expect("the server accepts");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nRange: bytes=0-0\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    let range = answer.lines().find_map(|line| line.strip_prefix("content-range: bytes 0-0/").map(str::trim));
    range.and_then(|len| len.parse().ok()).unwrap_or_else(|| panic!("no range of this URL: {answer}"))
}

/// Connects all viewers and sends their requests, and looks for first bytes meanwhile.
fn open(poller: &Poller, addr: SocketAddr, path: &str, film_len: u64, count: usize) -> Vec<Viewer> {
    let mut viewers = Vec::with_capacity(count);
    let mut events = Events::new();
    for number in 0..count {
        // Places all over the first half, so that there is enough to read behind each.
        let from = (number as u64).wrapping_mul(7_919_993) % (film_len / 2).max(1);
        let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a socket");
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_LEN).expect("a small buffer");
        let connected = rustix::net::connect(&socket, &addr);
        let mut stream = TcpStream::from(socket);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nRange: bytes={from}-\r\n\r\n");
        let sent = connected.map_err(io::Error::from).and_then(|()| stream.write_all(request.as_bytes()));
        stream.set_nonblocking(true).expect("a non-blocking socket");
        let lost = sent.is_err().then_some("refused");
        // SAFETY: the viewers are dropped behind the poller, at the end of main.
        unsafe { poller.add(&stream, Event::readable(number)).expect("room in the poller") };
        viewers.push(Viewer { stream, asked_at: Instant::now(), first_byte: None, received: 0, lost });
        if number % 50 == 0 {
            note_first_bytes(poller, &mut events, &mut viewers, Duration::ZERO);
        }
    }
    viewers
}

fn note_first_bytes(poller: &Poller, events: &mut Events, viewers: &mut [Viewer], wait: Duration) {
    events.clear();
    poller.wait(events, Some(wait)).expect("the poller works");
    for event in events.iter() {
        let viewer = &mut viewers[event.key];
        viewer.first_byte.get_or_insert(viewer.asked_at.elapsed());
    }
}

/// Reads at the viewers' pace until the time is up.
fn watch(
    poller: &Poller,
    viewers: &mut [Viewer],
    pace: u64,
    started: Instant,
    lasts: Duration,
    mut at_half_time: impl FnMut(),
) {
    let mut events = Events::new();
    let mut buf = vec![0; 1024 * 1024];
    let mut next_tick = started + TICK;
    let mut half_time = false;
    while started.elapsed() < lasts {
        let wait = next_tick.saturating_duration_since(Instant::now());
        note_first_bytes(poller, &mut events, viewers, wait);
        if Instant::now() < next_tick {
            continue;
        }
        next_tick = Instant::now() + TICK;
        for viewer in viewers.iter_mut().filter(|viewer| viewer.lost.is_none()) {
            match viewer.first_byte {
                None if viewer.asked_at.elapsed() > FIRST_BYTE_MAX => viewer.lost = Some("no first byte"),
                None => {}
                Some(_) => viewer.read(pace, &mut buf),
            }
        }
        if !half_time && started.elapsed() > lasts / 2 {
            half_time = true;
            at_half_time();
        }
    }
}

impl Viewer {
    fn read(&mut self, pace: u64, buf: &mut [u8]) {
        let due = (self.asked_at.elapsed().as_millis() as u64 * pace / 1000).saturating_sub(self.received);
        let mut due = usize::try_from(due).unwrap_or(usize::MAX);
        while due > 0 {
            let len = due.min(buf.len());
            match self.stream.read(&mut buf[..len]) {
                Ok(0) => return self.lost = Some("cut"),
                Ok(len) => {
                    if self.received == 0 && !buf.starts_with(b"HTTP/1.1 206") {
                        return self.lost = Some("refused");
                    }
                    self.received += len as u64;
                    due -= len;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.lost = Some("reset"),
            }
        }
    }
}

/// What the server uses now: the sum over its processes and their children.
fn usage(pids: &[u32]) -> Usage {
    let mut sum = Usage::default();
    for pid in pids {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let status = read("status");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()).and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        sum.rss_kib += number("VmRSS:");
        sum.threads += number("Threads:");
        // proc(5): utime and stime are the 14th and 15th field; the 2nd may hold spaces and ends with a parenthesis.
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        sum.cpu_ticks += ticks(11) + ticks(12);
    }
    sum
}

fn report(viewers: &[Viewer], pace: u64, before: Usage, peak: Usage, after: Usage) {
    let mut first: Vec<Duration> = viewers.iter().filter_map(|viewer| viewer.first_byte).collect();
    first.sort();
    let at = |part: f64| first.get(((first.len() as f64 - 1.0) * part) as usize).map_or(f64::NAN, Duration::as_secs_f64);
    let lost = viewers.iter().filter(|viewer| viewer.lost.is_some()).count();
    let received: u64 = viewers.iter().map(|viewer| viewer.received).sum();
    println!(
        "{} viewers at {pace} B/s: lost {lost}, first byte p50 {:.3} s p99 {:.3} s, received {:.1} MB; server: threads {}, memory \
         {:.1} -> {:.1} MB ({:.2} KB a viewer), CPU {:.2} s",
        viewers.len(),
        at(0.5),
        at(0.99),
        received as f64 / 1e6,
        peak.threads,
        before.rss_kib as f64 / 1024.0,
        peak.rss_kib as f64 / 1024.0,
        peak.rss_kib.saturating_sub(before.rss_kib) as f64 / viewers.len() as f64,
        after.cpu_ticks.saturating_sub(before.cpu_ticks) as f64 / 100.0,
    );
    let mut reasons: Vec<&str> = viewers.iter().filter_map(|viewer| viewer.lost).collect();
    reasons.sort_unstable();
    let mut at = 0;
    while let Some(reason) = reasons.get(at) {
        let count = reasons[at..].iter().take_while(|it| *it == reason).count();
        println!("  lost: {reason} {count}");
        at += count;
    }
}
