//! Any bytes as a chunked body: no panic, and the same data whole as byte by byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vidgate::http::chunked::{Decoder, Piece};

/// The data, and how many bytes were part of the body; `None` where it does not end, or is malformed.
fn decode<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Option<(Vec<u8>, usize)> {
    let (mut decoder, mut data, mut taken) = (Decoder::default(), Vec::new(), 0);
    for mut piece in pieces {
        loop {
            match decoder.decode(piece).ok()? {
                Piece::Data(range) => {
                    data.extend_from_slice(&piece[range.clone()]);
                    taken += range.end;
                    piece = &piece[range.end..];
                }
                Piece::More => {
                    taken += piece.len();
                    break;
                }
                Piece::End(len) => return Some((data, taken + len)),
            }
        }
    }
    None
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(decode(std::iter::once(bytes)), decode(bytes.chunks(1)));
});
