//! README.md's commands, run as they are written, in a copy of what git has: nothing of the developer's own is there.
//!
//! They run in a network of their own, so that the ports that README.md names are free. Each block of commands stands in the table
//! below, with what it needs or why it is not run; a block that is in no row, and a row that is of no block, fail.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What becomes of a block.
enum Fate {
    /// Its last command serves: it must say where it listens, answer there, and end when it is told to.
    Serves(Given),
    /// It runs, and all its commands succeed; what they print is compared where README.md shows it.
    Runs(Given),
    /// It does not run, for this reason.
    Stays(&'static str),
}

/// What there is beforehand.
#[derive(Clone, Copy, PartialEq)]
enum Given {
    /// Nothing.
    Nothing,
    /// `make run` on port 3001.
    Samples,
    /// A server on `samples/` with keys for tokens and an operator.
    Operator,
    /// A MinIO on port 9000.
    MinIO,
    /// What the block before it left there, and README.md's variables for it.
    Bucket,
}

/// The first command of each block, in the order of README.md, and what becomes of it.
const FATES: &[(&str, Fate)] = &[
    ("make run", Fate::Serves(Given::Nothing)),
    ("make test", Fate::Stays("it is what runs this")),
    ("export AWS_ENDPOINT_URL_S3=http://127.0.0.1:9000", Fate::Serves(Given::MinIO)),
    ("export AWS_BUCKET_NAME=my-videos", Fate::Serves(Given::Nothing)),
    ("./target/release/vidgate doctor", Fate::Runs(Given::Bucket)),
    ("./target/release/vidgate inspect film.mp4", Fate::Runs(Given::Bucket)),
    ("curl 'http://127.0.0.1:3001/api/videos?prefix=vidgate-sample.mp4&limit=1'", Fate::Runs(Given::Samples)),
    ("curl -s -o part -D - -r 0-1 http://127.0.0.1:3001/media/vidgate-sample.mp4", Fate::Runs(Given::Samples)),
    ("curl -OJ 'http://127.0.0.1:3001/media/vidgate-sample.mp4?download=my%20film.mp4'", Fate::Runs(Given::Samples)),
    ("curl -o film.mp4 'http://127.0.0.1:3001/api/videos/", Fate::Runs(Given::Samples)),
    ("curl 'http://127.0.0.1:3001/media/vidgate-sample.mp4?etag=", Fate::Runs(Given::Samples)),
    ("curl http://127.0.0.1:3001/media/nope.mp4", Fate::Runs(Given::Samples)),
    ("npm pack hls.js", Fate::Stays("it needs the registry of npm; tests/e2e plays HLS with the hls.js that it installs")),
    ("curl 'http://127.0.0.1:3001/api/videos/vidgate-sample.mp4/url?expires=600'", Fate::Runs(Given::Samples)),
    ("openssl rand -hex 32", Fate::Runs(Given::Operator)),
    ("curl -T film.mp4 -H \"Authorization: Bearer $VIDGATE_ADMIN_TOKEN\"", Fate::Runs(Given::Operator)),
    ("mc=\"curl --aws-sigv4", Fate::Runs(Given::MinIO)),
    ("openssl genrsa -out cdn.pem 2048", Fate::Runs(Given::Bucket)),
    ("export REDIS_URL=", Fate::Runs(Given::Nothing)),
    ("docker run --memory 64m", Fate::Stays("it needs Docker; benches/constrained.sh measures these settings")),
    ("export VIDGATE_CORS_ORIGINS=", Fate::Runs(Given::Nothing)),
    ("RUSTC_BOOTSTRAP=1 cargo fuzz run head", Fate::Stays("it needs cargo-fuzz and takes minutes")),
];

/// A block of commands in README.md.
struct Block {
    line: usize,
    /// It shows prompts and what is printed.
    is_console: bool,
    text: String,
}

impl Block {
    /// Its commands, each with what README.md shows of what it prints.
    fn commands(&self) -> Vec<(String, String)> {
        if !self.is_console {
            return vec![(self.text.clone(), String::new())];
        }
        let mut commands: Vec<(String, String)> = Vec::new();
        for line in self.text.lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push((command.to_owned(), String::new())),
                (None, Some((_, shown))) => {
                    shown.push_str(line);
                    shown.push('\n');
                }
                (None, None) => panic!("README.md, line {}: no prompt", self.line),
            }
        }
        commands
    }

    fn first_command(&self) -> &str {
        self.text.strip_prefix("$ ").unwrap_or(&self.text)
    }
}

fn blocks(readme: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for (index, line) in readme.lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            is_inside = !is_inside && matches!(language, "sh" | "console");
            if is_inside {
                found.push(Block { line: index + 1, is_console: language == "console", text: String::new() });
            }
        } else if let (true, Some(block)) = (is_inside, found.last_mut()) {
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    found
}

/// Each block with what becomes of it.
fn fates(blocks: &[Block]) -> Vec<(&Block, &'static Fate)> {
    let mut rows_left: BTreeSet<&str> = FATES.iter().map(|row| row.0).collect();
    let pairs = blocks.iter().map(|block| {
        let mut rows = FATES.iter().filter(|(first, _)| block.first_command().starts_with(first));
        let (Some((first, fate)), None) = (rows.next(), rows.next()) else {
            panic!("README.md, line {}: this block has no row in FATES, or two: {}", block.line, block.text)
        };
        assert!(rows_left.remove(first), "README.md, line {}: a second block of the row {first}", block.line);
        assert!(!matches!(fate, Fate::Stays(why) if why.len() < 10), "{first}: why is it not run?");
        (block, fate)
    });
    let pairs = pairs.collect();
    assert_eq!(rows_left, BTreeSet::new(), "rows of no block");
    pairs
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a script of bash here, and gives what it printed.
#[track_caller]
fn bash(folder: &Path, script: &str) -> String {
    let done = Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(folder).output().expect("bash runs");
    let said = String::from_utf8_lossy(&[done.stdout.as_slice(), &done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{script}\n{said}");
    said
}

/// A copy of what git has, in a folder that keeps what cargo built there before; built as README.md says.
fn clone() -> PathBuf {
    let clone = root().join("target/readme");
    fs::create_dir_all(&clone).unwrap();
    bash(&clone, "find . -mindepth 1 -maxdepth 1 ! -name target -exec rm -rf {} +");
    // With their times, so that what did not change is not built again.
    bash(&root(), "git ls-files -z | xargs -0 cp -p --parents -t target/readme");
    bash(&clone, &format!("{QUICK_BUILD}make build"));
    clone
}

/// What is run is the program and not how fast it is; of two levels of optimization the compiler takes the last. Nothing is fetched:
/// the crates are here, for this test is built from them.
const QUICK_BUILD: &str = "export CARGO_NET_OFFLINE=true CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 \
                           CARGO_PROFILE_RELEASE_STRIP=none RUSTFLAGS='-C opt-level=0'\nunset CARGO_TARGET_DIR\n";

/// What the scripts below have in common. `serve LOG COMMAND` runs a command that serves, and ends it when the next one is started.
const HELPERS: &str = r#"
export PATH=$PWD/target/release:$PATH
ip link set lo up
serving=
end() {
    [ -z "$serving" ] || { kill -TERM -- "-$serving" 2>/dev/null || true; wait "$serving" 2>/dev/null || true; }
    serving=
    until ! curl -s -o /dev/null http://127.0.0.1:3001/healthz; do sleep 0.05; done
}
serve() {
    local log=$1; shift
    end
    setsid bash -euc "$1" >"$log" 2>"$log.err" & serving=$!
    until grep -qs '^listening on http://127.0.0.1:3001$' "$log"; do
        kill -0 "$serving" 2>/dev/null || { echo "it ended: $1"; cat "$log" "$log.err"; exit 1; }
        sleep 0.05
    done
    [ "$(curl -s http://127.0.0.1:3001/healthz)" = '{"status":"ok"}' ] || { echo "no health: $1"; exit 1; }
}
"#;

/// A word of bash.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The commands of the blocks that need this, behind this environment. What the n-th of the block on a line prints goes to
/// `out/LINE.n`.
fn runs(fates: &[(&Block, &Fate)], given: Given, environment: &str) -> String {
    let needing = fates.iter().filter(|(_, fate)| matches!(fate, Fate::Runs(needed) if *needed == given));
    let commands = needing.flat_map(|(block, _)| {
        let numbered = block.commands().into_iter().enumerate();
        numbered.map(|(index, (command, _))| {
            let (out, words) = (format!("out/{}.{index}", block.line), quoted(&[environment, &command].concat()));
            format!("bash -euc {words} >{out} 2>{out}.err && code=0 || code=$?\necho $code >{out}.code\n")
        })
    });
    commands.collect()
}

/// The blocks that serve and need this.
fn served<'b>(fates: &[(&'b Block, &Fate)], given: Given) -> Vec<&'b Block> {
    let needing = fates.iter().filter(|(_, fate)| matches!(fate, Fate::Serves(needed) if *needed == given));
    needing.map(|(block, _)| *block).collect()
}

fn serve(block: &Block) -> String {
    format!("serve out/{}.log {}\n", block.line, quoted(&block.text))
}

/// The script of all blocks that run, scene by scene.
fn script(fates: &[(&Block, &Fate)]) -> String {
    let mut scenes = vec![[QUICK_BUILD, HELPERS, "mkdir out\n"].concat()];
    scenes.extend(served(fates, Given::Nothing).into_iter().map(|block| serve(block) + "end\n"));
    scenes.push(runs(fates, Given::Nothing, ""));
    scenes.push(format!("serve out/samples.log 'make run'\n{}end\n", runs(fates, Given::Samples, "")));

    let operator =
        "export VIDGATE_PLAYBACK_KEYS=k1:0123456789abcdef0123456789abcdef VIDGATE_ADMIN_TOKEN=OPERATOR VIDGATE_DIR=films\n";
    let program = quoted(&format!("{operator}exec vidgate"));
    scenes.push("mkdir films; cp samples/vidgate-sample.mp4 films/film.mp4\n".to_owned());
    scenes.push(format!("serve out/operator.log {program}\n{}end\n", runs(fates, Given::Operator, operator)));

    scenes.push(MINIO.to_owned());
    scenes.push(runs(fates, Given::MinIO, ""));
    for block in served(fates, Given::MinIO) {
        let exports: String = block.text.split_inclusive('\n').filter(|line| line.starts_with("export ")).collect();
        scenes.push(serve(block) + &runs(fates, Given::Bucket, &exports) + "end\n");
    }
    scenes.concat()
}

/// The index of this film lies behind it, as README.md shows it.
const MINIO: &str = r"
ffmpeg -v error -y -i samples/vidgate-sample.mp4 -c copy film.mp4
MINIO_ROOT_USER=minioadmin MINIO_ROOT_PASSWORD=minioadmin minio server --quiet --address 127.0.0.1:9000 data >minio.log 2>&1 &
until curl -sf http://127.0.0.1:9000/minio/health/ready; do sleep 0.05; done
";

/// What differs from run to run: it stands between these two.
const DIFFERS: &[(&str, &str)] = &[
    (r#""etag":"\""#, r#"\""#),
    (r#""lastModified":""#, "\""),
    ("ETag: \"", "\""),
    ("Date: ", "\n"),
    ("Last-Modified: ", "\n"),
    ("X-Request-Id: ", "\n"),
];

/// What must be alike of what README.md shows and what is printed.
fn comparable(text: &str) -> String {
    let is_findings = |line: &str| ["ok    ", "FAIL  ", "note  "].iter().any(|verdict| line.starts_with(verdict));
    let mut text = text.replace('\r', "").trim_end().to_owned() + "\n";
    if text.lines().all(is_findings) {
        // What was looked at; what was found is different on each machine.
        let names = text.lines().map(|line| line[6..].split("  ").next().unwrap_or_default());
        return names.collect::<Vec<_>>().join("\n");
    }
    for (before, behind) in DIFFERS {
        let mut at = 0;
        while let Some(start) = text[at..].find(before).map(|found| at + found + before.len()) {
            let Some(len) = text[start..].find(behind) else { break };
            text.replace_range(start..start + len, "...");
            at = start;
        }
    }
    text
}

#[test]
fn the_commands_of_readme_run_as_they_are_written() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = blocks(&readme);
    let fates = fates(&blocks);
    let clone = clone();
    fs::write(clone.join("run.sh"), script(&fates)).unwrap();
    bash(&clone, "exec unshare --map-root-user --net --pid --fork --kill-child bash -euo pipefail ./run.sh </dev/null");

    for (block, fate) in fates {
        let Fate::Runs(_) = fate else { continue };
        for (index, (command, shown)) in block.commands().iter().enumerate() {
            let read = |ending: &str| fs::read_to_string(clone.join(format!("out/{}.{index}{ending}", block.line))).unwrap();
            let (printed, errors) = (read(""), read(".err"));
            let told = format!("README.md, line {}: {command}\n{printed}{errors}", block.line);
            let wanted = if shown.contains("FAIL  ") { "1\n" } else { "0\n" };
            assert_eq!(read(".code"), wanted, "{told}");
            if shown.trim().is_empty() {
                assert!(!printed.contains(r#"{"error""#), "{told}");
            } else {
                assert_eq!(comparable(&printed), comparable(shown), "{told}");
            }
        }
    }
}
