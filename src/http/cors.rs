//! Cross-origin requests (the Fetch standard's CORS protocol).
//!
//! In scope: which origins may read answers, and the fields that say so. Not in scope: which answers there are.

use crate::http::response::Response;

/// The origins whose pages may read our answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigins {
    /// Any page's.
    Any,
    /// These, each as `scheme://host[:port]`.
    List(Vec<String>),
}

/// Fields of answers that a page may read besides the ones that every page may.
const EXPOSED: &str = "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, Last-Modified, Location, Retry-After, \
     Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Expires, Upload-Length, \
     Upload-Metadata, Upload-Offset";
/// Fields that a page may send besides the ones that every page may.
const ALLOWED_FIELDS: &str = "Authorization, Content-MD5, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range, \
     Repr-Digest, Tus-Resumable, Upload-Checksum, Upload-Length, Upload-Metadata, Upload-Offset, X-Amz-Checksum-Sha256, \
     X-HTTP-Method-Override, X-Request-ID";
/// How long a browser may remember a preflight, in seconds: a day; browsers cut it to their own limit.
const MAX_AGE_SECONDS: &str = "86400";

impl CorsOrigins {
    /// What `Access-Control-Allow-Origin` says to a page of this origin, if it may read at all.
    fn allow<'o>(&self, origin: &'o str) -> Option<&'o str> {
        match self {
            Self::Any => Some("*"),
            // Browsers serialise origins in lower case, so the comparison need not fold.
            Self::List(origins) => origins.iter().any(|known| known == origin).then_some(origin),
        }
    }

    /// Marks an answer for the origin that asked. Every answer varies by origin, also the one to nobody in particular, so that
    /// no cache gives it to a page that needs the fields.
    pub fn mark(&self, origin: Option<&str>, response: &mut Response) {
        response.field("Vary", "Origin");
        if let Some(allowed) = origin.and_then(|origin| self.allow(origin)) {
            response.field("Access-Control-Allow-Origin", allowed);
            response.field("Access-Control-Expose-Headers", EXPOSED);
        }
    }

    /// The answer to OPTIONS: the preflight of a page, or a plain question for the methods.
    pub fn preflight(&self, origin: Option<&str>, methods: &str) -> Response {
        let mut response = Response::new(204);
        response.field("Allow", methods);
        if origin.is_some_and(|origin| self.allow(origin).is_some()) {
            response.field("Access-Control-Allow-Methods", methods);
            response.field("Access-Control-Allow-Headers", ALLOWED_FIELDS);
            response.field("Access-Control-Max-Age", MAX_AGE_SECONDS);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(origins: &CorsOrigins, origin: Option<&str>, want: Option<&str>) {
        let mut response = Response::new(204);
        origins.mark(origin, &mut response);
        assert_eq!(response.get("Access-Control-Allow-Origin"), want);
        assert_eq!(response.get("Vary"), Some("Origin"));
        assert_eq!(response.get("Access-Control-Expose-Headers").is_some(), want.is_some());
        let preflight = origins.preflight(origin, "GET, HEAD, OPTIONS");
        assert_eq!(preflight.get("Access-Control-Allow-Methods").is_some(), want.is_some());
    }

    #[test]
    fn origins() {
        let list = CorsOrigins::List(vec!["http://localhost:3000".into(), "https://a.example".into()]);
        check(&list, Some("http://localhost:3000"), Some("http://localhost:3000"));
        check(&list, Some("https://a.example"), Some("https://a.example"));
        check(&list, Some("https://b.a.example"), None);
        check(&list, Some("http://localhost:30000"), None);
        check(&list, Some("null"), None);
        check(&list, Some(""), None);
        check(&list, None, None);
        check(&CorsOrigins::Any, Some("https://whoever.example"), Some("*"));
        check(&CorsOrigins::Any, Some("null"), Some("*"));
        check(&CorsOrigins::Any, None, None);
    }
}
