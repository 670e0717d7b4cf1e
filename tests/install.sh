#!/usr/bin/env bash
# Installs what the tests need and this machine lacks; takes a moment when everything is there. With the argument `benches`, also
# the peers that the scripts in benches/ measure.
# MinIO, Python packages and the built Next.js example go into the user's cache, programs come from Debian's packages, JavaScript
# packages into tests/e2e and tests/peers.
set -euo pipefail
cd "$(dirname "$0")/.."

# The newest MinIO on Go's module proxy: the project's release tags are not version numbers, so it has only this form.
minio=v0.0.0-20260212201848-7aac2a2c5b7c
rclone=v1.76.0
mc=v0.0.0-20250313080218-cf909e1063a9
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vidgate

# Debian package:program, for all that the tests call.
packages=(ffmpeg:ffmpeg chromium:chromium aria2:aria2c wget:wget curl:curl jq:jq procps:ps util-linux:flock redis-server:redis-server openssl:openssl nginx:nginx systemd:systemd-analyze python3:python3 iproute2:ip groff-base:groff zsh:zsh fish:fish)

say() { printf '%-12s %-11s %s\n' "$@"; }
die() { echo "tests/install.sh: $*" >&2; exit 1; }
has() { command -v "$1" >/dev/null; }

install_packages() {
    local missing=() programs=() entry package program
    for entry in "${packages[@]}"; do
        package=${entry%:*} program=${entry#*:}
        if has "$program"; then
            say "$package" present "$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null || command -v "$program")"
        else
            missing+=("$package") programs+=("$program")
        fi
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    has apt-get || die "these programs are missing, and this is no Debian system to install them on: ${programs[*]}"
    local install="apt-get install -y --no-install-recommends ${missing[*]}"
    [ "$(id -u)" = 0 ] || die "missing: ${programs[*]}. Run: sudo apt-get update && sudo $install"
    for package in "${missing[@]}"; do say "$package" installing; done
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update
    # shellcheck disable=SC2086 # the words of a command
    $install
    for program in "${programs[@]}"; do has "$program" || die "$program is still missing after: $install"; done
}

# A program of Go: MODULE VERSION. The binary has its version in its name, and gets that name only when it is whole and runs.
install_go() {
    local name=${1##*/} version=$2 bin=$cache/bin state=present
    if [ ! -x "$bin/$name-$version" ]; then
        has go || die "Go is missing: $name is built with it (https://go.dev/dl/)"
        say "$name" installing "$version"
        state=installed
        rm -rf "$bin/new"
        GOBIN=$bin/new go install "$1@$version"
        "$bin/new/$name" --version >/dev/null
        mv -f "$bin/new/$name" "$bin/$name-$version"
        rm -r "$bin/new"
    fi
    # The bare name is a link to the pinned one, changed in one step.
    ln -sfn "$name-$version" "$bin/$name.new"
    mv -f "$bin/$name.new" "$bin/$name"
    say "$name" $state "$version"
}

# The virtual environment has the sum of the list of packages in its name, and gets that name only when it is whole.
install_python() {
    local list=tests/peers/requirements.txt state=present sum
    sum=$(cksum <"$list")
    local venv=$cache/python-${sum%% *}
    if [ ! -x "$venv/bin/python" ]; then
        python3 -c 'import ensurepip, venv' 2>/dev/null || die "Python's venv is missing: apt-get install python3-venv"
        say python installing
        state=installed
        rm -rf "$venv.part"
        # Its scripts would not survive the move, its interpreter does.
        python3 -m venv "$venv.part"
        "$venv.part/bin/pip" install -q --disable-pip-version-check --no-deps -r "$list"
        mv "$venv.part" "$venv"
    fi
    ln -sfn "${venv##*/}" "$cache/python.new"
    mv -fT "$cache/python.new" "$cache/python"
    say python $state "$(grep -c '==' "$list") packages"
}

has_node() {
    has node && has npm || die "node and npm are missing: the tests need Node.js 20 or newer"
    local node
    node=$(node -p process.versions.node)
    [ "${node%%.*}" -ge 20 ] || die "Node.js $node is too old: the tests need 20 or newer"
    say node present "$node"
}

# The copy of the lock file that npm installed from is written last, so it stands for a whole installation.
install_npm() (
    local stamp=node_modules/.installed-lock state=present
    cd "$1"
    if ! cmp -s package-lock.json $stamp; then
        say "$1" installing
        npm ci --ignore-scripts --no-audit --no-fund
        cp package-lock.json $stamp
        state=installed
    fi
    say "$1" $state "$(node -p 'Object.keys(require("./package-lock.json").packages).length - 1') packages"
)

has cargo || die "cargo is missing: install Rust (https://rustup.rs)"
version=$(cargo --version) || die "cargo is here and does not run"
say cargo present "${version#cargo }"
mkdir -p "$cache/bin"
exec 9>"$cache/install.lock"
# On Debian flock is always there; elsewhere its absence is about to be told.
if has flock; then flock 9; fi
install_packages
install_go github.com/minio/minio "$minio"
install_python
has_node
install_npm tests/e2e
install_npm tests/peers
site=$(tests/next.sh)
say next-site built "${site##*/}"
if [ "${1:-}" = benches ]; then
    install_go github.com/rclone/rclone "$rclone"
    install_go github.com/minio/mc "$mc"
    install_npm benches/peers/node
fi
