#!/usr/bin/env bash
# Throughput and CPU seconds per GB of one and of eight readers: vidgate on a directory, vidgate on MinIO, MinIO itself by a
# presigned URL, and nginx on the same file, in turns. Prints the median of the turns. Loopback only.
#
#   benches/readers.sh [TURNS]        needs: target/release/vidgate, the MinIO of tests/install.sh, nginx, curl, python3
set -euo pipefail
cd "$(dirname "$0")/.."
turns=${1:-5}
. benches/common.sh
need nginx-light:nginx curl:curl bc:bc python3:python3 procps:pgrep
minio=${VIDGATE_TEST_MINIO:-${XDG_CACHE_HOME:-$HOME/.cache}/vidgate/bin/minio}
slow_readers=$(harness slow_readers)
make_film 256
export MINIO_ROOT_USER=bench MINIO_ROOT_PASSWORD=bench-bench
"$minio" server --quiet --address 127.0.0.1:9401 "$work/minio" > "$work/minio.log" 2>&1 & pids+=($!); minio_pid=$!
until curl -sf http://127.0.0.1:9401/minio/health/ready; do :; done
sign() { curl -s --aws-sigv4 aws:amz:us-east-1:s3 -u bench:bench-bench "$@"; }
sign -X PUT http://127.0.0.1:9401/films
sign -T "$film" http://127.0.0.1:9401/films/film.mp4

# A presigned URL (SigV4 in the query), by hand, so that no client library is needed.
presigned=$(python3 - <<'PY'
import datetime, hashlib, hmac
now = datetime.datetime.now(datetime.timezone.utc).strftime('%Y%m%dT%H%M%SZ')
scope = f'{now[:8]}/us-east-1/s3/aws4_request'
query = ('X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=bench%2F' + scope.replace('/', '%2F') +
         f'&X-Amz-Date={now}&X-Amz-Expires=86400&X-Amz-SignedHeaders=host')
request = f'GET\n/films/film.mp4\n{query}\nhost:127.0.0.1:9401\n\nhost\nUNSIGNED-PAYLOAD'
text = f'AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}'
key = b'AWS4bench-bench'
for part in (now[:8], 'us-east-1', 's3', 'aws4_request', text):
    key = hmac.new(key, part.encode(), hashlib.sha256).digest()
print(f'http://127.0.0.1:9401/films/film.mp4?{query}&X-Amz-Signature={key.hex()}')
PY
)

(cd "$work" && PORT=9403 AWS_BUCKET_NAME=films AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=bench AWS_SECRET_ACCESS_KEY=bench-bench \
    AWS_ENDPOINT_URL_S3=http://127.0.0.1:9401 VIDGATE_LOG=warn exec "$vidgate") > "$work/s3.log" 2> "$work/s3.err" & pids+=($!); s3_pid=$!
until grep -q listening "$work/s3.log"; do :; done
start_vidgate
start_nginx

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
        turn "http://127.0.0.1:9405/film.mp4" "$readers" "$nginx_pid" >> "$work/nginx.$readers"
        turn "http://127.0.0.1:9403/media/film.mp4" "$readers" "$s3_pid" >> "$work/s3.$readers"
        turn "$presigned" "$readers" "$minio_pid" >> "$work/minio-direct.$readers"
    done
    for name in directory nginx s3 minio-direct; do
        printf '%d readers, %-13s %6.2f GB/s %6.3f CPU s/GB (its own process)\n' "$readers" "$name" \
            "$(cut -d' ' -f1 "$work/$name.$readers" | median)" "$(cut -d' ' -f2 "$work/$name.$readers" | median)"
    done
done

# A thousand viewers at the pace of a film, from the store: there is no cache yet, so each costs the store what it takes and a little more.
for port_pid in "9402 $vidgate_pid" "9403 $s3_pid"; do
    read -r port pid <<< "$port_pid"
    echo -n "port $port: "
    "$slow_readers" "http://127.0.0.1:$port/media/film.mp4" 1000 65536 20 "$pid"
done
