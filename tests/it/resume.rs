//! A store that breaks off, goes away, or replaces an object, while a film is watched.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use vidgate::store::S3;
use vidgate::{Config, Server};

use crate::support::client::{Client, Reply, get};
use crate::support::dice::Dice;
use crate::support::minio::{TestBucket, minio};
use crate::support::relay::Relay;
use crate::support::server::start;
use crate::support::{film_len, metric, pattern};

/// No cache, and one that holds less than a film.
const CACHES: [u64; 2] = [0, 16 << 20];

/// A server behind a relay in front of a bucket with a film.
fn serve(film: &[u8], change: impl FnOnce(&mut Config)) -> (TestBucket, Relay, Server) {
    let bucket = minio().bucket();
    bucket.put("film.mp4", film);
    let relay = Relay::start(minio().addr());
    let mut config = bucket.config();
    config.endpoint = Some(relay.endpoint());
    let server = start(Arc::new(S3::new(config).unwrap()), change);
    (bucket, relay, server)
}

/// Reads the film to its end.
#[track_caller]
fn watch(server: &Server, film: &[u8], mut during: impl FnMut(usize)) {
    let mut client = Client::new(server.addr());
    client.ask("GET", "/media/film.mp4", &[]);
    assert_eq!(client.head().status, 200);
    let mut at = 0;
    while at < film.len() {
        let piece = client.take((film.len() - at).min(1 << 20));
        assert!(piece == film[at..at + piece.len()], "another film between {at} and {}", at + piece.len());
        at += piece.len();
        during(at);
    }
}

#[test]
fn twenty_resets_in_one_film_are_not_seen() {
    let film = pattern(41, film_len(64 << 20));
    for cache_ram in CACHES {
        let (_bucket, relay, server) = serve(&film, |config| config.cache_ram = cache_ram);
        // At odd places: in a head, at the start, in the middle and at the end of blocks and spans.
        let step = film.len() as u64 / 20;
        relay.reset_at((0..20).map(|number| number * step + number * number * 7919 + 100));
        watch(&server, &film, |_| {});
        assert_eq!(relay.resets(), 20, "not all came to pass");
        let resumed = metric(server.addr(), "vidgate_upstream_resumes_total{outcome=\"resumed\"}");
        assert!((10..=20).contains(&resumed), "{resumed} resumes of 20 resets");
        assert_eq!(metric(server.addr(), "vidgate_upstream_resumes_total{outcome=\"failed\"}"), 0);
    }
}

#[test]
fn a_store_that_is_gone_for_five_seconds_is_waited_for() {
    let film = pattern(42, film_len(48 << 20));
    for cache_ram in CACHES {
        let (_bucket, relay, server) = serve(&film, |config| config.cache_ram = cache_ram);
        let relay = &relay;
        thread::scope(|scope| {
            let mut is_gone = false;
            watch(&server, &film, |_| {
                // Behind the first MiB, so that most of the film must be asked of a store that is not there.
                if !std::mem::replace(&mut is_gone, true) {
                    relay.stop();
                    scope.spawn(move || relay.stop_for(Duration::from_secs(5)));
                }
            });
        });
        assert!(metric(server.addr(), "vidgate_upstream_resumes_total{outcome=\"resumed\"}") >= 1);
    }
}

#[test]
fn a_store_that_stays_away_ends_the_film_short_and_right() {
    let film = pattern(43, 24 << 20);
    for cache_ram in CACHES {
        let (_bucket, relay, server) = serve(&film, |config| {
            config.cache_ram = cache_ram;
            config.resume.time_max = Duration::from_millis(500);
        });
        let mut client = Client::new(server.addr());
        client.ask("GET", "/media/film.mp4", &[]);
        // A second request behind the first must not be answered in the first one's body.
        client.ask("GET", "/healthz", &[]);
        assert_eq!(client.head().status, 200);
        let start = client.take(1 << 20);
        relay.stop();
        let rest = client.rest();
        assert!(start.len() + rest.len() < film.len());
        assert!(rest == film[start.len()..start.len() + rest.len()]);
        assert_eq!(metric(server.addr(), "vidgate_upstream_resumes_total{outcome=\"failed\"}"), 1);
        // Before the head, it is the contract's error; with a cache, what is known and kept is answered all the same.
        let reply = get(server.addr(), "/media/other.mp4", &[]);
        assert_eq!((reply.status, reply.code().as_str()), (502, "upstream_unavailable"));
    }
}

#[test]
fn an_object_replaced_while_it_is_watched_is_cut_and_never_mixed() {
    let (old, new) = (pattern(44, 10 << 20), pattern(45, 10 << 20));
    let mut dice = Dice::new(46);
    for cache_ram in CACHES {
        let (bucket, _relay, server) = serve(&old, |config| config.cache_ram = cache_ram);
        for round in 0..25 {
            let key = format!("film-{round}.mp4");
            bucket.put(&key, &old);
            // A viewer who takes some of it, then nothing while it is replaced, and whose socket holds little. A read that is open
            // gives the old version to its end; in small chunks none that begins so near to the start goes beyond 8 MiB (`chunks`).
            let mut client = Client::new(server.addr());
            SockRef::from(client.stream()).set_recv_buffer_size(64 * 1024).unwrap();
            client.ask("GET", &format!("/media/{key}?chunkSize=65536"), &["Connection: close"]);
            assert_eq!(client.head().status, 200);
            let mut seen = client.take(dice.len_below(1 << 20));
            bucket.put(&key, &new);
            seen.extend(client.rest());
            assert!(seen == old[..seen.len()], "a byte of the new version after the old");
            assert!(seen.len() < old.len(), "not cut, though it was replaced before all of it was read");
            // Whoever asks now, or shortly after, gets the one or the other, whole.
            let reply = get(server.addr(), &format!("/media/{key}"), &["Range: bytes=0-99999"]);
            assert!(reply.body == new[..100_000] || reply.body == old[..100_000]);
        }
    }
}

#[test]
fn an_address_of_a_version_says_so_once_that_is_replaced_however_fresh_the_metadata() {
    let (old, new) = (pattern(46, 4 << 20), pattern(47, 3 << 20));
    for cache_ram in CACHES {
        let (bucket, _relay, server) = serve(&old, |config| {
            (config.cache_ram, config.meta_ttl) = (cache_ram, Duration::from_hours(1));
        });
        let ask = |target: &str, fields: &[&str]| get(server.addr(), target, fields);
        let tag = |reply: &Reply| reply.get("ETag").unwrap().trim_matches('"').to_owned();
        let first = ask("/media/film.mp4", &["Range: bytes=0-999"]);
        assert_eq!((first.status, &first.body[..]), (206, &old[..1000]));
        let pinned = format!("/media/film.mp4?etag=%22{}%22", tag(&first));
        let reply = ask(&pinned, &["Range: bytes=2000000-2000999"]);
        assert!(reply.status == 206 && reply.body == old[2_000_000..2_001_000]);
        assert_eq!(ask("/media/film.mp4?etag=other", &["Range: bytes=0-9"]).status, 412);
        bucket.put("film.mp4", &new);
        // Nothing of this is kept, so the read of it is what learns of the new version; If-Range alone would have it sent whole.
        let fields = ["Range: bytes=3999000-", &format!("If-Range: {}", first.get("ETag").unwrap())];
        let reply = ask(&pinned, &fields);
        assert_eq!((reply.status, reply.code().as_str()), (412, "precondition_failed"));
        assert_ne!(tag(&reply), tag(&first));
        let now = format!("/api/videos/film.mp4/stream?etag={}", tag(&reply));
        let reply = ask(&now, &["Range: bytes=2000000-2000999"]);
        assert!(reply.status == 206 && reply.body == new[2_000_000..2_001_000]);
        let reply = ask("/media/film.mp4", &fields);
        assert!(reply.status == 200 && reply.body == new);
    }
}
