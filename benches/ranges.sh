#!/usr/bin/env bash
# Ranges of 64 KiB a second, 16 connections: vidgate on a directory, nginx on the same file, in turns; the median of the turns.
# Loopback only.
#
#   benches/ranges.sh [TURNS] [SECONDS]        needs: target/release/vidgate, nginx, curl, bc
set -euo pipefail
cd "$(dirname "$0")/.."
turns=${1:-5} seconds=${2:-5}
. benches/common.sh
need nginx-light:nginx curl:curl bc:bc
fast_readers=$(harness fast_readers)
make_film 256
start_vidgate
start_nginx

for _ in $(seq "$turns"); do
    for server in "vidgate $url" "nginx http://127.0.0.1:9405/film.mp4"; do
        read -r name address <<< "$server"
        number "$("$fast_readers" ranges "$address" 16 65536 "$seconds")" 65536: >> "$work/$name"
    done
done
vidgate_median=$(median < "$work/vidgate") nginx_median=$(median < "$work/nginx")
echo "ranges of 64 KiB a second, 16 connections: vidgate $vidgate_median, nginx with sendfile $nginx_median"
aim "every turn has its figure" "$(cat "$work/vidgate" "$work/nginx" | wc -l)" "==" "$((2 * turns))"
exit "$missed"
