//! The pages: a library (`/`) and a player (`/watch/{key}`).
//!
//! In scope: their text, put together when the crate is compiled, and the headers they need. Not in scope: routing, and any
//! data: a page is the same for everybody and asks the API for what it shows, so nothing hostile can enter it here.
//!
//! Each page is one document that asks no other address for a part of itself:
//!
//! ```text
//! head (here) | <style> shared.css + library.css | library.html | <script> shared.js + library.js -> LIBRARY
//!             | <style> shared.css + player.css  | player.html  | <script> shared.js + player.js  -> PLAYER
//! ```
//!
//! A Content-Security-Policy names that one style and that one script by their SHA-256; a browser runs nothing else, not even
//! if a key's name ever got into the markup. The tests keep the hashes right: edit a page, run them, copy what they print.

/// A page, ready to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The media type, with its charset.
    pub content_type: &'static str,
    /// The bytes, the same for every request of one build.
    pub body: &'static [u8],
    /// What the page may load and run: the value of `Content-Security-Policy`.
    pub content_security_policy: &'static str,
}

impl Asset {
    /// Every header that the page needs besides the ones of all answers (`Content-Length`, `Date`).
    pub const fn headers(&self) -> [(&'static str, &'static str); 6] {
        [
            ("Content-Type", self.content_type),
            ("Content-Security-Policy", self.content_security_policy),
            // A new build may change the page and never its address.
            ("Cache-Control", "no-cache"),
            ("X-Content-Type-Options", "nosniff"),
            // A key or a token in the address of the page is nobody else's business.
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
        ]
    }
}

/// One document. The title changes as soon as the script knows better.
macro_rules! page {
    ($title:literal, $style:literal, $body:literal, $script:literal) => {
        concat!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>",
            $title,
            "</title>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
            "<meta name=\"color-scheme\" content=\"light dark\">\n",
            "<link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E",
            "%3Crect width='32' height='32' rx='8' fill='%233a77bd'/%3E%3Cpath d='M12 9v14l12-7z' fill='%23fff'/%3E%3C/svg%3E\">\n",
            "<style>",
            include_str!("shared.css"),
            include_str!($style),
            "</style>\n</head>\n<body>\n",
            include_str!($body),
            "<script>",
            include_str!("shared.js"),
            include_str!($script),
            "</script>\n</body>\n</html>\n"
        )
    };
}

/// The policy of a page, from the SHA-256 of its style and of its script in Base64. `blob:` is for a player that feeds the
/// video by itself.
macro_rules! policy {
    (style: $style:literal, script: $script:literal) => {
        concat!(
            "default-src 'none'; style-src 'sha256-",
            $style,
            "'; script-src 'sha256-",
            $script,
            "'; img-src 'self' data:; media-src 'self' blob:; connect-src 'self'; ",
            "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
        )
    };
}

/// The library page, `GET /`.
pub const LIBRARY: Asset = Asset {
    content_type: "text/html; charset=utf-8",
    body: page!("Videos – vidgate", "library.css", "library.html", "library.js").as_bytes(),
    content_security_policy: policy!(style: "cYydOScxphTXkPxM7OVR/YB/6t69+1UHliTSVUB+viw=", script: "51ZLujbE3PSTj99Umb9pczzCRiNqo57aKeVfqWNgB0g="),
};

/// The player page, `GET /watch/{key}`: it takes the key from its own address.
pub const PLAYER: Asset = Asset {
    content_type: "text/html; charset=utf-8",
    body: page!("vidgate", "player.css", "player.html", "player.js").as_bytes(),
    content_security_policy: policy!(style: "5oPRdloZl3uU5QOKTEtSQ5TfQxAON/l+dQLv28o27q0=", script: "VHhhjnjq/cIrSsUp9RoaiNZDZ3qK7OypJM5owVazQEw="),
};

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use sha2::{Digest as _, Sha256};

    use super::*;

    const LIBRARY_STYLE: &str = concat!(include_str!("shared.css"), include_str!("library.css"));
    const PLAYER_STYLE: &str = concat!(include_str!("shared.css"), include_str!("player.css"));
    const LIBRARY_SCRIPT: &str = concat!(include_str!("shared.js"), include_str!("library.js"));
    const PLAYER_SCRIPT: &str = concat!(include_str!("shared.js"), include_str!("player.js"));

    /// Both pages together; they are to load at once on a slow line.
    const PAGES_LEN_MAX: usize = 40 * 1024;

    fn text(page: &Asset) -> &'static str {
        std::str::from_utf8(page.body).unwrap()
    }

    /// What a browser hashes: the text between the only `<tag>` and the only `</tag>` of the page.
    #[track_caller]
    fn inline<'a>(page: &'a str, tag: &str) -> &'a str {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        assert_eq!((page.matches(&open).count(), page.matches(&close).count()), (1, 1), "one {open} only");
        page.split_once(&open).unwrap().1.split_once(&close).unwrap().0
    }

    #[track_caller]
    fn check_hash(page: &Asset, tag: &str, source: &str) {
        let inline = inline(text(page), tag);
        assert_eq!(inline, source, "the page holds what its file holds");
        // HTML parsers turn CR LF into LF before the text is hashed.
        assert!(!inline.contains('\r'), "a carriage return in <{tag}>");
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(inline));
        let want = format!("{tag}-src 'sha256-{hash}'");
        let policy = page.content_security_policy;
        assert!(policy.split("; ").any(|directive| directive == want), "the policy must say {want}\nbut is {policy}");
    }

    #[test]
    fn the_policy_names_the_style_and_the_script_of_the_page() {
        check_hash(&LIBRARY, "style", LIBRARY_STYLE);
        check_hash(&PLAYER, "style", PLAYER_STYLE);
        check_hash(&LIBRARY, "script", LIBRARY_SCRIPT);
        check_hash(&PLAYER, "script", PLAYER_SCRIPT);
    }

    #[test]
    fn the_policy_lets_nothing_else_in() {
        for page in [LIBRARY, PLAYER] {
            let policy = page.content_security_policy;
            assert!(policy.starts_with("default-src 'none'; "));
            for wide in ["unsafe", "http:", "https:", "*"] {
                assert!(!policy.contains(wide), "{wide} in {policy}");
            }
        }
    }

    #[test]
    fn a_page_is_whole_and_asks_nobody_else() {
        for page in [LIBRARY, PLAYER] {
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
        for script in [LIBRARY_SCRIPT, PLAYER_SCRIPT] {
            for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "<!--"] {
                assert!(!script.contains(sink), "{sink} in a script");
            }
        }
    }

    #[test]
    fn the_pages_are_small() {
        let len = LIBRARY.body.len() + PLAYER.body.len();
        assert!(len <= PAGES_LEN_MAX, "both pages have {len} bytes, {PAGES_LEN_MAX} are allowed");
    }

    #[test]
    fn headers_are_legal_and_name_the_type() {
        for page in [LIBRARY, PLAYER] {
            let headers = page.headers();
            assert!(headers.contains(&("Content-Type", "text/html; charset=utf-8")));
            for (name, value) in headers {
                assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{name}: {value}");
            }
        }
    }
}
