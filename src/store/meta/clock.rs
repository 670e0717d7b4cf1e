//! The time, as an argument.
//!
//! In scope: both clocks, read together. Not in scope: what is done with them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One reading of the clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// For all that lives in this process: it never goes back.
    pub(super) at: Instant,
    /// For what outlives it: what is kept on disk.
    pub(super) wall: SystemTime,
}

/// Where the time comes from.
pub(super) type Clock = Box<dyn Fn() -> Now + Send + Sync>;

/// The clock of the machine.
pub(super) fn of_the_machine() -> Clock {
    Box::new(|| Now { at: Instant::now(), wall: SystemTime::now() })
}

/// Whole seconds since 1970; `None` for a time before.
pub(super) fn unix_secs(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// How long to leave alone what has failed so many times in a row: 1 second, doubling to 30.
pub(super) fn pause_after(failures: u32) -> Duration {
    const MAX: Duration = Duration::from_secs(30);
    Duration::from_secs(1_u64 << failures.saturating_sub(1).min(5)).min(MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let pauses: Vec<u64> = (0..9).map(|failures| pause_after(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pause_after(u32::MAX).as_secs(), 30);
    }
}
