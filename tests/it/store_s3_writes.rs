//! What a bucket may answer to what is written, good and bad.

use std::thread;

use vidgate::ErrorKind;
use vidgate::object::ObjectKey;
use vidgate::store::{Condition, S3, Store, Upload};

use crate::support::fake_s3::{FakeS3, Reply};

/// More than one part.
const LONG: usize = 6 * 1024 * 1024;

const LIST: &str = "<ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"/>";
const CREATED: &str = "<InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                       <UploadId>u1</UploadId></InitiateMultipartUploadResult>";
const COMPLETED: &str = "<CompleteMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                         <ETag>\"done-2\"</ETag></CompleteMultipartUploadResult>";

/// What a request is, by its first line.
fn name_of(head: &str) -> &'static str {
    let line = head.lines().next().unwrap_or_default();
    let is_of_object = line.contains("/film.mp4?");
    match line.split(' ').next().unwrap_or_default() {
        "HEAD" if is_of_object => "HeadObject",
        "HEAD" => "HeadBucket",
        "GET" => "ListMultipartUploads",
        "DELETE" if line.contains("uploadId=u1") => "AbortMultipartUpload",
        "POST" if line.contains("uploads=1") => "CreateMultipartUpload",
        "POST" if line.contains("uploadId=u1") => "CompleteMultipartUpload",
        "PUT" if line.contains("partNumber=1&") => "UploadPart 1",
        "PUT" if line.contains("partNumber=2&") => "UploadPart 2",
        "PUT" => "PutObject",
        _ => "nothing that is known",
    }
}

fn answer(status: &str, body: &str) -> Reply {
    Reply::send(&format!("{status}\nContent-Length: {}", body.len()), body.as_bytes())
}

/// What a store that is all right answers.
fn good(name: &str) -> Reply {
    match name {
        "HeadObject" => answer("404 Not Found", ""),
        "HeadBucket" => answer("200 OK", ""),
        "ListMultipartUploads" => answer("200 OK", LIST),
        "AbortMultipartUpload" => Reply::send("204 No Content", b""),
        "CreateMultipartUpload" => answer("200 OK", CREATED),
        "CompleteMultipartUpload" => answer("200 OK", COMPLETED),
        _ => answer("200 OK\nETag: \"part\"", ""),
    }
}

/// Writes an object of so many bytes into a store that answers this request in another way. Gives how that ended, and the requests.
fn write(
    len: usize,
    condition: Condition,
    (odd_name, odd_status, odd_body): (&'static str, &'static str, &'static str),
) -> (Result<u64, ErrorKind>, Vec<&'static str>) {
    let fake = FakeS3::start(move |_, head| match name_of(head) {
        name if name == odd_name => answer(odd_status, odd_body),
        name => good(name),
    });
    let store = S3::new(fake.config()).unwrap();
    let key = ObjectKey::new("film.mp4").unwrap();
    let upload = Upload { key, content_type: None, size_max: 1 << 30, condition };
    let write = || {
        let mut sink = store.begin(&upload)?;
        sink.write(&vec![b'x'; len])?;
        sink.finish()
    };
    let outcome = write().map(|meta| meta.size).map_err(|error| error.kind());
    (outcome, fake.heads().iter().map(|head| name_of(head)).collect())
}

#[test]
fn what_is_asked_when_all_is_well() {
    let as_it_is = ("", "", "");
    let (outcome, asked) = write(10, Condition::None, as_it_is);
    assert_eq!((outcome, &asked[..2]), (Ok(10), &["PutObject", "HeadObject"][..]));
    let (outcome, asked) = write(10, Condition::Absent, as_it_is);
    assert_eq!((outcome, asked), (Ok(10), vec!["HeadObject", "HeadBucket", "PutObject", "HeadObject"]));
    let (outcome, asked) = write(LONG, Condition::None, as_it_is);
    assert_eq!(outcome, Ok(LONG as u64));
    let parts = ["UploadPart 1", "UploadPart 2", "CompleteMultipartUpload"];
    assert_eq!(asked[..5], [&["ListMultipartUploads", "CreateMultipartUpload"], &parts[..]].concat());
    // Where uploads may not be listed, they are made all the same.
    let (outcome, asked) = write(LONG, Condition::None, ("ListMultipartUploads", "403 Forbidden", ""));
    assert_eq!((outcome, &asked[2..5]), (Ok(LONG as u64), &parts[..]));
}

#[test]
fn replies_to_what_is_written_are_checked_and_what_fails_is_aborted() {
    use ErrorKind::{BadKey, PreconditionFailed, UpstreamBusy, UpstreamForbidden, UpstreamUnavailable};
    use {Condition::Absent, Condition::None};
    const DENIED: &str = "<Error><Code>AccessDenied</Code></Error>";
    let rows = [
        (10, None, ("PutObject", "200 OK", ""), UpstreamUnavailable),
        (10, None, ("PutObject", "200 OK\nETag: W/\"a\"", ""), UpstreamUnavailable),
        (10, None, ("PutObject", "403 Forbidden", DENIED), UpstreamForbidden),
        (10, None, ("PutObject", "400 Bad Request", "<Error><Code>KeyTooLongError</Code></Error>"), BadKey),
        (10, None, ("PutObject", "404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>"), UpstreamUnavailable),
        (10, None, ("PutObject", "503 Slow Down", ""), UpstreamBusy),
        (10, None, ("PutObject", "507 Insufficient Storage", ""), UpstreamUnavailable),
        (10, Absent, ("PutObject", "412 Precondition Failed", ""), PreconditionFailed),
        (10, Absent, ("PutObject", "409 Conflict", ""), PreconditionFailed),
        (LONG, None, ("CreateMultipartUpload", "200 OK", LIST), UpstreamUnavailable),
        (LONG, None, ("CreateMultipartUpload", "403 Forbidden", DENIED), UpstreamForbidden),
        (LONG, None, ("UploadPart 1", "200 OK", ""), UpstreamUnavailable),
        (LONG, None, ("UploadPart 2", "507 Insufficient Storage", ""), UpstreamUnavailable),
        (LONG, None, ("UploadPart 2", "404 Not Found", "<Error><Code>NoSuchUpload</Code></Error>"), UpstreamUnavailable),
        (LONG, None, ("CompleteMultipartUpload", "200 OK", ""), UpstreamUnavailable),
        (LONG, None, ("CompleteMultipartUpload", "200 OK", "  <Error><Code>InternalError</Code></Error>"), UpstreamUnavailable),
        (
            LONG,
            Absent,
            ("CompleteMultipartUpload", "200 OK", "<Error><Code>PreconditionFailed</Code></Error>"),
            PreconditionFailed,
        ),
        (LONG, Absent, ("CompleteMultipartUpload", "412 Precondition Failed", ""), PreconditionFailed),
    ];
    // Some of them are tried for seconds.
    thread::scope(|scope| {
        for (len, condition, odd, want) in rows {
            scope.spawn(move || {
                let (outcome, asked) = write(len, condition, odd);
                assert_eq!(outcome, Err(want), "{odd:?}: {asked:?}");
                let is_created = asked.iter().any(|name| name.starts_with("UploadPart"));
                assert_eq!(asked.contains(&"AbortMultipartUpload"), is_created, "{odd:?}: {asked:?}");
                let count = asked.iter().filter(|name| **name == odd.0).count();
                let may_pass = matches!(want, UpstreamUnavailable | UpstreamBusy) && odd.0 != "CreateMultipartUpload";
                assert_eq!(count, if may_pass { 4 } else { 1 }, "{odd:?}: how often it is tried");
            });
        }
    });
}
