# shellcheck shell=bash
# What the scripts beside it share: a working directory that goes with them, a film, servers on it, and aims that are met or not.
# To be sourced, from the folder above.
#
# Where a script starts vidgate, its process is $vidgate_pid (port 9402). It is target/release/vidgate, or BENCH_PROGRAM, an absolute
# path, such as that of what `make dist` made.

work=$(mktemp -d) pids=() missed=0
set -E
trap 'echo "$0: line $LINENO failed: $BASH_COMMAND" >&2' ERR
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$work/films"
chmod 755 "$work" "$work/films"
film=$work/films/film.mp4
url=http://127.0.0.1:9402/media/film.mp4
vidgate=${BENCH_PROGRAM:-$PWD/target/release/vidgate}

# Fails where a program is missing, and says how to get it: PACKAGE:PROGRAM.
need() {
    local entry packages=()
    for entry; do command -v "${entry#*:}" >/dev/null || packages+=("${entry%:*}"); done
    [ ${#packages[@]} = 0 ] || { echo "$0: missing; run: apt-get install -y --no-install-recommends ${packages[*]}" >&2; exit 1; }
    [ -x "$vidgate" ] || { echo "$0: there is no $vidgate; run: make build" >&2; exit 1; }
}

# Fails where something listens on a port already: what is measured must be what was started here.
free() {
    if (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; then echo "$0: something else listens on port $1" >&2; exit 1; fi
}

# The path of a harness, built.
harness() { cargo bench --locked --bench "$1" --no-run 2>&1 | sed -n "s|.*(\(target/release/deps/$1-[0-9a-f]*\)).*|$PWD/\1|p"; }

# A film of so many MiB that no compression or hole makes smaller.
make_film() { head -c $(($1 * 1048576)) /dev/urandom > "$film"; }

# Starts vidgate on the films, with these settings, and lets it have read the film once.
start_vidgate() {
    start_one 9402 VIDGATE_DIR="$work/films" "$@"
    vidgate_pid=$one_pid
    curl -sf -o /dev/null "$url"
}

# Starts MinIO on 9401, with what is there already: $minio_pid.
launch_minio() {
    local minio=${VIDGATE_TEST_MINIO:-${XDG_CACHE_HOME:-$HOME/.cache}/vidgate/bin/minio}
    [ -x "$minio" ] || { echo "$0: there is no MinIO; run: tests/install.sh" >&2; exit 1; }
    free 9401
    MINIO_ROOT_USER=bench MINIO_ROOT_PASSWORD=bench-bench \
        "$minio" server --quiet --address 127.0.0.1:9401 "$work/minio" > "$work/minio.log" 2>&1 & minio_pid=$!
    pids+=("$minio_pid")
    until curl -sf http://127.0.0.1:9401/minio/health/ready; do kill -0 "$minio_pid" || { cat "$work/minio.log" >&2; exit 1; }; done
}

# Starts MinIO with the film in the bucket `films`: $presigned, and $on_minio, the settings to read it with.
start_minio() {
    launch_minio
    local signed=(curl -sf --retry 5 --aws-sigv4 aws:amz:us-east-1:s3 -u bench:bench-bench)
    "${signed[@]}" -X PUT http://127.0.0.1:9401/films
    "${signed[@]}" -T "$film" http://127.0.0.1:9401/films/film.mp4
    on_minio=(AWS_BUCKET_NAME=films AWS_ENDPOINT_URL_S3=http://127.0.0.1:9401 AWS_ACCESS_KEY_ID=bench AWS_SECRET_ACCESS_KEY=bench-bench)
    presigned=$(presign film.mp4)
}

# The presigned URL of a film in MinIO, good for a day.
presign() { (cd "$work" && env "${on_minio[@]}" "$vidgate" url "$1" --expires 24h) | jq -er .url; }

# Starts vidgate with these settings on a port of its own, and gives its process: PORT SETTING...
start_one() {
    local port=$1; shift
    free "$port"
    (cd "$work" && exec env PORT="$port" VIDGATE_LOG=warn "$@" "$vidgate") > "$work/$port.log" 2> "$work/$port.err" & one_pid=$!
    pids+=("$one_pid")
    until grep -q listening "$work/$port.log"; do kill -0 "$one_pid"; done
}

# The number behind these words in a line.
number() { grep -oP "$2 ?\K[0-9.]+" <<< "$1" | head -n 1; }

# Says whether an aim is met: WHAT FIGURE OPERATOR BOUND. The script is to end with `exit $missed`.
aim() {
    if [ -n "$2" ] && [ "$(echo "$2 $3 $4" | bc -l)" = 1 ]; then
        echo "  met:    $1: $2 $3 $4"
    else
        echo "  MISSED: $1: ${2:-nothing} $3 $4"
        missed=1
    fi
}

median() { sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }
