//! Opens many viewers who read slowly, and says how they fared and what they cost the server.
//!
//! ```sh
//! cargo bench --bench slow_readers -- URL VIEWERS BYTES_PER_SECOND SECONDS [SERVER_PID]
//! ```
//!
//! All viewers connect at once, ask for the film from a place of their own, and read it at the pace of a film with a receive
//! buffer of 64 KiB. A viewer is lost that is refused, cut, has no first byte within 30 seconds, or in the end has less than half
//! of what its pace is. At a pace of 0 viewers read their first bytes only; none is too slow then.
//!
//! The numbers of the server, its process and those that this one started, are read from `/proc`, so they are there on Linux only. What any load costs, the stacks and buffers of
//! the server's threads, is told by itself: a few viewers come first and leave again, and the others count from there.

#![allow(unsafe_code, reason = "registering sockets with the poller")]
#![allow(missing_docs, unreachable_pub, reason = "a program of its own")]
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "figures for people")]

#[path = "support/film.rs"]
mod film;
#[path = "support/usage.rs"]
mod usage;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use film::{Films, film_len};
use polling::{Event, Events, Poller};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use usage::{Usage, family, usage};

const RECEIVE_BUFFER_LEN: usize = 64 * 1024;
const FIRST_BYTE_MAX: Duration = Duration::from_secs(30);
/// What is read at a time at most.
const BUF_LEN: usize = 1024 * 1024;
/// How often a viewer looks for bytes, which is also how uneven its pace is.
const TICK: Duration = Duration::from_millis(500);
/// The viewers who come first: several for each thread of the server. They read fast, for so long.
const WARM_VIEWERS: usize = 64;
const WARM_PACE: u64 = 1024 * 1024;
const WARM_FOR: Duration = Duration::from_secs(3);

struct Viewer {
    stream: TcpStream,
    asked_at: Instant,
    first_byte: Option<Duration>,
    received: u64,
    lost: Option<&'static str>,
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
    let pids = family(&pids);
    let films = Films::at(url);
    let (addr, path) = (films.addr, films.path(0));
    let film_len = film_len(addr, &path).expect("a film");
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("as many descriptors as may be had");

    let cold = usage(&pids);
    warm_up(addr, &path, film_len);
    let before = usage(&pids);
    let poller = Poller::new().expect("a poller");
    let mut viewers = open(&poller, addr, &path, film_len, count);
    let started = Instant::now();
    let mut seen = Vec::new();
    watch(&poller, &mut viewers, pace, started, lasts, || seen.push(usage(&pids)));

    let mut buf = vec![0; BUF_LEN];
    for viewer in &mut viewers {
        // What is due to it now is there, or the server did not send it.
        let due = pace * viewer.asked_at.elapsed().as_secs() / 2;
        if viewer.lost.is_none() && viewer.first_byte.is_some() {
            viewer.read(pace, &mut buf);
        }
        if viewer.lost.is_none() && viewer.first_byte.is_none() {
            viewer.lost = Some("no first byte");
        } else if viewer.lost.is_none() && viewer.received < due.min(film_len / 2) {
            viewer.lost = Some("too slow");
        }
    }
    drop(poller);
    report(&viewers, pace, cold, before, &seen);
}

/// Lets a few viewers come and go, and what they held be given back.
fn warm_up(addr: SocketAddr, path: &str, film_len: u64) {
    let poller = Poller::new().expect("a poller");
    let mut viewers = open(&poller, addr, path, film_len, WARM_VIEWERS);
    watch(&poller, &mut viewers, WARM_PACE, Instant::now(), WARM_FOR, || {});
    drop((poller, viewers));
    std::thread::sleep(WARM_FOR);
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
    mut at_each_tick: impl FnMut(),
) {
    let mut events = Events::new();
    let mut buf = vec![0; BUF_LEN];
    let mut next_tick = started + TICK;
    while started.elapsed() < lasts {
        let wait = next_tick.saturating_duration_since(Instant::now());
        note_first_bytes(poller, &mut events, viewers, wait);
        if Instant::now() < next_tick {
            continue;
        }
        next_tick = Instant::now() + TICK;
        for number in 0..viewers.len() {
            if number % 50 == 0 {
                // Reading takes a while, and a first byte that comes meanwhile is not to be taken for late.
                note_first_bytes(poller, &mut events, viewers, Duration::ZERO);
            }
            let viewer = &mut viewers[number];
            if viewer.lost.is_some() {
                continue;
            }
            match viewer.first_byte {
                None if viewer.asked_at.elapsed() > FIRST_BYTE_MAX => viewer.lost = Some("no first byte"),
                None => {}
                Some(_) => viewer.read(pace, &mut buf),
            }
        }
        at_each_tick();
    }
}

impl Viewer {
    fn read(&mut self, pace: u64, buf: &mut [u8]) {
        // Those who read nothing look whether they are served at all.
        let due = (self.asked_at.elapsed().as_millis() as u64 * pace / 1000).max(64).saturating_sub(self.received);
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

fn report(viewers: &[Viewer], pace: u64, cold: Usage, before: Usage, seen: &[Usage]) {
    let mut first: Vec<Duration> = viewers.iter().filter_map(|viewer| viewer.first_byte).collect();
    first.sort();
    let at = |part: f64| first.get(((first.len() as f64 - 1.0) * part) as usize).map_or(f64::NAN, Duration::as_secs_f64);
    let lost = viewers.iter().filter(|viewer| viewer.lost.is_some()).count();
    let received: u64 = viewers.iter().map(|viewer| viewer.received).sum();
    let most = |of: fn(&Usage) -> u64| seen.iter().map(of).max().unwrap_or(0);
    let rss_kib = most(|usage| usage.rss_kib);
    println!(
        "{} viewers at {pace} B/s: lost {lost}, first byte p50 {:.3} s p99 {:.3} s, received {:.1} MB; server: threads {}, memory \
         {:.1} MB, {:.1} MB warm, {:.1} MB at most ({:.2} KB a viewer), PSS {:.1} MB at most, CPU {:.2} s, pool busy in {} of {} \
         looks",
        viewers.len(),
        at(0.5),
        at(0.99),
        received as f64 / 1e6,
        most(|usage| usage.threads),
        cold.rss_kib as f64 / 1024.0,
        before.rss_kib as f64 / 1024.0,
        rss_kib as f64 / 1024.0,
        rss_kib.saturating_sub(before.rss_kib) as f64 / viewers.len() as f64,
        most(|usage| usage.pss_kib) as f64 / 1024.0,
        most(|usage| usage.cpu_ticks).saturating_sub(before.cpu_ticks) as f64 / 100.0,
        seen.iter().filter(|usage| usage.pool_busy > 0).count(),
        seen.len(),
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
