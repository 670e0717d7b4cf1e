//! What the kernel holds for clients.
//!
//! In scope: how many bytes each client's socket may hold that are not on their way. Not in scope: setting it (`socket`).

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a socket may hold to begin with, in bytes.
const SHARE_LEN: Range<usize> = 8 * 1024..64 * 1024;
/// The most that the socket of a fast client may hold, in bytes.
const GROWN_LEN_MAX: usize = 1024 * 1024;

/// Bytes for all clients together, and as many again for those among them who are fast.
#[derive(Debug)]
pub(crate) struct SendBudget {
    total: usize,
    /// How many bytes were granted to fast clients.
    grown: AtomicUsize,
}

impl SendBudget {
    pub(crate) fn new(total: usize) -> Self {
        Self { total, grown: AtomicUsize::new(0) }
    }

    /// How many bytes there are for all clients, apart from those for the fast ones.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// The share of a new client, where there are so many. Those who came earlier are told when it is half of theirs, as they begin to
    /// wait.
    pub(crate) fn share(&self, clients: usize) -> usize {
        (self.total / clients.max(1)).clamp(SHARE_LEN.start, SHARE_LEN.end)
    }

    /// Doubles what a client may hold, if there is enough left. What is granted is to be given [`back`](Self::give_back).
    pub(crate) fn double(&self, len: usize) -> Option<usize> {
        if len >= GROWN_LEN_MAX {
            return None;
        }
        if self.grown.fetch_add(len, Ordering::Relaxed) + len > self.total {
            self.give_back(len);
            return None;
        }
        Some(len * 2)
    }

    /// Gives back what was granted beyond a share.
    pub(crate) fn give_back(&self, len: usize) {
        self.grown.fetch_sub(len, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_shrink_with_the_crowd_and_growth_ends_with_the_budget() {
        let budget = SendBudget::new(1024 * 1024);
        for (clients, share) in
            [(0, 65_536), (1, 65_536), (16, 65_536), (32, 32_768), (64, 16_384), (128, 8192), (15_000, 8192)]
        {
            assert_eq!(budget.share(clients), share, "{clients}");
        }
        assert_eq!(budget.double(512 * 1024), Some(1024 * 1024));
        assert_eq!(budget.double(1024 * 1024), None, "the most for one");
        assert_eq!(budget.double(512 * 1024), Some(1024 * 1024));
        assert_eq!(budget.double(16 * 1024), None, "nothing is left");
        budget.give_back(512 * 1024);
        assert_eq!(budget.double(16 * 1024), Some(32 * 1024));
    }
}
