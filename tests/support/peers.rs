//! Other people's tools: botocore, the signer of AWS for JavaScript, `PyJWT`, jose, tuspy, tus-js-client and openssl, as `tests/install.sh` pins them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// botocore, `PyJWT` and tuspy.
    Python,
    /// @aws-sdk/cloudfront-signer, jose and tus-js-client.
    Node,
}

/// Asks a peer to `sign`, `mint` or `read` all of these.
///
/// # Panics
/// Where it cannot, saying what it said.
#[track_caller]
pub(crate) fn ask(peer: Peer, what: &str, items: &Value) -> Vec<Value> {
    let answer = run(script(peer, "peers").arg(what), items.to_string().as_bytes());
    serde_json::from_slice(&answer).expect("the peer answers in JSON")
}

/// Lets tuspy or tus-js-client upload a file to this endpoint, as an object of this key.
///
/// # Panics
/// Where it gives up, saying what it said.
#[track_caller]
pub(crate) fn upload(peer: Peer, endpoint: &str, file: &Path, key: &str, token: &str) {
    run(script(peer, "upload").arg(endpoint).arg(file).args([key, token]), b"");
}

/// A script of the peer's in tests/peers.
fn script(peer: Peer, name: &str) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let (program, ending) = match peer {
        Peer::Python => (cache().join("python/bin/python"), "py"),
        Peer::Node => ("node".into(), "mjs"),
    };
    let needed = if peer == Peer::Python { program.clone() } else { folder.join("node_modules") };
    assert!(needed.exists(), "{} is missing: tests/install.sh makes it", needed.display());
    let mut command = Command::new(program);
    command.arg(folder.join(name).with_extension(ending));
    command
}

/// Runs `openssl` with these arguments, and gives what it wrote.
#[track_caller]
pub(crate) fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    run(Command::new("openssl").args(arguments), input)
}

#[track_caller]
fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; tests/install.sh says what is missing"));
    // All of it is read before anything is answered, and more than a pipe holds is not asked in one go.
    child.stdin.take().expect("piped").write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn cache() -> PathBuf {
    let home = || Path::new(&std::env::var_os("HOME").expect("HOME is set")).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("vidgate")
}
