//! The sorted listing of a directory tree.
//!
//! In scope: the order of S3, paging, and leaving out whole sub-trees early. Not in scope: what an object's metadata is.
//!
//! S3 sorts whole keys by their bytes, and knows no directories. A directory `a` therefore stands where `a/` sorts: behind
//! `a-b` and `a.mp4`, because `-` and `.` are smaller than `/`. Sorting the entries of each directory so gives the order of all.

use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{AtFlags, Dir, FileType, Stat, statat};
use rustix::io::Errno;

use super::beneath::{self, Root};
use crate::error::{Error, ErrorKind};
use crate::object::{KEY_LEN_MAX, ObjectKey};
use crate::store::ListQuery;

/// An object found: its key, and what the file system says of it.
pub(super) type Found = (ObjectKey, Stat);

/// Finds the first `count_max` objects that the query asks for, in order.
///
/// The depth is bounded by the length of a key: a segment takes a byte and a slash.
pub(super) fn find(root: &Root, query: &ListQuery, count_max: usize) -> Result<Vec<Found>, Error> {
    let mut walk = Walk { root, query, count_max, found: Vec::new() };
    if count_max > 0 && query.can_match() {
        let folder = root.open_self().map_err(|errno| refuse(errno, ""))?;
        let _ = walk.folder(&folder, "")?;
    }
    Ok(walk.found)
}

/// One directory entry, with the bytes that it sorts by.
struct Entry {
    /// The name; with a slash behind it where it is a directory.
    sort_key: Vec<u8>,
    kind: FileType,
}

impl Entry {
    fn new(name: &[u8], kind: FileType) -> Self {
        let mut sort_key = name.to_vec();
        if kind == FileType::Directory {
            sort_key.push(b'/');
        }
        Self { sort_key, kind }
    }
}

struct Walk<'a> {
    root: &'a Root,
    query: &'a ListQuery,
    count_max: usize,
    found: Vec<Found>,
}

impl Walk<'_> {
    /// Visits a directory. `base` is what all its keys start with: empty, or ending with a slash.
    fn folder(&mut self, folder: &OwnedFd, base: &str) -> Result<ControlFlow<()>, Error> {
        // Where the prefix names a directory below this one, nothing else in here can match, and nothing else is read.
        let rest = self.query.prefix.strip_prefix(base).unwrap_or("");
        if let Some((segment, _)) = rest.split_once('/') {
            let is_hidden = segment.starts_with('.');
            return if is_hidden { go_on() } else { self.sub_folder(folder.as_fd(), &format!("{base}{segment}/")) };
        }
        for entry in self.entries(folder, base)? {
            let Ok(name) = OsString::from_vec(entry.sort_key).into_string() else { continue };
            let path = format!("{base}{name}");
            let flow = if entry.kind == FileType::Directory {
                self.sub_folder(folder.as_fd(), &path)?
            } else {
                self.file(folder.as_fd(), &path, &name, entry.kind)?
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        go_on()
    }

    /// Visits a directory, where it can hold anything that is asked for. `base` ends with a slash.
    fn sub_folder(&mut self, parent: BorrowedFd<'_>, base: &str) -> Result<ControlFlow<()>, Error> {
        if base.len() >= KEY_LEN_MAX || !self.may_hold(base) {
            return go_on();
        }
        let path = &base[..base.len() - 1];
        let name = path.rsplit('/').next().unwrap_or(path);
        match beneath::open_folder(parent, OsStr::new(name)) {
            Ok(folder) => self.folder(&folder, base),
            // Gone meanwhile, or a symbolic link, or not ours to read (`lost+found`): nothing in it can be served.
            Err(errno) if beneath::means_missing(errno) || errno == Errno::ACCESS => go_on(),
            Err(errno) => Err(refuse(errno, path)),
        }
    }

    /// Whether any key that starts with `base` can be asked for.
    fn may_hold(&self, base: &str) -> bool {
        let prefix = self.query.prefix.as_str();
        let in_prefix = base.starts_with(prefix) || prefix.starts_with(base);
        // `after` behind `base`, but not below it, is behind everything below `base`.
        let is_passed = self.query.after.as_deref().is_some_and(|after| base < after && !after.starts_with(base));
        in_prefix && !is_passed
    }

    fn file(&mut self, parent: BorrowedFd<'_>, path: &str, name: &str, kind: FileType) -> Result<ControlFlow<()>, Error> {
        let Ok(key) = ObjectKey::new(path) else { return go_on() };
        let stat = match kind {
            FileType::RegularFile => statat(parent, name, AtFlags::SYMLINK_NOFOLLOW),
            // A link counts where it leads to a file inside the root; that is for the root to say.
            _ => self.root.stat_file(path),
        };
        match stat {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                self.found.push((key, stat));
                Ok(if self.found.len() < self.count_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            }
            Ok(_) => go_on(),
            Err(errno) if beneath::means_missing(errno) || errno == Errno::ACCESS => go_on(),
            Err(errno) => Err(refuse(errno, path)),
        }
    }

    /// The entries of a directory that may be asked for, in order.
    fn entries(&self, folder: &OwnedFd, base: &str) -> Result<Vec<Entry>, Error> {
        let fail = |errno| refuse(errno, base);
        let mut entries = Vec::new();
        for entry in Dir::read_from(folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name().to_bytes();
            if name.starts_with(b".") {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems leave the type away; then each entry has to be looked at.
                FileType::Unknown => match statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(_) => continue,
                },
                kind => kind,
            };
            let is_object = matches!(kind, FileType::RegularFile | FileType::Directory | FileType::Symlink);
            let entry = Entry::new(name, kind);
            if is_object && self.may_name(base, &entry) {
                entries.push(entry);
            }
        }
        entries.sort_unstable_by(|one, other| one.sort_key.cmp(&other.sort_key));
        Ok(entries)
    }

    /// Whether an entry, or something below it, can be asked for: so that a page deep in a large directory sorts only the rest.
    fn may_name(&self, base: &str, entry: &Entry) -> bool {
        let Ok(name) = OsStr::from_bytes(&entry.sort_key).to_str().ok_or(()) else { return false };
        let path = format!("{base}{name}");
        if entry.kind == FileType::Directory {
            return self.may_hold(&path);
        }
        path.starts_with(&self.query.prefix) && self.query.after.as_deref().is_none_or(|after| path.as_str() > after)
    }
}

#[allow(clippy::unnecessary_wraps)] // It stands where the walk's results stand.
fn go_on() -> Result<ControlFlow<()>, Error> {
    Ok(ControlFlow::Continue(()))
}

fn refuse(errno: Errno, path: &str) -> Error {
    let kind = if errno == Errno::ACCESS { ErrorKind::UpstreamForbidden } else { ErrorKind::UpstreamUnavailable };
    Error::new(kind, format!("the directory store cannot list {path:?}")).with_source(io::Error::from(errno))
}
