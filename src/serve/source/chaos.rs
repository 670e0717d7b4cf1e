//! A store that fails, hangs and panics at random, and viewers who leave at random: every byte is right, and afterwards nothing is
//! left of any of it, no read, no turn, no flight, no permit, no buffer.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;

use crate::config::Config;
use crate::object::ETag;
use crate::serve::server::{Parts, Server};
use crate::store::{ListPage, ListQuery};

use super::*;

/// How long each chaos lasts.
const CHAOS: Duration = Duration::from_secs(3);
/// Viewers at a time.
const VIEWERS: u64 = 24;
/// Longer than anything here takes, and shorter than a test may hang.
const SOON: Duration = Duration::from_secs(40);

/// A number that nobody chose: splitmix64.
fn random(state: &AtomicU64) -> u64 {
    let mut number = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// One below `end`.
fn below(state: &AtomicU64, end: u64) -> u64 {
    random(state) % end
}

/// What is wild, until it is told to be quiet.
struct Chaos {
    state: AtomicU64,
    is_quiet: AtomicBool,
    /// Whoever hangs, hangs on this.
    hang: (Mutex<()>, Condvar),
}

impl Chaos {
    /// A call of the store: it may take a while, fail, or panic.
    fn strike(&self) -> Result<(), Error> {
        if self.is_quiet.load(Ordering::Relaxed) {
            return Ok(());
        }
        match below(&self.state, 100) {
            0..5 => {
                let limit = Duration::from_millis(below(&self.state, 400));
                let guard = self.hang.0.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = self.hang.1.wait_timeout_while(guard, limit, |()| !self.is_quiet.load(Ordering::Relaxed));
                drop(waited.unwrap_or_else(PoisonError::into_inner));
                Ok(())
            }
            5..12 => Err(ErrorKind::UpstreamUnavailable.into()),
            12..14 => Err(ErrorKind::UpstreamTimeout.into()),
            14 => Err(ErrorKind::UpstreamBusy.into()),
            15 => Err(ErrorKind::UpstreamForbidden.into()),
            16 => Err(ErrorKind::Changed.into()),
            17 => panic!("this panic is part of a test"),
            _ => Ok(()),
        }
    }

    fn end(&self) {
        self.is_quiet.store(true, Ordering::Relaxed);
        self.hang.1.notify_all();
    }
}

/// A far store of a few objects, as wild as its chaos.
struct Wild {
    objects: HashMap<&'static str, Bytes>,
    chaos: Arc<Chaos>,
}

impl Store for Wild {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        self.chaos.strike()?;
        let size = self.objects.get(key.as_str()).ok_or(ErrorKind::NotFound)?.len() as u64;
        let id = ObjectId { key: key.clone(), etag: ETag::from_store("v")? };
        Ok(ObjectMeta { id, size, last_modified: UNIX_EPOCH, content_type: None, cache_control: None })
    }

    fn open(&self, id: &ObjectId, range: Range<u64>) -> Result<Box<dyn Span>, Error> {
        self.chaos.strike()?;
        let object = self.objects.get(id.key.as_str()).ok_or(ErrorKind::NotFound)?;
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        Ok(Box::new(WildSpan { left: object.slice(range), chaos: Arc::clone(&self.chaos) }))
    }

    fn list(&self, _: &ListQuery) -> Result<ListPage, Error> {
        self.chaos.strike()?;
        Ok(ListPage::default())
    }
}

struct WildSpan {
    left: Bytes,
    chaos: Arc<Chaos>,
}

impl Span for WildSpan {
    fn read(&mut self, buf: &mut Vec<u8>, len_max: usize) -> Result<usize, Error> {
        self.chaos.strike()?;
        let is_wild = !self.chaos.is_quiet.load(Ordering::Relaxed);
        match below(&self.chaos.state, 100) {
            // What no store may do: nothing where something is due, and too much.
            0 if is_wild => Ok(0),
            1 if is_wild => {
                buf.resize(buf.len() + len_max + 1, b'!');
                Ok(len_max + 1)
            }
            _ => {
                let whole = len_max.min(self.left.len());
                let part = usize::try_from(below(&self.chaos.state, 100_000)).unwrap() + 1;
                buf.extend_from_slice(&self.left.split_to(whole.min(part)));
                Ok(whole.min(part))
            }
        }
    }
}

/// Bytes in which each position can be told from its neighbours.
fn film(seed: u64, len: usize) -> Bytes {
    let state = AtomicU64::new(seed);
    (0..len.div_ceil(8)).flat_map(|_| random(&state).to_le_bytes()).take(len).collect()
}

/// A viewer: asks for a part of something, and reads as much of it as it likes. What it got must be right, as far as it goes.
fn watch(addr: SocketAddr, objects: &HashMap<&'static str, Bytes>, state: &AtomicU64) -> io::Result<()> {
    let mut names: Vec<_> = objects.keys().copied().collect();
    names.sort_unstable();
    let mut client = TcpStream::connect(addr)?;
    client.set_read_timeout(Some(SOON))?;
    if below(state, 3) == 0 {
        socket2::SockRef::from(&client).set_recv_buffer_size(16 * 1024)?;
    }
    for _ in 0..=below(state, 3) {
        let name = names[usize::try_from(below(state, names.len() as u64)).unwrap()];
        let object = &objects[name];
        let start = usize::try_from(below(state, object.len() as u64)).unwrap();
        let longest = if below(state, 2) == 0 { 2000 } else { object.len() as u64 };
        let end = object.len().min(start + 1 + usize::try_from(below(state, longest)).unwrap());
        write!(client, "GET /media/{name} HTTP/1.1\r\nHost: a\r\nRange: bytes={start}-{}\r\n\r\n", end - 1)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if client.read(&mut byte)? == 0 {
                return Ok(());
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let status = &head[9..12];
        if status != "206" {
            assert!(["502", "504"].contains(&status), "{head}");
            return Ok(());
        }
        // Some read it all, some leave in the middle, some at once.
        let wanted = match below(state, 4) {
            0 => usize::try_from(below(state, (end - start) as u64)).unwrap(),
            1 => 0,
            _ => end - start,
        };
        let mut seen = 0;
        while seen < wanted {
            let mut piece = vec![0; 1 + usize::try_from(below(state, 70_000)).unwrap()];
            let most = piece.len().min(end - start - seen);
            let len = client.read(&mut piece[..most])?;
            assert!(piece[..len] == object[start + seen..start + seen + len], "wrong bytes of {name} at {}", start + seen);
            if len == 0 {
                return Ok(());
            }
            seen += len;
        }
        if wanted < end - start {
            return Ok(());
        }
    }
    Ok(())
}

/// All of an object.
fn whole(addr: SocketAddr, name: &str) -> Vec<u8> {
    let mut client = TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    write!(client, "GET /media/{name} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer[..end]));
    answer.split_off(end)
}

/// Polls until it is so.
#[track_caller]
fn wait_for(what: &str, source: &Source, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited for {what}: {}", left(source));
        thread::yield_now();
    }
}

/// What is left, in words.
fn left(source: &Source) -> String {
    let (shared, known) = (source.shared.as_ref(), source.known.as_ref());
    format!(
        "{} spans, {} fills, {} and {} flights, {:?}, {} slices, {} blocks",
        source.spans_open.load(Ordering::Relaxed),
        shared.map_or(0, |shared| shared.lock().len()),
        shared.map_or(0, |shared| shared.flights.len()),
        known.map_or(0, |(_, flights)| flights.len()),
        source.turns.as_ref().map(|turns| turns.at_rest()),
        source.buffers.slices(),
        source.buffers.blocks(),
    )
}

#[track_caller]
fn check(seed: u64, change: impl FnOnce(&mut Config)) {
    let objects =
        HashMap::from([("a", film(1, 3_000_001)), ("b", film(2, 131_072)), ("c", film(3, 700_000)), ("d", film(4, 5))]);
    let chaos = Arc::new(Chaos { state: AtomicU64::new(seed), is_quiet: AtomicBool::new(false), hang: Default::default() });
    let mut config = Config { host: "127.0.0.1".into(), port: 0, meta_ttl: Duration::from_millis(300), ..Config::default() };
    // Far more than there are, so that they are counted.
    config.streams_max = 10_000;
    config.resume.time_max = Duration::from_secs(5);
    change(&mut config);
    let parts = Parts::assemble(&config, Arc::new(Wild { objects: objects.clone(), chaos: Arc::clone(&chaos) })).unwrap();
    let source = Arc::clone(&parts.door.work.handler.source);
    let quota = Arc::clone(&parts.door.work.handler.quota);
    let server: Server = parts.run().unwrap();
    let before = source.turns.as_ref().map(|turns| turns.at_rest());
    let end = Instant::now() + CHAOS;
    thread::scope(|scope| {
        for viewer in 0..VIEWERS {
            let (objects, addr) = (&objects, server.addr());
            scope.spawn(move || {
                let state = AtomicU64::new(seed ^ (viewer << 32));
                while Instant::now() < end {
                    // A connection that was cut is part of it; one that hangs is not.
                    if let Err(error) = watch(addr, objects, &state) {
                        assert!(error.kind() != io::ErrorKind::WouldBlock, "nothing came for {SOON:?}");
                    }
                }
            });
        }
    });
    chaos.end();
    assert!(server.wait_drained(SOON), "connections are left");
    wait_for("all reads to be over", &source, || {
        let shared = source.shared.as_ref().is_none_or(|shared| shared.lock().is_empty() && shared.flights.len() == 0);
        let known = source.known.as_ref().is_none_or(|(_, flights)| flights.len() == 0);
        let turns = source.turns.as_ref().map(|turns| turns.at_rest());
        // A connection may be gone a moment before the rest of its stream is, but for its permit.
        let held = source.spans_open.load(Ordering::Relaxed) + source.buffers.slices();
        shared && known && turns == before && held == 0
    });
    assert_eq!(quota.len(), 0, "permits are left");
    // Those that wait to be written to disk are held until they are.
    wait_for("blocks to be held by the cache alone", &source, || {
        source.buffers.blocks() <= source.shared.as_ref().map_or(0, |shared| shared.blocks.ram_count())
    });
    // What was kept is not spoiled, and a new viewer gets everything.
    for (name, object) in &objects {
        assert!(whole(server.addr(), name) == *object, "{name} is spoiled");
    }
}

#[test]
fn nothing_is_left_of_chaos_without_a_cache() {
    check(11, |config| config.cache_ram = 0);
}

#[test]
fn nothing_is_left_of_chaos_with_a_cache() {
    check(12, |config| config.cache_ram = 64 << 20);
}

#[test]
fn nothing_is_left_of_chaos_with_a_small_cache_and_a_disk() {
    let folder = tempfile::tempdir().unwrap();
    check(13, |config| {
        config.cache_ram = 1 << 20;
        config.cache_dir = Some(folder.path().to_owned());
    });
}

#[test]
fn nothing_is_left_of_chaos_with_a_disk_few_threads_and_streams_at_a_pace() {
    let folder = tempfile::tempdir().unwrap();
    check(14, |config| {
        config.cache_ram = 0;
        config.cache_dir = Some(folder.path().to_owned());
        config.cache_disk = 16 << 20;
        config.workers_per_core = 1;
        config.rate = Some(4 << 20);
        config.burst = 100_000;
    });
}
