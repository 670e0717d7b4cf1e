use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::*;
use crate::object::{ETag, ObjectId};
use crate::store::{ListPage, ListQuery, Span};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// A store that counts how often it is asked, and answers for every key what it is told to.
struct Fake {
    version: Mutex<Result<&'static str, ErrorKind>>,
    heads: AtomicUsize,
    /// Is called while a question is on its way.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Store for Fake {
    fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        self.heads.fetch_add(1, Ordering::SeqCst);
        let version = *self.version.lock().unwrap();
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        version.map(|etag| meta(key, etag)).map_err(|kind| Error::new(kind, "the detail of the store"))
    }

    fn open(&self, _: &ObjectId, _: Range<u64>) -> Result<Box<dyn Span>, Error> {
        Err(ErrorKind::Internal.into())
    }

    fn list(&self, _: &ListQuery) -> Result<ListPage, Error> {
        Ok(ListPage::default())
    }
}

fn meta(key: &ObjectKey, etag: &str) -> ObjectMeta {
    ObjectMeta {
        id: ObjectId { key: key.clone(), etag: ETag::from_store(etag).unwrap() },
        size: 1 << 40,
        last_modified: UNIX_EPOCH + 784_111_777 * SECOND,
        content_type: Some("video/mp4".to_owned()),
        cache_control: None,
    }
}

/// A store, a clock that goes when it is told to, and what is known of the one by the other.
struct Scene {
    fake: Arc<Fake>,
    now: Arc<Mutex<Now>>,
    metadata: Arc<Metadata>,
}

fn key() -> ObjectKey {
    ObjectKey::new("a/film.mp4").unwrap()
}

impl Scene {
    fn new(ttl: Duration) -> Self {
        Self::with_records(ttl, None)
    }

    fn with_records(ttl: Duration, records: Option<&TempDir>) -> Self {
        let wall = SystemTime::now();
        let fake = Fake { version: Mutex::new(Ok("v1")), heads: AtomicUsize::new(0), meanwhile: Mutex::new(None) };
        let (fake, now) = (Arc::new(fake), Arc::new(Mutex::new(Now { at: Instant::now(), wall })));
        let clock = Arc::clone(&now);
        let records = records.map(|dir| dir.path().to_owned());
        let config = MetaConfig { ttl, redis: None, records, namespace: "fake".to_owned() };
        let metadata = Metadata::with_clock(fake.clone(), config, Box::new(move || *clock.lock().unwrap()));
        Self { fake, now, metadata: Arc::new(metadata) }
    }

    /// Lets a little less than this pass.
    fn pass_almost(&self, span: Duration) {
        self.pass(span.checked_sub(Duration::from_millis(1)).unwrap());
    }

    fn pass(&self, span: Duration) {
        let mut now = self.now.lock().unwrap();
        *now = Now { at: now.at + span, wall: now.wall + span };
    }

    fn answer(&self, version: Result<&'static str, ErrorKind>) {
        *self.fake.version.lock().unwrap() = version;
    }

    /// What is known, in short: the version, or the kind of the error.
    fn known(&self) -> Option<Result<String, ErrorKind>> {
        self.metadata.known(&key()).map(short)
    }

    /// Asserts what a look-up answers, and how often the store was asked since the last time.
    #[track_caller]
    fn check(&self, want: Result<&str, ErrorKind>, heads: usize) {
        self.fake.heads.store(0, Ordering::SeqCst);
        let got = self.metadata.look_up(&key());
        if let Ok(got) = &got {
            assert_eq!(*got, meta(&key(), got.id.etag.as_str()));
        }
        assert_eq!(short(got), want.map(quoted));
        assert_eq!(self.fake.heads.load(Ordering::SeqCst), heads, "heads");
    }

    #[track_caller]
    fn check_known(&self, want: Option<Result<&str, ErrorKind>>) {
        assert_eq!(self.known(), want.map(|answer| answer.map(quoted)));
    }
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

fn short(answer: Result<ObjectMeta, Error>) -> Result<String, ErrorKind> {
    answer.map(|meta| meta.id.etag.to_string()).map_err(|error| error.kind())
}

#[test]
fn the_store_is_asked_once_and_again_after_the_ttl() {
    let scene = Scene::new(60 * SECOND);
    scene.check_known(None);
    scene.check(Ok("v1"), 1);
    scene.check_known(Some(Ok("v1")));
    scene.pass(59 * SECOND);
    scene.check(Ok("v1"), 0);
    scene.pass(SECOND);
    scene.check_known(None);
    // The same version: for another minute. Another one: in its place.
    scene.check(Ok("v1"), 1);
    scene.pass(59 * SECOND);
    scene.check_known(Some(Ok("v1")));
    scene.pass(SECOND);
    scene.answer(Ok("v2"));
    scene.check(Ok("v2"), 1);
    scene.check_known(Some(Ok("v2")));
}

#[test]
fn what_is_missing_is_known_for_a_shorter_time() {
    for (ttl, known) in [(60 * SECOND, 5 * SECOND), (2 * SECOND, 2 * SECOND)] {
        let scene = Scene::new(ttl);
        scene.answer(Err(ErrorKind::NotFound));
        scene.check(Err(ErrorKind::NotFound), 1);
        scene.pass_almost(known);
        scene.check_known(Some(Err(ErrorKind::NotFound)));
        scene.check(Err(ErrorKind::NotFound), 0);
        scene.answer(Ok("v1"));
        scene.pass(Duration::from_millis(1));
        scene.check_known(None);
        scene.check(Ok("v1"), 1);
        // And the other way round.
        scene.pass(ttl);
        scene.answer(Err(ErrorKind::NotFound));
        scene.check(Err(ErrorKind::NotFound), 1);
        scene.check_known(Some(Err(ErrorKind::NotFound)));
    }
}

#[test]
fn without_a_ttl_the_store_is_asked_each_time() {
    let scene = Scene::new(Duration::ZERO);
    scene.check(Ok("v1"), 1);
    scene.check_known(None);
    scene.check(Ok("v1"), 1);
    scene.answer(Err(ErrorKind::NotFound));
    scene.check(Err(ErrorKind::NotFound), 1);
    scene.check_known(None);
    // What it said is used where it cannot be asked all the same.
    scene.answer(Ok("v2"));
    scene.check(Ok("v2"), 1);
    scene.answer(Err(ErrorKind::UpstreamTimeout));
    scene.check(Ok("v2"), 1);
}

#[test]
fn failures_are_not_known_later() {
    for kind in [ErrorKind::UpstreamUnavailable, ErrorKind::UpstreamTimeout, ErrorKind::UpstreamForbidden, ErrorKind::Internal]
    {
        let scene = Scene::new(60 * SECOND);
        scene.answer(Err(kind));
        scene.check(Err(kind), 1);
        scene.check_known(None);
        scene.check(Err(kind), 1);
        scene.answer(Ok("v1"));
        scene.check(Ok("v1"), 1);
    }
}

#[test]
fn where_the_store_cannot_be_asked_what_it_said_within_a_day_is_used() {
    for kind in [ErrorKind::UpstreamUnavailable, ErrorKind::UpstreamTimeout] {
        let scene = Scene::new(60 * SECOND);
        scene.check(Ok("v1"), 1);
        scene.answer(Err(kind));
        scene.pass(60 * SECOND);
        // Asked in vain at growing distances, and not in between.
        for pause in [1, 2, 4, 8, 16, 30, 30, 30] {
            scene.check(Ok("v1"), 1);
            scene.check_known(Some(Ok("v1")));
            scene.pass_almost(pause * SECOND);
            scene.check(Ok("v1"), 0);
            scene.pass(Duration::from_millis(1));
            scene.check_known(None);
        }
        // 60 seconds fresh, 121 in need, and the rest but one second.
        scene.pass(Duration::from_secs(24 * 60 * 60 - 60 - 121 - 1));
        scene.check(Ok("v1"), 1);
        scene.pass(SECOND);
        scene.check_known(None);
        scene.check(Err(kind), 1);
        // The store is back: all begins anew.
        scene.answer(Ok("v2"));
        scene.check(Ok("v2"), 1);
        scene.pass(60 * SECOND);
        scene.answer(Err(kind));
        scene.check(Ok("v2"), 1);
        scene.pass(SECOND);
        scene.check(Ok("v2"), 1);
    }
}

#[test]
fn a_refusal_is_an_answer_and_what_was_missing_is_not_used_on() {
    let scene = Scene::new(60 * SECOND);
    scene.check(Ok("v1"), 1);
    scene.pass(60 * SECOND);
    scene.answer(Err(ErrorKind::UpstreamForbidden));
    scene.check(Err(ErrorKind::UpstreamForbidden), 1);
    scene.check(Err(ErrorKind::UpstreamForbidden), 1);
    scene.answer(Err(ErrorKind::NotFound));
    scene.check(Err(ErrorKind::NotFound), 1);
    scene.pass(5 * SECOND);
    scene.answer(Err(ErrorKind::UpstreamUnavailable));
    scene.check(Err(ErrorKind::UpstreamUnavailable), 1);
}

#[test]
fn what_is_forgotten_is_asked_for_again() {
    let dir = TempDir::new().unwrap();
    let scene = Scene::with_records(60 * SECOND, Some(&dir));
    scene.check(Ok("v1"), 1);
    scene.metadata.forget(&key());
    scene.check_known(None);
    scene.answer(Ok("v2"));
    scene.check(Ok("v2"), 1);
    scene.metadata.forget(&key());
    // Nothing of it is left for an outage either.
    scene.answer(Err(ErrorKind::UpstreamUnavailable));
    scene.check(Err(ErrorKind::UpstreamUnavailable), 1);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn an_answer_that_is_overtaken_by_an_upload_is_not_kept() {
    let dir = TempDir::new().unwrap();
    let scene = Scene::with_records(60 * SECOND, Some(&dir));
    let metadata = Arc::clone(&scene.metadata);
    *scene.fake.meanwhile.lock().unwrap() = Some(Box::new(move || metadata.forget(&key())));
    scene.check(Ok("v1"), 1);
    scene.check_known(None);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
    scene.answer(Ok("v2"));
    scene.check(Ok("v2"), 1);
    scene.check_known(Some(Ok("v2")));
}

#[test]
fn kept_records_serve_a_new_process_while_the_store_is_down() {
    let dir = TempDir::new().unwrap();
    Scene::with_records(60 * SECOND, Some(&dir)).check(Ok("v1"), 1);
    // As long as the store answers it is the one that is believed.
    let scene = Scene::with_records(60 * SECOND, Some(&dir));
    scene.check_known(None);
    scene.answer(Ok("v2"));
    scene.check(Ok("v2"), 1);

    let scene = Scene::with_records(60 * SECOND, Some(&dir));
    scene.answer(Err(ErrorKind::UpstreamUnavailable));
    scene.check(Ok("v2"), 1);
    scene.check_known(Some(Ok("v2")));
    scene.pass(SECOND);
    scene.check(Ok("v2"), 1);
    // A store that refuses is answered for by nobody.
    scene.pass(2 * SECOND);
    scene.answer(Err(ErrorKind::UpstreamForbidden));
    scene.check(Err(ErrorKind::UpstreamForbidden), 1);
    // And one that says that it is gone is right.
    scene.answer(Err(ErrorKind::NotFound));
    scene.check(Err(ErrorKind::NotFound), 1);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn a_kept_record_is_used_for_a_day_and_written_anew_each_hour() {
    let dir = TempDir::new().unwrap();
    let kept_for = |scene: &Scene, age: Duration| {
        let scene_later = Scene::with_records(60 * SECOND, Some(&dir));
        *scene_later.now.lock().unwrap() = *scene.now.lock().unwrap();
        scene_later.pass(age);
        scene_later.answer(Err(ErrorKind::UpstreamTimeout));
        scene_later
    };
    let scene = Scene::with_records(60 * SECOND, Some(&dir));
    scene.check(Ok("v1"), 1);
    kept_for(&scene, Duration::from_secs(24 * 60 * 60 - 2)).check(Ok("v1"), 1);
    kept_for(&scene, 24 * HOUR).check(Err(ErrorKind::UpstreamTimeout), 1);

    // Asked again after 59 minutes: the record is still that of the beginning. After an hour it is new.
    scene.pass(59 * 60 * SECOND);
    scene.check(Ok("v1"), 1);
    kept_for(&scene, Duration::from_mins(23 * 60 + 1)).check(Err(ErrorKind::UpstreamTimeout), 1);
    scene.pass(60 * SECOND);
    scene.check(Ok("v1"), 1);
    kept_for(&scene, Duration::from_secs(24 * 60 * 60 - 2)).check(Ok("v1"), 1);

    // What it has left of its day is all that it gets.
    let late = kept_for(&scene, 23 * HOUR);
    late.check(Ok("v1"), 1);
    late.pass(HOUR);
    late.check(Err(ErrorKind::UpstreamTimeout), 1);

    // A clock that was put back a little, and one that was put back much.
    let back = |by: Duration| {
        let scene = kept_for(&scene, Duration::ZERO);
        scene.now.lock().unwrap().wall -= by;
        scene
    };
    back(HOUR).check(Ok("v1"), 1);
    back(25 * HOUR).check(Err(ErrorKind::UpstreamTimeout), 1);
}

#[test]
fn damaged_records_never_answer_wrongly() {
    let dir = TempDir::new().unwrap();
    Scene::with_records(60 * SECOND, Some(&dir)).check(Ok("v1"), 1);
    let path = std::fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read(&path).unwrap();
    let damaged = (0..good.len()).flat_map(|at| {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        [good[..at].to_vec(), flipped]
    });
    for bytes in damaged {
        std::fs::write(&path, &bytes).unwrap();
        let scene = Scene::with_records(60 * SECOND, Some(&dir));
        scene.answer(Err(ErrorKind::UpstreamUnavailable));
        scene.check(Err(ErrorKind::UpstreamUnavailable), 1);
        assert!(!path.exists());
    }
    std::fs::write(&path, &good).unwrap();
    let scene = Scene::with_records(60 * SECOND, Some(&dir));
    scene.answer(Err(ErrorKind::UpstreamUnavailable));
    scene.check(Ok("v1"), 1);
}

#[test]
fn many_threads_on_a_few_keys_end_with_what_the_store_says() {
    let scene = Scene::new(60 * SECOND);
    let keys: Vec<_> = (0..4).map(|number| ObjectKey::new(&format!("{number}")).unwrap()).collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (scene, keys) = (&scene, &keys);
            scope.spawn(move || {
                for round in 0..500 {
                    let key = &keys[(round + thread) % keys.len()];
                    match (round + thread) % 7 {
                        0 => scene.metadata.forget(key),
                        1 => drop(scene.metadata.known(key)),
                        _ => assert!(scene.metadata.look_up(key).is_ok()),
                    }
                }
            });
        }
    });
    scene.answer(Ok("v2"));
    for key in &keys {
        scene.metadata.forget(key);
        assert_eq!(short(scene.metadata.look_up(key)), Ok(quoted("v2")));
        assert_eq!(scene.metadata.known(key).map(short), Some(Ok(quoted("v2"))));
    }
}

#[test]
fn debug_shows_no_secret() {
    let config = MetaConfig {
        ttl: SECOND,
        redis: Some(RedisUrl::parse("redis://hunter1:hunter2@127.0.0.1:1").unwrap()),
        records: None,
        namespace: String::new(),
    };
    let shown = format!("{config:?} {:?}", Scene::new(SECOND).metadata);
    assert!(!shown.contains("hunter"), "{shown}");
}
