//! Any bytes as a request head: no panic, and the same verdict whole as byte by byte. What is accepted, written anew, is accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vidgate::http::head::{Outcome, Seen, origin, parse};

fuzz_target!(|bytes: &[u8]| {
    let _ = origin(bytes);
    let whole = parse(bytes, &mut Seen::default());
    let mut seen = Seen::default();
    let pieces = (0..=bytes.len()).map(|len| parse(&bytes[..len], &mut seen));
    let by_byte = pieces.into_iter().find(|outcome| *outcome != Outcome::Incomplete).unwrap_or(Outcome::Incomplete);
    assert_eq!(whole, by_byte);
    if let Outcome::Head(head, _) = whole {
        let mut canonical = Vec::new();
        head.write_canonical(1, &mut canonical);
        assert!(canonical.is_ascii());
        // The listener needs no Host, and HTTP/1.0 need not have one; we do.
        if !canonical.windows(8).any(|bytes| bytes == b"\r\nhost: ") {
            let end = canonical.len() - 2;
            canonical.splice(end..end, *b"Host: a\r\n");
        }
        assert!(matches!(parse(&canonical, &mut Seen::default()), Outcome::Head(_, len) if len == canonical.len()));
    }
});
