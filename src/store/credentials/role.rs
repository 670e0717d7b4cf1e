//! Roles, and how STS is asked for their keys.
//!
//! In scope: a role taken with a token (web identity, as EKS gives it to service accounts) and one taken with other keys. Not in
//! scope: where STS is and what it answers (`sts`), and where the other keys come from (`chain`).

use std::path::PathBuf;
use std::time::Duration;

use super::files::{read_small_file, read_token};
use super::http::Http;
use super::keys::{Issued, Keys};
use super::shared_files::Read;
use super::sts::{Action, Signer, StsConfig};

/// The name of a session where none is set. It stands in the log of whoever owns the role.
const SESSION_NAME: &str = "vidgate";

/// The shortest and the longest name of a session (AWS, "`AssumeRole`").
const SESSION_NAME_LEN: std::ops::RangeInclusive<usize> = 2..=64;
/// The shortest and the longest session (AWS, "`AssumeRole`").
const DURATION: std::ops::RangeInclusive<Duration> = Duration::from_mins(15)..=Duration::from_hours(12);

/// A role that is taken with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIdentityConfig {
    /// The name of the role: `arn:aws:iam::123456789012:role/vidgate`.
    pub role_arn: String,
    /// The file with the token, which is read anew each time.
    pub token_path: PathBuf,
    /// The name of the session; `None` for `vidgate`.
    pub session_name: Option<String>,
}

/// A role that is taken with other keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoleConfig {
    pub(super) role_arn: String,
    pub(super) session_name: Option<String>,
    pub(super) external_id: Option<String>,
    /// How long the keys shall be good; `None` for what STS chooses, an hour.
    pub(super) duration: Option<Duration>,
}

impl WebIdentityConfig {
    /// Whether there is a token.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn check(&self, read: Read) -> Result<(), String> {
        read_token(&self.token_path, read).map(drop)
    }

    /// Asks for keys.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) fn ask(&self, http: &Http, sts: &StsConfig) -> Result<Issued, String> {
        let token = read_token(&self.token_path, read_small_file)?;
        let name = self.session_name.as_deref().unwrap_or(SESSION_NAME);
        let form = [("RoleArn", self.role_arn.as_str()), ("RoleSessionName", name), ("WebIdentityToken", &token)];
        sts.ask(http, Action::AssumeRoleWithWebIdentity, &form, Signer::Nobody)
    }
}

impl RoleConfig {
    /// Asks for keys, with these.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) fn ask(&self, http: &Http, sts: &StsConfig, keys: &Keys) -> Result<Issued, String> {
        let name = self.session_name.as_deref().unwrap_or(SESSION_NAME);
        let duration = self.duration.map(|duration| duration.as_secs().to_string());
        let mut form = vec![("RoleArn", self.role_arn.as_str()), ("RoleSessionName", name)];
        form.extend(self.external_id.as_deref().map(|id| ("ExternalId", id)));
        form.extend(duration.as_deref().map(|duration| ("DurationSeconds", duration)));
        sts.ask(http, Action::AssumeRole, &form, Signer::Keys(keys))
    }
}

/// Whether this can be the name of a session.
pub(crate) fn is_session_name(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    SESSION_NAME_LEN.contains(&text.len()) && text.bytes().all(is_legal)
}

/// Whether this can be the name of a role: 20 to 2048 characters for STS, of which we only ask that they can be sent. Other stores
/// have names of their own.
pub(crate) fn is_role_arn(text: &str) -> bool {
    (1..=2048).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The time that `duration_seconds` says.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let duration = is_number.then(|| text.parse().ok()).flatten().map(Duration::from_secs);
    duration.filter(|duration| DURATION.contains(duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sessions() {
        for good in ["ab", "vidgate", "me@example.com", "a_b+c=d,e.f-g", &"s".repeat(64)] {
            assert!(is_session_name(good), "{good}");
        }
        for bad in ["", "a", "a b", "a/b", "ä!", &"s".repeat(65)] {
            assert!(!is_session_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("900"), Some(Duration::from_mins(15)));
        assert_eq!(duration("43200"), Some(Duration::from_hours(12)));
        for bad in ["", "899", "43201", "+900", "1h", "-1", "99999999999999999999"] {
            assert_eq!(duration(bad), None, "{bad:?}");
        }
    }
}
