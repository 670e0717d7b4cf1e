//! From the text of one setting to its value.
//!
//! In scope: what is legal in a text, and the sentence that says what was expected of it. Not in scope: where the text came
//! from, and how settings depend on one another. Everything here is a pure function; a text arrives as it was written, not
//! trimmed, so that a stray space is told and not guessed at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::CorsOrigins;
use crate::sign::bearer::AdminToken;
use crate::sign::cloudfront::{self, Domain, PrivateKey};
use crate::store::credentials;

/// A value, or what was expected instead: a phrase that continues "expected ...".
pub(super) type Parsed<T> = Result<T, String>;

/// The smallest chunk: below 16 KiB the cost of a request outweighs the bytes it brings.
pub(super) const CHUNK_LEN_MIN: u64 = 16 << 10;
/// The largest chunk: a chunk is held in memory as a whole.
pub(super) const CHUNK_LEN_MAX: u64 = 8 << 20;
/// More threads a core than this only queue for the same core.
const WORKERS_PER_CORE_MAX: u64 = 256;
/// Far above what one process can hold open; a larger number is a slip of the finger.
const CONNECTIONS_MAX: u64 = 1_000_000;
/// A longer pause is no time limit any more.
const TIMEOUT_MAX: Duration = Duration::from_hours(24);
/// The longest that a signed URL may be good for: presigned URLs of S3 end after a week.
pub const URL_TTL_MAX: Duration = Duration::from_hours(7 * 24);
/// The longest host name (RFC 1035 section 2.3.4).
const HOST_LEN_MAX: usize = 253;
/// The slowest that a stream is paced, in bytes a second: slower is no film, and a read of the store for every few bytes.
const RATE_MIN: u64 = 4 * 1024;

/// Less memory than this would hold a block or two of a cache.
const CACHE_RAM_MIN: u64 = 1 << 20;
/// Less disk than this would hold a few seconds of one film.
const CACHE_DISK_MIN: u64 = 16 << 20;
/// The longest object of S3 (AWS, "Amazon S3 multipart upload limits").
const UPLOAD_MAX: u64 = 5 << 40;
/// The longest time that an upload is kept for: 30 days.
const UPLOAD_EXPIRY_MAX: Duration = Duration::from_hours(30 * 24);

/// An IP address, bare or in the brackets of a URL, or a host name. The brackets are taken off.
pub(super) fn host(text: &str) -> Parsed<String> {
    let wanted = || "an IP address or a host name, without a port".to_owned();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(inner) => inner.parse::<Ipv6Addr>().map(|_| inner.to_owned()).map_err(|_| wanted()),
        None if text.contains(':') => text.parse::<Ipv6Addr>().map(|_| text.to_owned()).map_err(|_| wanted()),
        None if is_host_name(text) => Ok(text.to_owned()),
        None => Err(wanted()),
    }
}

/// A name of dot-separated labels, or an IPv4 address: what is spelt with digits and dots only is no name.
fn is_host_name(text: &str) -> bool {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return text.parse::<Ipv4Addr>().is_ok();
    }
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    text.len() <= HOST_LEN_MAX && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

/// A port; 0 stands for "pick a free one".
pub(super) fn port(text: &str) -> Parsed<u16> {
    let port = digits(text).and_then(|number| u16::try_from(number).ok());
    port.ok_or_else(|| "a port number, 0 to 65535 (0 picks a free one)".to_owned())
}

/// An address with its port.
pub(super) fn socket_addr(text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| "an IP address and a port, such as 127.0.0.1:9100 or [::1]:9100".to_owned())
}

/// The length of a chunk, in bytes.
pub(super) fn chunk_len(text: &str) -> Parsed<usize> {
    let len = size(text).filter(|len| (CHUNK_LEN_MIN..=CHUNK_LEN_MAX).contains(len));
    let len = len.and_then(|len| usize::try_from(len).ok());
    len.ok_or_else(|| "a size of 16KiB to 8MiB, in bytes or with KiB, MiB or GiB".to_owned())
}

/// Threads a core.
pub(super) fn workers_per_core(text: &str) -> Parsed<usize> {
    whole(text, WORKERS_PER_CORE_MAX).ok_or_else(|| format!("a whole number, 1 to {WORKERS_PER_CORE_MAX}"))
}

/// Connections held at once; `None` is `auto`.
pub(super) fn connections_max(text: &str) -> Parsed<Option<usize>> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(None);
    }
    whole(text, CONNECTIONS_MAX).map(Some).ok_or_else(|| format!("auto, or a whole number, 1 to {CONNECTIONS_MAX}"))
}

/// A time limit: more than nothing, at most a day.
pub(super) fn timeout(text: &str) -> Parsed<Duration> {
    if digits(text).is_some() {
        return Err("a duration with its unit (ms, s, m or h), such as 500ms or 30s: a bare number has none".to_owned());
    }
    let limit = duration(text).filter(|limit| !limit.is_zero() && *limit <= TIMEOUT_MAX);
    limit.ok_or_else(|| "a duration above 0 and up to 24h, such as 500ms, 10s, 30m or 2h".to_owned())
}

/// How long something is trusted: at most a day; 0, with or without a unit, is not at all.
pub(super) fn ttl(text: &str) -> Parsed<Duration> {
    let span = if text == "0" { Some(Duration::ZERO) } else { duration(text) };
    span.filter(|span| *span <= TIMEOUT_MAX).ok_or_else(|| "0, or a duration up to 24h, such as 500ms, 60s or 5m".to_owned())
}

/// How long a signed URL is good: whole seconds, as signatures count.
pub(super) fn url_ttl(text: &str) -> Parsed<Duration> {
    lifetime(text, URL_TTL_MAX)
}

/// For how long something is good, in whole seconds.
pub(super) fn lifetime(text: &str, max: Duration) -> Parsed<Duration> {
    let ttl = duration(text).map(|ttl| Duration::from_secs(ttl.as_secs()));
    let ttl = ttl.filter(|ttl| !ttl.is_zero() && *ttl <= max);
    let hours_max = max.as_secs() / 3600;
    ttl.ok_or_else(|| format!("a duration of 1s to {hours_max}h with its unit (s, m or h), such as 90s, 30m or 12h"))
}

/// The host of a CloudFront distribution.
pub(super) fn domain(text: &str) -> Parsed<Domain> {
    let wanted = || "a host name without scheme, port and path, such as d111111abcdef8.cloudfront.net".to_owned();
    Domain::new(text).ok_or_else(wanted)
}

/// The name of a public key at CloudFront.
pub(super) fn key_pair_id(text: &str) -> Parsed<String> {
    let wanted = || "the id of a public key at CloudFront, such as K2JCJMDEHXQW5F".to_owned();
    if cloudfront::is_key_pair_id(text) { Ok(text.to_owned()) } else { Err(wanted()) }
}

/// The text of a PEM file with a private key. What is wrong with it is told without a byte of it.
pub(super) fn private_key(text: &str) -> Parsed<PrivateKey> {
    let wanted = |error| format!("a private key of RSA with 2048 bits or ECDSA P-256, as PEM; {error}");
    PrivateKey::from_pem(text).map_err(wanted)
}

/// The operator's token.
pub(super) fn admin_token(text: &str) -> Parsed<AdminToken> {
    AdminToken::new(text).ok_or_else(|| "letters, digits and -._~+/ only, which a bearer token is made of".to_owned())
}

/// A path: anything but nothing. Whether it exists is asked later.
pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    if text.is_empty() { Err("the path of a directory".to_owned()) } else { Ok(PathBuf::from(text)) }
}

/// A path of a directory that may be made: `~` is the shell's to expand, and a directory of that name would be a surprise.
pub(super) fn new_dir(text: &str) -> Parsed<PathBuf> {
    if text.starts_with('~') { Err("a path without ~".to_owned()) } else { path(text) }
}

/// A bucket's name. Wider than the rules of AWS for new buckets: old buckets and other stores have capitals and underscores.
pub(super) fn bucket(text: &str) -> Parsed<String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_bucket = (1..=255).contains(&text.len()) && text.bytes().all(legal) && text != "." && text != "..";
    if is_bucket { Ok(text.to_owned()) } else { Err("the name of a bucket, without its URL".to_owned()) }
}

/// A region's name: AWS has a fixed list that grows, other stores take any.
pub(super) fn region(text: &str) -> Parsed<String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_region = (1..=64).contains(&text.len()) && text.bytes().all(legal);
    if is_region { Ok(text.to_owned()) } else { Err("the name of a region, such as eu-central-1".to_owned()) }
}

/// A credential: visible ASCII. A space or line end at its edge is what a careless paste leaves, and no store hands out
/// keys with either.
pub(super) fn credential(text: &str) -> Parsed<String> {
    let is_credential = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_credential { Ok(text.to_owned()) } else { Err("visible ASCII characters without spaces".to_owned()) }
}

/// The name of a profile: one line.
pub(super) fn profile(text: &str) -> Parsed<String> {
    let is_profile = (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
    if is_profile { Ok(text.to_owned()) } else { Err("the name of a profile".to_owned()) }
}

/// The path of a file. Whether it exists is asked later.
pub(super) fn file(text: &str) -> Parsed<PathBuf> {
    if text.is_empty() { Err("the path of a file".to_owned()) } else { Ok(PathBuf::from(text)) }
}

/// The path of a file of JavaScript. Whether it exists is asked when the server starts.
pub(super) fn script(text: &str) -> Parsed<PathBuf> {
    let path = PathBuf::from(text);
    let is_script = path.extension().is_some_and(|ending| ending == "js");
    if is_script { Ok(path) } else { Err("the path of a file that ends in .js, such as /srv/hls.light.min.js".to_owned()) }
}

/// The name of a role.
pub(super) fn role_arn(text: &str) -> Parsed<String> {
    let wanted = || "the name of a role, such as arn:aws:iam::123456789012:role/vidgate".to_owned();
    if credentials::is_role_arn(text) { Ok(text.to_owned()) } else { Err(wanted()) }
}

/// The name of a session of a role.
pub(super) fn session_name(text: &str) -> Parsed<String> {
    let wanted = || "2 to 64 letters, digits or _+=,.@-".to_owned();
    if credentials::is_session_name(text) { Ok(text.to_owned()) } else { Err(wanted()) }
}

/// What goes into a field of a request: visible ASCII, and spaces between.
pub(super) fn field(text: &str) -> Parsed<String> {
    let is_legal = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    let is_field = !text.is_empty() && text.trim() == text && text.bytes().all(is_legal);
    if is_field { Ok(text.to_owned()) } else { Err("visible ASCII characters".to_owned()) }
}

/// Yes or no, as AWS spells it.
pub(super) fn truth(text: &str) -> Parsed<bool> {
    one_of(text, &[("true", true), ("false", false)])
}

/// The address of an S3 service: scheme, host, optional port, optional path.
pub(super) fn endpoint(text: &str) -> Parsed<String> {
    let is_endpoint = text.split_once("://").is_some_and(|(scheme, rest)| {
        let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_path = path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\'));
        is_http && split_authority(authority).is_some() && is_path
    });
    let wanted = || "an http:// or https:// URL without user name or query, such as http://127.0.0.1:9000".to_owned();
    if is_endpoint { Ok(text.to_owned()) } else { Err(wanted()) }
}

/// `*`, or origins divided by commas. They are put into the form that browsers send (RFC 6454 section 6.2): lower case, and
/// no port where it is the scheme's own.
pub(super) fn cors_origins(text: &str) -> Parsed<CorsOrigins> {
    if text == "*" {
        return Ok(CorsOrigins::Any);
    }
    let wanted =
        || "* alone, or a comma list of origins: scheme://host or scheme://host:port, no path and no trailing slash".to_owned();
    let origins = text.split(',').map(|item| origin(item.trim())).collect::<Option<Vec<_>>>();
    origins.map(CorsOrigins::List).ok_or_else(wanted)
}

/// One origin, normalised.
fn origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    let (host, port) = split_authority(authority)?;
    let is_own_port = matches!((scheme, port), ("http", Some(80)) | ("https", Some(443)));
    match port {
        _ if !is_scheme => None,
        Some(port) if !is_own_port => Some(format!("{scheme}://{host}:{port}")),
        _ => Some(format!("{scheme}://{host}")),
    }
}

/// Divides `host` or `host:port`; the host of an IPv6 address keeps its brackets.
fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let host_len = match authority.strip_prefix('[') {
        Some(rest) => {
            let inner_len = rest.find(']')?;
            rest[..inner_len].parse::<Ipv6Addr>().ok()?;
            inner_len + 2
        }
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_len);
    if !host.starts_with('[') && !is_host_name(host) {
        return None;
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((host, None)),
        None => None,
        Some(port) => Some((host, Some(digits(port).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)?))),
    }
}

/// One word of a list, in any case.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Parsed<T> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        format!("one of {}", words.join(", "))
    })
}

/// A number of things, 0 for no limit.
pub(super) fn count(text: &str) -> Parsed<usize> {
    let count = digits(text).and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| "a whole number, 0 for no limit".to_owned())
}

/// Bytes a second; `off` for as many as there can be.
pub(super) fn rate(text: &str) -> Parsed<Option<u64>> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let rate = size(text).filter(|rate| *rate >= RATE_MIN);
    rate.map(Some).ok_or_else(|| "off, or a size of at least 4KiB (a second), in bytes or with KiB, MiB or GiB".to_owned())
}

/// A budget of memory for the chunk cache: nothing, or enough for a few blocks.
pub(super) fn cache_ram(text: &str) -> Parsed<u64> {
    let len = size(text).filter(|len| *len == 0 || *len >= CACHE_RAM_MIN);
    len.ok_or_else(|| "0 for none, or a size of at least 1MiB, in bytes or with KiB, MiB or GiB".to_owned())
}

/// A budget of disk for the chunk cache.
pub(super) fn cache_disk(text: &str) -> Parsed<u64> {
    let len = size(text).filter(|len| *len >= CACHE_DISK_MIN);
    len.ok_or_else(|| "a size of at least 16MiB, in bytes or with KiB, MiB or GiB".to_owned())
}

/// Bytes, 0 included.
pub(super) fn burst(text: &str) -> Parsed<u64> {
    size(text).ok_or_else(|| "a size in bytes or with KiB, MiB or GiB".to_owned())
}

/// The longest object that may be uploaded: up to the longest that S3 can have.
pub(super) fn upload_max(text: &str) -> Parsed<u64> {
    let len = size(text).filter(|len| (1..=UPLOAD_MAX).contains(len));
    len.ok_or_else(|| "a size of 1 to 5120GiB, in bytes or with KiB, MiB or GiB".to_owned())
}

/// How long a resumable upload is kept that nobody goes on with: up to 30 days.
pub(super) fn upload_expiry(text: &str) -> Parsed<Duration> {
    lifetime(text, UPLOAD_EXPIRY_MAX)
}

/// A comma list of networks; an address is the network of itself.
pub(super) fn networks(text: &str) -> Parsed<Vec<IpNet>> {
    let network = |text: &str| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let networks = text.split(',').map(str::trim).map(network).collect::<Option<_>>();
    networks.ok_or_else(|| "addresses or networks with commas between, such as 10.0.0.0/8,192.0.2.1".to_owned())
}

/// A size in bytes: a number, with or without a unit.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let bytes = match unit.to_ascii_lowercase().as_str() {
        "" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes)
}

/// A number with a unit of time.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(60 * 60).map(Duration::from_secs),
        _ => None,
    }
}

/// Divides `12MiB` or `12 MiB`. A number followed by a space and nothing is neither.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits_len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits_len);
    let unit = rest.strip_prefix(' ').unwrap_or(rest);
    if unit.is_empty() && !rest.is_empty() {
        return None;
    }
    Some((digits(number)?, unit))
}

/// A whole number from 1 to `max`.
fn whole(text: &str, max: u64) -> Option<usize> {
    digits(text).filter(|number| (1..=max).contains(number)).and_then(|number| usize::try_from(number).ok())
}

/// Decimal digits and nothing else: the parser of the standard library would also take a leading plus sign.
fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
