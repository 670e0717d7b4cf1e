//! Objects of our own in a bucket, which are no videos: what is below [`RESERVED`].
//!
//! In scope: writing, reading, removing and listing small ones, each reply checked. Not in scope: what they mean (`resumable`).

use std::io::Read as _;

use rusty_s3::Credentials;

use super::S3;
use super::listing::{self, Named};
use super::multipart::{condition, finish_reply, refuse_write};
use super::reply::{self, Request};
use super::upload::patiently;
use super::wire::{Sending, Wire};
use crate::error::{Error, ErrorKind};
use crate::object::{ETag, RESERVED};
use crate::store::write::Pin;

/// How many names are listed at most: 1000 of each page.
const PAGES_MAX: usize = 20;

/// A name behind all of ours, for the next page to begin behind: no character is greater.
pub(super) const BEHIND: &str = ".vidgate/\u{10ffff}";

/// Whether a name is one of ours.
pub(super) fn is_own(name: &str) -> bool {
    name.split('/').next() == Some(RESERVED) && name.len() > RESERVED.len()
}

/// The whole name of an object of ours.
pub(super) fn name(rest: &str) -> String {
    format!("{RESERVED}/uploads/{rest}")
}

impl S3 {
    /// Writes an object of ours on this condition, and gives its version. Where the answer to a good request was lost, that is
    /// found out.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] where the condition does not hold: somebody else wrote it.
    pub(super) fn put_own(&self, wire: &Wire, name: &str, bytes: &[u8], pin: &Pin) -> Result<ETag, Error> {
        let request = Request::new("PUT", "our object", name);
        let sign = |credentials: &Credentials| Self::presign(&self.bucket.put_object(Some(credentials), name));
        let mut fields = vec![("content-type", "application/octet-stream")];
        fields.extend(condition(pin));
        let outcome = patiently(|| {
            let response = self.ask_by(wire, &request, &fields, Sending::OnCondition(bytes), sign)?;
            if response.status().as_u16() != 200 {
                return Err(refuse_write(wire, &request, response, pin));
            }
            let etag = reply::check_put(&request, response.headers())?;
            finish_reply(wire, response);
            Ok(etag)
        });
        match outcome {
            Ok((etag, _)) => Ok(etag),
            Err((error, failures)) if error.kind() == ErrorKind::PreconditionFailed => {
                // The refusal may be about what the request had done itself when its answer was lost, and it was sent again.
                match self.get_own(name, bytes.len() as u64) {
                    Ok(Some((found, etag))) if failures > 0 && found == bytes => Ok(etag),
                    _ => Err(Error::new(ErrorKind::Locked, "another request goes on with this upload").with_source(error)),
                }
            }
            Err((error, _)) => Err(error),
        }
    }

    /// Reads an object of ours of at most so many bytes, with its version; `None` where there is none.
    pub(super) fn get_own(&self, name: &str, len_max: u64) -> Result<Option<(Vec<u8>, ETag)>, Error> {
        let request = Request::new("GET", "our object", name);
        let sign = |credentials: &Credentials| Self::presign(&self.bucket.get_object(Some(credentials), name));
        let read = || {
            let response = self.ask(&request, &[], sign)?;
            if response.status().as_u16() != 200 {
                return match self.wire.refuse(&request, response) {
                    error if error.kind() == ErrorKind::NotFound => self.check_bucket().map(|()| None),
                    error => Err(error),
                };
            }
            let etag = reply::check_put(&request, response.headers())?;
            let mut bytes = Vec::new();
            let broken =
                |source| Error::new(ErrorKind::UpstreamUnavailable, format!("{request} broke off")).with_source(source);
            response.into_body().into_reader().take(len_max + 1).read_to_end(&mut bytes).map_err(broken)?;
            if bytes.len() as u64 > len_max {
                return Err(request.nonsense(&format!("more than {len_max} bytes")));
            }
            Ok(Some((bytes, etag)))
        };
        patiently(read).map(|(found, _)| found).map_err(|(error, _)| error)
    }

    /// Removes an object of ours, where it is there.
    pub(super) fn delete_own(&self, name: &str) -> Result<(), Error> {
        let request = Request::new("DELETE", "our object", name);
        let sign = |credentials: &Credentials| Self::presign(&self.bucket.delete_object(Some(credentials), name));
        let delete = || {
            let response = self.ask(&request, &[], sign)?;
            match response.status().as_u16() {
                200 | 204 | 404 => {
                    finish_reply(&self.wire, response);
                    Ok(())
                }
                _ => Err(self.wire.refuse(&request, response)),
            }
        };
        patiently(delete).map(drop).map_err(|(error, _)| error)
    }

    /// The objects of ours whose names start so, in order; of very many the first ones.
    pub(super) fn list_own(&self, prefix: &str) -> Result<Vec<Named>, Error> {
        let request = Request::new("LIST", "the bucket", self.bucket.name());
        let mut names: Vec<Named> = Vec::new();
        for _ in 0..PAGES_MAX {
            let after = names.last().map(|last| last.name.clone()).unwrap_or_default();
            let sign = |credentials: &Credentials| {
                let mut action = self.bucket.list_objects_v2(Some(credentials));
                action.with_prefix(prefix);
                if !after.is_empty() {
                    action.with_start_after(after.as_str());
                }
                Self::presign(&action)
            };
            let page = || {
                let response = self.ask(&request, &[], sign)?;
                if response.status().as_u16() != 200 {
                    return Err(self.wire.refuse(&request, response));
                }
                listing::check_names(&request, &self.wire.text(&request, response)?, prefix, &after)
            };
            let (page, has_more) = patiently(page).map(|(page, _)| page).map_err(|(error, _)| error)?;
            names.extend(page);
            if !has_more {
                break;
            }
        }
        Ok(names)
    }
}
