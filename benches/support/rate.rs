//! How often a second something can be done, by processor time: other programs can only make it slower.

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 5;
const ROUND: Duration = Duration::from_millis(500);

/// Prints how often a second something can be done: the best of some rounds, by what `used` says that it took, or by the clock.
pub fn rate<T>(what: &str, used: fn() -> Option<Duration>, mut work: impl FnMut() -> T) {
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        let (begin, start, mut count) = (Instant::now(), used(), 0_u32);
        while begin.elapsed() < ROUND {
            black_box(work());
            count += 1;
        }
        let spent = used().zip(start).map_or_else(|| begin.elapsed(), |(end, start)| end.saturating_sub(start));
        best = best.max(f64::from(count) / spent.as_secs_f64());
    }
    println!("{what:<55} {best:>10.0} a second, {:>9.2} us each", 1e6 / best);
}

/// The processor time of this thread (proc(5), `schedstat`: the first number, in nanoseconds).
pub fn of_thread() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}
