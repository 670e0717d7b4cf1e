//! `percent-encoding`: once and by bytes; what it lets through is ours to refuse.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

#[track_caller]
fn check(encoded: &str, decoded: &[u8]) {
    assert_eq!(percent_decode_str(encoded).collect::<Vec<u8>>(), decoded, "{encoded:?}");
}

#[test]
fn decoding_is_done_once_and_leaves_what_is_no_escape() {
    check("a%2Fb%2fc", b"a/b/c");
    check("%252F", b"%2F");
    check("a+b", b"a+b");
    check("%00%0a%7F", b"\0\n\x7f");
    check("%", b"%");
    check("%4", b"%4");
    check("%zz%4g%%41", b"%zz%4g%A");
}

#[test]
fn utf8_is_checked_where_asked() {
    assert_eq!(percent_decode_str("caf%C3%A9").decode_utf8().unwrap(), "caf\u{e9}");
    for bad in ["%E9", "%C3", "%C0%AF", "%ED%A0%80"] {
        assert!(percent_decode_str(bad).decode_utf8().is_err(), "{bad}");
    }
}

#[test]
fn encoding_escapes_the_set_and_all_that_is_not_ascii() {
    const SET: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
    assert_eq!(utf8_percent_encode("a/b c%\u{e9}\n", SET).to_string(), "a/b%20c%25%C3%A9%0A");
    let all: String = (0..=0x7fu8).map(char::from).collect();
    assert_eq!(percent_decode_str(&utf8_percent_encode(&all, NON_ALPHANUMERIC).to_string()).decode_utf8().unwrap(), all);
}
