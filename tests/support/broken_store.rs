//! A store that fails as it is told to.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use vidgate::object::{ETag, ObjectId, ObjectKey, ObjectMeta};
use vidgate::store::{ListPage, ListQuery, Span, Store};
use vidgate::{Error, ErrorKind};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Every head answers this.
    Head(ErrorKind),
    /// Every open answers this.
    Open(ErrorKind),
    /// The first so many opens answer that the object changed.
    ChangedTimes(usize),
    /// A read at or behind this offset answers this.
    Read(u64, ErrorKind),
    /// A read at or behind this offset yields nothing.
    Short(u64),
    /// A read at or behind this offset yields a byte too many.
    Long(u64),
    /// A head panics.
    PanicInHead,
    /// A read at or behind this offset panics.
    PanicInRead(u64),
}

/// One object of `bytes`, under every key, with one fault.
pub(crate) struct BrokenStore {
    /// The object.
    pub(crate) bytes: Vec<u8>,
    /// What goes wrong.
    pub(crate) fault: Mutex<Option<Fault>>,
    /// How often something was opened.
    pub(crate) opens: AtomicUsize,
}

impl BrokenStore {
    /// A store with this fault.
    pub(crate) fn new(bytes: Vec<u8>, fault: Fault) -> Self {
        Self { bytes, fault: Mutex::new(Some(fault)), opens: AtomicUsize::new(0) }
    }

    fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap()
    }
}

impl Store for BrokenStore {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        match self.fault() {
            Some(Fault::Head(kind)) => Err(Error::new(kind, "secret detail of http://10.0.0.1/")),
            Some(Fault::PanicInHead) => panic!("this panic is part of a test"),
            _ => Ok(ObjectMeta {
                id: ObjectId { key: key.clone(), etag: ETag::from_store("\"v\"")? },
                size: self.bytes.len() as u64,
                last_modified: SystemTime::UNIX_EPOCH,
                content_type: None,
                cache_control: None,
            }),
        }
    }

    fn open(&self, _: &ObjectId, range: Range<u64>) -> Result<Box<dyn Span>, Error> {
        let opens = self.opens.fetch_add(1, Ordering::SeqCst);
        match self.fault() {
            Some(Fault::Open(kind)) => return Err(kind.into()),
            Some(Fault::ChangedTimes(times)) if opens < times => return Err(ErrorKind::Changed.into()),
            _ => {}
        }
        let at = range.start;
        let bytes = self.bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()].to_vec();
        Ok(Box::new(BrokenSpan { bytes, at, done: 0, fault: self.fault() }))
    }

    fn list(&self, _: &ListQuery) -> Result<ListPage, Error> {
        match self.fault() {
            Some(Fault::Head(kind)) => Err(kind.into()),
            _ => Ok(ListPage::default()),
        }
    }
}

struct BrokenSpan {
    bytes: Vec<u8>,
    at: u64,
    done: usize,
    fault: Option<Fault>,
}

impl Span for BrokenSpan {
    fn read(&mut self, buf: &mut Vec<u8>, len_max: usize) -> Result<usize, Error> {
        let offset = self.at + self.done as u64;
        let mut len = len_max.min(self.bytes.len() - self.done);
        match self.fault {
            Some(Fault::Read(at, kind)) if offset + len as u64 > at => {
                if offset >= at {
                    return Err(Error::new(kind, "secret detail of http://10.0.0.1/"));
                }
                len = usize::try_from(at - offset).unwrap();
            }
            Some(Fault::Short(at)) if offset >= at => return Ok(0),
            Some(Fault::PanicInRead(at)) if offset >= at => panic!("this panic is part of a test"),
            Some(Fault::Long(at)) if offset >= at => {
                buf.extend_from_slice(&vec![b'!'; len_max + 1]);
                return Ok(len_max + 1);
            }
            _ => {}
        }
        buf.extend_from_slice(&self.bytes[self.done..self.done + len]);
        self.done += len;
        Ok(len)
    }
}
