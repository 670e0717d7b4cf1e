//! What is known of objects.
//!
//! In scope: answering from what is known, and asking the store for the rest. Nothing is kept yet: the store is asked each time.
//! Not in scope: that many requests ask at the same time (`serve/source.rs`).

use std::sync::Arc;

use crate::error::Error;
use crate::object::{ObjectKey, ObjectMeta};
use crate::store::Store;

/// Metadata of a far store's objects.
pub(crate) struct Metadata {
    store: Arc<dyn Store>,
}

impl Metadata {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// What is fresh in memory: never blocks.
    #[allow(clippy::unused_self)] // Nothing is kept yet.
    pub(crate) fn known(&self, _: &ObjectKey) -> Option<Result<ObjectMeta, Error>> {
        None
    }

    /// Asks for it; may block.
    ///
    /// # Errors
    /// As [`Store::head`].
    pub(crate) fn look_up(&self, key: &ObjectKey) -> Result<ObjectMeta, Error> {
        self.store.head(key)
    }

    /// What was known is no longer so.
    #[allow(clippy::unused_self)] // As above.
    pub(crate) fn forget(&self, _: &ObjectKey) {}
}
