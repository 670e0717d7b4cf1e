//! What the endpoints of containers and of EC2 answer: keys as JSON.
//!
//! In scope: pure checks of a body, and the code of an error. Not in scope: asking, and the XML of STS (`sts`).
//!
//! What is told of a body that is not right never holds a part of it but an error's code: it may be keys all the same.

use std::time::SystemTime;

use serde_json::Value;

use super::keys::{Issued, Keys};

/// The longest code of an error that is told, in bytes.
const CODE_LEN_MAX: usize = 64;

/// Which fields an answer must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Those of a container: the keys. Without `Token` and `Expiration` they are keys for good, as endpoints of one's own give
    /// them.
    Container,
    /// Those of EC2: all of them, and `Code` must be `Success` (AWS, "Use instance metadata": the role may be broken).
    Instance,
}

/// Reads an answer.
///
/// # Errors
/// What is wrong with it, as a phrase that continues "was answered with".
pub(super) fn parse(shape: Shape, body: &str) -> Result<Issued, String> {
    let fields: Value = serde_json::from_str(body).map_err(|_| "what is no JSON".to_owned())?;
    if shape == Shape::Instance && fields.get("Code").and_then(Value::as_str) != Some("Success") {
        return Err(error_code(body).map_or_else(|| "no code".to_owned(), |code| format!("the code {code}")));
    }
    let text = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("no text as {name}")),
    };
    let needed = |name: &str| text(name)?.ok_or_else(|| format!("no {name}"));
    let (token, expiration) = match shape {
        Shape::Container => (text("Token")?, text("Expiration")?),
        Shape::Instance => (Some(needed("Token")?), Some(needed("Expiration")?)),
    };
    let keys = Keys::parse(needed("AccessKeyId")?, needed("SecretAccessKey")?, token)?;
    let expires_at = expiration.map(|text| timestamp(text).ok_or("an Expiration that is no time")).transpose()?;
    Ok(Issued { keys, expires_at })
}

/// A time as AWS writes it: `2026-01-02T03:04:05Z` (RFC 3339).
pub(super) fn timestamp(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

/// The code of an error, where it is one word: `AccessDeniedException`.
pub(super) fn error_code(body: &str) -> Option<String> {
    let fields: Value = serde_json::from_str(body).ok()?;
    let code = ["Code", "code", "__type"].iter().find_map(|name| fields.get(name))?.as_str()?;
    is_code(code).then(|| code.to_owned())
}

/// Whether a text can be told: a word.
pub(super) fn is_code(text: &str) -> bool {
    (1..=CODE_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const GOOD: &str = r#"{"Code":"Success","LastUpdated":"2026-01-01T00:00:00Z","Type":"AWS-HMAC","AccessKeyId":"ASIA",
        "SecretAccessKey":"hunter2","Token":"hunter3","Expiration":"1970-01-02T00:00:00Z"}"#;

    #[test]
    fn good_answers() {
        for shape in [Shape::Container, Shape::Instance] {
            let issued = parse(shape, GOOD).unwrap();
            assert_eq!(issued.keys, Keys::parse("ASIA", "hunter2", Some("hunter3")).unwrap());
            assert_eq!(issued.expires_at, Some(SystemTime::UNIX_EPOCH + Duration::from_hours(24)));
        }
        let bare = r#"{"AccessKeyId":"AKIA","SecretAccessKey":"hunter2","Token":null}"#;
        let want = Issued { keys: Keys::parse("AKIA", "hunter2", None).unwrap(), expires_at: None };
        assert_eq!(parse(Shape::Container, bare), Ok(want));
        assert_eq!(parse(Shape::Instance, bare), Err("no code".to_owned()));
    }

    #[test]
    fn bad_answers_say_why_and_show_nothing() {
        #[track_caller]
        fn check(shape: Shape, from: &str, to: &str, want: &str) {
            let body = GOOD.replace(from, to);
            assert_ne!(body, GOOD);
            assert_eq!(parse(shape, &body), Err(want.to_owned()), "{body}");
            assert!(!want.contains("hunter"));
        }
        use Shape::{Container, Instance};
        check(Instance, "Success", "Failed", "the code Failed");
        check(Instance, "Success", "hunter 2", "no code");
        for shape in [Container, Instance] {
            check(shape, "AccessKeyId", "X", "no AccessKeyId");
            check(shape, "SecretAccessKey", "X", "no SecretAccessKey");
            check(shape, "\"hunter2\"", "2", "no text as SecretAccessKey");
            check(shape, "hunter2", "", "a secret access key that is none");
            check(shape, "ASIA", "AS IA", "an access key id that is none");
            check(shape, "hunter3", "hunter\\n3", "a session token that is none");
            check(shape, "1970-01-02T00:00:00Z", "soon", "an Expiration that is no time");
            check(shape, "1970-01-02T00:00:00Z", "", "an Expiration that is no time");
            check(shape, "\"1970-01-02T00:00:00Z\"", "86400", "no text as Expiration");
        }
        check(Instance, "Expiration", "X", "no Expiration");
        check(Instance, "Token", "X", "no Token");
        for body in ["", "{", "hunter2", "<html>hunter2</html>", "\"hunter2\" x", &"[".repeat(10_000)] {
            assert_eq!(parse(Container, body), Err("what is no JSON".to_owned()));
        }
        for body in ["[]", "null", "\"hunter2\"", "1"] {
            assert_eq!(parse(Container, body), Err("no AccessKeyId".to_owned()), "{body}");
        }
        // Cut anywhere, it is no answer.
        for len in 0..GOOD.len() {
            assert!(parse(Container, &GOOD[..len]).is_err());
        }
    }

    #[test]
    fn codes_of_errors() {
        #[track_caller]
        fn check(body: &str, want: Option<&str>) {
            assert_eq!(error_code(body).as_deref(), want, "{body}");
        }
        check(r#"{"code":"NoSuchTask","message":"hunter2"}"#, Some("NoSuchTask"));
        check(r#"{"Code":"AssumeRoleUnauthorizedAccess"}"#, Some("AssumeRoleUnauthorizedAccess"));
        for none in ["", "{}", "[]", r#"{"code":1}"#, r#"{"code":""}"#, r#"{"code":"two words"}"#, "<Code>x</Code>"] {
            check(none, None);
        }
        check(&format!(r#"{{"code":"{}"}}"#, "x".repeat(65)), None);
    }
}
