//! The programs that people fetch and play videos with, on both kinds of store.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use vidgate::Server;
use vidgate::store::Directory;

use crate::support::client::{Client, get};
use crate::support::minio::minio;
use crate::support::pattern;
use crate::support::server::start;

const SAMPLE: &str = "vidgate-sample.mp4";

fn samples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

/// A server on the samples as a directory, and one on the same in a bucket.
fn servers() -> [(&'static str, Server); 2] {
    let film = std::fs::read(samples().join(SAMPLE)).unwrap();
    let bucket = minio().bucket();
    bucket.put(SAMPLE, &film);
    let directory = start(Arc::new(Directory::open(samples()).unwrap()), |_| {});
    let s3 = start(Arc::new(bucket.store()), |_| {});
    [("directory", directory), ("s3", s3)]
}

fn url(addr: SocketAddr) -> String {
    format!("http://{addr}/api/videos/{SAMPLE}/stream")
}

/// Runs a program, which must succeed; what it printed.
#[track_caller]
fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .env("no_proxy", "*")
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run ({error}): tests/install.sh installs it"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {args:?} failed\n{out}\n{err}");
    out.into_owned()
}

fn md5_like(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    run("md5sum", &[file.path().to_str().unwrap()])[..32].to_owned()
}

#[test]
fn the_same_film_through_both_stores_whole_and_in_parts() {
    let film = std::fs::read(samples().join(SAMPLE)).unwrap();
    let servers = servers();
    let whole: Vec<String> =
        servers.iter().map(|(_, server)| md5_like(&get(server.addr(), &format!("/media/{SAMPLE}"), &[]).body)).collect();
    assert_eq!(whole, [md5_like(&film), md5_like(&film)]);

    let mut clients = servers.each_ref().map(|(name, server)| (*name, Client::new(server.addr())));
    let numbers = pattern(7, 200 * 16);
    for (at, pair) in numbers.chunks_exact(16).enumerate() {
        let number = |bytes: &[u8]| usize::try_from(u64::from_le_bytes(bytes.try_into().unwrap()) % film.len() as u64).unwrap();
        let (a, b) = (number(&pair[..8]), number(&pair[8..]));
        let (from, to) = (a.min(b), a.max(b));
        let chunk = ["16384", "65536", "524288", "1048576", "8388608"][at % 5];
        for (name, client) in &mut clients {
            let target = format!("/api/videos/{SAMPLE}/stream?chunkSize={chunk}");
            let reply = client.exchange("GET", &target, &[&format!("Range: bytes={from}-{to}")]);
            assert_eq!(reply.status, 206);
            assert!(reply.body == film[from..=to], "{name}: bytes {from}-{to} in chunks of {chunk} are wrong");
        }
    }
}

#[test]
fn ffprobe_and_ffmpeg_read_and_seek() {
    for (name, server) in servers() {
        let url = url(server.addr());
        let duration = run("ffprobe", &["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", &url]);
        let duration: f64 = duration.trim().parse().unwrap();
        assert!((20.0..=40.0).contains(&duration), "{name}: {duration} s");
        let folder = tempfile::tempdir().unwrap();
        let picture = |url: &str, file: &str| {
            let path = folder.path().join(file);
            run("ffmpeg", &["-v", "error", "-ss", "15", "-i", url, "-frames:v", "1", path.to_str().unwrap()]);
            std::fs::read(path).unwrap()
        };
        let local = samples().join(SAMPLE);
        assert_eq!(picture(&url, "http.png"), picture(local.to_str().unwrap(), "file.png"), "{name}: the picture at 15 s");
    }
}

#[test]
fn curl_wget_and_aria2c_fetch_and_resume() {
    let film = std::fs::read(samples().join(SAMPLE)).unwrap();
    for (name, server) in servers() {
        let url = url(server.addr());
        let folder = tempfile::tempdir().unwrap();
        let path = |file: &str| folder.path().join(file).to_str().unwrap().to_owned();
        let check = |file: &str| assert!(std::fs::read(path(file)).unwrap() == film, "{name}: {file} is wrong");

        run("curl", &["-sf", "-o", &path("curl"), &url]);
        check("curl");
        std::fs::write(path("resumed"), &film[..1_000_001]).unwrap();
        run("curl", &["-sf", "-C", "-", "-o", &path("resumed"), &url]);
        check("resumed");
        run("wget", &["-q", "-O", &path("wget"), &url]);
        check("wget");
        std::fs::write(path("continued"), &film[..777_777]).unwrap();
        run("wget", &["-q", "-c", "-O", &path("continued"), &url]);
        check("continued");
        let folder = folder.path().to_str().unwrap();
        run("aria2c", &["-q", "-x8", "-s8", "-k1M", "--no-conf", "--async-dns=false", "-d", folder, "-o", "aria2c", &url]);
        check("aria2c");
    }
}

#[test]
fn what_safari_probes_with() {
    for (name, server) in servers() {
        let reply = get(server.addr(), &format!("/media/{SAMPLE}"), &["Range: bytes=0-1"]);
        assert_eq!((reply.status, reply.get("Content-Length")), (206, Some("2")), "{name}");
        assert!(reply.get("Content-Range").unwrap().starts_with("bytes 0-1/"), "{name}");
    }
}
