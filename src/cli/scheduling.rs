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
        // Asked of the kernel itself: musl's functions of these names refuse, and its `sched_param` is another.
        const THIS_THREAD: libc::c_long = 0;
        // SAFETY: it takes and gives numbers only.
        match unsafe { libc::syscall(libc::SYS_sched_getscheduler, THIS_THREAD) } {
            -1 => return Err(io::Error::last_os_error()),
            policy if policy != libc::c_long::from(libc::SCHED_OTHER) => return Ok(()),
            _ => {}
        }
        // The kernel's `sched_param` is one number, the priority, of which there is none here.
        let param: libc::c_int = 0;
        // SAFETY: the pointer is to a value of that type, which is only read, and only during the call.
        let outcome = unsafe {
            libc::syscall(
                libc::SYS_sched_setscheduler,
                THIS_THREAD,
                libc::c_long::from(libc::SCHED_BATCH),
                std::ptr::from_ref(&param),
            )
        };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
