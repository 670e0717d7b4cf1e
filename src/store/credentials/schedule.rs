//! When credentials are good, and when others are looked for.
//!
//! In scope: times, as pure functions. Not in scope: the clock, the waiting and the asking (`refresh`).

use std::time::{Duration, SystemTime};

/// How long before their end others are looked for. EC2 has new ones at least 5 minutes before (AWS, "Retrieve security credentials
/// from instance metadata").
const REFRESH_BEFORE: Duration = Duration::from_mins(5);

/// How long they must still be good to be used: the time in which a signed request reaches the store.
const GOOD_LEFT_MIN: Duration = Duration::from_secs(1);

/// How long nobody asks again after the first failure.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// How long at most, after many: whoever has no credentials should not wait long for those that are there again.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How often a store may make us ask: at once, and then so rarely.
const CERTAIN_EVERY: Duration = Duration::from_secs(5);
/// The same where it may have meant something else. A 403 without a word is also the answer to names that we may not know.
const UNCERTAIN_EVERY: Duration = Duration::from_mins(1);

/// How sure it is that a store refused the credentials, and not the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It said so.
    Certain,
    /// It refused without a reason, as it does to HEAD.
    Uncertain,
}

impl Doubt {
    /// How long ago the last time must be that a store made us ask.
    pub(super) fn every(self) -> Duration {
        match self {
            Self::Certain => CERTAIN_EVERY,
            Self::Uncertain => UNCERTAIN_EVERY,
        }
    }
}

/// Whether credentials with this end may be used.
pub(super) fn is_good(expires_at: Option<SystemTime>, now: SystemTime) -> bool {
    expires_at.is_none_or(|end| end.duration_since(now).is_ok_and(|left| left >= GOOD_LEFT_MIN))
}

/// When others are looked for, for credentials that came `now` and end at `expires_at`. `jitter`, 0 to 1, moves it, so that many
/// servers that started together do not ask together.
///
/// Where the end is near, half of what is left is waited: a source that gives the same ones until shortly before is asked again
/// and again, but never without a pause.
pub(super) fn refresh_at(expires_at: SystemTime, now: SystemTime, jitter: f64) -> SystemTime {
    let left = expires_at.duration_since(now).unwrap_or_default();
    if left > 2 * REFRESH_BEFORE {
        now + left.saturating_sub(REFRESH_BEFORE.mul_f64(1.0 + jitter / 2.0))
    } else {
        now + (left / 2).max(Duration::from_millis(500)).mul_f64(1.0 - jitter / 8.0)
    }
}

/// How long nobody asks again after this many failures in a row, the first of which is 1.
pub(super) fn retry_after(failures: u32, jitter: f64) -> Duration {
    let doubled = RETRY_MIN.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(RETRY_MAX);
    doubled.mul_f64(1.0 - jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn at(secs: u64) -> SystemTime {
        NOW + Duration::from_secs(secs)
    }

    #[test]
    fn what_may_be_used() {
        assert!(is_good(None, NOW));
        assert!(is_good(Some(at(10)), at(9)));
        assert!(is_good(Some(at(10)), NOW));
        for now in [at(10), at(11), at(9) + Duration::from_millis(1)] {
            assert!(!is_good(Some(at(10)), now));
        }
    }

    #[test]
    fn others_are_looked_for_in_time_and_never_without_a_pause() {
        #[track_caller]
        fn check(left_s: u64, jitter: f64, want_ms: u64) {
            let got = refresh_at(at(1000 + left_s), at(1000), jitter).duration_since(at(1000)).unwrap();
            assert_eq!(got, Duration::from_millis(want_ms), "{left_s} s left");
        }
        check(6 * 3600, 0.0, (6 * 3600 - 300) * 1000);
        check(6 * 3600, 1.0, (6 * 3600 - 450) * 1000);
        check(3600, 0.0, 3300 * 1000);
        check(601, 0.0, 301 * 1000);
        check(600, 0.0, 300 * 1000);
        check(60, 0.0, 30 * 1000);
        check(60, 1.0, 26_250);
        check(4, 0.0, 2000);
        check(1, 0.0, 500);
        check(0, 0.0, 500);
        // A clock that was set back, and credentials that ended already.
        assert_eq!(refresh_at(at(0), at(1000), 0.0), at(1000) + Duration::from_millis(500));
        for left_s in 0..20_000 {
            for jitter in [0.0, 0.5, 1.0] {
                let pause = refresh_at(at(left_s), NOW, jitter).duration_since(NOW).unwrap();
                assert!(pause >= Duration::from_millis(400) && (left_s < 2 || pause < Duration::from_secs(left_s)));
            }
        }
    }

    #[test]
    fn failures_are_followed_by_pauses() {
        let pauses: Vec<_> = (1..=6).map(|failures| retry_after(failures, 0.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        assert_eq!(retry_after(u32::MAX, 0.0), RETRY_MAX);
        assert_eq!(retry_after(1, 1.0), RETRY_MIN / 2);
    }
}
