//! A bucket whose connections are reset, hang and go away at random, and viewers who read at random and leave at random, through
//! the real program: every byte is right, and afterwards it holds what it held before.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use vidgate::store::S3Config;

use crate::support::client::get;
use crate::support::dice::Dice;
use crate::support::minio::minio;
use crate::support::process::Process;
use crate::support::relay::Relay;
use crate::support::{film_len, metric, pattern, reads_max, wait_for};

/// How long the chaos lasts.
const CHAOS: Duration = Duration::from_secs(5);
/// Viewers at a time.
const VIEWERS: u64 = 24;
/// A viewer who gets nothing for so long hangs: longer than the program waits for a store.
const PATIENCE: Duration = Duration::from_secs(75);
/// What its memory may grow by: the largest cache, and buffers for all who came at once.
const GROWTH_MAX: usize = 96 << 20;
/// How long the program waits for the head of a reply of the store.
const STORE_HEAD_MAX: Duration = Duration::from_secs(10);
/// How long an idle connection to the store is kept, and a little more.
const IDLE_AGE_MAX: Duration = Duration::from_secs(16);
/// How long a test waits for that.
const SETTLED_WITHIN: Duration = Duration::from_mins(1);

type Objects = [(&'static str, Vec<u8>)];

/// A viewer of some parts of some objects, one after the other in one connection, until something ends it.
fn watch(addr: SocketAddr, objects: &Objects, dice: &mut Dice) -> std::io::Result<()> {
    let mut client = TcpStream::connect(addr)?;
    client.set_read_timeout(Some(PATIENCE))?;
    if dice.below(3) == 0 {
        socket2::SockRef::from(&client).set_recv_buffer_size(16 * 1024)?;
    }
    for _ in 0..=dice.below(3) {
        let (name, object) = &objects[dice.len_below(objects.len())];
        let start = dice.len_below(object.len());
        let longest = if dice.below(2) == 0 { 2000 } else { object.len() };
        let end = object.len().min(start + 1 + dice.len_below(longest));
        write!(client, "GET /media/{name} HTTP/1.1\r\nHost: a\r\nRange: bytes={start}-{}\r\n\r\n", end - 1)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if client.read(&mut byte)? == 0 {
                return Ok(());
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("a head is ASCII");
        if !head.starts_with("HTTP/1.1 206 ") {
            assert!(["502", "504"].contains(&&head[9..12]), "{head}");
            return Ok(());
        }
        // Half of them read it all, some leave in the middle, some at once.
        let wanted = match dice.below(4) {
            0 => dice.len_below(end - start),
            1 => 0,
            _ => end - start,
        };
        let mut at = start;
        while at < start + wanted {
            let mut piece = vec![0; (1 + dice.len_below(70_000)).min(end - at)];
            let len = client.read(&mut piece)?;
            assert!(piece[..len] == object[at..at + len], "wrong bytes of {name} at {at}");
            if len == 0 {
                return Ok(());
            }
            at += len;
        }
        if wanted < end - start {
            return Ok(());
        }
    }
    Ok(())
}

/// Resets connections, holds them, and takes the store away, at random, until this moment.
fn torment(relay: &Relay, end: Instant, dice: &mut Dice) {
    while Instant::now() < end {
        relay.reset_at((0..8).map(|_| dice.below(4 << 20)));
        let time = Duration::from_millis(20 + dice.below(500));
        match dice.below(3) {
            0 => relay.stop_for(time),
            _ => relay.hold_for(time),
        }
    }
    relay.reset_at([]);
}

/// How many reads of the store there may be at a time: as many questions as reach a store that hangs.
fn reads_at_a_time(program: &Process, relay: &Relay, mark: &str) -> usize {
    let want = reads_max();
    let before = relay.requests("HEAD");
    let count = || relay.requests("HEAD") - before;
    let started = Instant::now();
    relay.hold();
    let mut clients = Vec::new();
    for number in 0..2 * want {
        let mut client = TcpStream::connect(program.addr()).unwrap();
        write!(client, "GET /media/{mark}-{number} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        clients.push(client);
    }
    let reached = wait_for(&format!("{want} reads {mark}"), Duration::from_secs(8), || Some(count()).filter(|it| *it >= want));
    program.check_alive("a store that hangs");
    let held = count();
    // Those who waited for so long may have given up, and others asked in their place.
    let reads = if started.elapsed() < STORE_HEAD_MAX { held } else { reached };
    relay.let_go();
    for mut client in clients {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        let is_late = started.elapsed() >= STORE_HEAD_MAX && answer.starts_with("HTTP/1.1 504 ");
        assert!(is_late || answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    reads
}

fn start(config: &S3Config, environment: &[(&str, &str)]) -> Process {
    let (access_key_id, secret_access_key) = minio().user();
    let mut all = vec![
        ("AWS_BUCKET_NAME", config.bucket.as_str()),
        ("AWS_ENDPOINT_URL_S3", config.endpoint.as_deref().unwrap()),
        ("AWS_ACCESS_KEY_ID", access_key_id),
        ("AWS_SECRET_ACCESS_KEY", secret_access_key),
        ("VIDGATE_META_TTL", "300ms"),
    ];
    all.extend_from_slice(environment);
    Process::start(&all)
}

#[track_caller]
fn check(seed: u64, objects: &Objects, environment: &[(&str, &str)]) {
    let bucket = minio().bucket();
    for (name, bytes) in objects {
        bucket.put(name, bytes);
    }
    let relay = Relay::start(minio().addr());
    let config = S3Config { endpoint: Some(relay.endpoint()), ..bucket.config() };
    let program = start(&config, environment);
    let all_is_well = || {
        for (name, bytes) in objects {
            assert!(get(program.addr(), &format!("/media/{name}"), &[]).body == *bytes, "{name}");
        }
    };
    // One after the other, so with one connection to the store.
    all_is_well();
    let before = program.vitals();
    let reads_before = reads_at_a_time(&program, &relay, "before");
    let end = Instant::now() + CHAOS;
    thread::scope(|scope| {
        let relay = &relay;
        scope.spawn(move || torment(relay, end, &mut Dice::new(seed)));
        for viewer in 0..VIEWERS {
            let addr = program.addr();
            scope.spawn(move || {
                let mut dice = Dice::new(seed ^ (viewer << 32));
                while Instant::now() < end {
                    if let Err(error) = watch(addr, objects, &mut dice) {
                        // A connection that was cut is part of it; one that hangs is not.
                        assert!(error.kind() != ErrorKind::WouldBlock, "nothing came for {PATIENCE:?}");
                    }
                }
            });
        }
    });
    // A read that hung when the chaos ended may hang until its limit; only then its turn is another's.
    wait_for("the last connection of the chaos to end", SETTLED_WITHIN, || {
        (metric(program.addr(), "vidgate_connections_open") <= 1).then_some(())
    });
    assert_eq!(reads_at_a_time(&program, &relay, "after"), reads_before, "reads at a time");
    all_is_well();
    wait_until_idle_connections_are_closed(&program, &relay);
    program.check_recovered(before, GROWTH_MAX);
}

/// Waits until the program has no connection to the store but the one that it asks by. One that a read was left open on would stay.
fn wait_until_idle_connections_are_closed(program: &Process, relay: &Relay) {
    let mut quiet_since = Instant::now();
    wait_for("the connections to the store to be closed", SETTLED_WITHIN, || {
        if quiet_since.elapsed() < IDLE_AGE_MAX {
            return None;
        }
        // Those that were idle for so long are closed when one is wanted, which the look at a key that nobody knows does.
        quiet_since = Instant::now();
        let key = format!("/media/none-{}", relay.requests("HEAD"));
        assert_eq!(get(program.addr(), &key, &["Connection: close"]).status, 404);
        wait_for("the relay to see them closed", Duration::from_secs(5), || (relay.open_count() <= 1).then_some(()));
        Some(())
    });
}

#[test]
fn after_chaos_nothing_is_left_of_it() {
    let objects = [
        ("a.mp4", pattern(91, film_len(6_000_001))),
        ("b.mp4", pattern(92, 131_072)),
        ("c.mp4", pattern(93, 1_300_000)),
        ("d", b"x".to_vec()),
    ];
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [large, small] = folders.each_ref().map(|folder| folder.path().to_str().unwrap());
    // All at once: each waits for a quarter of a minute at its end.
    thread::scope(|scope| {
        let objects = &objects;
        scope.spawn(move || check(1, objects, &[("VIDGATE_CACHE_RAM", "0")]));
        scope.spawn(move || check(2, objects, &[("VIDGATE_CACHE_RAM", "1MiB")]));
        scope.spawn(move || check(3, objects, &[("VIDGATE_CACHE_RAM", "64MiB"), ("VIDGATE_CACHE_DIR", large)]));
        scope.spawn(move || {
            check(4, objects, &[("VIDGATE_CACHE_RAM", "0"), ("VIDGATE_CACHE_DIR", small), ("VIDGATE_CACHE_DISK", "16MiB")]);
        });
    });
}
