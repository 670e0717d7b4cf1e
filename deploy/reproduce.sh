#!/usr/bin/env bash
# Builds the static program twice, from two clean clones of what is committed, in folders of other names and depths, and compares.
# Two whole builds: some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
DIST_FEATURES=$(sed -n 's/^default = \[\(.*\)\]$/\1/p' Cargo.toml | tr -d '" ')
export DIST_FEATURES
unset DIST_TARGET_DIR
sums=()
for folder in "$work/one" "$work/a/deeper/one"; do
    git clone --quiet . "$folder"
    (cd "$folder" && deploy/dist.sh --size-only >/dev/null)
    sums+=("$(sha256sum "$folder"/target/dist/*/release/vidgate | cut -d ' ' -f 1)")
    rm -rf "$folder/target"
done
printf '%s\n' "${sums[@]}"
[ "${sums[0]}" = "${sums[1]}" ] || { echo 'reproduce.sh: the two are not the same' >&2; exit 1; }
