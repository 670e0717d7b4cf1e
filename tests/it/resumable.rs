//! Resumable uploads by the tus protocol, over real sockets, into a directory and into MinIO.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::support::client::{Client, Reply, get};
use crate::support::process::Process;
use crate::support::server::start;
use crate::support::site::{Kind, Site, TOKEN, is_record, with_each_program};
use crate::support::{film_len, pattern, wait_for};

const TUS: &str = "Tus-Resumable: 1.0.0";
const BYTES: &str = "Content-Type: application/offset+octet-stream";
const MIB: usize = 1024 * 1024;
/// Two parts of a bucket, and some of a third.
const LONG: usize = 11 * MIB + 12_345;

/// The field that names the key.
fn named(key: &str) -> String {
    format!("Upload-Metadata: key {},filetype {}", STANDARD.encode(key), STANDARD.encode("video/x-test"))
}

/// Makes an upload, and gives its path.
#[track_caller]
fn create(addr: SocketAddr, key: &str, len: usize, fields: &[&str]) -> String {
    let own = [TOKEN, TUS, &named(key), &format!("Upload-Length: {len}")];
    let reply = Client::new(addr).exchange("POST", "/api/uploads", &[&own, fields].concat());
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!((reply.get("Upload-Offset"), reply.get("Tus-Resumable")), (Some("0"), Some("1.0.0")));
    assert!(reply.get("Upload-Expires").unwrap().ends_with(" GMT"));
    reply.get("Location").unwrap().to_owned()
}

/// What an upload is called in the store.
fn id_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

#[track_caller]
fn head(addr: SocketAddr, path: &str) -> Reply {
    Client::new(addr).exchange("HEAD", path, &[TOKEN, TUS])
}

/// How far an upload is. As a client does, it asks again where the store takes very long for what the request before has sent.
#[track_caller]
fn offset(addr: SocketAddr, path: &str) -> usize {
    let ask = || Some(head(addr, path)).filter(|reply| reply.status != 423);
    let reply = wait_for("the request before to end", Duration::from_mins(1), ask);
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.get("Upload-Offset").unwrap().parse().unwrap()
}

/// Begins to send bytes for an offset.
fn begin(addr: SocketAddr, path: &str, offset: usize, len: usize, fields: &[&str]) -> Client {
    let mut client = Client::new(addr);
    let own = [TOKEN, TUS, BYTES, &format!("Upload-Offset: {offset}"), &format!("Content-Length: {len}")];
    client.ask("PATCH", path, &[&own, fields].concat());
    client
}

fn patch(addr: SocketAddr, path: &str, offset: usize, bytes: &[u8], fields: &[&str]) -> Reply {
    let mut client = begin(addr, path, offset, bytes.len(), fields);
    client.send(bytes);
    client.reply(false)
}

/// The object is there, and nothing is left of the upload but that it is known to be over.
#[track_caller]
fn check_done(site: &Site, key: &str, path: &str, bytes: &[u8]) {
    let reply = get(site.addr(), &format!("/media/{key}"), &[]);
    assert!(reply.status == 200 && reply.body == bytes, "{} bytes of {key}, {} were sent", reply.body.len(), bytes.len());
    assert_eq!(offset(site.addr(), path), bytes.len());
    let id = id_of(path);
    let names: Vec<String> = site.own_names().into_iter().filter(|name| name.contains(id)).collect();
    assert!(matches!(&names[..], [name] if is_record(name)), "{names:?}");
    if let Kind::Bucket(bucket) = &site.kind {
        assert!(bucket.multipart_uploads(key).is_empty());
        let entry = get(site.addr(), &format!("/api/videos/{key}"), &[]).json();
        assert_eq!(entry["contentType"], "video/x-test");
    }
}

/// There is no object, and nothing that could become one.
#[track_caller]
fn check_nothing(site: &Site, key: &str) {
    assert_eq!(get(site.addr(), &format!("/api/videos/{key}"), &[]).status, 404, "{key}");
    wait_for("what was kept to be removed", Duration::from_mins(2), || site.own_names().is_empty().then_some(()));
    site.check_nothing(key);
}

#[test]
fn what_is_sent_in_pieces_to_two_servers_in_turn_is_there_when_it_is_whole() {
    for site in Site::both(|_| ()) {
        let other = site.another(|_| ());
        let addrs = [site.addr(), other.addr()];
        for (number, (len, piece_len)) in
            [(0, 1), (1, 1), (300_000, 100_001), (LONG, 3 * MIB), (LONG, 700_000), (10 * MIB, 10 * MIB), (10 * MIB, MIB)]
                .into_iter()
                .enumerate()
        {
            let bytes = pattern(number as u64, len);
            let key = format!("film{number}.mp4");
            let path = create(addrs[0], &key, len, &[]);
            let mut at = 0;
            for (turn, piece) in bytes.chunks(piece_len).enumerate() {
                assert_eq!(get(addrs[1], &format!("/api/videos/{key}"), &[]).status, 404, "{at} of {len}");
                let reply = patch(addrs[turn % 2], &path, at, piece, &[]);
                at += piece.len();
                assert_eq!((reply.status, reply.get("Upload-Offset")), (204, Some(&*at.to_string())), "{reply:?}");
                assert_eq!(offset(addrs[(turn + 1) % 2], &path), at);
            }
            check_done(&site, &key, &path, &bytes);
        }
        let listed = get(site.addr(), "/api/videos?limit=7", &[]).json();
        assert_eq!(listed["videos"].as_array().unwrap().len(), 7, "{listed}");
    }
}

#[test]
fn what_an_upload_is_is_told() {
    for site in Site::both(|_| ()) {
        let path = create(site.addr(), "film.mp4", 10, &[]);
        let reply = head(site.addr(), &path);
        assert_eq!(reply.get("Upload-Length"), Some("10"));
        assert_eq!(reply.get("Upload-Metadata").map(|text| format!("Upload-Metadata: {text}")), Some(named("film.mp4")));
        assert_eq!((reply.get("Cache-Control"), reply.get("Tus-Resumable")), (Some("no-store"), Some("1.0.0")));
        assert_eq!(reply.get("Upload-Offset"), Some("0"));
    }
}

#[test]
fn an_upload_can_have_its_first_bytes_with_it() {
    for site in Site::both(|_| ()) {
        let bytes = pattern(1, LONG);
        for first_len in [1, LONG - 1, LONG] {
            let key = format!("film{first_len}.mp4");
            let mut client = Client::new(site.addr());
            let (name, len) = (named(&key), format!("Upload-Length: {LONG}"));
            let fields = [TOKEN, TUS, BYTES, &name, &len, &format!("Content-Length: {first_len}"), "Expect: 100-continue"];
            client.ask("POST", "/api/uploads", &fields);
            assert_eq!(client.head().status, 100);
            client.send(&bytes[..first_len]);
            let reply = client.reply(false);
            assert_eq!((reply.status, reply.get("Upload-Offset")), (201, Some(&*first_len.to_string())));
            let path = reply.get("Location").unwrap();
            if first_len < LONG {
                assert_eq!(patch(site.addr(), path, first_len, &bytes[first_len..], &[]).status, 204);
            }
            check_done(&site, &key, path, &bytes);
        }
        // A connection that goes on after each, and bytes in chunks.
        let mut client = Client::new(site.addr());
        let path = create(site.addr(), "chunked.mp4", 8, &[]);
        client.ask("PATCH", &path, &[TOKEN, TUS, BYTES, "Upload-Offset: 0", "Transfer-Encoding: chunked"]);
        client.send("4\r\nfilm\r\n0\r\n\r\n");
        assert_eq!(client.reply(false).get("Upload-Offset"), Some("4"));
        client.ask(
            "POST",
            &path,
            &[TOKEN, TUS, BYTES, "Upload-Offset: 4", "X-HTTP-Method-Override: PATCH", "Content-Length: 4"],
        );
        client.send("film");
        assert_eq!(client.reply(false).get("Upload-Offset"), Some("8"));
        check_done(&site, "chunked.mp4", &path, b"filmfilm");
    }
}

/// A request is refused before its body comes.
#[track_caller]
fn check_refused(site: &Site, method: &str, target: &str, fields: &[&str], want: (u16, &str)) {
    let mut client = Client::new(site.addr());
    client.ask(method, target, &[fields, &["Content-Length: 4", "Expect: 100-continue"]].concat());
    let reply = client.reply(method == "HEAD");
    let code = if method == "HEAD" { String::new() } else { reply.code() };
    let want_code = if method == "HEAD" { "" } else { want.1 };
    assert_eq!((reply.status, &*code), (want.0, want_code), "{method} {target} {fields:?}");
    assert_eq!((reply.get("Tus-Resumable"), reply.get("Tus-Version")), (Some("1.0.0"), Some("1.0.0")));
}

#[test]
fn what_is_malformed_or_comes_out_of_turn_is_refused_and_changes_nothing() {
    for site in Site::both(|config| config.upload_max = 1000) {
        let path = create(site.addr(), "film.mp4", 10, &[]);
        assert_eq!(patch(site.addr(), &path, 0, b"film", &[]).status, 204);
        let uploads = "/api/uploads";
        let (name, unknown) = (named("new.mp4"), format!("{uploads}/0123456789abcdef0123456789abcdef"));
        let len = "Upload-Length: 10";
        let bad = (400, "bad_request");
        for (fields, want) in [
            (&[len, TUS, &name][..], (401, "unauthorized")),
            (&[len, TUS, &name, "Authorization: Bearer the-operatos"], (401, "unauthorized")),
            (&[len, TOKEN, &name], (412, "precondition_failed")),
            (&[len, TOKEN, &name, "Tus-Resumable: 0.2.2"], (412, "precondition_failed")),
            (&[TUS, TOKEN, &name], bad),
            (&[TUS, TOKEN, &name, "Upload-Length: -1"], bad),
            (&[TUS, TOKEN, &name, "Upload-Defer-Length: 1"], bad),
            (&[TUS, TOKEN, &name, "Upload-Length: 1001"], (413, "payload_too_large")),
            (&[TUS, TOKEN, &name, "Upload-Length: 18446744073709551615"], (413, "payload_too_large")),
            (&[TUS, TOKEN, &name, "Upload-Length: 18446744073709551616"], bad),
            (&[TUS, TOKEN, len], (400, "bad_key")),
            (&[TUS, TOKEN, len, "Upload-Metadata: filename"], (400, "bad_key")),
            (&[TUS, TOKEN, len, "Upload-Metadata: key !"], bad),
            (&[TUS, TOKEN, len, "Upload-Metadata: key LnZpZGdhdGUveA=="], (400, "bad_key")),
            (&[TUS, TOKEN, len, &name], (415, "bad_request")),
            (&[TUS, TOKEN, len, &name, "Content-Type: application/octet-stream"], (415, "bad_request")),
            (&[TUS, TOKEN, len, &name, BYTES, "Upload-Checksum: crc32 AAAA"], bad),
            (&[TUS, TOKEN, &name, BYTES, "Upload-Length: 3"], (413, "payload_too_large")),
            (&[TUS, TOKEN, len, &name, BYTES, "If-Match: *"], (412, "precondition_failed")),
            (&[TUS, TOKEN, len, &name, BYTES, "If-None-Match: \"a\""], bad),
        ] {
            check_refused(&site, "POST", uploads, fields, want);
        }
        let at = "Upload-Offset: 4";
        for (fields, want) in [
            (&[TUS, at, BYTES][..], (401, "unauthorized")),
            (&[TOKEN, at, BYTES], (412, "precondition_failed")),
            (&[TUS, TOKEN, BYTES], bad),
            (&[TUS, TOKEN, BYTES, "Upload-Offset: four"], bad),
            (&[TUS, TOKEN, at], (415, "bad_request")),
            (&[TUS, TOKEN, at, "Content-Type: text/plain"], (415, "bad_request")),
            (&[TUS, TOKEN, BYTES, "Upload-Offset: 0"], (409, "conflict")),
            (&[TUS, TOKEN, BYTES, "Upload-Offset: 3"], (409, "conflict")),
            (&[TUS, TOKEN, BYTES, "Upload-Offset: 5"], (409, "conflict")),
            (&[TUS, TOKEN, BYTES, "Upload-Offset: 18446744073709551615"], (409, "conflict")),
            (&[TUS, TOKEN, at, BYTES, "Upload-Checksum: sha1 Kq5s"], bad),
        ] {
            check_refused(&site, "PATCH", &path, fields, want);
        }
        check_refused(&site, "PATCH", &unknown, &[TUS, TOKEN, at, BYTES], (404, "not_found"));
        check_refused(&site, "HEAD", &unknown, &[TUS, TOKEN], (404, ""));
        check_refused(&site, "HEAD", &path, &[TUS], (401, ""));
        check_refused(&site, "HEAD", &path, &[TOKEN], (412, ""));
        check_refused(&site, "DELETE", &unknown, &[TUS, TOKEN], (404, "not_found"));
        check_refused(&site, "DELETE", &path, &[TUS], (401, "unauthorized"));
        check_refused(&site, "DELETE", &path, &[TOKEN], (412, "precondition_failed"));
        check_refused(&site, "GET", &path, &[TUS, TOKEN], (405, "method_not_allowed"));
        check_refused(&site, "PUT", &path, &[TUS, TOKEN], (405, "method_not_allowed"));
        check_refused(&site, "PATCH", uploads, &[TUS, TOKEN], (405, "method_not_allowed"));
        for no_upload in ["/api/uploads/", "/api/uploads/x", "/api/uploads/../x", &format!("{path}/x"), &path.to_uppercase()] {
            let reply = Client::new(site.addr()).exchange("DELETE", no_upload, &[TUS, TOKEN]);
            assert_eq!(reply.status, 404, "{no_upload}");
        }
        // Nothing of that made an upload, or changed this one.
        assert_eq!(site.own_names().iter().filter(|name| is_record(name)).count(), 1, "{:?}", site.own_names());
        assert_eq!(offset(site.addr(), &path), 4);
        // Longer than was said, by a length and by what comes.
        assert_eq!(patch(site.addr(), &path, 4, b"sfilmsx", &[]).status, 413);
        let mut client = Client::new(site.addr());
        client.ask("PATCH", &path, &[TOKEN, TUS, BYTES, at, "Transfer-Encoding: chunked"]);
        client.send("6\r\nsfilms\r\n1\r\nx\r\n0\r\n\r\n");
        assert_eq!(client.reply(false).status, 413);
        assert_eq!(get(site.addr(), "/api/videos/film.mp4", &[]).status, 404);
        assert_eq!(offset(site.addr(), &path), 4);
        assert_eq!(patch(site.addr(), &path, 4, b"sfilms", &[]).status, 204);
        check_done(&site, "film.mp4", &path, b"filmsfilms");
        // One that is whole takes no more, and says so in any order.
        assert_eq!(patch(site.addr(), &path, 10, b"", &[]).status, 204);
        assert_eq!(patch(site.addr(), &path, 10, b"x", &[]).status, 413);
        assert_eq!(patch(site.addr(), &path, 4, b"sfilms", &[]).status, 409);
        check_done(&site, "film.mp4", &path, b"filmsfilms");
    }
}

#[test]
fn without_an_operator_there_are_no_uploads() {
    let folder = tempfile::tempdir().unwrap();
    let closed = start(std::sync::Arc::new(vidgate::store::Directory::open(folder.path()).unwrap()), |_| ());
    for method in ["POST", "HEAD", "PATCH", "DELETE", "GET"] {
        for target in ["/api/uploads", "/api/uploads/0123456789abcdef0123456789abcdef"] {
            assert_eq!(Client::new(closed.addr()).exchange(method, target, &[TOKEN, TUS]).status, 404, "{method} {target}");
        }
    }
    let reply = Client::new(closed.addr()).exchange("OPTIONS", "/api/uploads", &[]);
    assert_eq!((reply.status, reply.get("Tus-Extension")), (204, None));
}

#[test]
fn what_the_server_can_do_is_told_and_pages_may_use_it() {
    let site = Site::on_directory(|config| config.upload_max = 12_345);
    for target in ["/api/uploads", "/api/uploads/0123456789abcdef0123456789abcdef"] {
        let fields = ["Origin: http://localhost:3000", "Access-Control-Request-Method: PATCH"];
        let reply = Client::new(site.addr()).exchange("OPTIONS", target, &fields);
        assert_eq!(reply.status, 204);
        assert_eq!((reply.get("Tus-Version"), reply.get("Tus-Max-Size")), (Some("1.0.0"), Some("12345")));
        assert_eq!(reply.get("Tus-Extension"), Some("creation,creation-with-upload,expiration,termination,checksum"));
        assert_eq!(reply.get("Tus-Checksum-Algorithm"), Some("sha1,sha256,md5"));
        let listed = |field: &str| reply.get(field).unwrap().split(", ").map(str::to_ascii_lowercase).collect::<Vec<_>>();
        for method in ["patch", "post", "head", "delete"] {
            assert!(listed("Access-Control-Allow-Methods").contains(&method.to_owned()), "{method}");
        }
        for field in ["tus-resumable", "upload-length", "upload-offset", "upload-metadata", "upload-checksum", "authorization"]
        {
            assert!(listed("Access-Control-Allow-Headers").contains(&field.to_owned()), "{field}");
        }
        for field in ["location", "upload-offset", "upload-length", "upload-expires", "tus-version", "tus-resumable"] {
            assert!(listed("Access-Control-Expose-Headers").contains(&field.to_owned()), "{field}");
        }
    }
}

#[test]
fn what_came_before_a_cut_is_kept() {
    for site in Site::both(|_| ()) {
        let bytes = pattern(2, LONG);
        for sent_len in [0, 1, 5 * MIB + 1, LONG - 1] {
            for framing in [format!("Content-Length: {LONG}"), "Transfer-Encoding: chunked".to_owned()] {
                let path = create(site.addr(), "film.mp4", LONG, &[]);
                let mut client = Client::new(site.addr());
                client.ask("PATCH", &path, &[TOKEN, TUS, BYTES, "Upload-Offset: 0", &framing]);
                if framing.starts_with("Transfer") {
                    client.send(format!("{LONG:x}\r\n"));
                }
                client.send(&bytes[..sent_len]);
                // Whoever asks for it leaves little time for what is not read yet.
                client.wait_until_read();
                client.shutdown();
                // It is asked for while the end may not be noticed yet, nor the beginning.
                wait_for("all of it to be kept", Duration::from_mins(1), || {
                    (offset(site.addr(), &path) == sent_len).then_some(())
                });
                let status = client.reply(false).status;
                assert!(status == 400 || status == 423, "{status}");
                assert_eq!(get(site.addr(), "/api/videos/film.mp4", &[]).status, 404);
                assert_eq!(patch(site.addr(), &path, sent_len, &bytes[sent_len..], &[]).status, 204);
                check_done(&site, "film.mp4", &path, &bytes);
                assert_eq!(Client::new(site.addr()).exchange("DELETE", "/api/videos/film.mp4", &[TOKEN]).status, 204);
            }
        }
    }
}

#[test]
fn who_comes_later_gets_the_upload_and_what_came_until_then() {
    for site in Site::both(|_| ()) {
        let bytes = pattern(3, LONG);
        let path = create(site.addr(), "film.mp4", LONG, &[]);
        let mut at = 0;
        let mut old: Option<Client> = None;
        for len in [0, 1, 100_000, 6 * MIB, MIB, 3 * MIB] {
            // The one before waits for bytes that never come, as where the network of its client is gone.
            let mut client = begin(site.addr(), &path, at, LONG - at, &["Expect: 100-continue"]);
            if let Some(mut old) = old.take() {
                assert_eq!((old.reply(false).status), 423);
            }
            assert_eq!(client.head().status, 100);
            client.send(&bytes[at..at + len]);
            client.wait_until_read();
            at += len;
            old = Some(client);
            if len % 2 == 0 {
                assert_eq!(offset(site.addr(), &path), at);
                assert_eq!(old.take().unwrap().reply(false).status, 423);
            } else {
                // The next one need not ask.
                wait_for("all of it to be kept", Duration::from_mins(1), || {
                    let reply = begin(site.addr(), &path, at, 0, &[]).reply(false);
                    (reply.status == 204).then_some(())
                });
            }
        }
        assert_eq!(patch(site.addr(), &path, at, &bytes[at..], &[]).status, 204);
        check_done(&site, "film.mp4", &path, &bytes);
        // An upload that somebody sends can be ended.
        let path = create(site.addr(), "other.mp4", LONG, &[]);
        let mut client = begin(site.addr(), &path, 0, LONG, &["Expect: 100-continue"]);
        assert_eq!(client.head().status, 100);
        client.send(&bytes[..6 * MIB]);
        client.wait_until_read();
        assert_eq!(Client::new(site.addr()).exchange("DELETE", &path, &[TOKEN, TUS]).status, 204);
        assert_eq!(client.reply(false).status, 423);
        assert_eq!(head(site.addr(), &path).status, 404);
        site.check_nothing_but_finished("other.mp4");
    }
}

#[test]
fn what_has_another_checksum_does_not_count() {
    for site in Site::both(|_| ()) {
        let bytes = pattern(4, LONG);
        let path = create(site.addr(), "film.mp4", LONG, &[]);
        let mut at = 0;
        for len in [1, 100_000, 5 * MIB, 4 * MIB, LONG - 9 * MIB - 100_001] {
            let piece = &bytes[at..at + len];
            let field = format!("Upload-Checksum: sha256 {}", STANDARD.encode(Sha256::digest(piece)));
            for wrong_at in [0, len / 2, len - 1] {
                let mut wrong = piece.to_vec();
                wrong[wrong_at] ^= 1;
                let reply = patch(site.addr(), &path, at, &wrong, &[&field]);
                assert_eq!((reply.status, &*reply.code()), (460, "bad_request"), "{at} {wrong_at}");
                assert_eq!(offset(site.addr(), &path), at);
            }
            // Cut, it cannot be compared.
            let mut client = begin(site.addr(), &path, at, len, &[&field]);
            client.send(&piece[..len - 1]);
            client.shutdown();
            assert_eq!(offset(site.addr(), &path), at);
            assert_eq!(get(site.addr(), "/api/videos/film.mp4", &[]).status, 404);
            // Bytes without a checksum count as they come, though there are wrong ones behind them.
            let half = len / 2;
            if half > 0 {
                assert_eq!(patch(site.addr(), &path, at, &piece[..half], &[]).status, 204);
                assert_eq!(offset(site.addr(), &path), at + half);
            }
            let rest = &piece[half..];
            let field = format!("Upload-Checksum: sha256 {}", STANDARD.encode(Sha256::digest(rest)));
            let reply = patch(site.addr(), &path, at + half, rest, &[&field]);
            assert_eq!(reply.status, 204, "{reply:?}");
            at += len;
            assert_eq!(offset(site.addr(), &path), at);
        }
        check_done(&site, "film.mp4", &path, &bytes);
    }
}

#[test]
fn what_is_ended_or_expires_leaves_nothing() {
    for site in Site::both(|_| ()) {
        let bytes = pattern(5, LONG);
        let path = create(site.addr(), "film.mp4", LONG, &[]);
        assert_eq!(patch(site.addr(), &path, 0, &bytes[..7 * MIB], &[]).status, 204);
        assert_eq!(Client::new(site.addr()).exchange("DELETE", &path, &[TOKEN, TUS]).status, 204);
        for method in ["HEAD", "DELETE"] {
            let reply = Client::new(site.addr()).exchange(method, &path, &[TOKEN, TUS]);
            assert_eq!(reply.status, 404, "{method}");
        }
        check_nothing(&site, "film.mp4");

        let path = create(site.addr(), "film.mp4", LONG, &[]);
        assert_eq!(patch(site.addr(), &path, 0, &bytes[..7 * MIB], &[]).status, 204);
        let whole = create(site.addr(), "whole.mp4", 4, &[]);
        assert_eq!(patch(site.addr(), &whole, 0, b"film", &[]).status, 204);
        // Several servers remove what expired, at once; and nobody need ask for it.
        let others: Vec<_> = (0..3).map(|_| site.another(|config| config.upload_expiry = Duration::from_secs(1))).collect();
        for path in [&path, &whole] {
            site.change_record(id_of(path), |record| record["expires_at"] = serde_json::json!(1));
        }
        check_nothing(&site, "film.mp4");
        assert_eq!(head(others[0].addr(), &path).status, 404);
        assert_eq!(get(site.addr(), "/media/whole.mp4", &[]).body, b"film", "what is whole stays");
    }
}

#[test]
fn who_goes_on_does_not_expire() {
    for site in Site::both(|_| ()) {
        let bytes = pattern(13, LONG);
        let path = create(site.addr(), "slow.mp4", LONG, &[]);
        // As many as a part may be in pieces, and more.
        for at in 0..100 {
            assert_eq!(patch(site.addr(), &path, at, &bytes[at..=at], &[]).status, 204, "{at}");
        }
        let soon = SystemTime::now() + Duration::from_mins(10);
        let secs = soon.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        site.change_record(id_of(&path), |record| record["expires_at"] = serde_json::json!(secs));
        let expires_at = |reply: &Reply| httpdate::parse_http_date(reply.get("Upload-Expires").unwrap()).unwrap();
        assert!(expires_at(&head(site.addr(), &path)) <= soon, "asking changes nothing");
        let reply = patch(site.addr(), &path, 100, &bytes[100..=100], &[]);
        assert_eq!(reply.status, 204, "{reply:?}");
        let told = expires_at(&reply);
        assert!(told > soon + Duration::from_hours(1), "{reply:?}");
        // What is kept is rounded up to a second.
        assert!(expires_at(&head(site.addr(), &path)) >= told, "it is kept for as long as was told");
        assert_eq!(patch(site.addr(), &path, 101, &bytes[101..], &[]).status, 204);
        check_done(&site, "slow.mp4", &path, &bytes);
    }
}

#[test]
fn conditions_hold_when_the_last_byte_came() {
    for site in Site::both(|_| ()) {
        for len in [10, LONG] {
            let bytes = pattern(6, len);
            let key = format!("film{len}.mp4");
            let put = |bytes: &[u8]| {
                let mut client = Client::new(site.addr());
                client.ask("PUT", &format!("/api/videos/{key}"), &[TOKEN, &format!("Content-Length: {}", bytes.len())]);
                client.send(bytes);
                client.reply(false).json()["etag"].as_str().unwrap().to_owned()
            };
            let path = create(site.addr(), &key, len, &["If-None-Match: *"]);
            assert_eq!(patch(site.addr(), &path, 0, &bytes[..len - 1], &[]).status, 204);
            let etag = put(b"first");
            assert_eq!(patch(site.addr(), &path, len - 1, &bytes[len - 1..], &[]).status, 412);
            assert_eq!(head(site.addr(), &path).status, 404, "it can never become the object");
            assert_eq!(get(site.addr(), &format!("/media/{key}"), &[]).body, b"first");

            let paths = [1, 2].map(|_| create(site.addr(), &key, len, &[&format!("If-Match: {etag}")]));
            assert_eq!(patch(site.addr(), &paths[0], 0, &bytes, &[]).status, 204);
            assert_eq!(patch(site.addr(), &paths[1], 0, &bytes, &[]).status, 412);
            check_done(&site, &key, &paths[0], &bytes);
            site.check_nothing_but_finished(&key);
        }
    }
}

/// Sends what is missing until all of it is there, as a client does that gives up at nothing that may pass.
#[track_caller]
fn push_on(addr: SocketAddr, path: &str, bytes: &[u8]) {
    for _ in 0..100 {
        let reply = head(addr, path);
        let Some(at) = reply.get("Upload-Offset").map(|text| text.parse::<usize>().unwrap()) else {
            assert!([423, 502, 504].contains(&reply.status), "{reply:?}");
            continue;
        };
        if at == bytes.len() {
            return;
        }
        let reply = patch(addr, path, at, &bytes[at..], &[]);
        assert!([204, 423, 502, 504].contains(&reply.status), "{reply:?}");
    }
    panic!("it gets nowhere");
}

#[test]
fn a_store_that_breaks_off_at_any_time_costs_nothing_but_time() {
    let (site, relay) = Site::behind_relay();
    let bytes = pattern(7, LONG);
    // The reply to the Nth request is lost: of the first, the second, and so on, until one passes without.
    for number in 0_u64.. {
        let key = format!("film{number}.mp4");
        let before = relay.resets();
        // Each reply has some hundred bytes, and some are longer than this.
        relay.reset_at([1 + number * 700]);
        let own = [TOKEN, TUS, &named(&key), &format!("Upload-Length: {LONG}")];
        let reply = Client::new(site.addr()).exchange("POST", "/api/uploads", &own);
        if reply.status == 201 {
            let path = reply.get("Location").unwrap();
            assert_eq!(get(site.addr(), &format!("/api/videos/{key}"), &[]).status, 404);
            push_on(site.addr(), path, &bytes[..LONG]);
            relay.reset_at([]);
            check_done(&site, &key, path, &bytes);
        } else {
            relay.reset_at([]);
            assert_eq!((reply.status, &*reply.code()), (502, "upstream_unavailable"), "{number}");
            wait_for("the sweep", Duration::from_secs(40), || site.leftovers(&key).is_empty().then_some(()));
        }
        if relay.resets() == before {
            assert!(number > 10, "a whole upload is more than {number} times 700 bytes");
            return;
        }
    }
}

#[test]
fn a_store_that_is_gone_at_the_first_or_the_last_byte_leaves_the_upload_as_it_was() {
    let (site, relay) = Site::behind_relay();
    let bytes = pattern(8, LONG);
    let path = create(site.addr(), "film.mp4", LONG, &[]);
    for at in [0, LONG - 1] {
        if at > 0 {
            assert_eq!(patch(site.addr(), &path, 0, &bytes[..at], &[]).status, 204);
        }
        let mut client = begin(site.addr(), &path, at, LONG - at, &["Expect: 100-continue"]);
        assert_eq!(client.head().status, 100);
        relay.stop();
        // With half of it a part is whole, or all of it is there.
        client.send(&bytes[at..at + (LONG - at).div_ceil(2)]);
        assert_eq!(client.reply(false).status, 502);
        relay.go_on();
        wait_for("the store to be back", Duration::from_secs(20), || {
            (get(site.addr(), "/api/videos/film.mp4", &[]).status == 404).then_some(())
        });
        assert_eq!(offset(site.addr(), &path), at);
    }
    push_on(site.addr(), &path, &bytes);
    check_done(&site, "film.mp4", &path, &bytes);
}

#[test]
fn a_server_that_stops_keeps_what_came() {
    for mut site in Site::both(|_| ()) {
        let bytes = pattern(12, LONG);
        let path = create(site.addr(), "film.mp4", LONG, &[]);
        let mut client = begin(site.addr(), &path, 0, LONG, &["Expect: 100-continue"]);
        assert_eq!(client.head().status, 100);
        client.send(&bytes[..6 * MIB]);
        client.wait_until_read();
        let other = site.another(|_| ());
        drop(std::mem::replace(&mut site.server, other));
        assert_eq!(client.reply(false).status, 503);
        let at = offset(site.addr(), &path);
        assert_eq!(at, 6 * MIB);
        assert_eq!(patch(site.addr(), &path, at, &bytes[at..], &[]).status, 204);
        check_done(&site, "film.mp4", &path, &bytes);
    }
}

#[test]
fn what_was_replaced_is_not_answered_from_what_is_kept() {
    for site in Site::both(|config| config.meta_ttl = Duration::from_hours(1)) {
        for round in 0..3 {
            let bytes = pattern(round, 200_000);
            let path = create(site.addr(), "film.mp4", bytes.len(), &[]);
            for (at, half) in [(0, &bytes[..100_000]), (100_000, &bytes[100_000..])] {
                assert_eq!(patch(site.addr(), &path, at, half, &[]).status, 204);
            }
            check_done(&site, "film.mp4", &path, &bytes);
        }
    }
}

#[test]
fn many_that_send_the_same_upload_at_a_time_make_the_object_that_each_of_them_sends() {
    for site in Site::both(|_| ()) {
        let others: Vec<_> = (0..2).map(|_| site.another(|_| ())).collect();
        let addrs = [site.addr(), others[0].addr(), others[1].addr(), site.addr()];
        let bytes = pattern(9, LONG);
        let path = create(site.addr(), "film.mp4", LONG, &[]);
        thread::scope(|scope| {
            for addr in addrs {
                let (path, bytes) = (&path, &bytes);
                scope.spawn(move || {
                    // Each has its turn in the end: who comes later gets it, and who is behind learns it.
                    for _ in 0..1000 {
                        let reply = head(addr, path);
                        let Some(at) = reply.get("Upload-Offset").map(|text| text.parse::<usize>().unwrap()) else {
                            assert_eq!(reply.status, 423, "{reply:?}");
                            continue;
                        };
                        if at == bytes.len() {
                            return;
                        }
                        let end = bytes.len().min(at + 700_000);
                        let reply = begin_and_send(addr, path, at, &bytes[at..end]);
                        assert!([204, 409, 413, 423].contains(&reply), "{reply}");
                    }
                    panic!("it gets nowhere");
                });
            }
        });
        check_done(&site, "film.mp4", &path, &bytes);
    }
}

/// Sends bytes that may be refused before they are all sent.
fn begin_and_send(addr: SocketAddr, path: &str, at: usize, bytes: &[u8]) -> u16 {
    let mut client = begin(addr, path, at, bytes.len(), &["Expect: 100-continue"]);
    match client.head().status {
        100 => {
            client.send(bytes);
            client.reply(false).status
        }
        refused => refused,
    }
}

#[test]
fn who_ended_before_noting_that_an_upload_is_whole_is_made_up_for() {
    for site in Site::both(|_| ()) {
        for len in [10, LONG] {
            let bytes = pattern(10, len);
            let key = format!("film{len}.mp4");
            let path = create(site.addr(), &key, len, &[]);
            assert_eq!(patch(site.addr(), &path, 0, &bytes, &[]).status, 204);
            let id = id_of(&path);
            // The record as it was in the moment before the last change to it.
            site.change_record(id, |record| {
                assert!(record["done"].is_string() && record["done"] == record["finishing"], "{record}");
                record["done"] = serde_json::Value::Null;
            });
            assert_eq!(offset(site.addr(), &path), len);
            check_done(&site, &key, &path, &bytes);
            // And no record that anybody can read is one of no upload.
            site.change_record(id, |record| *record = serde_json::json!({"v": 2}));
            assert_eq!(head(site.addr(), &path).status, 502);
        }
    }
}

#[test]
fn what_belongs_to_no_upload_is_removed_in_time() {
    let lifetime = Duration::from_secs(2);
    let site = Site::on_minio(|config| config.upload_expiry = lifetime);
    let Kind::Bucket(bucket) = &site.kind else { unreachable!("a bucket") };
    let id = "0123456789abcdef0123456789abcdef";
    bucket.put(&format!(".vidgate/uploads/{id}/0000000000000000"), b"piece");
    bucket.put(&format!(".vidgate/uploads/{}.json", id.replace('0', "f")), b"no record");
    bucket.put(".vidgate/uploads/of somebody else", b"stays");
    wait_for("what is ours to be removed", Duration::from_secs(20), || (site.own_names().len() == 1).then_some(()));
    assert_eq!(site.own_names(), [".vidgate/uploads/of somebody else"]);
    assert_eq!(get(site.addr(), "/api/videos?limit=1", &[]).json()["videos"].as_array().map(Vec::len), Some(0));
    bucket.put("a.mp4", b"film");
    let listed = get(site.addr(), "/api/videos?limit=1", &[]).json();
    assert_eq!(listed["videos"][0]["key"], "a.mp4", "no page is empty for names that are not shown: {listed}");
}

#[test]
fn a_full_disk_takes_what_fits_and_makes_room_when_the_upload_ends() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [("VIDGATE_ADMIN_TOKEN", "the-operator"), ("VIDGATE_DIR", folder.path().to_str().unwrap())];
    let program = Process::start_on_small_disk(folder.path(), 8, &environment);
    for round in 0..3 {
        let bytes = pattern(round, 12 * MIB);
        let path = create(program.addr(), "film.mp4", bytes.len(), &[]);
        assert_eq!(patch(program.addr(), &path, 0, &bytes, &[]).status, 502);
        let at = offset(program.addr(), &path);
        assert!(at < 8 * MIB, "{at}");
        assert_eq!(get(program.addr(), "/api/videos/film.mp4", &[]).status, 404);
        assert_eq!(Client::new(program.addr()).exchange("DELETE", &path, &[TOKEN, TUS]).status, 204);
        let path = create(program.addr(), "fits.mp4", 6 * MIB, &[]);
        assert_eq!(patch(program.addr(), &path, 0, &bytes[..6 * MIB], &[]).status, 204);
        assert!(get(program.addr(), "/media/fits.mp4", &[]).body == bytes[..6 * MIB]);
        assert_eq!(Client::new(program.addr()).exchange("DELETE", "/api/videos/fits.mp4", &[TOKEN]).status, 204);
    }
}

#[test]
fn an_upload_holds_one_part_of_it_in_memory() {
    let bytes = pattern(11, film_len(96 * MIB));
    with_each_program(|program| {
        let path = create(program.addr(), "film.mp4", bytes.len(), &[]);
        let (first, rest) = bytes.split_at(bytes.len() / 2 + 1);
        assert_eq!(patch(program.addr(), &path, 0, first, &[]).status, 204);
        let field = format!("Upload-Checksum: sha256 {}", STANDARD.encode(Sha256::digest(rest)));
        assert_eq!(patch(program.addr(), &path, first.len(), rest, &[&field]).status, 204);
        let peak_len = program.peak_len();
        assert!(peak_len < 48 * MIB, "{peak_len} bytes were held at a time");
        assert!(get(program.addr(), "/media/film.mp4", &[]).body == bytes);
    });
}
