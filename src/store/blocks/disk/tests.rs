use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;
use crate::store::blocks::ObjectDigest;

const MIB: u64 = 1 << 20;

/// One at a time: faults are set for the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn id(index: u64) -> BlockId {
    BlockId { object: ObjectDigest([7; 16]), index }
}

/// The bytes of a block: each has its own.
fn block(index: u64) -> Bytes {
    (0..BLOCK_LEN).map(|at| (at as u64).wrapping_mul(index * 2 + 1).to_le_bytes()[1]).collect()
}

fn open(folder: &Path, len_max: u64) -> DiskCache {
    DiskCache::open(folder, len_max, Arc::default()).unwrap()
}

fn read(cache: &DiskCache, index: u64) -> Option<Vec<u8>> {
    cache.read(id(index), BLOCK_LEN, Vec::new()).ok()
}

/// The files of blocks below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    entries(&folder.join("blocks-1")).flat_map(|folder| entries(&folder).collect::<Vec<_>>()).collect()
}

/// Writes so many blocks and waits until they are there.
fn fill(folder: &Path, len_max: u64, indexes: std::ops::Range<u64>) {
    for index in indexes {
        // Dropped, it waits for what is queued.
        open(folder, len_max).write(id(index), block(index));
    }
}

#[test]
fn blocks_outlive_the_process() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 64 * MIB);
    assert!(read(&cache, 0).is_none());
    for index in 0..20 {
        cache.write(id(index), block(index));
    }
    drop(cache);
    let cache = open(folder.path(), 64 * MIB);
    for index in 0..20 {
        assert!(read(&cache, index).is_some_and(|found| found == block(index)), "{index}");
    }
    assert!(cache.read(id(0), BLOCK_LEN - 1, Vec::new()).is_err(), "of another length");
    assert_eq!(fs::metadata(&files(folder.path())[0]).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(entries(&folder.path().join("drafts")).count(), 0);
}

#[test]
fn the_budget_is_kept_over_restarts_and_by_two_at_once() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let room = file::room(BLOCK_LEN);
    let (one, other) = (open(folder.path(), 16 * MIB), open(folder.path(), 16 * MIB));
    for index in 0..400 {
        let cache = if index % 2 == 0 { &one } else { &other };
        cache.write(id(index), block(index));
        // Slowly enough for all to be written: what does not fit into the queue is not kept.
        while !cache.has(id(index)) && files(folder.path()).len() < 20 {
            thread::yield_now();
        }
    }
    drop((one, other));
    let cache = open(folder.path(), 16 * MIB);
    drop(cache);
    let count = files(folder.path()).len() as u64;
    assert!(count * room <= 16 * MIB && count >= 60, "{count} files");
    let cache = open(folder.path(), 16 * MIB);
    let right = (0..400).filter(|index| read(&cache, *index).inspect(|found| assert!(*found == block(*index))).is_some());
    assert!(right.count() >= 60);
    assert!(cache.len() <= 16 * MIB);
    // A smaller budget is kept from the start.
    drop(cache);
    drop(open(folder.path(), 2 * MIB));
    assert!(files(folder.path()).len() as u64 * room <= 2 * MIB);
}

#[test]
fn a_file_that_is_damaged_cut_short_too_long_or_another_is_a_miss_and_removed() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let damages: [fn(&mut Vec<u8>); 7] = [
        |file| file.truncate(0),
        |file| file.truncate(10),
        |file| file.truncate(file::HEADER_LEN),
        |file| file.truncate(file::HEADER_LEN + BLOCK_LEN - 1),
        |file| file.push(0),
        |file| file[file::HEADER_LEN + 77_777] ^= 1,
        |file| file[9] ^= 1,
    ];
    for damage in damages {
        fill(folder.path(), 64 * MIB, 5..6);
        let [path] = &files(folder.path())[..] else { panic!("one file") };
        let mut bytes = fs::read(path).unwrap();
        damage(&mut bytes);
        fs::write(path, bytes).unwrap();
        let cache = open(folder.path(), 64 * MIB);
        assert!(read(&cache, 5).is_none());
        assert!(!path.exists());
    }
    // Under the name of another block.
    fill(folder.path(), 64 * MIB, 5..6);
    let cache = open(folder.path(), 64 * MIB);
    let path = cache.shared.path(id(6));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::rename(cache.shared.path(id(5)), &path).unwrap();
    assert!(read(&cache, 6).is_none() && read(&cache, 5).is_none());
    assert!(!path.exists());
    // What is no block is left alone.
    let foreign = folder.path().join("blocks-1/readme");
    fs::write(&foreign, "hello").unwrap();
    drop(open(folder.path(), 64 * MIB));
    assert!(foreign.exists());
}

#[test]
fn whichever_call_fails_a_block_is_there_whole_or_not_at_all() {
    let _alone = alone();
    for number in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path(), 64 * MIB);
        faults::set(number);
        cache.write(id(1), block(1));
        drop(cache);
        let cache = open(folder.path(), 64 * MIB);
        // Read twice: a read that fails must not make the next one wrong.
        for _ in 0..2 {
            let found = read(&cache, 1);
            assert!(found.is_none_or(|found| found == block(1)), "call {number}");
        }
        let is_over = faults::set(0) > 0;
        assert_eq!(entries(&folder.path().join("drafts")).count(), 0, "call {number} left something behind");
        if is_over {
            assert!(number >= 6, "only {number} calls could fail");
            assert!(read(&cache, 1).is_some_and(|found| found == block(1)), "nothing failed up to {number}");
            return;
        }
    }
}

#[test]
fn drafts_that_nobody_writes_any_more_are_removed() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), 64 * MIB));
    let (old, new) = (folder.path().join("drafts/old"), folder.path().join("drafts/new"));
    for path in [&old, &new] {
        fs::write(path, "half of a block").unwrap();
    }
    File::options().write(true).open(&old).unwrap().set_modified(SystemTime::now() - 2 * ABANDONED_AFTER).unwrap();
    drop(open(folder.path(), 64 * MIB));
    assert!(!old.exists() && new.exists(), "the new one may be another process's");
}

#[test]
fn noting_a_block_twice_keeps_its_file() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 64 * MIB, 1..2);
    let cache = open(folder.path(), 64 * MIB);
    // What the scan of the start and a read do at the same time.
    cache.shared.note(id(1), BLOCK_LEN);
    cache.shared.note(id(1), BLOCK_LEN);
    assert!(read(&cache, 1).is_some_and(|found| found == block(1)));
    assert_eq!(cache.shared.evictions.load(Ordering::Relaxed), 0);
}

#[test]
fn a_directory_that_cannot_be_used_is_told() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("file");
    fs::write(&taken, "").unwrap();
    let error = DiskCache::open(&taken, MIB, Arc::default()).err().unwrap();
    assert!(error.to_string().contains("cannot be used as a cache"), "{error}");
}
