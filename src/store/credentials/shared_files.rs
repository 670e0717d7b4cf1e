//! The shared files of AWS tools, read, and the profile that is used of them.
//!
//! In scope: which files there must be, and what is wrong with them. Not in scope: what a line is (`profile`) and what a profile
//! says (`plan`).

use std::io;
use std::path::{Path, PathBuf};

use super::plan::{self, Base, Plan};
use super::profile::{Kind, Profiles};

/// How a file is read: [`read_small_file`](super::read_small_file), or something else in a test.
pub(crate) type Read = fn(&Path) -> io::Result<Vec<u8>>;

/// A profile, and the files that may have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileConfig {
    /// The name of the profile.
    pub name: String,
    /// Whether it must exist.
    pub presence: Presence,
    /// `~/.aws/config`, or where else it is.
    pub config_file: Option<SharedFile>,
    /// `~/.aws/credentials`, or where else it is. What it says of a profile counts more.
    pub credentials_file: Option<SharedFile>,
}

/// One of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it must exist.
    pub presence: Presence,
}

/// Whether something must exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It was named, and must.
    Expected,
    /// It is where such things are, and may.
    Optional,
}

/// What a profile says.
#[derive(Debug)]
pub(crate) struct Looked {
    /// Its credentials, or what is wrong with them; `None` where there is no such profile, and need not be.
    pub(super) plan: Result<Option<Plan>, String>,
    pub(crate) region: Option<String>,
}

/// What a profile needs to have credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// It has none.
    HasNone,
    /// Nothing that settings could say.
    Nothing,
    /// The keys of the environment.
    Environment,
}

impl Looked {
    /// What its credentials need.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn need(&self) -> Result<Need, String> {
        fn need(plan: &Plan) -> Need {
            match plan {
                Plan::Nothing => Need::HasNone,
                Plan::Keys(_) | Plan::WebIdentity(_) => Need::Nothing,
                Plan::Role(_, base) => match base.as_ref() {
                    Base::Environment => Need::Environment,
                    Base::Plan(plan) => need(plan),
                    Base::Container | Base::InstanceMetadata => Need::Nothing,
                },
            }
        }
        self.plan.as_ref().map(|plan| plan.as_ref().map_or(Need::HasNone, need)).map_err(Clone::clone)
    }
}

impl ProfileConfig {
    /// Reads the files, and what the profile in them says.
    ///
    /// # Errors
    /// What is wrong with the files, or that there is no such profile, in a phrase that names them and shows no value.
    pub(crate) fn look(&self, read: Read) -> Result<Looked, String> {
        let mut profiles = Profiles::default();
        for (kind, file) in [(Kind::Config, &self.config_file), (Kind::Credentials, &self.credentials_file)] {
            let Some(file) = file else { continue };
            let shown = file.path.display();
            let is_optional = file.presence == Presence::Optional;
            match read(&file.path) {
                Ok(bytes) => profiles.add(kind, &bytes).map_err(|line| {
                    format!("{shown} line {}: expected [profile], name = value or a comment, in UTF-8", line.0)
                })?,
                Err(error) if is_optional && matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                }
                Err(error) => return Err(format!("{shown} cannot be read: {}", error.kind())),
            }
        }
        if profiles.get(&self.name).is_none() && self.presence == Presence::Expected {
            return Err(self.missing());
        }
        let plan = plan::plan(&profiles, &self.name);
        let region = profiles.get(&self.name).and_then(|profile| profile.get("region"));
        Ok(Looked { plan, region: region.filter(|region| !region.is_empty()).cloned() })
    }

    /// That there is no such profile, and where it was looked for.
    pub(super) fn missing(&self) -> String {
        let files = [&self.config_file, &self.credentials_file].into_iter().flatten();
        let paths: Vec<_> = files.map(|file| file.path.display().to_string()).collect();
        match paths.as_slice() {
            [] => format!("there is no profile {:?}, for there are no files: HOME is not set", self.name),
            paths => format!("there is no profile {:?} in {}", self.name, paths.join(" or ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(path: &Path) -> io::Result<Vec<u8>> {
        match path.to_str().unwrap() {
            "config" => Ok(b"[profile a]\nregion=r\nrole_arn=x\nsource_profile=b\n[profile e]\nregion=\n".to_vec()),
            "credentials" => Ok(b"[b]\naws_access_key_id=AKID\naws_secret_access_key=hunter2".to_vec()),
            "environment" => Ok(b"[b]\nrole_arn=y\ncredential_source=Environment".to_vec()),
            "bad" => Ok(b"[b]\n\nhunter2".to_vec()),
            "secret" => Err(io::ErrorKind::PermissionDenied.into()),
            "file/config" => Err(io::ErrorKind::NotADirectory.into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn look(name: &str, presence: Presence, paths: [Option<&str>; 2], files_presence: Presence) -> Result<Looked, String> {
        let [config_file, credentials_file] =
            paths.map(|path| path.map(|path| SharedFile { path: path.into(), presence: files_presence }));
        ProfileConfig { name: name.to_owned(), presence, config_file, credentials_file }.look(files)
    }

    #[test]
    fn what_is_found() {
        use Presence::{Expected, Optional};
        let found = look("a", Expected, [Some("config"), Some("credentials")], Expected).unwrap();
        assert!(matches!(found.plan, Ok(Some(Plan::Role(..)))) && found.region.as_deref() == Some("r"));
        assert_eq!(found.need(), Ok(Need::Nothing));
        let found = look("a", Expected, [Some("config"), Some("environment")], Expected).unwrap();
        assert_eq!(found.need(), Ok(Need::Environment));
        let found = look("e", Expected, [Some("config"), None], Expected).unwrap();
        assert_eq!((found.need(), found.region), (Ok(Need::HasNone), None));
        let found = look("a", Expected, [Some("config"), None], Optional).unwrap();
        assert_eq!(found.need(), Err("there is no profile \"b\"".to_owned()));
        for missing in [[None, None], [Some("gone"), Some("file/config")]] {
            assert_eq!(look("default", Optional, missing, Optional).unwrap().plan, Ok(None));
        }
    }

    #[test]
    fn what_is_wrong() {
        use Presence::{Expected, Optional};
        #[track_caller]
        fn check(name: &str, presence: Presence, paths: [Option<&str>; 2], files_presence: Presence, want: &str) {
            assert_eq!(look(name, presence, paths, files_presence).unwrap_err(), want);
        }
        let missing = "there is no profile \"x\" in config or credentials";
        check("x", Expected, [Some("config"), Some("credentials")], Optional, missing);
        check("x", Expected, [None, None], Optional, "there is no profile \"x\", for there are no files: HOME is not set");
        check("x", Optional, [Some("gone"), None], Expected, "gone cannot be read: entity not found");
        check("x", Optional, [None, Some("secret")], Optional, "secret cannot be read: permission denied");
        let line = "bad line 3: expected [profile], name = value or a comment, in UTF-8";
        check("x", Optional, [None, Some("bad")], Optional, line);
    }
}
