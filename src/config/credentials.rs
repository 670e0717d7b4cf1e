//! Where the credentials of a bucket come from.
//!
//! In scope: which sources are configured, in which order, and what is wrong with those that can be looked at now: keys, files,
//! tokens. Not in scope: asking a network (`store::credentials` does, when somebody needs credentials).
//!
//! ```text
//! keys ──► web identity ──► profile ──► container ──► EC2 metadata
//! ```
//!
//! A profile that is named in a stronger layer than keys or a role goes before them: `--profile x` means x, whatever the
//! environment has.

use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::errors::Problem;
use super::sources::{Layer, Layers};
use crate::store::CredentialsConfig;
use crate::store::credentials::{
    Authorization, ChainConfig, ContainerConfig, InstanceMetadataConfig, Keys, Looked, Need, Presence, ProfileConfig, Read,
    SharedFile, StsConfig, WebIdentityConfig,
};

/// What the settings have been read into. `Debug` is not implemented: it holds secrets.
#[derive(Default)]
pub(super) struct CredentialsDraft {
    pub(super) access_key_id: Option<String>,
    pub(super) secret_access_key: Option<String>,
    pub(super) session_token: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) config_file: Option<PathBuf>,
    pub(super) credentials_file: Option<PathBuf>,
    pub(super) role_arn: Option<String>,
    pub(super) web_identity_token_file: Option<PathBuf>,
    pub(super) session_name: Option<String>,
    pub(super) sts_endpoint: Option<String>,
    pub(super) container_relative: Option<ContainerConfig>,
    pub(super) container_full: Option<ContainerConfig>,
    pub(super) container_token: Option<String>,
    pub(super) container_token_file: Option<PathBuf>,
    pub(super) is_metadata_disabled: bool,
    pub(super) metadata_endpoint: Option<String>,
    pub(super) metadata_mode_endpoint: &'static str,
}

/// The source that goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Keys,
    WebIdentity,
    Profile,
}

/// The profile, where it was looked at.
pub(super) struct Look {
    first: First,
    profile: ProfileConfig,
    looked: Option<Result<Looked, String>>,
}

impl Look {
    /// The region that the profile names.
    pub(super) fn region(&self) -> Option<String> {
        self.looked.as_ref()?.as_ref().ok()?.region.clone()
    }

    /// Whether the profile could be read, where it had to be.
    pub(super) fn is_readable(&self) -> bool {
        self.looked.as_ref().is_none_or(Result::is_ok)
    }
}

/// Looks at the profile, where its credentials, its region or it itself is asked for. Nobody else's broken files are our problem.
pub(super) fn look(layers: &Layers, draft: &Draft, read: Read, is_region_needed: bool) -> Look {
    let first = first(layers);
    let is_named = layers.find_named("AWS_PROFILE").is_some();
    let is_needed = first == First::Profile || is_named || is_region_needed;
    // A name that could not be read has been told.
    let is_legal = draft.credentials.profile.is_some() || !is_named;
    let profile = profile(layers, draft);
    let looked = (is_needed && is_legal).then(|| profile.look(read));
    Look { first, profile, looked }
}

/// The first source that is set.
fn first(layers: &Layers) -> First {
    let strongest = |names: &[&str]| names.iter().filter_map(|name| Some(layers.find_named(name)?.layer)).min();
    let profile = strongest(&["AWS_PROFILE"]);
    let is_first = |layer: Option<Layer>| layer.is_some_and(|layer| profile.is_none_or(|profile| layer <= profile));
    if is_first(strongest(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])) {
        First::Keys
    } else if is_first(strongest(&["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"])) {
        First::WebIdentity
    } else {
        First::Profile
    }
}

/// The profile and its files, named or not.
fn profile(layers: &Layers, draft: &Draft) -> ProfileConfig {
    let home = layers.home().map(Path::new);
    let file = |named: &Option<PathBuf>, name: &str| match named {
        Some(path) => {
            let below_home = path.strip_prefix("~").ok().zip(home).map(|(rest, home)| home.join(rest));
            Some(SharedFile { path: below_home.unwrap_or_else(|| path.clone()), presence: Presence::Expected })
        }
        None => home.map(|home| SharedFile { path: home.join(".aws").join(name), presence: Presence::Optional }),
    };
    let named = draft.credentials.profile.as_ref();
    ProfileConfig {
        name: named.cloned().unwrap_or_else(|| "default".to_owned()),
        presence: if named.is_some() { Presence::Expected } else { Presence::Optional },
        config_file: file(&draft.credentials.config_file, "config"),
        credentials_file: file(&draft.credentials.credentials_file, "credentials"),
    }
}

/// Chooses the sources. The problems are of what is missing, contradicts, or cannot be read; a value that could not be read has
/// been told already, so an error may come without a problem.
pub(super) fn choose(
    layers: &Layers,
    draft: &Draft,
    read: Read,
    look: Look,
    region: &str,
) -> Result<CredentialsConfig, Vec<Problem>> {
    let mut problems = Vec::new();
    let looked = match look.looked.transpose() {
        Ok(looked) => looked,
        Err(what) => {
            problems.push(Problem::new(told(layers, "AWS_PROFILE"), what));
            None
        }
    };
    let is_readable = problems.is_empty();
    let need = |problems: &mut Vec<Problem>, name: &str, why: &str| {
        if layers.find_named(name).is_none() {
            problems.push(Problem::new(name, format!("not set; {why}")));
        }
    };
    let mut chain = ChainConfig {
        environment: keys(draft),
        web_identity: None,
        profile: None,
        container: container(draft),
        instance_metadata: instance_metadata(draft),
        sts: sts(layers, draft, region),
    };
    match look.first {
        First::Keys => {
            need(&mut problems, "AWS_ACCESS_KEY_ID", "expected the access key of the bucket");
            need(&mut problems, "AWS_SECRET_ACCESS_KEY", "expected the secret of the access key");
            return match chain.environment {
                Some(keys) if problems.is_empty() => Ok(CredentialsConfig::Static(keys)),
                _ => Err(problems),
            };
        }
        First::WebIdentity => {
            need(&mut problems, "AWS_ROLE_ARN", "expected the role to take with the token of AWS_WEB_IDENTITY_TOKEN_FILE");
            need(&mut problems, "AWS_WEB_IDENTITY_TOKEN_FILE", "expected the file with the token for AWS_ROLE_ARN");
            chain.web_identity = web_identity(draft);
            match chain.web_identity.as_ref().map(|web| web.check(read)) {
                None => return Err(problems),
                Some(Ok(())) => {}
                Some(Err(what)) => problems.push(Problem::new(told(layers, "AWS_WEB_IDENTITY_TOKEN_FILE"), what)),
            }
        }
        First::Profile => {
            chain.profile = Some(look.profile);
            if let Some(Err(what)) = chain.container.as_ref().map(|container| container.check(read)) {
                problems.push(Problem::new(told(layers, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"), what));
            }
            match looked.as_ref().map(Looked::need) {
                None if is_readable => return Err(problems),
                Some(Ok(Need::Environment)) => {
                    need(&mut problems, "AWS_ACCESS_KEY_ID", "expected the access key that the profile takes its role with");
                    need(&mut problems, "AWS_SECRET_ACCESS_KEY", "expected the secret of the access key");
                }
                Some(Ok(Need::HasNone)) if chain.container.is_none() && chain.instance_metadata.is_none() => {
                    let what = "not set, and nothing else is; expected an access key, a profile, a role with its token, or a \
                                container endpoint, for EC2 metadata is turned off";
                    problems.push(Problem::new("AWS_ACCESS_KEY_ID", what));
                }
                None | Some(Ok(Need::HasNone | Need::Nothing)) => {}
                Some(Err(what)) => problems.push(Problem::new(told(layers, "AWS_PROFILE"), what)),
            }
        }
    }
    if problems.is_empty() { Ok(CredentialsConfig::Chain(Box::new(chain))) } else { Err(problems) }
}

/// A setting as its user wrote it, or its name.
fn told(layers: &Layers, name: &str) -> String {
    layers.find_named(name).map_or_else(|| name.to_owned(), |found| found.told)
}

fn keys(draft: &Draft) -> Option<Keys> {
    Some(Keys {
        access_key_id: draft.credentials.access_key_id.clone()?,
        secret_access_key: draft.credentials.secret_access_key.clone()?,
        session_token: draft.credentials.session_token.clone(),
    })
}

fn web_identity(draft: &Draft) -> Option<WebIdentityConfig> {
    Some(WebIdentityConfig {
        role_arn: draft.credentials.role_arn.clone()?,
        token_path: draft.credentials.web_identity_token_file.clone()?,
        session_name: draft.credentials.session_name.clone(),
    })
}

/// ECS goes before an address of one's own, and a file before a token (AWS, "Container credential provider").
fn container(draft: &Draft) -> Option<ContainerConfig> {
    let draft = &draft.credentials;
    let container = draft.container_relative.clone().or_else(|| draft.container_full.clone())?;
    let file = draft.container_token_file.clone().map(Authorization::File);
    let authorization = file.or_else(|| draft.container_token.clone().map(Authorization::Token));
    Some(container.with_authorization(authorization))
}

fn instance_metadata(draft: &Draft) -> Option<InstanceMetadataConfig> {
    let draft = &draft.credentials;
    let endpoint = draft.metadata_endpoint.clone().unwrap_or_else(|| draft.metadata_mode_endpoint.to_owned());
    (!draft.is_metadata_disabled).then_some(InstanceMetadataConfig { endpoint })
}

/// `AWS_ENDPOINT_URL` is that of every service of AWS, unlike `AWS_ENDPOINT_URL_S3` (AWS, "Service-specific endpoints").
fn sts(layers: &Layers, draft: &Draft, region: &str) -> StsConfig {
    let of_all = || draft.endpoint.clone().filter(|_| layers.is_found_as("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"));
    StsConfig { endpoint: draft.credentials.sts_endpoint.clone().or_else(of_all), region: region.to_owned() }
}

#[cfg(test)]
mod tests;
