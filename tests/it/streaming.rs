//! The Streaming section of the contract, over real sockets.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use vidgate::config::{CorsOrigins, LogFormat};
use vidgate::{Config, ErrorKind};

use crate::support::broken_store::{BrokenStore, Fault};
use crate::support::client::{Client, get};
use crate::support::pattern;
use crate::support::server::{DirectoryServer, start};
use crate::support::wait_for;

const FILM_LEN: usize = 3_000_000;
/// Longer than anything here takes, and shorter than a test may hang.
const SOON: Duration = Duration::from_secs(20);

fn film_server() -> (DirectoryServer, Vec<u8>) {
    let server = DirectoryServer::start(|_| {});
    let film = pattern(1, FILM_LEN);
    server.put("film.mp4", &film);
    (server, film)
}

#[test]
fn a_whole_object_has_the_contracts_fields() {
    let (server, film) = film_server();
    let reply = get(server.addr(), "/api/videos/film.mp4/stream", &[]);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body, film);
    for (name, want) in [
        ("Content-Length", "3000000"),
        ("Content-Type", "video/mp4"),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", "private, max-age=0, must-revalidate"),
        ("Vary", "Origin"),
        ("Cross-Origin-Resource-Policy", "cross-origin"),
        ("X-Content-Type-Options", "nosniff"),
    ] {
        assert_eq!(reply.get(name), Some(want), "{name}");
    }
    assert!(reply.get("ETag").unwrap().starts_with('"'));
    assert!(httpdate::parse_http_date(reply.get("Last-Modified").unwrap()).is_ok());
    assert_eq!(reply.get("Connection"), None);
    assert_eq!(get(server.addr(), "/media/film.mp4", &[]).body, film);
}

#[test]
fn ranges_are_exact() {
    let (server, film) = film_server();
    let mut client = Client::new(server.addr());
    for (range, from, to) in [
        ("bytes=0-1", 0, 2),
        ("bytes=0-0", 0, 1),
        ("bytes=0-1024", 0, 1025),
        ("bytes=0-", 0, FILM_LEN),
        ("bytes=1048575-1048576", 1_048_575, 1_048_577),
        ("bytes=2999999-", 2_999_999, FILM_LEN),
        ("bytes=-1", FILM_LEN - 1, FILM_LEN),
        ("bytes=-9999999", 0, FILM_LEN),
        ("bytes=5-99999999999999999999", 5, FILM_LEN),
    ] {
        let reply = client.exchange("GET", "/media/film.mp4", &[&format!("Range: {range}")]);
        assert_eq!(reply.status, 206, "{range}");
        assert_eq!(reply.get("Content-Range"), Some(format!("bytes {from}-{}/{FILM_LEN}", to - 1).as_str()));
        assert_eq!(reply.body, film[from..to], "{range}");
    }
    for ignored in ["bytes=a-b", "items=0-1", "bytes=5-2", "bytes=0-1,5-6", "bytes", ""] {
        let reply = client.exchange("GET", "/media/film.mp4", &[&format!("Range: {ignored}")]);
        assert_eq!((reply.status, reply.body.len()), (200, FILM_LEN), "{ignored}");
    }
    let ten_thousand = (0..10_000).map(|_| "0-1").collect::<Vec<_>>().join(",");
    let reply = get(server.addr(), "/media/film.mp4", &[&format!("Range: bytes={}", &ten_thousand[..30_000])]);
    assert_eq!((reply.status, reply.body.len()), (200, FILM_LEN));
    for beyond in ["bytes=3000000-", "bytes=99999999999999999999-", "bytes=-0"] {
        let reply = client.exchange("GET", "/media/film.mp4", &[&format!("Range: {beyond}")]);
        assert_eq!((reply.status, reply.code().as_str()), (416, "range_not_satisfiable"), "{beyond}");
        assert_eq!(reply.get("Content-Range"), Some("bytes */3000000"));
    }
}

#[test]
fn an_empty_object_is_answered_whole() {
    let server = DirectoryServer::start(|_| {});
    server.put("empty.mp4", "");
    for fields in [&[][..], &["Range: bytes=0-"], &["Range: bytes=5-9"], &["Range: bytes=-1"]] {
        let reply = get(server.addr(), "/media/empty.mp4", fields);
        assert_eq!((reply.status, reply.get("Content-Length")), (200, Some("0")), "{fields:?}");
    }
}

#[test]
fn head_ignores_range_and_has_no_body() {
    let (server, _) = film_server();
    let mut client = Client::new(server.addr());
    let whole = client.exchange("HEAD", "/media/film.mp4", &[]);
    let ranged = client.exchange("HEAD", "/media/film.mp4", &["Range: bytes=0-1"]);
    assert_eq!((ranged.status, ranged.get("Content-Length")), (200, Some("3000000")));
    assert_eq!(whole.get("ETag"), ranged.get("ETag"));
    // The connection is at the next answer, so there was no body.
    assert_eq!(client.exchange("GET", "/healthz", &[]).status, 200);
}

#[test]
fn preconditions_over_the_wire() {
    let (server, _) = film_server();
    let mut client = Client::new(server.addr());
    let first = client.exchange("GET", "/media/film.mp4", &["Range: bytes=0-0"]);
    let (etag, date) = (first.get("ETag").unwrap().to_owned(), first.get("Last-Modified").unwrap().to_owned());
    let mut check = |fields: &[String], status: u16| {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let reply = client.exchange("GET", "/media/film.mp4", &fields);
        assert_eq!(reply.status, status, "{fields:?}");
        assert_eq!(reply.get("ETag"), Some(etag.as_str()));
    };
    check(&[format!("If-None-Match: {etag}")], 304);
    check(&[format!("If-None-Match: \"x\", {etag}"), "Range: bytes=0-1".into()], 304);
    check(&[format!("If-Modified-Since: {date}")], 304);
    check(&["If-None-Match: \"x\"".into(), format!("If-Modified-Since: {date}")], 200);
    check(&["If-Match: \"x\"".into()], 412);
    check(&[format!("If-Match: {etag}"), "Range: bytes=0-1".into()], 206);
    check(&["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT".into()], 412);
    check(&[format!("If-Range: {etag}"), "Range: bytes=0-1".into()], 206);
    check(&[format!("If-Range: {date}"), "Range: bytes=0-1".into()], 206);
    check(&["If-Range: \"x\"".into(), "Range: bytes=0-1".into()], 200);
    check(&[format!("If-Range: W/{etag}"), "Range: bytes=0-1".into()], 200);
}

#[test]
fn every_chunk_size_gives_the_same_bytes() {
    let (server, film) = film_server();
    let mut client = Client::new(server.addr());
    for size in ["0", "1", "16384", "65537", "1000000", "1048576", "8388608", "1000000000", "18446744073709551616"] {
        let reply =
            client.exchange("GET", &format!("/api/videos/film.mp4/stream?chunkSize={size}"), &["Range: bytes=7-2999990"]);
        assert_eq!(reply.status, 206, "{size}");
        assert_eq!(reply.body, film[7..2_999_991], "{size}");
    }
    for bad in ["-1", "1e9", "text", "", "0x10", "1.5"] {
        let reply = client.exchange("GET", &format!("/media/film.mp4?chunkSize={bad}"), &[]);
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad_chunk_size"), "{bad}");
    }
}

#[test]
fn odd_keys_are_streamed_and_bad_ones_refused() {
    let server = DirectoryServer::start(|_| {});
    let long = format!("{}/{}/{}", "x".repeat(250), "y".repeat(250), "ж".repeat(120));
    for key in ["a b.mp4", "a+b&c=d#e?f%g.mp4", "фильм/серия 1.mp4", "~home.mp4", "%2e%2e", "quote\"'.mp4", &long] {
        server.put(key, key);
        let path: Vec<String> = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = path.concat();
        let reply = get(server.addr(), &format!("/media/{path}"), &[]);
        assert_eq!((reply.status, reply.body.as_slice()), (200, key.as_bytes()), "{key}");
        let entry = get(server.addr(), &format!("/api/videos/{path}"), &[]).json();
        assert_eq!((entry["key"].as_str(), entry["size"].as_u64()), (Some(key), Some(key.len() as u64)));
    }
    for path in [
        "..",
        "%2e%2e",
        "a/../b",
        "a%2F..%2Fb",
        "a//b",
        "%2Fetc%2Fpasswd",
        "%00",
        "a%0Ab",
        "%FF",
        "%C0%AE",
        "%",
        "%zz",
        &"x".repeat(1025),
    ] {
        let reply = get(server.addr(), &format!("/media/{path}"), &[]);
        assert_eq!((reply.status, reply.code().as_str()), (400, "bad_key"), "{path}");
    }
    // Decoded once only: what is left is a name, and there is no such object.
    assert_eq!(get(server.addr(), "/media/%252e%252e/x", &[]).status, 404);
}

#[test]
fn downloads_are_named() {
    let (server, _) = film_server();
    let reply = get(server.addr(), "/media/film.mp4?download=%D1%8F%22.mp4", &["Range: bytes=0-0"]);
    assert_eq!(reply.get("Content-Disposition"), Some("attachment; filename=\"__.mp4\"; filename*=UTF-8''%D1%8F%22.mp4"));
    let reply = get(server.addr(), "/media/film.mp4?download", &["Range: bytes=0-0"]);
    assert_eq!(reply.get("Content-Disposition"), Some("attachment; filename=\"film.mp4\"; filename*=UTF-8''film.mp4"));
}

#[test]
fn cross_origin_answers() {
    let origins = CorsOrigins::List(vec!["http://localhost:3000".into()]);
    let server = DirectoryServer::start(|config| config.cors = origins);
    server.put("a.mp4", "a");
    let mut client = Client::new(server.addr());
    for (target, status) in
        [("/media/a.mp4", 200), ("/media/none.mp4", 404), ("/media/a.mp4?chunkSize=x", 400), ("/api/videos", 200)]
    {
        let ours = client.exchange("GET", target, &["Origin: http://localhost:3000"]);
        assert_eq!((ours.status, ours.get("Access-Control-Allow-Origin")), (status, Some("http://localhost:3000")));
        assert!(ours.get("Access-Control-Expose-Headers").unwrap().contains("Content-Range"));
        let theirs = client.exchange("GET", target, &["Origin: http://evil.example"]);
        assert_eq!((theirs.status, theirs.get("Access-Control-Allow-Origin")), (status, None));
        assert_eq!((ours.get("Vary"), theirs.get("Vary")), (Some("Origin"), Some("Origin")));
    }
    let fields =
        ["Origin: http://localhost:3000", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: range"];
    let preflight = client.exchange("OPTIONS", "/media/a.mp4", &fields);
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.get("Access-Control-Allow-Origin"), Some("http://localhost:3000"));
    assert!(preflight.get("Access-Control-Allow-Methods").unwrap().contains("GET"));
    assert!(preflight.get("Access-Control-Allow-Headers").unwrap().contains("Range"));
    assert_eq!(client.exchange("OPTIONS", "*", &[]).status, 204);
    assert_eq!(client.exchange("OPTIONS", "/media/../x", &[]).status, 204);
}

#[test]
fn failures_before_the_head_are_the_contracts_errors() {
    for (fault, status, code) in [
        (Fault::Head(ErrorKind::NotFound), 404, "not_found"),
        (Fault::Head(ErrorKind::UpstreamUnavailable), 502, "upstream_unavailable"),
        (Fault::Head(ErrorKind::UpstreamForbidden), 502, "upstream_forbidden"),
        (Fault::Head(ErrorKind::UpstreamTimeout), 504, "upstream_timeout"),
        (Fault::Open(ErrorKind::UpstreamUnavailable), 502, "upstream_unavailable"),
        (Fault::Open(ErrorKind::UpstreamTimeout), 504, "upstream_timeout"),
        (Fault::Open(ErrorKind::NotFound), 404, "not_found"),
        (Fault::Read(0, ErrorKind::UpstreamUnavailable), 502, "upstream_unavailable"),
        (Fault::Short(0), 502, "upstream_unavailable"),
        (Fault::Long(0), 502, "upstream_unavailable"),
        (Fault::ChangedTimes(100), 502, "upstream_unavailable"),
    ] {
        let server = start(Arc::new(BrokenStore::new(pattern(1, 1000), fault)), |_| {});
        let mut client = Client::new(server.addr());
        for _ in 0..2 {
            let reply = client.exchange("GET", "/media/film.mp4", &["Range: bytes=10-"]);
            assert_eq!((reply.status, reply.code().as_str()), (status, code), "{fault:?}");
            assert_eq!(reply.get("Cache-Control"), Some("no-store"));
            assert!(!String::from_utf8_lossy(&reply.body).contains("secret") || status == 404, "{fault:?}");
        }
    }
}

#[test]
fn an_object_replaced_before_its_first_byte_is_looked_at_again() {
    let store = Arc::new(BrokenStore::new(pattern(1, 1000), Fault::ChangedTimes(2)));
    let server = start(store.clone(), |_| {});
    let reply = get(server.addr(), "/media/film.mp4", &[]);
    assert_eq!((reply.status, reply.body), (200, pattern(1, 1000)));
    assert_eq!(store.opens.load(Ordering::SeqCst), 3);
}

#[test]
fn a_body_that_fails_cuts_the_connection_and_no_answer_follows_in_it() {
    let film = pattern(1, FILM_LEN);
    for fault in [
        Fault::Read(1_500_000, ErrorKind::UpstreamUnavailable),
        Fault::Read(2_000_000, ErrorKind::Changed),
        Fault::Short(1_048_576),
        Fault::Long(1_048_576),
        Fault::PanicInRead(1_048_576),
    ] {
        let server = start(Arc::new(BrokenStore::new(film.clone(), fault)), |config| config.resume.tries_max = 3);
        let mut client = Client::new(server.addr());
        // The second request is there before the first body fails.
        client.ask("GET", "/media/film.mp4", &[]);
        client.ask("GET", "/healthz", &[]);
        let head = client.head();
        assert_eq!((head.status, head.get("Content-Length")), (200, Some("3000000")));
        let body = client.rest();
        assert!(body.len() < FILM_LEN && body.len() >= 1_000_000, "{fault:?}: {}", body.len());
        assert_eq!(body, film[..body.len()], "{fault:?}");
        // The pool has lost no thread to it: as many requests again as it has threads.
        for _ in 0..40 {
            assert_eq!(get(server.addr(), "/healthz", &[]).status, 200);
        }
    }
}

#[test]
fn a_panic_in_a_handler_ends_its_connection_only() {
    let server = start(Arc::new(BrokenStore::new(pattern(1, 1000), Fault::PanicInHead)), |config| config.workers_per_core = 1);
    let mut other = Client::new(server.addr());
    for _ in 0..10 {
        let mut client = Client::new(server.addr());
        client.ask("GET", "/media/film.mp4", &[]);
        assert_eq!(client.rest(), b"");
        assert_eq!(other.exchange("GET", "/healthz", &[]).status, 200);
    }
}

/// How many threads of this process are called so.
fn threads_called(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks.filter(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)).count()
}

#[test]
fn a_panic_in_a_chunk_source_is_logged_with_its_place_and_costs_no_thread() {
    const ROLE: &str = "SERVES_FROM_A_STORE_THAT_PANICS";
    const NAME: &str = "streaming::a_panic_in_a_chunk_source_is_logged_with_its_place_and_costs_no_thread";
    const VIEWERS: usize = 40;
    if std::env::var_os(ROLE).is_some() {
        // The process has one logger, so this is one of its own: this test, started by itself.
        vidgate::logging::init(log::LevelFilter::Info, LogFormat::Json).unwrap();
        let film = pattern(9, FILM_LEN);
        let server = start(Arc::new(BrokenStore::new(film.clone(), Fault::PanicInRead(1_048_576))), |_| {});
        // A thread gives itself its name, once it runs.
        let threads = num_cpus::get() * Config::default().workers_per_core;
        let is_whole = || (threads_called("vidgate-pool") == threads).then_some(());
        wait_for("the threads of the pool", SOON, is_whole);
        for _ in 0..VIEWERS {
            let mut client = Client::new(server.addr());
            client.ask("GET", "/media/film.mp4", &[]);
            assert_eq!(client.head().status, 200);
            assert!(film.starts_with(&client.rest()));
        }
        wait_for("the pool to have as many as before", SOON, is_whole);
        // What the last thread says of its panic comes behind the end of its connection: the parent says when it has read it.
        let _ = std::io::Read::read(&mut std::io::stdin(), &mut [0]);
        return;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(program);
    command.args(["--exact", "--nocapture", NAME]).env(ROLE, "");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (lines, line) = mpsc::channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
    let mut log = String::new();
    wait_for("every panic to be told twice", 2 * SOON, || {
        log.extend(line.try_iter().map(|line| line + "\n"));
        let messages = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let messages: Vec<String> = messages.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect();
        let places = messages.iter().filter(|it| it.starts_with("panic at ") && it.contains("broken_store.rs:")).count();
        let ends = messages.iter().filter(|it| it.contains("a panic ended what a thread did")).count();
        assert!(places <= VIEWERS && ends <= VIEWERS, "{log}");
        (places == VIEWERS && ends == VIEWERS).then_some(())
    });
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success(), "{log}");
    let _ = reader.join();
}
