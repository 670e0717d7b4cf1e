//! Sockets on the poller.
//!
//! In scope: registering a socket for its whole life, and what is done to one without blocking. With `store/s3/low_water.rs` and
//! `cli/scheduling.rs` the only file that has `unsafe` in it. Not in scope: what is read and written.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use polling::{AsRawSource, AsSource, Event, Poller};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

/// A socket that is registered with the poller from its first moment to its last. It is registered for no event; interest is
/// asked for one event at a time.
pub(crate) struct Registered<S: AsSource> {
    socket: S,
    poller: Arc<Poller>,
    key: usize,
}

impl<S: AsSource> Registered<S>
where
    for<'s> &'s S: AsRawSource,
{
    /// Registers a socket that is in non-blocking mode; its events will carry `key`.
    pub(crate) fn new(socket: S, poller: &Arc<Poller>, key: usize) -> io::Result<Self> {
        // SAFETY: `add` asks that the source be deleted from the poller before it is dropped. The socket is owned by the value
        // returned here, is given away by none of its methods, and is deleted in its `drop`, before the fields are dropped;
        // the poller is alive then, for the value holds an `Arc` of it.
        unsafe { poller.add(&socket, Event::none(key))? };
        Ok(Self { socket, poller: Arc::clone(poller), key })
    }
}

impl<S: AsSource> Registered<S> {
    /// Asks for one event when there is something to read, or the peer is gone.
    pub(crate) fn want_read(&self) -> io::Result<()> {
        self.poller.modify(&self.socket, Event::readable(self.key))
    }

    /// Asks for one event when the peer is gone, and for no other.
    pub(crate) fn want_nothing(&self) -> io::Result<()> {
        self.poller.modify(&self.socket, Event::none(self.key))
    }

    /// Asks for one event when there is room to write, or the peer is gone.
    pub(crate) fn want_write(&self) -> io::Result<()> {
        self.poller.modify(&self.socket, Event::writable(self.key))
    }
}

impl<S: AsSource> Deref for Registered<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.socket
    }
}

impl<S: AsSource> Drop for Registered<S> {
    fn drop(&mut self) {
        // An error says that it is not registered, which is what is wanted.
        let _ = self.poller.delete(&self.socket);
    }
}

/// Sets how many bytes the socket may hold that are not on their way yet. What is on its way the kernel bounds by itself, by what
/// the path and the client take; so a slow client holds little, and a fast one over a long path is held back by nothing (tcp(7),
/// `TCP_NOTSENT_LOWAT`). Where the system cannot do this, nothing is set.
pub(crate) fn set_not_sent_max(socket: impl AsFd, len: usize) {
    #[cfg(target_os = "linux")]
    {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        // It fails for a socket that is no longer one, which the next call to it tells as well.
        let _ = socket2::SockRef::from(&socket.as_fd()).set_tcp_notsent_lowat(len);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, len);
}

/// Whether the peer has reset the connection. That it sends no more is not that: it may still read.
pub(crate) fn is_reset(socket: impl AsFd) -> bool {
    // SO_ERROR tells of an error that came since, and takes it away: the next call on the socket fails all the same.
    !matches!(rustix::net::sockopt::socket_error(socket), Ok(Ok(())))
}

/// Whether the socket has room, by the kernel's own measure of it, by which the poller tells as well.
pub(crate) fn has_room(socket: impl AsFd) -> bool {
    let mut asked = [PollFd::new(&socket, PollFlags::OUT)];
    // Where it cannot be said, sending will tell.
    poll(&mut asked, Some(&Timespec::default())).map_or(true, |_| !asked[0].revents().is_empty())
}

/// What came of reading without blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The peer sends no more.
    End,
    /// Nothing now.
    Nothing,
}

/// Reads what is there.
pub(crate) fn receive(socket: impl AsFd, buf: &mut [u8]) -> io::Result<Received> {
    loop {
        return match rustix::net::recv(&socket, &mut *buf, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Ok(Received::End),
            Ok((len, _)) => Ok(Received::Bytes(len)),
            Err(Errno::INTR) => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) => Err(error.into()),
        };
    }
}

/// Waits until there is something to read, or the peer is gone, at most so long.
pub(crate) fn wait_readable(socket: impl AsFd, timeout: Duration) -> io::Result<()> {
    // A time of this length fits every system's type, and the fallback is no wait at all.
    let timeout = Timespec::try_from(timeout).unwrap_or_default();
    match poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether there is something to read. It stays there.
pub(crate) fn has_unread(socket: impl AsFd) -> bool {
    matches!(rustix::net::recv(socket, &mut [0; 1], RecvFlags::DONTWAIT | RecvFlags::PEEK), Ok((1.., _)))
}

/// Sends what the socket has room for of two parts, either of which may be empty, as if they were one. Says how much that was: less than
/// both where it has no more room now.
pub(crate) fn send(socket: impl AsFd, first: &[u8], second: &[u8]) -> io::Result<usize> {
    // Without NOSIGNAL a peer that is gone would raise SIGPIPE, and an embedding program may not ignore that.
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        let outcome = match (first, second) {
            ([], bytes) | (bytes, []) => rustix::net::send(&socket, bytes, flags),
            _ => {
                let parts = [IoSlice::new(first), IoSlice::new(second)];
                rustix::net::sendmsg(&socket, &parts, &mut SendAncillaryBuffer::default(), flags)
            }
        };
        return match outcome {
            Ok(len) => Ok(len),
            Err(Errno::INTR) => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        };
    }
}
