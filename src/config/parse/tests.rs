use std::fmt::Debug;

use super::*;

/// Reads a text and compares: `Some` with the value, `None` with a refusal that says something.
#[track_caller]
fn check<T: Debug + PartialEq>(read: fn(&str) -> Parsed<T>, text: &str, want: Option<T>) {
    let got = read(text);
    assert!(!got.as_ref().is_err_and(String::is_empty), "{text:?} is refused without a word");
    assert_eq!((text, got.ok()), (text, want));
}

#[test]
fn hosts() {
    for good in ["127.0.0.1", "0.0.0.0", "::1", "::", "::ffff:1.2.3.4", "localhost", "a-b.example", "my_host", "example.org."] {
        check(host, good, Some(good.to_owned()));
    }
    check(host, "[::1]", Some("::1".to_owned()));
    check(host, "[::]", Some("::".to_owned()));
    check(host, &"a".repeat(253), Some("a".repeat(253)));
    for bad in [
        "",
        " ",
        ".",
        "a..b",
        "localhost:80",
        "127.0.0.1:80",
        "[::1]:80",
        "[::1",
        "::1]",
        "[]",
        "[a]",
        "[1.2.3.4]",
        "1.2.3",
        "300.1.1.1",
        "1",
        "http://a",
        "a/b",
        "a b",
        "*",
        "::g",
        "фильм",
        "a\n",
    ] {
        check(host, bad, None);
    }
    check(host, &"a".repeat(254), None);
}

#[test]
fn ports() {
    for (text, want) in [("0", 0), ("1", 1), ("3001", 3001), ("65535", 65535), ("080", 80)] {
        check(port, text, Some(want));
    }
    for bad in ["", "65536", "-1", "+1", "1.0", " 1", "1 ", "http", "0x50", "99999999999999999999", "tcp://10.0.0.1:80", "１"]
    {
        check(port, bad, None);
    }
}

#[test]
fn chunk_lengths() {
    for (text, want) in [
        ("16384", 16 << 10),
        ("16KiB", 16 << 10),
        ("16kib", 16 << 10),
        ("1MiB", 1 << 20),
        ("1 MiB", 1 << 20),
        ("8MiB", 8 << 20),
        ("8388608", 8 << 20),
        ("8192 kib", 8 << 20),
        ("00016KiB", 16 << 10),
    ] {
        check(chunk_len, text, Some(want));
    }
    for bad in [
        "",
        "0",
        "16383",
        "15KiB",
        "8388609",
        "9MiB",
        "1GiB",
        "1",
        "1MB",
        "1M",
        "1m",
        "1MiBs",
        "1.5MiB",
        "-1MiB",
        "+1MiB",
        "MiB",
        "1  MiB",
        " 1MiB",
        "1MiB ",
        "1048576 ",
        "1\tMiB",
        "18446744073709551615GiB",
        "18446744073709551616",
        "1MiB 1",
    ] {
        check(chunk_len, bad, None);
    }
}

#[test]
fn sizes_do_not_overflow() {
    assert_eq!(size("1GiB"), Some(1 << 30));
    assert_eq!(size("17179869183GiB"), Some(17_179_869_183 << 30));
    assert_eq!(size("17179869184GiB"), None);
}

#[test]
fn counts() {
    for (text, want) in [("1", 1), ("8", 8), ("256", 256)] {
        check(workers_per_core, text, Some(want));
    }
    for bad in ["", "0", "257", "-1", "+8", "8.0", "eight", "auto"] {
        check(workers_per_core, bad, None);
    }
    for (text, want) in [("auto", None), ("AUTO", None), ("1", Some(1)), ("1000000", Some(1_000_000))] {
        check(connections_max, text, Some(want));
    }
    for bad in ["", "0", "1000001", "-1", "automatic", "unlimited"] {
        check(connections_max, bad, None);
    }
}

#[test]
fn times_of_trust() {
    for (text, want_ms) in [("0", 0), ("0s", 0), ("0ms", 0), ("500ms", 500), ("60s", 60_000), ("24h", 86_400_000)] {
        assert_eq!(ttl(text), Ok(Duration::from_millis(want_ms)), "{text}");
    }
    for bad in ["", "1", "00", "-1s", "24h1s", "25h", "1d", "0x", "off"] {
        assert!(ttl(bad).is_err(), "{bad}");
    }
}

#[test]
fn timeouts() {
    for (text, millis) in [
        ("1ms", 1),
        ("500ms", 500),
        ("10s", 10_000),
        ("10 s", 10_000),
        ("30m", 1_800_000),
        ("2h", 7_200_000),
        ("24h", 86_400_000),
        ("86400s", 86_400_000),
        ("1440m", 86_400_000),
        ("86400000ms", 86_400_000),
    ] {
        check(timeout, text, Some(Duration::from_millis(millis)));
    }
    for bad in [
        "",
        "0s",
        "0ms",
        "0",
        "10",
        "25h",
        "1441m",
        "86401s",
        "86400001ms",
        "1d",
        "1M",
        "1S",
        "1.5s",
        "-1s",
        "+1s",
        "s",
        "1 ",
        "1  s",
        " 1s",
        "1s ",
        "1m30s",
        "18446744073709551615h",
        "18446744073709551615m",
        "18446744073709551616ms",
        "forever",
    ] {
        check(timeout, bad, None);
    }
    // A bare number is the likeliest slip, so it is told apart.
    assert!(timeout("10").unwrap_err().contains("a bare number has none"));
    assert!(!timeout("10d").unwrap_err().contains("bare number"));
}

#[test]
fn buckets_regions_and_credentials() {
    for good in ["videos", "my.videos-2", "Old_Bucket", "a"] {
        check(bucket, good, Some(good.to_owned()));
    }
    for bad in ["", "a/b", "a b", "s3://videos", ".", "..", "a?b", "a:b", "фильм", "a\n", &"a".repeat(256)] {
        check(bucket, bad, None);
    }
    for good in ["us-east-1", "eu-central-1", "auto", "garage", "my_region"] {
        check(region, good, Some(good.to_owned()));
    }
    for bad in ["", "us east", "us-east-1/", "us.east", "us-east-1\n", &"a".repeat(65)] {
        check(region, bad, None);
    }
    for good in ["AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "a", "p@ss:w%rd$"] {
        check(credential, good, Some(good.to_owned()));
    }
    for bad in ["", " ", "a b", " a", "a ", "a\n", "a\r", "a\0b", "schlüssel"] {
        check(credential, bad, None);
    }
}

#[test]
fn endpoints() {
    for good in [
        "http://127.0.0.1:9000",
        "https://s3.example",
        "https://s3.example/",
        "HTTPS://S3.Example:443",
        "http://[::1]:9000",
        "https://ref.supabase.example/storage/v1/s3",
        "http://minio:9000",
    ] {
        check(endpoint, good, Some(good.to_owned()));
    }
    for bad in [
        "",
        "127.0.0.1:9000",
        "minio:9000",
        "ftp://a",
        "http:/a",
        "http://",
        "http:///a",
        "http://:80",
        "http://a:",
        "http://a:x",
        "http://a:0",
        "http://a:65536",
        "http://user:pass@a",
        "http://a?b",
        "http://a/?b",
        "http://a/#b",
        "http://a b",
        "http://[::1",
        "http://[a]",
        "http://[::1]x",
        "http://a\n",
        "http://a\\b",
        "s3://a",
        "http://::1",
    ] {
        check(endpoint, bad, None);
    }
}

#[test]
fn origins() {
    let list = |origins: &[&str]| Some(CorsOrigins::List(origins.iter().map(|origin| (*origin).to_owned()).collect()));
    check(cors_origins, "*", Some(CorsOrigins::Any));
    for good in ["http://localhost:3000", "https://a.example", "http://[::1]:3000", "capacitor://localhost", "http://127.0.0.1"]
    {
        check(cors_origins, good, list(&[good]));
    }
    check(
        cors_origins,
        "https://a.example, http://b:8080 ,http://c",
        list(&["https://a.example", "http://b:8080", "http://c"]),
    );
    check(cors_origins, "HTTPS://A.Example", list(&["https://a.example"]));
    check(cors_origins, "https://a:443,http://a:80,https://a:80", list(&["https://a", "http://a", "https://a:80"]));
    for bad in [
        "",
        " ",
        ",",
        "a",
        "a.example",
        "//a",
        "://a",
        "http://",
        "http://a/",
        "http://a/b",
        "http://a?b",
        "http://a#b",
        "http://a:",
        "http://a:0",
        "http://a:65536",
        "http://u@a",
        "http://*.a",
        "*,http://a",
        "http://a,*",
        "http://a,",
        ",http://a",
        "http://a,,http://b",
        "null",
        "1x://a",
        "http//a",
        "http://a b",
        "http://ä",
        "http://a http://b",
        "* ",
    ] {
        check(cors_origins, bad, None);
    }
    assert!(cors_origins("http://a/").unwrap_err().contains("no trailing slash"));
}

#[test]
fn words() {
    let words = [("path", 1), ("virtual", 2)];
    assert_eq!(one_of("path", &words), Ok(1));
    assert_eq!(one_of("Virtual", &words), Ok(2));
    assert_eq!(one_of("", &words), Err("one of path, virtual".to_owned()));
    assert_eq!(one_of("pat", &words), Err("one of path, virtual".to_owned()));
}

#[test]
fn names_and_files_of_credentials() {
    for good in ["default", "my films", "фильмы", &"p".repeat(256)] {
        check(profile, good, Some(good.to_owned()));
    }
    for bad in ["", "a\nb", "a\0", &"p".repeat(257)] {
        check(profile, bad, None);
    }
    check(file, "~/.aws/config", Some("~/.aws/config".into()));
    check(file, "", None);
    check(role_arn, "arn:aws:iam::123456789012:role/a", Some("arn:aws:iam::123456789012:role/a".to_owned()));
    for bad in ["", "a b", "a\n", "ä", &"r".repeat(2049)] {
        check(role_arn, bad, None);
    }
    check(session_name, "me@example.com", Some("me@example.com".to_owned()));
    for bad in ["", "a", "a b", "a/b"] {
        check(session_name, bad, None);
    }
    check(field, "Bearer a.b-c==", Some("Bearer a.b-c==".to_owned()));
    for bad in ["", " ", " a", "a ", "a\r\nX: y", "ä"] {
        check(field, bad, None);
    }
    for (text, want) in [("true", Some(true)), ("False", Some(false)), ("yes", None), ("1", None), ("", None)] {
        check(truth, text, want);
    }
}
