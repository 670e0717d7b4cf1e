//! `num_cpus`: a pool size that is never 0 and never more than we may use.

use std::fs;

#[test]
fn there_is_at_least_one_and_no_more_than_the_affinity_allows() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed:")).unwrap();
    let allowed: u32 = mask.chars().filter_map(|digit| digit.to_digit(16)).map(u32::count_ones).sum();
    let found = num_cpus::get();
    assert!(1 <= found && found <= allowed as usize, "{found} of {mask}");
}
