//! What `serve/lanes.rs` relies on behind the door: many heads on few private Unix-socket connections whose read side is shut.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tiny_http::{HTTPVersion, Method, Server};

use super::{NEVER, SOON, next};

/// A server on a Unix socket in a directory of its own, which goes with the value.
struct Behind {
    server: Arc<Server>,
    dir: TempDir,
}

impl Behind {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::bind(dir.path().join("lane")).unwrap();
        Self { server: Arc::new(Server::from_listener(listener, None).unwrap()), dir }
    }

    /// A connection that can read, to see what the server does.
    fn open(&self) -> UnixStream {
        let lane = UnixStream::connect(self.dir.path().join("lane")).unwrap();
        lane.set_read_timeout(Some(SOON)).unwrap();
        lane.set_write_timeout(Some(SOON)).unwrap();
        lane
    }

    /// A connection as the door uses it.
    fn lane(&self) -> UnixStream {
        let lane = self.open();
        lane.shutdown(Shutdown::Read).unwrap();
        lane
    }

    /// Sends one head for `url` and expects it to arrive.
    #[track_caller]
    fn check_alive(&self, mut lane: &UnixStream, url: &str) {
        lane.write_all(format!("GET {url} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(next(&self.server).url(), url);
    }
}

#[test]
fn heads_on_one_lane_arrive_each_in_order_and_intact() {
    const HEADS: usize = 1000;
    let behind = Behind::new();
    let mut heads = String::new();
    for n in 0..HEADS {
        write!(heads, "GET /media/{n}%2F%C3%A9?a=b&c=%20 HTTP/1.1\r\nid: {n}\r\nRange: bytes={n}-\r\n").unwrap();
        heads.push_str("If-Range: \"a:b\\c\"\r\ntwice: 1\r\nempty:\r\nTWICE: a  b\tc\r\n\r\n");
    }
    let mut lane = behind.lane();
    let writer = thread::spawn(move || {
        lane.write_all(heads.as_bytes()).unwrap();
        lane
    });
    for n in 0..HEADS {
        let request = next(&behind.server);
        assert_eq!(request.method(), &Method::Get);
        assert_eq!(request.url(), format!("/media/{n}%2F%C3%A9?a=b&c=%20"));
        assert_eq!(request.http_version(), &HTTPVersion(1, 1));
        let fields: Vec<_> = request.headers().iter().map(|h| (h.field.as_str().as_str(), h.value.as_str())).collect();
        let (id, range) = (n.to_string(), format!("bytes={n}-"));
        let expected =
            [("id", &*id), ("Range", &range), ("If-Range", "\"a:b\\c\""), ("twice", "1"), ("empty", ""), ("TWICE", "a  b\tc")];
        assert_eq!(fields, expected);
        assert_eq!(request.remote_addr(), None);
    }
    behind.check_alive(&writer.join().unwrap(), "/still");
}

#[test]
fn any_method_arrives_by_its_own_name() {
    let behind = Behind::new();
    let mut lane = behind.lane();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "M-SEARCH"] {
        lane.write_all(format!("{method} / HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(next(&behind.server).method().as_str(), method);
    }
}

#[test]
fn ten_thousand_dropped_requests_neither_block_nor_kill_the_lane() {
    const REQUESTS: usize = 10_000;
    let behind = Behind::new();
    let mut lane = behind.lane();
    let server = Arc::clone(&behind.server);
    let (dropped, done) = mpsc::channel();
    thread::spawn(move || {
        for _ in 0..REQUESTS {
            drop(next(&server));
        }
        dropped.send(()).unwrap();
    });
    // Were the answers to go anywhere, 10,000 of them would fill the socket and stop the dropping thread.
    lane.write_all(&b"GET / HTTP/1.1\r\n\r\n".repeat(REQUESTS)).unwrap();
    done.recv_timeout(SOON).unwrap();
    behind.check_alive(&lane, "/still");
}

#[test]
fn a_dropped_request_waits_for_the_ones_before_it() {
    let behind = Behind::new();
    let mut lane = behind.lane();
    lane.write_all(&b"GET / HTTP/1.1\r\n\r\n".repeat(2)).unwrap();
    let (first, second) = (next(&behind.server), next(&behind.server));
    let (dropped, done) = mpsc::channel();
    thread::spawn(move || {
        drop(second);
        dropped.send(()).unwrap();
    });
    assert!(done.recv_timeout(NEVER).is_err());
    drop(first);
    done.recv_timeout(SOON).unwrap();
}

#[test]
fn a_request_turned_into_its_writer_neither_answers_nor_waits() {
    let behind = Behind::new();
    let mut lane = behind.open();
    lane.write_all(&b"GET / HTTP/1.1\r\n\r\n".repeat(3)).unwrap();
    let first = next(&behind.server);
    drop(next(&behind.server).into_writer());
    drop(next(&behind.server).into_writer());
    drop(first.into_writer());
    behind.check_alive(&lane, "/still");
    lane.shutdown(Shutdown::Write).unwrap();
    let mut answers = String::new();
    lane.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "only the last, dropped as it was, was answered: {answers}");
}

#[test]
fn a_lane_survives_idle_time_and_half_a_head() {
    let behind = Behind::new();
    let mut lane = behind.lane();
    behind.check_alive(&lane, "/before");
    assert!(behind.server.recv_timeout(Duration::from_secs(1)).unwrap().is_none());
    lane.write_all(b"GET /after HTTP/1.1\r\nid").unwrap();
    assert!(behind.server.recv_timeout(NEVER).unwrap().is_none());
    lane.write_all(b": 7\r\n\r\n").unwrap();
    assert_eq!(next(&behind.server).url(), "/after");
}

#[test]
fn four_lanes_are_all_served_at_once() {
    // Five can be stranded, as a_burst_of_connections_strands_some_until_others_close shows.
    for _ in 0..50 {
        let behind = Behind::new();
        let lanes: Vec<_> = (0..4).map(|_| behind.lane()).collect();
        for lane in &lanes {
            behind.check_alive(lane, "/");
        }
    }
}

#[test]
fn a_closed_lane_is_noticed_and_makes_room() {
    let behind = Behind::new();
    for round in 0..20 {
        let lanes: Vec<_> = (0..4).map(|_| behind.lane()).collect();
        for lane in &lanes {
            behind.check_alive(lane, &format!("/{round}"));
        }
    }
    // From the other side: our end of file makes the server close its side.
    let mut lane = behind.open();
    lane.shutdown(Shutdown::Write).unwrap();
    assert_eq!(lane.read(&mut [0]).unwrap(), 0);
}

#[test]
fn what_a_closed_lane_had_sent_still_arrives() {
    let behind = Behind::new();
    behind.lane().write_all(b"GET /last HTTP/1.1\r\n\r\nGET /half HTT").unwrap();
    assert_eq!(next(&behind.server).url(), "/last");
    assert!(behind.server.recv_timeout(NEVER).unwrap().is_none());
}

/// Sends `head`, then a good one: the first must end the lane, which shows as an end of file.
#[track_caller]
fn check_ends_the_lane(head: &str) {
    let behind = Behind::new();
    let mut lane = behind.open();
    let bytes = [head.as_bytes(), b"GET /next HTTP/1.1\r\n\r\n"].concat();
    lane.write_all(&bytes).unwrap();
    // The answer or the reset, then the end: whichever, the next head is never a request.
    if let Err(e) = lane.read_to_end(&mut Vec::new()) {
        assert_eq!(e.kind(), ErrorKind::ConnectionReset, "{head:?}");
    }
    while let Some(request) = behind.server.try_recv().unwrap() {
        assert_ne!(request.url(), "/next", "{head:?}");
        drop(request.into_writer());
    }
}

#[test]
fn a_head_the_door_must_not_hand_over_ends_the_lane() {
    // Legal for a client, and each would take the lane of everyone down.
    for head in [
        "GET / HTTP/1.1\r\nX: caf\u{e9}\r\n\r\n",
        "GET /caf\u{e9} HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nExpect: the-unexpected\r\n\r\n",
        "GET / HTTP/1.1\r\nX y: 1\r\n\r\n",
        "GET / HTTP/1.2\r\n\r\n",
    ] {
        check_ends_the_lane(head);
    }
}

#[test]
fn a_head_that_is_the_last_of_its_connection_ends_the_lane() {
    for head in [
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nConnection: Upgrade\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        let behind = Behind::new();
        let mut lane = behind.open();
        lane.write_all(&[head.as_bytes(), b"GET /next HTTP/1.1\r\n\r\n"].concat()).unwrap();
        drop(next(&behind.server).into_writer());
        if let Err(e) = lane.read_to_end(&mut Vec::new()) {
            assert_eq!(e.kind(), ErrorKind::ConnectionReset, "{head:?}");
        }
        assert!(behind.server.try_recv().unwrap().is_none(), "{head:?}");
    }
}

#[test]
fn unblock_ends_one_recv_after_what_is_queued() {
    let behind = Behind::new();
    let mut lane = behind.lane();
    lane.write_all(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(next(&behind.server).url(), "/1");
    lane.shutdown(Shutdown::Write).unwrap();
    let second = next(&behind.server);
    behind.server.unblock();
    assert!(behind.server.recv().is_err());
    drop(second);
}

#[test]
fn dropping_the_server_removes_the_socket_and_leaves_the_lanes_open() {
    let Behind { server, dir } = Behind::new();
    let path = dir.path().join("lane");
    let mut lane = UnixStream::connect(&path).unwrap();
    lane.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    drop(next(&server).into_writer());
    drop(server);
    assert!(!path.exists());
    lane.set_read_timeout(Some(NEVER)).unwrap();
    assert_eq!(lane.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}
