//! Which route a request target names.
//!
//! In scope: the table of paths and methods, and the values of their queries. Not in scope: what a route does
//! (`serve/handler.rs`).
//!
//! Paths are matched raw, before decoding, so that a key may hold an encoded slash; a last segment `stream`, `url` or `cookies`
//! is the verb, and a key that itself ends so is written with one of its characters percent-encoded.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::error::{Error, ErrorKind};
use crate::http::tus;
use crate::object::ObjectKey;
use crate::store::{ListQuery, UploadId};

/// The smallest chunk that a client gets, in bytes.
pub const CHUNK_LEN_MIN: usize = 16 * 1024;
/// The largest chunk that a client gets, in bytes.
pub const CHUNK_LEN_MAX: usize = 8 * 1024 * 1024;
/// The longest that a signed URL may be good for, in seconds: a week, after which presigned URLs of S3 end.
const EXPIRES_MAX: u64 = 7 * 24 * 60 * 60;
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
    /// A URL where an object can be had: `/api/videos/{key}/url`.
    Url(ObjectKey),
    /// Signed cookies for an object and what lies beside it: `/api/videos/{key}/cookies`.
    Cookies(ObjectKey),
    /// Playback tokens are made: `/api/tokens`.
    Tokens,
    /// Resumable uploads are made: `/api/uploads`.
    Uploads,
    /// A resumable upload: `/api/uploads/{id}`.
    Upload(UploadId),
    /// The library page: `/`.
    Library,
    /// The player page: `/watch/{key}`.
    Watch(ObjectKey),
    /// hls.js, for the player page: `/hls.js`.
    Hls,
    /// Whether the process lives: `/healthz`.
    Health,
    /// Whether the store can be asked: `/readyz`.
    Ready,
    /// What was counted: `/metrics`.
    Metrics,
}

impl Route {
    /// The methods of the route, as `Allow` lists them (RFC 9110 section 10.2.1); those that change the store where somebody may.
    pub const fn methods(&self, may_change: bool) -> &'static str {
        match self {
            Self::List if may_change => "GET, HEAD, POST, OPTIONS",
            Self::Entry(_) if may_change => "GET, HEAD, PUT, DELETE, OPTIONS",
            Self::Tokens | Self::Uploads => "POST, OPTIONS",
            Self::Upload(_) => "HEAD, PATCH, DELETE, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    /// Whether answering it asks the store and may wait for that, or takes as long in another way: signing does.
    pub const fn asks_store(&self) -> bool {
        matches!(self, Self::Bytes(_) | Self::List | Self::Entry(_) | Self::Url(_) | Self::Cookies(_) | Self::Ready)
    }

    /// The object that it is about.
    pub const fn key(&self) -> Option<&ObjectKey> {
        match self {
            Self::Bytes(key) | Self::Entry(key) | Self::Url(key) | Self::Cookies(key) | Self::Watch(key) => Some(key),
            _ => None,
        }
    }

    /// The route's name in logs and metrics: one of a few ([`NAMES`]), never a part of the request.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Bytes(_) => "stream",
            Self::List => "list",
            Self::Entry(_) => "entry",
            Self::Url(_) => "url",
            Self::Cookies(_) => "cookies",
            Self::Tokens => "tokens",
            Self::Uploads | Self::Upload(_) => "uploads",
            Self::Library => "library",
            Self::Watch(_) => "watch",
            Self::Hls => "hls",
            Self::Health => "health",
            Self::Ready => "ready",
            Self::Metrics => "metrics",
        }
    }
}

/// The path at which it is asked whether the store is there.
pub const READY: &str = "/readyz";

/// The path at which tokens are made.
pub const TOKENS: &str = "/api/tokens";

/// The names of all routes. The last is for what is no route.
pub const NAMES: [&str; 14] = [
    "stream", "list", "entry", "url", "cookies", "tokens", "uploads", "library", "watch", "hls", "health", "ready", "metrics",
    "none",
];

/// The place of a route's name among all.
pub fn place(route: Option<&Route>) -> usize {
    let name = route.map_or("none", Route::name);
    NAMES.iter().position(|known| *known == name).unwrap_or(NAMES.len() - 1)
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
        "/hls.js" => return Ok(Route::Hls),
        "/healthz" => return Ok(Route::Health),
        READY => return Ok(Route::Ready),
        "/metrics" => return Ok(Route::Metrics),
        "/api/videos" => return Ok(Route::List),
        TOKENS => return Ok(Route::Tokens),
        tus::PATH => return Ok(Route::Uploads),
        _ => {}
    }
    if let Some(rest) = path.strip_prefix("/api/videos/") {
        let (key, verb) = rest.rsplit_once('/').unwrap_or(("", rest));
        return match verb {
            "stream" => ObjectKey::from_path(key).map(Route::Bytes),
            "url" => ObjectKey::from_path(key).map(Route::Url),
            "cookies" => ObjectKey::from_path(key).map(Route::Cookies),
            _ => ObjectKey::from_path(rest).map(Route::Entry),
        };
    }
    if tus::is_path(path) {
        let id = path.rsplit_once('/').filter(|(folder, _)| *folder == tus::PATH).and_then(|(_, id)| UploadId::parse(id));
        return id.map(Route::Upload).ok_or_else(|| ErrorKind::NotFound.into());
    }
    if let Some(rest) = path.strip_prefix("/media/") {
        // A first segment that starts with ~ is a playback token, and the key lies behind it.
        let key = if rest.starts_with('~') { rest.split_once('/').map(|(_, key)| key) } else { Some(rest) };
        return ObjectKey::from_path(key.ok_or(ErrorKind::NotFound)?).map(Route::Bytes);
    }
    if let Some(rest) = path.strip_prefix("/watch/") {
        return ObjectKey::from_path(rest).map(Route::Watch);
    }
    Err(ErrorKind::NotFound.into())
}

/// The playback token in a path: `/media/~{token}/{key}`.
pub fn token_of_path(path: &str) -> Option<&str> {
    path.strip_prefix("/media/~")?.split_once('/').map(|(token, _)| token)
}

/// `?token=`: a playback token.
pub fn token_of_query(query: &str) -> Option<std::borrow::Cow<'_, str>> {
    parameter(query, "token")
}

/// A target as it may be logged: without tokens, wherever they stand in it, in the right place or not.
pub fn without_tokens(target: &str) -> String {
    let (path, query) = split(target);
    let shown_of = |segment| {
        // Some clients encode the ~, and then it marks no token here, but one stands behind it all the same.
        let decoded = percent_decode_str(segment).decode_utf8_lossy();
        if decoded.starts_with('~') || looks_like_jwt(&decoded) { "~..." } else { segment }
    };
    let mut shown = path.split('/').map(shown_of).collect::<Vec<_>>().join("/");
    for (index, pair) in query.split('&').filter(|_| target.contains('?')).enumerate() {
        shown.push(if index == 0 { '?' } else { '&' });
        let (name, value) = form_urlencoded::parse(pair.as_bytes()).next().unwrap_or_default();
        shown.push_str(match () {
            () if name.eq_ignore_ascii_case("token") => "token=...",
            () if looks_like_jwt(&name) || value.split('/').any(looks_like_jwt) => "...",
            () => pair,
        });
    }
    shown
}

/// Whether a text has the parts of a JSON Web Token (RFC 7515 section 7.1), the first of which is a JSON object in base64url.
fn looks_like_jwt(text: &str) -> bool {
    text.starts_with("ey") && text.matches('.').count() >= 2
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

/// `?expires=`: for how long a URL is wanted.
///
/// # Errors
/// [`ErrorKind::BadRequest`] where it is not a whole number of seconds, from one to those of a week.
pub fn expires(query: &str, default: Duration) -> Result<Duration, Error> {
    let Some(text) = parameter(query, "expires") else { return Ok(default) };
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds = digits.and_then(|digits| digits.parse().ok()).filter(|seconds| (1..=EXPIRES_MAX).contains(seconds));
    let wanted = || Error::new(ErrorKind::BadRequest, "expires must be a whole number of seconds, from 1 to 604800");
    seconds.map(Duration::from_secs).ok_or_else(wanted)
}

/// `?redirect=1`: the URL is wanted as a redirection to it.
///
/// # Errors
/// [`ErrorKind::BadRequest`] where it is neither 0 nor 1.
pub fn redirect(query: &str) -> Result<bool, Error> {
    match parameter(query, "redirect").as_deref() {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(_) => Err(Error::new(ErrorKind::BadRequest, "redirect must be 1, or not be there")),
    }
}

/// `?prefix=` of cookies: what they open, where it is not the folder of the key.
///
/// # Errors
/// [`ErrorKind::BadRequest`] where the key does not start so: the cookies would not be for it.
pub fn cookie_prefix<'q>(query: &'q str, key: &ObjectKey) -> Result<Option<std::borrow::Cow<'q, str>>, Error> {
    match parameter(query, "prefix") {
        Some(prefix) if !key.as_str().starts_with(&*prefix) => {
            Err(Error::new(ErrorKind::BadRequest, "prefix must be the start of the key"))
        }
        prefix => Ok(prefix),
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

/// `?etag=`: the version of the object that the address is of, as `ETag` has it or without the quotes.
pub fn version(query: &str) -> Option<String> {
    parameter(query, "etag").map(std::borrow::Cow::into_owned)
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
    fn each_route_has_its_place_among_the_names() {
        let paths = [
            "/",
            "/hls.js",
            "/healthz",
            "/readyz",
            "/metrics",
            "/api/videos",
            "/api/videos/a",
            "/api/videos/a/url",
            "/api/videos/a/cookies",
            "/api/tokens",
            "/api/uploads",
            "/media/a",
            "/watch/a",
        ];
        let mut places: Vec<usize> = paths.iter().map(|path| place(resolve(path).ok().as_ref())).collect();
        for (path, place) in paths.iter().zip(&places) {
            assert_eq!(NAMES[*place], resolve(path).unwrap().name());
        }
        places.push(place(None));
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), NAMES.len());
    }

    #[test]
    fn tokens_are_not_shown() {
        for (path, want) in [
            ("/media/~eyJ.a.b/film.mp4", "/media/~.../film.mp4"),
            ("/Media/~eyJ.a.b", "/Media/~..."),
            ("/media/%7EeyJ/a", "/media/~.../a"),
            ("/x/a~b", "/x/a~b"),
            ("", ""),
        ] {
            assert_eq!(without_tokens(path), want);
        }
    }

    #[test]
    fn paths() {
        check("/", Ok(Route::Library));
        check("/hls.js", Ok(Route::Hls));
        check("/healthz", Ok(Route::Health));
        check("/readyz", Ok(Route::Ready));
        check("/api/videos", Ok(Route::List));
        check("/api/videos/film.mp4", Ok(Route::Entry(key("film.mp4"))));
        check("/api/videos/a/b/film.mp4/stream", Ok(Route::Bytes(key("a/b/film.mp4"))));
        check("/api/videos/a%2Fb/stream", Ok(Route::Bytes(key("a/b"))));
        check("/api/videos/stream/stream", Ok(Route::Bytes(key("stream"))));
        check("/api/videos/a%2Fstream", Ok(Route::Entry(key("a/stream"))));
        check("/api/videos/a%2Fstream/stream", Ok(Route::Bytes(key("a/stream"))));
        check("/api/videos/%73tream", Ok(Route::Entry(key("stream"))));
        check("/api/videos/a/url", Ok(Route::Url(key("a"))));
        check("/api/videos/a/b/cookies", Ok(Route::Cookies(key("a/b"))));
        check("/api/tokens", Ok(Route::Tokens));
        check("/media/a/stream", Ok(Route::Bytes(key("a/stream"))));
        check("/media/%7Ea/b", Ok(Route::Bytes(key("~a/b"))));
        check("/media/a/~b", Ok(Route::Bytes(key("a/~b"))));
        check("/watch/a%20b", Ok(Route::Watch(key("a b"))));

        check("/media/~token/a/b", Ok(Route::Bytes(key("a/b"))));
        check("/media/~token/~a", Ok(Route::Bytes(key("~a"))));
        check("/media/~/a", Ok(Route::Bytes(key("a"))));
        check("/media/~token/", Err(ErrorKind::BadKey));
        check("/media/~token", Err(ErrorKind::NotFound));
        check("/media/~", Err(ErrorKind::NotFound));
        for path in [
            "",
            "*",
            "/healthz/",
            "/api",
            "/api/video",
            "/api/videosx",
            "/media",
            "/watch",
            "//",
            "/Healthz",
            "/index.html",
            "/hls",
            "/hls.js/",
        ] {
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
    fn tokens_in_targets() {
        for (path, want) in [
            ("/media/~abc/x/y", Some("abc")),
            ("/media/~/x", Some("")),
            ("/media/~abc", None),
            ("/media/x/~abc/y", None),
            ("/media/%7Eabc/y", None),
            ("/api/videos/~abc/stream", None),
        ] {
            assert_eq!(token_of_path(path), want, "{path}");
        }
        for (query, want) in [("token=a.b", Some("a.b")), ("x&%74oken=a&token=b", Some("a")), ("Token=a", None), ("", None)] {
            assert_eq!(token_of_query(query).as_deref(), want, "{query}");
        }
        for (target, want) in [
            ("/media/~hunter2/x/y?a=b", "/media/~.../x/y?a=b"),
            ("/media/~hunter2", "/media/~..."),
            ("//media//~hunter2/x", "//media//~.../x"),
            ("/media/x?token=hunter2", "/media/x?token=..."),
            ("/x?a=b&%74%6Fken=hunter2&token=hunter2&c", "/x?a=b&token=...&token=...&c"),
            ("/media/%7Ehunter2/x", "/media/~.../x"),
            ("/media/%7ehunter2", "/media/~..."),
            ("/media/eyJh.hunter.2/x", "/media/~.../x"),
            ("/media/%65yJh.hunter.2", "/media/~..."),
            ("/media/x?Token=hunter2&TOKEN=hunter2", "/media/x?token=...&token=..."),
            ("/media/x?t=eyJh.hunter.2&eyJh.hunter.2&a=b", "/media/x?...&...&a=b"),
            ("/api/videos?prefix=a%2FeyJh.hunter%2E2", "/api/videos?..."),
            ("/media/money.tar.gz/x.mp4?download=x.mp4", "/media/money.tar.gz/x.mp4?download=x.mp4"),
            ("/x?", "/x?"),
            ("/x", "/x"),
            ("*", "*"),
        ] {
            assert_eq!(without_tokens(target), want);
        }
    }

    #[test]
    fn queries_of_signed_urls() {
        let default = Duration::from_secs(9);
        for (query, want) in [
            ("", Some(9)),
            ("expires=1", Some(1)),
            ("expires=604800", Some(604_800)),
            ("expires=0600", Some(600)),
            ("expires=0", None),
            ("expires=604801", None),
            ("expires=", None),
            ("expires=-1", None),
            ("expires=%2B1", None),
            ("expires=1.5", None),
            ("expires=1h", None),
            ("expires=99999999999999999999", None),
        ] {
            assert_eq!(expires(query, default).ok().map(|it| it.as_secs()), want, "{query}");
        }
        for (query, want) in [("", Some(false)), ("redirect=0", Some(false)), ("redirect=1", Some(true)), ("redirect", None)] {
            assert_eq!(redirect(query).ok(), want, "{query}");
        }
        for (query, want) in
            [("", Some(None)), ("prefix=a%2Fb", Some(Some("a/b"))), ("prefix=", Some(Some(""))), ("prefix=b", None)]
        {
            let got = cookie_prefix(query, &key("a/b c")).ok();
            assert_eq!(got.as_ref().map(Option::as_deref), want, "{query}");
        }
    }

    #[test]
    fn versions() {
        assert_eq!(version("chunkSize=1"), None);
        assert_eq!(version("etag"), Some(String::new()));
        assert_eq!(version("a=b&etag=%22a-1%22&etag=x"), Some("\"a-1\"".into()));
    }

    #[test]
    fn downloads() {
        assert_eq!(download(""), None);
        assert_eq!(download("download"), Some(String::new()));
        assert_eq!(download("download=a%22.mp4"), Some("a\".mp4".into()));
    }
}
