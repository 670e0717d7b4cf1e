//! Credentials from endpoints: asked as they should be, in time, one at a time, and whatever they answer.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use vidgate::store::CredentialsConfig;
use vidgate::store::credentials::{
    Authorization, ChainConfig, ContainerConfig, InstanceMetadataConfig, Presence, ProfileConfig, Provider, SharedFile,
};
use vidgate::{Error, ErrorKind};

use crate::support::fake_keys::{FakeKeys, Kind, Mood, SECRETS, no_source};
use crate::support::relay::Relay;
use crate::support::wait_for;

const KINDS: [Kind; 3] = [Kind::Container, Kind::InstanceMetadata, Kind::WebIdentity];

/// So many callers at once.
const CALLERS: usize = 16;

/// How long a test waits for what takes some seconds.
const PATIENCE: Duration = Duration::from_mins(2);

/// Keys for which others are looked for while a test waits, and which are good for as long again: a quarter of a minute.
const SHORT: Mood = Mood::Good(Duration::from_secs(30));

/// Keys that outlive every test.
const LONG: Mood = Mood::Good(Duration::from_hours(1));

/// No text tells what must stay secret.
#[track_caller]
fn check_discreet(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret:?} in {text:?}");
    }
}

#[track_caller]
fn check_refused(error: &Error, wanted: &str) {
    assert_eq!(error.kind(), ErrorKind::UpstreamForbidden, "{}", error.chain());
    assert!(error.to_string().contains(wanted), "no {wanted:?} in {error}");
    check_discreet(&format!("{} {error:?}", error.chain()));
}

fn chained(chain: ChainConfig) -> Provider {
    Provider::new(CredentialsConfig::Chain(Box::new(chain)))
}

#[test]
fn each_endpoint_is_asked_as_it_should_be() {
    for kind in KINDS {
        let keys = FakeKeys::start(kind, LONG);
        let provider = keys.provider();
        assert_eq!(keys.fake.connection_count(), 0, "{kind:?}: nobody is asked before it must be");
        let lease = provider.current().unwrap();
        assert_eq!(lease.access_key_id(), "ID-1");
        let left = lease.expires_at().unwrap().duration_since(SystemTime::now()).unwrap();
        assert!(left > Duration::from_mins(59) && left <= Duration::from_secs(3601), "{left:?}");
        check_discreet(&format!("{lease:?} {provider:?} {:?}", keys.chain()));

        let heads: Vec<_> = keys.fake.heads().iter().map(|head| head.to_ascii_lowercase()).collect();
        let has = |head: &str, field: &str| assert!(head.contains(&format!("\r\n{field}\r\n")), "no {field} in {head}");
        match kind {
            Kind::Container => {
                let [head] = heads.as_slice() else { panic!("{heads:?}") };
                assert!(head.starts_with("get /keys http/1.1\r\n"), "{head}");
                has(head, "authorization: pod-token-1");
            }
            Kind::InstanceMetadata => {
                let [session, role, head] = heads.as_slice() else { panic!("{heads:?}") };
                assert!(session.starts_with("put /latest/api/token http/1.1\r\n"), "{session}");
                has(session, "x-aws-ec2-metadata-token-ttl-seconds: 60");
                assert!(role.starts_with("get /latest/meta-data/iam/security-credentials/ http/1.1\r\n"), "{role}");
                assert!(head.starts_with("get /latest/meta-data/iam/security-credentials/vidgate-role http/1.1\r\n"), "{head}");
                for head in [role, head] {
                    has(head, "x-aws-ec2-metadata-token: imds-session");
                }
            }
            Kind::WebIdentity => {
                let [head] = heads.as_slice() else { panic!("{heads:?}") };
                assert!(head.starts_with("post / http/1.1\r\n") && !head.contains("authorization"), "{head}");
                has(head, "content-type: application/x-www-form-urlencoded; charset=utf-8");
                let form = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fvidgate\
                            &RoleSessionName=vidgate&WebIdentityToken=web-token-1";
                assert_eq!(keys.fake.bodies(), [form]);
            }
        }
    }
}

#[test]
fn sixteen_who_come_at_once_are_served_by_one_request() {
    for kind in KINDS {
        let keys = FakeKeys::start(kind, LONG);
        let provider = keys.provider();
        thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(|| provider.current().unwrap())).collect();
            for caller in callers {
                assert_eq!(caller.join().unwrap().access_key_id(), "ID-1", "{kind:?}");
            }
        });
        assert_eq!((keys.asked(), keys.asking_max()), (1, 1), "{kind:?}");
        // The same without any: one failure is everybody's.
        let keys = FakeKeys::start(kind, Mood::Answer("500 Oops", "the-secret"));
        let provider = keys.provider();
        thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(|| provider.current().unwrap_err())).collect();
            for caller in callers {
                check_refused(&caller.join().unwrap(), " 500");
            }
        });
        assert_eq!(keys.asking_max(), 1, "{kind:?}");
        assert!(keys.asked() <= 2, "{kind:?} was asked {} times", keys.asked());
    }
}

/// The same for each kind, all at a time, for they wait for the same.
fn for_each_kind(check: impl Fn(Kind) + Sync) {
    thread::scope(|scope| {
        for kind in KINDS {
            let check = &check;
            scope.spawn(move || check(kind));
        }
    });
}

/// A provider whose endpoint lies behind a relay.
fn behind_relay(keys: &FakeKeys) -> (Provider, Relay) {
    let relay = Relay::start(keys.fake.url().strip_prefix("http://").unwrap().parse().unwrap());
    let mut chain = keys.chain();
    match keys.kind {
        Kind::Container => {
            let container = ContainerConfig::full(&format!("{}/keys", relay.endpoint())).unwrap();
            chain.container = Some(container.with_authorization(Some(Authorization::File(keys.token_path()))));
        }
        Kind::InstanceMetadata => {
            chain.instance_metadata = Some(InstanceMetadataConfig { endpoint: relay.endpoint() });
        }
        Kind::WebIdentity => chain.sts.endpoint = Some(relay.endpoint()),
    }
    (chained(chain), relay)
}

/// Callers who ask for credentials again and again, until they are told to stop. Each of them gets some every time. `during` sees how
/// often each of them did.
fn hammer<T>(provider: &Provider, during: impl FnOnce(&[AtomicUsize]) -> T) -> (BTreeSet<String>, T) {
    let is_over = AtomicBool::new(false);
    let counts: Vec<AtomicUsize> = (0..CALLERS).map(|_| AtomicUsize::new(0)).collect();
    let call = |count: &AtomicUsize| {
        let mut seen = BTreeSet::new();
        while !is_over.load(Ordering::SeqCst) {
            let asked_at = SystemTime::now();
            let lease = provider.current().expect("there are always some that are good");
            assert!(lease.expires_at().is_none_or(|end| end > asked_at), "they had expired");
            seen.insert(lease.access_key_id().to_owned());
            count.fetch_add(1, Ordering::SeqCst);
            // Others hardly come to a lock that is taken again at once.
            thread::sleep(Duration::from_millis(1));
        }
        seen
    };
    thread::scope(|scope| {
        let call = &call;
        let callers: Vec<_> = counts.iter().map(|count| scope.spawn(move || call(count))).collect();
        let done = catch_unwind(AssertUnwindSafe(|| during(&counts)));
        is_over.store(true, Ordering::SeqCst);
        let done = done.unwrap_or_else(|panic| resume_unwind(panic));
        (callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect(), done)
    })
}

#[test]
fn others_come_before_the_first_expire_and_one_request_brings_them() {
    for_each_kind(|kind| {
        let keys = FakeKeys::start(kind, SHORT);
        let (provider, relay) = behind_relay(&keys);
        let first_end = provider.current().unwrap().expires_at().unwrap();
        keys.set(LONG);
        let requests = relay.requests("");
        relay.hold();
        let (seen, (second, held)) = hammer(&provider, |counts| {
            let mut since = Instant::now();
            wait_for("the second request", PATIENCE, || {
                let now = Instant::now();
                let has_come = relay.requests("") > requests;
                since = if has_come { since } else { now };
                has_come.then_some(())
            });
            // Nobody waits for its answer: each caller gets the first ones, and again.
            let before: Vec<usize> = counts.iter().map(|count| count.load(Ordering::SeqCst)).collect();
            wait_for("each caller to have asked twice more", PATIENCE, || {
                let counts = counts.iter().map(|count| count.load(Ordering::SeqCst));
                counts.zip(&before).all(|(count, before)| count >= before + 2).then_some(())
            });
            assert_eq!(provider.current().unwrap().access_key_id(), "ID-1", "{kind:?}");
            let held = since.elapsed();
            relay.let_go();
            let second = || provider.current().ok().filter(|lease| lease.access_key_id() != "ID-1");
            wait_for("the second ones", PATIENCE, second);
            (SystemTime::now(), held)
        });
        assert!(second < first_end, "{kind:?}: they came {:?} too late", second.duration_since(first_end));
        assert!(seen.len() == 2 && seen.contains("ID-1"), "{kind:?}: {seen:?}");
        assert_eq!(keys.asking_max(), 1, "{kind:?}");
        // A request that is held for very long is given up, and made again.
        if held < Duration::from_secs(1) {
            assert_eq!((keys.asked(), seen.contains("ID-2")), (2, true), "{kind:?}: {seen:?}");
        }
    });
}

#[test]
fn the_last_good_ones_stay_while_the_endpoint_fails() {
    for_each_kind(|kind| {
        let keys = FakeKeys::start(kind, SHORT);
        let provider = keys.provider();
        let started = Instant::now();
        let end = provider.current().unwrap().expires_at().unwrap();
        keys.set(Mood::Answer("500 Oops", "the-secret"));
        let (seen, ()) = hammer(&provider, |_| {
            wait_for("the endpoint to fail", PATIENCE, || (keys.asked() >= 2).then_some(()));
            assert!(SystemTime::now() < end, "{kind:?}: it was asked too late");
        });
        assert_eq!(seen.len(), 1, "{kind:?}");
        // Until they end: then, and not before, there are none.
        let error = wait_for("the end", PATIENCE, || provider.current().err());
        assert!(SystemTime::now() + Duration::from_secs(2) > end, "{kind:?}: they were good for too short a time");
        check_refused(&error, " 500");
        // And when it works again, they are there again.
        keys.set(LONG);
        let lease = wait_for("others", PATIENCE, || provider.current().ok());
        assert_eq!(lease.access_key_id(), "ID-2", "{kind:?}");
        assert_eq!(keys.asking_max(), 1, "{kind:?}");
        let (asked, secs) = (keys.asked(), started.elapsed().as_secs());
        assert!(asked as u64 <= 3 + secs / 2, "{kind:?} was asked {asked} times in {secs} s");
    });
}

/// What callers are told.
#[track_caller]
fn check_mood(kind: Kind, mood: Mood, wanted: &str) {
    let keys = FakeKeys::start(kind, mood);
    let error = keys.provider().current().expect_err("no keys");
    check_refused(&error, wanted);
    let source = match kind {
        Kind::Container => "container endpoint: ",
        Kind::InstanceMetadata => "EC2 metadata: ",
        Kind::WebIdentity => "web identity: ",
    };
    check_refused(&error, source);
    assert_eq!(keys.asked(), 1);
}

#[test]
fn answers_that_are_no_keys() {
    for kind in KINDS {
        check_mood(kind, Mood::Answer("200 OK", "<html>the-secret</html>"), "it answered with what is no ");
        check_mood(kind, Mood::Answer("200 OK", ""), "it answered with what is no ");
        check_mood(kind, Mood::Answer("200 OK", "{}"), "it answered with ");
        check_mood(kind, Mood::Answer("302 Found\nLocation: http://127.0.0.1:1/the-secret", ""), "it answered ");
        check_mood(kind, Mood::Answer("403 Forbidden", "the-secret"), "403");
        check_mood(kind, Mood::Answer("404 Not Found", ""), "404");
        check_mood(kind, Mood::Endless, "the answer is longer than 65536 bytes");
        check_mood(kind, Mood::Break, "unexpected end of file");
    }
    let expired = FakeKeys::start(Kind::Container, Mood::Expired);
    check_refused(&expired.provider().current().unwrap_err(), "have expired already");
}

#[test]
fn endpoints_that_do_not_answer_are_given_up() {
    for kind in KINDS {
        check_mood(kind, Mood::Stall, "it took too long");
    }
    // Nobody there: a port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut chain = no_source();
    chain.container = Some(ContainerConfig::full(&format!("http://127.0.0.1:{port}/")).unwrap());
    check_refused(&chained(chain).current().unwrap_err(), "container endpoint: connection refused");
}

#[test]
fn an_instance_without_a_session_or_a_role() {
    use crate::support::fake_s3::{FakeS3, Reply};
    #[track_caller]
    fn check(script: impl Fn(usize) -> (&'static str, &'static str) + Send + Sync + 'static, wanted: &str, asked: usize) {
        let fake = FakeS3::start(move |number, _| {
            let (status, body) = script(number);
            Reply::send(&format!("{status}\nContent-Length: {}", body.len()), body.as_bytes())
        });
        let mut chain = no_source();
        chain.instance_metadata = Some(InstanceMetadataConfig { endpoint: fake.url() });
        check_refused(&chained(chain).current().unwrap_err(), wanted);
        // Version 1 would go on without a session: no request is made for it.
        assert_eq!(fake.heads().len(), asked, "{:?}", fake.heads());
    }
    for status in ["403 Forbidden", "404 Not Found", "405 Method Not Allowed"] {
        check(move |_| (status, "the-secret"), "the request for a session with 40", 1);
    }
    check(|_| ("200 OK", ""), "it answered with what is no session", 1);
    check(|_| ("200 OK", "imds-session\r\nX: y"), "it answered with what is no session", 1);
    let with_session = |status, body| move |number| if number == 0 { ("200 OK", "imds-session") } else { (status, body) };
    check(with_session("404 Not Found", ""), "the instance has no role", 2);
    check(with_session("200 OK", ""), "it answered with what is no role", 2);
    check(with_session("200 OK", "../../user-data"), "it answered with what is no role", 2);
    check(with_session("401 Unauthorized", ""), "the request for the role with 401", 2);
}

#[test]
fn tokens_in_files_are_read_each_time() {
    for kind in [Kind::Container, Kind::WebIdentity] {
        let keys = FakeKeys::start(kind, Mood::Good(Duration::from_secs(3)));
        let provider = keys.provider();
        provider.current().unwrap();
        std::fs::write(keys.token_path(), "second").unwrap();
        wait_for("the second request", PATIENCE, || (keys.asked() >= 2).then_some(()));
        let sent = if kind == Kind::Container { keys.fake.heads() } else { keys.fake.bodies() };
        assert!(sent[0].contains("-token-1") && sent[1].contains("second"), "{sent:?}");
        // Without one nobody is asked.
        std::fs::remove_file(keys.token_path()).unwrap();
        let asked = keys.asked();
        check_refused(&keys.provider().current().unwrap_err(), "cannot be read: entity not found");
        assert!(keys.asked() <= asked + 1, "the first provider may have been at it");
    }
}

/// A profile in files of this folder.
fn profile(folder: &std::path::Path, name: &str) -> ProfileConfig {
    let file = |name: &str| Some(SharedFile { path: folder.join(name), presence: Presence::Optional });
    let (config_file, credentials_file) = (file("config"), file("credentials"));
    ProfileConfig { name: name.to_owned(), presence: Presence::Expected, config_file, credentials_file }
}

#[test]
fn the_first_source_that_is_configured_counts() {
    let [web, container, metadata] =
        [Kind::WebIdentity, Kind::Container, Kind::InstanceMetadata].map(|kind| FakeKeys::start(kind, LONG));
    let folder = tempfile::tempdir().unwrap();
    let of_profile = "[x]\naws_access_key_id=OF-PROFILE\naws_secret_access_key=the-secret\n[none]\nregion=r\n";
    std::fs::write(folder.path().join("credentials"), of_profile).unwrap();
    let mut all = web.chain();
    all.profile = Some(profile(folder.path(), "x"));
    all.container = container.chain().container;
    all.instance_metadata = metadata.chain().instance_metadata;

    let asked = || [web.asked(), container.asked(), metadata.asked()];
    chained(all.clone()).current().unwrap();
    assert_eq!(asked(), [1, 0, 0]);
    // One that fails is not passed over: the next would be somebody else.
    web.set(Mood::Answer("403 Forbidden", ""));
    check_refused(&chained(all.clone()).current().unwrap_err(), "(settings: no access key; web identity: it answered 403)");
    assert_eq!(asked(), [2, 0, 0]);
    all.web_identity = None;
    assert_eq!(chained(all.clone()).current().unwrap().access_key_id(), "OF-PROFILE");
    assert_eq!(chained(all.clone()).current().unwrap().expires_at(), None);
    assert_eq!(asked(), [2, 0, 0]);
    all.profile = Some(profile(folder.path(), "none"));
    chained(all.clone()).current().unwrap();
    assert_eq!(asked(), [2, 1, 0]);
    all.container = None;
    chained(all.clone()).current().unwrap();
    assert_eq!(asked(), [2, 1, 1]);
    all.instance_metadata = None;
    let nothing = "(settings: no access key; web identity: not configured; profile: the profile \"none\" has no credentials; \
                   container endpoint: not configured; EC2 metadata: not configured)";
    check_refused(&chained(all).current().unwrap_err(), nothing);
}

/// The threads of this process that look for others in time, those of tests that run meanwhile included.
fn keepers() -> BTreeSet<String> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    // One that has ended since is none.
    let is_keeper = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim_end() == "vidgate-keys")
    };
    threads.filter(is_keeper).map(|path| path.display().to_string()).collect()
}

#[test]
fn dropping_the_provider_ends_its_requests() {
    let before = keepers();
    let keys = FakeKeys::start(Kind::Container, Mood::Good(Duration::from_secs(3)));
    let provider = keys.provider();
    provider.current().unwrap();
    wait_for("the second request", PATIENCE, || (keys.asked() >= 2).then_some(()));
    let ours = &keepers() - &before;
    assert!(!ours.is_empty(), "nobody made the second request");
    drop(provider);
    // Those of other tests among them end with these.
    wait_for("its thread to end", PATIENCE, || keepers().is_disjoint(&ours).then_some(()));
}
