//! A server on a store of one's own: here a film that is made up as it is read, byte by byte, and lies nowhere.
//!
//! `cargo run --example custom_store`, then `curl -r 1099511627776-1099511627785 http://ADDRESS/media/endless.bin | xxd`.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use vidgate::object::{ETag, ObjectId, ObjectKey, ObjectMeta};
use vidgate::store::{ListEntry, ListPage, ListQuery, Span, Store};
use vidgate::{Config, Error, ErrorKind, Server};

/// A petabyte.
const SIZE: u64 = 1 << 50;

/// One object, each byte of which is the lowest byte of its own offset.
struct Endless;

impl Endless {
    fn id() -> Result<ObjectId, Error> {
        Ok(ObjectId { key: ObjectKey::new("endless.bin")?, etag: ETag::from_store("1")? })
    }
}

impl Store for Endless {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        let id = Self::id()?;
        if *key != id.key {
            return Err(ErrorKind::NotFound.into());
        }
        let last_modified = SystemTime::UNIX_EPOCH;
        Ok(ObjectMeta { id, size: SIZE, last_modified, content_type: None, cache_control: None })
    }

    fn open(&self, id: &ObjectId, range: Range<u64>) -> Result<Box<dyn Span>, Error> {
        // Of another version there is nothing.
        if *id == Self::id()? { Ok(Box::new(Counting(range))) } else { Err(ErrorKind::Changed.into()) }
    }

    fn list(&self, query: &ListQuery) -> Result<ListPage, Error> {
        let ObjectId { key, etag } = Self::id()?;
        let is_asked_for =
            key.as_str().starts_with(&query.prefix) && query.after.as_deref().is_none_or(|after| after < key.as_str());
        let entry = ListEntry { key, etag, size: SIZE, last_modified: SystemTime::UNIX_EPOCH };
        Ok(ListPage { entries: if is_asked_for { vec![entry] } else { Vec::new() }, next: None })
    }
}

/// A part of it that is being read.
struct Counting(Range<u64>);

impl Span for Counting {
    fn read(&mut self, buf: &mut Vec<u8>, len_max: usize) -> Result<usize, Error> {
        let before = buf.len();
        buf.extend(self.0.by_ref().take(len_max).map(|at| at.to_le_bytes()[0]));
        Ok(buf.len() - before)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::start_with_store(&Config::default(), Arc::new(Endless))?;
    println!("listening on http://{}", server.addr());
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_part_far_inside_is_served() {
        let server = Server::start_with_store(&Config { port: 0, ..Config::default() }, Arc::new(Endless)).unwrap();
        let mut client = TcpStream::connect(server.addr()).unwrap();
        client
            .write_all(b"GET /media/endless.bin HTTP/1.0\r\nHost: a\r\nRange: bytes=1099511627776-1099511627779\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 206 "), "{}", String::from_utf8_lossy(&answer));
        assert!(answer.ends_with(b"\r\n\r\n\x00\x01\x02\x03"), "{answer:?}");
        drop(client);
        server.drain();
        assert!(server.wait_drained(Duration::from_secs(20)));
    }
}
