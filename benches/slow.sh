#!/usr/bin/env bash
# Slow viewers of a cached film: vidgate on a directory, and nginx with a slice cache (as one puts it before a bucket), one after
# the other under the same harness. Loopback only. Exits 1 where vidgate misses an aim.
#
#   benches/slow.sh [SECONDS]        needs: target/release/vidgate, nginx, curl, bc
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-30}
. benches/common.sh
need nginx-light:nginx curl:curl bc:bc
slow_readers=$(harness slow_readers)
ulimit -n "$(ulimit -Hn)"
make_film 256
start_vidgate
start_nginx

# Waits, for a minute at most, until the kernel has let go of the sockets of the load before: their bytes count against the memory
# that it has for all sockets (tcp(7), tcp_mem), and short of it the next server would starve for the sake of the last.
settle() {
    for _ in $(seq 60); do
        [ "$(awk '/^TCP:/ { print $5 }' /proc/net/sockstat)" -gt 20 ] || return 0
        sleep 1
    done
}

for load in "1000 65536 0" "5000 16384 0" "15000 4096 15"; do
    read -r viewers pace lost_max <<< "$load"
    settle
    line=$("$slow_readers" "$url" "$viewers" "$pace" "$seconds" "$vidgate_pid")
    echo "vidgate: $line"
    aim "lost" "$(number "$line" lost)" "<=" "$lost_max"
    aim "KB a viewer" "$(number "$line" '\(')" "<=" 4
    aim "threads" "$(number "$line" threads)" "<=" 64
    [ "$viewers" != 5000 ] || aim "first byte p99, s" "$(number "$line" p99)" "<" 0.5
    settle
    # Its workers, without the master.
    # shellcheck disable=SC2046 # a list of numbers
    echo "nginx:   $("$slow_readers" http://127.0.0.1:9404/film.mp4 "$viewers" "$pace" "$seconds" $(pgrep -P "$nginx_pid"))"
done
exit "$missed"
