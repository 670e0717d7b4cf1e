#!/usr/bin/env bash
# Runs all the tests, or those that match the arguments given to `cargo test`, and leaves nothing of theirs running.
set -euo pipefail
cd "$(dirname "$0")/.."

# The pinned MinIO first; nothing of the developer's own settings, so that no test can meet a real bucket.
export PATH=${XDG_CACHE_HOME:-$HOME/.cache}/vidgate/bin:$PATH
for name in $(compgen -e | grep -E '^(AWS|VIDGATE|CLOUDFRONT)_|^(REDIS_URL|HOST|PORT)$' || true); do unset "$name"; done

# What the tests start is known by its process group, or by this variable where it left the group.
export RUN_OF_TESTS=$$-$RANDOM
left() {
    local marked
    marked=$(grep -lsz "^RUN_OF_TESTS=$RUN_OF_TESTS\$" /proc/[0-9]*/environ | grep -o '[0-9]*' || true)
    ps -eo pgid=,pid=,stat=,args= | awk -v group="$tests" -v self=$$ -v marked=" ${marked//$'\n'/ } " \
        '$2 != self && $3 !~ /^Z/ && ($1 == group || index(marked, " " $2 " ")) { sub(/^ *[0-9]+ +/, ""); print }'
}
end_all() {
    left | while read -r pid _; do kill -KILL "$pid" 2>/dev/null || true; done
}

set -m
cargo test --locked "$@" </dev/null &
tests=$!
set +m
trap 'end_all; exit 130' INT TERM
status=0
wait $tests || status=$?

# What is just going away gets a moment.
for _ in {1..20}; do
    remains=$(left)
    [ -n "$remains" ] || exit $status
    sleep 0.1
done
printf 'tests/run.sh: the tests left this running, and it was ended:\n%s\n' "$remains" >&2
end_all
exit $((status > 0 ? status : 1))
