//! A store that answers what it is told to answer, good or bad, byte by byte.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use vidgate::store::{Addressing, S3Config};

use super::keys;

/// What the store does with a request.
pub(crate) enum Reply {
    /// Sends this, and waits for the next request on the connection.
    Send(Vec<u8>),
    /// Sends this, and closes the connection.
    SendAndClose(Vec<u8>),
    /// Sends this, and nothing more, until the client leaves.
    SendAndStall(Vec<u8>),
}

impl Reply {
    /// A reply of these fields and this body, both as they are.
    pub(crate) fn send(head: &str, body: &[u8]) -> Self {
        Self::Send(reply(head, body))
    }

    /// The same, and then the connection is closed.
    pub(crate) fn send_and_close(head: &str, body: &[u8]) -> Self {
        Self::SendAndClose(reply(head, body))
    }

    /// The same, and then nothing more comes.
    pub(crate) fn send_and_stall(head: &str, body: &[u8]) -> Self {
        Self::SendAndStall(reply(head, body))
    }
}

fn reply(head: &str, body: &[u8]) -> Vec<u8> {
    let head: Vec<&str> = head.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut bytes = format!("HTTP/1.1 {}\r\n\r\n", head.join("\r\n")).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// What was seen.
#[derive(Default)]
struct Seen {
    connection_count: usize,
    heads: Vec<String>,
    bodies: Vec<String>,
    /// How many clients left while they waited for more.
    left_count: usize,
}

/// A running fake.
pub(crate) struct FakeS3 {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

impl FakeS3 {
    /// Starts one. `script` is asked for the reply to each request: it gets the number of the request, over all connections,
    /// and its head.
    pub(crate) fn start(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let script = Arc::new(script);
        let accepted = Arc::clone(&seen);
        // The thread ends with the process: it holds a port and nothing else.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                accepted.lock().expect("no panic").connection_count += 1;
                let (seen, script) = (Arc::clone(&accepted), Arc::clone(&script));
                thread::spawn(move || serve(stream, &seen, &*script));
            }
        });
        Self { port, seen }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The settings of a bucket `films` in it.
    pub(crate) fn config(&self) -> S3Config {
        S3Config {
            bucket: "films".to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: Some(self.url()),
            addressing: Addressing::Auto,
            credentials: keys("AKID", "the-secret", Some("the-token")),
        }
    }

    /// How many connections were accepted.
    pub(crate) fn connection_count(&self) -> usize {
        self.seen.lock().expect("no panic").connection_count
    }

    /// How many clients left while they waited for more.
    pub(crate) fn left_count(&self) -> usize {
        self.seen.lock().expect("no panic").left_count
    }

    /// The heads of all requests, in the order in which they came.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").heads.clone()
    }

    /// Their bodies, each empty where there was none.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").bodies.clone()
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Seen>, script: &dyn Fn(usize, &str) -> Reply) {
    while let Some((head, body)) = read_request(&mut stream) {
        let number = {
            let mut seen = seen.lock().expect("no panic");
            seen.heads.push(head.clone());
            seen.bodies.push(body);
            seen.heads.len() - 1
        };
        // Where the client is gone, there is nobody to tell.
        let sent = match script(number, &head) {
            Reply::Send(bytes) => stream.write_all(&bytes),
            Reply::SendAndClose(bytes) => {
                let _ = stream.write_all(&bytes);
                return;
            }
            Reply::SendAndStall(bytes) => {
                let _ = stream.write_all(&bytes);
                let _ = stream.read(&mut [0]);
                seen.lock().expect("no panic").left_count += 1;
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Reads one head, byte by byte, and the body that it announces: what follows is the next request's.
fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let field = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned));
    let mut body = vec![0; field.map_or(Some(0), |len| len.trim().parse().ok())?];
    stream.read_exact(&mut body).ok()?;
    // Parts of films are no text, and nobody looks at them.
    Some((head, String::from_utf8_lossy(&body).into_owned()))
}
