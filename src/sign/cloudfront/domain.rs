//! The distribution: its host, and the URLs of objects behind it.
//!
//! In scope: keys to paths, patterns of a prefix, the scope of cookies. Not in scope: signing.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::object::ObjectKey;

/// What stays as it is in a path: what JavaScript's `encodeURIComponent` keeps, and the slash, so that no SDK encodes it anew. The star is
/// encoded, although `encodeURIComponent` keeps it: in a policy it is a wildcard, and a policy that one URL is signed with can
/// be sent as one for many.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'/');

/// The host name of a distribution, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain(String);

impl Domain {
    /// Takes a host name of labels with dots between, such as `d111111abcdef8.cloudfront.net`; `None` for anything else, a
    /// scheme, a port and an IP address included.
    pub fn new(host: &str) -> Option<Self> {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // The name of a top-level domain has a letter (RFC 3696 section 2), which tells it from an address.
        let last = host.rsplit('.').next().unwrap_or_default();
        let is_name = host.len() <= 253
            && host.contains('.')
            && host.split('.').all(is_label)
            && last.bytes().any(|byte| byte.is_ascii_alphabetic());
        is_name.then(|| Self(host.to_ascii_lowercase()))
    }

    /// The host name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL of an object, as it goes over the wire.
    pub fn url(&self, key: &ObjectKey) -> String {
        format!("https://{}/{}", self.0, utf8_percent_encode(key.as_str(), PATH))
    }

    /// The pattern of all keys that start so, for a custom policy; the empty prefix is everything.
    pub fn pattern(&self, prefix: &str) -> String {
        format!("https://{}/{}*", self.0, utf8_percent_encode(prefix, PATH))
    }

    /// The path that cookies for this prefix belong to: its folder, so that the cookies of two videos do not replace one
    /// another.
    pub fn cookie_path(prefix: &str) -> String {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("/{}", utf8_percent_encode(folder, PATH))
    }

    /// The host that cookies must be set for so that a browser which has them from `host` sends them to the distribution: the
    /// longest common parent. `None` where there is none but a top-level domain, for which browsers take no cookies.
    pub fn cookie_domain(&self, host: &str) -> Option<String> {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let pairs = host.rsplit('.').zip(self.0.rsplit('.'));
        let mut labels: Vec<&str> = pairs.take_while(|(ours, theirs)| ours == theirs).map(|(label, _)| label).collect();
        labels.reverse();
        (labels.len() >= 2).then(|| labels.join("."))
    }
}
