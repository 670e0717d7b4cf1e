//! stub
/// x
#[derive(Debug)]
pub struct Page {
    /// x
    pub html: &'static str,
    /// x
    pub content_security_policy: &'static str,
}
/// x
pub static LIBRARY: Page = Page { html: "library", content_security_policy: "default-src 'none'" };
/// x
pub static PLAYER: Page = Page { html: "player", content_security_policy: "default-src 'none'" };
