//! Credentials that are kept, and replaced before they end.
//!
//! In scope: who asks for others, when, and who waits. Not in scope: whom (`ask` comes in), and the times (`schedule`).
//!
//! ```text
//!               ┌───────── current(): good ones, at once ───────────┐
//!  none ──ask──► held ──── keeper thread, in time: ask ──► new ones ──┤  the old ones stay while they are good
//!   ▲            │ └────── renewed(): the store refused them: ask ───┘
//!   └── they ended, and none came: who needs them asks, the others wait for what comes of it
//! ```
//!
//! One asks at any time. A failure is remembered for a moment, so that those who waited do not all try in turn.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use log::{error, warn};

use super::Lease;
use super::keys::Issued;
use super::schedule::{self, Doubt};
use crate::error::{Error, ErrorKind};

/// How long a caller waits for another who asks: longer than a source may take whose requests all run into their limits, a role on
/// top of EC2 metadata included.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The longest sleep of the keeper. The clock that says when credentials end may be set meanwhile, or have slept with the machine.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// Gets credentials from where they come from.
pub(super) type Ask = Box<dyn Fn() -> Result<Issued, Error> + Send + Sync>;

/// Keeps credentials. Dropping it ends its thread.
pub(super) struct Refresher {
    shared: Arc<Shared>,
}

struct Shared {
    ask: Ask,
    state: Mutex<State>,
    /// Told of everything that changes in `state`.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lease: Option<Arc<Lease>>,
    /// When others are looked for.
    refresh_at: Option<SystemTime>,
    phase: Phase,
    failure: Option<Failure>,
    keeper: Keeper,
    /// When a store last made us ask.
    doubted_at: Option<Instant>,
    serial: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Asking,
}

/// The thread that looks for others in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Keeper {
    /// There is none: nothing expires yet, or it could not be started.
    #[default]
    Absent,
    Running,
    /// It shall end.
    Stopped,
}

/// The last time that none were had.
struct Failure {
    kind: ErrorKind,
    detail: String,
    /// How many there were in a row.
    count: u32,
    /// Until when it counts.
    until: Instant,
}

impl Refresher {
    pub(super) fn new(ask: Ask) -> Self {
        Self { shared: Arc::new(Shared { ask, state: Mutex::default(), changed: Condvar::new() }) }
    }

    /// Good credentials. Only where there are none this blocks, for at most half a minute.
    ///
    /// # Errors
    /// That of the source; [`ErrorKind::UpstreamTimeout`] where it takes too long.
    pub(super) fn current(&self) -> Result<Arc<Lease>, Error> {
        let deadline = Instant::now() + WAIT_MAX;
        let mut state = self.shared.lock();
        loop {
            let now = SystemTime::now();
            if let Some(lease) = state.good_lease(now) {
                // The keeper's work, where it could not be started: one caller does it.
                if state.keeper == Keeper::Absent && state.phase == Phase::Idle && state.is_due(now) {
                    drop(self.shared.ask(state));
                }
                return Ok(lease);
            }
            if state.phase == Phase::Asking {
                state = self.shared.wait(state, deadline)?;
            } else if let Some(failure) = state.failure.as_ref().filter(|failure| Instant::now() < failure.until) {
                return Err(Error::new(failure.kind, failure.detail.as_str()));
            } else {
                state = self.shared.ask(state);
            }
        }
    }

    /// Other credentials than these, which a store refused: those that came meanwhile, or those that come if asked now. `None`
    /// where there are no others, or the store made us ask only just now.
    pub(super) fn renewed(&self, refused: &Lease, doubt: Doubt) -> Option<Arc<Lease>> {
        let deadline = Instant::now() + WAIT_MAX;
        let mut state = self.shared.lock();
        loop {
            let newer = state.good_lease(SystemTime::now()).filter(|lease| lease.serial > refused.serial);
            if let Some(lease) = newer {
                return (lease.credentials != refused.credentials).then_some(lease);
            }
            if state.phase == Phase::Asking {
                state = self.shared.wait(state, deadline).ok()?;
                continue;
            }
            let is_backing_off = state.failure.as_ref().is_some_and(|failure| Instant::now() < failure.until);
            if is_backing_off || state.doubted_at.is_some_and(|at| at.elapsed() < doubt.every()) {
                return None;
            }
            state.doubted_at = Some(Instant::now());
            state = self.shared.ask(state);
        }
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        self.shared.lock().keeper = Keeper::Stopped;
        self.shared.changed.notify_all();
    }
}

impl State {
    fn good_lease(&self, now: SystemTime) -> Option<Arc<Lease>> {
        self.lease.as_ref().filter(|lease| schedule::is_good(lease.expires_at, now)).map(Arc::clone)
    }

    /// Whether it is time to ask.
    fn is_due(&self, now: SystemTime) -> bool {
        self.refresh_at.is_some_and(|at| at <= now)
            && self.failure.as_ref().is_none_or(|failure| failure.until <= Instant::now())
    }

    /// How long until it is.
    fn sleep(&self, now: SystemTime) -> Duration {
        let refresh = self.refresh_at.map_or(SLEEP_MAX, |at| at.duration_since(now).unwrap_or_default());
        let retry = self.failure.as_ref().map(|failure| failure.until.saturating_duration_since(Instant::now()));
        refresh.max(retry.unwrap_or_default()).min(SLEEP_MAX)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to change, until the deadline at most.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, deadline: Instant) -> Result<MutexGuard<'a, State>, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let detail = format!("the sources of credentials took longer than {WAIT_MAX:?}");
            return Err(Error::new(ErrorKind::UpstreamTimeout, detail));
        }
        Ok(self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Asks, without the lock, and keeps what comes of it. The phase must be idle.
    fn ask<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.phase = Phase::Asking;
        drop(state);
        let asking = Asking(self);
        let issued = (self.ask)().and_then(|issued| {
            if schedule::is_good(issued.expires_at, SystemTime::now()) {
                Ok(issued)
            } else {
                Err(Error::new(ErrorKind::UpstreamForbidden, "no credentials (those that came have expired already)"))
            }
        });
        // From here on nothing panics, and whoever wakes must find what came of it together with the phase.
        mem::forget(asking);
        let mut state = self.lock();
        state.phase = Phase::Idle;
        match issued {
            Ok(issued) => self.keep(&mut state, issued),
            Err(error) => state.fail(&error),
        }
        self.changed.notify_all();
        state
    }

    fn keep(self: &Arc<Self>, state: &mut State, issued: Issued) {
        state.serial += 1;
        state.failure = None;
        state.refresh_at = issued.expires_at.map(|end| schedule::refresh_at(end, SystemTime::now(), jitter()));
        state.lease = Some(Arc::new(Lease::new(issued, state.serial)));
        if state.refresh_at.is_some() && state.keeper == Keeper::Absent {
            let shared = Arc::clone(self);
            let started = thread::Builder::new().name("vidgate-keys".to_owned()).spawn(move || shared.run());
            match started {
                Ok(_) => state.keeper = Keeper::Running,
                Err(error) => error!("no thread for credentials, those who need them refresh them: {error}"),
            }
        }
    }

    /// The keeper: asks whenever it is time.
    fn run(self: &Arc<Self>) {
        let mut state = self.lock();
        while state.keeper == Keeper::Running {
            let now = SystemTime::now();
            if state.phase == Phase::Idle && state.is_due(now) {
                state = self.ask(state);
                continue;
            }
            let sleep = match state.phase {
                Phase::Idle => state.sleep(now),
                Phase::Asking => SLEEP_MAX,
            };
            state = self.changed.wait_timeout(state, sleep).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    fn fail(&mut self, error: &Error) {
        let count = self.failure.as_ref().map_or(0, |failure| failure.count).saturating_add(1);
        let detail = error.chain();
        // The first, the second, the fourth ...: a log is not filled by what goes on for hours.
        if count.is_power_of_two() {
            let what = match self.good_lease(SystemTime::now()) {
                Some(_) => "credentials could not be refreshed, the last ones stay while they are good",
                None => "there are no good credentials",
            };
            warn!("{what} ({count}): {detail}");
        }
        let until = Instant::now() + schedule::retry_after(count, jitter());
        self.failure = Some(Failure { kind: error.kind(), detail, count, until });
    }
}

/// Somebody asks. Dropped by a panic only: the next one may ask, and the next good credentials get a new keeper.
struct Asking<'a>(&'a Shared);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.phase = Phase::Idle;
        if state.keeper == Keeper::Running {
            state.keeper = Keeper::Absent;
        }
        self.0.changed.notify_all();
    }
}

/// A random number, 0 to 1.
fn jitter() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

impl fmt::Debug for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresher").field("lease", &self.shared.lock().lease).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::keys::Keys;
    use super::*;

    /// Keys `ID-1`, `ID-2` and so on, good for so long; and how often they were asked for.
    fn refresher(lifetime: Option<Duration>) -> (Refresher, Arc<AtomicUsize>) {
        let asked = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&asked);
        let ask = move || {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let keys = Keys::parse(&format!("ID-{number}"), "hunter2", None).unwrap();
            Ok(Issued { keys, expires_at: lifetime.map(|lifetime| SystemTime::now() + lifetime) })
        };
        (Refresher::new(Box::new(ask)), asked)
    }

    #[test]
    fn a_thread_is_started_only_where_something_expires() {
        let (forever, _) = refresher(None);
        let (for_an_hour, _) = refresher(Some(Duration::from_hours(1)));
        assert_eq!(for_an_hour.shared.lock().keeper, Keeper::Absent);
        for (refresher, want) in [(forever, Keeper::Absent), (for_an_hour, Keeper::Running)] {
            refresher.current().unwrap();
            assert_eq!(refresher.shared.lock().keeper, want);
        }
    }

    #[test]
    fn a_caller_does_the_work_of_a_thread_that_could_not_be_started() {
        let (refresher, asked) = refresher(Some(Duration::from_hours(1)));
        refresher.current().unwrap();
        {
            let mut state = refresher.shared.lock();
            (state.keeper, state.refresh_at) = (Keeper::Absent, Some(SystemTime::now()));
        }
        // Who finds that it is time gets the ones that are good, the next one the new ones.
        assert_eq!(refresher.current().unwrap().access_key_id(), "ID-1");
        assert_eq!(refresher.current().unwrap().access_key_id(), "ID-2");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_panic_of_a_source_blocks_nobody() {
        let asked = AtomicUsize::new(0);
        let refresher = Refresher::new(Box::new(move || match asked.fetch_add(1, Ordering::SeqCst) {
            0 => panic!("on purpose"),
            _ => Ok(Issued { keys: Keys::parse("ID", "hunter2", None).unwrap(), expires_at: None }),
        }));
        assert!(catch_unwind(AssertUnwindSafe(|| refresher.current())).is_err());
        assert_eq!(refresher.current().unwrap().access_key_id(), "ID");
    }

    #[test]
    fn what_a_store_refuses_is_replaced_now_and_then() {
        let (refresher, asked) = refresher(None);
        let first = refresher.current().unwrap();
        let second = refresher.renewed(&first, Doubt::Uncertain).unwrap();
        assert_eq!(second.access_key_id(), "ID-2");
        // Whoever was refused with the first ones gets those that came meanwhile; others are not asked for so soon.
        assert_eq!(refresher.renewed(&first, Doubt::Certain).unwrap().access_key_id(), "ID-2");
        assert!(refresher.renewed(&second, Doubt::Certain).is_none());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        refresher.shared.lock().doubted_at = Instant::now().checked_sub(Doubt::Certain.every());
        assert!(refresher.renewed(&second, Doubt::Uncertain).is_none());
        assert_eq!(refresher.renewed(&second, Doubt::Certain).unwrap().access_key_id(), "ID-3");
        assert_eq!(refresher.current().unwrap().access_key_id(), "ID-3");
    }

    #[test]
    fn the_same_keys_again_are_no_others() {
        let keys = || Ok(Issued { keys: Keys::parse("ID", "hunter2", None).unwrap(), expires_at: None });
        let refresher = Refresher::new(Box::new(keys));
        let first = refresher.current().unwrap();
        assert!(refresher.renewed(&first, Doubt::Certain).is_none());
        assert!(!format!("{refresher:?}").contains("hunter2"));
    }
}
