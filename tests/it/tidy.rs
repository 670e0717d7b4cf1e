//! Rules of the source that no compiler holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use vidgate::config::{Preset, SETTINGS};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder with one of these endings, and their text; paths relative to the root.
fn files(folder: &str, endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("node_modules") {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| path.extension().is_some_and(|it| it == *ending)) {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no such files");
    found
}

/// The code of a source file: without comments and without its tests.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Only files whose path starts with one of `homes` have one of `words` in their code.
#[track_caller]
fn only_in(homes: &[&str], words: &[&str]) {
    let mut seen_at_home = false;
    // Files of tests alone may name what they like.
    let is_tests = |name: &str| name.ends_with("/tests.rs") || name.ends_with("/chaos.rs");
    for (name, text) in files("src", &["rs"]).into_iter().filter(|(name, _)| !is_tests(name)) {
        let code = code(&text);
        for word in words {
            let at_home = homes.iter().any(|home| name.starts_with(home));
            seen_at_home |= at_home && code.contains(word);
            assert!(at_home || !code.contains(word), "{name} names {word}");
        }
    }
    assert!(seen_at_home || homes.is_empty(), "{words:?} stands nowhere: is the rule still true?");
}

#[test]
fn each_library_has_one_home() {
    only_in(&["src/serve/lanes.rs"], &["tiny_http"]);
    only_in(&["src/store/s3", "src/store/credentials"], &["ureq", "rusty_s3"]);
    only_in(&["src/serve/pool.rs"], &["threadpool"]);
    only_in(&["src/http/head.rs", "src/store/s3/plain.rs"], &["httparse"]);
    only_in(&["src/store/meta/shared/"], &["use redis::", " redis::"]);
    only_in(&["src/sign/cloudfront"], &["rsa::", "p256::"]);
    only_in(&["src/sign/cloudfront", "src/http/checksum.rs"], &["sha1::"]);
    only_in(&["src/sign/token", "src/sign/bearer.rs", "src/store/credentials"], &["hmac::"]);
    only_in(&["src/sign/token"], &["serde::"]);
    let sockets_and_cores = ["src/serve/socket.rs", "src/store/s3/low_water.rs", "src/cli/scheduling.rs"];
    only_in(&sockets_and_cores, &["unsafe", "allow(unsafe_code)"]);
    only_in(&["src/store/s3/low_water.rs", "src/cli/scheduling.rs"], &["libc::"]);
}

#[test]
fn the_pure_half_does_no_io_reads_no_clock_and_locks_nothing() {
    for (name, text) in files("src/http", &["rs"]).into_iter().chain(files("src/sign", &["rs"])) {
        for word in [
            "std::fs",
            "TcpStream",
            "TcpListener",
            "to_socket_addrs",
            "std::thread",
            "Instant::now",
            "SystemTime::now",
            "Mutex",
            "std::env",
            "crate::serve",
        ] {
            assert!(!code(&text).contains(word), "{name} names {word}");
        }
    }
}

#[test]
fn only_the_plan_chooses_how_bytes_are_answered() {
    // error.rs has the table of kinds, response.rs that of phrases and the metrics that of labels; the S3 store reads them in
    // replies. None of them chooses.
    let homes = ["src/http/plan.rs", "src/error.rs", "src/http/response.rs", "src/metrics", "src/store/s3"];
    only_in(&homes, &[" 206", "304", "412", "416"]);
}

#[test]
fn dependencies_point_down() {
    for (folder, above) in [("src/http", "crate::serve"), ("src/sign", "crate::store"), ("src/store", "crate::serve")] {
        for (name, text) in files(folder, &["rs"]) {
            assert!(!code(&text).contains(above), "{name} names {above}");
        }
    }
}

#[test]
fn nothing_is_left_undone_and_no_test_is_skipped() {
    // Spelled in halves, so that this file does not find itself.
    let words =
        [["to", "do!("], ["unimple", "mented!("], ["#[ig", "nore"], ["FIX", "ME"], ["XX", "X:"]].map(|halves| halves.concat());
    for folder in ["src", "tests"] {
        for (name, text) in files(folder, &["rs", "mjs"]) {
            for word in &words {
                assert!(!text.contains(word.as_str()), "{name} has {word}");
            }
        }
    }
}

#[test]
fn every_dependency_has_its_page() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let mut count = 0;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, _)) = line.split_once(" = ") {
            assert!(root().join(format!("vendor-notes/{name}.md")).is_file(), "vendor-notes/{name}.md is missing");
            count += 1;
        }
    }
    assert!(count >= 10, "{count} dependencies were found");
}

#[test]
fn the_cost_of_each_feature_is_told() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let features = manifest.split("\ndefault = [").nth(1).unwrap().split(']').next().unwrap();
    for feature in features.split(", ").map(|quoted| quoted.trim_matches('"')).filter(|feature| *feature != "cli") {
        assert!(
            readme.contains(&format!("| all but `{feature}` | ")),
            "README.md has no size without {feature}: deploy/sizes.sh"
        );
    }
}

/// The tables of Unicode are for host names that are no ASCII. The settings take no such host (`config::parse`), so the stub in
/// their place is pinned, as its page says; `cargo update` would take the newest.
#[test]
fn the_readme_has_every_setting_with_its_variables_and_its_default() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `--"));
    let rows: BTreeMap<&str, Vec<&str>> =
        rows.map(|row| row.split_once('`').unwrap()).map(|(flag, rest)| (flag, rest.split(" | ").collect())).collect();
    for setting in SETTINGS {
        let Some([_, variables, preset, meaning]) = rows.get(setting.flag).map(Vec::as_slice) else {
            panic!("README.md has no row of --{}", setting.flag)
        };
        assert_eq!(*variables, format!("`{}`", setting.variables.join("`, `")), "--{}", setting.flag);
        let is_right = match setting.preset {
            Preset::Text(text) => *preset == format!("`{text}`"),
            Preset::Words(_) => *preset != "none" && !preset.is_empty(),
            Preset::Unset => *preset == "none",
        };
        assert!(is_right && meaning.len() > 10, "--{}: {preset} | {meaning}", setting.flag);
    }
    assert_eq!(rows.len(), SETTINGS.len());
}

#[test]
fn no_tables_of_unicode_are_brought_along() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    assert!(lock.contains("name = \"idna_adapter\"\nversion = \"1.0.0\"\n"), "cargo update -p idna_adapter --precise 1.0.0");
}

/// The names of all tests, as `module::test`, where the module is the file.
fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (file, text) in files("tests", &["rs"]).into_iter().chain(files("src", &["rs"])) {
        let mut is_test = false;
        for line in text.lines().map(str::trim_start) {
            // The rules of the store contract are made tests by a macro, one for each store.
            is_test |= line.contains("(fixture: &dyn Fixture) {") && file.contains("store_contract");
            if line.starts_with("#[test]") {
                is_test = true;
            } else if let Some(rest) = line.trim_start_matches("pub(super) ").strip_prefix("fn ").filter(|_| is_test) {
                let name = rest.split('(').next().unwrap();
                // The tests of a module in a file of their own go by the module as well.
                for path in [file.as_str(), file.trim_end_matches("/tests.rs")] {
                    let module = Path::new(path).file_stem().unwrap().to_str().unwrap();
                    names.insert(format!("{module}::{name}"));
                }
                is_test = false;
            }
        }
    }
    names
}

/// What is wrong with a list of promises, and how many there are.
fn bad_promises(text: &str, names: &BTreeSet<String>) -> (Vec<String>, usize) {
    let mut bad = Vec::new();
    let mut count = 0;
    for line in text.lines().filter(|line| line.starts_with("- ")) {
        count += 1;
        let Some((_, tests)) = line.rsplit_once('[') else {
            bad.push(format!("no test is named: {line}"));
            continue;
        };
        for name in tests.trim_end_matches(']').split(", ").map(|name| name.trim_matches('`')) {
            if !names.contains(name) {
                bad.push(format!("there is no test {name}: {line}"));
            }
        }
    }
    (bad, count)
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let names = test_names();
    let text = fs::read_to_string(root().join("SEMANTICS.md")).unwrap();
    let (bad, count) = bad_promises(&text, &names);
    assert_eq!(bad, Vec::<String>::new());
    assert!(count >= 30, "{count} promises were found");

    let own = "tidy::every_promise_names_a_test_that_exists";
    for (line, count) in [
        (format!("- It is so. [`{own}`]"), 0),
        ("- It is so.".to_owned(), 1),
        ("- It is so. [`tidy::no_such_test`]".to_owned(), 1),
        (format!("- It is so. [`{own}`, `tidy::test_names`, `{own}s`]"), 2),
    ] {
        assert_eq!(bad_promises(&line, &names).0.len(), count, "{line}");
    }
}
