//! `serde_json`: strict, bounded, and not made for HTML.

use serde_json::{Value, from_str, json};

#[test]
fn what_is_not_exactly_one_json_text_is_refused() {
    for bad in ["", "{} {}", "{}x", "{'a':1}", "{\"a\":1,}", "[1,]", "01", "+1", ".5", "NaN", "\"\n\"", "{\"a\"}", "\u{feff}{}"]
    {
        assert!(from_str::<Value>(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(from_str::<Value>(&nested(127)).is_ok());
    assert!(from_str::<Value>(&nested(128)).is_err());
    assert!(from_str::<Value>(&"[".repeat(1 << 20)).is_err());
}

#[test]
fn of_two_equal_names_the_last_counts() {
    assert_eq!(from_str::<Value>(r#"{"exp":1,"exp":2}"#).unwrap(), json!({"exp": 2}));
}

#[test]
fn a_number_is_an_integer_only_if_it_was_written_as_one() {
    for (text, integer) in [
        ("18446744073709551615", Some(u64::MAX)),
        ("0", Some(0)),
        ("-1", None),
        ("1.0", None),
        ("1e3", None),
        ("18446744073709551616", None),
        ("\"1\"", None),
    ] {
        assert_eq!(from_str::<Value>(text).unwrap().as_u64(), integer, "{text}");
    }
}

#[test]
fn strings_are_escaped_for_json_and_not_for_html() {
    assert_eq!(json!("a\"\\\n\u{1}\u{7f}\u{e9}").to_string(), "\"a\\\"\\\\\\n\\u0001\u{7f}\u{e9}\"");
    // Inside a page, `<` has to be escaped by the page.
    assert_eq!(json!("</script>").to_string(), "\"</script>\"");
}
