//! vendor-notes/md-5.md

use md5::{Digest as _, Md5};

#[test]
fn the_vectors_of_rfc_1321() {
    for (text, want) in [
        ("", "d41d8cd98f00b204e9800998ecf8427e"),
        ("abc", "900150983cd24fb0d6963f7d28e17f72"),
        ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
    ] {
        let want: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&want[2 * at..2 * at + 2], 16).unwrap()).collect();
        assert_eq!(Md5::digest(text).as_slice(), want);
    }
}
