//! What the program finds when it is asked to look.
//!
//! In scope: one line a finding, and the exit code of all. Not in scope: what is looked at (`doctor`, `inspect`).

use std::fmt;
use std::io::{self, Write as _};

use crate::Error;
use crate::config::StoreConfig;
use crate::store::{Directory, S3, Store};

use super::Stop;

/// How good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it should be.
    Good,
    /// Worth knowing; it may be meant so.
    Note,
    /// Something will not work.
    Bad,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    /// What was looked at.
    pub(super) name: &'static str,
    /// What it is, and where it is bad what to do.
    pub(super) text: String,
}

impl Finding {
    pub(super) fn good(name: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Good, name, text: text.into() }
    }

    pub(super) fn note(name: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, name, text: text.into() }
    }

    pub(super) fn bad(name: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, name, text: text.into() }
    }

    /// A question that failed.
    pub(super) fn failed(name: &'static str, error: &Error) -> Self {
        Self::bad(name, error.chain())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Good => "ok",
            Verdict::Note => "note",
            Verdict::Bad => "FAIL",
        };
        // What a store says may hold anything.
        let text: String = self.text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        write!(f, "{verdict:<4}  {:<14}  {text}", self.name)
    }
}

/// Writes them on standard output, one a line. Where nobody reads, nothing is said; that is no further failure.
///
/// # Errors
/// Where one of them is bad.
pub(super) fn tell(findings: &[Finding]) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    for finding in findings {
        let _ = writeln!(out, "{finding}");
    }
    let bad = findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count();
    if bad == 0 { Ok(()) } else { Err(Stop::Failed(format!("{bad} of {} checks failed", findings.len()))) }
}

/// The store that is looked at.
pub(super) enum Opened {
    Directory(Directory),
    Bucket(Box<S3>),
}

impl Opened {
    /// Opens the store that is configured.
    pub(super) fn new(config: &StoreConfig) -> Result<Self, Error> {
        match config {
            StoreConfig::Directory(root) => Directory::open(root).map(Self::Directory),
            StoreConfig::S3(s3) => S3::new(s3.clone()).map(|bucket| Self::Bucket(Box::new(bucket))),
        }
    }

    /// As any store.
    pub(super) fn store(&self) -> &dyn Store {
        match self {
            Self::Directory(directory) => directory,
            Self::Bucket(bucket) => &**bucket,
        }
    }

    /// As a bucket, where it is one.
    pub(super) fn bucket(&self) -> Option<&S3> {
        match self {
            Self::Directory(_) => None,
            Self::Bucket(bucket) => Some(bucket),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_whatever_is_in_it() {
        assert_eq!(Finding::good("clock", "as here").to_string(), "ok    clock           as here");
        assert_eq!(Finding::bad("list", "a\nb\u{1b}[1m").to_string(), "FAIL  list            a b [1m");
        assert_eq!(Finding::note("x", "").to_string(), "note  x               ");
    }

    #[test]
    fn one_bad_finding_is_a_failure() {
        assert!(tell(&[Finding::good("a", ""), Finding::note("b", "")]).is_ok());
        let Err(Stop::Failed(why)) = tell(&[Finding::good("a", ""), Finding::bad("b", "")]) else { panic!("it is bad") };
        assert_eq!(why, "1 of 2 checks failed");
    }
}
