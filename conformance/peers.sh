#!/usr/bin/env bash
# Peers of other authors connect to examples/echo-raw and to examples/deploying: Python `websockets`, Node `ws`, curl,
# OpenSSL, and nginx and HAProxy with the configuration of examples/deploying. One line says what is skipped because
# this machine lacks it. Everything is on loopback, and the programs that it starts end with it.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C

websockets=17.4 # of PyPI
ws=8.23.0       # of npm

home=$PWD/target/peers
mkdir -p "$home"
run=$(mktemp -d "${TMPDIR:-/tmp}/peers.XXXXXX")
# The workers of an nginx that root starts run as another user.
chmod 755 "$run"

# Ends only children that still run: the number of a finished child may belong to another process by now.
end_children() {
    local child children
    children=$(jobs -pr)
    for child in $children; do kill -TERM "$child" 2>/dev/null || true; done
    for child in $children; do
        # A child that does not listen is killed.
        for _ in $(seq 50); do kill -0 "$child" 2>/dev/null || break; sleep 0.1; done
        kill -KILL "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    done
}
ended() {
    local code=$?
    end_children
    if [ "$code" = 0 ]; then rm -rf "$run"; else echo "peers.sh: FAILED; the logs are in $run" >&2; fi
}
trap ended EXIT
trap 'exit 1' INT TERM

fail() {
    echo "peers.sh: $*" >&2
    tail -n 20 "$run"/*.log >&2 || true
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# Runs a program in the background, and puts its process into `child`.
start() {
    local log=$1
    shift
    # This line empties the log, and not the child: a reader that is quicker than the child would read the last run.
    : >"$run/$log.log"
    timeout --kill-after=5 90 "$@" >>"$run/$log.log" 2>&1 &
    child=$!
}
# Waits until a command succeeds, for 20 seconds at most.
await() {
    local what=$1
    shift
    for _ in $(seq 200); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    fail "it did not come: $what"
}
says() { grep -qF -- "$2" "$run/$1.log"; }
takes_connections() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# The ports lie below the ports that the system gives to connections, so that no connection takes one meanwhile.
free_port() {
    local port
    while :; do
        port=$((20000 + (RANDOM % 10000)))
        case " ${taken:-} " in *" $port "*) continue ;; esac
        if ! takes_connections "$port"; then break; fi
    done
    taken="${taken:-} $port"
    printf -v "$1" %s "$port"
}
expect() {
    local what=$1 given=$2 wanted=$3
    case "$given" in *"$wanted"*) ;; *) fail "$what: expected \"$wanted\", got: $given" ;; esac
}

cargo build --locked -p echo-raw -p deploying
bin=${CARGO_TARGET_DIR:-target}/debug
# Clients come from this address, and proxies from 127.0.0.1. Linux takes all of 127.0.0.0/8 for loopback.
client=127.0.0.2

# The programs of others.
python="" node="" openssl="" nginx="" haproxy=""
pip_install() {
    timeout 30 python3 -m venv "$home/venv" && timeout 60 "$home/venv/bin/python" -m pip install --quiet \
        --disable-pip-version-check "websockets==$websockets"
}
has_websockets() {
    "$home/venv/bin/python" -c "import asyncio, websockets; asyncio.timeout
assert websockets.__version__ == '$websockets'"
}
if { has_websockets || { has python3 && pip_install && has_websockets; }; } >"$run/pip.log" 2>&1; then
    python=$home/venv/bin/python
else
    echo "skipped: Python's websockets $websockets; it needs Python 3.11 with venv, and pip"
fi
has_ws() { [ "$(node -p "require('$home/node_modules/ws/package.json').version")" = "$ws" ]; }
npm_install() { timeout 60 npm install --prefix "$home" --no-save --no-audit --no-fund "ws@$ws"; }
if { has node && { has_ws || { has npm && npm_install && has_ws; }; }; } >"$run/npm.log" 2>&1; then
    node=$(command -v node)
    export NODE_PATH=$home/node_modules
else
    echo "skipped: Node's ws $ws; it needs node and npm"
fi
PATH=$PATH:/usr/sbin:/sbin
# The run level keeps Debian from starting the services of the packages.
apt_install() {
    [ "$(id -u)" = 0 ] && has apt-get || return 1
    local install="apt-get install -y --no-install-recommends $*"
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive timeout 90 sh -c "$install || { apt-get update && $install; }"
}
missing=""
for proxy in nginx haproxy; do has "$proxy" || missing+=" $proxy"; done
# shellcheck disable=SC2086 # It is a list.
[ -z "$missing" ] || apt_install $missing >"$run/apt.log" 2>&1 || true
for proxy in nginx haproxy; do
    if has "$proxy"; then
        printf -v "$proxy" %s "$(command -v "$proxy")"
    else
        echo "skipped: $proxy is not here, and only root on Debian can install it"
    fi
done
case $(openssl version 2>/dev/null) in
"OpenSSL 3"*) openssl=$(command -v openssl) ;;
*) echo "skipped: TLS and the proxies; they need OpenSSL 3" ;;
esac

. conformance/peers/direct.sh
if [ "$(uname)" != Linux ]; then
    echo "skipped: TLS and the proxies; they need $client, which Linux has"
    openssl=""
fi
[ -z "$openssl" ] || . conformance/peers/proxies.sh
echo "== all peers are content"
