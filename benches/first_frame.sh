#!/usr/bin/env bash
# The first picture of a film in Chromium, and the first after a seek: from vidgate on a directory and on MinIO, cached and not, beside
# the same file from nginx (sendfile), and in vidgate's own player page from its navigation. Loopback only.
#
#   benches/first_frame.sh [TURNS]        needs: target/release/vidgate, nginx, curl, ffmpeg, chromium, and tests/install.sh
set -euo pipefail
cd "$(dirname "$0")/.."
turns=${1:-15}
. benches/common.sh
need nginx-light:nginx curl:curl ffmpeg:ffmpeg chromium:chromium
# Half an hour: sixty times the sample.
ffmpeg -loglevel error -nostdin -stream_loop 59 -i samples/vidgate-sample.mp4 -c copy -movflags +faststart "$film"
seconds=$(ffprobe -v error -show_entries format=duration -of csv=p=0 "$film")
echo "a film of $seconds s and $(stat -c %s "$film") bytes, $turns turns"
start_vidgate
start_minio
start_one 9403 "${on_minio[@]}"
start_one 9406 "${on_minio[@]}" VIDGATE_CACHE_RAM=0
cat > "$work/nginx.conf" <<CONF
worker_processes auto; daemon off; pid $work/nginx.pid; error_log $work/nginx.log;
events {}
http { access_log off; sendfile on; tcp_nopush on; types { video/mp4 mp4; } server { listen 127.0.0.1:9405; root $work/films; } }
CONF
nginx -c "$work/nginx.conf" & pids+=($!)
until curl -sfI http://127.0.0.1:9405/film.mp4 > /dev/null; do kill -0 "${pids[-1]}"; done
node benches/first_frame.mjs "$turns" "$seconds" \
    nginx=http://127.0.0.1:9405/film.mp4 \
    "vidgate, directory=$url" \
    "vidgate, bucket, cached=http://127.0.0.1:9403/media/film.mp4" \
    "vidgate, bucket, not cached=http://127.0.0.1:9406/media/film.mp4" \
    "its player page, directory=http://127.0.0.1:9402/watch/film.mp4"
