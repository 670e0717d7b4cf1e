//! What only a store behind a network can do: refuse, stall, break, and answer nonsense.

use std::net::TcpListener;
use std::time::Duration;

use vidgate::object::{ETag, ObjectId, ObjectKey};
use vidgate::store::{Addressing, Limits, ListQuery, S3, S3Config, Store};
use vidgate::{Error, ErrorKind};

use crate::support::fake_s3::{FakeS3, Reply};
use crate::support::minio::minio;
use crate::support::{keys, wait_for};

/// For a store that answers too late: far below the patience of a test.
const SHORT: Limits =
    Limits { connect: Duration::from_millis(300), head: Duration::from_millis(300), read: Duration::from_millis(300) };
const HOUR: Duration = Duration::from_hours(1);

/// The object that all fakes hold: bytes 5 to 14 of it are `0123456789`.
const GOOD_SPAN: &str = "206 Partial Content\nContent-Length: 10\nContent-Range: bytes 5-14/100\nETag: \"abc\"";
const GOOD_HEAD: &str = "200 OK\nContent-Length: 100\nETag: \"abc\"\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
const BYTES: &[u8] = b"0123456789";

fn key() -> ObjectKey {
    ObjectKey::new("a/film.mp4").unwrap()
}

fn id() -> ObjectId {
    ObjectId { key: key(), etag: ETag::from_store("\"abc\"").unwrap() }
}

fn list_all() -> ListQuery {
    ListQuery { limit: 100, ..ListQuery::default() }
}

/// Reads bytes 5 to 14, one read after another.
fn read_span(store: &S3) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut span = store.open(&id(), 5..15)?;
    while span.read(&mut bytes, 100)? > 0 {}
    Ok(bytes)
}

/// A store that reads parts of objects by itself, and one that leaves them to ureq, as one behind TLS does.
fn both(fake: &FakeS3, limits: Limits) -> [S3; 2] {
    [S3::with_limits(fake.config(), limits).unwrap(), S3::with_limits(fake.config(), limits).unwrap().without_plain()]
}

/// The limits for replies of which this is wanted: what is meant to arrive has its time, however slow the machine is.
fn limits_for(want: ErrorKind) -> Limits {
    if want == ErrorKind::UpstreamTimeout { SHORT } else { Limits::default() }
}

/// No error tells what must stay secret.
#[track_caller]
fn check_discreet(error: &Error) {
    let told = format!("{} / {error:?} / {}", error.chain(), error.public_message());
    for secret in ["X-Amz", "x-amz", "ignature", "the-secret", "the-token", "AKID", "http://", "127.0.0.1"] {
        assert!(!told.contains(secret), "{secret:?} in {told:?}");
    }
}

#[test]
fn spans_that_are_not_what_was_asked_for() {
    use ErrorKind::{Changed, NotFound, UpstreamBusy, UpstreamForbidden, UpstreamTimeout, UpstreamUnavailable};
    #[track_caller]
    fn check(reply: impl Fn() -> Reply + Send + Sync + 'static, want: ErrorKind) -> Error {
        check_within(limits_for(want), reply, want)
    }
    #[track_caller]
    fn check_within(limits: Limits, reply: impl Fn() -> Reply + Send + Sync + 'static, want: ErrorKind) -> Error {
        let fake = FakeS3::start(move |_, _| reply());
        let [error, same] = both(&fake, limits).map(|store| {
            let error = read_span(&store).expect_err("not what was asked for");
            assert_eq!(error.kind(), want, "{}", error.chain());
            check_discreet(&error);
            error
        });
        assert_eq!(error.kind(), same.kind());
        error
    }
    let good = |from: &'static str, to: &'static str| move || Reply::send(&GOOD_SPAN.replace(from, to), BYTES);

    check(good("206 Partial Content", "200 OK"), UpstreamUnavailable);
    check(good("206 Partial Content", "204 No Content"), UpstreamUnavailable);
    check(good("bytes 5-14/100", "bytes 6-15/100"), UpstreamUnavailable);
    check(good("bytes 5-14/100", "bytes 5-14/*"), UpstreamUnavailable);
    check(good("Content-Range", "X-Content-Range"), UpstreamUnavailable);
    check(good("Content-Length: 10", "Content-Length: 9"), UpstreamUnavailable);
    check(good("Content-Length: 10", "Content-Length: 10\nTransfer-Encoding: chunked"), UpstreamUnavailable);
    check(good("\"abc\"", "\"other\""), Changed);
    check(good("\"abc\"", "W/\"abc\""), UpstreamUnavailable);
    check(good("ETag", "X-ETag"), UpstreamUnavailable);
    check(|| Reply::send_and_close(&GOOD_SPAN.replace("Content-Length: 10", "X: y"), BYTES), UpstreamUnavailable);

    let refuse = |status: &'static str| {
        move || Reply::send(&format!("{status}\nContent-Length: 45"), b"<Error><Code>AsTheStoreCallsIt</Code></Error>")
    };
    check(refuse("401 Unauthorized"), UpstreamForbidden);
    assert!(check(refuse("403 Forbidden"), UpstreamForbidden).to_string().contains("AsTheStoreCallsIt"));
    check(refuse("404 Not Found"), NotFound);
    check(refuse("412 Precondition Failed"), Changed);
    check(refuse("416 Range Not Satisfiable"), Changed);
    assert!(check(refuse("500 Internal Server Error"), UpstreamUnavailable).to_string().contains("500 AsTheStoreCallsIt"));
    check(refuse("503 Slow Down"), UpstreamBusy);
    // The head is meant to arrive here, and the rest is not.
    let stalling = Limits { read: SHORT.read, ..Limits::default() };
    check_within(stalling, || Reply::send_and_stall("503 Slow Down\nContent-Length: 100", b"<Error>"), UpstreamBusy);
    let gone = b"<Error><Code>NoSuchBucket</Code><BucketName>films</BucketName></Error>";
    let error =
        check(move || Reply::send(&format!("404 Not Found\nContent-Length: {}", gone.len()), gone), UpstreamUnavailable);
    assert_eq!(error.to_string(), "the bucket \"films\" does not exist");

    check(|| Reply::SendAndClose(b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec()), UpstreamUnavailable);
    check(|| Reply::SendAndClose(vec![0xff; 10_000]), UpstreamUnavailable);
    check(|| Reply::SendAndClose(Vec::new()), UpstreamUnavailable);
    check(|| Reply::SendAndClose(b"HTTP/1.1 206 Part".to_vec()), UpstreamUnavailable);
    check(|| Reply::send(&format!("{GOOD_SPAN}\nX: {}", "x".repeat(100_000)), BYTES), UpstreamUnavailable);
    check(|| Reply::send(&format!("{GOOD_SPAN}{}", "\nX: y".repeat(1000)), BYTES), UpstreamUnavailable);
    check(|| Reply::SendAndStall(Vec::new()), UpstreamTimeout);
    check(|| Reply::SendAndStall(b"HTTP/1.1 206 Part".to_vec()), UpstreamTimeout);
    let broken = check(|| Reply::send_and_close(GOOD_SPAN, b"0123"), UpstreamUnavailable);
    assert!(broken.to_string().contains("broke off at byte 9 of 5 to 15"), "{broken}");
    let stalled = check_within(stalling, || Reply::send_and_stall(GOOD_SPAN, b"0123"), UpstreamTimeout);
    assert!(stalled.to_string().contains("broke off at byte 9 of 5 to 15"), "{stalled}");
}

#[test]
fn a_good_span_is_asked_for_as_it_should_be() {
    let fake = FakeS3::start(|_, _| Reply::send(&format!("{GOOD_SPAN}\nContent-Encoding: gzip"), BYTES));
    let host = format!("host: {}\r\n", fake.url().trim_start_matches("http://"));
    for (number, store) in both(&fake, Limits::default()).iter().enumerate() {
        assert_eq!(read_span(store).unwrap(), BYTES, "as stored, whatever its encoding");
        let head = fake.heads().remove(number).to_ascii_lowercase();
        assert!(head.starts_with("get /films/a/film.mp4?x-amz-algorithm=aws4-hmac-sha256&"), "{head}");
        for field in
            [host.as_str(), "range: bytes=5-14", "if-match: \"abc\"", "accept-encoding: identity", "user-agent: vidgate/"]
        {
            assert_eq!(head.matches(&format!("\r\n{field}")).count(), 1, "{field} in {head}");
        }
    }
}

#[test]
fn never_more_than_the_range() {
    let fake = FakeS3::start(|_, _| Reply::send(GOOD_SPAN, b"0123456789 and much more that nobody asked for"));
    for store in both(&fake, Limits::default()) {
        for _ in 0..3 {
            assert_eq!(read_span(&store).unwrap(), BYTES);
        }
    }
    // What came too much is never taken for the next reply: each connection was given up.
    assert_eq!(fake.connection_count(), 6);
}

#[test]
fn bytes_that_are_there_do_not_wait_for_more() {
    let fake = FakeS3::start(|_, _| Reply::send_and_stall(GOOD_SPAN, b"0123"));
    // Who waited for more would wait for this.
    for (number, store) in both(&fake, Limits { read: HOUR, ..Limits::default() }).iter().enumerate() {
        let mut bytes = Vec::new();
        let mut span = store.open(&id(), 5..15).unwrap();
        while bytes.len() < 4 {
            assert!(span.read(&mut bytes, 100).unwrap() > 0);
        }
        assert_eq!(bytes, b"0123");
        // A span that is dropped ends its request.
        assert_eq!(fake.left_count(), number);
        drop(span);
        wait_for("the connection to close", Duration::from_secs(5), || (fake.left_count() == number + 1).then_some(()));
    }
}

#[test]
fn spans_one_after_another_use_one_connection() {
    let fake = FakeS3::start(|_, head| match head.split(' ').next() {
        Some("HEAD") => Reply::send(GOOD_HEAD, b""),
        _ => Reply::send(GOOD_SPAN, BYTES),
    });
    for (store, connections) in both(&fake, Limits::default()).iter().zip([2, 3]) {
        for _ in 0..20 {
            store.head(&key()).unwrap();
            // The end itself need not be read: who knows the length stops at the last byte.
            let mut span = store.open(&id(), 5..15).unwrap();
            let mut bytes = Vec::new();
            while bytes.len() < 10 {
                assert!(span.read(&mut bytes, 3).unwrap() > 0);
            }
        }
        // Without TLS parts of objects have one of their own beside that of all else.
        assert_eq!(fake.connection_count(), connections);
    }
    assert_eq!(fake.heads().len(), 80);
}

#[test]
fn a_refusal_gives_its_connection_back() {
    let fake = FakeS3::start(|_, _| Reply::send("500 Oops\nContent-Length: 4", b"oops"));
    for (store, connections) in both(&fake, Limits::default()).iter().zip([1, 2]) {
        for _ in 0..5 {
            assert_eq!(read_span(store).unwrap_err().kind(), ErrorKind::UpstreamUnavailable);
        }
        assert_eq!(fake.connection_count(), connections);
    }
}

#[test]
fn a_refusal_in_chunks_is_over_at_its_last_chunk() {
    let body = b"2d\r\n<Error><Code>AsTheStoreCallsIt</Code></Error>\r\n0\r\n\r\n";
    let fake = FakeS3::start(|_, _| Reply::send("503 Slow Down\nTransfer-Encoding: chunked", body));
    // Who waited for more would wait for this.
    for store in both(&fake, Limits { read: HOUR, ..Limits::default() }) {
        let error = read_span(&store).unwrap_err();
        assert!(error.to_string().contains("503 AsTheStoreCallsIt"), "{error}");
    }
}

#[test]
fn a_connection_that_broke_before_the_reply_is_tried_once_more() {
    for number in [0, 1] {
        let store_of = |fake: &FakeS3, limits| both(fake, limits).into_iter().nth(number).unwrap();
        // The second request finds the pooled connection closing.
        let fake = FakeS3::start(|number, _| match number {
            1 => Reply::SendAndClose(Vec::new()),
            _ => Reply::send(GOOD_SPAN, BYTES),
        });
        let store = store_of(&fake, Limits::default());
        for _ in 0..3 {
            assert_eq!(read_span(&store).unwrap(), BYTES);
        }
        assert_eq!((fake.heads().len(), fake.connection_count()), (4, 2));

        let fake = FakeS3::start(|_, _| Reply::SendAndClose(Vec::new()));
        let store = store_of(&fake, Limits::default());
        assert_eq!(read_span(&store).unwrap_err().kind(), ErrorKind::UpstreamUnavailable);
        assert_eq!(store.head(&key()).unwrap_err().kind(), ErrorKind::UpstreamUnavailable);
        assert_eq!(store.list(&list_all()).unwrap_err().kind(), ErrorKind::UpstreamUnavailable);
        assert_eq!(fake.heads().len(), 6, "twice each, and no more");

        // What took too long once is not waited for twice.
        let fake = FakeS3::start(|_, head| match head.split(' ').next() {
            Some("HEAD") => Reply::send(GOOD_HEAD, b""),
            _ => Reply::SendAndStall(Vec::new()),
        });
        assert_eq!(read_span(&store_of(&fake, SHORT)).unwrap_err().kind(), ErrorKind::UpstreamTimeout);
        // Connections are accepted in their order: when this one is answered, all before it are counted.
        store_of(&fake, Limits::default()).head(&key()).unwrap();
        assert_eq!(fake.connection_count(), 2);
    }
}

#[test]
fn an_interim_answer_is_not_taken_for_the_reply() {
    let fake = FakeS3::start(|_, _| {
        let span = Reply::send(GOOD_SPAN, BYTES);
        let Reply::Send(span) = span else { unreachable!("that is what it makes") };
        Reply::Send([b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".as_slice(), &span].concat())
    });
    for store in both(&fake, Limits::default()) {
        assert_eq!(read_span(&store).unwrap(), BYTES);
    }
}

#[test]
fn heads_that_no_store_may_send() {
    #[track_caller]
    fn check(from: &'static str, to: &'static str, want: Option<ErrorKind>) {
        let fake = FakeS3::start(move |_, _| Reply::send(&GOOD_HEAD.replace(from, to), b""));
        let got = S3::new(fake.config()).unwrap().head(&key());
        if let Err(error) = &got {
            check_discreet(error);
        }
        assert_eq!(got.map_err(|error| error.kind()).err(), want, "{from:?} -> {to:?}");
    }
    let nonsense = Some(ErrorKind::UpstreamUnavailable);
    check("", "", None);
    check("Content-Length: 100", "Content-Length: 18446744073709551615", None);
    check("Content-Length: 100", "X: y", nonsense);
    check("Content-Length: 100", "Content-Length: 18446744073709551616", nonsense);
    check("ETag: \"abc\"", "ETag: W/\"abc\"", nonsense);
    check("ETag: \"abc\"", "X: y", nonsense);
    check("Last-Modified", "X-Last-Modified", nonsense);
    check("Sun, 06", "Someday, 06", nonsense);
    check("200 OK", "206 Partial Content", nonsense);
    check("200 OK", "403 Forbidden", Some(ErrorKind::UpstreamForbidden));
    check("200 OK", "412 Precondition Failed", Some(ErrorKind::Changed));
    check("200 OK", "500 Oops", nonsense);
}

#[test]
fn a_redirect_is_told_and_not_followed() {
    let other = FakeS3::start(|_, _| Reply::send(GOOD_SPAN, BYTES));
    let target = other.config().endpoint.unwrap();
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let head = format!("{status}\nLocation: {target}/films/x\nx-amz-bucket-region: eu-west-3\nContent-Length: 0");
        let fake = FakeS3::start(move |_, _| Reply::send(&head, b""));
        let store = S3::new(fake.config()).unwrap();
        for error in [read_span(&store).unwrap_err(), store.head(&key()).unwrap_err(), store.list(&list_all()).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::UpstreamUnavailable);
            assert!(error.to_string().ends_with("the bucket is in the region eu-west-3"), "{error}");
            check_discreet(&error);
        }
    }
    assert_eq!(other.connection_count(), 0);
}

#[test]
fn a_missing_object_is_told_from_a_missing_bucket() {
    /// Asks for two missing objects, where the bucket itself answers `bucket`: both kinds, and the number of requests.
    #[track_caller]
    fn check(bucket: &'static str, want: ErrorKind, request_count: usize) {
        let fake = FakeS3::start(move |_, head| {
            let status = if head.starts_with("HEAD /films/?") { bucket } else { "404 Not Found" };
            Reply::send(&format!("{status}\nContent-Length: 0"), b"")
        });
        let store = S3::new(fake.config()).unwrap();
        for _ in 0..2 {
            let error = store.head(&key()).unwrap_err();
            assert_eq!(error.kind(), want, "{}", error.chain());
        }
        assert_eq!(fake.heads().len(), request_count, "{bucket}");
    }
    // Known to exist, the bucket is not asked for again.
    check("200 OK", ErrorKind::NotFound, 3);
    check("403 Forbidden", ErrorKind::NotFound, 3);
    check("404 Not Found", ErrorKind::UpstreamUnavailable, 4);
    check("500 Oops", ErrorKind::UpstreamUnavailable, 4);

    // A good answer is proof as well.
    let fake = FakeS3::start(|number, _| match number {
        0 => Reply::send(GOOD_HEAD, b""),
        _ => Reply::send("404 Not Found\nContent-Length: 0", b""),
    });
    let store = S3::new(fake.config()).unwrap();
    store.head(&key()).unwrap();
    assert_eq!(store.head(&key()).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fake.heads().len(), 2);
}

#[test]
fn listings_that_no_store_may_send() {
    #[track_caller]
    fn check(reply: impl Fn() -> Reply + Send + Sync + 'static, want: ErrorKind) {
        let fake = FakeS3::start(move |_, _| reply());
        let error = S3::with_limits(fake.config(), limits_for(want)).unwrap().list(&list_all()).unwrap_err();
        assert_eq!(error.kind(), want, "{}", error.chain());
        check_discreet(&error);
    }
    let page = |body: &'static [u8]| move || Reply::send(&format!("200 OK\nContent-Length: {}", body.len()), body);
    check(page(b""), ErrorKind::UpstreamUnavailable);
    check(page(b"<html>sign in first</html>"), ErrorKind::UpstreamUnavailable);
    check(page(b"\xff\xfe"), ErrorKind::UpstreamUnavailable);
    check(|| Reply::send("404 Not Found\nContent-Length: 0", b""), ErrorKind::UpstreamUnavailable);
    check(|| Reply::send("403 Forbidden\nContent-Length: 0", b""), ErrorKind::UpstreamForbidden);
    check(|| Reply::send_and_close("200 OK\nContent-Length: 100", b"<List"), ErrorKind::UpstreamUnavailable);
    check(|| Reply::send_and_stall("200 OK\nContent-Length: 100", b"<List"), ErrorKind::UpstreamTimeout);
    // A page without an end: it is read to its limit, and no further.
    check(|| Reply::send_and_close("200 OK", &vec![b' '; 5 << 20]), ErrorKind::UpstreamUnavailable);
}

#[test]
fn nobody_there() {
    // A port that was free a moment ago; whoever takes it meanwhile is no store either.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = S3Config { endpoint: Some(format!("http://127.0.0.1:{port}")), ..minio().config("films") };
    let store = S3::new(config.clone()).unwrap();
    for error in [read_span(&store).unwrap_err(), store.head(&key()).unwrap_err(), store.list(&list_all()).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::UpstreamUnavailable, "{}", error.chain());
        check_discreet(&error);
    }
    // A name that RFC 6761 section 6.4 promises never to exist.
    let config = S3Config { endpoint: Some("http://store.invalid".to_owned()), ..config };
    let error = S3::new(config).unwrap().head(&key()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UpstreamUnavailable, "{}", error.chain());
}

#[test]
fn a_listener_that_never_accepts() {
    // Accepted by the kernel, but by nobody behind it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = S3Config { endpoint: Some(format!("http://{}", listener.local_addr().unwrap())), ..minio().config("films") };
    let error = S3::with_limits(config, SHORT).unwrap().head(&key()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UpstreamTimeout, "{}", error.chain());
}

#[test]
fn wrong_credentials() {
    let bucket = minio().bucket();
    bucket.put("a/film.mp4", BYTES);
    let (id, secret) = minio().user();
    for credentials in [keys(id, "wrong", None), keys("nobody", secret, None), keys(id, secret, Some("of-nobody"))] {
        let store = S3::new(S3Config { credentials, ..bucket.config() }).unwrap();
        for error in [read_span(&store).unwrap_err(), store.head(&key()).unwrap_err(), store.list(&list_all()).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::UpstreamForbidden, "{}", error.chain());
            assert!(!error.chain().contains(secret), "{}", error.chain());
        }
    }
}

#[test]
fn a_missing_bucket() {
    let store = S3::new(minio().config("no-such-bucket")).unwrap();
    for error in [store.head(&key()).unwrap_err(), read_span(&store).unwrap_err(), store.list(&list_all()).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::UpstreamUnavailable);
        assert_eq!(error.to_string(), "the bucket \"no-such-bucket\" does not exist");
    }
}

#[test]
fn what_is_stored_with_an_object_comes_back() {
    let bucket = minio().bucket();
    let fields = [("content-type", "video/webm"), ("cache-control", "max-age=60"), ("content-encoding", "gzip")];
    bucket.put_with("film.mp4", BYTES, &fields);
    let store = bucket.store();
    let meta = store.head(&ObjectKey::new("film.mp4").unwrap()).unwrap();
    assert_eq!((meta.content_type(), meta.cache_control.as_deref()), ("video/webm", Some("max-age=60")));
    let mut bytes = Vec::new();
    let mut span = store.open(&meta.id, 0..10).unwrap();
    while span.read(&mut bytes, 100).unwrap() > 0 {}
    assert_eq!(bytes, BYTES, "not unpacked on the way");
}

#[test]
fn folders_made_by_other_tools_are_left_out_of_a_listing() {
    let bucket = minio().bucket();
    for key in ["a/", "a/film", "b/", "c/"] {
        bucket.put(key, b"");
    }
    let store = bucket.store();
    let (mut keys, mut query) = (Vec::new(), ListQuery { limit: 1, ..ListQuery::default() });
    loop {
        let page = store.list(&query).unwrap();
        keys.extend(page.entries.into_iter().map(|entry| entry.key.as_str().to_owned()));
        match page.next {
            None => break,
            next => query.after = next,
        }
    }
    assert_eq!(keys, ["a/film"]);
}

#[test]
fn urls_in_both_styles() {
    #[track_caller]
    fn check(addressing: Addressing, endpoint: Option<&str>, want: &str) {
        let endpoint = endpoint.map(str::to_owned);
        let store = S3::new(S3Config { addressing, endpoint, ..minio().config("films") }).unwrap();
        assert_eq!(store.object_url(&ObjectKey::new("a b/ж+%.mp4").unwrap()), want);
    }
    check(Addressing::Auto, None, "https://films.s3.us-east-1.amazonaws.com/a%20b/%D0%B6%2B%25.mp4");
    check(Addressing::Path, None, "https://s3.us-east-1.amazonaws.com/films/a%20b/%D0%B6%2B%25.mp4");
    check(Addressing::Auto, Some("http://minio:9000"), "http://minio:9000/films/a%20b/%D0%B6%2B%25.mp4");
    check(Addressing::Virtual, Some("http://minio:9000"), "http://films.minio:9000/a%20b/%D0%B6%2B%25.mp4");
}

#[test]
fn settings_that_cannot_work_are_said_at_once() {
    let good = minio().config("films");
    for config in [
        S3Config { bucket: "a/b".to_owned(), ..good.clone() },
        S3Config { endpoint: Some("minio:9000".to_owned()), ..good.clone() },
        S3Config { region: String::new(), ..good.clone() },
        S3Config { addressing: Addressing::Virtual, ..good.clone() },
    ] {
        assert_eq!(S3::new(config).unwrap_err().kind(), ErrorKind::Internal);
    }
}

#[test]
fn a_store_shows_no_secret() {
    let fake = FakeS3::start(|_, _| Reply::send(GOOD_HEAD, b""));
    let shown = format!("{:?} {:?}", S3::new(fake.config()).unwrap(), fake.config());
    for secret in ["the-secret", "the-token"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
