//! The table of settings: the one place that names them.
//!
//! In scope: names, flags, defaults, help, and which reader reads what into which field. The flags of the command line, the
//! look-ups in environment and `.env`, `--help` and the errors all come from here. Not in scope: the readers (`parse`).
//!
//! Longer than a file should be, because a table that is cut in two is two tables.

use log::LevelFilter;

use super::LogFormat;
use super::draft::Draft;
use super::parse::{self, Parsed};
use crate::sign::cloudfront::Hash;
use crate::sign::token::KeyRing;
use crate::store::credentials::{ContainerConfig, ENDPOINT_V4, ENDPOINT_V6};
use crate::store::{Addressing, RedisUrl};

/// One setting.
pub struct Setting {
    /// Its variables: the first is its name, the others are read where those before them are not set.
    pub variables: &'static [&'static str],
    /// Its flag, without the dashes.
    pub flag: &'static str,
    /// What it is where nobody sets it.
    pub preset: Preset,
    /// What `--help` calls its value.
    pub value_name: &'static str,
    /// What it does, in a line.
    pub help: &'static str,
    /// Under which heading `--help` lists it.
    pub heading: &'static str,
    /// Whether its value may be shown.
    pub secrecy: Secrecy,
    /// Without what it means nothing.
    pub part: Part,
    /// When its value is looked at.
    pub(super) scope: Scope,
    /// Reads a text into its field.
    pub(super) read: fn(&mut Draft, &str) -> Parsed<()>,
}

/// What a setting is where nobody sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This text, which is read as if it had been set.
    Text(&'static str),
    /// What these words say; the program decides it.
    Words(&'static str),
    /// Nothing.
    Unset,
}

/// Whether a value may be shown in errors and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// It may.
    Public,
    /// It may not.
    Secret,
}

/// What a setting is for, and may have been left out of this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What every build has.
    Core,
    /// The feature `redis`.
    Redis,
    /// The feature `cloudfront`.
    CloudFront,
    /// The feature `pages`.
    Pages,
    /// The feature `uploads`.
    Uploads,
}

impl Part {
    /// The feature without which this program was built, where that is so.
    pub const fn missing(self) -> Option<&'static str> {
        match self {
            Self::Redis if cfg!(not(feature = "redis")) => Some("redis"),
            Self::CloudFront if cfg!(not(feature = "cloudfront")) => Some("cloudfront"),
            Self::Pages if cfg!(not(feature = "pages")) => Some("pages"),
            Self::Uploads if cfg!(not(feature = "uploads")) => Some("uploads"),
            Self::Core | Self::Redis | Self::CloudFront | Self::Pages | Self::Uploads => None,
        }
    }
}

/// When a setting's value is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Always.
    Always,
    /// Only with a bucket. `AWS_*` variables, and `REDIS_URL`, are often in the environment for the sake of other programs.
    WithBucket,
}

impl Setting {
    /// The name of the setting.
    pub fn name(&self) -> &'static str {
        self.variables[0]
    }
}

/// The directory that is served where neither a bucket nor a directory is set.
pub(super) const DIR_DEFAULT: &str = "./samples";
/// The region of a store with an endpoint of its own: such stores ignore it, but a signature needs one.
pub(super) const REGION_DEFAULT: &str = "us-east-1";

const LISTENING: &str = "Listening";
const STORE: &str = "Store";
const CREDENTIALS: &str = "Credentials";
const STREAMING: &str = "Streaming";
const CACHE: &str = "Cache";
const LIMITS: &str = "Limits";
const PAGES: &str = "Pages";
const CORS: &str = "CORS";
const ACCESS: &str = "Signed URLs and tokens";
const LOGS: &str = "Logs";

/// What a row is where it says nothing else.
const ROW: Setting = Setting {
    variables: &[],
    flag: "",
    preset: Preset::Unset,
    value_name: "TEXT",
    help: "",
    heading: STORE,
    secrecy: Secrecy::Public,
    part: Part::Core,
    scope: Scope::Always,
    read: |_, _| Ok(()),
};

/// All settings, in the order of `--help`.
pub const SETTINGS: &[Setting] = &[
    Setting {
        variables: &["HOST"],
        flag: "host",
        preset: Preset::Text("127.0.0.1"),
        value_name: "ADDRESS",
        help: "Address or name to listen on",
        heading: LISTENING,
        read: |draft, text| parse::host(text).map(|host| draft.config.host = host),
        ..ROW
    },
    Setting {
        variables: &["PORT"],
        flag: "port",
        preset: Preset::Text("3001"),
        value_name: "PORT",
        help: "Port to listen on; 0 picks a free one, and the start line says which",
        heading: LISTENING,
        read: |draft, text| parse::port(text).map(|port| draft.config.port = port),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_METRICS_ADDRESS"],
        flag: "metrics-address",
        value_name: "ADDRESS:PORT",
        help: "Another IP address and port for /metrics, /healthz and /readyz, so that viewers cannot read /metrics",
        heading: LISTENING,
        read: |draft, text| parse::socket_addr(text).map(|addr| draft.config.metrics_addr = Some(addr)),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_DIR"],
        flag: "dir",
        preset: Preset::Words("./samples where no bucket is set"),
        value_name: "PATH",
        help: "Directory to serve instead of a bucket",
        read: |draft, text| parse::path(text).map(|dir| draft.dir = Some(dir)),
        ..ROW
    },
    Setting {
        variables: &["AWS_BUCKET_NAME"],
        flag: "bucket",
        value_name: "NAME",
        help: "Bucket to serve",
        read: |draft, text| parse::bucket(text).map(|bucket| draft.bucket = Some(bucket)),
        ..ROW
    },
    Setting {
        variables: &["AWS_REGION", "AWS_DEFAULT_REGION"],
        flag: "region",
        preset: Preset::Words("that of the profile, else us-east-1 where an endpoint is set"),
        value_name: "NAME",
        help: "Region of the bucket",
        scope: Scope::WithBucket,
        read: |draft, text| parse::region(text).map(|region| draft.region = Some(region)),
        ..ROW
    },
    // The id is no secret to AWS, but it is where a hurried hand puts the secret.
    Setting {
        variables: &["AWS_ACCESS_KEY_ID"],
        flag: "access-key-id",
        value_name: "ID",
        help: "Access key of the bucket",
        heading: CREDENTIALS,
        secrecy: Secrecy::Secret,
        scope: Scope::WithBucket,
        read: |draft, text| parse::credential(text).map(|id| draft.credentials.access_key_id = Some(id)),
        ..ROW
    },
    Setting {
        variables: &["AWS_SECRET_ACCESS_KEY"],
        flag: "secret-access-key",
        value_name: "SECRET",
        help: "Secret of that key; as a flag, every user of this machine can read it",
        heading: CREDENTIALS,
        secrecy: Secrecy::Secret,
        scope: Scope::WithBucket,
        read: |draft, text| parse::credential(text).map(|secret| draft.credentials.secret_access_key = Some(secret)),
        ..ROW
    },
    Setting {
        variables: &["AWS_SESSION_TOKEN"],
        flag: "session-token",
        value_name: "TOKEN",
        help: "Session token of temporary credentials",
        heading: CREDENTIALS,
        secrecy: Secrecy::Secret,
        scope: Scope::WithBucket,
        read: |draft, text| parse::credential(text).map(|token| draft.credentials.session_token = Some(token)),
        ..ROW
    },
    Setting {
        variables: &["AWS_PROFILE"],
        flag: "profile",
        preset: Preset::Words("default"),
        value_name: "NAME",
        help: "Profile in the shared files of AWS tools",
        heading: CREDENTIALS,
        scope: Scope::WithBucket,
        read: |draft, text| parse::profile(text).map(|name| draft.credentials.profile = Some(name)),
        ..ROW
    },
    Setting {
        variables: &["AWS_SHARED_CREDENTIALS_FILE"],
        flag: "shared-credentials-file",
        preset: Preset::Words("~/.aws/credentials"),
        value_name: "PATH",
        help: "File with the credentials of profiles",
        heading: CREDENTIALS,
        scope: Scope::WithBucket,
        read: |draft, text| parse::file(text).map(|path| draft.credentials.credentials_file = Some(path)),
        ..ROW
    },
    Setting {
        variables: &["AWS_CONFIG_FILE"],
        flag: "aws-config-file",
        preset: Preset::Words("~/.aws/config"),
        value_name: "PATH",
        help: "File with the other settings of profiles",
        heading: CREDENTIALS,
        scope: Scope::WithBucket,
        read: |draft, text| parse::file(text).map(|path| draft.credentials.config_file = Some(path)),
        ..ROW
    },
    Setting {
        variables: &["AWS_ROLE_ARN"],
        flag: "role-arn",
        value_name: "ARN",
        help: "Role to take with a web identity token",
        heading: CREDENTIALS,
        scope: Scope::WithBucket,
        read: |draft, text| parse::role_arn(text).map(|arn| draft.credentials.role_arn = Some(arn)),
        ..ROW
    },
    Setting {
        variables: &["AWS_WEB_IDENTITY_TOKEN_FILE"],
        flag: "web-identity-token-file",
        value_name: "PATH",
        help: "File with the token for that role, as EKS mounts it",
        heading: CREDENTIALS,
        scope: Scope::WithBucket,
        read: |draft, text| parse::file(text).map(|path| draft.credentials.web_identity_token_file = Some(path)),
        ..ROW
    },
    Setting {
        variables: &["AWS_ROLE_SESSION_NAME"],
        flag: "role-session-name",
        preset: Preset::Words("vidgate"),
        value_name: "NAME",
        help: "Name of the session, for the log of the role's owner: 2 to 64 letters, digits and _+=,.@-",
        heading: CREDENTIALS,
        scope: Scope::WithBucket,
        read: |draft, text| parse::session_name(text).map(|name| draft.credentials.session_name = Some(name)),
        ..ROW
    },
    Setting {
        variables: &["AWS_ENDPOINT_URL_STS"],
        flag: "sts-endpoint-url",
        preset: Preset::Words("that of AWS_ENDPOINT_URL, else AWS in the region"),
        value_name: "URL",
        help: "Address of another token service",
        heading: CREDENTIALS,
        scope: Scope::WithBucket,
        read: |draft, text| parse::endpoint(text).map(|url| draft.credentials.sts_endpoint = Some(url)),
        ..ROW
    },
    Setting {
        variables: &["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"],
        flag: "container-relative-uri",
        value_name: "PATH",
        help: "Path of the container's credentials, as ECS sets it",
        heading: CREDENTIALS,
        scope: Scope::WithBucket,
        read: |draft, text| {
            ContainerConfig::relative(text).map(|container| draft.credentials.container_relative = Some(container))
        },
        ..ROW
    },
    Setting {
        variables: &["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
        flag: "container-full-uri",
        value_name: "URL",
        help: "Address of the container's credentials, as EKS pod identity sets it",
        heading: CREDENTIALS,
        scope: Scope::WithBucket,
        read: |draft, text| ContainerConfig::full(text).map(|container| draft.credentials.container_full = Some(container)),
        ..ROW
    },
    Setting {
        variables: &["AWS_CONTAINER_AUTHORIZATION_TOKEN"],
        flag: "container-token",
        value_name: "TOKEN",
        help: "What that address wants to see",
        heading: CREDENTIALS,
        secrecy: Secrecy::Secret,
        scope: Scope::WithBucket,
        read: |draft, text| parse::field(text).map(|token| draft.credentials.container_token = Some(token)),
        ..ROW
    },
    Setting {
        variables: &["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"],
        flag: "container-token-file",
        value_name: "PATH",
        help: "File with it, read each time",
        heading: CREDENTIALS,
        scope: Scope::WithBucket,
        read: |draft, text| parse::file(text).map(|path| draft.credentials.container_token_file = Some(path)),
        ..ROW
    },
    Setting {
        variables: &["AWS_EC2_METADATA_DISABLED"],
        flag: "ec2-metadata-disabled",
        preset: Preset::Text("false"),
        value_name: "BOOL",
        help: "Whether EC2's metadata service is never asked: true or false",
        heading: CREDENTIALS,
        scope: Scope::WithBucket,
        read: |draft, text| parse::truth(text).map(|is_disabled| draft.credentials.is_metadata_disabled = is_disabled),
        ..ROW
    },
    Setting {
        variables: &["AWS_EC2_METADATA_SERVICE_ENDPOINT"],
        flag: "ec2-metadata-endpoint",
        preset: Preset::Words("by the mode"),
        value_name: "URL",
        help: "Address of EC2's metadata service",
        heading: CREDENTIALS,
        scope: Scope::WithBucket,
        read: |draft, text| parse::endpoint(text).map(|url| draft.credentials.metadata_endpoint = Some(url)),
        ..ROW
    },
    Setting {
        variables: &["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"],
        flag: "ec2-metadata-mode",
        preset: Preset::Text("IPv4"),
        value_name: "MODE",
        help: "Which of its own addresses: IPv4 or IPv6",
        heading: CREDENTIALS,
        scope: Scope::WithBucket,
        read: |draft, text| {
            let modes = [("IPv4", ENDPOINT_V4), ("IPv6", ENDPOINT_V6)];
            parse::one_of(text, &modes).map(|endpoint| draft.credentials.metadata_mode_endpoint = endpoint)
        },
        ..ROW
    },
    Setting {
        variables: &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
        flag: "endpoint-url",
        preset: Preset::Words("AWS over TLS"),
        value_name: "URL",
        help: "Address of an S3 service other than that of AWS",
        scope: Scope::WithBucket,
        read: |draft, text| parse::endpoint(text).map(|endpoint| draft.endpoint = Some(endpoint)),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_S3_STYLE"],
        flag: "s3-style",
        preset: Preset::Text("auto"),
        value_name: "STYLE",
        help: "Where the bucket's name stands: path, virtual (in the host), or auto: path where an endpoint is set or the name has a dot",
        read: |draft, text| {
            let styles = [("auto", Addressing::Auto), ("path", Addressing::Path), ("virtual", Addressing::Virtual)];
            parse::one_of(text, &styles).map(|style| draft.addressing = style)
        },
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_META_TTL"],
        flag: "meta-ttl",
        preset: Preset::Text("60s"),
        value_name: "TIME",
        help: "How long size, type and version of an object are trusted, 24h at most; 0 asks the bucket each time",
        read: |draft, text| parse::ttl(text).map(|ttl| draft.config.meta_ttl = ttl),
        ..ROW
    },
    Setting {
        variables: &["REDIS_URL"],
        flag: "redis-url",
        value_name: "URL",
        help: "Redis or Valkey by which several servers of one bucket share what they know of its objects",
        secrecy: Secrecy::Secret,
        scope: Scope::WithBucket,
        part: Part::Redis,
        read: |draft, text| RedisUrl::parse(text).map(|url| draft.config.redis = Some(url)),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_CHUNK_SIZE"],
        flag: "chunk-size",
        preset: Preset::Text("1MiB"),
        value_name: "SIZE",
        help: "How much is read from the store at once, 16KiB to 8MiB; ?chunkSize= overrides it per request",
        heading: STREAMING,
        read: |draft, text| parse::chunk_len(text).map(|len| draft.config.chunk_len = len),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_CACHE_RAM"],
        flag: "cache-ram",
        preset: Preset::Text("64MiB"),
        value_name: "SIZE",
        help: "How much of the bucket's bytes is kept in memory, 1MiB or more, or 0 for none",
        heading: CACHE,
        read: |draft, text| parse::cache_ram(text).map(|len| draft.config.cache_ram = len),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_CACHE_DIR"],
        flag: "cache-dir",
        value_name: "PATH",
        help: "Directory where the bucket's bytes are kept as well, over restarts; made where it is missing",
        heading: CACHE,
        read: |draft, text| parse::new_dir(text).map(|dir| draft.config.cache_dir = Some(dir)),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_CACHE_DISK"],
        flag: "cache-disk",
        preset: Preset::Text("10GiB"),
        value_name: "SIZE",
        help: "How much of them is kept there, 16MiB or more",
        heading: CACHE,
        read: |draft, text| parse::cache_disk(text).map(|len| draft.config.cache_disk = len),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_WORKERS_PER_CORE"],
        flag: "workers-per-core",
        preset: Preset::Text("8"),
        value_name: "COUNT",
        help: "Pool threads per core, 1 to 256",
        heading: LIMITS,
        read: |draft, text| parse::workers_per_core(text).map(|count| draft.config.workers_per_core = count),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_MAX_CONNECTIONS"],
        flag: "max-connections",
        preset: Preset::Text("auto"),
        value_name: "COUNT",
        help: "Connections held at once, 1 to 1000000; auto goes by the open-file limit",
        heading: LIMITS,
        read: |draft, text| parse::connections_max(text).map(|max| draft.config.connections_max = max),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_MAX_STREAMS"],
        flag: "max-streams",
        preset: Preset::Text("0"),
        value_name: "COUNT",
        help: "Streams at once, in all; 0 is no limit; above: 503",
        heading: LIMITS,
        read: |draft, text| parse::count(text).map(|count| draft.config.streams_max = count),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_MAX_STREAMS_PER_IP"],
        flag: "max-streams-per-ip",
        preset: Preset::Text("0"),
        value_name: "COUNT",
        help: "Streams at once for one address; 0 is no limit; above: 429; 4 or more is wise, for a seeking player has two or three",
        heading: LIMITS,
        read: |draft, text| parse::count(text).map(|count| draft.config.streams_per_ip_max = count),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_HEADER_TIMEOUT"],
        flag: "header-timeout",
        preset: Preset::Text("10s"),
        value_name: "TIME",
        help: "How long a whole request head may take, 1ms to 24h",
        heading: LIMITS,
        read: |draft, text| parse::timeout(text).map(|limit| draft.config.header_timeout = limit),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_IDLE_TIMEOUT"],
        flag: "idle-timeout",
        preset: Preset::Text("60s"),
        value_name: "TIME",
        help: "How long a connection may pause between two requests, 1ms to 24h",
        heading: LIMITS,
        read: |draft, text| parse::timeout(text).map(|limit| draft.config.idle_timeout = limit),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_STALL_TIMEOUT"],
        flag: "stall-timeout",
        preset: Preset::Text("30m"),
        value_name: "TIME",
        help: "How long a viewer may take no byte, as a paused player does, 1ms to 24h",
        heading: LIMITS,
        read: |draft, text| parse::timeout(text).map(|limit| draft.config.stall_timeout = limit),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_DRAIN_TIMEOUT"],
        flag: "drain-timeout",
        preset: Preset::Text("20s"),
        value_name: "TIME",
        help: "How long streams may go on after SIGTERM or SIGINT, 1ms to 24h",
        heading: LIMITS,
        read: |draft, text| parse::timeout(text).map(|limit| draft.config.drain_timeout = limit),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_RATE"],
        flag: "rate",
        preset: Preset::Text("off"),
        value_name: "SIZE",
        help: "Bytes a second of each stream after the burst, 4KiB or more, or off",
        heading: STREAMING,
        read: |draft, text| parse::rate(text).map(|rate| draft.config.rate = rate),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_BURST"],
        flag: "burst",
        preset: Preset::Text("8MiB"),
        value_name: "SIZE",
        help: "What a stream gets at full speed before its rate counts",
        heading: STREAMING,
        read: |draft, text| parse::burst(text).map(|burst| draft.config.burst = burst),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_TRUSTED_PROXIES"],
        flag: "trusted-proxies",
        preset: Preset::Unset,
        value_name: "NETWORKS",
        help: "Proxies whose X-Forwarded-For, X-Forwarded-Proto and X-Request-Id are believed: a comma list of addresses and CIDR networks",
        heading: LIMITS,
        read: |draft, text| parse::networks(text).map(|networks| draft.config.trusted_proxies = networks),
        ..ROW
    },
    Setting {
        variables: &["CLOUDFRONT_DOMAIN"],
        flag: "cloudfront-domain",
        value_name: "HOST",
        help: "Host name of a CloudFront distribution in front of the bucket",
        heading: ACCESS,
        part: Part::CloudFront,
        read: |draft, text| parse::domain(text).map(|domain| draft.domain = Some(domain)),
        ..ROW
    },
    Setting {
        variables: &["CLOUDFRONT_KEY_PAIR_ID"],
        flag: "cloudfront-key-pair-id",
        value_name: "ID",
        help: "Id of the public key at CloudFront; its URLs and cookies are signed then",
        heading: ACCESS,
        part: Part::CloudFront,
        read: |draft, text| parse::key_pair_id(text).map(|id| draft.key_pair_id = Some(id)),
        ..ROW
    },
    Setting {
        variables: &["CLOUDFRONT_PRIVATE_KEY"],
        flag: "cloudfront-key",
        value_name: "PEM",
        help: "Its private key, RSA-2048 or ECDSA P-256; as a flag, every user of this machine can read it",
        heading: ACCESS,
        secrecy: Secrecy::Secret,
        part: Part::CloudFront,
        read: |draft, text| parse::private_key(text).map(|key| draft.private_key = Some(key)),
        ..ROW
    },
    Setting {
        variables: &["CLOUDFRONT_PRIVATE_KEY_FILE"],
        flag: "cloudfront-key-file",
        value_name: "PATH",
        help: "The file that the private key is in",
        heading: ACCESS,
        part: Part::CloudFront,
        read: |draft, text| parse::file(text).map(|path| draft.private_key_file = Some(path)),
        ..ROW
    },
    Setting {
        variables: &["CLOUDFRONT_HASH"],
        flag: "cloudfront-hash",
        preset: Preset::Text("sha1"),
        value_name: "HASH",
        help: "What is signed: sha1, or sha256, which adds Hash-Algorithm=SHA256",
        heading: ACCESS,
        part: Part::CloudFront,
        read: |draft, text| {
            parse::one_of(text, &[("sha1", Hash::Sha1), ("sha256", Hash::Sha256)]).map(|hash| draft.hash = hash)
        },
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_URL_TTL"],
        flag: "url-ttl",
        preset: Preset::Text("1h"),
        value_name: "TIME",
        help: "How long signed URLs and cookies are good, 1s to 168h: longer than the film; ?expires= overrides it",
        heading: ACCESS,
        read: |draft, text| parse::url_ttl(text).map(|ttl| draft.config.url_ttl = ttl),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_PLAYBACK_KEYS"],
        flag: "playback-keys",
        value_name: "KEYS",
        help: "Keys of playback tokens, kid:secret with commas between, up to 16, each secret 32 characters or more: the first signs, all \
               verify; where set, nothing is open without a token",
        heading: ACCESS,
        secrecy: Secrecy::Secret,
        read: |draft, text| KeyRing::parse(text).map(|ring| draft.config.playback_keys = Some(ring)),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_ADMIN_TOKEN"],
        flag: "admin-token",
        value_name: "TOKEN",
        help: "The operator's bearer token, which opens everything, up to 1024 characters; as a flag, every user of this machine can read it",
        heading: ACCESS,
        secrecy: Secrecy::Secret,
        read: |draft, text| parse::admin_token(text).map(|token| draft.config.admin_token = Some(token)),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_MAX_UPLOAD"],
        flag: "max-upload",
        preset: Preset::Text("16GiB"),
        value_name: "SIZE",
        help: "The longest object that may be uploaded, 1 byte to 5120GiB",
        heading: LIMITS,
        part: Part::Uploads,
        read: |draft, text| parse::upload_max(text).map(|len| draft.config.upload_max = len),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_UPLOAD_EXPIRY"],
        flag: "upload-expiry",
        preset: Preset::Text("24h"),
        value_name: "TIME",
        help: "How long a resumable upload is kept that nobody goes on with, 1s to 720h",
        heading: LIMITS,
        part: Part::Uploads,
        read: |draft, text| parse::upload_expiry(text).map(|time| draft.config.upload_expiry = time),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_HLS_JS"],
        flag: "hls-js",
        value_name: "PATH",
        help: "The file of hls.js, 4MiB at most, which the player page then uses in browsers that do not play HLS by themselves",
        heading: PAGES,
        part: Part::Pages,
        read: |draft, text| parse::script(text).map(|path| draft.config.hls_js = Some(path)),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_CORS_ORIGINS"],
        flag: "cors-origins",
        preset: Preset::Text("http://localhost:3000"),
        value_name: "ORIGINS",
        help: "Sites whose pages may read the answers: scheme://host[:port], comma between, or * for all",
        heading: CORS,
        read: |draft, text| parse::cors_origins(text).map(|origins| draft.config.cors = origins),
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_LOG"],
        flag: "log",
        preset: Preset::Text("info"),
        value_name: "LEVEL",
        help: "How much is logged, to standard error: off, error, warn, info, debug or trace",
        heading: LOGS,
        read: |draft, text| {
            let levels = LevelFilter::iter().map(|level| (level.as_str(), level)).collect::<Vec<_>>();
            let level = parse::one_of(text, &levels).map_err(|wanted| wanted.to_ascii_lowercase());
            level.map(|level| draft.config.log_level = level)
        },
        ..ROW
    },
    Setting {
        variables: &["VIDGATE_LOG_FORMAT"],
        flag: "log-format",
        preset: Preset::Words("text on a terminal, else json"),
        value_name: "FORMAT",
        help: "How it is logged: text, or json, one object a line",
        heading: LOGS,
        read: |draft, text| {
            let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
            parse::one_of(text, &formats).map(|format| draft.config.log_format = format)
        },
        ..ROW
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_is_whole_and_no_name_stands_twice() {
        let mut names = BTreeSet::new();
        for setting in SETTINGS {
            assert!(!setting.help.is_empty() && !setting.help.ends_with('.'), "{}", setting.name());
            assert!(names.insert(setting.flag), "{}", setting.flag);
            for variable in setting.variables {
                assert!(names.insert(variable), "{variable}");
            }
        }
    }

    #[test]
    fn what_the_words_of_a_default_say() {
        let words = |name: &str| match SETTINGS.iter().find(|setting| setting.name() == name).map(|setting| setting.preset) {
            Some(Preset::Words(words)) => words,
            other => panic!("{name} has {other:?}"),
        };
        assert!(words("VIDGATE_DIR").starts_with(DIR_DEFAULT));
        assert!(words("AWS_REGION").contains(REGION_DEFAULT));
    }
}
