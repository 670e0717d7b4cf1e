#!/usr/bin/env bash
# Slow viewers of a cached film: vidgate on a directory, and nginx with a slice cache (as one puts it before a bucket), one after
# the other under the same harness. Loopback only.
#
#   benches/slow.sh [SECONDS]        needs: target/release/vidgate, nginx, curl
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-30}
work=$(mktemp -d) pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
harness=$(cargo bench --locked --bench slow_readers --no-run 2>&1 | grep -o 'target/release/deps/slow_readers-[0-9a-f]*')
vidgate=$PWD/target/release/vidgate
ulimit -n "$(ulimit -Hn)"

mkdir "$work/films"
head -c 268435456 /dev/urandom > "$work/films/film.mp4"
chmod 755 "$work" "$work/films"
(cd "$work" && PORT=9402 VIDGATE_DIR=$work/films VIDGATE_LOG=warn exec "$vidgate") > "$work/vidgate.log" & pids+=($!); vidgate_pid=$!
cat > "$work/nginx.conf" <<CONF
worker_processes auto; worker_rlimit_nofile 20000; daemon off; pid $work/nginx.pid; error_log $work/nginx.log;
events { worker_connections 19000; }
http {
    access_log off; sendfile on; tcp_nopush on; send_timeout 60s;
    proxy_cache_path $work/cache levels=1:2 keys_zone=films:10m max_size=2g;
    server { listen 127.0.0.1:9405; root $work/films; }
    server {
        listen 127.0.0.1:9404 backlog=4096;
        location / {
            slice 1m;
            proxy_cache films; proxy_cache_key \$uri\$slice_range; proxy_cache_valid 200 206 1h;
            proxy_set_header Range \$slice_range; proxy_http_version 1.1; proxy_pass http://127.0.0.1:9405;
        }
    }
}
CONF
nginx -c "$work/nginx.conf" & pids+=($!); nginx_pid=$!
until grep -q listening "$work/vidgate.log" && curl -sfI http://127.0.0.1:9404/film.mp4 > /dev/null; do :; done
# Both have the film at hand: the page cache, and the slice cache.
curl -sf -o /dev/null http://127.0.0.1:9402/media/film.mp4
curl -sf -o /dev/null http://127.0.0.1:9404/film.mp4

for load in "1000 65536" "5000 16384" "15000 4096"; do
    read -r viewers pace <<< "$load"
    echo -n "vidgate: "; "$harness" http://127.0.0.1:9402/media/film.mp4 "$viewers" "$pace" "$seconds" "$vidgate_pid"
    # Its workers, without the master.
    echo -n "nginx:   "; "$harness" http://127.0.0.1:9404/film.mp4 "$viewers" "$pace" "$seconds" $(pgrep -P "$nginx_pid")
done
