//! What we rely on in the smaller dependencies, one file for each: `vendor-notes/` says why it matters.

mod bytes;
mod crc32fast;
mod httparse;
mod httpdate;
mod md_5;
mod num_cpus;
mod percent_encoding;
mod polling;
mod quick_cache;
#[cfg(feature = "redis")]
mod redis;
mod rustix;
mod serde_json;
mod sha2;
mod tempfile;
mod threadpool;
