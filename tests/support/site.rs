//! Servers that take uploads, on each kind of store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use vidgate::sign::bearer::AdminToken;
use vidgate::store::{Directory, S3, Store};
use vidgate::{Config, Server};

use super::client::get;
use super::minio::{TestBucket, minio};
use super::process::Process;
use super::relay::Relay;
use super::server::start;
use super::wait_for;

/// The field of who may upload.
pub(crate) const TOKEN: &str = "Authorization: Bearer the-operator";

/// Runs the real program on a directory, then on a bucket, each time for this.
pub(crate) fn with_each_program(check: impl Fn(&Process)) {
    let folder = tempfile::tempdir().unwrap();
    let bucket = minio().bucket();
    let (user, password) = minio().user();
    let name = bucket.config().bucket;
    let admin = ("VIDGATE_ADMIN_TOKEN", "the-operator");
    let on_directory = [admin, ("VIDGATE_DIR", folder.path().to_str().unwrap())];
    let on_bucket = [
        admin,
        ("AWS_BUCKET_NAME", &*name),
        ("AWS_ENDPOINT_URL_S3", minio().endpoint()),
        ("AWS_ACCESS_KEY_ID", user),
        ("AWS_SECRET_ACCESS_KEY", password),
    ];
    for environment in [&on_directory[..], &on_bucket] {
        check(&Process::start(environment));
    }
}

/// A server that takes uploads, and what is left of them in its store.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Directory(tempfile::TempDir),
    Bucket(TestBucket),
}

/// Whether it is what is known of a resumable upload.
pub(crate) fn is_record(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| ending == "json")
}

impl Site {
    pub(crate) fn on_directory(change: impl FnOnce(&mut Config)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let server = start(Arc::new(Directory::open(root.path()).unwrap()), |config| {
            config.admin_token = AdminToken::new("the-operator");
            change(config);
        });
        Self { server, kind: Kind::Directory(root) }
    }

    pub(crate) fn on_minio(change: impl FnOnce(&mut Config)) -> Self {
        let bucket = minio().bucket();
        let server = start(Arc::new(bucket.store()), |config| {
            config.admin_token = AdminToken::new("the-operator");
            change(config);
        });
        Self { server, kind: Kind::Bucket(bucket) }
    }

    /// One on each store.
    pub(crate) fn both(change: impl Fn(&mut Config)) -> [Self; 2] {
        [Self::on_directory(&change), Self::on_minio(&change)]
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// One whose bucket lies behind a relay.
    pub(crate) fn behind_relay() -> (Self, Relay) {
        let bucket = minio().bucket();
        let relay = Relay::start(minio().addr());
        let mut config = bucket.config();
        config.endpoint = Some(relay.endpoint());
        let server = start(Arc::new(S3::new(config).unwrap()), |config| config.admin_token = AdminToken::new("the-operator"));
        (Self { server, kind: Kind::Bucket(bucket) }, relay)
    }

    /// Changes what is known of a resumable upload.
    pub(crate) fn change_record(&self, id: &str, change: impl FnOnce(&mut Value)) {
        let change = |bytes: &[u8]| {
            let mut record = serde_json::from_slice(bytes).expect("a record is JSON");
            change(&mut record);
            record.to_string()
        };
        match &self.kind {
            Kind::Directory(root) => {
                let path = root.path().join(format!(".vidgate/resumable-{id}.json"));
                let changed = change(&std::fs::read(&path).unwrap());
                std::fs::write(path, changed).unwrap();
            }
            Kind::Bucket(bucket) => {
                let name = format!(".vidgate/uploads/{id}.json");
                let changed = change(&bucket.get(&name));
                bucket.put(&name, changed.as_bytes());
            }
        }
    }

    /// Another server on the same store.
    pub(crate) fn another(&self, change: impl FnOnce(&mut Config)) -> Server {
        let store: Arc<dyn Store> = match &self.kind {
            Kind::Directory(root) => Arc::new(Directory::open(root.path()).unwrap()),
            Kind::Bucket(bucket) => Arc::new(bucket.store()),
        };
        start(store, |config| {
            config.admin_token = AdminToken::new("the-operator");
            change(config);
        })
    }

    /// The names of what the server keeps for itself.
    pub(crate) fn own_names(&self) -> Vec<String> {
        match &self.kind {
            Kind::Directory(_) => self.leftovers(""),
            Kind::Bucket(bucket) => bucket.names(".vidgate/"),
        }
    }

    /// Nothing is there under this key, nor on its way there.
    #[track_caller]
    pub(crate) fn check_nothing(&self, key: &str) {
        assert_eq!(get(self.addr(), &format!("/api/videos/{key}"), &[]).status, 404, "{key}");
        wait_for("what was begun to be removed", Duration::from_secs(10), || self.leftovers(key).is_empty().then_some(()));
        match &self.kind {
            Kind::Directory(root) => assert!(!root.path().join(key).exists()),
            Kind::Bucket(_) => {}
        }
    }

    /// What the server keeps for itself is only which uploads have ended; of this key nothing is on its way.
    #[track_caller]
    pub(crate) fn check_nothing_but_finished(&self, key: &str) {
        let rest: Vec<String> = self.own_names().into_iter().filter(|name| !is_record(name)).collect();
        assert!(rest.is_empty(), "{rest:?}");
        if let Kind::Bucket(bucket) = &self.kind {
            assert!(bucket.multipart_uploads(key).is_empty());
        }
    }

    pub(crate) fn leftovers(&self, key: &str) -> Vec<String> {
        match &self.kind {
            Kind::Directory(root) => {
                let entries = std::fs::read_dir(root.path().join(".vidgate")).into_iter().flatten();
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
            }
            Kind::Bucket(bucket) => bucket.multipart_uploads(key),
        }
    }

    /// The object has these bytes.
    #[track_caller]
    pub(crate) fn check_object(&self, key: &str, bytes: &[u8]) {
        let reply = get(self.addr(), &format!("/media/{key}"), &[]);
        assert_eq!(reply.status, 200);
        assert!(reply.body == bytes, "{} bytes of {key}, {} were sent", reply.body.len(), bytes.len());
        assert!(self.leftovers(key).is_empty());
    }
}
