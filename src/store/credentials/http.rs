//! Asking an endpoint of credentials, with limits on everything.
//!
//! In scope: one request, one answer as text, and what may be told of a failure. Not in scope: what an answer means.
//!
//! A request or an answer here may hold a token or keys, so nothing of either is ever told.

use std::time::Duration;

use ureq::http::Response;
use ureq::{Agent, Body, Error as UreqError};

/// The longest answer, in bytes. The longest that there is, of STS with its token, has a few KiB.
const ANSWER_LEN_MAX: u64 = 64 * 1024;

/// The longest head of an answer, in bytes.
const HEAD_LEN_MAX: usize = 16 * 1024;

/// How long one request may take, in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// On this machine or the next hop: one second to connect and two in all. The AWS SDKs give EC2's endpoint one second; where
    /// there is none, packets to it may just vanish.
    Local,
    /// Somewhere in the network: three seconds to connect and ten in all.
    Remote,
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Ask<'a> {
    Get,
    Put,
    /// A form (`application/x-www-form-urlencoded`).
    Post(&'a str),
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Makes requests. Each has a connection of its own: there is one in hours.
#[derive(Debug)]
pub(super) struct Http {
    agent: Agent,
}

impl Http {
    pub(super) fn new() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Whoever is sent elsewhere would take its token along.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // These endpoints are on this machine, and no proxy may see what they answer.
            .proxy(None)
            .user_agent(concat!("vidgate/", env!("CARGO_PKG_VERSION")))
            .accept("")
            .accept_encoding("identity")
            .max_response_header_size(HEAD_LEN_MAX)
            .max_idle_connections(0)
            .build();
        Self { agent: config.new_agent() }
    }

    /// Sends a request, and reads its answer to the end.
    ///
    /// # Errors
    /// Why there is no answer, as a phrase.
    pub(super) fn send(&self, patience: Patience, url: &str, ask: Ask<'_>, fields: &[(&str, &str)]) -> Result<Answer, String> {
        let response = self.call(patience, url, ask, fields).map_err(|error| explain(&error))?;
        let status = response.status().as_u16();
        // A limit that is met exactly is an error for ureq, hence the one more.
        let body = response.into_body().with_config().limit(ANSWER_LEN_MAX + 1).read_to_vec();
        let body = body.map_err(|error| explain(&error))?;
        let body = String::from_utf8(body).map_err(|_| "the answer is not UTF-8".to_owned())?;
        Ok(Answer { status, body })
    }

    fn call(&self, patience: Patience, url: &str, ask: Ask<'_>, fields: &[(&str, &str)]) -> Result<Response<Body>, UreqError> {
        let (connect, all) = match patience {
            Patience::Local => (Duration::from_secs(1), Duration::from_secs(2)),
            Patience::Remote => (Duration::from_secs(3), Duration::from_secs(10)),
        };
        macro_rules! prepared {
            ($request:expr) => {{
                let request = $request.config().timeout_connect(Some(connect)).timeout_global(Some(all)).build();
                fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))
            }};
        }
        match ask {
            Ask::Get => prepared!(self.agent.get(url)).call(),
            Ask::Put => prepared!(self.agent.put(url)).send_empty(),
            Ask::Post(form) => prepared!(self.agent.post(url)).send(form),
        }
    }
}

/// What may be told of an error of ureq: of its texts only those that hold no URL and no field.
fn explain(error: &UreqError) -> String {
    match error {
        UreqError::Timeout(_) => "it took too long".to_owned(),
        UreqError::Io(source) if source.kind() == std::io::ErrorKind::Other => "no connection".to_owned(),
        UreqError::Io(source) => source.kind().to_string(),
        UreqError::HostNotFound => "its host has no address".to_owned(),
        UreqError::Protocol(_) => "the answer is not HTTP".to_owned(),
        UreqError::LargeResponseHeader(..) => format!("the head of the answer is longer than {HEAD_LEN_MAX} bytes"),
        UreqError::BodyExceedsLimit(_) => format!("the answer is longer than {ANSWER_LEN_MAX} bytes"),
        UreqError::Tls(_) | UreqError::Rustls(_) => "TLS failed".to_owned(),
        UreqError::ConnectionFailed => "no connection".to_owned(),
        _ => "the request could not be sent".to_owned(),
    }
}
