//! `crc32fast`: one sum on every machine.

#[test]
fn the_check_value() {
    // The check value of CRC-32/ISO-HDLC: the sum of these nine digits.
    assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
    let mut in_parts = crc32fast::Hasher::new();
    in_parts.update(b"1234");
    in_parts.update(b"56789");
    assert_eq!(in_parts.finalize(), 0xcbf4_3926);
}
