//! What HTTP asks for, decided in pure functions: no I/O, no clock, no locks.

pub mod body;
pub mod checksum;
pub mod chunked;
pub mod conditional;
pub mod cors;
pub mod digest;
pub mod form;
pub mod forwarded;
pub mod head;
pub mod plan;
pub mod range;
pub mod request_id;
pub mod response;
pub mod route;
pub mod tus;
pub mod upload;
