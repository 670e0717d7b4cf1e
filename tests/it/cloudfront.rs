//! Signed URLs and cookies, byte for byte as botocore and the JavaScript signer of AWS make them, with keys made by the test.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;
use vidgate::object::ObjectKey;
use vidgate::sign::cloudfront::{Domain, Grant, Hash, Policy, PrivateKey, Signer};

use crate::support::peers::{Peer, ask, openssl};

const EXPIRES: u64 = 1_900_000_000;
const STARTS: u64 = 1_800_000_000;

/// What the two tools do otherwise, and we do not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Differs {
    /// Nothing but what they always do: the JavaScript signer has the key pair before the signature where botocore has it behind, and
    /// botocore knows no `Hash-Algorithm`, which we put last. AWS takes any order; ours is that of botocore.
    OrderOfParametersOnly,
    /// The JavaScript signer puts the start before the network, botocore behind. AWS takes any order; ours is that of botocore.
    OrderOfConditions,
    /// The JavaScript signer spells the URL anew: `%2A` as `*`, a parameter without `=` with one. We sign what goes over the
    /// wire, as botocore does; a star would be a wildcard where the policy is sent along.
    JavaScriptSpellsAnew,
}
use Differs::{JavaScriptSpellsAnew, OrderOfConditions, OrderOfParametersOnly};

struct Case {
    name: &'static str,
    url: String,
    /// The resource of a custom policy, and its limits.
    custom: Option<(String, Option<u64>, Option<&'static str>)>,
    cookies: bool,
    differs: Differs,
}

fn domain() -> Domain {
    Domain::new("d111111abcdef8.cloudfront.net").unwrap()
}

fn of_key(key: &str) -> String {
    domain().url(&ObjectKey::new(key).unwrap())
}

fn canned(name: &'static str, url: String, differs: Differs) -> Case {
    Case { name, url, custom: None, cookies: false, differs }
}

fn custom(name: &'static str, url: String, resource: &str, starts: Option<u64>, ip: Option<&'static str>) -> Case {
    let differs = OrderOfParametersOnly;
    Case { name, url, custom: Some((resource.to_owned(), starts, ip)), cookies: false, differs }
}

fn cases() -> Vec<Case> {
    let plain = of_key("film.mp4");
    let query = |query: &str| format!("{plain}?{query}");
    let pattern = domain().pattern("show/");
    let mut cases = vec![
        canned("a key", plain.clone(), OrderOfParametersOnly),
        canned("a key in folders", of_key("show/season 1/film.mp4"), OrderOfParametersOnly),
        canned("reserved characters", of_key("a b/c+d&e=f#g?h%i.mp4"), OrderOfParametersOnly),
        canned("brackets and quotes", of_key("[{<a|b>}]^`\"\\.mp4"), OrderOfParametersOnly),
        canned("other reserved", of_key("a;b:c@d$e,f.mp4"), OrderOfParametersOnly),
        canned("Cyrillic", of_key("фильм/серия 1.mp4"), OrderOfParametersOnly),
        canned("beyond the basic plane", of_key("🎬.mp4"), OrderOfParametersOnly),
        canned("unreserved marks", of_key("-_.!~'().mp4"), OrderOfParametersOnly),
        canned("an escape as a key", of_key("%41.mp4"), OrderOfParametersOnly),
        canned("1,024 bytes", of_key(&"x".repeat(1024)), OrderOfParametersOnly),
        canned("a star in the key", of_key("a*b.mp4"), JavaScriptSpellsAnew),
        canned("a query", query("size=large&license=yes"), OrderOfParametersOnly),
        canned("a query with escapes", query("a=b%20c&d=%D1%84"), OrderOfParametersOnly),
        canned("a query with a bare name", query("download"), JavaScriptSpellsAnew),
        canned("plain http", "http://d111111abcdef8.cloudfront.net/a.mp4".into(), OrderOfParametersOnly),
        custom("a start", plain.clone(), &plain, Some(STARTS), None),
        custom("a network", plain.clone(), &plain, None, Some("192.0.2.0/24")),
        custom("an address", plain.clone(), &plain, None, Some("192.0.2.7")),
        custom("everybody", plain.clone(), &plain, None, Some("0.0.0.0/0")),
        Case {
            differs: OrderOfConditions,
            ..custom("a start and a network", plain.clone(), &plain, Some(STARTS), Some("192.0.2.0/24"))
        },
        custom("a query and a network", query("a=b"), &query("a=b"), None, Some("192.0.2.0/24")),
        custom("a folder", of_key("show/1.mp4"), &pattern, None, None),
        custom("a folder, with all limits", of_key("show/1.mp4"), &pattern, Some(STARTS), Some("192.0.2.0/24")),
        custom("a folder of another alphabet", of_key("фильм/1.ts"), &domain().pattern("фильм/"), None, None),
        custom("everything", plain.clone(), &domain().pattern(""), None, None),
        custom("one unknown character", of_key("film1.mp4"), "https://d111111abcdef8.cloudfront.net/film?.mp4", None, None),
        custom("any scheme", plain.clone(), "http*://d111111abcdef8.cloudfront.net/film.mp4", None, None),
        custom("a pattern, and a query", query("a=b"), &domain().pattern("film"), None, None),
    ];
    let cookies = [
        canned("cookies for a file", plain.clone(), OrderOfParametersOnly),
        custom("cookies for a folder", of_key("show/1.ts"), &pattern, None, None),
        custom("cookies for a folder, with all limits", of_key("show/1.ts"), &pattern, Some(STARTS), Some("192.0.2.0/24")),
        custom("cookies for everything", plain.clone(), &domain().pattern(""), None, None),
    ];
    cases.extend(cookies.map(|case| Case { cookies: true, ..case }));
    cases
}

/// A key pair on disk, in one of the forms that people have.
struct Pair {
    dir: TempDir,
    is_rsa: bool,
}

impl Pair {
    fn rsa() -> Self {
        let pair = Self { dir: TempDir::new().unwrap(), is_rsa: true };
        openssl(&["genrsa", "-traditional", "-out", &pair.path("first"), "2048"], b"");
        pair.finish()
    }

    fn p256() -> Self {
        let pair = Self { dir: TempDir::new().unwrap(), is_rsa: false };
        openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &pair.path("first")], b"");
        pair.finish()
    }

    /// `first` is PKCS#1 or SEC1; `second` is the same in PKCS#8.
    fn finish(self) -> Self {
        openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", &self.path("first"), "-out", &self.path("second")], b"");
        openssl(&["pkey", "-in", &self.path("first"), "-pubout", "-out", &self.path("public")], b"");
        self
    }

    fn path(&self, form: &str) -> String {
        self.dir.path().join(form).to_str().unwrap().to_owned()
    }

    fn pem(&self, form: &str) -> String {
        fs::read_to_string(self.path(form)).unwrap()
    }

    fn signer(&self, form: &str, hash: Hash) -> Signer {
        Signer::new("K2JCJMDEHXQW5F", PrivateKey::from_pem(&self.pem(form)).unwrap(), hash).unwrap()
    }

    /// Whether openssl finds the signature in these parameters to be of this policy, by the public key.
    #[track_caller]
    fn verify(&self, hash: Hash, policy: &str, parameters: &[String]) {
        fs::write(self.path("signature"), decode(value(parameters, "Signature").unwrap())).unwrap();
        let hash = if hash == Hash::Sha1 { "-sha1" } else { "-sha256" };
        let said =
            openssl(&["dgst", hash, "-verify", &self.path("public"), "-signature", &self.path("signature")], policy.as_bytes());
        assert_eq!(String::from_utf8_lossy(&said).trim(), "Verified OK");
    }
}

/// What AWS replaces, put back.
fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    let text = text.replace('-', "+").replace('_', "=").replace('~', "/");
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn value<'a>(parameters: &'a [String], name: &str) -> Option<&'a str> {
    parameters.iter().find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix('='))
}

/// The policy that these parameters are signed for, as JSON text: sent, or made anew from the URL as CloudFront does.
fn policy_of(url: &str, parameters: &[String]) -> String {
    value(parameters, "Policy").map_or_else(
        || {
            let expires = value(parameters, "Expires").unwrap();
            format!(r#"{{"Statement":[{{"Resource":"{url}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}}}]}}"#)
        },
        |policy| String::from_utf8(decode(policy)).unwrap(),
    )
}

/// The parameters that we add, in their order.
fn ours(case: &Case, signer: &Signer) -> Vec<String> {
    let policy = match &case.custom {
        None => Policy::canned(&case.url, EXPIRES),
        Some((resource, starts, ip)) => {
            let network = ip.map(|ip| ip.parse().unwrap_or_else(|_| ip.parse::<std::net::Ipv4Addr>().unwrap().into()));
            Policy::custom(resource, EXPIRES, *starts, network)
        }
    };
    let grant: Grant = signer.sign(policy.unwrap()).unwrap();
    if case.cookies {
        let named = grant.cookies().map(|(name, value)| format!("{}={value}", name.strip_prefix("CloudFront-").unwrap()));
        return named.collect();
    }
    let whole = grant.url(&case.url).unwrap();
    whole[case.url.len() + 1..].split('&').map(str::to_owned).collect()
}

fn theirs(peer: Peer, cases: &[Case], pair: &Pair, hash: Hash) -> Vec<(String, Vec<String>)> {
    let asked: Vec<Value> = cases
        .iter()
        .map(|case| {
            let (resource, starts, ip) = case.custom.clone().map_or((None, None, None), |(a, b, c)| (Some(a), b, c));
            json!({
                "url": case.url, "resource": resource, "expires": EXPIRES, "starts": starts, "ip": ip, "cookies": case.cookies,
                "hash": if hash == Hash::Sha1 { "SHA1" } else { "SHA256" }, "pem": pair.path("first"),
                "keyPairId": "K2JCJMDEHXQW5F",
            })
        })
        .collect();
    let answers = ask(peer, "sign", &Value::Array(asked));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    answers.iter().map(|it| (text(&it[0]), it[1].as_array().unwrap().iter().map(text).collect())).collect()
}

fn sorted(parameters: &[String]) -> Vec<&str> {
    let mut sorted: Vec<&str> = parameters.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted
}

/// ECDSA signatures of the tools have a random k, so they are left out of comparisons, and verified.
fn comparable(pair: &Pair, parameters: &[String]) -> Vec<String> {
    let keep = |parameter: &&String| pair.is_rsa || !parameter.starts_with("Signature=");
    parameters.iter().filter(keep).cloned().collect()
}

fn compare(pair: &Pair, hash: Hash) {
    let cases = cases();
    let (botocore, javascript) = (theirs(Peer::Python, &cases, pair, hash), theirs(Peer::Node, &cases, pair, hash));
    for (index, case) in cases.iter().enumerate() {
        let what = format!("{} with {hash:?}, RSA: {}", case.name, pair.is_rsa);
        // Both forms of the key sign the same.
        let ours_all = ours(case, &pair.signer("first", hash));
        assert_eq!(ours_all, ours(case, &pair.signer("second", hash)), "{what}");
        pair.verify(hash, &policy_of(&case.url, &ours_all), &ours_all);
        let ours = comparable(pair, &ours_all);

        // botocore, in its order. It knows no Hash-Algorithm.
        let mut ours_plain = ours.clone();
        if hash == Hash::Sha256 {
            assert_eq!(ours_plain.pop().as_deref(), Some("Hash-Algorithm=SHA256"), "{what}");
        }
        let (base, parameters) = &botocore[index];
        assert_eq!((&case.url, &ours_plain), (base, &comparable(pair, parameters)), "{what}: botocore");

        let (base, parameters) = &javascript[index];
        let theirs = comparable(pair, parameters);
        match case.differs {
            OrderOfParametersOnly => {
                assert_eq!((&case.url, sorted(&ours)), (base, sorted(&theirs)), "{what}: JavaScript");
            }
            OrderOfConditions => {
                let json =
                    |url: &str, parameters: &[String]| -> Value { serde_json::from_str(&policy_of(url, parameters)).unwrap() };
                assert_ne!(value(&ours, "Policy"), value(&theirs, "Policy"), "{what}: no longer another order");
                assert_eq!(json(&case.url, &ours), json(base, &theirs), "{what}: JavaScript");
            }
            JavaScriptSpellsAnew => assert_ne!(&case.url, base, "{what}: it no longer does"),
        }
        // Ours is verified above; theirs are of the same kind by the same key.
        pair.verify(hash, &policy_of(base, parameters), parameters);
    }
    assert!(cases.len() >= 30);
}

#[test]
fn rsa_is_byte_for_byte_that_of_the_tools_of_aws() {
    let pair = Pair::rsa();
    compare(&pair, Hash::Sha1);
    compare(&pair, Hash::Sha256);
}

#[test]
fn ecdsa_is_that_of_the_tools_of_aws_and_verified_by_openssl() {
    let pair = Pair::p256();
    compare(&pair, Hash::Sha1);
    compare(&pair, Hash::Sha256);
}

#[test]
fn keys_that_cloudfront_does_not_take() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let check = |make: &[&str], want: &str| {
        let pem = String::from_utf8(openssl(make, b"")).unwrap();
        assert!(pem.contains("PRIVATE KEY"), "{make:?} made none");
        let error = PrivateKey::from_pem(&pem).map(|_| "a key").unwrap_err().to_string();
        assert!(error.contains(want), "{make:?}: {error}");
        let lines = pem.lines().filter(|line| line.len() > 8 && !line.contains("PRIVATE KEY"));
        assert!(lines.into_iter().all(|line| !error.contains(line)), "{make:?}: {error}");
    };
    check(&["genrsa", "1024"], "RSA of 1024 bits");
    check(&["genrsa", "-traditional", "3072"], "RSA of 3072 bits");
    check(&["genrsa", "4096"], "RSA of 4096 bits");
    check(&["ecparam", "-name", "secp384r1", "-genkey", "-noout"], "no ECDSA key on the curve P-256");
    check(&["ecparam", "-name", "secp256k1", "-genkey", "-noout"], "no ECDSA key on the curve P-256");
    check(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "no ECDSA key on the curve P-256");
    check(&["genpkey", "-algorithm", "ed25519"], "of a kind that CloudFront does not take");
    check(&["genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"], "of a kind that CloudFront does not take");
    check(&["genrsa", "-aes128", "-passout", "pass:hunter2", "2048"], "encrypted");
    check(&["genrsa", "-traditional", "-aes128", "-passout", "pass:hunter2", "2048"], "encrypted");
    // With its parameters before it, as openssl writes it unasked.
    openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-out", &path("whole")], b"");
    assert!(PrivateKey::from_pem(&fs::read_to_string(path("whole")).unwrap()).is_ok());
    // A key whose numbers do not fit one another. Behind the first 17 lines stands what is worked out of them.
    openssl(&["genrsa", "-traditional", "-out", &path("rsa"), "2048"], b"");
    let pem = fs::read_to_string(path("rsa")).unwrap();
    let lines: Vec<&str> = pem.lines().collect();
    for broken in 3..17 {
        let mut mixed = lines.clone();
        mixed.swap(broken, broken - 1);
        assert!(PrivateKey::from_pem(&mixed.join("\n")).is_err(), "lines {broken} and the one before are exchanged");
    }
}
