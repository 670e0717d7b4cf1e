//! The contract of `Store`, proven on every store.
//!
//! Each function below is one rule, and runs on a directory, resolved either way, and on S3 (MinIO). Those of writing lie in
//! `writing`.

mod writing;

use std::fs;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use vidgate::object::{ETag, ObjectId, ObjectKey, ObjectMeta};
use vidgate::store::{Directory, ListQuery, Resolution, S3, Span, Store};
use vidgate::{Error, ErrorKind};

use crate::support::minio::{TestBucket, minio};
use crate::support::pattern;
use writing::*;

/// A store, and the means to change what is in it.
trait Fixture: Sync {
    fn store(&self) -> &dyn Store;
    /// Puts an object, or a new version in the place of the old.
    fn put(&self, key: &str, bytes: &[u8]);
    fn delete(&self, key: &str);
    /// What lies in the store of uploads of this key that are not complete.
    fn leftovers(&self, key: &str) -> Vec<String>;
    /// Whether an object can be replaced while a span of it is open and not read.
    fn lets_writers_in(&self) -> bool;
}

struct OnDirectory {
    store: Directory,
    dir: TempDir,
    puts: AtomicU32,
}

impl OnDirectory {
    fn new(resolution: Resolution) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Directory::open_with(dir.path(), resolution).unwrap();
        assert_eq!(store.resolution(), resolution, "this system must be able to do both");
        Self { store, dir, puts: AtomicU32::new(0) }
    }
}

impl Fixture for OnDirectory {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.dir.path().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let part = self.dir.path().join(format!(".part-{}", self.puts.fetch_add(1, Ordering::Relaxed)));
        fs::write(&part, bytes).unwrap();
        fs::rename(part, path).unwrap();
    }

    fn delete(&self, key: &str) {
        fs::remove_file(self.dir.path().join(key)).unwrap();
    }

    fn leftovers(&self, _: &str) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join(".vidgate")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn lets_writers_in(&self) -> bool {
        true
    }
}

struct OnMinio {
    store: S3,
    bucket: TestBucket,
}

impl OnMinio {
    fn new() -> Self {
        let bucket = minio().bucket();
        Self { store: bucket.store(), bucket }
    }
}

impl Fixture for OnMinio {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        self.bucket.put(key, bytes);
    }

    fn delete(&self, key: &str) {
        self.bucket.delete(key);
    }

    fn leftovers(&self, key: &str) -> Vec<String> {
        self.bucket.multipart_uploads(key)
    }

    // MinIO holds a lock on an object for as long as a reply with its bytes is under way: PUT and DELETE wait for it.
    fn lets_writers_in(&self) -> bool {
        false
    }
}

macro_rules! contract {
    ($($rule:ident),* $(,)?) => {
        mod directory {
            use super::*;
            $(#[test] fn $rule() { super::$rule(&OnDirectory::new(Resolution::Kernel)); })*
        }
        mod directory_walked {
            use super::*;
            $(#[test] fn $rule() { super::$rule(&OnDirectory::new(Resolution::Walk)); })*
        }
        mod s3 {
            use super::*;
            $(#[test] fn $rule() { super::$rule(&OnMinio::new()); })*
        }
    };
}

contract!(
    head_tells_what_is_there,
    what_is_not_there_is_not_found,
    odd_keys,
    ranges_at_both_ends,
    ranges_of_a_small_object_exhaustively,
    a_large_object_is_read_whole,
    a_read_keeps_what_the_buffer_holds,
    replaced_before_open,
    replaced_while_a_span_is_open,
    deleted_before_open,
    deleted_while_a_span_is_open,
    the_same_bytes_put_again_may_be_another_version,
    an_empty_object,
    an_empty_range_is_our_own_fault,
    an_empty_store_lists_nothing,
    a_listing_is_in_the_order_of_bytes,
    a_listing_goes_on_after_each_page,
    a_listing_below_a_prefix,
    a_listing_after_a_key_that_does_not_exist,
    a_listing_says_what_head_says,
    keys_that_none_can_spell_are_left_out,
    many_threads_read_at_once,
    what_is_written_is_read,
    what_is_written_cannot_be_seen_before_its_end,
    a_dropped_upload_leaves_nothing,
    conditions_are_checked_when_it_begins,
    conditions_are_checked_when_it_ends,
    of_many_that_write_a_new_object_one_does,
    what_is_deleted_is_gone,
);

fn key(key: &str) -> ObjectKey {
    ObjectKey::new(key).unwrap()
}

#[track_caller]
fn head(fixture: &dyn Fixture, name: &str) -> ObjectMeta {
    fixture.store().head(&key(name)).unwrap_or_else(|error| panic!("head of {name:?}: {}", error.chain()))
}

/// Reads the rest of a span, in reads of at most `len_max`.
fn drain(span: &mut dyn Span, len_max: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    loop {
        let before_len = bytes.len();
        let read_len = span.read(&mut bytes, len_max)?;
        assert_eq!(bytes.len() - before_len, read_len, "what is said to be read is what was appended");
        assert!(read_len <= len_max, "{read_len} of at most {len_max}");
        if read_len == 0 {
            return Ok(bytes);
        }
    }
}

#[track_caller]
fn read(fixture: &dyn Fixture, id: &ObjectId, range: Range<u64>) -> Vec<u8> {
    let read = fixture.store().open(id, range.clone()).and_then(|mut span| drain(&mut *span, 1 << 20));
    read.unwrap_or_else(|error| panic!("{range:?} of {:?}: {}", id.key, error.chain()))
}

#[track_caller]
fn open_error(fixture: &dyn Fixture, id: &ObjectId, range: Range<u64>) -> ErrorKind {
    fixture.store().open(id, range).err().expect("an error").kind()
}

fn head_tells_what_is_there(fixture: &dyn Fixture) {
    let before = SystemTime::now();
    fixture.put("a/film.mp4", &pattern(1, 1000));
    let meta = head(fixture, "a/film.mp4");
    assert_eq!((meta.id.key.as_str(), meta.size), ("a/film.mp4", 1000));
    assert_eq!(meta.content_type(), "video/mp4");
    // To the second, and with some patience for two clocks.
    let window = before - Duration::from_secs(3)..SystemTime::now() + Duration::from_secs(2);
    assert!(window.contains(&meta.last_modified), "{:?} in {window:?}", meta.last_modified);
    let since = meta.last_modified.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(since.subsec_nanos(), 0);
    assert_eq!(head(fixture, "a/film.mp4"), meta, "asked again, it is the same version");
}

fn what_is_not_there_is_not_found(fixture: &dyn Fixture) {
    fixture.put("a/b/film.mp4", b"film");
    let long = "x".repeat(256);
    for name in ["film.mp4", "a", "a/b", "a/b/film.mp", "a/b/film.mp4x", "A/b/film.mp4", "a/b/film.mp4/x", "~", &long] {
        let error = fixture.store().head(&key(name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{name:?}: {}", error.chain());
        let id = ObjectId { key: key(name), etag: ETag::from_store("abc").unwrap() };
        assert_eq!(open_error(fixture, &id, 0..1), ErrorKind::NotFound, "{name:?}");
    }
}

fn odd_keys(fixture: &dyn Fixture) {
    let long = ["x".repeat(255), "y".repeat(255), "z".repeat(255), "ж".repeat(100), "é+".repeat(18) + "!"].join("/");
    assert_eq!(long.len(), 1024);
    let mut names = vec![
        "a b.mp4",
        " leading",
        "trailing ",
        "a+b",
        "a&b=c",
        "a#b",
        "a?b",
        "100%",
        "%41",
        "%2F",
        "a%20b",
        "фильм/серия 1.mp4",
        "日本語",
        "e\u{301}",
        "\u{e9}",
        "~tilde",
        "it's",
        "\"quoted\"",
        "a:b",
        "a;b",
        "a,b",
        "a@b",
        "a$b",
        "a!b",
        "(a)",
        "[a]",
        "{a}",
        "a|b",
        "a^b",
        "a`b",
        "a*b",
        "a<b>",
        "...",
        "..a",
        "a..",
        "\u{1f3ac}",
        "-",
        "stream",
        "a/-/b",
        &long,
    ];
    for (seed, name) in (0..).zip(&names) {
        fixture.put(name, &pattern(seed, 100));
    }
    for (seed, name) in (0..).zip(&names) {
        let meta = head(fixture, name);
        assert_eq!(meta.id.key.as_str(), *name);
        assert_eq!(read(fixture, &meta.id, 0..100), pattern(seed, 100), "{name:?}");
    }
    names.retain(|name| !name.starts_with('.'));
    names.sort_unstable();
    let listed = keys_of(fixture, &ListQuery { limit: 1000, ..ListQuery::default() });
    let listed: Vec<&str> = listed.iter().map(String::as_str).filter(|name| !name.starts_with('.')).collect();
    assert_eq!(listed, names);
    // Each of them can be the place where a page starts.
    for pair in names.windows(2) {
        let query = ListQuery { after: Some(pair[0].to_owned()), limit: 10, ..ListQuery::default() };
        let next = keys_of(fixture, &query).into_iter().find(|name| !name.starts_with('.'));
        assert_eq!(next.as_deref(), Some(pair[1]));
    }
}

fn ranges_at_both_ends(fixture: &dyn Fixture) {
    let bytes = pattern(2, 300_000);
    fixture.put("film", &bytes);
    let id = head(fixture, "film").id;
    for range in [0..1, 0..2, 0..300_000, 1..300_000, 299_999..300_000, 299_998..300_000, 131_071..131_073, 5..65_541] {
        let whole = &bytes[range.start..range.end];
        assert!(read(fixture, &id, range.start as u64..range.end as u64) == whole, "{range:?}");
    }
}

fn ranges_of_a_small_object_exhaustively(fixture: &dyn Fixture) {
    let bytes = pattern(3, 7);
    fixture.put("film", &bytes);
    let id = head(fixture, "film").id;
    for start in 0..7 {
        for end in start + 1..=7 {
            for len_max in 1..=end - start + 1 {
                let mut span = fixture.store().open(&id, start as u64..end as u64).unwrap();
                assert_eq!(drain(&mut *span, len_max).unwrap(), bytes[start..end], "{start}..{end} by {len_max}");
                assert_eq!(span.read(&mut Vec::new(), 1).unwrap(), 0, "the end stays the end");
            }
        }
    }
}

fn a_large_object_is_read_whole(fixture: &dyn Fixture) {
    let bytes = pattern(4, 9_000_001);
    fixture.put("film", &bytes);
    let id = head(fixture, "film").id;
    for len_max in [1000, 65_536, 1 << 20, usize::MAX] {
        let mut span = fixture.store().open(&id, 0..9_000_001).unwrap();
        assert!(drain(&mut *span, len_max).unwrap() == bytes, "by {len_max}");
    }
}

fn a_read_keeps_what_the_buffer_holds(fixture: &dyn Fixture) {
    fixture.put("film", b"0123456789");
    let id = head(fixture, "film").id;
    // Room for more than may be read, too little room, and none.
    for capacity in [100_000, 8, 0] {
        let mut buf = Vec::with_capacity(capacity);
        buf.extend_from_slice(b"before");
        let mut span = fixture.store().open(&id, 2..8).unwrap();
        while buf.len() < b"before234".len() {
            let want = b"before234".len() - buf.len();
            assert!(span.read(&mut buf, want).unwrap() > 0);
        }
        assert_eq!(buf, b"before234");
        assert_eq!(span.read(&mut buf, 0).unwrap(), 0, "nothing was asked for");
        while span.read(&mut buf, 100).unwrap() > 0 {}
        assert_eq!(buf, b"before234567");
    }
}

fn replaced_before_open(fixture: &dyn Fixture) {
    fixture.put("film", &pattern(5, 1000));
    let old = head(fixture, "film").id;
    fixture.put("film", &pattern(6, 1000));
    let new = head(fixture, "film").id;
    assert_ne!(old.etag, new.etag);
    assert_eq!(open_error(fixture, &old, 0..1000), ErrorKind::Changed);
    assert_eq!(read(fixture, &new, 0..1000), pattern(6, 1000));
    // A range that the new version is too short for.
    fixture.put("film", &pattern(7, 10));
    assert_eq!(open_error(fixture, &new, 990..1000), ErrorKind::Changed);
}

/// Reads a little, lets `change` happen, and reads the rest: whatever comes is of the old version.
fn check_changed_while_open(fixture: &dyn Fixture, change: impl FnOnce() + Send) {
    let old = pattern(8, 16 << 20);
    fixture.put("film", &old);
    let id = head(fixture, "film").id;
    let mut span = fixture.store().open(&id, 0..16 << 20).unwrap();
    let mut bytes = Vec::new();
    assert!(span.read(&mut bytes, 1000).unwrap() > 0);
    let outcome = std::thread::scope(|scope| {
        let change = scope.spawn(change);
        if fixture.lets_writers_in() {
            change.join().unwrap();
        }
        loop {
            match span.read(&mut bytes, 1 << 20) {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        }
    });
    assert!(bytes == old[..bytes.len()], "every byte is of the old version");
    match outcome {
        Ok(()) => assert_eq!(bytes.len(), old.len(), "an end that is no error is the end"),
        Err(error) => {
            let kinds = [ErrorKind::Changed, ErrorKind::NotFound, ErrorKind::UpstreamUnavailable];
            assert!(kinds.contains(&error.kind()), "{}", error.chain());
        }
    }
    // Now the change is through, and the version is gone for good.
    let kind = open_error(fixture, &id, 0..1);
    assert!([ErrorKind::Changed, ErrorKind::NotFound].contains(&kind), "{kind:?}");
}

fn replaced_while_a_span_is_open(fixture: &dyn Fixture) {
    check_changed_while_open(fixture, || fixture.put("film", &pattern(9, 16 << 20)));
}

fn deleted_while_a_span_is_open(fixture: &dyn Fixture) {
    check_changed_while_open(fixture, || fixture.delete("film"));
}

fn deleted_before_open(fixture: &dyn Fixture) {
    fixture.put("film", b"film");
    let id = head(fixture, "film").id;
    fixture.delete("film");
    assert_eq!(open_error(fixture, &id, 0..4), ErrorKind::NotFound);
    assert_eq!(fixture.store().head(&id.key).unwrap_err().kind(), ErrorKind::NotFound);
}

fn the_same_bytes_put_again_may_be_another_version(fixture: &dyn Fixture) {
    fixture.put("film", b"film");
    let old = head(fixture, "film").id;
    fixture.put("film", b"film");
    let new = head(fixture, "film").id;
    // S3 tells versions by their bytes, a directory by the file: both are right, as long as the bytes are.
    match fixture.store().open(&old, 0..4) {
        Ok(mut span) => {
            assert_eq!(old, new);
            assert_eq!(drain(&mut *span, 10).unwrap(), b"film");
        }
        Err(error) => {
            assert_ne!(old, new);
            assert_eq!(error.kind(), ErrorKind::Changed);
        }
    }
}

fn an_empty_object(fixture: &dyn Fixture) {
    fixture.put("empty", b"");
    let meta = head(fixture, "empty");
    assert_eq!(meta.size, 0);
    let page = fixture.store().list(&ListQuery { limit: 10, ..ListQuery::default() }).unwrap();
    assert_eq!(page.entries.iter().map(|entry| (entry.key.as_str(), entry.size)).collect::<Vec<_>>(), [("empty", 0)]);
}

fn an_empty_range_is_our_own_fault(fixture: &dyn Fixture) {
    fixture.put("film", b"film");
    let id = head(fixture, "film").id;
    assert_eq!(open_error(fixture, &id, 2..2), ErrorKind::Internal);
}

/// The keys of one page.
#[track_caller]
fn keys_of(fixture: &dyn Fixture, query: &ListQuery) -> Vec<String> {
    let page = fixture.store().list(query).unwrap_or_else(|error| panic!("{query:?}: {}", error.chain()));
    page.entries.iter().map(|entry| entry.key.as_str().to_owned()).collect()
}

/// The keys of all pages of `limit`, each page checked.
#[track_caller]
fn all_keys(fixture: &dyn Fixture, prefix: &str, limit: usize) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    let mut query = ListQuery { prefix: prefix.to_owned(), after: None, limit };
    loop {
        let page = fixture.store().list(&query).unwrap();
        assert!(page.entries.len() <= limit);
        keys.extend(page.entries.iter().map(|entry| entry.key.as_str().to_owned()));
        match page.next {
            None => return keys,
            Some(next) => {
                assert!(query.after.as_ref().is_none_or(|after| next > *after), "{next:?} goes on");
                query.after = Some(next);
            }
        }
    }
}

/// Names whose order by bytes is not that of a tree: `-` and `.` come before `/`, `0` behind it.
const TREE: [&str; 13] = ["B", "a-b", "a.mp4", "a/-", "a/b-", "a/b/1", "a/b/2", "a/b0", "a/c", "a0", "ab/x", "b", "ж/я"];

fn plant(fixture: &dyn Fixture) {
    // Not in order, so that no order but the right one comes out by chance.
    for at in [3, 11, 0, 7, 12, 5, 1, 9, 2, 10, 4, 8, 6] {
        fixture.put(TREE[at], TREE[at].as_bytes());
    }
}

fn an_empty_store_lists_nothing(fixture: &dyn Fixture) {
    for limit in [1, 1000] {
        let page = fixture.store().list(&ListQuery { limit, ..ListQuery::default() }).unwrap();
        assert!(page.entries.is_empty() && page.next.is_none());
    }
}

fn a_listing_is_in_the_order_of_bytes(fixture: &dyn Fixture) {
    plant(fixture);
    let page = fixture.store().list(&ListQuery { limit: 1000, ..ListQuery::default() }).unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), TREE);
    assert_eq!(page.next, None);
    assert!(TREE.is_sorted(), "which is the order of bytes");
}

fn a_listing_goes_on_after_each_page(fixture: &dyn Fixture) {
    plant(fixture);
    for limit in 1..=TREE.len() + 1 {
        assert_eq!(all_keys(fixture, "", limit), TREE, "by {limit}");
    }
    // A page that ends with the last key is the last, and says so.
    let page = fixture.store().list(&ListQuery { limit: TREE.len(), ..ListQuery::default() }).unwrap();
    assert_eq!(page.next, None);
    let page = fixture.store().list(&ListQuery { limit: TREE.len() - 1, ..ListQuery::default() }).unwrap();
    assert_eq!(page.next.as_deref(), Some("b"));
}

fn a_listing_below_a_prefix(fixture: &dyn Fixture) {
    plant(fixture);
    let prefixes = [
        "a", "a-", "a/", "a/b", "a/b/", "a/b/1", "a/b/1x", "a/b/1/", "a0", "ab", "b", "b/", "ж", "ж/я", "/", "//", "a//", ".",
        "..", "../", "a/../", "x", "x/y/z", " ", "\u{0}", "a/\u{0}/",
    ];
    for prefix in prefixes {
        let want: Vec<&str> = TREE.into_iter().filter(|key| key.starts_with(prefix)).collect();
        for limit in [1, 2, 1000] {
            assert_eq!(all_keys(fixture, prefix, limit), want, "{prefix:?} by {limit}");
        }
    }
}

fn a_listing_after_a_key_that_does_not_exist(fixture: &dyn Fixture) {
    plant(fixture);
    let afters = [
        "A", "a", "a-", "a-b", "a-b0", "a.", "a/", "a//", "a/b", "a/b/", "a/b/1", "a/b/11", "a/b/2/x", "a/z", "a0", "zzz", "ж",
    ];
    for after in afters {
        for prefix in ["", "a", "a/", "a/b"] {
            let query = ListQuery { prefix: prefix.to_owned(), after: Some(after.to_owned()), limit: 1000 };
            let want: Vec<&str> = TREE.into_iter().filter(|key| key.starts_with(prefix) && *key > after).collect();
            assert_eq!(keys_of(fixture, &query), want, "{query:?}");
        }
    }
}

fn a_listing_says_what_head_says(fixture: &dyn Fixture) {
    plant(fixture);
    let page = fixture.store().list(&ListQuery { limit: 1000, ..ListQuery::default() }).unwrap();
    for entry in page.entries {
        let meta = head(fixture, entry.key.as_str());
        let listed = (entry.key, entry.etag, entry.size, entry.last_modified);
        assert_eq!(listed, (meta.id.key, meta.id.etag, meta.size, meta.last_modified));
    }
}

fn keys_that_none_can_spell_are_left_out(fixture: &dyn Fixture) {
    for name in ["a", "b\u{1}", "b\u{7f}/x", "c"] {
        fixture.put(name, b"x");
    }
    for limit in 1..5 {
        assert_eq!(all_keys(fixture, "", limit), ["a", "c"], "by {limit}");
    }
}

fn many_threads_read_at_once(fixture: &dyn Fixture) {
    let bytes = pattern(10, 1 << 20);
    fixture.put("film", &bytes);
    let id = head(fixture, "film").id;
    let store = fixture.store();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..8)
            .map(|number: usize| {
                let (id, bytes) = (&id, &bytes);
                scope.spawn(move || {
                    for turn in 0..8 {
                        let range = (number * 10_007 + turn * 101)..(1 << 20) - number - turn;
                        let mut span = store.open(id, range.start as u64..range.end as u64).unwrap();
                        assert!(drain(&mut *span, 65_536).unwrap() == bytes[range]);
                    }
                })
            })
            .collect();
        for reader in readers {
            reader.join().unwrap();
        }
    });
}
