//! The commands that print: `vidgate url` and `vidgate token`.
//!
//! In scope: their arguments, and the line that they print. Not in scope: how links and tokens are made (`serve`, `sign`).

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use crate::config::{self, Config, URL_TTL_MAX};
use crate::object::ObjectKey;
use crate::serve;
use crate::sign::token::{self, Claims, LIFETIME_MAX, Scope};
use clap::{Arg, ArgGroup, ArgMatches, Command};
use ipnet::IpNet;

use super::Stop;

/// The names of the commands.
pub(super) const URL: &str = "url";
pub(super) const TOKEN: &str = "token";

/// `vidgate url`.
#[derive(Debug, PartialEq)]
pub(crate) struct UrlTask {
    key: ObjectKey,
    lifetime: Option<Duration>,
}

/// `vidgate token`.
#[derive(Debug, PartialEq)]
pub(crate) struct TokenTask {
    scope: Scope,
    lifetime: Option<Duration>,
    network: Option<IpNet>,
}

/// The command, for the command line.
pub(super) fn url_command() -> Command {
    Command::new(URL)
        .about("Prints what GET /api/videos/KEY/url answers")
        .arg(Arg::new("key").value_name("KEY").required(true).value_parser(key).help("The key of the object"))
        .arg(expires(URL_TTL_MAX))
}

/// The command, for the command line.
pub(super) fn token_command() -> Command {
    let scope = |name, value| Arg::new(name).long(name).value_name(value);
    Command::new(TOKEN)
        .about("Prints a playback token, signed with the first of VIDGATE_PLAYBACK_KEYS")
        .arg(scope("key", "KEY").value_parser(key).help("Opens this object"))
        .arg(scope("prefix", "PREFIX").value_parser(prefix).help("Opens all objects whose keys start so"))
        .group(ArgGroup::new("scope").args(["key", "prefix"]).required(true))
        .arg(expires(LIFETIME_MAX))
        .arg(Arg::new("ip").long("ip").value_name("CIDR").value_parser(network).help("Only from this address or network"))
}

fn expires(max: Duration) -> Arg {
    let help = "For how long, such as 90s, 30m or 12h [default: that of VIDGATE_URL_TTL]";
    let arg = Arg::new("expires").long("expires").value_name("TIME").help(help);
    arg.value_parser(move |text: &str| config::lifetime(text, max).map_err(|wanted| format!("expected {wanted}")))
}

fn key(text: &str) -> Result<ObjectKey, String> {
    ObjectKey::new(text).map_err(|error| error.to_string())
}

fn prefix(text: &str) -> Result<Scope, String> {
    Scope::prefix(text).map_err(|error| error.to_string())
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.ok_or_else(|| "expected an address or a network, such as 192.0.2.0/24".to_owned())
}

impl From<&ArgMatches> for UrlTask {
    fn from(matches: &ArgMatches) -> Self {
        // Clap refuses a command line without a required argument.
        let key = matches.get_one("key").cloned().expect("the key is required");
        Self { key, lifetime: matches.get_one("expires").copied() }
    }
}

impl From<&ArgMatches> for TokenTask {
    fn from(matches: &ArgMatches) -> Self {
        let scope = matches.get_one("key").cloned().map(Scope::Key).or_else(|| matches.get_one("prefix").cloned());
        // Clap refuses a command line without one of a required group.
        let scope = scope.expect("key or prefix is required");
        Self { scope, lifetime: matches.get_one("expires").copied(), network: matches.get_one("ip").copied() }
    }
}

impl UrlTask {
    pub(super) fn run(&self, config: &Config) -> Result<(), Stop> {
        let failed = |error: crate::Error| Stop::Failed(error.chain());
        let store = serve::open_store(&config.store).map_err(failed)?;
        // As clients on this machine reach the server; its own links are none where it stands behind another name.
        let host = if config.host.contains(':') { format!("[{}]", config.host) } else { config.host.clone() };
        let base = format!("http://{host}:{}", config.port);
        let lifetime = self.lifetime.unwrap_or(config.url_ttl);
        let link = serve::describe_link(config, &*store, &self.key, lifetime, SystemTime::now(), &base).map_err(failed)?;
        print(&link)
    }
}

impl TokenTask {
    pub(super) fn run(self, config: &Config) -> Result<(), Stop> {
        let Some(keys) = &config.playback_keys else {
            return Err(Stop::Failed("VIDGATE_PLAYBACK_KEYS is not set, so nothing can sign a token".to_owned()));
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let expires_at = now + self.lifetime.unwrap_or(config.url_ttl).as_secs();
        print(&token::mint(keys, &Claims { scope: self.scope, expires_at, not_before: None, network: self.network }))
    }
}

fn print(line: &str) -> Result<(), Stop> {
    writeln!(io::stdout(), "{line}").map_err(|error| Stop::Failed(format!("standard output: {error}")))
}
