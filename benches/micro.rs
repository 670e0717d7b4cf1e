//! What the parts of a request cost on one core: head, route, range, plan; and a whole request that the cache answers.
//!
//! ```sh
//! cargo bench --bench micro
//! ```
//!
//! Each line is the best of five rounds of half a second, by the processor time of the thread; that of whole requests is by the
//! processor time of the process, so both ends of the connection and all that the kernel does for them count. Tokens and signatures
//! are in `signatures`.

#![allow(missing_docs, unreachable_pub, reason = "a program of its own")]

#[path = "support/rate.rs"]
mod rate;

use std::fs;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rate::{of_thread, rate};
use vidgate::http::head::{self, Fields, Outcome, Seen};
use vidgate::http::plan::{self, Options};
use vidgate::http::{range, route};
use vidgate::object::{ETag, ObjectId, ObjectKey, ObjectMeta};
use vidgate::store::{ListPage, ListQuery, Span, Store};
use vidgate::{Config, Error, Server};

const FILM_LEN: u64 = 16 * 1024 * 1024;

/// What Chromium sends for a seek, less its longest field.
const HEAD: &[u8] = b"GET /media/show/1/film.mp4 HTTP/1.1\r\nHost: videos.example\r\nConnection: keep-alive\r\n\
    sec-ch-ua-platform: \"Linux\"\r\nAccept-Encoding: identity;q=1, *;q=0\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
    Accept: */*\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: video\r\n\
    Referer: http://videos.example/watch/show/1/film.mp4\r\nAccept-Language: en-US,en;q=0.9\r\nRange: bytes=7340032-\r\n\
    If-Range: \"5d41402abc4b2a76b9719d911017c592\"\r\n\r\n";

fn main() {
    rate("head of a browser, parsed", of_thread, || {
        assert!(matches!(head::parse(black_box(HEAD), &mut Seen::default()), Outcome::Head(..)));
    });
    let mut handed_on = Vec::new();
    rate("head of a browser, parsed and written anew", of_thread, || {
        handed_on.clear();
        let Outcome::Head(head, _) = head::parse(black_box(HEAD), &mut Seen::default()) else { panic!("a good head") };
        head.write_canonical(1, &mut handed_on);
    });
    rate("path, resolved", of_thread, || route::resolve(black_box("/media/show/1/film.mp4")).expect("a route"));
    for field in ["bytes=7340032-", "bytes=0-65535", "bytes=-500", "bytes=0-1,5-6"] {
        rate(&format!("range, {field}"), of_thread, || range::resolve(black_box(Some(field)), FILM_LEN));
    }
    let (meta, fields, options) = (film(), fields(), Options { chunk_len: 1 << 20, ..Options::default() });
    rate("plan: If-Range and Range of a browser, to a 206", of_thread, || {
        let response = plan::answer(false, black_box(&fields), &meta, &options);
        assert_eq!(response.status(), 206);
    });

    let server = Server::start_with_store(&Config { port: 0, ..Config::default() }, Arc::new(Blank)).expect("a server");
    let connect = || TcpStream::connect(server.addr()).expect("it accepts");
    let mut client = connect();
    for len in [1, 65_536] {
        let mut buf = vec![0; 2 * 65_536];
        let mut number = 0;
        rate(&format!("request: {len} bytes of a film in the cache"), of_process, || {
            let from = number % (FILM_LEN / 65_536) * 65_536;
            number += 1;
            // Behind its 10,000th request the server closes a connection.
            if number % 5000 == 0 {
                client = connect();
            }
            fetch(&mut client, from..from + len, &mut buf);
        });
    }
    drop(client);
    server.drain();
    assert!(server.wait_drained(Duration::from_secs(20)), "it ends");
}

/// Asks for a range on a connection that stays, and reads the answer.
fn fetch(client: &mut TcpStream, range: Range<u64>, buf: &mut [u8]) {
    let request = format!("GET /media/film.mp4 HTTP/1.1\r\nHost: a\r\nRange: bytes={}-{}\r\n\r\n", range.start, range.end - 1);
    client.write_all(request.as_bytes()).expect("it reads");
    let (mut came, mut due) = (0, usize::MAX);
    while came < due {
        let len = client.read(&mut buf[came..]).expect("it answers");
        assert!(len > 0, "it closed the connection");
        came += len;
        if due == usize::MAX
            && let Some(end) = buf[..came].windows(4).position(|window| window == b"\r\n\r\n")
        {
            assert!(buf.starts_with(b"HTTP/1.1 206 "), "{}", String::from_utf8_lossy(&buf[..end]));
            due = end + 4 + usize::try_from(range.end - range.start).expect("it fits");
        }
    }
}

/// The processor time of this process so far: the sum over its threads (proc(5), `schedstat`). None of them ends meanwhile.
fn of_process() -> Option<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        sum += Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?);
    }
    Some(sum)
}

/// The fields of [`HEAD`] that handlers read.
fn fields() -> Fields {
    let Outcome::Head(head, _) = head::parse(HEAD, &mut Seen::default()) else { panic!("a good head") };
    head.used_fields()
}

fn film() -> ObjectMeta {
    let key = ObjectKey::new("film.mp4").expect("a key");
    let etag = ETag::from_store("5d41402abc4b2a76b9719d911017c592").expect("an ETag");
    let id = ObjectId { key, etag };
    ObjectMeta { id, size: FILM_LEN, last_modified: SystemTime::UNIX_EPOCH, content_type: None, cache_control: None }
}

/// A store of one film of zeros, which a cache is put before.
struct Blank;

struct Zeros(u64);

impl Store for Blank {
    fn head(&self, _: &ObjectKey) -> Result<ObjectMeta, Error> {
        Ok(film())
    }

    fn open(&self, _: &ObjectId, range: Range<u64>) -> Result<Box<dyn Span>, Error> {
        Ok(Box::new(Zeros(range.end - range.start)))
    }

    fn list(&self, _: &ListQuery) -> Result<ListPage, Error> {
        Ok(ListPage { entries: Vec::new(), next: None })
    }
}

impl Span for Zeros {
    fn read(&mut self, buf: &mut Vec<u8>, len_max: usize) -> Result<usize, Error> {
        let len = usize::try_from(self.0).unwrap_or(usize::MAX).min(len_max);
        buf.resize(buf.len() + len, 0);
        self.0 -= len as u64;
        Ok(len)
    }
}
