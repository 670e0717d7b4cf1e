//! An S3 that fails, refuses or answers nonsense, seen by a viewer through the whole program.

use std::sync::Arc;
use std::time::Duration;

use vidgate::Server;
use vidgate::store::{Limits, S3, S3Config};

use crate::support::client::{Client, get};
use crate::support::fake_s3::{FakeS3, Reply};
use crate::support::keys;
use crate::support::minio::minio;
use crate::support::server::start;

/// For a store that answers too late: far below the patience of a test.
const SHORT: Limits =
    Limits { connect: Duration::from_millis(300), head: Duration::from_millis(300), read: Duration::from_millis(300) };

const HEAD: &str = "200 OK\nContent-Length: 10\nETag: \"abc\"\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
const SPAN: &str = "206 Partial Content\nContent-Length: 10\nContent-Range: bytes 0-9/10\nETag: \"abc\"";
const BYTES: &[u8] = b"0123456789";

/// Without a cache, and with one.
const CACHES: [u64; 2] = [0, 1 << 20];

fn serve(config: S3Config, limits: Limits, cache_ram: u64) -> Server {
    start(Arc::new(S3::with_limits(config, limits).unwrap()), |config| {
        config.cache_ram = cache_ram;
        config.resume.tries_max = 3;
    })
}

/// What a viewer of the ten bytes of a store that answers HEAD and GET so.
#[track_caller]
fn check(head: impl Fn() -> Reply + Send + Sync + 'static, get: impl Fn() -> Reply + Send + Sync + 'static, want: (u16, &str)) {
    let fake = FakeS3::start(move |_, request| if request.starts_with("HEAD") { head() } else { get() });
    // What is meant to arrive has its time, however slow the machine is.
    let limits = if want.0 == 504 { SHORT } else { Limits::default() };
    for cache_ram in CACHES {
        check_served(&serve(fake.config(), limits, cache_ram), want);
    }
}

#[track_caller]
fn check_served(server: &Server, want: (u16, &str)) {
    let mut client = Client::new(server.addr());
    let reply = client.exchange("GET", "/api/videos/film.mp4/stream", &["Range: bytes=0-9"]);
    if want.0 == 206 {
        assert_eq!((reply.status, reply.body.as_slice()), (206, BYTES));
    } else {
        assert_eq!((reply.status, reply.code().as_str()), want);
        let told = String::from_utf8_lossy(&reply.body).into_owned();
        for secret in ["X-Amz", "the-secret", "http://", "127.0.0.1", "film.mp4"] {
            assert!(!told.contains(secret), "{secret:?} in {told:?}");
        }
    }
    // The connection, and the server, go on.
    assert_eq!(client.exchange("GET", "/healthz", &[]).status, 200);
}

#[test]
fn a_good_store_is_the_measure() {
    check(|| Reply::send(HEAD, b""), || Reply::send(SPAN, BYTES), (206, ""));
}

#[test]
fn replies_that_are_not_what_was_asked_for() {
    let spans: [(&str, &str); 5] = [
        ("206 Partial Content", "200 OK"),
        ("bytes 0-9/10", "bytes 1-10/11"),
        ("Content-Range", "X-Nothing"),
        ("Content-Length: 10", "Content-Length: 11"),
        ("\"abc\"", "W/\"abc\""),
    ];
    for (from, to) in spans {
        let span = SPAN.replace(from, to);
        check(|| Reply::send(HEAD, b""), move || Reply::send_and_close(&span, BYTES), (502, "upstream_unavailable"));
    }
    // Another version, every time it is looked at.
    check(|| Reply::send(HEAD, b""), || Reply::send(&SPAN.replace("abc", "xyz"), BYTES), (502, "upstream_unavailable"));
    check(
        || Reply::send(HEAD, b""),
        || Reply::send("412 Precondition Failed\nContent-Length: 0", b""),
        (502, "upstream_unavailable"),
    );
    // A body that breaks off before its first byte.
    check(|| Reply::send(HEAD, b""), || Reply::send_and_close(SPAN, b""), (502, "upstream_unavailable"));
}

#[test]
fn refusals_failures_and_silence() {
    let status = |status: &'static str| move || Reply::send(&format!("{status}\nContent-Length: 0"), b"");
    check(status("403 Forbidden"), status("403 Forbidden"), (502, "upstream_forbidden"));
    check(|| Reply::send(HEAD, b""), status("403 Forbidden"), (502, "upstream_forbidden"));
    check(status("500 Internal Server Error"), status("200 OK"), (502, "upstream_unavailable"));
    check(|| Reply::send(HEAD, b""), status("503 Slow Down"), (502, "upstream_unavailable"));
    check(status("301 Moved Permanently"), status("200 OK"), (502, "upstream_unavailable"));
    check(|| Reply::send_and_close("nonsense", b""), status("200 OK"), (502, "upstream_unavailable"));
    check(|| Reply::send_and_stall("200 OK", b""), status("200 OK"), (502, "upstream_unavailable"));
    check(|| Reply::send(HEAD, b""), || Reply::send_and_stall(SPAN, b""), (504, "upstream_timeout"));
}

#[test]
fn a_body_that_breaks_off_is_short_and_right() {
    let fake = FakeS3::start(|_, request| {
        if request.starts_with("HEAD") { Reply::send(HEAD, b"") } else { Reply::send_and_close(SPAN, &BYTES[..4]) }
    });
    for cache_ram in CACHES {
        let server = serve(fake.config(), Limits::default(), cache_ram);
        let mut client = Client::new(server.addr());
        client.ask("GET", "/media/film.mp4", &["Range: bytes=0-9"]);
        client.ask("GET", "/healthz", &[]);
        assert_eq!(client.head().status, 206);
        assert_eq!(client.rest(), &BYTES[..4]);
    }
}

#[test]
fn a_store_that_is_not_there_and_one_that_does_not_know_us() {
    let mut config = minio().bucket().config();
    let good = config.clone();
    config.bucket = "no-such-bucket".into();
    check_minio(config, (502, "upstream_unavailable"));
    config = good.clone();
    config.credentials = keys(minio().user().0, "wrong", None);
    check_minio(config, (502, "upstream_forbidden"));
    config = good.clone();
    config.credentials = keys("nobody", minio().user().1, None);
    check_minio(config, (502, "upstream_forbidden"));
    config = good.clone();
    config.endpoint = Some("http://127.0.0.1:1".into());
    check_minio(config, (502, "upstream_unavailable"));
    // The measure: with nothing wrong, the same question is answered that there is no such object.
    check_minio(good, (404, "not_found"));
}

#[track_caller]
fn check_minio(config: S3Config, want: (u16, &str)) {
    let server = serve(config, Limits::default(), 1 << 20);
    for target in ["/media/film.mp4", "/api/videos/film.mp4"] {
        let reply = get(server.addr(), target, &[]);
        assert_eq!((reply.status, reply.code().as_str()), want, "{target}");
    }
    if want.0 != 404 {
        let reply = get(server.addr(), "/api/videos", &[]);
        assert_eq!((reply.status, reply.code().as_str()), want, "the list");
    }
}
