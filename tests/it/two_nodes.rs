//! The example in deploy/two-nodes: two servers on one MinIO and one Redis behind nginx, of which one is killed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::client::{Client, get};
use crate::support::{pattern, wait_for};

/// More than the sockets between a node and a viewer hold.
const FILM_LEN: usize = 48 << 20;
const FILMS: usize = 6;

/// How often the example is started, each time on other ports, before it counts as broken.
const TRIES: usize = 3;

/// The running example.
struct Nodes {
    child: Child,
    proxy: SocketAddr,
    servers: [SocketAddr; 2],
    pids: BTreeMap<String, Pid>,
}

fn film_path(dir: &TempDir, film: usize) -> PathBuf {
    dir.path().join(format!("film-{film}.mp4"))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Nodes {
    fn start(dir: &TempDir) -> Self {
        for film in 0..FILMS {
            fs::write(film_path(dir, film), pattern(film as u64, FILM_LEN)).unwrap();
        }
        // Somebody else may get a port before a node listens there.
        (0..TRIES).find_map(|_| Self::try_start(dir)).unwrap_or_else(|| {
            panic!("it did not start: {}", fs::read_to_string(dir.path().join("log")).unwrap());
        })
    }

    /// Starts it on ports that were free; `None` where it did not come up, and ended.
    fn try_start(dir: &TempDir) -> Option<Self> {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/two-nodes/start.sh"));
        command.args((0..FILMS).map(|film| film_path(dir, film)));
        let names = ["PORT", "PORT_A", "PORT_B", "PORT_MINIO", "PORT_REDIS"];
        let ports = names.map(|_| free_port());
        for (name, port) in names.iter().zip(ports) {
            command.env(name, port.to_string());
        }
        command.env("VIDGATE", env!("CARGO_BIN_EXE_vidgate")).env("STOP_WITH_STDIN", "1").env("TMPDIR", dir.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(fs::File::create(dir.path().join("log")).unwrap());
        let mut child = command.process_group(0).spawn().expect("bash runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut pids = BTreeMap::new();
        let mut is_ready = false;
        for line in lines {
            let line = line.unwrap();
            if let Some((name, pid)) = line.split_once(" pid ") {
                pids.insert(name.to_owned(), Pid::from_raw(pid.parse().unwrap()).unwrap());
            }
            if line.starts_with("ready ") {
                is_ready = true;
                break;
            }
        }
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let nodes = Self { child, proxy: at(ports[0]), servers: [at(ports[1]), at(ports[2])], pids };
        is_ready.then_some(nodes)
    }
}

impl Drop for Nodes {
    /// The end of its standard input ends it and all that it started.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// How many streams a node sends.
fn streams(node: SocketAddr) -> usize {
    usize::try_from(crate::support::metric(node, "vidgate_streams_active")).unwrap()
}

/// A viewer in the middle of a film.
struct Viewer {
    film: usize,
    client: Client,
    etag: String,
    seen: Vec<u8>,
}

#[test]
fn a_node_that_is_killed_in_mid_film_costs_its_viewers_one_reconnect_and_the_others_nothing() {
    let dir = TempDir::new().unwrap();
    let nodes = Nodes::start(&dir);
    let mut viewers: Vec<Viewer> = (0..2 * FILMS)
        .map(|number| {
            let film = number % FILMS;
            // By both addresses of the bytes, which are one film for the proxy.
            let target =
                if number < FILMS { format!("/media/film-{film}.mp4") } else { format!("/api/videos/film-{film}.mp4/stream") };
            let mut client = Client::new(nodes.proxy);
            client.ask("GET", &target, &["Connection: close"]);
            let head = client.head();
            assert_eq!(head.status, 200);
            let seen = client.take(1 << 20);
            Viewer { film, client, etag: head.get("ETag").unwrap().to_owned(), seen }
        })
        .collect();
    wait_for("all viewers to be on their nodes", Duration::from_secs(20), || {
        (nodes.servers.map(streams).iter().sum::<usize>() == 2 * FILMS).then_some(())
    });
    let [on_a, on_b] = nodes.servers.map(streams);
    assert!(on_a % 2 == 0 && on_b % 2 == 0, "{on_a} and {on_b}: a film is on one node, whatever its address");
    // The keys are spread; the one that has more is killed, so that somebody is on it.
    let (killed, left, lost_max) =
        if on_a >= on_b { ("node-a", nodes.servers[1], on_a) } else { ("node-b", nodes.servers[0], on_b) };
    kill_process(nodes.pids[killed], Signal::KILL).unwrap();

    let mut reconnects = 0;
    for viewer in &mut viewers {
        let rest = viewer.client.rest();
        viewer.seen.extend(rest);
        if viewer.seen.len() < FILM_LEN {
            reconnects += 1;
            let fields = [format!("Range: bytes={}-", viewer.seen.len()), format!("If-Range: {}", viewer.etag)];
            let mut again = Client::new(nodes.proxy);
            again.ask("GET", &format!("/media/film-{}.mp4", viewer.film), &[&fields[0], &fields[1]]);
            let head = again.head();
            assert_eq!(head.status, 206, "another version or an error: {head:?}");
            let rest = again.take(FILM_LEN - viewer.seen.len());
            viewer.seen.extend(rest);
        }
        assert!(viewer.seen == pattern(viewer.film as u64, FILM_LEN), "film {} is not what it was", viewer.film);
    }
    assert_eq!(reconnects, lost_max, "those on the node that is left did not notice");
    // Whoever comes now notices nothing at all.
    for film in 0..FILMS {
        let reply = get(nodes.proxy, &format!("/media/film-{film}.mp4"), &["Range: bytes=1000-1999"]);
        assert_eq!((reply.status, reply.body), (206, pattern(film as u64, FILM_LEN)[1000..2000].to_vec()));
    }
    assert_eq!(get(left, "/readyz", &[]).status, 200);
}
