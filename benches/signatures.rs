//! Signatures a second on one core: CloudFront's with RSA and P-256, made anew and used again, and playback tokens.
//!
//! ```sh
//! cargo bench --bench signatures [-- RSA_KEY.pem]
//! ```
//!
//! Each line is the best of five rounds of half a second, by processor time where the system tells it (Linux): other programs can
//! only make it slower. The RSA key is made by `openssl` where none is given.

#![allow(missing_docs, unreachable_pub, reason = "a program of its own")]

#[path = "support/rate.rs"]
mod rate;

use std::process::Command;

use rate::{of_thread, rate};
use vidgate::object::ObjectKey;
use vidgate::sign::cloudfront::{Domain, Hash, Policy, PrivateKey, Signer};
use vidgate::sign::token::{Claims, KeyRing, Scope, Wanted, mint, verify};

const NOW: u64 = 1_800_000_000;

fn main() {
    let given: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let rsa = given.first().map_or_else(
        || made_by_openssl(&["genrsa", "2048"]),
        |path| std::fs::read_to_string(path).expect("the key can be read"),
    );
    let p256 = made_by_openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout"]);
    let domain = Domain::new("d111111abcdef8.cloudfront.net").expect("a host name");

    for (name, pem) in [("RSA-2048", &rsa), ("P-256", &p256)] {
        for hash in [Hash::Sha1, Hash::Sha256] {
            let signer = Signer::new("K2JCJMDEHXQW5F", PrivateKey::from_pem(pem).expect("a key"), hash).expect("a signer");
            let mut number = 0;
            let what = format!("{name}, {hash:?}: canned URL, signed anew");
            rate(&what, of_thread, || {
                number += 1;
                let url = domain.url(&ObjectKey::new(&format!("film-{number}.mp4")).expect("a key"));
                signer.sign(Policy::canned(&url, NOW).expect("a policy")).expect("a signature").url(&url).expect("a URL")
            });
        }
        let signer = Signer::new("K1", PrivateKey::from_pem(pem).expect("a key"), Hash::Sha1).expect("a signer");
        let pattern = Policy::custom(&domain.pattern("show/1/"), NOW, None, None).expect("a policy");
        let grant = signer.sign(pattern).expect("a signature");
        let mut number = 0;
        rate(&format!("{name}: URL under a wildcard that is signed"), of_thread, || {
            number += 1;
            let url = domain.url(&ObjectKey::new(&format!("show/1/part-{number}.m4s")).expect("a key"));
            grant.url(&url).expect("a URL")
        });
    }

    let ring = KeyRing::parse("k1:0123456789abcdef0123456789abcdef").expect("a ring");
    let claims = Claims { scope: Scope::Prefix("show/1/".into()), expires_at: NOW, not_before: None, network: None };
    rate("HS256: token minted", of_thread, || mint(&ring, &claims));
    let (token, key) = (mint(&ring, &claims), ObjectKey::new("show/1/part-1.m4s").expect("a key"));
    rate("HS256: token verified", of_thread, || {
        let claims = verify(&ring, &token, NOW - 1).expect("a good token");
        claims.permit(Wanted::Object(&key), [192, 0, 2, 1].into()).expect("it covers the key");
        claims
    });
}

fn made_by_openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().expect("openssl runs");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("PEM")
}
