//! Any bytes as a form: no panic, little held, and the same parts whole as byte by byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vidgate::http::form::{Event, Parser, PartHead};

/// The parts with their data, and whether the form ended; `None` where it is malformed.
fn parse<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Option<(Vec<(PartHead, Vec<u8>)>, bool)> {
    let mut parser = Parser::new("multipart/form-data; boundary=b")?;
    let mut parts: Vec<(PartHead, Vec<u8>)> = Vec::new();
    for piece in pieces {
        parser.feed(piece);
        loop {
            match parser.event().ok()? {
                Event::More => break,
                Event::End => return Some((parts, true)),
                Event::Part(head) => parts.push((head, Vec::new())),
                Event::Data(data) => parts.last_mut().expect("data is in a part").1.extend_from_slice(data),
                Event::PartEnd => {}
            }
        }
    }
    Some((parts, false))
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(parse(std::iter::once(bytes)), parse(bytes.chunks(1)));
});
