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

# What a program costs that others download; one byte more and this fails.
size_max=6000000

# With `--size-only` the program is built with the features in DIST_FEATURES, its size is printed, and that is all (`sizes.sh`).
what=${1:-}
features=(--features log/release_max_level_debug)
if [ "$what" = --size-only ]; then
    features=(--quiet --no-default-features --features "$DIST_FEATURES,log/release_max_level_debug")
else
    # Before the flags below are set: what writes the man pages and the completions is for this machine.
    rm -rf dist/man dist/completions
    cargo run --quiet --locked --example manual -- dist
fi

cargo_home=${CARGO_HOME:-$HOME/.cargo}
prefixes=("$PWD=/vidgate" "$cargo_home=/cargo" "$(rustc --print sysroot)=/rust")
export RUSTFLAGS="-C target-feature=+crt-static"
# What costs no speed that can be measured: functions that came out alike are kept once, relocations are packed where the linker can do
# that, and what is called is copied into its callers only where it is small.
RUSTFLAGS+=" -C llvm-args=-inline-threshold=75 -C llvm-args=-inlinehint-threshold=125"
small="-C link-arg=-Wl,--icf=all,-z,pack-relative-relocs"
empty=$(mktemp -d)
trap 'rm -r "$empty"' EXIT
# shellcheck disable=SC2086 # several flags
if echo 'fn main() {}' | rustc $RUSTFLAGS $small --target "$target" --crate-name empty -o "$empty/empty" - 2>/dev/null; then
    RUSTFLAGS+=" $small"
fi
export CFLAGS="-O2"
for prefix in "${prefixes[@]}"; do
    RUSTFLAGS+=" --remap-path-prefix=$prefix"
    CFLAGS+=" -ffile-prefix-map=$prefix"
done
export SOURCE_DATE_EPOCH=0 CARGO_INCREMENTAL=0
# With --target the flags are for the program and not for what runs while it is built. Nothing is ever logged at the level trace
# (src/logging.rs), so what others would say there need not be in it.
folder=${DIST_TARGET_DIR:-target/dist}
cargo build --release --locked --target "$target" --target-dir "$folder" --bin vidgate "${features[@]}"
built=$folder/$target/release/vidgate
if [ "$what" = --size-only ]; then
    stat -c %s "$built"
    exit
fi

mkdir -p dist
install -m 755 "$built" dist/vidgate
if readelf -l dist/vidgate | grep -q INTERP; then
    echo "dist.sh: dist/vidgate needs a loader, so it is not static" >&2
    exit 1
fi
(cd dist && sha256sum vidgate | tee vidgate.sha256)
size=$(stat -c %s dist/vidgate)
printf 'dist/vidgate: %s, %d bytes\n' "$target" "$size"
[ "$size" -le $size_max ] || { echo "dist.sh: that is more than $size_max bytes" >&2; exit 1; }
# Needs namespaces of its own, which not every container gives: there this fails, and dist/ has the program all the same.
deploy/empty-root.sh dist/vidgate
