//! The claims of a token: what it opens, when, and from where.
//!
//! In scope: reading them strictly, writing them, and whether they cover what is wanted. Not in scope: signatures.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::members::Members;
use super::refused;
use crate::error::{Error, ErrorKind};
use crate::object::{KEY_LEN_MAX, ObjectKey};

/// The latest time that JSON numbers count to second by second: 2^53. Whoever writes more has counted milliseconds in vain.
const TIME_MAX: u64 = 1 << 53;

/// What a token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One object.
    Key(ObjectKey),
    /// All objects whose keys start so; the empty prefix is everything.
    Prefix(String),
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Something with one object.
    Object(&'a ObjectKey),
    /// Something with all that starts so.
    Prefix(&'a str),
}

/// What a token says. One that exists is legal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// What it opens: `key` or `prefix`.
    pub scope: Scope,
    /// `exp`: it is refused from then on, in seconds since 1970.
    pub expires_at: u64,
    /// `nbf`: it is refused before, in seconds since 1970.
    pub not_before: Option<u64>,
    /// `ip`: only from these addresses.
    pub network: Option<IpNet>,
}

impl Scope {
    /// A prefix of keys.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] where no key can start so: it is longer than a key, or has a control character.
    pub fn prefix(prefix: &str) -> Result<Self, Error> {
        if prefix.len() > KEY_LEN_MAX || prefix.chars().any(char::is_control) {
            return Err(Error::new(ErrorKind::BadRequest, "the prefix is not the start of any key"));
        }
        Ok(Self::Prefix(prefix.to_owned()))
    }

    /// Whether all that is wanted is opened.
    pub fn covers(&self, wanted: Wanted<'_>) -> bool {
        match (self, wanted) {
            (Self::Key(ours), Wanted::Object(key)) => ours == key,
            (Self::Prefix(ours), Wanted::Object(key)) => key.as_str().starts_with(ours),
            (Self::Prefix(ours), Wanted::Prefix(prefix)) => prefix.starts_with(ours),
            // Every prefix, that of a whole key included, may be the start of other keys.
            (Self::Key(_), Wanted::Prefix(_)) => false,
        }
    }
}

impl Claims {
    /// Reads the payload of a token whose signature is right. Claims that are not known here are not looked at (RFC 7519
    /// section 4), but `aud`.
    pub(super) fn parse(json: &[u8]) -> Result<Self, Error> {
        let members = Members::parse(json).ok_or_else(|| refused("its claims are no JSON object with each name once"))?;
        let text = |name| members.text(name).map_err(|why| refused(&why));
        // RFC 7519 section 4.1.3: who is not named must refuse it, and this program has no name.
        if members.get("aud").is_some() {
            return Err(refused("it is for somebody else (aud)"));
        }
        let scope = match (text("key")?, text("prefix")?) {
            (Some(key), None) => Scope::Key(ObjectKey::new(key).map_err(|_| refused("key is no legal key"))?),
            (None, Some(prefix)) => Scope::prefix(prefix).map_err(|_| refused("prefix is not the start of any key"))?,
            _ => return Err(refused("it has not exactly one of key and prefix")),
        };
        let expires_at = match members.get("exp") {
            Some(value) => time(value, Rounding::Down).ok_or_else(|| refused("exp is no time in seconds"))?,
            None => return Err(refused("it never ends (exp is missing)")),
        };
        let not_before = match members.get("nbf") {
            Some(value) => Some(time(value, Rounding::Up).ok_or_else(|| refused("nbf is no time in seconds"))?),
            None => None,
        };
        let network = match text("ip")? {
            Some(text) => Some(network(text).ok_or_else(|| refused("ip is no address and no network"))?),
            None => None,
        };
        Ok(Self { scope, expires_at, not_before, network })
    }

    /// The payload of a token.
    pub(super) fn json(&self) -> String {
        let mut members = Map::new();
        let (name, scope) = match &self.scope {
            Scope::Key(key) => ("key", key.as_str()),
            Scope::Prefix(prefix) => ("prefix", prefix.as_str()),
        };
        members.insert(name.to_owned(), scope.into());
        members.insert("exp".to_owned(), self.expires_at.into());
        if let Some(not_before) = self.not_before {
            members.insert("nbf".to_owned(), not_before.into());
        }
        if let Some(network) = self.network {
            members.insert("ip".to_owned(), network.to_string().into());
        }
        Value::Object(members).to_string()
    }

    /// Whether it is valid now (RFC 7519 sections 4.1.4 and 4.1.5), without any tolerance: what was promised to end has ended.
    pub(super) fn check_time(&self, now: u64) -> Result<(), Error> {
        if now >= self.expires_at {
            return Err(refused("it has expired"));
        }
        if self.not_before.is_some_and(|not_before| now < not_before) {
            return Err(refused("it is not valid yet"));
        }
        Ok(())
    }

    /// Whether it lets this client have what is wanted.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], with which of the two it does not cover.
    pub fn permit(&self, wanted: Wanted<'_>, client: IpAddr) -> Result<(), Error> {
        // A socket that takes both families tells IPv4 clients as ::ffff:192.0.2.1.
        if self.network.is_some_and(|network| !network.contains(&client.to_canonical())) {
            return Err(Error::new(ErrorKind::Forbidden, "the token is for another address"));
        }
        if !self.scope.covers(wanted) {
            return Err(Error::new(ErrorKind::Forbidden, "the token is for another object"));
        }
        Ok(())
    }
}

/// An address, or a network as CIDR; an address is the network of itself.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[derive(Clone, Copy)]
enum Rounding {
    Down,
    Up,
}

/// A `NumericDate` (RFC 7519 section 2), to the whole second that grants less.
fn time(value: &Value, rounding: Rounding) -> Option<u64> {
    let Value::Number(number) = value else { return None };
    let seconds = match (number.as_u64(), number.as_f64()) {
        (Some(seconds), _) => seconds,
        (None, Some(seconds)) if (0.0..=9_007_199_254_740_992.0).contains(&seconds) => {
            let whole = match rounding {
                Rounding::Down => seconds.floor(),
                Rounding::Up => seconds.ceil(),
            };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number from 0 to 2^53")]
            let whole = whole as u64;
            whole
        }
        _ => return None,
    };
    (seconds <= TIME_MAX).then_some(seconds)
}
