//! Private keys: from PEM text, and signing with them.
//!
//! In scope: RSA of 2048 bits and ECDSA P-256, the two that CloudFront takes, out of PKCS#1 (RFC 8017), SEC1 (RFC 5915) and
//! PKCS#8 (RFC 5958); what is wrong with a text that holds none. Not in scope: what is signed.
//!
//! No error holds a byte of the text: all of it may be the key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use rsa::traits::PublicKeyParts as _;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::{Hash, PEM_LEN_MAX};
use crate::error::{Error, ErrorKind};

/// The size of RSA keys that CloudFront takes, in bits (AWS, "Specify signers that can create signed URLs and signed cookies").
const RSA_BITS: u32 = 2048;

/// `rsaEncryption` (RFC 8017 appendix C) and `id-ecPublicKey` (RFC 5480 section 2.1.1).
const RSA_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// A private key that CloudFront can know the public half of. `Debug` shows its kind only.
pub struct PrivateKey(Kind);

enum Kind {
    Rsa(Box<rsa::PrivateKey>),
    P256(p256::ecdsa::SigningKey),
}

impl PrivateKey {
    /// Reads a key from the text of a PEM file. What stands around the first private key in it does not matter. Lines may end in
    /// CR LF, be indented, or be joined by `\n` spelled out, as single-line variables have them.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`], with what the text holds instead of a key that CloudFront takes.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        if text.len() > PEM_LEN_MAX {
            return bad("it has more than 32 KiB");
        }
        let text = if text.contains('\n') { text.to_owned() } else { text.replace("\\n", "\n") };
        let (label, lines) = find_block(&text)?;
        // RFC 1421 section 4.6.1.1 has it in a line of the block, PKCS#8 in the label.
        if label.starts_with("ENCRYPTED") || lines.iter().any(|line| line.contains("ENCRYPTED")) {
            return bad("it is encrypted: remove its passphrase with `openssl pkey`");
        }
        match label {
            "OPENSSH PRIVATE KEY" => return bad("it is in the format of OpenSSH: convert it with `ssh-keygen -p -m PEM`"),
            "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "PRIVATE KEY" => {}
            _ => return bad(OTHER_KIND),
        }
        let Ok(der) = STANDARD.decode(lines.concat()) else { return bad("its PEM text is broken: the lines are no base64") };
        let kind = match label {
            "RSA PRIVATE KEY" => rsa_key(&der)?,
            "EC PRIVATE KEY" => p256_key(&der)?,
            _ => {
                let Ok(info) = PrivateKeyInfoRef::try_from(&der[..]) else { return bad("its PEM text is broken: no PKCS#8") };
                match info.algorithm.oid {
                    RSA_OID => rsa_key(info.private_key.as_bytes())?,
                    EC_OID => match p256::SecretKey::try_from(info) {
                        Ok(key) => Kind::P256(key.into()),
                        Err(_) => return bad(NO_P256),
                    },
                    _ => return bad(OTHER_KIND),
                }
            }
        };
        Ok(Self(kind))
    }

    /// Signs: RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2), or ECDSA with the deterministic k of RFC 6979, as ASN.1 DER.
    pub(super) fn sign(&self, hash: Hash, message: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |what| Error::new(ErrorKind::Internal, what);
        match (&self.0, hash) {
            // The library takes random numbers of the system for blinding, and checks what it signed before it gives it out.
            (Kind::Rsa(key), Hash::Sha1) => key.pkcs1v15_sign::<Sha1>(message).map_err(|_| failed("RSA could not sign")),
            (Kind::Rsa(key), Hash::Sha256) => key.pkcs1v15_sign::<Sha256>(message).map_err(|_| failed("RSA could not sign")),
            (Kind::P256(key), hash) => {
                let digest = match hash {
                    Hash::Sha1 => Sha1::digest(message).to_vec(),
                    Hash::Sha256 => Sha256::digest(message).to_vec(),
                };
                let signed: Result<p256::ecdsa::Signature, _> = key.sign_prehash(&digest);
                signed.map(|signature| signature.to_der().as_bytes().to_vec()).map_err(|_| failed("ECDSA could not sign"))
            }
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Rsa(_) => "PrivateKey(RSA-2048)",
            Kind::P256(_) => "PrivateKey(P-256)",
        })
    }
}

const OTHER_KIND: &str = "it is of a kind that CloudFront does not take, which are RSA of 2048 bits and ECDSA P-256";
const NO_P256: &str = "it is no ECDSA key on the curve P-256 (prime256v1)";

fn bad<T>(why: &str) -> Result<T, Error> {
    Err(Error::new(ErrorKind::Internal, format!("the private key cannot be used: {why}")))
}

/// The first block that calls itself a private key (RFC 7468): its label, and its lines without the white space around them.
fn find_block(text: &str) -> Result<(&str, Vec<&str>), Error> {
    let mut lines = text.lines().map(str::trim);
    let mut other_label = None;
    let label = loop {
        let Some(line) = lines.next() else {
            return bad(match other_label {
                Some(label) if is_public(label) => "there is only a public key or a certificate in it",
                _ => "there is no line -----BEGIN ... PRIVATE KEY----- in it",
            });
        };
        match line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) {
            Some(label) if label.ends_with("PRIVATE KEY") => break label,
            Some(label) => other_label = Some(label),
            None => {}
        }
    };
    let mut block = Vec::new();
    for line in lines {
        match line.strip_prefix("-----END ").and_then(|rest| rest.strip_suffix("-----")) {
            Some(end) if end == label => return Ok((label, block)),
            Some(_) => break,
            None => block.push(line),
        }
    }
    bad("its PEM text is broken: the line -----END ... PRIVATE KEY----- is missing")
}

fn is_public(label: &str) -> bool {
    label.ends_with("PUBLIC KEY") || label.ends_with("CERTIFICATE")
}

/// An `RSAPrivateKey` of PKCS#1. The library checks that its numbers fit one another.
fn rsa_key(der: &[u8]) -> Result<Kind, Error> {
    match rsa::PrivateKey::from_pkcs1_der(der) {
        Ok(key) => match key.n().as_ref().bit_width_vartime() {
            RSA_BITS => Ok(Kind::Rsa(Box::new(key))),
            bits => bad(&format!("it is RSA of {bits} bits, and CloudFront takes {RSA_BITS}")),
        },
        Err(_) => bad("its PEM text is broken: no PKCS#1 key of RSA"),
    }
}

/// An `ECPrivateKey` of SEC1.
fn p256_key(der: &[u8]) -> Result<Kind, Error> {
    match p256::SecretKey::from_sec1_der(der) {
        Ok(key) => Ok(Kind::P256(key.into())),
        Err(_) => bad(NO_P256),
    }
}
