//! The chunk cache, seen by viewers through the whole program on a real store.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use vidgate::store::S3;
use vidgate::{Config, Server};

use crate::support::client::{Client, get};
use crate::support::minio::{TestBucket, minio};
use crate::support::relay::Relay;
use crate::support::server::start;
use crate::support::{film_len, is_full_size, metric, pattern, wait_for};

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
    let seconds = if is_full_size() { 60 } else { 5 };
    for cache_ram in [0, 64 * MIB] {
        let (_bucket, relay, config) = film(&bytes);
        let server = serve(&config, |config| config.cache_ram = cache_ram);
        let mut client = Client::new(server.addr());
        socket2::SockRef::from(client.stream()).set_recv_buffer_size(64 * 1024).unwrap();
        client.ask("GET", "/media/film.mp4", &[]);
        assert_eq!(client.head().status, 200);
        let (started, mut taken) = (Instant::now(), 0);
        wait_for("the viewer to have watched for its time", Duration::from_secs(120), || {
            let due = started.elapsed().as_millis() as u64 * PACE / 1000;
            if due > taken {
                let len = usize::try_from(due - taken).unwrap();
                let at = usize::try_from(taken).unwrap();
                assert!(client.take(len) == bytes[at..at + len]);
                taken = due;
            }
            (started.elapsed() >= Duration::from_secs(seconds)).then_some(())
        });
        let read_len = relay.passed_len();
        assert!(read_len <= taken + 8 * MIB, "{read_len} bytes of the store for {taken} taken");
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
    wait_for("the film to be on disk", Duration::from_secs(60), || {
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
