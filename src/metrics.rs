//! What is counted.
//!
//! In scope: the counters by the names of the contract, and the text that Prometheus reads. Not in scope: where they are counted.
//!
//! Counting is one atomic addition: whatever has labels has a cell for each of their few values (`cells`), so that no map is
//! looked into. What can be seen from outside at any time ([`Census`]) is not counted but looked at when the text is made.

mod cells;

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Encoder as _, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use self::cells::{Cells, Grid};
use crate::error::{Error, ErrorKind};
use crate::http::route;
use crate::present;

/// The media type of the text (Prometheus, "Exposition formats", text format 0.0.4).
pub(crate) const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The statuses that are answered here, as labels; another is counted as the last.
const STATUSES: [&str; 31] = [
    "200", "201", "204", "206", "302", "304", "400", "401", "403", "404", "405", "408", "409", "410", "411", "412", "413",
    "414", "415", "416", "423", "429", "431", "460", "500", "501", "502", "503", "504", "505", "other",
];

/// The bounds of the time to a first byte, in seconds: from what a cache does to what a viewer no longer waits for.
const FIRST_BYTE_BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// The bounds of the time that a store takes to answer, in seconds.
const UPSTREAM_BOUNDS: [f64; 11] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// What a store is asked for, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Metadata of an object.
    Head,
    /// Bytes of an object.
    Get,
    /// A page of the listing.
    List,
    /// Whether it can be asked at all.
    Ready,
    /// An object is written.
    Put,
    /// An object is removed.
    Delete,
}

impl Op {
    const NAMES: [&str; 6] = ["head", "get", "list", "ready", "put", "delete"];
}

/// How a store answered, as a label: the status that S3 would have for it, whatever store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamStatus {
    /// What was asked for.
    Ok,
    /// A part of an object.
    Partial,
    /// Credentials or permissions are wrong.
    Forbidden,
    /// There is no such object.
    NotFound,
    /// The object is another version.
    Changed,
    /// It asks for fewer requests.
    Busy,
    /// It took too long.
    Timeout,
    /// All else: no connection, another status, nonsense.
    Error,
}

impl UpstreamStatus {
    const NAMES: [&str; 8] = ["200", "206", "403", "404", "412", "503", "timeout", "error"];
}

impl From<ErrorKind> for UpstreamStatus {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Changed | ErrorKind::PreconditionFailed => Self::Changed,
            ErrorKind::UpstreamForbidden => Self::Forbidden,
            ErrorKind::UpstreamBusy => Self::Busy,
            ErrorKind::UpstreamTimeout => Self::Timeout,
            _ => Self::Error,
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The client closed it, or is gone.
    Client,
    /// Its last answer said so: the client asked for that, or it brought as many requests as it may.
    Done,
    /// Nothing came on it for too long.
    Idle,
    /// The viewer took no byte for too long.
    Stalled,
    /// It made room for others.
    Evicted,
    /// What came on it was refused.
    Refused,
    /// The body could not be had to its end.
    Cut,
    /// The server drains or stops.
    Stopped,
}

impl Closed {
    const NAMES: [&str; 8] = ["client", "done", "idle", "stalled", "evicted", "refused", "cut", "stopped"];

    /// Its label.
    pub(crate) const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// What is looked at when the text is made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Census {
    /// Connections that are open.
    pub(crate) connections: usize,
    /// Streams that wait in the lot.
    pub(crate) parked: usize,
    /// Pieces of work that wait for a thread of the pool.
    pub(crate) queue: usize,
}

/// The counters of one server.
pub(crate) struct Metrics {
    registry: Registry,
    /// Answers, by route and status, and the bytes of their bodies that were sent, by route.
    requests: Grid,
    response_bytes: Cells<IntCounter>,
    first_byte: Cells<prometheus::Histogram>,
    /// Answers with bytes of an object that are under way.
    pub(crate) streams_active: IntGauge,
    connections_closed: Cells<IntCounter>,
    upstream_requests: Grid,
    upstream_seconds: Cells<prometheus::Histogram>,
    /// Bytes that the store sent.
    pub(crate) upstream_bytes: IntCounter,
    /// What became of reads of the store that broke off in the middle of an answer.
    pub(crate) resumes: Resumes,
    /// Bytes that were sent from the cache, were waited for while another stream read them, and were read from the store.
    pub(crate) cache_hit: CacheBytes,
    pub(crate) cache_joined: CacheBytes,
    pub(crate) cache_missed: CacheBytes,
    /// What is set when the text is made.
    cache_bytes: IntGauge,
    cache_evictions: IntCounter,
    connections_open: IntGauge,
    streams_parked: IntGauge,
    pool_queue: IntGauge,
}

/// One counter for each outcome.
pub(crate) struct Resumes {
    /// The answer went on.
    pub(crate) resumed: IntCounter,
    /// It could not be had within the tries and the time.
    pub(crate) failed: IntCounter,
    /// The object is another one by now.
    pub(crate) changed: IntCounter,
}

/// Bytes by how the cache had them: counted for all, and noted for the request that the thread works on.
pub(crate) struct CacheBytes {
    counter: IntCounter,
    outcome: present::CacheOutcome,
}

impl CacheBytes {
    /// So many more.
    pub(crate) fn inc_by(&self, len: u64) {
        self.counter.inc_by(len);
        present::note_cache(self.outcome, len);
    }
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where two counters have one name, which a test would see.
    pub(crate) fn new() -> Result<Self, Error> {
        let make = || Self::register(&Maker(Registry::new()));
        make().map_err(|error| Error::new(ErrorKind::Internal, "the metrics do not fit together").with_source(error))
    }

    fn register(maker: &Maker) -> prometheus::Result<Self> {
        let build = IntGauge::with_opts(
            Opts::new("vidgate_build_info", "The version that runs; always 1.")
                .const_label("version", env!("CARGO_PKG_VERSION")),
        )?;
        maker.registered(build)?.set(1);
        let cache =
            maker.family("vidgate_cache_bytes_total", "Bytes of answers by how the chunk cache had them.", &["outcome"])?;
        let cached =
            |outcome: present::CacheOutcome| CacheBytes { counter: cache.with_label_values(&[outcome.name()]), outcome };
        let resumes = maker.family(
            "vidgate_upstream_resumes_total",
            "Reads of the store that broke off, by what became of them.",
            &["outcome"],
        )?;
        let requests = maker.family("vidgate_requests_total", "Answers, by route and status.", &["route", "status"])?;
        let bytes = maker.family("vidgate_response_bytes_total", "Bytes of bodies that were sent.", &["route"])?;
        let first_byte = maker.histogram(
            "vidgate_first_byte_seconds",
            "From a whole request to the first byte of its answer.",
            "route",
            &FIRST_BYTE_BOUNDS,
        )?;
        let closed =
            maker.family("vidgate_connections_closed_total", "Connections that ended, by what ended them.", &["reason"])?;
        let upstream = maker.family(
            "vidgate_upstream_requests_total",
            "Questions to the store and how it answered.",
            &["op", "status"],
        )?;
        let upstream_seconds = maker.histogram(
            "vidgate_upstream_seconds",
            "From a question to the store to the head of its answer.",
            "op",
            &UPSTREAM_BOUNDS,
        )?;
        Ok(Self {
            requests: Grid::new(requests, &route::NAMES, &STATUSES),
            response_bytes: Cells::new(&route::NAMES, move |name| bytes.with_label_values(&[name])),
            first_byte: Cells::new(&route::NAMES, move |name| first_byte.with_label_values(&[name])),
            streams_active: maker.gauge("vidgate_streams_active", "Answers with bytes of an object that are under way.")?,
            connections_closed: Cells::new(&Closed::NAMES, move |name| closed.with_label_values(&[name])),
            upstream_requests: Grid::new(upstream, &Op::NAMES, &UpstreamStatus::NAMES),
            upstream_seconds: Cells::new(&Op::NAMES, move |name| upstream_seconds.with_label_values(&[name])),
            upstream_bytes: maker.counter("vidgate_upstream_bytes_total", "Bytes that the store sent.")?,
            resumes: Resumes {
                resumed: resumes.with_label_values(&["resumed"]),
                failed: resumes.with_label_values(&["failed"]),
                changed: resumes.with_label_values(&["changed"]),
            },
            cache_hit: cached(present::CacheOutcome::Hit),
            cache_joined: cached(present::CacheOutcome::Joined),
            cache_missed: cached(present::CacheOutcome::Miss),
            cache_bytes: maker.gauge("vidgate_cache_bytes", "Bytes in the chunk cache, in memory and on disk.")?,
            cache_evictions: maker.counter("vidgate_cache_evictions_total", "Blocks that left the chunk cache for others.")?,
            connections_open: maker.gauge("vidgate_connections_open", "Connections of clients.")?,
            streams_parked: maker.gauge("vidgate_streams_parked", "Streams that wait for room, their pace or a block.")?,
            pool_queue: maker.gauge("vidgate_pool_queue", "Pieces of work that wait for a thread of the pool.")?,
            registry: maker.0.clone(),
        })
    }

    /// A request of this route, by its place in [`route::NAMES`], is answered with this status.
    pub(crate) fn count_answer(&self, route: usize, status: u16) {
        self.requests.cell(route, place_of(status)).inc();
    }

    /// So many bytes of a body were sent.
    pub(crate) fn count_bytes(&self, route: usize, len: u64) {
        self.response_bytes.get(route).inc_by(len);
    }

    /// The first byte of an answer was sent so long after its request.
    pub(crate) fn observe_first_byte(&self, route: usize, after: Duration) {
        self.first_byte.get(route).observe(after.as_secs_f64());
    }

    /// A connection ended.
    pub(crate) fn count_closed(&self, reason: Closed) {
        self.connections_closed.get(reason as usize).inc();
    }

    /// The store was asked, and took so long.
    pub(crate) fn count_upstream(&self, op: Op, status: UpstreamStatus, took: Duration) {
        self.upstream_requests.cell(op as usize, status as usize).inc();
        self.upstream_seconds.get(op as usize).observe(took.as_secs_f64());
    }

    /// Notes what was looked at.
    pub(crate) fn take_census(&self, census: Census) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.connections_open.set(number(census.connections));
        self.streams_parked.set(number(census.parked));
        self.pool_queue.set(number(census.queue));
    }

    /// The text. The cache counts by itself, so its numbers come in.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where it cannot be written, which writing to memory always can.
    pub(crate) fn text(&self, cache_len: u64, evictions: u64) -> Result<Vec<u8>, Error> {
        self.cache_bytes.set(i64::try_from(cache_len).unwrap_or(i64::MAX));
        self.cache_evictions.inc_by(evictions.saturating_sub(self.cache_evictions.get()));
        let mut text = Vec::with_capacity(16 * 1024);
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded.map_err(|error| Error::new(ErrorKind::Internal, "the metrics cannot be written").with_source(error))?;
        Ok(text)
    }
}

/// The place of a status among the labels.
fn place_of(status: u16) -> usize {
    let digits = [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + u8::try_from(digit % 10).unwrap_or(0));
    STATUSES.iter().position(|known| known.as_bytes() == digits).unwrap_or(STATUSES.len() - 1)
}

/// Makes counters and registers them.
struct Maker(Registry);

impl Maker {
    fn registered<C: Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.registered(IntCounter::new(name, help)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.registered(IntGauge::new(name, help)?)
    }

    fn family(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.registered(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str, label: &str, bounds: &[f64]) -> prometheus::Result<HistogramVec> {
        self.registered(HistogramVec::new(HistogramOpts::new(name, help).buckets(bounds.to_vec()), &[label])?)
    }
}

#[cfg(test)]
mod tests;
