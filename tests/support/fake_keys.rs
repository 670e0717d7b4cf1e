//! Endpoints that give out credentials, or do what they are told to instead: a container's, EC2's metadata service, and STS.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use vidgate::store::CredentialsConfig;
use vidgate::store::credentials::{
    Authorization, ChainConfig, ContainerConfig, InstanceMetadataConfig, Provider, StsConfig, WebIdentityConfig,
};

use super::fake_s3::{FakeS3, Reply};

/// The secret, the session token and the other tokens: no error, log line or `Debug` may have one.
pub(crate) const SECRETS: [&str; 5] = ["the-secret", "the-token", "web-token", "pod-token", "imds-session"];

/// Which protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Container,
    InstanceMetadata,
    WebIdentity,
}

/// What an endpoint does with the requests for keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    /// Gives keys that are good for so long. Their id is `ID-1` the first time, then `ID-2`, and so on.
    Good(Duration),
    /// Gives keys that have expired.
    Expired,
    /// Answers with this status and body.
    Answer(&'static str, &'static str),
    /// Answers with a body without an end.
    Endless,
    /// Closes the connection in the middle of the answer.
    Break,
    /// Does not answer.
    Stall,
}

/// What happened at an endpoint.
struct State {
    mood: Mutex<Mood>,
    asked: AtomicUsize,
    issued: AtomicUsize,
    asking: AtomicUsize,
    asking_max: AtomicUsize,
}

/// A running endpoint.
pub(crate) struct FakeKeys {
    pub(crate) kind: Kind,
    pub(crate) fake: FakeS3,
    state: Arc<State>,
    files: TempDir,
}

impl FakeKeys {
    /// Starts one. The last request of each way to keys takes 100 ms, so that there is time to come too late.
    pub(crate) fn start(kind: Kind, mood: Mood) -> Self {
        let state = Arc::new(State {
            mood: Mutex::new(mood),
            asked: AtomicUsize::new(0),
            issued: AtomicUsize::new(0),
            asking: AtomicUsize::new(0),
            asking_max: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        let fake = FakeS3::start(move |_, head| match kind {
            Kind::InstanceMetadata if head.starts_with("PUT ") => good("imds-session"),
            Kind::InstanceMetadata if head.starts_with("GET /latest/meta-data/iam/security-credentials/ ") => {
                good("vidgate-role\n")
            }
            _ => shared.answer(kind),
        });
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("web"), "web-token-1\n").unwrap();
        std::fs::write(files.path().join("pod"), "pod-token-1").unwrap();
        Self { kind, fake, state, files }
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
    }

    /// How often keys were asked for.
    pub(crate) fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }

    /// How often keys were given.
    pub(crate) fn issued(&self) -> usize {
        self.state.issued.load(Ordering::SeqCst)
    }

    /// How many asked at the same time, at most.
    pub(crate) fn asking_max(&self) -> usize {
        self.state.asking_max.load(Ordering::SeqCst)
    }

    /// The file with the token for this endpoint.
    pub(crate) fn token_path(&self) -> PathBuf {
        let name = if self.kind == Kind::WebIdentity { "web" } else { "pod" };
        self.files.path().join(name)
    }

    /// A chain that has this endpoint and no other source.
    pub(crate) fn chain(&self) -> ChainConfig {
        let mut chain = no_source();
        match self.kind {
            Kind::Container => {
                let authorization = Some(Authorization::File(self.token_path()));
                let container = ContainerConfig::full(&format!("{}/keys", self.fake.url())).unwrap();
                chain.container = Some(container.with_authorization(authorization));
            }
            Kind::InstanceMetadata => {
                chain.instance_metadata = Some(InstanceMetadataConfig { endpoint: self.fake.url() });
            }
            Kind::WebIdentity => {
                chain.sts.endpoint = Some(self.fake.url());
                chain.web_identity = Some(WebIdentityConfig {
                    role_arn: "arn:aws:iam::123456789012:role/vidgate".to_owned(),
                    token_path: self.token_path(),
                    session_name: None,
                });
            }
        }
        chain
    }

    pub(crate) fn provider(&self) -> Provider {
        Provider::new(CredentialsConfig::Chain(Box::new(self.chain())))
    }
}

/// A chain without any source.
pub(crate) fn no_source() -> ChainConfig {
    ChainConfig {
        environment: None,
        web_identity: None,
        profile: None,
        container: None,
        instance_metadata: None,
        sts: StsConfig { endpoint: None, region: "us-east-1".to_owned() },
    }
}

impl State {
    fn answer(&self, kind: Kind) -> Reply {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let asking = self.asking.fetch_add(1, Ordering::SeqCst) + 1;
        self.asking_max.fetch_max(asking, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(100));
        let mood = *self.mood.lock().unwrap();
        let reply = match mood {
            Mood::Good(lifetime) => {
                let number = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
                good(&keys(kind, &format!("ID-{number}"), SystemTime::now() + lifetime))
            }
            Mood::Expired => good(&keys(kind, "ID-0", SystemTime::now() - Duration::from_secs(1))),
            Mood::Answer(status, body) => Reply::send(&format!("{status}\nContent-Length: {}", body.len()), body.as_bytes()),
            Mood::Endless => Reply::send_and_close("200 OK", &vec![b' '; 1 << 20]),
            Mood::Break => Reply::send_and_close("200 OK\nContent-Length: 1000", b"{\"AccessKeyId\":\"the-secret"),
            Mood::Stall => Reply::send_and_stall("200 OK\nContent-Length: 1000", b"{\"AccessKeyId\":\"the-secret"),
        };
        self.asking.fetch_sub(1, Ordering::SeqCst);
        reply
    }
}

fn good(body: &str) -> Reply {
    Reply::send(&format!("200 OK\nContent-Length: {}", body.len()), body.as_bytes())
}

/// Keys as each of them writes them.
fn keys(kind: Kind, id: &str, expires_at: SystemTime) -> String {
    // Whole seconds, as AWS writes them; rounded up, so that they are good for at least as long as was said.
    let end = expires_at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 1;
    let end = jiff::Timestamp::from_second(i64::try_from(end).unwrap()).unwrap();
    match kind {
        Kind::Container => format!(
            r#"{{"AccessKeyId":"{id}","SecretAccessKey":"the-secret","Token":"the-token","Expiration":"{end}","RoleArn":"r"}}"#
        ),
        Kind::InstanceMetadata => format!(
            r#"{{"Code":"Success","AccessKeyId":"{id}","SecretAccessKey":"the-secret","Token":"the-token","Expiration":"{end}"}}"#
        ),
        Kind::WebIdentity => format!(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{id}</AccessKeyId>\
             <SecretAccessKey>the-secret</SecretAccessKey><SessionToken>the-token</SessionToken>\
             <Expiration>{end}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
             </AssumeRoleWithWebIdentityResponse>"
        ),
    }
}
