//! How the cores of the machine are shared with others.
//!
//! In scope: saying to the system what kind of work this is. With `serve/socket.rs` and `store/s3/low_water.rs` the only file that has
//! `unsafe` in it. Not in scope: the threads, and how many of them are awake (`serve/pool.rs`).
#![allow(unsafe_code)]

use std::io;

/// Asks that the threads of this process, those that it has and those it will start, stop no others as soon as there is work for them:
/// they wait for the core to be free, a few milliseconds at most where it is busy (sched(7), `SCHED_BATCH`). Bytes of several viewers
/// have come by then, and one wake-up is enough for them. Where somebody chose how the process is scheduled, that stays.
///
/// # Errors
/// Those of the system, which may be told to refuse it.
pub(super) fn ask_for_batches() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: it takes and gives numbers only, and 0 is the calling thread.
        let policy = unsafe { libc::sched_getscheduler(0) };
        if policy == libc::SCHED_OTHER {
            let param = libc::sched_param { sched_priority: 0 };
            // SAFETY: the pointer is to a value of that type, which is only read, and only during the call.
            if unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const param) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}
