//! `vidgate doctor`: whether this would serve, before anybody watches.
//!
//! In scope: the checks, each one line. Not in scope: repairing anything. It asks the store a few questions and listens nowhere, so it
//! may run beside a server.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::config::{CorsOrigins, StoreConfig};
use crate::object::{ObjectId, ObjectKey};
use crate::store::{ListQuery, Store};
use crate::{Config, Error};
use clap::Command;
use rustix::process::{Resource, getrlimit};

use super::Stop;
use super::findings::{Finding, Opened, tell};

/// The name of the command.
pub(super) const DOCTOR: &str = "doctor";
/// By how much the clocks may differ: S3 refuses what is signed 15 minutes away from its own time (AWS, "Signature Version 4").
const SKEW_MAX: Duration = Duration::from_mins(10);
/// From where it is told: clocks that are kept by NTP differ by less.
const SKEW_NOTED: Duration = Duration::from_secs(30);
/// How much of an object is read, in bytes.
const READ_LEN: u64 = 4096;
/// How many objects are looked at to find one that has bytes.
const ENTRIES: usize = 20;
/// Fewer open files are too few for a server, in number.
const FILES_MIN: u64 = 512;
/// Fewer are told: each viewer needs one.
const FILES_NOTED: u64 = 16 * 1024;
/// Pages of 4 KiB that the kernel should have for TCP, at least: 64 MiB.
const TCP_PAGES_NOTED: u64 = 16 * 1024;

/// The command.
pub(super) fn command() -> Command {
    Command::new(DOCTOR)
        .about("Checks configuration, store, clock, CORS and limits: one line a check, exit code 1 if any fails")
}

/// Looks at everything and tells it.
///
/// # Errors
/// [`Stop::Failed`] where a check failed.
pub(super) fn run(config: &Config) -> Result<(), Stop> {
    tell(&examine(config))
}

fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![Finding::good("configuration", described(&config.store))];
    match Opened::new(&config.store) {
        Ok(opened) => look_at_store(config, &opened, &mut findings),
        Err(error) => findings.push(Finding::failed("store", &error)),
    }
    findings.extend(config.cache_dir.as_deref().map(cache_dir));
    let files = getrlimit(Resource::Nofile);
    findings.push(open_files(files.maximum.or(files.current)));
    findings.push(tcp_memory(&fs::read_to_string("/proc/sys/net/ipv4/tcp_mem").unwrap_or_default()));
    findings
}

fn described(store: &StoreConfig) -> String {
    match store {
        StoreConfig::Directory(root) => format!("the directory {}", root.display()),
        StoreConfig::S3(s3) => {
            let endpoint = s3.endpoint.as_deref().unwrap_or("AWS");
            format!("the bucket {} at {endpoint}, region {}", s3.bucket, s3.region)
        }
    }
}

fn look_at_store(config: &Config, opened: &Opened, findings: &mut Vec<Finding>) {
    if let Some(bucket) = opened.bucket() {
        let (found, took) = timed(|| bucket.look_at_bucket());
        match found {
            Ok(look) => {
                findings.push(if look.is_permitted {
                    Finding::good("bucket", format!("it exists ({took})"))
                } else {
                    Finding::note("bucket", "it exists, and these credentials may not look at it (s3:ListBucket)")
                });
                findings.push(clock(look.time, SystemTime::now()));
            }
            Err(error) => findings.push(Finding::failed("bucket", &error)),
        }
    }
    let (page, took) = timed(|| opened.store().list(&ListQuery { limit: ENTRIES, ..ListQuery::default() }));
    let object = match page {
        Ok(page) => {
            let count = page.entries.len();
            let more = if page.next.is_some() { " or more" } else { "" };
            findings.push(Finding::good("list", format!("{count} objects{more} ({took})")));
            page.entries.into_iter().find(|entry| entry.size > 0).map(|entry| entry.key)
        }
        Err(error) => {
            findings.push(Finding::failed("list", &error));
            None
        }
    };
    findings.push(match &object {
        Some(key) => ranged_read(opened.store(), key),
        None => Finding::note("read", "there is no object to read a part of"),
    });
    findings.extend(cors(&config.cors, opened, object.as_ref()));
}

/// Reads the front of an object, as a viewer would have it.
fn ranged_read(store: &dyn Store, key: &ObjectKey) -> Finding {
    let read = || {
        let meta = store.head(key)?;
        let range = 0..meta.size.min(READ_LEN);
        read_part(store, &meta.id, range.clone()).map(|bytes| (range, bytes.len()))
    };
    let (done, took) = timed(read);
    match done {
        Ok((range, len)) => {
            Finding::good("read", format!("bytes {}-{} of {:?}: {len} came ({took})", range.start, range.end - 1, key.as_str()))
        }
        Err(error) => Finding::failed("read", &error),
    }
}

/// A part of an object, whole.
pub(super) fn read_part(store: &dyn Store, id: &ObjectId, range: std::ops::Range<u64>) -> Result<Vec<u8>, Error> {
    let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let mut span = store.open(id, range)?;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let left = len - bytes.len();
        if span.read(&mut bytes, left)? == 0 {
            break;
        }
    }
    Ok(bytes)
}

/// The clock of the store against ours.
fn clock(there: Option<SystemTime>, here: SystemTime) -> Finding {
    let Some(there) = there else { return Finding::note("clock", "the store does not say what time it is") };
    let (skew, word) = match there.duration_since(here) {
        Ok(ahead) => (ahead, "behind"),
        Err(error) => (error.duration(), "ahead of"),
    };
    // A field of HTTP has whole seconds.
    let text = format!("ours is {} s {word} that of the store", skew.as_secs());
    if skew > SKEW_MAX {
        Finding::bad("clock", format!("{text}: requests are refused from 15 minutes on; let NTP set it"))
    } else if skew > SKEW_NOTED {
        Finding::note("clock", format!("{text}; let NTP set it"))
    } else {
        Finding::good("clock", text)
    }
}

/// Which pages may read answers of ours, and objects of the bucket by presigned URLs.
fn cors(origins: &CorsOrigins, opened: &Opened, object: Option<&ObjectKey>) -> Vec<Finding> {
    let (ours, origin) = match origins {
        CorsOrigins::Any => ("pages of any site may read what this server answers".to_owned(), "https://player.example"),
        CorsOrigins::List(list) => {
            let Some(first) = list.first() else { return vec![Finding::note("cors", "no page of another site may read")] };
            (format!("pages of {} may read what this server answers", list.join(", ")), first.as_str())
        }
    };
    let mut findings = vec![Finding::good("cors", ours)];
    if let (Some(bucket), Some(key)) = (opened.bucket(), object) {
        findings.push(match bucket.lets_origin_read(key, origin) {
            Ok(true) => Finding::good("bucket cors", format!("the bucket lets pages of {origin} read, by presigned URLs")),
            Ok(false) => Finding::note(
                "bucket cors",
                format!("the bucket does not let pages of {origin} read: presigned URLs play in <video>, not in scripts"),
            ),
            Err(error) => Finding::failed("bucket cors", &error),
        });
    }
    findings
}

/// Whether the cache can be written.
fn cache_dir(path: &Path) -> Finding {
    let write = || {
        fs::create_dir_all(path)?;
        tempfile::tempfile_in(path)
    };
    match write() {
        Ok(_) => Finding::good("cache", format!("{} can be written", path.display())),
        Err(error) => Finding::bad("cache", format!("{} cannot be written: {error}", path.display())),
    }
}

/// How many files may be open; `None` is no limit.
fn open_files(max: Option<u64>) -> Finding {
    match max {
        None => Finding::good("open files", "no limit"),
        Some(max) if max < FILES_MIN => {
            Finding::bad("open files", format!("{max} at most, and each viewer needs one: raise ulimit -Hn (LimitNOFILE=)"))
        }
        Some(max) if max < FILES_NOTED => Finding::note("open files", format!("{max} at most, and each viewer needs one")),
        Some(max) => Finding::good("open files", format!("{max} at most")),
    }
}

/// What the kernel has for TCP: tcp(7), `tcp_mem`, three numbers of pages.
fn tcp_memory(tcp_mem: &str) -> Finding {
    let numbers: Vec<u64> = tcp_mem.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [_, pressure, max] = numbers[..] else { return Finding::note("tcp memory", "the kernel does not say (tcp_mem)") };
    let text = format!("{} MiB before it is short, {} MiB at most (tcp_mem)", pressure / 256, max / 256);
    if max < TCP_PAGES_NOTED { Finding::note("tcp memory", text) } else { Finding::good("tcp memory", text) }
}

/// What came of it, and how long it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, String) {
    let started = Instant::now();
    let done = work();
    (done, format!("{} ms", started.elapsed().as_millis()))
}

#[cfg(test)]
mod tests {
    use super::super::findings::Verdict;
    use super::*;

    #[test]
    fn clocks() {
        let here = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let at = |seconds: i64| {
            Some(if seconds < 0 {
                here - Duration::from_secs(seconds.unsigned_abs())
            } else {
                here + Duration::from_secs(seconds.unsigned_abs())
            })
        };
        for (there, verdict, part) in [
            (at(0), Verdict::Good, "0 s"),
            (at(30), Verdict::Good, "30 s behind"),
            (at(-30), Verdict::Good, "30 s ahead of"),
            (at(31), Verdict::Note, "31 s behind"),
            (at(-600), Verdict::Note, "600 s ahead of"),
            (at(601), Verdict::Bad, "601 s behind"),
            (at(-100_000), Verdict::Bad, "100000 s ahead of"),
            (None, Verdict::Note, "does not say"),
        ] {
            let finding = clock(there, here);
            assert_eq!(finding.verdict, verdict, "{finding}");
            assert!(finding.text.contains(part), "{finding}");
        }
    }

    #[test]
    fn limits() {
        for (max, verdict) in [
            (Some(0), Verdict::Bad),
            (Some(511), Verdict::Bad),
            (Some(512), Verdict::Note),
            (Some(16 * 1024), Verdict::Good),
            (None, Verdict::Good),
        ] {
            assert_eq!(open_files(max).verdict, verdict, "{max:?}");
        }
        assert_eq!(
            tcp_memory("100 25600 51200\n"),
            Finding::good("tcp memory", "100 MiB before it is short, 200 MiB at most (tcp_mem)")
        );
        assert_eq!(tcp_memory("1 2 3").verdict, Verdict::Note);
        for bad in ["", "1 2", "a b c", "1 2 3 4"] {
            assert!(tcp_memory(bad).text.contains("does not say"), "{bad}");
        }
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_bad() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(cache_dir(&dir.path().join("new")).verdict, Verdict::Good);
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(cache_dir(&dir.path().join("file/x")).verdict, Verdict::Bad);
    }
}
