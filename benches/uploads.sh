#!/usr/bin/env bash
# What an upload costs: by PUT, by a form and in chunks, to a directory and to MinIO; `mc cp` and `curl -T` to a presigned URL beside
# that. For each the CPU seconds per GB of whoever works on it, the most memory that vidgate took, and whether the md5 is right. Then
# viewers' first bytes alone and beside 30 uploads at 50 KB/s. Loopback only. Exits 1 where an aim is missed.
#
#   benches/uploads.sh [MIB] [TURNS]        1024 MiB in 3 turns; needs: target/release/vidgate, tests/install.sh benches, curl, jq, bc
set -euo pipefail
cd "$(dirname "$0")/.."
mib=${1:-1024} turns=${2:-3}
. benches/common.sh
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vidgate mc=$cache/bin/mc
need curl:curl jq:jq bc:bc
[ -x "$mc" ] || { echo "$0: there is no mc; run: tests/install.sh benches" >&2; exit 1; }
slow_readers=$(harness slow_readers)
make_film "$mib"
sum=$(md5sum < "$film")
start_minio
token=(VIDGATE_ADMIN_TOKEN=the-token-of-this-bench)
bearer="Authorization: Bearer the-token-of-this-bench"
mkdir "$work/store"
start_one 9402 VIDGATE_DIR="$work/store" "${token[@]}"; vidgate_pid=$one_pid
export MC_CONFIG_DIR=$work/mc
"$mc" -q alias set here http://127.0.0.1:9401 bench bench-bench > "$work/mc.log"
put_url=$("$cache/python/bin/python" - <<'PY'
import botocore.session
session = botocore.session.get_session()
session.set_credentials("bench", "bench-bench")
client = session.create_client("s3", region_name="us-east-1", endpoint_url="http://127.0.0.1:9401")
print(client.generate_presigned_url("put_object", {"Bucket": "films", "Key": "upload.mp4"}, 86400))
PY
)

# CPU seconds so far of a process and its children that ended.
cpu_of() { awk '{ sub(/.*\) /, ""); print ($12 + $13) / 100 }' "/proc/$1/stat"; }
per_gb() { echo "scale=3; ($2 - $1) / ($mib * 0.001048576)" | bc -l | sed 's/^\./0./'; }

# One upload: NAME MD5-COMMAND COMMAND..., by a client whose CPU counts as well.
upload() {
    local name=$1 read_back=$2 before minio_before client peak=- got
    shift 2
    before=$(cpu_of "$vidgate_pid") minio_before=$(cpu_of "$minio_pid")
    echo 5 > "/proc/$vidgate_pid/clear_refs"
    client=$(TIMEFORMAT='%U %S'; { time "$@" > "$work/said" 2>&1; } 2>&1) || { cat "$work/said" >&2; return 1; }
    client=$(echo "scale=3; (${client/ / + }) / ($mib * 0.001048576)" | bc -l | sed 's/^\./0./')
    peak=$(awk '/^VmHWM/ { print $2 / 1024 }' "/proc/$vidgate_pid/status")
    got=$($read_back | md5sum)
    printf '%-26s vidgate %6s, MinIO %6s, client %6s CPU s/GB; vidgate at most %6.1f MiB; md5 %s\n' "$name" \
        "$(per_gb "$before" "$(cpu_of "$vidgate_pid")")" "$(per_gb "$minio_before" "$(cpu_of "$minio_pid")")" "$client" "$peak" \
        "$([ "$got" = "$sum" ] && echo right || echo WRONG)"
    [ "$got" = "$sum" ] || missed=1
    [ "$(echo "$peak < 64" | bc -l)" = 1 ] || { echo "  MISSED: $peak MiB, and 64 may be"; missed=1; }
}

on_disk() { cat "$work/store/upload.mp4"; }
in_bucket() { curl -sf --aws-sigv4 aws:amz:us-east-1:s3 -u bench:bench-bench http://127.0.0.1:9401/films/upload.mp4; }
three_ways() {
    local where=$1 read_back=$2 to=$3
    upload "PUT to $where" "$read_back" curl -sSf -H "$bearer" -T "$film" "$to/upload.mp4"
    upload "form to $where" "$read_back" curl -sSf -H "$bearer" -F key=upload.mp4 -F "file=@$film" "$to"
    upload "chunks to $where" "$read_back" curl -sSf -H "$bearer" -H 'Transfer-Encoding: chunked' -T "$film" "$to/upload.mp4"
}

for turn in $(seq "$turns"); do
    echo "turn $turn, $mib MiB"
    three_ways "a directory" on_disk http://127.0.0.1:9402/api/videos
done
directory_pid=$vidgate_pid
start_one 9403 "${on_minio[@]}" "${token[@]}" VIDGATE_CACHE_RAM=0; vidgate_pid=$one_pid
for turn in $(seq "$turns"); do
    echo "turn $turn, $mib MiB"
    three_ways MinIO in_bucket http://127.0.0.1:9403/api/videos
    upload "mc cp to MinIO" in_bucket "$mc" -q cp "$film" here/films/upload.mp4
    upload "curl -T, presigned" in_bucket curl -sSf -T "$film" "$put_url"
done

# Viewers beside slow uploads, in turns: of the same server, and of the same bucket.
rm -f "$work/store/upload.mp4"
cp "$film" "$work/store/film.mp4"
head -c 4194304 "$film" > "$work/part"
for store in "9402 $directory_pid a directory" "9403 $vidgate_pid MinIO"; do
    read -r port server where <<< "$store"
    : > "$work/alone"; : > "$work/beside"
    for _ in $(seq "$turns"); do
        for with in alone beside; do
            uploaders=()
            if [ $with = beside ]; then
                for number in $(seq 30); do
                    curl -sf -o /dev/null -H "$bearer" --limit-rate 50K -T "$work/part" \
                        "http://127.0.0.1:$port/api/videos/slow-$number.mp4" & uploaders+=($!)
                done
                # They are under way when as many threads of uploads are there.
                until [ "$(grep -lsx vidgate-upload /proc/"$server"/task/*/comm | wc -l)" = 30 ]; do kill -0 "${uploaders[@]}"; done
            fi
            line=$("$slow_readers" "http://127.0.0.1:$port/media/film.mp4" 500 65536 10 "$server")
            [ $with = alone ] || [ "$(grep -lsx vidgate-upload /proc/"$server"/task/*/comm | wc -l)" = 30 ] || { echo "the uploads ended too soon"; missed=1; }
            echo "viewers of $where, $with: $line" | head -n 1
            number "$line" 'p99' >> "$work/$with"
            [ ${#uploaders[@]} = 0 ] || { kill "${uploaders[@]}"; wait "${uploaders[@]}" || true; }
        done
    done
    echo "first byte p99 of 500 viewers of $where: alone $(median < "$work/alone"), beside 30 uploads $(median < "$work/beside")"
done
exit "$missed"
