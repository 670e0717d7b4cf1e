//! One real MinIO for the whole test process.
//!
//! It is started when the first test asks for it. What ends it is a shell that waits for the end of its standard input: the other
//! end of that pipe is held by this process alone, so it closes however this process ends, a crash and SIGKILL included.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use ureq::Agent;
use vidgate::store::{Addressing, S3, S3Config};

use super::{keys, wait_for};

/// Runs `$2` on the address `$3` with its data below `$1`, until the standard input ends; then removes `$1`. A Ctrl-C that is
/// meant for the tests must not end the shell before its work is done.
const WATCHDOG: &str = r#"
trap '' INT TERM HUP
"$2" server --quiet --address "$3" "$1/data" >"$1/log" 2>&1 </dev/null &
minio=$!
cat >/dev/null
kill -9 $minio
wait $minio 2>/dev/null
rm -rf "$1"
"#;

const REGION: &str = "us-east-1";
const USER: &str = "vidgate-tests";
const LIFETIME: Duration = Duration::from_mins(1);

/// How long MinIO may take to start: long, for a machine on which much else runs.
const START_LIMIT: Duration = Duration::from_mins(1);

/// The running server.
pub(crate) struct Minio {
    endpoint: String,
    password: String,
    agent: Agent,
    buckets: AtomicU32,
    /// Its standard input is the pipe that keeps it alive.
    _watchdog: Child,
}

/// The one MinIO of this process.
///
/// # Panics
/// Where its binary is missing or does not start.
pub(crate) fn minio() -> &'static Minio {
    static MINIO: OnceLock<Minio> = OnceLock::new();
    MINIO.get_or_init(Minio::start)
}

impl Minio {
    fn start() -> Self {
        let binary = binary();
        let dir = tempfile::Builder::new().prefix("vidgate-minio-").tempdir().expect("a temporary directory").keep();
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");
        let since_epoch = SystemTime::UNIX_EPOCH.elapsed().expect("a clock behind 1970");
        // Of this run only: another MinIO that took the port meanwhile would refuse it, instead of being filled by us.
        let password = format!("{:x}-{:x}", std::process::id(), since_epoch.as_nanos());
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .args([dir.as_os_str(), binary.as_os_str(), address.as_ref()])
            .env("MINIO_ROOT_USER", USER)
            .env("MINIO_ROOT_PASSWORD", &password)
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh");
        let agent = Agent::config_builder().proxy(None).http_status_as_error(false).build().new_agent();
        let endpoint = format!("http://{address}");
        let health = format!("{endpoint}/minio/health/live");
        wait_for(&format!("MinIO to start (log: {}/log)", dir.display()), START_LIMIT, || {
            agent.get(&health).call().ok().filter(|response| response.status() == 200)
        });
        Self { endpoint, password, agent, buckets: AtomicU32::new(0), _watchdog: watchdog }
    }

    /// A config for a bucket of this server, whether it exists or not.
    pub(crate) fn config(&self, bucket: &str) -> S3Config {
        S3Config {
            bucket: bucket.to_owned(),
            region: REGION.to_owned(),
            endpoint: Some(self.endpoint.clone()),
            addressing: Addressing::Auto,
            credentials: keys(USER, &self.password, None),
        }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.endpoint.trim_start_matches("http://").parse().expect("an address")
    }

    /// Where it answers.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The id and the secret of its one user.
    pub(crate) fn user(&self) -> (&str, &str) {
        (USER, &self.password)
    }

    /// A new, empty bucket.
    pub(crate) fn bucket(&'static self) -> TestBucket {
        let name = format!("films-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        let endpoint = self.endpoint.parse().expect("a URL");
        let bucket = Bucket::new(endpoint, UrlStyle::Path, name, REGION).expect("a bucket");
        let credentials = Credentials::new(USER, &self.password);
        // Alive is not yet ready: for a moment it answers 503.
        let create = || self.agent.put(sign(&bucket.create_bucket(&credentials))).send_empty().expect("CreateBucket");
        let response = wait_for("CreateBucket", START_LIMIT, || Some(create()).filter(|response| response.status() != 503));
        assert_eq!(response.status(), 200, "CreateBucket");
        TestBucket { minio: self, bucket, credentials }
    }
}

/// A bucket for one test.
pub(crate) struct TestBucket {
    minio: &'static Minio,
    bucket: Bucket,
    credentials: Credentials,
}

impl TestBucket {
    /// The settings to read it with.
    pub(crate) fn config(&self) -> S3Config {
        self.minio.config(self.bucket.name())
    }

    /// The store that reads it.
    pub(crate) fn store(&self) -> S3 {
        S3::new(self.config()).expect("a good config")
    }

    /// Puts an object, with the fields given besides its bytes.
    pub(crate) fn put_with(&self, key: &str, bytes: &[u8], fields: &[(&str, &str)]) {
        let url = sign(&self.bucket.put_object(Some(&self.credentials), key));
        let put = fields.iter().fold(self.minio.agent.put(url), |put, (name, value)| put.header(*name, *value));
        let mut response = put.send(bytes).expect("PutObject");
        let status = response.status();
        assert_eq!(status, 200, "PutObject of {key:?}: {:?}", response.body_mut().read_to_string());
    }

    /// Puts an object.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        self.put_with(key, bytes, &[("content-type", "application/octet-stream")]);
    }

    /// The ids of the multipart uploads of this key that are neither completed nor aborted. MinIO lists them for a whole key only.
    pub(crate) fn multipart_uploads(&self, key: &str) -> Vec<String> {
        let (url, credentials) = (self.bucket.base_url().clone(), &self.credentials);
        let query = [("prefix", key), ("uploads", "")];
        let signed = rusty_s3::signing::sign(
            &jiff::Timestamp::now(),
            rusty_s3::Method::Get,
            url,
            credentials.key(),
            credentials.secret(),
            None,
            REGION,
            LIFETIME.as_secs(),
            query.into_iter(),
            std::iter::empty(),
        );
        let mut response = self.minio.agent.get(String::from(signed)).call().expect("ListMultipartUploads");
        let text = response.body_mut().read_to_string().expect("text");
        assert!(text.contains("<ListMultipartUploadsResult"), "{text}");
        let ids = text.split("<UploadId>").skip(1).filter_map(|rest| rest.split_once('<'));
        ids.map(|(id, _)| id.to_owned()).collect()
    }

    /// The bytes of an object.
    pub(crate) fn get(&self, key: &str) -> Vec<u8> {
        let url = sign(&self.bucket.get_object(Some(&self.credentials), key));
        let mut response = self.minio.agent.get(url).call().expect("GetObject");
        assert_eq!(response.status(), 200, "GetObject of {key:?}");
        response.body_mut().read_to_vec().expect("its bytes")
    }

    /// The names of all objects that start so; at most 1000.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        let mut list = self.bucket.list_objects_v2(Some(&self.credentials));
        list.with_prefix(prefix);
        let mut response = self.minio.agent.get(sign(&list)).call().expect("ListObjectsV2");
        let text = response.body_mut().read_to_string().expect("text");
        let page = ListObjectsV2::parse_response(&text).expect("a listing");
        page.contents.into_iter().map(|content| content.key).collect()
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, key: &str) {
        let url = sign(&self.bucket.delete_object(Some(&self.credentials), key));
        let response = self.minio.agent.delete(url).call().expect("DeleteObject");
        assert_eq!(response.status(), 204, "DeleteObject of {key:?}");
    }
}

fn sign<'a>(action: &impl S3Action<'a>) -> String {
    action.sign(LIFETIME).into()
}

/// Where the binary lies: `make test` puts it into the cache directory.
fn binary() -> PathBuf {
    let cached = || {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
        Some(cache.join("vidgate/bin/minio"))
    };
    let path = std::env::var_os("VIDGATE_TEST_MINIO").map(PathBuf::from).or_else(cached);
    let path = path.expect("VIDGATE_TEST_MINIO, XDG_CACHE_HOME or HOME must be set to find MinIO");
    assert!(
        path.is_file(),
        "the tests need a MinIO server, and there is none at {}: tests/install.sh builds it, or VIDGATE_TEST_MINIO names another",
        path.display()
    );
    path
}
