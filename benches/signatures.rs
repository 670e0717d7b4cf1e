//! Signatures a second on one core: CloudFront's with RSA and P-256, made anew and used again, and playback tokens.
//!
//! ```sh
//! cargo bench --bench signatures [-- RSA_KEY.pem]
//! ```
//!
//! Each line is the best of five rounds of half a second, by processor time where the system tells it (Linux): other programs can
//! only make it slower. The RSA key is made by `openssl` where none is given.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use vidgate::object::ObjectKey;
use vidgate::sign::cloudfront::{Domain, Hash, Policy, PrivateKey, Signer};
use vidgate::sign::token::{Claims, KeyRing, Scope, Wanted, mint, verify};

const ROUNDS: u32 = 5;
const ROUND: Duration = Duration::from_millis(500);
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
            rate(&what, || {
                number += 1;
                let url = domain.url(&ObjectKey::new(&format!("film-{number}.mp4")).expect("a key"));
                signer.sign(Policy::canned(&url, NOW).expect("a policy")).expect("a signature").url(&url).expect("a URL")
            });
        }
        let signer = Signer::new("K1", PrivateKey::from_pem(pem).expect("a key"), Hash::Sha1).expect("a signer");
        let pattern = Policy::custom(&domain.pattern("show/1/"), NOW, None, None).expect("a policy");
        let grant = signer.sign(pattern).expect("a signature");
        let mut number = 0;
        rate(&format!("{name}: URL under a wildcard that is signed"), || {
            number += 1;
            let url = domain.url(&ObjectKey::new(&format!("show/1/part-{number}.m4s")).expect("a key"));
            grant.url(&url).expect("a URL")
        });
    }

    let ring = KeyRing::parse("k1:0123456789abcdef0123456789abcdef").expect("a ring");
    let claims = Claims { scope: Scope::Prefix("show/1/".into()), expires_at: NOW, not_before: None, network: None };
    rate("HS256: token minted", || mint(&ring, &claims));
    let (token, key) = (mint(&ring, &claims), ObjectKey::new("show/1/part-1.m4s").expect("a key"));
    rate("HS256: token verified", || {
        let claims = verify(&ring, &token, NOW - 1).expect("a good token");
        claims.permit(Wanted::Object(&key), [192, 0, 2, 1].into()).expect("it covers the key");
        claims
    });
}

/// Prints how often a second something can be done.
fn rate<T>(what: &str, mut work: impl FnMut() -> T) {
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        let (begin, start, mut count) = (Instant::now(), used(), 0_u32);
        while begin.elapsed() < ROUND {
            black_box(work());
            count += 1;
        }
        let spent = used().zip(start).map_or_else(|| begin.elapsed(), |(end, start)| end.saturating_sub(start));
        best = best.max(f64::from(count) / spent.as_secs_f64());
    }
    println!("{what:<55} {best:>10.0} a second, {:>8.1} us each", 1e6 / best);
}

/// The processor time of this thread (proc(5), `schedstat`: the first number, in nanoseconds).
fn used() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

fn made_by_openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().expect("openssl runs");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("PEM")
}
