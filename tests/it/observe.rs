//! What a server tells of itself: metrics, readiness, the access log, the ids of requests.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use vidgate::store::Addressing;
use vidgate::{Config, ErrorKind};

use crate::support::broken_store::{BrokenStore, Fault};
use crate::support::client::{Client, Reply, get};
use crate::support::minio::minio;
use crate::support::process::Process;
use crate::support::server::{self, DirectoryServer};
use crate::support::{metric, pattern, wait_for};

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(20);

fn metrics(addr: SocketAddr) -> String {
    String::from_utf8(get(addr, "/metrics", &[]).body).unwrap()
}

/// Waits for a line of the metrics; what ends is counted when it has ended.
#[track_caller]
fn wait_for_metric(addr: SocketAddr, line: &str) {
    wait_for(line, SOON, || metrics(addr).lines().any(|found| found == line).then_some(()));
}

#[test]
fn every_answer_is_counted_with_its_bytes_and_its_time() {
    let server = DirectoryServer::start(|_| {});
    server.put("film.mp4", pattern(1, 1000));
    let addr = server.addr();
    get(addr, "/media/film.mp4", &["Range: bytes=0-9"]);
    get(addr, "/media/film.mp4", &[]);
    get(addr, "/media/none.mp4", &[]);
    Client::new(addr).exchange("HEAD", "/media/film.mp4", &[]);
    get(addr, "/nowhere", &[]);
    Client::new(addr).exchange("OPTIONS", "/api/videos", &[]);
    let mut malformed = Client::new(addr);
    malformed.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(malformed.reply(false).status, 400);
    drop(malformed);
    let none_len = get(addr, "/media/none.mp4", &[]).body.len();
    for line in [
        "vidgate_requests_total{route=\"stream\",status=\"200\"} 2",
        "vidgate_requests_total{route=\"stream\",status=\"206\"} 1",
        "vidgate_requests_total{route=\"stream\",status=\"404\"} 2",
        "vidgate_requests_total{route=\"none\",status=\"404\"} 1",
        "vidgate_requests_total{route=\"none\",status=\"400\"} 1",
        "vidgate_requests_total{route=\"list\",status=\"204\"} 1",
        &format!("vidgate_response_bytes_total{{route=\"stream\"}} {}", 1010 + 2 * none_len),
        "vidgate_first_byte_seconds_count{route=\"stream\"} 5",
        "vidgate_first_byte_seconds_bucket{route=\"stream\",le=\"+Inf\"} 5",
        "vidgate_upstream_requests_total{op=\"head\",status=\"200\"} 3",
        "vidgate_upstream_requests_total{op=\"head\",status=\"404\"} 2",
        "vidgate_upstream_requests_total{op=\"get\",status=\"206\"} 2",
        "vidgate_upstream_seconds_count{op=\"get\"} 2",
        "vidgate_upstream_bytes_total 1010",
        "vidgate_streams_active 0",
        "vidgate_connections_closed_total{reason=\"refused\"} 1",
        // One asks for this.
        "vidgate_connections_open 1",
    ] {
        wait_for_metric(addr, line);
    }
}

#[test]
fn streams_are_counted_while_they_last_and_connections_by_what_ended_them() {
    let serve = |change: fn(&mut Config)| {
        let server = DirectoryServer::start(change);
        std::fs::File::create(server.root.path().join("film.mp4")).unwrap().set_len(256 << 20).unwrap();
        server
    };
    // They read nothing.
    let three_viewers = |addr: SocketAddr| {
        let mut viewers: Vec<Client> = (0..3).map(|_| Client::new(addr)).collect();
        for viewer in &mut viewers {
            viewer.ask("GET", "/media/film.mp4", &[]);
            assert_eq!(viewer.head().status, 200);
        }
        viewers
    };

    let patient = serve(|_| {});
    let viewers = three_viewers(patient.addr());
    wait_for_metric(patient.addr(), "vidgate_streams_active 3");
    wait_for_metric(patient.addr(), "vidgate_streams_parked 3");
    drop(viewers);
    wait_for_metric(patient.addr(), "vidgate_streams_active 0");
    wait_for_metric(patient.addr(), "vidgate_streams_parked 0");
    // One asks for this.
    wait_for_metric(patient.addr(), "vidgate_connections_open 1");
    let text = metrics(patient.addr());
    let told: Vec<&str> = text.lines().filter(|line| line.starts_with("vidgate_connections_closed_total{")).collect();
    assert!(matches!(told[..], [line] if line.contains("reason=\"client\"")), "all of them left: {told:?}");
    Client::new(patient.addr()).exchange("GET", "/healthz", &["Connection: close"]);
    wait_for_metric(patient.addr(), "vidgate_connections_closed_total{reason=\"done\"} 1");

    let stern = serve(|config| config.stall_timeout = Duration::from_millis(400));
    let viewers = three_viewers(stern.addr());
    wait_for_metric(stern.addr(), "vidgate_connections_closed_total{reason=\"stalled\"} 3");
    wait_for_metric(stern.addr(), "vidgate_streams_active 0");
    wait_for_metric(stern.addr(), "vidgate_streams_parked 0");
    drop(viewers);

    let hasty = serve(|config| config.idle_timeout = Duration::from_millis(400));
    assert_eq!(Client::new(hasty.addr()).rest(), b"", "it asks nothing");
    wait_for("the idle connection to be counted", SOON, || {
        // Who asks too late, on a slow machine, is told nothing and asks again.
        let mut client = Client::new(hasty.addr());
        client.ask("GET", "/metrics", &["Connection: close"]);
        let told = String::from_utf8(client.rest()).unwrap();
        told.contains("vidgate_connections_closed_total{reason=\"idle\"}").then_some(())
    });
}

#[test]
fn the_metrics_may_have_an_address_of_their_own() {
    let server = DirectoryServer::start(|config| config.metrics_addr = Some("127.0.0.1:0".parse().unwrap()));
    let apart = server.server.metrics_addr().unwrap();
    assert_ne!(apart, server.addr());
    assert_eq!(get(server.addr(), "/metrics", &[]).status, 404);
    assert!(metrics(apart).contains("vidgate_build_info"));
    for target in ["/healthz", "/readyz"] {
        assert_eq!(get(server.addr(), target, &[]).status, 200);
        assert_eq!(get(apart, target, &[]).status, 200);
    }
    server.put("film.mp4", "film");
    for target in ["/media/film.mp4", "/", "/api/videos", "/api/videos/film.mp4"] {
        assert_eq!(get(apart, target, &[]).status, 404, "{target}");
        assert_eq!(get(server.addr(), target, &[]).status, 200, "{target}");
    }
    // The door is as strict there.
    let mut malformed = Client::new(apart);
    malformed.send("GET /metrics HTTP/1.1\r\n\r\n");
    assert_eq!(malformed.reply(false).status, 400);
}

#[test]
fn readiness_is_what_the_store_says_and_is_asked_now_and_then() {
    let server = DirectoryServer::start(|_| {});
    let ready = get(server.addr(), "/readyz", &[]);
    assert_eq!((ready.status, ready.get("Cache-Control")), (200, Some("no-store")));
    for _ in 0..20 {
        assert_eq!(get(server.addr(), "/readyz", &[]).status, 200);
    }
    let text = metrics(server.addr());
    let asked =
        text.lines().find_map(|line| line.strip_prefix("vidgate_upstream_requests_total{op=\"ready\",status=\"200\"} "));
    assert!(asked.unwrap().parse::<u32>().unwrap() <= 12, "{text}");
    std::fs::remove_dir_all(server.root.path()).unwrap();
    let reply =
        wait_for("the store to be missed", SOON, || Some(get(server.addr(), "/readyz", &[])).filter(|it| it.status != 200));
    assert_eq!((reply.status, reply.code().as_str()), (503, "upstream_unavailable"));
    assert_eq!(get(server.addr(), "/healthz", &[]).status, 200);
}

#[test]
fn readiness_of_buckets() {
    let bucket = minio().bucket();
    let status =
        |config| get(server::start(Arc::new(vidgate::store::S3::new(config).unwrap()), |_| {}).addr(), "/readyz", &[]).status;
    assert_eq!(status(bucket.config()), 200);
    assert_eq!(status(minio().config("no-such-bucket")), 503);
    let mut wrong = bucket.config();
    wrong.credentials = crate::support::keys("nobody", "nothing-at-all", None);
    assert_eq!(status(wrong), 503);
    let mut gone = bucket.config();
    gone.endpoint = Some("http://127.0.0.1:1".into());
    gone.addressing = Addressing::Path;
    assert_eq!(status(gone), 503);
}

/// The lines of the access log so far.
fn lines(process: &Process) -> Vec<Value> {
    let log = process.log();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")));
    lines.filter(|line: &Value| line["target"] == "vidgate::access").collect()
}

/// The line of the request of this id.
#[track_caller]
fn line_of(process: &Process, id: &str) -> Value {
    wait_for("a line of the access log", SOON, || lines(process).into_iter().find(|line| line["request"] == id))
}

#[test]
fn every_response_has_one_line_of_the_access_log_with_the_id_that_it_was_told() {
    let process = Process::start(&[("VIDGATE_TRUSTED_PROXIES", "127.0.0.1")]);
    process.put("a b.mp4", pattern(2, 1000));
    let reply = get(
        process.addr(),
        "/media/a%20b.mp4",
        &["Range: bytes=10-19", "X-Request-Id: from-the-proxy", "X-Forwarded-For: 203.0.113.9"],
    );
    assert_eq!(reply.get("X-Request-Id"), Some("from-the-proxy"));
    let line = line_of(&process, "from-the-proxy");
    for (name, want) in [
        ("client", "203.0.113.9".into()),
        ("method", "GET".into()),
        ("route", "stream".into()),
        ("key", "a b.mp4".into()),
        ("range", "10-19/1000".into()),
        ("status", 206.into()),
        ("bytes", 10.into()),
        ("upstream_tries", 2.into()),
        ("end", "done".into()),
        ("level", Value::from("INFO")),
    ] {
        assert_eq!(line[name], want, "{name} of {line}");
    }
    let (first, total) = (line["first_byte_ms"].as_f64().unwrap(), line["total_ms"].as_f64().unwrap());
    assert!(0.0 < first && first <= total, "{line}");
    let mut seen = vec!["from-the-proxy".to_owned()];
    let mut client = Client::new(process.addr());
    for target in ["/", "/healthz", "/nowhere", "/media/none.mp4", "/api/videos", "/media/a%20b.mp4"] {
        let reply = client.exchange("GET", target, &["X-Request-Id: no id, surely"]);
        let id = reply.get("X-Request-Id").unwrap().to_owned();
        let line = line_of(&process, &id);
        assert_eq!((&line["status"], &line["bytes"]), (&reply.status.into(), &reply.body.len().into()), "{line}");
        seen.push(id);
    }
    client.send("GET / HTTP/9.9\r\nHost: a\r\n\r\n");
    let refused = client.reply(false);
    let id = refused.get("X-Request-Id").unwrap().to_owned();
    let line = line_of(&process, &id);
    assert_eq!((&line["status"], &line["end"]), (&505.into(), &"refused".into()), "{line}");
    seen.push(id);
    let mut told: Vec<String> = lines(&process).iter().map(|line| line["request"].as_str().unwrap().to_owned()).collect();
    told.sort();
    seen.sort();
    assert_eq!(told, seen, "one line each");
}

#[test]
fn a_line_says_what_ended_its_response() {
    let watch = |process: &Process| {
        let mut client = Client::new(process.addr());
        client.ask("GET", "/media/film.mp4", &[]);
        let id = client.head().get("X-Request-Id").unwrap().to_owned();
        (client, id)
    };
    let patient = Process::start(&[]);
    let (left, id) = watch(&patient);
    drop(left);
    let line = line_of(&patient, &id);
    assert_eq!(line["end"], "client", "{line}");
    let stern = Process::start(&[("VIDGATE_STALL_TIMEOUT", "1s")]);
    let (_stalled, id) = watch(&stern);
    let line = line_of(&stern, &id);
    assert_eq!(line["end"], "stalled", "{line}");
    assert!(line["bytes"].as_u64().unwrap() < 256 << 20 && line["total_ms"].as_f64().unwrap() >= 1000.0, "{line}");
}

#[test]
fn no_token_is_in_any_line_and_no_id_of_a_stranger_is_taken_over() {
    let process = Process::start(&[("VIDGATE_LOG", "trace")]);
    process.put("film.mp4", "film");
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJrZXkiOiJmaWxtIn0.c2VjcmV0";
    let targets = [
        format!("/media/~{token}/film.mp4"),
        format!("/media/%7E{token}/film.mp4"),
        format!("/media/film.mp4?token={token}"),
        format!("/api/videos/film.mp4/stream?chunkSize=x&token={token}"),
        format!("/api/videos/~{token}/film.mp4/url"),
        format!("/watch/film.mp4?token={token}"),
        format!("/nowhere/~{token}"),
    ];
    for target in &targets {
        let fields = [&*format!("Authorization: Bearer {token}"), "X-Request-Id: mine"];
        let id = get(process.addr(), target, &fields).get("X-Request-Id").unwrap().to_owned();
        assert_ne!(id, "mine");
        line_of(&process, &id);
    }
    let log = process.log();
    assert!(!log.contains(token) && !log.contains("c2VjcmV0"), "{log}");
}

#[test]
fn what_goes_wrong_is_told_with_the_id_and_in_the_stores_own_words() {
    let bucket = minio().bucket();
    bucket.put("film.mp4", b"film");
    let (user, _) = minio().user();
    let config = bucket.config();
    let process = Process::start(&[
        ("AWS_BUCKET_NAME", &config.bucket),
        ("AWS_ENDPOINT_URL_S3", minio().endpoint()),
        ("AWS_ACCESS_KEY_ID", user),
        ("AWS_SECRET_ACCESS_KEY", "this-is-not-the-secret"),
    ]);
    let reply = get(process.addr(), "/api/videos", &[]);
    assert_eq!((reply.status, reply.code().as_str()), (502, "upstream_forbidden"));
    let id = reply.get("X-Request-Id").unwrap();
    line_of(&process, id);
    let log = process.log();
    let told: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let warning = told.iter().find(|line| line["level"] == "WARN" && line["request"] == id).unwrap_or_else(|| panic!("{log}"));
    let message = warning["message"].as_str().unwrap();
    assert!(message.contains("403 SignatureDoesNotMatch: "), "{message}");
    for secret in ["this-is-not-the-secret", "X-Amz-Signature"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[test]
fn a_line_says_how_the_cache_had_it_and_what_was_uploaded() {
    let bucket = minio().bucket();
    bucket.put("film.mp4", &pattern(4, 100_000));
    let config = bucket.config();
    let (user, secret) = minio().user();
    let process = Process::start(&[
        ("AWS_BUCKET_NAME", &config.bucket),
        ("AWS_ENDPOINT_URL_S3", minio().endpoint()),
        ("AWS_ACCESS_KEY_ID", user),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("VIDGATE_ADMIN_TOKEN", "the-operator"),
    ]);
    let check = |reply: &Reply, status: u16, want: &[(&str, Value)]| {
        assert_eq!(reply.status, status, "{reply:?}");
        let line = line_of(&process, reply.get("X-Request-Id").unwrap());
        for (name, want) in want {
            assert_eq!(line[name], *want, "{name} of {line}");
        }
    };
    let watch = |range: &str| get(process.addr(), "/media/film.mp4", &[range]);
    let rest = [("key", Value::from("film.mp4")), ("range", "10-19/100000".into()), ("bytes", 10.into())];
    // The object was looked at, and read, by the first one alone.
    check(&watch("Range: bytes=10-19"), 206, &[&rest[..], &[("cache", "miss".into()), ("upstream_tries", 2.into())]].concat());
    wait_for("the block to be kept", SOON, || (metric(process.addr(), "vidgate_cache_bytes") > 0).then_some(()));
    check(&watch("Range: bytes=10-19"), 206, &[&rest[..], &[("cache", "hit".into()), ("upstream_tries", 0.into())]].concat());
    check(&watch("Range: bytes=100000-"), 416, &[("range", "bytes=100000-".into()), ("cache", Value::Null)]);
    let operator = "Authorization: Bearer the-operator";
    let form = "--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"form.mp4\"\r\n\r\nfilm\r\n--XyZ--\r\n";
    let mut client = Client::new(process.addr());
    let fields = [operator, "Content-Type: multipart/form-data; boundary=XyZ", &format!("Content-Length: {}", form.len())];
    client.ask("POST", "/api/videos", &fields);
    client.send(form);
    check(&client.reply(false), 201, &[("route", "list".into()), ("key", "form.mp4".into()), ("path", "/api/videos".into())]);
    let metadata = format!("Upload-Metadata: filename {}", STANDARD.encode("tus.mp4"));
    let fields = [operator, "Tus-Resumable: 1.0.0", "Upload-Length: 4", "Content-Length: 0", &metadata];
    let created = client.exchange("POST", "/api/uploads", &fields);
    check(&created, 201, &[("route", "uploads".into()), ("key", "tus.mp4".into())]);
    let path = created.get("Location").unwrap();
    let fields = [
        operator,
        "Tus-Resumable: 1.0.0",
        "Upload-Offset: 0",
        "Content-Length: 4",
        "Content-Type: application/offset+octet-stream",
    ];
    client.ask("PATCH", path, &fields);
    client.send("film");
    check(&client.reply(false), 204, &[("key", "tus.mp4".into()), ("path", path.into())]);
}

#[test]
fn a_line_as_text_has_the_same_pairs() {
    let process = Process::start(&[("VIDGATE_LOG_FORMAT", "text")]);
    process.put("a b.mp4", pattern(2, 1000));
    let reply = get(process.addr(), "/media/a%20b.mp4", &["Range: bytes=10-19"]);
    let id = reply.get("X-Request-Id").unwrap();
    let line = wait_for("the line", SOON, || process.log().lines().find(|line| line.contains(id)).map(str::to_owned));
    let pairs =
        format!("request={id} client=127.0.0.1 method=GET route=stream key=\"a b.mp4\" range=10-19/1000 status=206 bytes=10 ");
    assert!(line.contains(&pairs) && line.contains(" first_byte_ms=") && line.contains(" total_ms="), "{line}");
    assert!(line.ends_with(" upstream_tries=2 end=done"), "{line}");
}

#[test]
fn a_body_that_is_cut_short_says_so_in_its_line() {
    // In this process there is no logger of ours: what is told is seen in the counters.
    let store = BrokenStore::new(pattern(3, 300_000), Fault::Read(100_000, ErrorKind::UpstreamForbidden));
    let server = server::start(Arc::new(store), |config| config.cache_ram = 0);
    let mut client = Client::new(server.addr());
    client.ask("GET", "/media/film.mp4", &[]);
    assert_eq!(client.head().status, 200);
    assert!(client.rest().len() < 300_000);
    drop(client);
    wait_for_metric(server.addr(), "vidgate_connections_closed_total{reason=\"cut\"} 1");
    wait_for_metric(server.addr(), "vidgate_upstream_resumes_total{outcome=\"failed\"} 1");
}

/// A process that is ended however its test ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

#[test]
fn nobody_waits_for_who_does_not_read_the_log() {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("samples")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_vidgate"))
        .env_clear()
        .env("PORT", "0")
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let stderr = child.stderr.take().unwrap();
    let _ended = Ended(child);
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    let line = String::from_utf8(line).unwrap();
    let addr: SocketAddr = line.trim_end().strip_prefix("listening on http://").unwrap().parse().unwrap();
    // Far more lines than a pipe and the queue behind it hold.
    let mut client = Client::new(addr);
    for count in 0..9_000 {
        if count % 100 == 99 {
            client = Client::new(addr);
        }
        assert_eq!(client.exchange("GET", "/healthz", &[]).status, 200);
    }
    drop(stderr);
}
