#!/bin/sh
# Makes hls/: the sample as an HLS rendition of 270 lines, with a main playlist, so that relative links lead through a folder.
#
#   sh samples/make-hls.sh [FILM [OUTPUT_FOLDER]]
#
# Needs: ffmpeg with libx264 and aac. make.sh calls it; by itself it takes some seconds. The same ffmpeg build gives the same bytes.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
film=${1:-$here/vidgate-sample.mp4}
out=${2:-$here/hls}
len_max=786432 # 768 KiB: it lies in the repository.

fail() {
    printf 'make-hls.sh: %s\n' "$1" >&2
    exit 1
}
command -v ffmpeg >/dev/null 2>&1 || fail 'ffmpeg is missing (Debian: apt-get install ffmpeg)'

part=$out.part
trap 'rm -rf -- "$part"' EXIT
rm -rf -- "$part"
mkdir -p "$part/270p"
# A keyframe every second, as in the film; a part every six, which is what Apple asks for.
(cd "$part/270p" && ffmpeg -hide_banner -loglevel error -nostdin -y -filter_threads 1 -i "$film" \
    -map 0:v -map 0:a -vf scale=480:270:flags=lanczos \
    -c:v libx264 -profile:v main -level 3.0 -pix_fmt yuv420p -preset slower -tune animation -crf 27 \
    -g 25 -keyint_min 25 -sc_threshold 0 -threads:v 1 \
    -c:a aac -b:a 48k -ar 44100 -ac 1 \
    -fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1 \
    -f hls -hls_time 6 -hls_playlist_type vod -hls_segment_type fmp4 \
    -hls_fmp4_init_filename init.mp4 -hls_segment_filename 'part-%d.m4s' list.m3u8)
cat >"$part/main.m3u8" <<'END'
#EXTM3U
#EXT-X-VERSION:7
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-STREAM-INF:BANDWIDTH=180000,AVERAGE-BANDWIDTH=150000,RESOLUTION=480x270,FRAME-RATE=25.000,CODECS="avc1.4D401E,mp4a.40.2"
270p/list.m3u8
END

len=$(cat "$part"/*.m3u8 "$part"/270p/* | wc -c)
[ "$len" -le "$len_max" ] || fail "the rendition has $len bytes, $len_max are allowed"
rm -rf -- "$out"
mv -- "$part" "$out"
printf '%s: %s bytes\n' "$out" "$len"
