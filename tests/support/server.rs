//! Servers on stores of the test's choice.

use std::net::SocketAddr;
use std::sync::Arc;

use vidgate::store::{Directory, Store};
use vidgate::{Config, Server};

/// A server on a directory of its own.
pub(crate) struct DirectoryServer {
    /// The server.
    pub(crate) server: Server,
    /// The directory.
    pub(crate) root: tempfile::TempDir,
}

impl DirectoryServer {
    /// Starts one; `change` may change its configuration.
    pub(crate) fn start(change: impl FnOnce(&mut Config)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let server = start(Arc::new(Directory::open(root.path()).unwrap()), change);
        Self { server, root }
    }

    /// Its address.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Writes an object.
    pub(crate) fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        let path = self.root.path().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Starts a server on a store, on a free port of the loopback.
pub(crate) fn start(store: Arc<dyn Store>, change: impl FnOnce(&mut Config)) -> Server {
    let mut config = Config { host: "127.0.0.1".into(), port: 0, ..Config::default() };
    change(&mut config);
    Server::start_with_store(&config, store).expect("the server starts")
}
