//! URLs that a signature can be added to.
//!
//! In scope: what is refused. Not in scope: making them (`domain`).

use percent_encoding::percent_decode_str;

use crate::error::{Error, ErrorKind};

/// The parameters that CloudFront takes for its own (AWS, "Create a signed URL using a canned policy"), so no URL may have them
/// before it is signed.
const RESERVED: [&str; 5] = ["Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"];

/// Whether a text has only characters that a URL has (RFC 3986 section 2), none of which JSON escapes.
pub(super) fn is_url_text(text: &str) -> bool {
    let is_url_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    text.bytes().all(is_url_byte)
}

/// Checks that a URL can be signed as it is.
///
/// # Errors
/// [`ErrorKind::BadRequest`], with what is wrong with it.
pub(super) fn check(url: &str) -> Result<(), Error> {
    let bad = |why: &str| Err(Error::new(ErrorKind::BadRequest, format!("this URL cannot be signed: {why}")));
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return bad("it does not start with https:// or http://");
    };
    if !is_url_text(url) {
        return bad("it has characters that must be percent-encoded first");
    }
    if rest.is_empty() || rest.starts_with(['/', '?']) {
        return bad("it has no host");
    }
    if url.contains('#') {
        return bad("it has a fragment, which is never sent");
    }
    let Some((_, query)) = url.split_once('?') else { return Ok(()) };
    if query.is_empty() {
        return bad("it ends in a question mark");
    }
    for parameter in query.split('&') {
        let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
        let name = percent_decode_str(name).decode_utf8_lossy();
        if RESERVED.contains(&name.as_ref()) {
            return bad("its query has a parameter that signatures are made of");
        }
    }
    Ok(())
}
