//! The `.env` file: from its bytes to names and values.
//!
//! In scope: which lines are broken. Not in scope: reading the file, and what the names mean. The syntax is dotenvy's; a
//! value that holds a `$` must stand in single quotes, or dotenvy puts another variable in its place: one of the process's own
//! environment, which is the only thing that does not come in as an argument, or one of an earlier line.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};

/// What a `.env` file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dotenv {
    /// Its variables. Of a name that stands there twice the last counts, as in a shell that reads the file.
    pub(super) variables: BTreeMap<String, String>,
    /// The numbers of the broken lines, from 1. Their text is not kept: it may hold a secret.
    pub(super) broken_lines: Vec<usize>,
}

/// Reads the text of a `.env` file.
pub(super) fn parse(bytes: &[u8]) -> Dotenv {
    // The iterator of dotenvy leaves a byte order mark in the first name.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
            return Dotenv { broken_lines: vec![line], ..Dotenv::default() };
        }
    };
    // dotenvy takes a space before the end of the file, but not before the end of a line, for an open quote.
    let text = format!("{text}\n");
    let lines_read = Cell::new(0);
    let mut dotenv = Dotenv::default();
    for item in dotenvy::from_read_iter(LineReader { rest: text.as_bytes(), lines_read: &lines_read }) {
        match item {
            Ok((name, value)) => {
                dotenv.variables.insert(name, value);
            }
            Err(dotenvy::Error::LineParse(part, _)) => {
                // The error has no line number. A value in quotes may go over several lines, of which the part that could
                // not be read names the first; after it the reader stands at the last.
                dotenv.broken_lines.push(lines_read.get() + 1 - part.lines().count().max(1));
            }
            // Neither can come of a reader over text; what is no longer readable is not read on.
            Err(_) => {
                dotenv.broken_lines.push(lines_read.get());
                break;
            }
        }
    }
    dotenv
}

/// Gives its reader one line at a time, so that the count says how far it is: a buffered reader asks for more only once it
/// has used up what it has.
struct LineReader<'a> {
    rest: &'a [u8],
    lines_read: &'a Cell<usize>,
}

impl Read for LineReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let line_len = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        let len = line_len.min(buf.len());
        let (head, rest) = self.rest.split_at(len);
        buf[..len].copy_from_slice(head);
        self.rest = rest;
        if head.ends_with(b"\n") {
            self.lines_read.set(self.lines_read.get() + 1);
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: impl AsRef<[u8]>, variables: &[(&str, &str)], broken_lines: &[usize]) {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(parse(bytes.as_ref()), Dotenv { variables, broken_lines: broken_lines.to_vec() });
    }

    #[test]
    fn good_files() {
        check("", &[], &[]);
        check("\n\n# a comment\n", &[], &[]);
        check("PORT=1", &[("PORT", "1")], &[]);
        check("PORT=1 ", &[("PORT", "1")], &[]);
        check("PORT=1\r\nHOST=a\r\n", &[("PORT", "1"), ("HOST", "a")], &[]);
        check("  PORT = 1 # why\nexport HOST='a b'", &[("PORT", "1"), ("HOST", "a b")], &[]);
        check("PORT=\nHOST=''", &[("PORT", ""), ("HOST", "")], &[]);
        check("PORT=1\nPORT=2", &[("PORT", "2")], &[]);
        check("A=\"x\ny\"\nB=z", &[("A", "x\ny"), ("B", "z")], &[]);
        check("\u{feff}PORT=1", &[("PORT", "1")], &[]);
        // A secret as AWS hands them out needs no quotes.
        check("K=wJalrXUtnFEMI/K7MDENG+bPxRfiCY=EXAMPLEKEY", &[("K", "wJalrXUtnFEMI/K7MDENG+bPxRfiCY=EXAMPLEKEY")], &[]);
        // A dollar sign does: this is what dotenvy makes of one without.
        check("K='a$b'", &[("K", "a$b")], &[]);
        check("NAME1X=ab\nK=\"$NAME1X-c\"", &[("NAME1X", "ab"), ("K", "ab-c")], &[]);
        check(format!("A={}\nB=2", "x".repeat(20_000)), &[("A", &"x".repeat(20_000)), ("B", "2")], &[]);
    }

    #[test]
    fn broken_lines_are_named() {
        check("PORT", &[], &[1]);
        check("PORT\n", &[], &[1]);
        check("\n# x\n\nPORT 1\nHOST=a", &[("HOST", "a")], &[4]);
        check("1X=2\nHOST=a b\nPORT=1", &[("PORT", "1")], &[1, 2]);
        check("=x", &[], &[1]);
        check("A=\"x\ny\" z\nB=1", &[("B", "1")], &[1]);
        check("A=1\nB='open\nC=2\n\n", &[("A", "1")], &[2]);
        check("A=\\q", &[], &[1]);
        check(format!("A={}\nB c", "x".repeat(20_000)), &[("A", &"x".repeat(20_000))], &[2]);
        check(b"A=1\nB=\xff\n", &[], &[2]);
        check(b"\xff", &[], &[1]);
    }
}
