#!/usr/bin/env bash
# SIGTERM with 200 streams running, ten of whose viewers never read: no new connection, those that can end do, exit code 0.
# Loopback only. Exits 1 where an aim is missed.
#
#   benches/drain.sh        needs: target/release/vidgate, curl, bc
set -euo pipefail
cd "$(dirname "$0")/.."
. benches/common.sh
need curl:curl bc:bc
make_film 16
start_vidgate VIDGATE_DRAIN_TIMEOUT=20s

readers=()
for number in $(seq 190); do
    # Some six seconds of film.
    { curl -sf -D "$work/head.$number" --limit-rate 3M "$url" | md5sum > "$work/got.$number"; } & readers+=($!)
done
for number in $(seq 191 200); do
    curl -sf -D "$work/head.$number" --limit-rate 1 -o /dev/null "$url" & pids+=($!)
done
until [ "$(cat "$work"/head.* 2>/dev/null | grep -c '^HTTP/1.1 200')" = 200 ]; do kill -0 "$vidgate_pid"; done
kill -TERM "$vidgate_pid"
start=$(date +%s%N)
while curl -s -o /dev/null http://127.0.0.1:9402/healthz; do :; done
refused=$((($(date +%s%N) - start) / 1000000))
wait "${readers[@]}"
ended=$((($(date +%s%N) - start) / 1000000))
status=0
wait "$vidgate_pid" || status=$?
gone=$((($(date +%s%N) - start) / 1000000))
whole=$(cat "$work"/got.* | grep -c "$(md5sum < "$film")" || true)
echo "port refused after $refused ms; $whole of 190 readers had the film, the last after $ended ms; gone after $gone ms, exit code $status"
aim "port refused after, ms" "$refused" "<" 1000
aim "readers who had the film whole" "$whole" "==" 190
# Those who never read are cut at the drain time.
aim "gone after, ms" "$gone" "<" 22000
aim "exit code" "$status" "==" 0
exit "$missed"
