//! In the place of `shared` in a program that was built without its feature `redis`: nothing is shared.

use std::sync::Arc;
use std::time::Duration;

use super::RedisUrl;
use super::local::Local;
use super::record::Record;
use crate::object::ObjectKey;

/// There is none.
pub(super) enum Shared {}

impl Shared {
    /// Says that there will be none.
    pub(super) fn start(url: &RedisUrl, _: &Arc<Local>) -> Option<Self> {
        log::warn!("the Redis at {} is not used: this program was built without its feature redis", url.address());
        None
    }

    pub(super) fn get(&self, _: &ObjectKey) -> Option<(Record, Duration)> {
        match *self {}
    }

    pub(super) fn put(&self, _: &ObjectKey, _: Vec<u8>, _: Duration) {
        match *self {}
    }

    pub(super) fn forget(&self, _: &ObjectKey) {
        match *self {}
    }
}
