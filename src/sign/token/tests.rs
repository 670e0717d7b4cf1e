//! The tokens alone; `tests/it/tokens.rs` has those of other programs.

use std::net::IpAddr;

use super::*;
use crate::object::ObjectKey;

const RING: &str = "k1:0123456789abcdef0123456789abcdef,old:fedcba9876543210fedcba9876543210";
const NOW: u64 = 1_800_000_000;

fn ring() -> KeyRing {
    KeyRing::parse(RING).unwrap()
}

fn key(key: &str) -> ObjectKey {
    ObjectKey::new(key).unwrap()
}

/// A token of this header and these claims, as text, signed with the first key.
fn token(header: &str, claims: &str) -> String {
    token_of_bytes(header.as_bytes(), claims.as_bytes())
}

fn token_of_bytes(header: &[u8], claims: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(ring().sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

const HEADER: &str = r#"{"alg":"HS256","kid":"k1"}"#;
const CLAIMS: &str = r#"{"key":"a/film.mp4","exp":1800000001}"#;

/// The status for a client at 192.0.2.7 who wants `a/film.mp4`; 200 stands for "let in".
fn status(token: &str) -> u16 {
    let film = key("a/film.mp4");
    let claims = verify(&ring(), token, NOW);
    let verdict = claims.and_then(|claims| claims.permit(Wanted::Object(&film), IpAddr::from([192, 0, 2, 7])));
    verdict.map_or_else(|error| error.kind().status(), |()| 200)
}

#[track_caller]
fn check(header: &str, claims: &str, want: u16) {
    assert_eq!(status(&token(header, claims)), want, "{header} {claims}");
}

#[test]
fn headers() {
    for good in [
        HEADER,
        r#"{"alg":"HS256","typ":"JWT","kid":"k1"}"#,
        r#" { "typ" : "jwt" , "kid" : "k1" , "alg" : "HS256" , "x" : [{"x":1,"x":2}] } "#,
        r#"{"\u0061lg":"HS256","kid":"k1","jku":"https://evil.example/keys"}"#,
    ] {
        check(good, CLAIMS, 200);
    }
    for bad in [
        "",
        "null",
        "[]",
        "\"HS256\"",
        "{}",
        "{",
        r#"{"alg":"HS256"}"#,
        r#"{"kid":"k1"}"#,
        r#"{"alg":"none","kid":"k1"}"#,
        r#"{"alg":"None","kid":"k1"}"#,
        r#"{"alg":"hs256","kid":"k1"}"#,
        r#"{"alg":"HS384","kid":"k1"}"#,
        r#"{"alg":"HS512","kid":"k1"}"#,
        r#"{"alg":"RS256","kid":"k1"}"#,
        r#"{"alg":"ES256","kid":"k1"}"#,
        r#"{"alg":"","kid":"k1"}"#,
        r#"{"alg":null,"kid":"k1"}"#,
        r#"{"alg":["HS256"],"kid":"k1"}"#,
        r#"{"alg":256,"kid":"k1"}"#,
        r#"{"ALG":"HS256","kid":"k1"}"#,
        r#"{"alg":"HS256","kid":1}"#,
        r#"{"alg":"HS256","kid":null}"#,
        r#"{"alg":"HS256","kid":"K1"}"#,
        r#"{"alg":"HS256","kid":"k2"}"#,
        r#"{"alg":"HS256","kid":""}"#,
        r#"{"alg":"HS256","kid":"../k1"}"#,
        // Its key is another than the one that signed.
        r#"{"alg":"HS256","kid":"old"}"#,
        r#"{"alg":"HS256","kid":"k1","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","kid":"k1","typ":1}"#,
        r#"{"alg":"HS256","kid":"k1","crit":["x"],"x":1}"#,
        r#"{"alg":"HS256","kid":"k1","crit":[]}"#,
        r#"{"alg":"HS256","kid":"k1","crit":null}"#,
        r#"{"alg":"HS256","kid":"k1","crit":["b64"],"b64":false}"#,
        r#"{"alg":"none","alg":"HS256","kid":"k1"}"#,
        r#"{"alg":"HS256","alg":"none","kid":"k1"}"#,
        r#"{"alg":"HS256","kid":"k1","kid":"k1"}"#,
        r#"{"alg":"HS256","\u006bid":"k1","kid":"k1"}"#,
        r#"{"alg":"HS256","kid":"k1"} {}"#,
        r#"{"alg":"HS256","kid":"k1",}"#,
        r#"{"alg":'HS256',"kid":"k1"}"#,
    ] {
        check(bad, CLAIMS, 401);
    }
}

#[test]
fn claims() {
    for good in [
        CLAIMS,
        r#"{"prefix":"a/","exp":1800000001}"#,
        r#"{"prefix":"","exp":1800000001}"#,
        r#"{"prefix":"a/film.mp4","exp":1800000001}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"nbf":1800000000}"#,
        r#"{"key":"a/film.mp4","exp":1800000001.9,"nbf":1799999999.1}"#,
        r#"{"key":"a/film.mp4","exp":1.9e9}"#,
        r#"{"key":"a/film.mp4","exp":9007199254740992}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"ip":"192.0.2.7"}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"ip":"192.0.2.0/24"}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"ip":"192.0.2.99/24"}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"ip":"0.0.0.0/0"}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"iat":1,"iss":"x","sub":"y","jti":"z","more":{"a":1,"a":2}}"#,
        r#"{"key":"a\/film.mp4","exp":1800000001}"#,
    ] {
        check(HEADER, good, 200);
    }
    for bad in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"key":"a/film.mp4"}"#,
        r#"{"exp":1800000001}"#,
        r#"{"key":"a/film.mp4","prefix":"a/","exp":1800000001}"#,
        r#"{"key":"a/film.mp4","prefix":null,"exp":1800000001}"#,
        r#"{"key":"a/film.mp4","key":"a/film.mp4","exp":1800000001}"#,
        r#"{"key":"a/film.mp4","exp":1,"exp":1800000001}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"x":1,"x":1}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"nbf":1,"\u006ebf":2}"#,
        r#"{"key":["a/film.mp4"],"exp":1800000001}"#,
        r#"{"key":1,"exp":1800000001}"#,
        r#"{"key":"","exp":1800000001}"#,
        r#"{"key":"/a","exp":1800000001}"#,
        r#"{"key":"a/../film.mp4","exp":1800000001}"#,
        r#"{"key":"a\u0000","exp":1800000001}"#,
        r#"{"prefix":1,"exp":1800000001}"#,
        r#"{"prefix":"a\n","exp":1800000001}"#,
        r#"{"key":"a/film.mp4","exp":1800000000}"#,
        r#"{"key":"a/film.mp4","exp":1800000000.9}"#,
        r#"{"key":"a/film.mp4","exp":0}"#,
        r#"{"key":"a/film.mp4","exp":-1}"#,
        r#"{"key":"a/film.mp4","exp":"1800000001"}"#,
        r#"{"key":"a/film.mp4","exp":null}"#,
        r#"{"key":"a/film.mp4","exp":true}"#,
        r#"{"key":"a/film.mp4","exp":[1800000001]}"#,
        r#"{"key":"a/film.mp4","exp":9007199254740993}"#,
        r#"{"key":"a/film.mp4","exp":18446744073709551616}"#,
        r#"{"key":"a/film.mp4","exp":1e300}"#,
        r#"{"key":"a/film.mp4","exp":1e999}"#,
        r#"{"key":"a/film.mp4","exp":NaN}"#,
        r#"{"key":"a/film.mp4","EXP":1800000001}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"nbf":1800000001}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"nbf":1800000000.1}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"nbf":"1"}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"nbf":null}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"nbf":-1}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"ip":""}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"ip":null}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"ip":["192.0.2.7"]}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"ip":"192.0.2.7/33"}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"ip":"192.0.2.07"}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"ip":"192.0.2.7,192.0.2.8"}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"ip":"example.org"}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"aud":"somebody"}"#,
    ] {
        check(HEADER, bad, 401);
    }
    for elsewhere in [
        r#"{"key":"a/film.mp","exp":1800000001}"#,
        r#"{"key":"A/film.mp4","exp":1800000001}"#,
        r#"{"key":"a%2Ffilm.mp4","exp":1800000001}"#,
        r#"{"prefix":"b/","exp":1800000001}"#,
        r#"{"prefix":"a/film.mp4x","exp":1800000001}"#,
        r#"{"prefix":"*","exp":1800000001}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"ip":"192.0.2.8"}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"ip":"198.51.100.0/24"}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"ip":"::/0"}"#,
        r#"{"key":"a/film.mp4","exp":1800000001,"ip":"::ffff:192.0.2.7"}"#,
    ] {
        check(HEADER, elsewhere, 403);
    }
    assert_eq!(status(&token_of_bytes(HEADER.as_bytes(), b"{\"key\":\"\xff\",\"exp\":1800000001}")), 401);
    assert_eq!(status(&token_of_bytes(b"\xff", CLAIMS.as_bytes())), 401);
    let deep = format!(r#"{{"key":"a/film.mp4","exp":1800000001,"x":{}}}"#, "[".repeat(1000));
    check(HEADER, &deep, 401);
}

#[test]
fn what_is_no_token() {
    let good = token(HEADER, CLAIMS);
    assert_eq!(status(&good), 200);
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        header.into(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}.{claims}.{signature}."),
        format!("{header}.{claims}.{signature}.{signature}"),
        format!("{header}.{claims}.{signature}="),
        format!("{header}.{claims}={signature}"),
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\n"),
        format!("{header}..{signature}"),
        format!(".{claims}.{signature}"),
        format!("{claims}.{header}.{signature}"),
        format!("{header}.{claims}.{}", &signature[..42]),
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode([0; 32])),
        format!("{header}.{claims}.{}", signature.to_lowercase()),
        good.replace('.', "%2E"),
        format!("{header}.{claims}.{signature}A"),
        "x".repeat(TOKEN_LEN_MAX + 1),
        "é.é.é".into(),
    ] {
        assert_eq!(status(&bad), 401, "{bad}");
    }
    // A good one, but longer than 4 KiB; and the longest that is none.
    let padded = |len: usize| token(HEADER, &format!(r#"{{"key":"a/film.mp4","exp":1800000001,"x":"{}"}}"#, "x".repeat(len)));
    let longest = (2900..3100).map(padded).filter(|token| token.len() <= TOKEN_LEN_MAX).max_by_key(String::len).unwrap();
    assert!(longest.len() > TOKEN_LEN_MAX - 4);
    assert_eq!(status(&longest), 200);
    assert_eq!(status(&padded(3100)), 401);
}

/// Every byte of a good token replaced by every other, taken out, and doubled; and every start of it: nothing panics, and
/// nothing but the token itself is accepted.
#[test]
fn every_mutation_of_a_token_is_refused() {
    let good = token(HEADER, CLAIMS);
    let mut count = 0;
    let mut refuse = |bytes: &[u8]| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            assert_eq!(status(text), 401, "{text}");
            count += 1;
        }
    };
    for at in 0..good.len() {
        refuse(&good.as_bytes()[..at]);
        let mut mutated = good.clone().into_bytes();
        for byte in (0..=255).filter(|byte| *byte != good.as_bytes()[at]) {
            mutated[at] = byte;
            refuse(&mutated);
        }
        mutated.remove(at);
        refuse(&mutated);
        let mut doubled = good.clone().into_bytes();
        doubled.insert(at, doubled[at]);
        refuse(&doubled);
    }
    assert!(count > 127 * good.len(), "{count} were tried");
}

/// The same inside: header and claims with each byte replaced, and then signed. Whatever is accepted opens the same film.
#[test]
fn every_signed_mutation_has_a_verdict() {
    for at in 0..HEADER.len() {
        for byte in 0..=255 {
            let mut header = HEADER.as_bytes().to_vec();
            header[at] = byte;
            let verdict = status(&token_of_bytes(&header, CLAIMS.as_bytes()));
            let is_white = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
            assert!(verdict == 401 || header == HEADER.as_bytes() || is_white, "{byte} at {at}");
        }
    }
    for at in 0..CLAIMS.len() {
        for byte in 0..=255 {
            let mut claims = CLAIMS.as_bytes().to_vec();
            claims[at] = byte;
            let verdict = status(&token_of_bytes(HEADER.as_bytes(), &claims));
            assert!(matches!(verdict, 200 | 401 | 403), "{byte} at {at}");
            let in_key = (8..18).contains(&at);
            assert!(!in_key || verdict != 200 || claims == CLAIMS.as_bytes(), "{byte} at {at} of the key");
        }
    }
}

#[test]
fn minted_tokens_are_good() {
    let scopes = [Scope::Key(key("a/film.mp4")), Scope::Prefix("a/".into()), Scope::Prefix(String::new())];
    for scope in scopes {
        for not_before in [None, Some(NOW)] {
            for network in [None, Some("192.0.2.0/24".parse().unwrap())] {
                let claims = Claims { scope: scope.clone(), expires_at: NOW + 1, not_before, network };
                let token = mint(&ring(), &claims);
                assert_eq!(verify(&ring(), &token, NOW).unwrap(), claims);
                assert_eq!(status(&token), 200);
                assert!(verify(&ring(), &token, NOW + 1).is_err());
            }
        }
    }
    // The longest key, of characters that JSON must escape.
    let claims = Claims { scope: Scope::Key(key(&"\"".repeat(1024))), expires_at: NOW + 1, not_before: None, network: None };
    assert_eq!(verify(&ring(), &mint(&ring(), &claims), NOW).unwrap(), claims);
}

#[test]
fn keys_are_rotated() {
    let claims = Claims { scope: Scope::Key(key("a")), expires_at: NOW + 1, not_before: None, network: None };
    let old_ring = KeyRing::parse(RING.split_once(',').unwrap().1).unwrap();
    let old = mint(&old_ring, &claims);
    assert!(verify(&ring(), &old, NOW).is_ok(), "the ring still has its key");
    let new = mint(&ring(), &claims);
    assert!(verify(&old_ring, &new, NOW).is_err());
    // The same secret under another name signs nothing here.
    let renamed = KeyRing::parse(&RING.replace("k1:", "k9:")).unwrap();
    assert!(verify(&ring(), &mint(&renamed, &claims), NOW).is_err());
}

#[test]
fn what_a_scope_covers() {
    let (film, other) = (key("a/film.mp4"), key("a/film.mp42"));
    let one = Scope::Key(film.clone());
    assert!(one.covers(Wanted::Object(&film)) && !one.covers(Wanted::Object(&other)));
    assert!(!one.covers(Wanted::Prefix("a/film.mp4")) && !one.covers(Wanted::Prefix("")));
    let folder = Scope::Prefix("a/".into());
    assert!(folder.covers(Wanted::Object(&film)) && !folder.covers(Wanted::Object(&key("a"))));
    assert!(folder.covers(Wanted::Prefix("a/")) && folder.covers(Wanted::Prefix("a/f")));
    assert!(!folder.covers(Wanted::Prefix("a")) && !folder.covers(Wanted::Prefix("")));
    assert!(Scope::Prefix(String::new()).covers(Wanted::Prefix("")));
}

#[test]
fn addresses() {
    let claims = |ip: &str| Claims {
        scope: Scope::Prefix(String::new()),
        expires_at: 1,
        not_before: None,
        network: claims::network(ip),
    };
    for (ip, client, want) in [
        ("192.0.2.0/24", "192.0.2.255", true),
        ("192.0.2.0/24", "::ffff:192.0.2.255", true),
        ("192.0.2.0/24", "192.0.3.0", false),
        ("192.0.2.1", "::1", false),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::1", "2001:db8::1", true),
        ("2001:db8::1", "2001:db8::2", false),
        ("::/0", "192.0.2.1", false),
    ] {
        let verdict = claims(ip).permit(Wanted::Prefix(""), client.parse().unwrap());
        assert_eq!(verdict.is_ok(), want, "{ip} {client}");
        assert_eq!(verdict.map_err(|error| error.kind()), if want { Ok(()) } else { Err(ErrorKind::Forbidden) });
    }
}

#[test]
fn rings() {
    let secret = "s".repeat(SECRET_LEN_MIN);
    for good in [format!("a:{secret}"), format!("a:{secret},b.-_9:{secret}:with:colons"), format!("a:{}", "~".repeat(1000))] {
        assert!(KeyRing::parse(&good).is_ok(), "{good}");
    }
    let many: Vec<String> = (0..17).map(|number| format!("k{number}:{secret}")).collect();
    for bad in [
        String::new(),
        secret.clone(),
        format!(":{secret}"),
        "a:".into(),
        format!("a:{}", &secret[1..]),
        format!("a:{secret},"),
        format!(",a:{secret}"),
        format!("a:{secret},a:{secret}x"),
        format!("a b:{secret}"),
        format!("a:{secret} "),
        format!("a: {secret}"),
        format!("é:{secret}"),
        format!("a:{secret}é"),
        format!("{}:{secret}", "k".repeat(65)),
        many.join(","),
    ] {
        let error = KeyRing::parse(&bad).map(|_| "a ring").unwrap_err();
        assert!(!error.is_empty() && !error.contains(&secret[1..]), "{bad}: {error}");
    }
}

#[test]
fn nothing_secret_is_shown() {
    assert_eq!(format!("{:?} {:#?}", ring(), ring()), "[\"k1\", \"old\"] [\n    \"k1\",\n    \"old\",\n]");
    let good = token(HEADER, CLAIMS);
    for bad in [format!("{good}A"), token(HEADER, r#"{"key":"hunter2","exp":1}"#), token(r#"{"alg":"hunter2"}"#, CLAIMS)] {
        let error = verify(&ring(), &bad, NOW).unwrap_err();
        let shown = format!("{error} {error:?} {}", error.public_message());
        assert!(bad.split('.').all(|part| !shown.contains(part)) && !shown.contains("hunter"), "{shown}");
    }
}

#[test]
fn what_a_token_is_asked_for() {
    let ttl = std::time::Duration::from_hours(1);
    let ask = |json: &str| Claims::requested(json.as_bytes(), NOW, ttl);
    let folder = |expires_at, network: Option<&str>| Claims {
        scope: Scope::Prefix("a/".into()),
        expires_at,
        not_before: None,
        network: network.and_then(claims::network),
    };
    assert_eq!(ask(r#"{"prefix":"a/"}"#).unwrap(), folder(NOW + 3600, None));
    assert_eq!(ask(r#"{"prefix":"a/","expiresIn":1}"#).unwrap(), folder(NOW + 1, None));
    assert_eq!(ask(r#"{"ip":"::1","prefix":"a/","expiresIn":31622400}"#).unwrap(), folder(NOW + 31_622_400, Some("::1")));
    assert_eq!(ask(r#"{"key":"a b"}"#).unwrap().scope, Scope::Key(key("a b")));
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"key":"a","prefix":"b"}"#,
        r#"{"key":"a","key":"a"}"#,
        r#"{"key":1}"#,
        r#"{"key":""}"#,
        r#"{"key":"../a"}"#,
        r#"{"key":null,"prefix":"a"}"#,
        r#"{"prefix":"a\n"}"#,
        r#"{"key":"a","expiresIn":0}"#,
        r#"{"key":"a","expiresIn":-1}"#,
        r#"{"key":"a","expiresIn":1.5}"#,
        r#"{"key":"a","expiresIn":"60"}"#,
        r#"{"key":"a","expiresIn":null}"#,
        r#"{"key":"a","expiresIn":31622401}"#,
        r#"{"key":"a","expiresin":60}"#,
        r#"{"key":"a","exp":60}"#,
        r#"{"key":"a","ip":""}"#,
        r#"{"key":"a","ip":"a"}"#,
        r#"{"key":"a","ip":7}"#,
        r#"{"key":"a"} x"#,
    ] {
        assert_eq!(ask(bad).unwrap_err().kind().status(), 400, "{bad}");
    }
}
