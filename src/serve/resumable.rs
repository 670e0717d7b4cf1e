//! Resumable uploads: what a request of the tus protocol does.
//!
//! In scope: making an upload, going on with it, telling how far it is, ending it. Not in scope: what the fields say (`http/tus`),
//! reading the body (`body`), how a store keeps what came (`store/resumable`), and where these run (`upload`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, ErrorKind};
use crate::http::checksum::Checksum;
use crate::http::head::BodyFraming;
use crate::http::response::{Body, Response};
use crate::http::route::Route;
use crate::http::tus::{self, Metadata};
use crate::http::upload;
use crate::present;
use crate::serve::body::BodyReader;
use crate::serve::connection::Connection;
use crate::serve::holds::{Hold, Holds};
use crate::serve::lanes::Request;
use crate::serve::source::Source;
use crate::store::{Condition, Counting, Finished, NewResumable, PieceSink, Resumable, Standing, Upload, UploadId};

/// How long a request that is to end takes what has come already, and is there to be read: a client whose connection broke counts on
/// that.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// How long a request waits for the one before it to end. That takes as long as the store takes for what came.
const PATIENCE: Duration = Duration::from_secs(15);

/// The resumable uploads of one server.
pub(crate) struct Desk {
    holds: Holds,
    /// How long an upload is kept that nobody goes on with.
    pub(crate) lifetime: Duration,
}

/// What a request wants, by its head.
pub(crate) enum Plan {
    /// A new upload; and its first bytes, where it has a body.
    Create { metadata: Metadata, len: u64, condition: Condition, first: Result<Piece, Error> },
    /// Bytes for one.
    Append { id: UploadId, offset: u64, piece: Piece },
    /// How far one is.
    Look(UploadId),
    /// That one ends.
    Remove(UploadId),
}

/// Bytes that come as the body.
pub(crate) struct Piece {
    checksum: Option<Checksum>,
}

impl Piece {
    fn of(request: &Request) -> Result<Self, Error> {
        tus::check_content_type(&request.fields)?;
        Ok(Self { checksum: request.fields.get("upload-checksum").map(Checksum::parse).transpose()? })
    }
}

impl Plan {
    /// What a request to this route wants; `None` where the route has no such method.
    ///
    /// # Errors
    /// As `http/tus` says where the head is malformed.
    pub(crate) fn of(route: Route, request: &Request) -> Result<Option<Self>, Error> {
        let fields = &request.fields;
        Ok(Some(match (request.method.as_str(), route) {
            ("POST", Route::Uploads) => {
                tus::check_version(fields)?;
                let (len, condition) = (tus::length(fields)?, upload::condition(fields)?);
                Self::Create { metadata: Metadata::of(fields)?, len, condition, first: Piece::of(request) }
            }
            ("PATCH", Route::Upload(id)) => {
                tus::check_version(fields)?;
                Self::Append { id, offset: tus::offset(fields)?, piece: Piece::of(request)? }
            }
            ("HEAD", Route::Upload(id)) => {
                tus::check_version(fields)?;
                Self::Look(id)
            }
            ("DELETE", Route::Upload(id)) => {
                tus::check_version(fields)?;
                Self::Remove(id)
            }
            _ => return Ok(None),
        }))
    }

    /// Whether it is over without waiting for a client.
    pub(crate) fn is_brief(&self) -> bool {
        matches!(self, Self::Look(_) | Self::Remove(_))
    }
}

impl Desk {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { holds: Holds::default(), lifetime }
    }

    /// Does what a request wants. `len_max` is the longest that an object may be. Blocks.
    ///
    /// # Errors
    /// As the protocol, the body and the store say.
    pub(crate) fn run(
        &self,
        plan: Plan,
        source: &Source,
        connection: &mut Connection,
        len_max: u64,
        is_stopping: &AtomicBool,
    ) -> Result<Response, Error> {
        let resumable = source.store.resumable().ok_or(ErrorKind::NotConfigured)?;
        let mut run = Run { desk: self, source, resumable, connection, is_stopping };
        match plan {
            Plan::Create { metadata, len, condition, first } => {
                if len > len_max {
                    let detail = format!("an object may have {len_max} bytes, and this has {len}");
                    return Err(Error::new(ErrorKind::PayloadTooLarge, detail));
                }
                let has_body = !matches!(run.connection.body_framing(), BodyFraming::None | BodyFraming::Length(0));
                run.create(metadata, len, condition, if has_body { Some(first?) } else { None })
            }
            Plan::Append { id, offset, piece } => {
                let hold = self.holds.enter(&id, PATIENCE)?;
                let standing = run.append(&id, &hold, offset, piece)?;
                Ok(tell(Response::new(204), &standing))
            }
            Plan::Look(id) => {
                let _hold = self.holds.enter(&id, PATIENCE)?;
                run.look(&id)
            }
            Plan::Remove(id) => {
                let _hold = self.holds.enter(&id, PATIENCE)?;
                resumable.remove(&id).map(|()| Response::new(204))
            }
        }
    }
}

/// One request that is being done.
struct Run<'r> {
    desk: &'r Desk,
    source: &'r Source,
    resumable: &'r dyn Resumable,
    connection: &'r mut Connection,
    is_stopping: &'r AtomicBool,
}

/// What ended a body before its end.
enum Cut {
    /// The client, or whoever wants the upload now: what came is good.
    Body(Error),
    /// The store.
    Store(Error),
}

impl Run<'_> {
    fn expires_at(&self) -> SystemTime {
        SystemTime::now() + self.desk.lifetime
    }

    fn create(&mut self, metadata: Metadata, len: u64, condition: Condition, first: Option<Piece>) -> Result<Response, Error> {
        if let (Some(_), BodyFraming::Length(body_len)) = (&first, self.connection.body_framing())
            && body_len > len
        {
            return Err(Error::new(ErrorKind::PayloadTooLarge, format!("the body has {body_len} bytes, and the upload {len}")));
        }
        let id = UploadId::new();
        let Metadata { text, key, content_type } = metadata;
        present::note_object(&key);
        let upload = Upload { key, content_type, size_max: len, condition };
        let new = NewResumable { upload, metadata: text, expires_at: self.expires_at() };
        self.resumable.create(&id, &new)?;
        let received = match first {
            Some(piece) => self.desk.holds.enter(&id, PATIENCE).and_then(|hold| self.append(&id, &hold, 0, piece)),
            // There is nothing that could follow.
            None if len == 0 => self.finish(&id),
            None => Ok(Standing {
                key: new.upload.key.clone(),
                len,
                offset: 0,
                metadata: new.metadata.clone(),
                expires_at: new.expires_at,
                finished: Finished::No,
            }),
        };
        match received {
            Ok(standing) => {
                let mut response = Response::with_bytes(201, "text/plain", "");
                // Relative, for what stands before this server may have another name and scheme.
                response.field("Location", &format!("{}/{}", tus::PATH, id.as_str()));
                Ok(tell(response, &standing))
            }
            Err(error) => {
                // Its name was told to nobody.
                if let Err(error) = self.resumable.remove(&id) {
                    log::debug!("an upload stays until it expires: {}", error.chain());
                }
                Err(error)
            }
        }
    }

    /// Receives bytes for this offset.
    fn append(&mut self, id: &UploadId, hold: &Hold<'_>, offset: u64, piece: Piece) -> Result<Standing, Error> {
        let Piece { mut checksum } = piece;
        let counting = if checksum.is_some() { Counting::Together } else { Counting::AtOnce };
        let mut sink = self.resumable.resume(id, counting, self.expires_at())?;
        let standing = sink.standing();
        present::note_object(&standing.key);
        if standing.offset != offset {
            let detail = format!("the next byte of the upload is {}, and not {offset}", standing.offset);
            return Err(Error::new(ErrorKind::Conflict, detail));
        }
        let stops = [self.is_stopping, hold.is_wanted()];
        let mut body = BodyReader::new(self.connection, standing.len - standing.offset, &stops)?;
        body.go_on()?;
        match receive(&mut body, &mut *sink, checksum.as_mut(), hold) {
            Ok(()) => {
                if let Some(checksum) = checksum {
                    checksum.check()?;
                }
                let finished = sink.finish();
                self.forget(&standing, finished)
            }
            // What is too long is wrong somewhere.
            Err(Cut::Body(error)) if counting == Counting::AtOnce && error.kind() != ErrorKind::PayloadTooLarge => {
                sink.keep()?;
                Err(error)
            }
            Err(Cut::Body(error) | Cut::Store(error)) => Err(error),
        }
    }

    /// Tells how far an upload is. Where all of it is there and it could not be made the object, it is now.
    fn look(&self, id: &UploadId) -> Result<Response, Error> {
        let mut standing = self.resumable.look(id)?;
        present::note_object(&standing.key);
        if standing.finished == Finished::No && standing.offset == standing.len {
            standing = self.finish(id)?;
        } else if standing.finished == Finished::Now {
            self.source.forget(&standing.key);
        }
        let mut response = Response::new(200);
        response.body = Body::Bytes(bytes::Bytes::new());
        // As "HEAD" of the protocol's core wants it: nobody between may answer for us.
        response.field("Cache-Control", "no-store");
        response.field("Upload-Length", &standing.len.to_string());
        if !standing.metadata.is_empty() {
            response.field("Upload-Metadata", &standing.metadata);
        }
        Ok(tell(response, &standing))
    }

    fn finish(&self, id: &UploadId) -> Result<Standing, Error> {
        let sink = self.resumable.resume(id, Counting::AtOnce, self.expires_at())?;
        let standing = sink.standing();
        let finished = sink.finish();
        self.forget(&standing, finished)
    }

    /// Whatever comes of the end of an upload, what was known of the key is no longer so.
    fn forget(&self, before: &Standing, outcome: Result<Standing, Error>) -> Result<Standing, Error> {
        if outcome.as_ref().map_or(true, |standing| standing.finished != Finished::No) {
            self.source.forget(&before.key);
        }
        outcome
    }
}

/// Receives a body to its end, or until somebody else wants the upload.
fn receive(
    body: &mut BodyReader<'_>,
    sink: &mut dyn PieceSink,
    mut checksum: Option<&mut Checksum>,
    hold: &Hold<'_>,
) -> Result<(), Cut> {
    let taken = || Error::new(ErrorKind::Locked, "another request goes on with this upload");
    let mut wanted_since: Option<Instant> = None;
    loop {
        match body.next() {
            Ok(Some(bytes)) => {
                if let Some(checksum) = &mut checksum {
                    checksum.update(bytes);
                }
                sink.write(bytes).map_err(Cut::Store)?;
            }
            Ok(None) => return Ok(()),
            Err(_) if hold.is_wanted().load(Ordering::Relaxed) => return Err(Cut::Body(taken())),
            Err(error) => return Err(Cut::Body(error)),
        }
        // The reader ends where nothing is there. Whoever sends without a pause ends here.
        if hold.is_wanted().load(Ordering::Relaxed) && wanted_since.get_or_insert_with(Instant::now).elapsed() >= LAST_BYTES {
            return Err(Cut::Body(taken()));
        }
    }
}

/// Says how far an upload is, and until when it is kept.
fn tell(mut response: Response, standing: &Standing) -> Response {
    response.field("Upload-Offset", &standing.offset.to_string());
    response.field("Upload-Expires", &httpdate::fmt_http_date(standing.expires_at));
    response
}
