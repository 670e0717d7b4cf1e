#!/usr/bin/env bash
# Throughput and CPU seconds per GB of one and of eight readers, in turns: vidgate on a directory; on MinIO with the film in its
# cache, and without a cache; MinIO itself by a presigned URL; nginx on the same file. Prints the median of the turns. Loopback only.
#
#   benches/readers.sh [TURNS]        needs: target/release/vidgate, the MinIO of tests/install.sh, nginx, curl, bc
set -euo pipefail
cd "$(dirname "$0")/.."
turns=${1:-5}
. benches/common.sh
need nginx-light:nginx curl:curl bc:bc
slow_readers=$(harness slow_readers)
make_film 256
start_minio
start_vidgate
start_nginx
start_one 9403 "${on_minio[@]}" VIDGATE_CACHE_RAM=512MiB; cached_pid=$one_pid
start_one 9406 "${on_minio[@]}" VIDGATE_CACHE_RAM=0; uncached_pid=$one_pid
curl -sf -o /dev/null http://127.0.0.1:9403/media/film.mp4

# CPU seconds so far of a process and its children.
cpu() { cat /proc/"$1"/stat $(pgrep -P "$1" | sed 's|.*|/proc/&/stat|') | awk '{ sub(/.*\) /, ""); ticks += $12 + $13 } END { print ticks / 100 }'; }
# One turn: GB a second, and CPU seconds a GB of the processes named.
turn() {
    local url=$1 readers=$2; shift 2
    local before=0 after=0 start end readers_pids=()
    for pid; do before=$(echo "$before + $(cpu "$pid")" | bc -l); done
    start=$(date +%s.%N)
    for _ in $(seq "$readers"); do
        { curl -sf -o /dev/null "$url" && curl -sf -o /dev/null "$url"; } & readers_pids+=($!)
    done
    for pid in "${readers_pids[@]}"; do wait "$pid"; done
    end=$(date +%s.%N)
    for pid; do after=$(echo "$after + $(cpu "$pid")" | bc -l); done
    echo "$readers $end $start $before $after" | awk '{ gb = $1 * 2 * 0.268435456; print gb / ($2 - $3), ($5 - $4) / gb }'
}

for readers in 1 8; do
    for _ in $(seq "$turns"); do
        turn "$url" "$readers" "$vidgate_pid" >> "$work/directory.$readers"
        turn http://127.0.0.1:9405/film.mp4 "$readers" "$nginx_pid" >> "$work/nginx.$readers"
        turn http://127.0.0.1:9403/media/film.mp4 "$readers" "$cached_pid" >> "$work/cached.$readers"
        turn http://127.0.0.1:9406/media/film.mp4 "$readers" "$uncached_pid" >> "$work/uncached.$readers"
        turn "$presigned" "$readers" "$minio_pid" >> "$work/direct.$readers"
    done
    for name in directory nginx cached uncached direct; do
        printf '%d readers, %-9s %6.2f GB/s %6.3f CPU s/GB (its own process)\n' "$readers" "$name" \
            "$(cut -d' ' -f1 "$work/$name.$readers" | median)" "$(cut -d' ' -f2 "$work/$name.$readers" | median)"
    done
done

# A thousand viewers at the pace of a film.
for port_pid in "9402 $vidgate_pid" "9403 $cached_pid" "9406 $uncached_pid"; do
    read -r port pid <<< "$port_pid"
    echo "port $port: $("$slow_readers" "http://127.0.0.1:$port/media/film.mp4" 1000 65536 20 "$pid")"
done
