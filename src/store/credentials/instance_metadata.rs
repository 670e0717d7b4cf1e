//! The metadata service of an EC2 instance, version 2.
//!
//! In scope: the three requests. Not in scope: what the last answer must look like (`answer`), and version 1, which anyone can ask
//! who can make this machine send a GET (AWS, "Use the Instance Metadata Service").

use super::answer::{self, Shape};
use super::http::{Answer, Ask, Http, Patience};
use super::keys::Issued;

/// Where the service is for IPv4.
pub(crate) const ENDPOINT_V4: &str = "http://169.254.169.254";
/// Where the service is for IPv6.
pub(crate) const ENDPOINT_V6: &str = "http://[fd00:ec2::254]";

/// How long a session may last, in seconds. It is used at once; a minute covers a machine that has much else to do.
const SESSION_LIFETIME_S: &str = "60";

/// The longest name of a role (AWS, "IAM and AWS STS quotas").
const ROLE_LEN_MAX: usize = 64;
/// The longest session token, in bytes: they have 56.
const SESSION_LEN_MAX: usize = 1024;

/// The metadata service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceMetadataConfig {
    /// Its base URL, without a slash at the end.
    pub endpoint: String,
}

impl Default for InstanceMetadataConfig {
    fn default() -> Self {
        Self { endpoint: ENDPOINT_V4.to_owned() }
    }
}

impl InstanceMetadataConfig {
    /// Asks for the keys of the role of this instance.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) fn ask(&self, http: &Http) -> Result<Issued, String> {
        let base = self.endpoint.trim_end_matches('/');
        let lifetime = [("x-aws-ec2-metadata-token-ttl-seconds", SESSION_LIFETIME_S)];
        let session = http.send(Patience::Local, &format!("{base}/latest/api/token"), Ask::Put, &lifetime)?;
        let session = body_of(&session, "the request for a session")?;
        if !(1..=SESSION_LEN_MAX).contains(&session.len()) || !session.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it answered with what is no session".to_owned());
        }
        let session = [("x-aws-ec2-metadata-token", session)];

        let roles = format!("{base}/latest/meta-data/iam/security-credentials/");
        let role = http.send(Patience::Local, &roles, Ask::Get, &session)?;
        if role.status == 404 {
            return Err("the instance has no role".to_owned());
        }
        // There is one role, but the answer is a list.
        let role = body_of(&role, "the request for the role")?.lines().next().unwrap_or_default().trim();
        if !is_role(role) {
            return Err("it answered with what is no role".to_owned());
        }

        let keys = http.send(Patience::Local, &format!("{roles}{role}"), Ask::Get, &session)?;
        let keys = body_of(&keys, "the request for keys")?;
        answer::parse(Shape::Instance, keys).map_err(|why| format!("it answered with {why}"))
    }
}

/// The body of a good answer.
fn body_of<'a>(answer: &'a Answer, what: &str) -> Result<&'a str, String> {
    match answer.status {
        200 => Ok(answer.body.trim()),
        status => Err(format!("it answered {what} with {status}")),
    }
}

/// Whether this can be the name of a role, so that it can be put into a path (AWS, "IAM and AWS STS quotas").
fn is_role(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    (1..=ROLE_LEN_MAX).contains(&text.len()) && text.bytes().all(is_legal) && !matches!(text, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_roles() {
        for good in ["vidgate", "a", "My_Role+=,.@-9", &"r".repeat(64)] {
            assert!(is_role(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a?b", "rôle", "<html>", "a\r\nb", &"r".repeat(65)] {
            assert!(!is_role(bad), "{bad:?}");
        }
    }
}
