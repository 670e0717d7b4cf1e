//! Keys, and the time until which they are good.
//!
//! In scope: which texts can be keys, and that none is shown. Not in scope: where they come from.

use std::fmt;
use std::time::SystemTime;

/// The longest access key id, in bytes (AWS, "IAM and AWS STS quotas": 128).
const ID_LEN_MAX: usize = 128;
/// The longest secret, in bytes: AWS has 40, other stores let their users choose.
const SECRET_LEN_MAX: usize = 1024;
/// The longest session token, in bytes. AWS fixes no length and sends 1 to 2 KiB; it must fit, escaped, into a request head
/// together with the key of an object.
const TOKEN_LEN_MAX: usize = 8 * 1024;

/// What requests are signed with. `Debug` shows the id and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: String,
    /// The third part of temporary keys.
    pub session_token: Option<String>,
}

/// Keys as a source gave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issued {
    pub(super) keys: Keys,
    /// `None` where they never expire.
    pub(super) expires_at: Option<SystemTime>,
}

impl Keys {
    /// Checks what a file or a server gave. An empty token is no token.
    ///
    /// # Errors
    /// Which part cannot be right, without showing it.
    pub(super) fn parse(id: &str, secret: &str, token: Option<&str>) -> Result<Self, &'static str> {
        let is_legal =
            |text: &str, len_max| (1..=len_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        let token = token.filter(|token| !token.is_empty());
        if !is_legal(id, ID_LEN_MAX) {
            return Err("an access key id that is none");
        }
        if !is_legal(secret, SECRET_LEN_MAX) {
            return Err("a secret access key that is none");
        }
        if !token.is_none_or(|token| is_legal(token, TOKEN_LEN_MAX)) {
            return Err("a session token that is none");
        }
        Ok(Self { access_key_id: id.into(), secret_access_key: secret.into(), session_token: token.map(str::to_owned) })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redacted = "[redacted]";
        f.debug_struct("Keys")
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &redacted)
            .field("session_token", &self.session_token.as_ref().map(|_| redacted))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_keys() {
        #[track_caller]
        fn check(id: &str, secret: &str, token: Option<&str>, want: Result<Option<&str>, &str>) {
            let got = Keys::parse(id, secret, token);
            assert_eq!(got.as_ref().map(|keys| keys.session_token.as_deref()).map_err(|why| *why), want);
        }
        check("AKID", "s/e+cret=", None, Ok(None));
        check("AKID", "secret", Some(""), Ok(None));
        check("AKID", "secret", Some("t/o+ken=="), Ok(Some("t/o+ken==")));
        check(&"A".repeat(128), &"s".repeat(1024), Some(&"t".repeat(8192)), Ok(Some(&"t".repeat(8192))));
        for bad in ["", " AKID", "AK ID", "AKID\n", "ÄKID", "AK\0ID", &"A".repeat(129)] {
            check(bad, "secret", None, Err("an access key id that is none"));
        }
        for bad in ["", "sec ret", "secret\r", &"s".repeat(1025)] {
            check("AKID", bad, None, Err("a secret access key that is none"));
        }
        for bad in [" ", "to ken", "token\n", &"t".repeat(8193)] {
            check("AKID", "secret", Some(bad), Err("a session token that is none"));
        }
    }

    #[test]
    fn debug_shows_the_id_only() {
        let keys = Keys::parse("AKID", "hunter2", Some("hunter3")).unwrap();
        let shown = format!("{keys:?} {keys:#?} {:?}", Issued { keys: keys.clone(), expires_at: None });
        assert!(shown.contains("AKID") && !shown.contains("hunter"), "{shown}");
    }
}
