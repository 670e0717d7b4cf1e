//! `sha2`: SHA-256 as FIPS 180-4 has it.

use sha2::{Digest as _, Sha256};

#[test]
fn the_vector_of_fips_180() {
    // NIST, "SHA-256 examples": the message "abc".
    let want = [0xba78_16bf_u32, 0x8f01_cfea, 0x4141_40de, 0x5dae_2223, 0xb003_61a3, 0x9617_7a9c, 0xb410_ff61, 0xf200_15ad];
    let got = Sha256::digest(b"abc");
    assert_eq!(got[..], want.map(u32::to_be_bytes).concat()[..]);
}
