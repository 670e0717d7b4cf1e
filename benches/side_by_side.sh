#!/usr/bin/env bash
# vidgate beside nginx, rclone and a Node cluster, all before the same bucket of one MinIO on this machine, at the same work in turns.
# Prints the medians, the ratios with their spread, and which bars are met; exits 1 where one is missed. Loopback only.
#
#   benches/side_by_side.sh [--quick] [--turns N] [--seconds N] [--peers "NAME ..."] [SECTION ...]
#
# Sections, all of them where none is named:
#   cached         whole films from the cache: throughput, CPU a GB and memory with 1, 8 and 64 readers
#   cold           the same with films that no cache holds
#   cached_ranges  ranges of 64 KiB a second, 16 connections, from the cache
#   cold_ranges    the same with films that no cache holds
#
# --quick is for work by a profile: 8 readers only, 2 seconds a turn, vidgate and nginx only.
#
# Needs: target/release/vidgate, tests/install.sh benches, nginx, curl, bc, python3.
set -euo pipefail
cd "$(dirname "$0")/.."
turns=5 seconds=5 readers="1 8 64" peers="vidgate vidgate-nocache vidgate-cached nginx nginx-stock nginx-slice rclone rclone-cached node" sections=()
while [ $# -gt 0 ]; do
    case $1 in
        --quick) seconds=2 readers=8 peers="vidgate vidgate-nocache vidgate-cached nginx nginx-stock nginx-slice" ;;
        --turns) turns=$2; shift ;;
        --seconds) seconds=$2; shift ;;
        --peers) peers=$2; shift ;;
        -*) sed -n '2,/^set/s/^# \?//p' "$0" >&2; exit 2 ;;
        *) sections+=("$1") ;;
    esac
    shift
done
[ ${#sections[@]} -gt 0 ] || sections=(cached cold cached_ranges cold_ranges)
. benches/common.sh
. benches/peers.sh
need nginx-light:nginx curl:curl jq:jq bc:bc python3:python3
fast_readers=$(harness fast_readers)
results=benches/out/side_by_side.tsv
mkdir -p benches/out
: > "$results"

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

# Peers in turns, another one first each time: SECTION LOAD METRIC hot|cold PEER..., and the words of the harness behind --,
# where URL stands for the peer's.
in_turns() {
    local section=$1 load=$2 metric=$3 kind=$4 turn peer line names=() count
    shift 4
    while [ "$1" != -- ]; do names+=("$1"); shift; done
    shift
    count=${#names[@]}
    for turn in $(seq "$turns"); do
        for at in $(seq 0 $((count - 1))); do
            peer=${names[((at + turn) % count)]}
            if line=$("$fast_readers" "${@/URL/$(url_of "$peer" "$kind")}" "${pid[$peer]}" "$minio_pid" 2> "$work/said"); then
                note_line "$section" "$load" "$peer" "$turn" "$metric" "$line"
            else
                echo "$section, $load: $peer failed in turn $turn: $(tail -n 1 "$work/said")" >&2
                note "$section" "$load" "$peer" "$turn" failed 1
            fi
        done
    done
}

hot_peers() { among vidgate-cached nginx nginx-stock nginx-slice rclone-cached node; }
cold_peers() { among vidgate vidgate-nocache nginx nginx-stock nginx-slice rclone node; }

run_cached() {
    # shellcheck disable=SC2046 # a list of names
    for load in $readers; do in_turns cached "$load" MB/s hot $(hot_peers) -- whole URL "$load" "$seconds"; done
}
run_cold() {
    # shellcheck disable=SC2046 # a list of names
    for load in $readers; do in_turns cold "$load" MB/s cold $(cold_peers) -- whole URL "$load" "$seconds"; done
}
# shellcheck disable=SC2046 # a list of names
run_cached_ranges() { in_turns cached_ranges 16 ranges/s hot $(hot_peers) -- ranges URL 16 65536 "$seconds"; }
# shellcheck disable=SC2046 # a list of names
run_cold_ranges() { in_turns cold_ranges 16 ranges/s cold $(cold_peers) -- ranges URL 16 65536 "$seconds"; }

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
python3 benches/report.py "$results"
