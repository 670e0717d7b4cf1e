#!/usr/bin/env bash
# One viewer at full speed alone, and beside a thousand at the pace of a film; and sixteen at full speed. Loopback only. Exits 1
# where an aim is missed.
#
#   benches/fair.sh [SECONDS] [TURNS]        needs: target/release/vidgate, curl, bc
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10} turns=${2:-3}
. benches/common.sh
need curl:curl bc:bc
slow_readers=$(harness slow_readers) fast_readers=$(harness fast_readers)
make_film 256
start_vidgate

for _ in $(seq "$turns"); do
    line=$("$fast_readers" whole "$url" 1 "$seconds")
    echo "alone:  $line"
    number "$line" 'speed:' >> "$work/alone"
    "$slow_readers" "$url" 1000 65536 "$((seconds + 12))" "$vidgate_pid" > "$work/crowd" & crowd=$!
    until [ "$(find "/proc/$vidgate_pid/fd" -mindepth 1 | wc -l)" -gt 1000 ]; do kill -0 "$crowd"; done
    line=$("$fast_readers" whole "$url" 1 "$seconds")
    wait "$crowd"
    echo "beside: $line"
    echo "        $(cat "$work/crowd")"
    number "$line" 'speed:' >> "$work/beside"
    aim "lost of the thousand" "$(number "$(cat "$work/crowd")" lost)" "<=" 0
    line=$("$fast_readers" whole "$url" 16 "$seconds")
    echo "$line"
    number "$line" 'slowest [0-9.]+ MB/s =' >> "$work/slowest"
    number "$line" 'fastest [0-9.]+ MB/s =' >> "$work/fastest"
done
# What else the machine does counts in each turn; so the median of the turns.
alone=$(median < "$work/alone") beside=$(median < "$work/beside")
aim "beside the thousand, as a part of alone" "$(echo "scale=3; $beside / $alone" | bc -l)" ">=" 0.7
aim "the slowest of sixteen, as a part of the mean" "$(median < "$work/slowest")" ">=" 0.8
aim "the fastest of sixteen, as a part of the mean" "$(median < "$work/fastest")" "<=" 1.2
exit "$missed"
