//! Questions about a bucket that only an operator asks.
//!
//! In scope: whether it exists, what time it is there, which sites it lets read, and what an object says of its coding. Not in
//! scope: serving.

use std::time::SystemTime;

use rusty_s3::Credentials;
use ureq::http::HeaderMap;

use super::S3;
use super::reply::{self, Request};
use crate::error::{Error, ErrorKind};
use crate::object::ObjectKey;

/// What a bucket says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketLook {
    /// Whether the credentials may look at it. Where not, it exists all the same.
    pub is_permitted: bool,
    /// What time it is there, to the second; `None` where it does not say.
    pub time: Option<SystemTime>,
}

impl S3 {
    /// Looks at the bucket itself.
    ///
    /// # Errors
    /// Where it does not exist, or cannot be asked.
    pub fn look_at_bucket(&self) -> Result<BucketLook, Error> {
        let request = Request::new("HEAD", "the bucket", self.bucket.name());
        let response = self.ask(&request, &[], |credentials| Self::presign(&self.bucket.head_bucket(Some(credentials))))?;
        let time = reply::date(response.headers());
        match response.status().as_u16() {
            status @ (200 | 403) => Ok(BucketLook { is_permitted: status == 200, time }),
            404 => Err(reply::missing_bucket(self.bucket.name())),
            _ => Err(reply::refuse(&request, response.status(), response.headers(), &[])),
        }
    }

    /// Whether the bucket itself lets pages of this origin read the object, as a presigned URL of it would need.
    ///
    /// # Errors
    /// Where it cannot be asked.
    pub fn lets_origin_read(&self, key: &ObjectKey, origin: &str) -> Result<bool, Error> {
        let fields = self.head_fields(key, &[("origin", origin)])?;
        let allowed = fields.get("access-control-allow-origin").and_then(|value| value.to_str().ok());
        Ok(allowed.is_some_and(|allowed| allowed == "*" || allowed == origin))
    }

    /// The `Content-Encoding` that is stored with an object.
    ///
    /// # Errors
    /// Where there is no such object, or it cannot be asked for.
    pub fn stored_encoding(&self, key: &ObjectKey) -> Result<Option<String>, Error> {
        let fields = self.head_fields(key, &[])?;
        Ok(fields.get("content-encoding").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()))
    }

    fn head_fields(&self, key: &ObjectKey, fields: &[(&str, &str)]) -> Result<HeaderMap, Error> {
        let request = Request::new("HEAD", "the object", key.as_str());
        let sign = |credentials: &Credentials| Self::presign(&self.bucket.head_object(Some(credentials), key.as_str()));
        let response = self.ask(&request, fields, sign)?;
        match response.status().as_u16() {
            200 => Ok(response.into_parts().0.headers),
            404 => Err(ErrorKind::NotFound.into()),
            _ => Err(reply::refuse(&request, response.status(), response.headers(), &[])),
        }
    }
}
