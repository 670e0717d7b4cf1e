#!/usr/bin/env bash
# Leaves pictures of the pages in a directory, as the browser tests saw them, which it runs: the library with twelve films, empty, and
# with a store that cannot be reached; uploads under way; the player; the Next.js example. To be looked at after a change of the pages.
#
#   tests/pictures.sh DIRECTORY        needs what tests/install.sh installs
set -euo pipefail
directory=$(realpath -m "${1:?usage: tests/pictures.sh DIRECTORY}")
cd "$(dirname "$0")/.."
seen=tests/e2e/out
rm -rf "$seen"
tests/run.sh --test it -- browser:: next::
mkdir -p "$directory"
cp "$seen"/library/library-{12,12-phone,12-dark,empty,error}.png "$seen"/upload/upload-{progress,phone,taken}.png \
    "$seen"/watch/watch-{desktop,phone,dark,subtitles}.png "$seen"/player/player-after-seek.png "$seen"/next/next-{watch,phone,upload}.png "$directory"
ls -l "$directory"
