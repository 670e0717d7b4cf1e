//! Between the clients and the store: every socket, thread and lock of the program.
//!
//! A request comes in at the `door`, goes through a lane (`lanes`) to the `handler` on the `pool`, and its body becomes a
//! `stream` of `chunks` that waits in the `lot` whenever its viewer is slower than we are.

mod access;
mod alarms;
mod body;
mod budget;
mod buffers;
mod cached;
mod chunks;
mod churn;
mod connection;
mod counted;
mod direct;
mod door;
mod flights;
mod handler;
mod holds;
mod kernel_memory;
mod lanes;
mod links;
mod lot;
mod outage;
mod pace;
mod pool;
mod quota;
mod readiness;
mod resumable;
mod server;
mod socket;
mod source;
mod stream;
mod turns;
mod upload;
mod visit;
mod vitals;
mod work;

pub use links::describe_link;
pub use outage::Resume;
pub use server::{Server, open_store};
pub use vitals::Vitals;
