//! Where settings come from, and which of them wins.
//!
//! In scope: the layers (flag, environment, `.env`), and names that nobody knows. Not in scope: what a value means.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use super::draft::Draft;
use super::errors::Problem;
use super::suggest::{self, PREFIX};
use super::table::{SETTINGS, Secrecy, Setting};
use super::{DOTENV_PATH, dotenv};

/// Everything a configuration is made from. It comes in as values, so that reading it has no effect and needs no process.
#[derive(Debug)]
pub struct Sources {
    /// The flags that were given: name without dashes, value.
    pub flags: BTreeMap<&'static str, OsString>,
    /// The environment of the process.
    pub environment: Vec<(OsString, OsString)>,
    /// What reading `.env` in the working directory gave: [`io::ErrorKind::NotFound`] is fine, any other error is told.
    pub dotenv: io::Result<Vec<u8>>,
    /// Whether the log goes to a terminal.
    pub is_terminal: bool,
    /// Says whether a path is a directory.
    pub is_directory: fn(&Path) -> bool,
    /// Reads a small file: [`crate::store::credentials::read_small_file`].
    pub read_file: fn(&Path) -> io::Result<Vec<u8>>,
}

/// The three layers that can set something, the stronger first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    Flag,
    Environment,
    Dotenv,
}

/// A setting that somebody set.
pub(super) struct Found<'a> {
    pub(super) setting: &'static Setting,
    pub(super) layer: Layer,
    /// What its user must look for: `--port`, `PORT` or `PORT (.env)`.
    pub(super) told: String,
    value: &'a OsString,
}

impl Found<'_> {
    /// Reads the value into its field.
    pub(super) fn read(&self, draft: &mut Draft) -> Result<(), Problem> {
        // Better said now than found out when nothing comes of it.
        if let Some(feature) = self.setting.part.missing() {
            return Err(self.problem(format!("this program was built without its feature {feature}")));
        }
        let result = match self.value.to_str() {
            Some(text) => (self.setting.read)(draft, text),
            None => Err("UTF-8".to_owned()),
        };
        result.map_err(|wanted| self.problem(format!("expected {wanted}")))
    }

    /// A problem with this value.
    pub(super) fn problem(&self, what: impl Into<String>) -> Problem {
        let problem = Problem::new(self.told.as_str(), what);
        match self.setting.secrecy {
            Secrecy::Secret => problem.with_secret(),
            Secrecy::Public => problem.with_value(&self.value.to_string_lossy()),
        }
    }
}

/// The layers, each a map by name.
pub(super) struct Layers {
    flags: BTreeMap<&'static str, OsString>,
    environment: BTreeMap<String, OsString>,
    dotenv: BTreeMap<String, OsString>,
}

impl Layers {
    /// Sorts the sources into layers. The problems are those of `.env` as a file, and names that nobody knows.
    pub(super) fn new(
        flags: BTreeMap<&'static str, OsString>,
        environment: Vec<(OsString, OsString)>,
        dotenv: io::Result<Vec<u8>>,
    ) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let file = match dotenv {
            Ok(bytes) => dotenv::parse(&bytes),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    problems.push(Problem::new(DOTENV_PATH, format!("cannot be read: {error}")));
                }
                dotenv::Dotenv::default()
            }
        };
        problems.extend(file.broken_lines.iter().map(|line| {
            Problem::new(format!("{DOTENV_PATH} line {line}"), "expected NAME=value, a value with spaces in quotes, in UTF-8")
        }));
        let mut layers = Self { flags, environment: BTreeMap::new(), dotenv: BTreeMap::new() };
        for (name, value) in environment {
            // A name that is not UTF-8 is none of ours, but may still want to be: lossy is enough to tell it.
            layers.environment.entry(name.to_string_lossy().into_owned()).or_insert(value);
        }
        layers.dotenv.extend(file.variables.into_iter().map(|(name, value)| (name, OsString::from(value))));
        for (layer, names) in [(Layer::Environment, &layers.environment), (Layer::Dotenv, &layers.dotenv)] {
            problems.extend(names.keys().filter_map(|name| unknown(layer, name)));
        }
        (layers, problems)
    }

    /// The strongest value of a setting. An empty one in the environment or in `.env` counts as unset, since that is how a
    /// shell or a compose file hands on a variable that it does not have; an empty flag is a value.
    pub(super) fn find(&self, setting: &'static Setting) -> Option<Found<'_>> {
        let found = |layer, told, value| Found { setting, layer, told, value };
        if let Some(value) = self.flags.get(setting.flag) {
            return Some(found(Layer::Flag, format!("--{}", setting.flag), value));
        }
        [(Layer::Environment, &self.environment), (Layer::Dotenv, &self.dotenv)].into_iter().find_map(|(layer, values)| {
            setting.variables.iter().find_map(|variable| {
                let value = values.get(*variable).filter(|value| !value.is_empty())?;
                Some(found(layer, told(layer, variable), value))
            })
        })
    }

    /// The same by the setting's name.
    pub(super) fn find_named(&self, name: &str) -> Option<Found<'_>> {
        SETTINGS.iter().find(|setting| setting.name() == name).and_then(|setting| self.find(setting))
    }

    /// The home directory, which is no setting.
    pub(super) fn home(&self) -> Option<&OsString> {
        self.environment.get("HOME").filter(|home| !home.is_empty())
    }

    /// Whether a setting is read from this one of its variables.
    pub(super) fn is_found_as(&self, name: &str, variable: &str) -> bool {
        let told = |found: Found<'_>| found.told == variable || found.told == told(Layer::Dotenv, variable);
        self.find_named(name).is_some_and(told)
    }
}

/// A variable as its user finds it again.
fn told(layer: Layer, variable: &str) -> String {
    match layer {
        Layer::Dotenv => format!("{variable} ({DOTENV_PATH})"),
        Layer::Flag | Layer::Environment => variable.to_owned(),
    }
}

/// The problem of a name that starts like ours but is none. Its value is not shown: it may be a secret under a wrong name.
fn unknown(layer: Layer, name: &str) -> Option<Problem> {
    let known = || SETTINGS.iter().flat_map(|setting| setting.variables.iter().copied());
    if !name.starts_with(PREFIX) || known().any(|known| known == name) {
        return None;
    }
    // Kubernetes puts such names into every pod beside a Service called "vidgate".
    let is_service_link = name.starts_with("VIDGATE_SERVICE_") || name.starts_with("VIDGATE_PORT_");
    let what = match suggest::nearest(name, known()) {
        _ if is_service_link => "no such setting; if Kubernetes set it, set enableServiceLinks: false on the pod".to_owned(),
        Some(nearest) => format!("no such setting; did you mean {nearest}?"),
        None => "no such setting".to_owned(),
    };
    Some(Problem::new(told(layer, &name.escape_debug().to_string()), what))
}
