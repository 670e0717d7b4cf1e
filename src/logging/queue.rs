//! Lines on their way out.
//!
//! In scope: a bounded queue and the thread that empties it, so that neither the door nor the pool waits for whoever reads the log.
//! Not in scope: what a line looks like.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

/// How many lines wait at most; some seconds of a busy server.
const LINES_MAX: usize = 8192;
/// How many bytes they have at most.
const LEN_MAX: usize = 2 * 1024 * 1024;
/// How much is written at once, in bytes.
const WRITE_LEN: usize = 16 * 1024;

/// The near end of the queue; cheap to clone.
#[derive(Clone)]
pub(super) struct Queue {
    sender: SyncSender<Item>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// How many bytes wait.
    len: AtomicUsize,
    /// How many lines there was no room for since that was last told.
    lost: AtomicU64,
}

enum Item {
    Line(Vec<u8>),
    /// Whoever waits for this knows that all before it is written.
    Flush(SyncSender<()>),
}

impl Queue {
    /// Starts the thread. It ends with the process.
    pub(super) fn start(out: impl Write + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::sync_channel(LINES_MAX);
        let shared = Arc::<Shared>::default();
        let queue = Self { sender, shared: Arc::clone(&shared) };
        // Without a thread nothing is logged, as where nobody reads.
        let _ = thread::Builder::new()
            .name("vidgate-log".into())
            .spawn(move || write_out(&receiver, &shared, BufWriter::with_capacity(WRITE_LEN, out)));
        queue
    }

    /// Waits until all before this is written, at most so long.
    pub(super) fn flush(&self, timeout: Duration) {
        let (done, is_done) = mpsc::sync_channel(1);
        if self.sender.try_send(Item::Flush(done)).is_ok() {
            let _ = is_done.recv_timeout(timeout);
        }
    }
}

impl Write for Queue {
    /// Takes a whole line, or loses it where there is no room; never an error, and never a wait.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let before = self.shared.len.fetch_add(line.len(), Ordering::Relaxed);
        let is_room = before + line.len() <= LEN_MAX;
        if !is_room || self.sender.try_send(Item::Line(line.into())).is_err() {
            self.shared.len.fetch_sub(line.len(), Ordering::Relaxed);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what comes, and what was lost once there is room again. Where nobody reads it any more, it goes nowhere.
fn write_out(receiver: &Receiver<Item>, shared: &Shared, mut out: impl Write) {
    let mut next = receiver.recv().ok();
    while let Some(item) = next {
        match item {
            Item::Line(line) => {
                let _ = out.write_all(&line);
                shared.len.fetch_sub(line.len(), Ordering::Relaxed);
            }
            Item::Flush(done) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
        next = receiver.try_recv().ok();
        if next.is_none() {
            let lost = shared.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                log::warn!("{lost} lines of the log were lost: nobody read them in time");
            }
            let _ = out.flush();
            next = receiver.recv().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc::Sender};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// What takes nothing before it is allowed to, and keeps what it took.
    struct Gate {
        open: Receiver<()>,
        kept: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            // An error means that it is open for good.
            let _ = self.open.recv();
            self.kept.lock().unwrap().extend_from_slice(buf);
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn start() -> (Queue, Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let (opener, open) = mpsc::channel();
        let kept = Arc::<Mutex<Vec<u8>>>::default();
        (Queue::start(Gate { open, kept: Arc::clone(&kept) }), opener, kept)
    }

    #[test]
    fn lines_come_in_order_and_a_flush_waits_for_them() {
        let (mut queue, opener, kept) = start();
        drop(opener);
        let mut want = String::new();
        for number in 0..1000 {
            let line = format!("line {number}\n");
            want.push_str(&line);
            queue.write_all(line.as_bytes()).unwrap();
        }
        queue.flush(SOON);
        assert_eq!(String::from_utf8(kept.lock().unwrap().clone()).unwrap(), want);
    }

    #[test]
    fn where_nobody_reads_lines_are_lost_and_nobody_waits() {
        for (len, most) in [(10, 3 * LINES_MAX), (64 * 1024, LEN_MAX / (64 * 1024) + 2)] {
            let (mut queue, opener, kept) = start();
            let mut line = vec![b'x'; len - 1];
            line.push(b'\n');
            for _ in 0..4 * LINES_MAX {
                queue.write_all(&line).unwrap();
            }
            assert!(queue.shared.lost.load(Ordering::Relaxed) > 0);
            drop(opener);
            // The queue itself may still be full, and then a flush does not wait; so it is asked until one did.
            let start = std::time::Instant::now();
            while queue.shared.len.load(Ordering::Relaxed) > 0 {
                assert!(start.elapsed() < SOON);
                queue.flush(SOON);
            }
            queue.flush(SOON);
            let lines = kept.lock().unwrap().split(|byte| *byte == b'\n').count() - 1;
            assert!(lines <= most, "{lines} of {len} bytes");
            assert_eq!(queue.shared.len.load(Ordering::Relaxed), 0);
        }
    }
}
