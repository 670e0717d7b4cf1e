//! What lies in deploy/, as the programs that read it see it.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

fn deploy(name: &str) -> String {
    text(&format!("deploy/{name}"))
}

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs a program; gives whether it went well, and all that it said.
#[track_caller]
fn run(program: &str, arguments: &[&str]) -> (bool, String) {
    let done = Command::new(program).args(arguments).output();
    let done = done.unwrap_or_else(|error| panic!("the tests need {program}: tests/install.sh installs it: {error}"));
    (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
}

#[test]
fn systemd_takes_the_unit_and_finds_little_exposed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("vidgate.service");
    // The program lies elsewhere here.
    fs::write(&path, deploy("vidgate.service").replace("/usr/local/bin/vidgate", env!("CARGO_BIN_EXE_vidgate"))).unwrap();
    let path = path.to_str().unwrap();
    let (good, said) = run("systemd-analyze", &["verify", path]);
    assert_eq!((good, said.as_str()), (true, ""));
    // In tenths; a unit that restricts nothing has 96.
    let (good, said) = run("systemd-analyze", &["security", "--offline=true", "--threshold=20", path]);
    assert!(good, "{said}");
}

#[test]
fn nginx_takes_its_configuration() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=videos.example";
    let (key, certificate) = (at("key"), at("certificate"));
    let arguments: Vec<&str> = new.split(' ').chain(["-keyout", &key, "-out", &certificate]).collect();
    let (good, said) = run("openssl", &arguments);
    assert!(good, "{said}");
    let site = deploy("nginx.conf").replace("/etc/ssl/videos.example.pem", &certificate);
    // The nginx of Debian 12 is older than the directive `http2`.
    let listen = format!("listen {} ssl http2;", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let site = site.replace("/etc/ssl/videos.example.key", &key).replace("listen 443 ssl http2;", &listen);
    fs::write(at("site"), site).unwrap();
    let config = format!("pid {};\nevents {{}}\nhttp {{ access_log off; include {}; }}\n", at("pid"), at("site"));
    fs::write(at("config"), config).unwrap();
    let nginx = if Path::new("/usr/sbin/nginx").is_file() { "/usr/sbin/nginx" } else { "nginx" };
    let (good, said) = run(nginx, &["-t", "-e", &at("log"), "-p", &at(""), "-c", &at("config")]);
    assert!(good, "{said}");
}

#[test]
fn the_scripts_are_whole_and_the_image_has_what_they_make() {
    for script in ["dist.sh", "empty-root.sh", "features.sh", "reproduce.sh", "sizes.sh", "two-nodes/start.sh"] {
        let (good, said) =
            run("bash", &["-n", Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(script).to_str().unwrap()]);
        assert!(good, "{said}");
    }
    let dist = deploy("dist.sh");
    assert!(dist.contains("size_max=6000000\n") && dist.contains("deploy/empty-root.sh dist/vidgate\n"), "{dist}");
    let image = deploy("Dockerfile");
    assert!(image.contains("FROM scratch\n") && image.contains("COPY vidgate /vidgate\n"), "{image}");
}

#[test]
fn what_lies_in_deploy_is_told() {
    let told = deploy("README.md");
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || told.contains(&format!("`{name}")), "deploy/README.md does not name {name}");
    }
    let told = text("README.md");
    for name in
        ["vidgate.service", "Dockerfile", "nginx.conf", "Caddyfile", "cloudfront.md", "two-nodes/start.sh", "grafana.json"]
    {
        assert!(told.contains(&format!("(deploy/{name})")), "README.md does not name deploy/{name}");
    }
}

#[test]
fn the_readme_and_the_files_say_the_same() {
    let (readme, nginx, cloudfront) = (text("README.md"), deploy("nginx.conf"), deploy("cloudfront.md"));
    let block = readme.split("```nginx\n").nth(1).unwrap().split("```").next().unwrap();
    let directives = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim().to_owned());
        // The upstream has a name there.
        lines.filter(|line| !line.is_empty() && !line.starts_with("proxy_pass ")).collect()
    };
    let missing: Vec<String> = directives(block).difference(&directives(&nginx)).cloned().collect();
    assert_eq!(missing, Vec::<String>::new(), "README.md has it and deploy/nginx.conf has not");
    for key in ["`/media/*` and `/api/videos/*/stream`", "`token`, `etag` and `download`", "`Origin`", "minimum TTL"] {
        assert!(readme.contains(key) && cloudfront.contains(key), "of CloudFront's key: {key}");
    }
}
