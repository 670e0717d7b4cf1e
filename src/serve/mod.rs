//! Between the clients and the store: every socket, thread and lock of the program.
//!
//! A request comes in at the `door`, goes through a lane (`lanes`) to the `handler` on the `pool`, and its body becomes a
//! `stream` of `chunks` that waits in the `lot` whenever its viewer is slower than we are.

mod alarms;
mod budget;
mod chunks;
mod connection;
mod door;
mod handler;
mod lanes;
mod lot;
mod pace;
mod pool;
mod quota;
mod server;
mod socket;
mod stream;
mod vitals;
mod work;

pub use server::Server;
pub use vitals::Vitals;
