//! In the place of `upload` in a program that was built without its feature `uploads`: nothing is received.

use std::sync::atomic::AtomicBool;

use crate::error::{Error, ErrorKind};
use crate::http::response::Response;
use crate::object::ObjectKey;
use crate::serve::connection::Connection;
use crate::serve::lanes::Request;
use crate::serve::source::Source;

/// There are none.
#[derive(Default)]
pub(crate) struct Uploads {
    is_stopping: AtomicBool,
}

/// There is none. Where there are uploads, dropping it has an effect.
#[expect(dead_code, reason = "there is none")]
pub(crate) struct Place(Box<Plan>);

/// There is none.
pub(crate) enum Plan {}

impl Uploads {
    #[expect(clippy::unused_self, reason = "where there are uploads it counts them")]
    pub(crate) fn enter(&self) -> Result<Place, Error> {
        Err(ErrorKind::NotConfigured.into())
    }

    #[expect(clippy::unused_self, reason = "where there are uploads it ends them")]
    pub(crate) fn stop(&self) {}

    pub(crate) fn is_stopping(&self) -> &AtomicBool {
        &self.is_stopping
    }
}

impl Plan {
    /// Says that nothing will be received.
    ///
    /// # Errors
    /// [`ErrorKind::NotConfigured`].
    pub(crate) fn object(_: ObjectKey, _: &Request) -> Result<Self, Error> {
        Err(ErrorKind::NotConfigured.into())
    }

    /// Says that nothing will be received.
    ///
    /// # Errors
    /// [`ErrorKind::NotConfigured`].
    pub(crate) fn form(_: &Request) -> Result<Self, Error> {
        Err(ErrorKind::NotConfigured.into())
    }

    pub(crate) fn run(self, _: &Source, _: &mut Connection, _: u64, _: &AtomicBool) -> Result<Response, Error> {
        match self {}
    }
}
