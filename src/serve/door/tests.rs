//! What is hard to bring about from outside: lanes that break while clients wait by them, and too many long heads. The test is the
//! door's thread and the dispatcher's, so it chooses the moment.

use std::io::{Read, Write};
use std::net::Shutdown;

use super::*;
use crate::config::Config;
use crate::http::response::ObjectPart;
use crate::object::{ETag, ObjectId, ObjectKey};
use crate::serve::chunks::Chunks;
use crate::serve::flights::Wait;
use crate::serve::lot::ASKED_LEN_MAX;
use crate::serve::pace::Paced;
use crate::serve::server::Parts;
use crate::serve::stream::Stream;
use crate::store::Directory;

/// Longer than anything here takes, and shorter than a test may hang.
const SOON: Duration = Duration::from_secs(20);

fn parts() -> (Parts, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    let config = Config { host: "127.0.0.1".into(), port: 0, ..Config::default() };
    (Parts::assemble(&config, Arc::new(Directory::open(root.path()).unwrap())).unwrap(), root)
}

fn connect(addr: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client
}

/// A client asks, and the door hands its request over.
fn ask(parts: &mut Parts) -> TcpStream {
    ask_with(parts, "")
}

/// The same with more fields, which are whole lines.
fn ask_with(parts: &mut Parts, fields: &str) -> TcpStream {
    let mut client = connect(parts.addr);
    write!(client, "GET /healthz HTTP/1.1\r\nHost: a\r\nOrigin: http://localhost:3000\r\n{fields}\r\n").unwrap();
    parts.door.accept(Instant::now(), &mut [0; READ_LEN]);
    parts.door.flush_written(0, Instant::now());
    client
}

/// The next request that comes out of the listener.
fn receive(parts: &Parts) -> usize {
    loop {
        if let Some((id, _)) = parts.listener.receive().unwrap() {
            return id;
        }
    }
}

/// The client reads that it shall come again, and then the end.
#[track_caller]
fn check_told_to_come_again(mut client: TcpStream) {
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer but {answer:?}"));
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    for field in ["Retry-After: 1", "Connection: close", "Access-Control-Allow-Origin: http://localhost:3000"] {
        assert!(head.lines().any(|line| line == field), "no {field} in {head}");
    }
    assert!(body.starts_with("{\"error\":{\"code\":\"busy\","), "{body}");
}

/// The client has no answer yet, and is not cut off either.
#[track_caller]
fn check_waits(client: &mut TcpStream) {
    client.set_nonblocking(true).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    client.set_nonblocking(false).unwrap();
}

/// Every lane works: twice as many requests as there are lanes are answered, on one connection, by one lane after another.
#[track_caller]
fn check_works(parts: Parts) {
    let server = parts.run().unwrap();
    let mut client = connect(server.addr());
    for number in 0..2 * LANES {
        client.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"{\"status\":\"ok\"}") {
            let mut piece = [0; 1024];
            let len = client.read(&mut piece).unwrap();
            assert!(len > 0, "request {number} got {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&piece[..len]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "request {number}");
    }
}

#[test]
fn whose_head_was_in_a_lane_that_breaks_is_told_to_come_again() {
    let (mut parts, _root) = parts();
    for broken in 0..LANES {
        // One request for each lane; each has come out of the listener, and the dispatcher has not looked for its client.
        let mut clients: Vec<TcpStream> = (0..LANES).map(|_| ask(&mut parts)).collect();
        let mut ids: Vec<usize> = (0..LANES).map(|_| receive(&parts)).collect();
        ids.sort_unstable();
        parts.door.lanes.break_lane(broken);
        let now = parts.door.probe_at;
        parts.door.probe_lanes(now);
        // The lanes take turns.
        check_told_to_come_again(clients.remove(broken));
        clients.iter_mut().for_each(check_waits);
        // What the dispatcher knew of it leads to nobody; the others are all there.
        assert!(parts.door.lot.take_handover(ids.remove(broken)).is_none());
        assert!(ids.into_iter().all(|id| parts.door.lot.take_handover(id).is_some()));
    }
    check_works(parts);
}

#[test]
fn whose_head_cannot_be_written_is_told_to_come_again() {
    let (mut parts, _root) = parts();
    for _ in 0..LANES {
        // No probe notices before the next head does.
        let next = parts.door.lanes.choose();
        parts.door.lanes.break_lane(next);
        check_told_to_come_again(ask(&mut parts));
        for _ in 0..LANES {
            let _client = ask(&mut parts);
            let id = receive(&parts);
            assert!(parts.door.lot.take_handover(id).is_some(), "lane {next} was opened anew");
        }
    }
    check_works(parts);
}

#[test]
fn a_lane_that_swallows_a_request_is_opened_anew() {
    let (mut parts, _root) = parts();
    let lane = parts.door.lanes.choose();
    let mut clients: Vec<TcpStream> = (0..=LANES).map(|_| ask(&mut parts)).collect();
    // The first and the last went by the same lane. The first waited too long, so the last would wait in vain.
    let ids: Vec<usize> = (0..=LANES).map(|_| receive(&parts)).collect();
    let first = parts.door.lot.take_handover(ids.into_iter().min().unwrap()).unwrap();
    parts.door.overdue(Waiting::Handover(first, lane), Instant::now());
    check_told_to_come_again(clients.remove(0));
    check_told_to_come_again(clients.remove(LANES - 1));
    clients.iter_mut().for_each(check_waits);
    check_works(parts);
}

#[test]
fn the_answer_of_a_broken_lane_is_to_the_request_that_it_had() {
    let (mut parts, _root) = parts();
    let lane = parts.door.lanes.choose();
    parts.door.lanes.break_lane(lane);
    let mut client = connect(parts.addr);
    // HEAD has no body, and another origin stands in the request that came with it.
    client
        .write_all(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nOrigin: http://localhost:3000\r\n\r\n")
        .unwrap();
    parts.door.accept(Instant::now(), &mut [0; READ_LEN]);
    parts.door.flush_written(0, Instant::now());
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(!answer.contains("Access-Control-Allow-Origin"), "{answer}");
}

#[test]
fn a_client_who_left_is_no_matter_to_a_broken_lane() {
    let (mut parts, _root) = parts();
    let client = ask(&mut parts);
    client.shutdown(Shutdown::Both).unwrap();
    drop(client);
    receive(&parts);
    (0..LANES).for_each(|lane| parts.door.lanes.break_lane(lane));
    for _ in 0..LANES {
        let now = parts.door.probe_at;
        parts.door.probe_lanes(now);
    }
    check_works(parts);
}

#[test]
fn long_heads_that_wait_for_their_answer_are_bounded() {
    let (mut parts, _root) = parts();
    let lot = Arc::clone(&parts.door.lot);
    let long = format!("If-None-Match: \"{}\"\r\n", "x".repeat(30_000));
    // As many as may be but for one: it counts until it is answered, however long that takes.
    lot.count_asked(ASKED_LEN_MAX - 31_000);
    let first = ask_with(&mut parts, &long);
    let connection = lot.take_handover(receive(&parts)).unwrap();
    check_told_to_come_again(ask_with(&mut parts, &long));
    // Who asks in few words, as players do, is not turned away for that.
    let _short = ask(&mut parts);
    assert!(lot.take_handover(receive(&parts)).is_some());
    drop((first, connection));
    let mut third = ask_with(&mut parts, &long);
    check_waits(&mut third);
    assert!(lot.take_handover(receive(&parts)).is_some());
    // All is given back, also by those that are answered.
    lot.give_back_asked(ASKED_LEN_MAX - 31_000);
    check_works(parts);
    assert!(lot.may_ask(ASKED_LEN_MAX));
}

#[test]
fn what_is_told_twice_or_too_late_ends_no_stream() {
    let (mut parts, _root) = parts();
    let lot = Arc::clone(&parts.door.lot);
    let mut client = ask(&mut parts);
    let id = receive(&parts);
    let connection = lot.take_handover(id).unwrap();
    let part = ObjectPart {
        id: ObjectId { key: ObjectKey::new("film.mp4").unwrap(), etag: ETag::from_store("v").unwrap() },
        range: 0..10,
        object_size: 10,
        chunk_len: 10,
    };
    let now = Instant::now();
    let chunks = Chunks::new(Arc::clone(&parts.door.work.handler.source), part);
    let rest = Some(Paced::new(chunks, None, 0, now));
    let visit = parts.door.work.visits.begin_refused(connection.peer.ip(), now);
    let stream = Stream::new(connection, visit, Vec::new(), bytes::Bytes::new(), rest, None, now, 1);
    lot.wait_for_block(Box::new(stream), Wait::Turn, now);
    let other = Wait::Meta(ObjectKey::new("film.mp4").unwrap());
    // It gave up waiting for that long ago, and waits for something else.
    assert_eq!(lot.deliver(&[id], &other, &Landing::Failed(ErrorKind::NotFound)), 0);
    let Some(Waiting::Block(stream, wait)) = lot.pop_overdue(now + 60 * SOON) else { panic!("it went on") };
    check_waits(&mut client);
    // It stands in the list twice, and gets one of two. There is no such file, so it ends as soon as it goes on.
    lot.wait_for_block(stream, wait, now);
    assert_eq!(lot.deliver(&[id, id], &Wait::Turn, &Landing::Again), 1);
    assert_eq!(lot.deliver(&[id], &Wait::Turn, &Landing::Again), 0);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}
