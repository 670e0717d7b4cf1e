//! The configuration: from flags, environment and `.env` to a value that is legal as a whole.
//!
//! ```text
//! flags ─┐
//! env ───┼─> sources ──> table of settings, one reader each ──> choose (store) ──> Config
//! .env ──┘      └─> unknown names        └─> bad values            └─> contradictions ──> ConfigErrors, all at once
//! ```
//!
//! In scope: what can be set, how, and what is wrong with it. Not in scope: reading the environment and files (the binary does, or
//! says how), and whether the store can be reached.
//!
//! A flag goes before the environment, that before `.env`, that before the default. An empty value in the environment or in
//! `.env` counts as unset.

mod choose;
mod credentials;
mod dotenv;
mod draft;
mod errors;
mod parse;
mod sources;
mod suggest;
mod table;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use log::LevelFilter;

pub use errors::{ConfigErrors, Problem};
pub use parse::URL_TTL_MAX;
pub use sources::Sources;
pub use table::{Part, Preset, SETTINGS, Secrecy, Setting};

pub use crate::http::cors::CorsOrigins;
use crate::serve::Resume;
use crate::sign::bearer::AdminToken;
use crate::sign::cloudfront::{Domain, Signer};
use crate::sign::token::KeyRing;
use crate::store::{RedisUrl, S3Config};
use draft::Draft;
use sources::{Layer, Layers};
use table::Scope;

/// Where [`Sources::dotenv`] is read from: the working directory and no other.
pub const DOTENV_PATH: &str = ".env";

/// Everything that can be set. One that [`Config::from_sources`] gave is legal; one built by hand is taken as it is.
///
/// `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// The IP address (IPv6 without brackets) or host name to listen on.
    pub host: String,
    /// The TCP port to listen on; 0 lets the system pick one.
    pub port: u16,
    /// Where `/metrics` is, where it has an address of its own; the viewers' address does not answer it then.
    pub metrics_addr: Option<SocketAddr>,
    /// Where the videos are.
    pub store: StoreConfig,
    /// How long what a bucket said of an object is trusted. Zero asks it each time.
    pub meta_ttl: Duration,
    /// By which Redis several servers of one bucket share what they know of its objects.
    pub redis: Option<RedisUrl>,
    /// How much is read from the store at once, in bytes: 16 KiB to 8 MiB. A request may ask for another.
    pub chunk_len: usize,
    /// Bytes of a far store that are kept in memory; 0 for none.
    pub cache_ram: u64,
    /// The directory where bytes of a far store are kept on disk; `None` for nowhere.
    pub cache_dir: Option<PathBuf>,
    /// Bytes that are kept there.
    pub cache_disk: u64,
    /// How a read of the store that broke off in the middle of an answer is tried again. No setting: for embedding.
    pub resume: Resume,
    /// Threads of the pool, for each core.
    pub workers_per_core: usize,
    /// Connections held at once; `None` goes by the limit of open files.
    pub connections_max: Option<usize>,
    /// Streams at once, in all; 0 is no limit.
    pub streams_max: usize,
    /// Streams at once for one client address; 0 is no limit.
    pub streams_per_ip_max: usize,
    /// How long a whole request head may take.
    pub header_timeout: Duration,
    /// How long a kept-alive connection may pause between two requests.
    pub idle_timeout: Duration,
    /// How long a viewer may take no byte of a response.
    pub stall_timeout: Duration,
    /// How long streams may go on once the server drains.
    pub drain_timeout: Duration,
    /// Bytes a second of each stream, after its burst; `None` as many as there can be.
    pub rate: Option<u64>,
    /// Bytes that a stream gets before its rate counts.
    pub burst: u64,
    /// The proxies whose `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Request-Id` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The CloudFront distribution in front of the store; `None` where there is none.
    pub cloudfront: Option<CloudFront>,
    /// How long signed URLs and cookies are good where a request does not say.
    pub url_ttl: Duration,
    /// The keys of playback tokens. Where they are set, whatever names or opens an object needs a token.
    pub playback_keys: Option<KeyRing>,
    /// The operator's token, which opens everything; `None` where nobody has that right.
    pub admin_token: Option<AdminToken>,
    /// The longest object that may be uploaded, in bytes.
    pub upload_max: u64,
    /// How long a resumable upload is kept that nobody goes on with.
    pub upload_expiry: Duration,
    /// The file that the player page gets hls.js from, where it needs it; `None` for never.
    pub hls_js: Option<PathBuf>,
    /// Which sites' pages may read the answers.
    pub cors: CorsOrigins,
    /// How much of our own is logged.
    pub log_level: LevelFilter,
    /// How it is logged.
    pub log_format: LogFormat,
}

/// Where the videos are.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// A directory of the local file system.
    Directory(PathBuf),
    /// A bucket of AWS, `MinIO` or another service that speaks S3.
    S3(S3Config),
}

/// A CloudFront distribution.
#[derive(Clone, Debug)]
pub struct CloudFront {
    /// Its host.
    pub domain: Domain,
    /// What signs for it; `None` where its objects are open to all.
    pub signer: Option<Arc<Signer>>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: time, level, target and message with spaces between.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl Config {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Everything that is wrong, at once: values that cannot be read, what is missing for the chosen store, `VIDGATE_*`
    /// variables that do not exist, lines of `.env` that are broken. Secrets are not shown.
    pub fn from_sources(sources: Sources) -> Result<Self, ConfigErrors> {
        let Sources { flags, environment, dotenv, is_terminal, is_directory, read_file } = sources;
        let (layers, mut problems) = Layers::new(flags, environment, dotenv);
        let mut draft = Draft::new(if is_terminal { LogFormat::Text } else { LogFormat::Json });
        let has_bucket = layers.find_named("AWS_BUCKET_NAME").is_some();
        for found in SETTINGS.iter().filter_map(|setting| layers.find(setting)) {
            let result = match found.setting.scope {
                Scope::Always => found.read(&mut draft),
                Scope::WithBucket if has_bucket => found.read(&mut draft),
                // Nobody gives a flag for the sake of another program.
                Scope::WithBucket if found.layer == Layer::Flag => {
                    Err(found.problem("needs a bucket; expected --bucket or AWS_BUCKET_NAME with it"))
                }
                Scope::WithBucket => Ok(()),
            };
            problems.extend(result.err());
        }
        match choose::store(&layers, &draft, is_directory, read_file) {
            Ok(store) => draft.config.store = store,
            Err(more) => problems.extend(more),
        }
        match choose::cloudfront(&layers, &mut draft, read_file) {
            Ok(cloudfront) => draft.config.cloudfront = cloudfront,
            Err(more) => problems.extend(more),
        }
        ConfigErrors::check(problems)?;
        Ok(draft.config)
    }
}

/// Reads for how long something is good: a whole number with its unit, such as `90s`, `30m` or `12h`, from a second to `max`.
///
/// # Errors
/// What was expected, as a phrase that continues "expected ...".
pub fn lifetime(text: &str, max: Duration) -> Result<Duration, String> {
    parse::lifetime(text, max)
}

impl Default for Config {
    /// All defaults, with the directory `./samples` (which is not looked for) and text logs: for embedding.
    fn default() -> Self {
        Draft::new(LogFormat::Text).config
    }
}

#[cfg(test)]
mod tests;
