//! A relay in front of a store: it counts what the store sends, and breaks connections as it is told to.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

/// The relay. It listens until it is dropped.
pub(crate) struct Relay {
    addr: SocketAddr,
    /// It never listens: with it nobody else is given the port while the relay does not listen either.
    _port: Socket,
    shared: Arc<Shared>,
}

struct Shared {
    store: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_listening: bool,
    /// The thread that listens, and what it listens with.
    listener: Option<JoinHandle<()>>,
    is_dropped: bool,
    /// Nothing that the store sends is passed on.
    is_held: bool,
    /// What is open.
    open: Vec<Weak<Pair>>,
    /// Bytes that the store sent and the relay passed on.
    passed_len: u64,
    /// The connection that passes this many bytes, in all, is reset; the next of them is the last.
    reset_at: Vec<u64>,
    resets: usize,
    /// Requests that were passed on, by their method.
    heads: Vec<String>,
}

impl Relay {
    /// Starts one in front of the server at this address.
    pub(crate) fn start(store: SocketAddr) -> Self {
        let port = socket_at((Ipv4Addr::LOCALHOST, 0).into());
        let addr = port.local_addr().ok().and_then(|addr| addr.as_socket()).expect("an address");
        let shared = Arc::new(Shared { store, state: Mutex::default(), changed: Condvar::new() });
        let relay = Self { addr, _port: port, shared };
        relay.go_on();
        relay
    }

    /// The endpoint to give to who would ask the store.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// How many bytes of the store were passed on.
    pub(crate) fn passed_len(&self) -> u64 {
        self.shared.lock().passed_len
    }

    /// How many connections were reset as [`reset_at`](Self::reset_at) said.
    pub(crate) fn resets(&self) -> usize {
        self.shared.lock().resets
    }

    /// The ranges that were asked for, in order.
    pub(crate) fn ranges(&self) -> Vec<String> {
        let range = |head: &String| Some(head.to_ascii_lowercase().split_once("range: bytes=")?.1.lines().next()?.to_owned());
        self.shared.lock().heads.iter().filter_map(range).collect()
    }

    /// How many requests of this method were passed on.
    pub(crate) fn requests(&self, method: &str) -> usize {
        self.shared.lock().heads.iter().filter(|head| head.starts_with(method)).count()
    }

    /// Resets the connection that passes so many bytes, for each of these numbers, counted over all connections from now on.
    pub(crate) fn reset_at(&self, offsets: impl IntoIterator<Item = u64>) {
        let mut state = self.shared.lock();
        let passed_len = state.passed_len;
        state.reset_at = offsets.into_iter().map(|offset| passed_len + offset).collect();
        state.reset_at.sort_unstable_by(|one, other| other.cmp(one));
    }

    /// The store hangs: what it sends is held back, until it is [let go](Self::let_go).
    pub(crate) fn hold(&self) {
        self.shared.lock().is_held = true;
    }

    /// What was held back is passed on.
    pub(crate) fn let_go(&self) {
        self.shared.lock().is_held = false;
        self.shared.changed.notify_all();
    }

    /// The store hangs for so long.
    pub(crate) fn hold_for(&self, time: Duration) {
        self.hold();
        let state = self.shared.lock();
        drop(self.shared.changed.wait_timeout_while(state, time, |state| !state.is_dropped));
        self.let_go();
    }

    /// How many connections are open.
    pub(crate) fn open_count(&self) -> usize {
        self.shared.lock().open.iter().filter(|pair| pair.strong_count() > 0).count()
    }

    /// The store is gone: nobody listens, and what is open is reset.
    pub(crate) fn stop(&self) {
        let mut state = self.shared.lock();
        state.is_listening = false;
        let listener = state.listener.take();
        for pair in state.open.drain(..).filter_map(|pair| pair.upgrade()) {
            pair.reset();
        }
        drop(state);
        if let Some(listener) = listener {
            // It looks at its orders with every connection.
            let _ = TcpStream::connect(self.addr);
            let _ = listener.join();
        }
    }

    /// The store is back.
    pub(crate) fn go_on(&self) {
        let socket = socket_at(self.addr);
        socket.listen(1024).expect("nobody else has the port");
        let mut state = self.shared.lock();
        state.is_listening = true;
        state.listener = Some(listen(socket.into(), &self.shared));
    }

    /// The store is gone for so long, or until the relay is dropped. Returns when it is back.
    pub(crate) fn stop_for(&self, time: Duration) {
        self.stop();
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, time, |state| !state.is_dropped);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.go_on();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.lock().is_dropped = true;
        self.shared.changed.notify_all();
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both ends of a connection. When its two threads let go of it, the client's end is closed, reset where that was asked for.
struct Pair {
    client: TcpStream,
    store: TcpStream,
    is_reset: AtomicBool,
}

impl Pair {
    fn reset(&self) {
        self.is_reset.store(true, Ordering::Relaxed);
        // Closing with a linger of nothing resets (tcp(7)). No end is sent before it; only the threads wake up.
        let _ = SockRef::from(&self.client).set_linger(Some(Duration::ZERO));
        let _ = self.client.shutdown(Shutdown::Read);
        let _ = self.store.shutdown(Shutdown::Both);
    }

    fn end(&self) {
        if !self.is_reset.load(Ordering::Relaxed) {
            let _ = self.client.shutdown(Shutdown::Both);
        }
        let _ = self.store.shutdown(Shutdown::Both);
    }
}

/// A socket at this address, where others of ours may be too.
fn socket_at(addr: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(true).unwrap();
    socket.bind(&addr.into()).expect("a port that is free, or ours");
    socket
}

fn listen(listener: TcpListener, shared: &Arc<Shared>) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let store = TcpStream::connect(shared.store);
            let mut state = shared.lock();
            if !state.is_listening {
                let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
                return;
            }
            let Ok(store) = store else { continue };
            let _ = (client.set_nodelay(true), store.set_nodelay(true));
            let pair = Arc::new(Pair { client, store, is_reset: AtomicBool::new(false) });
            state.open.retain(|pair| pair.strong_count() > 0);
            state.open.push(Arc::downgrade(&pair));
            drop(state);
            let (other, there, back) = (Arc::clone(&pair), Arc::clone(&shared), Arc::clone(&shared));
            thread::spawn(move || pass_requests(&pair, &there));
            thread::spawn(move || pass_replies(&other, &back));
        }
    })
}

fn pass_requests(pair: &Pair, shared: &Shared) {
    let mut buf = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = (&pair.client).read(&mut buf) {
        shared.lock().heads.push(String::from_utf8_lossy(&buf[..len]).into_owned());
        if (&pair.store).write_all(&buf[..len]).is_err() {
            break;
        }
    }
    let _ = pair.store.shutdown(Shutdown::Both);
}

fn pass_replies(pair: &Pair, shared: &Shared) {
    let mut buf = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = (&pair.store).read(&mut buf) {
        let state = shared.lock();
        let is_held = |state: &mut State| state.is_held && !state.is_dropped;
        let mut state = shared.changed.wait_while(state, is_held).unwrap_or_else(PoisonError::into_inner);
        state.passed_len += len as u64;
        if state.reset_at.last().is_some_and(|at| state.passed_len >= *at) {
            state.reset_at.pop();
            state.resets += 1;
            drop(state);
            return pair.reset();
        }
        drop(state);
        if (&pair.client).write_all(&buf[..len]).is_err() {
            break;
        }
    }
    pair.end();
}
