//! Signed URLs and signed cookies of CloudFront.
//!
//! In scope: from a policy and a private key to what CloudFront checks (AWS, "Serve private content with signed URLs and signed
//! cookies"). Not in scope: who gets which policy, and keeping what was signed (`serve/links.rs`).
//!
//! ```text
//! ObjectKey ──► Domain::url ──► Policy (canned or custom) ──► Signer::sign ──► Grant ──► url | cookies
//! ```
//!
//! Without the feature `cloudfront` no text is taken for a key, so nothing is ever signed.

mod domain;
#[cfg_attr(not(feature = "cloudfront"), path = "cloudfront/without_key.rs")]
mod key;
mod policy;
mod url;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use domain::Domain;
pub use key::PrivateKey;
pub use policy::Policy;

use crate::error::{Error, ErrorKind};

/// The longest text that is read as a key, in bytes. A key of 2048 bits has 1.7 KB; what `openssl pkcs12` writes around it, 2 more.
pub const PEM_LEN_MAX: usize = 32 * 1024;

/// What is hashed before it is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hash {
    /// What CloudFront assumes where nothing is said. Its weakness is that two texts with one hash can be made; here only we make
    /// texts.
    #[default]
    Sha1,
    /// Said by `Hash-Algorithm=SHA256`.
    Sha256,
}

/// What signs: a private key, and the name under which CloudFront has its public half.
///
/// `Debug` does not show the key.
#[derive(Debug)]
pub struct Signer {
    key_pair_id: String,
    key: PrivateKey,
    hash: Hash,
}

impl Signer {
    /// A signer that names its key so to CloudFront.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where the name has anything but letters, digits, `-` and `_`: it stands in URLs and cookies.
    pub fn new(key_pair_id: &str, key: PrivateKey, hash: Hash) -> Result<Self, Error> {
        if !is_key_pair_id(key_pair_id) {
            return Err(Error::new(ErrorKind::Internal, "the id of the CloudFront key pair has letters and digits only"));
        }
        Ok(Self { key_pair_id: key_pair_id.to_owned(), key, hash })
    }

    /// Signs a policy. This is what costs: about 2.3 ms with an RSA key, a quarter of a millisecond with P-256.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where the signature cannot be made.
    pub fn sign(&self, policy: Policy) -> Result<Grant, Error> {
        let json = policy.json();
        let signature = self.key.sign(self.hash, json.as_bytes())?;
        // The order of botocore and of the AWS command line; CloudFront takes any.
        let mut parameters = vec![
            match &policy {
                Policy::Canned { expires_at, .. } => ("Expires", expires_at.to_string()),
                Policy::Custom { .. } => ("Policy", encode(json.as_bytes())),
            },
            ("Signature", encode(&signature)),
            ("Key-Pair-Id", self.key_pair_id.clone()),
        ];
        if self.hash == Hash::Sha256 {
            parameters.push(("Hash-Algorithm", "SHA256".to_owned()));
        }
        Ok(Grant { policy, parameters })
    }
}

/// Whether CloudFront may name a key pair so.
pub fn is_key_pair_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A signed policy. Whoever has it may have what the policy opens, so `Debug` shows the policy only.
#[derive(Clone)]
pub struct Grant {
    policy: Policy,
    parameters: Vec<(&'static str, String)>,
}

impl Grant {
    /// What was signed.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Adds the signature to a URL, which must be as it goes over the wire. Nothing may be added to the result.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] where the URL cannot carry a signature, or is not the one that a canned policy is for. Whether
    /// the pattern of a custom policy fits the URL is CloudFront's to say.
    pub fn url(&self, url: &str) -> Result<String, Error> {
        url::check(url)?;
        if matches!(&self.policy, Policy::Canned { url: signed, .. } if signed != url) {
            return Err(Error::new(ErrorKind::BadRequest, "the canned policy is for another URL"));
        }
        let mut signed = url.to_owned();
        let mut separator = if url.contains('?') { '&' } else { '?' };
        for (name, value) in &self.parameters {
            signed.push(separator);
            signed.push_str(name);
            signed.push('=');
            signed.push_str(value);
            separator = '&';
        }
        Ok(signed)
    }

    /// The cookies that carry the signature: name and value.
    pub fn cookies(&self) -> impl Iterator<Item = (String, &str)> {
        self.parameters.iter().map(|(name, value)| (format!("CloudFront-{name}"), value.as_str()))
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Base64 with what has a meaning in URLs replaced. AWS replaces other characters than base64url does, and keeps the padding
/// (AWS, "Code and examples for creating a signature for a signed URL").
fn encode(bytes: &[u8]) -> String {
    let replace = |letter| match letter {
        '+' => '-',
        '=' => '_',
        '/' => '~',
        other => other,
    };
    STANDARD.encode(bytes).chars().map(replace).collect()
}

#[cfg(all(test, feature = "cloudfront"))]
mod tests;
