//! The integration tests: the whole program, over real sockets, on real stores.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod bad_store;
mod browser;
mod cache;
mod cache_disk;
mod chaos;
mod cli;
mod cli_serve;
mod cloudfront;
mod connections;
mod credentials;
mod credentials_s3;
mod deploy;
mod faults;
mod hostile;
mod inspect;
mod limits;
mod manual;
mod next;
mod observe;
mod players;
mod pressure;
#[cfg(feature = "redis")]
mod redis;
mod resumable;
mod resumable_peers;
mod resume;
mod store_contract;
mod store_directory;
mod store_s3;
mod store_s3_writes;
mod streaming;
mod tidy;
mod tiny_http_facts;
mod tokens;
mod two_nodes;
mod uploads;
mod vendor_facts;
