//! A configuration that is being read.
//!
//! In scope: the fields that the table of settings reads into, and their defaults, which are the table's. Not in scope: what is
//! made of them (`choose`).

use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use super::credentials::CredentialsDraft;
use super::table::{DIR_DEFAULT, Preset, SETTINGS};
use super::{Config, CorsOrigins, LogFormat, StoreConfig};
use crate::serve::Resume;
use crate::sign::cloudfront::{Domain, Hash, PrivateKey};
use crate::store::Addressing;

/// What the settings have been read into so far: the configuration, and the parts that its store and its CloudFront are chosen from.
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) dir: Option<PathBuf>,
    pub(super) bucket: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) addressing: Addressing,
    pub(super) credentials: CredentialsDraft,
    pub(super) domain: Option<Domain>,
    pub(super) key_pair_id: Option<String>,
    pub(super) private_key: Option<PrivateKey>,
    pub(super) private_key_file: Option<PathBuf>,
    pub(super) hash: Hash,
}

impl Draft {
    /// All defaults. `log_format` depends on where the log goes, so it comes in.
    pub(super) fn new(log_format: LogFormat) -> Self {
        let mut draft = Self::blank(log_format);
        for setting in SETTINGS {
            if let Preset::Text(text) = setting.preset {
                // The table is a constant, and the test `every_default_is_legal` reads all of it.
                (setting.read)(&mut draft, text).expect("a default that its own reader refuses");
            }
        }
        draft
    }

    /// Placeholders, each of which a default of the table replaces (the test `defaults_in_full` would see one that stayed).
    fn blank(log_format: LogFormat) -> Self {
        let config = Config {
            host: String::new(),
            port: 0,
            metrics_addr: None,
            store: StoreConfig::Directory(PathBuf::from(DIR_DEFAULT)),
            meta_ttl: Duration::ZERO,
            redis: None,
            chunk_len: 0,
            cache_ram: 0,
            cache_dir: None,
            cache_disk: 0,
            resume: Resume::default(),
            workers_per_core: 0,
            connections_max: None,
            streams_max: 0,
            streams_per_ip_max: 0,
            header_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            stall_timeout: Duration::ZERO,
            drain_timeout: Duration::ZERO,
            rate: None,
            burst: 0,
            trusted_proxies: Vec::new(),
            cloudfront: None,
            url_ttl: Duration::ZERO,
            playback_keys: None,
            admin_token: None,
            upload_max: 0,
            upload_expiry: Duration::ZERO,
            hls_js: None,
            cors: CorsOrigins::List(Vec::new()),
            log_level: LevelFilter::Off,
            log_format,
        };
        Self {
            config,
            dir: None,
            bucket: None,
            region: None,
            endpoint: None,
            addressing: Addressing::Auto,
            credentials: CredentialsDraft::default(),
            domain: None,
            key_pair_id: None,
            private_key: None,
            private_key_file: None,
            hash: Hash::Sha1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_legal() {
        for setting in SETTINGS {
            if let Preset::Text(text) = setting.preset {
                let mut draft = Draft::blank(LogFormat::Text);
                assert_eq!((setting.read)(&mut draft, text), Ok(()), "{}", setting.name());
            }
        }
    }
}
