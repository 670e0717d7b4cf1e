#!/bin/sh
# Makes vidgate-sample.mp4: 30 seconds of a day passing over moving hills, with a large timecode, a counter of seconds and a
# small tune. Everything in it is computed here by ffmpeg, so nobody else holds a right in it.
#
#   sh samples/make.sh [OUTPUT]
#
# Needs: ffmpeg with libx264, aac and drawtext, and DejaVu Sans (Debian: apt-get install ffmpeg fonts-dejavu-core).
# The same ffmpeg build gives the same bytes: nothing runs in parallel, and no clock and no version is written. It takes about
# a minute.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=${1:-$here/vidgate-sample.mp4}
seconds=30
fps=25
size=960x540
len_max=3145728 # 3 MiB: it lies in the repository.

fail() {
    printf 'make.sh: %s\n' "$1" >&2
    exit 1
}

command -v ffmpeg >/dev/null 2>&1 || fail 'ffmpeg is missing (Debian: apt-get install ffmpeg)'
for needed in drawtext geq overlay aevalsrc; do
    ffmpeg -hide_banner -filters 2>/dev/null | grep -q " $needed " || fail "this ffmpeg has no filter $needed"
done
ffmpeg -hide_banner -encoders 2>/dev/null | grep -q ' libx264 ' || fail 'this ffmpeg has no encoder libx264'

# font FILE_NAME FC_PATTERN: the path of a font. fc-match always answers something, so its answer must bear the name.
font() {
    for candidate in "/usr/share/fonts/truetype/dejavu/$1" "$(fc-match -f '%{file}' "$2" 2>/dev/null || true)"; do
        case $candidate in
            */"$1") if [ -r "$candidate" ]; then printf '%s' "$candidate"; return 0; fi ;;
        esac
    done
    return 1
}
mono=$(font DejaVuSansMono-Bold.ttf 'DejaVu Sans Mono:bold') || fail 'the font DejaVu Sans Mono Bold is missing (Debian: apt-get install fonts-dejavu-core)'
sans=$(font DejaVuSans-Bold.ttf 'DejaVu Sans:bold') || fail 'the font DejaVu Sans Bold is missing (Debian: apt-get install fonts-dejavu-core)'

# --- The picture -------------------------------------------------------------------------------------------------------
# Only what changes everywhere is computed for each frame, and that small: the sky, blown up afterwards. The hills and the
# sun are drawn once and moved by overlay. (Computing each pixel of each full frame took twenty minutes.)

# sky TOP_DAWN TOP_DUSK TOP_NOON LOW_DAWN LOW_DUSK LOW_NOON GLOW: one of red, green and blue, for all of the 30 seconds.
# Registers: 0 the part of the film that is over, 1 how high the sun stands, 2 the distance from it in heights.
sky() {
    printf '%s' "st(0,T/$seconds);st(1,sin(PI*ld(0)));"
    printf '%s' "st(2,hypot((X/W-0.08-0.84*ld(0))*W/H,Y/H-0.50+0.36*ld(1)));"
    printf '%s' "lerp(lerp(lerp(lerp($1,$2,ld(0)),$3,ld(1)),lerp(lerp($4,$5,ld(0)),$6,ld(1)),min(1,Y/H/0.66)),$7,0.6*exp(-5.5*ld(2)))"
}
red=$(sky 36 44 58 244 236 176 255)
green=$(sky 50 34 118 176 118 214 226)
blue=$(sky 96 88 186 142 112 236 168)
sky="color=c=black:s=192x108:r=$fps:d=$seconds,format=gbrp,geq=r='$red':g='$green':b='$blue',scale=$size:flags=bicubic,format=yuv444p"

# still WIDTHxHEIGHT R G B ALPHA: one frame of one colour, shown for ever.
still() {
    printf '%s' "color=c=black:s=$1:r=$fps,trim=end_frame=1,format=rgba,geq=r=$2:g=$3:b=$4:a='$5',loop=-1:1:0,setpts=N/$fps/TB"
}
# hill SPEED R G B TOP HEIGHT_1 LENGTH_1 HEIGHT_2 LENGTH_2: a strip of hills that passes at SPEED pixels a second.
# The speeds are whole pixels a frame, so that nothing trembles; edges are one pixel soft.
hill() {
    edge="$5-$6*sin(2*PI*X/$7)-$8*sin(2*PI*X/$9)"
    still "$((960 + $1 * seconds))x300" "$2" "$3" "$4" "255*clip(Y-($edge)+0.5\\,0\\,1)"
    printf '%s' ",crop=960:300:x='$1*t':y=0"
}
text="fontcolor=white:shadowcolor=black@0.45:shadowx=2:shadowy=2"
picture="
$sky[sky];
$(still 72x72 255 240 206 '255*clip(34.5-hypot(X-35.5\,Y-35.5)\,0\,1)')[sun];
$(hill 25 150 140 172 60 24 1070 12 417)[far];
$(hill 50 82 98 132 118 22 800 10 310)[middle];
$(hill 100 30 50 74 180 17 870 7 260)[near];
color=c=0x0c0c14:s=960x12:r=$fps:d=$seconds[track];
color=c=0xffc45c:s=960x12:r=$fps:d=$seconds[fill];
[sky][sun]overlay=x='960*(0.08+0.84*t/$seconds)-36':y='540*(0.50-0.36*sin(PI*t/$seconds))-36':format=yuv444:shortest=1[s1];
[s1][far]overlay=y=240:format=yuv444:shortest=1[s2];
[s2][middle]overlay=y=240:format=yuv444:shortest=1[s3];
[s3][near]overlay=y=240:format=yuv444:shortest=1,eq=brightness='0.10*sin(PI*t/$seconds)-0.09':eval=frame[s4];
[s4][track]overlay=y=528:format=yuv444[s5];
[s5][fill]overlay=x='960*t/$seconds-960':y=528:format=yuv444,
drawtext=fontfile=$sans:text=vidgate:fontsize=46:x=48:y=40:$text,
drawtext=fontfile=$mono:text='%{eif\\:t\\:d\\:2}':fontsize=190:x=(w-tw)/2:y=150:$text,
drawtext=fontfile=$mono:timecode='00\\:00\\:00\\:00':rate=$fps:fontsize=62:x=(w-tw)/2:y=446:$text,
format=yuv420p[picture]"

# --- The sound ---------------------------------------------------------------------------------------------------------
# pick STEP_RATE NOTE...: the note (semitones from A) that is due now, from a list that repeats.
pick() {
    rate=$1
    shift
    count=$#
    index=0
    sum=0
    for note in "$@"; do
        sum="$sum+($note)*eq(mod(floor(t*$rate)\,$count)\,$index)"
        index=$((index + 1))
    done
    printf '(%s)' "$sum"
}
# Two notes a second over a bass that changes every two seconds, and a short high beep on each second.
melody=$(pick 2  7 12 16 12  4 9 12 9  5 9 12 17  7 11 14 11  7 12 16 19  4 9 16 12  5 12 9 5  7 14 11 7)
bass=$(pick 0.5  0 -3 -7 -5)
tune="0.17*sin(2*PI*220*pow(2\,$melody/12)*t)*min(1\,mod(t\,0.5)*60)*exp(-4*mod(t\,0.5))*min(1\,(0.5-mod(t\,0.5))*30)"
tune="$tune+0.05*sin(4*PI*220*pow(2\,$melody/12)*t)*min(1\,mod(t\,0.5)*60)*exp(-8*mod(t\,0.5))"
tune="$tune+0.12*sin(2*PI*130.81*pow(2\,$bass/12)*t)*min(1\,mod(t\,2)*8)*min(1\,(2-mod(t\,2))*8)"
tune="$tune+0.10*sin(2*PI*1568*t)*lt(mod(t\,1)\,0.09)*sin(PI*mod(t\,1)/0.09)"
sound="aevalsrc=exprs=$tune:s=44100:d=$seconds,aecho=0.9:0.6:120|230:0.22|0.12,volume=6dB,atrim=0:$seconds"
sound="$sound,afade=t=in:d=0.2,afade=t=out:st=$((seconds - 1)):d=1,aformat=sample_fmts=fltp:channel_layouts=stereo"

# --- Putting it together -----------------------------------------------------------------------------------------------
# A keyframe every second makes each second a good place to seek to; +faststart puts the index in front. Picture and sound
# are coded apart: in one run, ffmpeg 5.1 gave a few frames of other bytes (to the eye the same) from time to time.
video=$out.video.mp4
part=$out.part.mp4
trap 'rm -f -- "$video" "$part"' EXIT
ffmpeg -hide_banner -loglevel error -nostdin -y -filter_threads 1 -filter_complex_threads 1 \
    -filter_complex "$picture" -map '[picture]' -t "$seconds" \
    -c:v libx264 -profile:v high -level 3.1 -pix_fmt yuv420p -preset slower -tune animation -crf 20 \
    -g "$fps" -keyint_min "$fps" -sc_threshold 0 -threads:v 1 \
    -colorspace smpte170m -color_primaries bt709 -color_trc bt709 -color_range tv \
    -fflags +bitexact -flags:v +bitexact "$video"
ffmpeg -hide_banner -loglevel error -nostdin -y -filter_threads 1 \
    -i "$video" -f lavfi -i "$sound" -map 0:v -map 1:a -t "$seconds" -c:v copy \
    -c:a aac -b:a 96k -ar 44100 -ac 2 \
    -fflags +bitexact -flags:a +bitexact -map_metadata -1 \
    -metadata title='vidgate sample' -metadata:s:a:0 language=und \
    -movflags +faststart "$part"

len=$(wc -c <"$part")
[ "$len" -le "$len_max" ] || fail "the film has $len bytes, $len_max are allowed"
mv -- "$part" "$out"
printf '%s: %s bytes\n' "$out" "$len"
# A film that is made elsewhere gets no rendition and no subtitles here.
[ "$out" = "$here/vidgate-sample.mp4" ] || exit 0
sh "$here/make-hls.sh"
sh "$here/make-subtitles.sh"
