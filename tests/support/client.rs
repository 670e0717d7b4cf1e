//! A client that hides nothing: it sends the bytes it is given, and reads answers strictly.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::wait_for;

/// How long a test waits for an answer before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The status code.
    pub(crate) status: u16,
    /// The fields, in order, as sent.
    pub(crate) fields: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The value of a field that is there at most once.
    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {:?}", self.fields);
        value
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// The `code` of an error body.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().expect("the error has a code").to_owned()
    }
}

impl Client {
    /// Connects.
    pub(crate) fn new(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new() }
    }

    /// The socket.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// Waits until the server has read all that was sent: sending ends when the kernel has it.
    #[track_caller]
    pub(crate) fn wait_until_read(&self) {
        wait_for("the server to read what was sent", Duration::from_mins(2), || is_read(&self.stream).then_some(()));
    }

    /// How many bytes the kernel holds for it at the server's end; `None` where it does not know that end at the moment.
    pub(crate) fn held_by_the_kernel(&self) -> Option<u64> {
        row(self.stream.peer_addr().unwrap(), self.stream.local_addr().unwrap()).map(|there| there.to_send)
    }

    /// Sends no more.
    pub(crate) fn shutdown(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Sends a request without a body; `fields` are whole lines without their ends.
    pub(crate) fn ask(&mut self, method: &str, target: &str, fields: &[&str]) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n");
        for field in fields {
            head += field;
            head += "\r\n";
        }
        self.send(head + "\r\n");
    }

    /// Asks and reads the answer.
    #[track_caller]
    pub(crate) fn exchange(&mut self, method: &str, target: &str, fields: &[&str]) -> Reply {
        self.ask(method, target, fields);
        self.reply(method == "HEAD")
    }

    /// Reads the head of the next answer.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Reply {
        let end = loop {
            if let Some(end) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(self.receive() > 0, "closed where a head was due, after {:?}", String::from_utf8_lossy(&self.received));
        };
        let head = String::from_utf8(self.received.drain(..end).collect()).expect("a head is ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().unwrap();
        let (version, rest) = status_line.split_at(9);
        assert_eq!(version, "HTTP/1.1 ", "{status_line}");
        let status = rest[..3].parse().expect("a status code");
        let fields = lines.map(|line| line.split_once(": ").expect("a field")).map(|(n, v)| (n.into(), v.into())).collect();
        Reply { status, fields, body: Vec::new() }
    }

    /// Reads the next answer. Its body has the length that it says.
    #[track_caller]
    pub(crate) fn reply(&mut self, is_head: bool) -> Reply {
        let mut reply = self.head();
        assert_eq!(reply.get("Transfer-Encoding"), None);
        assert_eq!(reply.get("Content-Encoding"), None);
        assert!(reply.get("Date").is_some());
        let length: Option<usize> = reply.get("Content-Length").map(|text| text.parse().expect("a length"));
        match (reply.status, length) {
            (204 | 304, length) => assert_eq!(length, None),
            (_, None) => panic!("no Content-Length: {reply:?}"),
            (_, Some(_)) if is_head => {}
            (_, Some(length)) => reply.body = self.take(length),
        }
        reply
    }

    /// Reads so many bytes.
    #[track_caller]
    pub(crate) fn take(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length {
            assert!(self.receive() > 0, "closed after {} of {length} bytes", self.received.len());
        }
        self.received.drain(..length).collect()
    }

    /// Reads until the server closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.receive() > 0 {}
        std::mem::take(&mut self.received)
    }

    /// How many bytes came; 0 where the server closed, in whatever way.
    fn receive(&mut self) -> usize {
        let mut buf = vec![0; 65536];
        let mut outcome = self.stream.read(&mut buf);
        // A process that was stopped and goes on (signal(7): a socket with a time limit) has lost nothing.
        while outcome.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::Interrupted) {
            outcome = self.stream.read(&mut buf);
        }
        match outcome {
            Ok(length) => {
                self.received.extend_from_slice(&buf[..length]);
                length
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("no answer: {error}; so far {:?}", String::from_utf8_lossy(&self.received)),
        }
    }
}

/// Asks on a connection of its own.
#[track_caller]
pub(crate) fn get(addr: SocketAddr, target: &str, fields: &[&str]) -> Reply {
    Client::new(addr).exchange("GET", target, fields)
}

/// Whether the other end, which is on this machine, has read all that was sent, or is gone. The kernel knows (proc(5), `/proc/net/tcp`).
pub(crate) fn is_read(stream: &TcpStream) -> bool {
    let (Ok(ours), Ok(theirs)) = (stream.local_addr(), stream.peer_addr()) else { return true };
    // What is not at the other end yet may come there meanwhile: so first the one, then the other. A table that changes while it is
    // read may lack a row.
    row(ours, theirs)
        .is_some_and(|own| own.to_send == 0 && row(theirs, ours).map_or(own.state != "01", |other| other.to_read == 0))
}

/// What the kernel says of one end of a connection.
struct Row {
    /// `01` while it is established.
    state: String,
    /// Bytes that have not arrived at the other end, and bytes that have arrived here and were not read.
    to_send: u64,
    to_read: u64,
}

fn row(local: SocketAddr, remote: SocketAddr) -> Option<Row> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("a table of the kernel");
    let port = |addr: SocketAddr| format!(":{:04X}", addr.port());
    let (local, remote) = (port(local), port(remote));
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row[1].ends_with(&local) && row[2].ends_with(&remote))?;
    let (to_send, to_read) = row[4].split_once(':')?;
    let len = |text| u64::from_str_radix(text, 16).expect("a number");
    Some(Row { state: row[3].to_owned(), to_send: len(to_send), to_read: len(to_read) })
}
