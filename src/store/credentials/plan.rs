//! What a profile says: which keys, or whose.
//!
//! In scope: the settings of a profile that name credentials, and what is not supported of them. Not in scope: the files
//! (`profile`), and getting the keys (`chain`). Everything here is a pure function.

use std::path::PathBuf;

use super::keys::Keys;
use super::profile::{Profile, Profiles};
use super::role::{self, RoleConfig, WebIdentityConfig};

/// How many roles may be taken one with the keys of another.
const DEPTH_MAX: usize = 5;

/// Settings for what is not supported, and what to say of them.
const UNSUPPORTED: [(&str, &str); 6] = [
    ("sso_session", "SSO"),
    ("sso_start_url", "SSO"),
    ("sso_account_id", "SSO"),
    ("credential_process", "running a program for credentials"),
    ("login_session", "a session of `aws login`"),
    ("mfa_serial", "a second factor"),
];

/// Where the keys of a profile come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// The profile has none.
    Nothing,
    Keys(Keys),
    WebIdentity(WebIdentityConfig),
    Role(RoleConfig, Box<Base>),
}

/// With whose keys a role is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Plan(Plan),
    Environment,
    Container,
    InstanceMetadata,
}

/// Reads what a profile says. `None` where there is no such profile.
///
/// # Errors
/// What is wrong with it, or not supported, with the profile's name and no value.
pub(super) fn plan(profiles: &Profiles, name: &str) -> Result<Option<Plan>, String> {
    if profiles.get(name).is_none() {
        return Ok(None);
    }
    plan_of(profiles, name, DEPTH_MAX).map(Some)
}

fn plan_of(profiles: &Profiles, name: &str, depth: usize) -> Result<Plan, String> {
    let profile = profiles.get(name).ok_or_else(|| format!("there is no profile {name:?}"))?;
    let bad = |what: String| format!("the profile {name:?} {what}");
    let value = |key: &str| profile.get(key).map(String::as_str).filter(|value| !value.is_empty());
    let Some(role_arn) = value("role_arn") else { return keys_of(name, profile) };
    if let Some((key, what)) = UNSUPPORTED.iter().find(|(key, _)| *key == "mfa_serial" && value(key).is_some()) {
        return Err(bad(format!("has {key}, and {what} is not supported")));
    }
    if !role::is_role_arn(role_arn) {
        return Err(bad("has a role_arn that is none".to_owned()));
    }
    let role_arn = role_arn.to_owned();
    let session_name = value("role_session_name").map(str::to_owned);
    if !session_name.as_deref().is_none_or(role::is_session_name) {
        return Err(bad("has a role_session_name that is none".to_owned()));
    }
    let duration = value("duration_seconds")
        .map(|text| role::duration(text).ok_or_else(|| bad("has duration_seconds other than 900 to 43200".to_owned())));
    let external_id = value("external_id").map(str::to_owned);
    let role = RoleConfig { role_arn, session_name, external_id, duration: duration.transpose()? };
    match (value("web_identity_token_file"), value("source_profile"), value("credential_source")) {
        (Some(path), None, None) => {
            let RoleConfig { role_arn, session_name, .. } = role;
            Ok(Plan::WebIdentity(WebIdentityConfig { role_arn, token_path: PathBuf::from(path), session_name }))
        }
        (None, Some(source), None) => {
            let base = match depth.checked_sub(1) {
                None => return Err(bad(format!("is the end of more than {DEPTH_MAX} source_profile"))),
                // Its own keys, and not its own role again.
                Some(_) if source == name => keys_of(name, profile)?,
                Some(depth) => plan_of(profiles, source, depth)?,
            };
            match base {
                Plan::Nothing => Err(bad(format!("has source_profile {source:?}, which has no credentials"))),
                base => Ok(Plan::Role(role, Box::new(Base::Plan(base)))),
            }
        }
        (None, None, Some("Environment")) => Ok(Plan::Role(role, Box::new(Base::Environment))),
        (None, None, Some("EcsContainer")) => Ok(Plan::Role(role, Box::new(Base::Container))),
        (None, None, Some("Ec2InstanceMetadata")) => Ok(Plan::Role(role, Box::new(Base::InstanceMetadata))),
        (None, None, Some(_)) => {
            Err(bad("has a credential_source other than Environment, EcsContainer and Ec2InstanceMetadata".to_owned()))
        }
        (None, None, None) => {
            Err(bad("has role_arn, but none of source_profile, credential_source and web_identity_token_file".into()))
        }
        _ => Err(bad("has more than one of source_profile, credential_source and web_identity_token_file".to_owned())),
    }
}

/// The keys that stand in a profile.
fn keys_of(name: &str, profile: &Profile) -> Result<Plan, String> {
    let bad = |what: String| format!("the profile {name:?} {what}");
    let value = |key: &str| profile.get(key).map(String::as_str).filter(|value| !value.is_empty());
    match (value("aws_access_key_id"), value("aws_secret_access_key")) {
        (Some(id), Some(secret)) => {
            Keys::parse(id, secret, value("aws_session_token")).map(Plan::Keys).map_err(|what| bad(format!("has {what}")))
        }
        (Some(_), None) => Err(bad("has aws_access_key_id, but no aws_secret_access_key".to_owned())),
        (None, Some(_)) => Err(bad("has aws_secret_access_key, but no aws_access_key_id".to_owned())),
        (None, None) => match UNSUPPORTED.iter().find(|(key, _)| *key != "mfa_serial" && value(key).is_some()) {
            Some((key, what)) => Err(bad(format!("has {key}, and {what} is not supported"))),
            None => Ok(Plan::Nothing),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::profile::Kind;
    use super::*;

    fn planned(config: &str) -> Result<Option<Plan>, String> {
        let mut profiles = Profiles::default();
        profiles.add(Kind::Config, config.as_bytes()).unwrap();
        plan(&profiles, "default")
    }

    const KEYS: &str = "aws_access_key_id=AKID\naws_secret_access_key=hunter2\n";

    fn role(arn: &str) -> RoleConfig {
        RoleConfig { role_arn: arn.to_owned(), session_name: None, external_id: None, duration: None }
    }

    #[test]
    fn what_profiles_say() {
        #[track_caller]
        fn check(config: &str, want: Option<Plan>) {
            assert_eq!(planned(config), Ok(want), "{config}");
        }
        let keys = Plan::Keys(Keys::parse("AKID", "hunter2", None).unwrap());
        check("", None);
        check("[profile x]\n", None);
        check("[default]\nregion=r", Some(Plan::Nothing));
        check(&format!("[default]\n{KEYS}"), Some(keys.clone()));
        let with_token = Plan::Keys(Keys::parse("AKID", "hunter2", Some("hunter3")).unwrap());
        check(&format!("[default]\n{KEYS}aws_session_token=hunter3\nsso_session=x"), Some(with_token));

        let web = WebIdentityConfig { role_arn: "r".into(), token_path: "/t".into(), session_name: Some("me".into()) };
        let config = "[default]\nrole_arn=r\nweb_identity_token_file=/t\nrole_session_name=me";
        check(config, Some(Plan::WebIdentity(web)));

        let base = |base| Some(Plan::Role(role("r"), Box::new(base)));
        check(&format!("[default]\nrole_arn=r\nsource_profile=a\n[profile a]\n{KEYS}"), base(Base::Plan(keys.clone())));
        // Of a profile with keys and a role the role counts, and the keys where it names itself.
        check(&format!("[default]\nrole_arn=r\nsource_profile=default\n{KEYS}"), base(Base::Plan(keys.clone())));
        let middle = Plan::Role(role("s"), Box::new(Base::Plan(keys)));
        let config = "[default]\nrole_arn=r\nsource_profile=a\n[profile a]\nrole_arn=s\nsource_profile=b\n[profile b]\n";
        check(&format!("{config}{KEYS}"), base(Base::Plan(middle)));
        check("[default]\nrole_arn=r\ncredential_source=Environment", base(Base::Environment));
        check("[default]\nrole_arn=r\ncredential_source=EcsContainer", base(Base::Container));
        let full = RoleConfig { external_id: Some("e".into()), duration: Some(Duration::from_mins(15)), ..role("r") };
        check(
            "[default]\nrole_arn=r\ncredential_source=Ec2InstanceMetadata\nexternal_id=e\nduration_seconds=900",
            Some(Plan::Role(full, Box::new(Base::InstanceMetadata))),
        );
    }

    #[test]
    fn what_is_wrong_is_named_and_no_value_shown() {
        #[track_caller]
        fn check(settings: &str, want: &str) {
            let got = planned(&format!("[default]\n{}", settings.replace(' ', "\n"))).unwrap_err();
            assert_eq!(got, want);
            assert!(!got.contains("hunter"));
        }
        let start = "the profile \"default\" has";
        check("aws_access_key_id=hunter2", &format!("{start} aws_access_key_id, but no aws_secret_access_key"));
        check("aws_secret_access_key=hunter2", &format!("{start} aws_secret_access_key, but no aws_access_key_id"));
        let long = format!("aws_access_key_id={} aws_secret_access_key=hunter2", "hunter1".repeat(30));
        check(&long, &format!("{start} an access key id that is none"));
        check("sso_session=hunter2", &format!("{start} sso_session, and SSO is not supported"));
        check("sso_start_url=hunter2", &format!("{start} sso_start_url, and SSO is not supported"));
        check(
            "credential_process=hunter2",
            &format!("{start} credential_process, and running a program for credentials is not supported"),
        );
        check("login_session=hunter2", &format!("{start} login_session, and a session of `aws login` is not supported"));
        check(
            "role_arn=r source_profile=x mfa_serial=hunter2",
            &format!("{start} mfa_serial, and a second factor is not supported"),
        );
        check("role_arn=r source_profile=x", "there is no profile \"x\"");
        check("role_arn=r source_profile=default", &format!("{start} source_profile \"default\", which has no credentials"));
        let none = "role_arn, but none of source_profile, credential_source and web_identity_token_file";
        check("role_arn=r", &format!("{start} {none}"));
        let two = "more than one of source_profile, credential_source and web_identity_token_file";
        check("role_arn=r source_profile=x credential_source=Environment", &format!("{start} {two}"));
        let other = "a credential_source other than Environment, EcsContainer and Ec2InstanceMetadata";
        check("role_arn=r credential_source=hunter2", &format!("{start} {other}"));
        check(
            "role_arn=r credential_source=Environment duration_seconds=1",
            &format!("{start} duration_seconds other than 900 to 43200"),
        );
        check(
            "role_arn=r credential_source=Environment role_session_name=/",
            &format!("{start} a role_session_name that is none"),
        );
    }

    #[test]
    fn roles_in_a_circle_end() {
        let got = planned("[default]\nrole_arn=r\nsource_profile=a\n[profile a]\nrole_arn=s\nsource_profile=default\n");
        assert_eq!(got.unwrap_err(), "the profile \"a\" is the end of more than 5 source_profile");
    }
}
