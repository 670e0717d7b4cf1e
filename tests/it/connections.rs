//! Connections: how they persist, end and wait.

use std::io::Read;
use std::time::{Duration, Instant};

use crate::support::client::{Client, get};
use crate::support::pattern;
use crate::support::server::DirectoryServer;
use crate::support::wait_for;

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn keep_alive_and_pipelining_in_order() {
    let server = DirectoryServer::start(|_| {});
    let film = pattern(2, 700_000);
    server.put("film.mp4", &film);
    let mut client = Client::new(server.addr());
    for _ in 0..3 {
        for number in 0..20 {
            client.ask(if number % 5 == 4 { "HEAD" } else { "GET" }, "/media/film.mp4", &[&format!("Range: bytes={number}-")]);
        }
        for number in 0..20 {
            let reply = client.reply(number % 5 == 4);
            assert_eq!(reply.body, if number % 5 == 4 { &[][..] } else { &film[number..] }, "{number}");
        }
    }
}

#[test]
fn requests_that_come_byte_by_byte() {
    let server = DirectoryServer::start(|_| {});
    let mut client = Client::new(server.addr());
    for _ in 0..2 {
        for byte in b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" {
            client.send([*byte]);
        }
        assert_eq!(client.reply(false).status, 200);
    }
}

#[test]
fn how_a_connection_goes_on() {
    let server = DirectoryServer::start(|_| {});
    for (head, says, goes_on) in [
        ("GET /healthz HTTP/1.1\r\nHost: a\r\n", None, true),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", Some("close"), false),
        ("GET /healthz HTTP/1.0\r\n", Some("close"), false),
        ("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n", Some("keep-alive"), true),
        // A body that nobody reads could be taken for a request.
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n", Some("close"), false),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n", Some("close"), false),
    ] {
        let mut client = Client::new(server.addr());
        client.send(format!("{head}\r\n"));
        let reply = client.reply(false);
        assert_eq!((reply.status, reply.get("Connection")), (200, says), "{head}");
        if goes_on {
            assert_eq!(client.exchange("GET", "/healthz", &[]).status, 200, "{head}");
        } else {
            assert_eq!(client.rest(), b"", "{head}");
        }
    }
}

#[test]
fn what_follows_a_close_is_not_answered() {
    let server = DirectoryServer::start(|_| {});
    for first in [
        "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "GET /healthz HTTP/3.0\r\nHost: a\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let mut client = Client::new(server.addr());
        client.send(first.to_owned() + "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
        let status = client.reply(false).status;
        assert!(matches!(status, 200 | 400 | 405 | 501 | 505), "{first}: {status}");
        assert_eq!(client.rest(), b"", "{first}");
    }
}

#[test]
fn a_client_that_sends_no_more_is_answered() {
    let server = DirectoryServer::start(|_| {});
    let film = pattern(3, 5_000_000);
    server.put("film.mp4", &film);
    let mut client = Client::new(server.addr());
    client.ask("GET", "/media/film.mp4", &[]);
    client.shutdown();
    assert_eq!(client.reply(false).body, film);
    assert_eq!(client.rest(), b"");
}

#[test]
fn refused_heads_get_their_answer() {
    let server = DirectoryServer::start(|_| {});
    for (request, status) in [
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9000)), 414),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(40_000)), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(200)), 431),
        ("GET / HTTP/2.0\r\n\r\n".into(), 505),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("POST /api/videos HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".into(), 501),
    ] {
        let mut client = Client::new(server.addr());
        client.send(&request);
        // More than was read: closing with that unread would reset the connection under the answer.
        client.send("y".repeat(50_000));
        let reply = client.reply(false);
        assert_eq!((reply.status, reply.get("Connection")), (status, Some("close")));
        assert!(reply.json()["error"]["message"].is_string());
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn methods_and_addresses_that_do_not_exist() {
    let server = DirectoryServer::start(|_| {});
    server.put("a.mp4", "a");
    let mut client = Client::new(server.addr());
    for (method, target, status, code) in [
        ("GET", "/nope", 404, "not_found"),
        ("GET", "/media/none.mp4", 404, "not_found"),
        ("GET", "/api/videos/none.mp4", 404, "not_found"),
        ("GET", "/api/videos/a.mp4/cookies", 404, "not_configured"),
        ("GET", "/api/videos?limit=0", 400, "bad_request"),
        ("POST", "/media/a.mp4", 405, "method_not_allowed"),
        ("BREW", "/", 405, "method_not_allowed"),
        ("PUT", "/api/videos/a.mp4", 404, "not_found"),
        ("DELETE", "/api/videos/a.mp4", 404, "not_found"),
        ("POST", "/api/videos", 404, "not_found"),
    ] {
        let reply = client.exchange(method, target, &[]);
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{method} {target}");
        assert_eq!(reply.get("Allow").is_some(), status == 405);
    }
}

#[test]
fn a_slow_head_is_timed_out_and_an_idle_connection_closed() {
    let server = DirectoryServer::start(|config| config.header_timeout = Duration::from_millis(300));
    let mut slow = Client::new(server.addr());
    slow.send("GET / HTT");
    assert_eq!(slow.reply(false).status, 408);
    assert_eq!(slow.rest(), b"");
    let server = DirectoryServer::start(|config| config.idle_timeout = Duration::from_millis(300));
    let mut silent = Client::new(server.addr());
    assert_eq!(silent.rest(), b"");
    let answered = wait_for("an answer, and then the end", SOON, || {
        let mut idle = Client::new(server.addr());
        idle.ask("GET", "/healthz", &[]);
        // Who asks too late, on a slow machine, was silent and asks again.
        Some(idle.rest()).filter(|answer| !answer.is_empty())
    });
    assert!(answered.starts_with(b"HTTP/1.1 200 OK\r\n"), "{:?}", String::from_utf8_lossy(&answered));
}

#[test]
fn a_viewer_who_takes_nothing_is_let_go_and_one_who_takes_little_is_not() {
    let film = pattern(4, 30_000_000);
    let stern = DirectoryServer::start(|config| config.stall_timeout = Duration::from_millis(300));
    stern.put("film.mp4", &film);
    let mut stalled = Client::new(stern.addr());
    stalled.ask("GET", "/media/film.mp4", &[]);
    wait_for("the viewer who takes nothing to be let go", SOON, || {
        let told = String::from_utf8(get(stern.addr(), "/metrics", &[]).body).unwrap();
        told.contains("vidgate_connections_closed_total{reason=\"stalled\"} 1").then_some(())
    });
    let mut rest = Vec::new();
    let _ = stalled.stream().read_to_end(&mut rest);
    assert!(rest.len() < film.len(), "the stalled viewer got all of the film");

    // Reads less than the socket buffers hold, so that it takes longer than the time limit, and never stalls. The limit is far longer
    // than a slow machine keeps anybody from its processor.
    let server = DirectoryServer::start(|config| config.stall_timeout = Duration::from_secs(5));
    server.put("film.mp4", &film);
    let mut slow = Client::new(server.addr());
    slow.ask("GET", "/media/film.mp4", &[]);
    let started = Instant::now();
    assert_eq!(slow.head().status, 200);
    let mut body = Vec::new();
    let mut piece = vec![0; 500_000];
    while body.len() < film.len() {
        // The pace of this viewer: a piece every 100 ms. Nothing is waited for here.
        let due = started + Duration::from_millis(100) * u32::try_from(body.len() / 500_000).unwrap();
        std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
        let want = piece.len().min(film.len() - body.len());
        body.extend(slow.take(want));
        piece.truncate(want);
    }
    assert!(body == film, "the slow viewer's bytes are wrong");
}

#[test]
fn parked_viewers_hold_no_thread() {
    let server = DirectoryServer::start(|config| config.workers_per_core = 1);
    let film = pattern(5, 20_000_000);
    server.put("film.mp4", &film);
    // Many times as many viewers as threads, all of them stuck in the middle of the film.
    let mut viewers: Vec<Client> = (0..100).map(|_| Client::new(server.addr())).collect();
    for viewer in &mut viewers {
        viewer.ask("GET", "/media/film.mp4", &[]);
        assert_eq!(viewer.head().status, 200);
    }
    for _ in 0..50 {
        assert_eq!(get(server.addr(), "/healthz", &[]).status, 200);
    }
    for viewer in viewers.iter_mut().step_by(25) {
        assert!(viewer.take(film.len()) == film, "a viewer who paused got other bytes");
    }
}

#[test]
fn a_viewer_who_reads_nothing_holds_little_in_the_kernel() {
    let server = DirectoryServer::start(|_| {});
    server.put("film.mp4", pattern(6, 20_000_000));
    let mut viewer = Client::new(server.addr());
    viewer.ask("GET", "/media/film.mp4", &[]);
    // The stream is parked when the kernel holds something and the same for as long as another client is served some films.
    let held = wait_for("the viewer's socket to be full", SOON, || {
        let before = viewer.held_by_the_kernel()?;
        assert_eq!(get(server.addr(), "/media/film.mp4", &[]).body.len(), 20_000_000);
        (before > 0 && viewer.held_by_the_kernel() == Some(before)).then_some(before)
    });
    assert!(held <= 640 * 1024, "the kernel holds {held} bytes for one viewer");
}

#[test]
fn a_page_may_read_why_it_was_refused() {
    let server = DirectoryServer::start(|_| {});
    let mut client = Client::new(server.addr());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nOrigin: http://localhost:3000\r\nContent-Length: x\r\n\r\n");
    let reply = client.reply(false);
    assert_eq!((reply.status, reply.get("Access-Control-Allow-Origin")), (400, Some("http://localhost:3000")));
    assert_eq!(reply.get("Vary"), Some("Origin"));
}
