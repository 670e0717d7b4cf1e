//! The server: its parts put together, started and stopped.

use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use polling::Poller;
use rustix::process::{Resource, Rlimit};

use crate::config::{Config, StoreConfig};
use crate::error::{Error, ErrorKind};
use crate::metrics::Metrics;
use crate::serve::access::Access;
use crate::serve::budget::SendBudget;
use crate::serve::counted::Counted;
use crate::serve::door::{Door, LANE_KEY, LISTENER_KEY, METRICS_KEY, Signals};
use crate::serve::handler::Handler;
use crate::serve::kernel_memory::send_budget;
use crate::serve::lanes::{self, Listener};
use crate::serve::links::Links;
use crate::serve::lot::{Lot, Patience, Room};
use crate::serve::pace::Pace;
use crate::serve::pool::Pool;
use crate::serve::quota::Quota;
use crate::serve::readiness::Readiness;
use crate::serve::resumable::Desk;
use crate::serve::socket::Registered;
use crate::serve::source::Source;
use crate::serve::upload::Uploads;
use crate::serve::visit::Visits;
use crate::serve::vitals::{Pulse, Vitals};
use crate::serve::work::Work;
use crate::store::blocks::{Blocks, Budget};
use crate::store::{Directory, Locality, MetaConfig, Metadata, S3, Store};
use crate::web::Pages;

/// How many connections the kernel completes and keeps until the door has time for them.
const BACKLOG: i32 = 4096;
/// Descriptors that are not for clients: the store's connections and files, the lanes, the standard streams.
const DESCRIPTORS_KEPT: usize = 256;

/// How often the store is swept of what uploads left behind.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// How long a server that stops waits for its uploads to keep what came, or to take back what they began.
const UPLOADS_END_MAX: Duration = Duration::from_secs(5);

/// How often resumable uploads are looked at for those that expired: every quarter of the time that they are kept, within these.
const EXPIRE_EVERY_MIN: Duration = Duration::from_millis(500);
const EXPIRE_EVERY_MAX: Duration = Duration::from_mins(10);

/// Opens the store that a configuration names.
///
/// # Errors
/// Where it cannot be used at all. Nothing is sent to a bucket yet.
pub fn open_store(config: &StoreConfig) -> Result<Arc<dyn Store>, Error> {
    Ok(match config {
        StoreConfig::Directory(root) => Arc::new(Directory::open(root)?),
        StoreConfig::S3(s3) => Arc::new(S3::new(s3.clone())?),
    })
}

/// A server that runs. Dropping it stops it at once.
pub struct Server {
    addr: SocketAddr,
    metrics_addr: Option<SocketAddr>,
    lot: Arc<Lot>,
    signals: Arc<Signals>,
    pulse: Arc<Pulse>,
    listener: Arc<Listener>,
    work: Arc<Work>,
    threads: Vec<JoinHandle<()>>,
    /// Dropped, it ends the thread that sweeps.
    _sweeps: Option<Sender<()>>,
}

impl Server {
    /// Starts a server on the store that the configuration names.
    ///
    /// # Errors
    /// Where the store cannot be used at all, or the address cannot be listened on.
    pub fn start(config: &Config) -> Result<Self, Error> {
        Self::start_with_store(config, open_store(&config.store)?)
    }

    /// Starts a server on this store; the one that the configuration names is not looked at.
    ///
    /// # Errors
    /// Where the address cannot be listened on, or the process has no room for what is needed.
    pub fn start_with_store(config: &Config, store: Arc<dyn Store>) -> Result<Self, Error> {
        Parts::assemble(config, store)?.run()
    }

    /// The address that is listened on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of the metrics, where they have one of their own.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// What tells whether the server still works: a program that cannot do without should check it, and end where it does not.
    pub fn vitals(&self) -> Vitals {
        Vitals::new(Arc::clone(&self.pulse))
    }

    /// Serves a connection that the program accepted by itself: one from its own listener, or from whoever hands sockets to it. All
    /// that is promised of connections holds for it, the limits too. Returns at once, when it is queued; the socket, and with it each
    /// clone of it, no longer blocks then. A server that drains closes it.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where the socket has no peer any more; [`ErrorKind::Busy`] where too many wait to be taken already. The
    /// connection is closed.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::{TcpListener, TcpStream};
    /// use vidgate::config::StoreConfig;
    /// use vidgate::{Config, Server};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let videos = tempfile::tempdir()?;
    /// std::fs::write(videos.path().join("film.mp4"), "0123456789")?;
    /// let config = Config { port: 0, store: StoreConfig::Directory(videos.path().into()), ..Config::default() };
    /// let server = Server::start(&config)?;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut client = TcpStream::connect(listener.local_addr()?)?;
    /// server.serve(listener.accept()?.0)?;
    ///
    /// client.write_all(b"GET /media/film.mp4 HTTP/1.1\r\nHost: films\r\nRange: bytes=2-4\r\nConnection: close\r\n\r\n")?;
    /// let mut answer = String::new();
    /// client.read_to_string(&mut answer)?;
    /// assert!(answer.starts_with("HTTP/1.1 206 ") && answer.ends_with("\r\n\r\n234"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn serve(&self, socket: TcpStream) -> Result<(), Error> {
        let peer = socket.peer_addr().map_err(failed("a connection has no peer"))?;
        let given = self.signals.give(socket, peer);
        self.lot.wake_door();
        given
    }

    /// Accepts nobody any more, closes the connections that wait for a request, and lets the others end. Returns at once.
    pub fn drain(&self) {
        self.signals.drain.store(true, Ordering::Release);
        self.lot.wake_door();
    }

    /// Waits until no connection is left, at most so long. Says whether that is so.
    pub fn wait_drained(&self, timeout: Duration) -> bool {
        self.lot.wait_until_empty(timeout)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signals.stop.store(true, Ordering::Release);
        self.work.uploads.stop();
        self.lot.wake_door();
        self.listener.unblock();
        for thread in self.threads.drain(..) {
            // A panic of theirs was printed when it happened.
            let _ = thread.join();
        }
        self.work.uploads.wait_ended(UPLOADS_END_MAX);
        drop(self.lot.close());
    }
}

/// The store with what is kept of it: nothing of a near one.
fn source(
    config: &Config,
    store: Arc<dyn Store>,
    metrics: &Arc<Metrics>,
    threads: usize,
    lot: &Arc<Lot>,
) -> Result<Source, Error> {
    let store: Arc<dyn Store> = Arc::new(Counted::new(store, Arc::clone(metrics)));
    let source = Source::near(Arc::clone(&store), config.resume, Arc::clone(metrics), lot.budget().total());
    if store.locality() == Locality::Near {
        return Ok(source);
    }
    let disk = config.cache_dir.as_deref().map(|folder| (folder, config.cache_disk));
    let blocks = Blocks::new(Budget { ram_len_max: config.cache_ram, disk })?;
    let metadata = MetaConfig {
        ttl: config.meta_ttl,
        redis: config.redis.clone(),
        records: config.cache_dir.as_deref().map(|folder| folder.join("objects-1")),
        namespace: source.identity.clone(),
    };
    Ok(source.far(blocks, Metadata::new(store, metadata), threads, lot))
}

/// An error of the system while the server starts.
fn failed(what: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::new(ErrorKind::Internal, what).with_source(error)
}

/// The parts of a server, put together and not started.
pub(crate) struct Parts {
    pub(crate) door: Door,
    pub(crate) listener: Listener,
    pub(crate) addr: SocketAddr,
    pub(crate) metrics_addr: Option<SocketAddr>,
}

impl Parts {
    /// Puts the parts of a server on this store together. It listens, and nobody accepts.
    pub(crate) fn assemble(config: &Config, store: Arc<dyn Store>) -> Result<Self, Error> {
        let poller = Arc::new(Poller::new().map_err(failed("cannot make a poller"))?);
        let socket = listen(&config.host, config.port)?;
        let addr = socket.local_addr().map_err(failed("cannot tell the address that is listened on"))?;
        let socket = Registered::new(socket, &poller, LISTENER_KEY).map_err(failed("cannot register the listening socket"))?;
        let metrics_socket = config.metrics_addr.map(|addr| listen(&addr.ip().to_string(), addr.port())).transpose()?;
        let metrics_addr = match &metrics_socket {
            Some(socket) => Some(socket.local_addr().map_err(failed("cannot tell the address of the metrics"))?),
            None => None,
        };
        let register =
            |socket| Registered::new(socket, &poller, METRICS_KEY).map_err(failed("cannot register the listening socket"));
        let metrics_socket = metrics_socket.map(register).transpose()?;
        let (lanes, listener) = lanes::open(&poller, LANE_KEY)?;

        let patience = Patience { head: config.header_timeout, idle: config.idle_timeout, stall: config.stall_timeout };
        let room = Room {
            connections_max: connections_max(config.connections_max),
            trusted_proxies: config.trusted_proxies.clone(),
            send_budget: SendBudget::new(send_budget()),
        };
        let metrics = Arc::new(Metrics::new()?);
        let lot = Arc::new(Lot::new(Arc::clone(&poller), patience, room, Arc::clone(&metrics)));
        let quota = Arc::new(Quota::new(config.streams_max, config.streams_per_ip_max));
        let threads = num_cpus::get() * config.workers_per_core;
        let handler = Handler {
            source: Arc::new(source(config, store, &metrics, threads, &lot)?),
            chunk_len: config.chunk_len,
            cors: config.cors.clone(),
            quota,
            trusted_proxies: config.trusted_proxies.clone(),
            access: Access { keys: config.playback_keys.clone(), admin: config.admin_token.clone() },
            links: Links::new(config.cloudfront.clone()),
            pages: Pages::open(config.hls_js.as_deref())?,
            url_ttl: config.url_ttl,
            readiness: Readiness::default(),
            upload_max: config.upload_max,
            desk: Desk::new(config.upload_expiry),
        };
        let pace = config.rate.map(|rate| Pace { rate: rate.max(1), burst: config.burst });
        let pool = Pool::new(threads);
        let visits = Visits::new(metrics, config.trusted_proxies.clone());
        let metrics_apart = metrics_addr.is_some();
        let uploads = Uploads::default();
        let work = Arc::new(Work { handler, pool, lot: Arc::clone(&lot), pace, visits, uploads, metrics_apart });
        let onward = Arc::downgrade(&work);
        lot.set_onward(move |landed| {
            if let Some(work) = onward.upgrade() {
                work.submit_landed(landed);
            }
        });
        let door = Door {
            poller,
            listener: Some(socket),
            metrics_listener: metrics_socket,
            lanes,
            lot,
            work,
            signals: Arc::default(),
            pulse: Arc::default(),
            probe_at: Instant::now(),
            accept_from: None,
            accept_warned: None,
        };
        Ok(Self { door, listener, addr, metrics_addr })
    }

    /// Starts its threads.
    pub(crate) fn run(self) -> Result<Server, Error> {
        let Self { door, listener, addr, metrics_addr } = self;
        let (lot, work) = (Arc::clone(&door.lot), Arc::clone(&door.work));
        let (signals, pulse, listener) = (Arc::clone(&door.signals), Arc::clone(&door.pulse), Arc::new(listener));
        let dispatch = {
            let (listener, lot, pulse) = (Arc::clone(&listener), Arc::clone(&lot), Arc::clone(&pulse));
            let work = Arc::clone(&work);
            move || dispatch(&listener, &lot, &work, &pulse)
        };
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let builder = thread::Builder::new().name(format!("vidgate-{name}"));
            builder.spawn(run).map_err(failed("cannot start a thread"))
        };
        let sweeps = if work.handler.access.may_change() {
            let (sender, receiver) = mpsc::channel();
            let (source, lifetime) = (Arc::clone(&work.handler.source), work.handler.desk.lifetime);
            // It is not waited for: it may wait for the store, and ends by itself.
            spawn("sweep", Box::new(move || sweep(&source, lifetime, &receiver)))?;
            Some(sender)
        } else {
            None
        };
        let threads = vec![spawn("door", Box::new(move || door.run()))?, spawn("dispatch", Box::new(dispatch))?];
        Ok(Server { addr, metrics_addr, lot, signals, pulse, listener, work, threads, _sweeps: sweeps })
    }
}

/// Sweeps the store from time to time, until the sender is dropped. Resumable uploads are kept for `lifetime`.
fn sweep(source: &Source, lifetime: Duration, ends: &Receiver<()>) {
    // Each look at them lists all that there are, so it is had less often; and soon enough where they are kept for seconds.
    let expire_every = (lifetime / 4).clamp(EXPIRE_EVERY_MIN, EXPIRE_EVERY_MAX);
    let mut expired_at: Option<Instant> = None;
    let told = |outcome: Result<(), Error>| {
        if let Err(error) = outcome {
            log::warn!("what uploads left behind could not be removed, and will be later: {}", error.chain());
        }
    };
    loop {
        told(source.store.sweep());
        if let Some(resumable) = source.store.resumable()
            && expired_at.is_none_or(|at| at.elapsed() >= expire_every)
        {
            told(resumable.remove_expired(SystemTime::now(), lifetime));
            expired_at = Some(Instant::now());
        }
        if ends.recv_timeout(SWEEP_EVERY.min(expire_every)) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// Takes requests from the listener to the pool.
fn dispatch(listener: &Listener, lot: &Lot, work: &Arc<Work>, pulse: &Pulse) {
    loop {
        let received = listener.receive();
        pulse.dispatcher.fetch_add(1, Ordering::Relaxed);
        match received {
            Ok(None) => {}
            Ok(Some((id, request))) => {
                // The connection is gone where it waited too long.
                if let Some(connection) = lot.take_handover(id) {
                    work.submit_request(connection, request);
                }
            }
            // It stops when the server does, and not otherwise: the lanes are open, and nobody else can reach its socket.
            Err(error) => return log::debug!("the dispatcher ends: {error}"),
        }
    }
}

/// Listens on the first address of the name that can be listened on.
fn listen(host: &str, port: u16) -> Result<TcpListener, Error> {
    let cannot = |error: std::io::Error| {
        Error::new(ErrorKind::Internal, format!("cannot listen on {host} port {port}")).with_source(error)
    };
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let addrs: Vec<SocketAddr> = (name, port).to_socket_addrs().map_err(cannot)?.collect();
    let listener = TcpListener::bind(&addrs[..]).map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    // Listening again only sets the backlog, which the standard library does not let one choose.
    rustix::net::listen(&listener, BACKLOG).map_err(|error| cannot(error.into()))?;
    Ok(listener)
}

/// How many connections there may be: as many as are wanted, and never more than the process may have descriptors for, once that
/// limit is as high as it may be.
fn connections_max(wanted: Option<usize>) -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match rustix::process::setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    // None is "no limit".
    let descriptors = current.map_or(usize::MAX, |current| usize::try_from(current).unwrap_or(usize::MAX));
    let most = descriptors.saturating_sub(DESCRIPTORS_KEPT.min(descriptors / 2));
    match wanted {
        Some(wanted) if wanted > most => {
            log::warn!("{wanted} connections are wanted, and {descriptors} open files allow {most}");
            most
        }
        Some(wanted) => wanted,
        None => most,
    }
}
