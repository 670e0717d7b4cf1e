//! The keys that sign and verify.
//!
//! In scope: the text they are set by, choosing one by its id, HMAC. Not in scope: what is signed.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::refused;
use crate::error::Error;

/// The shortest secret, in bytes: that of the hash (RFC 7518 section 3.2, "MUST be used"). A token tells whoever has it whether
/// a guess of the secret is right, so the secret must not be one that can be guessed.
pub const SECRET_LEN_MIN: usize = 32;
/// More than this is no ring that somebody rotates.
const KEYS_MAX: usize = 16;
/// The longest id of a key, in bytes.
const KID_LEN_MAX: usize = 64;

/// Some keys, each with its id: the first signs, all verify. `Debug` shows the ids only.
#[derive(Clone)]
pub struct KeyRing {
    first: Key,
    others: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    kid: String,
    secret: String,
}

impl KeyRing {
    /// Reads `kid:secret,kid:secret`.
    ///
    /// # Errors
    /// What is expected instead, in words that continue "expected ...".
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys: Vec<Key> = Vec::new();
        for item in text.split(',') {
            let Some((kid, secret)) = item.split_once(':') else {
                return Err("kid:secret, more of them with commas between; the first signs, all verify".to_owned());
            };
            let is_kid = (1..=KID_LEN_MAX).contains(&kid.len())
                && kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
            if !is_kid {
                return Err(format!("ids of 1 to {KID_LEN_MAX} letters, digits, -, _ and . before each colon"));
            }
            if secret.len() < SECRET_LEN_MIN || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(format!(
                    "secrets of at least {SECRET_LEN_MIN} visible ASCII characters without comma, such as `openssl rand -hex 32` makes"
                ));
            }
            if keys.iter().any(|key| key.kid == kid) {
                return Err("a different id for each key".to_owned());
            }
            keys.push(Key { kid: kid.to_owned(), secret: secret.to_owned() });
        }
        if keys.len() > KEYS_MAX {
            return Err(format!("at most {KEYS_MAX} keys"));
        }
        // Splitting gives at least one item, and each was pushed.
        let mut keys = keys.into_iter();
        match keys.next() {
            Some(first) => Ok(Self { first, others: keys.collect() }),
            None => Err("kid:secret".to_owned()),
        }
    }

    /// The id of the key that signs.
    pub(super) fn first_kid(&self) -> &str {
        &self.first.kid
    }

    /// The signature of the first key.
    pub(super) fn sign(&self, signed: &[u8]) -> Vec<u8> {
        self.first.mac(signed).finalize().into_bytes().to_vec()
    }

    /// Whether the key of this id made the signature. The comparison takes the same time wherever they differ.
    pub(super) fn verify(&self, kid: &str, signed: &[u8], signature: &[u8]) -> Result<(), Error> {
        let mut keys = std::iter::once(&self.first).chain(&self.others);
        let key = keys.find(|key| key.kid == kid).ok_or_else(|| refused("its key (kid) is not known"))?;
        key.mac(signed).verify_slice(signature).map_err(|_| refused("its signature is wrong"))
    }
}

impl Key {
    fn mac(&self, signed: &[u8]) -> Hmac<Sha256> {
        // HMAC takes keys of any length (RFC 2104 section 2).
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(signed);
        mac
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids = std::iter::once(&self.first).chain(&self.others).map(|key| key.kid.as_str());
        f.debug_list().entries(kids).finish()
    }
}
