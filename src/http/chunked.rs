//! The chunked transfer coding of a request body (RFC 9112 section 7.1).
//!
//! In scope: which of the bytes that come are data, and where the body ends. Not in scope: reading them, and what the data is.
//!
//! As strict as the head: a decoder that is lenient about where a chunk ends sees another request behind the body than the next
//! one does.

use std::ops::Range;

/// The longest chunk-size line, in bytes, its extensions included (they are ignored, as section 7.1.1 says).
const LINE_LEN_MAX: usize = 256;
/// The longest trailer section, in bytes. It is ignored (section 7.1.2).
const TRAILER_LEN_MAX: usize = 8 * 1024;

/// Decodes one body. Bytes may come in any pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoder {
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// In a chunk-size line: its value so far, how many digits it has, and how many bytes the line has.
    Size { size: u64, digits: u32, len: usize },
    /// In the extensions of a chunk-size line, or at its end.
    Extension { size: u64, len: usize, after_cr: bool },
    /// In the data of a chunk.
    Data { left: u64 },
    /// Behind the data of a chunk: CR, then LF.
    DataEnd { after_cr: bool },
    /// In the trailer section: how many bytes it has, how many the present line has.
    Trailer { len: usize, line_len: usize, after_cr: bool },
    /// Behind the end.
    End,
}

/// What a piece of the input is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes of the input are data; go on behind them.
    Data(Range<usize>),
    /// All of the input was taken; go on with more.
    More,
    /// The body ended; so many bytes of the input were part of it.
    End(usize),
}

/// The body is malformed: nothing behind it can be trusted to be a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(
    /// What is wrong with it.
    pub &'static str,
);

impl Default for Decoder {
    fn default() -> Self {
        Self { state: SIZE }
    }
}

const SIZE: State = State::Size { size: 0, digits: 0, len: 0 };

impl Decoder {
    /// Looks at input from its start. After [`Piece::Data`] the caller goes on with what is behind the data.
    ///
    /// # Errors
    /// [`Malformed`]; the decoder is not to be used again.
    pub fn decode(&mut self, input: &[u8]) -> Result<Piece, Malformed> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match &mut self.state {
                State::Data { left } => {
                    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len() - at);
                    *left -= len as u64;
                    if *left == 0 {
                        self.state = State::DataEnd { after_cr: false };
                    }
                    return Ok(Piece::Data(at..at + len));
                }
                State::End => return Ok(Piece::End(at)),
                _ => self.state = self.step(byte)?,
            }
            at += 1;
        }
        Ok(if self.state == State::End { Piece::End(at) } else { Piece::More })
    }

    /// What follows a byte that is not data.
    fn step(&self, byte: u8) -> Result<State, Malformed> {
        match (self.state.clone(), byte) {
            (State::Size { size, digits, len }, digit) if digit.is_ascii_hexdigit() => {
                // Sixteen digits are all that u64 holds.
                if digits == 16 {
                    return Err(Malformed("a chunk size has more than sixteen digits"));
                }
                let value = u64::from(char::from(digit).to_digit(16).unwrap_or(0));
                Ok(State::Size { size: size << 4 | value, digits: digits + 1, len: len + 1 })
            }
            (State::Size { digits: 0, .. }, _) => Err(Malformed("a chunk has no size")),
            (State::Size { size, len, .. }, b'\r') => Ok(State::Extension { size, len: len + 1, after_cr: true }),
            // chunk-ext = *( BWS ";" BWS chunk-ext-name [ ... ] )
            (State::Size { size, len, .. }, b';' | b' ' | b'\t') => {
                Ok(State::Extension { size, len: len + 1, after_cr: false })
            }
            (State::Size { .. }, _) => Err(Malformed("a chunk size is not a number")),
            (State::Extension { size: 0, after_cr: true, .. }, b'\n') => {
                Ok(State::Trailer { len: 0, line_len: 0, after_cr: false })
            }
            (State::Extension { size, after_cr: true, .. }, b'\n') => Ok(State::Data { left: size }),
            (State::Extension { len, .. }, _) if len >= LINE_LEN_MAX => Err(Malformed("a chunk size line is too long")),
            (State::Extension { size, len, after_cr: false }, byte) if byte == b'\r' || is_text(byte) => {
                Ok(State::Extension { size, len: len + 1, after_cr: byte == b'\r' })
            }
            (State::Extension { .. }, _) => Err(Malformed("a chunk size line does not end as it must")),
            (State::DataEnd { after_cr: false }, b'\r') => Ok(State::DataEnd { after_cr: true }),
            (State::DataEnd { after_cr: true }, b'\n') => Ok(SIZE),
            (State::DataEnd { .. }, _) => Err(Malformed("a chunk does not end as it must")),
            (State::Trailer { line_len: 0, after_cr: true, .. }, b'\n') => Ok(State::End),
            (State::Trailer { len, after_cr: true, .. }, b'\n') => {
                Ok(State::Trailer { len: len + 1, line_len: 0, after_cr: false })
            }
            (State::Trailer { len, .. }, _) if len >= TRAILER_LEN_MAX => Err(Malformed("the trailer section is too long")),
            (State::Trailer { len, line_len, after_cr: false }, b'\r') => {
                Ok(State::Trailer { len: len + 1, line_len, after_cr: true })
            }
            (State::Trailer { len, line_len, after_cr: false }, byte) if is_text(byte) => {
                Ok(State::Trailer { len: len + 1, line_len: line_len + 1, after_cr: false })
            }
            (State::Trailer { .. }, _) => Err(Malformed("a trailer line does not end as it must")),
            // Both are dealt with by the caller.
            (state @ (State::Data { .. } | State::End), _) => Ok(state),
        }
    }
}

/// What may stand in a line: no control character but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes input that comes in pieces of so many bytes: the data, and how many bytes behind the body are left.
    fn decode(input: &[u8], piece_len: usize) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
        let (mut decoder, mut data, mut taken) = (Decoder::default(), Vec::new(), 0);
        for piece in input.chunks(piece_len.max(1)) {
            let mut rest = piece;
            loop {
                match decoder.decode(rest)? {
                    Piece::Data(range) => {
                        data.extend_from_slice(&rest[range.clone()]);
                        taken += range.end;
                        rest = &rest[range.end..];
                    }
                    Piece::More => {
                        taken += rest.len();
                        break;
                    }
                    Piece::End(len) => return Ok(Some((data, input.len() - taken - len))),
                }
            }
        }
        Ok(None)
    }

    #[track_caller]
    fn check(input: &[u8], want: Result<Option<(&[u8], usize)>, ()>) {
        for piece_len in [1, 2, 3, 7, input.len()] {
            let got = decode(input, piece_len).map_err(drop);
            let want = want.map(|end| end.map(|(data, left)| (data.to_vec(), left)));
            assert_eq!(got, want, "{:?} by {piece_len}", String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn bodies() {
        check(b"0\r\n\r\n", Ok(Some((b"", 0))));
        check(b"5\r\nhello\r\n0\r\n\r\n", Ok(Some((b"hello", 0))));
        check(b"5\r\nhello\r\n00\r\n\r\nGET /", Ok(Some((b"hello", 5))));
        check(b"A\r\n0123456789\r\n3;a=\"b\"\r\n\r\n!\r\n0 ; x\r\nT: v\r\nU:\r\n\r\n", Ok(Some((b"0123456789\r\n!", 0))));
        check(b"0005\r\nhello\r\n0\r\n\r\n", Ok(Some((b"hello", 0))));
        check(b"5\r\nhel", Ok(None));
        check(b"5\r\nhello\r\n0\r\n", Ok(None));
        check(b"ffffffffffffffff\r\nx", Ok(None));
        for bad in [
            &b"\r\n"[..],
            b"x\r\n",
            b"-1\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhelloX\r\n0\r\n\r\n",
            b"5\r\rhello\r\n0\r\n\r\n",
            b"5;a\nhello\r\n0\r\n\r\n",
            b"5;\0\r\nhello\r\n0\r\n\r\n",
            b"5_\r\nhello\r\n0\r\n\r\n",
            b"10000000000000000\r\nx",
            b"0\r\nT: \0\r\n\r\n",
            b"0\r\nT: v\n\r\n",
            b"0\r\n\n",
            b"0\r\n\rX",
        ] {
            check(bad, Err(()));
        }
        check(&[b"5;", &[b'x'; LINE_LEN_MAX][..], b"\r\nhello"].concat(), Err(()));
        check(&[b"0\r\nT: ", &[b'x'; TRAILER_LEN_MAX][..], b"\r\n\r\n"].concat(), Err(()));
    }

    /// Every string of up to seven symbols: no panic, and in pieces the same as whole. What is accepted, encoded anew and
    /// decoded again, is the same.
    #[test]
    fn small_inputs_exhaustively() {
        let symbols: [&[u8]; 8] = [b"0", b"1", b"\r\n", b"\r", b"\n", b"a", b";", b":"];
        let mut accepted = 0;
        for len in 0..=7_u32 {
            for number in 0..8_usize.pow(len) {
                let input: Vec<u8> = (0..len).flat_map(|at| symbols[number >> (3 * at) & 7]).copied().collect();
                let whole = decode(&input, input.len());
                assert_eq!(decode(&input, 1), whole, "{input:?}");
                if let Ok(Some((data, _))) = whole {
                    accepted += 1;
                    let encoded = match data.len() {
                        0 => b"0\r\n\r\n".to_vec(),
                        len => [format!("{len:x}\r\n").as_bytes(), &data, b"\r\n0\r\n\r\n"].concat(),
                    };
                    assert_eq!(decode(&encoded, 1), Ok(Some((data, 0))));
                }
            }
        }
        assert!(accepted > 100, "{accepted} bodies accepted");
    }
}
