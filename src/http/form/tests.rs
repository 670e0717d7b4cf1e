use super::*;

const TYPE: &str = "multipart/form-data; boundary=XyZ";

/// The parts of a form that comes in pieces of so many bytes: name, file name, data; and whether it ended.
type Parts = (Vec<(String, Option<String>, Vec<u8>)>, bool);

fn parse(body: &[u8], piece_len: usize) -> Result<Parts, Malformed> {
    let mut parser = Parser::new(TYPE).unwrap();
    let mut parts: Vec<(String, Option<String>, Vec<u8>)> = Vec::new();
    let mut is_open = false;
    for piece in body.chunks(piece_len) {
        parser.feed(piece);
        loop {
            assert!(parser.buf.len() <= piece.len() + HEAD_LEN_MAX + 256, "{} bytes are held", parser.buf.len());
            match parser.event()? {
                Event::More => break,
                Event::End => return Ok((parts, true)),
                Event::Part(head) => {
                    assert!(!is_open);
                    is_open = true;
                    parts.push((head.name, head.file_name, Vec::new()));
                }
                Event::Data(data) => {
                    assert!(is_open && !data.is_empty());
                    parts.last_mut().unwrap().2.extend_from_slice(data);
                }
                Event::PartEnd => {
                    assert!(is_open);
                    is_open = false;
                }
            }
        }
    }
    Ok((parts, false))
}

/// The same however the body comes.
#[track_caller]
fn parse_every_way(body: &[u8]) -> Result<Parts, Malformed> {
    let whole = parse(body, body.len().max(1));
    for piece_len in [1, 2, 3, 5, 7, 64] {
        assert_eq!(parse(body, piece_len), whole, "in pieces of {piece_len}: {:?}", String::from_utf8_lossy(body));
    }
    whole
}

/// A form of one file with this data.
fn form(data: &[u8]) -> Vec<u8> {
    let mut body = b"--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp4\"\r\n\r\n".to_vec();
    body.extend_from_slice(data);
    body.extend_from_slice(b"\r\n--XyZ--\r\n");
    body
}

#[track_caller]
fn check_data(data: &[u8]) {
    let want = vec![("file".to_owned(), Some("a.mp4".to_owned()), data.to_vec())];
    assert_eq!(parse_every_way(&form(data)), Ok((want, true)), "{:?}", String::from_utf8_lossy(data));
}

#[test]
fn data_may_look_like_anything_but_the_boundary() {
    for data in [
        &b""[..],
        b"film",
        b"\r\n",
        b"\r\n--Xy",
        b"\r\n--XyY",
        b"\r\r\n--Xy\r\n--X",
        b"--XyZ",
        b"\n--XyZ\r\n",
        b"\r\n--\r\n--\r\n",
        b"\r\n\r\n\r\n\r",
        b"\0\xff\r\n\0",
    ] {
        check_data(data);
    }
}

#[test]
fn every_short_string_of_what_boundaries_are_made_of() {
    // Each of the six bytes at each of five places.
    let alphabet = [b'\r', b'\n', b'-', b'X', b'y', b'a'];
    for number in 0..6usize.pow(5) {
        let data: Vec<u8> = (0..5u32).map(|place| alphabet[number / 6usize.pow(place) % 6]).collect();
        let body = form(&data);
        let want = vec![("file".to_owned(), Some("a.mp4".to_owned()), data)];
        assert_eq!(parse(&body, body.len()), Ok((want.clone(), true)));
        assert_eq!(parse(&body, 1), Ok((want, true)));
    }
}

#[test]
fn what_clients_send() {
    // Chromium: raw UTF-8, %22 for a quote, a backslash as it is. curl: a backslash before a quote.
    let body = "--XyZ\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\na/b.mp4\r\n\
                --XyZ \t\r\ncontent-disposition:form-data;name=file;filename=\"der %22Film%22 \\ фильм.mp4\"\r\n\
                Content-Type: video/mp4\r\n\r\nfilm\r\n\
                --XyZ\r\nContent-Disposition: form-data; filename=\"a\\\"b\\\\c.mp4\"; name=\"x\"\r\n\r\n\r\n\
                --XyZ--";
    let part = |name: &str, file: Option<&str>, data: &[u8]| (name.to_owned(), file.map(str::to_owned), data.to_vec());
    let want = vec![
        part("key", None, b"a/b.mp4"),
        part("file", Some("der \"Film\" \\ фильм.mp4"), b"film"),
        part("x", Some("a\"b\\c.mp4"), b""),
    ];
    assert_eq!(parse_every_way(body.as_bytes()), Ok((want, true)));
    // No part at all, and one without an end.
    assert_eq!(parse_every_way(b"--XyZ--\r\n"), Ok((vec![], true)));
    assert_eq!(parse_every_way(b"preamble\r\n--XyZ--\r\nepilogue"), Ok((vec![], true)));
    let cut = &form(b"film")[..70];
    assert_eq!(parse_every_way(cut).map(|(_, ended)| ended), Ok(false));
}

#[test]
fn malformed_forms() {
    let head = |head: &str| format!("--XyZ\r\n{head}\r\n\r\nfilm\r\n--XyZ--").into_bytes();
    for body in [
        b"--XyZx\r\n".to_vec(),
        b"--XyZ-\r\n".to_vec(),
        b"--XyZ\n\n".to_vec(),
        [&b"--XyZ"[..], &[b' '; 100], b"\r\n"].concat(),
        vec![b'x'; PREAMBLE_LEN_MAX + 100],
        [&b"--XyZ\r\n"[..], &[b'x'; HEAD_LEN_MAX + 100]].concat(),
        head("Content-Type: video/mp4"),
        head("\r\n"),
        head("Content-Disposition: form-data"),
        head("Content-Disposition: attachment; name=\"file\""),
        head("Content-Disposition: form-data; name=\"file"),
        head("Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\""),
        head("Content-Disposition: form-data; name=\"a\"\r\nno field"),
        head("Content-Disposition: form-data; name=\"a\0\""),
        head("Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64"),
        [&b"--XyZ\r\nContent-Disposition: form-data; name=\"\xff\"\r\n\r\n"[..]].concat(),
        b"--XyZ\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n".repeat(PARTS_MAX + 1),
    ] {
        assert!(parse_every_way(&body).is_err(), "{:?}", String::from_utf8_lossy(&body[..body.len().min(100)]));
    }
}

#[test]
fn boundaries() {
    #[track_caller]
    fn check(content_type: &str, want: Option<&str>) {
        let got = Parser::new(content_type).map(|parser| String::from_utf8(parser.delimiter).unwrap());
        assert_eq!(got, want.map(|boundary| format!("\r\n--{boundary}")), "{content_type}");
    }
    check("multipart/form-data; boundary=----WebKitFormBoundaryAb1", Some("----WebKitFormBoundaryAb1"));
    check("Multipart/Form-Data;charset=utf-8;BOUNDARY=\"a b:c\"", Some("a b:c"));
    let longest = "x".repeat(70);
    check(&format!("multipart/form-data; boundary={longest}"), Some(&longest));
    check(&format!("multipart/form-data; boundary={longest}x"), None);
    for bad in [
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"a",
        "multipart/form-data; boundary=\"a \"",
        "multipart/form-data; boundary=\"a\r\nb\"",
        "multipart/form-data; boundary=ü",
        "multipart/mixed; boundary=a",
        "application/x-www-form-urlencoded",
    ] {
        check(bad, None);
    }
}

#[test]
fn mutations_never_panic_and_never_hold_much() {
    let mut whole = form(b"fi\r\n--Xlm");
    whole.extend_from_slice(b"--XyZ\r\nContent-Disposition: form-data; name=\"\\\"\"\r\n\r\nx");
    let mut state = 0x9e37_79b9_u32;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize
    };
    for _ in 0..30_000 {
        let mut body = whole.clone();
        for _ in 0..=next() % 4 {
            let at = next() % body.len();
            match next() % 4 {
                0 => body[at] = b"\r\n-XyZ\";:= \\\0\xff"[next() % 14],
                1 => body.truncate(at.max(1)),
                2 => body.insert(at, b"\r\n-\""[next() % 4]),
                _ => drop(body.remove(at)),
            }
            if body.is_empty() {
                body.push(b'x');
            }
        }
        let whole = parse(&body, body.len());
        assert_eq!(parse(&body, next() % 20 + 1), whole, "{:?}", String::from_utf8_lossy(&body));
    }
}
