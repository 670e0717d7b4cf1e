#!/usr/bin/env bash
# Makes the static program for other machines: dist/vidgate, its checksum, its man page and its completions.
# The same sources and the same compiler give the same bytes, wherever they lie: two builds have one checksum.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
# musl where its standard library is installed; else the C library of this system, linked statically.
musl=${host/%-gnu/-musl}
target=$host
if [ -d "$(rustc --print target-libdir --target "$musl" 2>/dev/null)" ]; then target=$musl; fi

cargo_home=${CARGO_HOME:-$HOME/.cargo}
prefixes=("$PWD=/vidgate" "$cargo_home=/cargo" "$(rustc --print sysroot)=/rust")
export RUSTFLAGS="-C target-feature=+crt-static"
export CFLAGS="-O2"
for prefix in "${prefixes[@]}"; do
    RUSTFLAGS+=" --remap-path-prefix=$prefix"
    CFLAGS+=" -ffile-prefix-map=$prefix"
done
export SOURCE_DATE_EPOCH=0 CARGO_INCREMENTAL=0
# With --target the flags are for the program and not for what runs while it is built.
cargo build --release --locked --target "$target" --target-dir "${DIST_TARGET_DIR:-target/dist}"

mkdir -p dist
install -m 755 "${DIST_TARGET_DIR:-target/dist}/$target/release/vidgate" dist/vidgate
if readelf -l dist/vidgate | grep -q INTERP; then
    echo "dist.sh: dist/vidgate needs a loader, so it is not static" >&2
    exit 1
fi
(cd dist && sha256sum vidgate | tee vidgate.sha256)
printf 'dist/vidgate: %s, %d bytes\n' "$target" "$(stat -c %s dist/vidgate)"
