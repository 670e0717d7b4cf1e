//! How much memory the kernel has for the sockets of clients.
//!
//! In scope: what it says of TCP, and of the control group that the process is in, which sockets count against too. Not in scope:
//! who gets how much (`budget`).

use std::fs;
use std::path::{Path, PathBuf};

/// What all clients share where the kernel says nothing, in bytes.
const DEFAULT: usize = 64 * 1024 * 1024;
/// Control groups lie in each other, and no deeper than this here.
const DEPTH_MAX: usize = 16;

/// How many bytes the kernel should hold for clients who read slowly, of all of them. As much again and more is on its way to them,
/// or with them where they are on this machine.
pub(crate) fn send_budget() -> usize {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let limits =
        limit_files(&read(Path::new("/proc/self/cgroup"))).into_iter().filter_map(|file| read(&file).trim().parse().ok());
    share(&read(Path::new("/proc/sys/net/ipv4/tcp_mem")), limits.min())
}

/// An eighth of what makes the kernel short of memory for TCP (tcp(7), `tcp_mem`: the second number, in pages), for once it is
/// short, sockets say that they are writable and take nothing; and no more than a thirty-second of what the control group may have,
/// which the process itself needs too: who comes early has a larger share and keeps it, so a crowd that comes at once takes several
/// times the budget.
fn share(tcp_mem: &str, group_len_max: Option<u64>) -> usize {
    let pages: Option<usize> = tcp_mem.split_whitespace().nth(1).and_then(|pages| pages.parse().ok());
    // Pages of 4 KiB, the smallest that there are.
    let of_tcp = pages.map_or(DEFAULT, |pages| pages.saturating_mul(4096 / 8));
    group_len_max.map_or(of_tcp, |len| of_tcp.min(usize::try_from(len / 32).unwrap_or(usize::MAX)))
}

/// The files that limit the memory of a process of which `/proc/self/cgroup` says this: its own group's and those around it, in
/// version 2 of control groups (cgroups(7): the line `0::PATH`) and in version 1 (`NUMBER:memory:PATH`). In a container the path
/// may be that of the host, of which only the root is there. A group without a limit says `max`, or a number that is no bound.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|it| it == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let around = Path::new(path.trim_start_matches('/')).ancestors().take(DEPTH_MAX);
        files.extend(around.map(|group| Path::new(root).join(group).join(name)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_files(groups: &str, expected: &[&str]) {
        let files: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(limit_files(groups), files, "{groups:?}");
    }

    #[test]
    fn the_group_and_those_around_it_are_asked_in_both_versions() {
        check_files(
            "0::/system.slice/vidgate.service\n",
            &[
                "/sys/fs/cgroup/system.slice/vidgate.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ],
        );
        check_files("0::/\n", &["/sys/fs/cgroup/memory.max"]);
        check_files(
            "9:name=systemd:/a\n4:cpu,memory:/box\n2:memoryless:/b\n",
            &["/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"],
        );
        for nothing in ["", "\n", "garbage", "4:memory", ":", "3:cpu:/a"] {
            check_files(nothing, &[]);
        }
        let deep = format!("0::{}\n", "/a".repeat(1000));
        assert_eq!(limit_files(&deep).len(), DEPTH_MAX);
    }

    #[test]
    fn the_share_is_bounded_by_tcp_and_by_the_group() {
        let mib = 1024 * 1024;
        for (tcp_mem, group_len_max, expected) in [
            ("1 25600 3\n", None, 100 * mib / 8),
            ("1 25600 3\n", Some(64 * mib as u64), 2 * mib),
            ("1 25600 3\n", Some(9_223_372_036_854_771_712), 100 * mib / 8),
            ("", None, DEFAULT),
            ("garbage here", None, DEFAULT),
            ("", Some(0), 0),
            ("1 18446744073709551615 3", None, usize::MAX),
            ("1 18446744073709551616 3", None, DEFAULT),
        ] {
            assert_eq!(share(tcp_mem, group_len_max), expected, "{tcp_mem:?}, {group_len_max:?}");
        }
    }
}
