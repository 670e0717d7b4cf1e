//! The pure half alone; `tests/it/cloudfront.rs` compares it with the tools of AWS, with keys made by the test.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::object::ObjectKey;

/// A P-256 key that is published: that of RFC 6979 appendix A.2.5, in SEC1 form without its public half.
const RFC_6979_KEY: [u8; 32] = [
    0xc9, 0xaf, 0xa9, 0xd8, 0x45, 0xba, 0x75, 0x16, 0x6b, 0x5c, 0x21, 0x57, 0x67, 0xb1, 0xd6, 0x93, 0x4e, 0x50, 0xc3, 0xdb,
    0x36, 0xe8, 0x9b, 0x12, 0x7b, 0x8a, 0x62, 0x2b, 0x12, 0x0f, 0x67, 0x21,
];

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// `ECPrivateKey { 1, key, [0] prime256v1 }`.
fn sec1() -> Vec<u8> {
    let curve = [0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    [&[0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20][..], &RFC_6979_KEY, &curve].concat()
}

fn key() -> PrivateKey {
    PrivateKey::from_pem(&pem("EC PRIVATE KEY", &sec1())).unwrap()
}

/// RFC 6979 appendix A.2.5, the message "sample": r and s.
#[test]
fn the_published_signature() {
    let der = key().sign(Hash::Sha256, b"sample").unwrap();
    let hex = der.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat();
    let (r, s) = (&hex[10..74], &hex[80..]);
    assert_eq!(r, "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716");
    assert_eq!(s, "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8");
}

#[track_caller]
fn check_pem(text: &str, want: &str) {
    let error = PrivateKey::from_pem(text).map(|_| "a key").unwrap_err().to_string();
    assert!(error.contains(want), "{error:?} instead of {want:?} for {text:.60}");
    // Nothing of the text but our own words about it.
    let quoted = text.lines().filter(|line| line.len() > 20 && !line.starts_with("-----")).any(|line| error.contains(line));
    assert!(!quoted && !error.contains("hunter"), "{error}");
}

#[test]
fn texts_that_hold_no_key() {
    check_pem("", "no line -----BEGIN");
    check_pem("hunter2", "no line -----BEGIN");
    check_pem("-----BEGIN hunter2-----\nAAAA\n-----END hunter2-----", "no line -----BEGIN");
    check_pem(&pem("PUBLIC KEY", b"x"), "only a public key");
    check_pem(&pem("RSA PUBLIC KEY", b"x"), "only a public key");
    check_pem(&pem("CERTIFICATE", b"x"), "only a public key or a certificate");
    check_pem(&pem("ENCRYPTED PRIVATE KEY", b"hunter2 hunter2 hunter2"), "encrypted");
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----";
    check_pem(old, "encrypted");
    check_pem(&pem("OPENSSH PRIVATE KEY", b"x"), "OpenSSH");
    check_pem(&pem("DSA PRIVATE KEY", b"x"), "of a kind that CloudFront does not take");
    check_pem(&pem("HUNTER PRIVATE KEY", b"x"), "of a kind that CloudFront does not take");
    for label in ["RSA PRIVATE KEY", "PRIVATE KEY"] {
        check_pem(&pem(label, b"hunter2 hunter2 hunter2"), "broken");
        check_pem(&pem(label, b""), "broken");
        check_pem(&format!("-----BEGIN {label}-----\nhunter2!\n-----END {label}-----"), "broken: the lines are no base64");
        check_pem(&format!("-----BEGIN {label}-----\nAAAA\n"), "-----END ... PRIVATE KEY----- is missing");
        check_pem(&format!("-----BEGIN {label}-----\nAAAA\n-----END X-----"), "-----END ... PRIVATE KEY----- is missing");
    }
    check_pem(&pem("EC PRIVATE KEY", b"x"), "no ECDSA key on the curve P-256");
    check_pem(&pem("EC PRIVATE KEY", &[0; 32]), "no ECDSA key on the curve P-256");
    check_pem(&"x".repeat(PEM_LEN_MAX + 1), "more than 32 KiB");
    // The same key said to be on secp256k1, which has the same length.
    let mut other_curve = sec1();
    let len = other_curve.len();
    other_curve.splice(len - 12.., [0xa0, 0x07, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a]);
    other_curve[1] -= 3;
    check_pem(&pem("EC PRIVATE KEY", &other_curve), "no ECDSA key on the curve P-256");
}

/// A broken text never panics: every byte of a good one, replaced. The number that is the key itself may be any, so it gets its
/// extremes only.
#[test]
fn every_byte_of_a_key_replaced() {
    let good = sec1();
    for at in 0..good.len() {
        let step = if (7..39).contains(&at) { 255 } else { 1 };
        for byte in (0..=255).step_by(step) {
            let mut bad = good.clone();
            bad[at] = byte;
            for label in ["EC PRIVATE KEY", "RSA PRIVATE KEY", "PRIVATE KEY"] {
                let _ = PrivateKey::from_pem(&pem(label, &bad));
            }
        }
    }
}

#[test]
fn how_a_key_may_be_written() {
    let plain = pem("EC PRIVATE KEY", &sec1());
    let params = pem("EC PARAMETERS", b"x");
    for text in [
        plain.replace('\n', "\r\n"),
        plain.trim_end().replace('\n', "\\n"),
        plain.replace('\n', "\n    "),
        format!("{params}{plain}"),
        format!("Bag Attributes\n  friendlyName: x\n{plain}{plain}trailing"),
    ] {
        assert!(PrivateKey::from_pem(&text).is_ok(), "{text}");
    }
}

#[test]
fn debug_shows_no_key() {
    let signer = Signer::new("K1", key(), Hash::Sha256).unwrap();
    assert_eq!(format!("{signer:?}"), r#"Signer { key_pair_id: "K1", key: PrivateKey(P-256), hash: Sha256 }"#);
    let grant = signer.sign(Policy::canned("https://a.example/b", 7).unwrap()).unwrap();
    assert_eq!(format!("{grant:?}"), r#"Grant { policy: Canned { url: "https://a.example/b", expires_at: 7 }, .. }"#);
    for bad in ["", "a b", "a&b", "a\n", "é", &"a".repeat(129)] {
        assert!(Signer::new(bad, key(), Hash::Sha1).is_err(), "{bad:?}");
    }
}

#[test]
fn policies_in_json() {
    // The text of AWS's own example, with its white space taken out.
    let policy = Policy::canned("https://d111111abcdef8.cloudfront.net/horizon.jpg?size=large&license=yes", 1_767_290_400);
    assert_eq!(
        policy.unwrap().json(),
        r#"{"Statement":[{"Resource":"https://d111111abcdef8.cloudfront.net/horizon.jpg?size=large&license=yes","Condition":{"DateLessThan":{"AWS:EpochTime":1767290400}}}]}"#
    );
    let policy = Policy::custom("https://a.example/b/*", 9, Some(8), "192.0.2.0/24".parse().ok());
    assert_eq!(
        policy.unwrap().json(),
        r#"{"Statement":[{"Resource":"https://a.example/b/*","Condition":{"DateLessThan":{"AWS:EpochTime":9},"IpAddress":{"AWS:SourceIp":"192.0.2.0/24"},"DateGreaterThan":{"AWS:EpochTime":8}}}]}"#
    );
    for bad in ["", "a\"b", "a\\b", "a b", "a<b", "é", "a\n"] {
        assert!(Policy::custom(bad, 9, None, None).is_err(), "{bad:?}");
    }
    assert!(Policy::custom("*", 9, Some(9), None).is_err());
}

#[test]
fn urls_that_cannot_be_signed() {
    for good in ["https://a.example", "http://a.example/b?c=d", "https://a.example/b?expires=1&XPolicy=2", "https://a/?b?"] {
        assert!(Policy::canned(good, 1).is_ok(), "{good}");
    }
    for bad in [
        "",
        "a.example/b",
        "ftp://a.example/b",
        "https://",
        "https:///b",
        "https://?b",
        "https://a.example/b#c",
        "https://a.example/b?",
        "https://a.example/b?Expires=1",
        "https://a.example/b?c&Policy=1",
        "https://a.example/b?Signature",
        "https://a.example/b?Key-Pair-Id=1",
        "https://a.example/b?Key%2DPair%2dId=1",
        "https://a.example/b?Hash-Algorithm=1",
        "https://a.example/b c",
        "https://a.example/é",
        "https://a.example/\"",
        "https://a.example/*",
        "https://a.example/\n",
    ] {
        assert!(Policy::canned(bad, 1).is_err(), "{bad}");
    }
}

#[test]
fn a_canned_grant_is_for_its_url_only() {
    let signer = Signer::new("K1", key(), Hash::Sha1).unwrap();
    let grant = signer.sign(Policy::canned("https://a.example/b", 7).unwrap()).unwrap();
    assert!(grant.url("https://a.example/b").unwrap().starts_with("https://a.example/b?Expires=7&Signature="));
    assert!(grant.url("https://a.example/c").is_err());
    let grant = signer.sign(Policy::custom("https://a.example/*", 7, None, None).unwrap()).unwrap();
    assert!(grant.url("https://a.example/c?d").unwrap().starts_with("https://a.example/c?d&Policy=eyJ"));
    assert!(grant.url("https://a.example/c?Policy=d").is_err());
}

#[test]
fn paths_of_keys() {
    let domain = Domain::new("D111.CloudFront.NET").unwrap();
    for (key, want) in [
        ("film.mp4", "film.mp4"),
        ("a b/c+d&e=f#g?h%i", "a%20b/c%2Bd%26e%3Df%23g%3Fh%25i"),
        ("фильм", "%D1%84%D0%B8%D0%BB%D1%8C%D0%BC"),
        ("-_.!~'()", "-_.!~'()"),
        ("*;:@$,\"<>[]^`{|}\\", "%2A%3B%3A%40%24%2C%22%3C%3E%5B%5D%5E%60%7B%7C%7D%5C"),
    ] {
        let key = ObjectKey::new(key).unwrap();
        assert_eq!(domain.url(&key), format!("https://d111.cloudfront.net/{want}"));
        assert!(Policy::canned(&domain.url(&key), 1).is_ok());
    }
    assert_eq!(domain.pattern("a*/?"), "https://d111.cloudfront.net/a%2A/%3F*");
    assert_eq!(domain.pattern(""), "https://d111.cloudfront.net/*");
    for (prefix, want) in [("", "/"), ("film", "/"), ("film/", "/film"), ("a b/c;d/e", "/a%20b/c%3Bd")] {
        assert_eq!(Domain::cookie_path(prefix), want);
    }
}

#[test]
fn domains() {
    for good in ["d111111abcdef8.cloudfront.net", "cdn.example.org", "a-b.example", "1.example"] {
        assert_eq!(Domain::new(good).map(|it| it.as_str().to_owned()).as_deref(), Some(good));
    }
    let long = format!("{}.example", "a".repeat(64));
    for bad in [
        "",
        "localhost",
        "https://a.example",
        "a.example/",
        "a.example:443",
        "a.example.",
        ".a.example",
        "a..example",
        "-a.example",
        "a-.example",
        "a_b.example",
        "192.0.2.1",
        "[::1]",
        "*.example",
        "a b.example",
        "ä.example",
        &long,
    ] {
        assert_eq!(Domain::new(bad), None, "{bad}");
    }
}

#[test]
fn where_cookies_belong() {
    let domain = Domain::new("cdn.example.org").unwrap();
    for (host, want) in [
        ("app.example.org", Some("example.org")),
        ("APP.Example.org.", Some("example.org")),
        ("example.org", Some("example.org")),
        ("cdn.example.org", Some("cdn.example.org")),
        ("a.cdn.example.org", Some("cdn.example.org")),
        ("other.org", None),
        ("notexample.org", None),
        ("localhost", None),
        ("127.0.0.1", None),
        ("", None),
    ] {
        assert_eq!(domain.cookie_domain(host).as_deref(), want, "{host}");
    }
}
