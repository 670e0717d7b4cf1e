//! Streams the videos of a private S3 or `MinIO` bucket, or of a directory, over HTTP: with seeking, without an async runtime, and
//! with a waiting viewer costing a descriptor and a little memory, but no thread.
//!
//! This crate is the server as a library. The program `vidgate` is a command line around it; README.md is for its users,
//! SEMANTICS.md says what may be relied on, ARCHITECTURE.md how it works inside.
//!
//! # The way of a request
//!
//! ```text
//!  clients
//!    │ TCP, non-blocking
//!    ▼
//!  door ────────── one thread on a poller: accepts, collects one request head at a time, refuses what is malformed
//!    │ heads, written anew
//!    ▼
//!  lanes ───────── four private Unix sockets to the tiny_http listener, which parses and queues
//!    │
//!    ▼
//!  dispatcher ──── takes each request, and its connection out of the lot, to the pool
//!    │
//!    ▼
//!  pool ────────── a fixed number of threads; does the first bytes of answers before the rest of streams
//!    │  handler    route ─> metadata ─> plan (200, 206, 304, 412, 416) ─> first slice
//!    │  stream     sends what the socket has room for, turn by turn  ◄── chunks: slices out of spans ◄── store
//!    │
//!    ▼
//!  lot ─────────── where a connection waits for room, for its next request or for the end: no thread, no buffer
//!    └──────────── the door sees what it waited for, or that it waited too long, and hands it on; what another stream
//!                  read for it comes with that one, and goes to the pool at once
//! ```
//!
//! # Example
//!
//! A server on a directory, on a port that the system picks, which then is let run dry:
//!
//! ```
//! use std::time::Duration;
//! use vidgate::config::StoreConfig;
//! use vidgate::{Config, Server};
//!
//! # fn main() -> Result<(), vidgate::Error> {
//! let videos = std::env::temp_dir();
//! let config = Config { port: 0, store: StoreConfig::Directory(videos), ..Config::default() };
//! let server = Server::start(&config)?;
//! println!("listening on http://{}", server.addr());
//!
//! // Later: accept nobody any more, and let the viewers finish.
//! server.drain();
//! assert!(server.wait_drained(Duration::from_secs(20)));
//! // Dropping the server ends its threads, and whatever is still open.
//! drop(server);
//! # Ok(())
//! # }
//! ```
//!
//! In `examples/` there is a server on a store of one's own, one whose films pass through adaptors, and one request answered without
//! any server.
//!
//! # What there is
//!
//! - [`Server`]: [`start`](Server::start) on the store that a [`Config`] names, or
//!   [`start_with_store`](Server::start_with_store) on one of your own; [`serve`](Server::serve) for a connection that you have
//!   already; [`addr`](Server::addr), [`drain`](Server::drain), [`wait_drained`](Server::wait_drained).
//! - [`Vitals`]: what [`Server::vitals`] gives; [`check`](Vitals::check) says whether the server still works.
//! - [`Config`]: all settings. [`Config::default`] for embedding, [`Config::from_sources`] for flags, environment and `.env`;
//!   [`config::SETTINGS`] is the table of them.
//! - [`store::Store`]: the trait behind the server, with [`store::Directory`] and [`store::S3`], and [`store::Adapted`], which lets
//!   their bytes pass through an adaptor of yours. [`store::credentials`]: who asks
//!   the bucket.
//! - [`Error`] and [`ErrorKind`]: what goes wrong, on whose side, and the status that answers it.
//! - [`sign`]: signed URLs and cookies of CloudFront, and playback tokens, as pure functions.
//! - [`object`]: keys, entity tags, versions. [`http`]: the decisions of HTTP as pure functions. [`web`]: the two pages.
//! - [`mp4`]: where the index of a film lies. [`present`]: the request that a thread works on, for loggers.
//! - [`logging`]: log lines on standard error. A program that has a logger for the `log` crate need not call it.

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod error;
pub mod http;
pub mod logging;
mod metrics;
pub mod mp4;
pub mod object;
pub mod present;
pub mod serve;
pub mod sign;
pub mod store;
#[cfg_attr(not(feature = "pages"), path = "web/without_pages.rs")]
pub mod web;
pub use config::Config;
pub use error::{Error, ErrorKind};
pub use serve::{Resume, Server, Vitals};

/// What README.md shows of this library is compiled and run as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
