//! Signs of life of the two threads that nothing works without: the door and the dispatcher.
//!
//! In scope: counting them, and saying when they stopped. Not in scope: what is done then: the program ends, for whatever started
//! it to start it again, because a server that hangs is worse than one that is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind};

/// How many checks in a row may see no sign of life.
const CHECKS_MAX: u32 = 6;

/// The signs themselves.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Rounds of the door.
    pub(crate) door: AtomicU64,
    /// Heads that came out of the listener, probes included.
    pub(crate) dispatcher: AtomicU64,
}

/// Watches a running server; see [`Server::vitals`](crate::Server::vitals).
#[derive(Debug)]
pub struct Vitals {
    pulse: Arc<Pulse>,
    door: Sign,
    dispatcher: Sign,
}

#[derive(Debug, Default)]
struct Sign {
    last: Option<u64>,
    missed: u32,
}

impl Sign {
    fn is_gone(&mut self, now: u64) -> bool {
        self.missed = if self.last == Some(now) { self.missed + 1 } else { 0 };
        self.last = Some(now);
        self.missed >= CHECKS_MAX
    }
}

impl Vitals {
    pub(crate) fn new(pulse: Arc<Pulse>) -> Self {
        Self { pulse, door: Sign::default(), dispatcher: Sign::default() }
    }

    /// To be called every five seconds or so: the server gives a sign at least every two. Calls are counted, not time, so that a
    /// machine which slept is not taken for a server that died.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where six calls in a row saw no sign of the door or of the dispatcher; the message says of which.
    pub fn check(&mut self) -> Result<(), Error> {
        let stopped =
            |what: &str| Err(Error::new(ErrorKind::Internal, format!("{what} stopped; the process must be restarted")));
        let door_is_gone = self.door.is_gone(self.pulse.door.load(Ordering::Relaxed));
        let dispatcher_is_gone = self.dispatcher.is_gone(self.pulse.dispatcher.load(Ordering::Relaxed));
        if door_is_gone {
            stopped("the door, which accepts connections,")
        } else if dispatcher_is_gone {
            stopped("the dispatcher, which takes requests to the pool,")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_stops_is_noticed_and_one_that_pauses_is_not() {
        let pulse = Arc::<Pulse>::default();
        let mut vitals = Vitals::new(Arc::clone(&pulse));
        for round in 0..100 {
            pulse.door.fetch_add(1, Ordering::Relaxed);
            // The dispatcher is slow: five calls in a row see nothing of it.
            if round % 6 == 0 {
                pulse.dispatcher.fetch_add(1, Ordering::Relaxed);
            }
            vitals.check().unwrap();
        }
        let mut errors = (0..10).map(|_| {
            pulse.door.fetch_add(1, Ordering::Relaxed);
            vitals.check().err().map(|error| error.to_string())
        });
        assert!(errors.find_map(|error| error).unwrap().contains("dispatcher"));
        let mut vitals = Vitals::new(Arc::clone(&pulse));
        let mut errors = (0..10).map(|_| {
            pulse.dispatcher.fetch_add(1, Ordering::Relaxed);
            vitals.check().err().map(|error| error.to_string())
        });
        assert!(errors.find_map(|error| error).unwrap().contains("door"));
    }
}
