//! Attacks on what the program holds: threads, descriptors, memory, time. After each it is what it was before.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use socket2::SockRef;
use vidgate::object::{ETag, ObjectId, ObjectKey, ObjectMeta};
use vidgate::store::{ListPage, ListQuery, Span, Store};
use vidgate::{Error, ErrorKind as Kind};

use crate::support::client::{Client, get};
use crate::support::process::{Process, raise_own_descriptors};
use crate::support::{liveness, server, wait_for};

const MIB: usize = 1024 * 1024;
/// How long a client that does nothing wrong may wait while others attack.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the server is alive after.
const ATTACK: &str = "what this test does";
const GOOD: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads to the end of the connection; gives the status of the first answer on it.
#[track_caller]
fn status_to_end(mut stream: TcpStream) -> Option<u16> {
    let mut raw = Vec::new();
    match stream.read_to_end(&mut raw) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("not closed after {} bytes: {error}", raw.len()),
    }
    std::str::from_utf8(raw.get(9..12)?).ok()?.parse().ok()
}

/// Starts the program and lets it have served something of each kind.
fn start(environment: &[(&str, &str)]) -> Process {
    raise_own_descriptors(8000);
    let process = Process::start(environment);
    assert_eq!(get(process.addr(), "/media/film.mp4", &["Range: bytes=0-1000000"]).status, 206);
    process.check_alive(ATTACK);
    process
}

#[test]
fn a_thousand_heads_a_byte_at_a_time() {
    let process = start(&[("VIDGATE_HEADER_TIMEOUT", "500ms")]);
    let before = process.vitals();
    let mut slow: Vec<TcpStream> = (0..1000).map(|_| connect(process.addr())).collect();
    let started = Instant::now();
    // So many bytes that no head is complete however fast this runs.
    for byte in GOOD.iter().take(GOOD.len() - 1) {
        for stream in &mut slow {
            // Refused ones may be gone already.
            let _ = stream.write_all(&[*byte]);
        }
        if started.elapsed() > Duration::from_millis(400) {
            break;
        }
    }
    process.check_alive(ATTACK);
    for stream in slow {
        assert_eq!(status_to_end(stream), Some(408));
    }
    process.check_recovered(before, 16 * MIB);
    process.check_alive(ATTACK);
}

#[test]
fn five_thousand_idle_connections() {
    let process = start(&[]);
    let before = process.vitals();
    let idle: Vec<TcpStream> = (0..5000).map(|_| connect(process.addr())).collect();
    process.check_alive(ATTACK);
    let during = process.vitals();
    // Two of tiny_http's may end meanwhile.
    assert!(during.threads <= before.threads, "{before:?} became {during:?}");
    assert!(during.descriptors >= idle.len(), "{during:?}");
    assert!(during.resident_len < before.resident_len + 16 * MIB, "{before:?} became {during:?}");
    drop(idle);
    process.check_recovered(before, 16 * MIB);
    process.check_alive(ATTACK);
}

#[test]
fn a_head_without_end_is_cut_at_32_kib() {
    let process = start(&[]);
    let before = process.vitals();
    // One byte more than a head may have, and no more: that is enough to be refused.
    let mut just = connect(process.addr());
    let front = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ";
    just.write_all(front).unwrap();
    just.write_all(&vec![b'y'; 32 * 1024 + 1 - front.len()]).unwrap();
    assert_eq!(status_to_end(just), Some(431));
    // One who goes on and on is cut off, however much he has left.
    let mut endless = connect(process.addr());
    endless.write_all(front).unwrap();
    let piece = vec![b'y'; 64 * 1024];
    let sent = (0..16 * 64).take_while(|_| endless.write_all(&piece).is_ok()).count();
    assert!(sent < 16 * 64, "64 MiB of a head were taken");
    for start in ["", "GET", "GET /healthz?", "GET /healthz HTTP/1.1\r\nX"] {
        let mut endless = connect(process.addr());
        let _ = endless.write_all(start.as_bytes()).and_then(|()| endless.write_all(&piece));
        assert!(matches!(status_to_end(endless), Some(414 | 431)), "{start:?}");
    }
    process.check_recovered(before, 16 * MIB);
    process.check_alive(ATTACK);
}

#[test]
fn pipelined_requests_of_a_client_that_does_not_read() {
    const COUNT: usize = 200_000;
    let process = start(&[]);
    let before = process.vitals();
    let mut deaf = connect(process.addr());
    // The server stops reading when its answers are not taken; then the client's writes stand still.
    deaf.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let piece = GOOD.repeat(1000);
    let sent = (0..COUNT / 1000).take_while(|_| deaf.write_all(&piece).is_ok()).count();
    assert!(sent < COUNT / 1000, "all of {COUNT} requests were taken in");
    process.check_alive(ATTACK);
    let during = process.vitals();
    // Two of tiny_http's may end meanwhile.
    assert!(during.threads <= before.threads, "{before:?} became {during:?}");
    assert!(during.resident_len < before.resident_len + 64 * MIB, "{before:?} became {during:?}");
    // What was taken in is answered in order once the client reads.
    let mut reader = Client::new(process.addr());
    reader.send(GOOD.repeat(500));
    for _ in 0..500 {
        assert_eq!(reader.reply(false).status, 200);
    }
    drop((deaf, reader));
    process.check_recovered(before, 64 * MIB);
    process.check_alive(ATTACK);
}

#[test]
fn twenty_thousand_connections_that_say_nothing() {
    let process = start(&[]);
    let before = process.vitals();
    for number in 0..20_000 {
        let stream = TcpStream::connect(process.addr()).unwrap();
        if number % 2 == 0 {
            // Closing is a reset then.
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(stream);
    }
    process.check_alive(ATTACK);
    process.check_recovered(before, 32 * MIB);
}

#[test]
fn viewers_who_leave_in_the_middle() {
    let process = start(&[]);
    let before = process.vitals();
    for number in 0..500 {
        let mut stream = connect(process.addr());
        stream.write_all(b"GET /media/film.mp4 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        if number % 3 > 0 {
            let mut front = vec![0; 100_000];
            stream.read_exact(&mut front[..if number % 3 == 1 { 15 } else { 100_000 }]).unwrap();
            assert!(front.starts_with(b"HTTP/1.1 200 OK"));
        }
        if number % 2 == 0 {
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    process.check_alive(ATTACK);
    process.check_recovered(before, 32 * MIB);
}

#[test]
fn clients_that_speak_http_2() {
    let process = start(&[]);
    let before = process.vitals();
    for _ in 0..200 {
        let mut stream = connect(process.addr());
        // The preface, and an empty SETTINGS frame.
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
        assert_eq!(status_to_end(stream), Some(505));
    }
    process.check_recovered(before, 16 * MIB);
    process.check_alive(ATTACK);
}

#[test]
fn refused_clients_that_never_read_nor_leave() {
    let process = start(&[]);
    let before = process.vitals();
    let refused: Vec<TcpStream> = (0..2000)
        .map(|_| {
            let mut stream = connect(process.addr());
            stream.write_all(b"nonsense\r\n\r\n").unwrap();
            stream
        })
        .collect();
    process.check_alive(ATTACK);
    // They are all still there; the server has let go of them.
    process.check_recovered(before, 16 * MIB);
    assert!(refused.into_iter().all(|stream| status_to_end(stream) == Some(400)));
}

#[test]
fn few_descriptors_and_many_who_hold_them() {
    let process = Process::start_with_descriptors(256, &[]);
    process.check_alive(ATTACK);
    let before = process.vitals();
    let idle: Vec<TcpStream> = (0..600).map(|_| connect(process.addr())).collect();
    // Whoever has something to ask gets in, though none of the others leaves.
    for number in 0..20 {
        let started = Instant::now();
        let target = if number % 2 == 0 { "/healthz" } else { "/media/film.mp4" };
        let mut client = connect(process.addr());
        write!(client, "GET {target} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-99999\r\nConnection: close\r\n\r\n").unwrap();
        let status = status_to_end(client);
        assert!(matches!(status, Some(200 | 206)), "client {number}: {status:?} after {:?}", started.elapsed());
    }
    drop(idle);
    process.check_alive(ATTACK);
    process.check_recovered(before, 32 * MIB);
}

#[test]
fn no_descriptor_for_a_while() {
    let process = start(&[]);
    let before = process.vitals();
    // The limit falls under what is in use, so that nobody can be accepted, and rises again.
    let own = process.limit_descriptors(before.descriptors as u64);
    let waiting: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut client = connect(process.addr());
            client.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
            client
        })
        .collect();
    wait_for("the program to say so", PATIENCE, || process.log().contains("accepting pauses").then_some(()));
    process.limit_descriptors(own);
    assert!(waiting.into_iter().all(|client| status_to_end(client) == Some(200)), "those who waited were lost");
    process.check_recovered(before, 16 * MIB);
    process.check_alive(ATTACK);
    // It is told once, and not by every try.
    assert_eq!(process.log().matches("accepting pauses").count(), 1, "{}", process.log());
}

#[test]
fn few_descriptors_and_a_crowd_who_all_ask() {
    let process = Process::start_with_descriptors(256, &[]);
    process.check_alive(ATTACK);
    // Many times as many as there is room for, and each has said what it wants before anybody else could need its place.
    let crowd: Vec<TcpStream> = (0..600)
        .map(|_| {
            let mut client = connect(process.addr());
            client.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
            client
        })
        .collect();
    let count = crowd.len();
    let answered = crowd.into_iter().map(status_to_end).filter(|status| *status == Some(200)).count();
    assert_eq!(answered, count, "the others were let go with their requests unread");
}

#[test]
fn paced_viewers_who_leave() {
    // The slowest pace has the longest waits.
    let process = Process::start(&[("VIDGATE_RATE", "4KiB"), ("VIDGATE_BURST", "100KiB")]);
    process.check_alive(ATTACK);
    let before = process.vitals();
    let viewers: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut viewer = connect(process.addr());
            viewer.write_all(b"GET /media/film.mp4 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            viewer.read_exact(&mut vec![0; 100_000]).unwrap();
            SockRef::from(&viewer).set_linger(Some(Duration::ZERO)).unwrap();
            viewer
        })
        .collect();
    let busy = process.cpu_ticks();
    drop(viewers);
    process.check_recovered(before, 16 * MIB);
    // Whoever is gone is noticed once, and not looked at again and again until more would be due.
    let spent = process.cpu_ticks() - busy;
    assert!(spent < 30, "{spent} hundredths of a second of processor time for 20 who left");
    process.check_alive(ATTACK);
}

/// A store that has one film, whose reads wait until they are let go.
#[derive(Default)]
struct HeldStore {
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    /// Whether reads may go on, and how many of them wait.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |(open, _)| !*open).unwrap());
    }

    /// Waits until so many reads wait.
    #[track_caller]
    fn wait_for(&self, count: usize) {
        let state = self.state.lock().unwrap();
        let waited = self.changed.wait_timeout_while(state, PATIENCE, |(_, waiting)| *waiting < count).unwrap();
        assert!(!waited.1.timed_out(), "fewer than {count} reads came to the store");
    }

    fn open(&self) {
        self.state.lock().unwrap().0 = true;
        self.changed.notify_all();
    }
}

/// However a test ends, the threads that wait in the store are let go.
struct OpenAtTheEnd(Arc<Gate>);

impl Drop for OpenAtTheEnd {
    fn drop(&mut self) {
        self.0.open();
    }
}

struct HeldSpan(Arc<Gate>);

impl Span for HeldSpan {
    fn read(&mut self, buf: &mut Vec<u8>, len_max: usize) -> Result<usize, Error> {
        self.0.pass();
        buf.resize(buf.len() + len_max, 0);
        Ok(len_max)
    }
}

impl Store for HeldStore {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        Ok(ObjectMeta {
            id: ObjectId { key: key.clone(), etag: ETag::from_store("\"v\"")? },
            size: 1 << 30,
            last_modified: SystemTime::UNIX_EPOCH,
            content_type: None,
            cache_control: None,
        })
    }

    fn open(&self, _: &ObjectId, _: Range<u64>) -> Result<Box<dyn Span>, Error> {
        Ok(Box::new(HeldSpan(Arc::clone(&self.gate))))
    }

    fn list(&self, _: &ListQuery) -> Result<ListPage, Error> {
        Err(Kind::UpstreamUnavailable.into())
    }
}

#[test]
fn a_server_that_is_dropped_leaves_no_client_waiting() {
    let gate = Arc::<Gate>::default();
    let _at_the_end = OpenAtTheEnd(Arc::clone(&gate));
    let server = server::start(Arc::new(HeldStore { gate: Arc::clone(&gate) }), |_| {});
    let mut viewer = connect(server.addr());
    viewer.write_all(b"GET /media/film.mp4 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    gate.wait_for(1);
    // A thread of the pool is reading for this viewer now. When it has done so there is no lot any more that anybody looks at.
    drop(server);
    gate.open();
    status_to_end(viewer);
}

#[test]
fn a_store_that_hangs_does_not_hang_healthz() {
    let gate = Arc::<Gate>::default();
    let _at_the_end = OpenAtTheEnd(Arc::clone(&gate));
    let server = server::start(Arc::new(HeldStore { gate: Arc::clone(&gate) }), |config| config.workers_per_core = 2);
    let viewers: Vec<TcpStream> = (0..num_cpus::get() * 8)
        .map(|_| {
            let mut viewer = connect(server.addr());
            viewer.write_all(b"GET /media/film.mp4 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            viewer
        })
        .collect();
    gate.wait_for(1);
    for _ in 0..20 {
        liveness::check_alive(server.addr(), std::process::id(), ATTACK);
    }
    drop(viewers);
}
