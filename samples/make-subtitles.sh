#!/bin/sh
# Makes the subtitles of vidgate-sample.mp4, in the two formats that the player reads: vidgate-sample.en.vtt (WebVTT) and
# vidgate-sample.de.srt (SubRip, as Windows programs write it: CR LF, counters, commas). The player finds them by their names.
#
#   sh samples/make-subtitles.sh
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

# What is seen in the film (make.sh), by the seconds. The same lines, in both languages.
# seconds|English|German
cues='0 5|The day begins behind the hills.|Hinter den Hügeln beginnt der Tag.
5 10|The sun climbs.|Die Sonne steigt.
10 16|It is nearly noon.|Es ist fast Mittag.
16 22|The hills pass by, the near ones faster.|Die Hügel ziehen vorbei, die nahen schneller.
22 27|The light turns red.|Das Licht wird rot.
27 30|The day is over.|Der Tag ist vorbei.'

en=$here/vidgate-sample.en.vtt
de=$here/vidgate-sample.de.srt
printf 'WEBVTT\n' >"$en.part"
: >"$de.part"
trap 'rm -f -- "$en.part" "$de.part"' EXIT
number=0
printf '%s\n' "$cues" | while IFS='|' read -r times english german; do
    from=${times% *} to=${times#* } number=$((number + 1))
    printf '\n00:00:%02d.000 --> 00:00:%02d.000\n%s\n' "$from" "$to" "$english" >>"$en.part"
    printf '%d\r\n00:00:%02d,000 --> 00:00:%02d,000\r\n%s\r\n\r\n' "$number" "$from" "$to" "$german" >>"$de.part"
done
mv -- "$en.part" "$en"
mv -- "$de.part" "$de"
printf '%s: %s bytes\n' "$en" "$(wc -c <"$en")" "$de" "$(wc -c <"$de")"
