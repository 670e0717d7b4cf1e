//! Sending a signed request.
//!
//! In scope: the connections, their limits, the one retry, and the end of what ureq says. Not in scope: what a reply means.
//!
//! A URL here carries a signature, so no error of this file may hold one: [`fail`] decides what of ureq's errors is told.

use std::time::Duration;

use ureq::http::Response;
use ureq::http::response::Parts;
use ureq::{Agent, Body, Error as UreqError};

use super::reply::{self, Request};
use crate::error::{Error, ErrorKind};

/// Idle connections kept. Each pool thread uses one at a time, and 8 threads for each of 8 cores are 64.
pub(super) const IDLE_MAX: usize = 64;

/// How long an idle connection is kept: less than the 20 seconds after which S3 is known to close them.
pub(super) const IDLE_AGE_MAX: Duration = Duration::from_secs(15);

/// The longest head of a reply, in bytes. S3 allows 2 KiB of user metadata (AWS, "Working with object metadata") and sends some
/// twenty fields of its own.
pub(super) const HEAD_LEN_MAX: usize = 32 * 1024;

/// The buffer of a connection for what comes, in bytes: one read of the socket. 128 and 256 KiB were no faster against MinIO
/// (vendor-notes/ureq.md), and each idle connection keeps its buffers.
const INPUT_LEN: usize = 64 * 1024;

/// The buffer of a connection for what goes, in bytes. It holds a request head: a URL with a key of 1024 bytes, each escaped, and
/// a session token. ureq's default of 128 KiB would be kept by each idle connection for nothing.
const OUTPUT_LEN: usize = 16 * 1024;

/// The same where parts of objects go. Each upload has a connection of its own, for as long as it lasts.
const OUTPUT_LEN_UPLOAD: usize = 128 * 1024;

/// How slow a store may be that takes a part, in bytes a second, before it counts as one that hangs.
const PART_RATE_MIN: u64 = 64 * 1024;

/// How long a store may take to answer once it has what was put. MinIO waits up to 30 seconds for whoever reads the object that is
/// replaced (vendor-notes/rusty-s3.md).
const STORED_MAX: Duration = Duration::from_mins(1);

/// How long a store may take to put the parts of an object together: minutes for the largest (AWS, `CompleteMultipartUpload`).
const COMPLETE_MAX: Duration = Duration::from_mins(10);

/// How much of an error's body is read, in bytes. S3's own are below 1 KiB.
pub(super) const ERROR_LEN_MAX: u64 = 4 * 1024;

/// The longest page of a listing, in bytes: 1000 entries with keys of 1024 bytes, each escaped, are 3 MiB and a little.
const PAGE_LEN_MAX: u64 = 4 * 1024 * 1024;

/// How long the store may take. Each is a limit on one step, so that a long film may take long, and a silent store may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To accept a connection, the TLS handshake included. 5 seconds by default: one lost SYN is sent again after 1, the next
    /// after 3.
    pub connect: Duration,
    /// From the request to the end of the reply's head. 10 seconds by default.
    pub head: Duration,
    /// For each read of a body that has come to a halt. 10 seconds by default.
    pub read: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), head: Duration::from_secs(10), read: Duration::from_secs(10) }
    }
}

/// The connections to the store.
pub(super) struct Wire {
    agent: Agent,
    limits: Limits,
}

/// What is sent, and how often.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sending<'b> {
    /// No body, by the method of the request.
    Nothing,
    /// A part of an object.
    Part(&'b [u8]),
    /// An object on a condition: as a part, but it is not sent again here. A refusal of what was sent twice may be about what the first
    /// of them did, so whoever asks must know of it.
    OnCondition(&'b [u8]),
    /// A short body that must not be sent twice, for each time has its own effect. The answer may take long.
    Once(&'b [u8]),
}

impl Wire {
    pub(super) fn new(limits: Limits) -> Self {
        Self::with_output(limits, OUTPUT_LEN)
    }

    /// Connections of one upload, which nobody used before: none of them was closed by the store meanwhile.
    pub(super) fn for_upload(&self) -> Self {
        Self::with_output(self.limits, OUTPUT_LEN_UPLOAD)
    }

    fn with_output(limits: Limits, output_len: usize) -> Self {
        let config = Agent::config_builder()
            // Statuses are judged in `reply`, redirects included: one to another bucket or region must not be followed.
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // ureq would take a proxy from the environment by itself; settings come in as arguments here.
            .proxy(None)
            .user_agent(concat!("vidgate/", env!("CARGO_PKG_VERSION")))
            .accept("")
            // A store that compressed would break every range.
            .accept_encoding("identity")
            .timeout_connect(Some(limits.connect))
            .timeout_send_request(Some(limits.head))
            .timeout_recv_response(Some(limits.head))
            .timeout_per_read(Some(limits.read))
            .max_response_header_size(HEAD_LEN_MAX)
            .input_buffer_size(INPUT_LEN)
            .output_buffer_size(output_len)
            .max_idle_connections(IDLE_MAX)
            .max_idle_connections_per_host(IDLE_MAX)
            .max_idle_age(IDLE_AGE_MAX)
            .build();
        Self { agent: config.new_agent(), limits }
    }

    /// Sends a request by the method that it says, with what is to be sent.
    pub(super) fn send(
        &self,
        request: &Request,
        url: &str,
        fields: &[(&str, &str)],
        sending: Sending<'_>,
    ) -> Result<Response<Body>, Error> {
        let bare = || match request.method() {
            "HEAD" => self.agent.head(url),
            "DELETE" => self.agent.delete(url),
            _ => self.agent.get(url),
        };
        let with_body = || match request.method() {
            "POST" => self.agent.post(url),
            _ => self.agent.put(url),
        };
        match sending {
            Sending::Nothing => {
                send(request, || fields.iter().fold(bare(), |get, (name, value)| get.header(*name, *value)).call())
            }
            Sending::Part(bytes) | Sending::OnCondition(bytes) => {
                let limit = self.limits.head + Duration::from_secs(bytes.len() as u64 / PART_RATE_MIN);
                let put = || {
                    let config = with_body().config().timeout_send_body(Some(limit));
                    let put = config.timeout_recv_response(Some(STORED_MAX)).timeout_per_read(Some(STORED_MAX)).build();
                    fields.iter().fold(put, |put, (name, value)| put.header(*name, *value)).send(bytes)
                };
                match sending {
                    Sending::OnCondition(_) => put().map_err(|error| fail(request, error)),
                    _ => send(request, put),
                }
            }
            Sending::Once(bytes) => {
                let config = with_body().config().timeout_send_body(Some(self.limits.head));
                let post = config.timeout_recv_response(Some(COMPLETE_MAX)).timeout_per_read(Some(COMPLETE_MAX)).build();
                let post = fields.iter().fold(post, |post, (name, value)| post.header(*name, *value));
                post.send(bytes).map_err(|error| fail(request, error))
            }
        }
    }

    /// Reads a reply that is no good to its end, or as much as is worth it, for what the store says of it.
    #[allow(clippy::unused_self)] // A reply is read by what sent its request.
    pub(super) fn refuse(&self, request: &Request, response: Response<Body>) -> Error {
        let (head, text) = self.split(response);
        reply::refuse(request, head.status, &head.headers, &text)
    }

    /// The head of a reply that is no good, and its body to the end, or as much as is worth it.
    #[allow(clippy::unused_self)] // As above.
    pub(super) fn split(&self, response: Response<Body>) -> (Parts, Vec<u8>) {
        use std::io::Read;

        let (head, body) = response.into_parts();
        let mut text = Vec::new();
        // Where the body breaks, what came of it is told, and the status is what counts.
        let _ = body.into_reader().take(ERROR_LEN_MAX).read_to_end(&mut text);
        (head, text)
    }

    /// Reads the body of a good reply as text, whole.
    #[allow(clippy::unused_self)] // As above.
    pub(super) fn text(&self, request: &Request, response: Response<Body>) -> Result<String, Error> {
        let mut body = response.into_body();
        // A limit that is met exactly is an error for ureq, hence the one more.
        let bytes = body.with_config().limit(PAGE_LEN_MAX + 1).read_to_vec().map_err(|error| fail(request, error))?;
        String::from_utf8(bytes).map_err(|_| request.nonsense("a listing that is not UTF-8"))
    }
}

/// Sends a request, and once more, at once, where its connection broke before a reply came. A connection of the pool may have
/// been closed by the store at that very moment; and each request here is idempotent (RFC 9110 section 9.2.2).
fn send(request: &Request, call: impl Fn() -> Result<Response<Body>, UreqError>) -> Result<Response<Body>, Error> {
    match call() {
        Err(UreqError::Io(_)) => call(),
        done => done,
    }
    .map_err(|error| fail(request, error))
}

/// The crate's error for one of ureq. Of its texts only those are repeated that can hold no URL.
pub(super) fn fail(request: &Request, error: UreqError) -> Error {
    match error {
        UreqError::Timeout(limit) => {
            Error::new(ErrorKind::UpstreamTimeout, format!("{request} took too long: the limit of {limit}"))
        }
        UreqError::Io(source) => Error::new(ErrorKind::UpstreamUnavailable, format!("{request} failed")).with_source(source),
        UreqError::HostNotFound => unavailable(request, "the host of the store has no address"),
        UreqError::Protocol(source) => unavailable(request, "the reply is not HTTP").with_source(source),
        UreqError::LargeResponseHeader(..) => {
            unavailable(request, &format!("the head of the reply is longer than {HEAD_LEN_MAX} bytes"))
        }
        UreqError::BodyExceedsLimit(limit) => unavailable(request, &format!("the reply is longer than {limit} bytes")),
        UreqError::Tls(why) => unavailable(request, why),
        UreqError::Rustls(source) => unavailable(request, "TLS failed").with_source(source),
        UreqError::ConnectionFailed => unavailable(request, "no connection"),
        // What is left can only come from a URL or a setting that ureq does not like.
        _ => Error::new(ErrorKind::Internal, format!("{request} could not be sent")),
    }
}

/// The error for a reply that did not come, or is none.
pub(super) fn unavailable(request: &Request, why: &str) -> Error {
    Error::new(ErrorKind::UpstreamUnavailable, format!("{request} failed: {why}"))
}
