//! vidgate: watch the videos of a private S3 or MinIO bucket.
pub mod config;
pub mod error;
pub mod http;
pub mod logging;
pub mod object;
pub mod serve;
pub mod store;
pub mod web;
pub use config::Config;
pub use error::{Error, ErrorKind};
pub use serve::Server;
