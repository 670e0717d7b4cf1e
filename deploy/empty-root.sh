#!/usr/bin/env bash
# Proves that a program runs where there is nothing but itself, as in an image FROM scratch: deploy/empty-root.sh PROGRAM
# In its root lie /etc/resolv.conf, which a container engine puts there, a /tmp, and a film. It must serve the film, find a store
# by its name, and judge that store's certificate by authorities that it brings along.
set -euo pipefail

die() { echo "empty-root.sh: $*" >&2; exit 1; }

if [ "${1:-}" != --inside ]; then
    [ $# = 1 ] && [ -x "$1" ] || die 'needs a program'
    for tool in unshare ip openssl python3 curl; do
        command -v "$tool" >/dev/null || die "$tool is missing"
    done
    # A network of its own, where port 53 is free, and an end for all that is started in it.
    exec unshare --map-root-user --mount --net --pid --fork --kill-child "$0" --inside "$(realpath "$1")"
fi

program=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{etc,films,tmp}
cp "$program" "$root/vidgate"
head -c 300000 "$program" >"$root/films/film.mp4"
echo 'nameserver 127.0.0.1' >"$root/etc/resolv.conf"
ip link set lo up

# A server of names that knows one: every name is 127.0.0.1 in IPv4 and nothing else.
python3 - <<'PYTHON' >"$work/names" &
import socket
listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.bind(("127.0.0.1", 53))
print("bound", flush=True)
while True:
    query, peer = listener.recvfrom(512)
    end = query.index(0, 12) + 5
    is_a = query[end - 4:end - 2] == b"\0\1"
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if is_a else b""
    listener.sendto(query[:2] + b"\x81\x80\0\1" + bytes([0, is_a]) + b"\0\0\0\0" + query[12:end] + answer, peer)
PYTHON
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=store.example \
    -addext subjectAltName=DNS:store.example -addext basicConstraints=critical,CA:FALSE -keyout "$work/key" -out "$work/certificate" 2>/dev/null
openssl s_server -quiet -www -accept 127.0.0.1:9443 -cert "$work/certificate" -key "$work/key" >/dev/null 2>&1 &

# Nothing in the environment but what is given.
inside() { env -i PATH="$PATH" "$@"; }

inside PORT=0 VIDGATE_DIR=/films VIDGATE_LOG=warn chroot "$root" /vidgate serve >"$work/start" 2>"$work/log" &
# Waits until a file says so, and gives the rest of that line.
said_in() {
    for _ in {1..100}; do
        grep -qs "^$2" "$1" && { sed -n "s/^$2//p" "$1"; return; }
        sleep 0.05
    done
    return 1
}

address=$(said_in "$work/start" 'listening on ') || die "it does not start: $(cat "$work/log")"
said_in "$work/names" bound >/dev/null || die 'the server of names does not start'
curl -sf "$address/healthz" >/dev/null || die '/healthz does not answer'
curl -sf "$address/media/film.mp4" | cmp - "$root/films/film.mp4" || die 'the film is not the film'
curl -sf -r 1000-1999 "$address/media/film.mp4" | cmp - <(tail -c +1001 "$root/films/film.mp4" | head -c 1000) || die 'a part of the film is not that part'
echo 'ok    it serves a film, and needs no file but itself'

bucket() {
    inside AWS_BUCKET_NAME=videos AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b AWS_ENDPOINT_URL_S3="$1" \
        VIDGATE_LOG=warn chroot "$root" /vidgate doctor 2>&1 || true
}
# It must get as far as the certificate, which no authority has signed.
until (: </dev/tcp/127.0.0.1/9443) 2>/dev/null; do sleep 0.05; done
said=$(bucket https://store.example:9443)
grep -q 'UnknownIssuer' <<<"$said" || die "a store at https:// by its name: $said"
echo 'ok    it finds a store by its name, and refuses one that no authority has signed'
# It has been given none, so those that it goes by are in it: with their names, as those of S3 (Amazon Trust Services).
for authority in 'Amazon Root CA 1' 'Starfield Services Root Certificate Authority - G2' 'ISRG Root X1'; do
    grep -aqF "$authority" "$root/vidgate" || die "it does not know $authority"
done
echo 'ok    it has the public authorities in it'
[ "$(ls "$root")" = $'etc\nfilms\ntmp\nvidgate' ] || die "it left something behind: $(ls "$root")"
echo 'ok    it leaves nothing behind'
