//! Log lines on standard error.
//!
//! In scope: which records are written, and how a line looks. Not in scope: what is logged. The module is not called `log`
//! so that `log::info!` means the crate everywhere.

use std::fmt::{Display, Write as _};
use std::io::Write as _;

use env_logger::Builder;
use log::{Level, LevelFilter, SetLoggerError};
use serde_json::Value;

use crate::config::LogFormat;

/// Our own targets: the library and the binary are both called so, and their modules start so.
const OURS: &str = env!("CARGO_CRATE_NAME");

/// Sends the records of the `log` crate, and panics, to standard error from now on. `RUST_LOG` is not read.
///
/// Our own records are written up to `level`; those of other crates see [`others_level`].
///
/// # Errors
/// Where the process has a logger already.
pub fn init(level: LevelFilter, format: LogFormat) -> Result<(), SetLoggerError> {
    builder(level, format).try_init()?;
    // The place of a panic is a line like any other, and not several on a stream that may be JSON.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error!("panic at {place}: {}", panic.payload_as_str().unwrap_or("no message"));
    }));
    Ok(())
}

/// Up to which level the records of other crates are written: warnings, or all but the finest where we are asked for detail.
///
/// Never `trace`: at that level ureq writes whole URLs, and a presigned URL opens an object to whoever reads the log.
pub fn others_level(level: LevelFilter) -> LevelFilter {
    match level {
        LevelFilter::Debug | LevelFilter::Trace => LevelFilter::Debug,
        quiet => quiet.min(LevelFilter::Warn),
    }
}

fn builder(level: LevelFilter, format: LogFormat) -> Builder {
    let mut builder = Builder::new();
    builder.filter_level(others_level(level)).filter_module(OURS, level).format(move |out, record| {
        let line = line(format, out.timestamp_millis(), record.level(), record.target(), record.args());
        out.write_all(line.as_bytes())
    });
    builder
}

/// One line with its end: nothing in a message can start another.
fn line(format: LogFormat, time: impl Display, level: Level, target: &str, message: impl Display) -> String {
    let message = message.to_string();
    match format {
        LogFormat::Text => format!("{time} {level} {} {}\n", escape(target), escape(&message)),
        LogFormat::Json => {
            let [time, target, message] = [time.to_string(), target.to_owned(), message].map(Value::from);
            format!("{{\"time\":{time},\"level\":\"{level}\",\"target\":{target},\"message\":{message}}}\n")
        }
    }
}

/// The text with what would move the cursor, end the line or change the terminal's state spelt out.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        // Line and paragraph separator are no control characters by Unicode's classes, but end a line in some viewers.
        if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "{}", letter.escape_default());
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use env_logger::Target;
    use log::{Log, Record};

    use super::*;

    const TIME: &str = "2026-11-24T02:00:00.123Z";

    #[track_caller]
    fn check(message: &str, text: &str, json: &str) {
        let line = |format| line(format, TIME, Level::Info, "vidgate::serve", message);
        assert_eq!(line(LogFormat::Text), format!("{TIME} INFO vidgate::serve {text}\n"));
        let want = format!("{{\"time\":\"{TIME}\",\"level\":\"INFO\",\"target\":\"vidgate::serve\",\"message\":{json}}}\n");
        assert_eq!(line(LogFormat::Json), want);
        let read: Value = serde_json::from_str(&want).unwrap();
        assert_eq!(read["message"], message);
    }

    #[test]
    fn messages_stay_on_their_line() {
        check("listening", "listening", r#""listening""#);
        check("", "", r#""""#);
        check("a\nb\r\n", r"a\nb\r\n", r#""a\nb\r\n""#);
        check("\u{1b}[31mred", r"\u{1b}[31mred", r#""\u001b[31mred""#);
        check("a\0\u{7f}", r"a\u{0}\u{7f}", "\"a\\u0000\u{7f}\"");
        check("\u{85}\u{2028}\u{2029}", r"\u{85}\u{2028}\u{2029}", "\"\u{85}\u{2028}\u{2029}\"");
        check("\"фильм\" \\", "\"фильм\" \\", r#""\"фильм\" \\""#);
    }

    #[test]
    fn a_target_cannot_forge_a_line_either() {
        assert_eq!(line(LogFormat::Text, TIME, Level::Warn, "a\nb", "c"), format!("{TIME} WARN a\\nb c\n"));
    }

    /// A pipe's end that keeps what it is given.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(buf);
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(level: LevelFilter, records: &[(Level, &str)]) -> String {
        let kept = Kept::default();
        let logger = builder(level, LogFormat::Text).target(Target::Pipe(Box::new(kept.clone()))).build();
        for (level, target) in records {
            logger.log(&Record::builder().level(*level).target(target).args(format_args!("message")).build());
        }
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_time_is_rfc_3339_in_utc_with_milliseconds() {
        let line = written(LevelFilter::Info, &[(Level::Info, "vidgate")]);
        let (time, rest) = line.split_once(' ').unwrap();
        assert_eq!(rest, "INFO vidgate message\n");
        let shape: String = time.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000Z");
    }

    #[test]
    fn which_records_are_written() {
        use LevelFilter::{Debug, Error, Info, Off, Trace, Warn};
        let all = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];
        let count = |level, target| written(level, &all.map(|record| (record, target))).lines().count();
        for (level, ours, others) in [(Off, 0, 0), (Error, 1, 1), (Warn, 2, 2), (Info, 3, 2), (Debug, 4, 4), (Trace, 5, 4)] {
            assert_eq!(count(level, "vidgate"), ours, "{level}");
            assert_eq!(count(level, "vidgate::serve::pool"), ours, "{level}");
            for other in ["ureq::run", "rustls", "tiny_http"] {
                assert_eq!(count(level, other), others, "{level} {other}");
            }
        }
    }
}
