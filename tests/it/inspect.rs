//! `vidgate inspect` and `vidgate doctor`, on files that ffmpeg made, in both stores.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::cli::vidgate;
use crate::support::minio::{TestBucket, minio};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/vidgate-sample.mp4");

/// The sample in another form.
fn remux(dir: &Path, name: &str, flags: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-loglevel", "error", "-y", "-i", SAMPLE, "-map", "0:v", "-c", "copy"]).args(flags).arg(&path);
    let done = command.output().expect("the tests need ffmpeg: tests/install.sh installs it");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    path
}

/// What a run said: the code and standard output with standard error behind it.
#[track_caller]
fn said(output: Output) -> (Option<i32>, String) {
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// The settings of a bucket as variables.
fn environment(bucket: &TestBucket) -> Vec<(String, String)> {
    let (user, password) = minio().user();
    [
        ("AWS_BUCKET_NAME", bucket.config().bucket.as_str()),
        ("AWS_ENDPOINT_URL_S3", minio().endpoint()),
        ("AWS_ACCESS_KEY_ID", user),
        ("AWS_SECRET_ACCESS_KEY", password),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Inspects a key and asserts the exit code and what is said of it, line by line.
#[track_caller]
fn check(dir: &Path, environment: &[(String, String)], key: &str, code: i32, parts: &[&str]) {
    let output = vidgate(dir).args(["inspect", key]).envs(environment.iter().cloned()).output().expect("the program runs");
    let (found, text) = said(output);
    assert_eq!(found, Some(code), "{text}");
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

/// Files that ffmpeg made or somebody broke, with what is to be said of them.
fn files(dir: &Path) -> Vec<(&'static str, Vec<u8>, i32, &'static [&'static str])> {
    let read = |path: PathBuf| fs::read(path).unwrap();
    let front = read(remux(dir, "front.mp4", &["-movflags", "+faststart"]));
    let last = read(remux(dir, "last.mp4", &[]));
    let mut cut = last.clone();
    cut.truncate(last.len() / 2);
    let mut broken = front.clone();
    broken[24..64].fill(0);
    let fragmented = read(remux(dir, "fragments.mp4", &["-movflags", "frag_keyframe+empty_moov"]));
    let matroska = read(remux(dir, "film.mkv", &[]));
    vec![
        (
            "front.mp4",
            front,
            0,
            &["ok    index", "in front of the film", "ok    content type    video/mp4", "2 reads of at most"],
        ),
        ("folder/last.mp4", last, 1, &["FAIL  index", "behind the film", "-movflags +faststart", "1 of 5 checks failed"]),
        ("cut.mp4", cut.clone(), 1, &["FAIL  index", "cut short"]),
        ("broken.mp4", broken, 1, &["FAIL  index", "broken at byte"]),
        ("fragments.mp4", fragmented, 0, &["ok    index", "fragmented"]),
        ("film.mkv", matroska.clone(), 0, &["note  index", "no MP4 file"]),
        ("lying.mp4", matroska, 1, &["FAIL  index", "though its type says so"]),
        ("empty.mp4", Vec::new(), 1, &["FAIL  size", "empty"]),
    ]
}

#[test]
fn inspect_says_of_each_file_in_a_directory_what_is_right() {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("samples/folder")).unwrap();
    for (key, bytes, code, parts) in files(dir.path()) {
        fs::write(dir.path().join("samples").join(key), bytes).unwrap();
        check(dir.path(), &[], key, code, parts);
    }
    check(dir.path(), &[], "none.mp4", 1, &["there is no object"]);
    check(dir.path(), &[], "../x", 1, &["vidgate: "]);
}

#[test]
fn inspect_says_of_each_file_in_a_bucket_what_is_right() {
    let dir = TempDir::new().unwrap();
    let bucket = minio().bucket();
    let environment = environment(&bucket);
    for (key, bytes, code, parts) in files(dir.path()) {
        bucket.put(key, &bytes);
        check(dir.path(), &environment, key, code, parts);
    }
    let (_, film, ..) = files(dir.path()).swap_remove(0);
    bucket.put_with("coded.mp4", &film, &[("content-type", "video/mp4"), ("content-encoding", "gzip")]);
    check(dir.path(), &environment, "coded.mp4", 1, &["FAIL  coding", "gzip", "video/mp4 (stored)"]);
    bucket.put_with("film", &film, &[("content-type", "application/octet-stream")]);
    check(dir.path(), &environment, "film", 1, &["FAIL  content type", "name it .mp4", "ok    index"]);
    check(dir.path(), &environment, "none.mp4", 1, &["was answered with 404"]);
}

#[test]
fn inspect_of_ten_gigabytes_costs_a_few_small_reads() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("samples")).unwrap();
    let mut file = File::create(dir.path().join("samples/long.mp4")).unwrap();
    let film_len = 10_u64 << 30;
    file.write_all(b"\0\0\0\x18ftypisom\0\0\0\0isommp42\0\0\0\x01mdat").unwrap();
    file.write_all(&film_len.to_be_bytes()).unwrap();
    file.seek(SeekFrom::Start(24 + film_len)).unwrap();
    file.write_all(b"\0\0\0\x0cmoovlast").unwrap();
    drop(file);
    check(
        dir.path(),
        &[],
        "long.mp4",
        1,
        &["10737418276 bytes", "behind the film (mdat), at byte 10737418264", "2 reads of at most 4096"],
    );
}

/// Runs the doctor and asserts its exit code; gives its lines.
#[track_caller]
fn doctor(dir: &Path, environment: &[(String, String)], code: i32) -> String {
    let output = vidgate(dir).arg("doctor").envs(environment.iter().cloned()).output().expect("the program runs");
    let (found, text) = said(output);
    assert_eq!(found, Some(code), "{text}");
    text
}

/// A good line of each of these checks.
#[track_caller]
fn check_good(text: &str, names: &[&str]) {
    for name in names {
        assert!(text.lines().any(|line| line.starts_with(&format!("ok    {name} "))), "{name} in {text}");
    }
}

#[test]
fn doctor_finds_a_good_directory_and_a_good_bucket_good() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("samples")).unwrap();
    fs::copy(SAMPLE, dir.path().join("samples/film.mp4")).unwrap();
    let text = doctor(dir.path(), &[], 0);
    check_good(&text, &["configuration", "list", "read", "cors"]);
    let bucket = minio().bucket();
    let environment = environment(&bucket);
    let text = doctor(dir.path(), &environment, 0);
    check_good(&text, &["configuration", "bucket", "clock", "list"]);
    assert!(text.contains("note  read") && text.contains("no object"), "{text}");
    bucket.put("film.mp4", &fs::read(SAMPLE).unwrap());
    let text = doctor(dir.path(), &environment, 0);
    check_good(&text, &["configuration", "bucket", "clock", "list", "read", "cors"]);
    assert!(text.contains("bytes 0-4095 of \"film.mp4\": 4096 came"), "{text}");
    assert!(!text.contains(minio().user().1), "the secret is in {text}");
}

#[test]
fn doctor_tells_what_is_wrong_and_in_whose_words() {
    let dir = TempDir::new().unwrap();
    let bucket = minio().bucket();
    let with = |name: &str, value: &str| {
        let mut changed = environment(&bucket);
        changed.retain(|(known, _)| known != name);
        changed.push((name.to_owned(), value.to_owned()));
        changed
    };
    let text = doctor(dir.path(), &with("AWS_SECRET_ACCESS_KEY", "wrong-secret"), 1);
    assert!(text.contains("FAIL  list") && text.contains("SignatureDoesNotMatch") && !text.contains("wrong-secret"), "{text}");
    let text = doctor(dir.path(), &with("AWS_BUCKET_NAME", "no-such-bucket"), 1);
    assert!(text.contains("FAIL  bucket") && text.contains("does not exist"), "{text}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = doctor(dir.path(), &with("AWS_ENDPOINT_URL_S3", &format!("http://{closed}")), 1);
    assert!(text.contains("FAIL  bucket") && text.contains("refused"), "{text}");
    // What speaks no TLS.
    let plain = minio().endpoint().replace("http:", "https:");
    let text = doctor(dir.path(), &with("AWS_ENDPOINT_URL_S3", &plain), 1);
    assert!(text.contains("FAIL  bucket"), "{text}");
    fs::write(dir.path().join("file"), "").unwrap();
    let cache = dir.path().join("file/cache");
    let text = doctor(dir.path(), &with("VIDGATE_CACHE_DIR", cache.to_str().unwrap()), 1);
    assert!(text.contains("FAIL  cache"), "{text}");
    let text = doctor(dir.path(), &[("PORT".into(), "x".into()), ("VIDGATE_DIR".into(), ".".into())], 2);
    assert!(text.contains("bad configuration"), "{text}");
}
