//! Who asks, where proxies stand between.
//!
//! In scope: the client's address by `X-Forwarded-For`, where the peer is a proxy that is trusted. Not in scope: which are.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The client's address. Each proxy appends the address that it was asked from, so the list is read from its end: the last one
/// that is not a trusted proxy is the client. What stands before it the client may have written itself.
pub fn client(peer: IpAddr, forwarded_for: Option<&str>, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |addr: IpAddr| trusted.iter().any(|net| net.contains(&addr));
    let mut client = peer.to_canonical();
    let mut hops = forwarded_for.unwrap_or_default().rsplit(',');
    while is_trusted(client) {
        // What is no address was written by nobody we trust: the proxy that passed it on is all that is known.
        let Some(hop) = hops.next().and_then(address) else { break };
        client = hop;
    }
    client
}

/// Whether the client came by TLS: where the peer is a proxy that is trusted, and says so last.
pub fn is_https(peer: IpAddr, forwarded_proto: Option<&str>, trusted: &[IpNet]) -> bool {
    let is_trusted = trusted.iter().any(|net| net.contains(&peer.to_canonical()));
    let last = forwarded_proto.unwrap_or_default().rsplit(',').next().unwrap_or_default().trim();
    is_trusted && last.eq_ignore_ascii_case("https")
}

/// One element of the list: an address, and with some proxies a port behind it.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let addr: IpAddr = bare().or_else(|| text.parse::<SocketAddr>().ok().map(|addr| addr.ip()))?;
    Some(addr.to_canonical())
}

/// What counts as one client: an IPv4 address, or the /64 that an IPv6 host has for itself (RFC 4291 section 2.5.4).
pub fn group(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V6(addr) => IpAddr::V6((addr.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded_for: Option<&str>, want: &str) {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        assert_eq!(client(peer.parse().unwrap(), forwarded_for, &trusted), want.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn schemes() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        for (peer, proto, want) in [
            ("10.0.0.1", Some("https"), true),
            ("::ffff:10.0.0.1", Some("HTTPS"), true),
            ("10.0.0.1", Some("http, https"), true),
            ("10.0.0.1", Some("https, http"), false),
            ("10.0.0.1", Some(""), false),
            ("10.0.0.1", None, false),
            ("192.0.2.1", Some("https"), false),
        ] {
            assert_eq!(is_https(peer.parse().unwrap(), proto, &trusted), want, "{peer} {proto:?}");
        }
    }

    #[test]
    fn clients() {
        // Nobody trusted: the field does not count.
        check("192.0.2.1", Some("203.0.113.9"), "192.0.2.1");
        check("192.0.2.1", None, "192.0.2.1");
        check("10.0.0.1", Some("203.0.113.9"), "203.0.113.9");
        check("::ffff:10.0.0.1", Some("203.0.113.9"), "203.0.113.9");
        check("fd00::1", Some("2001:db8::7"), "2001:db8::7");
        check("10.0.0.1", Some("203.0.113.9:4711"), "203.0.113.9");
        check("10.0.0.1", Some("[2001:db8::7]:4711"), "2001:db8::7");
        check("10.0.0.1", Some("[2001:db8::7]"), "2001:db8::7");
        check("10.0.0.1", Some("203.0.113.9, 10.0.0.2"), "203.0.113.9");
        // What the client wrote itself stands in front.
        check("10.0.0.1", Some("198.51.100.1, 203.0.113.9, 10.0.0.2"), "203.0.113.9");
        check("10.0.0.1", Some("10.0.0.3, 10.0.0.2"), "10.0.0.3");
        check("10.0.0.1", Some("unknown, 10.0.0.2"), "10.0.0.2");
        for nonsense in ["", " ", "unknown", "203.0.113", "203.0.113.9,", "a:b:c", "\"203.0.113.9\""] {
            check("10.0.0.1", Some(nonsense), "10.0.0.1");
        }
        check("10.0.0.1", None, "10.0.0.1");
    }

    #[test]
    fn groups() {
        for (addr, want) in
            [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")]
        {
            assert_eq!(group(addr.parse().unwrap()), want.parse::<IpAddr>().unwrap());
        }
    }
}
