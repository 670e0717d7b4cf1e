//! What a program answers from which something was left out. `deploy/features.sh` builds such programs; in a whole one there is
//! nothing to ask.

#![cfg(not(all(feature = "cloudfront", feature = "pages", feature = "uploads")))]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tempfile::TempDir;
use vidgate::config::StoreConfig;
use vidgate::sign::bearer::AdminToken;
use vidgate::{Config, Server};

const FILM: &str = "0123456789";

/// A server on a directory with one film, and an operator.
fn start() -> (Server, TempDir) {
    let root = TempDir::new().unwrap();
    std::fs::write(root.path().join("film.txt"), FILM).unwrap();
    let store = StoreConfig::Directory(root.path().into());
    let config = Config { port: 0, store, admin_token: AdminToken::new("operator"), ..Config::default() };
    (Server::start(&config).unwrap(), root)
}

#[track_caller]
fn check(server: &Server, request: &str, status: &str, body: &str) {
    let mut client = TcpStream::connect(server.addr()).unwrap();
    let head = format!("{request} HTTP/1.0\r\nHost: a\r\nAuthorization: Bearer operator\r\n");
    let (more, sent) = if request.starts_with('P') { ("Content-Length: 3\r\n", "new") } else { ("", "") };
    client.write_all(format!("{head}{more}\r\n{sent}").as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let (head, found) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
    assert!(found.starts_with(body), "{request}: {found}");
}

const NOT_CONFIGURED: &str = r#"{"error":{"code":"not_configured","#;

#[test]
fn films_are_served_whatever_was_left_out() {
    let (server, _root) = start();
    check(&server, "GET /media/film.txt", "200", FILM);
    check(&server, "GET /api/videos", "200", "{");
    check(&server, "GET /api/videos/film.txt/url", "200", "{");
}

#[cfg(not(feature = "pages"))]
#[test]
fn there_are_no_pages() {
    let (server, _root) = start();
    for path in ["/", "/watch/film.txt", "/hls.js"] {
        check(&server, &format!("GET {path}"), "404", NOT_CONFIGURED);
    }
}

#[cfg(not(feature = "cloudfront"))]
#[test]
fn there_are_no_signed_cookies() {
    let (server, _root) = start();
    check(&server, "GET /api/videos/film.txt/cookies", "404", NOT_CONFIGURED);
}

#[cfg(not(feature = "uploads"))]
#[test]
fn nothing_can_be_changed() {
    let (server, root) = start();
    check(&server, "PUT /api/videos/film.txt", "404", NOT_CONFIGURED);
    check(&server, "POST /api/videos", "404", NOT_CONFIGURED);
    check(&server, "DELETE /api/videos/film.txt", "404", NOT_CONFIGURED);
    check(&server, "POST /api/uploads", "404", NOT_CONFIGURED);
    assert_eq!(std::fs::read_to_string(root.path().join("film.txt")).unwrap(), FILM);
}
