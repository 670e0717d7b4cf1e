//! The endpoint of a container: ECS, or EKS pod identity.
//!
//! In scope: which endpoint may be asked, with which token, and asking it. Not in scope: what an answer must look like (`answer`).
//!
//! The rules are those of AWS, "SDKs and Tools Reference Guide", "Container credential provider".

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use ureq::http::Uri;

use super::answer::{self, Shape};
use super::files::{read_small_file, read_token};
use super::http::{Ask, Http, Patience};
use super::keys::Issued;
use super::shared_files::Read;

/// The endpoint of ECS, to which relative URIs belong.
const ECS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
/// The endpoint of EKS pod identity.
const EKS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 23);
/// The same for IPv6: `fd00:ec2::23`.
const EKS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23);

/// The endpoint of a container, one that may be asked. `Debug` shows no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerConfig {
    url: String,
    authorization: Option<Authorization>,
}

/// What the endpoint wants to see.
#[derive(Clone, PartialEq, Eq)]
pub enum Authorization {
    /// This, as it is.
    Token(String),
    /// What is in this file, which is read anew each time: EKS writes a new one every few hours.
    File(PathBuf),
}

impl ContainerConfig {
    /// The endpoint of ECS with this path and query, which begins with a slash (`AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`).
    ///
    /// # Errors
    /// What was expected.
    pub fn relative(path: &str) -> Result<Self, String> {
        let uri = format!("http://{ECS}{path}").parse::<Uri>().ok().filter(|_| path.starts_with('/'));
        match uri {
            Some(uri) if uri.host() == Some(&ECS.to_string()) => Ok(Self { url: uri.to_string(), authorization: None }),
            _ => Err("a path that begins with a slash".to_owned()),
        }
    }

    /// An endpoint of one's own (`AWS_CONTAINER_CREDENTIALS_FULL_URI`). Keys may come in the clear only from where nobody listens.
    ///
    /// # Errors
    /// What was expected.
    pub fn full(text: &str) -> Result<Self, String> {
        let wanted =
            || format!("an https:// URL, or an http:// URL of localhost, a loopback address, {ECS}, {EKS} or [{EKS_V6}]");
        let uri = text.parse::<Uri>().map_err(|_| wanted())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wanted()) };
        let is_safe = match scheme {
            "https" => !authority.host().is_empty(),
            "http" => is_near(authority.host()),
            _ => false,
        };
        if is_safe && !authority.as_str().contains('@') {
            Ok(Self { url: uri.to_string(), authorization: None })
        } else {
            Err(wanted())
        }
    }

    /// The same with what it wants to see.
    #[must_use]
    pub fn with_authorization(self, authorization: Option<Authorization>) -> Self {
        Self { authorization, ..self }
    }

    /// Whether the file with its token, if there is one, can be read.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self, read: Read) -> Result<(), String> {
        match &self.authorization {
            Some(Authorization::File(path)) => read_token(path, read).map(drop),
            Some(Authorization::Token(_)) | None => Ok(()),
        }
    }

    /// Asks for keys.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) fn ask(&self, http: &Http) -> Result<Issued, String> {
        let token = match &self.authorization {
            None => None,
            Some(Authorization::Token(token)) => Some(token.clone()),
            Some(Authorization::File(path)) => Some(read_token(path, read_small_file)?),
        };
        let field = token.as_deref().map(|token| ("authorization", token));
        let answer = http.send(Patience::Local, &self.url, Ask::Get, field.as_slice())?;
        match answer.status {
            200 => answer::parse(Shape::Container, &answer.body).map_err(|why| format!("it answered with {why}")),
            status => Err(match answer::error_code(&answer.body) {
                Some(code) => format!("it answered {status} {code}"),
                None => format!("it answered {status}"),
            }),
        }
    }
}

/// Whether a host is this machine or the agent beside it. Of names only `localhost` is known to be (RFC 6761 section 6.3).
fn is_near(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address == ECS || address == EKS,
        Ok(IpAddr::V6(address)) => address.is_loopback() || address == EKS_V6,
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token([redacted])"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_uris() {
        let url = |path: &str| ContainerConfig::relative(path).map(|config| config.url).ok();
        assert_eq!(url("/v2/credentials/a-b").as_deref(), Some("http://169.254.170.2/v2/credentials/a-b"));
        assert_eq!(url("/get?id=1").as_deref(), Some("http://169.254.170.2/get?id=1"));
        assert_eq!(url("//evil.example/x").as_deref(), Some("http://169.254.170.2//evil.example/x"));
        for bad in ["", "v2", "@evil.example/x", ".evil.example/", ":80/x", "http://evil.example/", "/a b", "/a\r\nX: y"] {
            assert_eq!(url(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn full_uris() {
        #[track_caller]
        fn check(text: &str, is_good: bool) {
            assert_eq!(ContainerConfig::full(text).is_ok(), is_good, "{text:?}");
        }
        for good in [
            "https://keys.example/x",
            "https://keys.example:8443",
            "http://127.0.0.1/x",
            "http://127.9.9.9:51679/x?y=z",
            "http://localhost:8080/get",
            "http://LOCALHOST/get",
            "http://[::1]:80/x",
            "http://169.254.170.2/v2",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
        ] {
            check(good, true);
        }
        for bad in [
            "",
            "/v2",
            "127.0.0.1/x",
            "ftp://127.0.0.1/",
            "http://169.254.169.254/x",
            "http://10.0.0.1/x",
            "http://keys.example/x",
            "http://localhost.evil.example/x",
            "http://127.0.0.1.evil.example/x",
            "http://127.0.0.1@evil.example/x",
            "http://evil.example#@127.0.0.1/",
            "http://[fd00:ec2::24]/x",
            "https://me:secret@keys.example/",
            "https:///x",
            "http://127.1/x",
        ] {
            check(bad, false);
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let config = ContainerConfig::full("http://localhost/").unwrap();
        let shown = format!("{:?}", config.with_authorization(Some(Authorization::Token("hunter2".to_owned()))));
        assert!(shown.contains("localhost") && !shown.contains("hunter2"), "{shown}");
    }
}
