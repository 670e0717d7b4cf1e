//! Credentials and the store that they are for: keys that it refuses, roles of MinIO, and keys that change under a viewer.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use vidgate::ErrorKind;
use vidgate::object::ObjectKey;
use vidgate::store::credentials::{ChainConfig, ContainerConfig, Keys, Presence, ProfileConfig, SharedFile};
use vidgate::store::{CredentialsConfig, ListQuery, S3, S3Config, Store};

use crate::support::client::{Client, get};
use crate::support::fake_keys::{FakeKeys, Kind, Mood, no_source};
use crate::support::fake_s3::{FakeS3, Reply};
use crate::support::minio::minio;
use crate::support::process::Process;
use crate::support::{pattern, server};

const GOOD_HEAD: &str = "200 OK\nContent-Length: 100\nETag: \"abc\"\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
const LONG: Mood = Mood::Good(Duration::from_hours(1));

fn key() -> ObjectKey {
    ObjectKey::new("a/film.mp4").unwrap()
}

fn chained(chain: ChainConfig) -> CredentialsConfig {
    CredentialsConfig::Chain(Box::new(chain))
}

/// A store that refuses the keys `ID-1` so, and takes all others; and the endpoint that its keys come from.
fn refusing(head: &'static str, body: &'static str) -> (S3, FakeS3, FakeKeys) {
    let fake = FakeS3::start(move |_, request| match request.contains("Credential=ID-1%2F") {
        true if request.starts_with("HEAD") => Reply::send(head, b""),
        true => Reply::send(&format!("{head}\nContent-Length: {}", body.len()), body.as_bytes()),
        false if request.starts_with("HEAD") => Reply::send(GOOD_HEAD, b""),
        false => Reply::send("404 Not Found\nContent-Length: 32", b"<Error><Code>X</Code></Error>   "),
    });
    let keys = FakeKeys::start(Kind::Container, LONG);
    let store = S3::new(S3Config { credentials: chained(keys.chain()), ..fake.config() }).unwrap();
    (store, fake, keys)
}

#[test]
fn keys_that_the_store_refuses_are_replaced_and_the_viewer_does_not_notice() {
    let codes = ["ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "TokenRefreshRequired"];
    let bodies = codes.map(|code| &*format!("<Error><Code>{code}</Code></Error>").leak());
    for body in bodies {
        for status in ["400 Bad Request", "403 Forbidden"] {
            let (store, fake, keys) = refusing(status, body);
            // The listing is asked for again, with the second keys, and gets the answer that these get.
            assert!(store.list(&ListQuery { limit: 1, ..ListQuery::default() }).is_err());
            assert_eq!((keys.issued(), fake.heads().len()), (2, 2), "{body}");
            assert!(fake.heads()[1].contains("Credential=ID-2%2F"));
        }
    }
    // HEAD has no body that could say why; MinIO has a field for it.
    for status in ["400 Bad Request", "403 Forbidden", "403 Forbidden\nx-minio-error-code: InvalidAccessKeyId"] {
        let (store, fake, keys) = refusing(status, "");
        assert_eq!(store.head(&key()).unwrap().size, 100, "{status}");
        assert_eq!((keys.issued(), fake.heads().len()), (2, 2), "{status}");
    }
}

#[test]
fn a_store_that_refuses_everything_does_not_make_us_ask_all_the_time() {
    #[track_caller]
    fn check(reply: &'static str, body: &'static str, issued: usize, kind: ErrorKind) {
        let fake = FakeS3::start(move |_, request| {
            let body = if request.starts_with("HEAD") { "" } else { body };
            Reply::send(&format!("{reply}\nContent-Length: {}", body.len()), body.as_bytes())
        });
        let keys = FakeKeys::start(Kind::Container, LONG);
        let store = S3::new(S3Config { credentials: chained(keys.chain()), ..fake.config() }).unwrap();
        for _ in 0..10 {
            assert_eq!(store.head(&key()).unwrap_err().kind(), kind);
            assert!(store.list(&ListQuery { limit: 1, ..ListQuery::default() }).is_err());
        }
        assert_eq!(keys.issued(), issued, "{reply} {body}");
    }
    check("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>", 2, ErrorKind::UpstreamForbidden);
    check("403 Forbidden\nx-minio-error-code: AccessDenied", "", 1, ErrorKind::UpstreamForbidden);
    check("403 Forbidden\nx-minio-error-code: InvalidAccessKeyId", "", 2, ErrorKind::UpstreamForbidden);
    check("400 Bad Request\nx-minio-error-code: ExpiredToken", "", 2, ErrorKind::UpstreamForbidden);
    check("500 Oops", "<Error><Code>ExpiredToken</Code></Error>", 1, ErrorKind::UpstreamUnavailable);
    check("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>", 1, ErrorKind::UpstreamUnavailable);
}

#[test]
fn without_credentials_the_store_is_not_asked_and_the_error_names_every_source() {
    let fake = FakeS3::start(|_, _| Reply::send(GOOD_HEAD, b""));
    let store = S3::new(S3Config { credentials: chained(no_source()), ..fake.config() }).unwrap();
    let error = store.head(&key()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UpstreamForbidden);
    for source in ["settings", "web identity", "profile", "container endpoint", "EC2 metadata"] {
        assert!(error.to_string().contains(source), "{error}");
    }
    assert_eq!(fake.heads().len(), 0);
    assert_eq!(error.public_message(), ErrorKind::UpstreamForbidden.explain());
}

/// A profile in files of this folder.
fn profile(folder: &Path, name: &str) -> ProfileConfig {
    let file = |name: &str| Some(SharedFile { path: folder.join(name), presence: Presence::Expected });
    let (config_file, credentials_file) = (file("config"), file("credentials"));
    ProfileConfig { name: name.to_owned(), presence: Presence::Expected, config_file, credentials_file }
}

#[test]
fn keys_in_a_file_are_read_again_when_minio_refuses_them() {
    let bucket = minio().bucket();
    bucket.put("a/film.mp4", b"0123456789");
    let (id, secret) = minio().user();
    let folder = tempfile::tempdir().unwrap();
    let write = |id: &str| {
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        std::fs::write(folder.path().join("credentials"), text).unwrap();
    };
    std::fs::write(folder.path().join("config"), "").unwrap();
    write("nobody");
    let chain = ChainConfig { profile: Some(profile(folder.path(), "default")), ..no_source() };
    let store = S3::new(S3Config { credentials: chained(chain), ..bucket.config() }).unwrap();
    assert_eq!(store.head(&key()).unwrap_err().kind(), ErrorKind::UpstreamForbidden);
    write(id);
    // The store made us look only just now; a moment later it may again.
    let found = crate::support::wait_for("the file to be read again", Duration::from_secs(30), || store.head(&key()).ok());
    assert_eq!(found.size, 10);
}

#[test]
fn minio_gives_a_role_for_keys_and_takes_what_it_gave() {
    let bucket = minio().bucket();
    bucket.put("a/film.mp4", b"0123456789");
    let (id, secret) = minio().user();
    let folder = tempfile::tempdir().unwrap();
    let config = "[profile role]\nrole_arn = arn:xxx:xxx:xxx:xxxx\nrole_session_name = tests\nsource_profile = user\n\
                  duration_seconds = 900\n[profile env]\nrole_arn = arn:xxx:xxx:xxx:xxxx\ncredential_source = Environment\n\
                  [profile wrong]\nrole_arn = arn:xxx:xxx:xxx:xxxx\nsource_profile = nobody\n";
    let credentials = format!(
        "[user]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n\
         [nobody]\naws_access_key_id = {id}\naws_secret_access_key = the-secret\n"
    );
    std::fs::write(folder.path().join("config"), config).unwrap();
    std::fs::write(folder.path().join("credentials"), credentials).unwrap();
    let store = |name: &str| {
        let mut chain = ChainConfig { profile: Some(profile(folder.path(), name)), ..no_source() };
        chain.sts.endpoint = Some(minio().endpoint().to_owned());
        chain.environment = Some(Keys { access_key_id: id.into(), secret_access_key: secret.into(), session_token: None });
        S3::new(S3Config { credentials: chained(chain), ..bucket.config() }).unwrap()
    };
    for name in ["role", "env"] {
        assert_eq!(store(name).head(&key()).unwrap().size, 10, "{name}");
        let page = store(name).list(&ListQuery { limit: 10, ..ListQuery::default() }).unwrap();
        assert_eq!(page.entries.len(), 1, "{name}");
    }
    let error = store("wrong").head(&key()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UpstreamForbidden);
    assert!(error.to_string().contains("the profile \"wrong\": STS: it answered 40"), "{error}");
    assert!(!error.chain().contains("the-secret") && !error.chain().contains(secret));
}

/// Keys of a session of MinIO, which curl, and not this crate, asks for: id, secret and token.
fn session() -> [String; 3] {
    let (id, secret) = minio().user();
    let output = Command::new("curl")
        .args(["-sS", "--fail", "--aws-sigv4", "aws:amz:us-east-1:sts", "--user", &format!("{id}:{secret}")])
        .args(["-d", "Action=AssumeRole&Version=2011-06-15&DurationSeconds=900", minio().endpoint()])
        .output()
        .expect("the tests need curl: tests/install.sh installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let xml = String::from_utf8(output.stdout).unwrap();
    ["AccessKeyId", "SecretAccessKey", "SessionToken"].map(|name| {
        let rest = xml.split(&format!("<{name}>")).nth(1).unwrap_or_else(|| panic!("no {name} in {xml}"));
        rest.split('<').next().unwrap().to_owned()
    })
}

#[test]
fn keys_change_several_times_while_a_film_is_streamed() {
    let film = pattern(7, 24 << 20);
    let bucket = minio().bucket();
    bucket.put("a/film.mp4", &film);
    // Keys of two sessions of MinIO, in turn, each said to be good for three seconds.
    let sessions = [session(), session()];
    assert_ne!(sessions[0][0], sessions[1][0]);
    let issued = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&issued);
    let endpoint = FakeS3::start(move |_, _| {
        let [id, secret, token] = &sessions[counted.fetch_add(1, Ordering::SeqCst) % 2];
        let end = jiff::Timestamp::try_from(SystemTime::now() + Duration::from_secs(3)).unwrap();
        let body = format!(r#"{{"AccessKeyId":"{id}","SecretAccessKey":"{secret}","Token":"{token}","Expiration":"{end}"}}"#);
        Reply::send(&format!("200 OK\nContent-Length: {}", body.len()), body.as_bytes())
    });
    let mut chain = no_source();
    chain.container = Some(ContainerConfig::full(&endpoint.url()).unwrap());
    let store = S3::new(S3Config { credentials: chained(chain), ..bucket.config() }).unwrap();
    // Eight seconds of film.
    let server = server::start(Arc::new(store), |config| {
        config.rate = Some(3 << 20);
        config.burst = 0;
    });
    let mut client = Client::new(server.addr());
    client.ask("GET", "/media/a/film.mp4", &[]);
    assert_eq!(client.head().status, 200);
    assert!(client.take(film.len()) == film, "the bytes are wrong");
    let count = issued.load(Ordering::SeqCst);
    assert!((3..=12).contains(&count), "keys were given {count} times in eight seconds");
}

#[test]
fn the_program_takes_a_profile_and_a_container_from_its_environment() {
    let bucket = minio().bucket();
    bucket.put("a/film.mp4", b"0123456789");
    let (id, secret) = minio().user();
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let profile = format!("[films]\naws_access_key_id={id}\naws_secret_access_key={secret}\n");
    std::fs::write(home.path().join(".aws/credentials"), profile).unwrap();
    let body = format!(r#"{{"AccessKeyId":"{id}","SecretAccessKey":"{secret}"}}"#);
    let endpoint = FakeS3::start(move |_, head| {
        if head.contains("authorization: the-token\r\n") {
            Reply::send(&format!("200 OK\nContent-Length: {}", body.len()), body.as_bytes())
        } else {
            Reply::send("401 Unauthorized\nContent-Length: 0", b"")
        }
    });

    let config = bucket.config();
    let store = [("AWS_BUCKET_NAME", config.bucket.as_str()), ("AWS_ENDPOINT_URL_S3", minio().endpoint())];
    let of_profile = [("HOME", home.path().to_str().unwrap()), ("AWS_PROFILE", "films")];
    let url = endpoint.url();
    let of_container = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "the-token"),
        ("VIDGATE_LOG", "trace"),
    ];
    for (source, environment) in [("profile", &of_profile[..]), ("container endpoint", &of_container)] {
        let program = Process::start(&[&store[..], environment].concat());
        let reply = get(program.addr(), "/media/a/film.mp4", &[]);
        assert_eq!((reply.status, reply.body.as_slice()), (200, &b"0123456789"[..]), "{source}: {}", program.log());
        let log = program.log();
        assert!(log.contains(&format!("credentials from {source}")), "{log}");
        assert!(!log.contains(secret) && !log.contains("the-token") && !log.contains("X-Amz-Signature"), "{log}");
    }
}
