//! `httpdate`: the three forms of RFC 9110 in, IMF-fixdate out.

use std::panic::catch_unwind;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::{fmt_http_date, parse_http_date};

/// 1994-11-06 08:49:37, the example of RFC 9110 section 5.6.7.
const EXAMPLE: Duration = Duration::from_secs(784_111_777);

#[test]
fn the_three_forms_of_rfc_9110_are_one_time() {
    for form in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
        assert_eq!(parse_http_date(form).unwrap(), UNIX_EPOCH + EXAMPLE, "{form}");
    }
}

#[test]
fn imf_fixdate_is_printed_in_whole_seconds() {
    for nanos in [0, 1, 999_999_999] {
        let time = UNIX_EPOCH + EXAMPLE + Duration::from_nanos(nanos);
        assert_eq!(fmt_http_date(time), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
    assert_eq!(fmt_http_date(UNIX_EPOCH), "Thu, 01 Jan 1970 00:00:00 GMT");
}

#[test]
fn what_is_no_date_is_refused() {
    for garbage in [
        "",
        "0",
        "784111777",
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:60 GMT",
        "Wed, 31 Feb 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Wed, 31 Dec 1969 23:59:59 GMT",
        "caf\u{e9}, 06 Nov 1994 08:49:37 GMT",
    ] {
        assert!(parse_http_date(garbage).is_err(), "{garbage:?}");
    }
}

#[test]
fn a_time_before_1970_or_after_9999_panics_when_printed() {
    // So the caller bounds a time that comes from a file or a store.
    let new_years_eve_9999 = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    for (time, prints) in [
        (UNIX_EPOCH - Duration::from_nanos(1), false),
        (new_years_eve_9999, true),
        (new_years_eve_9999 + Duration::from_secs(1), false),
        (SystemTime::now(), true),
    ] {
        assert_eq!(catch_unwind(|| fmt_http_date(time)).is_ok(), prints, "{time:?}");
    }
}
