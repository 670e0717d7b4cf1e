//! Checking a page of a listing.
//!
//! In scope: what a reply to ListObjectsV2 must look like. Not in scope: asking for it.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rusty_s3::actions::ListObjectsV2;
use rusty_s3::actions::list_objects_v2::ListObjectsContent;

use super::reply::Request;
use crate::error::Error;
use crate::object::{ETag, ObjectKey};
use crate::store::{ListEntry, ListPage, ListQuery};

/// Makes a page of the listing's XML.
///
/// # Errors
/// [`UpstreamUnavailable`](crate::ErrorKind::UpstreamUnavailable) where it is no listing, lacks what an entry needs, or holds
/// what was not asked for: a page that does not go on in ascending order would be asked for again and again.
pub(super) fn check_page(request: &Request, xml: &str, query: &ListQuery) -> Result<ListPage, Error> {
    // What the parser says of it may repeat any part of it.
    let parsed = ListObjectsV2::parse_response(xml).map_err(|_| request.nonsense("a listing that cannot be parsed"))?;
    if parsed.contents.len() > query.limit {
        return Err(request.nonsense(&format!("a listing of {} where {} was the limit", parsed.contents.len(), query.limit)));
    }
    let mut entries = Vec::with_capacity(parsed.contents.len());
    let mut last = query.after.clone();
    for content in parsed.contents {
        let raw = content.key.clone();
        if last.as_deref().is_some_and(|last| raw.as_str() <= last) || !raw.starts_with(&query.prefix) {
            return Err(request.nonsense(&format!("{raw:?} out of the order of the listing")));
        }
        // Folders, for one, are objects whose key ends with a slash.
        if let Ok(key) = ObjectKey::new(&raw) {
            entries.push(check_entry(request, key, &content)?);
        }
        last = Some(raw);
    }
    // What the next page comes after is the last key of this one, left out or not.
    let next = match parsed.next_continuation_token {
        None => None,
        Some(_) if last == query.after => return Err(request.nonsense("an empty page that is not the last")),
        Some(_) => last,
    };
    Ok(ListPage { entries, next })
}

/// A name of ours in a listing, which is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// All of it.
    pub(super) name: String,
    /// How many bytes it has.
    pub(super) size: u64,
    /// When it was written.
    pub(super) last_modified: SystemTime,
}

/// The names of a listing's page that start so and come behind `after`, and whether there are more.
///
/// # Errors
/// As [`check_page`].
pub(super) fn check_names(request: &Request, xml: &str, prefix: &str, after: &str) -> Result<(Vec<Named>, bool), Error> {
    let parsed = ListObjectsV2::parse_response(xml).map_err(|_| request.nonsense("a listing that cannot be parsed"))?;
    let mut names: Vec<Named> = Vec::with_capacity(parsed.contents.len());
    for content in parsed.contents {
        let last = names.last().map_or(after, |last| last.name.as_str());
        if content.key.as_str() <= last || !content.key.starts_with(prefix) {
            return Err(request.nonsense(&format!("{:?} out of the order of the listing", content.key)));
        }
        let last_modified = content.last_modified.as_deref().and_then(parse_time);
        let (Some(size), Some(last_modified)) = (content.size, last_modified) else {
            return Err(request.nonsense(&format!("an entry without a size or a time: {:?}", content.key)));
        };
        names.push(Named { name: content.key, size, last_modified });
    }
    let has_more = parsed.next_continuation_token.is_some();
    if has_more && names.is_empty() {
        return Err(request.nonsense("an empty page that is not the last"));
    }
    Ok((names, has_more))
}

fn check_entry(request: &Request, key: ObjectKey, content: &ListObjectsContent) -> Result<ListEntry, Error> {
    let lacks = |what: &str| request.nonsense(&format!("an entry without {what}: {key:?}"));
    let etag = ETag::from_store(content.etag.as_deref().unwrap_or(""))?;
    let size = content.size.ok_or_else(|| lacks("a size"))?;
    let last_modified = content.last_modified.as_deref().and_then(parse_time).ok_or_else(|| lacks("a time"))?;
    Ok(ListEntry { key, etag, size, last_modified })
}

/// ISO 8601 as S3 writes it; to the second, as HEAD has it.
fn parse_time(text: &str) -> Option<SystemTime> {
    let since_s = u64::try_from(text.parse::<Timestamp>().ok()?.as_second()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since_s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn entry(key: &str) -> String {
        let rest = "<LastModified>2020-12-01T20:43:11.794Z</LastModified><ETag>\"abc\"</ETag><Size>7</Size>";
        format!("<Contents><Key>{key}</Key>{rest}</Contents>")
    }

    fn page(more: bool, contents: &str) -> String {
        let token = if more { "<NextContinuationToken>t</NextContinuationToken>" } else { "" };
        format!(
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><EncodingType>url</EncodingType>\
             <IsTruncated>{more}</IsTruncated>{token}{contents}</ListBucketResult>"
        )
    }

    /// Checks the keys and `next` of a page of at most 3 keys behind `b`; `None` is nonsense.
    #[track_caller]
    fn check(xml: &str, want: Option<(&[&str], Option<&str>)>) {
        let query = ListQuery { prefix: String::new(), after: Some("b".to_owned()), limit: 3 };
        let request = Request::new("LIST", "the bucket", "films");
        match (check_page(&request, xml, &query), want) {
            (Ok(page), Some((keys, next))) => {
                assert_eq!(page.entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), keys);
                assert_eq!(page.next.as_deref(), next);
            }
            (Err(error), None) => assert_eq!(error.kind(), ErrorKind::UpstreamUnavailable),
            (got, _) => panic!("{got:?}"),
        }
    }

    #[test]
    fn pages() {
        check(&page(false, ""), Some((&[], None)));
        check(&page(false, &entry("c")), Some((&["c"], None)));
        check(&page(true, &(entry("c") + &entry("d+%2B"))), Some((&["c", "d +"], Some("d +"))));
        // A key that is none of ours is left out, but the next page goes on behind it.
        check(&page(true, &(entry("c") + &entry("d/"))), Some((&["c"], Some("d/"))));
        check(&page(true, &entry("d/")), Some((&[], Some("d/"))));
        check(&page(false, "<CommonPrefixes><Prefix>x/</Prefix></CommonPrefixes>"), Some((&[], None)));

        check(&page(true, ""), None);
        check(&page(false, &entry("a")), None);
        check(&page(false, &entry("b")), None);
        check(&page(false, &(entry("d") + &entry("c"))), None);
        check(&page(false, &(entry("c") + &entry("c"))), None);
        check(&page(false, &["c", "d", "e", "f"].map(entry).concat()), None);
        for cut in ["<Size>7</Size>", "<ETag>\"abc\"</ETag>", "<LastModified>2020-12-01T20:43:11.794Z</LastModified>"] {
            check(&page(false, &entry("c").replace(cut, "")), None);
        }
        check(&page(false, &entry("c").replace("2020", "once")), None);
        check(&page(false, &entry("c").replace(">7<", ">-7<")), None);
        check(&page(false, &entry("c").replace("\"abc\"", "W/\"abc\"")), None);
        check("", None);
        check("<html><body>captive portal</body></html>", None);
        check(&page(false, &entry("c"))[..200], None);
    }

    #[test]
    fn times() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(parse_time("2020-12-01T20:43:11.794Z"), at(1_606_855_391));
        assert_eq!(parse_time("2020-12-01T20:43:11Z"), at(1_606_855_391));
        assert_eq!(parse_time("1970-01-01T00:00:00.000Z"), at(0));
        for bad in ["", "2020-12-01", "2020-13-01T20:43:11Z", "1969-12-31T23:59:58Z", "yesterday"] {
            assert_eq!(parse_time(bad), None, "{bad:?}");
        }
    }
}
