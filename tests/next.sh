#!/usr/bin/env bash
# Checks and builds the Next.js example as its users do, and prints where the built site lies: a copy in the user's cache, by the sum
# of its sources, so that only a change of them takes a minute.
set -euo pipefail
cd "$(dirname "$0")/../next-video-streaming"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vidgate
export NEXT_TELEMETRY_DISABLED=1

# All that is no product of a build, by the rules of the example's own .gitignore.
mapfile -t sources < <(find . \( -path ./node_modules -o -path ./.next \) -prune -o -type f \
    ! -name next-env.d.ts ! -name '*.tsbuildinfo' ! -name '.env.local' -print | LC_ALL=C sort)
sum=$(cat "${sources[@]}" <(printf '%s\n' "${sources[@]}") "../tests/next.sh" | sha256sum)
site=$cache/next-${sum:0:16}

mkdir -p "$cache"
exec 9>"$site.lock"
if command -v flock >/dev/null; then flock 9; fi
if [ ! -e "$site/.built" ]; then
    {
        # Sites that nobody has built lately.
        find "$cache" -maxdepth 1 -name 'next-*' -mtime +7 ! -path "$site*" -exec rm -rf {} +
        rm -rf "$site"
        mkdir "$site"
        cp --parents "${sources[@]}" "$site"
        cd "$site"
        npm ci --no-audit --no-fund
        npm run build
        # `next build` may write to what it was given; then whoever copies the example is surprised.
        for file in "${sources[@]}"; do
            cmp "$OLDPWD/$file" "$file" || { echo "tests/next.sh: the build changed $file" >&2; exit 1; }
        done
        # Behind the build, for it writes types that are checked too.
        npm run check
        touch .built
    } >&2
fi
echo "$site"
