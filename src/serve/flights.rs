//! Single flight: what many want at the same time one of them fetches, and the others wait in the lot, without a thread.
//!
//! In scope: who fetches, who waits, and that the waiting ones learn what became of it, whatever that is. Not in scope: the
//! fetching (`source`), the waiting (`lot`).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::error::{Error, ErrorKind};
use crate::object::{ObjectKey, ObjectMeta};
use crate::serve::lot::Lot;
use crate::serve::turns::Turn;
use crate::store::blocks::BlockId;

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// A block that another stream reads.
    Block(BlockId),
    /// Metadata that another request asks for.
    Meta(ObjectKey),
    /// A turn to ask the store.
    Turn,
}

impl From<BlockId> for Wait {
    fn from(block: BlockId) -> Self {
        Self::Block(block)
    }
}

impl From<ObjectKey> for Wait {
    fn from(key: ObjectKey) -> Self {
        Self::Meta(key)
    }
}

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) enum Landing {
    /// The block.
    Block(BlockId, Bytes),
    /// The metadata.
    Meta(Arc<ObjectMeta>),
    /// The turn.
    Turn(Arc<Turn>),
    /// It could not be had.
    Failed(ErrorKind),
    /// Whoever fetched it left before its end: one of those who wait may go on.
    Again,
}

impl Landing {
    /// What one who waited is told of a failure.
    pub(crate) fn failure(kind: ErrorKind) -> Error {
        Error::new(kind, "a read of the store that this one waited for failed")
    }
}

/// What is being fetched, and who waits for it: the numbers of their connections.
pub(crate) struct Flights<K> {
    in_flight: Mutex<HashMap<K, Vec<usize>>>,
    lot: Arc<Lot>,
}

impl<K: Eq + Hash + Clone + Into<Wait>> Flights<K> {
    pub(crate) fn new(lot: Arc<Lot>) -> Self {
        Self { in_flight: Mutex::default(), lot }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Vec<usize>>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to fetch this, and the duty to tell the others; `None` where somebody has it already.
    pub(crate) fn lead(&self, key: &K) -> Option<Lead<'_, K>> {
        let mut in_flight = self.lock();
        if in_flight.contains_key(key) {
            return None;
        }
        in_flight.insert(key.clone(), Vec::new());
        Some(Lead { flights: self, key: key.clone(), is_landed: false })
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether somebody fetches this.
    pub(crate) fn has(&self, key: &K) -> bool {
        self.lock().contains_key(key)
    }

    /// The connection, which is in the lot already, will be told; `false` where nobody fetches this any more, and nobody will.
    pub(crate) fn join(&self, key: &K, connection_id: usize) -> bool {
        match self.lock().get_mut(key) {
            Some(waiting) => {
                waiting.push(connection_id);
                true
            }
            None => false,
        }
    }
}

/// The right to fetch something. Dropped, by a panic for one, it tells those who wait to do it themselves.
pub(crate) struct Lead<'a, K: Eq + Hash + Clone + Into<Wait>> {
    flights: &'a Flights<K>,
    key: K,
    is_landed: bool,
}

impl<K: Eq + Hash + Clone + Into<Wait>> Lead<'_, K> {
    /// Tells all who wait what became of it.
    pub(crate) fn land(mut self, landing: &Landing) {
        self.tell(landing);
    }

    fn tell(&mut self, landing: &Landing) {
        if std::mem::replace(&mut self.is_landed, true) {
            // By now it may be another's flight.
            return;
        }
        let waiting = self.flights.lock().remove(&self.key);
        if let Some(waiting) = waiting.filter(|waiting| !waiting.is_empty()) {
            self.flights.lot.deliver(&waiting, &self.key.clone().into(), landing);
        }
    }
}

impl<K: Eq + Hash + Clone + Into<Wait>> Drop for Lead<'_, K> {
    fn drop(&mut self) {
        self.tell(&Landing::Again);
    }
}
