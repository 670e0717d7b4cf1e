//! What is bounded, and who goes when a bound is reached.

use std::net::TcpListener;
use std::ops::Range;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use vidgate::Error;
use vidgate::object::{ObjectId, ObjectKey, ObjectMeta};
use vidgate::store::{ListPage, ListQuery, Span, Store};

use crate::support::client::{Client, get};
use crate::support::pattern;
use crate::support::server::{DirectoryServer, start};
use crate::support::wait_for;

/// Longer than anything here takes, and shorter than a test may hang.
const SOON: Duration = Duration::from_secs(20);

/// A client in the middle of a film that it does not read.
fn stalled(server: &DirectoryServer) -> Client {
    let mut client = Client::new(server.addr());
    client.ask("GET", "/media/film.mp4", &[]);
    assert_eq!(client.head().status, 200);
    client
}

#[test]
fn above_the_cap_the_idle_go_first_then_the_longest_stalled() {
    let server = DirectoryServer::start(|config| config.connections_max = Some(20));
    let film = pattern(11, 20_000_000);
    server.put("film.mp4", &film);
    let mut first_stalled = stalled(&server);
    let mut idle: Vec<Client> = (0..10).map(|_| Client::new(server.addr())).collect();
    // It is stalled when the kernel holds something for it, and the same for as long as another is served the film.
    wait_for("the first to be stalled", SOON, || {
        let before = first_stalled.held_by_the_kernel()?;
        assert!(idle[0].exchange("GET", "/media/film.mp4", &[]).body == film);
        (before > 0 && first_stalled.held_by_the_kernel() == Some(before)).then_some(())
    });
    let mut streams: Vec<Client> = (0..9).map(|_| stalled(&server)).collect();
    for client in &mut idle {
        assert_eq!(client.exchange("GET", "/healthz", &[]).status, 200);
    }
    // All twenty are in use. Ten more come in, one by one, each is answered, and each costs an idle one its place.
    let mut newer: Vec<Client> = Vec::new();
    for _ in 0..10 {
        newer.push(stalled(&server));
    }
    for client in &mut idle {
        assert_eq!(client.rest(), b"");
    }
    // Now there are streams only. The longest stalled goes, its film short; the others have theirs whole.
    let mut last = Client::new(server.addr());
    assert_eq!(last.exchange("GET", "/healthz", &[]).status, 200);
    assert!(first_stalled.rest().len() < film.len(), "the longest stalled stayed");
    for client in [&mut streams[8], &mut newer[9]] {
        assert!(client.take(film.len()) == film);
    }
}

#[test]
fn a_connection_that_the_program_accepted_is_served_and_bounded_like_others() {
    let server = DirectoryServer::start(|config| config.connections_max = Some(20));
    server.put("film.mp4", "0123456789");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let give = || {
        let client = Client::new(listener.local_addr().unwrap());
        server.server.serve(listener.accept().unwrap().0).unwrap();
        client
    };
    let mut clients: Vec<Client> = (0..20).map(|_| give()).collect();
    // The first asks for nothing: he is the idle one for the longest, however late the server looks at what the others have.
    for client in &mut clients[1..] {
        assert_eq!(client.exchange("GET", "/media/film.mp4", &["Range: bytes=2-4"]).body, b"234");
    }
    let mut next = give();
    assert_eq!(next.exchange("GET", "/media/film.mp4", &[]).body, b"0123456789");
    assert_eq!(clients[0].rest(), b"", "it was idle for the longest");
    assert_eq!(clients[19].exchange("GET", "/healthz", &[]).status, 200);
    server.server.drain();
    assert_eq!(next.rest(), b"");
    assert_eq!(give().rest(), b"");
}

#[test]
fn a_new_client_gets_in_whoever_holds_on() {
    let server = DirectoryServer::start(|config| config.connections_max = Some(50));
    let holding: Vec<Client> = (0..500).map(|_| Client::new(server.addr())).collect();
    for _ in 0..20 {
        assert_eq!(get(server.addr(), "/healthz", &[]).status, 200);
    }
    drop(holding);
}

#[test]
fn streams_in_all_and_for_one_client() {
    let server = DirectoryServer::start(|config| {
        config.streams_max = 4;
        config.streams_per_ip_max = 2;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    server.put("film.mp4", pattern(12, 20_000_000));
    server.put("small.mp4", "small");
    let open = |client: &str| {
        let mut stream = Client::new(server.addr());
        stream.ask("GET", "/media/film.mp4", &[&format!("X-Forwarded-For: 10.9.9.9, {client}")]);
        let head = stream.head();
        (stream, head)
    };
    let mut held: Vec<Client> = ["192.0.2.1", "192.0.2.1", "192.0.2.2"].map(open).map(|(stream, _)| stream).into();
    let refused = |client: &str, status: u16, code: &str| {
        let reply = get(server.addr(), "/media/small.mp4", &[&format!("X-Forwarded-For: {client}")]);
        assert_eq!((reply.status, reply.code().as_str(), reply.get("Retry-After")), (status, code, Some("1")));
    };
    refused("192.0.2.1", 429, "too_many_streams");
    held.push(open("192.0.2.2").0);
    refused("192.0.2.3", 503, "busy");
    // What sends no bytes of an object is no stream.
    assert_eq!(get(server.addr(), "/healthz", &[]).status, 200);
    assert_eq!(Client::new(server.addr()).exchange("HEAD", "/media/small.mp4", &[]).status, 200);
    // A stream that ends gives its place back, also where its viewer just leaves.
    drop(held.swap_remove(0));
    wait_for("a place for a stream", SOON, || {
        (get(server.addr(), "/media/small.mp4", &["X-Forwarded-For: 192.0.2.1"]).status == 200).then_some(())
    });
}

#[test]
fn a_paced_stream_is_no_faster_than_its_rate_and_holds_no_thread() {
    let rate = 64 * 1024;
    let server = DirectoryServer::start(|config| {
        config.workers_per_core = 1;
        config.rate = Some(rate);
        config.burst = 128 * 1024;
    });
    let film = pattern(13, 128 * 1024 + 64 * 1024);
    server.put("film.mp4", &film);
    server.put("burst.mp4", &film[..128 * 1024]);
    let started = Instant::now();
    // Many times as many as there are threads.
    let mut clients: Vec<Client> = (0..40).map(|_| Client::new(server.addr())).collect();
    for client in &mut clients {
        client.ask("GET", "/media/film.mp4", &[]);
    }
    assert_eq!(get(server.addr(), "/media/burst.mp4", &[]).body, film[..128 * 1024]);
    for client in &mut clients {
        assert!(client.reply(false).body == film);
    }
    // A second's bytes behind the burst take a second; more only where the machine is slow.
    assert!(started.elapsed() >= Duration::from_millis(990), "{:?}", started.elapsed());
}

/// A store of which every call hangs until the test ends.
struct HangingStore {
    called: Mutex<mpsc::Sender<()>>,
    released: Mutex<mpsc::Receiver<()>>,
}

impl HangingStore {
    fn hang(&self) -> Error {
        let _ = self.called.lock().unwrap().send(());
        let _ = self.released.lock().unwrap().recv();
        vidgate::ErrorKind::NotFound.into()
    }
}

impl Store for HangingStore {
    fn head(&self, _: &ObjectKey) -> Result<ObjectMeta, Error> {
        Err(self.hang())
    }

    fn open(&self, _: &ObjectId, _: Range<u64>) -> Result<Box<dyn Span>, Error> {
        Err(self.hang())
    }

    fn list(&self, _: &ListQuery) -> Result<ListPage, Error> {
        Err(self.hang())
    }
}

#[test]
fn a_store_that_hangs_stops_nothing_that_does_not_need_it() {
    let (called, calls) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let store = HangingStore { called: Mutex::new(called), released: Mutex::new(released) };
    let server = start(Arc::new(store), |config| config.workers_per_core = 2);
    let mut waiting: Vec<Client> = (0..100).map(|_| Client::new(server.addr())).collect();
    for client in &mut waiting {
        client.ask("GET", "/media/film.mp4", &[]);
    }
    calls.recv_timeout(SOON).expect("the store is asked");
    for target in ["/healthz", "/", "/watch/film.mp4"] {
        assert_eq!(get(server.addr(), target, &[]).status, 200, "{target}");
    }
    drop(release);
    for client in &mut waiting {
        assert_eq!(client.reply(false).status, 404);
    }
}

#[test]
fn a_connection_ends_behind_its_ten_thousandth_request() {
    let server = DirectoryServer::start(|_| {});
    let mut client = Client::new(server.addr());
    for hundred in 1..=100 {
        client.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100));
        for number in 1..=100 {
            let reply = client.reply(false);
            let says = (hundred == 100 && number == 100).then_some("close");
            assert_eq!((reply.status, reply.get("Connection")), (200, says), "{hundred}, {number}");
        }
    }
    assert_eq!(client.rest(), b"");
}

#[test]
fn draining_lets_streams_finish_and_takes_nobody_new() {
    let server = DirectoryServer::start(|_| {});
    let film = pattern(14, 3_000_000);
    server.put("film.mp4", &film);
    let mut idle = Client::new(server.addr());
    assert_eq!(idle.exchange("GET", "/healthz", &[]).status, 200);
    let mut streams: Vec<Client> = (0..200).map(|_| stalled(&server)).collect();
    server.server.drain();
    assert_eq!(idle.rest(), b"");
    wait_for("the port to be closed", SOON, || std::net::TcpStream::connect(server.addr()).is_err().then_some(()));
    assert!(!server.server.wait_drained(Duration::from_millis(1)));
    for stream in &mut streams {
        assert!(stream.take(film.len()) == film);
        // Its connection was kept alive; now there is no next request.
        assert_eq!(stream.rest(), b"");
    }
    assert!(server.server.wait_drained(SOON));
}
