//! `httparse`: strict about tokens, not about line ends.

use httparse::{EMPTY_HEADER, Error, Request, Status, parse_headers};

/// Parses fields, which must end with an empty line, into name and value.
fn fields(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut storage = [EMPTY_HEADER; 4];
    match parse_headers(bytes, &mut storage)? {
        Status::Complete((_, fields)) => Ok(fields.iter().map(|f| (f.name.to_owned(), f.value.to_owned())).collect()),
        Status::Partial => panic!("incomplete: {:?}", String::from_utf8_lossy(bytes)),
    }
}

/// Parses a whole head.
fn head(bytes: &[u8]) -> Result<Status<usize>, Error> {
    Request::new(&mut [EMPTY_HEADER; 4]).parse(bytes)
}

#[track_caller]
fn check_value(bytes: &[u8], expected: Result<&[u8], Error>) {
    let value = fields(&[b"X:", bytes, b"\r\n\r\n"].concat()).map(|fields| fields[0].1.clone());
    assert_eq!(value.as_deref(), expected.as_ref().map(|v| *v), "{:?}", String::from_utf8_lossy(bytes));
}

#[test]
fn a_value_is_trimmed_and_may_hold_tabs_and_obs_text_but_no_other_control() {
    check_value(b" \ta \t b\t ", Ok(b"a \t b"));
    check_value(b"", Ok(b""));
    check_value(b" caf\xe9 \xff", Ok(b"caf\xe9 \xff"));
    for control in (0..=0x1f).chain([0x7f]).filter(|c| !b"\t\r\n".contains(c)) {
        check_value(&[b'a', control, b'b'], Err(Error::HeaderValue));
    }
    check_value(b"a\rb", Err(Error::HeaderValue));
}

#[test]
fn a_name_is_a_token_with_nothing_before_or_after_it() {
    for (bytes, error) in [
        (&b"X : y\r\n\r\n"[..], Error::HeaderName),
        (b"X\t: y\r\n\r\n", Error::HeaderName),
        (b" X: y\r\n\r\n", Error::HeaderName),
        (b": y\r\n\r\n", Error::HeaderName),
        (b"X\r\n\r\n", Error::HeaderName),
        (b"caf\xe9: y\r\n\r\n", Error::HeaderName),
        (b"X(: y\r\n\r\n", Error::HeaderName),
    ] {
        assert_eq!(fields(bytes), Err(error), "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_folded_line_is_refused() {
    assert_eq!(fields(b"X: y\r\n z\r\n\r\n"), Err(Error::HeaderName));
    assert_eq!(fields(b"X: y\r\n\tTransfer-Encoding: chunked\r\n\r\n"), Err(Error::HeaderName));
    assert_eq!(fields(b"X:\r\n y\r\n\r\n"), Err(Error::HeaderName));
}

#[test]
fn bare_line_feeds_and_empty_lines_ahead_are_accepted() {
    // So the caller checks line ends itself.
    assert_eq!(fields(b"X: y\nZ: w\n\n").unwrap().len(), 2);
    assert_eq!(head(b"GET / HTTP/1.1\nX: y\n\n"), Ok(Status::Complete(21)));
    assert_eq!(head(b"\r\n\n\r\nGET / HTTP/1.1\r\n\r\n"), Ok(Status::Complete(23)));
}

#[test]
fn only_http_1_0_and_1_1_are_versions() {
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/1.2", "HTTP/0.9", "http/1.1", "HTTP/11"] {
        assert_eq!(head(format!("GET / {version}\r\n\r\n").as_bytes()).unwrap_err(), Error::Version, "{version}");
    }
    assert_eq!(head(b"GET / HTTP/1.10\r\n\r\n"), Err(Error::NewLine));
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        assert_eq!(head(format!("GET / {version}\r\n\r\n").as_bytes()), Ok(Status::Complete(18)), "{version}");
    }
}

#[test]
fn a_target_may_hold_obs_text_but_no_control() {
    // So the caller decides about bytes above 127.
    assert_eq!(head("GET /caf\u{e9} HTTP/1.1\r\n\r\n".as_bytes()), Ok(Status::Complete(23)));
    assert_eq!(head(b"GET /caf\xe9 HTTP/1.1\r\n\r\n"), Err(Error::Token), "not UTF-8");
    assert_eq!(head(b"GET /\x00 HTTP/1.1\r\n\r\n"), Err(Error::Token));
    assert_eq!(head(b"GET /\x7f HTTP/1.1\r\n\r\n"), Err(Error::Token));
}

#[test]
fn one_field_too_many_is_an_error_of_its_own() {
    assert_eq!(fields(&[&b"X: y\r\n".repeat(5)[..], b"\r\n"].concat()), Err(Error::TooManyHeaders));
    assert_eq!(fields(&[&b"X: y\r\n".repeat(4)[..], b"\r\n"].concat()).unwrap().len(), 4);
}

#[test]
fn every_cut_of_a_good_head_is_partial() {
    let whole = b"GET /a?b HTTP/1.1\r\nHost: x\r\nRange: bytes=0-\r\n\r\n";
    for end in 0..whole.len() {
        assert_eq!(head(&whole[..end]), Ok(Status::Partial), "{end}");
    }
    assert_eq!(head(whole), Ok(Status::Complete(whole.len())));
}
