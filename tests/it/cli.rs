//! The command line of the real program, as far as it gets without listening.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use vidgate::config::SETTINGS;

/// The program with nothing in its environment, in an empty directory of its own.
pub(crate) fn vidgate(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vidgate"));
    command.env_clear().current_dir(dir).stdin(Stdio::null());
    command
}

/// What a run that ends by itself said.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

#[track_caller]
fn run(dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let output = vidgate(dir).args(arguments).envs(environment.iter().copied()).output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Asserts that a run refuses its configuration with exactly these problems.
#[track_caller]
fn check_bad(dir: &Path, arguments: &[&str], environment: &[(&str, &str)], want: &[&str]) {
    let said = run(dir, arguments, environment);
    let count = if want.len() == 1 { "1 problem".to_owned() } else { format!("{} problems", want.len()) };
    assert_eq!(said.stderr, format!("vidgate: bad configuration, {count}:\n  {}\n", want.join("\n  ")));
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
}

const NO_PORT: &str = "expected a port number, 0 to 65535 (0 picks a free one)";
const NO_STORE: &str = "AWS_BUCKET_NAME or VIDGATE_DIR: neither is set, and there is no directory ./samples; expected a bucket or a \
                        directory";

#[test]
fn help_on_every_level_names_every_setting_and_its_default() {
    let dir = TempDir::new().unwrap();
    for arguments in [&["--help"][..], &["-h"], &["serve", "--help"], &["serve", "-h"], &["url", "--help"], &["token", "-h"]] {
        let said = run(dir.path(), arguments, &[("PORT", "bad, but help is asked for")]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        for setting in SETTINGS {
            let flag = format!(" --{} ", setting.flag);
            let line =
                said.stdout.lines().find(|line| line.contains(&flag)).unwrap_or_else(|| panic!("no{flag}in {arguments:?}"));
            assert!(setting.variables.iter().all(|variable| line.contains(variable)), "{line}");
            assert!(line.contains(", default "), "{line}");
        }
        for heading in
            ["Listening:", "Store:", "Credentials:", "Streaming:", "Limits:", "Signed URLs and tokens:", "CORS:", "Logs:"]
        {
            assert_eq!(said.stdout.lines().filter(|line| *line == heading).count(), 1, "{heading} in {arguments:?}");
        }
    }
}

#[test]
fn version_on_every_level() {
    let dir = TempDir::new().unwrap();
    for arguments in [&["--version"][..], &["-V"], &["serve", "--version"], &["serve", "-V"]] {
        let said = run(dir.path(), arguments, &[]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert_eq!(said.stdout, concat!("vidgate ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}

#[test]
fn a_bad_command_line_is_code_2_and_goes_to_standard_error() {
    let dir = TempDir::new().unwrap();
    for arguments in
        [&["film.mp4"][..], &["--colour", "red"], &["serve", "film.mp4"], &["--port"], &["--secret-acess-key=hunter2"]]
    {
        let said = run(dir.path(), arguments, &[]);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(said.stderr.starts_with("error: ") && !said.stderr.contains("hunter2"), "{}", said.stderr);
    }
}

#[test]
fn a_bad_configuration_is_told_at_once_and_without_secrets() {
    let dir = TempDir::new().unwrap();
    let environment = [
        ("PORT", "x"),
        ("AWS_BUCKET_NAME", "videos"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2 "),
        ("AWS_SESSION_TOKEN", "hunter 3"),
        ("VIDGATE_LOG", "loud"),
        ("VIDGATE_CHUNKSIZE", "1MiB"),
    ];
    let want = [
        "VIDGATE_CHUNKSIZE: no such setting; did you mean VIDGATE_CHUNK_SIZE?",
        &format!("PORT = \"x\": {NO_PORT}"),
        "AWS_SECRET_ACCESS_KEY = <redacted>: expected visible ASCII characters without spaces",
        "AWS_SESSION_TOKEN = <redacted>: expected visible ASCII characters without spaces",
        "--idle-timeout = \"5\": expected a duration with its unit (ms, s, m or h), such as 500ms or 30s: a bare number has none",
        "VIDGATE_LOG = \"loud\": expected one of off, error, warn, info, debug, trace",
        "AWS_REGION: not set; expected the region of the bucket, or AWS_ENDPOINT_URL_S3 for a store other than AWS",
        "AWS_ACCESS_KEY_ID: not set; expected the access key of the bucket",
    ];
    check_bad(dir.path(), &["--idle-timeout", "5"], &environment, &want);
    check_bad(dir.path(), &["serve", "--idle-timeout", "5"], &environment, &want);
}

#[test]
fn without_anything_to_serve_it_says_what_to_set() {
    let dir = TempDir::new().unwrap();
    check_bad(dir.path(), &[], &[], &[NO_STORE]);
    check_bad(dir.path(), &["--dir", "gone"], &[], &["--dir = \"gone\": expected a directory that exists"]);
    fs::write(dir.path().join("file"), "").unwrap();
    check_bad(dir.path(), &[], &[("VIDGATE_DIR", "file")], &["VIDGATE_DIR = \"file\": expected a directory that exists"]);
}

#[test]
fn the_file_of_the_working_directory_is_the_weakest_layer() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("samples")).unwrap();
    fs::write(dir.path().join(".env"), "PORT=file\n").unwrap();
    check_bad(dir.path(), &[], &[], &[&format!("PORT (.env) = \"file\": {NO_PORT}")]);
    check_bad(dir.path(), &[], &[("PORT", "")], &[&format!("PORT (.env) = \"file\": {NO_PORT}")]);
    check_bad(dir.path(), &[], &[("PORT", "env")], &[&format!("PORT = \"env\": {NO_PORT}")]);
    check_bad(dir.path(), &["--port", "flag"], &[("PORT", "env")], &[&format!("--port = \"flag\": {NO_PORT}")]);
    // Only that of the working directory itself: none above it is looked for.
    check_bad(&dir.path().join("samples"), &[], &[], &[NO_STORE]);
}

#[test]
fn a_broken_file_is_told_with_its_line() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("samples")).unwrap();
    fs::write(dir.path().join(".env"), "# ours\nHOST=localhost\nhunter2\nVIDGATE_LOGS=x\nMY_OWN=y\n").unwrap();
    let line = ".env line 3: expected NAME=value, a value with spaces in quotes, in UTF-8";
    check_bad(dir.path(), &[], &[], &[line, "VIDGATE_LOGS (.env): no such setting; did you mean VIDGATE_LOG?"]);
    // A directory can be opened, but not read.
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join(".env")).unwrap();
    let said = run(dir.path(), &[], &[]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("\n  .env: cannot be read: "), "{}", said.stderr);
}
