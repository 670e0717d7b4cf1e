//! Any bytes as a token, and as the header and the claims of one that is signed: no panic, and whatever is accepted can be minted
//! anew and says the same.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use libfuzzer_sys::fuzz_target;
use sha2::Sha256;
use vidgate::sign::token::{KeyRing, mint, verify};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const HEADER: &[u8] = br#"{"alg":"HS256","kid":"k1"}"#;
const CLAIMS: &[u8] = br#"{"key":"a","exp":9}"#;

fn signed(header: &[u8], claims: &[u8]) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fuzz_target!(|bytes: &[u8]| {
    let ring = KeyRing::parse(&format!("k1:{SECRET}")).unwrap();
    let raw = String::from_utf8_lossy(bytes);
    for token in [raw.into_owned(), signed(bytes, CLAIMS), signed(HEADER, bytes)] {
        if let Ok(claims) = verify(&ring, &token, 1) {
            assert!(claims.expires_at > 1);
            assert_eq!(verify(&ring, &mint(&ring, &claims), 1).unwrap(), claims);
        }
    }
});
