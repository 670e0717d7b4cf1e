//! Every call to the store fails once: whatever fails, a viewer gets the right bytes or a clean end.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use vidgate::object::{ETag, ObjectId, ObjectKey, ObjectMeta};
use vidgate::store::{ListPage, ListQuery, Span, Store};
use vidgate::{Error, ErrorKind};

use crate::support::client::{Client, get};
use crate::support::pattern;
use crate::support::server::start;

/// How a call fails.
#[derive(Clone, Copy, Debug)]
enum How {
    /// With this error.
    Error(ErrorKind),
    /// By a panic.
    Panic,
}

/// A store whose Nth call fails, once.
struct FailsOnce {
    bytes: Vec<u8>,
    calls_left: Arc<AtomicUsize>,
    how: How,
}

/// Makes the call count, and fail if it is the one.
fn call(calls_left: &AtomicUsize, how: How) -> Result<(), Error> {
    let before = calls_left.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    match how {
        _ if before != Ok(1) => Ok(()),
        How::Error(kind) => Err(Error::new(kind, "the fault of a test")),
        How::Panic => panic!("this panic is part of a test"),
    }
}

impl Store for FailsOnce {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        call(&self.calls_left, self.how)?;
        Ok(ObjectMeta {
            id: ObjectId { key: key.clone(), etag: ETag::from_store("\"v\"")? },
            size: self.bytes.len() as u64,
            last_modified: SystemTime::UNIX_EPOCH,
            content_type: None,
            cache_control: None,
        })
    }

    fn open(&self, _: &ObjectId, range: Range<u64>) -> Result<Box<dyn Span>, Error> {
        call(&self.calls_left, self.how)?;
        let bytes = self.bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()].to_vec();
        Ok(Box::new(Part { bytes, at: 0, calls_left: Arc::clone(&self.calls_left), how: self.how }))
    }

    fn list(&self, _: &ListQuery) -> Result<ListPage, Error> {
        Ok(ListPage::default())
    }
}

struct Part {
    bytes: Vec<u8>,
    at: usize,
    calls_left: Arc<AtomicUsize>,
    how: How,
}

impl Span for Part {
    fn read(&mut self, buf: &mut Vec<u8>, len_max: usize) -> Result<usize, Error> {
        call(&self.calls_left, self.how)?;
        // Short reads, so that there are many of them.
        let len = len_max.min(self.bytes.len() - self.at).min(50_000);
        buf.extend_from_slice(&self.bytes[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

/// Runs viewers with the Nth call failing, for all N until none failed.
#[track_caller]
fn check(how: How, cache_ram: u64, with_disk: bool) {
    let bytes = pattern(71, 900_000);
    for number in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let calls_left = Arc::new(AtomicUsize::new(number));
        let store = FailsOnce { bytes: bytes.clone(), calls_left: Arc::clone(&calls_left), how };
        let server = start(Arc::new(store), |config| {
            config.cache_ram = cache_ram;
            config.cache_dir = with_disk.then(|| folder.path().to_owned());
            config.resume.time_max = Duration::from_secs(5);
        });
        let place = format!("{how:?} in call {number}, cache {cache_ram}, disk {with_disk}");
        let mut whole = 0;
        // Two at once, so that one waits for what the other reads.
        std::thread::scope(|scope| {
            let viewers = [0, 1].map(|_| {
                scope.spawn(|| {
                    let mut client = Client::new(server.addr());
                    client.ask("GET", "/media/film.mp4?chunkSize=65536", &["Range: bytes=1000-", "Connection: close"]);
                    client.rest()
                })
            });
            for viewer in viewers {
                let seen = viewer.join().unwrap();
                let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") else {
                    assert!(seen.is_empty() && matches!(how, How::Panic), "{place}: half a head");
                    continue;
                };
                let body = &seen[end + 4..];
                if seen.starts_with(b"HTTP/1.1 206 ") {
                    assert!(body == &bytes[1000..1000 + body.len()], "{place}: wrong bytes");
                    whole += usize::from(body.len() == bytes.len() - 1000);
                } else {
                    let line = String::from_utf8_lossy(&seen[..end]);
                    assert!(line.starts_with("HTTP/1.1 502 ") || line.starts_with("HTTP/1.1 504 "), "{place}: {line}");
                }
            }
        });
        // What passes by itself is gone by the next try; a panic costs the one stream that it was in.
        if !matches!(how, How::Error(ErrorKind::Changed | ErrorKind::UpstreamForbidden)) {
            assert!(whole >= 1, "{place}: {whole} whole");
        }
        // Whoever comes now finds the film whole, whatever was kept.
        assert!(get(server.addr(), "/media/film.mp4", &[]).body == bytes, "{place}: afterwards");
        if calls_left.load(Ordering::SeqCst) > 0 {
            assert!(number > 10, "only {number} calls could fail");
            assert_eq!(whole, 2, "{place}: nothing failed");
            return;
        }
    }
}

#[test]
fn whichever_call_of_the_store_fails_the_bytes_are_right_or_the_end_is_clean() {
    for (cache_ram, with_disk) in [(0, false), (16 << 20, false), (0, true), (1 << 20, true)] {
        check(How::Error(ErrorKind::UpstreamUnavailable), cache_ram, with_disk);
    }
    for how in [
        How::Error(ErrorKind::UpstreamTimeout),
        How::Error(ErrorKind::Changed),
        How::Error(ErrorKind::UpstreamForbidden),
        How::Panic,
    ] {
        check(how, 16 << 20, false);
    }
}
