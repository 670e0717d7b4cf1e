//! The man pages and the completions of shells, as the programs that read them see them.

// What `make dist` runs.
#[allow(dead_code, reason = "its main is not called")]
#[path = "../../deploy/manual.rs"]
mod generator;

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use vidgate::config::SETTINGS;

/// Runs a program, and gives what it says on standard output; that it complains is an error.
#[track_caller]
fn run(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).output();
    let done = done.unwrap_or_else(|error| panic!("the tests need {program}: tests/install.sh installs it: {error}"));
    assert_eq!(String::from_utf8_lossy(&done.stderr), "", "{program} {arguments:?}");
    assert!(done.status.success(), "{program} {arguments:?}: {}", done.status);
    String::from_utf8(done.stdout).unwrap()
}

fn completions() -> TempDir {
    let folder = TempDir::new().unwrap();
    generator::write_completions(folder.path()).unwrap();
    folder
}

/// What a shell offers, one a line; some put a tab and a remark behind it.
#[track_caller]
fn check_offers(said: &str, want: &[&str], not: &[&str]) {
    let offers: Vec<&str> = said.lines().map(|line| line.split('\t').next().unwrap()).collect();
    for offer in want {
        assert!(offers.contains(offer), "no {offer} in {said}");
    }
    for offer in not {
        assert!(!offers.contains(offer), "{offer} in {said}");
    }
}

#[test]
fn groff_takes_the_man_pages_and_they_name_every_setting() {
    let folder = TempDir::new().unwrap();
    generator::write_manual(folder.path()).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        // Every warning that it knows; nothing is written.
        run("groff", &["-man", "-Tutf8", "-ww", "-z", path_text(&path)]);
        count += 1;
    }
    assert!(count >= 5, "{count} pages");
    let page = run("groff", &["-man", "-Tascii", "-P-cbou", path_text(&folder.path().join("vidgate.1"))]);
    for setting in SETTINGS {
        assert!(page.contains(&format!("--{} <", setting.flag)), "no --{} in {page}", setting.flag);
    }
    for section in ["NAME", "SYNOPSIS", "OPTIONS", "SIGNALS", "EXIT STATUS", "FILES"] {
        assert!(page.lines().any(|line| line == section), "no {section} in {page}");
    }
}

#[test]
fn bash_completes_commands_flags_and_paths() {
    let folder = completions();
    fs::write(folder.path().join("film.pem"), "").unwrap();
    let ask = |words: &[&str]| {
        let script = "cd \"$1\" && . ./vidgate && shift && COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)) && \
                      _vidgate vidgate \"${!#}\" \"${COMP_WORDS[COMP_CWORD - 1]}\" && printf '%s\\n' \"${COMPREPLY[@]}\"";
        run("bash", &[&["-c", script, "bash", path_text(folder.path())], words].concat())
    };
    check_offers(&ask(&["vidgate", ""]), &["serve", "url", "token", "doctor", "inspect", "--port"], &[]);
    check_offers(&ask(&["vidgate", "--cache-"]), &["--cache-ram", "--cache-dir", "--cache-disk"], &["--port", "serve"]);
    check_offers(&ask(&["vidgate", "token", "--p"]), &["--prefix", "--port", "--playback-keys"], &["--key"]);
    check_offers(&ask(&["vidgate", "--cloudfront-key-file", "fi"]), &["film.pem"], &["--port"]);
}

#[test]
fn fish_completes_commands_and_flags() {
    let folder = completions();
    let file = folder.path().join("vidgate.fish");
    let ask = |line: &str| {
        let script = format!("source {}; complete -C {line:?}", file.display());
        run("fish", &["--no-config", "-c", &script])
    };
    check_offers(&ask("vidgate "), &["serve", "url", "token", "doctor", "inspect"], &[]);
    check_offers(&ask("vidgate --cache-"), &["--cache-ram", "--cache-dir", "--cache-disk"], &["--port"]);
    check_offers(&ask("vidgate token --p"), &["--prefix"], &["--key"]);
}

#[test]
fn zsh_takes_its_completions() {
    let folder = completions();
    let file = folder.path().join("_vidgate");
    assert!(fs::read_to_string(&file).unwrap().starts_with("#compdef vidgate\n"));
    let script = "autoload -Uz compinit && compinit -D -u && . \"$1\" && whence -w _vidgate";
    let said = run("zsh", &["-f", "-c", script, "zsh", path_text(&file)]);
    assert_eq!(said, "_vidgate: function\n");
}

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}
