//! Telling that something does not answer, once.
//!
//! In scope: one line when it begins and one when it ends, however many requests notice. Not in scope: what to do about it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines that begin an outage. A store that fails for one object and not for the next would fill the log.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Whether something answers, as far as the log has been told.
#[derive(Default)]
pub(super) struct Outage(Mutex<State>);

#[derive(Default)]
struct State {
    is_told: bool,
    told_at: Option<Instant>,
}

impl Outage {
    /// It does not answer. True where that is to be told.
    pub(super) fn begins(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_too_soon = state.told_at.is_some_and(|at| now < at + TELL_AGAIN_AFTER);
        if state.is_told || is_too_soon {
            return false;
        }
        *state = State { is_told: true, told_at: Some(now) };
        true
    }

    /// It answers. True where that is to be told, because the contrary was.
    pub(super) fn ends(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.is_told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once() {
        let (outage, start) = (Outage::default(), Instant::now());
        let at = |secs| start + Duration::from_secs(secs);
        assert!(!outage.ends());
        assert_eq!([outage.begins(at(0)), outage.begins(at(1)), outage.begins(at(100))], [true, false, false]);
        assert_eq!([outage.ends(), outage.ends()], [true, false]);
        assert!(outage.begins(at(101)));
        // One that comes and goes is told every ten seconds.
        assert!(outage.ends());
        assert_eq!([outage.begins(at(102)), outage.ends(), outage.begins(at(110))], [false, false, false]);
        assert!(outage.begins(at(111)));
    }
}
