//! Which route a request target names.
//!
//! In scope: the table of paths and methods, and the values of their queries. Not in scope: what a route does
//! (`serve/handler.rs`).
//!
//! Paths are matched raw, before decoding, so that a key may hold an encoded slash; a last segment `stream`, `url` or `cookies`
//! is the verb, and a key that itself ends so is written with one of its characters percent-encoded.

use crate::error::{Error, ErrorKind};
use crate::object::ObjectKey;
use crate::store::ListQuery;

/// The smallest chunk that a client gets, in bytes.
pub const CHUNK_LEN_MIN: usize = 16 * 1024;
/// The largest chunk that a client gets, in bytes.
pub const CHUNK_LEN_MAX: usize = 8 * 1024 * 1024;
/// The default and the largest number of entries of a listing.
const LIST_LIMIT: (usize, usize) = (100, 1000);

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The bytes of an object: `/api/videos/{key}/stream` and `/media/{key}`.
    Bytes(ObjectKey),
    /// A page of the listing: `/api/videos`.
    List,
    /// What is known of an object: `/api/videos/{key}`.
    Entry(ObjectKey),
    /// A signed URL or signed cookies of an object.
    Signed,
    /// The library page: `/`.
    Library,
    /// The player page: `/watch/{key}`.
    Watch(ObjectKey),
    /// Whether the process lives: `/healthz`.
    Health,
    /// What was counted: `/metrics`.
    Metrics,
}

impl Route {
    /// The methods of the route, as `Allow` lists them (RFC 9110 section 10.2.1).
    pub const fn methods(&self) -> &'static str {
        "GET, HEAD, OPTIONS"
    }

    /// Whether answering it asks the store, and may wait for that.
    pub const fn asks_store(&self) -> bool {
        matches!(self, Self::Bytes(_) | Self::List | Self::Entry(_))
    }

    /// The route's name in logs and metrics: one of a few, never a part of the request.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Bytes(_) => "stream",
            Self::List => "list",
            Self::Entry(_) => "entry",
            Self::Signed => "signed",
            Self::Library => "library",
            Self::Watch(_) => "watch",
            Self::Health => "health",
            Self::Metrics => "metrics",
        }
    }
}

/// Splits a target in origin-form into path and query.
pub fn split(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// The route of a raw path.
///
/// # Errors
/// [`ErrorKind::NotFound`] where there is none, [`ErrorKind::BadKey`] where the key in it is not legal.
pub fn resolve(path: &str) -> Result<Route, Error> {
    match path {
        "/" => return Ok(Route::Library),
        "/healthz" => return Ok(Route::Health),
        "/metrics" => return Ok(Route::Metrics),
        "/api/videos" => return Ok(Route::List),
        _ => {}
    }
    if let Some(rest) = path.strip_prefix("/api/videos/") {
        let (key, verb) = rest.rsplit_once('/').unwrap_or(("", rest));
        return match verb {
            "stream" => ObjectKey::from_path(key).map(Route::Bytes),
            "url" | "cookies" => ObjectKey::from_path(key).map(|_| Route::Signed),
            _ => ObjectKey::from_path(rest).map(Route::Entry),
        };
    }
    // A first segment that starts with ~ is a playback token; this version knows none.
    if let Some(rest) = path.strip_prefix("/media/").filter(|rest| !rest.starts_with('~')) {
        return ObjectKey::from_path(rest).map(Route::Bytes);
    }
    if let Some(rest) = path.strip_prefix("/watch/") {
        return ObjectKey::from_path(rest).map(Route::Watch);
    }
    Err(ErrorKind::NotFound.into())
}

/// The first value of a parameter, decoded as `application/x-www-form-urlencoded`.
fn parameter<'q>(query: &'q str, name: &str) -> Option<std::borrow::Cow<'q, str>> {
    form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name).map(|(_, value)| value)
}

/// `?chunkSize=`: a decimal number of bytes, clamped to what is served.
///
/// # Errors
/// [`ErrorKind::BadChunkSize`] where it is anything but digits.
pub fn chunk_len(query: &str, default: usize) -> Result<usize, Error> {
    match parameter(query, "chunkSize") {
        None => Ok(default),
        Some(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            // Digits that do not parse are too many: a number above every maximum.
            Ok(text.parse().unwrap_or(usize::MAX).clamp(CHUNK_LEN_MIN, CHUNK_LEN_MAX))
        }
        Some(_) => Err(ErrorKind::BadChunkSize.into()),
    }
}

/// `?download=`: the name to save as, empty for the object's own.
pub fn download(query: &str) -> Option<String> {
    parameter(query, "download").map(std::borrow::Cow::into_owned)
}

/// `?prefix=&after=&limit=`.
///
/// # Errors
/// [`ErrorKind::BadRequest`] where the limit is not a number from 1 to 1000, or a text is longer than a key may be.
pub fn list_query(query: &str) -> Result<ListQuery, Error> {
    let limit = match parameter(query, "limit") {
        None => LIST_LIMIT.0,
        Some(text) => match text.parse() {
            Ok(limit) if (1..=LIST_LIMIT.1).contains(&limit) && !text.starts_with('+') => limit,
            _ => return Err(Error::new(ErrorKind::BadRequest, "limit must be a whole number from 1 to 1000")),
        },
    };
    let text = |name| match parameter(query, name) {
        Some(text) if text.len() > crate::object::KEY_LEN_MAX || text.contains('\0') => {
            Err(Error::new(ErrorKind::BadRequest, format!("{name} is not the start of any key")))
        }
        text => Ok(text.filter(|text| !text.is_empty()).map(std::borrow::Cow::into_owned)),
    };
    Ok(ListQuery { prefix: text("prefix")?.unwrap_or_default(), after: text("after")?, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str) -> ObjectKey {
        ObjectKey::new(key).unwrap()
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "the rows read better")]
    fn check(path: &str, want: Result<Route, ErrorKind>) {
        assert_eq!(resolve(path).map_err(|error| error.kind()), want, "{path}");
    }

    #[test]
    fn paths() {
        check("/", Ok(Route::Library));
        check("/healthz", Ok(Route::Health));
        check("/api/videos", Ok(Route::List));
        check("/api/videos/film.mp4", Ok(Route::Entry(key("film.mp4"))));
        check("/api/videos/a/b/film.mp4/stream", Ok(Route::Bytes(key("a/b/film.mp4"))));
        check("/api/videos/a%2Fb/stream", Ok(Route::Bytes(key("a/b"))));
        check("/api/videos/stream/stream", Ok(Route::Bytes(key("stream"))));
        check("/api/videos/a%2Fstream", Ok(Route::Entry(key("a/stream"))));
        check("/api/videos/a%2Fstream/stream", Ok(Route::Bytes(key("a/stream"))));
        check("/api/videos/%73tream", Ok(Route::Entry(key("stream"))));
        check("/api/videos/a/url", Ok(Route::Signed));
        check("/api/videos/a/cookies", Ok(Route::Signed));
        check("/media/a/stream", Ok(Route::Bytes(key("a/stream"))));
        check("/media/%7Ea/b", Ok(Route::Bytes(key("~a/b"))));
        check("/media/a/~b", Ok(Route::Bytes(key("a/~b"))));
        check("/watch/a%20b", Ok(Route::Watch(key("a b"))));

        check("/media/~token/a", Err(ErrorKind::NotFound));
        for path in
            ["", "*", "/healthz/", "/api", "/api/video", "/api/videosx", "/media", "/watch", "//", "/Healthz", "/index.html"]
        {
            check(path, Err(ErrorKind::NotFound));
        }
        for path in [
            "/api/videos/",
            "/api/videos/stream",
            "/api/videos//stream",
            "/media/",
            "/media//a",
            "/media/../a",
            "/media/%2e%2e/a",
            "/watch/",
            "/api/videos/a/../b/stream",
            "/api/videos/a/",
        ] {
            check(path, Err(ErrorKind::BadKey));
        }
    }

    #[test]
    fn chunk_sizes() {
        for (query, want) in [
            ("", Some(1000)),
            ("x=1", Some(1000)),
            ("chunkSize=65536", Some(65_536)),
            ("chunkSize=0", Some(CHUNK_LEN_MIN)),
            ("chunkSize=1", Some(CHUNK_LEN_MIN)),
            ("chunkSize=1000000000", Some(CHUNK_LEN_MAX)),
            ("chunkSize=18446744073709551616", Some(CHUNK_LEN_MAX)),
            ("chunkSize=99999999999999999999999999999999", Some(CHUNK_LEN_MAX)),
            ("chunkSize=0065536", Some(65_536)),
            ("a=b&chunkSize=65536&chunkSize=x", Some(65_536)),
            ("chunkSize=", None),
            ("chunkSize", None),
            ("chunkSize=-1", None),
            ("chunkSize=%2B1", None),
            ("chunkSize=1e9", None),
            ("chunkSize=1.5", None),
            ("chunkSize=64KiB", None),
            ("chunkSize=abc", None),
            ("chunkSize=+1", None),
            ("chunkSize=%D9%A1", None),
        ] {
            assert_eq!(chunk_len(query, 1000).ok(), want, "{query}");
        }
    }

    #[test]
    fn list_queries() {
        let query = list_query("prefix=a%20b+c/&after=z&limit=7").unwrap();
        assert_eq!(query, ListQuery { prefix: "a b c/".into(), after: Some("z".into()), limit: 7 });
        assert_eq!(list_query("after=").unwrap(), ListQuery { prefix: String::new(), after: None, limit: 100 });
        let long = "x".repeat(1025);
        for bad in [
            "limit=0",
            "limit=1001",
            "limit=-1",
            "limit=%2B1",
            "limit=",
            "limit=a",
            "limit=1e2",
            "limit=99999999999999999999",
            "prefix=%00",
            &format!("after={long}"),
        ] {
            assert_eq!(list_query(bad).unwrap_err().kind(), ErrorKind::BadRequest, "{bad}");
        }
    }

    #[test]
    fn downloads() {
        assert_eq!(download(""), None);
        assert_eq!(download("download"), Some(String::new()));
        assert_eq!(download("download=a%22.mp4"), Some("a\".mp4".into()));
    }
}
