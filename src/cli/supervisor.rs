//! What a supervisor is told: systemd, or another that follows `sd_notify`(3).
//!
//! In scope: that we listen, that we live, that we end. Not in scope: when each of these is so. Where nobody wants to know, nothing is
//! said, and a supervisor that does not hear is no reason not to serve.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that names the supervisor's socket.
pub(super) const VARIABLE: &str = "NOTIFY_SOCKET";

/// The supervisor, where there is one.
pub(super) struct Supervisor(Option<UnixDatagram>);

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Connections are accepted.
    Ready,
    /// Door and dispatcher work.
    Alive,
    /// No connections are accepted any more.
    Stopping,
}

impl Supervisor {
    /// The supervisor that this value of [`VARIABLE`] names: a path, or `@` and an abstract name.
    pub(super) fn new(socket: Option<&OsStr>) -> Self {
        Self(socket.and_then(|name| connect(name).inspect_err(|error| log::warn!("{VARIABLE}: {error}")).ok()))
    }

    /// Tells it.
    pub(super) fn tell(&self, state: State) {
        let text: &[u8] = match state {
            State::Ready => b"READY=1",
            State::Alive => b"WATCHDOG=1",
            State::Stopping => b"STOPPING=1",
        };
        if let Some(Err(error)) = self.0.as_ref().map(|socket| socket.send(text)) {
            log::debug!("{VARIABLE}: {error}");
        }
    }
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match name.as_bytes() {
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => socket.connect(name)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(supervisor: &Supervisor, heard: &UnixDatagram) {
        for (state, want) in [(State::Ready, "READY=1"), (State::Alive, "WATCHDOG=1"), (State::Stopping, "STOPPING=1")] {
            supervisor.tell(state);
            let mut text = [0; 64];
            let len = heard.recv(&mut text).unwrap();
            assert_eq!(std::str::from_utf8(&text[..len]), Ok(want));
        }
    }

    #[test]
    fn a_supervisor_is_told_by_a_path_or_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        check(&Supervisor::new(Some(path.as_os_str())), &heard);
        let name = format!("vidgate-test-{}", std::process::id());
        let heard = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        check(&Supervisor::new(Some(OsStr::new(&format!("@{name}")))), &heard);
    }

    #[test]
    fn nobody_who_listens_is_nothing_that_fails() {
        for nobody in [None, Some("/nowhere/at/all"), Some("@vidgate-nobody"), Some("")] {
            Supervisor::new(nobody.map(OsStr::new)).tell(State::Ready);
        }
    }
}
