//! The rules of writing: all or nothing, on a condition, and nothing left behind.

use std::sync::Barrier;
use std::thread;

use vidgate::ErrorKind;
use vidgate::object::{ETag, ObjectMeta};
use vidgate::store::{Condition, ListQuery, Upload};

use super::{Fixture, head, key, keys_of, read};
use crate::support::pattern;

const MIB: usize = 1024 * 1024;

fn upload(name: &str, condition: Condition) -> Upload {
    Upload { key: key(name), content_type: None, size_max: 1 << 34, condition }
}

/// Writes an object in pieces of so many bytes.
fn write(fixture: &dyn Fixture, upload: &Upload, bytes: &[u8], piece_len: usize) -> Result<ObjectMeta, vidgate::Error> {
    let mut sink = fixture.store().begin(upload)?;
    for piece in bytes.chunks(piece_len) {
        sink.write(piece)?;
    }
    sink.finish()
}

#[track_caller]
fn kind_of<T>(outcome: Result<T, vidgate::Error>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

#[track_caller]
fn check_nothing_left(fixture: &dyn Fixture, name: &str) {
    assert_eq!(fixture.leftovers(name), Vec::<String>::new(), "what is left of {name:?}");
}

pub(super) fn what_is_written_is_read(fixture: &dyn Fixture) {
    // Around the length of a part of S3, and in pieces that fit nothing.
    for (len, piece_len) in [
        (0, 1),
        (1, 1),
        (1000, 7),
        (5 * MIB - 1, 65_537),
        (5 * MIB, 5 * MIB),
        (5 * MIB + 1, 65_536),
        (10 * MIB, 1_000_003),
        (10 * MIB + 1, 16 * MIB),
    ] {
        let name = format!("a/b{len}/film {piece_len}.mp4");
        let bytes = pattern(u64::try_from(len).unwrap(), len);
        let meta = write(fixture, &upload(&name, Condition::None), &bytes, piece_len).unwrap();
        assert_eq!((meta.id.key.as_str(), meta.size), (&*name, len as u64));
        assert_eq!(head(fixture, &name), meta, "{name}: what finish says is what head says");
        assert_eq!(meta.content_type(), "video/mp4");
        if len > 0 {
            assert!(read(fixture, &meta.id, 0..len as u64) == bytes, "{name}");
        }
        check_nothing_left(fixture, &name);
    }
}

pub(super) fn what_is_written_cannot_be_seen_before_its_end(fixture: &dyn Fixture) {
    for (name, len) in [("small", 10), ("large", 6 * MIB)] {
        let bytes = pattern(1, len);
        let mut sink = fixture.store().begin(&upload(name, Condition::None)).unwrap();
        sink.write(&bytes[..len / 2]).unwrap();
        sink.write(&bytes[len / 2..]).unwrap();
        assert_eq!(kind_of(fixture.store().head(&key(name))), Some(ErrorKind::NotFound));
        assert_eq!(keys_of(fixture, &ListQuery { prefix: name.to_owned(), limit: 10, ..ListQuery::default() }), [""; 0]);
        let meta = sink.finish().unwrap();
        assert_eq!(head(fixture, name), meta);
        // And the same of what replaces it.
        let mut sink = fixture.store().begin(&upload(name, Condition::None)).unwrap();
        sink.write(&pattern(2, len)).unwrap();
        assert_eq!(head(fixture, name), meta);
        assert!(read(fixture, &meta.id, 0..len as u64) == bytes);
        let after = sink.finish().unwrap();
        assert_ne!(after.id, meta.id);
        assert!(read(fixture, &after.id, 0..len as u64) == pattern(2, len));
    }
}

pub(super) fn a_dropped_upload_leaves_nothing(fixture: &dyn Fixture) {
    for len in [0, 1, 5 * MIB, 5 * MIB + 1, 11 * MIB] {
        let mut sink = fixture.store().begin(&upload("film", Condition::None)).unwrap();
        sink.write(&vec![7; len]).unwrap();
        drop(sink);
        assert_eq!(kind_of(fixture.store().head(&key("film"))), Some(ErrorKind::NotFound), "{len}");
        check_nothing_left(fixture, "film");
    }
    fixture.put("film", b"old");
    let mut sink = fixture.store().begin(&upload("film", Condition::None)).unwrap();
    sink.write(&vec![7; 6 * MIB]).unwrap();
    drop(sink);
    assert_eq!(read(fixture, &head(fixture, "film").id, 0..3), b"old");
    check_nothing_left(fixture, "film");
    fixture.store().sweep().unwrap();
    assert_eq!(read(fixture, &head(fixture, "film").id, 0..3), b"old");
}

pub(super) fn conditions_are_checked_when_it_begins(fixture: &dyn Fixture) {
    let failed = Some(ErrorKind::PreconditionFailed);
    let begin = |condition| kind_of(fixture.store().begin(&upload("film", condition)));
    let other = ETag::from_store("other").unwrap();
    assert_eq!(begin(Condition::Present), failed);
    assert_eq!(begin(Condition::Versions(vec![other.clone()])), failed);
    assert_eq!(begin(Condition::Absent), None);
    fixture.put("film", b"old");
    let etag = head(fixture, "film").id.etag;
    assert_eq!(begin(Condition::Absent), failed);
    assert_eq!(begin(Condition::Versions(vec![])), failed);
    assert_eq!(begin(Condition::Versions(vec![other.clone()])), failed);
    assert_eq!(begin(Condition::Versions(vec![other, etag])), None);
    assert_eq!(begin(Condition::Present), None);
    check_nothing_left(fixture, "film");
}

pub(super) fn conditions_are_checked_when_it_ends(fixture: &dyn Fixture) {
    for len in [3, 6 * MIB] {
        let bytes = pattern(3, len);
        let begin = |name: &str, condition| {
            let mut sink = fixture.store().begin(&upload(name, condition)).unwrap();
            sink.write(&bytes).unwrap();
            sink
        };
        let name = format!("{len}/absent");
        let (one, other) = (begin(&name, Condition::Absent), begin(&name, Condition::Absent));
        let meta = one.finish().unwrap();
        assert_eq!(kind_of(other.finish()), Some(ErrorKind::PreconditionFailed));
        assert_eq!(head(fixture, &name), meta);
        check_nothing_left(fixture, &name);

        let name = format!("{len}/replaced");
        fixture.put(&name, b"old");
        let version = || Condition::Versions(vec![head(fixture, &name).id.etag]);
        let sink = begin(&name, version());
        fixture.put(&name, b"new one");
        assert_eq!(kind_of(sink.finish()), Some(ErrorKind::PreconditionFailed));
        assert_eq!(head(fixture, &name).size, 7);
        let sink = begin(&name, version());
        fixture.delete(&name);
        assert_eq!(kind_of(sink.finish()), Some(ErrorKind::PreconditionFailed));
        assert_eq!(kind_of(fixture.store().head(&key(&name))), Some(ErrorKind::NotFound));
        fixture.put(&name, b"old");
        assert_eq!(begin(&name, version()).finish().unwrap().size, len as u64);
        assert_eq!(begin(&name, Condition::Present).finish().unwrap().size, len as u64);
        check_nothing_left(fixture, &name);
    }
}

pub(super) fn of_many_that_write_a_new_object_one_does(fixture: &dyn Fixture) {
    let barrier = Barrier::new(8);
    let won = thread::scope(|scope| {
        let write = |seed: u64| {
            let mut sink = fixture.store().begin(&upload("film", Condition::Absent)).unwrap();
            sink.write(&pattern(seed, 1000)).unwrap();
            barrier.wait();
            sink.finish().map(|_| seed)
        };
        let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || write(seed))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let winners: Vec<u64> = won.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
    assert_eq!(winners.len(), 1, "{won:?}");
    for outcome in won {
        assert!(matches!(kind_of(outcome), None | Some(ErrorKind::PreconditionFailed)));
    }
    assert_eq!(read(fixture, &head(fixture, "film").id, 0..1000), pattern(winners[0], 1000));
    check_nothing_left(fixture, "film");
}

pub(super) fn what_is_deleted_is_gone(fixture: &dyn Fixture) {
    let store = fixture.store();
    for name in ["a/film", "a/b/film", "a.mp4"] {
        fixture.put(name, b"film");
    }
    store.delete(&key("a/film")).unwrap();
    assert_eq!(kind_of(store.head(&key("a/film"))), Some(ErrorKind::NotFound));
    // What is not there, or is no object, is not there afterwards either, and nothing else goes with it.
    for name in ["a/film", "a", "a/b", "x/y/z", "a.mp4/x", &"x".repeat(300)] {
        store.delete(&key(name)).unwrap_or_else(|error| panic!("{name:?}: {}", error.chain()));
    }
    assert_eq!(keys_of(fixture, &ListQuery { limit: 10, ..ListQuery::default() }), ["a.mp4", "a/b/film"]);
    let bytes = pattern(4, 100);
    let meta = write(fixture, &upload("a/film", Condition::Absent), &bytes, 100).unwrap();
    assert_eq!(read(fixture, &meta.id, 0..100), bytes);
}
