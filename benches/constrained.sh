#!/usr/bin/env bash
# 2,000 viewers at the pace of a film, from a bucket, with 64 MiB of memory for the server and for what the kernel holds for its
# sockets: a control group and a network of its own, as a container has. Loopback only. Exits 1 where an aim is missed.
#
#   benches/constrained.sh [VIEWERS] [BYTES_PER_SECOND] [SECONDS]
#
# Needs: target/release/vidgate, the MinIO of tests/install.sh, curl, jq, bc, iproute2, and root, for the network and the control group.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${IN_A_NETWORK_OF_ITS_OWN:-}" ]; then exec env IN_A_NETWORK_OF_ITS_OWN=yes unshare --net -- benches/constrained.sh "$@"; fi
ip link set lo up
# What the bucket has sent and nobody has read yet counts too: up to tens of megabytes a connection where the host is large.
echo "4096 65536 131072" > /proc/sys/net/ipv4/tcp_rmem
viewers=${1:-2000} pace=${2:-65536} seconds=${3:-60}
. benches/common.sh
need curl:curl jq:jq bc:bc iproute2:ip
slow_readers=$(harness slow_readers)
ulimit -n "$(ulimit -Hn)"
memory_max=$((64 * 1048576))

# Version 2 counts all in one place; version 1 has another counter for TCP, and counts there once it has a limit.
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    version=2 group=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/vidgate-bench-$$
else
    version=1 group=/sys/fs/cgroup/memory$(grep -oP ':memory:\K.*' /proc/self/cgroup)/vidgate-bench-$$
fi
mkdir "$group" || { echo "$0: no control group can be made; is this root?" >&2; exit 1; }
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rmdir "$group"; rm -rf "$work"' EXIT
if [ "$version" = 2 ]; then
    echo "$memory_max" > "$group/memory.max"
else
    echo "$memory_max" > "$group/memory.limit_in_bytes"
    echo "$memory_max" > "$group/memory.kmem.tcp.limit_in_bytes"
fi
# The most that was used, in MB: what the process has, what the kernel holds in sockets, and both; and how often it was too little.
report_memory() {
    local process=0 sockets=0 killed
    if [ "$version" = 2 ]; then
        process=$(cat "$group/memory.peak")
        killed=$(awk '/^oom_kill / { print $2 }' "$group/memory.events")
    else
        process=$(cat "$group/memory.max_usage_in_bytes") sockets=$(cat "$group/memory.kmem.tcp.max_usage_in_bytes")
        killed=$(awk '/^oom_kill / { print $2 }' "$group/memory.oom_control")
    fi
    echo "$process $sockets $killed" | awk '{ printf "memory at most %.1f MB: process %.1f MB, sockets %.1f MB; killed %d\n", ($1 + $2) / 1048576, $1 / 1048576, $2 / 1048576, $3 }'
}

make_film 256
start_minio
free 9402
(
    echo "$BASHPID" > "$group/cgroup.procs"
    cd "$work"
    exec env MALLOC_ARENA_MAX=1 PORT=9402 VIDGATE_LOG=warn "${on_minio[@]}" VIDGATE_CACHE_RAM=8MiB VIDGATE_WORKERS_PER_CORE=2 "$vidgate"
) > "$work/9402.log" 2> "$work/9402.err" & vidgate_pid=$!
pids+=("$vidgate_pid")
until grep -qs listening "$work/9402.log"; do kill -0 "$vidgate_pid"; done
line=$("$slow_readers" "$url" "$viewers" "$pace" "$seconds" "$vidgate_pid")
memory=$(report_memory)
printf '%s\n%s\n' "$line" "$memory"
aim "lost" "$(number "$line" lost)" "<=" "$((viewers / 1000))"
aim "memory at most, MB" "$(number "$memory" most)" "<=" 64
aim "killed for want of memory" "$(number "$memory" killed)" "==" 0
exit "$missed"
