//! Policies: what is opened, and until when, from when and for whom.
//!
//! In scope: the two forms and their JSON (AWS, "Values that you specify in the policy statement for a signed URL that uses a
//! custom policy"). Not in scope: signing it.

use std::fmt::Write as _;

use ipnet::Ipv4Net;

use super::url;
use crate::error::{Error, ErrorKind};

/// A policy. Times are in seconds since 1970, as CloudFront compares them: when a request starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// One URL until a time. It is signed, and not sent: CloudFront makes it anew from the URL.
    Canned {
        /// The URL as it goes over the wire, its query included.
        url: String,
        /// It is refused from then on.
        expires_at: u64,
    },
    /// What a pattern fits, in a span of time, to a network. It is sent along with its signature.
    Custom {
        /// A URL in which `*` stands for any number of characters and `?` for one. A `*` at the end of the path stands for a
        /// query as well.
        resource: String,
        /// It is refused from then on.
        expires_at: u64,
        /// It is refused before.
        starts_at: Option<u64>,
        /// Only these addresses may use it. CloudFront takes IPv4 only.
        source: Option<Ipv4Net>,
    },
}

impl Policy {
    /// One URL until a time.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] where the URL cannot carry a signature.
    pub fn canned(url: &str, expires_at: u64) -> Result<Self, Error> {
        url::check(url)?;
        // The same JSON sent as a custom policy has the same signature, and there a star is a wildcard.
        if url.contains('*') {
            return Err(Error::new(ErrorKind::BadRequest, "a literal * must be spelled %2A in a signed URL"));
        }
        Ok(Self::Canned { url: url.to_owned(), expires_at })
    }

    /// What a pattern fits, in a span of time, to a network.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] where the pattern is empty or has a character that no URL has, or where the policy would end
    /// before it starts.
    pub fn custom(resource: &str, expires_at: u64, starts_at: Option<u64>, source: Option<Ipv4Net>) -> Result<Self, Error> {
        if resource.is_empty() || !url::is_url_text(resource) {
            return Err(Error::new(ErrorKind::BadRequest, "the resource of the policy is no pattern of URLs"));
        }
        if starts_at.is_some_and(|starts_at| starts_at >= expires_at) {
            return Err(Error::new(ErrorKind::BadRequest, "the policy ends before it starts"));
        }
        Ok(Self::Custom { resource: resource.to_owned(), expires_at, starts_at, source })
    }

    /// When it ends, in seconds since 1970.
    pub fn expires_at(&self) -> u64 {
        match self {
            Self::Canned { expires_at, .. } | Self::Custom { expires_at, .. } => *expires_at,
        }
    }

    /// The JSON that is signed: no white space, and the canned form in exactly this order, in which CloudFront makes it anew. In the
    /// custom form the order of botocore, since any will do. Nothing in it needs an escape: the resource is text of a URL.
    pub(super) fn json(&self) -> String {
        let (resource, expires_at, starts_at, source) = match self {
            Self::Canned { url, expires_at } => (url, expires_at, &None, &None),
            Self::Custom { resource, expires_at, starts_at, source } => (resource, expires_at, starts_at, source),
        };
        let mut condition = format!(r#""DateLessThan":{{"AWS:EpochTime":{expires_at}}}"#);
        // Writing into a String cannot fail.
        if let Some(source) = source {
            let _ = write!(condition, r#","IpAddress":{{"AWS:SourceIp":"{source}"}}"#);
        }
        if let Some(starts_at) = starts_at {
            let _ = write!(condition, r#","DateGreaterThan":{{"AWS:EpochTime":{starts_at}}}"#);
        }
        format!(r#"{{"Statement":[{{"Resource":"{resource}","Condition":{{{condition}}}}}]}}"#)
    }
}
