//! Uploads and deletes, over real sockets, into a directory and into MinIO.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use vidgate::store::Directory;

use crate::support::client::{Client, Reply, get};
use crate::support::process::Process;
use crate::support::server::start;
use crate::support::site::{Kind, Site, TOKEN, with_each_program};
use crate::support::{film_len, pattern, wait_for};

const MIB: usize = 1024 * 1024;
/// More than one part of a bucket.
const LONG: usize = 6 * MIB;

/// Uploads with a known length, on a connection of its own.
#[track_caller]
fn put(addr: SocketAddr, key: &str, bytes: &[u8], fields: &[&str]) -> Reply {
    let mut client = Client::new(addr);
    let length = format!("Content-Length: {}", bytes.len());
    client.ask("PUT", &format!("/api/videos/{key}"), &[&[TOKEN, &length], fields].concat());
    client.send(bytes);
    client.reply(false)
}

#[test]
fn what_is_put_is_there() {
    for site in Site::both(|_| ()) {
        for len in [0, 1, 100_000, LONG] {
            let bytes = pattern(1, len);
            let mut client = Client::new(site.addr());
            let key = format!("a/film {len}.mp4");
            let path = key.replace(' ', "%20");
            client.ask("PUT", &format!("/api/videos/{path}"), &[TOKEN, &format!("Content-Length: {len}")]);
            client.send(&bytes);
            let reply = client.reply(false);
            assert_eq!(reply.status, 201, "{reply:?}");
            let entry = reply.json();
            assert_eq!((entry["key"].as_str(), entry["size"].as_u64()), (Some(&*key), Some(len as u64)));
            assert_eq!(entry["contentType"], "video/mp4");
            assert_eq!(entry["etag"].as_str(), reply.get("ETag"));
            let location = reply.get("Location").unwrap();
            assert_eq!(location, format!("/api/videos/{path}"));
            // The connection goes on, and the entry is the one that was answered.
            assert_eq!(client.exchange("GET", location, &[]).json(), entry);
            site.check_object(&path, &bytes);
        }
    }
}

#[test]
fn chunked_bodies_end_where_they_end() {
    for site in Site::both(|_| ()) {
        let bytes = pattern(2, LONG + 12_345);
        let mut client = Client::new(site.addr());
        client.ask("PUT", "/api/videos/film.webm", &[TOKEN, "Transfer-Encoding: chunked"]);
        for piece in bytes.chunks(1_234_567) {
            client.send(format!("{:x};ext=1\r\n", piece.len()));
            client.send(piece);
            client.send("\r\n");
        }
        // The next request is sent with the end of this one.
        client.send("0\r\nTrailer: x\r\n\r\nGET /api/videos/film.webm HTTP/1.1\r\nHost: test\r\n\r\n");
        let reply = client.reply(false);
        assert_eq!(reply.status, 201);
        assert_eq!(client.reply(false).json(), reply.json());
        assert_eq!(reply.json()["contentType"], "video/webm");
        site.check_object("film.webm", &bytes);
    }
}

#[test]
fn a_body_is_refused_before_it_comes() {
    let site = Site::on_directory(|config| config.upload_max = 1000);
    let closed = start(Arc::new(Directory::open(".").unwrap()), |_| ());
    assert_eq!(put(site.addr(), "there.mp4", b"film", &[]).status, 201);
    let etag = get(site.addr(), "/api/videos/there.mp4", &[]).get("ETag").map(str::to_owned);
    assert_eq!(etag, None, "an entry has its version in the body");
    let check = |addr: SocketAddr, method: &str, target: &str, fields: &[&str], want: (u16, &str)| {
        let mut client = Client::new(addr);
        client.ask(method, target, &[fields, &["Expect: 100-continue"]].concat());
        let reply = client.reply(false);
        assert_eq!((reply.status, &*reply.code()), want, "{method} {target} {fields:?}");
        assert_eq!(reply.get("Connection"), Some("close"), "nobody knows where the next request begins");
        assert_eq!(client.rest(), b"");
    };
    let len = "Content-Length: 10";
    for (method, target) in [("PUT", "/api/videos/new.mp4"), ("POST", "/api/videos")] {
        check(closed.addr(), method, target, &[len, TOKEN], (404, "not_found"));
        check(site.addr(), method, target, &[len], (401, "unauthorized"));
        check(site.addr(), method, target, &[len, "Authorization: Bearer the-operatos"], (401, "unauthorized"));
        check(site.addr(), method, target, &["Transfer-Encoding: chunked"], (401, "unauthorized"));
    }
    let (new, there) = ("/api/videos/new.mp4", "/api/videos/there.mp4");
    check(site.addr(), "PUT", new, &[TOKEN, "Content-Length: 1001"], (413, "payload_too_large"));
    check(site.addr(), "PUT", new, &[TOKEN, "Content-Length: 18446744073709551615"], (413, "payload_too_large"));
    check(site.addr(), "PUT", there, &[TOKEN, len, "If-None-Match: *"], (412, "precondition_failed"));
    check(site.addr(), "PUT", there, &[TOKEN, len, "If-Match: \"other\""], (412, "precondition_failed"));
    check(site.addr(), "PUT", new, &[TOKEN, len, "If-Match: *"], (412, "precondition_failed"));
    check(site.addr(), "PUT", new, &[TOKEN, len, "If-None-Match: \"a\""], (400, "bad_request"));
    check(site.addr(), "PUT", new, &[TOKEN, len, "Content-MD5: x"], (400, "bad_request"));
    check(site.addr(), "PUT", "/api/videos/.vidgate/x", &[TOKEN, len], (400, "bad_key"));
    check(site.addr(), "PUT", "/api/videos/there.mp4/x", &[TOKEN, len], (409, "conflict"));
    check(site.addr(), "PUT", "/api/videos", &[TOKEN, len], (405, "method_not_allowed"));
    check(site.addr(), "POST", new, &[TOKEN, len], (405, "method_not_allowed"));
    check(site.addr(), "POST", "/api/videos", &[TOKEN, len, "Content-Type: text/plain"], (400, "bad_request"));
    check(site.addr(), "POST", "/api/videos", &[TOKEN, "Content-Length: 1049577", FORM], (413, "payload_too_large"));
    site.check_nothing("new.mp4");
}

const FORM: &str = "Content-Type: multipart/form-data; boundary=XyZ";

#[test]
fn who_waits_to_be_told_is_told_to_go_on() {
    for site in Site::both(|_| ()) {
        let mut client = Client::new(site.addr());
        client.ask("PUT", "/api/videos/film.mp4", &[TOKEN, "Content-Length: 4", "Expect: 100-continue"]);
        assert_eq!(client.head().status, 100);
        client.send("film");
        assert_eq!(client.reply(false).status, 201);
        // Whoever did not wait is not told.
        client.send(format!(
            "PUT /api/videos/b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{TOKEN}\r\nContent-Length: 2\r\n\r\nab"
        ));
        assert_eq!(client.reply(false).status, 201);
        site.check_object("film.mp4", b"film");
        site.check_object("b", b"ab");
    }
}

#[test]
fn what_is_cut_leaves_nothing() {
    for site in Site::both(|_| ()) {
        let bytes = pattern(3, LONG);
        for sent_len in [0, 1, LONG / 2, LONG - 1] {
            for framing in [format!("Content-Length: {LONG}"), "Transfer-Encoding: chunked".to_owned()] {
                let mut client = Client::new(site.addr());
                client.ask("PUT", "/api/videos/film.mp4", &[TOKEN, &framing]);
                if framing.starts_with("Transfer") {
                    client.send(format!("{LONG:x}\r\n"));
                }
                client.send(&bytes[..sent_len]);
                client.shutdown();
                let reply = client.reply(false);
                assert_eq!((reply.status, &*reply.code()), (400, "bad_request"), "{sent_len} {framing}");
                site.check_nothing("film.mp4");
            }
        }
        // Gone without a word.
        let mut client = Client::new(site.addr());
        client.ask("PUT", "/api/videos/film.mp4", &[TOKEN, &format!("Content-Length: {LONG}")]);
        client.send(&bytes[..LONG - 1]);
        wait_for("the upload to begin", Duration::from_secs(10), || {
            let has_begun = !site.leftovers("film.mp4").is_empty();
            has_begun.then_some(())
        });
        drop(client);
        wait_for("it to be ended", Duration::from_secs(10), || site.leftovers("film.mp4").is_empty().then_some(()));
        site.check_nothing("film.mp4");
    }
}

#[test]
fn what_is_too_long_or_wrong_leaves_nothing() {
    for site in Site::both(|config| config.upload_max = LONG as u64) {
        let bytes = pattern(4, LONG + 1);
        // Over the limit with the last byte; of a known length it is refused with the first.
        let mut client = Client::new(site.addr());
        client.ask("PUT", "/api/videos/film.mp4", &[TOKEN, "Transfer-Encoding: chunked"]);
        client.send(format!("{LONG:x}\r\n"));
        client.send(&bytes[..LONG]);
        client.send("\r\n1\r\nx");
        assert_eq!(client.reply(false).status, 413);
        site.check_nothing("film.mp4");
        let form = form(None, &bytes);
        let mut client = Client::new(site.addr());
        client.ask("POST", "/api/videos", &[TOKEN, FORM, &format!("Content-Length: {}", form.len())]);
        client.send(&form);
        assert_eq!(client.reply(false).status, 413);
        site.check_nothing("film.mp4");

        let digest = STANDARD.encode(Sha256::digest(&bytes[..LONG]));
        for (field, value) in [
            ("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==".to_owned()),
            ("x-amz-checksum-sha256", STANDARD.encode(Sha256::digest(b"another"))),
            ("Repr-Digest", format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(b"another")))),
        ] {
            let reply = put(site.addr(), "film.mp4", &bytes[..LONG], &[&format!("{field}: {value}")]);
            assert_eq!((reply.status, &*reply.code()), (400, "bad_request"), "{field}");
            site.check_nothing("film.mp4");
        }
        let good = [format!("x-amz-checksum-sha256: {digest}"), format!("Repr-Digest: sha-256=:{digest}:")];
        assert_eq!(put(site.addr(), "film.mp4", &bytes[..LONG], &[&good[0], &good[1]]).status, 201);
        // A chunk that is none: nothing behind it can be trusted.
        let mut client = Client::new(site.addr());
        client.ask("PUT", "/api/videos/other.mp4", &[TOKEN, "Transfer-Encoding: chunked"]);
        client.send("1\r\nab\r\n0\r\n\r\n");
        let reply = client.reply(false);
        assert_eq!((reply.status, reply.get("Connection")), (400, Some("close")));
        site.check_nothing("other.mp4");
        site.check_object("film.mp4", &bytes[..LONG]);
    }
}

#[test]
fn conditions_hold_when_the_upload_ends() {
    for site in Site::both(|_| ()) {
        for len in [10, LONG] {
            let key = format!("film{len}.mp4");
            let path = format!("/api/videos/{key}");
            let bytes = pattern(5, len);
            let length = format!("Content-Length: {len}");
            let mut slow = Client::new(site.addr());
            slow.ask("PUT", &path, &[TOKEN, &length, "If-None-Match: *", "Expect: 100-continue"]);
            assert_eq!(slow.head().status, 100);
            slow.send(&bytes[..len - 1]);
            assert_eq!(put(site.addr(), &key, b"first", &["If-None-Match: *"]).status, 201);
            slow.send(&bytes[len - 1..]);
            assert_eq!(slow.reply(false).status, 412);
            site.check_object(&key, b"first");

            let etag = get(site.addr(), &path, &[]).json()["etag"].as_str().unwrap().to_owned();
            let reply = put(site.addr(), &key, &bytes, &[&format!("If-Match: {etag}")]);
            assert_eq!(reply.status, 201);
            assert_eq!(put(site.addr(), &key, b"late", &[&format!("If-Match: {etag}")]).status, 412);
            site.check_object(&key, &bytes);
        }
    }
}

/// A form as a browser sends it, with a key or without.
fn form(key: Option<&str>, bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    if let Some(key) = key {
        write!(body, "--XyZ\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\n{key}\r\n").unwrap();
    }
    write!(
        body,
        "--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"film.mp4\"\r\nContent-Type: video/x-test\r\n\r\n"
    )
    .unwrap();
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--XyZ--\r\n");
    body
}

#[track_caller]
fn post(addr: SocketAddr, body: &[u8], piece_len: usize) -> Reply {
    let mut client = Client::new(addr);
    client.ask("POST", "/api/videos", &[TOKEN, FORM, "Transfer-Encoding: chunked"]);
    for piece in body.chunks(piece_len) {
        client.send(format!("{:x}\r\n", piece.len()));
        client.send(piece);
        client.send("\r\n");
    }
    client.send("0\r\n\r\n");
    client.reply(false)
}

#[test]
fn forms() {
    for site in Site::both(|_| ()) {
        let bytes = pattern(6, LONG);
        let reply = post(site.addr(), &form(Some("a/b ü.mp4"), &bytes), 1_000_003);
        assert_eq!(reply.status, 201, "{reply:?}");
        assert_eq!(reply.json()["key"], "a/b ü.mp4");
        site.check_object("a/b%20%C3%BC.mp4", &bytes);
        for key in [None, Some("")] {
            let reply = post(site.addr(), &form(key, b"film"), 1);
            assert_eq!(reply.json()["key"], "film.mp4");
            site.check_object("film.mp4", b"film");
        }
        let is_stored = matches!(site.kind, Kind::Bucket(_));
        let entry = get(site.addr(), "/api/videos/film.mp4", &[]).json();
        assert_eq!(entry["contentType"], if is_stored { "video/x-test" } else { "video/mp4" });
    }
}

#[test]
fn forms_that_are_none_leave_nothing() {
    for site in Site::both(|_| ()) {
        let whole = form(Some("bad.mp4"), b"film");
        let two = [&whole[..whole.len() - 4], b"\r\n", &form(None, b"other")].concat();
        let key_late = [&form(None, b"film")[..form(None, b"film").len() - 4], b"\r\n", &form(Some("bad.mp4"), b"")].concat();
        let no_file = b"--XyZ\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nfilm\r\n--XyZ--".to_vec();
        let no_name = b"--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\n\r\n\r\n--XyZ--".to_vec();
        for (body, want) in [
            (&whole[..whole.len() - 6], 400),
            (&two, 400),
            (&key_late, 400),
            (&no_file, 400),
            (&no_name, 400),
            (&form(Some("../bad.mp4"), b"film"), 400),
            (&form(Some(&"x".repeat(2000)), b"film"), 400),
            (b"", 400),
        ] {
            let reply = post(site.addr(), body, 50);
            assert_eq!(reply.status, want, "{:?}", String::from_utf8_lossy(body));
            for key in ["bad.mp4", "film.mp4"] {
                site.check_nothing(key);
            }
        }
    }
}

/// Runs curl; what it writes.
#[track_caller]
fn curl(arguments: &[&str]) -> String {
    let mut curl = Command::new("curl");
    let output = output_of(curl.args(["-sS", "--fail-with-body", "-m", "60", "-H", TOKEN]).args(arguments));
    String::from_utf8(output).unwrap()
}

#[track_caller]
fn output_of(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().expect("curl is installed: tests/install.sh");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn curl_uploads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ein \"Film\" ü.mp4");
    let bytes = pattern(7, LONG);
    std::fs::write(&path, &bytes).unwrap();
    let path = path.to_str().unwrap();
    for site in Site::both(|_| ()) {
        let url = format!("http://{}/api/videos", site.addr());
        let entry: serde_json::Value = serde_json::from_str(&curl(&["-T", path, &format!("{url}/t.mp4")])).unwrap();
        assert_eq!((entry["key"].as_str(), entry["contentType"].as_str()), (Some("t.mp4"), Some("video/mp4")));
        site.check_object("t.mp4", &bytes);
        let chunked = ["-T", path, "-H", "Transfer-Encoding: chunked", &*format!("{url}/c.mp4")];
        curl(&chunked);
        site.check_object("c.mp4", &bytes);
        curl(&["--data-binary", &format!("@{path}"), "-X", "PUT", &format!("{url}/d.mp4")]);
        site.check_object("d.mp4", &bytes);
        let file = format!("file=@\"{}\"", path.replace('"', "\\\""));
        curl(&["-F", "key=f/f.mp4", "-F", &file, &url]);
        site.check_object("f/f.mp4", &bytes);
        let entry: serde_json::Value = serde_json::from_str(&curl(&["-F", &file, &url])).unwrap();
        assert_eq!(entry["key"], "ein \"Film\" ü.mp4");
    }
}

#[test]
fn what_was_replaced_or_deleted_is_not_answered_from_what_is_kept() {
    for site in Site::both(|config| config.meta_ttl = Duration::from_hours(1)) {
        for round in 0..3 {
            let bytes = pattern(round, 200_000);
            assert_eq!(put(site.addr(), "film.mp4", &bytes, &[]).status, 201);
            site.check_object("film.mp4", &bytes);
        }
        let delete = || Client::new(site.addr()).exchange("DELETE", "/api/videos/film.mp4", &[TOKEN]);
        assert_eq!(Client::new(site.addr()).exchange("DELETE", "/api/videos/film.mp4", &[]).status, 401);
        assert_eq!(get(site.addr(), "/media/film.mp4", &[]).status, 200);
        assert_eq!(delete().status, 204);
        assert_eq!(get(site.addr(), "/media/film.mp4", &[]).status, 404);
        assert_eq!(delete().status, 204);
        assert_eq!(put(site.addr(), "film.mp4", b"again", &[]).status, 201);
        site.check_object("film.mp4", b"again");
        let conditional = Client::new(site.addr()).exchange("DELETE", "/api/videos/film.mp4", &[TOKEN, "If-Match: \"a\""]);
        assert_eq!(conditional.status, 400);
        site.check_object("film.mp4", b"again");
    }
}

#[test]
fn methods_and_preflights() {
    let site = Site::on_directory(|_| ());
    let closed = start(Arc::new(Directory::open(".").unwrap()), |_| ());
    for (target, open, without) in [
        ("/api/videos", "GET, HEAD, POST, OPTIONS", "GET, HEAD, OPTIONS"),
        ("/api/videos/a", "GET, HEAD, PUT, DELETE, OPTIONS", "GET, HEAD, OPTIONS"),
        ("/media/a", "GET, HEAD, OPTIONS", "GET, HEAD, OPTIONS"),
    ] {
        for (server, allow) in [(&site.server, open), (&closed, without)] {
            let reply = Client::new(server.addr()).exchange("PATCH", target, &[]);
            assert_eq!((reply.status, reply.get("Allow")), (405, Some(allow)), "{target}");
        }
    }
    for method in ["PUT", "DELETE"] {
        assert_eq!(Client::new(closed.addr()).exchange(method, "/api/videos/a", &[TOKEN]).status, 404);
    }
    let fields = ["Origin: http://localhost:3000", "Access-Control-Request-Method: PUT"];
    let reply = Client::new(site.addr()).exchange("OPTIONS", "/api/videos/a", &fields);
    assert_eq!(reply.status, 204);
    let allowed = |field: &str| reply.get(field).unwrap().split(", ").map(str::to_ascii_lowercase).collect::<Vec<_>>();
    for method in ["put", "post", "delete"] {
        assert!(allowed("Access-Control-Allow-Methods").contains(&method.to_owned()));
    }
    for field in ["authorization", "content-type", "content-md5", "repr-digest", "x-amz-checksum-sha256", "if-none-match"] {
        assert!(allowed("Access-Control-Allow-Headers").contains(&field.to_owned()), "{field}");
    }
}

#[test]
fn so_many_upload_at_a_time_and_the_next_is_told_to_come_again() {
    let site = Site::on_directory(|config| config.workers_per_core = 1);
    assert_eq!(put(site.addr(), "there.mp4", b"film", &[]).status, 201);
    let begin = |number: usize| {
        let mut client = Client::new(site.addr());
        client.ask("PUT", &format!("/api/videos/{number}.mp4"), &[TOKEN, "Content-Length: 4", "Expect: 100-continue"]);
        (client.head(), client)
    };
    let mut running: Vec<Client> = Vec::new();
    for number in 0..32 {
        let (head, client) = begin(number);
        assert_eq!(head.status, 100);
        running.push(client);
    }
    let (head, _) = begin(32);
    assert_eq!((head.status, head.get("Retry-After")), (503, Some("1")));
    // More of them than the pool has threads, and a viewer does not notice.
    assert_eq!(get(site.addr(), "/media/there.mp4", &[]).body, b"film");
    for (number, client) in running.iter_mut().enumerate() {
        client.send("film");
        assert_eq!(client.reply(false).status, 201, "{number}");
    }
    let (head, _) = wait_for("room for one more", Duration::from_secs(10), || Some(begin(33)).filter(|it| it.0.status == 100));
    assert_eq!(head.status, 100);
}

const ADMIN: (&str, &str) = ("VIDGATE_ADMIN_TOKEN", "the-operator");

#[test]
fn a_full_disk_refuses_what_does_not_fit_and_takes_what_does() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [ADMIN, ("VIDGATE_DIR", folder.path().to_str().unwrap())];
    let program = Process::start_on_small_disk(folder.path(), 8, &environment);
    for round in 0..3 {
        let reply = put(program.addr(), "film.mp4", &pattern(round, 12 * MIB), &[]);
        assert_eq!((reply.status, &*reply.code()), (502, "upstream_unavailable"));
        // What came of it is gone, or this would not fit.
        let bytes = pattern(round, 6 * MIB);
        assert_eq!(put(program.addr(), "fits.mp4", &bytes, &[]).status, 201);
        assert!(get(program.addr(), "/media/fits.mp4", &[]).body == bytes);
        assert_eq!(get(program.addr(), "/api/videos/film.mp4", &[]).status, 404);
        assert_eq!(Client::new(program.addr()).exchange("DELETE", "/api/videos/fits.mp4", &[TOKEN]).status, 204);
    }
}

#[test]
fn an_upload_holds_one_part_of_it_in_memory() {
    let bytes = pattern(10, film_len(96 * MIB));
    with_each_program(|program| {
        assert_eq!(put(program.addr(), "put.mp4", &bytes, &[]).status, 201);
        assert_eq!(post(program.addr(), &form(Some("form.mp4"), &bytes), MIB).status, 201);
        let peak_len = program.peak_len();
        assert!(peak_len < 64 * MIB, "{peak_len} bytes were held at a time");
        for key in ["put.mp4", "form.mp4"] {
            let reply = get(program.addr(), &format!("/media/{key}"), &[]);
            assert!(reply.body == bytes, "{key}");
        }
    });
}

#[test]
fn a_store_that_breaks_off_is_asked_again() {
    let (site, relay) = Site::behind_relay();
    let bytes = pattern(8, 2 * LONG);
    // The reply to the Nth request is lost: of the first, the second, and so on, until one passes without.
    for number in 0u64.. {
        let key = format!("film{number}.mp4");
        let before = relay.resets();
        // Each reply has some hundred bytes, and none is shorter than this.
        relay.reset_at([1 + number * 150]);
        let reply = put(site.addr(), &key, &bytes, &[]);
        let was_reset = relay.resets() > before;
        relay.reset_at([]);
        if reply.status == 201 {
            site.check_object(&key, &bytes);
        } else {
            assert_eq!((reply.status, &*reply.code()), (502, "upstream_unavailable"), "{number}");
            site.check_nothing(&key);
        }
        if !was_reset {
            assert!(number > 5, "a whole upload is more than {number} times 150 bytes");
            return;
        }
    }
}

#[test]
fn a_store_that_is_gone_leaves_nothing_once_it_is_back() {
    let (site, relay) = Site::behind_relay();
    let bytes = pattern(9, LONG);
    let mut client = Client::new(site.addr());
    client.ask("PUT", "/api/videos/film.mp4", &[TOKEN, &format!("Content-Length: {}", 2 * LONG)]);
    client.send(&bytes);
    // Whoever sends a part knows what the upload is called.
    wait_for("the first part", Duration::from_mins(1), || (relay.requests("PUT") >= 1).then_some(()));
    relay.stop();
    client.send(&bytes);
    let reply = client.reply(false);
    assert_eq!((reply.status, &*reply.code()), (502, "upstream_unavailable"));
    assert_eq!(site.leftovers("film.mp4").len(), 1, "nobody could end it");
    relay.go_on();
    wait_for("the sweep", Duration::from_mins(2), || site.leftovers("film.mp4").is_empty().then_some(()));
    site.check_nothing("film.mp4");
}
