//! In the place of the pages in a program that was built without its feature `pages`: there are none.

use std::path::Path;

use crate::error::{Error, ErrorKind};
use crate::http::response::Response;
use crate::http::route::Route;

/// There are none.
#[derive(Clone, Debug)]
pub struct Pages;

impl Pages {
    /// There is nothing to be put together, and nothing that could need hls.js.
    #[expect(clippy::unnecessary_wraps, reason = "where there are pages this can fail")]
    pub(crate) fn open(_: Option<&Path>) -> Result<Self, Error> {
        Ok(Self)
    }

    /// Says that there is none.
    #[expect(clippy::unused_self, reason = "where there are pages it is one of them")]
    pub(crate) fn answer(&self, _: &Route) -> Result<Response, Error> {
        Err(ErrorKind::NotConfigured.into())
    }
}
