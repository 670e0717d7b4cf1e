//! Where a bucket is, and who asks.
//!
//! In scope: the settings, and the base URL they make. Not in scope: reading them from the environment (the program's config).

use std::fmt;

use rusty_s3::{Bucket, BucketError, UrlStyle};

use crate::error::{Error, ErrorKind};
use crate::store::CredentialsConfig;

/// The longest bucket name: 63 bytes today, 255 for the oldest buckets of us-east-1 (AWS, "Bucket naming rules").
const BUCKET_LEN_MAX: usize = 255;

/// Where the name of the bucket stands in a URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addressing {
    /// In the path where an endpoint is set, or where the name has a dot, which no certificate of AWS covers in a host name;
    /// else in the host name.
    #[default]
    Auto,
    /// In the path: `https://host/bucket/key`.
    Path,
    /// In the host name: `https://bucket.host/key`.
    Virtual,
}

/// Which bucket, and whose credentials. No secret is shown by `Debug`.
#[derive(Clone)]
pub struct S3Config {
    /// The name of the bucket.
    pub bucket: String,
    /// Its region, as requests are signed for: `eu-central-1`.
    pub region: String,
    /// The URL of the server, for one that is not AWS; `None` for AWS.
    pub endpoint: Option<String>,
    /// Where the name of the bucket stands in a URL.
    pub addressing: Addressing,
    /// Where the credentials come from that requests are signed with.
    pub credentials: CredentialsConfig,
}

impl S3Config {
    /// The bucket with its base URL.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`], as [`S3::new`](super::S3::new) says. A URL with a password in it is not repeated.
    pub(super) fn bucket(&self) -> Result<Bucket, Error> {
        let name = self.bucket.as_str();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if name.is_empty() || name.len() > BUCKET_LEN_MAX || !name.bytes().all(is_name) || name.split('.').any(str::is_empty) {
            return Err(Error::new(ErrorKind::Internal, format!("{name:?} is not the name of a bucket")));
        }
        let is_region = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if self.region.is_empty() || !self.region.bytes().all(is_region) {
            return Err(Error::new(ErrorKind::Internal, format!("{:?} is not the name of a region", self.region)));
        }
        let endpoint = self.endpoint.clone().unwrap_or_else(|| aws_endpoint(&self.region));
        let style = match self.addressing {
            Addressing::Path => UrlStyle::Path,
            Addressing::Auto if self.endpoint.is_some() || name.contains('.') => UrlStyle::Path,
            Addressing::Auto | Addressing::Virtual => UrlStyle::VirtualHost,
        };
        let bad = |why: &str| Error::new(ErrorKind::Internal, format!("the S3 endpoint {why}"));
        let url = endpoint.parse().map_err(|source| bad("is not a URL").with_source(source))?;
        Bucket::new(url, style, name.to_owned(), self.region.clone()).map_err(|error| match error {
            BucketError::UnsupportedScheme => bad("is not an http or https URL"),
            BucketError::MissingHost => bad("names no host"),
            BucketError::ParseError(source) => {
                bad(&format!("cannot carry the bucket {name:?} in its host name: path addressing can")).with_source(source)
            }
        })
    }

    /// Whether requests can be made from it: the bucket's name, the region and the endpoint fit together.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`], with what does not.
    pub fn check(&self) -> Result<(), Error> {
        self.bucket().map(drop)
    }
}

/// The endpoint of AWS for a region; China is a partition of its own (AWS, "Amazon S3 endpoints and quotas").
fn aws_endpoint(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://s3.{region}.amazonaws.com{suffix}")
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Config")
            .field("bucket", &self.bucket)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint.as_deref().map(without_password))
            .field("addressing", &self.addressing)
            .field("credentials", &self.credentials)
            .finish()
    }
}

/// A URL without the credentials that people put into it.
fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}[redacted]{}", &url[..scheme + 3], &url[at..]),
        (None, Some(_)) => "[redacted]".to_owned(),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::credentials::Keys;

    fn config(bucket: &str, region: &str, endpoint: Option<&str>, addressing: Addressing) -> S3Config {
        S3Config {
            bucket: bucket.to_owned(),
            region: region.to_owned(),
            endpoint: endpoint.map(str::to_owned),
            addressing,
            credentials: CredentialsConfig::Static(Keys {
                access_key_id: "AKID".to_owned(),
                secret_access_key: "the-secret".to_owned(),
                session_token: Some("the-token".to_owned()),
            }),
        }
    }

    #[test]
    fn base_urls() {
        use Addressing::{Auto, Path, Virtual};
        #[track_caller]
        fn check(bucket: &str, region: &str, endpoint: Option<&str>, addressing: Addressing, want: Option<&str>) {
            let got = config(bucket, region, endpoint, addressing).bucket();
            assert_eq!(got.as_ref().ok().map(|bucket| bucket.base_url().as_str()), want, "{got:?}");
        }
        let minio = Some("http://127.0.0.1:9000");
        check("films", "eu-central-1", None, Auto, Some("https://films.s3.eu-central-1.amazonaws.com/"));
        check("films", "eu-central-1", None, Path, Some("https://s3.eu-central-1.amazonaws.com/films/"));
        check("my.films", "eu-central-1", None, Auto, Some("https://s3.eu-central-1.amazonaws.com/my.films/"));
        check("my.films", "us-east-1", None, Virtual, Some("https://my.films.s3.us-east-1.amazonaws.com/"));
        check("films", "cn-north-1", None, Auto, Some("https://films.s3.cn-north-1.amazonaws.com.cn/"));
        check("films", "us-east-1", minio, Auto, Some("http://127.0.0.1:9000/films/"));
        check("films", "us-east-1", Some("http://minio:9000/s3"), Auto, Some("http://minio:9000/s3/films/"));
        check("films", "us-east-1", Some("https://s3.example.com"), Virtual, Some("https://films.s3.example.com/"));
        check("Films_1", "us-east-1", minio, Auto, Some("http://127.0.0.1:9000/Films_1/"));
        // A name outside ASCII has a spelling within it; `vendor-notes/rusty-s3.md` says why only that one is known.
        check("films", "us-east-1", Some("http://xn--bcher-kva.example"), Path, Some("http://xn--bcher-kva.example/films/"));
        check("films", "us-east-1", Some("http://b\u{fc}cher.example"), Path, None);
        // An address has no sub-domains, and a host name no capitals.
        check("films", "us-east-1", minio, Virtual, None);
        check("Films", "us-east-1", None, Virtual, None);
        for bad in ["", ".", "..", "a/b", "../x", "a b", "a?b", "ü", "a..b", "a\r\nb", &"x".repeat(256)] {
            check(bad, "us-east-1", minio, Path, None);
        }
        for bad in ["", "eu/../x", "eu central", "eu@evil.example", "eu.evil"] {
            check("films", bad, None, Auto, None);
        }
        for bad in ["", "minio:9000", "ftp://minio", "not a url", "http://", "file:///tmp"] {
            check("films", "us-east-1", Some(bad), Path, None);
        }
    }

    #[test]
    fn credentials_are_never_shown() {
        let config = config("films", "us-east-1", Some("http://user:hunter2@minio:9000"), Addressing::Auto);
        let shown = format!("{config:?}");
        for secret in ["the-secret", "the-token", "hunter2"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        for known in ["films", "us-east-1", "minio:9000", "AKID", "[redacted]"] {
            assert!(shown.contains(known), "{shown}");
        }
        assert!(!config.bucket().unwrap().base_url().as_str().contains("hunter2"));
        let bad = S3Config { endpoint: Some("ftp://user:hunter2@minio".to_owned()), ..config };
        assert!(!bad.bucket().unwrap_err().chain().contains("hunter2"));
    }
}
