//! What the head of an upload asks for.
//!
//! In scope: the condition, the media type, and the key that a file name becomes. Not in scope: reading the body, and checksums
//! (`digest`).

use crate::error::{Error, ErrorKind};
use crate::http::head::Fields;
use crate::object::{ETag, ObjectKey};
use crate::store::Condition;

/// The longest media type that is stored, in bytes.
const CONTENT_TYPE_LEN_MAX: usize = 255;
/// The longest name that a file gets, in bytes: that of most file systems.
const FILE_NAME_LEN_MAX: usize = 255;

/// On what condition an object may be written (RFC 9110 section 13.1).
///
/// # Errors
/// [`ErrorKind::BadRequest`] where a precondition is malformed, or one that no upload can be made to keep.
pub fn condition(fields: &Fields) -> Result<Condition, Error> {
    let bad = |why: &str| Err(Error::new(ErrorKind::BadRequest, why));
    if fields.get("if-unmodified-since").is_some() {
        // The store cannot be made to keep it in the moment that counts.
        return bad("If-Unmodified-Since is not for uploads: If-Match is");
    }
    match (fields.get("if-match"), fields.get("if-none-match")) {
        (None, None) => Ok(Condition::None),
        (Some(_), Some(_)) => bad("If-Match and If-None-Match contradict each other"),
        (None, Some(value)) if value.trim() == "*" => Ok(Condition::Absent),
        (None, Some(_)) => bad("the If-None-Match of an upload must be *"),
        (Some(value), None) if value.trim() == "*" => Ok(Condition::Present),
        (Some(value), None) => match versions(value) {
            Some(versions) => Ok(Condition::Versions(versions)),
            None => bad("If-Match is not a list of entity tags"),
        },
    }
}

/// The strong entity tags of a list; a weak one fits no version (RFC 9110 section 13.1.1).
fn versions(list: &str) -> Option<Vec<ETag>> {
    let (mut versions, mut rest) = (Vec::new(), list.trim());
    while !rest.is_empty() {
        let (is_weak, opaque) = rest.strip_prefix("W/").map_or((false, rest), |opaque| (true, opaque));
        let (tag, behind) = opaque.strip_prefix('"')?.split_once('"')?;
        if !is_weak {
            versions.push(ETag::from_store(&format!("\"{tag}\"")).ok()?);
        }
        let behind = behind.trim_start();
        if !behind.is_empty() && !behind.starts_with(',') {
            return None;
        }
        rest = behind.trim_start_matches([',', ' ', '\t']);
    }
    Some(versions)
}

/// The media type to store: the one that was given, where it says anything. What says nothing, and what programs send that were
/// told no type, is left to the extension.
pub fn content_type(given: Option<&str>) -> Option<String> {
    let given = given.map(str::trim).filter(|given| given.len() <= CONTENT_TYPE_LEN_MAX && given.contains('/'))?;
    let essence = given.split(';').next().unwrap_or(given).trim();
    let says_nothing = ["application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded"];
    let is_plain = given.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    (is_plain && !says_nothing.iter().any(|it| essence.eq_ignore_ascii_case(it))).then(|| given.to_owned())
}

/// The key that a file gets by its name: the last segment of what may be a path of any system, without what a name may not have.
///
/// # Errors
/// [`ErrorKind::BadKey`] where nothing is left of it.
pub fn key_of_file(file_name: &str) -> Result<ObjectKey, Error> {
    let last = file_name.rsplit(['/', '\\']).next().unwrap_or(file_name);
    let plain: String = last.chars().map(|char| if char.is_control() { '_' } else { char }).collect();
    // A name that starts with a dot would be hidden.
    let name = plain.trim().trim_start_matches('.');
    ObjectKey::new(&shortened(name))
        .map_err(|_| Error::new(ErrorKind::BadKey, "the file has no name that a key can be made of"))
}

/// The name with its extension, cut to what file systems can have.
fn shortened(name: &str) -> String {
    if name.len() <= FILE_NAME_LEN_MAX {
        return name.to_owned();
    }
    let (stem, extension) = name.rsplit_once('.').filter(|(_, extension)| extension.len() < 16).unwrap_or((name, ""));
    let room = FILE_NAME_LEN_MAX - if extension.is_empty() { 0 } else { extension.len() + 1 };
    let end = (0..=room).rev().find(|at| stem.is_char_boundary(*at)).unwrap_or(0);
    let dot = if extension.is_empty() { "" } else { "." };
    format!("{}{dot}{extension}", &stem[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        #[track_caller]
        fn check(fields: &[(&str, &str)], want: Option<Condition>) {
            let fields: Fields = fields.iter().copied().collect();
            let got = condition(&fields).map_err(|error| error.kind());
            assert_eq!(got, want.ok_or(ErrorKind::BadRequest), "{fields:?}");
        }
        let versions =
            |tags: &[&str]| Some(Condition::Versions(tags.iter().map(|tag| ETag::from_store(tag).unwrap()).collect()));
        check(&[], Some(Condition::None));
        check(&[("if-none-match", "*")], Some(Condition::Absent));
        check(&[("if-match", " * ")], Some(Condition::Present));
        check(&[("if-match", "\"a\"")], versions(&["a"]));
        check(&[("if-match", "\"a,b\" , W/\"c\",\"d\"")], versions(&["a,b", "d"]));
        check(&[("if-match", "W/\"c\"")], versions(&[]));
        check(&[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], Some(Condition::None));
        for bad in ["a", "\"a", "\"a\"b", "\"\"", "\"a\" \"b\"", "W/a"] {
            check(&[("if-match", bad)], None);
        }
        check(&[("if-none-match", "\"a\"")], None);
        check(&[("if-none-match", "*"), ("if-match", "*")], None);
        check(&[("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], None);
    }

    #[test]
    fn content_types() {
        for (given, want) in [
            (Some("video/mp4"), Some("video/mp4")),
            (Some(" text/vtt; charset=utf-8 "), Some("text/vtt; charset=utf-8")),
            (Some("Application/Octet-Stream; x=y"), None),
            (Some("application/x-www-form-urlencoded"), None),
            (Some("video"), None),
            (Some("video/ü"), None),
            (Some("video/a\tb"), None),
            (Some(""), None),
            (Some(&"a/".repeat(200)), None),
            (None, None),
        ] {
            assert_eq!(content_type(given).as_deref(), want, "{given:?}");
        }
    }

    #[test]
    fn names_of_files() {
        let long = format!("{}.mp4", "ж".repeat(200));
        for (name, want) in [
            ("film.mp4", Some("film.mp4")),
            ("C:\\Users\\me\\my film.mp4", Some("my film.mp4")),
            ("../../etc/passwd", Some("passwd")),
            ("/media/фильм.mp4", Some("фильм.mp4")),
            (" .hidden.mp4 ", Some("hidden.mp4")),
            (".vidgate", Some("vidgate")),
            ("a\r\nb\0.mp4", Some("a__b_.mp4")),
            ("%2e%2e", Some("%2e%2e")),
            ("", None),
            ("..", None),
            ("a/", None),
            ("\\", None),
            (&long, Some(&format!("{}.mp4", "ж".repeat(125)))),
            (&"x".repeat(300), Some(&"x".repeat(255))),
        ] {
            assert_eq!(key_of_file(name).ok().as_ref().map(ObjectKey::as_str), want, "{name:?}");
        }
    }
}
