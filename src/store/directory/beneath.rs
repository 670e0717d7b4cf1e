//! Opening files below a directory without ever leaving it.
//!
//! In scope: how a key becomes a file descriptor, and what a failure of that means. Not in scope: what is read from it.
//!
//! Two ways lead there. Linux resolves the whole path itself and refuses to leave (`openat2` with `RESOLVE_BENEATH`), so that a
//! symbolic link works as long as its target stays inside. Where the kernel cannot, or a seccomp filter forbids it, the path is
//! walked segment by segment and every symbolic link is refused.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, fsync, mkdirat, openat};
use rustix::io::{Errno, retry_on_intr};

use crate::error::{Error, ErrorKind};

/// How paths below the root are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// By the kernel, which follows symbolic links that stay inside (Linux 5.6 and later).
    Kernel,
    /// Segment by segment, without following any symbolic link.
    Walk,
}

/// How files are opened. A FIFO or a device must not block us (`NONBLOCK`), a terminal must not become ours (`NOCTTY`).
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// How directories are opened to read their entries.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// How directories are opened to go through them: no permission to read them is needed where the system has `O_PATH`.
#[cfg(target_os = "linux")]
const STEP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const STEP: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// How files are opened to ask what they are: without reading them, so that what is listed needs no permission to be read.
#[cfg(target_os = "linux")]
const GLANCE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const GLANCE: OFlags = FILE;

/// The kernel answers `EAGAIN` where a rename elsewhere made it unsure that the path stayed inside (openat2(2)). That is rare;
/// so many times in a row means that somebody does it on purpose.
#[cfg(target_os = "linux")]
const AGAIN_MAX: usize = 8;

/// A directory that paths cannot leave.
#[derive(Debug)]
pub(super) struct Root {
    fd: OwnedFd,
    resolution: Resolution,
}

impl Root {
    /// Opens the root. `Kernel` becomes `Walk` where the kernel cannot.
    pub(super) fn open(path: &Path, wanted: Resolution) -> io::Result<Self> {
        let fd = retry_on_intr(|| openat(CWD, path, STEP, Mode::empty()))?;
        let resolution = match wanted {
            Resolution::Kernel if kernel_resolves(fd.as_fd()) => Resolution::Kernel,
            _ => Resolution::Walk,
        };
        Ok(Self { fd, resolution })
    }

    /// How paths are resolved here.
    pub(super) fn resolution(&self) -> Resolution {
        self.resolution
    }

    /// Whether the root itself was removed: then nothing can be said of what was in it. File systems that count no links of
    /// directories never say so.
    pub(super) fn is_gone(&self) -> bool {
        fstat(&self.fd).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// Opens a regular file for reading. Everything else that a path may name does not exist here.
    pub(super) fn open_file(&self, path: &str) -> Result<(OwnedFd, Stat), Errno> {
        self.open_regular(path, FILE)
    }

    /// What is known of a regular file, without the right to read it.
    pub(super) fn stat_file(&self, path: &str) -> Result<Stat, Errno> {
        self.open_regular(path, GLANCE).map(|(_, stat)| stat)
    }

    /// Opens the root to read its entries.
    pub(super) fn open_self(&self) -> Result<OwnedFd, Errno> {
        open_folder(self.fd.as_fd(), OsStr::new("."))
    }

    /// Opens a directory right below the root, and makes it where there is none; nobody else may look into it then.
    pub(super) fn make_private(&self, name: &str) -> Result<OwnedFd, Errno> {
        match mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => open_folder(self.fd.as_fd(), OsStr::new(name)),
            Err(errno) => Err(errno),
        }
    }

    /// Opens a directory right below the root, where there is one.
    pub(super) fn open_private(&self, name: &str) -> Result<OwnedFd, Errno> {
        open_folder(self.fd.as_fd(), OsStr::new(name))
    }

    /// Opens the directory that a path lies in, and gives it with the last segment of the path. Where directories on the way
    /// there are not there, they are made, if they may be.
    pub(super) fn open_parent<'p>(&self, path: &'p str, missing: Missing) -> Result<(OwnedFd, &'p str), Errno> {
        let mut at = retry_on_intr(|| openat(&self.fd, ".", STEP, Mode::empty()))?;
        let mut start = 0;
        while let Some(len) = path[start..].find('/') {
            let (so_far, segment) = (&path[..start + len], &path[start..start + len]);
            let next = match self.step(&at, so_far, segment) {
                Err(Errno::NOENT) if missing == Missing::Make => {
                    match mkdirat(&at, segment, Mode::from_raw_mode(0o777)) {
                        Ok(()) => sync_folder(at.as_fd())?,
                        // Somebody else was quicker.
                        Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno),
                    }
                    self.step(&at, so_far, segment)?
                }
                next => next?,
            };
            at = next;
            start += len + 1;
        }
        Ok((at, &path[start..]))
    }

    /// Goes one directory further: `so_far` is the path from the root, `segment` its end, which lies in `at`.
    fn step(&self, at: &OwnedFd, so_far: &str, segment: &str) -> Result<OwnedFd, Errno> {
        match self.resolution {
            Resolution::Kernel => open_by_kernel(self.fd.as_fd(), so_far, STEP),
            Resolution::Walk => retry_on_intr(|| openat(at, segment, STEP | OFlags::NOFOLLOW, Mode::empty())),
        }
    }

    fn open_regular(&self, path: &str, flags: OFlags) -> Result<(OwnedFd, Stat), Errno> {
        let fd = match self.resolution {
            Resolution::Kernel => open_by_kernel(self.fd.as_fd(), path, flags),
            Resolution::Walk => open_by_walk(self.fd.as_fd(), path, flags),
        }?;
        let stat = fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile { Ok((fd, stat)) } else { Err(Errno::NOENT) }
    }
}

/// Opens a directory inside another one to read its entries; a symbolic link is not followed, so this stays inside.
pub(super) fn open_folder(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    retry_on_intr(|| openat(parent, name.as_bytes(), FOLDER, Mode::empty()))
}

/// What becomes of directories that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// They are made.
    Make,
    /// They are an error.
    Fail,
}

/// Lets the names in a directory outlast a power cut. Where it may not be read it cannot be told to, which is no reason to refuse
/// what is in it.
pub(super) fn sync_folder(folder: BorrowedFd<'_>) -> Result<(), Errno> {
    match open_folder(folder, OsStr::new(".")) {
        // Some file systems cannot do this of directories, and say so.
        Ok(folder) => match fsync(folder) {
            Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            done => done,
        },
        Err(Errno::ACCESS) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Whether this means that there is nothing of that name, as far as a client is concerned: `XDEV` is the kernel's answer to a
/// path that leaves the root, `LOOP` and `NOTDIR` the answers to a link that is not followed, `NXIO` that to a socket.
pub(super) fn means_missing(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG | Errno::NXIO | Errno::NODEV)
}

/// The crate's error for a failed system call on the object `key`.
pub(super) fn explain(errno: Errno, what: &str, key: &str) -> Error {
    let kind = match errno {
        Errno::ACCESS | Errno::PERM => ErrorKind::UpstreamForbidden,
        errno if means_missing(errno) => ErrorKind::NotFound,
        _ => ErrorKind::UpstreamUnavailable,
    };
    let detail = match kind {
        ErrorKind::NotFound => format!("there is no object {key:?}"),
        _ => format!("the directory store cannot {what} {key:?}"),
    };
    Error::new(kind, detail).with_source(io::Error::from(errno))
}

#[cfg(target_os = "linux")]
fn kernel_resolves(root: BorrowedFd<'_>) -> bool {
    // ENOSYS from an old kernel, EPERM from a container's seccomp filter: neither is worth telling apart from other failures,
    // since the walk is right in every case and reports them itself.
    open_by_kernel(root, ".", STEP).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn kernel_resolves(_: BorrowedFd<'_>) -> bool {
    false
}

#[cfg(target_os = "linux")]
fn open_by_kernel(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    use rustix::fs::{ResolveFlags, openat2};

    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut again_count = 0;
    loop {
        match openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if again_count < AGAIN_MAX => again_count += 1,
            done => return done,
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn open_by_kernel(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    open_by_walk(root, path, flags)
}

/// The callers' paths are object keys: no empty segment, none of dots, no NUL.
fn open_by_walk(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let step = |at: BorrowedFd<'_>, name: &str, flags: OFlags| {
        retry_on_intr(|| openat(at, name, flags | OFlags::NOFOLLOW, Mode::empty()))
    };
    let (folders, name) = path.rsplit_once('/').map_or((None, path), |(folders, name)| (Some(folders), name));
    let mut at: Option<OwnedFd> = None;
    for folder in folders.into_iter().flat_map(|folders| folders.split('/')) {
        at = Some(step(at.as_ref().map_or(root, |fd| fd.as_fd()), folder, STEP)?);
    }
    // With O_PATH a link itself would be opened (open(2)); it is no regular file, so the caller's look at it refuses it.
    step(at.as_ref().map_or(root, |fd| fd.as_fd()), name, flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_call_means() {
        use ErrorKind::{NotFound, UpstreamForbidden, UpstreamUnavailable};
        for (errno, want) in [
            (Errno::ACCESS, UpstreamForbidden),
            (Errno::PERM, UpstreamForbidden),
            (Errno::NOENT, NotFound),
            (Errno::NOTDIR, NotFound),
            (Errno::LOOP, NotFound),
            (Errno::XDEV, NotFound),
            (Errno::NAMETOOLONG, NotFound),
            (Errno::NXIO, NotFound),
            (Errno::IO, UpstreamUnavailable),
            (Errno::MFILE, UpstreamUnavailable),
            (Errno::AGAIN, UpstreamUnavailable),
            (Errno::STALE, UpstreamUnavailable),
        ] {
            assert_eq!(explain(errno, "open", "a.mp4").kind(), want, "{errno:?}");
        }
    }
}
