//! The Range field (RFC 9110 section 14.2), for one range of bytes.
//!
//! In scope: which bytes of an object of a given size a field value asks for. Not in scope: whether the field counts at all
//! (`conditional`), and what is answered (`plan`).

use std::cmp::Ordering;
use std::ops::Range;

/// What a Range field asks of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Everything: there is no range that counts.
    Whole,
    /// These bytes, half-open, at least one.
    Part(Range<u64>),
    /// Bytes behind the end.
    Unsatisfiable,
}

/// Which bytes of `size` the field value asks for. What is malformed, of another unit, reversed, or more than one range is as if
/// it were not there (RFC 9110 section 14.2 allows a server to ignore any Range field).
pub fn resolve(value: Option<&str>, size: u64) -> Wanted {
    let Some(spec) = value.and_then(one_spec) else { return Wanted::Whole };
    // There is no part of nothing: an empty object is answered whole, as players that probe with `bytes=0-` expect.
    if size == 0 {
        return Wanted::Whole;
    }
    match spec {
        Spec::From(first) if first >= size => Wanted::Unsatisfiable,
        Spec::From(first) => Wanted::Part(first..size),
        Spec::FromTo(first, _) if first >= size => Wanted::Unsatisfiable,
        Spec::FromTo(first, last) => Wanted::Part(first..last.saturating_add(1).min(size)),
        Spec::Last(0) => Wanted::Unsatisfiable,
        Spec::Last(len) => Wanted::Part(size - len.min(size)..size),
    }
}

/// One range-spec. Numbers above what `u64` holds are that maximum: no object is so long, so the answer is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    From(u64),
    FromTo(u64, u64),
    Last(u64),
}

/// `ranges-specifier = range-unit "=" range-set`, where the set has one element. Empty elements of a list and white space around
/// them do not count (RFC 9110 section 5.6.1.2).
fn one_spec(value: &str) -> Option<Spec> {
    let (unit, set) = value.split_once('=')?;
    // RFC 9110 section 14.1: range units are case-insensitive.
    if !unit.trim_matches([' ', '\t']).eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut elements = set.split(',').map(|element| element.trim_matches([' ', '\t'])).filter(|element| !element.is_empty());
    let (Some(element), None) = (elements.next(), elements.next()) else { return None };
    let (first, last) = element.split_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match (first, last) {
        ("", last) if is_number(last) => Some(Spec::Last(number(last))),
        (first, "") if is_number(first) => Some(Spec::From(number(first))),
        // RFC 9110 section 14.1.1: an int-range whose last-pos is less than its first-pos is invalid.
        (first, last) if is_number(first) && is_number(last) && compare(first, last) != Ordering::Greater => {
            Some(Spec::FromTo(number(first), number(last)))
        }
        _ => None,
    }
}

/// The value of a string of digits, or the largest `u64` where it is larger.
fn number(digits: &str) -> u64 {
    // Only overflow can fail: there is a digit, and nothing but digits.
    digits.parse().unwrap_or(u64::MAX)
}

/// Compares two strings of digits of any length as numbers.
fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "the rows read better")]
    fn check(value: &str, size: u64, want: Wanted) {
        assert_eq!(resolve(Some(value), size), want, "{value:?} of {size}");
    }

    #[test]
    fn one_valid_range() {
        use Wanted::{Part, Unsatisfiable, Whole};
        check("bytes=0-0", 10, Part(0..1));
        check("bytes=0-9", 10, Part(0..10));
        check("bytes=0-", 10, Part(0..10));
        check("bytes=9-", 10, Part(9..10));
        check("bytes=5-100", 10, Part(5..10));
        check("bytes=-1", 10, Part(9..10));
        check("bytes=-15", 10, Part(0..10));
        check("bytes=007-008", 10, Part(7..9));
        check("BYTES=1-2", 10, Part(1..3));
        check("bytes= 1-2 ", 10, Part(1..3));
        check("bytes=,1-2,,", 10, Part(1..3));
        check("bytes=0-18446744073709551615", 10, Part(0..10));
        check("bytes=0-99999999999999999999999999", 10, Part(0..10));
        check("bytes=-99999999999999999999999999", 10, Part(0..10));
        check("bytes=0-", u64::MAX, Part(0..u64::MAX));
        check("bytes=0-18446744073709551615", u64::MAX, Part(0..u64::MAX));

        check("bytes=10-", 10, Unsatisfiable);
        check("bytes=10-20", 10, Unsatisfiable);
        check("bytes=-0", 10, Unsatisfiable);
        check("bytes=18446744073709551616-", 10, Unsatisfiable);
        check("bytes=99999999999999999999999998-99999999999999999999999999", 10, Unsatisfiable);

        check("bytes=0-", 0, Whole);
        check("bytes=5-9", 0, Whole);
        check("bytes=-0", 0, Whole);
        check("bytes=-5", 0, Whole);
    }

    #[test]
    fn what_does_not_count() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=--1",
            "bytes=1",
            "bytes=a-b",
            "bytes=1-b",
            "bytes=+1-2",
            "bytes=1-+2",
            "bytes=1 - 2",
            "bytes=0x1-2",
            "bytes=1-2-3",
            "bytes=2-1",
            "bytes=99999999999999999999-99999999999999999998",
            "bytes=0-1,3-4",
            "bytes=0-1,x",
            "bytes:0-1",
            "items=0-1",
            "byte=0-1",
            "bytes=0-1;q=1",
            "bytes=١-٢",
            "bytes 0-1/10",
            "bytes=,",
            "=0-1",
        ] {
            check(value, 10, Wanted::Whole);
        }
        let many: Vec<String> = (0..10_000).map(|at| format!("{at}-{at}")).collect();
        check(&format!("bytes={}", many.join(",")), 20_000, Wanted::Whole);
        assert_eq!(resolve(None, 10), Wanted::Whole);
    }

    /// An oracle that knows nothing of arithmetic: it marks, byte by byte, what RFC 9110 section 14.1.1 says in words.
    fn oracle(first: Option<u64>, last: Option<u64>, size: u64) -> Wanted {
        let marked: Vec<u64> = match (first, last) {
            (None, None) => return Wanted::Whole,
            (Some(first), Some(last)) if last < first => return Wanted::Whole,
            (Some(first), last) => (0..size).filter(|at| *at >= first && last.is_none_or(|last| *at <= last)).collect(),
            (None, Some(len)) => (0..size).filter(|at| size - at <= len).collect(),
        };
        match (size, marked.first(), marked.last()) {
            (0, ..) => Wanted::Whole,
            (_, Some(first), Some(last)) => Wanted::Part(*first..last + 1),
            _ => Wanted::Unsatisfiable,
        }
    }

    #[test]
    fn every_small_range_of_every_small_object() {
        let numbers: Vec<Option<u64>> = std::iter::once(None).chain((0..12).map(Some)).collect();
        for size in 0..10 {
            for first in &numbers {
                for last in &numbers {
                    let text = |number: &Option<u64>| number.map_or(String::new(), |number| number.to_string());
                    check(&format!("bytes={}-{}", text(first), text(last)), size, oracle(*first, *last, size));
                }
            }
        }
    }
}
