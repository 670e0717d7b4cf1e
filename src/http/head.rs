//! One request head: bytes in, a verdict out.
//!
//! In scope: where a head ends, whether it is well-formed (RFC 9112, strictly), how its body is framed, whether the connection
//! persists, and the canonical spelling in which it is handed on. Not in scope: what the request means (`route`, `plan`), and
//! reading bytes (`serve/door.rs`).
//!
//! The edge is strict because leniency is how requests are smuggled: two parsers that disagree on where a request ends let a
//! client write the next one. So there is one parser, it refuses what RFC 9112 calls invalid, and what is handed on is written
//! anew from what was understood.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::error::ErrorKind;

/// The longest head, in bytes from the request line to the empty line; above: 431.
pub const HEAD_LEN_MAX: usize = 32 * 1024;
/// The longest request target, in bytes; above: 414.
pub const TARGET_LEN_MAX: usize = 8 * 1024;
/// The most field lines; above: 431.
pub const FIELDS_MAX: usize = 100;

/// The fields that a handler reads; the others are not handed on. Lower case, in the order of their first use.
pub const FIELDS_USED: [&str; 22] = [
    "authorization",
    "range",
    "if-range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "origin",
    "host",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
    "content-type",
    "content-md5",
    "repr-digest",
    "x-amz-checksum-sha256",
    "tus-resumable",
    "upload-length",
    "upload-offset",
    "upload-metadata",
    "upload-checksum",
    "x-http-method-override",
];

/// The field in which a head that is handed on names its connection. Only the door writes it.
pub const CONNECTION_ID: &str = "x-vidgate-connection";

/// What the bytes at the front of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<'b> {
    /// A head that is not complete, and not yet refused.
    Incomplete,
    /// A head, and how many bytes it took.
    Head(Head<'b>, usize),
    /// Not a request that is served: this answers it, and the connection is closed.
    Reject(ErrorKind, &'static str),
}

/// A well-formed request head.
#[derive(Debug, PartialEq, Eq)]
pub struct Head<'b> {
    /// The method, case as sent.
    pub method: &'b str,
    /// The target in origin-form (or `*`), ASCII only: raw bytes above 0x7f are percent-encoded.
    pub target: Cow<'b, str>,
    /// Whether the request was made in HTTP/1.1; otherwise it was 1.0.
    pub http_11: bool,
    /// Whether the client wants the connection to persist (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 section 10.1.1).
    pub expects_continue: bool,
    /// How the body is framed.
    pub body: BodyFraming,
    fields: Vec<(&'b str, &'b [u8])>,
}

/// How a request body is framed (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is none.
    None,
    /// So many bytes, at least one.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
}

/// How far a head was looked at, so that bytes which come one by one are not looked at again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Bytes looked at.
    at: usize,
    /// Where the request line starts: behind empty lines, which RFC 9112 section 2.2 says to ignore.
    start: usize,
    /// Where the present line starts.
    line: usize,
    /// Complete lines of the head, the request line included.
    lines: usize,
    /// Where the target starts, once the method is complete.
    target: Option<usize>,
    /// The target is complete.
    target_ended: bool,
}

/// Looks at `buf`, which holds what came on a connection since the last request. `seen` starts as its default and goes with the
/// buffer: call again with the same when there are more bytes.
pub fn parse<'b>(buf: &'b [u8], seen: &mut Seen) -> Outcome<'b> {
    match find_end(buf, seen) {
        Ok(None) => Outcome::Incomplete,
        Ok(Some(end)) => match parse_complete(&buf[seen.start..end]) {
            Ok(head) => Outcome::Head(head, end),
            Err((kind, why)) => Outcome::Reject(kind, why),
        },
        Err((kind, why)) => Outcome::Reject(kind, why),
    }
}

type Refusal = (ErrorKind, &'static str);

const fn malformed(why: &'static str) -> Refusal {
    (ErrorKind::BadRequest, why)
}

/// Finds the end of the head, and refuses what can be refused before it is complete.
fn find_end(buf: &[u8], seen: &mut Seen) -> Result<Option<usize>, Refusal> {
    while let Some(&byte) = buf.get(seen.at) {
        let after_cr = seen.at > seen.line && buf[seen.at - 1] == b'\r';
        match byte {
            b'\n' if !after_cr => return Err(malformed("a line ends without CR LF")),
            b'\n' => {
                let empty = seen.at - seen.line == 1;
                seen.line = seen.at + 1;
                if empty && seen.lines > 0 && seen.line - seen.start <= HEAD_LEN_MAX {
                    seen.at += 1;
                    return Ok(Some(seen.at));
                }
                if empty && seen.lines == 0 {
                    // An empty line in front of the request line. Few clients send one, none sends many.
                    seen.start = seen.line;
                    if seen.start > 16 {
                        return Err(malformed("empty lines instead of a request"));
                    }
                } else {
                    seen.lines += 1;
                    // The request line and the empty one are none of the fields.
                    if seen.lines > FIELDS_MAX + 1 {
                        return Err((ErrorKind::HeadTooLarge, "the head has more than 100 fields"));
                    }
                }
            }
            _ if after_cr => return Err(malformed("a CR without LF")),
            b'\r' | b'\t' => {}
            0..=0x1f | 0x7f => return Err(malformed("a control character in the head")),
            b' ' if seen.lines == 0 => match seen.target {
                None => seen.target = Some(seen.at + 1),
                Some(_) => seen.target_ended = true,
            },
            _ => {}
        }
        seen.at += 1;
        if let (0, Some(target), false) = (seen.lines, seen.target, seen.target_ended)
            && seen.at - target > TARGET_LEN_MAX
            && byte != b'\r'
            && byte != b'\n'
        {
            return Err((ErrorKind::UriTooLong, "the request target has more than 8 KiB"));
        }
        if seen.at - seen.start > HEAD_LEN_MAX {
            return Err((ErrorKind::HeadTooLarge, "the head has more than 32 KiB"));
        }
    }
    Ok(None)
}

/// Parses a head that is complete: from the request line to the empty line.
fn parse_complete(head: &[u8]) -> Result<Head<'_>, Refusal> {
    // find_end saw at least one CR LF, so there is a first line.
    let line_len = head.iter().position(|&byte| byte == b'\r').ok_or(malformed("no request line"))?;
    let (method, target, http_11) = request_line(&head[..line_len])?;

    let mut slots = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let fields: Vec<(&str, &[u8])> = match httparse::parse_headers(&head[line_len + 2..], &mut slots) {
        Ok(httparse::Status::Complete((_, fields))) => fields.iter().map(|field| (field.name, field.value)).collect(),
        Ok(httparse::Status::Partial) => return Err(malformed("the fields are not complete")),
        Err(httparse::Error::TooManyHeaders) => return Err((ErrorKind::HeadTooLarge, "the head has more than 100 fields")),
        Err(_) => return Err(malformed("a field line is malformed")),
    };

    check_host(&fields, http_11)?;
    let body = body_framing(&fields, http_11)?;
    let (mut close, mut keep_alive) = (false, false);
    for option in options(&fields, "connection") {
        close |= option.eq_ignore_ascii_case("close");
        keep_alive |= option.eq_ignore_ascii_case("keep-alive");
    }
    let expects_continue = http_11 && options(&fields, "expect").any(|it| it.eq_ignore_ascii_case("100-continue"));
    let keep_alive = !close && (http_11 || keep_alive);
    Ok(Head { method, target, http_11, keep_alive, expects_continue, body, fields })
}

/// RFC 9112 section 3: method SP request-target SP HTTP-version, single spaces only.
fn request_line(line: &[u8]) -> Result<(&str, Cow<'_, str>, bool), Refusal> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(malformed("the request line has not three parts"));
    };
    if method.is_empty() || !method.iter().all(|&byte| is_token_byte(byte)) {
        return Err(malformed("the method is not a token"));
    }
    let http_11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            return Err((ErrorKind::VersionNotSupported, "only HTTP/1.0 and HTTP/1.1 are spoken here"));
        }
        _ => return Err(malformed("the HTTP version is malformed")),
    };
    // A token is ASCII.
    let method = std::str::from_utf8(method).map_err(|_| malformed("the method is not a token"))?;
    Ok((method, origin_form(method, target)?, http_11))
}

/// RFC 9112 section 3.2: the origin-form of a target; an absolute-form is reduced to it.
fn origin_form<'b>(method: &str, target: &'b [u8]) -> Result<Cow<'b, str>, Refusal> {
    if target.is_empty() || target.iter().any(|&byte| byte <= b' ' || byte == b'#' || byte == 0x7f) {
        return Err(malformed("the request target is malformed"));
    }
    if target == b"*" {
        return if method == "OPTIONS" { Ok(Cow::Borrowed("*")) } else { Err(malformed("the target * is for OPTIONS only")) };
    }
    if target.starts_with(b"/") {
        return Ok(ascii(target));
    }
    let lower = target.get(..8).unwrap_or(target).to_ascii_lowercase();
    let scheme_len = if lower.starts_with(b"http://") {
        7
    } else if lower.starts_with(b"https://") {
        8
    } else {
        return Err(malformed("the request target is not a path"));
    };
    let rest = &target[scheme_len..];
    let authority_len = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_len);
    if !is_host(authority) {
        return Err(malformed("the host of the request target is malformed"));
    }
    Ok(if path.starts_with(b"/") { ascii(path) } else { Cow::Owned(format!("/{}", ascii(path))) })
}

/// Clients that people type addresses into send raw UTF-8 in targets. Percent-encoding says the same and is what RFC 3986 has.
fn ascii(target: &[u8]) -> Cow<'_, str> {
    if let (true, Ok(target)) = (target.is_ascii(), std::str::from_utf8(target)) {
        return Cow::Borrowed(target);
    }
    let mut encoded = String::with_capacity(target.len() * 3);
    for &byte in target {
        if byte.is_ascii() {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    Cow::Owned(encoded)
}

/// RFC 9112 section 3.2: Host exactly once in 1.1, at most once in 1.0, and valid.
fn check_host(fields: &[(&str, &[u8])], http_11: bool) -> Result<(), Refusal> {
    let mut hosts = values(fields, "host");
    match (hosts.next(), hosts.next()) {
        (None, _) if !http_11 => Ok(()),
        (None, _) => Err(malformed("the Host field is missing")),
        (Some(_), Some(_)) => Err(malformed("there is more than one Host field")),
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None) => Err(malformed("the Host field is malformed")),
    }
}

/// `uri-host [ ":" port ]` of RFC 9110 section 7.2, not empty.
fn is_host(host: &[u8]) -> bool {
    let (name, port) = if host.starts_with(b"[") {
        let Some(end) = host.iter().position(|&byte| byte == b']') else { return false };
        let literal = &host[1..end];
        if literal.is_empty() || !literal.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'v')) {
            return false;
        }
        (&b"literal"[..], &host[end + 1..])
    } else {
        let end = host.iter().position(|&byte| byte == b':').unwrap_or(host.len());
        host.split_at(end)
    };
    let port_is_valid = match port.split_first() {
        None => true,
        Some((b':', digits)) => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    };
    // reg-name = *( unreserved / pct-encoded / sub-delims ), RFC 3986 section 3.2.2
    let name_is_valid = name.iter().all(|byte| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
            )
    });
    !name.is_empty() && name_is_valid && port_is_valid
}

/// RFC 9112 section 6.3, with every "ought to be handled as an error" of it taken as one.
fn body_framing(fields: &[(&str, &[u8])], http_11: bool) -> Result<BodyFraming, Refusal> {
    let mut lengths = values(fields, "content-length");
    let mut codings = values(fields, "transfer-encoding");
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(BodyFraming::None),
        (Some(_), Some(_)) => Err(malformed("both Content-Length and Transfer-Encoding are given")),
        (Some(length), None) => {
            if lengths.next().is_some() {
                return Err(malformed("there is more than one Content-Length"));
            }
            let digits = std::str::from_utf8(length).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            match digits.and_then(|digits| digits.parse().ok()) {
                Some(0) => Ok(BodyFraming::None),
                Some(length) => Ok(BodyFraming::Length(length)),
                None => Err(malformed("the Content-Length is not a number")),
            }
        }
        (None, Some(coding)) => {
            if !http_11 {
                return Err(malformed("HTTP/1.0 has no Transfer-Encoding"));
            }
            if codings.next().is_some() {
                return Err(malformed("there is more than one Transfer-Encoding"));
            }
            if coding.eq_ignore_ascii_case(b"chunked") {
                return Ok(BodyFraming::Chunked);
            }
            let is_list = !coding.is_empty()
                && coding.iter().all(|&byte| is_token_byte(byte) || matches!(byte, b',' | b' ' | b';' | b'='));
            Err(if is_list {
                (ErrorKind::NotImplemented, "the only transfer coding known here is chunked")
            } else {
                malformed("the Transfer-Encoding is malformed")
            })
        }
    }
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn values<'f, 'b: 'f>(fields: &'f [(&'b str, &'b [u8])], name: &'f str) -> impl Iterator<Item = &'b [u8]> + 'f {
    fields.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// The elements of a comma-separated field (RFC 9110 section 5.6.1) that are text.
fn options<'f, 'b: 'f>(fields: &'f [(&'b str, &'b [u8])], name: &'f str) -> impl Iterator<Item = &'b str> + 'f {
    values(fields, name).filter_map(|value| std::str::from_utf8(value).ok()).flat_map(|value| value.split(',')).map(str::trim)
}

impl Head<'_> {
    /// The fields that a handler reads, as it gets them.
    pub fn used_fields(&self) -> Fields {
        let joined = |name| {
            let texts =
                values(&self.fields, name).filter_map(|value| std::str::from_utf8(value).ok()).filter(|text| text.is_ascii());
            let texts: Vec<&str> = texts.collect();
            (!texts.is_empty()).then(|| (name, texts.join(", ")))
        };
        FIELDS_USED.into_iter().filter_map(joined).collect()
    }

    /// Writes the head anew, for the listener behind the door: the fields that a handler reads, each once, and the connection's
    /// id. There is no body and nothing of how the connection goes on in it; both stay with the door.
    pub fn write_canonical(&self, connection_id: usize, out: &mut Vec<u8>) {
        for part in [self.method, " ", &self.target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        for name in FIELDS_USED {
            let mut written = false;
            for value in values(&self.fields, name) {
                // obs-text has no meaning in any of these fields; a value that has it is as good as none.
                if !value.is_ascii() {
                    continue;
                }
                // RFC 9110 section 5.3: lines of one name are one list.
                if !written {
                    out.extend_from_slice(name.as_bytes());
                }
                out.extend_from_slice(if written { b", " } else { b": " });
                out.extend_from_slice(value);
                written = true;
            }
            if written {
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(format!("{CONNECTION_ID}: {connection_id}\r\n\r\n").as_bytes());
    }
}

/// The origin that a head names, as far as the bytes go, complete and well-formed or not: so that the page which made the request
/// may read why it was refused. It is good for that only.
pub fn origin(bytes: &[u8]) -> Option<&str> {
    let mut lines = bytes.split(|&byte| byte == b'\n').skip(1).filter_map(|line| std::str::from_utf8(line).ok());
    let is_origin = |line: &&str| line.get(..7).is_some_and(|name| name.eq_ignore_ascii_case("origin:"));
    lines.find(is_origin).map(|line| line[7..].trim())
}

/// The fields of a request as a handler sees them: those of [`FIELDS_USED`], each at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The value of a field; `name` in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name.into().to_ascii_lowercase(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a head is reduced to: method, target, 1.1, keep-alive, framing; or the refusal's status.
    type Want<'w> = Result<(&'w str, &'w str, bool, bool, BodyFraming), u16>;

    #[track_caller]
    fn check(raw: &[u8], want: Want<'_>) {
        let whole = outcome(raw, &mut Seen::default());
        // Fed byte by byte it is the same: nothing is decided early that would be decided otherwise later.
        let mut seen = Seen::default();
        let mut by_byte = Ok(None);
        for len in 0..=raw.len() {
            by_byte = outcome(&raw[..len], &mut seen);
            if by_byte != Ok(None) {
                break;
            }
        }
        let shown = String::from_utf8_lossy(&raw[..raw.len().min(120)]);
        assert_eq!(by_byte, whole, "byte by byte: {shown:?}");
        match (whole, want) {
            (Ok(Some(got)), Ok((method, target, http_11, keep_alive, body))) => {
                assert_eq!(got, (method.to_owned(), target.to_owned(), http_11, keep_alive, body));
            }
            (Err(status), Err(want)) => assert_eq!(status, want, "{shown:?}"),
            (got, want) => panic!("{shown:?}: got {got:?}, want {want:?}"),
        }
    }

    #[expect(clippy::type_complexity, reason = "a tuple of the facts under test")]
    fn outcome(raw: &[u8], seen: &mut Seen) -> Result<Option<(String, String, bool, bool, BodyFraming)>, u16> {
        match parse(raw, seen) {
            Outcome::Incomplete => Ok(None),
            Outcome::Reject(kind, _) => Err(kind.status()),
            Outcome::Head(head, _) => {
                Ok(Some((head.method.to_owned(), head.target.to_string(), head.http_11, head.keep_alive, head.body)))
            }
        }
    }

    fn get(fields: &str) -> Vec<u8> {
        format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes()
    }

    const NONE: BodyFraming = BodyFraming::None;

    #[test]
    fn well_formed_heads() {
        check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(("GET", "/", true, true, NONE)));
        check(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(("GET", "/", true, true, NONE)));
        check(b"GET / HTTP/1.0\r\n\r\n", Ok(("GET", "/", false, false, NONE)));
        check(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", Ok(("GET", "/", false, true, NONE)));
        check(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, CLOSE\r\n\r\n", Ok(("GET", "/", true, false, NONE)));
        check(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nconnection: close\r\n\r\n",
            Ok(("GET", "/", true, false, NONE)),
        );
        check(b"GET /a?b=c%20d HTTP/1.1\r\nhost:a:80\r\n\r\n", Ok(("GET", "/a?b=c%20d", true, true, NONE)));
        check(b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n", Ok(("GET", "/b?c", true, true, NONE)));
        check(b"GET HTTPS://a:1?c HTTP/1.1\r\nHost: a\r\n\r\n", Ok(("GET", "/?c", true, true, NONE)));
        check(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Ok(("OPTIONS", "*", true, true, NONE)));
        check(b"GET / HTTP/1.1\r\nHost: [::1]:3001\r\n\r\n", Ok(("GET", "/", true, true, NONE)));
        check(
            "GET /фильм HTTP/1.1\r\nHost: a\r\n\r\n".as_bytes(),
            Ok(("GET", "/%D1%84%D0%B8%D0%BB%D1%8C%D0%BC", true, true, NONE)),
        );
        check(b"GET / HTTP/1.1\r\nHost: a\r\nX: caf\xe9\t \r\n\r\n", Ok(("GET", "/", true, true, NONE)));
        check(&get("Content-Length: 0\r\n"), Ok(("GET", "/", true, true, NONE)));
        check(&get("Content-Length: 18446744073709551615\r\n"), Ok(("GET", "/", true, true, BodyFraming::Length(u64::MAX))));
        check(&get("Transfer-Encoding: Chunked\r\n"), Ok(("GET", "/", true, true, BodyFraming::Chunked)));
        check(b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", Ok(("BREW", "/pot", true, true, NONE)));
    }

    #[test]
    fn refused_heads() {
        for (raw, status) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], 400),
            (b"GET / HTTP/1.1\nHost: a\n\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
            (b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
            (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET /\r\n\r\n", 400),
            (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/11\r\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
            (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: b\r\n\r\n", 400),
            (b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00", 400),
            (b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", 400),
        ] {
            check(raw, Err(status));
        }
        for (fields, status) in [
            ("Content-Length: 1\r\nContent-Length: 1\r\n", 400),
            ("Content-Length: 1\r\nContent-Length: 2\r\n", 400),
            ("Content-Length: 1, 1\r\n", 400),
            ("Content-Length: +1\r\n", 400),
            ("Content-Length: -1\r\n", 400),
            ("Content-Length: 0x1\r\n", 400),
            ("Content-Length: 1 1\r\n", 400),
            ("Content-Length:\r\n", 400),
            ("Content-Length: 18446744073709551616\r\n", 400),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding:\r\n", 400),
            ("Transfer-Encoding: \"chunked\"\r\n", 400),
            ("Transfer-Encoding: chunked, chunked\r\n", 501),
            ("Transfer-Encoding: chunked, gzip\r\n", 501),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
            ("Transfer-Encoding: xchunked\r\n", 501),
            ("Transfer-Encoding: identity\r\n", 501),
        ] {
            check(&get(fields), Err(status));
        }
    }

    #[test]
    fn limits_hold_at_their_edge_and_before_the_end_came() {
        let target = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(len - 1)).into_bytes();
        assert!(matches!(outcome(&target(TARGET_LEN_MAX), &mut Seen::default()), Ok(Some(_))));
        check(&target(TARGET_LEN_MAX + 1), Err(414));
        check(&target(TARGET_LEN_MAX + 1)[..TARGET_LEN_MAX + 5], Err(414));

        let fields = |count: usize| get(&"X: y\r\n".repeat(count - 1));
        assert!(matches!(outcome(&fields(FIELDS_MAX), &mut Seen::default()), Ok(Some(_))));
        check(&fields(FIELDS_MAX + 1), Err(431));

        let empty = get("X: \r\n").len();
        let long = |len: usize| get(&format!("X: {}\r\n", "y".repeat(len - empty)));
        assert!(matches!(outcome(&long(HEAD_LEN_MAX), &mut Seen::default()), Ok(Some(_))));
        check(&long(HEAD_LEN_MAX + 1), Err(431));
        check(&[b"GET", &vec![b'x'; HEAD_LEN_MAX][..]].concat(), Err(431));
    }

    #[test]
    fn what_follows_a_head_is_not_part_of_it() {
        let raw = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
        let Outcome::Head(head, len) = parse(raw, &mut Seen::default()) else { panic!("no head") };
        assert_eq!(head.target, "/1");
        assert!(raw[len..].starts_with(b"GET /2"));
    }

    #[test]
    fn the_canonical_head_has_the_used_fields_once_and_no_framing() {
        let raw = b"GET http://x/\xd1\x84 HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\nRANGE: bytes=0-1\r\n\
                    Range: bytes=3-4\r\nIf-Match: \"\xff\"\r\nX-Vidgate-Connection: 7\r\nCookie: c\r\nExpect: 100-continue\r\n\r\n";
        let Outcome::Head(head, _) = parse(raw, &mut Seen::default()) else { panic!("no head") };
        let mut out = Vec::new();
        head.write_canonical(42, &mut out);
        let want = "GET /%D1%84 HTTP/1.1\r\nrange: bytes=0-1, bytes=3-4\r\nhost: x\r\nx-vidgate-connection: 42\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn the_origin_of_a_refused_head() {
        for (bytes, want) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\nORIGIN: http://a\r\n\r\n"[..], Some("http://a")),
            (b"nonsense\nOrigin:http://a", Some("http://a")),
            (b"Origin: http://a\r\n", None),
            (b"GET / HTTP/1.1\r\nX-Origin: http://a\r\n", None),
            (b"GET / HTTP/1.1\r\nOrigin\xff: http://a\r\n", None),
            (b"", None),
        ] {
            assert_eq!(origin(bytes), want, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    /// Every string of up to six symbols of an alphabet that has all the bytes with a meaning: never a panic, byte by byte the
    /// same as whole, and what is accepted holds what was promised of it.
    #[test]
    fn small_inputs_exhaustively() {
        let symbols: [&[u8]; 9] = [b"\r", b"\n", b" ", b":", b"GET / HTTP/1.1", b"Host: a", b"\r\n", b"\0", b"X"];
        let mut accepted = 0;
        for len in 0..=6_u32 {
            for number in 0..9_usize.pow(len) {
                let mut raw = Vec::new();
                let mut rest = number;
                for _ in 0..len {
                    raw.extend_from_slice(symbols[rest % 9]);
                    rest /= 9;
                }
                let whole = outcome(&raw, &mut Seen::default());
                let mut seen = Seen::default();
                let by_byte =
                    (0..=raw.len()).map(|len| outcome(&raw[..len], &mut seen)).find(|it| *it != Ok(None)).unwrap_or(Ok(None));
                assert_eq!(whole, by_byte, "{raw:?}");
                if let Ok(Some((method, target, ..))) = whole {
                    assert_eq!((method.trim_start_matches('X'), target.as_str()), ("GET", "/"), "{raw:?}");
                    accepted += 1;
                }
            }
        }
        assert!(accepted > 10, "{accepted} heads accepted");
    }
}
