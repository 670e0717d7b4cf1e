//! The operator's bearer token.
//!
//! In scope: what it may be, and comparing it without telling where it differs. Not in scope: where it stands in a request.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The longest token, in bytes: a longer one would not fit a request's head with anything else.
const TOKEN_LEN_MAX: usize = 1024;

/// A token that opens everything. `Debug` does not show it.
#[derive(Clone)]
pub struct AdminToken(String);

impl AdminToken {
    /// Takes the characters that the field `Authorization` can carry (RFC 6750 section 2.1); `None` for anything else.
    pub fn new(text: &str) -> Option<Self> {
        let rest = text.trim_end_matches('=');
        let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        let is_token = !rest.is_empty() && text.len() <= TOKEN_LEN_MAX && rest.bytes().all(is_token_byte);
        is_token.then(|| Self(text.to_owned()))
    }

    /// Whether somebody gave this token. Takes the same time wherever the two differ: what is compared are hashes.
    pub fn matches(&self, given: &str) -> bool {
        hash(&self.0).verify_slice(&hash(given).finalize().into_bytes()).is_ok()
    }
}

/// A hash with a key that does not matter: one that two texts share only where they are equal.
fn hash(text: &str) -> Hmac<Sha256> {
    // HMAC takes keys of any length (RFC 2104 section 2).
    let mut mac = Hmac::<Sha256>::new_from_slice(b"admin").expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches() {
        let token = AdminToken::new("hunter2-._~+/==").unwrap();
        assert!(token.matches("hunter2-._~+/=="));
        for bad in ["", "hunter2-._~+/=", "hunter2-._~+/===", "Hunter2-._~+/==", " hunter2-._~+/==", "x"] {
            assert!(!token.matches(bad), "{bad}");
        }
        assert_eq!(format!("{token:?}"), "AdminToken");
        for bad in ["", "=", "a b", "a,b", "é", "a=b", "a\n", &"a".repeat(1025)] {
            assert!(AdminToken::new(bad).is_none(), "{bad:?}");
        }
    }
}
