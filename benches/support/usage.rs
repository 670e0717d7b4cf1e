//! What processes use, as the system tells it.

/// What processes use, all of them together.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    /// Resident memory, in KiB; what processes share is counted for each of them.
    pub rss_kib: u64,
    /// Resident memory, in KiB; what processes share is counted in parts.
    pub pss_kib: u64,
    /// Threads.
    pub threads: u64,
    /// Processor time so far, in hundredths of a second.
    pub cpu_ticks: u64,
    /// Threads of a pool of vidgate's that are at something at this moment.
    pub pool_busy: u64,
}

/// Processes, and those that they started, and so on.
pub fn family(pids: &[u32]) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let with_parents: Vec<(u32, u32)> = processes
        .filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // proc(5): the parent is the 4th field; the 2nd may hold spaces and ends with a parenthesis.
            let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, parent))
        })
        .collect();
    let mut family = pids.to_vec();
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(with_parents.iter().filter(|(_, its)| *its == parent).map(|(pid, _)| pid));
        at += 1;
    }
    family
}

/// What these processes use now, all of them together.
pub fn usage(pids: &[u32]) -> Usage {
    let mut sum = Usage::default();
    for pid in pids {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let status = read("status");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()).and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        sum.rss_kib += number("VmRSS:");
        let rollup = read("smaps_rollup");
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse::<u64>().ok());
        sum.pss_kib += pss.unwrap_or(0);
        sum.threads += number("Threads:");
        // proc(5): utime and stime are the 14th and 15th field; the 2nd may hold spaces and ends with a parenthesis.
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        sum.cpu_ticks += ticks(11) + ticks(12);
        sum.pool_busy += pool_busy(*pid);
    }
    sum
}

/// How many threads of the pool are not waiting for work (proc(5), `wchan`: where a thread sleeps; work is waited for at a futex).
fn pool_busy(pid: u32) -> u64 {
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let pool = tasks.filter(|task| read(task.path().join("comm")).trim_end() == "vidgate-pool");
    pool.filter(|task| !read(task.path().join("wchan")).starts_with("futex")).count() as u64
}
