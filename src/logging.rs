//! Log lines on standard error.
//!
//! In scope: which records are written, how a line looks, and that nobody waits for whoever reads them (`queue`). Not in scope:
//! what is logged. The module is not called `log` so that `log::info!` means the crate everywhere.
//!
//! What is said of a request carries its id as the pair `request`, and a line of the access log (the target [`ACCESS`]) has nothing
//! but pairs. A logger that is not ours finds the id of other records by [`present::request_id`].

mod queue;

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use env_logger::{Builder, Target};
use log::kv::{self, Key, Source, Value as Pair, VisitSource, VisitValue};
use log::{Level, LevelFilter, SetLoggerError};
use serde_json::Value;

use self::queue::Queue;
use crate::config::LogFormat;
use crate::present;

/// The target of the access log: one record a response, at the level `info`.
pub const ACCESS: &str = "vidgate::access";

/// Our own targets: the library and the binary are both called so, and their modules start so.
const OURS: &str = env!("CARGO_CRATE_NAME");

/// Lines on their way to standard error.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Sends the records of the `log` crate, and panics, to standard error from now on. `RUST_LOG` is not read.
///
/// Our own records are written up to `level`; those of other crates see [`others_level`]. A thread of their own writes them: where
/// standard error takes nothing, lines are lost, and how many is told later, but nobody waits.
///
/// # Errors
/// Where the process has a logger already.
pub fn init(level: LevelFilter, format: LogFormat) -> Result<(), SetLoggerError> {
    let queue = QUEUE.get_or_init(|| Queue::start(std::io::stderr()));
    builder(level, format).target(Target::Pipe(Box::new(queue.clone()))).try_init()?;
    // The place of a panic is a line like any other, and not several on a stream that may be JSON.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error!("panic at {place}: {}", panic.payload_as_str().unwrap_or("no message"));
    }));
    Ok(())
}

/// Waits until what was logged so far is written, at most so long: to be called before the process ends.
pub fn flush(timeout: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(timeout);
    }
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
        let line = line(format, out.timestamp_millis(), record.level(), record.target(), record.args(), record.key_values());
        out.write_all(line.as_bytes())
    });
    builder
}

/// One line with its end: nothing in a message or a value can start another.
fn line(
    format: LogFormat,
    time: impl Display,
    level: Level,
    target: &str,
    message: impl Display,
    source: &dyn Source,
) -> String {
    let message = message.to_string();
    let mut pairs = Pairs { format, line: String::with_capacity(384), names_request: false };
    // Writing to a String cannot fail, here and below.
    let _ = match format {
        LogFormat::Text if message.is_empty() => write!(pairs.line, "{time} {level} {}", escape(target)),
        LogFormat::Text => write!(pairs.line, "{time} {level} {} {}", escape(target), escape(&message)),
        LogFormat::Json => {
            let [time, target] = [time.to_string(), target.to_owned()].map(Value::from);
            write!(pairs.line, "{{\"time\":{time},\"level\":\"{level}\",\"target\":{target}")
        }
    };
    if format == LogFormat::Json && !message.is_empty() {
        pairs.add("message", &Value::from(message));
    }
    let _ = source.visit(&mut pairs);
    if !pairs.names_request
        && let Some(id) = present::request_id()
    {
        pairs.add("request", &Value::from(id.as_str()));
    }
    let mut line = pairs.line;
    line.push_str(if format == LogFormat::Json { "}\n" } else { "\n" });
    line
}

/// Writes pairs of a name and a value behind what a line has already.
struct Pairs {
    format: LogFormat,
    line: String,
    names_request: bool,
}

impl Pairs {
    fn add(&mut self, name: &str, value: &Value) {
        self.names_request |= name == "request";
        let _ = match (self.format, value) {
            (LogFormat::Json, value) => write!(self.line, ",{}:{value}", Value::from(name)),
            // As it is where that can be told from its neighbours; else as a string of JSON, which has spaces and quotes.
            (LogFormat::Text, Value::String(text)) if is_plain(text) => write!(self.line, " {}={text}", escape(name)),
            (LogFormat::Text, value) => write!(self.line, " {}={}", escape(name), escape(&value.to_string())),
        };
    }
}

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, name: Key<'kvs>, value: Pair<'kvs>) -> Result<(), kv::Error> {
        let mut read = Read(Value::Null);
        value.visit(&mut read)?;
        self.add(name.as_str(), &read.0);
        Ok(())
    }
}

/// A value as one of JSON: numbers stay numbers.
struct Read(Value);

impl VisitValue<'_> for &mut Read {
    fn visit_any(&mut self, value: Pair<'_>) -> Result<(), kv::Error> {
        self.0 = value.to_string().into();
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }
}

/// Whether a text can stand behind a `=` as it is.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'=' && byte != b'\\')
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
    const NONE: [(&str, u8); 0] = [];

    #[track_caller]
    fn check(message: &str, text: &str, json: &str) {
        let line = |format| line(format, TIME, Level::Info, "vidgate::serve", message, &NONE);
        assert_eq!(line(LogFormat::Text), format!("{TIME} INFO vidgate::serve {text}\n"));
        let want = format!("{{\"time\":\"{TIME}\",\"level\":\"INFO\",\"target\":\"vidgate::serve\",\"message\":{json}}}\n");
        assert_eq!(line(LogFormat::Json), want);
        let read: Value = serde_json::from_str(&want).unwrap();
        assert_eq!(read["message"], message);
    }

    #[test]
    fn messages_stay_on_their_line() {
        check("listening", "listening", r#""listening""#);
        check("a\nb\r\n", r"a\nb\r\n", r#""a\nb\r\n""#);
        check("\u{1b}[31mred", r"\u{1b}[31mred", r#""\u001b[31mred""#);
        check("a\0\u{7f}", r"a\u{0}\u{7f}", "\"a\\u0000\u{7f}\"");
        check("\u{85}\u{2028}\u{2029}", r"\u{85}\u{2028}\u{2029}", "\"\u{85}\u{2028}\u{2029}\"");
        check("\"фильм\" \\", "\"фильм\" \\", r#""\"фильм\" \\""#);
    }

    #[test]
    fn pairs_keep_their_types_and_stay_on_their_line() {
        let pairs: [(&str, Pair<'_>); 7] = [
            ("client", "192.0.2.1".into()),
            ("key", "a b\n\"c\".mp4".into()),
            ("bytes", 7_u64.into()),
            ("ms", 1.25_f64.into()),
            ("minus", (-1_i64).into()),
            ("empty", "".into()),
            ("shown", Pair::from_display(&"x=y")),
        ];
        let line = |format| line(format, TIME, Level::Info, ACCESS, "", &pairs);
        let text = r#"client=192.0.2.1 key="a b\n\"c\".mp4" bytes=7 ms=1.25 minus=-1 empty="" shown="x=y""#;
        assert_eq!(line(LogFormat::Text), format!("{TIME} INFO vidgate::access {text}\n"));
        let read: Value = serde_json::from_str(&line(LogFormat::Json)).unwrap();
        let want = serde_json::json!({
            "time": TIME, "level": "INFO", "target": "vidgate::access", "client": "192.0.2.1", "key": "a b\n\"c\".mp4", "bytes": 7,
            "ms": 1.25, "minus": -1, "empty": "", "shown": "x=y",
        });
        assert_eq!(read, want);
        assert_eq!(line(LogFormat::Json).matches('\n').count(), 1);
    }

    #[test]
    fn what_is_said_while_a_request_is_worked_on_names_it_once() {
        let scope = present::Scope::enter(&present::RequestId::new("r1"));
        assert_eq!(line(LogFormat::Text, TIME, Level::Warn, "a", "b", &NONE), format!("{TIME} WARN a b request=r1\n"));
        let own = [("request", "r2")];
        assert_eq!(line(LogFormat::Text, TIME, Level::Warn, "a", "b", &own), format!("{TIME} WARN a b request=r2\n"));
        drop(scope);
        assert_eq!(line(LogFormat::Text, TIME, Level::Warn, "a", "b", &NONE), format!("{TIME} WARN a b\n"));
    }

    #[test]
    fn a_target_cannot_forge_a_line_either() {
        assert_eq!(line(LogFormat::Text, TIME, Level::Warn, "a\nb", "c", &NONE), format!("{TIME} WARN a\\nb c\n"));
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
