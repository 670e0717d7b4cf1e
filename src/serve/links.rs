//! Links to objects: where a client can have the bytes from, and until when.
//!
//! In scope: which kind of link there is, what it is signed with, and that nothing is signed twice. Not in scope: who may have one
//! (`access`), and the signatures (`sign`).
//!
//! ```text
//! cloudfront-signed ──► cloudfront ──► presigned ──► direct        the first that there is, and that keeps the token's limits
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use ipnet::{IpNet, Ipv4Net};
use serde_json::{Value, json};

use crate::config::{CloudFront, Config};
use crate::error::{Error, ErrorKind};
use crate::http::response::Response;
use crate::object::ObjectKey;
use crate::serve::access::Pass;
use crate::serve::handler::rfc_3339_seconds;
use crate::sign::cloudfront::{Domain, Grant, Policy, Signer};
use crate::sign::token::{self, Claims, KeyRing, Scope};
use crate::store::{Presigned, Store};

/// How many signatures are kept, at most twice: those of a site with so many films, each for a minute. One has about 1 KB.
const GRANTS_MAX: usize = 1024;

/// What links are made with.
pub(crate) struct Links {
    cloudfront: Option<CloudFront>,
    grants: Grants,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) url: String,
    pub(crate) kind: LinkKind,
    /// In seconds since 1970; `None` where it does not end.
    pub(crate) expires_at: Option<u64>,
}

/// Who answers a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkKind {
    /// CloudFront, to whoever has the signature.
    CloudFrontSigned,
    /// CloudFront, to all.
    CloudFront,
    /// The store itself, to whoever has the signature.
    Presigned,
    /// This server.
    Direct,
}

impl LinkKind {
    /// The contract's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CloudFrontSigned => "cloudfront-signed",
            Self::CloudFront => "cloudfront",
            Self::Presigned => "presigned",
            Self::Direct => "direct",
        }
    }
}

/// What somebody wants a link for.
pub(crate) struct LinkRequest<'a> {
    pub(crate) key: &'a ObjectKey,
    pub(crate) lifetime: Duration,
    /// In seconds since 1970.
    pub(crate) now: u64,
    /// On what strength.
    pub(crate) pass: &'a Pass,
    /// The keys of playback tokens, where they are needed.
    pub(crate) keys: Option<&'a KeyRing>,
    /// Scheme and host of this server as the client sees it, without a slash at its end.
    pub(crate) base: &'a str,
}

/// Signed cookies.
pub(crate) struct Cookies {
    grant: Grant,
    path: String,
    domain: Option<String>,
}

impl Link {
    /// What the contract says of it.
    pub(crate) fn json(&self) -> Value {
        json!({"url": self.url, "kind": self.kind.name(), "expiresAt": self.expires_at.map(rfc_3339_seconds)})
    }

    /// An answer that leads there.
    pub(crate) fn redirect(&self) -> Response {
        let mut response = Response::with_bytes(302, "text/plain", "");
        response.field("Location", &self.url);
        response.field("Cache-Control", "no-store");
        response.field("Referrer-Policy", "no-referrer");
        response
    }
}

impl Links {
    pub(crate) fn new(cloudfront: Option<CloudFront>) -> Self {
        Self { cloudfront, grants: Grants::default() }
    }

    /// Whether the store is asked for a link, which it signs: there is no better one, and the pass has no limit that it cannot keep.
    pub(crate) fn asks_store(&self, pass: &Pass) -> bool {
        let has_better = match &self.cloudfront {
            Some(CloudFront { signer, .. }) => signer.is_some() || !matches!(pass, Pass::Token(_)),
            None => false,
        };
        !has_better && pass.network().is_none()
    }

    /// The best link that there is.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where a signature cannot be made, and what the store says that has nothing to sign with.
    pub(crate) fn link(&self, store: &dyn Store, wanted: &LinkRequest<'_>) -> Result<Link, Error> {
        let LinkRequest { key, now, pass, .. } = *wanted;
        let lifetime = pass.limit(wanted.lifetime, now);
        match &self.cloudfront {
            Some(CloudFront { domain, signer: Some(signer) }) => {
                // CloudFront knows networks of IPv4 only, so a token for others gets a link that keeps its limit.
                if let Ok(source) = ipv4(pass.network()) {
                    let url = domain.url(key);
                    let expires_at = window_end(now, lifetime, pass);
                    let policy = match source {
                        None => Policy::canned(&url, expires_at)?,
                        Some(source) => Policy::custom(&url, expires_at, None, Some(source))?,
                    };
                    let url = self.grants.get(signer, policy)?.url(&url)?;
                    return Ok(Link { url, kind: LinkKind::CloudFrontSigned, expires_at: Some(expires_at) });
                }
            }
            // It never ends, so it is not for whoever has a token that does.
            Some(CloudFront { domain, signer: None }) if !matches!(pass, Pass::Token(_)) => {
                return Ok(Link { url: domain.url(key), kind: LinkKind::CloudFront, expires_at: None });
            }
            Some(CloudFront { signer: None, .. }) | None => {}
        }
        if self.asks_store(pass)
            && let Some(Presigned { url, lifetime }) = store.presign(key, lifetime)?
        {
            return Ok(Link { url, kind: LinkKind::Presigned, expires_at: Some(now + lifetime.as_secs()) });
        }
        Ok(direct(wanted, lifetime))
    }

    /// Signed cookies for all that starts with a prefix, or for the object alone where there is none. `host` is the one that the
    /// client asked for.
    ///
    /// # Errors
    /// [`ErrorKind::NotConfigured`] where there is no key pair; [`ErrorKind::Forbidden`] where CloudFront cannot keep the limits
    /// of the token.
    pub(crate) fn cookies(&self, prefix: Option<&str>, wanted: &LinkRequest<'_>, host: Option<&str>) -> Result<Cookies, Error> {
        let Some(CloudFront { domain, signer: Some(signer) }) = &self.cloudfront else {
            return Err(ErrorKind::NotConfigured.into());
        };
        let source = ipv4(wanted.pass.network())
            .map_err(|()| Error::new(ErrorKind::Forbidden, "CloudFront cannot keep the IPv6 network of the token"))?;
        let expires_at = window_end(wanted.now, wanted.pass.limit(wanted.lifetime, wanted.now), wanted.pass);
        let resource = prefix.map_or_else(|| domain.url(wanted.key), |prefix| domain.pattern(prefix));
        let grant = self.grants.get(signer, Policy::custom(&resource, expires_at, None, source)?)?;
        // A port is none of a cookie's business (RFC 6265 section 8.5).
        let host = host.map(|host| host.rsplit_once(':').map_or(host, |(host, _)| host));
        let path = Domain::cookie_path(prefix.unwrap_or(wanted.key.as_str()));
        Ok(Cookies { grant, path, domain: host.and_then(|host| domain.cookie_domain(host)) })
    }
}

impl Cookies {
    /// The values of `Set-Cookie` (RFC 6265 section 4.1). They end with the browser's session, for CloudFront looks at the policy
    /// anyway.
    pub(crate) fn fields(&self) -> impl Iterator<Item = String> {
        let domain = self.domain.as_ref().map(|domain| format!("; Domain={domain}")).unwrap_or_default();
        let attributes = format!("; Path={}{domain}; Secure; HttpOnly", self.path);
        self.grant.cookies().map(move |(name, value)| format!("{name}={value}{attributes}"))
    }
}

/// What `GET /api/videos/{key}/url` answers the operator, as text: the JSON of the best link that there is. `base` is the scheme
/// and host by which clients reach the server, for a link to itself.
///
/// # Errors
/// [`ErrorKind::NotFound`] where the store has no such object, and whatever else the store or a signature fails with.
pub fn describe_link(
    config: &Config,
    store: &dyn Store,
    key: &ObjectKey,
    lifetime: Duration,
    now: SystemTime,
    base: &str,
) -> Result<String, Error> {
    store.head(key)?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let keys = config.playback_keys.as_ref();
    let wanted = LinkRequest { key, lifetime, now, pass: &Pass::Operator, keys, base };
    Ok(Links::new(config.cloudfront.clone()).link(store, &wanted)?.json().to_string())
}

/// The link to this server.
fn direct(wanted: &LinkRequest<'_>, lifetime: Duration) -> Link {
    let (base, path) = (wanted.base, wanted.key.to_path());
    let Some(keys) = wanted.keys else {
        // Spelled so that no key is taken for a token.
        let path = if path.starts_with('~') { path.replacen('~', "%7E", 1) } else { path };
        return Link { url: format!("{base}/media/{path}"), kind: LinkKind::Direct, expires_at: None };
    };
    let expires_at = wanted.now + lifetime.as_secs();
    let claims = Claims { scope: Scope::Key(wanted.key.clone()), expires_at, not_before: None, network: wanted.pass.network() };
    let url = format!("{base}/media/~{}/{path}", token::mint(keys, &claims));
    Link { url, kind: LinkKind::Direct, expires_at: Some(expires_at) }
}

/// The network as CloudFront knows it; an error for one of IPv6.
fn ipv4(network: Option<IpNet>) -> Result<Option<Ipv4Net>, ()> {
    match network {
        None => Ok(None),
        Some(IpNet::V4(network)) => Ok(Some(network)),
        // Everybody in IPv6 is nobody in IPv4, so no network of the other family says the same.
        Some(IpNet::V6(_)) => Err(()),
    }
}

/// When a signature ends: as late as is asked for or a little later, so that all who ask within a sixtieth of that time, a minute
/// at most, get the same. Never later than the token ends that it is given for.
fn window_end(now: u64, lifetime: Duration, pass: &Pass) -> u64 {
    let wanted = now.saturating_add(lifetime.as_secs());
    let window = (lifetime.as_secs() / 60).clamp(1, 60);
    let end = wanted.checked_next_multiple_of(window).unwrap_or(wanted);
    match pass {
        Pass::Token(claims) => end.min(claims.expires_at),
        Pass::Open | Pass::Operator => end,
    }
}

/// The signatures that were made, so that a busy page does not cost one for each visitor. Each is made once, also where many ask at
/// the same time: the others wait the few milliseconds.
#[derive(Default)]
struct Grants(Mutex<Generations>);

type Slot = Arc<OnceLock<Result<Grant, ErrorKind>>>;

/// Two maps: when the young one is full, it becomes the old one, and what was old is gone. What is asked for stays.
#[derive(Default)]
struct Generations {
    young: HashMap<Policy, Slot>,
    old: HashMap<Policy, Slot>,
}

impl Grants {
    fn get(&self, signer: &Signer, policy: Policy) -> Result<Grant, Error> {
        let slot = self.0.lock().unwrap_or_else(PoisonError::into_inner).slot(&policy);
        let made = slot.get_or_init(|| {
            signer.sign(policy).map_err(|error| {
                log::error!("{}", error.chain());
                error.kind()
            })
        });
        made.clone().map_err(Error::from)
    }
}

impl Generations {
    fn slot(&mut self, policy: &Policy) -> Slot {
        if let Some(slot) = self.young.get(policy) {
            return Arc::clone(slot);
        }
        if self.young.len() >= GRANTS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        let slot = self.old.remove(policy).unwrap_or_default();
        self.young.insert(policy.clone(), Arc::clone(&slot));
        slot
    }
}

#[cfg(all(test, feature = "cloudfront"))]
mod tests;
