//! One request and what became of it.
//!
//! In scope: what is counted of it and what its line in the access log says, from its arrival to the end of its answer, whoever
//! ends that. Not in scope: what is answered. The line is written when the value is dropped, so none is forgotten.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use log::kv::{self, Key, Source as Pairs, Value, VisitSource};
use log::{Level, Record};

use crate::error::ErrorKind;
use crate::http::response::{Body, Response};
use crate::http::route::{self, Route};
use crate::http::{forwarded, request_id};
use crate::logging::ACCESS;
use crate::metrics::{Closed, Metrics};
use crate::present::{Noted, RequestId, Scope, Tally};
use crate::serve::lanes::Request;

/// The longest path or method that is no route's, as far as it is logged, in characters.
const SHOWN_LEN_MAX: usize = 256;

/// What all visits have in common.
pub(crate) struct Visits {
    metrics: Arc<Metrics>,
    /// Those whose word counts for who asks, and for the request's id.
    trusted_proxies: Vec<IpNet>,
    seed: u64,
    count: AtomicU64,
}

impl Visits {
    pub(crate) fn new(metrics: Arc<Metrics>, trusted_proxies: Vec<IpNet>) -> Self {
        Self { metrics, trusted_proxies, seed: RandomState::new().build_hasher().finish(), count: AtomicU64::new(0) }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A request came.
    pub(crate) fn begin(&self, peer: IpAddr, request: &Request, route: Option<&Route>, now: Instant) -> Visit {
        let peer = peer.to_canonical();
        let is_trusted = self.trusted_proxies.iter().any(|net| net.contains(&peer));
        let given = request.fields.get("x-request-id").filter(|_| is_trusted).and_then(request_id::taken_over);
        let key = match route.and_then(Route::key) {
            Some(key) => route::without_tokens(key.as_str()).into(),
            None => "".into(),
        };
        let path = match route.and_then(Route::key) {
            Some(_) => String::new(),
            None => cut(&route::without_tokens(route::split(&request.target).0)),
        };
        let client = forwarded::client(peer, request.fields.get("x-forwarded-for"), &self.trusted_proxies);
        let mut visit = self.visit(given, client, route::place(route), now);
        visit.method = cut(&request.method).into();
        visit.key = key;
        visit.path = path.into();
        visit
    }

    /// What came was refused before it was a request.
    pub(crate) fn begin_refused(&self, peer: IpAddr, now: Instant) -> Visit {
        self.visit(None, peer.to_canonical(), route::place(None), now)
    }

    fn visit(&self, given: Option<&str>, client: IpAddr, route: usize, now: Instant) -> Visit {
        let id = match given {
            Some(given) => RequestId::new(given),
            None => RequestId::new(&request_id::made(self.seed, self.count.fetch_add(1, Ordering::Relaxed))),
        };
        Visit {
            metrics: Arc::clone(&self.metrics),
            id,
            client,
            method: "".into(),
            route,
            key: "".into(),
            path: "".into(),
            since: now,
            status: 0,
            part: None,
            range_asked: "".into(),
            head_len: 0,
            sent_len: 0,
            first_byte: None,
            tally: Tally::default(),
            is_stream: false,
            end: Closed::Client,
            is_done: false,
        }
    }
}

/// One request.
pub(crate) struct Visit {
    metrics: Arc<Metrics>,
    pub(crate) id: RequestId,
    client: IpAddr,
    method: Box<str>,
    /// The place of the route among all.
    route: usize,
    /// The object, where the request has one; and the path, where that does not name it.
    key: Box<str>,
    path: Box<str>,
    since: Instant,
    /// 0 before it is answered.
    status: u16,
    /// The first and the last byte of the object that are sent with a 206, and its size.
    part: Option<(u64, u64, u64)>,
    /// What of the object was asked for and cannot be had.
    range_asked: Box<str>,
    /// How long the head is, and how much of head and body was sent, in bytes.
    head_len: u64,
    sent_len: u64,
    first_byte: Option<Duration>,
    tally: Tally,
    is_stream: bool,
    /// What ended it, where it was not sent to its end.
    end: Closed,
    is_done: bool,
}

impl Visit {
    /// This thread works on it, until what this gives goes to [`leave`](Self::leave).
    pub(crate) fn enter(&self) -> Scope {
        Scope::enter(&self.id)
    }

    /// The thread does so no more.
    pub(crate) fn leave(&mut self, scope: Scope) {
        let Noted { tally, object } = scope.leave();
        self.tally.add(tally);
        if let Some(object) = object {
            self.key = route::without_tokens(object.as_str()).into();
        }
    }

    /// Its answer is known. `head_len` is how long the head is, in bytes; `range` what was asked for in the field of that name.
    pub(crate) fn answered(&mut self, response: &Response, head_len: usize, range: Option<&str>) {
        self.status = response.status();
        self.head_len = head_len as u64;
        if let (206, Body::Object(part)) = (self.status, &response.body) {
            self.part = Some((part.range.start, part.range.end.saturating_sub(1), part.object_size));
        }
        if let Some(range) = range
            && self.status == ErrorKind::RangeNotSatisfiable.status()
        {
            self.range_asked = cut(range).into();
        }
        self.metrics.count_answer(self.route, self.status);
    }

    /// Its answer has the bytes of an object.
    pub(crate) fn begin_stream(&mut self) {
        self.is_stream = true;
        self.metrics.streams_active.inc();
    }

    /// So many bytes of head and body were sent at this time.
    pub(crate) fn sent(&mut self, len: usize, now: Instant) {
        if self.first_byte.is_none() {
            let after = now.saturating_duration_since(self.since);
            self.first_byte = Some(after);
            self.metrics.observe_first_byte(self.route, after);
        }
        let before = self.body_len();
        self.sent_len += len as u64;
        self.metrics.count_bytes(self.route, self.body_len() - before);
    }

    /// How much of the body was sent, in bytes.
    fn body_len(&self) -> u64 {
        self.sent_len.saturating_sub(self.head_len)
    }

    /// All of it was sent.
    pub(crate) fn done(&mut self) {
        self.is_done = true;
    }

    /// It ends before its end, for this reason, and not because the client left.
    pub(crate) fn cut_short(&mut self, reason: Closed) {
        self.end = reason;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if self.is_stream {
            self.metrics.streams_active.dec();
        }
        if log::log_enabled!(target: ACCESS, Level::Info) {
            let line = Line::new(self);
            log::logger().log(&Record::builder().target(ACCESS).level(Level::Info).key_values(&line).build());
        }
    }
}

/// A line of the access log.
struct Line<'v> {
    visit: &'v Visit,
    /// The bytes that are sent, as Content-Range has them, or those that cannot be, as Range has them.
    range: Option<String>,
    total: Duration,
}

impl<'v> Line<'v> {
    fn new(visit: &'v Visit) -> Self {
        let sent = visit.part.map(|(first, last, size)| format!("{first}-{last}/{size}"));
        let range = sent.or_else(|| (!visit.range_asked.is_empty()).then(|| visit.range_asked.to_string()));
        Self { visit, range, total: visit.since.elapsed() }
    }
}

impl Pairs for Line<'_> {
    fn visit<'kvs>(&'kvs self, to: &mut dyn VisitSource<'kvs>) -> Result<(), kv::Error> {
        let visit = self.visit;
        let text = |text: &'kvs str| (!text.is_empty()).then(|| Value::from(text));
        // What the client left before is no status.
        let status = (visit.status > 0).then(|| Value::from(visit.status));
        let end = if visit.is_done { "done" } else { visit.end.name() };
        let pairs = [
            ("request", text(visit.id.as_str())),
            ("client", Some(Value::from_display(&visit.client))),
            ("method", text(&visit.method)),
            ("route", text(route::NAMES[visit.route])),
            ("key", text(&visit.key)),
            ("path", text(&visit.path)),
            ("range", self.range.as_deref().and_then(text)),
            ("status", status),
            ("bytes", Some(Value::from(visit.body_len()))),
            ("first_byte_ms", visit.first_byte.map(milliseconds)),
            ("total_ms", Some(milliseconds(self.total))),
            ("cache", visit.tally.cache().map(Value::from)),
            ("upstream_tries", Some(Value::from(visit.tally.tries))),
            ("end", text(end)),
        ];
        for (name, value) in pairs {
            if let Some(value) = value {
                to.visit_pair(Key::from(name), value)?;
            }
        }
        Ok(())
    }
}

/// A time in milliseconds, to the microsecond.
fn milliseconds<'v>(time: Duration) -> Value<'v> {
    // More than 2^52 microseconds are 142 years.
    #[allow(clippy::cast_precision_loss)]
    Value::from(time.as_micros() as f64 / 1000.0)
}

/// As much of a text as is logged.
fn cut(text: &str) -> String {
    text.chars().take(SHOWN_LEN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::http::response::ObjectPart;
    use crate::object::{ETag, ObjectId, ObjectKey};

    fn visits(trusted: &[&str]) -> Visits {
        let trusted = trusted.iter().map(|net| net.parse().unwrap()).collect();
        Visits::new(Arc::new(Metrics::new().unwrap()), trusted)
    }

    fn request(target: &str, fields: &[(&str, &str)]) -> Request {
        Request { method: "GET".into(), target: target.into(), fields: fields.iter().copied().collect(), body: Vec::new() }
    }

    fn begin(visits: &Visits, request: &Request) -> Visit {
        let route = route::resolve(route::split(&request.target).0).ok();
        visits.begin("192.0.2.1".parse().unwrap(), request, route.as_ref(), Instant::now())
    }

    /// The pairs of its line, those of time left out.
    fn pairs(visit: &Visit) -> Vec<(String, String)> {
        struct Collect(Vec<(String, String)>);
        impl<'kvs> VisitSource<'kvs> for Collect {
            fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
                self.0.push((key.to_string(), value.to_string()));
                Ok(())
            }
        }
        let mut collected = Collect(Vec::new());
        Pairs::visit(&Line::new(visit), &mut collected).unwrap();
        collected.0.retain(|(name, _)| name != "request" && !name.ends_with("_ms"));
        collected.0
    }

    #[track_caller]
    fn check(visit: &Visit, want: &[(&str, &str)]) {
        let want: Vec<(String, String)> = want.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        assert_eq!(pairs(visit), want);
    }

    #[test]
    fn a_part_of_a_film_that_the_viewer_left() {
        let visits = visits(&[]);
        let mut visit = begin(&visits, &request("/media/a%20b.mp4?token=eyJsecret", &[("x-forwarded-for", "203.0.113.9")]));
        let mut response = Response::new(206);
        let id = ObjectId { key: ObjectKey::new("a b.mp4").unwrap(), etag: ETag::from_store("v").unwrap() };
        response.body = Body::Object(ObjectPart { id, range: 10..20, object_size: 100, chunk_len: 1 });
        visit.answered(&response, 300, Some("bytes=10-19"));
        visit.begin_stream();
        for len in [100, 203, 4] {
            visit.sent(len, Instant::now());
        }
        let scope = visit.enter();
        crate::present::note_try();
        visit.leave(scope);
        let rest = [
            ("client", "192.0.2.1"),
            ("method", "GET"),
            ("route", "stream"),
            ("key", "a b.mp4"),
            ("range", "10-19/100"),
            ("status", "206"),
            ("bytes", "7"),
            ("upstream_tries", "1"),
        ];
        check(&visit, &[&rest[..], &[("end", "client")]].concat());
        visit.cut_short(Closed::Stalled);
        check(&visit, &[&rest[..], &[("end", "stalled")]].concat());
        visit.done();
        check(&visit, &[&rest[..], &[("end", "done")]].concat());
        let metrics = Arc::clone(&visits.metrics);
        assert_eq!(metrics.streams_active.get(), 1);
        drop(visit);
        assert_eq!(metrics.streams_active.get(), 0);
        let text = String::from_utf8(metrics.text(0, 0).unwrap()).unwrap();
        assert!(text.contains("vidgate_response_bytes_total{route=\"stream\"} 7\n"), "{text}");
        assert!(text.contains("vidgate_first_byte_seconds_count{route=\"stream\"} 1\n"), "{text}");
    }

    #[test]
    fn what_cannot_be_had_is_told_as_it_was_asked_for() {
        let visits = visits(&[]);
        let mut visit = begin(&visits, &request("/media/a.mp4", &[]));
        visit.answered(&Response::with_error(&Error::from(ErrorKind::RangeNotSatisfiable)), 300, Some("bytes=500-"));
        let rest = [("status", "416"), ("bytes", "0"), ("upstream_tries", "0"), ("end", "client")];
        let want = [("client", "192.0.2.1"), ("method", "GET"), ("route", "stream"), ("key", "a.mp4"), ("range", "bytes=500-")];
        check(&visit, &[&want[..], &rest].concat());
    }

    #[test]
    fn the_object_that_only_the_work_told_is_told() {
        let visits = visits(&[]);
        let mut visit = begin(&visits, &request("/api/videos?token=eyJsecret", &[]));
        assert_eq!(pairs(&visit)[3], ("path".into(), "/api/videos".into()));
        let scope = visit.enter();
        crate::present::note_object(&ObjectKey::new("~eyJsecret/a b.mp4").unwrap());
        visit.leave(scope);
        assert_eq!(pairs(&visit)[3..5], [("key".into(), "~.../a b.mp4".into()), ("path".into(), "/api/videos".into())]);
    }

    #[test]
    fn what_is_no_route_is_told_by_its_path_and_no_token_is_told() {
        let visits = visits(&[]);
        let end = [("status", "404"), ("bytes", "0"), ("upstream_tries", "0"), ("end", "client")];
        for (target, path) in [
            ("/nowhere?token=eyJsecret", "/nowhere".to_owned()),
            ("/media/~eyJsecret", "/media/~...".to_owned()),
            (&format!("/{}", "x".repeat(1000)), format!("/{}", "x".repeat(255))),
        ] {
            let mut visit = begin(&visits, &request(target, &[]));
            visit.answered(&Response::with_error(&Error::from(ErrorKind::NotFound)), 1000, Some("bytes=0-"));
            let want = [("client", "192.0.2.1"), ("method", "GET"), ("route", "none"), ("path", path.as_str())];
            check(&visit, &[&want[..], &end].concat());
        }
        let visit = begin(&visits, &request("/api/videos/~eyJsecret/a.mp4/stream", &[]));
        assert_eq!(pairs(&visit)[3], ("key".into(), "~.../a.mp4".into()));
        // Nothing marks the place as that of a token, but its form does.
        let visit = begin(&visits, &request("/media/eyJ0.eyJr.secret/a.mp4", &[]));
        assert_eq!(pairs(&visit)[3], ("key".into(), "~.../a.mp4".into()));
    }

    #[test]
    fn whose_word_counts_for_the_id_and_the_client() {
        let fields = [("x-request-id", "given"), ("x-forwarded-for", "203.0.113.9")];
        let visit = begin(&visits(&["192.0.2.0/24"]), &request("/", &fields));
        assert_eq!((visit.id.as_str(), visit.client.to_string().as_str()), ("given", "203.0.113.9"));
        let stranger = visits(&["198.51.100.0/24"]);
        let visit = begin(&stranger, &request("/", &fields));
        assert_eq!((visit.id.as_str().len(), visit.client.to_string().as_str()), (16, "192.0.2.1"));
        assert_ne!(begin(&stranger, &request("/", &fields)).id, visit.id);
        let trusted = visits(&["192.0.2.0/24"]);
        let visit = begin(&trusted, &request("/", &[("x-request-id", "two words")]));
        assert_eq!(visit.id.as_str().len(), 16);
    }
}
