//! Scripts that drive Debian's Chromium (tests/e2e), and what they are given.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;
use vidgate::Server;

use crate::support::minio::{TestBucket, minio};
use crate::support::process::Process;
use crate::support::relay::Relay;

/// The film of samples/.
pub(crate) const SAMPLE: &str = "vidgate-sample.mp4";

/// The folder of this project.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Ten times the sample, one behind the other: five minutes. `choose` says to ffmpeg which streams are in it.
pub(crate) fn long_film(choose: &[&str]) -> Vec<u8> {
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

/// The program on a bucket behind a relay. It sends three times as fast as the sample is played and keeps nothing, so that what is
/// played comes from the store.
pub(crate) fn far(bucket: &TestBucket, relay: &Relay, more: &[(&str, &str)]) -> Process {
    let (config, endpoint) = (bucket.config(), relay.endpoint());
    let (user, password) = minio().user();
    let environment = [
        ("AWS_BUCKET_NAME", config.bucket.as_str()),
        ("AWS_REGION", &config.region),
        ("AWS_ENDPOINT_URL_S3", &endpoint),
        ("AWS_ACCESS_KEY_ID", user),
        ("AWS_SECRET_ACCESS_KEY", password),
        ("VIDGATE_RATE", "160KiB"),
        ("VIDGATE_BURST", "128KiB"),
        ("VIDGATE_CACHE_RAM", "0"),
        ("VIDGATE_LOG_FORMAT", "json"),
    ];
    Process::start(&[&environment, more].concat())
}

/// What the program's own access log says of the bytes that it was asked for, one answer a line: key, range, status, bytes sent.
/// It is printed, and left beside the pictures of the run.
pub(crate) fn told_ranges(process: &Process, folder: &str) -> String {
    let log = process.log();
    let lines =
        log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|line| line["route"] == "stream");
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let told: Vec<String> =
        lines.map(|it| format!("{} {} {} {}", text(&it["key"]), text(&it["range"]), it["status"], it["bytes"])).collect();
    let told = told.join("\n");
    println!("{told}");
    std::fs::write(PathBuf::from(folder).join("ranges.txt"), &told).unwrap();
    told
}

/// The address of a server.
pub(crate) fn base(server: &Server) -> String {
    format!("http://{}", server.addr())
}

/// Where a script leaves its pictures.
pub(crate) fn out(name: &str) -> String {
    root().join("tests/e2e/out").join(name).to_str().unwrap().to_owned()
}

/// Runs a script of tests/e2e, which must make so many checks, and pass them.
#[track_caller]
pub(crate) fn run(script: &str, arguments: &[&str], checks_min: usize) {
    run_with(script, arguments, checks_min, |order| panic!("{script} orders {order}"));
}

/// Runs one that orders things by the way: a line `order: WHAT` is answered with `done: WHAT` when `obey` has done it.
#[track_caller]
pub(crate) fn run_with(script: &str, arguments: &[&str], checks_min: usize, mut obey: impl FnMut(&str)) {
    assert!(root().join("tests/e2e/node_modules").is_dir(), "tests/install.sh installs what the browser test needs");
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
