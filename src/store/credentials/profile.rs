//! The shared files of AWS tools: from their bytes to profiles.
//!
//! In scope: what a line is, and which of two files counts (AWS, "SDKs and Tools Reference Guide", "Shared config and credentials
//! files"). Not in scope: reading the files, and what a profile means (`plan`). Everything here is a pure function.

use std::collections::BTreeMap;

/// The settings of one profile: name in lower case, value.
pub(super) type Profile = BTreeMap<String, String>;

/// All profiles by name. `Debug` is not implemented: they hold secrets.
#[derive(Clone, Default)]
pub(super) struct Profiles(BTreeMap<String, Profile>);

/// Which of the two files: their sections are spelt differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `~/.aws/config`: `[profile NAME]` and `[default]`, beside sections that are no profiles.
    Config,
    /// `~/.aws/credentials`: `[NAME]`.
    Credentials,
}

/// A line that is neither a section, a setting, a comment nor empty, counted from 1. Its text is not kept: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadLine(pub(super) usize);

impl Profiles {
    /// The profile of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Profile> {
        self.0.get(name)
    }

    /// Adds what a file says. What is known already is replaced: the file that counts more comes last, the one with credentials.
    ///
    /// # Errors
    /// The first line that is no line of such a file.
    pub(super) fn add(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), BadLine> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes)
            .map_err(|error| BadLine(bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count()))?;
        let mut added = BTreeMap::<Section, Profile>::new();
        let mut section = None;
        for (index, line) in text.lines().enumerate() {
            match Line::parse(line).ok_or(BadLine(index + 1))? {
                Line::Nothing => {}
                Line::Section(name) => section = Some(Section::parse(kind, name)),
                Line::Setting(name, value) => {
                    let section = section.clone().ok_or(BadLine(index + 1))?;
                    added.entry(section).or_default().insert(name.to_ascii_lowercase(), value.to_owned());
                }
            }
            // A profile without settings exists all the same.
            if let Some(section) = &section {
                added.entry(section.clone()).or_default();
            }
        }
        // In the order of `Section`, so that `[profile default]` replaces what `[default]` says.
        for (section, settings) in added {
            if let Section::Default | Section::Profile(_) = section {
                self.0.entry(section.name().to_owned()).or_default().extend(settings);
            }
        }
        Ok(())
    }
}

/// The section that a line belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    /// `[default]`, which `[profile default]` goes before.
    Default,
    Profile(String),
    /// Something else: `[sso-session NAME]`, `[services NAME]`.
    Other,
}

impl Section {
    fn parse(kind: Kind, name: &str) -> Self {
        match (kind, name.split_once(|char: char| char.is_ascii_whitespace())) {
            (Kind::Config, None) if name == "default" => Self::Default,
            (Kind::Config, Some(("profile", name))) => Self::Profile(unquoted(name.trim()).to_owned()),
            (Kind::Config, _) => Self::Other,
            (Kind::Credentials, _) => Self::Profile(name.to_owned()),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Profile(name) => name,
            Self::Default | Self::Other => "default",
        }
    }
}

/// What one line says.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    /// Empty, a comment, or a part of the setting above: those that have parts are none of ours.
    Nothing,
    Section(&'a str),
    Setting(&'a str, &'a str),
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) || line.starts_with([' ', '\t']) {
            return Some(Self::Nothing);
        }
        if let Some(rest) = trimmed.strip_prefix('[') {
            let (name, behind) = rest.split_once(']')?;
            let name = name.trim();
            return (!name.is_empty() && without_comment(behind).is_empty()).then_some(Self::Section(name));
        }
        let (name, value) = trimmed.split_once('=')?;
        let name = name.trim();
        (!name.is_empty()).then(|| Self::Setting(name, without_comment(value)))
    }
}

/// A value without the comment behind it, which begins with a space: a secret may have a `#` in it.
fn without_comment(value: &str) -> &str {
    let is_start = |at: &usize| {
        let (before, rest) = value.split_at(*at);
        rest.starts_with(['#', ';']) && (before.is_empty() || before.ends_with([' ', '\t']))
    };
    let end = value.char_indices().map(|(at, _)| at).find(is_start).unwrap_or(value.len());
    value[..end].trim()
}

fn unquoted(name: &str) -> &str {
    let inner = |quote| name.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All profiles of a file, as `name: key=value key=value` each.
    fn shown(files: &[(Kind, &[u8])]) -> Result<Vec<String>, BadLine> {
        let mut profiles = Profiles::default();
        for (kind, bytes) in files {
            profiles.add(*kind, bytes)?;
        }
        let line = |(name, profile): (&String, &Profile)| {
            profile.iter().fold(format!("{name}:"), |line, (key, value)| format!("{line} {key}={value}"))
        };
        Ok(profiles.0.iter().map(line).collect())
    }

    #[track_caller]
    fn check(kind: Kind, text: &str, want: &[&str]) {
        assert_eq!(shown(&[(kind, text.as_bytes())]).unwrap(), want, "{text:?}");
    }

    #[test]
    fn good_files() {
        use Kind::{Config, Credentials};
        check(Credentials, "", &[]);
        check(Credentials, "\u{feff}[a]\r\nx = 1\r\n\r\n[b c]\ny=2", &["a: x=1", "b c: y=2"]);
        check(Credentials, "# one\n; two\n  # three\n[ a ] # four\nx=1 # five\ny=2#6 ;seven\nz=#\n", &["a: x=1 y=2#6 z="]);
        check(Credentials, "[a]\nAWS_Access_Key_ID=Akid\nx==\ny = a=b\n", &["a: aws_access_key_id=Akid x== y=a=b"]);
        check(Credentials, "[a]\nx=1\nx=2\n[b]\n[a]\ny=3\n", &["a: x=2 y=3", "b:"]);
        check(Credentials, "[a]\ns3 =\n  x = 1\n\ty = 2\nregion = r\n", &["a: region=r s3="]);
        check(Credentials, "[profile a]\nx=1\n", &["profile a: x=1"]);
        check(Config, "[profile a]\nx=1\n[profile \"b c\"]\n[profile\t'd']\n", &["a: x=1", "b c:", "d:"]);
        check(Config, "[a]\nx=1\n[sso-session s]\ny=2\n[services t]\n[plugins]\n[profiles u]\n", &[]);
        check(Config, "[default]\nx=1\ny=1\n[profile a]\n", &["a:", "default: x=1 y=1"]);
        // Whatever their order.
        check(Config, "[profile default]\nx=2\n[default]\nx=1\ny=1\n", &["default: x=2 y=1"]);
    }

    #[test]
    fn of_two_files_the_one_with_credentials_counts_more() {
        let config = b"[profile a]\nx=1\nregion=r\n[default]\nx=1";
        let credentials = b"[a]\nx=2\n[b]\n";
        let want = ["a: region=r x=2", "b:", "default: x=1"];
        assert_eq!(shown(&[(Kind::Config, config), (Kind::Credentials, credentials)]).unwrap(), want);
    }

    #[test]
    fn bad_lines_are_counted_and_not_shown() {
        #[track_caller]
        fn check(bytes: &[u8], line: usize) {
            for kind in [Kind::Config, Kind::Credentials] {
                assert_eq!(shown(&[(kind, bytes)]), Err(BadLine(line)), "{:?}", String::from_utf8_lossy(bytes));
            }
        }
        check(b"x=1\n", 1);
        check(b"\n\nhunter2\n[a]", 3);
        check(b"[a]\nhunter2\n", 2);
        check(b"[a]\n= hunter2\n", 2);
        check(b"[a\nx=1", 1);
        check(b"[a] b\n", 1);
        check(b"[]\n", 1);
        check(b"[ ]\n", 1);
        check(b"# \xff\n[a]", 1);
        check(b"[a]\nx=\xff\n", 2);
    }

    #[test]
    fn any_short_text_is_read_or_refused() {
        let letters = ['[', ']', '=', 'a', ' ', '\n', '#', 'p'];
        let mut texts = vec![String::new()];
        for _ in 0..6 {
            texts = texts.iter().flat_map(|text| letters.iter().map(move |letter| format!("{text}{letter}"))).collect();
            for text in &texts {
                let profiles = shown(&[(Kind::Credentials, text.as_bytes())]);
                let has_section = text.lines().any(|line| line.starts_with('['));
                assert!(profiles.is_err() || profiles.unwrap().is_empty() != has_section, "{text:?}");
            }
        }
    }
}
