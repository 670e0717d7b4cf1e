//! Which store is served, and what CloudFront is in front of it.
//!
//! In scope: the choice between a bucket and a directory, and what each of them and a key pair needs. Not in scope: reading single settings.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::draft::Draft;
use super::errors::Problem;
use super::parse;
use super::sources::Layers;
use super::table::{DIR_DEFAULT, Part, REGION_DEFAULT};
use super::{CloudFront, StoreConfig, credentials};
use crate::sign::cloudfront::{PrivateKey, Signer};
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

/// CloudFront, where there is a domain. As with the store, what could not be read is not missed again.
pub(super) fn cloudfront(
    layers: &Layers,
    draft: &mut Draft,
    read_file: fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Option<CloudFront>, Vec<Problem>> {
    if Part::CloudFront.missing().is_some() {
        // Each of its settings was refused, so none of them is missed.
        return Ok(None);
    }
    let [domain, id, key, file] =
        ["CLOUDFRONT_DOMAIN", "CLOUDFRONT_KEY_PAIR_ID", "CLOUDFRONT_PRIVATE_KEY", "CLOUDFRONT_PRIVATE_KEY_FILE"]
            .map(|name| layers.find_named(name));
    let mut problems = Vec::new();
    if let (Some(key), Some(file)) = (&key, &file) {
        problems.push(Problem::new(format!("{} and {}", key.told, file.told), "both are set; expected one of them"));
    }
    if let (Some(file), Some(path), None) = (&file, draft.private_key_file.take(), &key) {
        match key_of_file(&path, read_file) {
            Ok(key) => draft.private_key = Some(key),
            Err(why) => problems.push(file.problem(why)),
        }
    }
    let key = key.or(file);
    let mut need = |name: &str, what: &str| problems.push(Problem::new(name, format!("not set; expected {what}")));
    if (id.is_some() || key.is_some()) && domain.is_none() {
        need("CLOUDFRONT_DOMAIN", "the host name of the distribution that the key pair is for");
    }
    if key.is_some() && id.is_none() {
        need("CLOUDFRONT_KEY_PAIR_ID", "the id that CloudFront has given the public key");
    }
    if id.is_some() && key.is_none() {
        need("CLOUDFRONT_PRIVATE_KEY or CLOUDFRONT_PRIVATE_KEY_FILE", "the private key of the pair");
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let Some(domain) = draft.domain.take() else { return Ok(None) };
    let signer = match (draft.key_pair_id.take(), draft.private_key.take()) {
        (Some(id), Some(key)) => match Signer::new(&id, key, draft.hash) {
            Ok(signer) => Some(Arc::new(signer)),
            Err(error) => return Err(vec![Problem::new("CLOUDFRONT_KEY_PAIR_ID", error.to_string())]),
        },
        _ => None,
    };
    Ok(Some(CloudFront { domain, signer }))
}

fn key_of_file(path: &Path, read_file: fn(&Path) -> io::Result<Vec<u8>>) -> Result<PrivateKey, String> {
    let bytes = read_file(path).map_err(|error| format!("cannot be read: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| "expected a file of text, as PEM is".to_owned())?;
    parse::private_key(&text).map_err(|wanted| format!("expected the file to hold {wanted}"))
}
