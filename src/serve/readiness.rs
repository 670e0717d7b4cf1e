//! Whether the store can be asked, for those who send viewers here or elsewhere.
//!
//! In scope: asking it now and then, and what is answered meanwhile. Not in scope: how a store is asked (`Store::ready`).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};

/// How long an answer of the store counts. Who asks every second sees an outage within three, and any crowd of those who ask costs
/// the store one question in two seconds.
const FRESH: Duration = Duration::from_secs(2);

/// What the store said last.
#[derive(Default)]
pub(crate) struct Readiness {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When it was asked, and what was wrong; `None` for nothing.
    last: Option<(Instant, Option<ErrorKind>)>,
    is_asked: bool,
}

impl State {
    fn known(&self, now: Instant) -> Option<Result<(), Error>> {
        match self.last {
            Some((at, wrong)) if self.is_asked || now.saturating_duration_since(at) < FRESH => {
                Some(wrong.map_or(Ok(()), |kind| Err(kind.into())))
            }
            None if self.is_asked => Some(Err(Error::new(ErrorKind::Busy, "the store was not asked yet"))),
            _ => None,
        }
    }
}

/// Ends the question, however it ends.
struct Asking<'r>(&'r Readiness);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.lock().is_asked = false;
    }
}

impl Readiness {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the store said at most two seconds ago, or last where it is being asked; `None` where it must be asked. Else as
    /// [`check`](Self::check).
    pub(crate) fn known(&self, now: Instant) -> Option<Result<(), Error>> {
        self.lock().known(now)
    }

    /// Whether the store can be asked, by what it said at most two seconds ago, or says now. While one asks, the others are told
    /// what it said last: a store that hangs holds one thread.
    ///
    /// # Errors
    /// What the store says; before it said anything, [`ErrorKind::Busy`].
    pub(crate) fn check(&self, now: Instant, ask: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let asking = {
            let mut state = self.lock();
            if let Some(known) = state.known(now) {
                return known;
            }
            state.is_asked = true;
            Asking(self)
        };
        let answer = ask();
        self.lock().last = Some((now, answer.as_ref().err().map(Error::kind)));
        drop(asking);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn kind(answer: Result<(), Error>) -> Option<ErrorKind> {
        answer.err().map(|error| error.kind())
    }

    #[test]
    fn the_store_is_asked_now_and_then() {
        let readiness = Readiness::default();
        let start = Instant::now();
        let mut asked = 0;
        for tenth in 0..100 {
            let answer = readiness.check(start + SECOND * tenth / 10, || {
                asked += 1;
                Ok(())
            });
            assert_eq!(kind(answer), None);
        }
        assert_eq!(asked, 5, "once in two of ten seconds");
        let later = start + 20 * SECOND;
        assert_eq!(kind(readiness.check(later, || Err(ErrorKind::UpstreamTimeout.into()))), Some(ErrorKind::UpstreamTimeout));
        assert_eq!(kind(readiness.check(later + SECOND, || panic!("it is known"))), Some(ErrorKind::UpstreamTimeout));
    }

    #[test]
    fn while_one_asks_the_others_do_not_wait() {
        let readiness = Readiness::default();
        let outer = readiness.check(Instant::now(), || {
            assert_eq!(kind(readiness.check(Instant::now(), || panic!("it is asked"))), Some(ErrorKind::Busy));
            Ok(())
        });
        assert_eq!(kind(outer), None);
        let later = Instant::now() + 3 * SECOND;
        let outer = readiness.check(later, || {
            assert_eq!(kind(readiness.check(later, || panic!("it is asked"))), None, "what it said last");
            Ok(())
        });
        assert_eq!(kind(outer), None);
    }

    #[test]
    fn a_panic_while_it_is_asked_does_not_end_the_asking() {
        let readiness = Readiness::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = readiness.check(Instant::now(), || panic!("this panic is part of a test"));
        }));
        assert!(panicked.is_err());
        assert_eq!(kind(readiness.check(Instant::now(), || Ok(()))), None);
    }
}
