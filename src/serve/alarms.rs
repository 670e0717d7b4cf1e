//! When to look at which connection.
//!
//! In scope: a queue of times in which each connection has at most one entry that counts, and which holds few that do not. Not in
//! scope: what is looked for then (`lot`).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Entries that no longer count are thrown out when there are so many times as many entries as connections.
const STALE_FACTOR: usize = 2;
/// So few entries are never looked through.
const FEW: usize = 64;

/// The queue. Which entry of a connection counts its slot knows: the time that was set last.
#[derive(Default)]
pub(crate) struct Alarms(BinaryHeap<Reverse<(Instant, usize)>>);

impl Alarms {
    /// Sets an alarm. `counts` says of an entry whether it still does; there are about `connections` of those.
    pub(crate) fn set(&mut self, at: Instant, id: usize, connections: usize, counts: impl Fn(Instant, usize) -> bool) {
        if self.0.len() > FEW + STALE_FACTOR * connections {
            // Alarms are up to half an hour ahead, and connections may come and go meanwhile by the million.
            self.0.retain(|Reverse((at, id))| counts(*at, *id));
        }
        self.0.push(Reverse((at, id)));
    }

    /// How many entries there are, those that do not count included.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The earliest time of all.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out the earliest entry, if its time has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, usize)> {
        let is_due = self.next().is_some_and(|at| at <= now);
        if is_due { self.0.pop().map(|Reverse(entry)| entry) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn alarms_come_in_order_and_not_before_their_time() {
        let start = Instant::now();
        let mut alarms = Alarms::default();
        for (seconds, id) in [(3, 1), (1, 2), (2, 3)] {
            alarms.set(start + Duration::from_secs(seconds), id, 3, |_, _| true);
        }
        assert_eq!(alarms.next(), Some(start + Duration::from_secs(1)));
        assert_eq!(alarms.pop(start), None);
        let mut pop = |seconds| alarms.pop(start + Duration::from_secs(seconds)).map(|(_, id)| id);
        assert_eq!([pop(2), pop(2), pop(2), pop(9), pop(9)], [Some(2), Some(3), None, Some(1), None]);
    }

    #[test]
    fn a_million_connections_that_are_gone_leave_little() {
        let start = Instant::now();
        let mut alarms = Alarms::default();
        for id in 0..1_000_000 {
            alarms.set(start + Duration::from_micros(id as u64), id, 10, |_, other| other + 10 > id);
            assert!(alarms.0.len() <= FEW + STALE_FACTOR * 10 + 1);
        }
    }
}
