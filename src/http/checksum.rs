//! The checksum of one request of an upload (tus 1.0.0, "Checksum").
//!
//! In scope: `Upload-Checksum`, computing what it names, and comparing. Not in scope: reading the body, and checksums of whole
//! objects (`digest`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind};

/// The algorithms that are known, as OPTIONS lists them.
pub const ALGORITHMS: &str = "sha1,sha256,md5";

/// What is computed of a body, and what should come out.
pub struct Checksum {
    hash: Hash,
    want: Vec<u8>,
}

enum Hash {
    Sha1(Sha1),
    Sha256(Sha256),
    Md5(Md5),
}

impl Checksum {
    /// Reads the field: an algorithm, a blank, and the checksum in Base64.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] where it is malformed or the algorithm is not known.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (algorithm, value) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let (hash, len) = match algorithm {
            "sha1" => (Hash::Sha1(Sha1::new()), 20),
            "sha256" => (Hash::Sha256(Sha256::new()), 32),
            "md5" => (Hash::Md5(Md5::new()), 16),
            _ => return Err(malformed(format!("the algorithms of Upload-Checksum are {ALGORITHMS}"))),
        };
        let want = STANDARD.decode(value.trim()).ok().filter(|want| want.len() == len);
        let want = want.ok_or_else(|| malformed(format!("Upload-Checksum is not {len} bytes in Base64")))?;
        Ok(Self { hash, want })
    }

    /// Goes on with these bytes of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.hash {
            Hash::Sha1(hash) => hash.update(bytes),
            Hash::Sha256(hash) => hash.update(bytes),
            Hash::Md5(hash) => hash.update(bytes),
        }
    }

    /// Compares what came with what should have come.
    ///
    /// # Errors
    /// [`ErrorKind::ChecksumMismatch`] where they differ.
    pub fn check(self) -> Result<(), Error> {
        let is_good = match self.hash {
            Hash::Sha1(hash) => hash.finalize().as_slice() == self.want,
            Hash::Sha256(hash) => hash.finalize().as_slice() == self.want,
            Hash::Md5(hash) => hash.finalize().as_slice() == self.want,
        };
        if is_good { Ok(()) } else { Err(ErrorKind::ChecksumMismatch.into()) }
    }
}

fn malformed(why: String) -> Error {
    Error::new(ErrorKind::BadRequest, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(field: &str, body: &str, want: Result<(), u16>) {
        let got = Checksum::parse(field).and_then(|mut checksum| {
            for byte in body.as_bytes() {
                checksum.update(&[*byte]);
            }
            checksum.check()
        });
        assert_eq!(got.map_err(|error| error.kind().status()), want, "{field}");
    }

    #[test]
    fn checksums() {
        // printf 'hello world' | openssl dgst -sha1 -binary | base64, and so on; the first is the example of the protocol.
        check("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "hello world", Ok(()));
        check("sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=", "hello world", Ok(()));
        check("md5  XrY7u+Ae7tCTyyK7j1rNww== ", "hello world", Ok(()));
        for (field, body) in [
            ("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "hello worlD"),
            ("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "hello worl"),
            ("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", ""),
            ("sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=", "Hello world"),
            ("md5 XrY7u+Ae7tCTyyK7j1rNww==", "hello world "),
        ] {
            check(field, body, Err(460));
        }
        for bad in [
            "",
            "sha1",
            "sha1 ",
            "sha1 x",
            "SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
            "crc32 AAAAAA==",
            "md5 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        ] {
            check(bad, "hello world", Err(400));
        }
        for name in ALGORITHMS.split(',') {
            let error = Checksum::parse(&format!("{name} x")).err().unwrap();
            assert!(error.to_string().contains("bytes in Base64"), "{name} is known");
        }
    }
}
