//! What the integration tests share: real servers, a fake store that misbehaves, and a client that hides nothing.

pub(crate) mod broken_store;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod dice;
pub(crate) mod fake_keys;
pub(crate) mod fake_s3;
pub(crate) mod liveness;
#[cfg(feature = "redis")]
pub(crate) mod logs;
pub(crate) mod minio;
pub(crate) mod peers;
pub(crate) mod process;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod relay;
pub(crate) mod road;
pub(crate) mod server;
pub(crate) mod site;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use vidgate::store::CredentialsConfig;
use vidgate::store::credentials::Keys;

/// Credentials that are what they are.
pub(crate) fn keys(id: &str, secret: &str, token: Option<&str>) -> CredentialsConfig {
    CredentialsConfig::Static(Keys {
        access_key_id: id.to_owned(),
        secret_access_key: secret.to_owned(),
        session_token: token.map(str::to_owned),
    })
}

/// Bytes in which each position can be told from its neighbours, and each `seed` from the others.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64: enough to make no two blocks alike.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The length of a film: this one, or 256 MiB where the tests are run at full size (`TESTS_AT_FULL_SIZE=1 tests/run.sh --release`).
pub(crate) fn film_len(len: usize) -> usize {
    if is_full_size() { 256 << 20 } else { len }
}

/// Whether the tests are run with the numbers of the issues, and not with those that fit a short run.
pub(crate) fn is_full_size() -> bool {
    std::env::var_os("TESTS_AT_FULL_SIZE").is_some()
}

/// How many reads of a far store there may be at a time with the default number of threads.
pub(crate) fn reads_max() -> usize {
    reads_max_of(8)
}

/// The same with so many threads a core: all of them but an eighth, and but two, or half of fewer than four.
pub(crate) fn reads_max_of(workers_per_core: usize) -> usize {
    let threads = num_cpus::get() * workers_per_core;
    threads - (threads / 8).max(2).min(threads / 2)
}

/// One number of a server's metrics.
#[track_caller]
pub(crate) fn metric(addr: SocketAddr, name: &str) -> u64 {
    let text = String::from_utf8(client::get(addr, "/metrics", &[]).body).expect("metrics are text");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a whole number")
}

/// Polls until `done` gives something.
///
/// # Panics
/// After `limit`, saying what was waited for.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
