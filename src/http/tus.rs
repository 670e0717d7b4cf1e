//! The tus protocol for resumable uploads, version 1.0.0 (tus.io, "Resumable upload protocol").
//!
//! In scope: what the fields of a request say, and the fields that say what this server can do. Not in scope: what is done
//! (`serve/resumable`), and checksums (`checksum`).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::error::{Error, ErrorKind};
use crate::http::head::Fields;
use crate::http::response::Response;
use crate::http::{checksum, upload};
use crate::object::ObjectKey;

/// The version of the protocol.
pub const VERSION: &str = "1.0.0";
/// What is known besides its core.
pub const EXTENSIONS: &str = "creation,creation-with-upload,expiration,termination,checksum";
/// The media type of bytes for an offset.
pub const CONTENT_TYPE: &str = "application/offset+octet-stream";

/// The longest `Upload-Metadata`, in bytes.
const METADATA_LEN_MAX: usize = 16 * 1024;
/// The most pairs in it.
const PAIRS_MAX: usize = 100;

/// Whether the request is of the version that is known here.
///
/// # Errors
/// [`ErrorKind::PreconditionFailed`], as "Tus-Resumable" says, also where the field is missing.
pub fn check_version(fields: &Fields) -> Result<(), Error> {
    match fields.get("tus-resumable").map(str::trim) {
        Some(VERSION) => Ok(()),
        _ => Err(Error::new(ErrorKind::PreconditionFailed, format!("Tus-Resumable must be {VERSION}"))),
    }
}

/// `Upload-Length`: how long the upload will be. That it is told later ("creation-defer-length") is not known here.
///
/// # Errors
/// [`ErrorKind::BadRequest`] where it is missing or no number.
pub fn length(fields: &Fields) -> Result<u64, Error> {
    number(fields, "upload-length", "Upload-Length")
}

/// `Upload-Offset`: where the bytes of this request begin.
///
/// # Errors
/// [`ErrorKind::BadRequest`] where it is missing or no number.
pub fn offset(fields: &Fields) -> Result<u64, Error> {
    number(fields, "upload-offset", "Upload-Offset")
}

fn number(fields: &Fields, name: &str, shown: &str) -> Result<u64, Error> {
    let text = fields.get(name).map(str::trim).filter(|text| !text.is_empty());
    let digits = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| Error::new(ErrorKind::BadRequest, format!("{shown} must be there and be a whole number of bytes")))
}

/// Whether the body has bytes for an offset.
///
/// # Errors
/// [`ErrorKind::UnsupportedMediaType`] where it says otherwise.
pub fn check_content_type(fields: &Fields) -> Result<(), Error> {
    match fields.get("content-type").map(str::trim) {
        Some(given) if given.eq_ignore_ascii_case(CONTENT_TYPE) => Ok(()),
        _ => Err(Error::new(ErrorKind::UnsupportedMediaType, format!("Content-Type must be {CONTENT_TYPE}"))),
    }
}

/// What a client says of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The field as it came.
    pub text: String,
    /// What the upload becomes.
    pub key: ObjectKey,
    /// Its media type, where one is given that says anything.
    pub content_type: Option<String>,
}

impl Metadata {
    /// `Upload-Metadata`: pairs of a name and a value in Base64. `key` is the object's key; without one it is made of `filename`, as
    /// that of a form is. `filetype` is the media type. Some clients say `name` and `type`.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] where it is malformed, [`ErrorKind::BadKey`] where it has no key and nothing to make one of.
    pub fn of(fields: &Fields) -> Result<Self, Error> {
        let text = fields.get("upload-metadata").unwrap_or_default().trim();
        if text.len() > METADATA_LEN_MAX || text.split(',').count() > PAIRS_MAX {
            return Err(malformed("Upload-Metadata is too long"));
        }
        let mut pairs: Vec<(&str, String)> = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|_| !text.is_empty()) {
            let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_name || pairs.iter().any(|(known, _)| *known == name) {
                return Err(malformed("Upload-Metadata is not a list of names, each once, with their values"));
            }
            pairs.push((name, decode(value.trim())?));
        }
        let get = |names: [&str; 2]| {
            let value = |wanted: &str| pairs.iter().find(|(name, value)| *name == wanted && !value.is_empty());
            names.into_iter().find_map(value).map(|(_, value)| value.as_str())
        };
        let key = match get(["key", "key"]) {
            Some(key) => ObjectKey::new(key)?,
            None => upload::key_of_file(get(["filename", "name"]).unwrap_or_default())?,
        };
        Ok(Self { text: text.to_owned(), key, content_type: upload::content_type(get(["filetype", "type"])) })
    }
}

/// A value of the metadata: Base64, whose padding some clients leave away.
fn decode(value: &str) -> Result<String, Error> {
    let bytes = STANDARD.decode(value).or_else(|_| STANDARD_NO_PAD.decode(value));
    let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| malformed("a value of Upload-Metadata is not UTF-8 in Base64"))
}

fn malformed(why: &str) -> Error {
    Error::new(ErrorKind::BadRequest, why)
}

/// The method that a request stands for: that of `X-HTTP-Method-Override`, for those whose surroundings know no others than GET and
/// POST. Its answer must have the form of one to a POST, so HEAD cannot be stood for.
pub fn method(method: &str, fields: &Fields) -> Option<&'static str> {
    let wanted = fields.get("x-http-method-override").filter(|_| method == "POST")?.trim();
    ["PATCH", "DELETE"].into_iter().find(|known| *known == wanted)
}

/// Whether a path is one of those that this protocol is spoken at.
pub fn is_path(path: &str) -> bool {
    path == PATH || path.strip_prefix(PATH).is_some_and(|rest| rest.starts_with('/'))
}

/// Where uploads are made.
pub const PATH: &str = "/api/uploads";

/// Says what this server can do, for an answer to OPTIONS.
pub fn describe(response: &mut Response, len_max: u64) {
    response.field("Tus-Version", VERSION);
    response.field("Tus-Extension", EXTENSIONS);
    response.field("Tus-Max-Size", &len_max.to_string());
    response.field("Tus-Checksum-Algorithm", checksum::ALGORITHMS);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &str, value: Option<&str>) -> Fields {
        value.map(|value| (name, value)).into_iter().collect()
    }

    #[test]
    fn versions() {
        let status = |value| check_version(&fields("tus-resumable", value)).map_err(|error| error.kind().status());
        assert_eq!(status(Some("1.0.0")), Ok(()));
        assert_eq!(status(Some(" 1.0.0 ")), Ok(()));
        for bad in [None, Some(""), Some("1.0"), Some("0.2.2"), Some("1.0.0, 1.0.0"), Some("1.0.1")] {
            assert_eq!(status(bad), Err(412), "{bad:?}");
        }
    }

    #[test]
    fn numbers() {
        let read = |value| (length(&fields("upload-length", value)).ok(), offset(&fields("upload-offset", value)).ok());
        for (text, want) in [("0", 0), ("007", 7), (" 12 ", 12), ("18446744073709551615", u64::MAX)] {
            assert_eq!(read(Some(text)), (Some(want), Some(want)), "{text}");
        }
        for bad in ["", " ", "-1", "+1", "1.0", "1e3", "0x1", "1, 1", "18446744073709551616", "one", "\u{661}"] {
            assert_eq!(read(Some(bad)), (None, None), "{bad:?}");
        }
        assert_eq!(read(None), (None, None));
    }

    #[test]
    fn media_types() {
        let is_good = |value| check_content_type(&fields("content-type", value)).is_ok();
        assert!(is_good(Some("application/offset+octet-stream")) && is_good(Some(" Application/Offset+Octet-Stream")));
        for bad in [None, Some(""), Some("application/octet-stream"), Some("application/offset+octet-stream; x=y")] {
            assert!(!is_good(bad), "{bad:?}");
        }
    }

    #[track_caller]
    fn check(text: Option<&str>, want: Result<(&str, Option<&str>), u16>) {
        let got = Metadata::of(&fields("upload-metadata", text)).map_err(|error| error.kind().status());
        let shown = got.as_ref().map(|got| (got.key.as_str(), got.content_type.as_deref())).map_err(|status| *status);
        assert_eq!(shown, want, "{text:?}");
        if let Ok(got) = got {
            assert_eq!(Some(got.text.as_str()), text.map(str::trim));
        }
    }

    #[test]
    fn metadata() {
        // film.mp4, a/b.mp4, video/mp4, фильм.mp4
        const FILM: &str = "ZmlsbS5tcDQ=";
        const KEY: &str = "YS9iLm1wNA==";
        const TYPE: &str = "dmlkZW8vbXA0";
        check(Some(&format!("filename {FILM}")), Ok(("film.mp4", None)));
        check(Some(&format!(" filename {FILM},filetype {TYPE} ")), Ok(("film.mp4", Some("video/mp4"))));
        check(Some(&format!("name {FILM}, type {TYPE},is_confidential")), Ok(("film.mp4", Some("video/mp4"))));
        check(Some(&format!("filename {FILM},key {KEY}")), Ok(("a/b.mp4", None)));
        check(Some(&format!("key,filename {FILM},filetype ")), Ok(("film.mp4", None)));
        check(Some("filename ZmlsbS5tcDQ"), Ok(("film.mp4", None)));
        check(Some("filename 0YTQuNC70YzQvC5tcDQ="), Ok(("фильм.mp4", None)));
        // ../../etc/passwd as a file name is made safe, as a key it is refused.
        check(Some("filename Li4vLi4vZXRjL3Bhc3N3ZA=="), Ok(("passwd", None)));
        check(Some("key Li4vLi4vZXRjL3Bhc3N3ZA=="), Err(400));
        // .vidgate/uploads/x
        check(Some("key LnZpZGdhdGUvdXBsb2Fkcy94"), Err(400));
        // text/html\r\nX: y says nothing that could be stored.
        check(Some(&format!("filename {FILM},filetype dGV4dC9odG1sDQpYOiB5")), Ok(("film.mp4", None)));
        for bad in [
            None,
            Some(""),
            Some(","),
            Some("filename"),
            Some("filename !"),
            Some("filename /w=="),
            Some("filename ZmlsbS5tcDQ=,,"),
            Some("filename ZmlsbS5tcDQ= x"),
            Some("filename ZmlsbS5tcDQ=,filename ZmlsbS5tcDQ="),
            Some("other ZmlsbS5tcDQ="),
            Some("filename Li4="),
            Some(" ZmlsbS5tcDQ="),
            Some(&"a,".repeat(200)),
            Some(&format!("filename {}", "A".repeat(METADATA_LEN_MAX))),
        ] {
            check(bad, Err(400));
        }
    }

    #[test]
    fn methods_and_paths() {
        let stands_for = |given: &str, wanted: Option<&str>| method(given, &fields("x-http-method-override", wanted));
        assert_eq!(stands_for("POST", Some("PATCH")), Some("PATCH"));
        assert_eq!(stands_for("POST", Some(" DELETE ")), Some("DELETE"));
        for (given, wanted) in
            [("POST", None), ("POST", Some("HEAD")), ("POST", Some("patch")), ("GET", Some("DELETE")), ("PUT", Some("PATCH"))]
        {
            assert_eq!(stands_for(given, wanted), None, "{given} {wanted:?}");
        }
        for (path, want) in
            [("/api/uploads", true), ("/api/uploads/", true), ("/api/uploads/a", true), ("/api/uploadsx", false), ("/", false)]
        {
            assert_eq!(is_path(path), want, "{path}");
        }
    }
}
