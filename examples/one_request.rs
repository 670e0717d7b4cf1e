//! Without the network server: one request on standard input, its answer on standard output, as inetd or a test would have it. The
//! decisions of HTTP are pure functions, so whoever has sockets of their own can call them.
//!
//! `printf 'GET /media/film.mp4 HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9\r\n\r\n' | cargo run --example one_request -- DIRECTORY`

use std::io::{self, Read, Write};
use std::time::SystemTime;

use vidgate::http::head::{self, Head, Outcome, Seen};
use vidgate::http::plan::{self, Audience, Options};
use vidgate::http::response::{Body, Persistence, Response};
use vidgate::http::route::{self, Route};
use vidgate::store::{Directory, Store};
use vidgate::{Error, ErrorKind};

/// How much is read of the store at once, in bytes.
const CHUNK_LEN: usize = 64 * 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::env::args_os().nth(1).ok_or("a directory is missing")?;
    Ok(converse(&Directory::open(root)?, &mut io::stdin().lock(), &mut io::stdout().lock())?)
}

/// Reads a request and answers it.
fn converse(store: &dyn Store, input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let (mut collected, mut seen) = (Vec::new(), Seen::default());
    loop {
        match head::parse(&collected, &mut seen) {
            Outcome::Head(head, _) => return serve(store, &head, output),
            Outcome::Reject(kind, why) => {
                return write(store, &Response::with_error(&Error::new(kind, why)), false, output);
            }
            Outcome::Incomplete => {}
        }
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        collected.push(byte[0]);
    }
}

/// Decides what the answer is, and writes it.
fn serve(store: &dyn Store, head: &Head<'_>, output: &mut impl Write) -> io::Result<()> {
    let is_head = head.method == "HEAD";
    let response = answer(store, head, is_head).unwrap_or_else(|error| Response::with_error(&error));
    write(store, &response, is_head, output)
}

fn answer(store: &dyn Store, head: &Head<'_>, is_head: bool) -> Result<Response, Error> {
    if head.method != "GET" && !is_head {
        return Err(ErrorKind::MethodNotAllowed.into());
    }
    let (path, query) = route::split(&head.target);
    let Route::Bytes(key) = route::resolve(path)? else { return Err(ErrorKind::NotFound.into()) };
    let options = Options {
        chunk_len: route::chunk_len(query, CHUNK_LEN)?,
        download: route::download(query),
        version: route::version(query),
        audience: Audience::Anybody,
    };
    Ok(plan::answer(is_head, &head.used_fields(), &store.head(&key)?, &options))
}

/// Writes the head, and the bytes that it promises. Where the store fails behind the head, the answer is short.
fn write(store: &dyn Store, response: &Response, is_head: bool, output: &mut impl Write) -> io::Result<()> {
    let mut bytes = Vec::new();
    let now = httpdate::fmt_http_date(SystemTime::now());
    response.write_head(&now, Persistence::Close, &mut bytes);
    output.write_all(&bytes)?;
    match &response.body {
        Body::Bytes(bytes) if !is_head => output.write_all(bytes)?,
        Body::Object(part) if !is_head && !part.range.is_empty() => {
            let mut span = store.open(&part.id, part.range.clone()).map_err(io::Error::other)?;
            let mut chunk = Vec::new();
            while span.read(&mut chunk, CHUNK_LEN).map_err(io::Error::other)? > 0 {
                output.write_all(&chunk)?;
                chunk.clear();
            }
        }
        _ => {}
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(request: &str, status: &str, body: &str) {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("film.txt"), "0123456789").unwrap();
        let mut output = Vec::new();
        converse(&Directory::open(root.path()).unwrap(), &mut request.as_bytes(), &mut output).unwrap();
        let output = String::from_utf8(output).unwrap();
        let (head, found) = output.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(found.starts_with(body) && (body.is_empty() == found.is_empty()), "{found}");
    }

    #[test]
    fn what_is_answered() {
        check("GET /media/film.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=2-4\r\n\r\n", "206", "234");
        check("GET /media/film.txt HTTP/1.1\r\nHost: a\r\n\r\n", "200", "0123456789");
        check("HEAD /media/film.txt HTTP/1.1\r\nHost: a\r\n\r\n", "200", "");
        check("GET /media/film.txt HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n", "304", "");
        check("GET /media/none.txt HTTP/1.1\r\nHost: a\r\n\r\n", "404", "{\"error\"");
        check("GET /media/film.txt HTTP/1.1\r\n\r\n", "400", "{\"error\"");
    }
}
