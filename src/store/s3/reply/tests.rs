//! Tables of good and bad replies.

use std::time::{Duration, SystemTime};

use ureq::http::{HeaderName, HeaderValue};

use super::*;

fn request() -> Request {
    Request::new("GET", "the object", "a.mp4")
}

fn key() -> ObjectKey {
    ObjectKey::new("a.mp4").unwrap()
}

fn fields(list: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    let mut map = HeaderMap::new();
    for (name, value) in list.iter().map(pair) {
        map.append(name, value);
    }
    map
}

/// `good` with one field given another value, or taken away.
fn with<'a>(good: &[(&'a str, &'a str)], name: &'a str, value: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let mut list: Vec<_> = good.iter().copied().filter(|(have, _)| *have != name).collect();
    list.extend(value.map(|value| (name, value)));
    list
}

const HEAD: [(&str, &str); 5] = [
    ("content-length", "12345678901"),
    ("etag", "\"abc-2\""),
    ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("content-type", "video/mp4"),
    ("cache-control", "max-age=60"),
];

#[test]
fn a_good_head() {
    let meta = check_head(&request(), &fields(&HEAD), &key()).unwrap();
    assert_eq!(meta.id, ObjectId { key: key(), etag: ETag::from_store("\"abc-2\"").unwrap() });
    assert_eq!(meta.size, 12_345_678_901);
    assert_eq!(meta.last_modified, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777));
    assert_eq!(meta.content_type.as_deref(), Some("video/mp4"));
    assert_eq!(meta.cache_control.as_deref(), Some("max-age=60"));
}

#[test]
fn what_a_head_may_lack_and_what_not() {
    for (name, value, is_good) in [
        ("content-length", Some("0"), true),
        ("content-length", Some("18446744073709551615"), true),
        ("content-length", Some("18446744073709551616"), false),
        ("content-length", Some("+1"), false),
        ("content-length", Some("-1"), false),
        ("content-length", Some("1, 1"), false),
        ("content-length", Some(""), false),
        ("content-length", None, false),
        ("etag", Some("abc"), true),
        ("etag", Some("W/\"abc\""), false),
        ("etag", Some(""), false),
        ("etag", Some("\u{fc}"), false),
        ("etag", None, false),
        ("last-modified", Some("yesterday"), false),
        ("last-modified", None, false),
        ("content-type", None, true),
        ("cache-control", None, true),
    ] {
        let got = check_head(&request(), &fields(&with(&HEAD, name, value)), &key());
        let want = if is_good { Ok(()) } else { Err(ErrorKind::UpstreamUnavailable) };
        assert_eq!(got.map(|_| ()).map_err(|error| error.kind()), want, "{name}: {value:?}");
    }
    for (name, value) in [("etag", "\"abc-2\""), ("content-length", "12345678901"), ("last-modified", HEAD[2].1)] {
        let twice: Vec<_> = HEAD.iter().copied().chain([(name, value)]).collect();
        assert!(check_head(&request(), &fields(&twice), &key()).is_err(), "{name} twice");
    }
}

#[test]
fn stored_fields_that_cannot_be_sent_on_are_left_away() {
    for value in ["", " ", "video/\u{fc}"] {
        let meta = check_head(&request(), &fields(&with(&HEAD, "content-type", Some(value))), &key()).unwrap();
        assert_eq!(meta.content_type, None, "{value:?}");
    }
}

const SPAN: [(&str, &str); 3] = [("content-length", "10"), ("etag", "\"abc\""), ("content-range", "bytes 5-14/100")];

#[test]
fn spans() {
    let id = ObjectId { key: key(), etag: ETag::from_store("\"abc\"").unwrap() };
    let check = |list: &[(&str, &str)]| check_span(&request(), &fields(list), &id, &(5..15)).map_err(|error| error.kind());
    assert_eq!(check(&SPAN), Ok(()));
    assert_eq!(check(&with(&SPAN, "content-range", Some("bytes 5-14/15"))), Ok(()));
    // The encoding of the stored bytes is not ours.
    assert_eq!(check(&with(&SPAN, "content-encoding", Some("gzip"))), Ok(()));

    let nonsense = Err(ErrorKind::UpstreamUnavailable);
    for bad in [
        "bytes 5-14/14",
        "bytes 5-14/*",
        "bytes 4-14/100",
        "bytes 5-15/100",
        "bytes 5-13/100",
        "bytes 0-99/100",
        "bytes +5-14/100",
        "bytes 5-14",
        "bytes=5-14/100",
        "bytes */100",
        "items 5-14/100",
        "bytes 5 -14/100",
        "bytes 5-18446744073709551630/100",
        "",
    ] {
        assert_eq!(check(&with(&SPAN, "content-range", Some(bad))), nonsense, "{bad:?}");
    }
    assert_eq!(check(&with(&SPAN, "content-range", None)), nonsense);
    for bad in [Some("9"), Some("11"), Some("100"), Some("ten"), None] {
        assert_eq!(check(&with(&SPAN, "content-length", bad)), nonsense, "{bad:?}");
    }
    assert_eq!(check(&with(&SPAN, "etag", Some("\"other\""))), Err(ErrorKind::Changed));
    for bad in [Some("W/\"abc\""), Some(""), None] {
        assert_eq!(check(&with(&SPAN, "etag", bad)), nonsense, "{bad:?}");
    }
}

#[track_caller]
fn check_refusal(status: u16, list: &[(&str, &str)], body: &str, kind: ErrorKind, detail: &str) {
    let error = refuse(&request(), StatusCode::from_u16(status).unwrap(), &fields(list), body.as_bytes());
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, detail));
}

#[test]
fn refusals() {
    use ErrorKind::{Changed, NotFound, UpstreamBusy, UpstreamForbidden, UpstreamUnavailable};
    let of = "GET of the object \"a.mp4\" was answered with";
    let xml = |code: &str, message: &str| format!("<?xml?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>");

    check_refusal(401, &[], "", UpstreamForbidden, &format!("{of} 401"));
    let denied = xml("AccessDenied", "Access Denied");
    check_refusal(403, &[], &denied, UpstreamForbidden, &format!("{of} 403 AccessDenied: Access Denied"));
    check_refusal(404, &[], &xml("NoSuchKey", ""), NotFound, &format!("{of} 404 NoSuchKey"));
    check_refusal(404, &[], &xml("NoSuchBucket", ""), UpstreamUnavailable, "the bucket does not exist");
    check_refusal(412, &[], "", Changed, &format!("{of} 412"));
    check_refusal(416, &[], "", Changed, &format!("{of} 416"));
    check_refusal(200, &[], "the whole film", UpstreamUnavailable, &format!("{of} 200"));
    check_refusal(500, &[], "<html>oops</html>", UpstreamUnavailable, &format!("{of} 500"));
    let slow = xml("SlowDown", "Please reduce\r\nyour rate.");
    check_refusal(503, &[], &slow, UpstreamBusy, &format!("{of} 503 SlowDown: Please reduce  your rate."));
    check_refusal(429, &[], "", UpstreamBusy, &format!("{of} 429"));
    // Cut short: what is whole is told.
    check_refusal(503, &[], "<Error><Code>SlowDown</Code><Message>Plea", UpstreamBusy, &format!("{of} 503 SlowDown"));

    let region = [("x-amz-bucket-region", "eu-west-3"), ("location", "https://elsewhere.example/?X-Amz-Signature=f00")];
    check_refusal(301, &region, "", UpstreamUnavailable, &format!("{of} 301; the bucket is in the region eu-west-3"));
    check_refusal(307, &[], "", UpstreamUnavailable, &format!("{of} 307"));
    check_refusal(400, &region, "", UpstreamUnavailable, &format!("{of} 400; the bucket is in the region eu-west-3"));
    check_refusal(403, &region, "", UpstreamForbidden, &format!("{of} 403"));

    let long = xml("Long", &"x".repeat(5000));
    check_refusal(500, &[], &long, UpstreamUnavailable, &format!("{of} 500 Long: {}", "x".repeat(QUOTE_LEN_MAX)));
    let leak = xml("Odd", "cannot GET /a?X-Amz-Signature=5ec2e7");
    check_refusal(400, &[], &leak, UpstreamUnavailable, &format!("{of} 400 Odd"));
}

#[test]
fn a_listing_that_is_not_found_is_a_bucket_that_is_not_there() {
    let request = Request::new("LIST", "the bucket", "films");
    let error = refuse(&request, StatusCode::NOT_FOUND, &HeaderMap::new(), b"");
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::UpstreamUnavailable, "the bucket \"films\" does not exist")
    );
}

#[test]
fn what_is_said_of_credentials() {
    #[track_caller]
    fn check(status: u16, code: &str, want: Option<Doubt>) {
        let status = StatusCode::from_u16(status).unwrap();
        let body = if code.is_empty() { String::new() } else { format!("<Error><Code>{code}</Code></Error>") };
        assert_eq!(doubt(status, &HeaderMap::new(), body.as_bytes()), want, "{status} {code}");
        let field = [("x-minio-error-code", code)];
        assert_eq!(doubt(status, &fields(&field[..usize::from(!code.is_empty())]), b""), want, "{status} {code} to HEAD");
    }
    for status in [400, 401, 403] {
        for code in OF_CREDENTIALS {
            check(status, code, Some(Doubt::Certain));
        }
        check(status, "AccessDenied", None);
        check(status, "SignatureDoesNotMatch", None);
        check(status, "", Some(Doubt::Uncertain));
    }
    for status in [200, 301, 404, 412, 500, 503] {
        check(status, "ExpiredToken", None);
        check(status, "", None);
    }
}
