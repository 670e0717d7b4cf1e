//! Writes the man pages and the completions of shells into a directory, from the program's own commands and flags: they cannot say
//! anything else than `--help`, and the program does not grow by what writes them.
//!
//! `cargo run --example manual -- DIRECTORY`, as `make dist` does.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap_complete::{Shell, generate};
use clap_mangen::Man;

/// All flags would be a page of their own.
const SYNOPSIS: &str = r".SH SYNOPSIS
\fBvidgate\fR [\fIcommand\fR] [\fIoptions\fR]
";

/// What no table of flags says, in the language of man pages (`man(7)` of groff).
const MORE: &str = r#".SH SIGNALS
SIGTERM and SIGINT let streams finish for the time of \fB\-\-drain\-timeout\fR. A second one ends the process at once.
.SH "EXIT STATUS"
.TP
0
All went well; where streams had to be cut in the end, too.
.TP
1
It could not start, stopped working, or found something wrong.
.TP
2
The command line or the configuration is wrong.
.TP
130, 143
A second signal ended it.
.SH FILES
.TP
.I .env
Settings, one
.I NAME=value
a line, in the working directory. The environment goes before it.
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("a directory is missing")?);
    write_manual(&folder.join("man"))?;
    write_completions(&folder.join("completions"))?;
    Ok(())
}

/// `vidgate.1`, and a page for each command, which leaves the settings to the first.
pub(crate) fn write_manual(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let command = vidgate::cli::command().disable_help_subcommand(true);
    let source = concat!("vidgate ", env!("CARGO_PKG_VERSION"));
    for sub in command.get_subcommands() {
        let name = format!("vidgate-{}", sub.get_name());
        let named = sub.clone().display_name(&name).bin_name(format!("vidgate {}", sub.get_name()));
        let page =
            Man::new(named.after_help("Each flag of vidgate(1) is one of this command too.")).title(&name).source(source);
        let mut text = Vec::new();
        page.render(&mut text)?;
        fs::write(folder.join(format!("{name}.1")), text)?;
    }
    let page = Man::new(command).source(source);
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    text.write_all(SYNOPSIS.as_bytes())?;
    page.render_subcommands_section(&mut text)?;
    page.render_options_section(&mut text)?;
    page.render_extra_section(&mut text)?;
    text.write_all(MORE.as_bytes())?;
    fs::write(folder.join("vidgate.1"), text)
}

/// One file for each shell, named as it looks for it.
pub(crate) fn write_completions(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (shell, name) in [(Shell::Bash, "vidgate"), (Shell::Zsh, "_vidgate"), (Shell::Fish, "vidgate.fish")] {
        let mut text = Vec::new();
        generate(shell, &mut vidgate::cli::command(), "vidgate", &mut text);
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}
