//! Starts a server, and says how long it takes until the first byte of a film and what it uses at rest.
//!
//! ```sh
//! cargo bench --bench start -- URL COMMAND [ARGUMENT ...]
//! ```
//!
//! The time goes from before the program is executed until the first byte of the film's body is here: whoever is asked too early is
//! asked again at once. What it uses is read after a rest, of its process and those that it started. It is ended with SIGTERM.

#![allow(missing_docs, unreachable_pub, reason = "a program of its own")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

#[path = "support/film.rs"]
mod film;
#[path = "support/usage.rs"]
mod usage;

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use film::{Films, film_len};
use rustix::process::{Pid, Signal, kill_process};
use usage::{family, usage};

/// Between two questions to a server that is not there yet.
const ASK_EVERY: Duration = Duration::from_micros(200);
const START_MAX: Duration = Duration::from_mins(1);
/// What was used for the start only is given back meanwhile, if ever.
const REST: Duration = Duration::from_secs(3);

fn main() {
    // cargo adds --bench.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [url, program, arguments @ ..] = &args[..] else {
        eprintln!("usage: start URL COMMAND [ARGUMENT ...]");
        std::process::exit(2);
    };
    let films = Films::at(url);
    let path = films.path(0);
    assert!(TcpStream::connect(films.addr).is_err(), "something else listens there");
    let started_at = Instant::now();
    let mut server = Command::new(program).args(arguments).stdout(Stdio::null()).spawn().expect("the program runs");
    let first_byte = loop {
        if film_len(films.addr, &path).is_ok() {
            break started_at.elapsed();
        }
        assert!(server.try_wait().expect("a child").is_none(), "it ended");
        assert!(started_at.elapsed() < START_MAX, "no film after {START_MAX:?}");
        std::thread::sleep(ASK_EVERY);
    };
    std::thread::sleep(REST);
    let used = usage(&family(&[server.id()]));
    println!(
        "first byte after {:.1} ms; at rest: RSS {:.1} MB, PSS {:.1} MB, threads {}, CPU so far {:.2} s",
        first_byte.as_secs_f64() * 1000.0,
        used.rss_kib as f64 / 1024.0,
        used.pss_kib as f64 / 1024.0,
        used.threads,
        used.cpu_ticks as f64 / 100.0,
    );
    kill_process(Pid::from_child(&server), Signal::TERM).expect("it is ours");
    server.wait().expect("a child");
}
