//! What the integration tests share: real servers, a fake store that misbehaves, and a client that hides nothing.

pub(crate) mod broken_store;
pub(crate) mod client;
pub(crate) mod server;
