//! Checksums that come with a body.
//!
//! In scope: the fields that name them, computing what they name, and comparing. Not in scope: reading the body.
//!
//! Three spellings are known: `Content-MD5` (RFC 1864, which S3 still takes), `x-amz-checksum-sha256` (AWS, "Checking object
//! integrity"), and `Repr-Digest` with `sha-256` or `sha-512` (RFC 9530). An algorithm that is not known is no reason to refuse
//! (RFC 9530 section 2); a value that is none is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512};

use crate::error::{Error, ErrorKind};
use crate::http::head::Fields;

/// What is computed of a body, and what should come out.
pub struct Checksums {
    md5: Option<(Md5, Vec<u8>)>,
    sha256: Option<(Sha256, Vec<u8>)>,
    sha512: Option<(Sha512, Vec<u8>)>,
}

impl Checksums {
    /// The checksums that a request names.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] where one of them is not one, or two of them contradict each other.
    pub fn of(fields: &Fields) -> Result<Self, Error> {
        let md5 = fields.get("content-md5").map(|text| decode("Content-MD5", text, 16)).transpose()?;
        let amazon = fields.get("x-amz-checksum-sha256").map(|text| decode("x-amz-checksum-sha256", text, 32)).transpose()?;
        let (mut sha256, mut sha512) = (amazon, None);
        for member in fields.get("repr-digest").into_iter().flat_map(|list| list.split(',')) {
            let Some((algorithm, value)) = member.trim().split_once('=') else {
                return Err(malformed("Repr-Digest is not a list of algorithms with their values"));
            };
            // A byte sequence of RFC 8941 section 3.3.5 stands between colons; parameters may follow.
            let value = value.strip_prefix(':').and_then(|value| value.split_once(':')).map(|(value, _)| value);
            let (known, len) = match algorithm {
                "sha-256" => (&mut sha256, 32),
                "sha-512" => (&mut sha512, 64),
                _ => continue,
            };
            let value = decode("Repr-Digest", value.unwrap_or_default(), len)?;
            if known.as_ref().is_some_and(|known| *known != value) {
                return Err(malformed("two checksums contradict each other"));
            }
            *known = Some(value);
        }
        Ok(Self {
            md5: md5.map(|want| (Md5::new(), want)),
            sha256: sha256.map(|want| (Sha256::new(), want)),
            sha512: sha512.map(|want| (Sha512::new(), want)),
        })
    }

    /// Goes on with these bytes of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some((hash, _)) = &mut self.md5 {
            hash.update(bytes);
        }
        if let Some((hash, _)) = &mut self.sha256 {
            hash.update(bytes);
        }
        if let Some((hash, _)) = &mut self.sha512 {
            hash.update(bytes);
        }
    }

    /// Compares what came with what should have come.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] where they differ.
    pub fn check(self) -> Result<(), Error> {
        let is_good = self.md5.is_none_or(|(hash, want)| hash.finalize().as_slice() == want)
            && self.sha256.is_none_or(|(hash, want)| hash.finalize().as_slice() == want)
            && self.sha512.is_none_or(|(hash, want)| hash.finalize().as_slice() == want);
        if is_good { Ok(()) } else { Err(malformed("the body does not have the checksum that came with it")) }
    }
}

fn decode(name: &str, text: &str, len: usize) -> Result<Vec<u8>, Error> {
    let bytes = STANDARD.decode(text.trim()).ok().filter(|bytes| bytes.len() == len);
    bytes.ok_or_else(|| malformed(format!("{name} is not {len} bytes in Base64")))
}

fn malformed(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadRequest, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the body `film`: `printf film | openssl dgst -md5 -binary | base64`, and so on.
    const MD5: &str = "YWJj";

    /// Checks a body that comes in two pieces; `None` is refused before it comes.
    #[track_caller]
    fn check(fields: &[(&str, &str)], body: &str, want: Option<bool>) {
        let fields: Fields = fields.iter().copied().collect();
        let got = Checksums::of(&fields).ok().map(|mut checksums| {
            checksums.update(&body.as_bytes()[..1]);
            checksums.update(&body.as_bytes()[1..]);
            checksums.check().is_ok()
        });
        assert_eq!(got, want, "{fields:?}");
    }

    #[test]
    fn checksums() {
        let md5 = STANDARD.encode(Md5::digest("film"));
        let sha256 = STANDARD.encode(Sha256::digest("film"));
        let sha512 = STANDARD.encode(Sha512::digest("film"));
        check(&[], "film", Some(true));
        check(&[("content-md5", &md5)], "film", Some(true));
        check(&[("content-md5", &md5)], "Film", Some(false));
        check(&[("x-amz-checksum-sha256", &sha256)], "film", Some(true));
        check(&[("x-amz-checksum-sha256", &sha256)], "films", Some(false));
        let digest = format!("sha-512=:{sha512}:, sha-256=:{sha256}:;a=b");
        check(&[("repr-digest", &digest)], "film", Some(true));
        check(&[("repr-digest", &digest)], "filn", Some(false));
        check(&[("repr-digest", &format!("sha-512=:{sha512}:"))], "filn", Some(false));
        check(&[("repr-digest", "unixsum=:AAA=:")], "film", Some(true));
        check(&[("content-md5", &md5), ("repr-digest", &digest), ("x-amz-checksum-sha256", &sha256)], "film", Some(true));
        let other = STANDARD.encode(Sha256::digest("other"));
        check(&[("repr-digest", &digest), ("x-amz-checksum-sha256", &other)], "film", None);
        for bad in ["", MD5, "not Base64", &md5[..22], &sha256] {
            check(&[("content-md5", bad)], "film", None);
        }
        for bad in ["sha-256", "sha-256=", "sha-256=:", "sha-256=::", &format!("sha-256={sha256}"), &format!("sha-256=:{md5}:")]
        {
            check(&[("repr-digest", bad)], "film", None);
        }
    }
}
