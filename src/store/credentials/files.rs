//! Small files: profiles and tokens.
//!
//! In scope: reading one whole, up to a limit. Not in scope: what is in it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The longest file that is read, in bytes. Shared configuration files of large companies have some hundred KiB.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// Reads a small file: one with profiles or a token.
///
/// # Errors
/// As [`File::open`] and reading it say; [`io::ErrorKind::FileTooLarge`] where it is longer than 1 MiB.
pub fn read_small_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LEN_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// The token in a file: its text without white space around it.
///
/// # Errors
/// Why there is none, as a phrase that names the file and shows nothing of it.
pub(super) fn read_token(path: &Path, read: impl Fn(&Path) -> io::Result<Vec<u8>>) -> Result<String, String> {
    let bytes = read(path).map_err(|error| format!("{} cannot be read: {}", path.display(), error.kind()))?;
    let text = std::str::from_utf8(&bytes).ok().map(str::trim);
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    match text.filter(|text| is_token(text)) {
        Some(token) => Ok(token.to_owned()),
        None => Err(format!("{} holds no token", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_their_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert_eq!(read_small_file(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        for (len, is_good) in [(0, true), (1 << 20, true), ((1 << 20) + 1, false)] {
            std::fs::write(&path, vec![b'x'; len]).unwrap();
            match read_small_file(&path) {
                Ok(bytes) => assert!(is_good && bytes.len() == len),
                Err(error) => assert!(!is_good && error.kind() == io::ErrorKind::FileTooLarge, "{error}"),
            }
        }
        assert!(read_small_file(dir.path()).is_err());
    }

    #[test]
    fn tokens() {
        #[track_caller]
        fn check(bytes: &'static [u8], want: Option<&str>) {
            let got = read_token(Path::new("token"), |_| Ok(bytes.to_vec()));
            assert_eq!(got.as_deref().ok(), want);
            assert!(got.err().is_none_or(|why| why == "token holds no token"));
        }
        check(b"hunter2", Some("hunter2"));
        check(b" Bearer hunter2\r\n", Some("Bearer hunter2"));
        for bad in [&b""[..], b" \n", b"hunter\n2", b"hunter\xff", b"hunter\x002", "hünter".as_bytes()] {
            check(bad, None);
        }
        let why = read_token(Path::new("/gone"), |_| Err(io::ErrorKind::NotFound.into())).unwrap_err();
        assert_eq!(why, "/gone cannot be read: entity not found");
    }
}
