//! The command line: flags made from the table of settings, the commands, the exit codes.
//!
//! In scope: what the process reads (arguments, environment, `.env`), writes (the start line, last words) and hears (signals).
//! Not in scope: what a setting means (`config`) and how it is served (`serve`).
//!
//! Exit codes: 0 when all went well, a drain that had to cut streams included; 1 when running failed; 2 for a bad command line
//! or configuration; 128 and the signal's number, as a shell counts, when a second signal cut the drain short.

mod doctor;
mod findings;
mod inspect;
mod links;
mod scheduling;
mod supervisor;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{self, ExitCode};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;
use std::{env, fs, thread};

use self::inspect::InspectTask;
use self::links::{TokenTask, UrlTask};
use self::supervisor::{State, Supervisor};
use crate::config::{Config, ConfigErrors, DOTENV_PATH, Preset, SETTINGS, Setting, Sources};
use crate::store::credentials::read_small_file;
use crate::{Server, Vitals, logging};
use clap::{Arg, ArgMatches, Command, ValueHint, value_parser};
use log::{debug, error, info, warn};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How often it is looked whether the server still works.
const VITALS_EVERY: Duration = Duration::from_secs(5);
/// How long the end waits for whoever reads the log.
const LOG_FLUSH: Duration = Duration::from_millis(500);

/// The program: parse, build, run, map to an exit code.
pub fn main() -> ExitCode {
    match parse(env::args_os()).and_then(|(task, config)| run(task, &config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => stop.report(),
    }
}

/// Why the program ends before, or other than, a server that was told to stop.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The command line is wrong, or asks for help or the version.
    Usage(clap::Error),
    /// The configuration is wrong.
    Config(ConfigErrors),
    /// Running failed, with the causes in a line.
    Failed(String),
}

impl Stop {
    /// Says it, on standard error (help and version: standard output), and gives the exit code. Where nobody reads, nothing is
    /// said; that is no further failure.
    pub(crate) fn report(&self) -> ExitCode {
        let (line, code) = match self {
            Self::Usage(error) => {
                let _ = error.print();
                return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
            }
            Self::Config(errors) => (errors.to_string(), 2),
            Self::Failed(why) => (why.clone(), 1),
        };
        let _ = writeln!(io::stderr(), "vidgate: {line}");
        ExitCode::from(code)
    }
}

/// What the process is to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Task {
    /// Serve.
    Serve,
    /// Print a link.
    Url(UrlTask),
    /// Print a playback token.
    Token(TokenTask),
    /// Look at everything that serving needs.
    Doctor,
    /// Look at a video.
    Inspect(InspectTask),
}

/// Reads what this process is to do, and its configuration: its arguments, its environment, `.env` in its working directory.
///
/// # Errors
/// [`Stop::Usage`] and [`Stop::Config`].
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<(Task, Config), Stop> {
    let matches = command().try_get_matches_from(arguments).map_err(Stop::Usage)?;
    let task = match matches.subcommand() {
        Some((links::URL, matches)) => Task::Url(UrlTask::from(matches)),
        Some((links::TOKEN, matches)) => Task::Token(TokenTask::from(matches)),
        Some((doctor::DOCTOR, _)) => Task::Doctor,
        Some((inspect::INSPECT, matches)) => Task::Inspect(InspectTask::from(matches)),
        _ => Task::Serve,
    };
    let sources = Sources {
        flags: flags(&matches),
        environment: env::vars_os().collect(),
        dotenv: fs::read(DOTENV_PATH),
        is_terminal: io::stderr().is_terminal(),
        // A token needs no store.
        is_directory: if let Task::Token(_) = task { |_| true } else { Path::is_dir },
        read_file: read_small_file,
    };
    Config::from_sources(sources).map(|config| (task, config)).map_err(Stop::Config)
}

/// Does it.
///
/// # Errors
/// [`Stop::Failed`].
pub(crate) fn run(task: Task, config: &Config) -> Result<(), Stop> {
    match task {
        Task::Serve => serve(config),
        Task::Url(task) => task.run(config),
        Task::Token(task) => task.run(config),
        Task::Doctor => doctor::run(config),
        Task::Inspect(task) => task.run(config),
    }
}

/// Serves until a signal says to stop, then lets the streams finish.
///
/// # Errors
/// [`Stop::Failed`] where it cannot start.
fn serve(config: &Config) -> Result<(), Stop> {
    let failed = |what: &str, error: &dyn std::error::Error| Stop::Failed(format!("{what}: {error}"));
    // Before there is any other thread, for each has what the one has that starts it.
    let scheduled = scheduling::ask_for_batches();
    logging::init(config.log_level, config.log_format).map_err(|error| failed("cannot log", &error))?;
    if let Err(error) = scheduled {
        debug!("it is not scheduled as batches, and costs more under load: {error}");
    }
    // Before the server starts: whoever has read the start line may send a signal.
    let signals = Signals::new([SIGTERM, SIGINT]).map_err(|error| failed("cannot listen for signals", &error))?;
    let server = Server::start(config).map_err(|error| Stop::Failed(error.chain()))?;
    let signals = watch(signals);
    announce(server.addr());
    if let Some(addr) = server.metrics_addr() {
        info!("metrics at http://{addr}/metrics");
    }
    let supervisor = Supervisor::new(env::var_os(supervisor::VARIABLE).as_deref());
    supervisor.tell(State::Ready);
    // A server that stopped ends the process at once: to stop it properly, one would have to wait for what no longer moves.
    let signal = wait(&signals, server.vitals(), VITALS_EVERY, &supervisor).unwrap_or_else(|error| {
        error!("{error}");
        logging::flush(LOG_FLUSH);
        process::exit(1)
    });
    info!("signal {signal}: no new connections, streams may go on for {:?}", config.drain_timeout);
    supervisor.tell(State::Stopping);
    server.drain();
    if !server.wait_drained(config.drain_timeout) {
        warn!("streams were still open after {:?} and are cut", config.drain_timeout);
    }
    // The streams that are cut have their lines.
    drop(server);
    logging::flush(LOG_FLUSH);
    Ok(())
}

/// Waits for the first signal, and looks at the vitals that often meanwhile.
///
/// # Errors
/// Where the server stopped.
fn wait(signals: &Receiver<i32>, mut vitals: Vitals, every: Duration, supervisor: &Supervisor) -> Result<i32, crate::Error> {
    loop {
        match signals.recv_timeout(every) {
            Ok(signal) => return Ok(signal),
            // The thread of the signals ends with the process only.
            Err(RecvTimeoutError::Disconnected) => return Ok(SIGTERM),
            Err(RecvTimeoutError::Timeout) => {
                vitals.check()?;
                supervisor.tell(State::Alive);
            }
        }
    }
}

/// Writes the start line. A closed standard output is no reason not to serve.
fn announce(addr: SocketAddr) {
    info!("listening on http://{addr}");
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "listening on http://{addr}").and_then(|()| out.flush()) {
        warn!("the start line could not be written: {error}");
    }
}

/// Hands on the first signal; at the second the process ends, whatever it is doing.
fn watch(mut signals: Signals) -> Receiver<i32> {
    let (first, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut arriving = signals.forever();
        if let Some(signal) = arriving.next() {
            // Where nobody receives, the process is at its end.
            let _ = first.send(signal);
        }
        if let Some(signal) = arriving.next() {
            logging::flush(LOG_FLUSH);
            process::exit(128 + signal);
        }
    });
    receiver
}

/// The commands and flags. Every setting is a flag on every level.
pub fn command() -> Command {
    Command::new("vidgate")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serves the videos of a private S3 bucket or of a directory over HTTP, with seeking")
        .after_help(
            "Each setting is taken from its flag, else from its variable in the environment, else from .env in the\n\
             working directory, else from its default. An empty variable counts as unset.",
        )
        .propagate_version(true)
        .args(SETTINGS.iter().map(arg))
        .subcommand(Command::new("serve").display_name("vidgate").about("Serves; the same as no command"))
        .subcommand(links::url_command())
        .subcommand(links::token_command())
        .subcommand(doctor::command())
        .subcommand(inspect::command())
}

/// The flag of a setting. Any bytes are taken here, so that what is wrong with them is told together with all else.
fn arg(setting: &'static Setting) -> Arg {
    let default = match setting.preset {
        Preset::Text(text) | Preset::Words(text) => text,
        Preset::Unset => "none",
    };
    Arg::new(setting.flag)
        .long(setting.flag)
        .global(true)
        .value_name(setting.value_name)
        .value_parser(value_parser!(OsString))
        .value_hint(if setting.value_name == "PATH" { ValueHint::AnyPath } else { ValueHint::Other })
        .help_heading(setting.heading)
        // It is known, so that giving it says why it cannot be.
        .hide(setting.part.missing().is_some())
        .help(format!("{} [{}, default {default}]", setting.help, setting.variables.join(" or ")))
}

/// The flags that were given.
fn flags(matches: &ArgMatches) -> BTreeMap<&'static str, OsString> {
    // A flag behind the command stands in the command's own matches; one before it is in both.
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    let given = SETTINGS.iter().filter_map(|setting| Some((setting.flag, matches.get_one::<OsString>(setting.flag)?.clone())));
    given.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        command().debug_assert();
    }

    #[track_caller]
    fn check(arguments: &[&str], want: &[(&'static str, &str)]) {
        let matches = command().try_get_matches_from([&["vidgate"], arguments].concat()).unwrap();
        assert_eq!(flags(&matches), want.iter().map(|(flag, value)| (*flag, value.into())).collect());
    }

    #[test]
    fn a_server_that_stopped_ends_the_wait_for_a_signal() {
        let root = tempfile::tempdir().unwrap();
        let store = crate::config::StoreConfig::Directory(root.path().into());
        let server = Server::start(&Config { host: "127.0.0.1".into(), port: 0, store, ..Config::default() }).unwrap();
        let vitals = server.vitals();
        // Nothing of it moves any more, and no signal comes.
        drop(server);
        let (_sender, signals) = mpsc::channel();
        let error = wait(&signals, vitals, Duration::from_millis(1), &Supervisor::new(None)).unwrap_err().to_string();
        assert!(error.contains("door") && error.contains("restarted"), "{error}");
    }

    #[test]
    fn flags_stand_before_or_behind_the_command() {
        check(&[], &[]);
        check(&["serve"], &[]);
        check(&["--port", "1", "--host=::1"], &[("port", "1"), ("host", "::1")]);
        check(&["serve", "--port", "1"], &[("port", "1")]);
        check(&["--port", "1", "serve", "--host", "a"], &[("port", "1"), ("host", "a")]);
        check(&["--port", "1", "serve", "--port", "2"], &[("port", "2")]);
        check(&["--bucket", ""], &[("bucket", "")]);
    }

    #[test]
    fn every_setting_is_a_flag_on_both_levels() {
        for setting in SETTINGS {
            let flag = format!("--{}", setting.flag);
            check(&[&flag, "x"], &[(setting.flag, "x")]);
            check(&["serve", &flag, "x"], &[(setting.flag, "x")]);
        }
    }

    #[test]
    fn what_is_no_command_line() {
        for bad in [&["x"][..], &["--no"], &["-p", "1"], &["serve", "x"], &["--port"], &["--port", "1", "--port", "2"]] {
            let error = command().try_get_matches_from([&["vidgate"], bad].concat()).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad:?}");
        }
        for fine in
            [&["--help"][..], &["-h"], &["--version"], &["-V"], &["serve", "--help"], &["serve", "-V"], &["help", "serve"]]
        {
            let error = command().try_get_matches_from([&["vidgate"], fine].concat()).unwrap_err();
            assert_eq!(error.exit_code(), 0, "{fine:?}");
        }
    }
}
