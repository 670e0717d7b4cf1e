//! Where the shared metadata is: the URL of a Redis or Valkey.
//!
//! In scope: which URLs are legal, and that nobody sees the password in them. Not in scope: connecting (`shared`).
//!
//! Read here and not by the crate `redis`, so that a bad one is told with the other settings, in words of ours, before anything
//! is connected, and in a program that was built without that crate too.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// The port of a URL that names none.
const PORT_DEFAULT: u16 = 6379;
/// The largest number of a database. A server has 16 by default, and one that has fewer than asked for says so itself.
const DB_MAX: u32 = 65_535;
/// The longest host name (RFC 1035 section 2.3.4).
const HOST_LEN_MAX: usize = 253;
/// What is expected of a URL.
const WANTED: &str = "a URL such as redis://host:6379/0, rediss://user:password@host (TLS) or unix:///path/redis.sock?db=0, \
                      with special characters of user and password percent-encoded";

/// The address of a Redis, and how to log in. `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) place: Place,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) db: u32,
}

/// Where a Redis listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Tcp {
        host: String,
        port: u16,
    },
    /// `authorities` is a file of certificates in PEM; without one, the public authorities are trusted.
    Tls {
        host: String,
        port: u16,
        authorities: Option<PathBuf>,
    },
    Unix(PathBuf),
}

impl RedisUrl {
    /// Reads `redis://`, `rediss://` (TLS) and `unix://` URLs; `valkey://` and `valkeys://` are the same as the first two.
    /// `?ssl_ca_certs=PATH` behind a TLS URL names a file of the authorities to trust, in PEM, instead of the public ones.
    ///
    /// # Errors
    /// What was expected instead. The text itself is not repeated.
    pub fn parse(text: &str) -> Result<Self, String> {
        read(text).ok_or_else(|| WANTED.to_owned())
    }

    /// The place alone, for the log.
    pub fn address(&self) -> String {
        match &self.place {
            Place::Tcp { host, port } | Place::Tls { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Place::Tcp { host, port } | Place::Tls { host, port, .. } => format!("{host}:{port}"),
            Place::Unix(path) => path.display().to_string(),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redacted = |secret: &Option<String>| secret.as_ref().map(|_| "[redacted]");
        f.debug_struct("RedisUrl")
            .field("place", &self.place)
            .field("user", &redacted(&self.user))
            .field("password", &redacted(&self.password))
            .field("db", &self.db)
            .finish()
    }
}

fn read(text: &str) -> Option<RedisUrl> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let (scheme, rest) = text.split_once("://")?;
    match scheme.to_ascii_lowercase().as_str() {
        "redis" | "valkey" => read_network(rest, |host, port| Place::Tcp { host, port }),
        "rediss" | "valkeys" => {
            let (rest, authorities) = read_authorities(rest)?;
            read_network(rest, |host, port| Place::Tls { host, port, authorities })
        }
        "unix" | "redis+unix" | "valkey+unix" => read_unix(rest),
        _ => None,
    }
}

/// Takes `?ssl_ca_certs=/path` off, which other clients call so too.
fn read_authorities(rest: &str) -> Option<(&str, Option<PathBuf>)> {
    let Some((rest, query)) = rest.split_once('?') else { return Some((rest, None)) };
    let path = decode(query.strip_prefix("ssl_ca_certs=")?)?.filter(|path| !path.contains(['\0', '&']))?;
    Some((rest, Some(PathBuf::from(path))))
}

/// `[user[:password]@]host[:port][/db]`. No query and no fragment: those of other programs turn the check of certificates off.
fn read_network(rest: &str, place: impl FnOnce(String, u16) -> Place) -> Option<RedisUrl> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, host_port) = match authority.rsplit_once('@') {
        Some((login, host_port)) => (Some(login), host_port),
        None => (None, authority),
    };
    let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
        Some((user, password)) => (decode(user)?, decode(password)?),
        None => (None, None),
    };
    // A name without a password logs nobody in, and is more likely a password in the wrong place.
    if user.is_some() && password.is_none() {
        return None;
    }
    let (host, port) = read_host(host_port)?;
    let db = if path.is_empty() { 0 } else { read_db(path)? };
    Some(RedisUrl { place: place(host, port), user, password, db })
}

/// `/path[?db=N][&user=NAME][&pass=PASSWORD]`.
fn read_unix(rest: &str) -> Option<RedisUrl> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = decode(path)?.filter(|path| path.starts_with('/') && path.len() > 1 && !path.contains('\0'))?;
    let mut url = RedisUrl { place: Place::Unix(PathBuf::from(path)), user: None, password: None, db: 0 };
    for (name, value) in query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    {
        match name {
            "db" => url.db = read_db(value)?,
            "user" => url.user = decode(value)?,
            "pass" => url.password = decode(value)?,
            _ => return None,
        }
    }
    if url.user.is_some() && url.password.is_none() { None } else { Some(url) }
}

/// A host and its port; the brackets of an IPv6 address are taken off.
fn read_host(text: &str) -> Option<(String, u16)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inner, port) = rest.split_once(']')?;
        inner.parse::<Ipv6Addr>().ok()?;
        (inner, port)
    } else {
        let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if host.is_empty() || host.len() > HOST_LEN_MAX || !host.bytes().all(is_host) {
            return None;
        }
        (host, port)
    };
    let port = match port.strip_prefix(':') {
        Some(digits) => u16::try_from(read_number(digits)?).ok().filter(|port| *port > 0)?,
        None if port.is_empty() => PORT_DEFAULT,
        None => return None,
    };
    Some((host.to_owned(), port))
}

fn read_db(text: &str) -> Option<u32> {
    read_number(text).filter(|db| *db <= DB_MAX)
}

/// Decimal digits and nothing else: the parser of the standard library would also take a leading plus sign.
fn read_number(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Percent-decodes; nothing stays nothing. `None` where an escape is broken, or what comes out is not UTF-8.
#[allow(clippy::option_option)] // Illegal, absent, there.
fn decode(text: &str) -> Option<Option<String>> {
    for (at, _) in text.bytes().enumerate().filter(|(_, byte)| *byte == b'%') {
        if !text.as_bytes().get(at + 1..at + 3)?.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
    }
    // A delimiter that is not encoded ends a part of the URL for some readers and not for others.
    if text.contains(['@', '?', '#']) {
        return None;
    }
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(Some(decoded.into_owned()).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<(Place, Option<&str>, Option<&str>, u32)>) {
        let owned = |text: &str| text.to_owned();
        let want = want.map(|(place, user, password, db)| RedisUrl {
            place,
            user: user.map(owned),
            password: password.map(owned),
            db,
        });
        assert!(RedisUrl::parse(text).ok() == want, "{text}");
    }

    #[test]
    fn urls() {
        let tcp = |host: &str, port| Place::Tcp { host: host.to_owned(), port };
        let tls_by = |host: &str, port, path: Option<&str>| Place::Tls {
            host: host.to_owned(),
            port,
            authorities: path.map(PathBuf::from),
        };
        let tls = |host: &str, port| tls_by(host, port, None);
        let unix = |path: &str| Place::Unix(PathBuf::from(path));
        check("redis://localhost", Some((tcp("localhost", 6379), None, None, 0)));
        check("REDIS://127.0.0.1:6380/", Some((tcp("127.0.0.1", 6380), None, None, 0)));
        check("valkey://cache_1.internal/15", Some((tcp("cache_1.internal", 6379), None, None, 15)));
        check("redis://:secret@h/1", Some((tcp("h", 6379), None, Some("secret"), 1)));
        check("redis://me:a%2Fb%40c:d@h", Some((tcp("h", 6379), Some("me"), Some("a/b@c:d"), 0)));
        check("redis://[::1]:1", Some((tcp("::1", 1), None, None, 0)));
        check("rediss://h:6380", Some((tls("h", 6380), None, None, 0)));
        check("valkeys://:p@[2001:db8::1]", Some((tls("2001:db8::1", 6379), None, Some("p"), 0)));
        check(
            "rediss://:p@h/2?ssl_ca_certs=/etc/my%20ca.pem",
            Some((tls_by("h", 6379, Some("/etc/my ca.pem")), None, Some("p"), 2)),
        );
        check("unix:///run/redis.sock", Some((unix("/run/redis.sock"), None, None, 0)));
        check("redis+unix:///a%20b?db=3&user=u&pass=p%26", Some((unix("/a b"), Some("u"), Some("p&"), 3)));

        for bad in [
            "",
            "localhost:6379",
            "http://h",
            "redis:/h",
            "redis://",
            "redis://:6379",
            "redis://h:",
            "redis://h:0",
            "redis://h:65536",
            "redis://h:+1",
            "redis://h/x",
            "redis://h/-1",
            "redis://h/1/2",
            "redis://h/65536",
            "redis://h?db=1",
            "redis://h?ssl_ca_certs=/a",
            "rediss://h?ssl_cert_reqs=none",
            "rediss://h?ssl_ca_certs=",
            "rediss://h?ssl_ca_certs=/a&ssl_cert_reqs=none",
            "rediss://h/#insecure",
            "rediss://h#insecure",
            "redis://user@h",
            "redis://user:@h",
            "redis://:a@b@h",
            "redis://:a/b@h",
            "redis://:%zz@h",
            "redis://:%ff@h",
            "redis://:p w@h",
            "redis://:p@h h",
            "redis://h\n",
            "redis://[::1",
            "redis://[::1]x",
            "redis://[nonsense]",
            "unix://",
            "unix:///",
            "unix://relative/path",
            "unix:///a?db=x",
            "unix:///a?other=1",
            "unix:///a?user=u",
            "unix:///a%00b",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        for text in ["redis://hunter1:hunter2@host:1/2", "rediss://:hunter2@host", "unix:///run/s?user=hunter1&pass=hunter2"] {
            let url = RedisUrl::parse(text).unwrap();
            let shown = format!("{url:?} {url:#?} {}", url.address());
            assert!(!shown.contains("hunter") && shown.contains("redacted"), "{shown}");
        }
        let bad = RedisUrl::parse("redis://:hunter2@").unwrap_err();
        assert!(!bad.contains("hunter2"), "{bad}");
    }

    #[test]
    fn addresses_as_people_write_them() {
        for (text, want) in [("redis://h", "h:6379"), ("rediss://:p@[::1]:2/3", "[::1]:2"), ("unix:///run/s?pass=p", "/run/s")]
        {
            assert_eq!(RedisUrl::parse(text).unwrap().address(), want);
        }
    }
}
