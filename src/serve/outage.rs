//! What becomes of a stream whose read of the store failed.
//!
//! In scope: whether and when it is tried again (pure). Not in scope: trying (`chunks`), waiting (`lot`).

use std::time::{Duration, Instant};

use crate::error::ErrorKind;

/// How often a read is tried again at one offset, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Tries at most, without a byte between them. 20 by default.
    pub tries_max: u32,
    /// Time at most, from the first failure. 30 seconds by default: a store that restarts is back by then, and a player that gets
    /// nothing for longer gives up by itself.
    pub time_max: Duration,
}

impl Default for Resume {
    fn default() -> Self {
        Self { tries_max: 20, time_max: Duration::from_secs(30) }
    }
}

/// The wait before the second try; the first is made at once, for a connection that broke says nothing about the next one.
const DELAY_MIN: Duration = Duration::from_millis(100);
/// The longest wait: doubled each time, it would soon be longer than the store is away.
const DELAY_MAX: Duration = Duration::from_secs(2);
/// The same for a store that asks for fewer requests (S3: 503 `SlowDown`; AWS, "Best practices design patterns": back off).
const BUSY_DELAY_MIN: Duration = Duration::from_secs(1);
const BUSY_DELAY_MAX: Duration = Duration::from_secs(8);

/// Whether trying again can help.
pub(crate) fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UpstreamUnavailable | ErrorKind::UpstreamTimeout | ErrorKind::UpstreamBusy)
}

/// Failures since the last byte.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outage {
    tries: u32,
    since: Option<Instant>,
}

impl Outage {
    /// A read failed: when to try again, or `None` for not at all. `chance` is any number, another one each time, so that a
    /// thousand viewers of a store that comes back do not come back at the same moment.
    pub(crate) fn failed(&mut self, kind: ErrorKind, now: Instant, limits: Resume, chance: u64) -> Option<Instant> {
        let since = *self.since.get_or_insert(now);
        self.tries += 1;
        if !is_passing(kind) || self.tries > limits.tries_max {
            return None;
        }
        let is_busy = kind == ErrorKind::UpstreamBusy;
        let (min, max) = if is_busy { (BUSY_DELAY_MIN, BUSY_DELAY_MAX) } else { (DELAY_MIN, DELAY_MAX) };
        let doublings = if is_busy { self.tries - 1 } else { self.tries.saturating_sub(2) };
        let longest = min.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(max);
        // Between half of it and all of it.
        let share = u32::try_from(chance % 1001).unwrap_or(0);
        let delay = if self.tries == 1 && !is_busy { Duration::ZERO } else { (longest * (1000 + share)) / 2000 };
        let at = now + delay;
        (at <= since + limits.time_max).then_some(at)
    }

    /// A byte came. Says whether there was an outage before.
    pub(crate) fn end(&mut self) -> bool {
        std::mem::take(self).since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The waits between the tries of a read that always fails at once.
    fn delays(kind: ErrorKind, limits: Resume, chance: u64) -> Vec<u128> {
        let mut now = Instant::now();
        let mut outage = Outage::default();
        let mut delays = Vec::new();
        while let Some(at) = outage.failed(kind, now, limits, chance) {
            delays.push((at - now).as_millis());
            now = at;
        }
        assert!(outage.end() && !outage.end());
        delays
    }

    #[test]
    fn tries_come_at_once_then_more_and_more_slowly_and_end() {
        let longest = [0, 100, 200, 400, 800, 1600, 2000, 2000, 2000];
        assert_eq!(delays(ErrorKind::UpstreamUnavailable, Resume::default(), 1000)[..9], longest);
        assert_eq!(delays(ErrorKind::UpstreamTimeout, Resume::default(), 0)[..9], longest.map(|delay| delay / 2));
        assert_eq!(delays(ErrorKind::UpstreamBusy, Resume::default(), 1000), [1000, 2000, 4000, 8000, 8000]);
        for chance in 0..3000 {
            let all = delays(ErrorKind::UpstreamUnavailable, Resume::default(), chance);
            assert!(all.len() <= 20 && all.iter().sum::<u128>() <= 30_000 && all.iter().sum::<u128>() >= 10_000, "{all:?}");
        }
        let few = Resume { tries_max: 2, ..Resume::default() };
        assert_eq!(delays(ErrorKind::UpstreamUnavailable, few, 1000), [0, 100]);
        let short = Resume { time_max: Duration::from_millis(250), ..Resume::default() };
        assert_eq!(delays(ErrorKind::UpstreamUnavailable, short, 1000), [0, 100]);
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        for kind in [ErrorKind::Changed, ErrorKind::NotFound, ErrorKind::UpstreamForbidden, ErrorKind::Internal] {
            assert!(delays_of_one(kind).is_none(), "{kind:?}");
        }
    }

    fn delays_of_one(kind: ErrorKind) -> Option<Instant> {
        Outage::default().failed(kind, Instant::now(), Resume::default(), 0)
    }
}
