//! What outlives the process: records in a folder.
//!
//! In scope: one small file for each object, written in one step, bounded in number, read only in need. Not in scope: what a
//! record says (`record`), and when one is needed.
//!
//! Nothing here may fail a request: what cannot be written is not kept, and what cannot be read was never there. The folder may
//! be shared with other programs' files, and with a second process of ours; only files with names of ours are read or removed.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tempfile::{Builder, NamedTempFile};

use super::record::{RECORD_LEN_MAX, Record, digest};
use crate::object::ObjectKey;

/// The most records in a folder. They are some 500 bytes each, on most file systems a block of 4 KiB: 200 MB.
const RECORDS_MAX: usize = 50_000;
/// How a record's name ends, behind 64 hexadecimal digits.
const SUFFIX: &str = ".json";
/// How the name of a record begins that is still being written.
const PREFIX_NEW: &str = ".new-";
/// A record that is still being written after this long is one whose process was killed.
const NEW_AGE_MAX: Duration = Duration::from_hours(1);

/// A folder of records.
pub(super) struct Kept {
    folder: PathBuf,
    records_max: usize,
    /// How many there are, as far as this process knows.
    count: AtomicUsize,
    /// Held by who makes room.
    sweep: Mutex<()>,
    /// Whether the last record could not be written, so that a full disk is told once.
    is_failing: AtomicBool,
}

impl Kept {
    /// Opens the folder, makes it where it is not there, and clears what killed processes left.
    pub(super) fn open(folder: PathBuf) -> Self {
        Self::with_max(folder, RECORDS_MAX)
    }

    fn with_max(folder: PathBuf, records_max: usize) -> Self {
        let kept =
            Self { folder, records_max, count: AtomicUsize::new(0), sweep: Mutex::new(()), is_failing: AtomicBool::new(false) };
        let result = fs::create_dir_all(&kept.folder).and_then(|()| kept.make_room());
        kept.tell(&result);
        kept
    }

    /// The record of a key, if there is a whole one. What is there and is none is removed.
    pub(super) fn read(&self, namespace: &str, key: &ObjectKey) -> Option<Record> {
        let path = self.path(namespace, key);
        let mut bytes = Vec::new();
        // One byte more than is legal shows that there are too many.
        let read = File::open(&path).and_then(|file| file.take(RECORD_LEN_MAX as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                log::debug!("the kept record {} cannot be read: {error}", path.display());
                return None;
            }
        }
        let record = Record::from_bytes(&bytes, namespace, key);
        if record.is_none() {
            log::debug!("the kept record {} is damaged or of another version; it is removed", path.display());
            self.remove(namespace, key);
        }
        record
    }

    /// Writes the record of a key, in one step. It is not forced to the disk: one that a crash of the machine damaged is none.
    pub(super) fn write(&self, namespace: &str, key: &ObjectKey, bytes: &[u8]) {
        let result = self.try_write(&self.path(namespace, key), bytes);
        self.tell(&result);
    }

    fn try_write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let is_new = !path.exists();
        if is_new && self.count.load(Ordering::Relaxed) >= self.records_max {
            self.make_room()?;
        }
        let mut file: NamedTempFile = Builder::new().prefix(PREFIX_NEW).tempfile_in(&self.folder)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        if is_new {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Removes the record of a key.
    pub(super) fn remove(&self, namespace: &str, key: &ObjectKey) {
        match fs::remove_file(self.path(namespace, key)) {
            // Two who remove one file count it once: only one of them succeeds.
            Ok(()) => {
                let _ = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::warn!("a kept record cannot be removed from {}: {error}", self.folder.display()),
        }
    }

    fn path(&self, namespace: &str, key: &ObjectKey) -> PathBuf {
        self.folder.join(digest(&[namespace.as_bytes(), key.as_str().as_bytes()]) + SUFFIX)
    }

    /// Counts the records, and where there are too many removes the oldest tenth. Whoever finds another at it leaves it to him.
    fn make_room(&self) -> io::Result<()> {
        let Ok(_sweep) = self.sweep.try_lock() else { return Ok(()) };
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // One that is gone by now, or was never a file, is no record.
            let Ok(info) = entry.metadata() else { continue };
            let written_at = info.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if is_record(&name) {
                records.push((written_at, name));
            } else if name.starts_with(PREFIX_NEW) && written_at.elapsed().is_ok_and(|age| age > NEW_AGE_MAX) {
                let _ = fs::remove_file(entry.path());
            }
        }
        let mut left = records.len();
        if left >= self.records_max {
            records.sort_unstable();
            let surplus = left - self.records_max + self.records_max.div_ceil(10);
            for (_, name) in records.iter().take(surplus) {
                if fs::remove_file(self.folder.join(name)).is_ok() {
                    left -= 1;
                }
            }
        }
        self.count.store(left, Ordering::Relaxed);
        Ok(())
    }

    /// Tells the first of several failures in a row.
    fn tell(&self, result: &io::Result<()>) {
        let was_failing = self.is_failing.swap(result.is_err(), Ordering::Relaxed);
        if let (Err(error), false) = (result, was_failing) {
            log::warn!("records of objects cannot be kept in {}: {error}; it goes on without them", self.folder.display());
        }
    }
}

/// Whether a file of this name is a record.
fn is_record(name: &str) -> bool {
    let digits = name.strip_suffix(SUFFIX).unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::record::Answer;
    use super::*;

    const NAMESPACE: &str = "n";

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(name).unwrap()
    }

    fn record() -> Record {
        Record { answer: Answer::Missing, checked_at: SystemTime::UNIX_EPOCH }
    }

    fn write(kept: &Kept, name: &str) {
        kept.write(NAMESPACE, &key(name), &record().to_bytes(NAMESPACE, &key(name)).unwrap());
    }

    fn names(dir: &TempDir) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_record_is_written_read_replaced_and_removed() {
        let dir = TempDir::new().unwrap();
        let kept = Kept::open(dir.path().join("deep/folder"));
        assert_eq!(kept.read(NAMESPACE, &key("a")), None);
        write(&kept, "a");
        write(&kept, "a");
        assert_eq!(kept.read(NAMESPACE, &key("a")), Some(record()));
        assert_eq!((kept.read("m", &key("a")), kept.read(NAMESPACE, &key("b"))), (None, None));
        assert_eq!(kept.count.load(Ordering::Relaxed), 1);
        kept.remove(NAMESPACE, &key("a"));
        kept.remove(NAMESPACE, &key("a"));
        assert_eq!(kept.read(NAMESPACE, &key("a")), None);
        assert_eq!(kept.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_damaged_record_is_none_and_is_removed() {
        let dir = TempDir::new().unwrap();
        let kept = Kept::open(dir.path().to_owned());
        let path = kept.path(NAMESPACE, &key("a"));
        let good = record().to_bytes(NAMESPACE, &key("a")).unwrap();
        let other = record().to_bytes(NAMESPACE, &key("b")).unwrap();
        for bad in [b"".as_slice(), b"garbage", &good[1..], &good[..good.len() - 1], &other, &vec![b' '; 1 << 20]] {
            fs::write(&path, bad).unwrap();
            assert_eq!(kept.read(NAMESPACE, &key("a")), None);
            assert!(!path.exists(), "{:?} stayed", bad.len());
        }
        // What is no file is left alone, and costs the record only.
        fs::create_dir(&path).unwrap();
        assert_eq!(kept.read(NAMESPACE, &key("a")), None);
        write(&kept, "a");
        write(&kept, "b");
        assert_eq!(kept.read(NAMESPACE, &key("b")), Some(record()));
    }

    #[test]
    fn the_oldest_make_room_and_what_is_not_ours_stays() {
        let dir = TempDir::new().unwrap();
        for foreign in ["notes.json", ".new-notes", &format!("{}.json", "G".repeat(64)), &format!("{}.txt", "a".repeat(64))] {
            fs::write(dir.path().join(foreign), "").unwrap();
        }
        let kept = Kept::with_max(dir.path().to_owned(), 20);
        for number in 0..99 {
            write(&kept, &format!("{number}"));
            let path = kept.path(NAMESPACE, &key(&format!("{number}")));
            let written_at = SystemTime::UNIX_EPOCH + Duration::from_secs(number);
            File::options().write(true).open(path).unwrap().set_modified(written_at).unwrap();
            assert!(names(&dir).len() <= 20 + 4);
        }
        assert_eq!(kept.read(NAMESPACE, &key("0")), None);
        for number in 85..99 {
            assert_eq!(kept.read(NAMESPACE, &key(&format!("{number}"))), Some(record()), "{number}");
        }
        assert!(names(&dir).contains(&"notes.json".to_owned()) && names(&dir).contains(&".new-notes".to_owned()));
        // Who opens the folder again knows how many there are.
        let count = kept.count.load(Ordering::Relaxed);
        assert_eq!(Kept::with_max(dir.path().to_owned(), 20).count.load(Ordering::Relaxed), count);
    }

    #[test]
    fn what_a_killed_process_left_is_cleared() {
        let dir = TempDir::new().unwrap();
        let old = dir.path().join(".new-abcdef");
        fs::write(&old, "half a rec").unwrap();
        File::options().write(true).open(&old).unwrap().set_modified(SystemTime::now() - 2 * NEW_AGE_MAX).unwrap();
        fs::write(dir.path().join(".new-ghijkl"), "").unwrap();
        Kept::open(dir.path().to_owned());
        assert_eq!(names(&dir), [".new-ghijkl"]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_the_records_only() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let kept = Kept::open(file.join("folder"));
        write(&kept, "a");
        assert!(kept.is_failing.load(Ordering::Relaxed));
        assert_eq!(kept.read(NAMESPACE, &key("a")), None);
        kept.remove(NAMESPACE, &key("a"));
    }
}
