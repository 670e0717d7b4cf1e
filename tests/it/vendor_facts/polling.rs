//! `polling`: one thread that waits for everyone.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use polling::{Event, Events, Poller};

/// The bound on anything that must happen.
const SOON: Duration = Duration::from_secs(20);
/// How long something that must not happen is watched for.
const NEVER: Duration = Duration::from_millis(200);

/// No key at all.
const NONE: [usize; 0] = [];

/// A poller with one socket of ours in it, and the other end.
struct Watched {
    poller: Poller,
    ours: TcpStream,
    theirs: TcpStream,
}

impl Watched {
    #[allow(unsafe_code)]
    fn new(interest: Event) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        let poller = Poller::new().unwrap();
        // SAFETY: a source must leave the poller before it is closed. The poller and the socket live in the same value, whose
        // fields drop in their order: the poller, and with it the registration, goes first.
        unsafe { poller.add(&ours, interest).unwrap() };
        Self { poller, ours, theirs }
    }

    /// The keys of the events that come within `bound`.
    fn keys(&self, bound: Duration) -> Vec<usize> {
        self.events(bound).iter().map(|event| event.key).collect()
    }

    fn events(&self, bound: Duration) -> Events {
        let mut events = Events::new();
        self.poller.wait(&mut events, Some(bound)).unwrap();
        events
    }
}

#[test]
fn an_event_is_delivered_once_until_modify() {
    let mut watched = Watched::new(Event::readable(7));
    watched.theirs.write_all(b"ab").unwrap();
    assert_eq!(watched.keys(SOON), [7]);
    assert_eq!(watched.keys(NEVER), NONE, "unread, and still not told again");
    watched.theirs.write_all(b"c").unwrap();
    assert_eq!(watched.keys(NEVER), NONE, "nor for more of it");
    // Modify looks at the state, not at the change: what came in between is told at once.
    watched.poller.modify(&watched.ours, Event::readable(8)).unwrap();
    assert_eq!(watched.keys(SOON), [8]);
}

#[test]
fn any_event_disarms_all_interests() {
    let mut watched = Watched::new(Event::all(7));
    assert_eq!(watched.keys(SOON), [7], "writable");
    watched.theirs.write_all(b"a").unwrap();
    assert_eq!(watched.keys(NEVER), NONE, "readable was disarmed with it");
}

#[test]
fn a_reset_reaches_a_key_without_interest_and_a_half_close_does_not() {
    let mut watched = Watched::new(Event::none(7));
    watched.theirs.shutdown(Shutdown::Write).unwrap();
    assert_eq!(watched.keys(NEVER), NONE);
    // Closed with unread bytes, a socket sends a reset.
    (&watched.ours).write_all(b"unread").unwrap();
    watched.theirs = watched.ours.try_clone().unwrap();
    assert_eq!(watched.keys(SOON), [7]);
    // Also once only, and again after modify.
    assert_eq!(watched.keys(NEVER), NONE);
    watched.poller.modify(&watched.ours, Event::none(8)).unwrap();
    assert_eq!(watched.keys(SOON), [8]);
}

#[test]
fn a_half_close_is_readable() {
    let watched = Watched::new(Event::readable(7));
    watched.theirs.shutdown(Shutdown::Write).unwrap();
    assert_eq!(watched.keys(SOON), [7]);
    assert_eq!((&watched.ours).read(&mut [0]).unwrap(), 0);
}

#[test]
fn notify_wakes_the_wait_that_is_or_the_next() {
    let poller = Arc::new(Poller::new().unwrap());
    poller.notify().unwrap();
    poller.notify().unwrap();
    assert_eq!(poller.wait(&mut Events::new(), Some(SOON)).unwrap(), 0);
    let (woken, wake) = channel();
    let waiting = Arc::clone(&poller);
    thread::spawn(move || woken.send(waiting.wait(&mut Events::new(), None).unwrap()).unwrap());
    assert!(wake.recv_timeout(NEVER).is_err(), "two notifications were one");
    poller.notify().unwrap();
    assert_eq!(wake.recv_timeout(SOON).unwrap(), 0);
}

#[test]
fn every_key_but_the_largest_is_ours() {
    let watched = Watched::new(Event::writable(usize::MAX - 1));
    assert_eq!(watched.keys(SOON), [usize::MAX - 1]);
    assert!(watched.poller.modify(&watched.ours, Event::writable(usize::MAX)).is_err());
}

#[test]
fn a_deleted_socket_is_silent_and_cannot_be_modified() {
    let watched = Watched::new(Event::writable(7));
    watched.poller.delete(&watched.ours).unwrap();
    assert_eq!(watched.keys(NEVER), NONE);
    let error = watched.poller.modify(&watched.ours, Event::writable(7)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn events_pile_up_until_cleared() {
    let watched = Watched::new(Event::writable(7));
    let mut events = watched.events(SOON);
    watched.poller.modify(&watched.ours, Event::writable(8)).unwrap();
    watched.poller.wait(&mut events, Some(SOON)).unwrap();
    assert_eq!(events.iter().map(|event| event.key).collect::<Vec<_>>(), [7, 8]);
    events.clear();
    assert!(events.is_empty());
}
