//! What the library logs in this process.
//!
//! One logger for all tests, which run at the same time: whoever counts lines looks for something that only his own have, such as
//! the port of his server.

use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};

struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("vidgate")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap().push(format!("{}: {}", record.level(), record.args()));
        }
    }

    fn flush(&self) {}
}

/// Begins to keep what is logged, at level `info` and above; once is enough.
pub(crate) fn keep() {
    // Whoever comes second finds the same logger there.
    if log::set_logger(&LINES).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// The lines that hold this text.
pub(crate) fn with(text: &str) -> Vec<String> {
    LINES.0.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
}
