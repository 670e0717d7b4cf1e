//! A connection to the server.
//!
//! In scope: opening one, its limits of time, and what of an error may be told. Not in scope: what is said on it.

use std::fs;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{
    Client, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError, RedisResult,
    TlsCertificates,
};

use crate::store::meta::RedisUrl;
use crate::store::meta::redis_url::Place;

/// For the connection, TLS and log-in. Only the courier and the listener wait for it.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(1);
/// More of what a server says does not help to find what is wrong, in characters.
const QUOTE_LEN_MAX: usize = 200;

/// Where the server is.
pub(super) struct Link {
    url: RedisUrl,
}

impl Link {
    pub(super) fn new(url: RedisUrl) -> Self {
        Self { url }
    }

    /// Connects and logs in. From then on each read and each write may take so long.
    pub(super) fn open(&self, wait_max: Duration) -> RedisResult<Connection> {
        let connection = self.client()?.get_connection_with_timeout(CONNECT_WAIT_MAX)?;
        connection.set_read_timeout(Some(wait_max))?;
        connection.set_write_timeout(Some(wait_max))?;
        Ok(connection)
    }

    fn client(&self) -> RedisResult<Client> {
        let RedisUrl { place, user, password, db } = &self.url;
        let mut login = RedisConnectionInfo::default().set_db(i64::from(*db)).set_skip_set_lib_name();
        if let Some(user) = user {
            login = login.set_username(user);
        }
        if let Some(password) = password {
            login = login.set_password(password);
        }
        let info = |addr: ConnectionAddr| {
            let settings = TcpSettings::default().set_nodelay(true);
            Ok::<_, RedisError>(addr.into_connection_info()?.set_tcp_settings(settings).set_redis_settings(login))
        };
        match place {
            Place::Unix(path) => Client::open(info(ConnectionAddr::Unix(path.clone()))?),
            Place::Tcp { host, port } => Client::open(info(ConnectionAddr::Tcp(host.clone(), *port))?),
            Place::Tls { host, port, authorities } => {
                let addr = ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None };
                match authorities {
                    None => Client::open(info(addr)?),
                    Some(path) => {
                        let root_cert = Some(fs::read(path)?);
                        Client::build_with_tls(info(addr)?, TlsCertificates { client_tls: None, root_cert })
                    }
                }
            }
        }
    }
}

/// Whether the server did answer, and only refused: its connection is as good as before.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::UnexpectedReturnType)
}

/// What of an error is told. The texts of the crate hold no password; those of a server are anything, so they are cut, and hold no
/// line end.
pub(super) fn tell(error: &RedisError) -> String {
    error.to_string().chars().take(QUOTE_LEN_MAX).map(|char| if char.is_control() { ' ' } else { char }).collect()
}
