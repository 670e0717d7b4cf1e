//! `tempfile`: private files that go with their value.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::{Builder, NamedTempFile, TempDir};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_file_and_its_directory_go_with_the_value() {
    let dir = TempDir::new().unwrap();
    let file = NamedTempFile::new_in(&dir).unwrap();
    let path = file.path().to_owned();
    assert_eq!(mode(&path), 0o600);
    drop(file);
    assert!(!path.exists());
    fs::write(dir.path().join("left"), "behind").unwrap();
    let path = dir.path().to_owned();
    drop(dir);
    assert!(!path.exists());
}

#[test]
fn a_directory_is_private_if_asked() {
    // By default it has what the umask leaves of 0777, so the lanes' directory asks.
    let dir = Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap();
    assert_eq!(mode(dir.path()), 0o700);
}

#[test]
fn persist_replaces_the_old_file_in_one_step() {
    let dir = TempDir::new().unwrap();
    let target = dir.path().join("video");
    fs::write(&target, "old").unwrap();
    let old = fs::File::open(&target).unwrap();
    let mut file = NamedTempFile::new_in(&dir).unwrap();
    file.write_all(b"new").unwrap();
    file.persist(&target).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"new");
    assert_eq!(std::io::read_to_string(old).unwrap(), "old", "who had it open reads on");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
}

#[test]
fn persist_noclobber_refuses_what_exists_and_gives_the_file_back() {
    let dir = TempDir::new().unwrap();
    let target = dir.path().join("video");
    fs::write(&target, "old").unwrap();
    let refused = NamedTempFile::new_in(&dir).unwrap().persist_noclobber(&target).unwrap_err();
    assert_eq!(refused.error.kind(), std::io::ErrorKind::AlreadyExists);
    assert!(refused.file.path().exists());
    assert_eq!(fs::read(&target).unwrap(), b"old");
}
