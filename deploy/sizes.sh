#!/usr/bin/env bash
# What each feature costs: the static program, stripped, without it. Prints the rows of the table in README.md.
# Each is a build as `make dist` makes it, in a folder of its own: some minutes each.
set -euo pipefail
cd "$(dirname "$0")/.."
# The default features, as Cargo.toml lists them; the program itself is one of them.
mapfile -t features < <(sed -n 's/^default = \[\(.*\)\]$/\1/p' Cargo.toml | tr -d '" ' | tr ',' '\n' | grep -vx cli)

size() {
    DIST_FEATURES=$1 DIST_TARGET_DIR=target/sizes deploy/dist.sh --size-only
}
all=cli$(printf ',%s' "${features[@]}")
whole=$(size "$all")
printf '| all of them | %d | |\n' "$whole"
for feature in "${features[@]}"; do
    len=$(size "${all/,$feature/}")
    printf '| all but `%s` | %d | %d |\n' "$feature" "$len" $((whole - len))
done
len=$(size cli)
printf '| none of them | %d | %d |\n' "$len" $((whole - len))
