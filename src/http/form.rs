//! The `multipart/form-data` body of a browser's form (RFC 7578, RFC 2046 section 5.1, and the HTML standard).
//!
//! In scope: which of the bytes that come are data of which part. Not in scope: reading them, and what a part means.
//!
//! Bytes may come in any pieces. What is held of them is the piece that came last and the little that may be the beginning of a
//! boundary, or the head of a part.

use std::ops::Range;

/// The longest boundary (RFC 2046 section 5.1.1).
const BOUNDARY_LEN_MAX: usize = 70;
/// The longest head of a part, in bytes.
const HEAD_LEN_MAX: usize = 8 * 1024;
/// How many bytes may stand before the first boundary. Nobody sends any.
const PREAMBLE_LEN_MAX: usize = 1024;
/// How many parts there may be.
const PARTS_MAX: usize = 100;
/// How many blanks may stand behind a boundary.
const PADDING_LEN_MAX: usize = 64;

/// What a part is, by its head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    /// The name of the form's field.
    pub name: String,
    /// The name of the file, where the field is one.
    pub file_name: Option<String>,
    /// Its media type, where one is given.
    pub content_type: Option<String>,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'p> {
    /// A part begins.
    Part(PartHead),
    /// Bytes of the present part.
    Data(&'p [u8]),
    /// The present part ends.
    PartEnd,
    /// The form ends. What follows is of no interest.
    End,
    /// Nothing before more bytes come.
    More,
}

/// The form is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(
    /// What is wrong with it.
    pub &'static str,
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Preamble,
    /// Behind a boundary.
    Boundary,
    Head,
    Data,
    End,
}

/// Takes a form apart.
#[derive(Clone, Debug)]
pub struct Parser {
    /// CR LF, two dashes and the boundary.
    delimiter: Vec<u8>,
    buf: Vec<u8>,
    /// What of the buffer is not told yet starts here.
    at: usize,
    state: State,
    parts: usize,
    preamble_len: usize,
}

impl Parser {
    /// A parser for the body that comes with this `Content-Type`; `None` where it is no form, or has no usable boundary.
    pub fn new(content_type: &str) -> Option<Self> {
        let (media_type, parameters) = content_type.split_once(';')?;
        if !media_type.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let boundary = parameter(parameters, "boundary")?;
        let is_boundary_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        if boundary.is_empty()
            || boundary.len() > BOUNDARY_LEN_MAX
            || boundary.ends_with(' ')
            || !boundary.bytes().all(is_boundary_byte)
        {
            return None;
        }
        // The first boundary stands at the very start, where there is no line to end.
        let (delimiter, buf) = (format!("\r\n--{boundary}").into_bytes(), b"\r\n".to_vec());
        Some(Self { delimiter, buf, at: 0, state: State::Preamble, parts: 0, preamble_len: 0 })
    }

    /// Takes the next bytes, once all that could be told of the last ones was.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buf.drain(..self.at);
        self.at = 0;
        if self.state != State::End {
            self.buf.extend_from_slice(bytes);
        }
    }

    /// What comes next. After [`Event::More`] it wants to be [fed](Self::feed).
    ///
    /// # Errors
    /// [`Malformed`]; the parser is not to be used again.
    pub fn event(&mut self) -> Result<Event<'_>, Malformed> {
        loop {
            match self.state {
                State::End => return Ok(Event::End),
                State::Preamble => {
                    let (data, is_end) = self.until_delimiter();
                    self.preamble_len += data.len();
                    if self.preamble_len > PREAMBLE_LEN_MAX {
                        return Err(Malformed("the form does not begin with its boundary"));
                    }
                    if !is_end {
                        return Ok(Event::More);
                    }
                    self.state = State::Boundary;
                }
                State::Boundary => match self.behind_boundary()? {
                    Some(state) => self.state = state,
                    None => return Ok(Event::More),
                },
                State::Head => {
                    let Some(head) = self.head()? else { return Ok(Event::More) };
                    self.parts += 1;
                    if self.parts > PARTS_MAX {
                        return Err(Malformed("the form has too many parts"));
                    }
                    self.state = State::Data;
                    return Ok(Event::Part(head));
                }
                State::Data => {
                    let rest = &self.buf[self.at..];
                    if rest.starts_with(&self.delimiter) {
                        self.at += self.delimiter.len();
                        self.state = State::Boundary;
                        return Ok(Event::PartEnd);
                    }
                    let (data, is_end) = self.before_delimiter();
                    if data.is_empty() && !is_end {
                        return Ok(Event::More);
                    }
                    self.at = data.end;
                    return Ok(Event::Data(&self.buf[data]));
                }
            }
        }
    }

    /// Where the data ends that is there, and whether a whole boundary stands behind it.
    fn before_delimiter(&self) -> (Range<usize>, bool) {
        let rest = &self.buf[self.at..];
        let mut from = 0;
        while let Some(found) = rest[from..].iter().position(|&byte| byte == b'\r') {
            let start = from + found;
            let len = self.delimiter.len().min(rest.len() - start);
            if rest[start..start + len] == self.delimiter[..len] {
                // The boundary, or what may become it.
                return (self.at..self.at + start, len == self.delimiter.len());
            }
            from = start + 1;
        }
        (self.at..self.buf.len(), false)
    }

    /// The same, and goes on behind both.
    fn until_delimiter(&mut self) -> (Range<usize>, bool) {
        let (data, is_end) = self.before_delimiter();
        self.at = data.end + if is_end { self.delimiter.len() } else { 0 };
        (data, is_end)
    }

    /// What follows a boundary: blanks and a line's end before a part, two dashes at the end of the form.
    fn behind_boundary(&mut self) -> Result<Option<State>, Malformed> {
        let rest = &self.buf[self.at..];
        if rest.starts_with(b"--") {
            self.at += 2;
            return Ok(Some(State::End));
        }
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if blanks > PADDING_LEN_MAX {
            return Err(Malformed("a boundary is followed by too many blanks"));
        }
        match &rest[blanks..] {
            [b'\r', b'\n', ..] => {
                self.at += blanks + 2;
                Ok(Some(State::Head))
            }
            [] | [b'\r'] => Ok(None),
            [b'-'] if blanks == 0 => Ok(None),
            _ => Err(Malformed("a boundary is not followed by the end of its line")),
        }
    }

    /// The head of a part, where it is there to its end.
    fn head(&mut self) -> Result<Option<PartHead>, Malformed> {
        let rest = &self.buf[self.at..];
        let end = if rest.starts_with(b"\r\n") { Some(0) } else { find(rest, b"\r\n\r\n").map(|at| at + 2) };
        match end {
            Some(len) if len <= HEAD_LEN_MAX => {
                let head = parse_head(&rest[..len])?;
                self.at += len + 2;
                Ok(Some(head))
            }
            None if rest.len() <= HEAD_LEN_MAX => Ok(None),
            _ => Err(Malformed("the head of a part is too long")),
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Each line of a head ends with CR LF.
fn parse_head(head: &[u8]) -> Result<PartHead, Malformed> {
    let head = std::str::from_utf8(head).map_err(|_| Malformed("the head of a part is not UTF-8"))?;
    let mut part = PartHead::default();
    let mut is_named = false;
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        if line.chars().any(|char| char.is_control() && char != '\t') {
            return Err(Malformed("the head of a part has a control character"));
        }
        let (name, value) = line.split_once(':').ok_or(Malformed("a line in the head of a part is no field"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-disposition" if is_named => return Err(Malformed("a part has two names")),
            "content-disposition" => {
                let (kind, parameters) = value.split_once(';').unwrap_or((value, ""));
                if !kind.trim().eq_ignore_ascii_case("form-data") {
                    return Err(Malformed("a part is not of a form"));
                }
                part.name = parameter(parameters, "name").ok_or(Malformed("a part has no name"))?;
                part.file_name = parameter(parameters, "filename");
                is_named = true;
            }
            "content-type" => part.content_type = Some(value.to_owned()),
            // The standard says that no other counts (RFC 7578 section 4.8); one that would change the bytes cannot be passed over.
            "content-transfer-encoding" if !matches!(value.to_ascii_lowercase().as_str(), "binary" | "8bit" | "7bit") => {
                return Err(Malformed("a part is encoded"));
            }
            _ => {}
        }
    }
    if is_named { Ok(part) } else { Err(Malformed("a part has no name")) }
}

/// The value of a parameter: a token, or a string in quotes. Browsers write a quote in a name as `%22`, and the ends of lines as
/// `%0D` and `%0A` (the HTML standard, "Multipart form data"); curl writes a backslash before a quote.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let (name, behind) = rest.split_once('=')?;
        let (value, behind) = if let Some(quoted) = behind.strip_prefix('"') {
            quoted_string(quoted)?
        } else {
            let (token, behind) = behind.split_once(';').unwrap_or((behind, ""));
            (token.trim().to_owned(), behind)
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = behind;
    }
}

/// A string up to its closing quote, and what stands behind that.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => {
                let value = value.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n");
                return Some((value, &text[at + 1..]));
            }
            // Browsers write a backslash as it is, and it may be the last character before the quote: of a name that ends so,
            // nothing better is known.
            '\\' if matches!(chars.peek(), Some((_, '"' | '\\'))) => value.extend(chars.next().map(|(_, char)| char)),
            char => value.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests;
