//! The pages in a real browser: Debian's Chromium, driven by tests/e2e/player.mjs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use vidgate::Server;
use vidgate::object::ObjectKey;
use vidgate::sign::bearer::AdminToken;
use vidgate::sign::token::{Claims, KeyRing, Scope, mint};
use vidgate::store::{Directory, S3};

use crate::support::minio::minio;
use crate::support::relay::Relay;
use crate::support::server::{DirectoryServer, start};

const SAMPLE: &str = "vidgate-sample.mp4";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

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
    let mut config = bucket.config();
    config.endpoint = Some(relay.endpoint());
    let far = start(Arc::new(S3::new(config).unwrap()), |config| {
        // Three times as fast as the film is played, and nothing is kept: what is played must come from the store.
        (config.rate, config.burst, config.cache_ram) = (Some(160 * 1024), 128 * 1024, 0);
    });
    let servers = [&near, &plain, &far].map(base);
    let arguments: Vec<&str> = servers.iter().map(String::as_str).collect();
    run_with("watch.mjs", &[&arguments[..], &[&out("watch")]].concat(), 25, |order| match order {
        "stop the store for 3 s" => relay.stop_for(Duration::from_secs(3)),
        "stop the store" => relay.stop(),
        "start the store" => relay.go_on(),
        // The same pictures without the sound: another size, and each picture elsewhere.
        "replace the film" => bucket.put("film.mp4", &long_film(&["-an"])),
        _ => panic!("what is {order}?"),
    });
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
    run("hls.mjs", &[&base(&server.server), &token], 6);
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

/// Ten times the sample, one behind the other: five minutes. `choose` says to ffmpeg which streams are in it.
fn long_film(choose: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("film.mp4");
    let status = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-nostdin", "-stream_loop", "9", "-i"])
        .arg(root().join("samples").join(SAMPLE))
        .args(choose)
        .args(["-c", "copy", "-movflags", "+faststart"])
        .arg(&film)
        .status();
    assert!(status.expect("ffmpeg runs: tests/install.sh says what is missing").success());
    std::fs::read(film).unwrap()
}

fn base(server: &Server) -> String {
    format!("http://{}", server.addr())
}

/// Where a script leaves its pictures.
fn out(name: &str) -> String {
    root().join("tests/e2e/out").join(name).to_str().unwrap().to_owned()
}

/// Runs a script of tests/e2e, which must make so many checks, and pass them.
#[track_caller]
fn run(script: &str, arguments: &[&str], checks_min: usize) {
    run_with(script, arguments, checks_min, |order| panic!("{script} orders {order}"));
}

/// Runs one that orders things by the way: a line `order: WHAT` is answered with `done: WHAT` when `obey` has done it.
#[track_caller]
fn run_with(script: &str, arguments: &[&str], checks_min: usize, mut obey: impl FnMut(&str)) {
    assert!(
        Path::new(&root()).join("tests/e2e/node_modules").is_dir(),
        "tests/install.sh installs what the browser test needs"
    );
    let mut node = Command::new("node")
        .arg(root().join("tests/e2e").join(script))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node runs: tests/install.sh says what is missing");
    let (mut stdin, mut stderr) = (node.stdin.take().unwrap(), node.stderr.take().unwrap());
    let err = thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        text
    });
    let mut out = String::new();
    for line in BufReader::new(node.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if let Some(order) = line.strip_prefix("order: ") {
            obey(order);
            writeln!(stdin, "done: {order}").expect("the script waits for the answer");
        }
        println!("{line}");
        out = out + &line + "\n";
    }
    let status = node.wait().unwrap();
    assert!(status.success(), "the browser found fault\n{out}\n{}", err.join().unwrap());
    let checks = out.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(checks >= checks_min, "too few checks were made\n{out}");
}
