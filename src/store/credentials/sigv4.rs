//! Signature Version 4 of a form that is posted.
//!
//! In scope: the one kind of request that is signed outside of S3 (AWS, "Create a signed AWS API request"). Not in scope: requests
//! to S3, which rusty-s3 signs.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::keys::Keys;

/// The type of what is posted.
pub(super) const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Where a signature counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// A form for the path `/` of a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) content_type: &'a str,
    pub(super) body: &'a str,
}

/// The fields that a request needs besides its `Content-Type` and `Host`: name and value.
pub(super) fn sign(keys: &Keys, scope: Scope<'_>, form: Form<'_>, now: Timestamp) -> Vec<(&'static str, String)> {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut fields = vec![("content-type", form.content_type.to_owned()), ("host", form.host.to_owned())];
    fields.push(("x-amz-date", time.clone()));
    fields.extend(keys.session_token.clone().map(|token| ("x-amz-security-token", token)));
    let names = fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines = fields.iter().fold(String::new(), |lines, (name, value)| lines + name + ":" + value + "\n");
    let request = format!("POST\n{}\n\n{lines}\n{names}\n{}", form.path, hex(&Sha256::digest(form.body)));

    let day = &time[..8];
    let place = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{place}\n{}", hex(&Sha256::digest(&request)));
    let first = format!("AWS4{}", keys.secret_access_key).into_bytes();
    let parts = [day, scope.region, scope.service, "aws4_request", &to_sign];
    let signature = hex(&parts.iter().fold(first, |key, part| mac(&key, part)));
    let id = &keys.access_key_id;
    let authorization = format!("AWS4-HMAC-SHA256 Credential={id}/{place}, SignedHeaders={names}, Signature={signature}");

    fields.retain(|(name, _)| !matches!(*name, "content-type" | "host"));
    fields.push(("authorization", authorization));
    fields
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // Keys of any length are keys of HMAC (RFC 2104 section 2).
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS, "Signature Version 4 Test Suite": the keys and the time of all its cases.
    fn signed(token: Option<&str>, body: &str) -> Vec<(&'static str, String)> {
        let keys = Keys::parse("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token).unwrap();
        let content_type = "application/x-www-form-urlencoded";
        let form = Form { host: "example.amazonaws.com", path: "/", content_type, body };
        sign(&keys, Scope { region: "us-east-1", service: "service" }, form, "2015-08-30T12:36:00Z".parse().unwrap())
    }

    #[test]
    fn the_vector_of_aws() {
        // Its case post-x-www-form-urlencoded.
        let want = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                    SignedHeaders=content-type;host;x-amz-date, \
                    Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        let fields = signed(None, "Param1=value1");
        assert_eq!(fields, [("x-amz-date", "20150830T123600Z".to_owned()), ("authorization", want.to_owned())]);
    }

    #[test]
    fn every_part_counts() {
        let signature = |token, body: &str| signed(token, body).pop().unwrap().1;
        let plain = signature(None, "a=b");
        assert_ne!(plain, signature(None, "a=c"));
        let with_token = signature(Some("token"), "a=b");
        assert!(with_token.contains("content-type;host;x-amz-date;x-amz-security-token"), "{with_token}");
        assert_ne!(with_token, signature(Some("tokem"), "a=b"));
        assert!(signed(Some("token"), "").contains(&("x-amz-security-token", "token".to_owned())));
    }
}
