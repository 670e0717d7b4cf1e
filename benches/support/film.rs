//! Where a film is and how long it is; loopback only.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};

/// Host, port and path of a plain HTTP URL.
pub fn split(url: &str) -> (SocketAddr, String) {
    let rest = url.strip_prefix("http://").expect("an http:// URL");
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let addr = authority.to_socket_addrs().expect("host:port").next().expect("an address");
    assert!(addr.ip().is_loopback(), "loads stay on this machine");
    (addr, if path.is_empty() { "/".into() } else { path.into() })
}

/// How long the film at this address is, in bytes.
pub fn film_len(addr: SocketAddr, path: &str) -> u64 {
    let mut stream = TcpStream::connect(addr).expect("the server accepts");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nRange: bytes=0-0\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    let range = answer.lines().find_map(|line| line.strip_prefix("content-range: bytes 0-0/").map(str::trim));
    range.and_then(|len| len.parse().ok()).unwrap_or_else(|| panic!("no range of this URL: {answer}"))
}
