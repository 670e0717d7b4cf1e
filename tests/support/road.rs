//! A road from clients to servers that is cut at chosen places: what a client sends is counted and passed on at the speed of a line,
//! to the next server in turn after each cut. The kernel holds little of it that the server has not read, however long that is busy.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::client::is_read;
use super::wait_for;

/// How many bytes are passed on at a time.
const STEP_LEN: usize = 16 * 1024;

/// After how many bytes the server must have read them before more are passed on. It reads nothing while its store takes what came, and
/// what the kernel holds for it then is lost where it is killed.
const UNREAD_LEN_MAX: u64 = 256 * 1024;

/// How long a server may take for what came, on a busy machine too.
const PATIENCE: Duration = Duration::from_mins(2);

/// What else happens at a cut, to the server that the connection leads to: gives where it is from then on.
type AtCut = dyn Fn(usize) -> SocketAddr + Send + Sync;

/// A place where the road is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// How many bytes clients have sent by then, in all.
    pub(crate) at: u64,
    /// Whether the server is killed with it.
    pub(crate) kills: bool,
}

/// The road. It is there until it is dropped.
pub(crate) struct Road {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Bytes a second.
    rate: u64,
    kill: Box<AtCut>,
}

struct State {
    servers: Vec<SocketAddr>,
    /// The first of them is last.
    cuts: Vec<Cut>,
    sent_len: u64,
    is_over: bool,
}

impl Road {
    /// Opens one to these servers. `kill` ends the server of this number, and starts another in its place.
    pub(crate) fn open(
        servers: &[SocketAddr],
        rate: u64,
        mut cuts: Vec<Cut>,
        kill: impl Fn(usize) -> SocketAddr + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        // What lies in here is sent for the client, and not counted yet.
        SockRef::from(&listener).set_recv_buffer_size(64 * 1024).unwrap();
        let addr = listener.local_addr().expect("an address");
        cuts.sort_by_key(|cut| std::cmp::Reverse(cut.at));
        let state = State { servers: servers.to_vec(), cuts, sent_len: 0, is_over: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), rate, kill: Box::new(kill) });
        let passing = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = passing.lock();
                if state.is_over {
                    return;
                }
                let number = state.cuts.len() % state.servers.len();
                let server = TcpStream::connect(state.servers[number]).expect("the server accepts");
                drop(state);
                let shared = Arc::clone(&passing);
                thread::spawn(move || shared.pass(&client, &server, number));
            }
        });
        Self { addr, shared }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many bytes clients have sent so far.
    pub(crate) fn sent_len(&self) -> u64 {
        self.shared.lock().sent_len
    }

    /// The cuts that have not come yet.
    pub(crate) fn cuts_left(&self) -> usize {
        self.shared.lock().cuts.len()
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        let _ = TcpStream::connect(self.addr);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, client: &TcpStream, server: &TcpStream, number: usize) {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (mut replies, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let answering = thread::spawn(move || {
            let _ = std::io::copy(&mut replies, &mut back);
            let _ = back.shutdown(Shutdown::Both);
            // The client may be gone before the server is.
            let _ = std::io::copy(&mut replies, &mut std::io::sink());
        });
        let (mut buf, mut due, mut unread_len) = (vec![0; STEP_LEN], Instant::now(), 0);
        while let Ok(len @ 1..) = (&*client).read(&mut buf) {
            let mut state = self.lock();
            state.sent_len += len as u64;
            // The next cut comes before the last of these bytes.
            let cut = state.cuts.last().copied().filter(|cut| cut.at <= state.sent_len);
            if let Some(cut) = cut {
                state.cuts.pop();
                let passed = len - usize::try_from(state.sent_len - cut.at).unwrap().min(len);
                let _ = (&*server).write_all(&buf[..passed]);
                // Nobody comes through until this server is at its end with what came: another would go on without that after a while.
                if cut.kills {
                    state.servers[number] = (self.kill)(number);
                } else {
                    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Write));
                    wait_for("the server to close", PATIENCE, || answering.is_finished().then_some(()));
                }
                break;
            }
            drop(state);
            if (&*server).write_all(&buf[..len]).is_err() {
                break;
            }
            unread_len += len as u64;
            if unread_len >= UNREAD_LEN_MAX {
                wait_for("the server to read what came", PATIENCE, || is_read(server).then_some(()));
                unread_len = 0;
            }
            // Time that was lost is not made up for.
            due = due.max(Instant::now()) + Duration::from_micros(len as u64 * 1_000_000 / self.rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    }
}
