//! Signed URLs of objects, used again for a while.
//!
//! In scope: that an object which is read again and again is not signed for each read. Not in scope: signing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use rusty_s3::Credentials;

use crate::object::ObjectKey;

/// How many are kept, each of about 1 KB: those of the films that are being watched.
const KEPT_MAX: usize = 256;

/// How long one is used: a small part of its lifetime, the rest of which covers a clock that is behind.
const USED_MAX: Duration = Duration::from_mins(1);

/// The URLs that were signed lately.
pub(super) struct SignedUrls(Cache<ObjectKey, Signed>);

#[derive(Clone)]
struct Signed {
    url: Arc<str>,
    /// Those that it was signed with: others may replace them at any time.
    credentials: Credentials,
    at: Instant,
}

impl Default for SignedUrls {
    fn default() -> Self {
        Self(Cache::new(KEPT_MAX))
    }
}

impl SignedUrls {
    /// The URL of an object, signed with these credentials not long before `now`, by `sign` where it is not there yet.
    pub(super) fn get(&self, key: &ObjectKey, credentials: &Credentials, now: Instant, sign: impl Fn() -> String) -> Arc<str> {
        let is_good =
            |signed: &Signed| signed.credentials == *credentials && now.saturating_duration_since(signed.at) < USED_MAX;
        if let Some(signed) = self.0.get(key).filter(is_good) {
            return signed.url;
        }
        let url: Arc<str> = sign().into();
        self.0.insert(key.clone(), Signed { url: Arc::clone(&url), credentials: credentials.clone(), at: now });
        url
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_url_is_signed_anew_for_another_key_other_credentials_and_another_minute() {
        let (urls, start, signatures) = (SignedUrls::default(), Instant::now(), Cell::new(0));
        let check = |key: &str, id: &str, secret: &str, second: u64, want: &str| {
            let sign = || {
                signatures.set(signatures.get() + 1);
                format!("{} of {key} by {id}", signatures.get())
            };
            let key = ObjectKey::new(key).unwrap();
            let got = urls.get(&key, &Credentials::new(id, secret), start + Duration::from_secs(second), sign);
            assert_eq!(&*got, want);
        };
        check("a.mp4", "id", "secret", 0, "1 of a.mp4 by id");
        check("a.mp4", "id", "secret", 59, "1 of a.mp4 by id");
        check("b.mp4", "id", "secret", 59, "2 of b.mp4 by id");
        check("a.mp4", "id", "another", 59, "3 of a.mp4 by id");
        check("a.mp4", "other", "another", 59, "4 of a.mp4 by other");
        check("a.mp4", "other", "another", 118, "4 of a.mp4 by other");
        check("a.mp4", "other", "another", 119, "5 of a.mp4 by other");
        check("b.mp4", "id", "secret", 60, "2 of b.mp4 by id");
    }
}
