//! What only a directory can do to a store: links, pipes, and files that change in place.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;
use vidgate::ErrorKind;
use vidgate::object::ObjectKey;
use vidgate::store::{Directory, ListQuery, Resolution, Store};

use crate::support::pattern;

const BOTH: [Resolution; 2] = [Resolution::Kernel, Resolution::Walk];

fn key(key: &str) -> ObjectKey {
    ObjectKey::new(key).unwrap()
}

fn write(dir: &Path, name: &str, bytes: &[u8]) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn keys_of(store: &dyn Store) -> Vec<String> {
    let page = store.list(&ListQuery { limit: 1000, ..ListQuery::default() }).unwrap();
    page.entries.into_iter().map(|entry| entry.key.as_str().to_owned()).collect()
}

/// The whole object, if there is one.
#[track_caller]
fn content(store: &dyn Store, name: &str) -> Option<Vec<u8>> {
    let meta = match store.head(&key(name)) {
        Ok(meta) => meta,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{name:?}: {}", error.chain());
            return None;
        }
    };
    let mut bytes = Vec::new();
    let mut span = store.open(&meta.id, 0..meta.size).unwrap();
    while span.read(&mut bytes, 1 << 20).unwrap() > 0 {}
    Some(bytes)
}

#[test]
fn a_root_that_is_none_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "file", b"x");
    for (name, why) in [("file", "is not a directory"), ("missing", "does not exist"), ("file/x", "is not a directory")] {
        let error = Directory::open(dir.path().join(name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UpstreamUnavailable);
        assert!(error.to_string().ends_with(why), "{error}");
    }
}

#[test]
fn the_root_may_be_a_link_and_may_be_renamed() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "films/a", b"a");
    symlink(dir.path().join("films"), dir.path().join("link")).unwrap();
    let store = Directory::open(dir.path().join("link")).unwrap();
    fs::rename(dir.path().join("films"), dir.path().join("renamed")).unwrap();
    write(dir.path(), "films/other", b"other");
    assert_eq!(keys_of(&store), ["a"]);
    assert_eq!(content(&store, "a").unwrap(), b"a");
}

#[test]
fn a_root_that_was_removed_is_a_failure_and_not_an_empty_store() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("films")).unwrap();
    for resolution in BOTH {
        fs::create_dir_all(dir.path().join("films")).unwrap();
        let store = Directory::open_with(dir.path().join("films"), resolution).unwrap();
        assert_eq!(store.head(&key("a")).unwrap_err().kind(), ErrorKind::NotFound);
        fs::remove_dir(dir.path().join("films")).unwrap();
        assert_eq!(store.head(&key("a")).unwrap_err().kind(), ErrorKind::UpstreamUnavailable);
        let query = ListQuery { limit: 1, ..ListQuery::default() };
        assert_eq!(store.list(&query).unwrap_err().kind(), ErrorKind::UpstreamUnavailable);
    }
}

/// Says that it is done when it is dropped: by a failed assertion as well, so that a thread that waits for it ends.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A root with files, a secret beside it, and links of every kind.
fn links() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    write(dir.path(), "secret", b"secret");
    write(dir.path(), "outside/secret", b"secret");
    write(&root, "film", b"film");
    write(&root, "deep/er/film", b"deep film");
    let absolute = |name: &str| dir.path().join(name).into_os_string().into_string().unwrap();
    for (link, target) in [
        ("out-absolute", absolute("secret").as_str()),
        ("out-relative", "../secret"),
        ("out-twice", "out-relative"),
        ("out-and-in", "../root/film"),
        ("out-folder", "../outside"),
        ("out-folder-absolute", absolute("outside").as_str()),
        ("out-root", "/"),
        ("out-proc", "/proc/self/root"),
        ("deep/out", "../../secret"),
        ("in-absolute", absolute("root/film").as_str()),
        ("in", "film"),
        ("in-twice", "in"),
        ("in-deep", "deep/er/film"),
        ("in-folder", "deep"),
        ("in-circle", "."),
        ("deep/up", "../film"),
        ("loop", "loop"),
        ("dangling", "nothing"),
    ] {
        symlink(target, root.join(link)).unwrap();
    }
    dir
}

const ESCAPES: [&str; 11] = [
    "out-absolute",
    "out-relative",
    "out-twice",
    "out-and-in",
    "out-folder",
    "out-folder/secret",
    "out-folder-absolute/secret",
    "out-root/etc/passwd",
    "out-proc/etc/passwd",
    "deep/out",
    "in-absolute",
];

#[test]
fn links_that_leave_the_root_lead_nowhere() {
    let dir = links();
    for resolution in BOTH {
        let store = Directory::open_with(dir.path().join("root"), resolution).unwrap();
        for name in ESCAPES.into_iter().chain(["in-folder/out", "in-circle/out-relative", "loop", "dangling", "dangling/x"]) {
            assert_eq!(content(&store, name), None, "{name:?} {resolution:?}");
        }
        assert_eq!(content(&store, "deep/er/film").unwrap(), b"deep film");
    }
}

#[test]
fn links_that_stay_inside_work_where_the_kernel_resolves() {
    let dir = links();
    let root = dir.path().join("root");
    let (kernel, walk) = (Directory::open(&root).unwrap(), Directory::open_with(&root, Resolution::Walk).unwrap());
    for (name, want) in [
        ("in", &b"film"[..]),
        ("in-twice", b"film"),
        ("in-deep", b"deep film"),
        ("in-folder/er/film", b"deep film"),
        ("in-circle/in-circle/film", b"film"),
        ("deep/up", b"film"),
    ] {
        assert_eq!(content(&kernel, name).as_deref(), Some(want), "{name:?}");
        assert_eq!(content(&walk, name), None, "{name:?}");
    }
    assert_eq!(keys_of(&kernel), ["deep/er/film", "deep/up", "film", "in", "in-deep", "in-twice"]);
    assert_eq!(keys_of(&walk), ["deep/er/film", "film"]);
    for (store, prefix) in [(&kernel, "in-folder/"), (&kernel, "in-circle/"), (&kernel, "out-folder/"), (&walk, "in-folder/")] {
        let page = store.list(&ListQuery { prefix: prefix.to_owned(), after: None, limit: 10 }).unwrap();
        assert!(page.entries.is_empty() && page.next.is_none(), "{prefix:?}");
    }
}

#[test]
fn a_folder_that_becomes_a_link_at_the_wrong_moment_leads_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    write(&root, "folder/film", b"inside");
    write(dir.path(), "outside/film", b"outside");
    symlink("../outside", root.join("link")).unwrap();
    let stores = BOTH.map(|resolution| Directory::open_with(&root, resolution).unwrap());
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let swap = scope.spawn(|| {
            let mut swap_count = 0;
            while !is_done.load(Ordering::Relaxed) {
                // Each name is the folder at one moment and the link at the next.
                rustix::fs::renameat_with(CWD, root.join("folder"), CWD, root.join("link"), rustix::fs::RenameFlags::EXCHANGE)
                    .unwrap();
                swap_count += 1;
            }
            swap_count
        });
        let done = Done(&is_done);
        let mut seen = 0;
        for _ in 0..3000 {
            for store in &stores {
                // Never the file outside; that there is none at the moment is as right as the one inside. A path that is swapped
                // all the time may also be one that the kernel gives up on.
                match store.head(&key("folder/film")) {
                    Ok(meta) => {
                        assert_eq!(meta.size, b"inside".len() as u64);
                        seen += 1;
                    }
                    Err(error) => assert!(
                        [ErrorKind::NotFound, ErrorKind::UpstreamUnavailable].contains(&error.kind()),
                        "{}",
                        error.chain()
                    ),
                }
                for name in keys_of(store) {
                    assert!(["folder/film", "link/film"].contains(&name.as_str()), "{name:?}");
                }
            }
        }
        drop(done);
        assert!(swap.join().unwrap() > 0 && seen > 0, "both happened");
    });
}

#[test]
fn what_is_no_regular_file_does_not_exist() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "folder/film", b"film");
    let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
    // A FIFO without a writer: whoever opened it to wait for one would wait for ever.
    mknodat(CWD, dir.path().join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    symlink("fifo", dir.path().join("to-fifo")).unwrap();
    for resolution in BOTH {
        let store = Directory::open_with(dir.path(), resolution).unwrap();
        for name in ["folder", "socket", "fifo", "to-fifo", "fifo/x", "socket/x"] {
            assert_eq!(content(&store, name), None, "{name:?}");
        }
        assert_eq!(keys_of(&store), ["folder/film"]);
    }
}

/// Opens the whole file, reads its first bytes, lets it change, and reads on: the version is gone, and no byte of another shows.
#[track_caller]
fn check_change(change: impl Fn(&mut File)) {
    for first_len in [0, 1000] {
        for capacity in [0, 100_000] {
            let dir = tempfile::tempdir().unwrap();
            let old = pattern(1, 10_000);
            write(dir.path(), "film", &old);
            let store = Directory::open(dir.path()).unwrap();
            let id = store.head(&key("film")).unwrap().id;
            let mut span = store.open(&id, 0..10_000).unwrap();
            let mut bytes = Vec::with_capacity(capacity);
            assert_eq!(span.read(&mut bytes, first_len).unwrap(), first_len);
            change(&mut OpenOptions::new().write(true).open(dir.path().join("film")).unwrap());
            assert_eq!(span.read(&mut bytes, 5000).unwrap_err().kind(), ErrorKind::Changed);
            assert_eq!(bytes, old[..first_len], "nothing of another version was left in the buffer");
            assert_eq!(store.open(&id, 0..1).err().unwrap().kind(), ErrorKind::Changed);
        }
    }
}

#[test]
fn a_file_cut_short_while_it_is_read_has_changed() {
    check_change(|file| file.set_len(500).unwrap());
    check_change(|file| file.set_len(5000).unwrap());
    check_change(|file| file.set_len(0).unwrap());
}

#[test]
fn a_file_that_grows_while_it_is_read_has_changed() {
    check_change(|file| file.set_len(20_000).unwrap());
    check_change(|file| {
        file.seek(std::io::SeekFrom::End(0)).unwrap();
        file.write_all(b"more").unwrap();
    });
}

#[test]
fn a_file_written_in_place_while_it_is_read_has_changed() {
    check_change(|file| {
        file.write_all(&pattern(2, 10_000)).unwrap();
        // The clock of a file system may be too coarse to see two writes so close: SEMANTICS says so.
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    });
}

#[test]
fn the_entity_tag_is_inode_size_and_time() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "film", b"film");
    let meta = Directory::open(dir.path()).unwrap().head(&key("film")).unwrap();
    let stat = fs::metadata(dir.path().join("film")).unwrap();
    let mtime_ns = stat.mtime() * 1_000_000_000 + stat.mtime_nsec();
    assert_eq!(meta.id.etag.as_str(), format!("\"{:x}-4-{mtime_ns:x}\"", stat.ino()));
    assert_eq!((meta.content_type.as_deref(), meta.cache_control.as_deref()), (None, None));
}

#[test]
fn a_file_older_than_1970_is_read_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "film", b"film");
    let moonwalk = std::time::SystemTime::UNIX_EPOCH - std::time::Duration::from_hours(24 * 164);
    File::options().write(true).open(dir.path().join("film")).unwrap().set_modified(moonwalk).unwrap();
    let store = Directory::open(dir.path()).unwrap();
    assert_eq!(store.head(&key("film")).unwrap().last_modified, moonwalk);
    assert_eq!(content(&store, "film").unwrap(), b"film");
}

#[test]
fn a_range_outside_of_the_file_is_our_own_fault() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "film", b"film");
    let store = Directory::open(dir.path()).unwrap();
    let id = store.head(&key("film")).unwrap().id;
    assert_eq!(store.open(&id, 0..5).err().unwrap().kind(), ErrorKind::Internal);
}

#[test]
fn hidden_names_are_not_listed_but_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    for name in [".hidden", ".folder/film", "folder/.part", "folder/film", "..."] {
        write(dir.path(), name, name.as_bytes());
    }
    let store = Directory::open(dir.path()).unwrap();
    assert_eq!(keys_of(&store), ["folder/film"]);
    for prefix in [".", ".hidden", ".folder/", ".folder/film", "folder/."] {
        let page = store.list(&ListQuery { prefix: prefix.to_owned(), after: None, limit: 10 }).unwrap();
        assert!(page.entries.is_empty(), "{prefix:?}");
    }
    for name in [".hidden", ".folder/film", "folder/.part", "..."] {
        assert_eq!(content(&store, name).unwrap(), name.as_bytes());
    }
}

#[test]
fn names_that_are_no_keys_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    for name in [&b"a"[..], b"b\xff", b"c\n", b"d\xff/film", b"e"] {
        let path = dir.path().join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }
    assert_eq!(keys_of(&Directory::open(dir.path()).unwrap()), ["a", "e"]);
}

#[test]
fn a_tree_deeper_than_any_key_is_listed_as_deep_as_keys_go() {
    let dir = tempfile::tempdir().unwrap();
    let deepest = "d/".repeat(511) + "ff";
    write(dir.path(), &deepest, b"x");
    write(dir.path(), &("d/".repeat(600) + "f"), b"x");
    let store = Directory::open(dir.path()).unwrap();
    assert_eq!(keys_of(&store), [deepest.as_str()]);
    assert_eq!(content(&store, &deepest).unwrap(), b"x");
}

#[test]
fn ten_thousand_files_come_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..10_000).map(|number| format!("{number:05}.mp4")).collect();
    for name in &names {
        File::create(dir.path().join(name)).unwrap();
    }
    let store = Directory::open(dir.path()).unwrap();
    let mut query = ListQuery { limit: 100, ..ListQuery::default() };
    for (number, want) in names.chunks(100).enumerate() {
        let page = store.list(&query).unwrap();
        assert!(page.entries.iter().map(|entry| entry.key.as_str()).eq(want.iter().map(String::as_str)), "page {number}");
        query.after = page.next;
        assert_eq!(query.after.is_some(), number < 99, "page {number}");
    }
}

#[test]
fn files_that_come_and_go_do_not_break_a_listing() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..50 {
        write(dir.path(), &format!("stay-{number:02}"), b"x");
    }
    let store = Directory::open(dir.path()).unwrap();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let churn = scope.spawn(|| {
            let mut turn_count = 0;
            while !is_done.load(Ordering::Relaxed) {
                write(dir.path(), "s/film", b"x");
                write(dir.path(), "stay-10x", b"x");
                fs::remove_dir_all(dir.path().join("s")).unwrap();
                fs::remove_file(dir.path().join("stay-10x")).unwrap();
                turn_count += 1;
            }
            turn_count
        });
        let done = Done(&is_done);
        for _ in 0..300 {
            let stay_count = keys_of(&store).iter().filter(|name| name.len() == "stay-00".len()).count();
            assert_eq!(stay_count, 50, "those that stay are there each time");
        }
        drop(done);
        assert!(churn.join().unwrap() > 0);
    });
}

#[test]
fn what_stands_in_the_way_of_an_upload_is_a_conflict() {
    use vidgate::store::{Condition, Upload};

    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("folder/sub")).unwrap();
    fs::write(dir.path().join("file"), b"film").unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), dir.path().join("out")).unwrap();
    symlink("folder", dir.path().join("in")).unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    for resolution in [Resolution::Kernel, Resolution::Walk] {
        let store = Directory::open_with(dir.path(), resolution).unwrap();
        let write = |name: &str| {
            let upload = Upload { key: key(name), content_type: None, size_max: 4, condition: Condition::None };
            let mut sink = store.begin(&upload)?;
            sink.write(b"film")?;
            sink.finish()
        };
        let check = |name: &str, want: Option<ErrorKind>| {
            assert_eq!(write(name).err().map(|error| error.kind()), want, "{name} by {resolution:?}");
        };
        check("folder", Some(ErrorKind::Conflict));
        check("folder/sub", Some(ErrorKind::Conflict));
        check("file/x", Some(ErrorKind::Conflict));
        check("file/x/y", Some(ErrorKind::Conflict));
        check("dangling/x", Some(ErrorKind::Conflict));
        check(&"x".repeat(256), Some(ErrorKind::BadKey));
        check("folder/new/a/b", None);
        check("file", None);
        // A link is replaced, and not followed; out of the root none is.
        check("dangling", None);
        assert!(!dir.path().join("dangling").is_symlink());
        fs::remove_file(dir.path().join("dangling")).unwrap();
        symlink("nowhere", dir.path().join("dangling")).unwrap();
        assert!(write("out/x").is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        assert_eq!(write("in/x").is_ok(), resolution == Resolution::Kernel);
        assert_eq!(fs::read_dir(dir.path().join(".vidgate")).unwrap().count(), 0);
    }
}
