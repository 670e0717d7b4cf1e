//! Which store is served.
//!
//! In scope: the choice between a bucket and a directory, and what each of them needs. Not in scope: reading single settings.

use std::path::{Path, PathBuf};

use super::StoreConfig;
use super::draft::Draft;
use super::errors::Problem;
use super::sources::Layers;
use super::table::{DIR_DEFAULT, REGION_DEFAULT};
use crate::store::S3Config;

/// Chooses the store. The problems are of what is missing or contradicts; a value that could not be read has been told
/// already and is not missed again, so an error may come without a problem.
pub(super) fn store(layers: &Layers, draft: &Draft, is_directory: fn(&Path) -> bool) -> Result<StoreConfig, Vec<Problem>> {
    match (layers.find_named("AWS_BUCKET_NAME"), layers.find_named("VIDGATE_DIR")) {
        (Some(bucket), Some(dir)) => {
            let name = format!("{} and {}", bucket.told, dir.told);
            Err(vec![Problem::new(name, "both are set; expected a bucket or a directory, not both")])
        }
        (Some(_), None) => s3(layers, draft).map(StoreConfig::S3),
        (None, Some(found)) => match &draft.dir {
            Some(dir) if is_directory(dir) => Ok(StoreConfig::Directory(dir.clone())),
            Some(_) => Err(vec![found.problem("expected a directory that exists")]),
            None => Err(Vec::new()),
        },
        (None, None) if is_directory(Path::new(DIR_DEFAULT)) => Ok(StoreConfig::Directory(PathBuf::from(DIR_DEFAULT))),
        (None, None) => {
            let what = format!("neither is set, and there is no directory {DIR_DEFAULT}; expected a bucket or a directory");
            Err(vec![Problem::new("AWS_BUCKET_NAME or VIDGATE_DIR", what)])
        }
    }
}

/// What a bucket needs: both keys, and a region or an endpoint.
fn s3(layers: &Layers, draft: &Draft) -> Result<S3Config, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut need = |name: &str, why: &str| {
        if layers.find_named(name).is_none() {
            problems.push(Problem::new(name, format!("not set; {why}")));
        }
    };
    if layers.find_named("AWS_ENDPOINT_URL_S3").is_none() {
        need("AWS_REGION", "expected the region of the bucket, or AWS_ENDPOINT_URL_S3 for a store other than AWS");
    }
    need("AWS_ACCESS_KEY_ID", "expected the access key of the bucket");
    need("AWS_SECRET_ACCESS_KEY", "expected the secret of the access key");
    let region = draft.region.clone().unwrap_or_else(|| REGION_DEFAULT.to_owned());
    match (&draft.bucket, &draft.access_key_id, &draft.secret_access_key) {
        (Some(bucket), Some(access_key_id), Some(secret_access_key)) if problems.is_empty() => checked(S3Config {
            bucket: bucket.clone(),
            region,
            endpoint: draft.endpoint.clone(),
            addressing: draft.addressing,
            access_key_id: access_key_id.clone(),
            secret_access_key: secret_access_key.clone(),
            session_token: draft.session_token.clone(),
        }),
        _ => Err(problems),
    }
}

/// The settings of a bucket, each of which is legal, may not go together: a name that is no part of a host, say.
fn checked(config: S3Config) -> Result<S3Config, Vec<Problem>> {
    match config.check() {
        Ok(()) => Ok(config),
        Err(error) => Err(vec![Problem::new("AWS_BUCKET_NAME", error.to_string())]),
    }
}
