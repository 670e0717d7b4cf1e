//! The pages in a real browser: Debian's Chromium, driven by tests/e2e/player.mjs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use vidgate::object::ObjectKey;
use vidgate::sign::bearer::AdminToken;
use vidgate::sign::token::{Claims, KeyRing, Scope, mint};

use crate::support::server::DirectoryServer;

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
    let out = root().join("tests/e2e/out");
    std::fs::create_dir_all(&out).unwrap();
    let base = format!("http://{}", server.addr());
    run("player.mjs", &[&base, out.to_str().unwrap()], 15);
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
    run("hls.mjs", &[&format!("http://{}", server.addr()), &token], 5);
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
    // Ten times the sample, one behind the other: more than a browser has read by then, however slow the machine is.
    let out = server.root.path().join(SAMPLE);
    let status = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-nostdin", "-stream_loop", "9", "-i"])
        .arg(root().join("samples").join(SAMPLE))
        .args(["-c", "copy", "-movflags", "+faststart"])
        .arg(out)
        .status();
    assert!(status.expect("ffmpeg runs: tests/install.sh says what is missing").success());
    let film = Scope::Key(ObjectKey::new(SAMPLE).unwrap());
    run("tokens.mjs", &[&format!("http://{}", server.addr()), "the-operator", &token(&ring, film)], 8);
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

/// Runs a script of tests/e2e, which must make so many checks, and pass them.
#[track_caller]
fn run(script: &str, arguments: &[&str], checks_min: usize) {
    let script = root().join("tests/e2e").join(script);
    assert!(
        Path::new(&root()).join("tests/e2e/node_modules").is_dir(),
        "tests/install.sh installs what the browser test needs"
    );
    let output = Command::new("node").arg(script).args(arguments).output();
    let output = output.expect("node runs: tests/install.sh says what is missing");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the browser found fault\n{out}\n{err}");
    assert!(out.lines().count() >= checks_min, "too few checks were made\n{out}");
}
