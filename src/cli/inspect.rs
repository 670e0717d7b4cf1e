//! `vidgate inspect KEY`: whether a video will play and seek well, and what to do where not.
//!
//! In scope: what the store says of the object, and where its index lies. Not in scope: its codecs, and anything that would need more
//! than a few small reads: only the headers of boxes are read, so a film of any size costs the same.

use crate::mp4::{Layout, Walk};
use crate::object::{ObjectKey, ObjectMeta};
use crate::store::Store;
use crate::{Config, Error, ErrorKind};
use clap::{Arg, ArgMatches, Command};

use super::Stop;
use super::doctor::read_part;
use super::findings::{Finding, Opened, tell};

/// The name of the command.
pub(super) const INSPECT: &str = "inspect";
/// How much is read at once, in bytes: most files have all that is in front of index or film in so much.
const WINDOW_LEN: u64 = 4096;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InspectTask {
    key: String,
}

/// The command.
pub(super) fn command() -> Command {
    Command::new(INSPECT)
        .about("Says whether a video will play and seek well, and what to do where not; exit code 1 then")
        .arg(Arg::new("key").value_name("KEY").required(true).help("The video's key in the store"))
}

impl From<&ArgMatches> for InspectTask {
    fn from(matches: &ArgMatches) -> Self {
        Self { key: matches.get_one::<String>("key").cloned().unwrap_or_default() }
    }
}

impl InspectTask {
    /// Looks at the video and tells what it finds.
    ///
    /// # Errors
    /// [`Stop::Failed`] where there is no such video, the store cannot be asked, or a finding is bad.
    pub(super) fn run(&self, config: &Config) -> Result<(), Stop> {
        let findings = self.look(config).map_err(|error| Stop::Failed(error.chain()))?;
        tell(&findings)
    }

    fn look(&self, config: &Config) -> Result<Vec<Finding>, Error> {
        let key = ObjectKey::new(&self.key)?;
        let opened = Opened::new(&config.store)?;
        let meta = opened.store().head(&key)?;
        let encoding = match opened.bucket() {
            Some(bucket) => bucket.stored_encoding(&key)?,
            None => None,
        };
        let mut findings = vec![size(&meta), content_type(&meta), content_encoding(encoding.as_deref())];
        if meta.size > 0 {
            let (layout, reads) = walk(opened.store(), &meta)?;
            findings.push(index(&meta, layout));
            findings.push(Finding::good("cost", format!("{reads} reads of at most {WINDOW_LEN} bytes")));
        }
        Ok(findings)
    }
}

/// Walks over the file, and says how often it was read.
fn walk(store: &dyn Store, meta: &ObjectMeta) -> Result<(Layout, usize), Error> {
    let mut walk = Walk::new(meta.size);
    let mut reads = 0;
    while let Some(wanted) = walk.wants() {
        let end = wanted.start.saturating_add(WINDOW_LEN).min(meta.size);
        walk.feed(&read_part(store, &meta.id, wanted.start..end)?);
        reads += 1;
    }
    let layout = walk.layout().ok_or_else(|| Error::from(ErrorKind::Internal))?;
    Ok((layout, reads))
}

fn size(meta: &ObjectMeta) -> Finding {
    match meta.size {
        0 => Finding::bad("size", "0 bytes: the object is empty; upload it again"),
        size => Finding::good("size", format!("{size} bytes")),
    }
}

/// The type as viewers get it.
fn content_type(meta: &ObjectMeta) -> Finding {
    let sent = meta.content_type();
    let from = if meta.content_type.as_deref() == Some(sent) { "stored" } else { "by the extension" };
    let is_media = ["video/", "audio/"].iter().any(|kind| sent.starts_with(kind));
    let is_playlist = sent.contains("mpegurl") || sent.contains("dash+xml");
    match sent {
        _ if is_media || is_playlist => Finding::good("content type", format!("{sent} ({from})")),
        "application/octet-stream" => Finding::bad(
            "content type",
            format!("{sent}: browsers do not play that; store it with Content-Type: video/mp4, or name it .mp4"),
        ),
        _ => Finding::note("content type", format!("{sent} ({from}) is none of a video")),
    }
}

fn content_encoding(stored: Option<&str>) -> Finding {
    match stored.map(str::trim) {
        None | Some("" | "identity") => Finding::good("coding", "none is stored"),
        // Left behind by uploads in signed chunks; the bytes are plain.
        Some("aws-chunked") => Finding::note("coding", "aws-chunked is stored, which an uploader left behind"),
        Some(coding) => Finding::bad(
            "coding",
            format!(
                "Content-Encoding: {coding} is stored: the bytes are compressed, and no player can seek in that; upload it plain"
            ),
        ),
    }
}

fn index(meta: &ObjectMeta, layout: Layout) -> Finding {
    const NAME: &str = "index";
    let name = meta.id.key.as_str().rsplit('/').next().unwrap_or_default();
    let remux = format!("ffmpeg -i {name:?} -c copy -movflags +faststart \"new-{}\"", name.replace(['"', '\\', '$', '`'], "_"));
    let is_mp4 = ["video/mp4", "video/quicktime", "audio/mp4", "video/x-m4v"].contains(&meta.content_type());
    match layout {
        Layout::IndexFirst { .. } | Layout::Fragmented => {
            Finding::good(NAME, format!("{layout}: it plays at once and seeks well"))
        }
        Layout::IndexLast { .. } => {
            Finding::bad(NAME, format!("{layout}: players must ask for the end before they begin; fix: {remux}"))
        }
        Layout::NoIndex => {
            Finding::bad(NAME, format!("{layout}: the recording was not finished or the upload broke off; no player plays it"))
        }
        Layout::NoFilm | Layout::CutShort { .. } | Layout::Broken { .. } => {
            Finding::bad(NAME, format!("{layout}: upload it again; where the original is so too, try {remux}"))
        }
        Layout::NotMp4 if is_mp4 => {
            Finding::bad(NAME, format!("{layout}, though its type says so; store its own type, or make one: {remux}"))
        }
        Layout::NotMp4 => Finding::note(NAME, format!("{layout}; of others the layout is not looked at")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use crate::object::{ETag, ObjectId};

    use super::super::findings::Verdict;
    use super::*;

    fn meta(key: &str, size: u64, content_type: Option<&str>) -> ObjectMeta {
        let id = ObjectId { key: ObjectKey::new(key).unwrap(), etag: ETag::from_store("v").unwrap() };
        let content_type = content_type.map(str::to_owned);
        ObjectMeta { id, size, last_modified: SystemTime::UNIX_EPOCH, content_type, cache_control: None }
    }

    #[track_caller]
    fn check(finding: &Finding, verdict: Verdict, part: &str) {
        assert_eq!(finding.verdict, verdict, "{finding}");
        assert!(finding.text.contains(part), "{finding}");
    }

    #[test]
    fn sizes_types_and_codings() {
        check(&size(&meta("a", 0, None)), Verdict::Bad, "empty");
        check(&size(&meta("a", 7, None)), Verdict::Good, "7 bytes");
        check(&content_type(&meta("a.mp4", 1, None)), Verdict::Good, "video/mp4 (by the extension)");
        check(&content_type(&meta("a", 1, Some("video/webm"))), Verdict::Good, "video/webm (stored)");
        check(&content_type(&meta("a", 1, Some("application/octet-stream"))), Verdict::Bad, "name it .mp4");
        check(&content_type(&meta("a.mp4", 1, Some("text/plain"))), Verdict::Note, "text/plain");
        for plain in [None, Some(""), Some("identity")] {
            check(&content_encoding(plain), Verdict::Good, "none");
        }
        check(&content_encoding(Some("aws-chunked")), Verdict::Note, "aws-chunked");
        check(&content_encoding(Some("gzip")), Verdict::Bad, "gzip");
    }

    #[test]
    fn each_layout_has_its_verdict_and_its_fix() {
        let film = meta("a/film.mp4", 9, None);
        check(&index(&film, Layout::IndexFirst { index_len: 9 }), Verdict::Good, "plays at once");
        check(&index(&film, Layout::Fragmented), Verdict::Good, "plays at once");
        let last = Layout::IndexLast { index_at: 5, index_len: 4 };
        check(&index(&film, last), Verdict::Bad, "ffmpeg -i \"film.mp4\" -c copy -movflags +faststart \"new-film.mp4\"");
        for bad in
            [Layout::NoIndex, Layout::NoFilm, Layout::Broken { at: 1 }, Layout::CutShort { kind: *b"mdat", missing_len: 1 }]
        {
            check(&index(&film, bad), Verdict::Bad, "");
        }
        check(&index(&film, Layout::NotMp4), Verdict::Bad, "its type says so");
        check(&index(&meta("a.webm", 9, None), Layout::NotMp4), Verdict::Note, "not looked at");
    }
}
