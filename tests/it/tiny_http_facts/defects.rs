//! The nine defects that keep `tiny_http` 0.12.0 off the network, in the order of `vendor-notes/tiny_http.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tiny_http::{Header, Response, Server, StatusCode};

use super::{
    NEVER, SOON, descriptors, is_alone, is_silent, is_timeout, next, pass_alone, read_head, run_alone, send, serve, until,
};

/// Lowers one limit of this process, which must be one of its own.
fn limit(resource: Resource, current: u64) {
    assert!(is_alone());
    setrlimit(resource, Rlimit { current: Some(current), ..getrlimit(resource) }).unwrap();
}

// 1. Content-Length as an allocation.

#[test]
fn a_huge_content_length_aborts_the_process() {
    if is_alone() {
        // 100 TB is refused by the heuristic overcommit of any machine we know; this limit makes sure of it.
        limit(Resource::As, 4 << 30);
        limit(Resource::Core, 0);
        let (server, addr) = serve();
        let _client = send(addr, b"GET / HTTP/1.1\r\nContent-Length: 100000000000000\r\n\r\n");
        drop(next(&server));
        return;
    }
    let output = run_alone("tiny_http_facts::defects::a_huge_content_length_aborts_the_process");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(Signal::ABORT.as_raw()), "{stderr}");
    assert!(stderr.contains("memory allocation of 100000000000000 bytes failed"), "{stderr}");
}

#[test]
fn the_largest_content_length_panics_the_worker() {
    let (server, addr) = serve();
    let _client = send(addr, format!("GET / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", usize::MAX).as_bytes());
    let request = next(&server);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(request))).is_err());
}

// 2. HTTP/2.0 and HTTP/3.0 on the request line.

#[test]
fn http_2_on_the_request_line_deadlocks_the_connection() {
    for version in ["HTTP/2.0", "HTTP/3.0"] {
        let (server, addr) = serve();
        let mut client = send(addr, format!("PRI * {version}\r\n\r\nSM\r\n\r\n").as_bytes());
        client.shutdown(Shutdown::Write).unwrap();
        assert!(is_silent(&mut client), "{version} was answered or closed");
        assert!(server.try_recv().unwrap().is_none());
        // An unknown version is answered at once, so the silence is not slowness.
        assert!(read_head(&mut send(addr, b"GET / HTTP/1.2\r\n\r\n")).starts_with("HTTP/1.1 400 "));
    }
}

#[test]
fn http_2_on_the_request_line_costs_two_descriptors_for_good() {
    const CLIENTS: usize = 8;
    if !is_alone() {
        pass_alone("tiny_http_facts::defects::http_2_on_the_request_line_costs_two_descriptors_for_good");
        return;
    }
    let (server, addr) = serve();
    let before = descriptors();
    for head in ["GET / HTTP/2.0\r\n\r\n", "GET / HTTP/1.2\r\n\r\n"] {
        for _ in 0..CLIENTS {
            // The request ahead proves that this connection has its thread, and none is stranded (see 5).
            let mut client = send(addr, format!("GET / HTTP/1.1\r\n\r\n{head}").as_bytes());
            drop(next(&server));
            if head.contains("1.2") {
                client.read_to_end(&mut Vec::new()).unwrap();
            }
        }
    }
    // All clients are gone. What the later, refused ones held comes back; what the first ones held never does.
    until("only the deadlocked connections remain", || descriptors() == before + 2 * CLIENTS);
}

// 3. The accept thread.

/// Waits until nothing listens any more, then shows that `recv` does not say so.
#[track_caller]
fn check_port_gone(server: &Server, addr: SocketAddr) {
    until("the port is gone", || matches!(TcpStream::connect(addr), Err(e) if e.kind() == ErrorKind::ConnectionRefused));
    while server.try_recv().unwrap().is_some() {}
    assert!(server.recv_timeout(NEVER).unwrap().is_none(), "recv goes on waiting");
}

#[test]
fn the_accept_thread_ends_at_its_first_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    // An error from accept that takes no luck to produce, and would pass at the next call.
    listener.set_nonblocking(true).unwrap();
    let server = Server::from_listener(listener, None).unwrap();
    assert_eq!(server.recv().unwrap_err().kind(), ErrorKind::WouldBlock);
    check_port_gone(&server, addr);
}

#[test]
fn a_moment_without_descriptors_loses_the_port() {
    if !is_alone() {
        // The port is gone each time, most often by a panic where the accepted socket is cloned. Where the accept thread
        // has not come back to accept in time, by an error from there: so a few tries to see the panic.
        let test = "tiny_http_facts::defects::a_moment_without_descriptors_loses_the_port";
        assert!((0..10).any(|_| pass_alone(test).contains("refined_tcp_stream.rs")));
        return;
    }
    let (server, addr) = serve();
    let before = descriptors();
    drop(next_after_close(&server, addr));
    until("that connection is gone", || descriptors() == before);
    let client = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    limit(Resource::Nofile, 64);
    let mut hoard = Vec::new();
    let full = loop {
        match File::open("/dev/null") {
            Ok(file) => hoard.push(file),
            Err(e) => break e,
        }
    };
    assert_eq!(full.raw_os_error(), Some(Errno::MFILE.raw_os_error()));
    // Already refused if the accept thread met the limit before it met the client.
    let _ = rustix::net::connect(&client, &addr);
    let mut client = TcpStream::from(client);
    client.set_read_timeout(Some(SOON)).unwrap();
    let gone = client.read(&mut [0]);
    assert!(!matches!(&gone, Ok(1)) && !is_timeout(&gone), "the client was dropped: {gone:?}");
    drop((client, hoard));
    // An error from accept, if it was one, is said once.
    if let Err(e) = server.recv_timeout(NEVER) {
        assert_eq!(e.raw_os_error(), full.raw_os_error());
    }
    check_port_gone(&server, addr);
}

// 4. No limits.

#[test]
fn a_head_of_a_mebibyte_and_a_thousand_fields_is_accepted() {
    let (server, addr) = serve();
    let mut head = String::from("GET / HTTP/1.1\r\n");
    for n in 0..1000 {
        write!(head, "Field-{n}: {}\r\n", "v".repeat(1 << 10)).unwrap();
    }
    head.push_str("\r\n");
    let client = thread::spawn(move || send(addr, head.as_bytes()));
    assert_eq!(next(&server).headers().len(), 1000);
    client.join().unwrap();
}

#[test]
fn twenty_thousand_pipelined_requests_are_queued() {
    const REQUESTS: usize = 20_000;
    let (server, addr) = serve();
    let client = send(addr, &b"GET / HTTP/1.1\r\n\r\n".repeat(REQUESTS));
    // None is answered, and still they come.
    let received: Vec<_> = (0..REQUESTS).map(|_| next(&server)).collect();
    assert_eq!(received.len(), REQUESTS);
    // Gone before they are dropped, so that their answers need no reader.
    drop(client);
}

#[test]
fn a_head_that_never_ends_is_waited_for() {
    let (_server, addr) = serve();
    let mut client = send(addr, b"GET / HTTP/1.1\r\nHos");
    assert!(is_silent(&mut client));
}

#[test]
fn every_idle_connection_costs_a_thread_and_two_descriptors() {
    const CLIENTS: usize = 64;
    if !is_alone() {
        pass_alone("tiny_http_facts::defects::every_idle_connection_costs_a_thread_and_two_descriptors");
        return;
    }
    let (server, addr) = serve();
    let before = (threads(), descriptors());
    let mut clients = Vec::new();
    for n in 1..=CLIENTS {
        // The request proves that this connection has its thread, and none is stranded (see 5).
        clients.push(send(addr, b"GET / HTTP/1.1\r\n\r\n"));
        drop(next(&server));
        assert_eq!(descriptors(), before.1 + 3 * n, "two, and the client's own");
    }
    until("a thread for each but those of the pool", || threads() >= before.0 + CLIENTS - 4);
}

/// Threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

// 5. Stranded connections.

#[test]
fn a_burst_of_connections_strands_some_until_others_close() {
    const BURST: usize = 8;
    // Measured on two cores: nine rounds in ten strand one.
    for _ in 0..200 {
        let (server, addr) = serve();
        drop(next_after_close(&server, addr));
        let mut clients: Vec<_> =
            (0..BURST).map(|n| Some(send(addr, format!("GET {n} HTTP/1.1\r\n\r\n").as_bytes()))).collect();
        let mut waiting: BTreeSet<usize> = (0..BURST).collect();
        while let Some(request) = server.recv_timeout(NEVER / 3).unwrap() {
            let n = request.url().parse().unwrap();
            waiting.remove(&n);
            request.respond(Response::empty(204)).unwrap();
            assert!(read_head(clients[n].as_mut().unwrap()).starts_with("HTTP/1.1 204 "));
        }
        if waiting.is_empty() {
            continue;
        }
        // The answered ones close, and now the others are served: they were not lost, nor slow, but stranded.
        for (n, client) in clients.iter_mut().enumerate() {
            if !waiting.contains(&n) {
                *client = None;
            }
        }
        while !waiting.is_empty() {
            let n = next(&server).url().parse().unwrap();
            assert!(waiting.remove(&n));
            clients[n] = None;
        }
        return;
    }
    panic!("no burst of {BURST} connections stranded one: mended?");
}

/// One request on a connection of its own that is over, so that the pool's threads are up and wait.
fn next_after_close(server: &Server, addr: SocketAddr) -> tiny_http::Request {
    drop(send(addr, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"));
    next(server)
}

// 6. Framing.

/// Sends `bytes`, expects exactly the requests for `urls`, in order.
#[track_caller]
fn check_requests(bytes: &str, urls: &[&str]) {
    let (server, addr) = serve();
    // The end marks that all was read.
    let _client = send(addr, format!("{bytes}GET /end HTTP/1.1\r\nConnection: close\r\n\r\n").as_bytes());
    let mut seen = Vec::new();
    while seen.last().is_none_or(|url| url != "/end") {
        // Its answer, and its body read to the end, are what lets the next one come.
        seen.push(next(&server).url().to_owned());
    }
    seen.pop();
    assert_eq!(seen, urls, "{bytes:?}");
}

#[test]
fn a_bad_content_length_makes_the_body_the_next_request() {
    for bad in ["x", "-1", "1e3", "0x10", "5, 5", "18446744073709551616"] {
        check_requests(
            &format!("POST /a HTTP/1.1\r\nContent-Length: {bad}\r\n\r\nGET /body HTTP/1.1\r\n\r\n"),
            &["/a", "/body"],
        );
    }
}

#[test]
fn of_two_content_lengths_the_first_counts() {
    let body = "GET /body HTTP/1.1\r\n\r\n";
    let one = format!("Content-Length: {}\r\n", body.len());
    let other = "Content-Length: 0\r\n";
    check_requests(&format!("POST /a HTTP/1.1\r\n{one}{other}\r\n{body}"), &["/a"]);
    check_requests(&format!("POST /a HTTP/1.1\r\n{other}{one}\r\n{body}"), &["/a", "/body"]);
}

#[test]
fn a_folded_or_foreign_transfer_coding_counts_as_chunked() {
    for coding in [" Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Transfer-Encoding: identity"] {
        let (server, addr) = serve();
        let head = format!("POST / HTTP/1.1\r\nX: y\r\n{coding}\r\nContent-Length: 0\r\n\r\n");
        let _client = send(addr, format!("{head}3\r\nabc\r\n0\r\n\r\n").as_bytes());
        let mut body = String::new();
        next(&server).as_reader().read_to_string(&mut body).unwrap();
        assert_eq!(body, "abc", "{coding:?}");
    }
}

#[test]
fn an_unread_chunked_body_is_taken_for_the_next_request() {
    check_requests("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nGET /body HTTP/1.1\r\n\r\n", &["/a", "/body"]);
}

// 7. No way to close or to abort.

/// Five bytes, then an error.
struct Broken(&'static [u8]);

impl Read for Broken {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::Error::other("broken")) } else { self.0.read(buf) }
    }
}

#[test]
fn after_a_body_that_fails_the_next_response_lands_inside_it() {
    let (server, addr) = serve();
    let mut client = send(addr, b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    let failed = next(&server).respond(Response::new(StatusCode(200), vec![], Broken(b"12345"), Some(1000), None));
    assert_eq!(failed.unwrap_err().to_string(), "broken");
    next(&server).respond(Response::from_string("second")).unwrap();
    assert!(read_head(&mut client).contains("\r\nContent-Length: 1000\r\n"));
    let mut body = [0; 20];
    client.read_exact(&mut body).unwrap();
    assert_eq!(&body, b"12345HTTP/1.1 200 OK");
}

#[test]
fn connection_close_cannot_be_said_nor_done() {
    let (server, addr) = serve();
    let mut client = send(addr, b"GET / HTTP/1.1\r\n\r\n");
    let close = Header::from_bytes("Connection", "close").unwrap();
    next(&server).respond(Response::empty(204).with_header(close)).unwrap();
    assert!(!read_head(&mut client).to_ascii_lowercase().contains("connection"));
    assert!(is_silent(&mut client), "it stays open");
    // Dropping the server does not close it either, whatever its documentation says.
    drop(server);
    assert!(is_silent(&mut client), "it stays open");
}

// 8. Responses.

#[track_caller]
fn check_head(request: &str, response: Response<impl Read>, has: &str, has_not: &str) {
    let (server, addr) = serve();
    let mut client = send(addr, request.as_bytes());
    next(&server).respond(response).unwrap();
    let head = read_head(&mut client);
    assert!(head.contains(has), "{has:?} is missing: {head}");
    assert!(!head.contains(has_not), "{has_not:?} is there: {head}");
}

#[test]
fn a_body_of_32_kib_goes_out_chunked() {
    let get = "GET / HTTP/1.1\r\n\r\n";
    let body = |len| Response::from_data(vec![b'x'; len]);
    check_head(get, body((32 << 10) - 1), "Content-Length: 32767", "Transfer-Encoding");
    check_head(get, body(32 << 10), "Transfer-Encoding: chunked", "Content-Length");
}

#[test]
fn a_clients_te_forces_chunked() {
    let get = "GET / HTTP/1.1\r\nTE: chunked\r\n\r\n";
    check_head(get, Response::from_string("short"), "Transfer-Encoding: chunked", "Content-Length");
}

#[test]
fn a_304_says_content_length_0() {
    check_head("GET / HTTP/1.1\r\n\r\n", Response::empty(304), "Content-Length: 0", "Transfer-Encoding");
}

#[test]
fn keep_alive_answers_wait_for_the_clients_delayed_ack() {
    const ANSWERS: usize = 21;
    let (server, addr) = serve();
    let mut client = send(addr, b"");
    let mut times: Vec<_> = (0..ANSWERS)
        .map(|_| {
            let start = Instant::now();
            client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            next(&server).respond(Response::from_data([0; 3000])).unwrap();
            read_head(&mut client);
            client.read_exact(&mut [0; 3000]).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort();
    // Nagle's algorithm holds the last part back until the kernel's delayed acknowledgement, 40 ms on Linux.
    assert!(times[ANSWERS / 2] >= Duration::from_millis(30), "{times:?}");
}

// 9. A dropped request.

#[test]
fn a_dropped_request_answers_500_and_waits_for_its_unread_body() {
    let (server, addr) = serve();
    let mut client = send(addr, b"POST / HTTP/1.1\r\nContent-Length: 2000\r\n\r\n");
    let request = next(&server);
    let (dropped, worker) = mpsc::channel();
    thread::spawn(move || {
        drop(request);
        dropped.send(()).unwrap();
    });
    assert!(read_head(&mut client).starts_with("HTTP/1.1 500 "));
    assert!(worker.recv_timeout(NEVER).is_err(), "the worker is held by the client");
    client.write_all(&[0; 2000]).unwrap();
    worker.recv_timeout(SOON).unwrap();
}

#[test]
fn an_answered_request_waits_for_its_unread_body_too() {
    let (server, addr) = serve();
    let mut client = send(addr, b"POST / HTTP/1.1\r\nContent-Length: 2000\r\n\r\n");
    let request = next(&server);
    let (answered, worker) = mpsc::channel();
    thread::spawn(move || {
        request.respond(Response::empty(413)).unwrap();
        answered.send(()).unwrap();
    });
    assert!(read_head(&mut client).starts_with("HTTP/1.1 413 "));
    assert!(worker.recv_timeout(NEVER).is_err(), "the worker is held by the client");
    drop(client);
    worker.recv_timeout(SOON).unwrap();
}
