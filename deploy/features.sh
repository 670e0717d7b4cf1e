#!/usr/bin/env bash
# Checks that the program can be built without each of its features, and without all of them: no lint finds anything. What such a
# program answers, `tests/lean.rs` asks.
set -euo pipefail
cd "$(dirname "$0")/.."

# The default features, as Cargo.toml lists them.
mapfile -t features < <(sed -n 's/^default = \[\(.*\)\]$/\1/p' Cargo.toml | tr -d '" ' | tr ',' '\n')
[ ${#features[@]} -gt 3 ] || { echo 'features.sh: no default features were found in Cargo.toml' >&2; exit 1; }

without() {
    local feature rest=()
    for feature in "${features[@]}"; do [ "$feature" = "$1" ] || rest+=("$feature"); done
    (IFS=,; echo "${rest[*]}")
}

lint() {
    echo "features: ${1:-none}"
    cargo clippy --quiet --locked --no-default-features --features "$1" --lib --bins --test lean -- -D warnings
}

for feature in "${features[@]}"; do lint "$(without "$feature")"; done
lint ''
