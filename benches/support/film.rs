//! Where films are and how long they are; loopback only.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};

/// Films at one address: one, or as many as a number in braces says, `/media/cold-{64}.mp4` for `cold-0.mp4` to `cold-63.mp4`, or those
/// of a file of addresses, `@FILE`.
pub struct Films {
    pub addr: SocketAddr,
    paths: Vec<String>,
    pub count: u64,
}

impl Films {
    pub fn at(url: &str) -> Self {
        if let Some(file) = url.strip_prefix('@') {
            let list = std::fs::read_to_string(file).expect("a file of addresses");
            let films: Vec<(SocketAddr, String)> = list.lines().map(split).collect();
            return Self::new(films.first().expect("an address").0, films.into_iter().map(|(_, path)| path).collect());
        }
        let (addr, path) = split(url);
        let braces = path.find('{').zip(path.find('}'));
        let Some((open, close)) = braces else { return Self::new(addr, vec![path]) };
        let count: u64 = path[open + 1..close].parse().expect("a number of films");
        Self::new(addr, (0..count).map(|number| format!("{}{number}{}", &path[..open], &path[close + 1..])).collect())
    }

    fn new(addr: SocketAddr, paths: Vec<String>) -> Self {
        Self { addr, count: paths.len() as u64, paths }
    }

    /// The path of a film; behind the last comes the first again.
    pub fn path(&self, number: u64) -> String {
        usize::try_from(number % self.count).map(|at| self.paths[at].clone()).expect("a number of paths")
    }
}

/// Host, port and path of a plain HTTP URL.
pub fn split(url: &str) -> (SocketAddr, String) {
    let rest = url.strip_prefix("http://").expect("an http:// URL");
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let addr = authority.to_socket_addrs().expect("host:port").next().expect("an address");
    assert!(addr.ip().is_loopback(), "loads stay on this machine");
    (addr, if path.is_empty() { "/".into() } else { path.into() })
}

/// How long the film at this address is, in bytes, once its first byte has come; or what came instead.
pub fn film_len(addr: SocketAddr, path: &str) -> Result<u64, String> {
    let answer = ask_for_a_byte(addr, path).map_err(|error| error.to_string())?;
    let range = answer.lines().find_map(|line| line.strip_prefix("content-range: bytes 0-0/").map(str::trim));
    range.and_then(|len| len.parse().ok()).ok_or(answer)
}

fn ask_for_a_byte(addr: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nRange: bytes=0-0\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).to_ascii_lowercase())
}
