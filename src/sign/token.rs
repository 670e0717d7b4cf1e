//! Playback tokens: who may play what, until when, from where.
//!
//! In scope: JSON Web Tokens (RFC 7519) with HS256 (RFC 7518 section 3.2) and no other algorithm: minting, verifying, the ring of
//! keys. Not in scope: where a token stands in a request (`serve/access.rs`).
//!
//! ```text
//! text ──► three parts ──► header (alg, kid) ──► HMAC under that key ──► claims ──► time ──► address ──► object
//!            └───────────────── 401 ─────────────────┴──────────────────────┴─────────┘      └── 403 ───────┘
//! ```
//!
//! Nothing of a token is read but its header before its signature is known to be right, and no error repeats any of it.

mod claims;
mod members;
mod request;
mod ring;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use claims::{Claims, Scope, Wanted};
pub use request::LIFETIME_MAX;
pub use ring::{KeyRing, SECRET_LEN_MIN};

use self::members::Members;
use crate::error::{Error, ErrorKind};

/// The longest token that is looked at, in bytes: one with the longest key has 1.6 KiB.
pub const TOKEN_LEN_MAX: usize = 4 * 1024;

/// Makes a token, signed with the first key of the ring.
pub fn mint(ring: &KeyRing, claims: &Claims) -> String {
    let header = serde_json::json!({"alg": "HS256", "typ": "JWT", "kid": ring.first_kid()}).to_string();
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims.json(), &mut token);
    let signature = ring.sign(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

/// What a token says, where one of the ring's keys signed it and it is valid now. `now` is in seconds since 1970.
///
/// # Errors
/// [`ErrorKind::Unauthorized`], with what is wrong with it.
pub fn verify(ring: &KeyRing, token: &str, now: u64) -> Result<Claims, Error> {
    if token.len() > TOKEN_LEN_MAX {
        return Err(refused("it is longer than 4 KiB"));
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(refused("it has not three parts"));
    };
    let kid = kid(&decode(header)?)?;
    let signed_len = header.len() + 1 + payload.len();
    ring.verify(&kid, &token.as_bytes()[..signed_len], &decode(signature)?)?;
    let claims = Claims::parse(&decode(payload)?)?;
    claims.check_time(now)?;
    Ok(claims)
}

/// The key that a header names. What else is in it is not for us (RFC 7515 section 4), but `crit`.
fn kid(header: &[u8]) -> Result<String, Error> {
    let header = Members::parse(header).ok_or_else(|| refused("its header is no JSON object with each name once"))?;
    let text = |name| header.text(name).map_err(|why| refused(&why));
    if text("alg")? != Some("HS256") {
        return Err(refused("its algorithm is not HS256"));
    }
    // RFC 7519 section 5.1 recommends the capitals and requires none.
    if text("typ")?.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(refused("its type is not JWT"));
    }
    // RFC 7515 section 4.1.11: it names what must be understood, and no extension is understood here.
    if header.get("crit").is_some() {
        return Err(refused("it asks for extensions that are not known here"));
    }
    text("kid")?.map(str::to_owned).ok_or_else(|| refused("it names no key (kid)"))
}

/// Base64url without padding (RFC 7515 section 2). Each value has one spelling: bits that are left over are zero.
fn decode(part: &str) -> Result<Vec<u8>, Error> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| refused("it is no base64url"))
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Unauthorized, format!("the token is not accepted: {why}"))
}

#[cfg(test)]
mod tests;
