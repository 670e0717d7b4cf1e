//! Which sources are chosen, and what is wrong with them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use crate::config::{Config, ConfigErrors, Sources, StoreConfig};
use crate::store::credentials::{ChainConfig, Keys};
use crate::store::{CredentialsConfig, S3Config};

/// The files of a machine. The home directory is `/home/me`, that of somebody with a broken file `/home/bad`.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let text = match path.to_str().unwrap() {
        "/home/me/.aws/config" => {
            "[default]\nregion = eu-west-1\n[profile sso]\nsso_session = s\nregion = eu-west-2\n[profile empty]\n\
             [profile env]\nrole_arn = r\ncredential_source = Environment\nregion=r\n[profile half]\nregion=r\n"
        }
        "/home/me/.aws/credentials" => {
            "[default]\naws_access_key_id = AKID\naws_secret_access_key = hunter2\n[half]\naws_access_key_id=A"
        }
        "/home/bad/.aws/config" => "[default]\nhunter2\n",
        "/home/sso/.aws/config" => "[default]\nsso_session = s\nregion=r\n",
        "/token" => "the-token\n",
        "/empty" => "\n",
        "/secret" => return Err(io::ErrorKind::PermissionDenied.into()),
        _ => return Err(io::ErrorKind::NotFound.into()),
    };
    Ok(text.into())
}

/// Reads a bucket's settings, and these.
fn read(flags: &[(&'static str, &str)], environment: &[(&str, &str)]) -> Result<S3Config, ConfigErrors> {
    let bucket = [("AWS_BUCKET_NAME", "videos"), ("AWS_REGION", "r")];
    let is_given = |name: &str| environment.iter().any(|(given, _)| *given == name);
    let environment = bucket.iter().filter(|(name, _)| !is_given(name)).chain(environment);
    let sources = Sources {
        flags: flags.iter().map(|(name, value)| (*name, OsString::from(value))).collect::<BTreeMap<_, _>>(),
        environment: environment.map(|(name, value)| (name.into(), value.into())).collect(),
        dotenv: Err(io::ErrorKind::NotFound.into()),
        is_terminal: true,
        is_directory: |_| false,
        read_file,
    };
    Config::from_sources(sources).map(|config| match config.store {
        StoreConfig::S3(s3) => s3,
        StoreConfig::Directory(path) => panic!("{path:?}"),
    })
}

#[track_caller]
fn chain(flags: &[(&'static str, &str)], environment: &[(&str, &str)]) -> ChainConfig {
    match read(flags, environment).map(|s3| s3.credentials) {
        Ok(CredentialsConfig::Chain(chain)) => *chain,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_bad(environment: &[(&str, &str)], want: &[&str]) {
    let errors = read(&[], environment).expect_err("a bad configuration");
    let got: Vec<_> = errors.problems().iter().map(ToString::to_string).collect();
    assert_eq!(got, want);
    assert!(!errors.to_string().contains("hunter"));
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];
const WEB: [(&str, &str); 2] = [("AWS_ROLE_ARN", "arn"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")];
const HOME: (&str, &str) = ("HOME", "/home/me");

#[test]
fn which_source_goes_first() {
    /// The first source: `keys`, `web` or `profile NAME`.
    #[track_caller]
    fn check(flags: &[(&'static str, &str)], environment: &[&[(&str, &str)]], want: &str) {
        let got = match read(flags, &environment.concat()).map(|s3| s3.credentials).unwrap() {
            CredentialsConfig::Static(_) => "keys".to_owned(),
            CredentialsConfig::Chain(chain) if chain.web_identity.is_some() => "web".to_owned(),
            CredentialsConfig::Chain(chain) => format!("profile {}", chain.profile.unwrap().name),
        };
        assert_eq!(got, want);
    }
    check(&[], &[&[HOME]], "profile default");
    check(&[], &[&[HOME], &KEYS, &WEB], "keys");
    check(&[], &[&[HOME], &WEB], "web");
    let named = [("AWS_PROFILE", "empty")];
    check(&[], &[&[HOME], &named], "profile empty");
    check(&[], &[&[HOME], &named, &WEB], "web");
    check(&[], &[&[HOME], &named, &WEB, &KEYS], "keys");
    // Whoever writes a flag means it.
    check(&[("profile", "empty")], &[&[HOME], &KEYS, &WEB], "profile empty");
    check(&[("role-arn", "arn"), ("profile", "empty")], &[&[HOME], &KEYS, &WEB], "web");
    check(&[("access-key-id", "id"), ("profile", "empty")], &[&[HOME], &KEYS], "keys");
}

#[test]
fn all_that_can_be_set_arrives() {
    let chain_of = |environment: &[(&str, &str)]| chain(&[], &[&[HOME], environment].concat());
    let plain = chain_of(&[]);
    assert_eq!(plain.instance_metadata.unwrap().endpoint, "http://169.254.169.254");
    assert!(plain.container.is_none() && plain.environment.is_none());
    assert_eq!((plain.sts.endpoint, plain.sts.region.as_str()), (None, "r"));

    let mode = chain_of(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv6")]);
    assert_eq!(mode.instance_metadata.unwrap().endpoint, "http://[fd00:ec2::254]");
    let own = chain_of(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")]);
    assert_eq!(own.instance_metadata.unwrap().endpoint, "http://127.0.0.1:1");
    assert!(chain_of(&[("AWS_EC2_METADATA_DISABLED", "True")]).instance_metadata.is_none());

    let ecs = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost/full"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/relative"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hunter2"),
    ];
    let shown = format!("{:?}", chain_of(&ecs).container.unwrap());
    assert!(shown.contains("169.254.170.2/relative") && shown.contains("Token(") && !shown.contains("hunter2"), "{shown}");
    let shown =
        format!("{:?}", chain_of(&[&ecs[..1], &[("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/token")], &ecs[2..]].concat()));
    assert!(shown.contains("localhost/full") && shown.contains("File(\"/token\")"), "{shown}");

    let web = chain_of(&[&WEB[..], &[("AWS_ROLE_SESSION_NAME", "me")]].concat()).web_identity.unwrap();
    assert_eq!(
        (web.role_arn.as_str(), web.token_path.to_str(), web.session_name.as_deref()),
        ("arn", Some("/token"), Some("me"))
    );

    let files = [("AWS_CONFIG_FILE", "~/.aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", "/home/me/.aws/credentials")];
    let profile = chain_of(&files).profile.unwrap();
    assert_eq!(profile.config_file.unwrap().path, Path::new("/home/me/.aws/config"));
    assert_eq!(profile.credentials_file.unwrap().path, Path::new("/home/me/.aws/credentials"));

    let environment = chain(&[("profile", "env")], &[&[HOME][..], &KEYS].concat()).environment.unwrap();
    assert_eq!(environment, Keys { access_key_id: "id".into(), secret_access_key: "secret".into(), session_token: None });
}

#[test]
fn where_sts_is() {
    #[track_caller]
    fn check(environment: &[(&str, &str)], want: Option<&str>) {
        assert_eq!(chain(&[], &[&[HOME], environment].concat()).sts.endpoint.as_deref(), want);
    }
    check(&[("AWS_ENDPOINT_URL", "http://a")], Some("http://a"));
    check(&[("AWS_ENDPOINT_URL_S3", "http://a")], None);
    check(&[("AWS_ENDPOINT_URL_S3", "http://a"), ("AWS_ENDPOINT_URL_STS", "http://b")], Some("http://b"));
    check(&[("AWS_ENDPOINT_URL", "http://a"), ("AWS_ENDPOINT_URL_STS", "http://b")], Some("http://b"));
}

#[test]
fn the_region_may_be_that_of_the_profile() {
    #[track_caller]
    fn check(environment: &[(&str, &str)], want: &str) {
        let s3 = read(&[], &[&[("AWS_REGION", ""), HOME], environment].concat()).unwrap();
        assert_eq!(s3.region, want);
        if let CredentialsConfig::Chain(chain) = s3.credentials {
            assert_eq!(chain.sts.region, want);
        }
    }
    check(&[], "eu-west-1");
    check(&KEYS, "eu-west-1");
    check(&[&KEYS[..], &[("AWS_PROFILE", "sso")]].concat(), "eu-west-2");
    check(&[("AWS_DEFAULT_REGION", "eu-west-3")], "eu-west-3");
    // With an endpoint and keys nobody's profile is looked at.
    check(&[&KEYS[..], &[("AWS_ENDPOINT_URL_S3", "http://a")]].concat(), "us-east-1");
    check(&[&KEYS[..], &[("AWS_ENDPOINT_URL_S3", "http://a"), ("HOME", "/home/bad")]].concat(), "us-east-1");
    check(&[("AWS_ENDPOINT_URL_S3", "http://a")], "eu-west-1");
    check(&[("AWS_ENDPOINT_URL_S3", "http://a"), ("AWS_PROFILE", "empty")], "us-east-1");
}

#[test]
fn what_is_wrong_is_said_before_anybody_is_asked() {
    check_bad(&KEYS[..1], &["AWS_SECRET_ACCESS_KEY: not set; expected the secret of the access key"]);
    check_bad(&KEYS[1..], &["AWS_ACCESS_KEY_ID: not set; expected the access key of the bucket"]);
    check_bad(
        &[("AWS_SESSION_TOKEN", "hunter2")],
        &[
            "AWS_ACCESS_KEY_ID: not set; expected the access key of the bucket",
            "AWS_SECRET_ACCESS_KEY: not set; expected the secret of the access key",
        ],
    );
    check_bad(&WEB[..1], &["AWS_WEB_IDENTITY_TOKEN_FILE: not set; expected the file with the token for AWS_ROLE_ARN"]);
    check_bad(&WEB[1..], &["AWS_ROLE_ARN: not set; expected the role to take with the token of AWS_WEB_IDENTITY_TOKEN_FILE"]);
    let web = |path| [("AWS_ROLE_ARN", "arn"), ("AWS_WEB_IDENTITY_TOKEN_FILE", path)];
    check_bad(&web("/gone"), &["AWS_WEB_IDENTITY_TOKEN_FILE: /gone cannot be read: entity not found"]);
    check_bad(&web("/empty"), &["AWS_WEB_IDENTITY_TOKEN_FILE: /empty holds no token"]);
    let container =
        [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost/"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/secret")];
    check_bad(&container, &["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: /secret cannot be read: permission denied"]);
    // Where nobody will ask for it, nobody needs its token.
    assert!(read(&[], &[&KEYS[..], &container].concat()).is_ok());
    check_bad(
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/"), ("AWS_EC2_METADATA_DISABLED", "yes")],
        &[
            "AWS_CONTAINER_CREDENTIALS_FULL_URI = \"http://evil.example/\": expected an https:// URL, or an http:// URL of \
             localhost, a loopback address, 169.254.170.2, 169.254.170.23 or [fd00:ec2::23]",
            "AWS_EC2_METADATA_DISABLED = \"yes\": expected one of true, false",
        ],
    );
    let nothing = "AWS_ACCESS_KEY_ID: not set, and nothing else is; expected an access key, a profile, a role with its token, or \
                   a container endpoint, for EC2 metadata is turned off";
    check_bad(&[("AWS_EC2_METADATA_DISABLED", "true")], &[nothing]);
    check_bad(&[("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_PROFILE", "empty"), HOME], &[nothing]);
}

#[test]
fn what_is_wrong_with_profiles() {
    let named = |name| [HOME, ("AWS_PROFILE", name)];
    let missing = "there is no profile \"nobody\" in /home/me/.aws/config or /home/me/.aws/credentials";
    check_bad(&named("nobody"), &[&format!("AWS_PROFILE: {missing}")]);
    check_bad(&named("sso"), &["AWS_PROFILE: the profile \"sso\" has sso_session, and SSO is not supported"]);
    check_bad(&named("half"), &["AWS_PROFILE: the profile \"half\" has aws_access_key_id, but no aws_secret_access_key"]);
    check_bad(
        &named("env"),
        &[
            "AWS_ACCESS_KEY_ID: not set; expected the access key that the profile takes its role with",
            "AWS_SECRET_ACCESS_KEY: not set; expected the secret of the access key",
        ],
    );
    check_bad(&named("a\nb"), &["AWS_PROFILE = \"a\\nb\": expected the name of a profile"]);
    check_bad(&[("HOME", "/home/sso")], &["AWS_PROFILE: the profile \"default\" has sso_session, and SSO is not supported"]);
    let bad = "AWS_PROFILE: /home/bad/.aws/config line 2: expected [profile], name = value or a comment, in UTF-8";
    check_bad(&[("HOME", "/home/bad")], &[bad]);
    // Once, and not the region that it may have had too.
    check_bad(&[("HOME", "/home/bad"), ("AWS_REGION", "")], &[bad]);
    check_bad(&[HOME, ("AWS_CONFIG_FILE", "/gone")], &["AWS_PROFILE: /gone cannot be read: entity not found"]);
    let no_home = "AWS_PROFILE: there is no profile \"x\", for there are no files: HOME is not set";
    check_bad(&[("AWS_PROFILE", "x")], &[no_home]);
    // Where keys are set, what a profile cannot give is not missed, but a profile that is named must exist.
    assert!(read(&[], &[&KEYS[..], &named("sso")].concat()).is_ok());
    check_bad(&[&KEYS[..], &named("nobody")].concat(), &[&format!("AWS_PROFILE: {missing}")]);
    let flags = [("profile", "nobody")];
    assert!(read(&flags, &[HOME]).unwrap_err().to_string().ends_with(&format!("--profile: {missing}")));
}
