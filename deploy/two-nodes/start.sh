#!/usr/bin/env bash
# Two vidgates on one MinIO and one Redis behind one nginx, on this machine: an example to try and to copy from.
#
#   deploy/two-nodes/start.sh [FILM ...]
#
# Starts all of it, puts the films into the bucket, prints the addresses and the processes, and ends all of it with Ctrl-C, or with
# the end of its standard input where STOP_WITH_STDIN is set. Everything it writes lies in a directory of its own, which it removes.
# Needs minio, redis-server, nginx and curl in PATH, and vidgate there, in VIDGATE, or built in target/release.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/sbin:${XDG_CACHE_HOME:-$HOME/.cache}/vidgate/bin

port=${PORT:-8080} port_a=${PORT_A:-3001} port_b=${PORT_B:-3002} port_minio=${PORT_MINIO:-9000} port_redis=${PORT_REDIS:-6390}
# A setting of the caller's is for the proxy, and not for both nodes.
unset PORT HOST
vidgate=${VIDGATE:-$(command -v vidgate || echo "$here/../../target/release/vidgate")}
for program in minio redis-server nginx curl "$vidgate"; do
    command -v "$program" >/dev/null || { echo "start.sh: $program is missing" >&2; exit 1; }
done
vidgate=$(realpath "$(command -v "$vidgate")")

dir=$(mktemp -d "${TMPDIR:-/tmp}/vidgate-two-nodes.XXXXXX")
processes=()
finish() {
    trap - EXIT INT TERM
    kill "${processes[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 0' INT TERM

# run NAME COMMAND...: in the background, its output in a file.
run() {
    local name=$1
    shift
    "$@" >"$dir/$name.out" 2>"$dir/$name.log" </dev/null &
    processes+=($!)
    echo "$name pid $!"
}
# until_there NAME COMMAND...: waits until it succeeds, half a minute at most.
until_there() {
    local name=$1
    shift
    for _ in {1..300}; do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "start.sh: $name did not start:" >&2
    cat "$dir/$name.log" >&2
    exit 1
}

user=vidgate password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
run minio env MINIO_ROOT_USER=$user MINIO_ROOT_PASSWORD="$password" MINIO_BROWSER=off MINIO_UPDATE=off \
    minio server --quiet --address "127.0.0.1:$port_minio" "$dir/data"
run redis redis-server --port "$port_redis" --bind 127.0.0.1 --save '' --appendonly no --dir "$dir"

s3() { curl -sf --aws-sigv4 aws:amz:us-east-1:s3 -K "$dir/user" "$@"; }
(umask 077 && printf 'user = "%s:%s"\n' "$user" "$password" >"$dir/user")
endpoint=http://127.0.0.1:$port_minio
until_there minio s3 -X PUT "$endpoint/films"
for film in "$@"; do s3 -T "$film" "$endpoint/films/$(basename "$film")"; done

# A .env in the working directory is not for them either: they start in a directory of their own.
export AWS_ENDPOINT_URL_S3=$endpoint AWS_BUCKET_NAME=films AWS_ACCESS_KEY_ID=$user AWS_SECRET_ACCESS_KEY=$password
export REDIS_URL=redis://127.0.0.1:$port_redis VIDGATE_TRUSTED_PROXIES=127.0.0.1
run node-a env -C "$dir" "$vidgate" serve --port "$port_a"
run node-b env -C "$dir" "$vidgate" serve --port "$port_b"
until_there node-a curl -sf "http://127.0.0.1:$port_a/readyz"
until_there node-b curl -sf "http://127.0.0.1:$port_b/readyz"

sed -e "s|@DIR@|$dir|g" -e "s|@PORT@|$port|g" -e "s|@PORT_A@|$port_a|g" -e "s|@PORT_B@|$port_b|g" "$here/nginx.conf" >"$dir/nginx.conf"
run nginx nginx -e "$dir/nginx-error.log" -c "$dir/nginx.conf" -p "$dir"
until_there nginx curl -sf "http://127.0.0.1:$port/healthz"

echo "ready http://127.0.0.1:$port"
if [ -n "${STOP_WITH_STDIN:-}" ]; then cat >/dev/null; else while sleep 3600; do :; done; fi
