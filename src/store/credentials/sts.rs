//! The Security Token Service: other keys for a token, or for keys.
//!
//! In scope: where it is, what a form to it and an answer of it look like. Not in scope: whose token or keys are sent
//! (`web_identity`, `assume_role`).

use form_urlencoded::Serializer;
use instant_xml::{FromXml, from_str};
use jiff::Timestamp;
use ureq::http::Uri;

use super::answer::{is_code, timestamp};
use super::http::{Ask, Http, Patience};
use super::keys::{Issued, Keys};
use super::sigv4::{self, Form, Scope};

/// The version of the API that forms name.
const VERSION: &str = "2011-06-15";
/// The name space of its answers.
const XML_NS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// How much of what it says of an error is told, in characters.
const MESSAGE_LEN_MAX: usize = 200;

/// Where STS is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsConfig {
    /// Its URL, where it is not that of AWS for the region.
    pub endpoint: Option<String>,
    /// The region whose endpoint is asked, and that requests are signed for.
    pub region: String,
}

/// An action of STS. Each has a name of its own for each element of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    AssumeRole,
    AssumeRoleWithWebIdentity,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(super) enum Signer<'a> {
    /// The token in the form says it.
    Nobody,
    /// Whoever has these keys.
    Keys(&'a Keys),
}

impl StsConfig {
    fn url(&self) -> Result<Uri, String> {
        let suffix = if self.region.starts_with("cn-") { ".cn" } else { "" };
        let of_region = || format!("https://sts.{}.amazonaws.com{suffix}/", self.region);
        let url = self.endpoint.clone().unwrap_or_else(of_region);
        url.parse::<Uri>().ok().filter(|url| url.host().is_some()).ok_or_else(|| "its endpoint is not a URL".to_owned())
    }

    /// Asks for keys. `form` is what the action takes; `secret` is the part of it that nobody may see.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) fn ask(&self, http: &Http, action: Action, form: &[(&str, &str)], signer: Signer<'_>) -> Result<Issued, String> {
        let url = self.url()?;
        let mut body = Serializer::new(String::new());
        body.append_pair("Action", action.name()).append_pair("Version", VERSION).extend_pairs(form);
        let body = body.finish();

        let host = host_field(&url);
        let mut fields = vec![("content-type", sigv4::FORM.to_owned()), ("host", host.clone())];
        if let Signer::Keys(keys) = signer {
            let form = Form { host: &host, path: url.path(), content_type: sigv4::FORM, body: &body };
            let scope = Scope { region: &self.region, service: "sts" };
            fields.extend(sigv4::sign(keys, scope, form, Timestamp::now()));
        }
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = http.send(Patience::Remote, &url.to_string(), Ask::Post(&body), &fields)?;
        match answer.status {
            200 => parse(action, &answer.body).map_err(|why| format!("it answered with {why}")),
            status => {
                let token = form.iter().find(|(name, _)| *name == "WebIdentityToken").map_or("", |(_, token)| token);
                Err(refusal(status, &answer.body, token))
            }
        }
    }
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWithWebIdentity => "AssumeRoleWithWebIdentity",
        }
    }
}

/// The `Host` of a URL: without the port where it is the scheme's own (RFC 9110 section 7.2), as it is signed.
fn host_field(url: &Uri) -> String {
    let host = url.host().unwrap_or_default();
    match (url.port_u16(), url.scheme_str()) {
        (None, _) | (Some(80), Some("http")) | (Some(443), Some("https")) => host.to_owned(),
        (Some(port), _) => format!("{host}:{port}"),
    }
}

#[derive(FromXml)]
#[xml(rename = "AssumeRoleResponse", ns(XML_NS))]
struct RoleResponse {
    result: RoleResult,
}

#[derive(FromXml)]
#[xml(rename = "AssumeRoleResult", ns(XML_NS))]
struct RoleResult {
    credentials: Credentials,
}

#[derive(FromXml)]
#[xml(rename = "AssumeRoleWithWebIdentityResponse", ns(XML_NS))]
struct WebIdentityResponse {
    result: WebIdentityResult,
}

#[derive(FromXml)]
#[xml(rename = "AssumeRoleWithWebIdentityResult", ns(XML_NS))]
struct WebIdentityResult {
    credentials: Credentials,
}

#[derive(FromXml)]
#[xml(rename = "Credentials", ns(XML_NS))]
struct Credentials {
    #[xml(rename = "AccessKeyId")]
    access_key_id: String,
    #[xml(rename = "SecretAccessKey")]
    secret_access_key: String,
    #[xml(rename = "SessionToken")]
    session_token: String,
    #[xml(rename = "Expiration")]
    expiration: String,
}

#[derive(FromXml)]
#[xml(rename = "ErrorResponse", ns(XML_NS))]
struct ErrorResponse {
    error: StsError,
}

#[derive(FromXml)]
#[xml(rename = "Error", ns(XML_NS))]
struct StsError {
    #[xml(rename = "Code")]
    code: String,
    #[xml(rename = "Message")]
    message: Option<String>,
}

/// Reads a good answer: all four parts once, each of which can be what it says.
fn parse(action: Action, body: &str) -> Result<Issued, String> {
    let credentials = match action {
        Action::AssumeRole => from_str::<RoleResponse>(body).map(|response| response.result.credentials),
        Action::AssumeRoleWithWebIdentity => from_str::<WebIdentityResponse>(body).map(|response| response.result.credentials),
    };
    // The parser stops at the end of what it looks for, so it does not see that the rest is missing.
    let is_whole = body.trim_end().ends_with(&format!("{}Response>", action.name()));
    // What it says of what it cannot read may hold a part of that.
    let credentials = credentials.ok().filter(|_| is_whole).ok_or_else(|| format!("what is no {}Response", action.name()))?;
    let keys = Keys::parse(&credentials.access_key_id, &credentials.secret_access_key, Some(&credentials.session_token))?;
    if keys.session_token.is_none() {
        return Err("no session token".to_owned());
    }
    let expires_at = timestamp(&credentials.expiration).ok_or("an Expiration that is no time")?;
    Ok(Issued { keys, expires_at: Some(expires_at) })
}

/// What it says of an error, in words that hold nothing of `token`.
fn refusal(status: u16, body: &str, token: &str) -> String {
    let error = from_str::<ErrorResponse>(body).ok().map(|response| response.error);
    let Some(error) = error.filter(|error| is_code(&error.code)) else { return format!("it answered {status}") };
    let message = error.message.unwrap_or_default();
    // The middle part of a JSON Web Token names its bearer; none of the three may be told.
    let is_secret = token.split('.').any(|part| part.len() > 3 && message.contains(part));
    let shown = if is_secret { "" } else { message.trim() };
    let message: String = shown.chars().take(MESSAGE_LEN_MAX).map(|char| if char.is_control() { ' ' } else { char }).collect();
    let dots = if message.is_empty() { "" } else { ": " };
    format!("it answered {status} {}{dots}{message}", error.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey>
<SessionToken>hunter3</SessionToken><Expiration>1970-01-01T01:00:00Z</Expiration></Credentials>
<PackedPolicySize>6</PackedPolicySize></AssumeRoleResult>
<ResponseMetadata><RequestId>c6104cbe</RequestId></ResponseMetadata></AssumeRoleResponse>"#;

    #[test]
    fn endpoints() {
        #[track_caller]
        fn check(endpoint: Option<&str>, region: &str, want: (&str, &str)) {
            let config = StsConfig { endpoint: endpoint.map(str::to_owned), region: region.to_owned() };
            let url = config.url().unwrap();
            assert_eq!((url.to_string().as_str(), host_field(&url).as_str()), want);
        }
        check(None, "eu-west-1", ("https://sts.eu-west-1.amazonaws.com/", "sts.eu-west-1.amazonaws.com"));
        check(None, "cn-north-1", ("https://sts.cn-north-1.amazonaws.com.cn/", "sts.cn-north-1.amazonaws.com.cn"));
        check(Some("http://127.0.0.1:9000"), "x", ("http://127.0.0.1:9000/", "127.0.0.1:9000"));
        check(Some("https://sts.example:443/a"), "x", ("https://sts.example:443/a", "sts.example"));
        check(Some("http://[::1]:80/"), "x", ("http://[::1]:80/", "[::1]"));
        for bad in ["", "/", "not a url"] {
            let config = StsConfig { endpoint: Some(bad.to_owned()), region: "x".to_owned() };
            assert_eq!(config.url().unwrap_err(), "its endpoint is not a URL");
        }
    }

    #[test]
    fn good_answers() {
        let want = Keys::parse("ASIA", "hunter2", Some("hunter3")).unwrap();
        let issued = parse(Action::AssumeRole, GOOD).unwrap();
        assert_eq!((issued.keys, issued.expires_at), (want.clone(), timestamp("1970-01-01T01:00:00Z")));
        let other = GOOD.replace("AssumeRoleResponse", "AssumeRoleWithWebIdentityResponse");
        let other = other.replace("AssumeRoleResult", "AssumeRoleWithWebIdentityResult");
        assert_eq!(parse(Action::AssumeRoleWithWebIdentity, &other).unwrap().keys, want);
        assert!(parse(Action::AssumeRole, &other).is_err());
        // Characters that XML escapes are none of keys, but no reason to fail either.
        let escaped = parse(Action::AssumeRole, &GOOD.replace("hunter2", "hun&#x74;er2")).unwrap();
        assert_eq!(escaped.keys, want);
    }

    #[test]
    fn bad_answers_say_why_and_show_nothing() {
        #[track_caller]
        fn check(from: &str, to: &str, want: &str) {
            let body = GOOD.replace(from, to);
            assert_ne!(body, GOOD);
            assert_eq!(parse(Action::AssumeRole, &body), Err(want.to_owned()), "{body}");
        }
        let none = "what is no AssumeRoleResponse";
        check("doc/2011-06-15", "doc/2011-06-16", none);
        check("<SecretAccessKey>hunter2</SecretAccessKey>", "", none);
        check("<AccessKeyId>ASIA</AccessKeyId>", "<AccessKeyId>A</AccessKeyId><AccessKeyId>ASIA</AccessKeyId>", none);
        check("<SessionToken>hunter3</SessionToken>", "", none);
        check("hunter3", "", "no session token");
        check("hunter2", "hun ter2", "a secret access key that is none");
        check("1970-01-01T01:00:00Z", "soon", "an Expiration that is no time");
        check("hunter2", "&hunter2;", none);
        check("hunter2", "<b>hunter2</b>", none);
        for len in 0..GOOD.len() {
            assert!(parse(Action::AssumeRole, &GOOD[..len]).is_err(), "cut at {len}");
        }
        for body in ["<html>hunter2</html>", "hunter2", "{}", &"<a>".repeat(20_000)] {
            assert_eq!(parse(Action::AssumeRole, body), Err(none.to_owned()));
        }
    }

    #[test]
    fn refusals() {
        #[track_caller]
        fn check(body: &str, want: &str) {
            assert_eq!(refusal(400, body, "aaaa.bbbb.cccc"), want);
        }
        let error = |code: &str, message: &str| {
            format!(
                "<ErrorResponse xmlns=\"{XML_NS}\"><Error><Type>Sender</Type><Code>{code}</Code>{message}</Error></ErrorResponse>"
            )
        };
        check(&error("ExpiredTokenException", ""), "it answered 400 ExpiredTokenException");
        check(&error("AccessDenied", "<Message>not\nyours</Message>"), "it answered 400 AccessDenied: not yours");
        check(&error("AccessDenied", "<Message>of bbbb</Message>"), "it answered 400 AccessDenied");
        check(&error("Access Denied", ""), "it answered 400");
        let long = error("A", &format!("<Message>{}</Message>", "x".repeat(1000)));
        assert_eq!(refusal(400, &long, "").len(), "it answered 400 A: ".len() + MESSAGE_LEN_MAX);
        for body in ["", "<html>", "<Error><Code>A</Code></Error>"] {
            check(body, "it answered 400");
        }
    }
}
