//! The handler: a request in, an answer out.
//!
//! In scope: what each route does. Not in scope: which route it is and which status follows (`http`), sending (`stream`).

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use ipnet::IpNet;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Side};
use crate::http::cors::CorsOrigins;
use crate::http::forwarded;
use crate::http::plan::{self, Options};
use crate::http::response::{Body, Response};
use crate::http::route::{self, Route};
use crate::http::{tus, upload};
use crate::metrics::TEXT_TYPE;
use crate::object::{ETag, ObjectKey, content_type_of};
use crate::serve::access::{Access, Caller, Pass};
use crate::serve::chunks::{Chunks, First, is_gone};
use crate::serve::connection::Connection;
use crate::serve::flights::{Landing, Wait};
use crate::serve::lanes::Request;
use crate::serve::links::{LinkRequest, Links};
use crate::serve::quota::{Permit, Quota};
use crate::serve::readiness::Readiness;
use crate::serve::resumable::{self, Desk};
use crate::serve::source::{Looked, Source};
use crate::serve::upload::{Plan, Task};
use crate::sign::token::{self, Claims, Wanted};
use crate::store::Condition;
use crate::web::Pages;

/// How often an answer is planned anew because the object was replaced between looking at it and opening it.
const PLANS_MAX: usize = 3;

/// What the routes need.
pub(crate) struct Handler {
    pub(crate) source: Arc<Source>,
    pub(crate) chunk_len: usize,
    pub(crate) cors: CorsOrigins,
    pub(crate) quota: Arc<Quota>,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) access: Access,
    pub(crate) links: Links,
    pub(crate) pages: Pages,
    /// How long links and tokens are good where nobody says.
    pub(crate) url_ttl: Duration,
    pub(crate) readiness: Readiness,
    /// The longest object that may be uploaded, in bytes.
    pub(crate) upload_max: u64,
    pub(crate) desk: Desk,
}

/// An answer that is ready to be sent: the head's fields, the first slice of the body, and the rest of it.
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) slice: Bytes,
    pub(crate) chunks: Option<Chunks>,
    pub(crate) permit: Option<Permit>,
}

/// An answer that is known but for its first bytes, which are waited for.
pub(crate) struct Begun {
    response: Response,
    chunks: Chunks,
}

/// One attempt at an answer.
struct Attempt {
    /// What the request waited for, where it did.
    landing: Option<Landing>,
    /// How long the first slice is at most, in bytes.
    first_len: usize,
    /// Its right to be a stream, once it has one.
    permit: Option<Permit>,
}

/// What comes of a request.
pub(crate) enum Outcome {
    /// Its answer.
    Answer(Box<Answer>),
    /// Nothing before another request has fetched this; and what there is of the answer by then, where there is something.
    Join(Wait, Option<Box<Begun>>),
    /// Nothing before its body was received, which takes its time.
    Receive(Box<Task>),
}

impl From<Response> for Outcome {
    fn from(response: Response) -> Self {
        Self::Answer(Box::new(response.into()))
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self { response, slice: Bytes::new(), chunks: None, permit: None }
    }
}

impl Handler {
    /// Answers a request. Where the answer has the bytes of an object, the first of them are there already: what can fail has
    /// failed before a head says 200. `landing` is what the request waited for, where it did, and `begun` what there was of its
    /// answer then; the first bytes are `first_len` at most.
    pub(crate) fn answer(
        &self,
        request: &Request,
        peer: IpAddr,
        landing: Option<Landing>,
        begun: Option<Box<Begun>>,
        first_len: usize,
    ) -> Outcome {
        let mut attempt = Attempt { landing, first_len, permit: None };
        let outcome = match begun {
            None => self.route(request, peer, &mut attempt),
            Some(begun) => match self.go_on(request, peer, *begun, &mut attempt) {
                // The object was replaced meanwhile.
                Err(error) if error.kind() == ErrorKind::Changed => self.route(request, peer, &mut attempt),
                outcome => outcome,
            },
        };
        match outcome {
            Ok(outcome @ (Outcome::Join(..) | Outcome::Receive(_))) => outcome,
            Ok(Outcome::Answer(answer)) => Outcome::Answer(Box::new(self.complete(request, *answer))),
            Err(error) => Outcome::Answer(Box::new(self.refuse(request, &error))),
        }
    }

    /// The answer to a request that cannot be answered as it was meant.
    pub(crate) fn refuse(&self, request: &Request, error: &Error) -> Answer {
        if error.kind().side() != Side::Client {
            let path = route::without_tokens(route::split(&request.target).0);
            log::warn!("{} {path:?}: {}", request.method, error.chain());
            if path == route::READY {
                return self.complete(request, not_ready(error).into());
            }
        }
        self.complete(request, Response::with_error(error).into())
    }

    /// Receives the body of an upload, and answers it. Blocks for as long as that takes.
    pub(crate) fn receive(
        &self,
        request: &Request,
        task: Task,
        connection: &mut Connection,
        is_stopping: &AtomicBool,
    ) -> Answer {
        if cfg!(not(feature = "uploads")) {
            // `change` has let none through. That it is said here again keeps what receives out of such a program.
            return self.refuse(request, &ErrorKind::NotConfigured.into());
        }
        let received = match task {
            Task::Whole(plan) => plan.run(&self.source, connection, self.upload_max, is_stopping),
            Task::Resumable(plan) => self.desk.run(*plan, &self.source, connection, self.upload_max, is_stopping),
        };
        match received {
            Ok(response) => self.complete(request, response.into()),
            Err(error) => self.refuse(request, &error),
        }
    }

    /// The connection, which is in the lot already, will be told what becomes of this; `false` where nobody fetches it any more.
    pub(crate) fn join(&self, wait: &Wait, connection_id: usize) -> bool {
        self.source.join(wait, connection_id)
    }

    /// What all answers have in common.
    fn complete(&self, request: &Request, mut answer: Answer) -> Answer {
        if request.method == "HEAD" {
            answer.chunks = None;
            answer.slice = Bytes::new();
        } else if let Body::Bytes(bytes) = &answer.response.body {
            answer.slice = bytes.clone();
        }
        if tus::is_path(route::split(&request.target).0) {
            answer.response.field("Tus-Resumable", tus::VERSION);
            if answer.response.status() >= 400 {
                answer.response.field("Tus-Version", tus::VERSION);
            }
        }
        self.cors.mark(request.fields.get("origin"), &mut answer.response);
        answer
    }

    fn route(&self, request: &Request, peer: IpAddr, attempt: &mut Attempt) -> Result<Outcome, Error> {
        let (path, query) = route::split(&request.target);
        if request.method == "OPTIONS" {
            let mut response = self.cors.preflight(request.fields.get("origin"), ANY_METHODS);
            if tus::is_path(path) && self.access.admin.is_some() && self.source.store.resumable().is_some() {
                tus::describe(&mut response, self.upload_max);
            }
            return Ok(response.into());
        }
        let route = route::resolve(path)?;
        let is_head = request.method == "HEAD";
        let caller = Caller::of(request, peer, &self.trusted_proxies, SystemTime::now());
        if route == Route::Tokens && request.method == "POST" {
            return self.mint(request, caller.now).map(Outcome::from);
        }
        if request.method != "GET" && !is_head {
            return self.change(request, route, attempt.landing.as_ref());
        }
        Ok(match route {
            Route::Bytes(key) => {
                let pass = self.access.media(request, caller, Wanted::Object(&key))?;
                let chunk_len = route::chunk_len(query, self.chunk_len)?;
                let (download, version) = (route::download(query), route::version(query));
                let options = Options { chunk_len, download, version, audience: pass.audience(request) };
                return self.bytes(request, caller.client, &key, &options, attempt);
            }
            Route::List => return self.list(request, caller, query, attempt.landing.as_ref()),
            Route::Entry(key) => {
                self.access.data(request, caller, Wanted::Object(&key))?;
                let meta = match self.source.head(&key, attempt.landing.as_ref())? {
                    Looked::Meta(meta) => meta,
                    Looked::Join(wait) => return Ok(Outcome::Join(wait, None)),
                };
                let entry = entry(&key, meta.size, meta.content_type(), meta.last_modified, &meta.id.etag);
                Response::with_json(200, &entry).into()
            }
            Route::Url(key) => {
                let pass = self.access.data(request, caller, Wanted::Object(&key))?;
                let (lifetime, redirect) = (route::expires(query, self.url_ttl)?, route::redirect(query)?);
                if let Looked::Join(wait) = self.source.head(&key, attempt.landing.as_ref())? {
                    return Ok(Outcome::Join(wait, None));
                }
                // Without good credentials a presigned link waits for others, as a read does.
                let turn = self.links.asks_store(&pass).then(|| self.source.turn(attempt.landing.as_ref()));
                if matches!(turn, Some(None)) {
                    return Ok(Outcome::Join(Wait::Turn, None));
                }
                let base = self.base(request, peer);
                let wanted = self.link_request(&key, lifetime, caller, &pass, &base);
                let link = self.links.link(&*self.source.store, &wanted)?;
                if redirect { link.redirect() } else { Response::with_json(200, &link.json()) }.into()
            }
            Route::Cookies(key) => self.cookies(request, caller, &key, query)?.into(),
            Route::Uploads | Route::Upload(_) => return self.change(request, route, attempt.landing.as_ref()),
            Route::Tokens => return Ok(refuse_method(&route, self.access.may_change()).into()),
            Route::Library | Route::Watch(_) | Route::Hls => self.pages.answer(&route)?.into(),
            Route::Metrics => self.metrics()?.into(),
            Route::Health => Response::with_json(200, &json!({"status": "ok"})).into(),
            Route::Ready => return self.ready(attempt.landing.as_ref()),
        })
    }

    /// What changes the store, or would.
    fn change(&self, request: &Request, route: Route, landing: Option<&Landing>) -> Result<Outcome, Error> {
        match (request.method.as_str(), route) {
            (_, Route::Uploads | Route::Upload(_)) | ("PUT" | "DELETE", Route::Entry(_)) | ("POST", Route::List)
                if cfg!(not(feature = "uploads")) =>
            {
                Err(ErrorKind::NotConfigured.into())
            }
            (_, route @ (Route::Uploads | Route::Upload(_))) => {
                self.access.change(request)?;
                Ok(match resumable::Plan::of(route.clone(), request)? {
                    Some(plan) => Outcome::Receive(Box::new(Task::Resumable(Box::new(plan)))),
                    None => refuse_method(&route, true).into(),
                })
            }
            ("PUT", Route::Entry(key)) => {
                self.access.change(request)?;
                Ok(Outcome::Receive(Box::new(Task::Whole(Box::new(Plan::object(key, request)?)))))
            }
            ("POST", Route::List) => {
                self.access.change(request)?;
                Ok(Outcome::Receive(Box::new(Task::Whole(Box::new(Plan::form(request)?)))))
            }
            ("DELETE", Route::Entry(key)) => {
                self.access.change(request)?;
                self.delete(request, &key, landing)
            }
            (_, route) => Ok(refuse_method(&route, self.access.may_change()).into()),
        }
    }

    fn delete(&self, request: &Request, key: &ObjectKey, landing: Option<&Landing>) -> Result<Outcome, Error> {
        if upload::condition(&request.fields)? != Condition::None {
            // No store could be made to keep it.
            return Err(Error::new(ErrorKind::BadRequest, "DELETE has no conditions here"));
        }
        let Some(_turn) = self.source.turn(landing) else { return Ok(Outcome::Join(Wait::Turn, None)) };
        let deleted = self.source.store.delete(key);
        self.source.forget(key);
        deleted.map(|()| Response::new(204).into())
    }

    /// The bytes of an object, or what the preconditions say instead.
    fn bytes(
        &self,
        request: &Request,
        client: IpAddr,
        key: &ObjectKey,
        options: &Options,
        attempt: &mut Attempt,
    ) -> Result<Outcome, Error> {
        let is_head = request.method == "HEAD";
        if !is_head {
            self.enter(client, attempt)?;
        }
        for plans_left in (0..PLANS_MAX).rev() {
            let meta = match self.source.head(key, attempt.landing.as_ref())? {
                Looked::Meta(meta) => meta,
                Looked::Join(wait) => return Ok(Outcome::Join(wait, None)),
            };
            let mut response = plan::answer(is_head, &request.fields, &meta, options);
            // The address may have a token in it, and a playlist or a document may lead elsewhere.
            response.field("Referrer-Policy", "no-referrer");
            let Body::Object(part) = &response.body else { return Ok(response.into()) };
            if is_head {
                return Ok(response.into());
            }
            let chunks = Chunks::new(Arc::clone(&self.source), part.clone());
            // What became of another's look at the object says nothing of its bytes.
            attempt.landing = attempt.landing.take().filter(|landing| matches!(landing, Landing::Turn(_)));
            match self.first(Begun { response, chunks }, attempt) {
                Err(error) if error.kind() == ErrorKind::Changed && plans_left > 0 => {}
                outcome => return outcome,
            }
        }
        Err(ErrorKind::Changed.into())
    }

    /// The rest of an answer that waited for its first bytes. Whether the client may have them was decided when it asked, as it is for
    /// bytes that take longer.
    fn go_on(&self, request: &Request, peer: IpAddr, begun: Begun, attempt: &mut Attempt) -> Result<Outcome, Error> {
        let caller = Caller::of(request, peer, &self.trusted_proxies, SystemTime::now());
        self.enter(caller.client, attempt)?;
        self.first(begun, attempt)
    }

    /// The attempt gets the right to be a stream, unless it has it.
    fn enter(&self, client: IpAddr, attempt: &mut Attempt) -> Result<(), Error> {
        if attempt.permit.is_none() {
            attempt.permit = Some(self.quota.enter(client)?);
        }
        Ok(())
    }

    /// The first bytes of an answer, or what they wait for. Who waits is no stream yet, and has no permit.
    fn first(&self, mut begun: Begun, attempt: &mut Attempt) -> Result<Outcome, Error> {
        begun.chunks.limit_next(attempt.first_len);
        if let Some(landing) = attempt.landing.take() {
            begun.chunks.land(landing);
        }
        match begun.chunks.first() {
            Ok(First::Slice(slice)) => {
                let Begun { response, chunks } = begun;
                Ok(Outcome::Answer(Box::new(Answer { response, slice, chunks: Some(chunks), permit: attempt.permit.take() })))
            }
            Ok(First::Join(wait)) => {
                begun.chunks.let_go();
                Ok(Outcome::Join(wait, Some(Box::new(begun))))
            }
            Err(error) => {
                if is_gone(error.kind()) {
                    self.source.forget(&begun.chunks.id().key);
                }
                Err(error)
            }
        }
    }

    fn metrics(&self) -> Result<Response, Error> {
        let mut response = Response::new(200);
        response.field("Content-Type", TEXT_TYPE);
        response.field("Cache-Control", "no-store");
        response.body = Body::Bytes(self.source.metrics_text()?.into());
        Ok(response)
    }

    /// Signed cookies: for the folder of the object where it has one and no prefix is asked for, else for the object alone.
    fn cookies(&self, request: &Request, caller: Caller, key: &ObjectKey, query: &str) -> Result<Response, Error> {
        let asked = route::cookie_prefix(query, key)?;
        let folder = key.as_str().rfind('/').map(|at| &key.as_str()[..=at]);
        let prefix = asked.as_deref().or(folder);
        let pass = self.access.data(request, caller, prefix.map_or(Wanted::Object(key), Wanted::Prefix))?;
        let wanted = self.link_request(key, route::expires(query, self.url_ttl)?, caller, &pass, "");
        let cookies = self.links.cookies(prefix, &wanted, request.fields.get("host"))?;
        let mut response = Response::new(204);
        response.field("Cache-Control", "no-store");
        for cookie in cookies.fields() {
            response.field("Set-Cookie", &cookie);
        }
        if let CorsOrigins::List(_) = self.cors {
            // The Fetch standard, "CORS protocol and credentials": without it a page of another origin keeps no cookies. A
            // browser minds it only beside the origin, which is named for those that are configured.
            response.field("Access-Control-Allow-Credentials", "true");
        }
        Ok(response)
    }

    /// A playback token for whoever the operator wants to have one.
    fn mint(&self, request: &Request, now: u64) -> Result<Response, Error> {
        let keys = self.access.mint(request)?;
        let claims = Claims::requested(&request.body, now, self.url_ttl)?;
        let expires_at = rfc_3339_seconds(claims.expires_at);
        Ok(Response::with_json(200, &json!({"token": token::mint(keys, &claims), "expiresAt": expires_at})))
    }

    fn link_request<'a>(
        &'a self,
        key: &'a ObjectKey,
        lifetime: Duration,
        caller: Caller,
        pass: &'a Pass,
        base: &'a str,
    ) -> LinkRequest<'a> {
        LinkRequest { key, lifetime, now: caller.now, pass, keys: self.access.keys.as_ref(), base }
    }

    /// Scheme and host of this server as the client sees it; nothing where it named no host, and a link is relative then.
    fn base(&self, request: &Request, peer: IpAddr) -> String {
        let Some(host) = request.fields.get("host") else { return String::new() };
        let is_https = forwarded::is_https(peer, request.fields.get("x-forwarded-proto"), &self.trusted_proxies);
        format!("{}://{host}", if is_https { "https" } else { "http" })
    }

    /// 200 where the store can be asked, else 503 for whatever reason: those who ask look at the status only, and it is for a while.
    /// The question takes its turn as a read does, or it could have the thread that is kept for viewers of what is here.
    fn ready(&self, landing: Option<&Landing>) -> Result<Outcome, Error> {
        let now = Instant::now();
        let answer = if let Some(known) = self.readiness.known(now) {
            known
        } else {
            let Some(_turn) = self.source.turn(landing) else { return Ok(Outcome::Join(Wait::Turn, None)) };
            let tell = |error: &Error| log::warn!("not ready: {}", error.chain());
            self.readiness.check(now, || self.source.store.ready().inspect_err(tell))
        };
        match answer {
            Ok(()) => Ok(Response::with_json(200, &json!({"status": "ready"})).into()),
            Err(error) if error.kind() == ErrorKind::Busy => Err(error),
            Err(error) => Ok(not_ready(&error).into()),
        }
    }

    fn list(&self, request: &Request, caller: Caller, query: &str, landing: Option<&Landing>) -> Result<Outcome, Error> {
        let query = route::list_query(query)?;
        self.access.data(request, caller, Wanted::Prefix(&query.prefix))?;
        let Some(_turn) = self.source.turn(landing) else { return Ok(Outcome::Join(Wait::Turn, None)) };
        let page = self.source.store.list(&query)?;
        let entries = page.entries.iter();
        let videos: Vec<Value> =
            entries.map(|it| entry(&it.key, it.size, content_type_of(&it.key), it.last_modified, &it.etag)).collect();
        Ok(Response::with_json(200, &json!({"videos": videos, "next": page.next})).into())
    }
}

/// What OPTIONS says of every address: the methods that some route has. A preflight is not told what exists.
const ANY_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Why the store cannot be asked.
fn not_ready(error: &Error) -> Response {
    let mut response = Response::with_error(error);
    response.set_status(503);
    response
}

/// A method that the route has not.
fn refuse_method(route: &Route, may_change: bool) -> Response {
    let mut response = Response::with_error(&ErrorKind::MethodNotAllowed.into());
    response.field("Allow", route.methods(may_change));
    response
}

/// One object in the JSON of the contract.
pub(crate) fn entry(key: &ObjectKey, size: u64, content_type: &str, last_modified: SystemTime, etag: &ETag) -> Value {
    json!({
        "key": key.as_str(),
        "size": size,
        "contentType": content_type,
        "lastModified": rfc_3339(last_modified),
        "etag": etag.as_str(),
    })
}

/// A time as RFC 3339 writes it, in UTC, to the second.
fn rfc_3339(time: SystemTime) -> String {
    rfc_3339_seconds(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs())
}

/// The same of seconds since 1970.
pub(crate) fn rfc_3339_seconds(seconds: u64) -> String {
    let timestamp = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    timestamp.unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times() {
        for (seconds, want) in
            [(0, "1970-01-01T00:00:00Z"), (784_111_777, "1994-11-06T08:49:37Z"), (u64::MAX / 2, "1970-01-01T00:00:00Z")]
        {
            let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
            assert_eq!(time.map(rfc_3339).as_deref(), Some(want));
        }
    }
}
