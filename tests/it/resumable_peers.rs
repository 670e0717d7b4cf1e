//! Uploads of tus-js-client and tuspy through cuts, kills and two servers in turn.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::SystemTime;

use md5::{Digest as _, Md5};

use crate::support::client::{Client, get};
use crate::support::dice::Dice;
use crate::support::minio::minio;
use crate::support::peers::{Peer, upload};
use crate::support::process::Process;
use crate::support::road::{Cut, Road};
use crate::support::site::is_record;
use crate::support::{film_len, pattern};

const TOKEN: &str = "the-operator";

/// How often an upload is cut, and how often the server is killed with it.
const CUTS: usize = 20;
const KILLS: usize = 5;

/// How long an upload takes that is not cut, in seconds, by the speed of the line. What a killed server has received and not kept is
/// what came in a moment.
const SECONDS: u64 = 24;

/// Uploads a file of so many bytes by way of two servers, and gives how many were sent.
#[track_caller]
fn check(peer: Peer, seed: u64, file: &Path, len: u64, environment: &[(&str, &str)]) -> u64 {
    let servers: Vec<Process> = (0..2).map(|_| Process::start(environment)).collect();
    let addrs: Vec<SocketAddr> = servers.iter().map(Process::addr).collect();
    let servers = Arc::new(Mutex::new(servers));
    let mut dice = Dice::new(seed);
    let cuts: Vec<Cut> = (0..CUTS).map(|number| Cut { at: dice.below(len), kills: number < KILLS }).collect();
    let environment: Vec<(String, String)> =
        environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let killed = Arc::clone(&servers);
    let road = Road::open(&addrs, len / SECONDS, cuts, move |number| {
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (&**name, &**value)).collect();
        let mut servers = killed.lock().unwrap();
        // Dropped, it is killed by signal 9.
        servers[number] = Process::start(&environment);
        servers[number].addr()
    });
    let key = format!("{peer:?}.mp4");
    upload(peer, &format!("http://{}/api/uploads", road.addr()), file, &key, TOKEN);
    assert_eq!(road.cuts_left(), 0, "seed {seed}");
    for server in &*servers.lock().unwrap() {
        let reply = get(server.addr(), &format!("/media/{key}"), &[]);
        assert_eq!(reply.status, 200, "seed {seed}");
        let want = Md5::digest(std::fs::read(file).unwrap());
        assert!(Md5::digest(&reply.body) == want, "seed {seed}: {} of {len} bytes are there, or others", reply.body.len());
        let log = server.log();
        assert!(!log.contains("panic"), "{log}");
    }
    let fields = [&*format!("Authorization: Bearer {TOKEN}")];
    let reply = Client::new(servers.lock().unwrap()[0].addr()).exchange("DELETE", &format!("/api/videos/{key}"), &fields);
    assert_eq!(reply.status, 204);
    road.sent_len()
}

/// A film of 64 MiB, or 256 MiB, and what its bytes cost by each client, through this store.
#[track_caller]
fn check_both(environment: &[(&str, &str)]) {
    let len = film_len(64 << 20);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film.mp4");
    std::fs::write(&file, pattern(1, len)).unwrap();
    let len = len as u64;
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    thread::scope(|scope| {
        for (number, peer) in (0..).zip([Peer::Node, Peer::Python]) {
            let file = &file;
            scope.spawn(move || {
                let seed = seed + number;
                let sent = check(peer, seed, file, len, environment);
                let per_mille = sent * 1000 / len;
                let told = format!("{peer:?} sent {per_mille} bytes for 1000, {CUTS} cuts, {KILLS} of them kills, seed {seed}");
                println!("{told}");
                assert!(per_mille <= 1100, "{told}");
            });
        }
    });
}

#[test]
fn clients_get_through_cuts_and_kills_into_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    check_both(&[("VIDGATE_ADMIN_TOKEN", TOKEN), ("VIDGATE_DIR", folder.path().to_str().unwrap())]);
    let left = std::fs::read_dir(folder.path().join(".vidgate")).unwrap().map(|entry| entry.unwrap().path());
    let left: Vec<_> =
        left.filter(|path| path.extension().is_none_or(|ending| ending != "json" && ending != "bytes")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn clients_get_through_cuts_and_kills_into_a_bucket() {
    let bucket = minio().bucket();
    let (user, password) = minio().user();
    let name = bucket.config().bucket;
    let environment = [
        ("VIDGATE_ADMIN_TOKEN", TOKEN),
        ("AWS_BUCKET_NAME", &*name),
        ("AWS_ENDPOINT_URL_S3", minio().endpoint()),
        ("AWS_ACCESS_KEY_ID", user),
        ("AWS_SECRET_ACCESS_KEY", password),
    ];
    check_both(&environment);
    // Pieces go when the upload is whole. One of a server that was killed while it sent it may have come behind that, and goes with the
    // upload.
    let server = Process::start(&environment);
    let names = bucket.names(".vidgate/");
    let ids: Vec<&str> = names.iter().filter(|name| is_record(name)).map(|name| id_of_record(name)).collect();
    assert!(ids.len() >= 2, "what is known of each upload that is over: {names:?}");
    for id in ids {
        let fields = [&*format!("Authorization: Bearer {TOKEN}"), "Tus-Resumable: 1.0.0"];
        let reply = Client::new(server.addr()).exchange("DELETE", &format!("/api/uploads/{id}"), &fields);
        assert_eq!(reply.status, 204, "{reply:?}");
    }
    assert_eq!(bucket.names(".vidgate/"), [""; 0]);
    for peer in [Peer::Node, Peer::Python] {
        assert!(bucket.multipart_uploads(&format!("{peer:?}.mp4")).is_empty());
    }
}

/// Which upload a record is of, by its name.
fn id_of_record(name: &str) -> &str {
    name.strip_prefix(".vidgate/uploads/").and_then(|name| name.strip_suffix(".json")).expect("a name of a record")
}
