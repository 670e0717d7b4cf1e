//! The chunk cache, seen by viewers through the whole program on a real store.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use vidgate::object::{ETag, ObjectId, ObjectKey, ObjectMeta};
use vidgate::store::{ListPage, ListQuery, Presigned, S3, Span, Store};
use vidgate::{Config, Error, Server};

use crate::support::client::{Client, get};
use crate::support::minio::{TestBucket, minio};
use crate::support::relay::Relay;
use crate::support::server::start;
use crate::support::{film_len, is_full_size, metric, pattern, reads_max, reads_max_of, wait_for};

const MIB: u64 = 1 << 20;

/// A bucket with a film, behind a relay, and the settings to read it through that.
fn film(bytes: &[u8]) -> (TestBucket, Relay, vidgate::store::S3Config) {
    let bucket = minio().bucket();
    bucket.put("film.mp4", bytes);
    let relay = Relay::start(minio().addr());
    let mut config = bucket.config();
    config.endpoint = Some(relay.endpoint());
    (bucket, relay, config)
}

fn serve(config: &vidgate::store::S3Config, change: impl FnOnce(&mut Config)) -> Server {
    start(Arc::new(S3::new(config.clone()).unwrap()), change)
}

/// Reads the whole film and compares it as it comes, so that a hundred viewers need no hundred films of memory.
#[track_caller]
fn watch(server: &Server, film: &[u8]) {
    let mut client = Client::new(server.addr());
    client.ask("GET", "/media/film.mp4", &[]);
    assert_eq!(client.head().status, 200);
    for part in film.chunks(1 << 20) {
        assert!(client.take(part.len()) == part);
    }
}

#[test]
fn a_hundred_viewers_of_a_new_film_cost_one_read_of_it() {
    let bytes = pattern(51, film_len(24 << 20));
    let (_bucket, relay, config) = film(&bytes);
    let server = serve(&config, |config| config.cache_ram = 512 * MIB);
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| watch(&server, &bytes));
        }
    });
    let read_len = metric(server.addr(), "vidgate_upstream_bytes_total");
    let len = bytes.len() as u64;
    assert!(read_len <= len + len / 10, "{read_len} bytes of the store for a film of {len}");
    // What the store sent and nobody read is counted too.
    assert!(relay.passed_len() <= len + len / 10, "{} bytes passed the relay", relay.passed_len());
    assert_eq!(relay.requests("HEAD"), 1, "looks at the object");
    let outcomes = ["hit", "miss", "joined"];
    let [hit, miss, joined] =
        outcomes.map(|it| metric(server.addr(), &format!("vidgate_cache_bytes_total{{outcome=\"{it}\"}}")));
    assert!(hit + miss + joined >= 100 * len && miss <= len + len / 10 && joined > 0, "{hit} {miss} {joined}");
    // The store goes away; the film stays.
    relay.stop();
    watch(&server, &bytes);
}

#[test]
fn seeks_whose_viewers_leave_at_once_read_little() {
    let bytes = pattern(52, film_len(64 << 20));
    for cache_ram in [0, 64 * MIB] {
        let (_bucket, relay, config) = film(&bytes);
        let server = serve(&config, |config| config.cache_ram = cache_ram);
        for seek in 0..10 {
            let before = relay.passed_len();
            let offset = seek * bytes.len() / 10 + 12_345;
            let mut client = Client::new(server.addr());
            client.ask("GET", "/media/film.mp4", &[&format!("Range: bytes={offset}-")]);
            assert_eq!(client.head().status, 206);
            assert_eq!(client.take(1000), bytes[offset..offset + 1000]);
            drop(client);
            assert!(server.wait_drained(Duration::from_secs(20)), "the stream goes on without its viewer");
            let read_len = relay.passed_len() - before;
            assert!(read_len <= 2 * MIB, "seek {seek} read {read_len} bytes of the store");
        }
    }
}

#[test]
fn a_viewer_at_the_pace_of_a_film_pulls_little_more_than_it_takes() {
    const PACE: u64 = 100_000;
    let bytes = pattern(53, film_len(48 << 20));
    let wanted = PACE * if is_full_size() { 60 } else { 12 };
    for cache_ram in [0, 64 * MIB] {
        let (_bucket, relay, config) = film(&bytes);
        let server = serve(&config, |config| config.cache_ram = cache_ram);
        let mut client = Client::new(server.addr());
        socket2::SockRef::from(client.stream()).set_recv_buffer_size(64 * 1024).unwrap();
        client.ask("GET", "/media/film.mp4", &[]);
        assert_eq!(client.head().status, 200);
        let (started, mut taken) = (Instant::now(), 0);
        wait_for("the viewer to have watched for its time", Duration::from_mins(2), || {
            let due = wanted.min(u64::try_from(started.elapsed().as_millis()).unwrap() * PACE / 1000);
            if due > taken {
                let len = usize::try_from(due - taken).unwrap();
                let at = usize::try_from(taken).unwrap();
                assert!(client.take(len) == bytes[at..at + len]);
                taken = due;
            }
            (taken == wanted).then_some(())
        });
        let read_len = relay.passed_len();
        assert!(read_len <= taken + 8 * MIB, "{read_len} bytes of the store for {taken} taken: {:?}", relay.ranges());
        // It took what it took since it last paused, and a little more; most of what it leaves is of the first burst.
        assert!(relay.ranges().len() <= 10 + usize::try_from(taken / 50_000).unwrap(), "{:?}", relay.ranges());
    }
}

#[test]
fn small_ranges_everywhere_are_right_and_reuse_their_connection() {
    let bytes = pattern(54, (4 << 20) + 12_345);
    let (_bucket, _relay, config) = film(&bytes);
    let server = serve(&config, |config| config.cache_ram = 2 * MIB);
    let mut client = Client::new(server.addr());
    let edges = [0, 1, 131_071, 131_072, 131_073, 262_144, 4 << 20, bytes.len() - 1];
    for start in edges {
        for len in [1, 2, 65_536, 131_072, 131_073, 400_000] {
            let end = (start + len).min(bytes.len());
            let reply = client.exchange("GET", "/media/film.mp4", &[&format!("Range: bytes={start}-{}", end - 1)]);
            assert_eq!(reply.status, 206);
            assert!(reply.body == bytes[start..end], "{start} {len}");
        }
    }
    let reply = client.exchange("GET", "/media/film.mp4?chunkSize=16384", &["Range: bytes=-200000"]);
    assert!(reply.body == bytes[bytes.len() - 200_000..]);
}

#[test]
fn what_is_on_disk_is_served_after_a_restart_and_without_the_store() {
    let bytes = pattern(55, film_len(16 << 20));
    let folder = tempfile::tempdir().unwrap();
    let (_bucket, relay, config) = film(&bytes);
    let with_disk = |config: &mut Config| {
        config.cache_ram = 4 * MIB;
        config.cache_dir = Some(folder.path().to_owned());
        config.cache_disk = 1 << 30;
    };
    let server = serve(&config, with_disk);
    // More than once, for a disk that is slower than the store is not waited for.
    wait_for("the film to be on disk", Duration::from_mins(1), || {
        watch(&server, &bytes);
        (metric(server.addr(), "vidgate_cache_bytes") >= bytes.len() as u64 + 3 * MIB).then_some(())
    });
    drop(server);
    relay.stop();
    let server = serve(&config, with_disk);
    watch(&server, &bytes);
    assert_eq!(metric(server.addr(), "vidgate_upstream_bytes_total"), 0);
    // What is nowhere is the contract's error.
    assert_eq!(get(server.addr(), "/media/other.mp4", &[]).status, 502);
}

/// Where a read hangs until it is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hangs {
    /// Before there is anything of it.
    AtOnce,
    /// Behind its first thousand bytes.
    Behind,
    /// Never, but signing a URL does.
    Presigning,
}

/// A store in which `film.mp4` is well, and every read of another object hangs, as does the question whether it is there.
struct HalfHanging {
    bytes: Vec<u8>,
    hangs: Hangs,
    gate: Arc<Gate>,
}

/// Where the reads hang.
#[derive(Default)]
struct Gate {
    hanging: Mutex<usize>,
    released: AtomicBool,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut hanging = self.hanging.lock().unwrap();
        *hanging += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(hanging, |_| !self.released.load(Ordering::SeqCst)).unwrap());
    }

    /// Waits until so many hang.
    fn wait_for(&self, count: usize) {
        let hanging = self.hanging.lock().unwrap();
        let limit = Duration::from_secs(20);
        let (hanging, waited) = self.changed.wait_timeout_while(hanging, limit, |hanging| *hanging < count).unwrap();
        assert!(!waited.timed_out(), "{hanging} reads hang, {count} were due");
    }

    fn count(&self) -> usize {
        *self.hanging.lock().unwrap()
    }

    fn release(&self) {
        self.released.store(true, Ordering::SeqCst);
        // Under the lock, or one that has just looked would miss it.
        let _hanging = self.hanging.lock().unwrap();
        self.changed.notify_all();
    }
}

impl Store for HalfHanging {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        Ok(ObjectMeta {
            id: ObjectId { key: key.clone(), etag: ETag::from_store("\"v\"")? },
            size: self.bytes.len() as u64,
            last_modified: SystemTime::UNIX_EPOCH,
            content_type: None,
            cache_control: None,
        })
    }

    fn open(&self, id: &ObjectId, range: Range<u64>) -> Result<Box<dyn Span>, Error> {
        let is_well = id.key.as_str() == "film.mp4";
        if !is_well && self.hangs == Hangs::AtOnce {
            self.gate.pass();
        }
        let bytes = self.bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()].to_vec();
        let hangs = (!is_well && self.hangs == Hangs::Behind).then(|| Arc::clone(&self.gate));
        Ok(Box::new(Part { bytes, at: 0, hangs }))
    }

    fn list(&self, _: &ListQuery) -> Result<ListPage, Error> {
        Ok(ListPage::default())
    }

    fn ready(&self) -> Result<(), Error> {
        self.gate.pass();
        Ok(())
    }

    fn presign(&self, _: &ObjectKey, lifetime: Duration) -> Result<Option<Presigned>, Error> {
        if self.hangs == Hangs::Presigning {
            self.gate.pass();
        }
        Ok(Some(Presigned { url: "https://bucket.example/film.mp4".into(), lifetime }))
    }
}

struct Part {
    bytes: Vec<u8>,
    at: usize,
    hangs: Option<Arc<Gate>>,
}

impl Span for Part {
    fn read(&mut self, buf: &mut Vec<u8>, len_max: usize) -> Result<usize, Error> {
        let mut len = len_max.min(self.bytes.len() - self.at);
        if let Some(gate) = &self.hangs {
            if self.at > 0 {
                gate.pass();
            } else {
                len = len.min(1000);
            }
        }
        buf.extend_from_slice(&self.bytes[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

fn half_hanging(bytes: &[u8], hangs: Hangs) -> (Arc<HalfHanging>, Arc<Gate>) {
    let gate = Arc::<Gate>::default();
    (Arc::new(HalfHanging { bytes: bytes.to_vec(), hangs, gate: Arc::clone(&gate) }), gate)
}

/// A far store of which each object has the same version, whose number is its entity tag and each of its bytes. Reads wait at the gate.
struct Versioned {
    version: AtomicU8,
    gate: Arc<Gate>,
}

impl Versioned {
    fn version(&self) -> Result<(u8, ETag), Error> {
        let version = self.version.load(Ordering::SeqCst);
        Ok((version, ETag::from_store(&version.to_string())?))
    }
}

impl Store for Versioned {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        let id = ObjectId { key: key.clone(), etag: self.version()?.1 };
        Ok(ObjectMeta { id, size: MIB, last_modified: SystemTime::UNIX_EPOCH, content_type: None, cache_control: None })
    }

    fn open(&self, id: &ObjectId, range: Range<u64>) -> Result<Box<dyn Span>, Error> {
        self.gate.pass();
        let (version, etag) = self.version()?;
        if id.etag != etag {
            return Err(vidgate::ErrorKind::Changed.into());
        }
        let bytes = vec![version; usize::try_from(range.end - range.start).unwrap()];
        Ok(Box::new(Part { bytes, at: 0, hangs: None }))
    }

    fn list(&self, _: &ListQuery) -> Result<ListPage, Error> {
        Ok(ListPage::default())
    }
}

#[test]
fn an_object_that_is_replaced_before_its_first_byte_costs_no_place_of_a_stream() {
    for cache_ram in [0, 64 * MIB] {
        let gate = Arc::<Gate>::default();
        let store = Arc::new(Versioned { version: AtomicU8::new(1), gate: Arc::clone(&gate) });
        let crowd = 3 * reads_max();
        let server = start(Arc::clone(&store) as Arc<dyn Store>, |config| {
            config.cache_ram = cache_ram;
            config.streams_max = reads_max();
        });
        let target = |number: usize| format!("/media/film-{number}.mp4");
        // All are known, so that whoever asks for bytes waits for nothing but a turn to read them.
        for number in 0..crowd {
            let mut client = Client::new(server.addr());
            assert_eq!(client.exchange("HEAD", &target(number), &[]).status, 200);
        }
        let ask = |number: usize| {
            let mut client = Client::new(server.addr());
            client.ask("GET", &target(number), &["Range: bytes=0-999"]);
            client
        };
        let mut reading: Vec<Client> = (0..reads_max()).map(ask).collect();
        gate.wait_for(reads_max());
        // As many streams as there may be. When they are over the others begin, and none of those is refused.
        let refused = ask(crowd - 1).reply(false);
        assert_eq!((refused.status, refused.code().as_str()), (503, "busy"));
        store.version.store(2, Ordering::SeqCst);
        gate.release();
        for client in &mut reading {
            let reply = client.reply(false);
            assert_eq!((reply.status, reply.get("etag"), &reply.body), (206, Some("\"2\""), &vec![2; 1000]));
        }
        for number in 0..crowd {
            let reply = ask(number).reply(false);
            assert_eq!((reply.status, reply.body), (206, vec![2; 1000]), "{number}");
        }
    }
}

#[test]
fn who_waits_for_a_turn_while_the_object_is_replaced_gets_the_new_version() {
    for cache_ram in [0, 64 * MIB] {
        let gate = Arc::<Gate>::default();
        let store = Arc::new(Versioned { version: AtomicU8::new(1), gate: Arc::clone(&gate) });
        let server = start(Arc::clone(&store) as Arc<dyn Store>, |config| config.cache_ram = cache_ram);
        let target = |number: usize| format!("/media/film-{number}.mp4");
        let crowd = 3 * reads_max();
        for number in 0..crowd {
            let mut client = Client::new(server.addr());
            assert_eq!(client.exchange("HEAD", &target(number), &[]).status, 200);
        }
        let mut clients: Vec<Client> = (0..crowd).map(|_| Client::new(server.addr())).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.ask("GET", &target(number), &["Range: bytes=0-999"]);
        }
        gate.wait_for(reads_max());
        // Each is planned for the first version by now, or soon; most of them wait for a turn.
        store.version.store(2, Ordering::SeqCst);
        gate.release();
        for client in &mut clients {
            let reply = client.reply(false);
            assert_eq!((reply.status, reply.get("etag"), &reply.body), (206, Some("\"2\""), &vec![2; 1000]));
        }
    }
}

/// A far store that gives 30 KB a second of each read.
struct Trickling;

impl Store for Trickling {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        let id = ObjectId { key: key.clone(), etag: ETag::from_store("v")? };
        Ok(ObjectMeta { id, size: 1 << 30, last_modified: SystemTime::UNIX_EPOCH, content_type: None, cache_control: None })
    }

    fn open(&self, _: &ObjectId, _: Range<u64>) -> Result<Box<dyn Span>, Error> {
        Ok(Box::new(Self))
    }

    fn list(&self, _: &ListQuery) -> Result<ListPage, Error> {
        Ok(ListPage::default())
    }
}

impl Span for Trickling {
    fn read(&mut self, buf: &mut Vec<u8>, len_max: usize) -> Result<usize, Error> {
        thread::sleep(Duration::from_millis(20));
        let len = len_max.min(600);
        buf.resize(buf.len() + len, 0);
        Ok(len)
    }
}

#[test]
fn a_store_that_trickles_serves_more_viewers_than_may_read_at_a_time() {
    const TAKEN: usize = 70_000;
    for cache_ram in [0, 64 * MIB] {
        let server = start(Arc::new(Trickling), |config| config.cache_ram = cache_ram);
        let mut clients: Vec<Client> = (0..2 * reads_max()).map(|_| Client::new(server.addr())).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.ask("GET", &format!("/media/film-{number}.mp4"), &[]);
        }
        for client in &mut clients {
            assert_eq!(client.head().status, 200);
            client.take(TAKEN);
        }
        // A stream that kept its turn to read until it sent its megabyte would have had that before the last of them began.
        let read_len = metric(server.addr(), "vidgate_upstream_bytes_total");
        assert!(read_len <= (3 * TAKEN * clients.len()) as u64, "{read_len} bytes of the store");
    }
}

#[test]
fn a_store_that_hangs_stops_no_viewer_of_what_is_kept() {
    let bytes = pattern(56, 3_000_000);
    // As on one core, where there are eight threads.
    let few = (8 / num_cpus::get()).max(1);
    for (cache_ram, workers_per_core) in [(0, 8), (64 * MIB, 8), (64 * MIB, few)] {
        let reads_max = reads_max_of(workers_per_core);
        let (store, gate) = half_hanging(&bytes, Hangs::AtOnce);
        let server = start(store, |config| {
            config.cache_ram = cache_ram;
            config.workers_per_core = workers_per_core;
        });
        watch(&server, &bytes);
        let mut waiting: Vec<Client> = (0..100).map(|_| Client::new(server.addr())).collect();
        for (number, client) in waiting.iter_mut().enumerate() {
            client.ask("GET", &format!("/media/other-{number}.mp4"), &["Connection: close"]);
        }
        // As many reads hang as may, and one who watches the server asks whether the store is there.
        gate.wait_for(reads_max);
        let mut watcher = Client::new(server.addr());
        watcher.ask("GET", "/readyz", &[]);
        if cache_ram > 0 {
            for _ in 0..5 {
                watch(&server, &bytes);
            }
        }
        assert_eq!(gate.count(), reads_max, "what hangs");
        // Those who leave give their place in the queue to those who stay.
        waiting.drain(20..60);
        gate.release();
        assert_eq!(watcher.reply(false).status, 200);
        for client in &mut waiting {
            assert_eq!(client.head().status, 200);
            assert!(client.rest() == bytes);
        }
    }
}

#[test]
fn answers_that_end_while_the_store_hangs_stop_no_viewer_of_what_is_kept() {
    let bytes = pattern(57, 3_000_000);
    let (store, gate) = half_hanging(&bytes, Hangs::Behind);
    let server = start(store, |config| config.cache_ram = 64 * MIB);
    watch(&server, &bytes);
    // Who comes first has the one byte at once, and the block that it began is read to its end behind that. He need not wait for it.
    let mut first = Client::new(server.addr());
    assert_eq!(first.exchange("GET", "/media/first.mp4", &["Range: bytes=5-5"]).body, &bytes[5..6]);
    gate.wait_for(1);
    let end = first.exchange("GET", "/media/film.mp4", &["Range: bytes=-1000"]);
    assert!(end.body == bytes[bytes.len() - 1000..]);
    let mut clients: Vec<Client> = (0..100).map(|_| Client::new(server.addr())).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.ask("GET", &format!("/media/other-{number}.mp4"), &["Range: bytes=5-5"]);
    }
    for client in &mut clients {
        let reply = client.reply(false);
        assert_eq!((reply.status, reply.body.as_slice()), (206, &bytes[5..6]));
        assert!(client.exchange("GET", "/media/film.mp4", &["Range: bytes=-1000"]).body == bytes[bytes.len() - 1000..]);
    }
    for _ in 0..5 {
        watch(&server, &bytes);
    }
    // Half of those that may read at a time are for those who wait.
    assert!(gate.count() <= reads_max().div_ceil(2), "{} reads hang", gate.count());
    gate.release();
}

#[test]
fn links_that_wait_for_credentials_stop_no_viewer_of_what_is_kept() {
    let bytes = pattern(58, 3_000_000);
    let (store, gate) = half_hanging(&bytes, Hangs::Presigning);
    let server = start(store, |config| config.cache_ram = 64 * MIB);
    watch(&server, &bytes);
    let mut clients: Vec<Client> = (0..100).map(|_| Client::new(server.addr())).collect();
    for client in &mut clients {
        client.ask("GET", "/api/videos/film.mp4/url", &[]);
    }
    gate.wait_for(reads_max());
    for _ in 0..5 {
        watch(&server, &bytes);
    }
    assert_eq!(gate.count(), reads_max(), "links that hang");
    gate.release();
    for client in &mut clients {
        assert_eq!(client.reply(false).json()["kind"], "presigned");
    }
}

/// A store in which what is under a name changes, and its entity tag does not.
struct OneTag(Arc<Mutex<Vec<u8>>>);

impl Store for OneTag {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        let id = ObjectId { key: key.clone(), etag: ETag::from_store("\"always\"")? };
        let size = self.0.lock().unwrap().len() as u64;
        Ok(ObjectMeta { id, size, last_modified: SystemTime::UNIX_EPOCH, content_type: None, cache_control: None })
    }

    fn open(&self, _: &ObjectId, range: Range<u64>) -> Result<Box<dyn Span>, Error> {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        let bytes = self.0.lock().unwrap().get(range).ok_or(vidgate::ErrorKind::Changed)?.to_vec();
        Ok(Box::new(Part { bytes, at: 0, hangs: None }))
    }

    fn list(&self, _: &ListQuery) -> Result<ListPage, Error> {
        Ok(ListPage::default())
    }
}

#[test]
fn an_object_of_another_length_under_the_same_entity_tag_is_another() {
    for with_disk in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let object = Arc::new(Mutex::new(Vec::new()));
        let server = start(Arc::new(OneTag(Arc::clone(&object))), |config| {
            config.cache_dir = with_disk.then(|| folder.path().to_owned());
            config.meta_ttl = Duration::ZERO;
        });
        // Shorter and longer, within a block and over its end, and empty.
        for (seed, len) in [100, 70_000, 131_072, 300_000, 131_073, 99, 0, 262_144, 100].into_iter().enumerate() {
            let bytes = pattern(seed as u64 + 1, len);
            object.lock().unwrap().clone_from(&bytes);
            for _ in 0..2 {
                let reply = get(server.addr(), "/media/film.mp4", &[]);
                assert!(reply.status == 200 && reply.body.len() == len, "{len}: {} bytes", reply.body.len());
                // The same length again is the same object: that is what an entity tag says.
                assert!(reply.body == bytes || len == 100, "{len}: other bytes");
            }
        }
    }
}
