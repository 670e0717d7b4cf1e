use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::*;
use crate::store::{Addressing, CredentialsConfig};

/// The published key of RFC 6979 appendix A.2.5, on P-256.
const KEY: &str = "-----BEGIN EC PRIVATE KEY-----
MDECAQEEIMmvqdhFunUWa1whV2ex0WqTTlDD2zbomxJ7imIrEg9noAoGCCqGSM49
AwEH
-----END EC PRIVATE KEY-----
";

/// A machine on which the directories `./samples` and `/videos` exist, and nothing is set.
fn nothing() -> Sources {
    Sources {
        flags: BTreeMap::new(),
        environment: Vec::new(),
        dotenv: Err(io::ErrorKind::NotFound.into()),
        is_terminal: true,
        is_directory: |path| path == Path::new("./samples") || path == Path::new("/videos"),
        read_file: |path| match path.to_str() {
            Some("/key") => Ok(KEY.as_bytes().to_vec()),
            Some("/public") => Ok(b"-----BEGIN PUBLIC KEY-----\nhunter9\n-----END PUBLIC KEY-----".to_vec()),
            Some("/bytes") => Ok(vec![0xff]),
            _ => Err(io::ErrorKind::NotFound.into()),
        },
    }
}

fn pairs(environment: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    environment.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn from_env(environment: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Config::from_sources(Sources { environment: pairs(environment), ..nothing() })
}

/// Asserts that an environment has exactly these problems, in this order.
#[track_caller]
fn check_bad(environment: &[(&str, &str)], want: &[&str]) {
    let errors = from_env(environment).expect_err("a bad configuration");
    let got: Vec<_> = errors.problems().iter().map(ToString::to_string).collect();
    assert_eq!(got, want);
}

const BUCKET: &[(&str, &str)] = &[
    ("AWS_BUCKET_NAME", "videos"),
    ("AWS_REGION", "eu-central-1"),
    ("AWS_ACCESS_KEY_ID", "id-of-the-key"),
    ("AWS_SECRET_ACCESS_KEY", "hunter2"),
];

#[track_caller]
fn s3(environment: &[(&str, &str)]) -> S3Config {
    match from_env(environment).map(|config| config.store) {
        Ok(StoreConfig::S3(s3)) => s3,
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults_in_full() {
    let config = Config::default();
    assert_eq!((config.host.as_str(), config.port), ("127.0.0.1", 3001));
    assert!(matches!(&config.store, StoreConfig::Directory(dir) if dir == Path::new("./samples")));
    assert_eq!((config.chunk_len, config.workers_per_core, config.connections_max), (1 << 20, 8, None));
    assert_eq!((config.header_timeout, config.idle_timeout), (Duration::from_secs(10), Duration::from_mins(1)));
    assert_eq!((config.meta_ttl, config.redis.is_none()), (Duration::from_mins(1), true));
    assert_eq!((config.stall_timeout, config.drain_timeout), (Duration::from_mins(30), Duration::from_secs(20)));
    assert_eq!(config.cors, CorsOrigins::List(vec!["http://localhost:3000".to_owned()]));
    assert_eq!((config.log_level, config.log_format), (LevelFilter::Info, LogFormat::Text));
    // What is read where nothing is set is the same.
    assert_eq!(format!("{:?}", from_env(&[]).unwrap()), format!("{config:?}"));
}

#[test]
fn logs_are_text_on_a_terminal_and_json_elsewhere() {
    let format = |is_terminal, environment: &[_]| {
        Config::from_sources(Sources { is_terminal, environment: pairs(environment), ..nothing() }).unwrap().log_format
    };
    assert_eq!(format(true, &[]), LogFormat::Text);
    assert_eq!(format(false, &[]), LogFormat::Json);
    assert_eq!(format(false, &[("VIDGATE_LOG_FORMAT", "text")]), LogFormat::Text);
    assert_eq!(format(true, &[("VIDGATE_LOG_FORMAT", "json")]), LogFormat::Json);
}

/// Every setting with a good value, how it shows in the configuration, and a bad value.
const VALUES: &[(&str, &str, &str, &str)] = &[
    ("HOST", "[::1]", r#"host: "::1""#, "localhost:80"),
    ("PORT", "0", "port: 0", "65536"),
    ("VIDGATE_DIR", "/videos", r#"Directory("/videos")"#, "/nowhere"),
    ("VIDGATE_METRICS_ADDRESS", "[::1]:0", "metrics_addr: Some([::1]:0)", "localhost:9100"),
    ("VIDGATE_META_TTL", "0s", "meta_ttl: 0ns", "25h"),
    ("VIDGATE_CHUNK_SIZE", "16 kib", "chunk_len: 16384", "8193KiB"),
    ("VIDGATE_WORKERS_PER_CORE", "256", "workers_per_core: 256", "0"),
    ("VIDGATE_MAX_CONNECTIONS", "10", "connections_max: Some(10)", "many"),
    ("VIDGATE_HEADER_TIMEOUT", "1ms", "header_timeout: 1ms", "10"),
    ("VIDGATE_IDLE_TIMEOUT", "2s", "idle_timeout: 2s", "0s"),
    ("VIDGATE_STALL_TIMEOUT", "3m", "stall_timeout: 180s", "25h"),
    ("VIDGATE_DRAIN_TIMEOUT", "4s", "drain_timeout: 4s", "soon"),
    ("VIDGATE_MAX_STREAMS", "7", "streams_max: 7", "-1"),
    ("VIDGATE_MAX_STREAMS_PER_IP", "3", "streams_per_ip_max: 3", "many"),
    ("VIDGATE_RATE", "1MiB", "rate: Some(1048576)", "4095"),
    ("VIDGATE_BURST", "0", "burst: 0", "8MB"),
    ("VIDGATE_CACHE_RAM", "1MiB", "cache_ram: 1048576", "1023KiB"),
    ("VIDGATE_CACHE_DIR", "kept here", "cache_dir: Some(\"kept here\")", "~/x"),
    ("VIDGATE_CACHE_DISK", "1GiB", "cache_disk: 1073741824", "0"),
    ("VIDGATE_TRUSTED_PROXIES", "10.0.0.0/8, ::1", "trusted_proxies: [10.0.0.0/8, ::1/128]", "10.0.0.0/33"),
    ("VIDGATE_URL_TTL", "168h", "url_ttl: 604800s", "169h"),
    ("VIDGATE_MAX_UPLOAD", "5120GiB", "upload_max: 5497558138880", "0"),
    ("VIDGATE_UPLOAD_EXPIRY", "720h", "upload_expiry: 2592000s", "999ms"),
    ("VIDGATE_HLS_JS", "/srv/hls.min.js", r#"hls_js: Some("/srv/hls.min.js")"#, "/srv/hls.mjs"),
    ("VIDGATE_CORS_ORIGINS", "*", "cors: Any", "http://a/"),
    ("VIDGATE_LOG", "Trace", "log_level: Trace", "loud"),
    ("VIDGATE_LOG_FORMAT", "json", "log_format: Json", "xml"),
];

#[test]
fn every_setting_good_and_bad_by_variable_flag_and_file() {
    for (name, good, shown, bad) in VALUES {
        let Setting { flag, part, .. } = SETTINGS.iter().find(|setting| setting.name() == *name).unwrap();
        if part.missing().is_some() {
            // `settings_of_what_was_left_out_are_refused_and_nothing_else_is_missed` has these.
            continue;
        }
        let by = |value: &str| {
            [
                Sources { environment: pairs(&[(name, value)]), ..nothing() },
                Sources { flags: BTreeMap::from([(*flag, value.into())]), ..nothing() },
                Sources { dotenv: Ok(format!("{name}='{value}'").into_bytes()), ..nothing() },
            ]
        };
        for sources in by(good) {
            let config = format!("{:?}", Config::from_sources(sources).unwrap());
            assert!(config.contains(shown), "{name}={good} gave {config}");
        }
        for (sources, told) in by(bad).into_iter().zip([(*name).to_owned(), format!("--{flag}"), format!("{name} (.env)")]) {
            let errors = Config::from_sources(sources).unwrap_err();
            let [problem] = errors.problems() else { panic!("{errors}") };
            assert_eq!((problem.name.as_str(), problem.value.as_deref()), (told.as_str(), Some(format!("{bad:?}").as_str())));
            assert!(problem.what.starts_with("expected "), "{problem}");
        }
    }
}

/// Every secret that stands alone, with a good value, how it shows, and a bad value.
const SECRETS: &[(&str, &str, &str, &str)] = &[
    ("VIDGATE_PLAYBACK_KEYS", "k1:hunter2-hunter2-hunter2-hunter2-hunter2", "playback_keys: Some([\"k1\"])", "k1:hunter2"),
    ("VIDGATE_ADMIN_TOKEN", "hunter2", "admin_token: Some(AdminToken)", "hunter 2"),
];

#[test]
fn secrets_are_read_and_never_shown() {
    for (name, good, shown, bad) in SECRETS {
        let config = format!("{:?}", from_env(&[(name, good)]).unwrap());
        assert!(config.contains(shown) && !config.contains("hunter"), "{name} gave {config}");
        let errors = from_env(&[(name, bad)]).unwrap_err();
        let [problem] = errors.problems() else { panic!("{errors}") };
        assert_eq!((problem.name.as_str(), problem.value.as_deref()), (*name, Some("<redacted>")));
        assert!(problem.what.starts_with("expected ") && !errors.to_string().contains("hunter"), "{errors}");
    }
}

#[cfg(feature = "cloudfront")]
#[test]
fn cloudfront_and_its_key_pair() {
    const DOMAIN: (&str, &str) = ("CLOUDFRONT_DOMAIN", "d1.cloudfront.net");
    const ID: (&str, &str) = ("CLOUDFRONT_KEY_PAIR_ID", "K1");
    const TEXT: (&str, &str) = ("CLOUDFRONT_PRIVATE_KEY", KEY);
    const FILE: (&str, &str) = ("CLOUDFRONT_PRIVATE_KEY_FILE", "/key");
    let shown = |environment: &[_]| format!("{:?}", from_env(environment).unwrap().cloudfront);
    assert_eq!(shown(&[("CLOUDFRONT_HASH", "sha256")]), "None");
    assert_eq!(shown(&[DOMAIN]), r#"Some(CloudFront { domain: Domain("d1.cloudfront.net"), signer: None })"#);
    let signed = |hash: &str| {
        format!(
            r#"Some(CloudFront {{ domain: Domain("d1.cloudfront.net"), signer: Some(Signer {{ key_pair_id: "K1", key: PrivateKey(P-256), hash: {hash} }}) }})"#
        )
    };
    assert_eq!(shown(&[DOMAIN, ID, TEXT]), signed("Sha1"));
    assert_eq!(shown(&[DOMAIN, ID, FILE, ("CLOUDFRONT_HASH", "SHA256")]), signed("Sha256"));
    assert_eq!(shown(&[DOMAIN, ID, ("CLOUDFRONT_PRIVATE_KEY", &KEY.replace('\n', "\\n"))]), signed("Sha1"));

    let (no_domain, no_id, no_key) = (
        "CLOUDFRONT_DOMAIN: not set; expected the host name of the distribution that the key pair is for",
        "CLOUDFRONT_KEY_PAIR_ID: not set; expected the id that CloudFront has given the public key",
        "CLOUDFRONT_PRIVATE_KEY or CLOUDFRONT_PRIVATE_KEY_FILE: not set; expected the private key of the pair",
    );
    check_bad(&[ID], &[no_domain, no_key]);
    check_bad(&[TEXT], &[no_domain, no_id]);
    check_bad(&[DOMAIN, FILE], &[no_id]);
    check_bad(&[DOMAIN, ID], &[no_key]);
    let both = "CLOUDFRONT_PRIVATE_KEY and CLOUDFRONT_PRIVATE_KEY_FILE: both are set; expected one of them";
    check_bad(&[DOMAIN, ID, TEXT, FILE], &[both]);
    // All at once, and none of it shown.
    check_bad(
        &[
            ("CLOUDFRONT_DOMAIN", "https://d1.cloudfront.net"),
            ("CLOUDFRONT_KEY_PAIR_ID", "K 1"),
            ("CLOUDFRONT_PRIVATE_KEY", "hunter2"),
            ("CLOUDFRONT_HASH", "md5"),
        ],
        &[
            r#"CLOUDFRONT_DOMAIN = "https://d1.cloudfront.net": expected a host name without scheme, port and path, such as d111111abcdef8.cloudfront.net"#,
            r#"CLOUDFRONT_KEY_PAIR_ID = "K 1": expected the id of a public key at CloudFront, such as K2JCJMDEHXQW5F"#,
            "CLOUDFRONT_PRIVATE_KEY = <redacted>: expected a private key of RSA with 2048 bits or ECDSA P-256, as PEM; \
             the private key cannot be used: there is no line -----BEGIN ... PRIVATE KEY----- in it",
            r#"CLOUDFRONT_HASH = "md5": expected one of sha1, sha256"#,
        ],
    );
    for (path, why) in [
        ("/nowhere", "cannot be read: entity not found"),
        ("/bytes", "expected a file of text, as PEM is"),
        (
            "/public",
            "expected the file to hold a private key of RSA with 2048 bits or ECDSA P-256, as PEM; the private key cannot be \
             used: there is only a public key or a certificate in it",
        ),
    ] {
        let told = format!("CLOUDFRONT_PRIVATE_KEY_FILE = {path:?}: {why}");
        check_bad(&[DOMAIN, ID, ("CLOUDFRONT_PRIVATE_KEY_FILE", path)], &[&told]);
    }
}

#[test]
fn the_table_of_values_leaves_no_setting_out() {
    // What needs a bucket, what depends on one another, and secrets have tests of their own.
    let starts = |name: &str| ["AWS_", "CLOUDFRONT_"].iter().any(|start| name.starts_with(start));
    let own = |name: &str| starts(name) || matches!(name, "VIDGATE_S3_STYLE" | "REDIS_URL");
    let tested = |name: &str| VALUES.iter().any(|row| row.0 == name) || SECRETS.iter().any(|row| row.0 == name) || own(name);
    assert!(SETTINGS.iter().all(|setting| tested(setting.name())));
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_file() {
    let port = |flag: Option<&str>, environment: &[(&str, &str)], dotenv: &str| {
        let flags = flag.map(|value| ("port", value.into())).into_iter().collect();
        let dotenv = Ok(dotenv.as_bytes().to_vec());
        Config::from_sources(Sources { flags, environment: pairs(environment), dotenv, ..nothing() }).unwrap().port
    };
    assert_eq!(port(Some("1"), &[("PORT", "2")], "PORT=3"), 1);
    assert_eq!(port(None, &[("PORT", "2")], "PORT=3"), 2);
    assert_eq!(port(None, &[], "PORT=3"), 3);
    assert_eq!(port(None, &[], ""), 3001);
    // Empty is unset, at each level below the flag.
    assert_eq!(port(None, &[("PORT", "")], "PORT=3"), 3);
    assert_eq!(port(None, &[("PORT", "")], "PORT="), 3001);
    // The one that loses is not looked at.
    assert_eq!(port(Some("1"), &[("PORT", "x")], "PORT=y"), 1);
}

#[test]
fn an_empty_flag_is_a_value() {
    let flags = BTreeMap::from([("host", OsString::new()), ("bucket", OsString::new())]);
    let errors = Config::from_sources(Sources { flags, ..nothing() }).unwrap_err().to_string();
    assert!(errors.contains("--host = \"\": expected") && errors.contains("--bucket = \"\": expected"), "{errors}");
}

#[test]
fn second_names_are_read_where_the_first_is_unset() {
    let mut environment = BUCKET.to_vec();
    environment.retain(|(name, _)| *name != "AWS_REGION");
    environment.extend([("AWS_DEFAULT_REGION", "b"), ("AWS_ENDPOINT_URL", "http://b")]);
    assert_eq!((s3(&environment).region.as_str(), s3(&environment).endpoint.as_deref()), ("b", Some("http://b")));
    environment.extend([("AWS_REGION", ""), ("AWS_ENDPOINT_URL_S3", "http://a")]);
    assert_eq!((s3(&environment).region.as_str(), s3(&environment).endpoint.as_deref()), ("b", Some("http://a")));
    environment.retain(|(name, _)| *name != "AWS_REGION");
    environment.push(("AWS_REGION", "a"));
    assert_eq!(s3(&environment).region, "a");
    // The name by which it was found is the one that is told.
    environment.retain(|(name, _)| *name != "AWS_REGION" && *name != "AWS_DEFAULT_REGION");
    environment.push(("AWS_DEFAULT_REGION", "a b"));
    check_bad(&environment, &[r#"AWS_DEFAULT_REGION = "a b": expected the name of a region, such as eu-central-1"#]);
}

#[test]
fn a_bucket_and_what_it_needs() {
    let plain = s3(BUCKET);
    assert_eq!((plain.bucket.as_str(), plain.region.as_str(), plain.endpoint.as_deref()), ("videos", "eu-central-1", None));
    let keys = |s3: &S3Config| match &s3.credentials {
        CredentialsConfig::Static(keys) => keys.clone(),
        CredentialsConfig::Chain(chain) => panic!("{chain:?}"),
    };
    assert_eq!((keys(&plain).access_key_id.as_str(), keys(&plain).secret_access_key.as_str()), ("id-of-the-key", "hunter2"));
    assert_eq!((keys(&plain).session_token, plain.addressing), (None, Addressing::Auto));

    let more = [("AWS_SESSION_TOKEN", "token"), ("VIDGATE_S3_STYLE", "virtual"), ("AWS_ENDPOINT_URL_S3", "http://minio:9000")];
    let full = s3(&[BUCKET, &more].concat());
    assert_eq!((keys(&full).session_token.as_deref(), full.addressing), (Some("token"), Addressing::Virtual));
    assert_eq!(full.endpoint.as_deref(), Some("http://minio:9000"));

    // A store of one's own needs no region.
    let without_region: Vec<_> = BUCKET.iter().copied().filter(|(name, _)| *name != "AWS_REGION").collect();
    assert_eq!(s3(&[without_region.as_slice(), &more].concat()).region, "us-east-1");

    check_bad(
        &without_region,
        &["AWS_REGION: not set; expected the region of the bucket, or AWS_ENDPOINT_URL_S3 for a store other than AWS"],
    );
    check_bad(
        &[("AWS_BUCKET_NAME", "videos"), ("AWS_SECRET_ACCESS_KEY", "hunter2")],
        &[
            "AWS_REGION: not set; expected the region of the bucket, or AWS_ENDPOINT_URL_S3 for a store other than AWS",
            "AWS_ACCESS_KEY_ID: not set; expected the access key of the bucket",
        ],
    );

    // Each is legal by itself, and they cannot go together.
    let together = [("AWS_ENDPOINT_URL_S3", "http://192.0.2.1:9000"), ("VIDGATE_S3_STYLE", "virtual")];
    let told = "AWS_BUCKET_NAME: the S3 endpoint cannot carry the bucket \"videos\" in its host name: path addressing can";
    check_bad(&[BUCKET, &together].concat(), &[told]);
}

#[cfg(feature = "redis")]
#[test]
fn a_redis_goes_with_a_bucket_and_its_url_is_a_secret() {
    let with = |url| from_env(&[BUCKET, &[("REDIS_URL", url)]].concat()).unwrap().redis;
    assert_eq!(with("rediss://:hunter2@cache:6380/1").unwrap().address(), "cache:6380");
    assert_eq!(with(""), None);
    let shown = format!("{:?}", with("redis://hunter1:hunter2@cache"));
    assert!(shown.contains("cache") && !shown.contains("hunter"), "{shown}");
    for bad in ["hunter2", "redis://:hunter2@", "rediss://:hunter2@h/#insecure"] {
        let errors = from_env(&[BUCKET, &[("REDIS_URL", bad)]].concat()).unwrap_err().to_string();
        assert!(
            errors.contains("REDIS_URL = <redacted>: expected a URL such as redis://") && !errors.contains("hunter2"),
            "{errors}"
        );
    }
    // Without a bucket it is another program's, and as a flag a mistake.
    assert_eq!(from_env(&[("REDIS_URL", "hunter2")]).unwrap().redis, None);
    let flags = BTreeMap::from([("redis-url", "redis://:hunter2@h".into())]);
    let errors = Config::from_sources(Sources { flags, ..nothing() }).unwrap_err().to_string();
    assert!(errors.contains("--redis-url = <redacted>: needs a bucket") && !errors.contains("hunter2"), "{errors}");
}

#[test]
fn settings_of_what_was_left_out_are_refused_and_nothing_else_is_missed() {
    let sample = |setting: &Setting| match setting.secrecy {
        Secrecy::Secret => ("hunter2", "<redacted>".to_owned()),
        Secrecy::Public => ("x", "\"x\"".to_owned()),
    };
    for setting in SETTINGS {
        let Some(feature) = setting.part.missing() else { continue };
        let (value, shown) = sample(setting);
        let told = format!("{} = {shown}: this program was built without its feature {feature}", setting.name());
        check_bad(&[BUCKET, &[(setting.name(), value)]].concat(), &[&told]);
    }
}

#[test]
fn values_that_were_told_are_not_missed_again() {
    check_bad(
        &[
            ("AWS_BUCKET_NAME", "a/b"),
            ("AWS_REGION", "a b"),
            ("AWS_ACCESS_KEY_ID", "hunter1 "),
            ("AWS_SECRET_ACCESS_KEY", "hunter2\n"),
            ("AWS_SESSION_TOKEN", "hunter 3"),
            ("AWS_ENDPOINT_URL", "http://me:hunter4@minio"),
            ("VIDGATE_S3_STYLE", "dns"),
        ],
        &[
            r#"AWS_BUCKET_NAME = "a/b": expected the name of a bucket, without its URL"#,
            r#"AWS_REGION = "a b": expected the name of a region, such as eu-central-1"#,
            "AWS_ACCESS_KEY_ID = <redacted>: expected visible ASCII characters without spaces",
            "AWS_SECRET_ACCESS_KEY = <redacted>: expected visible ASCII characters without spaces",
            "AWS_SESSION_TOKEN = <redacted>: expected visible ASCII characters without spaces",
            "AWS_ENDPOINT_URL = <redacted>: expected an http:// or https:// URL without user name or query, such as \
             http://127.0.0.1:9000",
            r#"VIDGATE_S3_STYLE = "dns": expected one of auto, path, virtual"#,
        ],
    );
}

#[test]
fn which_store() {
    let both = [BUCKET, &[("VIDGATE_DIR", "/videos")]].concat();
    check_bad(&both, &["AWS_BUCKET_NAME and VIDGATE_DIR: both are set; expected a bucket or a directory, not both"]);
    check_bad(&[("VIDGATE_DIR", "/nowhere")], &[r#"VIDGATE_DIR = "/nowhere": expected a directory that exists"#]);
    let errors = Config::from_sources(Sources { is_directory: |_| false, ..nothing() }).unwrap_err();
    assert_eq!(
        errors.problems()[0].to_string(),
        "AWS_BUCKET_NAME or VIDGATE_DIR: neither is set, and there is no directory ./samples; expected a bucket or a directory"
    );
    // Keys without a bucket are for another program, broken ones too; a flag is for nobody else; ours is always checked.
    let theirs = [("AWS_REGION", "a b"), ("AWS_ACCESS_KEY_ID", " "), ("AWS_ENDPOINT_URL", "x"), ("AWS_PROFILE", "me")];
    assert!(matches!(from_env(&theirs).unwrap().store, StoreConfig::Directory(_)));
    check_bad(&[("VIDGATE_S3_STYLE", "dns")], &[r#"VIDGATE_S3_STYLE = "dns": expected one of auto, path, virtual"#]);
    let flags = BTreeMap::from([("secret-access-key", "hunter2".into()), ("region", "a".into())]);
    let errors = Config::from_sources(Sources { flags, ..nothing() }).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "bad configuration, 2 problems:\n  --region = \"a\": needs a bucket; expected --bucket or AWS_BUCKET_NAME with it\n  \
         --secret-access-key = <redacted>: needs a bucket; expected --bucket or AWS_BUCKET_NAME with it"
    );
}

#[test]
fn all_problems_come_at_once() {
    let environment =
        pairs(&[("PORT", "x"), ("VIDGATE_LOG", "loud"), ("VIDGATE_CHUNKSIZE", "hunter2"), ("VIDGATE_DIR", "/no")]);
    let flags = BTreeMap::from([("idle-timeout", "5".into())]);
    let dotenv = Ok(b"HOST\nVIDGATE_LGO=hunter3\nAWS_BUCKET_NAME=\nOTHER=x\n".to_vec());
    let errors = Config::from_sources(Sources { flags, environment, dotenv, ..nothing() }).unwrap_err();
    let got: Vec<_> =
        errors.problems().iter().map(|problem| problem.to_string().chars().take(66).collect::<String>()).collect();
    assert_eq!(
        got,
        [
            ".env line 1: expected NAME=value, a value with spaces in quotes, i",
            "VIDGATE_CHUNKSIZE: no such setting; did you mean VIDGATE_CHUNK_SIZ",
            "VIDGATE_LGO (.env): no such setting; did you mean VIDGATE_LOG?",
            "PORT = \"x\": expected a port number, 0 to 65535 (0 picks a free one",
            "--idle-timeout = \"5\": expected a duration with its unit (ms, s, m ",
            "VIDGATE_LOG = \"loud\": expected one of off, error, warn, info, debu",
            "VIDGATE_DIR = \"/no\": expected a directory that exists",
        ]
    );
    assert!(!errors.to_string().contains("hunter"));
}

#[test]
fn unknown_names() {
    check_bad(&[("VIDGATE_COLOUR", "x"), ("COLOUR", "y")], &["VIDGATE_COLOUR: no such setting"]);
    check_bad(&[("VIDGATE_CHUNK_SIZES", "")], &["VIDGATE_CHUNK_SIZES: no such setting; did you mean VIDGATE_CHUNK_SIZE?"]);
    check_bad(
        &[("VIDGATE_SERVICE_HOST", "10.0.0.1")],
        &["VIDGATE_SERVICE_HOST: no such setting; if Kubernetes set it, set enableServiceLinks: false on the pod"],
    );
    check_bad(&[("VIDGATE_\n", "x")], &["VIDGATE_\\n: no such setting"]);
}

#[test]
fn what_is_not_utf_8_is_an_error() {
    let bad = OsStr::from_bytes(b"caf\xe9").to_owned();
    let environment = vec![
        ("HOST".into(), bad.clone()),
        ("AWS_BUCKET_NAME".into(), "videos".into()),
        ("AWS_ACCESS_KEY_ID".into(), bad.clone()),
        ("OTHER".into(), bad.clone()),
        (bad.clone(), bad.clone()),
        (OsStr::from_bytes(b"VIDGATE_\xff").to_owned(), bad),
    ];
    let errors = Config::from_sources(Sources { environment, ..nothing() }).unwrap_err().to_string();
    assert!(errors.contains("\n  HOST = \"caf\u{fffd}\": expected UTF-8\n"), "{errors}");
    assert!(errors.contains("\n  AWS_ACCESS_KEY_ID = <redacted>: expected UTF-8\n"), "{errors}");
    assert!(errors.contains("\n  VIDGATE_\u{fffd}: no such setting\n"), "{errors}");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let errors = Config::from_sources(Sources { dotenv: Err(io::Error::other("on fire")), ..nothing() }).unwrap_err();
    assert_eq!(errors.problems()[0].to_string(), ".env: cannot be read: on fire");
}

#[test]
fn debug_shows_no_secret() {
    let config = from_env(&[BUCKET, &[("AWS_SESSION_TOKEN", "hunter3")]].concat()).unwrap();
    let shown = format!("{config:?} {config:#?}");
    assert!(shown.contains("videos") && !shown.contains("hunter"), "{shown}");
}
