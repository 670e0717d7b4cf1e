//! Playback tokens of other people's libraries: `PyJWT` and jose mint what passes here, and read what is minted here.

use std::net::IpAddr;

use serde_json::{Value, json};
use vidgate::object::ObjectKey;
use vidgate::sign::token::{Claims, KeyRing, Scope, Wanted, mint, verify};

use crate::support::peers::{Peer, ask};

/// Both libraries compare with the clock of the machine, so this is far ahead.
const EXPIRES: u64 = 4_000_000_000;
const NOW: u64 = EXPIRES - 1;
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn ring() -> KeyRing {
    KeyRing::parse(&format!("k1:{SECRET},k2:another-secret-of-more-than-32-characters")).unwrap()
}

#[track_caller]
fn check(claims: &Value, want: &Claims) {
    for peer in [Peer::Python, Peer::Node] {
        for (kid, secret) in [("k1", SECRET), ("k2", "another-secret-of-more-than-32-characters")] {
            let header = json!({"alg": "HS256", "kid": kid});
            let tokens = ask(peer, "mint", &json!([{"secret": secret, "header": header, "claims": claims}]));
            let token = tokens[0].as_str().unwrap();
            assert_eq!(verify(&ring(), token, NOW).unwrap(), *want, "{peer:?} {claims}");
            assert!(verify(&ring(), token, EXPIRES).is_err());
        }
    }
}

#[test]
fn those_of_pyjwt_and_jose_pass() {
    let film = ObjectKey::new("фильм/a b.mp4").unwrap();
    let one = Claims { scope: Scope::Key(film.clone()), expires_at: EXPIRES, not_before: None, network: None };
    check(&json!({"key": "фильм/a b.mp4", "exp": EXPIRES}), &one);
    let folder = Claims {
        scope: Scope::Prefix("фильм/".into()),
        expires_at: EXPIRES,
        not_before: Some(1_700_000_000),
        network: Some("192.0.2.0/24".parse().unwrap()),
    };
    check(
        &json!({"prefix": "фильм/", "exp": EXPIRES, "nbf": 1_700_000_000, "iat": 1_700_000_000, "ip": "192.0.2.0/24"}),
        &folder,
    );
    let permit = |client: [u8; 4]| folder.permit(Wanted::Object(&film), IpAddr::from(client)).is_ok();
    assert!(permit([192, 0, 2, 9]) && !permit([192, 0, 3, 9]));
}

#[test]
fn pyjwt_and_jose_read_ours() {
    let claims = Claims {
        scope: Scope::Prefix("a \"b\"/фильм".into()),
        expires_at: EXPIRES,
        not_before: Some(1_700_000_000),
        network: Some("2001:db8::/32".parse().unwrap()),
    };
    let token = mint(&ring(), &claims);
    let want = json!({"prefix": "a \"b\"/фильм", "exp": EXPIRES, "nbf": 1_700_000_000, "ip": "2001:db8::/32"});
    for peer in [Peer::Python, Peer::Node] {
        let read = ask(peer, "read", &json!([{"secret": SECRET, "token": token}]));
        assert_eq!(read[0], json!([{"alg": "HS256", "typ": "JWT", "kid": "k1"}, want]), "{peer:?}");
    }
}
