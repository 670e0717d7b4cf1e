//! Chunk adaptors: films that lie scrambled in a directory and are served plain, each chunk counted, and read no faster than a rate.
//!
//! `cargo run --example transform -- DIRECTORY`. The scrambling is no encryption; put a real cipher that can start at any block
//! (AES-CTR) in its place.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use vidgate::store::{Adapted, Adaptor, Chunk, Directory};
use vidgate::{Config, Error, Server};

const SECRET: &[u8] = b"not a secret";

/// Changes bytes: what a byte becomes depends on where it lies, so any part of a film can be had alone.
fn unscrambled() -> impl Adaptor {
    |chunk: Chunk<'_>| {
        for (byte, at) in chunk.bytes.iter_mut().zip(chunk.at..) {
            *byte ^= SECRET[usize::try_from(at % SECRET.len() as u64).unwrap_or(0)];
        }
        Ok(())
    }
}

/// Only looks.
fn counted(total_len: Arc<AtomicU64>) -> impl Adaptor {
    move |chunk: Chunk<'_>| {
        total_len.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Takes its time, and holds a thread of the pool meanwhile: for a store that must be spared. Viewers are paced with
/// `Config::rate`, which holds none.
fn throttled(bytes_a_second: u64) -> impl Adaptor {
    move |chunk: Chunk<'_>| {
        thread::sleep(Duration::from_micros(chunk.bytes.len() as u64 * 1_000_000 / bytes_a_second));
        Ok(())
    }
}

/// A server on this directory. Adaptors are put one on another.
fn start(root: &Path, port: u16, total_len: &Arc<AtomicU64>) -> Result<Server, Error> {
    let store = Adapted::new("throttled", Arc::new(Directory::open(root)?), throttled(100 << 20))?;
    let store = Adapted::new("counted", Arc::new(store), counted(Arc::clone(total_len)))?;
    let store = Adapted::new("plain1", Arc::new(store), unscrambled())?;
    Server::start_with_store(&Config { port, ..Config::default() }, Arc::new(store))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::env::args_os().nth(1).ok_or("a directory is missing")?;
    let total_len = Arc::default();
    let server = start(Path::new(&root), Config::default().port, &total_len)?;
    println!("listening on http://{}", server.addr());
    loop {
        thread::sleep(Duration::from_secs(10));
        println!("{} bytes were read", total_len.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_part_of_a_scrambled_film_is_served_plain_and_counted() {
        let root = tempfile::tempdir().unwrap();
        let film = b"what the viewer gets";
        let scrambled: Vec<u8> = film.iter().zip(SECRET.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        std::fs::write(root.path().join("film.txt"), scrambled).unwrap();
        let total_len = Arc::default();
        let server = start(root.path(), 0, &total_len).unwrap();
        let mut client = TcpStream::connect(server.addr()).unwrap();
        client.write_all(b"GET /media/film.txt HTTP/1.0\r\nHost: a\r\nRange: bytes=5-\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert!(answer.ends_with(&film[5..]), "{}", String::from_utf8_lossy(&answer));
        assert_eq!(total_len.load(Ordering::Relaxed), film.len() as u64 - 5);
    }
}
