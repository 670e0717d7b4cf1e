#!/usr/bin/env bash
# slowhttptest in its four modes with 1,000 connections each: slow heads, slow bodies, overlapping ranges, slow reading. Loopback
# only. Exits 1 where the service was not available, or something was not given back.
#
#   benches/slowhttp.sh [SECONDS]        needs: target/release/vidgate, slowhttptest, curl, bc
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-30}
. benches/common.sh
need slowhttptest:slowhttptest curl:curl bc:bc
ulimit -n "$(ulimit -Hn)"
make_film 64
start_vidgate

descriptors() { find "/proc/$vidgate_pid/fd" -mindepth 1 | wc -l; }
memory() { awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/$vidgate_pid/status"; }
before=$(descriptors)
for mode in "H slow heads" "B slow bodies" "R ranges" "X slow reading"; do
    read -r letter name <<< "$mode"
    options=(-c 1000 -r 500 -l "$seconds" -p 2 -u "$url")
    case $letter in
        H) options+=(-H -i 5 -x 24) ;;
        B) options+=(-B -i 5 -s 8192 -x 24 -t POST) ;;
        R) options+=(-R -a 10 -b 3000) ;;
        X) options+=(-X -w 256 -y 512 -n 5 -z 32 -k 1) ;;
    esac
    # Its colours are for people. It asks for the page itself all the time, and says when that took more than two seconds.
    slowhttptest "${options[@]}" 2>&1 | sed 's/\x1b\[[0-9;]*m//g' > "$work/said" || true
    down=$(grep -c 'service available: *NO' "$work/said" || true)
    answered=$(curl -sf -o /dev/null -w '%{time_total}' http://127.0.0.1:9402/healthz || echo 99)
    # What is on its way out has two seconds to go.
    for _ in {1..50}; do
        [ "$(descriptors)" -gt "$before" ] || break
        sleep 0.1
    done
    echo "$name: /healthz in $answered s, descriptors $before -> $(descriptors), memory $(memory) MB; $(grep -c . "$work/said") lines, last: $(grep -v '^ *$' "$work/said" | tail -n 1)"
    aim "looks that found the service down" "$down" "==" 0
    aim "looks that found it up" "$(grep -c 'service available: *YES' "$work/said" || true)" ">" 0
    aim "/healthz, s" "$answered" "<" 1
    aim "descriptors more than before" "$(($(descriptors) - before))" "<=" 0
    aim "memory, MB" "$(memory)" "<=" 64
done
exit "$missed"
