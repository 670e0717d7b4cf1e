//! In the place of `key` in a program that was built without its feature `cloudfront`: there are no keys.

use super::Hash;
use crate::error::{Error, ErrorKind};

/// There is none.
#[derive(Debug)]
pub enum PrivateKey {}

impl PrivateKey {
    /// Says that there will be none.
    ///
    /// # Errors
    /// [`ErrorKind::NotConfigured`].
    pub fn from_pem(_: &str) -> Result<Self, Error> {
        Err(Error::new(ErrorKind::NotConfigured, "this program was built without its feature cloudfront"))
    }

    pub(super) fn sign(&self, _: Hash, _: &[u8]) -> Result<Vec<u8>, Error> {
        match *self {}
    }
}
