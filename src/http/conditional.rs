//! Preconditions (RFC 9110 section 13).
//!
//! In scope: the order of section 13.2.2 and the comparisons of 13.1, for GET and HEAD. Not in scope: which status follows
//! (`plan`).

use std::time::SystemTime;

use crate::http::head::Fields;
use crate::object::ETag;

/// What the preconditions of a request say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on; the Range field, if any, counts.
    Proceed,
    /// Go on, but the Range field does not count: If-Range names another version.
    ProceedWhole,
    /// The client has this version already: 304.
    NotModified,
    /// The client asked for another version: 412.
    Failed,
}

/// Evaluates the preconditions of a GET or HEAD against the present version of an object.
///
/// `last_modified` is compared by the second, which is all that HTTP dates can say.
pub fn evaluate(fields: &Fields, etag: &ETag, last_modified: SystemTime) -> Verdict {
    // Steps 1 and 2 of section 13.2.2: If-Unmodified-Since counts only where If-Match is absent.
    let unchanged = match (fields.get("if-match"), date(fields, "if-unmodified-since")) {
        (Some(value), _) => lists(value, etag, Comparison::Strong),
        (None, Some(date)) => seconds(last_modified) <= seconds(date),
        (None, None) => true,
    };
    if !unchanged {
        return Verdict::Failed;
    }
    // Steps 3 and 4: If-Modified-Since counts only where If-None-Match is absent.
    let changed = match (fields.get("if-none-match"), date(fields, "if-modified-since")) {
        (Some(value), _) => !lists(value, etag, Comparison::Weak),
        (None, Some(date)) => seconds(last_modified) > seconds(date),
        (None, None) => true,
    };
    if !changed {
        return Verdict::NotModified;
    }
    // Step 5.
    match fields.get("if-range") {
        None => Verdict::Proceed,
        Some(value) if if_range_holds(value, etag, last_modified) => Verdict::Proceed,
        Some(_) => Verdict::ProceedWhole,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of entity tags (or `*`) has this one, by the comparison of section 8.8.3.2. Our own is strong, so the strong
/// comparison fails only on a weak one in the list.
fn lists(value: &str, etag: &ETag, comparison: Comparison) -> bool {
    let mut rest = value.trim_matches([' ', '\t']);
    if rest == "*" {
        return true;
    }
    // An entity tag may hold a comma, so the list is walked by its quotes. What is malformed ends the walk.
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (weak, opaque) = rest.strip_prefix("W/").map_or((false, rest), |opaque| (true, opaque));
        let Some((tag, behind)) = opaque.strip_prefix('"').and_then(|opaque| opaque.split_once('"')) else { return false };
        let ours = etag.as_str().trim_matches('"');
        if tag == ours && (!weak || comparison == Comparison::Weak) {
            return true;
        }
        rest = behind;
    }
}

/// Section 13.1.5: an entity tag is compared strongly; a date must be exactly ours.
fn if_range_holds(value: &str, etag: &ETag, last_modified: SystemTime) -> bool {
    let value = value.trim_matches([' ', '\t']);
    if value.starts_with('"') || value.starts_with("W/") {
        return value == etag.as_str();
    }
    httpdate::parse_http_date(value).is_ok_and(|date| seconds(date) == seconds(last_modified))
}

/// A date field; one that is not a valid date does not count (sections 13.1.3 and 13.1.4).
fn date(fields: &Fields, name: &str) -> Option<SystemTime> {
    fields.get(name).and_then(|value| httpdate::parse_http_date(value).ok())
}

/// Whole seconds since 1970. A file from before then is as old as 1970 says: HTTP dates before it are not seen.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const OURS: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    #[track_caller]
    fn check(fields: &[(&str, &str)], want: Verdict) {
        let fields: Fields = fields.iter().copied().collect();
        // A part of a second, which no HTTP date can carry, must not count.
        let last_modified = httpdate::parse_http_date(OURS).unwrap() + Duration::from_millis(900);
        assert_eq!(evaluate(&fields, &ETag::from_store("\"v,1\"").unwrap(), last_modified), want, "{fields:?}");
    }

    #[test]
    fn each_precondition_alone() {
        use Verdict::{Failed, NotModified, Proceed, ProceedWhole};
        check(&[], Proceed);
        for (value, holds) in [
            ("\"v,1\"", true),
            ("*", true),
            ("\"x\", \"v,1\"", true),
            ("\"x\",\"v,1\",\"y\"", true),
            (", ,\"v,1\"", true),
            ("W/\"v,1\"", false),
            ("\"x\"", false),
            ("v,1", false),
            ("\"v", false),
            ("", false),
            ("\"v\", 1", false),
        ] {
            check(&[("if-match", value)], if holds { Proceed } else { Failed });
            let weakly = holds || value == "W/\"v,1\"";
            check(&[("if-none-match", value)], if weakly { NotModified } else { Proceed });
        }
        for (value, verdict) in [(EARLIER, Failed), (OURS, Proceed), (LATER, Proceed), ("yesterday", Proceed), ("", Proceed)] {
            check(&[("if-unmodified-since", value)], verdict);
        }
        for (value, verdict) in [(EARLIER, Proceed), (OURS, NotModified), (LATER, NotModified), ("yesterday", Proceed)] {
            check(&[("if-modified-since", value)], verdict);
        }
        for (value, verdict) in [
            ("\"v,1\"", Proceed),
            ("W/\"v,1\"", ProceedWhole),
            ("\"x\"", ProceedWhole),
            ("\"v,1\", \"x\"", ProceedWhole),
            ("*", ProceedWhole),
            ("", ProceedWhole),
            (OURS, Proceed),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Proceed),
            ("Sun Nov  6 08:49:37 1994", Proceed),
            (EARLIER, ProceedWhole),
            (LATER, ProceedWhole),
            ("nonsense", ProceedWhole),
        ] {
            check(&[("if-range", value)], verdict);
        }
    }

    /// Every combination of absent, holding and failing, against section 13.2.2 written out.
    #[test]
    fn the_order_of_preconditions() {
        let tags = [None, Some("\"v,1\""), Some("\"x\"")];
        let dates = [None, Some(EARLIER), Some(LATER)];
        for if_match in tags {
            for if_unmodified in dates {
                for if_none_match in tags {
                    for if_modified in dates {
                        for if_range in tags {
                            let mut fields = Vec::new();
                            let all = [
                                ("if-match", if_match),
                                ("if-unmodified-since", if_unmodified),
                                ("if-none-match", if_none_match),
                                ("if-modified-since", if_modified),
                                ("if-range", if_range),
                            ];
                            fields.extend(all.iter().filter_map(|(name, value)| value.map(|value| (*name, value))));
                            let failed = if_match == Some("\"x\"") || (if_match.is_none() && if_unmodified == Some(EARLIER));
                            let not_modified =
                                if_none_match == Some("\"v,1\"") || (if_none_match.is_none() && if_modified == Some(LATER));
                            let want = if failed {
                                Verdict::Failed
                            } else if not_modified {
                                Verdict::NotModified
                            } else if if_range == Some("\"x\"") {
                                Verdict::ProceedWhole
                            } else {
                                Verdict::Proceed
                            };
                            check(&fields, want);
                        }
                    }
                }
            }
        }
    }
}
