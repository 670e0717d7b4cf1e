//! How much must have come on a socket before who waits for it is woken.
//!
//! In scope: setting that. Not in scope: how much it is (`plain`). With `serve/socket.rs` and `cli/scheduling.rs` the only
//! file that has `unsafe` in it.
#![allow(unsafe_code)]

use std::io;
use std::net::TcpStream;

/// Sets the low-water mark of a socket, in bytes (socket(7), `SO_RCVLOWAT`): it is ready to be read when so many are there, or the
/// buffer is full, or at the end. The kernel makes the receive buffer twice as long, where it is shorter. Who waits in a read, and not
/// for the socket to be ready, may wait for too much: what the read took before it began to wait does not count. Where the system
/// cannot do this, nothing is set, and a socket is ready for every piece.
///
/// # Errors
/// Those of the system.
pub(super) fn set(socket: &TcpStream, len: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd as _;
        let value = libc::c_int::try_from(len).unwrap_or(libc::c_int::MAX);
        let value_len = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
        // SAFETY: the descriptor is open while the socket is borrowed, and the pointer is to a value of that length, which is only
        // read, and only during the call.
        let outcome = unsafe {
            let value = std::ptr::from_ref(&value).cast();
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVLOWAT, value, value_len)
        };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, len);
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::net::{RecvFlags, recv};

    use super::*;

    #[test]
    fn a_socket_is_ready_when_so_many_bytes_are_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let is_ready =
            || poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
        let wait_there = |len: usize| while rustix::io::ioctl_fionread(&socket).unwrap() < len as u64 {};
        set(&socket, 1000).unwrap();
        peer.write_all(&[0; 999]).unwrap();
        wait_there(999);
        assert!(!is_ready());
        peer.write_all(&[0; 1]).unwrap();
        wait_there(1000);
        assert!(is_ready());
        // Who does not wait takes what there is.
        assert_eq!(recv(&socket, &mut [0; 700][..], RecvFlags::DONTWAIT).unwrap().1, 700);
        assert!(!is_ready());
        set(&socket, 1).unwrap();
        assert!(is_ready());
        assert_eq!(recv(&socket, &mut [0; 700][..], RecvFlags::DONTWAIT).unwrap().1, 300);
        // The end makes it ready as well.
        set(&socket, 1000).unwrap();
        drop(peer);
        while !is_ready() {}
    }
}
