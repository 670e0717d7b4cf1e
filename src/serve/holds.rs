//! Who goes on with which upload.
//!
//! In scope: that one request at a time does, of this server, and that the one that came last gets it. Not in scope: other servers
//! (the store sees to that), and what is done.
//!
//! A client whose connection broke asks at once how far it came, while the broken connection may still be read here: the old
//! request is told to end, and the new one waits for that.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::store::UploadId;

/// The uploads that somebody goes on with.
#[derive(Default)]
pub(crate) struct Holds {
    /// For each, whether another one wants it.
    held: Mutex<HashMap<UploadId, Arc<AtomicBool>>>,
    freed: Condvar,
}

/// The right to go on with an upload, given back when it is dropped.
pub(crate) struct Hold<'h> {
    holds: &'h Holds,
    id: UploadId,
    is_wanted: Arc<AtomicBool>,
}

impl Holds {
    /// Asks for an upload. Whoever has it is told, and waited for, at most so long.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] where he does not end in time.
    pub(crate) fn enter(&self, id: &UploadId, patience: Duration) -> Result<Hold<'_>, Error> {
        let until = Instant::now() + patience;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match held.entry(id.clone()) {
                Entry::Vacant(place) => {
                    let is_wanted = Arc::clone(place.insert(Arc::default()));
                    return Ok(Hold { holds: self, id: id.clone(), is_wanted });
                }
                Entry::Occupied(place) => place.get().store(true, Ordering::Relaxed),
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::Locked.into());
            }
            held = self.freed.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Hold<'_> {
    /// Whether another one wants it.
    pub(crate) fn is_wanted(&self) -> &AtomicBool {
        &self.is_wanted
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.holds.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        self.holds.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn one_at_a_time_goes_on_and_the_last_one_gets_it() {
        let (holds, id) = (Holds::default(), UploadId::new());
        let first = holds.enter(&id, Duration::ZERO).unwrap();
        assert!(!first.is_wanted().load(Ordering::Relaxed));
        // Others do not wait for it.
        drop(holds.enter(&UploadId::new(), Duration::ZERO).unwrap());
        assert_eq!(holds.enter(&id, Duration::ZERO).err().map(|error| error.kind()), Some(ErrorKind::Locked));
        assert!(first.is_wanted().load(Ordering::Relaxed), "it is told");
        thread::scope(|scope| {
            let (sender, entered) = mpsc::channel();
            for _ in 0..2 {
                let (sender, holds, id) = (sender.clone(), &holds, &id);
                scope.spawn(move || {
                    let hold = holds.enter(id, LONG).unwrap();
                    sender.send(()).unwrap();
                    while !hold.is_wanted().load(Ordering::Relaxed) {
                        thread::yield_now();
                    }
                });
            }
            assert!(entered.try_recv().is_err());
            drop(first);
            // The second of them tells the first, and is told by this one.
            entered.recv_timeout(LONG).unwrap();
            entered.recv_timeout(LONG).unwrap();
            drop(holds.enter(&id, LONG).unwrap());
        });
        assert!(holds.held.lock().unwrap().is_empty());
    }
}
