//! The name that was probably meant.
//!
//! In scope: how near two names are. Not in scope: which names are unknown.

/// What all of our own variables start with.
pub(super) const PREFIX: &str = "VIDGATE_";

/// Names longer than this are no slip of the finger, and would make the table of [`distance`] large.
const NAME_LEN_MAX: usize = 64;

/// The known name nearest to an unknown one, if any is near: up to a third of its letters wrong (two always, more than
/// three never; two swapped letters count as two), or one the beginning of the other.
///
/// What both spell alike, the prefix, counts for nothing; a name that only has the prefix too much (`VIDGATE_PORT`) is near.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if unknown.len() > NAME_LEN_MAX {
        return None;
    }
    let ours = unknown.strip_prefix(PREFIX).unwrap_or(unknown);
    let near = known.filter_map(|name| {
        let theirs = name.strip_prefix(PREFIX).unwrap_or(name);
        let wrong = distance(ours, theirs);
        let is_slip = wrong <= (theirs.len() / 3).clamp(2, 3) && wrong < ours.len();
        let is_beginning = ours.len().min(theirs.len()) >= 3 && (ours.starts_with(theirs) || theirs.starts_with(ours));
        (is_slip || is_beginning).then_some((!is_slip, wrong, name))
    });
    // A slip goes before a beginning, then fewer wrong letters before more.
    near.min_by_key(|(is_only_beginning, wrong, _)| (*is_only_beginning, *wrong)).map(|(_, _, name)| name)
}

/// How many letters must be put in, left out or replaced to make one of the other (Levenshtein 1965), one row at a time.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unknown: &str, want: Option<&str>) {
        let known = crate::config::SETTINGS.iter().flat_map(|setting| setting.variables.iter().copied());
        assert_eq!(nearest(unknown, known), want, "{unknown}");
    }

    #[test]
    fn the_name_that_was_meant() {
        check("VIDGATE_CHUNK_SIZ", Some("VIDGATE_CHUNK_SIZE"));
        check("VIDGATE_CHUNKSIZE", Some("VIDGATE_CHUNK_SIZE"));
        check("VIDGATE_CHUNCK_SISE", Some("VIDGATE_CHUNK_SIZE"));
        check("VIDGATE_CHUNK", Some("VIDGATE_CHUNK_SIZE"));
        check("VIDGATE_LGO", Some("VIDGATE_LOG"));
        check("VIDGATE_LOGS", Some("VIDGATE_LOG"));
        check("VIDGATE_LOG_LEVEL", Some("VIDGATE_LOG"));
        check("VIDGATE_LOG_FORMATS", Some("VIDGATE_LOG_FORMAT"));
        check("VIDGATE_DIRECTORY", Some("VIDGATE_DIR"));
        check("VIDGATE_CORS_ORIGIN", Some("VIDGATE_CORS_ORIGINS"));
        check("VIDGATE_PORT", Some("PORT"));
        check("VIDGATE_AWS_REGION", Some("AWS_REGION"));
        check("VIDGATE_IDLE_TIMEOUTS", Some("VIDGATE_IDLE_TIMEOUT"));

        check("VIDGATE_", None);
        check("VIDGATE_X", None);
        check("VIDGATE_IP", None);
        check("VIDGATE_COLOUR", None);
        check("VIDGATE_chunk_size", None);
        check(&format!("VIDGATE_CHUNK_SIZE{}", "E".repeat(100)), None);
    }

    #[test]
    fn distances() {
        for (from, to, want) in [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("kitten", "sitting", 3)] {
            assert_eq!(distance(from, to), want);
            assert_eq!(distance(to, from), want);
        }
        // Against the definition, on all words of up to three letters of two.
        let words: Vec<String> = (0..=3_u32)
            .flat_map(|len| {
                (0..2_u32.pow(len)).map(move |bits| (0..len).map(|at| if bits >> at & 1 == 0 { 'a' } else { 'b' }).collect())
            })
            .collect();
        for from in &words {
            for to in &words {
                assert_eq!(distance(from, to), naive(from.as_bytes(), to.as_bytes()), "{from:?} {to:?}");
            }
        }
    }

    fn naive(from: &[u8], to: &[u8]) -> usize {
        match (from, to) {
            ([], rest) | (rest, []) => rest.len(),
            ([a, from_rest @ ..], [b, to_rest @ ..]) => {
                let replaced = naive(from_rest, to_rest) + usize::from(a != b);
                replaced.min(naive(from_rest, to) + 1).min(naive(from, to_rest) + 1)
            }
        }
    }
}
