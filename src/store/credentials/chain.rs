//! The sources of credentials, in their order.
//!
//! In scope: which is asked after which, and what is told where none has any. Not in scope: how each is asked, and when.
//!
//! ```text
//! web identity ──► profile ──► container ──► EC2 metadata
//! ```
//!
//! A source that is not configured is passed over. One that is, and fails, ends the search: whatever came behind it would be
//! somebody else. What stands in settings is before all of these and needs no search ([`CredentialsConfig::Static`]).
//!
//! [`CredentialsConfig::Static`]: super::CredentialsConfig::Static

use log::info;

use super::container::ContainerConfig;
use super::files::read_small_file;
use super::http::Http;
use super::instance_metadata::InstanceMetadataConfig;
use super::keys::{Issued, Keys};
use super::plan::{Base, Plan};
use super::role::WebIdentityConfig;
use super::shared_files::ProfileConfig;
use super::sts::StsConfig;
use crate::error::{Error, ErrorKind};

/// Where credentials are looked for; `None` is a source that is not configured.
#[derive(Clone, Debug)]
pub struct ChainConfig {
    /// The keys of settings, for a profile with `credential_source = Environment`; they are used for nothing else.
    pub environment: Option<Keys>,
    /// A role for a token.
    pub web_identity: Option<WebIdentityConfig>,
    /// A profile in the shared files. They are read anew whenever credentials are looked for.
    pub profile: Option<ProfileConfig>,
    /// The endpoint of a container.
    pub container: Option<ContainerConfig>,
    /// The metadata service of an EC2 instance.
    pub instance_metadata: Option<InstanceMetadataConfig>,
    /// Where roles are taken.
    pub sts: StsConfig,
}

/// A source, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    WebIdentity,
    Profile,
    Container,
    InstanceMetadata,
}

/// What a source has.
enum Found {
    Keys(Issued),
    /// Nothing, and why; the next may.
    Nothing(String),
    /// It should have some.
    Failed(String),
}

impl Source {
    const ALL: [Self; 4] = [Self::WebIdentity, Self::Profile, Self::Container, Self::InstanceMetadata];

    fn name(self) -> &'static str {
        match self {
            Self::WebIdentity => "web identity",
            Self::Profile => "profile",
            Self::Container => "container endpoint",
            Self::InstanceMetadata => "EC2 metadata",
        }
    }
}

impl ChainConfig {
    /// The sources that are configured, for the log.
    pub(super) fn names(&self) -> String {
        let is_configured = |source: &Source| match source {
            Source::WebIdentity => self.web_identity.is_some(),
            Source::Profile => self.profile.is_some(),
            Source::Container => self.container.is_some(),
            Source::InstanceMetadata => self.instance_metadata.is_some(),
        };
        Source::ALL.into_iter().filter(is_configured).map(Source::name).collect::<Vec<_>>().join(", ")
    }

    /// Looks for credentials.
    ///
    /// # Errors
    /// [`ErrorKind::UpstreamForbidden`], with each source that was asked and why it has none.
    pub(super) fn ask(&self, http: &Http) -> Result<Issued, Error> {
        let mut told = vec!["settings: no access key".to_owned()];
        for source in Source::ALL {
            let (why, is_end) = match self.ask_one(http, source) {
                Found::Keys(issued) => {
                    let until = issued.expires_at.and_then(|time| jiff::Timestamp::try_from(time).ok());
                    let until = until.map_or_else(String::new, |time| format!(", good until {time:.0}"));
                    info!("credentials from {}{until}", source.name());
                    return Ok(issued);
                }
                Found::Nothing(why) => (why, false),
                Found::Failed(why) => (why, true),
            };
            told.push(format!("{}: {why}", source.name()));
            if is_end {
                break;
            }
        }
        Err(Error::new(ErrorKind::UpstreamForbidden, format!("no credentials ({})", told.join("; "))))
    }

    fn ask_one(&self, http: &Http, source: Source) -> Found {
        let not_set = || Found::Nothing("not configured".to_owned());
        let asked = match source {
            Source::WebIdentity => self.web_identity.as_ref().map(|web| web.ask(http, &self.sts)),
            Source::Profile => return self.profile.as_ref().map_or_else(not_set, |profile| self.ask_profile(http, profile)),
            Source::Container => self.container.as_ref().map(|container| container.ask(http)),
            Source::InstanceMetadata => self.instance_metadata.as_ref().map(|service| service.ask(http)),
        };
        match asked {
            None => not_set(),
            Some(Ok(issued)) => Found::Keys(issued),
            Some(Err(why)) => Found::Failed(why),
        }
    }

    fn ask_profile(&self, http: &Http, profile: &ProfileConfig) -> Found {
        match profile.look(read_small_file).and_then(|looked| looked.plan) {
            Err(why) => Found::Failed(why),
            Ok(None) => Found::Nothing(profile.missing()),
            Ok(Some(Plan::Nothing)) => Found::Nothing(format!("the profile {:?} has no credentials", profile.name)),
            Ok(Some(plan)) => match self.follow(http, &plan) {
                Ok(issued) => Found::Keys(issued),
                Err(why) => Found::Failed(format!("the profile {:?}: {why}", profile.name)),
            },
        }
    }

    /// Gets the keys of a plan, which for a role are those of its base first. `plan` bounds how deep this goes.
    fn follow(&self, http: &Http, plan: &Plan) -> Result<Issued, String> {
        match plan {
            Plan::Nothing => Err("no credentials".to_owned()),
            Plan::Keys(keys) => Ok(Issued { keys: keys.clone(), expires_at: None }),
            Plan::WebIdentity(web) => web.ask(http, &self.sts),
            Plan::Role(role, base) => {
                let issued = match base.as_ref() {
                    Base::Plan(plan) => self.follow(http, plan)?,
                    Base::Environment => match &self.environment {
                        Some(keys) => Issued { keys: keys.clone(), expires_at: None },
                        None => return Err("no access key in the environment".to_owned()),
                    },
                    Base::Container => match &self.container {
                        Some(container) => container.ask(http).map_err(|why| format!("container endpoint: {why}"))?,
                        None => return Err("no container endpoint is configured".to_owned()),
                    },
                    Base::InstanceMetadata => match &self.instance_metadata {
                        Some(service) => service.ask(http).map_err(|why| format!("EC2 metadata: {why}"))?,
                        None => return Err("EC2 metadata is turned off".to_owned()),
                    },
                };
                role.ask(http, &self.sts, &issued.keys).map_err(|why| format!("STS: {why}"))
            }
        }
    }
}
