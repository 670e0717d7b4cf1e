//! Uploads: bodies from clients into the store.
//!
//! In scope: how many there may be, and what becomes of one from its head to its answer. Not in scope: reading the body (`body`),
//! taking a form apart (`http/form`), and how a store writes (`store`).
//!
//! An upload has a thread of its own for as long as it lasts, and none of the pool: a client that sends slowly takes nothing from
//! those who watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::http::digest::Checksums;
use crate::http::form::{Event, Parser, PartHead};
use crate::http::head::BodyFraming;
use crate::http::response::Response;
use crate::http::upload;
use crate::object::{ObjectKey, ObjectMeta};
use crate::present;
use crate::serve::body::BodyReader;
use crate::serve::connection::Connection;
use crate::serve::handler::entry;
use crate::serve::lanes::Request;
use crate::serve::resumable;
use crate::serve::source::Source;
use crate::store::{Condition, Sink, Upload};

/// How many uploads receive at a time; the next one is answered 503. Each holds a thread and, where the store is a bucket, one part of
/// its object.
const RUNNING_MAX: usize = 32;

/// How many requests at a time ask about uploads, or end them, without receiving anything.
const BRIEF_MAX: usize = 32;

/// How often it is looked at whether they have ended, once they should.
const ENDED_EVERY: Duration = Duration::from_millis(10);

/// How much longer than its file a form may be, in bytes: its boundaries, the heads of its parts, and fields that nobody asked for.
const FORM_LEN_MORE: u64 = 1024 * 1024;

/// The uploads of one server.
#[derive(Default)]
pub(crate) struct Uploads {
    running: Arc<AtomicUsize>,
    brief: Arc<AtomicUsize>,
    is_stopping: Arc<AtomicBool>,
}

/// The right to be one of those that run, given back when it is dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Uploads {
    /// # Errors
    /// [`ErrorKind::Busy`] where as many run as may.
    pub(crate) fn enter(&self, task: &Task) -> Result<Place, Error> {
        let (count, max) = if task.is_brief() { (&self.brief, BRIEF_MAX) } else { (&self.running, RUNNING_MAX) };
        let place = Place(Arc::clone(count));
        if place.0.fetch_add(1, Ordering::Relaxed) >= max {
            return Err(Error::new(ErrorKind::Busy, format!("{max} uploads run, and no more may")));
        }
        Ok(place)
    }

    /// Lets those that wait for their client end soon.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Waits until none runs, at most so long: what came is being kept, and what was begun is taken back.
    pub(crate) fn wait_ended(&self, limit: Duration) {
        let until = Instant::now() + limit;
        while self.running.load(Ordering::Relaxed) > 0 && Instant::now() < until {
            thread::sleep(ENDED_EVERY);
        }
    }

    /// Whether they should end.
    pub(crate) fn is_stopping(&self) -> &AtomicBool {
        &self.is_stopping
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is done on a thread of its own.
pub(crate) enum Task {
    /// An object is received.
    Whole(Box<Plan>),
    /// A request of the tus protocol.
    Resumable(Box<resumable::Plan>),
}

impl Task {
    fn is_brief(&self) -> bool {
        matches!(self, Self::Resumable(plan) if plan.is_brief())
    }
}

/// What an upload is to become, by its head.
pub(crate) struct Plan {
    target: Target,
    content_type: Option<String>,
    condition: Condition,
    checksums: Checksums,
}

enum Target {
    /// The whole body is the object of this key.
    Object(ObjectKey),
    /// A form has the object, and may have its key.
    Form(Box<Parser>),
}

impl Plan {
    /// An upload of the whole body: `PUT`.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] where a field of the head is malformed.
    pub(crate) fn object(key: ObjectKey, request: &Request) -> Result<Self, Error> {
        Self::new(Target::Object(key), upload::content_type(request.fields.get("content-type")), request)
    }

    /// An upload by a form: `POST`.
    ///
    /// # Errors
    /// As [`object`](Self::object).
    pub(crate) fn form(request: &Request) -> Result<Self, Error> {
        let parser = request.fields.get("content-type").and_then(Parser::new);
        let wanted = || Error::new(ErrorKind::BadRequest, "the body must be multipart/form-data, with its boundary");
        Self::new(Target::Form(Box::new(parser.ok_or_else(wanted)?)), None, request)
    }

    fn new(target: Target, content_type: Option<String>, request: &Request) -> Result<Self, Error> {
        let (condition, checksums) = (upload::condition(&request.fields)?, Checksums::of(&request.fields)?);
        Ok(Self { target, content_type, condition, checksums })
    }

    /// Receives the body and writes it into the store. `len_max` is the longest that an object may be. Blocks.
    ///
    /// # Errors
    /// As the body, the form and the store say. Nothing is left in the store then, but for what was there before.
    pub(crate) fn run(
        self,
        source: &Source,
        connection: &mut Connection,
        len_max: u64,
        is_stopping: &AtomicBool,
    ) -> Result<Response, Error> {
        let known_len = match connection.body_framing() {
            BodyFraming::None => Some(0),
            BodyFraming::Length(len) => Some(len),
            BodyFraming::Chunked => None,
        };
        let Self { target, content_type, condition, checksums } = self;
        let body_len_max = match &target {
            Target::Object(_) => len_max,
            Target::Form(_) => len_max.saturating_add(FORM_LEN_MORE),
        };
        let size_max = known_len.unwrap_or(len_max).min(len_max);
        let stops = [is_stopping];
        let mut body = BodyReader::new(connection, body_len_max, &stops)?;
        let received = match target {
            Target::Object(key) => {
                let upload = Upload { key, content_type, size_max, condition };
                receive_object(source, &upload, &mut body, checksums)
            }
            Target::Form(parser) => {
                let form = Form { source, len_max, size_max, condition, key: None, part: Part::Other, file: None, file_len: 0 };
                form.receive(*parser, &mut body, checksums)
            }
        };
        received.map(|meta| created(&meta))
    }
}

fn receive_object(
    source: &Source,
    upload: &Upload,
    body: &mut BodyReader<'_>,
    mut checksums: Checksums,
) -> Result<ObjectMeta, Error> {
    let mut sink = source.store.begin(upload)?;
    body.go_on()?;
    while let Some(bytes) = body.next()? {
        checksums.update(bytes);
        sink.write(bytes)?;
    }
    checksums.check()?;
    finish(source, &upload.key, sink)
}

/// Makes what was received the object. Whatever comes of it, what was known of the key is no longer so.
fn finish(source: &Source, key: &ObjectKey, sink: Box<dyn Sink + '_>) -> Result<ObjectMeta, Error> {
    let finished = sink.finish();
    source.forget(key);
    finished
}

/// The answer to an upload that succeeded.
fn created(meta: &ObjectMeta) -> Response {
    let body = entry(&meta.id.key, meta.size, meta.content_type(), meta.last_modified, &meta.id.etag);
    let mut response = Response::with_json(201, &body);
    response.field("ETag", meta.id.etag.as_str());
    response.field("Location", &format!("/api/videos/{}", meta.id.key.to_path()));
    response
}

/// A form that is being received.
struct Form<'s> {
    source: &'s Source,
    /// The longest that the file may be, in bytes.
    len_max: u64,
    /// How long it can be at most, as far as that is known.
    size_max: u64,
    condition: Condition,
    /// The key that the form asked for.
    key: Option<ObjectKey>,
    /// Which part it is in.
    part: Part,
    /// The file, once it has begun.
    file: Option<(ObjectKey, Box<dyn Sink + 's>)>,
    file_len: u64,
}

/// A part of a form.
enum Part {
    /// The key, as far as it came.
    Key(Vec<u8>),
    /// The file.
    File,
    /// Nothing that is wanted.
    Other,
}

impl Form<'_> {
    fn receive(mut self, mut parser: Parser, body: &mut BodyReader<'_>, mut checksums: Checksums) -> Result<ObjectMeta, Error> {
        body.go_on()?;
        let mut has_ended = false;
        while let Some(bytes) = body.next()? {
            checksums.update(bytes);
            parser.feed(bytes);
            loop {
                match parser.event().map_err(|malformed| bad(malformed.0))? {
                    Event::More => break,
                    Event::End => {
                        has_ended = true;
                        break;
                    }
                    Event::Part(head) => self.part = self.begin(&head)?,
                    Event::Data(data) => self.take(data)?,
                    Event::PartEnd => self.end()?,
                }
            }
        }
        if !has_ended {
            return Err(bad("the form ends before its end"));
        }
        checksums.check()?;
        let (key, sink) = self.file.take().ok_or_else(|| bad("the form has no file in a field named \"file\""))?;
        finish(self.source, &key, sink)
    }

    fn begin(&mut self, head: &PartHead) -> Result<Part, Error> {
        match head.name.as_str() {
            "key" if self.file.is_some() => Err(bad("the field \"key\" must stand before the file")),
            "key" if self.key.is_some() => Err(bad("the form has two keys")),
            "key" => Ok(Part::Key(Vec::new())),
            "file" if self.file.is_some() => Err(bad("the form has two files")),
            "file" => {
                let key = match self.key.take() {
                    Some(key) => key,
                    None => upload::key_of_file(head.file_name.as_deref().unwrap_or_default())?,
                };
                let content_type = upload::content_type(head.content_type.as_deref());
                present::note_object(&key);
                let (size_max, condition) = (self.size_max, self.condition.clone());
                let sink = self.source.store.begin(&Upload { key: key.clone(), content_type, size_max, condition })?;
                self.file = Some((key, sink));
                Ok(Part::File)
            }
            _ => Ok(Part::Other),
        }
    }

    fn take(&mut self, data: &[u8]) -> Result<(), Error> {
        match (&mut self.part, &mut self.file) {
            (Part::Key(key), _) => {
                if key.len() + data.len() > crate::object::KEY_LEN_MAX {
                    return Err(Error::new(ErrorKind::BadKey, "the key is too long"));
                }
                key.extend_from_slice(data);
                Ok(())
            }
            (Part::File, Some((_, sink))) => {
                self.file_len += data.len() as u64;
                if self.file_len > self.len_max {
                    let detail = format!("the file is longer than {} bytes", self.len_max);
                    return Err(Error::new(ErrorKind::PayloadTooLarge, detail));
                }
                sink.write(data)
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), Error> {
        if let Part::Key(key) = std::mem::replace(&mut self.part, Part::Other)
            && !key.is_empty()
        {
            let key = String::from_utf8(key).map_err(|_| Error::new(ErrorKind::BadKey, "the key is not UTF-8"))?;
            self.key = Some(ObjectKey::new(&key)?);
        }
        Ok(())
    }
}

fn bad(why: &str) -> Error {
    Error::new(ErrorKind::BadRequest, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::UploadId;

    #[test]
    fn so_many_run_and_no_more() {
        let uploads = Uploads::default();
        let long = Task::Whole(Box::new(Plan {
            target: Target::Object(ObjectKey::new("film.mp4").unwrap()),
            content_type: None,
            condition: Condition::None,
            checksums: Checksums::of(&std::iter::empty::<(&str, &str)>().collect()).unwrap(),
        }));
        let mut places: Vec<Place> = (0..RUNNING_MAX).map(|_| uploads.enter(&long).unwrap()).collect();
        // Who only asks how far he is need not wait for those that send.
        let brief = Task::Resumable(Box::new(resumable::Plan::Look(UploadId::new())));
        let asking: Vec<Place> = (0..BRIEF_MAX).map(|_| uploads.enter(&brief).unwrap()).collect();
        assert!(uploads.enter(&brief).is_err());
        drop(asking);
        assert!(uploads.enter(&brief).is_ok());
        for _ in 0..3 {
            assert_eq!(uploads.enter(&long).err().map(|error| error.kind()), Some(ErrorKind::Busy));
        }
        drop(places.pop());
        places.push(uploads.enter(&long).unwrap());
        assert!(uploads.enter(&long).is_err());
    }
}
