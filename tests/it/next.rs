//! The Next.js example, built and run as its users do, against the real program, in Chromium.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::browser::{SAMPLE, far, long_film, out, root, run, run_with, told_ranges};
use crate::support::minio::minio;
use crate::support::process::Process;
use crate::support::relay::Relay;
use crate::support::wait_for;

const KEYS: &str = "k1:0123456789abcdef0123456789abcdef";
/// Longer than a start takes on a busy machine.
const START_LIMIT: Duration = Duration::from_mins(1);

/// The example, as `npm start` runs it.
struct Site {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Site {
    /// Starts it from where it is built; it is another origin than vidgate, by its port.
    fn start(built: &Path, addr: SocketAddr, environment: &[(&str, &str)]) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let file = || Stdio::from(log.reopen().unwrap());
        let mut command = Command::new("node");
        command
            .args(["node_modules/next/dist/bin/next", "start", "--hostname", "127.0.0.1", "--port"])
            .arg(addr.port().to_string());
        command.current_dir(built).env("NEXT_TELEMETRY_DISABLED", "1").envs(environment.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(file()).stderr(file()).spawn().expect("node runs");
        let site = Self { child, log };
        wait_for("the site to listen", START_LIMIT, || TcpStream::connect(addr).ok());
        site
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the example lies, checked by its own linters and built.
fn built() -> PathBuf {
    let done = Command::new(root().join("tests/next.sh")).stderr(Stdio::piped()).output().expect("bash runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "the example cannot be built\n{said}");
    String::from_utf8(done.stdout).unwrap().trim_end().into()
}

/// A port that nobody listens at; vidgate must know the origin before the site is started, and the site where vidgate is. Chosen
/// when the site is built, which takes minutes.
fn free_addr() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a free port")
}

#[test]
fn the_next_js_example_lists_and_plays_through_trouble_in_chromium() {
    let bucket = minio().bucket();
    let samples = root().join("samples");
    bucket.put("film.mp4", &long_film(&["-map", "0"]));
    for name in [SAMPLE, "vidgate-sample.en.vtt", "hls/main.m3u8", "hls/270p/list.m3u8", "hls/270p/init.mp4"] {
        bucket.put(name, &fs::read(samples.join(name)).unwrap());
    }
    for number in 0..5 {
        let name = format!("hls/270p/part-{number}.m4s");
        bucket.put(&name, &fs::read(samples.join(&name)).unwrap());
    }
    let relay = Relay::start(minio().addr());
    let built = built();
    let site_addr = free_addr();
    let origin = format!("http://{site_addr}");
    let vidgate = far(&bucket, &relay, &[("VIDGATE_PLAYBACK_KEYS", KEYS), ("VIDGATE_CORS_ORIGINS", &origin)]);
    let base = format!("http://{}", vidgate.addr());
    let site = Site::start(&built, site_addr, &[("VIDGATE_URL", &base), ("VIDGATE_PLAYBACK_KEYS", KEYS)]);
    let folder = out("next");
    run_with("next.mjs", &[&origin, &base, &folder], 17, |order| match order {
        "stop the store for 3 s" => relay.stop_for(Duration::from_secs(3)),
        "replace the film" => bucket.put("film.mp4", &long_film(&["-an"])),
        _ => panic!("what is {order}?"),
    });
    let log = site.log();
    assert!(!log.contains("Error"), "{log}");

    let ranges = told_ranges(&vidgate, &folder);
    assert!(ranges.lines().any(|line| line.starts_with("film.mp4 ") && line.contains(" 206 ")), "{ranges}");
    assert!(ranges.lines().any(|line| line.starts_with("film.mp4 ") && line.contains(" 412 ")), "{ranges}");
    assert!(!vidgate.log().contains("eyJ"), "a token in the log");
}

#[test]
fn the_upload_page_of_the_next_js_example_goes_on_in_chromium() {
    let built = built();
    let (site_addr, way_addr) = (free_addr(), free_addr());
    let origin = format!("http://{site_addr}");
    let vidgate = Process::start(&[("VIDGATE_ADMIN_TOKEN", "the-operator"), ("VIDGATE_CORS_ORIGINS", &origin)]);
    let base = format!("http://{}", vidgate.addr());
    // Browsers go through the script's relay; the site itself asks the server.
    let way = format!("http://{way_addr}");
    let site = Site::start(&built, site_addr, &[("VIDGATE_URL", &way), ("VIDGATE_INTERNAL_URL", &base)]);
    let port = way_addr.port().to_string();
    run("next-upload.mjs", &[&origin, &base, &port, "the-operator", &out("next")], 9);
    let log = site.log();
    assert!(!log.contains("Error"), "{log}");
}
