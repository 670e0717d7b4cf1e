//! The chunk cache on disk, under the real program: killed, on a full disk, and shared by two.

use std::path::Path;
use std::thread;
use std::time::Duration;

use vidgate::store::S3Config;

use crate::support::client::Client;
use crate::support::minio::{TestBucket, minio};
use crate::support::process::Process;
use crate::support::{metric, pattern, wait_for};

const MIB: usize = 1 << 20;

/// Longer than anything here takes, and shorter than a test may hang.
const SOON: Duration = Duration::from_mins(1);

struct Film {
    _bucket: TestBucket,
    config: S3Config,
    bytes: Vec<u8>,
}

fn film(seed: u64, len: usize) -> Film {
    let bucket = minio().bucket();
    let bytes = pattern(seed, len);
    bucket.put("film.mp4", &bytes);
    Film { config: bucket.config(), _bucket: bucket, bytes }
}

impl Film {
    /// Calls `start` with the environment of a program that reads the film, and keeps it in this directory.
    fn with_environment<T>(&self, folder: &Path, more: &[(&str, &str)], start: impl FnOnce(&[(&str, &str)]) -> T) -> T {
        let config = &self.config;
        let endpoint = config.endpoint.clone().unwrap();
        let (access_key_id, secret_access_key) = minio().user();
        let mut environment = vec![
            ("AWS_BUCKET_NAME", config.bucket.as_str()),
            ("AWS_ENDPOINT_URL_S3", endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", access_key_id),
            ("AWS_SECRET_ACCESS_KEY", secret_access_key),
            ("VIDGATE_CACHE_DIR", folder.to_str().unwrap()),
            ("VIDGATE_CACHE_RAM", "1MiB"),
        ];
        environment.extend_from_slice(more);
        start(&environment)
    }

    fn start(&self, folder: &Path, more: &[(&str, &str)]) -> Process {
        self.with_environment(folder, more, Process::start)
    }

    /// Reads the film as far as the program sends it; every byte must be right. Says how many came.
    fn watch(&self, program: &Process) -> usize {
        let mut client = Client::new(program.addr());
        client.ask("GET", "/media/film.mp4", &["Connection: close"]);
        let seen = client.rest();
        let start = seen.windows(4).position(|window| window == b"\r\n\r\n").map_or(seen.len(), |at| at + 4);
        assert!(seen[start..] == self.bytes[..seen.len() - start], "a wrong byte");
        seen.len() - start
    }
}

#[test]
fn killed_while_it_writes_it_serves_right_bytes_ever_after() {
    let film = film(61, 8 * MIB);
    let folder = tempfile::tempdir().unwrap();
    for round in 0..20_usize {
        let program = film.start(folder.path(), &[]);
        thread::scope(|scope| {
            let mut client = Client::new(program.addr());
            client.ask("GET", "/media/film.mp4", &[]);
            assert_eq!(client.head().status, 200);
            // It dies at another place each time, with blocks waiting to be written and one half written.
            let taken = client.take(round * film.bytes.len() / 20 + 1);
            assert!(taken == film.bytes[..taken.len()]);
            scope.spawn(|| drop(program));
        });
    }
    let program = film.start(folder.path(), &[]);
    assert_eq!(film.watch(&program), film.bytes.len());
    wait_for("the film to be on disk", SOON, || {
        film.watch(&program);
        (metric(program.addr(), "vidgate_cache_bytes") >= film.bytes.len() as u64).then_some(())
    });
    drop(program);
    let program = film.start(folder.path(), &[]);
    assert_eq!(film.watch(&program), film.bytes.len());
    assert!(metric(program.addr(), "vidgate_upstream_bytes_total") < MIB as u64, "it is read from disk");
    assert!(!program.log().contains("panic"), "{}", program.log());
}

#[test]
fn a_full_disk_is_told_once_and_costs_no_viewer_a_byte() {
    let film = film(62, 16 * MIB);
    let folder = tempfile::tempdir().unwrap();
    let program =
        film.with_environment(folder.path(), &[], |environment| Process::start_on_small_disk(folder.path(), 4, environment));
    for _ in 0..3 {
        assert_eq!(film.watch(&program), film.bytes.len());
    }
    let told = wait_for("the log to tell of it", SOON, || {
        let log = program.log();
        log.contains("cannot be written").then_some(log)
    });
    assert_eq!(told.matches("cannot be written").count(), 1, "{told}");
    // What did fit is used.
    assert!(metric(program.addr(), "vidgate_cache_bytes") > 2 * MIB as u64);
    assert_eq!(film.watch(&program), film.bytes.len());
}

#[test]
fn two_programs_share_one_directory() {
    let film = film(63, 24 * MIB);
    let folder = tempfile::tempdir().unwrap();
    // Room for less than the film, so that both write, remove and read all the time.
    let programs = [(); 2].map(|()| film.start(folder.path(), &[("VIDGATE_CACHE_DISK", "16MiB")]));
    thread::scope(|scope| {
        for program in &programs {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..3 {
                        assert_eq!(film.watch(program), film.bytes.len());
                    }
                });
            }
        }
    });
    for program in &programs {
        assert!(!program.log().contains("panic"), "{}", program.log());
        assert!(!program.log().contains("damaged"), "{}", program.log());
    }
    drop(programs);
    // Started anew, with room for all, one of them finds what the other wrote.
    let programs = [(); 2].map(|()| film.start(folder.path(), &[]));
    wait_for("the film to be on disk", SOON, || {
        film.watch(&programs[0]);
        (metric(programs[0].addr(), "vidgate_cache_bytes") >= film.bytes.len() as u64).then_some(())
    });
    assert_eq!(film.watch(&programs[1]), film.bytes.len());
    assert!(metric(programs[1].addr(), "vidgate_upstream_bytes_total") < 2 * MIB as u64, "it is read from disk");
}
