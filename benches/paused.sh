#!/usr/bin/env bash
# A thousand viewers who read nothing: what a new one waits for its first byte meanwhile, what the pool does, and whether a viewer
# who paused all the time gets the rest of the film. Loopback only. Exits 1 where an aim is missed.
#
#   benches/paused.sh [SECONDS]        needs: target/release/vidgate, curl, bc
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-300}
. benches/common.sh
need curl:curl bc:bc
slow_readers=$(harness slow_readers) fast_readers=$(harness fast_readers)
make_film 256
start_vidgate

# The one who pauses: asks now, and reads when the others have gone.
exec 9<> /dev/tcp/127.0.0.1/9402
printf 'GET /media/film.mp4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >&9
"$slow_readers" "$url" 1000 0 "$((seconds + 12))" "$vidgate_pid" > "$work/crowd" & crowd=$!
# The crowd is there when this many descriptors are in use.
until [ "$(find "/proc/$vidgate_pid/fd" -mindepth 1 | wc -l)" -gt 1000 ]; do kill -0 "$crowd"; done
"$fast_readers" first-byte "$url" "$seconds" > "$work/new"
wait "$crowd"
line=$(cat "$work/crowd") new=$(cat "$work/new")
printf '%s\n%s\n' "$line" "$new"
aim "lost of those who paused" "$(number "$line" lost)" "<=" 0
aim "KB a viewer" "$(number "$line" '\(')" "<=" 4
aim "first byte of a new viewer, most, ms" "$(number "$new" max)" "<" 50
# The new viewers are served by the pool, and a look may find it at one of them.
busy=$(number "$line" 'busy in') looks=$(number "$line" 'looks? of|busy in [0-9]+ of')
aim "share of looks that found the pool at work" "$(echo "scale=4; $busy / $looks" | bc -l)" "<=" 0.02

# Behind the head, the film.
paused=$(sed '1,/^\r$/d' <&9 | md5sum) whole=$(md5sum < "$film")
aim "the paused viewer's film is the film" "$([ "$paused" = "$whole" ] && echo 1 || echo 0)" "==" 1
exit "$missed"
