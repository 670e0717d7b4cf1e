//! Tokens, links and cookies over the wire.

use std::fs;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use vidgate::config::CloudFront;
use vidgate::object::{ETag, ObjectId, ObjectKey, ObjectMeta};
use vidgate::sign::bearer::AdminToken;
use vidgate::sign::cloudfront::{Domain, Hash, PrivateKey, Signer};
use vidgate::sign::token::{Claims, KeyRing, Scope, mint, verify};
use vidgate::{Config, store};

use crate::cli::vidgate;
use crate::support::client::{Client, Reply, get};
use crate::support::minio::minio;
use crate::support::peers::openssl;
use crate::support::process::Process;
use crate::support::server::{DirectoryServer, start};
use crate::support::wait_for;

const KEYS: &str = "k1:0123456789abcdef0123456789abcdef";
const OPERATOR: &str = "Authorization: Bearer the-operator";

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn closed(config: &mut Config) {
    config.playback_keys = KeyRing::parse(KEYS).ok();
    config.admin_token = AdminToken::new("the-operator");
}

fn token_with(scope: Scope, seconds: u64, network: Option<&str>) -> String {
    let network = network.map(|network| network.parse().unwrap());
    mint(&KeyRing::parse(KEYS).unwrap(), &Claims { scope, expires_at: now() + seconds, not_before: None, network })
}

fn token(prefix: &str) -> String {
    token_with(Scope::Prefix(prefix.into()), 60, None)
}

fn cloudfront(has_keys: bool) -> CloudFront {
    let pem = String::from_utf8(openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout"], b"")).unwrap();
    let signer = || Arc::new(Signer::new("K1", PrivateKey::from_pem(&pem).unwrap(), Hash::Sha256).unwrap());
    CloudFront { domain: Domain::new("cdn.example.org").unwrap(), signer: has_keys.then(signer) }
}

#[test]
fn everything_that_names_or_opens_an_object_is_closed_to_strangers() {
    let (closed, open) = (DirectoryServer::start(closed), DirectoryServer::start(|_| {}));
    for server in [&closed, &open] {
        server.put("a/film.mp4", "film");
    }
    let (good, other) = (token("a/"), token("b/"));
    let elsewhere = token_with(Scope::Prefix("a/".into()), 60, Some("192.0.2.1/32"));
    // What a stranger, the bearer of a good token, one of a token for something else or for somebody else, and the operator get.
    for (method, target, want) in [
        ("GET", "/media/a/film.mp4", [401, 200, 403, 403, 401]),
        ("HEAD", "/media/a/film.mp4", [401, 200, 403, 403, 401]),
        ("GET", "/api/videos/a/film.mp4/stream", [401, 200, 403, 403, 401]),
        ("HEAD", "/api/videos/a%2Ffilm.mp4/stream", [401, 200, 403, 403, 401]),
        ("GET", "/media/a/none.mp4", [401, 404, 403, 403, 401]),
        ("GET", "/media/a/film.mp4?chunkSize=x", [401, 400, 403, 403, 401]),
        ("GET", "/api/videos", [401, 403, 403, 403, 200]),
        ("GET", "/api/videos?prefix=", [401, 403, 403, 403, 200]),
        ("GET", "/api/videos?prefix=a", [401, 403, 403, 403, 200]),
        ("GET", "/api/videos?prefix=a/", [401, 200, 403, 403, 200]),
        ("GET", "/api/videos?prefix=a/film", [401, 200, 403, 403, 200]),
        ("GET", "/api/videos/a/film.mp4", [401, 200, 403, 403, 200]),
        ("GET", "/api/videos/a/none.mp4", [401, 404, 403, 403, 404]),
        ("GET", "/api/videos/a/film.mp4/url", [401, 200, 403, 403, 200]),
        ("GET", "/api/videos/a/none.mp4/url", [401, 404, 403, 403, 404]),
        ("GET", "/api/videos/a/film.mp4/url?redirect=1", [401, 302, 403, 403, 302]),
        ("GET", "/api/videos/a/film.mp4/cookies", [401, 404, 403, 403, 404]),
        ("GET", "/api/videos/a/film.mp4/cookies?prefix=a", [401, 403, 403, 403, 404]),
        ("GET", "/", [200; 5]),
        ("GET", "/watch/a/film.mp4", [200; 5]),
        ("GET", "/healthz", [200; 5]),
        ("GET", "/metrics", [200; 5]),
        ("OPTIONS", "/media/a/film.mp4", [204; 5]),
        ("DELETE", "/media/a/film.mp4", [405; 5]),
    ] {
        let bearers = [None, Some(good.as_str()), Some(&other), Some(&elsewhere), Some("the-operator")];
        for (bearer, want) in bearers.into_iter().zip(want) {
            let field = bearer.map(|bearer| format!("Authorization: Bearer {bearer}"));
            let fields: Vec<&str> = field.as_deref().into_iter().collect();
            let reply = Client::new(closed.addr()).exchange(method, target, &fields);
            assert_eq!(reply.status, want, "{method} {target} {bearer:?}");
            assert_eq!(reply.get("WWW-Authenticate"), (want == 401).then_some("Bearer"));
            if want >= 400 && method == "GET" {
                let code = match want {
                    400 => "bad_chunk_size",
                    401 => "unauthorized",
                    403 => "forbidden",
                    _ if target.contains("/cookies") => "not_configured",
                    _ => "not_found",
                };
                assert_eq!(reply.code(), code, "{target}");
                assert_eq!(reply.get("Cache-Control"), Some("no-store"));
                assert!(!String::from_utf8_lossy(&reply.body).contains(bearer.unwrap_or("eyJ")));
            }
        }
        // Without keys everything is open, whatever is sent along.
        let want = match want {
            [401, ok, ..] if !target.contains("/cookies") && ok != 403 => ok,
            [401, ..] if !target.contains("/cookies") => 200,
            [401, ..] => 404,
            [all, ..] => all,
        };
        assert_eq!(Client::new(open.addr()).exchange(method, target, &["Authorization: Bearer x"]).status, want, "{target}");
    }
}

#[test]
fn a_token_in_the_path_is_inherited_by_relative_links() {
    let server = DirectoryServer::start(closed);
    server.put("show/1/main.m3u8", "low/list.m3u8");
    server.put("show/1/low/list.m3u8", "0.ts");
    server.put("show/1/low/0.ts", "bytes");
    server.put("show/2/low/0.ts", "others");
    let base = format!("/media/~{}", token("show/1/"));
    for (path, body) in [("main.m3u8", "low/list.m3u8"), ("low/list.m3u8", "0.ts"), ("low/0.ts", "bytes")] {
        let reply = get(server.addr(), &format!("{base}/show/1/{path}"), &[]);
        assert_eq!((reply.status, reply.body.as_slice()), (200, body.as_bytes()), "{path}");
        assert_eq!(reply.get("Referrer-Policy"), Some("no-referrer"));
        assert_eq!(get(server.addr(), &format!("/media/show/1/{path}"), &[]).status, 401);
    }
    assert_eq!(get(server.addr(), &format!("{base}/show/2/low/0.ts"), &[]).status, 403);
    assert_eq!(get(server.addr(), &format!("{base}/show/1/low/0.ts"), &["Range: bytes=1-2"]).body, b"yt");
    for page in ["/", "/watch/x"] {
        assert_eq!(get(server.addr(), page, &[]).get("Referrer-Policy"), Some("no-referrer"));
    }
}

/// A store of one film that says of itself that any cache may keep it.
struct Public;

impl store::Store for Public {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, vidgate::Error> {
        let id = ObjectId { key: key.clone(), etag: ETag::from_store("v")? };
        let cache_control = Some("public, max-age=86400".to_owned());
        Ok(ObjectMeta { id, size: 0, last_modified: SystemTime::UNIX_EPOCH, content_type: None, cache_control })
    }

    fn open(&self, _: &ObjectId, _: Range<u64>) -> Result<Box<dyn store::Span>, vidgate::Error> {
        Err(vidgate::ErrorKind::NotFound.into())
    }

    fn list(&self, _: &store::ListQuery) -> Result<store::ListPage, vidgate::Error> {
        Ok(store::ListPage::default())
    }
}

#[test]
fn a_public_object_is_private_to_whom_a_field_let_in() {
    let (closed, open) = (start(Arc::new(Public), closed), start(Arc::new(Public), |_| {}));
    let bearer = format!("Authorization: Bearer {}", token("a"));
    let public = Some("public, max-age=86400");
    for condition in ["X-None: 1", "If-None-Match: \"v\""] {
        let of = |server: &vidgate::Server, target: &str, fields: &[&str]| {
            let reply = get(server.addr(), target, &[fields, &[condition]].concat());
            assert!(matches!(reply.status, 200 | 304), "{target}: {}", reply.status);
            reply.get("Cache-Control").map(str::to_owned)
        };
        let private = of(&closed, "/media/a", &[&bearer]).unwrap();
        assert!(private.starts_with("private, "), "{private}");
        assert_eq!(of(&closed, "/api/videos/a/stream", &[&bearer]), Some(private));
        assert_eq!(of(&closed, &format!("/media/~{}/a", token("a")), &[]).as_deref(), public);
        assert_eq!(of(&open, "/media/a", &[&bearer]).as_deref(), public);
    }
}

#[test]
fn a_token_of_the_past_and_one_of_the_future() {
    let server = DirectoryServer::start(closed);
    server.put("a", "film");
    let ring = KeyRing::parse(KEYS).unwrap();
    let status = |expires_at, not_before| {
        let token = mint(&ring, &Claims { scope: Scope::Prefix(String::new()), expires_at, not_before, network: None });
        get(server.addr(), &format!("/media/a?token={token}"), &[]).status
    };
    assert_eq!(status(now() + 60, None), 200);
    assert_eq!(status(now() + 60, Some(now() - 1)), 200);
    assert_eq!(status(now() - 1, None), 401);
    assert_eq!(status(now() + 600, Some(now() + 300)), 401);
    // The second key of a ring verifies too, one that is not in it does not.
    let other = KeyRing::parse("k1:another-secret-of-more-than-32-characters").unwrap();
    let claims = Claims { scope: Scope::Prefix(String::new()), expires_at: now() + 60, not_before: None, network: None };
    assert_eq!(get(server.addr(), &format!("/media/a?token={}", mint(&other, &claims)), &[]).status, 401);
}

#[test]
fn the_address_of_a_token_is_that_of_the_client_behind_trusted_proxies() {
    let server = DirectoryServer::start(|config| {
        closed(config);
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    server.put("a", "film");
    let target = format!("/media/a?token={}", token_with(Scope::Key(ObjectKey::new("a").unwrap()), 60, Some("192.0.2.0/24")));
    assert_eq!(get(server.addr(), &target, &["X-Forwarded-For: 192.0.2.9"]).status, 200);
    assert_eq!(get(server.addr(), &target, &["X-Forwarded-For: 192.0.2.9, 198.51.100.1"]).status, 403);
    assert_eq!(get(server.addr(), &target, &[]).status, 403);
}

/// A POST of this body, and what it is answered; then another request in the same connection.
#[track_caller]
fn post(server: &DirectoryServer, fields: &[&str], body: &str) -> Reply {
    let mut client = Client::new(server.addr());
    let length = format!("Content-Length: {}", body.len());
    client.ask("POST", "/api/tokens", &[fields, &[&length]].concat());
    client.send(body);
    let reply = client.reply(false);
    assert_eq!(client.exchange("GET", "/healthz", &[]).status, 200, "the connection goes on behind the body");
    reply
}

#[test]
fn the_operator_mints_tokens() {
    let server = DirectoryServer::start(closed);
    let ring = KeyRing::parse(KEYS).unwrap();
    let reply = post(&server, &[OPERATOR], r#"{"prefix":"a/","expiresIn":60,"ip":"192.0.2.0/24"}"#);
    assert_eq!((reply.status, reply.get("Cache-Control")), (200, Some("no-store")));
    let claims = verify(&ring, reply.json()["token"].as_str().unwrap(), now()).unwrap();
    assert_eq!((claims.scope, claims.network), (Scope::Prefix("a/".into()), "192.0.2.0/24".parse().ok()));
    assert!((now() + 50..=now() + 60).contains(&claims.expires_at));
    let reply = post(&server, &[OPERATOR], r#"{"key":"a b.mp4"}"#);
    let claims = verify(&ring, reply.json()["token"].as_str().unwrap(), now()).unwrap();
    assert!((now() + 3590..=now() + 3600).contains(&claims.expires_at));
    assert!(reply.json()["expiresAt"].as_str().unwrap().ends_with('Z'));

    for (body, status, code) in [
        (r#"{"key":"../a"}"#, 400, "bad_key"),
        (r#"{"key":"a","expiresIn":0}"#, 400, "bad_request"),
        ("hunter2", 400, "bad_request"),
        ("[]", 400, "bad_request"),
    ] {
        let reply = post(&server, &[OPERATOR], body);
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{body}");
        assert!(!String::from_utf8_lossy(&reply.body).contains("hunter"));
    }
    let film = r#"{"key":"a"}"#;
    let with_token = format!("Authorization: Bearer {}", token(""));
    for fields in [&[][..], &["Authorization: Bearer other"], &[&with_token]] {
        assert_eq!(post(&server, fields, film).code(), "unauthorized", "{fields:?}");
    }
    let without_admin = DirectoryServer::start(|config| config.playback_keys = KeyRing::parse(KEYS).ok());
    let without_keys = DirectoryServer::start(|config| config.admin_token = AdminToken::new("the-operator"));
    for server in [without_admin, without_keys] {
        assert_eq!(post(&server, &[OPERATOR], film).code(), "not_configured");
    }
    let reply = get(server.addr(), "/api/tokens", &[OPERATOR]);
    assert_eq!((reply.status, reply.get("Allow")), (405, Some("POST, OPTIONS")));
    assert_eq!(Client::new(server.addr()).exchange("PUT", "/api/tokens", &[OPERATOR]).status, 405);
}

#[test]
fn a_small_body_comes_in_any_pieces_and_a_large_one_not_at_all() {
    let server = DirectoryServer::start(closed);
    let body = format!(r#"{{"key":"{}"}}"#, "a".repeat(1000));
    let request = format!(
        "POST /api/tokens HTTP/1.1\r\nHost: a\r\n{OPERATOR}\r\nContent-Length: {}\r\n\r\n{body}GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        body.len()
    );
    // Byte by byte, and with the next request right behind.
    let mut client = Client::new(server.addr());
    for byte in request.as_bytes().chunks(1) {
        client.send(byte);
    }
    assert_eq!(client.reply(false).status, 200);
    assert_eq!(client.reply(false).status, 200);
    // All of it at once, twice.
    let mut client = Client::new(server.addr());
    client.send(request.repeat(2));
    for _ in 0..4 {
        assert_eq!(client.reply(false).status, 200);
    }
    // Who asks first is told to go on, once.
    let mut client = Client::new(server.addr());
    let length = format!("Content-Length: {}", body.len());
    client.ask("POST", "/api/tokens", &[OPERATOR, &length, "Expect: 100-continue"]);
    assert_eq!(client.take(25), b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send(&body);
    assert_eq!(client.reply(false).status, 200);
    // Who does not send it is timed out as with a head.
    let hasty = DirectoryServer::start(|config| {
        closed(config);
        config.header_timeout = Duration::from_millis(600);
    });
    let mut client = Client::new(hasty.addr());
    client.ask("POST", "/api/tokens", &[OPERATOR, "Content-Length: 2"]);
    client.send("{");
    let reply = client.reply(false);
    assert_eq!((reply.status, reply.get("Connection")), (408, Some("close")));
    for (framing, status, code) in [
        ("Content-Length: 16385", 413, "payload_too_large"),
        ("Content-Length: 18446744073709551615", 413, "payload_too_large"),
        ("Transfer-Encoding: chunked", 411, "bad_request"),
    ] {
        let mut client = Client::new(server.addr());
        client.ask("POST", "/api/tokens", &[OPERATOR, framing]);
        let reply = client.reply(false);
        assert_eq!((reply.status, reply.code().as_str(), reply.get("Connection")), (status, code, Some("close")));
    }
    // The largest that there may be, of spaces around.
    let large = format!("{}{}", r#"{"key":"a"}"#, " ".repeat(16384 - 11));
    assert_eq!(post(&server, &[OPERATOR], &large).status, 200);
}

#[test]
fn links_of_each_kind() {
    let of = |server: &DirectoryServer, query: &str, fields: &[&str]| {
        let reply = get(server.addr(), &format!("/api/videos/a%20b.mp4/url{query}"), fields);
        assert_eq!((reply.status, reply.get("Cache-Control")), (200, Some("no-store")));
        reply.json()
    };
    let direct =
        DirectoryServer::start(|config| config.trusted_proxies = vec!["127.0.0.1".parse::<std::net::IpAddr>().unwrap().into()]);
    direct.put("a b.mp4", "film");
    // The client calls every server that.
    let url = "http://test/media/a%20b.mp4".to_owned();
    assert_eq!(of(&direct, "", &[]), json!({"url": url, "kind": "direct", "expiresAt": null}));
    assert_eq!(of(&direct, "", &["X-Forwarded-Proto: https"])["url"], url.replace("http:", "https:"));
    for (query, status) in
        [("expires=1", 200), ("expires=604800", 200), ("expires=0", 400), ("expires=604801", 400), ("expires=x", 400)]
    {
        let reply = get(direct.addr(), &format!("/api/videos/a%20b.mp4/url?{query}"), &[]);
        assert_eq!(reply.status, status, "{query}");
    }
    let none = get(direct.addr(), "/api/videos/none.mp4/url", &[]);
    assert_eq!((none.status, none.code().as_str()), (404, "not_found"));
    let to = get(direct.addr(), "/api/videos/a%20b.mp4/url?redirect=1", &[]);
    assert_eq!((to.status, to.get("Location"), to.get("Cache-Control")), (302, Some(url.as_str()), Some("no-store")));

    let closed = DirectoryServer::start(closed);
    closed.put("a b.mp4", "film");
    let link = of(&closed, "?expires=60", &[OPERATOR]);
    let path = link["url"].as_str().unwrap().strip_prefix("http://test").unwrap();
    assert!(path.starts_with("/media/~eyJ"), "{path}");
    assert_eq!(get(closed.addr(), path, &[]).body, b"film");

    let plain = DirectoryServer::start(|config| config.cloudfront = Some(cloudfront(false)));
    plain.put("a b.mp4", "film");
    let want = json!({"url": "https://cdn.example.org/a%20b.mp4", "kind": "cloudfront", "expiresAt": null});
    assert_eq!(of(&plain, "", &[]), want);

    let signed = DirectoryServer::start(|config| config.cloudfront = Some(cloudfront(true)));
    signed.put("a b.mp4", "film");
    let link = of(&signed, "?expires=60", &[]);
    assert_eq!(link["kind"], "cloudfront-signed");
    let url = link["url"].as_str().unwrap();
    assert!(url.starts_with("https://cdn.example.org/a%20b.mp4?Expires=") && url.ends_with("&Hash-Algorithm=SHA256"), "{url}");
    // The same until the window ends, and the second one of them is in the same window.
    wait_for("two links of one window", Duration::from_secs(10), || {
        (of(&signed, "", &[]) == of(&signed, "", &[])).then_some(())
    });
}

#[test]
fn presigned_links_lead_to_the_store() {
    let bucket = minio().bucket();
    bucket.put("a b/фильм+1.mp4", b"a film");
    let server = start(Arc::new(bucket.store()), |_| {});
    let reply = get(server.addr(), "/api/videos/a%20b%2F%D1%84%D0%B8%D0%BB%D1%8C%D0%BC+1.mp4/url?expires=60", &[]);
    assert_eq!((reply.status, reply.json()["kind"].as_str()), (200, Some("presigned")));
    let url = reply.json()["url"].as_str().unwrap().to_owned();
    assert!(url.contains("X-Amz-Expires=60") && reply.json()["expiresAt"].is_string(), "{url}");
    let path = url.strip_prefix(&format!("http://{}", minio().addr())).unwrap();
    // The host is signed, so it must be the one of the URL.
    let fetch = |path: &str| {
        let mut client = Client::new(minio().addr());
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", minio().addr()));
        client.reply(false)
    };
    assert_eq!(fetch(path).body, b"a film");
    // The bucket is not open without it.
    assert_eq!(fetch(path.split('?').next().unwrap()).status, 403);
    assert_eq!(get(server.addr(), "/api/videos/none/url", &[]).status, 404);
    // A directory has no such links.
    let dir = tempfile::tempdir().unwrap();
    let directory = store::Directory::open(dir.path()).unwrap();
    let presigned = store::Store::presign(&directory, &ObjectKey::new("a").unwrap(), Duration::from_secs(1));
    assert!(presigned.unwrap().is_none());
}

#[test]
fn signed_cookies() {
    let server = DirectoryServer::start(|config| {
        closed(config);
        config.cloudfront = Some(cloudfront(true));
    });
    let cookies = |target: &str, bearer: &str, host: &str| {
        let mut client = Client::new(server.addr());
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {bearer}\r\n\r\n"));
        let reply = client.reply(false);
        let set = reply.fields.iter().filter(|(name, _)| name == "Set-Cookie").map(|(_, value)| value.clone());
        (reply.status, set.collect::<Vec<_>>())
    };
    let (status, set) = cookies("/api/videos/show/1/a.m3u8/cookies?prefix=show/", "the-operator", "app.example.org");
    assert_eq!((status, set.len()), (204, 4));
    for (cookie, name) in set.iter().zip(["Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"]) {
        assert!(cookie.starts_with(&format!("CloudFront-{name}=")), "{cookie}");
        assert!(cookie.ends_with("; Path=/show; Domain=example.org; Secure; HttpOnly"), "{cookie}");
    }
    let (status, set) = cookies("/api/videos/show/1/a.m3u8/cookies", &token("show/"), "localhost:3001");
    assert_eq!(status, 204);
    assert!(set[3].ends_with("=SHA256; Path=/show/1; Secure; HttpOnly"), "{}", set[3]);
    assert_eq!(cookies("/api/videos/show/1/a.m3u8/cookies?prefix=other/", "the-operator", "a").0, 400);
    assert_eq!(cookies("/api/videos/show/1/a.m3u8/cookies?prefix=", &token("show/"), "a").0, 403);
    assert_eq!(cookies("/api/videos/film.mp4/cookies", &token("film.mp4"), "a").0, 204);
    assert_eq!(cookies("/api/videos/film.mp4/cookies?expires=0", "the-operator", "a").0, 400);
}

#[test]
fn no_token_and_no_secret_is_logged() {
    let process =
        Process::start(&[("VIDGATE_PLAYBACK_KEYS", KEYS), ("VIDGATE_ADMIN_TOKEN", "the-operator"), ("VIDGATE_LOG", "trace")]);
    let good = token("");
    let mut marks = vec!["0123456789abcdef".to_owned(), "the-operator".to_owned()];
    for token in [good.as_str(), "hunter1.hunter1.hunter1"] {
        marks.extend(token.split('.').map(str::to_owned));
        let bearer = format!("Authorization: Bearer {token}");
        for target in [
            format!("/media/~{token}/film.mp4"),
            format!("/media/~{token}"),
            format!("/media/~{token}/../film.mp4"),
            format!("//media/~{token}/film.mp4"),
            format!("/media/none?token={token}"),
            format!("/media/film.mp4?x=y&%74oken={token}"),
            format!("/media/%7E{token}/film.mp4"),
            format!("/media/%7e{token}"),
            format!("/media/film.mp4?Token={token}"),
            format!("/nowhere?token={token}#"),
            "/media/none".into(),
        ] {
            get(process.addr(), &target, &[&bearer, "Range: bytes=0-1"]);
        }
    }
    // Where nothing marks the place as that of a token, its form does.
    for target in [format!("/media/{good}/film.mp4"), format!("/watch/{good}"), format!("/api/videos?prefix={good}&x={good}")] {
        get(process.addr(), &target, &[]);
    }
    get(process.addr(), "/api/videos", &[OPERATOR]);
    let mark = "/healthz?the-last-one";
    get(process.addr(), mark, &[]);
    let log = wait_for("the last line", Duration::from_secs(10), || {
        let log = process.log();
        log.contains(mark).then_some(log)
    });
    assert!(log.contains("/media/~.../film.mp4") && log.contains("token=..."), "the lines are there: {log}");
    for mark in marks {
        assert!(!log.contains(&mark), "{mark} is in the log: {log}");
    }
}

#[test]
fn the_commands_print_links_and_tokens() {
    let dir = tempfile::TempDir::new().unwrap();
    let run = |arguments: &[&str], environment: &[(&str, &str)]| {
        let output = vidgate(dir.path()).args(arguments).envs(environment.iter().copied()).output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let keys = [("VIDGATE_PLAYBACK_KEYS", KEYS)];
    let ring = KeyRing::parse(KEYS).unwrap();
    // A token needs no store.
    let (code, token, said) = run(&["token", "--prefix", "a/", "--expires", "30m", "--ip", "192.0.2.0/24"], &keys);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let claims = verify(&ring, token.trim_end(), now()).unwrap();
    assert_eq!((&claims.scope, claims.network), (&Scope::Prefix("a/".into()), "192.0.2.0/24".parse().ok()));
    assert!((now() + 1790..=now() + 1800).contains(&claims.expires_at));
    let (_, token, _) = run(&["token", "--key", "a b.mp4"], &[keys[0], ("VIDGATE_URL_TTL", "2h")]);
    assert!((now() + 7190..=now() + 7200).contains(&verify(&ring, token.trim_end(), now()).unwrap().expires_at));
    let (code, out, said) = run(&["token", "--key", "a"], &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(said.contains("VIDGATE_PLAYBACK_KEYS is not set"), "{said}");
    for bad in [
        &["token"][..],
        &["token", "--key", "a", "--prefix", "b"],
        &["token", "--key", "../a"],
        &["token", "--key", "a", "--expires", "60"],
        &["token", "--key", "a", "--ip", "x"],
        &["url"],
        &["url", "a", "b"],
        &["url", "a", "--expires", "169h"],
    ] {
        let (code, out, said) = run(bad, &keys);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{bad:?}");
        assert!(said.starts_with("error: ") || said.contains("Usage"), "{bad:?}: {said}");
    }

    fs::create_dir(dir.path().join("samples")).unwrap();
    fs::write(dir.path().join("samples/a b.mp4"), "film").unwrap();
    let (code, out, said) = run(&["url", "a b.mp4"], &[]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let want = json!({"url": "http://127.0.0.1:3001/media/a%20b.mp4", "kind": "direct", "expiresAt": null});
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), want);
    let (_, out, _) = run(&["url", "a b.mp4", "--expires", "90s"], &[keys[0], ("HOST", "::1")]);
    assert!(out.contains("http://[::1]:3001/media/~eyJ"), "{out}");
    let (_, out, _) = run(&["url", "a b.mp4"], &[("CLOUDFRONT_DOMAIN", "cdn.example.org")]);
    assert!(out.contains(r#""kind":"cloudfront""#), "{out}");
    let (code, out, said) = run(&["url", "none"], &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(said.starts_with("vidgate: "), "{said}");
}
