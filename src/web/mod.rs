//! The pages: a library (`/`) and a player (`/watch/{key}`).
//!
//! In scope: their text, put together when the server starts, and the headers they need. Not in scope: which route it is, and any
//! data: a page is the same for everybody and asks the API for what it shows, so nothing hostile can enter it here.
//!
//! Each page is one document that asks no other address for a part of itself:
//!
//! ```text
//! head (here) | <style> shared.css + library.css | library.html | <script> shared.js + tus.js + library.js + upload.js      -> library
//!             | <style> shared.css + player.css  | player.html  | <script> shared.js + subtitles.js + stream.js + player.js -> player
//! ```
//!
//! A Content-Security-Policy names that one style and that one script by their SHA-256; a browser runs nothing else, not even
//! if a key's name ever got into the markup. Only where whoever runs the server has put hls.js on it, the player may load that
//! file as well, from `/hls.js`; no browser that plays HLS by itself does.

mod small;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind};
use crate::http::response::{Body, Response};
use crate::http::route::Route;

/// The largest file that is taken for hls.js, in bytes: five times what it has.
pub const HLS_LEN_MAX: u64 = 4 * 1024 * 1024;

/// The pages of one server.
#[derive(Clone, Debug)]
pub struct Pages {
    /// The library, `GET /`.
    pub library: Asset,
    /// The player, `GET /watch/{key}`: it takes the key from its own address.
    pub player: Asset,
    /// hls.js, `GET /hls.js`, where there is one.
    pub hls: Option<Asset>,
}

/// A page or a part of one, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The media type, with its charset.
    pub content_type: &'static str,
    /// The bytes, the same for every request of one server.
    pub body: Bytes,
    /// How long a browser may keep it: the value of `Cache-Control`.
    pub cache_control: &'static str,
    /// What the page may load and run: the value of `Content-Security-Policy`.
    pub content_security_policy: String,
}

/// What a page is made of.
struct Parts {
    title: &'static str,
    /// Its style as it is written.
    style: &'static str,
    markup: &'static str,
    /// Its script as it is written.
    script: &'static str,
}

const LIBRARY: Parts = Parts {
    title: "Videos – vidgate",
    style: concat!(include_str!("shared.css"), include_str!("library.css")),
    markup: include_str!("library.html"),
    script: concat!(include_str!("shared.js"), include_str!("tus.js"), include_str!("library.js"), include_str!("upload.js")),
};

const PLAYER: Parts = Parts {
    title: "vidgate",
    style: concat!(include_str!("shared.css"), include_str!("player.css")),
    markup: include_str!("player.html"),
    script: concat!(
        include_str!("shared.js"),
        include_str!("subtitles.js"),
        include_str!("stream.js"),
        include_str!("player.js")
    ),
};

impl Pages {
    /// Puts them together; with the hls.js of this file, where one is named.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where the file cannot be read, is empty, or has more than [`HLS_LEN_MAX`] bytes.
    pub fn open(hls: Option<&Path>) -> Result<Self, Error> {
        Ok(Self::new(hls.map(read_hls).transpose()?))
    }

    /// Puts them together; with these bytes as hls.js, where there are some.
    pub fn new(hls: Option<Bytes>) -> Self {
        let digest = hls.as_ref().map(|script| digest(script));
        Self {
            library: LIBRARY.page(None),
            player: PLAYER.page(digest.as_deref()),
            hls: hls.map(|body| Asset {
                content_type: "text/javascript; charset=utf-8",
                body,
                // The page asks for it by its digest, so another file has another address.
                cache_control: "public, max-age=31536000, immutable",
                content_security_policy: "default-src 'none'".to_owned(),
            }),
        }
    }

    /// The page of this route.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where it is of no page, or of an hls.js that nobody has put here.
    pub(crate) fn answer(&self, route: &Route) -> Result<Response, Error> {
        let asset = match route {
            Route::Library => Some(&self.library),
            Route::Watch(_) => Some(&self.player),
            Route::Hls => self.hls.as_ref(),
            _ => None,
        };
        asset.map(Asset::response).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Asset {
    /// Every header that it needs besides the ones of all answers (`Content-Length`, `Date`).
    pub fn headers(&self) -> [(&'static str, &str); 6] {
        [
            ("Content-Type", self.content_type),
            ("Content-Security-Policy", &self.content_security_policy),
            ("Cache-Control", self.cache_control),
            ("X-Content-Type-Options", "nosniff"),
            // A key or a token in the address of the page is nobody else's business.
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
        ]
    }

    fn response(&self) -> Response {
        let mut response = Response::new(200);
        for (name, value) in self.headers() {
            response.field(name, value);
        }
        response.body = Body::Bytes(self.body.clone());
        response
    }
}

impl Parts {
    /// One document, which may load hls.js where its digest is given. The title changes as soon as the script knows better.
    fn page(&self, hls: Option<&str>) -> Asset {
        let (style, script) = (small::style(self.style), small::script(self.script));
        let meta = hls.map(|digest| format!("<meta name=\"hls\" content=\"{digest}\">\n")).unwrap_or_default();
        let html = [
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>",
            self.title,
            "</title>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
            "<meta name=\"color-scheme\" content=\"light dark\">\n",
            "<link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E",
            "%3Crect width='32' height='32' rx='8' fill='%233a77bd'/%3E%3Cpath d='M12 9v14l12-7z' fill='%23fff'/%3E%3C/svg%3E\">\n",
            &meta,
            "<style>",
            &style,
            "</style>\n</head>\n<body>\n",
            self.markup,
            "<script>",
            &script,
            "</script>\n</body>\n</html>\n",
        ];
        Asset {
            content_type: "text/html; charset=utf-8",
            body: html.concat().into(),
            // A new build may change the page and never its address.
            cache_control: "no-cache",
            content_security_policy: policy(&style, &script, hls),
        }
    }
}

/// The policy of a page. `blob:` is for subtitles that the page has converted, and for a player that feeds the video by itself.
fn policy(style: &str, script: &str, hls: Option<&str>) -> String {
    let (style, script) = (digest(style.as_bytes()), digest(script.as_bytes()));
    // A script that the page's own script adds is trusted by it (CSP level 3, section 8.2), and it adds no other than hls.js; that
    // must have this digest, by its `integrity` and, in browsers that compare it, by this policy.
    let hls = hls.map(|digest| format!(" '{digest}' 'strict-dynamic'")).unwrap_or_default();
    format!(
        "default-src 'none'; style-src '{style}'; script-src '{script}'{hls}; img-src 'self' data:; media-src 'self' blob:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
}

/// A digest as policies and `integrity` write it (W3C Subresource Integrity, section 3.1).
fn digest(bytes: &[u8]) -> String {
    format!("sha256-{}", base64::engine::general_purpose::STANDARD.encode(Sha256::digest(bytes)))
}

fn read_hls(path: &Path) -> Result<Bytes, Error> {
    let mut script = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HLS_LEN_MAX + 1).read_to_end(&mut script));
    let told = path.display();
    match read {
        Err(error) => Err(Error::new(ErrorKind::Internal, format!("cannot read hls.js from {told}")).with_source(error)),
        Ok(0) => Err(Error::new(ErrorKind::Internal, format!("{told} is empty, and no hls.js"))),
        Ok(_) if script.len() as u64 > HLS_LEN_MAX => {
            Err(Error::new(ErrorKind::Internal, format!("{told} has more than {HLS_LEN_MAX} bytes, and is no hls.js")))
        }
        Ok(_) => Ok(script.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both pages together; they are to load at once on a slow line.
    const PAGES_LEN_MAX: usize = 60 * 1024;

    fn both() -> [(Asset, Parts); 2] {
        let pages = Pages::new(None);
        [(pages.library, LIBRARY), (pages.player, PLAYER)]
    }

    fn text(page: &Asset) -> &str {
        std::str::from_utf8(&page.body).unwrap()
    }

    /// What a browser hashes: the text between the only `<tag>` and the only `</tag>` of the page.
    #[track_caller]
    fn inline<'a>(page: &'a str, tag: &str) -> &'a str {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        assert_eq!((page.matches(&open).count(), page.matches(&close).count()), (1, 1), "one {open} only");
        page.split_once(&open).unwrap().1.split_once(&close).unwrap().0
    }

    #[test]
    fn the_policy_names_the_style_and_the_script_of_the_page() {
        for (page, parts) in both() {
            for (tag, source) in [("style", small::style(parts.style)), ("script", small::script(parts.script))] {
                let inline = inline(text(&page), tag);
                assert_eq!(inline, source, "the page holds what its file holds");
                // HTML parsers turn CR LF into LF before the text is hashed.
                assert!(!inline.contains('\r'), "a carriage return in <{tag}>");
                let want = format!("{tag}-src '{}'", digest(inline.as_bytes()));
                let policy = &page.content_security_policy;
                assert!(policy.split("; ").any(|directive| directive == want), "{want} is not in {policy}");
            }
        }
    }

    #[test]
    fn a_digest_is_that_of_the_specification() {
        // The example of CSP level 3, section 8.3.
        assert_eq!(digest(b"alert('Hello, world.');"), "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
    }

    #[test]
    fn the_policy_lets_nothing_else_in() {
        for (page, _) in both() {
            let policy = page.content_security_policy;
            assert!(policy.starts_with("default-src 'none'; "));
            for wide in ["unsafe", "http:", "https:", "*", "dynamic"] {
                assert!(!policy.contains(wide), "{wide} in {policy}");
            }
        }
    }

    #[test]
    fn hls_is_named_by_the_player_alone_and_by_its_digest() {
        let pages = Pages::new(Some(Bytes::from_static(b"window.Hls = 1")));
        let digest = digest(b"window.Hls = 1");
        assert_eq!(pages.library, LIBRARY.page(None));
        assert!(text(&pages.player).contains(&format!("<meta name=\"hls\" content=\"{digest}\">")));
        assert!(pages.player.content_security_policy.contains(&format!(" '{digest}' 'strict-dynamic'; ")));
        assert_eq!(pages.hls.unwrap().content_type, "text/javascript; charset=utf-8");
        assert!(Pages::new(None).hls.is_none());
    }

    #[test]
    fn hls_is_read_from_a_file_that_can_be_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hls.min.js");
        let told = |path: &Path| Pages::open(Some(path)).unwrap_err().to_string();
        assert!(told(&path).contains("cannot read hls.js from "));
        assert!(told(folder.path()).contains("cannot read hls.js from "));
        let len_max = usize::try_from(HLS_LEN_MAX).unwrap();
        for (len, why) in
            [(0, Some(" is empty")), (1, None), (len_max, None), (len_max + 1, Some(" has more than 4194304 bytes"))]
        {
            std::fs::write(&path, vec![b' '; len]).unwrap();
            match why {
                Some(why) => assert!(told(&path).contains(why), "{len}: {}", told(&path)),
                None => assert_eq!(Pages::open(Some(&path)).unwrap().hls.unwrap().body.len(), len),
            }
        }
    }

    #[test]
    fn the_files_are_such_as_can_be_made_small() {
        for (_, parts) in both() {
            // Each of these may have several lines, which are not what they look like.
            assert!(!small::script(parts.script).contains('`'), "a text between backticks");
            assert!(parts.script.lines().all(|line| line.contains("/*") == line.contains("*/")), "a remark of several lines");
            assert!(!parts.style.contains("/*"), "a remark in a style");
        }
    }

    #[test]
    fn a_page_is_whole_and_asks_nobody_else() {
        for (page, _) in both() {
            let html = text(&page);
            assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
            // The namespace of SVG is a name; no other address with a scheme may be in a page.
            let names = html.replace("http://www.w3.org/2000/svg", "");
            for outside in ["http:", "https:", "src=\"//", "href=\"//", "@import", "url("] {
                assert!(!names.contains(outside), "{outside} in a page");
            }
            // The policy forbids both, so they would only seem to work.
            assert!(!html.contains(" style=\"") && !html.contains(" onclick="));
        }
    }

    #[test]
    fn no_script_makes_markup_from_text() {
        for (_, parts) in both() {
            for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "<!--"] {
                assert!(!parts.script.contains(sink), "{sink} in a script");
            }
        }
    }

    #[test]
    fn the_player_adds_no_script_but_hls() {
        // With hls.js, whatever script the page adds is run.
        assert_eq!(PLAYER.script.matches("make('script')").count(), 1);
        assert!(PLAYER.script.contains("script.src = '/hls.js?' + "));
        assert!(!PLAYER.script.contains("import(") && !PLAYER.script.contains("createElement('script"));
    }

    #[test]
    fn the_pages_are_small() {
        let len: usize = both().iter().map(|(page, _)| page.body.len()).sum();
        assert!(len <= PAGES_LEN_MAX, "both pages have {len} bytes, {PAGES_LEN_MAX} are allowed");
    }

    #[test]
    fn headers_are_legal_and_name_the_type() {
        for (page, _) in both() {
            let headers = page.headers();
            assert!(headers.contains(&("Content-Type", "text/html; charset=utf-8")));
            for (name, value) in headers {
                assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{name}: {value}");
            }
        }
    }
}
