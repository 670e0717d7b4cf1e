//! A real Redis of a test's own, and what stands between it and who asks it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use redis::{Client, Connection};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::wait_for;

const START_LIMIT: Duration = Duration::from_secs(20);

/// What no log line may hold.
pub(crate) const PASSWORD: &str = "the-password/of:redis";
/// The same in a URL.
const PASSWORD_ENCODED: &str = "the-password%2Fof%3Aredis";

/// A running server, on a port and a socket of its own, that keeps nothing on disk. Dropping it ends it.
pub(crate) struct Redis {
    child: Option<Child>,
    port: u16,
    tls_port: u16,
    dir: TempDir,
}

impl Redis {
    /// Starts one.
    pub(crate) fn start() -> Self {
        Self::start_with(false)
    }

    /// Starts one that speaks TLS too, with a certificate of an authority of its own.
    pub(crate) fn start_with_tls() -> Self {
        Self::start_with(true)
    }

    fn start_with(is_tls: bool) -> Self {
        let mut redis = Self { child: None, port: free_port(), tls_port: 0, dir: TempDir::new().unwrap() };
        if is_tls {
            redis.tls_port = free_port();
            redis.make_certificates();
        }
        redis.start_again();
        redis
    }

    /// Starts it at the same address, empty, after [`stop`](Self::stop).
    pub(crate) fn start_again(&mut self) {
        let path = |name: &str| self.dir.path().join(name).to_str().unwrap().to_owned();
        let log = File::create(path("log")).unwrap();
        let mut command = Command::new("redis-server");
        // From standard input, because the list of processes shows arguments to everybody.
        command.arg("-").current_dir(&self.dir).stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().expect("the tests need redis-server: tests/install.sh installs it");
        let child = self.child.insert(child);
        let (socket, tls_port) = (path("sock"), self.tls_port);
        let mut config = vec![
            format!("port {}\nbind 127.0.0.1\nunixsocket {socket}\nrequirepass {PASSWORD}", self.port),
            "save \"\"\nappendonly no\n".to_owned(),
        ];
        if tls_port > 0 {
            let (cert, key, authority) = (path("cert.pem"), path("key.pem"), path("ca.pem"));
            config.push(format!("tls-port {tls_port}\ntls-auth-clients no"));
            config.push(format!("tls-cert-file {cert}\ntls-key-file {key}\ntls-ca-cert-file {authority}\n"));
        }
        child.stdin.take().expect("piped").write_all(config.join("\n").as_bytes()).unwrap();
        wait_for("Redis to start", START_LIMIT, || self.try_connect());
    }

    /// Ends it at once; what it had is gone.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Lets it do nothing more: what is sent to it is taken by the kernel, and no answer comes.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        Self::url_at(self.addr())
    }

    /// Its URL behind something else.
    pub(crate) fn url_at(addr: SocketAddr) -> String {
        format!("redis://:{PASSWORD_ENCODED}@{addr}")
    }

    /// Its URL by the socket, with another database.
    pub(crate) fn unix_url(&self) -> String {
        format!("unix://{}?db=3&pass={PASSWORD_ENCODED}", self.path("sock").display())
    }

    /// Its URL by TLS, with the file of authorities to trust.
    pub(crate) fn tls_url(&self, authorities: &str) -> String {
        format!(
            "rediss://default:{PASSWORD_ENCODED}@127.0.0.1:{}/1?ssl_ca_certs={}",
            self.tls_port,
            self.path(authorities).display()
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A connection to its first database.
    pub(crate) fn connect(&self) -> Connection {
        self.try_connect().expect("Redis answers")
    }

    fn try_connect(&self) -> Option<Connection> {
        Client::open(self.url()).unwrap().get_connection_with_timeout(Duration::from_secs(2)).ok()
    }

    /// Who is connected, as it says itself, but for who asks.
    pub(crate) fn clients(&self) -> Vec<String> {
        let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut self.connect()).unwrap();
        list.lines().filter(|line| !line.contains("cmd=client")).map(str::to_owned).collect()
    }

    /// The names of the records in it.
    pub(crate) fn records(&self) -> Vec<String> {
        redis::cmd("KEYS").arg("vidgate:1:*").query(&mut self.connect()).unwrap()
    }

    /// An authority, a certificate of it for 127.0.0.1, and another authority.
    fn make_certificates(&self) {
        fs::write(self.path("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
        for command in [
            format!("{new} -subj /CN=authority -keyout ca.key -out ca.pem"),
            format!("{new} -subj /CN=other -keyout other.key -out other.pem"),
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=redis -keyout key.pem -out redis.csr"
                .to_owned(),
            "x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem".to_owned(),
        ] {
            let done = Command::new("openssl").args(command.split(' ')).current_dir(&self.dir).output();
            let done = done.expect("the tests need openssl: tests/install.sh installs it");
            assert!(done.status.success(), "openssl {command}: {}", String::from_utf8_lossy(&done.stderr));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What stands between a Redis and who asks it, and counts what is asked. It ends with the process.
pub(crate) struct Counter {
    addr: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Counter {
    /// Counts how often `command` passes on its way to `to`.
    pub(crate) fn start(to: SocketAddr, command: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, count) = (client.unwrap(), Arc::clone(&count));
                // Where there is no server, the client sees its connection close.
                let Ok(server) = TcpStream::connect(to) else { continue };
                let (mut back, mut forth) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || pass(&mut back, &mut forth, |_| {}));
                let (mut from, mut to) = (client, server);
                let mut tail = Vec::new();
                thread::spawn(move || {
                    pass(&mut from, &mut to, |bytes| {
                        tail.extend_from_slice(bytes);
                        let seen = tail.windows(command.len()).filter(|window| *window == command.as_bytes()).count();
                        count.fetch_add(seen, Ordering::SeqCst);
                        tail.drain(..tail.len().saturating_sub(command.len() - 1));
                    });
                });
            }
        });
        Self { addr, asked }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How often the command passed.
    pub(crate) fn count(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Passes on what comes until either side ends.
fn pass(from: &mut TcpStream, to: &mut TcpStream, mut seen: impl FnMut(&[u8])) {
    let mut buf = [0; 4096];
    while let Ok(len @ 1..) = from.read(&mut buf) {
        seen(&buf[..len]);
        if to.write_all(&buf[..len]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
