//! Who asks the store: credentials, where they come from, and how they stay good.
//!
//! In scope: the sources that users of AWS expect, in their order, and one provider of credentials for all who sign. Not in scope:
//! signing requests to S3 (rusty-s3 does), and reading settings (the program's config).
//!
//! ```text
//! settings ───────────────► Static ─────────────────────────────────────────┐
//! token, profile, container, EC2 ─► Chain ─► chain: first that has any ─► refresh: kept, replaced in time ─► Provider::current
//! ```
//!
//! Nothing here is asked before somebody needs credentials. No error, log line or `Debug` of this module holds a secret or a token.

mod answer;
mod chain;
mod container;
mod files;
mod http;
mod instance_metadata;
mod keys;
mod plan;
mod profile;
mod refresh;
mod role;
mod schedule;
mod shared_files;
mod sigv4;
mod sts;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use log::info;
use rusty_s3::Credentials;

pub use chain::ChainConfig;
pub use container::{Authorization, ContainerConfig};
pub use files::read_small_file;
pub use instance_metadata::InstanceMetadataConfig;
pub use keys::Keys;
pub use role::WebIdentityConfig;
pub use shared_files::{Presence, ProfileConfig, SharedFile};
pub use sts::StsConfig;

pub(crate) use instance_metadata::{ENDPOINT_V4, ENDPOINT_V6};
pub(crate) use role::{is_role_arn, is_session_name};
pub(crate) use schedule::Doubt;
pub(crate) use shared_files::{Looked, Need, Read};

use self::http::Http;
use self::keys::Issued;
use self::refresh::Refresher;
use crate::error::Error;

/// Where credentials come from.
#[derive(Clone, Debug)]
pub enum CredentialsConfig {
    /// From settings: they are what they are.
    Static(Keys),
    /// From the first of several sources that has any. They may expire, and others are looked for in time.
    Chain(Box<ChainConfig>),
}

/// Credentials that were good when they were given out.
pub struct Lease {
    credentials: Credentials,
    expires_at: Option<SystemTime>,
    /// Which one of its provider, from 1.
    serial: u64,
}

/// Gives out credentials, to any number of threads.
///
/// It has a thread of its own once credentials came that expire, and none before. Dropping it ends that.
#[derive(Debug)]
pub struct Provider {
    supply: Supply,
}

#[derive(Debug)]
enum Supply {
    Static(Arc<Lease>),
    Refreshed(Refresher),
}

impl Provider {
    /// Prepares to give out credentials. No source is asked yet.
    pub fn new(config: CredentialsConfig) -> Self {
        let supply = match config {
            CredentialsConfig::Static(keys) => Supply::Static(Arc::new(Lease::new(Issued { keys, expires_at: None }, 1))),
            CredentialsConfig::Chain(chain) => {
                info!("credentials are looked for when they are needed: {}", chain.names());
                let http = Http::new();
                Supply::Refreshed(Refresher::new(Box::new(move || chain.ask(&http))))
            }
        };
        Self { supply }
    }

    /// Good credentials. Where there are some, this does not block, whatever their source does. Where there are none, one caller
    /// asks and the others wait for what comes of it, for at most half a minute.
    ///
    /// # Errors
    /// [`ErrorKind::UpstreamForbidden`](crate::ErrorKind::UpstreamForbidden) where no source has any; its detail says why of each.
    /// [`ErrorKind::UpstreamTimeout`](crate::ErrorKind::UpstreamTimeout) where another caller asks for too long.
    pub fn current(&self) -> Result<Arc<Lease>, Error> {
        match &self.supply {
            Supply::Static(lease) => Ok(Arc::clone(lease)),
            Supply::Refreshed(refresher) => refresher.current(),
        }
    }

    /// Whether there can ever be others than there are.
    pub(crate) fn is_renewable(&self) -> bool {
        matches!(self.supply, Supply::Refreshed(_))
    }

    /// Others than these, which the store refused, where there are any. The sources are asked for the sake of it once in some
    /// seconds at most.
    pub(crate) fn renewed(&self, refused: &Lease, doubt: Doubt) -> Option<Arc<Lease>> {
        match &self.supply {
            Supply::Static(_) => None,
            Supply::Refreshed(refresher) => refresher.renewed(refused, doubt),
        }
    }
}

impl Lease {
    fn new(issued: Issued, serial: u64) -> Self {
        let Issued { keys, expires_at } = issued;
        let credentials = match keys.session_token.filter(|token| !token.is_empty()) {
            Some(token) => Credentials::new_with_token(keys.access_key_id, keys.secret_access_key, token),
            None => Credentials::new(keys.access_key_id, keys.secret_access_key),
        };
        Self { credentials, expires_at, serial }
    }

    /// What rusty-s3 signs with.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The id of the access key.
    pub fn access_key_id(&self) -> &str {
        self.credentials.key()
    }

    /// When they end; `None` for never. A URL that was signed with them is no good after that, however long it was signed for.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.expires_at.and_then(|time| jiff::Timestamp::try_from(time).ok()).map(|time| time.to_string());
        f.debug_struct("Lease")
            .field("access_key_id", &self.access_key_id())
            .field("expires_at", &end.as_deref().unwrap_or("never"))
            .finish_non_exhaustive()
    }
}
