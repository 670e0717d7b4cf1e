//! Hostile requests: a corpus of what is malformed, ambiguous or meant to confuse, one connection each. Whatever comes first, a
//! request smuggled in behind something refused or unread is never answered, and the server goes on.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::pattern;
use crate::support::process::Process;

/// How long the server may take to answer and close. It does so at once; the rest is for a machine that does much else.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);
/// How much memory a server may have more after a table of attacks than before, in bytes.
const GROWTH_MAX: usize = 16 * 1024 * 1024;
/// The body of the answer that a smuggled request would get.
const SMUGGLED: &[u8] = b"the answer to the smuggled request";

/// What must become of a row.
#[derive(Clone, Copy, Debug)]
enum Want {
    /// One answer with one of these statuses, or none where 0 is among them, and the end.
    Ends(&'static [u16]),
    /// It is a request in spite of its looks: one of these statuses, and what follows is the next request.
    GoesOn(&'static [u16]),
}

use Want::{Ends, GoesOn};

const BAD: Want = Ends(&[400]);
const OK: Want = GoesOn(&[200]);
const UNREAD: Want = Ends(&[200]);

struct Row {
    name: String,
    bytes: Vec<u8>,
    want: Want,
}

fn row(name: impl Into<String>, bytes: impl Into<Vec<u8>>, want: Want) -> Row {
    Row { name: name.into(), bytes: bytes.into(), want }
}

/// A good request with these bytes among its fields: whole lines, each with its end.
fn with_fields(fields: impl AsRef<[u8]>) -> Vec<u8> {
    request("GET", "/healthz", fields)
}

fn request(method: &str, target: impl AsRef<[u8]>, fields: impl AsRef<[u8]>) -> Vec<u8> {
    [method.as_bytes(), b" ", target.as_ref(), b" HTTP/1.1\r\nHost: a\r\n", fields.as_ref(), b"\r\n"].concat()
}

/// One field with this value.
fn with_field(name: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    with_fields([name.as_bytes(), b": ", value.as_ref(), b"\r\n"].concat())
}

/// An answer, read strictly.
struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn closes(&self) -> bool {
        self.fields.iter().any(|(name, value)| name == "connection" && value == "close")
    }
}

/// Takes what came on a connection apart. Anything but whole answers one after another is a failure.
#[track_caller]
fn answers(mut raw: &[u8], is_head: bool, name: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !raw.is_empty() {
        let shown = String::from_utf8_lossy(&raw[..raw.len().min(300)]);
        let end = raw.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_else(|| panic!("{name}: {shown:?}"));
        let head = std::str::from_utf8(&raw[..end]).unwrap_or_else(|_| panic!("{name}: {shown:?}"));
        assert!(!head.bytes().any(|byte| byte < b' ' && byte != b'\r' && byte != b'\n'), "{name}: {shown:?}");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{name}: {shown:?}"));
        let field = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        let fields: Vec<_> = lines.map(|line| field(line).unwrap_or_else(|| panic!("{name}: {line:?}"))).collect();
        for (field, _) in &fields {
            assert!(!matches!(field.as_str(), "x-injected" | "set-cookie" | "location"), "{name}: {shown:?}");
        }
        let length =
            fields.iter().find(|(field, _)| field == "content-length").map(|(_, value)| value.parse::<usize>().unwrap());
        let body_len = if is_head && answers.is_empty() { 0 } else { length.unwrap_or(0) };
        raw = &raw[end + 4..];
        assert!(raw.len() >= body_len, "{name}: a short body behind {shown:?}");
        let (body, rest) = raw.split_at(body_len);
        let answer = Answer { status, fields, body: body.to_vec() };
        raw = rest;
        assert!(!answer.closes() || raw.is_empty(), "{name}: bytes behind the last answer");
        answers.push(answer);
    }
    answers
}

/// Sends, with no more to come where `shut`, and reads to the end.
#[track_caller]
fn exchange(addr: SocketAddr, bytes: &[u8], shut: bool, name: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(CLOSED_WITHIN)).unwrap();
    stream.set_write_timeout(Some(CLOSED_WITHIN)).unwrap();
    // A server that has refused the front of it may close before it has all of it.
    let sent = stream.write_all(bytes);
    assert!(sent.as_ref().err().is_none_or(|error| error.kind() != ErrorKind::WouldBlock), "{name}: the server reads no more");
    if shut {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut raw = Vec::new();
    match stream.read_to_end(&mut raw) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{name}: not closed: {error}; so far {:?}", String::from_utf8_lossy(&raw)),
    }
    raw
}

/// Runs each row with a complete request behind it.
fn check(rows: Vec<Row>) {
    let server = hostile_server();
    server.check_alive("its start");
    let before = server.vitals();
    for Row { name, mut bytes, want } in rows {
        let is_head = bytes.starts_with(b"HEAD ");
        let name_len = name.len().min(80);
        let plain: String = name[..name_len].chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        write!(bytes, "GET /media/smuggled?download=smuggled-{plain} HTTP/1.1\r\nHost: smuggled\r\n\r\n").unwrap();
        let raw = exchange(server.addr(), &bytes, matches!(want, GoesOn(_)), &name);
        let answers = answers(&raw, is_head, &name);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        let smuggled = answers.iter().any(|answer| answer.body == SMUGGLED);
        match want {
            Ends(allowed) => {
                assert!(!smuggled, "{name}: smuggled");
                match answers.as_slice() {
                    [] => assert!(allowed.contains(&0), "{name}: no answer, where {allowed:?} was due"),
                    [answer] => {
                        assert!(allowed.contains(&answer.status), "{name}: {statuses:?}, where {allowed:?} was due");
                        assert!(answer.closes(), "{name}: the answer does not say that the connection ends");
                    }
                    _ => panic!("{name}: {statuses:?} on one connection, where {allowed:?} was due"),
                }
            }
            GoesOn(allowed) => {
                assert!(statuses.len() == 2 && smuggled, "{name}: {statuses:?}, where {allowed:?} and 200 were due");
                assert!(allowed.contains(&statuses[0]), "{name}: {statuses:?}, where {allowed:?} and 200 were due");
            }
        }
        server.check_alive(&name);
    }
    server.check_recovered(before, GROWTH_MAX);
}

/// A server with a few objects.
fn hostile_server() -> Process {
    let server = Process::start(&[]);
    server.put("a.mp4", "0123456789");
    server.put("folder/b.mp4", "b");
    server.put("smuggled", SMUGGLED);
    server
}

#[test]
fn request_lines() {
    let mut rows = Vec::new();
    for line in [
        "GET",
        "GET /healthz",
        "GET  /healthz HTTP/1.1",
        "GET /healthz  HTTP/1.1",
        " GET /healthz HTTP/1.1",
        "GET /healthz HTTP/1.1 ",
        "GET /healthz HTTP/1.1 x",
        "GET /health z HTTP/1.1",
        "GET HTTP/1.1",
        "/healthz HTTP/1.1",
        "GET /healthz HTTP/",
        "GET /healthz HTTP/1",
        "GET /healthz HTTP/1.",
        "GET /healthz HTTP/.1",
        "GET /healthz HTTP/1.1.1",
        "GET /healthz HTTP/01.1",
        "GET /healthz HTTP/1.01",
        "GET /healthz HTTP/1.10",
        "GET /healthz HTTP/11",
        "GET /healthz HTTP /1.1",
        "GET /healthz http/1.1",
        "GET /healthz Http/1.1",
        "GET /healthz HTTPS/1.1",
        "GET /healthz HTTP/-1.1",
        "GET /healthz HTTP/+1.1",
        "GET /healthz HTTP/1,1",
        "GET /healthz HTTP/1.x",
        "GET /healthz HTTP/\u{661}.1",
        "GET /healthz ICY/1.0",
        "GET /healthz RTSP/1.0",
        "GET /healthz ",
        "HTTP/1.1 200 OK",
        "{\"jsonrpc\": \"2.0\"}",
        "GET: /healthz HTTP/1.1",
        "GET, /healthz HTTP/1.1",
        "\"GET\" /healthz HTTP/1.1",
        "G(ET /healthz HTTP/1.1",
        "GET\u{a0}/healthz HTTP/1.1",
        "G\u{c9}T /healthz HTTP/1.1",
        "GET\\ /healthz HTTP/1.1",
    ] {
        rows.push(row(line, format!("{line}\r\nHost: a\r\n\r\n"), BAD));
    }
    for version in ["0.0", "0.9", "1.2", "1.9", "2.0", "2.1", "3.0", "9.9"] {
        rows.push(row(version, format!("GET /healthz HTTP/{version}\r\nHost: a\r\n\r\n"), Ends(&[505])));
    }
    for (count, want) in [(1, OK), (8, OK), (9, BAD), (1000, BAD)] {
        let empty = "\r\n".repeat(count);
        rows.push(row(format!("{count} empty lines"), [empty.as_bytes(), &with_fields("")].concat(), want));
    }
    for method in ["get", "Get", "TRACE", "CONNECT", "PRI", "BREW", "GETT", "G!#$%&'*+-.^_`|~T", "0", "HTTP"] {
        rows.push(row(method, request(method, "/healthz", ""), GoesOn(&[405])));
    }
    rows.push(row("OPTIONS", request("OPTIONS", "/healthz", ""), GoesOn(&[204])));
    rows.push(row("OPTIONS *", request("OPTIONS", "*", ""), GoesOn(&[204])));
    rows.push(row("HEAD", request("HEAD", "/healthz", ""), OK));
    rows.push(row("method of 10 KB", request(&"M".repeat(10_000), "/healthz", ""), GoesOn(&[405])));
    rows.push(row("method of 40 KB", request(&"M".repeat(40_000), "/healthz", ""), Ends(&[431])));
    check(rows);
}

#[test]
fn other_protocols() {
    let mut hello = vec![0x16, 3, 1, 0, 0xa5, 1, 0, 0, 0xa1, 3, 3];
    hello.extend(pattern(1, 160));
    let upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n";
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    check(vec![
        row("h2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", Ends(&[505])),
        row("h2 preface in 1.1", "PRI * HTTP/1.1\r\nHost: a\r\n\r\nSM\r\n\r\n", BAD),
        row("h2c upgrade", with_fields(upgrade), OK),
        row("websocket", with_fields(websocket), OK),
        row("TLS client hello", hello, BAD),
        row("SSL 2 hello", [0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10], BAD),
        row("SOCKS 4", [4, 1, 0, 80, 127, 0, 0, 1, 0], BAD),
        row("SOCKS 5", [5, 1, 0], BAD),
        row("PROXY 1", "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", BAD),
        row("PROXY 2", [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[127, 0, 0, 1, 127, 0, 0, 1, 0, 1, 0, 2]].concat(), BAD),
        row("SSH", "SSH-2.0-OpenSSH_9.2\r\n", BAD),
        row("SMTP", "EHLO a\r\nMAIL FROM:<a@b>\r\n", BAD),
        row("FTP", "USER anonymous\r\nPASS a@b\r\n", BAD),
        row("gopher", "/selector\r\n", BAD),
        row("gopher query", "/selector\tquery\r\n", BAD),
        row("finger", "root\r\n", BAD),
        row("redis", "*1\r\n$4\r\nPING\r\n", BAD),
        row("memcached", "get key\r\n", BAD),
        row("RTSP", "OPTIONS rtsp://a/film RTSP/1.0\r\nCSeq: 1\r\n\r\n", BAD),
        row("SIP", "REGISTER sip:a SIP/2.0\r\nVia: SIP/2.0/TCP a\r\n\r\n", BAD),
        row("icecast source", "SOURCE /live ICE/1.0\r\ncontent-type: audio/mpeg\r\n\r\n", BAD),
        row("icecast listener", with_field("Icy-MetaData", "1"), OK),
        row("postgres", [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f], BAD),
        row("DNS", [0, 0x1d, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], BAD),
        row("RDP", [3, 0, 0, 0x13, 0x0e, 0xe0, 0, 0], BAD),
        row("nothing but NUL", [0; 100], BAD),
        row("nothing but 0xff", [0xff; 100], BAD),
    ]);
}

#[test]
fn bytes_that_have_no_place() {
    let mut rows = Vec::new();
    for byte in (0..=0x1f).chain([0x7f, 0x80, 0xff]) {
        for (place, front, back) in [
            ("at the front", "", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("in the method", "GE", "T /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("behind the method", "GET", " /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("in the target", "GET /heal", "thz HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("in an absolute target", "GET http://a", "b/healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("in the version", "GET /healthz HTTP/1", ".1\r\nHost: a\r\n\r\n"),
            ("behind the version", "GET /healthz HTTP/1.1", "\r\nHost: a\r\n\r\n"),
            ("in front of a name", "GET /healthz HTTP/1.1\r\n", "Host: a\r\n\r\n"),
            ("in a name", "GET /healthz HTTP/1.1\r\nHost: a\r\nRan", "ge: bytes=0-1\r\n\r\n"),
            ("behind a name", "GET /healthz HTTP/1.1\r\nHost: a\r\nRange", ": bytes=0-1\r\n\r\n"),
            ("in a value", "GET /healthz HTTP/1.1\r\nHost: a\r\nUser-Agent: b", "c\r\n\r\n"),
            ("at the end of a value", "GET /healthz HTTP/1.1\r\nHost: a\r\nUser-Agent: b", "\r\n\r\n"),
            ("in the host", "GET /healthz HTTP/1.1\r\nHost: a", "b\r\n\r\n"),
            ("in the last line", "GET /healthz HTTP/1.1\r\nHost: a\r\n", "\r\n"),
        ] {
            let want = match (byte, place) {
                (b'\t' | 0x80 | 0xff, "in a value" | "at the end of a value") => OK,
                // Raw bytes are taken for their percent-encoding.
                (0x80 | 0xff, "in the target") => GoesOn(&[404]),
                _ => BAD,
            };
            let bytes = [front.as_bytes(), &[byte], back.as_bytes()].concat();
            rows.push(row(format!("{byte:#04x} {place}"), bytes, want));
        }
    }
    check(rows);
}

#[test]
fn lines_and_names() {
    let mut rows = Vec::new();
    for fields in [
        "X : y\r\n",
        "X\t: y\r\n",
        ": y\r\n",
        " : y\r\n",
        "X\r\n",
        "X y: z\r\n",
        "(X): y\r\n",
        "X[0]: y\r\n",
        "X@: y\r\n",
        "\"X\": y\r\n",
        "X{: y\r\n",
        "X,: y\r\n",
        "X;: y\r\n",
        "X=: y\r\n",
        "X/: y\r\n",
        "X?: y\r\n",
        "X\\: y\r\n",
        "X<>: y\r\n",
        "\u{e9}: y\r\n",
        "X: y\r\n z\r\n",
        "X: y\r\n\tz\r\n",
        "X: y\r\n \r\n",
        "X:\r\n y\r\n",
        "X: y\n",
        "X: y\nZ: z\r\n",
        "X: y\rZ: z\r\n",
        "X: y\r\r\n",
        "X: y\n\r",
        "\n",
        "\r\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding:\n chunked\r\n",
        "Host : a\r\n",
        " Host: a\r\n",
    ] {
        rows.push(row(format!("{fields:?}"), with_fields(fields), BAD));
    }
    for fields in
        ["X:\r\n", "X:y\r\n", "X: \t y \t\r\n", "X: :::\r\n", "!#$%&'*+-.^_`|~: y\r\n", "X: \"\r\n", "X: y\r\nX: y\r\n"]
    {
        rows.push(row(format!("{fields:?}"), with_fields(fields), OK));
    }
    rows.push(row("folded behind the request line", "GET /healthz HTTP/1.1\r\n Host: a\r\n\r\n", BAD));
    rows.push(row("bare LF all over", "GET /healthz HTTP/1.1\nHost: a\n\n", BAD));
    rows.push(row("bare CR all over", "GET /healthz HTTP/1.1\rHost: a\r\r", BAD));
    rows.push(row("LF at the end", "GET /healthz HTTP/1.1\r\nHost: a\r\n\n", BAD));
    check(rows);
}

#[test]
fn hosts() {
    let mut rows = Vec::new();
    for (fields, want) in [
        ("", BAD),
        ("Host: a\r\nHost: a\r\n", BAD),
        ("Host: a\r\nHost: b\r\n", BAD),
        ("Host: a\r\nhOST: b\r\n", BAD),
        ("Host:\r\n", BAD),
        ("Host: a b\r\n", BAD),
        ("Host: a/b\r\n", BAD),
        ("Host: user@a\r\n", BAD),
        ("Host: a:80:80\r\n", BAD),
        ("Host: a:x\r\n", BAD),
        ("Host: a:-1\r\n", BAD),
        ("Host: a:999999\r\n", BAD),
        ("Host: :80\r\n", BAD),
        ("Host: [::1\r\n", BAD),
        ("Host: []\r\n", BAD),
        ("Host: [g]\r\n", BAD),
        ("Host: [::1]x\r\n", BAD),
        ("Host: a\tb\r\n", BAD),
        ("Host: http://a\r\n", BAD),
        ("Host: \"a\"\r\n", BAD),
        ("Host: a?b\r\n", BAD),
        ("Host: a#b\r\n", BAD),
        ("Host: a\\b\r\n", BAD),
        ("Host: <a>\r\n", BAD),
        ("Host: \u{e9}\r\n", BAD),
        ("Host: a\r\n b\r\n", BAD),
        ("X-Host: a\r\n", BAD),
        ("Host: a\r\n", OK),
        ("hOsT:a:80\r\n", OK),
        ("Host: a:\r\n", OK),
        ("Host: [::1]:8080\r\n", OK),
        ("Host: a.b_c-d~e\r\n", OK),
        ("Host: a\r\nX-Forwarded-Host: b\r\nForwarded: host=c\r\n", OK),
    ] {
        rows.push(row(format!("{fields:?}"), format!("GET /healthz HTTP/1.1\r\n{fields}\r\n"), want));
    }
    rows.push(row("1.0 without", "GET /healthz HTTP/1.0\r\n\r\n", UNREAD));
    rows.push(row("1.0 with two", "GET /healthz HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", BAD));
    rows.push(row("1.0 kept", "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", OK));
    check(rows);
}

#[test]
fn targets() {
    let mut rows = Vec::new();
    for (target, want) in [
        ("*", BAD),
        ("healthz", BAD),
        ("?", BAD),
        (".", BAD),
        ("../healthz", BAD),
        ("%2fhealthz", BAD),
        ("\\healthz", BAD),
        ("/healthz#x", BAD),
        ("#", BAD),
        ("a:443", BAD),
        ("127.0.0.1", BAD),
        ("ftp://a/healthz", BAD),
        ("file:///etc/passwd", BAD),
        ("javascript:alert(1)", BAD),
        ("http:/a/healthz", BAD),
        ("http:a", BAD),
        ("http:", BAD),
        ("http://", BAD),
        ("http:///healthz", BAD),
        ("http://?x", BAD),
        ("http://user@a/healthz", BAD),
        ("http://user:word@a/healthz", BAD),
        ("http://a:b/healthz", BAD),
        ("http://a:999999/healthz", BAD),
        ("http://[::1/healthz", BAD),
        ("http://a\\b/healthz", BAD),
        ("http://a/healthz#x", BAD),
        ("http://a/healthz", OK),
        ("HTTP://A:80/healthz", OK),
        ("hTTps://a/healthz", OK),
        ("http://[::1]/healthz", OK),
        ("http://other.example/healthz", OK),
        ("http://a", OK),
        ("http://a?x", OK),
        ("/healthz?", OK),
        ("/healthz?%zz", OK),
        ("/healthz??&&==&", OK),
        ("/http://a/healthz", GoesOn(&[404])),
        ("//a/healthz", GoesOn(&[404])),
        ("/./healthz", GoesOn(&[404])),
        ("/x/../healthz", GoesOn(&[404])),
        ("/healthz/", GoesOn(&[404])),
        ("/HEALTHZ", GoesOn(&[404])),
        ("/%68ealthz", GoesOn(&[404])),
        ("/healthz;x", GoesOn(&[404])),
        ("/healthz\"", GoesOn(&[404])),
        ("/healthz<script>", GoesOn(&[404])),
        ("/healthz{}|^`\\", GoesOn(&[404])),
    ] {
        rows.push(row(target, request("GET", target, ""), want));
    }
    rows.push(row("CONNECT a:443", request("CONNECT", "a:443", ""), BAD));
    rows.push(row("CONNECT *", request("CONNECT", "*", ""), BAD));
    rows.push(row("OPTIONS a:443", request("OPTIONS", "a:443", ""), BAD));
    rows.push(row("OPTIONS **", request("OPTIONS", "**", ""), BAD));
    check(rows);
}

#[test]
fn content_lengths() {
    let mut rows = Vec::new();
    for value in [
        "",
        "\t",
        "+5",
        "-5",
        "-0",
        "--5",
        "0x5",
        "0b1",
        "0o7",
        "5 5",
        "5\t5",
        "5,5",
        "5, 5",
        "5, 6",
        ",5",
        "5,",
        ",",
        "5;",
        "5;q=1",
        "5.0",
        "5.",
        "1e3",
        "five",
        "'5'",
        "\"5\"",
        "5_0",
        "\u{ff15}",
        "\u{661}",
        "18446744073709551616",
        "18446744073709551617",
        "99999999999999999999999999999999",
        "NaN",
        "null",
        "5\u{a0}",
    ] {
        rows.push(row(format!("{value:?}"), with_field("Content-Length", value), BAD));
    }
    for value in ["5", "  5  ", "\t5\t", "0005", "100000000000000", "9223372036854775808", "18446744073709551615"] {
        rows.push(row(format!("{value:?}"), with_field("Content-Length", value), UNREAD));
    }
    let zeros = format!("{}5", "0".repeat(20_000));
    rows.push(row("20,000 zeros and a 5", with_field("Content-Length", zeros), Ends(&[200, 400])));
    rows.push(row("20,000 digits", with_field("Content-Length", "9".repeat(20_000)), BAD));
    for value in ["0", "00", "\t0 "] {
        rows.push(row(format!("{value:?}"), with_field("Content-Length", value), OK));
    }
    for (first, second) in [("5", "5"), ("5", "6"), ("0", "0"), ("0", "5"), ("5", ""), ("x", "5")] {
        let fields = format!("Content-Length: {first}\r\nX: y\r\ncontent-length: {second}\r\n");
        rows.push(row(format!("{first:?} and {second:?}"), with_fields(fields), BAD));
    }
    // Fields of other names, whatever they look like.
    for name in ["Content_Length", "ContentLength", "X-Content-Length", "Content-Length-", "Content-Lengt"] {
        rows.push(row(name, with_field(name, "5"), OK));
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
        let bytes = request(method, "/api/videos/a.mp4", "Content-Length: 500\r\n");
        rows.push(row(method, bytes, Ends(&[200, 204, 401, 404, 405])));
    }
    check(rows);
}

#[test]
fn transfer_codings() {
    const CHUNK: &str = "0\r\n\r\n";
    const UNKNOWN: Want = Ends(&[501]);
    let mut rows = Vec::new();
    for (value, want) in [
        ("gzip", UNKNOWN),
        ("identity", UNKNOWN),
        ("gzip, chunked", UNKNOWN),
        ("chunked, gzip", UNKNOWN),
        ("xchunked", UNKNOWN),
        ("chunkedx", UNKNOWN),
        ("chunked, chunked", UNKNOWN),
        ("chunked,", UNKNOWN),
        (",chunked", UNKNOWN),
        (", chunked ,", UNKNOWN),
        ("chunked;q", UNKNOWN),
        ("chunked; q=1", UNKNOWN),
        ("chunked chunked", UNKNOWN),
        ("'chunked'", UNKNOWN),
        ("chunked, identity", UNKNOWN),
        ("trailers", UNKNOWN),
        ("", BAD),
        ("\"chunked\"", BAD),
        ("\u{b}chunked", BAD),
        ("chunked\u{b}", BAD),
        ("chunked\u{c}", BAD),
        ("chunked\u{0}", BAD),
        ("chunked\u{7f}", BAD),
        ("chunked\tchunked", BAD),
        ("chunked\u{e9}", BAD),
        ("\u{a0}chunked", BAD),
        ("ch\u{212a}unked", BAD),
        ("chun\u{212a}ed", BAD),
        ("chunked/1", BAD),
        ("(chunked)", BAD),
        ("chunked", UNREAD),
        ("Chunked", UNREAD),
        ("CHUNKED", UNREAD),
        ("cHuNkEd", UNREAD),
        ("\tchunked", UNREAD),
        ("chunked\t ", UNREAD),
    ] {
        let bytes = [&with_field("Transfer-Encoding", value)[..], CHUNK.as_bytes()].concat();
        rows.push(row(format!("{value:?}"), bytes, want));
    }
    for (fields, want) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", BAD),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", BAD),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", BAD),
        ("Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n", BAD),
        ("Transfer-Encoding: \r\nContent-Length: 5\r\n", BAD),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", BAD),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", BAD),
        ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", BAD),
        ("Transfer-Encoding: chunked\r\ntransfer-encoding: cow\r\n", BAD),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n", BAD),
        ("Transfer-Encoding\0: chunked\r\n", BAD),
        ("\0Transfer-Encoding: chunked\r\n", BAD),
        ("Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n", UNREAD),
        ("TE: chunked\r\n", OK),
        ("Transfer_Encoding: chunked\r\n", OK),
        ("TransferEncoding: chunked\r\n", OK),
        ("X-Transfer-Encoding: chunked\r\n", OK),
    ] {
        let chunk = if matches!(want, GoesOn(_)) { "" } else { CHUNK };
        rows.push(row(format!("{fields:?}"), [&with_fields(fields)[..], chunk.as_bytes()].concat(), want));
    }
    let old = "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
    rows.push(row("in HTTP/1.0", old, BAD));
    check(rows);
}

#[test]
fn bodies_that_nobody_reads() {
    const BODIES: [(&str, &str); 12] = [
        ("a good body", "5\r\nhello\r\n0\r\n\r\n"),
        ("no chunk", ""),
        ("no number", "zz\r\n"),
        ("a negative number", "-1\r\n"),
        ("a number of 2^64", "10000000000000000\r\n"),
        ("a number with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("bare LF", "5\nhello\n0\n\n"),
        ("a trailer", "0\r\nContent-Length: 500\r\n\r\n"),
        ("an extension", "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n"),
        ("a space", "5 \r\nhello\r\n0\r\n\r\n"),
        ("a short chunk", "6\r\nhello\r\n0\r\n\r\n"),
        ("a long chunk", "4\r\nhello\r\n0\r\n\r\n"),
    ];
    let mut rows = Vec::new();
    let targets = ["/", "/healthz", "/api/videos", "/api/videos/a.mp4", "/api/videos/a.mp4/stream", "/watch/a.mp4", "/nope"];
    for (number, target) in targets.iter().enumerate() {
        for (turn, method) in ["GET", "POST", "PUT", "DELETE"].into_iter().enumerate() {
            // Every body for every method, and all of them over the targets in turn.
            for (body, bytes) in BODIES.iter().skip((number + turn) % 3).step_by(3) {
                let head = request(method, target, "Transfer-Encoding: chunked\r\n");
                let name = format!("{method} {target} with {body}");
                rows.push(row(name, [&head[..], bytes.as_bytes()].concat(), Ends(&[200, 400, 401, 404, 405])));
            }
        }
    }
    for (value, want) in [
        ("100-continue", OK),
        ("100-Continue", OK),
        ("100-continue, 100-continue", GoesOn(&[200, 417])),
        ("200-ok", GoesOn(&[200, 417])),
        ("", GoesOn(&[200, 417])),
    ] {
        rows.push(row(format!("Expect: {value:?}"), with_field("Expect", value), want));
        let fields = format!("Expect: {value}\r\nContent-Length: 500\r\n");
        rows.push(row(format!("PUT with Expect: {value:?}"), request("PUT", "/api/videos/x", fields), Ends(&[401, 404, 417])));
    }
    check(rows);
}

#[test]
fn sizes_around_the_limits() {
    const LARGE: Want = Ends(&[431]);
    let mut rows = Vec::new();
    // Host is one of the fields.
    for (count, want) in [(98, OK), (99, OK), (100, LARGE), (101, LARGE), (2000, LARGE)] {
        rows.push(row(format!("{count} more fields"), with_fields("X: y\r\n".repeat(count)), want));
    }
    let frame = with_fields("X: \r\n").len();
    for (len, want) in [(32_767, OK), (32_768, OK), (32_769, LARGE), (32_770, LARGE), (100_000, LARGE)] {
        let value = with_fields(format!("X: {}\r\n", "v".repeat(len - frame)));
        rows.push(row(format!("a head of {len} by its value"), value, want));
        let name = with_fields(format!("X{}: \r\n", "n".repeat(len - frame)));
        rows.push(row(format!("a head of {len} by its name"), name, want));
    }
    for (len, want) in [(8191, GoesOn(&[404])), (8192, GoesOn(&[404])), (8193, Ends(&[414])), (40_000, Ends(&[414]))] {
        let target = format!("/{}", "t".repeat(len - 1));
        rows.push(row(format!("a target of {len}"), request("GET", &target, ""), want));
        let query = format!("/nope?{}", "q".repeat(len - 6));
        rows.push(row(format!("a query of {len}"), request("GET", &query, ""), want));
    }
    let absolute = format!("http://{}/healthz", "h".repeat(8000));
    rows.push(row("an absolute target with a long host", request("GET", absolute, ""), OK));
    rows.push(row("a long host", format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", "h".repeat(30_000)), OK));
    rows.push(row("a long version", format!("GET /healthz HTTP/1.{}\r\nHost: a\r\n\r\n", "1".repeat(9000)), BAD));
    rows.push(row("many parameters", request("GET", format!("/healthz?{}", "a=b&".repeat(2000)), ""), OK));
    check(rows);
}

#[test]
fn keys() {
    const BAD_KEY: Want = GoesOn(&[400]);
    const NONE: Want = GoesOn(&[404]);
    let mut rows = Vec::new();
    for (target, want) in [
        ("/media/%", BAD_KEY),
        ("/media/%2", BAD_KEY),
        ("/media/%zz", BAD_KEY),
        ("/media/%+1", BAD_KEY),
        ("/media/%00", BAD_KEY),
        ("/media/a.mp4%00", BAD_KEY),
        ("/media/a.mp4%0d%0aX-Injected:%201", BAD_KEY),
        ("/media/..", BAD_KEY),
        ("/media/../../etc/passwd", BAD_KEY),
        ("/media/%2e%2e/%2e%2e/etc/passwd", BAD_KEY),
        ("/media/.%2e/etc/passwd", BAD_KEY),
        ("/media/..%2f..%2fetc%2fpasswd", BAD_KEY),
        ("/media/folder/%2e%2e/a.mp4", BAD_KEY),
        ("/media/./a.mp4", BAD_KEY),
        ("/media/a.mp4/.", BAD_KEY),
        ("/media//etc/passwd", BAD_KEY),
        ("/media/%2fetc%2fpasswd", BAD_KEY),
        ("/media/a.mp4%2f", BAD_KEY),
        ("/media/a.mp4/", BAD_KEY),
        ("/media/%c0%ae%c0%ae/a.mp4", BAD_KEY),
        ("/media/%ff", BAD_KEY),
        ("/media/%ed%a0%80", BAD_KEY),
        ("/media/%c2%85", BAD_KEY),
        ("/api/videos/%2e%2e/stream", BAD_KEY),
        ("/api/videos//stream", BAD_KEY),
        ("/watch/%2e%2e", BAD_KEY),
        ("/media/%252e%252e/a.mp4", NONE),
        ("/media/%25%32%65", NONE),
        ("/media/..;/a.mp4", NONE),
        ("/media/...", NONE),
        ("/media/\\..\\a.mp4", NONE),
        ("/media/%5c..%5ca.mp4", NONE),
        ("/media/A.MP4", NONE),
        ("/media/a.mp4;x", NONE),
        ("/media/a.mp4%20", NONE),
        ("/media/a.mp4%3f", NONE),
        ("/media/a.mp4/x", NONE),
        ("/media/folder", NONE),
        // A token in front of the key, which nothing asks for here.
        ("/media/~a.mp4/a.mp4", OK),
        ("/media/~a.mp4", NONE),
        ("/media/-rf", NONE),
        ("/media/%24(id)", NONE),
        ("/media/%e2%80%ae", NONE),
        ("/media/%61.mp4", OK),
        ("/media/folder%2Fb.mp4", OK),
    ] {
        rows.push(row(target, request("GET", target, ""), want));
    }
    rows.push(row("a key of 1,025", request("GET", format!("/media/{}", "k".repeat(1025)), ""), BAD_KEY));
    rows.push(row("a key of 1,024 in one segment", request("GET", format!("/media/{}", "k".repeat(1024)), ""), NONE));
    rows.push(row("a key of 512 segments", request("GET", format!("/media/{}k", "k/".repeat(511)), ""), NONE));
    rows.push(row("a key of escapes", request("GET", format!("/media/{}", "%6b".repeat(1024)), ""), NONE));
    check(rows);
}

#[test]
fn ranges_and_conditions() {
    let mut rows = Vec::new();
    for (value, want) in [
        ("bytes=18446744073709551616-", GoesOn(&[416])),
        ("bytes=10-", GoesOn(&[416])),
        ("bytes=-0", GoesOn(&[416])),
        ("bytes=0-18446744073709551616", GoesOn(&[206])),
        ("bytes=-99999999999999999999", GoesOn(&[206])),
        ("bytes=0-99999999999999999999999999999999999999999", GoesOn(&[206])),
        ("BYTES=0-0", GoesOn(&[206])),
        ("", OK),
        ("bytes", OK),
        ("bytes=", OK),
        ("bytes=-", OK),
        ("bytes=--1", OK),
        ("bytes=1--2", OK),
        ("bytes=+0-1", OK),
        ("bytes=0x0-1", OK),
        ("bytes=5-1", OK),
        ("bytes=0-1;q=1", OK),
        ("bytes:0-1", OK),
        ("=0-1", OK),
        ("bits=0-1", OK),
        ("bytes=0-1,3-4", OK),
        ("bytes=\u{661}-", OK),
        ("bytes=0-\u{ff}", OK),
        ("bytes=1e0-", OK),
    ] {
        rows.push(row(format!("Range: {value}"), request("GET", "/media/a.mp4", format!("Range: {value}\r\n")), want));
    }
    let many = format!("Range: bytes={}0-0\r\n", "0-,".repeat(10_000));
    rows.push(row("10,001 ranges", request("GET", "/media/a.mp4", many), OK));
    let nested = format!("Range: {}0-0\r\n", "bytes=".repeat(5000));
    rows.push(row("5,000 units", request("GET", "/media/a.mp4", nested), OK));
    rows.push(row("two Range fields", request("GET", "/media/a.mp4", "Range: bytes=0-0\r\nRange: bytes=1-1\r\n"), OK));
    rows.push(row("50 Range fields", request("GET", "/media/a.mp4", "Range: bytes=0-0\r\n".repeat(50)), OK));
    for name in ["If-Range", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"] {
        for value in ["\"", "W/", "\"\"\"\"\"", ",,,,", "Thu, 99 Foo 99999 99:99:99 GMT", "\u{fe}", "-1", "00000000000"] {
            let fields = format!("{name}: {value}\r\n");
            rows.push(row(format!("{name}: {value}"), request("GET", "/media/a.mp4", fields), OK));
        }
        let monster = format!("{name}: {}\r\n", "\"x\", ".repeat(5000));
        rows.push(row(format!("5,000 of {name}"), request("GET", "/media/a.mp4", monster), OK));
    }
    rows.push(row("If-Match without a tag", request("GET", "/media/a.mp4", "If-Match: x\r\n"), GoesOn(&[412])));
    check(rows);
}

#[test]
fn injected_fields() {
    const INJECTED: &str = "%0d%0aX-Injected:%201%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0aHTTP/1.1%20200%20OK%0d%0aX-Injected:%201";
    const SAID: Want = GoesOn(&[200, 204, 400, 404]);
    let mut rows = Vec::new();
    for target in [
        format!("/media/a.mp4?download={INJECTED}"),
        format!("/media/a.mp4?download=x{INJECTED}.mp4"),
        "/media/a.mp4?download=%0aX-Injected:%201".into(),
        "/media/a.mp4?download=%0dX-Injected:%201".into(),
        "/media/a.mp4?download=%22%0d%0aX-Injected:%201".into(),
        "/media/a.mp4?download=%22;filename=%22/etc/passwd".into(),
        "/media/a.mp4?download=%e2%80%a8X-Injected:%201".into(),
        "/media/a.mp4?download=%c2%85X-Injected:%201".into(),
        "/media/a.mp4?download=%e5%98%8a%e5%98%8dX-Injected:%201".into(),
        "/media/a.mp4?download=%00%01%7f%ff".into(),
        format!("/media/a.mp4?download={}", "%0d%0a".repeat(1000)),
        "/media/a.mp4?download=..%2f..%2fetc%2fpasswd".into(),
        format!("/media/a.mp4?chunkSize={INJECTED}"),
        format!("/media/{INJECTED}"),
        format!("/api/videos?prefix={INJECTED}&after={INJECTED}"),
        format!("/api/videos?limit={INJECTED}"),
        format!("/api/videos/{INJECTED}"),
        format!("/watch/a.mp4?x={INJECTED}"),
        format!("/watch/{INJECTED}"),
        format!("/nope{INJECTED}"),
    ] {
        rows.push(row(target.clone(), request("GET", &target, ""), SAID));
    }
    for value in [
        INJECTED,
        "http://localhost:3000%0d%0aX-Injected:%201",
        "http://localhost:3000, http://localhost:3000",
        "http://localhost:3000 X-Injected: 1",
        "http://localhost:3000\tX-Injected: 1",
        "http://localhost:3000\u{2028}X-Injected: 1",
        "null",
        "*",
        "",
    ] {
        for method in ["GET", "OPTIONS"] {
            rows.push(row(
                format!("{method} of {value}"),
                request(method, "/media/a.mp4", format!("Origin: {value}\r\n")),
                SAID,
            ));
        }
    }
    for fields in [
        "Origin: http://localhost:3000\r\nOrigin: http://evil.example\r\n",
        "Access-Control-Request-Headers: x%0d%0aX-Injected: 1\r\n",
        "X-Vidgate-Connection: 0\r\n",
        "x-vidgate-connection: 1\r\nx-vidgate-connection: 2\r\n",
        "X-HTTP-Method-Override: DELETE\r\n",
        "X-Original-URL: /nope\r\nX-Rewrite-URL: /nope\r\n",
        "If-None-Match: %0d%0aX-Injected: 1\r\n",
        "Cookie: a=b\r\nAuthorization: Basic %0d%0aX-Injected: 1\r\n",
    ] {
        rows.push(row(fields, request("GET", "/media/a.mp4", fields), OK));
    }
    check(rows);
}

#[test]
fn what_connection_says() {
    let mut rows = Vec::new();
    for (fields, want) in [
        ("Connection: close\r\n", UNREAD),
        ("Connection: CLOSE\r\n", UNREAD),
        ("Connection: ,, close ,,\r\n", UNREAD),
        ("Connection: close, host, content-length\r\n", UNREAD),
        ("Connection: close\r\nConnection: keep-alive\r\n", UNREAD),
        ("Connection: keep-alive\r\nConnection: close\r\n", UNREAD),
        ("Connection: keep-alive, close\r\n", UNREAD),
        ("Connection: Content-Length\r\nContent-Length: 5\r\n", UNREAD),
        ("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", UNREAD),
        ("Connection: Host\r\n", OK),
        ("Connection: Host, Range, X-Vidgate-Connection\r\n", OK),
        ("Connection: \r\n", OK),
        ("Connection: closed\r\n", OK),
        ("Connection: close;q=0\r\n", OK),
        ("Connection: \"close\"\r\n", OK),
        ("Connection: upgrade\r\n", OK),
        ("Proxy-Connection: close\r\n", OK),
        ("Keep-Alive: timeout=0, max=0\r\n", OK),
    ] {
        rows.push(row(format!("{fields:?}"), with_fields(fields), want));
    }
    let many = format!("Connection: {}close\r\n", "x, ".repeat(8000));
    rows.push(row("8,001 options", with_fields(many), UNREAD));
    check(rows);
}

#[test]
fn good_requests_in_front_of_a_bad_one() {
    let server = hostile_server();
    let good: [(&str, u16); 4] = [("/media/a.mp4", 200), ("/nope", 404), ("/media/%", 400), ("/healthz", 200)];
    let bad: [(&[u8], u16); 8] = [
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"\0", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200),
    ];
    for (bytes, status) in bad {
        for count in [1, 2, 7, 400] {
            let name = format!("{count} good ones and {:?}", String::from_utf8_lossy(bytes));
            let turns = good.iter().cycle().take(count);
            let mut sent: Vec<u8> = turns.clone().flat_map(|(target, _)| request("GET", target, "")).collect();
            sent.extend(bytes);
            sent.extend(request("GET", "/media/smuggled", "").repeat(3));
            let raw = exchange(server.addr(), &sent, false, &name);
            let answers = answers(&raw, false, &name);
            let got: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
            let want: Vec<u16> = turns.map(|(_, status)| *status).chain([status]).collect();
            assert_eq!(got, want, "{name}");
            assert!(answers.iter().all(|answer| answer.body != SMUGGLED), "{name}");
            server.check_alive(&name);
        }
    }
}

#[test]
fn heads_that_end_early() {
    let server = hostile_server();
    let whole = request("GET", "/media/a.mp4", "Range: bytes=0-1\r\n");
    for len in 0..whole.len() {
        let name = format!("{len} bytes of a head");
        assert_eq!(exchange(server.addr(), &whole[..len], true, &name), b"", "{name}");
        server.check_alive(&name);
    }
    let raw = exchange(server.addr(), &whole, true, "a whole head");
    assert_eq!(answers(&raw, false, "a whole head").len(), 1);
}

/// The statuses that whatever comes may have as its answer.
const ANY: [u16; 13] = [200, 204, 206, 304, 400, 404, 405, 412, 414, 416, 431, 501, 505];

#[track_caller]
fn check_any(addr: SocketAddr, bytes: &[u8], name: &str) {
    let raw = exchange(addr, bytes, true, name);
    // A mutant may be a HEAD, but none of one byte makes one of a GET.
    for answer in answers(&raw, false, name) {
        assert!(ANY.contains(&answer.status), "{name}: {}", answer.status);
    }
}

#[test]
fn random_bytes() {
    let server = hostile_server();
    for seed in 0..150 {
        let length = 1 << (seed % 14);
        let mut bytes = pattern(seed, length);
        if seed % 2 == 1 {
            // Looks more like a head.
            let of = b"\r\n :GET/HP1.0ahost%?-,";
            for byte in &mut bytes {
                *byte = of[usize::from(*byte) % of.len()];
            }
        }
        let name = format!("{length} random bytes of seed {seed}");
        bytes.extend(request("GET", "/media/smuggled", ""));
        check_any(server.addr(), &bytes, &name);
        server.check_alive(&name);
    }
}

#[test]
fn every_position_of_a_request_changed() {
    let server = hostile_server();
    let good = [&request("GET", "/media/a.mp4?x=%41", "Range: bytes=0-1\r\nContent-Length: 3\r\n")[..], b"abc"].concat();
    let mut count = 0;
    for at in 0..good.len() {
        let (front, back) = (&good[..at], &good[at + 1..]);
        let mutants = [
            ("a flipped case", [front, &[good[at] ^ 0x20], back].concat()),
            ("a flipped top bit", [front, &[good[at] ^ 0x80], back].concat()),
            ("a NUL", [front, &[0], back].concat()),
            ("a byte less", [front, back].concat()),
            ("a space more", [front, b" ", &good[at..]].concat()),
            ("a CR LF more", [front, b"\r\n", &good[at..]].concat()),
            ("a colon more", [front, b":", &good[at..]].concat()),
            ("itself twice", [front, &good[at..=at], &good[at..]].concat()),
        ];
        for (what, mutant) in mutants {
            let name = format!("{what} at {at}: {:?}", String::from_utf8_lossy(&mutant));
            check_any(server.addr(), &mutant, &name);
            count += 1;
            if count % 8 == 0 {
                server.check_alive(&name);
            }
        }
    }
    assert!(count >= 600, "{count}");
}

#[test]
fn the_refusal_of_a_head_request_has_no_body() {
    // RFC 9112 section 6.3: whatever its fields say, the answer to HEAD ends with its head.
    let server = hostile_server();
    for request in [
        "HEAD /healthz HTTP/1.1\r\n\r\n".to_owned(),
        "HEAD /healthz HTTP/2.0\r\n\r\n".to_owned(),
        format!("HEAD /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9000)),
    ] {
        let raw = exchange(server.addr(), request.as_bytes(), false, &request);
        assert!(raw.ends_with(b"\r\n\r\n"), "{:?}", String::from_utf8_lossy(&raw));
    }
}

#[test]
fn names_that_only_look_like_names_that_matter() {
    // A lenient parser would cut each at its odd byte, and take it for the field that frames the request.
    let mut rows = Vec::new();
    for name in ["Host", "Content-Length", "Transfer-Encoding", "Connection"] {
        for byte in *b" \t\"(),/;<=>?@[\\]{}" {
            let mut fields = String::new();
            write!(fields, "{name}{}: 5\r\n", char::from(byte)).unwrap();
            rows.push(row(format!("{name} and {:?}", char::from(byte)), with_fields(fields), BAD));
        }
    }
    check(rows);
}
