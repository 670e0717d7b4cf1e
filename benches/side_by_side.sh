#!/usr/bin/env bash
# vidgate beside nginx, rclone and a Node cluster, all before the same bucket of one MinIO on this machine, at the same work in turns.
# Prints the medians, the ratios with their spread, and which bars are met; exits 1 where one is missed. Loopback only.
#
#   benches/side_by_side.sh [--quick] [--turns N] [--seconds N] [--peers "NAME ..."] [--page] [SECTION ...]
#
# Sections, all of them where none is named:
#   cached         whole films from the cache: throughput, CPU a GB and memory with 1, 8 and 64 readers
#   cold           the same with films that no cache holds
#   cached_ranges  ranges of 64 KiB a second, 16 connections, from the cache
#   cold_ranges    the same with films that no cache holds
#   files          whole films with 8 readers, and ranges: vidgate on a directory, nginx on the same files with sendfile
#   start          from the start to the first byte of a film, and memory at rest
#   slow           1,000 viewers at 64 KiB/s, 5,000 at 16 KiB/s, 15,000 at 4 KiB/s: lost, first byte, memory. Turns of 30 seconds: all
#                  of them for vidgate-cached, which has the bars, and one for each of the others. rclone without its cache is left out
#
# --quick is for work by a profile: 8 readers only, 2 seconds a turn, vidgate and nginx only.
# --page writes docs/benchmarks.md and its plots; so does a run of all sections that is not quick. The figures are in benches/out/,
# those of quick runs by themselves; a section that runs again replaces its own.
#
# Needs: target/release/vidgate, tests/install.sh benches, nginx, curl, bc, python3.
set -euo pipefail
cd "$(dirname "$0")/.."
turns=5 seconds=5 slow_seconds=30 readers="1 8 64" page=auto sections=() results=benches/out/side_by_side.tsv
peers="vidgate vidgate-nocache vidgate-cached vidgate-files nginx nginx-stock nginx-slice nginx-slice-open nginx-files minio rclone rclone-cached node"
while [ $# -gt 0 ]; do
    case $1 in
        --page) page=yes ;;
        --quick) page=${page/auto/no} seconds=2 readers=8 results=benches/out/quick.tsv peers="vidgate vidgate-nocache vidgate-cached vidgate-files nginx nginx-stock nginx-slice nginx-files minio" ;;
        --turns) turns=$2; shift ;;
        --seconds) seconds=$2; shift ;;
        --peers) peers=$2; shift ;;
        -*) sed -n '2,/^set/s/^# \?//p' "$0" >&2; exit 2 ;;
        *) sections+=("$1") ;;
    esac
    shift
done
[ ${#sections[@]} = 0 ] || page=${page/auto/no}
[ ${#sections[@]} -gt 0 ] || sections=(cached cold cached_ranges cold_ranges files start slow)
. benches/common.sh
. benches/peers.sh
need nginx-light:nginx curl:curl jq:jq bc:bc python3:python3
fast_readers=$(harness fast_readers) slow_readers=$(harness slow_readers) start=$(harness start)
mkdir -p benches/out
touch "$results"
load_before=$(cut -d' ' -f1 /proc/loadavg)
# The figures of sections that do not run now stay.
for section in "${sections[@]}"; do sed -i "/^$section\t/d" "$results"; done

# What was measured with what.
about() {
    local packages=benches/peers/node/package.json
    printf 'cores\t%s\n' "$(nproc)"
    printf 'turns\t%s of %s seconds\n' "$turns" "$seconds"
    printf 'vidgate\t%s\n' "$("$vidgate" --version | cut -d' ' -f2), release build"
    printf 'nginx\t%s\n' "$(nginx -v 2>&1 | cut -d/ -f2); \`nginx-stock\` is a plain proxy to presigned URLs with nothing else said; \`nginx\` is the same tuned: its connections to the bucket kept, buffers of 64 KiB, nothing written to disk; \`nginx-slice\` with a cache of slices of 1 MiB, \`nginx-slice-open\` the same with \`open_file_cache\`; \`nginx-files\` with sendfile"
    printf 'rclone\t%s\n' "$("$rclone" version | sed -n '1s/rclone //p'), \`serve http\`; \`rclone-cached\` with \`--vfs-cache-mode full\`"
    printf 'node\t%s\n' "$(node --version | tr -d v), express $(jq -r '.dependencies.express' $packages), @aws-sdk/client-s3 $(jq -r '.dependencies["@aws-sdk/client-s3"]' $packages), a process a core: \`benches/peers/node/server.mjs\`"
    printf 'MinIO\t%s\n' "$(readlink "$(dirname "$rclone")/minio" | sed 's/^minio-//'); \`minio\` is the bucket itself, read by presigned URLs"
    printf 'load\t%s when it began: what else ran on the machine\n' "$load_before"
    printf 'Linux\t%s\n' "$(uname -r | cut -d- -f1)"
}

# Those of these peers that take part.
among() { for peer; do case " $peers " in *" $peer "*) echo "$peer" ;; esac; done; }

# One figure: SECTION LOAD PEER TURN METRIC VALUE.
note() { printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$@" >> "$results"; }

# Takes the figures of a turn out of the harness's line: SECTION LOAD PEER TURN METRIC LINE.
note_line() {
    local at="$1 $2 $3 $4"
    # shellcheck disable=SC2086 # words
    {
        case $5 in
            MB/s) note $at MB/s "$(number "$6" 'speed:')" ;;
            ranges/s) note $at ranges/s "$(number "$6" "65536:")" ;;
        esac
        note $at cpu "$(number "$6" 'server')"
        note $at store_cpu "$(number "$6" 'store')"
        note $at client_cpu "$(number "$6" 'clients')"
        note $at rss "$(number "$6" 'RSS')"
        note $at pss "$(number "$6" 'PSS')"
    }
}

# Peers at their turns, another one first each time: SECTION LOAD METRIC hot|cold PEER..., and the words of the harness behind --,
# where URL stands for the peer's.
in_turns() {
    local section=$1 load=$2 metric=$3 kind=$4 turn at peer line names=()
    shift 4
    while [ "$1" != -- ]; do names+=("$1"); shift; done
    shift
    for turn in $(seq "$turns"); do
        for at in "${!names[@]}"; do
            peer=${names[((at + turn) % ${#names[@]})]}
            if line=$("$fast_readers" "${@/URL/$(url_of "$peer" "$kind")}" "${pid[$peer]}" "$minio_pid" 2> "$work/said"); then
                note_line "$section" "$load" "$peer" "$turn" "$metric" "$line"
            else
                note_failure "$section" "$load" "$peer" "$turn"
            fi
        done
    done
}

note_failure() {
    echo "$1, $2: $3 failed in turn $4: $(tail -n 1 "$work/said")" >&2
    note "$1" "$2" "$3" "$4" failed 1
}

run_cached() {
    local load
    for load in $readers; do
        # shellcheck disable=SC2046 # a list of names
        in_turns cached "$load" MB/s hot $(among vidgate-cached nginx nginx-stock nginx-slice rclone-cached node) -- whole URL "$load" "$seconds"
    done
}

run_cold() {
    local load
    for load in $readers; do
        # shellcheck disable=SC2046 # a list of names
        in_turns cold "$load" MB/s cold $(among vidgate vidgate-nocache nginx nginx-stock nginx-slice minio rclone node) -- whole URL "$load" "$seconds"
    done
}

# shellcheck disable=SC2046 # a list of names
run_cached_ranges() {
    in_turns cached_ranges 16 ranges/s hot $(among vidgate-cached nginx nginx-stock nginx-slice rclone-cached node) -- ranges URL 16 65536 "$seconds"
}

# shellcheck disable=SC2046 # a list of names
run_cold_ranges() {
    in_turns cold_ranges 16 ranges/s cold $(among vidgate vidgate-nocache nginx nginx-stock nginx-slice minio rclone node) -- ranges URL 16 65536 "$seconds"
}

# shellcheck disable=SC2046 # a list of names
run_files() {
    in_turns files 8 MB/s hot $(among vidgate-files nginx-files) -- whole URL 8 "$seconds"
    in_turns files ranges ranges/s hot $(among vidgate-files nginx-files) -- ranges URL 16 65536 "$seconds"
}

# Peers start anew here, beside none of their kind.
run_start() {
    local turn peer line command
    for peer in $(among vidgate nginx rclone node); do stop_peer "$peer"; done
    for turn in $(seq "$turns"); do
        for peer in $(among vidgate nginx rclone node); do
            command_of "$peer"
            if line=$(cd "$work" && "$start" "$(url_of "$peer" hot)" "${command[@]}" 2> "$work/said"); then
                note start 1 "$peer" "$turn" ms "$(number "$line" after)"
                note start 1 "$peer" "$turn" rss "$(number "$line" RSS)"
                note start 1 "$peer" "$turn" pss "$(number "$line" PSS)"
            else
                note_failure start 1 "$peer" "$turn"
            fi
        done
    done
    for peer in $(among vidgate nginx rclone node); do start_peer "$peer"; done
}

# Waits, for a minute at most, until the kernel has let go of the sockets of the load before: their bytes count against the memory
# that it has for all sockets (tcp(7), tcp_mem), and short of it the next server would starve for the sake of the last.
settle() {
    for _ in $(seq 60); do
        [ "$(awk '/^TCP:/ { print $5 }' /proc/net/sockstat)" -gt 20 ] || return 0
        sleep 1
    done
}

# One turn of slow viewers: PEER VIEWERS PACE TURN.
slow_turn() {
    local line at="slow $2 $1 $4"
    settle
    revive "$1"
    # shellcheck disable=SC2086 # words
    if line=$("$slow_readers" "$(url_of "$1" hot)" "$2" "$3" "$slow_seconds" "${pid[$1]}" 2> "$work/said"); then
        note $at lost "$(number "$line" lost)"
        note $at p50 "$(number "$line" p50)"
        note $at p99 "$(number "$line" p99)"
        note $at rss "$(number "$line" 'warm,')"
        note $at pss "$(number "$line" PSS)"
        note $at seconds "$(number "$line" CPU)"
    else
        note_failure slow "$2" "$1" "$4"
    fi
}

run_slow() {
    local load viewers pace turn peer
    for load in "1000 65536" "5000 16384" "15000 4096"; do
        read -r viewers pace <<< "$load"
        for turn in $(seq "$turns"); do
            for peer in $(among vidgate-cached); do slow_turn "$peer" "$viewers" "$pace" "$turn"; done
        done
        for peer in $(among vidgate nginx nginx-stock nginx-slice nginx-slice-open rclone-cached node); do slow_turn "$peer" "$viewers" "$pace" 1; done
    done
}

for section in "${sections[@]}"; do
    [ "$(type -t "run_$section")" = function ] || { echo "$0: there is no section $section" >&2; exit 2; }
done
ulimit -n "$(ulimit -Hn)"
make_film 256
start_minio
make_cold_films
sign_films
for peer in $peers; do
    start_peer "$peer"
    check_peer "$peer"
done
for section in "${sections[@]}"; do "run_$section"; done
if [ "$page" != no ]; then
    about > benches/out/side_by_side.about
    python3 benches/page.py "$results" benches/out/side_by_side.about docs
fi
python3 benches/report.py "$results" "${sections[@]}" || exit 1
