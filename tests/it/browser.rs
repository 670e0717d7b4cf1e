//! The pages in a real browser: Debian's Chromium, driven by tests/e2e/player.mjs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use vidgate::Config;
use vidgate::object::ObjectKey;
use vidgate::sign::bearer::AdminToken;
use vidgate::sign::token::{Claims, KeyRing, Scope, mint};
use vidgate::store::{Directory, S3};

use crate::support::browser::{SAMPLE, base, far, long_film, out, root, run, run_with, told_ranges};
use crate::support::minio::minio;
use crate::support::relay::Relay;
use crate::support::server::{DirectoryServer, start};

#[test]
fn the_pages_play_and_seek_in_chromium() {
    let server = DirectoryServer::start(|_| {});
    let film = std::fs::read(root().join("samples").join(SAMPLE)).unwrap();
    // Names that a page could take for markup, or a path for something else.
    for key in [SAMPLE, "<img src=x onerror=alert(1)>.mp4", "a b/#?%&+.mp4", "фильм/серия 1.mp4", "~home.mp4", "a/url"]
    {
        server.put(key, &film);
    }
    run("player.mjs", &[&base(&server.server), &out("player")], 15);
}

#[test]
fn the_library_shows_full_empty_broken_and_very_large_stores_in_chromium() {
    let films = DirectoryServer::start(|_| {});
    let film = std::fs::read(root().join("samples").join(SAMPLE)).unwrap();
    films.put(SAMPLE, &film);
    for name in ["Bridges", "Harbour at night", "Market square", "Night tram", "Rooftops"] {
        films.put(&format!("films/city/{name}.mp4"), &film);
    }
    for name in ["A walk by the sea", "Autumn", "Rain", "The hills at dawn", "Under the pines", "White water"] {
        films.put(&format!("films/nature/{name}.mp4"), &film);
    }
    let empty = DirectoryServer::start(|_| {});
    // Nobody listens there any more.
    let relay = Relay::start(minio().addr());
    relay.stop();
    let mut far = minio().bucket().config();
    far.endpoint = Some(relay.endpoint());
    let broken = start(Arc::new(S3::new(far).unwrap()), |_| {});
    let many = DirectoryServer::start(|_| {});
    for number in 1..=10_000 {
        many.put(&format!("crowd/film-{number:05}.mp4"), b"");
    }
    many.put("z/the-last.mp4", &film);
    let servers = [&films.server, &empty.server, &broken, &many.server].map(base);
    let arguments: Vec<&str> = servers.iter().map(String::as_str).collect();
    run("library.mjs", &[&arguments[..], &[&out("library")]].concat(), 19);
}

#[test]
fn a_film_can_be_watched_with_all_that_belongs_to_it_and_through_trouble_in_chromium() {
    let samples = || Arc::new(Directory::open(root().join("samples")).unwrap());
    let hls = root().join("tests/e2e/node_modules/hls.js/dist/hls.light.min.js");
    let (near, plain) = (start(samples(), |config| config.hls_js = Some(hls)), start(samples(), |_| {}));
    let bucket = minio().bucket();
    bucket.put("film.mp4", &long_film(&["-map", "0"]));
    let relay = Relay::start(minio().addr());
    let far = far(&bucket, &relay, &[]);
    let servers = [base(&near), base(&plain), format!("http://{}", far.addr())];
    let arguments: Vec<&str> = servers.iter().map(String::as_str).collect();
    let folder = out("watch");
    run_with("watch.mjs", &[&arguments[..], &[&folder]].concat(), 25, |order| match order {
        "stop the store for 3 s" => relay.stop_for(Duration::from_secs(3)),
        "stop the store" => relay.stop(),
        "start the store" => relay.go_on(),
        // The same pictures without the sound: another size, and each picture elsewhere.
        "replace the film" => bucket.put("film.mp4", &long_film(&["-an"])),
        _ => panic!("what is {order}?"),
    });
    let ranges = told_ranges(&far, &folder);
    for status in [206, 412, 502] {
        assert!(ranges.contains(&format!(" {status} ")), "{status} is not in\n{ranges}");
    }
}

#[test]
fn hls_plays_in_chromium_with_a_token_in_the_path_and_is_refused_without() {
    let ring = KeyRing::parse("k1:0123456789abcdef0123456789abcdef").unwrap();
    let server = DirectoryServer::start(|config| config.playback_keys = Some(ring.clone()));
    let folder = root().join("samples/hls");
    for name in ["main.m3u8", "270p/list.m3u8", "270p/init.mp4"].map(str::to_owned).into_iter().chain((0..5).map(part)) {
        server.put(&format!("hls/{name}"), std::fs::read(folder.join(&name)).unwrap());
    }
    let token = token(&ring, Scope::Prefix("hls/".into()));
    run("hls.mjs", &[&base(&server.server), &token], 8);
}

#[test]
fn the_pages_ask_for_a_token_and_renew_it_in_chromium() {
    let ring = KeyRing::parse("k1:0123456789abcdef0123456789abcdef").unwrap();
    let server = DirectoryServer::start(|config| {
        config.playback_keys = Some(ring.clone());
        config.admin_token = AdminToken::new("the-operator");
        // About as fast as the film is played, so that most of it is still to come when its token ends.
        (config.rate, config.burst) = (Some(64 * 1024), 128 * 1024);
    });
    // More than a browser has read by then, however slow the machine is.
    server.put(SAMPLE, long_film(&["-map", "0"]));
    let film = Scope::Key(ObjectKey::new(SAMPLE).unwrap());
    run("tokens.mjs", &[&base(&server.server), "the-operator", &token(&ring, film)], 8);
}

#[test]
fn the_library_uploads_by_tus_through_trouble_in_chromium() {
    let plain = DirectoryServer::start(|_| {});
    let bucket = minio().bucket();
    let change = |config: &mut Config| {
        config.admin_token = AdminToken::new("the-operator");
        config.upload_max = 32 << 20;
    };
    let near = DirectoryServer::start(change);
    for server in [&near.server, &start(Arc::new(bucket.store()), change)] {
        run("upload.mjs", &[&base(server), &base(&plain.server), "the-operator", &out("upload")], 22);
    }
}

#[test]
fn chromium_sends_forms_whose_names_are_of_any_language() {
    let server = DirectoryServer::start(|config| config.admin_token = AdminToken::new("the-operator"));
    run("forms.mjs", &[&format!("http://{}", server.addr()), "the-operator"], 8);
}

/// A token for ten minutes.
fn token(ring: &KeyRing, scope: Scope) -> String {
    let expires_at = (SystemTime::now() + Duration::from_mins(10)).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    mint(ring, &Claims { scope, expires_at, not_before: None, network: None })
}

fn part(number: usize) -> String {
    format!("270p/part-{number}.m4s")
}
