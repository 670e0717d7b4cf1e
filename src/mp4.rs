//! Where the index of an MP4 file lies.
//!
//! In scope: the outermost boxes of the ISO base media file format (ISO/IEC 14496-12 section 4.2), from as few bytes as that takes:
//! their headers. Not in scope: any I/O, and what is inside of a box.
//!
//! A player needs `moov`, the index, before it can show anything. Where it lies behind `mdat`, the films' bytes, a player that reads
//! from the front has to ask for the end first, and one that cannot seek must fetch everything.

use std::fmt;
use std::ops::Range;

/// The longest header of a box: size, type, and a size of 64 bits.
pub const HEADER_LEN_MAX: usize = 16;
/// How many boxes are looked at. Files have four or five; what has more before its index is not what it says.
const BOXES_MAX: usize = 64;

/// What is first in a file of this format. The others of these were written before `ftyp` was invented.
const FIRST: [[u8; 4]; 9] = [*b"ftyp", *b"moov", *b"mdat", *b"free", *b"skip", *b"wide", *b"pnot", *b"styp", *b"moof"];

/// How a file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The index lies in front of the film.
    IndexFirst {
        /// The index, in bytes.
        index_len: u64,
    },
    /// The index lies behind the film.
    IndexLast {
        /// Where it begins, in bytes from the start.
        index_at: u64,
        /// The index, in bytes.
        index_len: u64,
    },
    /// The index lies in front, and the film in fragments with an index of their own.
    Fragmented,
    /// There is no index: the recording was not finished, or the file is the front of a longer one.
    NoIndex,
    /// There is an index, and no film behind or before it.
    NoFilm,
    /// The file ends in the middle of a box.
    CutShort {
        /// The type of the box.
        kind: [u8; 4],
        /// How many bytes of it are missing.
        missing_len: u64,
    },
    /// A box cannot be as it says.
    Broken {
        /// Where it begins, in bytes from the start.
        at: u64,
    },
    /// It is no file of this format.
    NotMp4,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IndexFirst { index_len } => write!(f, "the index (moov, {index_len} bytes) lies in front of the film (mdat)"),
            Self::IndexLast { index_at, index_len } => {
                write!(f, "the index (moov, {index_len} bytes) lies behind the film (mdat), at byte {index_at}")
            }
            Self::Fragmented => f.write_str("fragmented: an index in front, and one in each fragment"),
            Self::NoIndex => f.write_str("there is no index (moov)"),
            Self::NoFilm => f.write_str("there is an index (moov) and no film (mdat)"),
            Self::CutShort { kind, missing_len } => {
                write!(f, "cut short: {missing_len} bytes of the box {:?} are missing", kind.escape_ascii().to_string())
            }
            Self::Broken { at } => write!(f, "broken at byte {at}: no box of this format begins there"),
            Self::NotMp4 => f.write_str("this is no MP4 file"),
        }
    }
}

/// A walk over the boxes of a file. What it [`wants`](Self::wants) is read and [`fed`](Self::feed) to it, until it wants nothing.
#[derive(Clone, Debug)]
pub struct Walk {
    size: u64,
    at: u64,
    boxes: usize,
    index: Option<Range<u64>>,
    film_at: Option<u64>,
    layout: Option<Layout>,
}

impl Walk {
    /// A walk over a file of this size, in bytes.
    pub fn new(size: u64) -> Self {
        let layout = (size == 0).then_some(Layout::NotMp4);
        Self { size, at: 0, boxes: 0, index: None, film_at: None, layout }
    }

    /// The bytes that are to be fed next, half-open; there may come more of them. `None` at the end.
    pub fn wants(&self) -> Option<Range<u64>> {
        let end = self.at.saturating_add(HEADER_LEN_MAX as u64).min(self.size);
        self.layout.is_none().then_some(self.at..end)
    }

    /// What was found; `None` while more is wanted.
    pub fn layout(&self) -> Option<Layout> {
        self.layout
    }

    /// Takes bytes from where [`wants`](Self::wants) begins, at least as many as it says, and looks at every header in them.
    /// Fewer are the end of a file that is shorter than it was said to be.
    pub fn feed(&mut self, bytes: &[u8]) {
        let start = self.at;
        let mut is_first_look = true;
        while let Some(wanted) = self.wants() {
            let rest = usize::try_from(wanted.start - start).ok().and_then(|from| bytes.get(from..)).unwrap_or_default();
            let is_whole = rest.len() as u64 >= wanted.end - wanted.start;
            if !is_whole && !is_first_look {
                return;
            }
            is_first_look = false;
            self.look(rest);
        }
    }

    /// Looks at the header of one box.
    fn look(&mut self, header: &[u8]) {
        let Some((kind, len)) = header_of(header, self.size - self.at) else {
            let is_start = self.at == 0;
            self.layout = Some(if is_start { Layout::NotMp4 } else { Layout::Broken { at: self.at } });
            return;
        };
        if self.at == 0 && !FIRST.contains(&kind) {
            self.layout = Some(Layout::NotMp4);
            return;
        }
        let end = self.at.saturating_add(len);
        match &kind {
            b"moov" => self.index = self.index.take().or(Some(self.at..end)),
            b"mdat" => self.film_at = self.film_at.or(Some(self.at)),
            b"moof" if self.index.is_some() && self.film_at.is_none() => self.layout = Some(Layout::Fragmented),
            _ => {}
        }
        if end > self.size {
            self.layout = Some(Layout::CutShort { kind, missing_len: end - self.size });
        }
        self.at = end.min(self.size);
        self.boxes += 1;
        if self.layout.is_none() {
            self.layout = self.verdict();
        }
    }

    /// What is known, where it is enough.
    fn verdict(&self) -> Option<Layout> {
        match (&self.index, self.film_at) {
            (Some(index), Some(film_at)) => {
                let index_len = index.end - index.start;
                let is_first = index.start < film_at;
                Some(if is_first {
                    Layout::IndexFirst { index_len }
                } else {
                    Layout::IndexLast { index_at: index.start, index_len }
                })
            }
            _ if self.at < self.size && self.boxes < BOXES_MAX => None,
            (Some(_), None) => Some(Layout::NoFilm),
            (None, _) => Some(Layout::NoIndex),
        }
    }
}

/// Type and length of a box, by its header; `len_left` is how much of the file there is from its start.
fn header_of(header: &[u8], len_left: u64) -> Option<([u8; 4], u64)> {
    let len = u32::from_be_bytes(header.get(..4)?.try_into().ok()?);
    let kind: [u8; 4] = header.get(4..8)?.try_into().ok()?;
    let is_name = kind.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ' || *byte == 0xa9);
    let len = match len {
        // The last box may go to the end of the file.
        0 => len_left,
        1 => u64::from_be_bytes(header.get(8..16)?.try_into().ok()?),
        len => u64::from(len),
    };
    let header_len = if header.get(..4)? == [0, 0, 0, 1] { 16 } else { 8 };
    (is_name && len >= header_len).then_some((kind, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A box with a body of so many bytes.
    fn a_box(kind: [u8; 4], body_len: usize) -> Vec<u8> {
        let mut bytes = u32::try_from(8 + body_len).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(&kind);
        bytes.resize(8 + body_len, 0xee);
        bytes
    }

    fn file(boxes: &[(&[u8; 4], usize)]) -> Vec<u8> {
        boxes.iter().flat_map(|(kind, len)| a_box(**kind, *len)).collect()
    }

    /// Walks over a file, fed so many bytes at a time (at least what is wanted), and counts the reads.
    fn walk(bytes: &[u8], window: usize) -> (Layout, usize) {
        let mut walk = Walk::new(bytes.len() as u64);
        let mut reads = 0;
        while let Some(wanted) = walk.wants() {
            let start = usize::try_from(wanted.start).unwrap();
            let end = usize::try_from(wanted.end).unwrap().max(start + window).min(bytes.len());
            walk.feed(&bytes[start..end]);
            reads += 1;
            assert!(reads <= BOXES_MAX + 1, "it does not end");
        }
        (walk.layout().unwrap(), reads)
    }

    #[track_caller]
    fn check(bytes: &[u8], want: Layout) {
        for window in [0, 1, 17, 100, 4096] {
            assert_eq!(walk(bytes, window).0, want, "{window}");
        }
    }

    #[test]
    fn layouts() {
        check(&file(&[(b"ftyp", 16), (b"moov", 50), (b"mdat", 500)]), Layout::IndexFirst { index_len: 58 });
        check(&file(&[(b"ftyp", 16), (b"free", 0), (b"moov", 50), (b"mdat", 0)]), Layout::IndexFirst { index_len: 58 });
        let last = Layout::IndexLast { index_at: 24 + 508, index_len: 58 };
        check(&file(&[(b"ftyp", 16), (b"mdat", 500), (b"moov", 50)]), last);
        check(&file(&[(b"ftyp", 16), (b"mdat", 500), (b"moov", 50), (b"uuid", 3)]), last);
        check(&file(&[(b"ftyp", 16), (b"moov", 50), (b"sidx", 9), (b"moof", 9), (b"mdat", 9)]), Layout::Fragmented);
        check(&file(&[(b"ftyp", 16), (b"mdat", 500)]), Layout::NoIndex);
        check(&file(&[(b"ftyp", 16), (b"moov", 50)]), Layout::NoFilm);
        check(&file(&[(b"free", 0); 100]), Layout::NoIndex);
        check(&file(&[(b"moov", 4), (b"mdat", 4)]), Layout::IndexFirst { index_len: 12 });
    }

    #[test]
    fn lengths_of_all_three_forms() {
        let mut long = file(&[(b"ftyp", 16)]);
        long.extend_from_slice(&[0, 0, 0, 1]);
        long.extend_from_slice(b"mdat");
        long.extend_from_slice(&116_u64.to_be_bytes());
        long.resize(long.len() + 100, 0);
        let index_at = long.len() as u64;
        long.extend(a_box(*b"moov", 50));
        check(&long, Layout::IndexLast { index_at, index_len: 58 });
        let mut open = file(&[(b"ftyp", 16), (b"moov", 50)]);
        open.extend_from_slice(b"\0\0\0\0mdat and so on");
        check(&open, Layout::IndexFirst { index_len: 58 });
    }

    #[test]
    fn what_is_none() {
        for bad in
            [&b""[..], b"\0", b"ftyp", b"RIFF\0\0\0\0AVI ", b"\x1aE\xdf\xa3\0\0\0\0", b"\0\0\0\x07ftyp", b"#EXTM3U\n#EXT"]
        {
            check(bad, Layout::NotMp4);
        }
        let mut bytes = file(&[(b"ftyp", 16)]);
        bytes.extend_from_slice(b"\0\0\0\x07moov........");
        check(&bytes, Layout::Broken { at: 24 });
        check(&file(&[(b"ftyp", 16), (b"mo\0v", 16)]), Layout::Broken { at: 24 });
        let mut cut = file(&[(b"ftyp", 16), (b"mdat", 500)]);
        cut.truncate(100);
        check(&cut, Layout::CutShort { kind: *b"mdat", missing_len: 432 });
    }

    #[test]
    fn every_cut_of_a_file_is_told_and_none_is_taken_for_whole() {
        let whole = file(&[(b"ftyp", 16), (b"moov", 50), (b"mdat", 40), (b"free", 5)]);
        for len in 0..whole.len() {
            let (layout, _) = walk(&whole[..len], 0);
            let film_is_whole = len >= 24 + 58 + 48;
            assert_eq!(matches!(layout, Layout::IndexFirst { .. }), film_is_whole, "{len}: {layout}");
        }
        let last = file(&[(b"ftyp", 16), (b"mdat", 40), (b"moov", 50)]);
        for len in 0..last.len() {
            assert!(!matches!(walk(&last[..len], 0).0, Layout::IndexLast { .. } | Layout::IndexFirst { .. }), "{len}");
        }
    }

    #[test]
    fn whatever_the_bytes_are_it_ends() {
        // Each byte of three headers takes each of the values that mean something, and each pair of neighbours does.
        let whole = file(&[(b"ftyp", 4), (b"mdat", 4), (b"moov", 4)]);
        let values = [0, 1, 2, 7, 8, 15, 16, 0x7f, 0x80, 0xff, b'm'];
        for at in 0..whole.len() {
            for first in values {
                for second in values {
                    let mut bytes = whole.clone();
                    bytes[at] = first;
                    if let Some(byte) = bytes.get_mut(at + 1) {
                        *byte = second;
                    }
                    let _ = walk(&bytes, 0).0.to_string();
                }
            }
        }
        // Sizes near the end of what a number holds.
        for size in [u64::MAX, u64::MAX - 1, 1 << 63] {
            let mut walk = Walk::new(size);
            walk.feed(&file(&[(b"ftyp", 8)]));
            let mut header = vec![0, 0, 0, 1];
            header.extend_from_slice(b"mdat");
            header.extend_from_slice(&u64::MAX.to_be_bytes());
            walk.feed(&header);
            assert!(walk.layout().is_some());
        }
    }

    #[test]
    fn a_file_that_is_shorter_than_it_was_said_to_be_ends_too() {
        let mut walk = Walk::new(1000);
        walk.feed(b"\0\0");
        assert_eq!(walk.layout(), Some(Layout::NotMp4));
    }

    #[test]
    fn ten_gigabytes_cost_a_read_for_each_box_at_most() {
        let mdat_len = 10_u64 << 30;
        let size = 24 + mdat_len + 58;
        let mut walk = Walk::new(size);
        let mut reads = Vec::new();
        while let Some(wanted) = walk.wants() {
            reads.push(wanted.start);
            let mut header = vec![0, 0, 0, 24];
            header.extend_from_slice(b"ftyp");
            if wanted.start == 24 {
                header = [&[0, 0, 0, 1][..], b"mdat", &mdat_len.to_be_bytes()].concat();
            } else if wanted.start > 24 {
                header = a_box(*b"moov", 50);
            }
            header.resize(HEADER_LEN_MAX.max(header.len()), 0);
            walk.feed(&header[..HEADER_LEN_MAX]);
        }
        assert_eq!(reads, [0, 24, 24 + mdat_len]);
        assert_eq!(walk.layout(), Some(Layout::IndexLast { index_at: 24 + mdat_len, index_len: 58 }));
    }
}
