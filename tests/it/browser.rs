//! The pages in a real browser: Debian's Chromium, driven by tests/e2e/player.mjs.

use std::path::{Path, PathBuf};
use std::process::Command;

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
    let script = root().join("tests/e2e/player.mjs");
    assert!(
        Path::new(&root()).join("tests/e2e/node_modules").is_dir(),
        "tests/install.sh installs what the browser test needs"
    );
    let output = Command::new("node")
        .arg(script)
        .arg(format!("http://{}", server.addr()))
        .arg(&out)
        .output()
        .expect("node runs: tests/install.sh says what is missing");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the browser found fault\n{out}\n{err}");
    assert!(out.lines().count() >= 15, "too few checks were made\n{out}");
}
