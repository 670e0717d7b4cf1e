# shellcheck shell=bash
# The servers that are compared, each as one would run it before a bucket. To be sourced behind common.sh, with MinIO started.
#
#   vidgate         with its default settings: 64 MiB of cache
#   vidgate-cached  with a cache that holds the hot film
#   vidgate-nocache without a cache
#   nginx-stock     a plain proxy to the same presigned URLs, as nginx is where nothing else is said: `proxy_pass`
#   nginx           the same tuned: its connections to the bucket kept, buffers of 64 KiB, nothing written to disk
#   nginx-slice     a slice cache before them; below /cold/ each request finds its cache empty
#   nginx-slice-open the same with open files that its viewers share, for slow ones: without, each has those of its own, and all run out
#   rclone          `rclone serve http`, and rclone-cached with its cache of files
#   vidgate-files   on a directory, and nginx-files on the same one, with sendfile
#   minio           no server at all: the clients read the bucket by presigned URLs, which no proxy can beat where the store's time is all
#   node            Express and the AWS SDK, one process a core: peers/node/server.mjs
#
# The port of a peer is ${port[NAME]}, and its process, once it runs, ${pid[NAME]}.

declare -A port=([vidgate]=9402 [vidgate-cached]=9403 [nginx]=9404 [nginx-slice]=9405 [nginx-stock]=9407 [vidgate-nocache]=9406 [rclone]=9408 [rclone-cached]=9409 [node]=9410
    [vidgate-files]=9411 [nginx-files]=9412 [nginx-slice-open]=9413)
declare -A pid=()
rclone=${XDG_CACHE_HOME:-$HOME/.cache}/vidgate/bin/rclone
rclone_remote=:s3,provider=Minio,endpoint="'http://127.0.0.1:9401'",access_key_id=bench,secret_access_key=bench-bench:films
cold_films=64

# Puts a set of films beside the hot one, more than any cache here holds.
make_cold_films() {
    local signed=(curl -sf --aws-sigv4 aws:amz:us-east-1:s3 -u bench:bench-bench)
    head -c $((32 * 1048576)) /dev/urandom > "$work/cold.mp4"
    "${signed[@]}" -T "$work/cold.mp4" http://127.0.0.1:9401/films/cold-0.mp4
    "${signed[@]}" -o /dev/null --parallel --parallel-max 4 -X PUT -H 'x-amz-copy-source: /films/cold-0.mp4' \
        "http://127.0.0.1:9401/films/cold-[1-$((cold_films - 1))].mp4" 2> /dev/null
}

# Where a peer has a film: PEER hot, PEER cold.
url_of() {
    local name=film.mp4 prefix=
    [ "$1" != minio ] || { echo "@$work/signed-$2"; return; }
    [ "$2" = hot ] || name="cold-{$cold_films}.mp4"
    case $1 in
        vidgate*) prefix=media/ ;;
        node) prefix=api/videos/ name+=/stream ;;
        nginx-slice) [ "$2" = hot ] || prefix=cold/ ;;
    esac
    echo "http://127.0.0.1:${port[$1]}/$prefix$name"
}

# How a peer is started: sets $command.
command_of() {
    case $1 in
        vidgate) command=(env PORT="${port[$1]}" VIDGATE_LOG=warn "${on_minio[@]}" "$vidgate") ;;
        vidgate-cached) command=(env PORT="${port[$1]}" VIDGATE_LOG=warn VIDGATE_CACHE_RAM=512MiB "${on_minio[@]}" "$vidgate") ;;
        vidgate-nocache) command=(env PORT="${port[$1]}" VIDGATE_LOG=warn VIDGATE_CACHE_RAM=0 "${on_minio[@]}" "$vidgate") ;;
        vidgate-files) command=(env PORT="${port[$1]}" VIDGATE_LOG=warn VIDGATE_DIR="$work/films" "$vidgate") ;;
        nginx*)
            configure_nginx "$1"
            command=(nginx -c "$work/$1/nginx.conf")
            ;;
        rclone) command=("$rclone" serve http --config /dev/null --addr "127.0.0.1:${port[$1]}" "$rclone_remote" --log-level ERROR) ;;
        rclone-cached)
            command=("$rclone" serve http --config /dev/null --addr "127.0.0.1:${port[$1]}" "$rclone_remote" --log-level ERROR
                --vfs-cache-mode full --cache-dir "$work/rclone")
            ;;
        node) command=(env NODE_ENV=production PORT="${port[$1]}" "${on_minio[@]}" node "$PWD/benches/peers/node/server.mjs") ;;
    esac
}

# Starts a peer, and waits until it serves the film.
start_peer() {
    if [ "$1" = minio ]; then pid[minio]=$minio_pid; return; fi
    free "${port[$1]}"
    command_of "$1"
    (cd "$work" && exec "${command[@]}") > "$work/$1.log" 2>&1 & pid[$1]=$!
    pids+=("${pid[$1]}")
    until curl -sf -o /dev/null -r 0-0 "$(url_of "$1" hot)"; do
        kill -0 "${pid[$1]}" || { cat "$work/$1.log" >&2; exit 1; }
    done
}

# Ends a peer, and what it started.
stop_peer() {
    kill "${pid[$1]}"
    wait "${pid[$1]}" 2> /dev/null || true
}

# A peer before a bucket, whatever the load before it did to either: what is not there any more, or does not answer, starts anew.
revive() {
    if ! curl -sf -m 10 -o /dev/null http://127.0.0.1:9401/minio/health/ready; then
        echo "MinIO did not outlive the load before $1, and starts anew" >&2
        kill -9 "$minio_pid" 2> /dev/null || true
        wait "$minio_pid" 2> /dev/null || true
        launch_minio
    fi
    if ! curl -sf -m 10 -o /dev/null -r 0-0 "$(url_of "$1" hot)"; then
        echo "$1 does not answer, and starts anew" >&2
        kill -9 "${pid[$1]}" 2> /dev/null || true
        wait "${pid[$1]}" 2> /dev/null || true
        start_peer "$1"
        check_peer "$1"
    fi
}

# The peer's copy of the film is the film; where it has a cache that may hold it, it does from here on.
check_peer() {
    [ "$1" != minio ] || return 0
    cmp -s "$film" <(curl -sf "$(url_of "$1" hot)") || { echo "$0: $1 does not serve the film" >&2; exit 1; }
}

# The presigned URLs of all films, and their signatures as nginx reads them into a map.
sign_films() {
    local name
    presign film.mp4 > "$work/signed-hot"
    for name in $(seq -f 'cold-%g.mp4' 0 $((cold_films - 1))); do presign "$name"; done > "$work/signed-cold"
    sed -E 's|^http://[^/]*/films(/[^?]*)\?(.*)|\1 "\2";|' "$work/signed-hot" "$work/signed-cold" > "$work/signatures"
}

# Access log off, as with vidgate here. All but nginx-stock keep their connections to the store, and have a megabyte of buffers for each
# viewer and no temporary files, which slow viewers would fill disks with.
configure_nginx() {
    local locations files='' kept='keepalive 128; keepalive_requests 1000000;' tuned='proxy_http_version 1.1; proxy_set_header Connection "";
        proxy_buffer_size 16k; proxy_buffers 16 64k; proxy_busy_buffers_size 256k; proxy_max_temp_file_size 0;'
    mkdir -p "$work/$1"
    [ "$1" != nginx-stock ] || kept='' tuned=''
    [ "$1" != nginx-slice-open ] || files='open_file_cache max=4000 inactive=5m; open_file_cache_valid 5m;'
    case $1 in
        nginx | nginx-stock) locations="location / { proxy_pass http://store/films\$uri?\$signature; }" ;;
        nginx-files) locations="root $work/films;" ;;
        nginx-slice*) locations="
        proxy_ignore_headers Vary;
        proxy_cache_valid 200 206 1h;
        proxy_cache_lock on;
        slice 1m;
        proxy_set_header Range \$slice_range;
        location / { proxy_cache films; proxy_cache_key \$uri\$slice_range; proxy_pass http://store/films\$uri?\$signature; }
        location ~ ^/cold/(.*) { proxy_cache cold; proxy_cache_key \$request_id\$slice_range; proxy_pass http://store/films/\$1?\$signature; }" ;;
    esac
    cat > "$work/$1/nginx.conf" <<CONF
worker_processes auto; worker_rlimit_nofile 20000; daemon off; pid $work/$1/pid; error_log $work/$1/error.log;
events { worker_connections 19000; }
http {
    access_log off; sendfile on; tcp_nodelay on; send_timeout 60s; keepalive_requests 1000000;
    client_body_temp_path $work/$1/body; proxy_temp_path $work/$1/temp;
    proxy_cache_path $work/$1/cache levels=1:2 keys_zone=films:10m max_size=2g use_temp_path=off;
    proxy_cache_path $work/$1/cold levels=1:2 keys_zone=cold:10m max_size=1g use_temp_path=off;
    map_hash_max_size 1024; map_hash_bucket_size 128;
    map \$uri \$film { "~^/cold/(.*)" /\$1; default \$uri; }
    map \$film \$signature { include $work/signatures; }
    upstream store { server 127.0.0.1:9401; $kept }
    server {
        listen 127.0.0.1:${port[$1]} backlog=4096;
        proxy_set_header Host 127.0.0.1:9401;
        $tuned $files
        $locations
    }
}
CONF
}
