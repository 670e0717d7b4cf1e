//! What an operator asks a token for: the JSON of `POST /api/tokens`.
//!
//! In scope: `{"key" or "prefix", "expiresIn", "ip"}` to claims. Not in scope: who may ask.

use std::time::Duration;

use super::claims::{Claims, Scope, network};
use super::members::Members;
use crate::error::{Error, ErrorKind};
use crate::object::ObjectKey;

/// The longest that a token may be good for: a leap year.
pub const LIFETIME_MAX: Duration = Duration::from_hours(366 * 24);

impl Claims {
    /// Reads a request. `now` is in seconds since 1970; `lifetime` is for a request that does not say.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] or [`ErrorKind::BadKey`], with what is wrong with it. A name that is not known is an error: a
    /// slip in it must not give a token that does more than was meant.
    pub fn requested(json: &[u8], now: u64, lifetime: Duration) -> Result<Self, Error> {
        let bad = |why: &str| Error::new(ErrorKind::BadRequest, why.to_owned());
        let members = Members::parse(json).ok_or_else(|| bad("the body is no JSON object with each name once"))?;
        if members.names().any(|name| !["key", "prefix", "expiresIn", "ip"].contains(&name)) {
            return Err(bad("the body may have key or prefix, expiresIn and ip, and nothing else"));
        }
        let text = |name| members.text(name).map_err(|why| bad(&why));
        let scope = match (text("key")?, text("prefix")?) {
            (Some(key), None) => Scope::Key(ObjectKey::new(key)?),
            (None, Some(prefix)) => Scope::prefix(prefix)?,
            _ => return Err(bad("the body must have exactly one of key and prefix")),
        };
        let seconds = match members.get("expiresIn") {
            None => lifetime.as_secs(),
            Some(value) => {
                let seconds = value.as_u64().filter(|seconds| (1..=LIFETIME_MAX.as_secs()).contains(seconds));
                seconds.ok_or_else(|| bad("expiresIn must be a whole number of seconds, from 1 to 31622400"))?
            }
        };
        let network = match text("ip")? {
            None => None,
            Some(text) => Some(network(text).ok_or_else(|| bad("ip must be an address or a network in CIDR form"))?),
        };
        Ok(Self { scope, expires_at: now.saturating_add(seconds), not_before: None, network })
    }
}
