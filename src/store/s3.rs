//! A bucket of S3, or of a server that speaks its protocol, as a store.
//!
//! In scope: the contract of [`Store`] on top of signed requests. Not in scope: where the bucket is and who asks (`config`), how
//! a request is sent (`wire`, and `plain` for the parts of objects of a store without TLS), what a reply may look like (`reply`,
//! `span`, `listing`), and writing (`upload`, `multipart`, `resumable`).
//!
//! ```text
//! key ──► presign (rusty-s3) ──► wire::send (ureq) ──► reply::check_* ──► ObjectMeta | BodySpan | ListPage
//!            └─► signed ───────► plain::get ───────────┘
//! ```

mod checkup;
mod config;
mod listing;
mod low_water;
mod multipart;
mod own;
mod pieces;
mod plain;
mod reply;
mod resumable;
mod signed;
mod span;
mod upload;
mod wire;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rusty_s3::{Bucket, Credentials, S3Action};
use ureq::Body;
use ureq::http::Response;

pub use checkup::BucketLook;
pub use config::{Addressing, S3Config};
pub use wire::Limits;

use self::multipart::Orphans;
use self::own::is_own;
use self::plain::{Payload, Plain};
use self::reply::Request;
use self::signed::SignedUrls;
use self::span::BodySpan;
use self::upload::PartSink;
use self::wire::{Sending, Wire};
use super::credentials::Provider;
use super::{ListPage, ListQuery, Presigned, Resumable, Sink, Span, Store, Upload, write};
use crate::error::{Error, ErrorKind};
use crate::object::{ObjectId, ObjectKey, ObjectMeta};

/// How long a signed request is valid. It is sent at once and never leaves this process, so the time only has to cover a clock
/// that is behind that of S3: S3 itself allows 15 minutes of skew to requests that are signed in their header, so this does too.
const PRESIGN_LIFETIME: Duration = Duration::from_mins(15);

/// How long a good answer proves that the bucket exists. A missing object and a missing bucket both answer 404 to HEAD, without a
/// body to tell them apart; asking again for every missing object would double the load that a scan for names makes.
const BUCKET_PROOF_LIFETIME: Duration = Duration::from_mins(1);

/// A bucket of S3.
pub struct S3 {
    wire: Wire,
    /// Reads parts of objects; `None` where `wire` does that too.
    plain: Option<Arc<Plain>>,
    signed: SignedUrls,
    bucket: Bucket,
    credentials: Provider,
    /// When this was built; the beginning of the clock of `proof_ms`.
    built: Instant,
    /// Multipart uploads that ended and could not be aborted yet.
    orphans: Orphans,
    /// When the bucket was last known to exist, in milliseconds since `built`, plus one; 0 for never.
    proof_ms: AtomicU64,
}

impl S3 {
    /// Prepares to read this bucket. Nothing is sent yet, and no source of credentials is asked.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where the endpoint is not an `http` or `https` URL, or the name of the bucket, or the two together,
    /// cannot be used.
    pub fn new(config: S3Config) -> Result<Self, Error> {
        Self::with_limits(config, Limits::default())
    }

    /// As [`S3::new`], with the limits of time chosen.
    ///
    /// # Errors
    /// As [`S3::new`].
    pub fn with_limits(config: S3Config, limits: Limits) -> Result<Self, Error> {
        let bucket = config.bucket()?;
        let credentials = Provider::new(config.credentials);
        let url = bucket.base_url();
        // ureq makes an Authorization field of credentials in the URL, which nothing here does.
        let is_plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
        let authority = || Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?));
        let plain = authority().filter(|_| is_plain).map(|authority| Arc::new(Plain::new(authority, limits)));
        let (signed, orphans, proof_ms) = (SignedUrls::default(), Orphans::default(), AtomicU64::new(0));
        Ok(Self { wire: Wire::new(limits), plain, signed, bucket, credentials, orphans, built: Instant::now(), proof_ms })
    }

    /// Reads parts of objects by ureq, as it is done behind TLS anyway. For tests of that.
    #[doc(hidden)]
    #[must_use]
    pub fn without_plain(self) -> Self {
        Self { plain: None, ..self }
    }

    /// The URL of an object, without a signature.
    pub fn object_url(&self, key: &ObjectKey) -> String {
        self.bucket.object_url(key.as_str()).into()
    }

    /// Makes the URL of a request, with its signature in the query: a secret, until it expires.
    fn presign<'a>(action: &impl S3Action<'a>) -> String {
        action.sign(PRESIGN_LIFETIME).into()
    }

    /// Sends what `sign` makes, with good credentials. Where the store refuses these, and there are others by now, once more with
    /// them: keys that were replaced cost the viewer nothing.
    fn ask(
        &self,
        request: &Request,
        fields: &[(&str, &str)],
        sign: impl Fn(&Credentials) -> String,
    ) -> Result<Response<Body>, Error> {
        self.ask_by(&self.wire, request, fields, Sending::Nothing, sign)
    }

    /// The same by these connections, with what is to be sent.
    fn ask_by(
        &self,
        wire: &Wire,
        request: &Request,
        fields: &[(&str, &str)],
        sending: Sending<'_>,
        sign: impl Fn(&Credentials) -> String,
    ) -> Result<Response<Body>, Error> {
        if let Some(plain) = &self.plain {
            plain.close_old();
        }
        self.send(|credentials| wire.send(request, &sign(credentials), fields, sending))
    }

    /// What `send` gives with good credentials, or, where the store refuses these and there are others by now, with them.
    fn send<B: From<Body> + Into<Body>>(
        &self,
        send: impl Fn(&Credentials) -> Result<Response<B>, Error>,
    ) -> Result<Response<B>, Error> {
        let lease = self.credentials.current()?;
        let response = send(lease.credentials())?;
        if !self.credentials.is_renewable() || !reply::may_doubt(response.status()) {
            return Ok(response);
        }
        let (head, body) = self.wire.split(response.map(Into::into));
        let renewed = reply::doubt(head.status, &head.headers, &body).and_then(|doubt| self.credentials.renewed(&lease, doubt));
        match renewed {
            Some(lease) => send(lease.credentials()),
            None => Ok(Response::from_parts(head, Body::builder().data(body).into())),
        }
    }

    /// Asks for a part of this version of an object.
    fn get(&self, request: &Request, id: &ObjectId, range: &Range<u64>) -> Result<Response<Payload>, Error> {
        let ObjectId { key, etag } = id;
        let range_text = format!("bytes={}-{}", range.start, range.end - 1);
        let fields = [("range", range_text.as_str()), ("if-match", etag.as_str())];
        let url = |credentials: &Credentials| {
            let sign = || Self::presign(&self.bucket.get_object(Some(credentials), key.as_str()));
            self.signed.get(key, credentials, Instant::now(), sign)
        };
        self.send(|credentials| match &self.plain {
            Some(plain) => plain.get(request, &url(credentials), &fields, range.end - range.start),
            None => Ok(self.wire.send(request, &url(credentials), &fields, Sending::Nothing)?.map(Payload::Body)),
        })
    }

    fn note_bucket_exists(&self) {
        let now_ms = u64::try_from(self.built.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.proof_ms.store(now_ms + 1, Ordering::Relaxed);
    }

    fn is_bucket_proven(&self) -> bool {
        let proof_ms = self.proof_ms.load(Ordering::Relaxed);
        proof_ms > 0 && self.built.elapsed() <= Duration::from_millis(proof_ms - 1) + BUCKET_PROOF_LIFETIME
    }

    /// A page of the listing, without the names of ours that it has.
    fn list_page(&self, query: &ListQuery) -> Result<ListPage, Error> {
        let request = Request::new("LIST", "the bucket", self.bucket.name());
        let sign = |credentials: &Credentials| {
            let mut action = self.bucket.list_objects_v2(Some(credentials));
            action.with_max_keys(query.limit);
            if !query.prefix.is_empty() {
                action.with_prefix(query.prefix.as_str());
            }
            if let Some(after) = query.after.as_deref().filter(|after| !after.is_empty()) {
                action.with_start_after(after);
            }
            Self::presign(&action)
        };
        let response = self.ask(&request, &[], sign)?;
        if response.status().as_u16() != 200 {
            return match self.wire.refuse(&request, response) {
                // A prefix that this store cannot hold; a missing bucket is told apart from that.
                error if error.kind() == ErrorKind::NotFound => Ok(ListPage::default()),
                error => Err(error),
            };
        }
        let body = self.wire.text(&request, response)?;
        let page = listing::check_page(&request, &body, query)?;
        self.note_bucket_exists();
        Ok(page)
    }

    /// Asks for the bucket itself, where an object was not found and nothing proves yet that the bucket exists.
    fn check_bucket(&self) -> Result<(), Error> {
        if self.is_bucket_proven() {
            return Ok(());
        }
        let request = Request::new("HEAD", "the bucket", self.bucket.name());
        let response = self.ask(&request, &[], |credentials| Self::presign(&self.bucket.head_bucket(Some(credentials))))?;
        match response.status().as_u16() {
            // 403: it exists, but may not be listed, which is no reason not to read it.
            200 | 403 => {
                self.note_bucket_exists();
                Ok(())
            }
            404 => Err(reply::missing_bucket(self.bucket.name())),
            _ => Err(reply::refuse(&request, response.status(), response.headers(), &[])),
        }
    }
}

impl Store for S3 {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        let request = Request::new("HEAD", "the object", key.as_str());
        let sign = |credentials: &Credentials| Self::presign(&self.bucket.head_object(Some(credentials), key.as_str()));
        let response = self.ask(&request, &[], sign)?;
        match response.status().as_u16() {
            200 => {
                let meta = reply::check_head(&request, response.headers(), key)?;
                self.note_bucket_exists();
                Ok(meta)
            }
            404 => {
                self.check_bucket()?;
                Err(reply::refuse(&request, response.status(), response.headers(), &[]))
            }
            _ => Err(reply::refuse(&request, response.status(), response.headers(), &[])),
        }
    }

    fn open(&self, id: &ObjectId, range: Range<u64>) -> Result<Box<dyn Span>, Error> {
        if range.is_empty() {
            return Err(Error::new(ErrorKind::Internal, format!("the range {range:?} of {:?} is empty", id.key)));
        }
        let request = Request::new("GET", "the object", id.key.as_str());
        let response = self.get(&request, id, &range)?;
        if response.status().as_u16() != 206 {
            return Err(self.wire.refuse(&request, response.map(Into::into)));
        }
        reply::check_span(&request, response.headers(), id, &range)?;
        self.note_bucket_exists();
        Ok(Box::new(BodySpan::new(request, response.into_body(), range, self.plain.as_ref())?))
    }

    fn presign(&self, key: &ObjectKey, lifetime: Duration) -> Result<Option<Presigned>, Error> {
        let lease = self.credentials.current()?;
        // S3 refuses it as soon as the session of temporary credentials ends.
        let left = lease.expires_at().map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
        let lifetime = left.map_or(lifetime, |left| left.min(lifetime));
        let url = self.bucket.get_object(Some(lease.credentials()), key.as_str()).sign(lifetime).into();
        Ok(Some(Presigned { url, lifetime }))
    }

    fn list(&self, query: &ListQuery) -> Result<ListPage, Error> {
        if !query.can_match() {
            return Ok(ListPage::default());
        }
        let mut page = self.list_page(query)?;
        if page.next.as_deref().is_some_and(is_own) {
            // The rest of our own names is skipped, so that they leave no page empty.
            let limit = query.limit - page.entries.len();
            let rest = self.list_page(&ListQuery { after: Some(own::BEHIND.to_owned()), limit, ..query.clone() })?;
            page.entries.extend(rest.entries);
            page.next = rest.next;
        }
        Ok(page)
    }

    /// The bucket is listed, for only a body says what is wrong. That the bucket may not be listed is no reason not to read it.
    fn ready(&self) -> Result<(), Error> {
        let request = Request::new("LIST", "the bucket", self.bucket.name());
        let sign = |credentials: &Credentials| {
            let mut action = self.bucket.list_objects_v2(Some(credentials));
            action.with_max_keys(1);
            Self::presign(&action)
        };
        let (head, body) = self.wire.split(self.ask(&request, &[], sign)?);
        if head.status.as_u16() == 200 || reply::is_for_want_of_permission(head.status, &head.headers, &body) {
            self.note_bucket_exists();
            return Ok(());
        }
        Err(reply::refuse(&request, head.status, &head.headers, &body))
    }

    fn begin(&self, upload: &Upload) -> Result<Box<dyn Sink + '_>, Error> {
        write::built_in()?;
        Ok(Box::new(PartSink::begin(self, upload)?))
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), Error> {
        write::built_in()?;
        let request = Request::new("DELETE", "the object", key.as_str());
        let sign = |credentials: &Credentials| Self::presign(&self.bucket.delete_object(Some(credentials), key.as_str()));
        let response = self.ask(&request, &[], sign)?;
        match response.status().as_u16() {
            200 | 204 => Ok(()),
            _ => match self.wire.refuse(&request, response) {
                // Some stores say so; and there is nothing of a name that the store cannot have.
                error if error.kind() == ErrorKind::NotFound => self.check_bucket(),
                error => Err(error),
            },
        }
    }

    fn sweep(&self) -> Result<(), Error> {
        if write::built_in().is_err() {
            return Ok(());
        }
        self.orphans.abort(self)
    }

    fn resumable(&self) -> Option<&dyn Resumable> {
        if write::built_in().is_ok() { Some(self) } else { None }
    }

    fn identity(&self) -> String {
        self.bucket.base_url().as_str().to_owned()
    }
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3").field("bucket", &self.bucket.base_url().as_str()).finish_non_exhaustive()
    }
}
