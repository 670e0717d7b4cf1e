#!/usr/bin/env bash
# What Redis costs a viewer when it is well, paused, full of garbage, and gone: the first byte of requests to two servers that share
# one Redis and trust what they know of an object for a tenth of a second. Loopback only. Exits 1 where an aim is missed.
#
#   benches/redis.sh [REQUESTS]        needs: target/release/vidgate, the MinIO of tests/install.sh, redis-server, curl, bc
set -euo pipefail
cd "$(dirname "$0")/.."
requests=${1:-200}
. benches/common.sh
need redis-server:redis-server redis-tools:redis-cli curl:curl bc:bc
make_film 1
start_minio
redis-server --port 9407 --bind 127.0.0.1 --save '' --appendonly no --dir "$work" > "$work/redis.log" & redis_pid=$!
pids+=("$redis_pid")
until redis-cli -p 9407 ping > /dev/null 2>&1; do kill -0 "$redis_pid"; done
for port in 9402 9403; do start_one "$port" "${on_minio[@]}" REDIS_URL=redis://127.0.0.1:9407 VIDGATE_META_TTL=100ms; done

# So many requests to the two in turn, each in a tenth of a second of its own: what fails, and the first byte in milliseconds.
phase() {
    local number tick=0 failed=0 out p99
    for number in $(seq "$requests"); do
        until [ "$(($(date +%s%N) / 100000000))" != "$tick" ]; do :; done
        tick=$(($(date +%s%N) / 100000000))
        out=$(curl -s -o /dev/null -w '%{http_code} %{time_starttransfer}' -r 0-1023 "http://127.0.0.1:$((9402 + number % 2))/media/film.mp4")
        [ "${out% *}" = 206 ] || failed=$((failed + 1))
        echo "${out#* }" | awk '{ print $1 * 1000 }' >> "$work/$1"
    done
    p99=$(sort -n "$work/$1" | awk '{ a[NR] = $1 } END { print a[int(NR * 0.99)] }')
    echo "Redis $1: first byte p50 $(median < "$work/$1") ms, p99 $p99 ms, longest $(sort -n "$work/$1" | tail -n 1) ms"
    aim "failed of $requests" "$failed" "==" 0
    aim "p99 of the first byte, ms" "$p99" "<=" 300
}

phase well
kill -STOP "$redis_pid"
phase paused
kill -CONT "$redis_pid"
until redis-cli -p 9407 ping > /dev/null 2>&1; do kill -0 "$redis_pid"; done
# All that is there, again and again, while it is asked for.
while redis-cli -p 9407 keys '*' | xargs -rn 1 sh -c 'redis-cli -p 9407 set "$0" garbage > /dev/null'; do :; done 2> /dev/null & garbage_pid=$!
phase 'full of garbage'
kill "$garbage_pid"
wait "$garbage_pid" 2> /dev/null || true
kill "$redis_pid"
phase gone
echo "lines of the log about Redis: $(grep -ci redis "$work/9402.err") and $(grep -ci redis "$work/9403.err")"
exit "$missed"
