use std::ops::Range;

use base64::Engine as _;

use super::*;
use crate::object::{ObjectId, ObjectMeta};
use crate::sign::cloudfront::{Hash, PrivateKey};
use crate::store::{ListPage, ListQuery, Span};

const NOW: u64 = 1_800_000_000;

/// The published key of RFC 6979 appendix A.2.5, on P-256.
const PEM: &str = "-----BEGIN EC PRIVATE KEY-----
MDECAQEEIMmvqdhFunUWa1whV2ex0WqTTlDD2zbomxJ7imIrEg9noAoGCCqGSM49
AwEH
-----END EC PRIVATE KEY-----
";

/// A store that can presign, or cannot.
struct Presigns(bool);

impl Store for Presigns {
    fn head(&self, _: &ObjectKey) -> Result<ObjectMeta, Error> {
        Err(ErrorKind::NotFound.into())
    }
    fn open(&self, _: &ObjectId, _: Range<u64>) -> Result<Box<dyn Span>, Error> {
        Err(ErrorKind::NotFound.into())
    }
    fn list(&self, _: &ListQuery) -> Result<ListPage, Error> {
        Ok(ListPage::default())
    }
    fn presign(&self, key: &ObjectKey, lifetime: Duration) -> Result<Option<Presigned>, Error> {
        let url = || format!("https://bucket.example/{key}?for={}", lifetime.as_secs());
        Ok(self.0.then(|| Presigned { url: url(), lifetime }))
    }
}

fn links(domain: bool, signer: bool) -> Links {
    let signer = signer.then(|| Arc::new(Signer::new("K1", PrivateKey::from_pem(PEM).unwrap(), Hash::Sha1).unwrap()));
    Links::new(domain.then(|| CloudFront { domain: Domain::new("cdn.example.org").unwrap(), signer }))
}

fn keys() -> KeyRing {
    KeyRing::parse("k1:0123456789abcdef0123456789abcdef").unwrap()
}

fn pass(seconds: u64, network: Option<&str>) -> Pass {
    let network = network.map(|network| network.parse().unwrap());
    let scope = Scope::Prefix(String::new());
    Pass::Token(Claims { scope, expires_at: NOW + seconds, not_before: None, network })
}

fn link(links: &Links, presigns: bool, keys: Option<&KeyRing>, pass: &Pass, seconds: u64, key: &str) -> Link {
    let key = ObjectKey::new(key).unwrap();
    let lifetime = Duration::from_secs(seconds);
    let wanted = LinkRequest { key: &key, lifetime, now: NOW, pass, keys, base: "https://films.example" };
    links.link(&Presigns(presigns), &wanted).unwrap()
}

#[test]
fn the_best_kind_that_there_is() {
    let of = |domain, signer, presigns| link(&links(domain, signer), presigns, None, &Pass::Open, 600, "a b.mp4");
    let signed = of(true, true, true);
    assert_eq!((signed.kind.name(), signed.expires_at), ("cloudfront-signed", Some(NOW + 600)));
    let start = format!("https://cdn.example.org/a%20b.mp4?Expires={}&Signature=", NOW + 600);
    assert!(signed.url.starts_with(&start) && signed.url.ends_with("&Key-Pair-Id=K1"), "{}", signed.url);
    let plain = of(true, false, true);
    assert_eq!((plain.kind.name(), plain.expires_at), ("cloudfront", None));
    assert_eq!(plain.url, "https://cdn.example.org/a%20b.mp4");
    let presigned = of(false, false, true);
    assert_eq!((presigned.kind.name(), presigned.expires_at), ("presigned", Some(NOW + 600)));
    assert_eq!(presigned.url, "https://bucket.example/a b.mp4?for=600");
    let direct = of(false, false, false);
    assert_eq!((direct.kind.name(), direct.expires_at), ("direct", None));
    assert_eq!(direct.url, "https://films.example/media/a%20b.mp4");
    assert_eq!(link(&links(false, false), false, None, &Pass::Open, 1, "~a").url, "https://films.example/media/%7Ea");
    assert_eq!(direct.json()["expiresAt"], Value::Null);
    assert_eq!(signed.json()["expiresAt"], "2027-01-15T08:10:00Z");
    let redirect = signed.redirect();
    assert_eq!((redirect.status(), redirect.get("Location")), (302, Some(signed.url.as_str())));
    assert_eq!(redirect.get("Cache-Control"), Some("no-store"));
}

#[test]
fn a_direct_link_has_a_token_where_tokens_are_needed() {
    let keys = keys();
    for (given, seconds, network) in
        [(Pass::Operator, 600, None), (pass(60, None), 60, None), (pass(999, Some("::1/128")), 600, Some("::1/128"))]
    {
        let link = link(&links(false, false), false, Some(&keys), &given, 600, "~a/b.mp4");
        let rest = link.url.strip_prefix("https://films.example/media/~").unwrap();
        let (token, key) = rest.split_once('/').unwrap();
        assert_eq!((key, link.expires_at), ("~a/b.mp4", Some(NOW + seconds)));
        let claims = token::verify(&keys, token, NOW).unwrap();
        assert_eq!(claims.scope, Scope::Key(ObjectKey::new("~a/b.mp4").unwrap()));
        assert_eq!((claims.expires_at, claims.network), (NOW + seconds, network.map(|it| it.parse().unwrap())));
    }
}

/// A link is never good for longer, or for more people, than the token that it is given for.
#[test]
fn links_keep_the_limits_of_the_token() {
    let (keys, cloudfront) = (keys(), links(true, true));
    let keys = Some(&keys);
    let short = link(&cloudfront, true, keys, &pass(59, None), 3600, "a");
    assert_eq!((short.kind, short.expires_at), (LinkKind::CloudFrontSigned, Some(NOW + 59)));
    let bound = link(&cloudfront, true, keys, &pass(9999, Some("192.0.2.0/24")), 600, "a");
    let grant = Policy::custom("https://cdn.example.org/a", NOW + 600, None, "192.0.2.0/24".parse().ok()).unwrap();
    assert!(bound.url.contains("?Policy="), "{}", bound.url);
    let signer = cloudfront.cloudfront.as_ref().and_then(|it| it.signer.clone()).unwrap();
    assert_eq!(bound.url, signer.sign(grant).unwrap().url("https://cdn.example.org/a").unwrap());
    // CloudFront knows no IPv6, a presigned URL no address at all; our own link does.
    assert_eq!(link(&cloudfront, true, keys, &pass(9999, Some("::/0")), 600, "a").kind, LinkKind::Direct);
    assert_eq!(link(&links(false, false), true, keys, &pass(9999, Some("192.0.2.0/24")), 600, "a").kind, LinkKind::Direct);
    // What needs no signature never ends.
    let open = links(true, false);
    assert_eq!(link(&open, true, keys, &pass(7, None), 600, "a").kind, LinkKind::Presigned);
    assert_eq!(link(&open, false, keys, &pass(7, None), 600, "a").expires_at, Some(NOW + 7));
    assert_eq!(link(&open, true, keys, &Pass::Operator, 600, "a").kind, LinkKind::CloudFront);
    let presigned = link(&links(false, false), true, keys, &pass(7, None), 600, "a");
    assert_eq!((presigned.kind, presigned.url.as_str()), (LinkKind::Presigned, "https://bucket.example/a?for=7"));
}

#[test]
fn when_signatures_end() {
    for (now, seconds, want) in [
        (1000, 1, 1001),
        (1000, 59, 1059),
        (1001, 120, 1122),
        (1002, 120, 1122),
        (1000, 3600, 4620),
        (1020, 3600, 4620),
        (1021, 3600, 4680),
        (1000, 604_800, 605_820),
        (u64::MAX, 3600, u64::MAX),
    ] {
        assert_eq!(window_end(now, Duration::from_secs(seconds), &Pass::Open), want, "{now} {seconds}");
    }
    // The token ends within the window.
    assert_eq!(window_end(NOW + 1, Duration::from_hours(1), &pass(3602, None)), NOW + 3602);
}

#[test]
fn what_is_asked_for_again_is_not_signed_again() {
    let links = links(true, true);
    let signer = links.cloudfront.as_ref().and_then(|it| it.signer.clone()).unwrap();
    let policy = |number: usize| Policy::custom("https://cdn.example.org/*", number as u64 + 1, None, None).unwrap();
    let kept = |number: usize| {
        let generations = links.grants.0.lock().unwrap();
        generations.young.contains_key(&policy(number)) || generations.old.contains_key(&policy(number))
    };
    let slot = |number: usize| links.grants.0.lock().unwrap().slot(&policy(number));
    links.grants.get(&signer, policy(0)).unwrap();
    let first = slot(0);
    assert!(first.get().is_some() && Arc::ptr_eq(&first, &slot(0)));
    // The next ones are not signed here: only their places are taken.
    for number in 1..GRANTS_MAX * 3 {
        slot(number);
        assert!(Arc::ptr_eq(&first, &slot(0)), "what is asked for all the time stays");
    }
    assert!(kept(GRANTS_MAX * 3 - 1) && !kept(1), "what nobody asks for goes");
    let generations = links.grants.0.lock().unwrap();
    assert!(generations.young.len() <= GRANTS_MAX && generations.old.len() <= GRANTS_MAX);
}

#[test]
fn many_who_ask_at_once_wait_for_one_signature() {
    let links = links(true, true);
    let start = std::sync::Barrier::new(8);
    let urls: Vec<String> = std::thread::scope(|scope| {
        let ask = || {
            start.wait();
            link(&links, false, None, &Pass::Open, 3600, "a").url
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(urls.iter().all(|url| *url == urls[0]));
    assert_eq!(links.grants.0.lock().unwrap().young.len(), 1);
}

#[test]
fn cookies_for_a_folder_and_for_a_file() {
    let links = links(true, true);
    let of = |key: &str, prefix: Option<&str>, host: Option<&str>, given: &Pass| {
        let key = ObjectKey::new(key).unwrap();
        let lifetime = Duration::from_mins(1);
        let wanted = LinkRequest { key: &key, lifetime, now: NOW, pass: given, keys: None, base: "" };
        links.cookies(prefix, &wanted, host).map(|cookies| cookies.fields().collect::<Vec<_>>())
    };
    let folder = of("show/1/a.m3u8", Some("show/1/"), Some("app.example.org:3000"), &Pass::Open).unwrap();
    assert_eq!(folder.len(), 3);
    for (cookie, name) in folder.iter().zip(["CloudFront-Policy=", "CloudFront-Signature=", "CloudFront-Key-Pair-Id=K1"]) {
        assert!(cookie.starts_with(name), "{cookie}");
        assert!(cookie.ends_with("; Path=/show/1; Domain=example.org; Secure; HttpOnly"), "{cookie}");
    }
    let policy = folder[0].trim_start_matches("CloudFront-Policy=").split(';').next().unwrap();
    let policy = base64::engine::general_purpose::STANDARD.decode(policy.replace('_', "=")).unwrap();
    let want = format!(
        r#"{{"Statement":[{{"Resource":"https://cdn.example.org/show/1/*","Condition":{{"DateLessThan":{{"AWS:EpochTime":{}}}}}}}]}}"#,
        NOW + 60
    );
    assert_eq!(String::from_utf8(policy).unwrap(), want);
    // No common parent: no Domain. IPv6, or no host at all: the same.
    for host in [Some("localhost:3001"), Some("[::1]:3001"), Some("192.0.2.1"), None] {
        let alone = of("film.mp4", None, host, &Pass::Open).unwrap();
        assert!(alone[0].ends_with("; Path=/; Secure; HttpOnly"), "{}", alone[0]);
    }
    let status = |given: &Pass| of("a/b", Some("a/"), None, given).map_or_else(|error| error.kind().status(), |_| 204);
    assert_eq!((status(&pass(9, Some("192.0.2.0/24"))), status(&pass(9, Some("::/0")))), (204, 403));
    let unsigned = super::Links::new(None);
    let key = ObjectKey::new("a").unwrap();
    let wanted = LinkRequest { key: &key, lifetime: Duration::from_secs(1), now: NOW, pass: &Pass::Open, keys: None, base: "" };
    assert_eq!(unsigned.cookies(None, &wanted, None).err().map(|error| error.kind()), Some(ErrorKind::NotConfigured));
}
