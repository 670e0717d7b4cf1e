//! Which store is served.
//!
//! In scope: the choice between a bucket and a directory, and what each of them needs. Not in scope: reading single settings.

use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::errors::Problem;
use super::sources::Layers;
use super::table::{DIR_DEFAULT, REGION_DEFAULT};
use super::{StoreConfig, credentials};
use crate::store::S3Config;
use crate::store::credentials::Read;

/// Chooses the store. The problems are of what is missing or contradicts; a value that could not be read has been told
/// already and is not missed again, so an error may come without a problem.
pub(super) fn store(
    layers: &Layers,
    draft: &Draft,
    is_directory: fn(&Path) -> bool,
    read: Read,
) -> Result<StoreConfig, Vec<Problem>> {
    match (layers.find_named("AWS_BUCKET_NAME"), layers.find_named("VIDGATE_DIR")) {
        (Some(bucket), Some(dir)) => {
            let name = format!("{} and {}", bucket.told, dir.told);
            Err(vec![Problem::new(name, "both are set; expected a bucket or a directory, not both")])
        }
        (Some(_), None) => s3(layers, draft, read).map(StoreConfig::S3),
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

/// What a bucket needs: credentials, or where they come from, and a region or an endpoint.
fn s3(layers: &Layers, draft: &Draft, read: Read) -> Result<S3Config, Vec<Problem>> {
    let is_own = layers.find_named("AWS_ENDPOINT_URL_S3").is_some();
    let is_region_set = layers.find_named("AWS_REGION").is_some();
    let look = credentials::look(layers, draft, read, !is_own && !is_region_set);
    let mut problems = Vec::new();
    let region = draft.region.clone().or_else(|| look.region());
    // A profile that could not be read has been told, and might have had a region.
    if !is_own && !is_region_set && region.is_none() && look.is_readable() {
        let what = "not set; expected the region of the bucket, or AWS_ENDPOINT_URL_S3 for a store other than AWS";
        problems.push(Problem::new("AWS_REGION", what));
    }
    let region = region.unwrap_or_else(|| REGION_DEFAULT.to_owned());
    let credentials = credentials::choose(layers, draft, read, look, &region);
    match (&draft.bucket, credentials) {
        (Some(bucket), Ok(credentials)) if problems.is_empty() => checked(S3Config {
            bucket: bucket.clone(),
            region,
            endpoint: draft.endpoint.clone(),
            addressing: draft.addressing,
            credentials,
        }),
        (_, credentials) => {
            problems.extend(credentials.err().into_iter().flatten());
            Err(problems)
        }
    }
}

/// The settings of a bucket, each of which is legal, may not go together: a name that is no part of a host, say.
fn checked(config: S3Config) -> Result<S3Config, Vec<Problem>> {
    match config.check() {
        Ok(()) => Ok(config),
        Err(error) => Err(vec![Problem::new("AWS_BUCKET_NAME", error.to_string())]),
    }
}
