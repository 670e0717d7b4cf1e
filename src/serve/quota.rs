//! How many streams there may be, in all and for one client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind};
use crate::http::forwarded;

/// The limits and what is used of them.
#[derive(Debug)]
pub(crate) struct Quota {
    /// In all; 0 is no limit.
    streams_max: usize,
    /// For one client; 0 is no limit.
    streams_per_client_max: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    total: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// The right to one stream; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit {
    /// `None` where there is no limit and nothing is counted.
    counted: Option<(Arc<Quota>, IpAddr)>,
}

impl Quota {
    pub(crate) fn new(streams_max: usize, streams_per_client_max: usize) -> Self {
        Self { streams_max, streams_per_client_max, used: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many streams are counted.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().total
    }

    /// The right to one more stream of this client.
    ///
    /// # Errors
    /// [`ErrorKind::TooManyStreams`] where it has as many as it may, [`ErrorKind::Busy`] where all have together.
    pub(crate) fn enter(self: &Arc<Self>, client: IpAddr) -> Result<Permit, Error> {
        if self.streams_max == 0 && self.streams_per_client_max == 0 {
            return Ok(Permit { counted: None });
        }
        let client = forwarded::group(client);
        let is_full = |used: usize, max: usize| max > 0 && used >= max;
        let mut used = self.lock();
        if is_full(used.by_client.get(&client).copied().unwrap_or(0), self.streams_per_client_max) {
            let detail = format!("{} streams at once are allowed for one client", self.streams_per_client_max);
            return Err(Error::new(ErrorKind::TooManyStreams, detail));
        }
        if is_full(used.total, self.streams_max) {
            return Err(Error::new(ErrorKind::Busy, format!("all {} streams are in use", self.streams_max)));
        }
        used.total += 1;
        *used.by_client.entry(client).or_default() += 1;
        Ok(Permit { counted: Some((Arc::clone(self), client)) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some((quota, client)) = &self.counted else { return };
        let mut used = quota.lock();
        used.total -= 1;
        if let Some(count) = used.by_client.get_mut(client) {
            *count -= 1;
            if *count == 0 {
                used.by_client.remove(client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_counted_and_given_back() {
        let quota = Arc::new(Quota::new(3, 2));
        let [a, b] = ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        let kind = |client| quota.enter(client).map_err(|error| error.kind());
        let first = kind(a).unwrap();
        let _second = kind(a).unwrap();
        assert_eq!(kind(a).unwrap_err(), ErrorKind::TooManyStreams);
        let _third = kind(b).unwrap();
        assert_eq!(kind(b).unwrap_err(), ErrorKind::Busy);
        drop(first);
        let _fourth = kind(b).unwrap();
        assert_eq!(kind(a).unwrap_err(), ErrorKind::Busy);
        assert_eq!(quota.lock().by_client.len(), 2);
    }

    #[test]
    fn without_limits_nothing_is_counted() {
        let quota = Arc::new(Quota::new(0, 0));
        let permits: Vec<Permit> = (0..1000).map(|_| quota.enter("192.0.2.1".parse().unwrap()).unwrap()).collect();
        assert_eq!(quota.lock().total, 0);
        drop(permits);
    }
}
