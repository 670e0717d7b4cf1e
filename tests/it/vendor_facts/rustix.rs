//! `rustix`: system calls without `unsafe`, and what the kernel does behind them.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_send_buffer_size, set_tcp_nodelay, socket_send_buffer_size, tcp_nodelay};
use rustix::net::{SendFlags, send};

/// The bound on anything that must happen.
const SOON: Duration = Duration::from_secs(20);
/// How long something that must not happen is watched for.
const NEVER: Duration = Duration::from_millis(100);

/// Two ends of a TCP connection: the accepted one first.
fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, theirs)
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn send_to_a_closed_peer_is_an_error_and_no_signal() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    assert_eq!(send(&ours, b"x", SendFlags::NOSIGNAL), Err(Errno::PIPE));
}

#[test]
fn send_without_blocking_takes_a_part_and_then_would_block() {
    let listener = listener();
    set_socket_send_buffer_size(&listener, 64 << 10).unwrap();
    let (ours, mut theirs) = pair(&listener);
    ours.set_nonblocking(true).unwrap();
    let bytes = vec![7; 16 << 20];
    let mut sent = 0;
    let full = loop {
        match send(&ours, &bytes[sent..], SendFlags::NOSIGNAL) {
            Ok(len) => sent += len,
            Err(e) => break e,
        }
    };
    assert_eq!(std::io::Error::from(full).kind(), ErrorKind::WouldBlock);
    assert!(0 < sent && sent < bytes.len());
    drop(ours);
    let mut received = Vec::new();
    theirs.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), sent, "what was taken arrives, also after a close");
}

#[test]
fn an_accepted_socket_inherits_what_was_set_on_the_listener() {
    let listener = listener();
    set_tcp_nodelay(&listener, true).unwrap();
    set_socket_send_buffer_size(&listener, 128 << 10).unwrap();
    let (ours, theirs) = pair(&listener);
    assert!(tcp_nodelay(&ours).unwrap());
    // Linux doubles what was asked for, for its own bookkeeping.
    assert_eq!(socket_send_buffer_size(&ours).unwrap(), 256 << 10);
    assert!(!tcp_nodelay(&theirs).unwrap());
}

#[test]
fn more_to_come_holds_the_head_back_for_the_chunk() {
    let listener = listener();
    set_tcp_nodelay(&listener, true).unwrap();
    let (mut ours, mut theirs) = pair(&listener);
    send(&ours, b"head", SendFlags::NOSIGNAL | SendFlags::MORE).unwrap();
    theirs.set_read_timeout(Some(NEVER)).unwrap();
    assert_eq!(theirs.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
    ours.write_all(b"chunk").unwrap();
    theirs.set_read_timeout(Some(SOON)).unwrap();
    let mut both = [0; 9];
    assert_eq!(theirs.read(&mut both).unwrap(), 9);
    assert_eq!(&both, b"headchunk");
}

#[test]
fn openat2_beneath_does_not_leave_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(root.join("sub/in"), "in").unwrap();
    fs::write(dir.path().join("out"), "out").unwrap();
    symlink("sub/in", root.join("good")).unwrap();
    symlink("../out", root.join("relative")).unwrap();
    symlink(dir.path().join("out"), root.join("absolute")).unwrap();
    symlink(root.join("sub/in"), root.join("absolute-in")).unwrap();
    symlink("..", root.join("up")).unwrap();
    let root_fd = fs::File::open(&root).unwrap();
    let open = |path: &str| {
        loop {
            match openat2(&root_fd, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::BENEATH) {
                Err(Errno::AGAIN) => {}
                opened => break opened.map(drop),
            }
        }
    };
    assert_eq!(open("sub/in"), Ok(()));
    assert_eq!(open("sub/../sub/in"), Ok(()), "it may go up, not out");
    assert_eq!(open("good"), Ok(()), "a link may point inside");
    for path in ["../out", "relative", "absolute", "absolute-in", "up/out", "sub/../../out", "/etc/passwd"] {
        assert_eq!(open(path), Err(Errno::XDEV), "{path}");
    }
    assert_eq!(open("none"), Err(Errno::NOENT));
}

#[test]
fn openat2_beneath_wants_another_try_where_a_rename_meets_a_dot_dot() {
    // Any rename on the machine will do, so whoever follows links in a store's directory must try again.
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    fs::write(&a, "").unwrap();
    let seen = Arc::new(AtomicBool::new(false));
    let renaming = Arc::clone(&seen);
    let renames = thread::spawn(move || {
        while !renaming.load(Relaxed) {
            fs::rename(&a, &b).unwrap();
            fs::rename(&b, &a).unwrap();
        }
    });
    let dir_fd = fs::File::open(dir.path()).unwrap();
    let deadline = Instant::now() + SOON;
    while !seen.load(Relaxed) && Instant::now() < deadline {
        match openat2(&dir_fd, "sub/../sub", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::BENEATH) {
            Ok(_) => {}
            Err(e) => seen.store(e == Errno::AGAIN, Relaxed),
        }
    }
    assert!(seen.swap(true, Relaxed), "not within the bound");
    renames.join().unwrap();
}
