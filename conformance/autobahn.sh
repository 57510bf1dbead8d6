#!/usr/bin/env bash
# Runs the cases of the Autobahn suite without compression against examples/echo-raw, as a server and as a client, and
# writes what came out to docs/conformance.md. `--quick` leaves out section 9, the long messages, and writes nothing.
# The suite needs CPython 2.7; where there is none, one line says so.
set -euo pipefail
cd "$(dirname "$0")/.."

quick=""
case "${1:-}" in
"") ;;
--quick) quick=yes ;;
*)
    echo "autobahn.sh knows no \`$1\`: call it without arguments, or with --quick" >&2
    exit 2
    ;;
esac

# A shim of pyenv is there also where no 2.7 is selected, so the interpreter is tried.
find_python() {
    local candidate
    for candidate in python2.7 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7; do
        if "$candidate" -c 'import ssl' >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}
if ! python=$(find_python); then
    echo "skipped: the Autobahn suite needs CPython 2.7; install it, for instance with \`pyenv install 2.7.18\`"
    exit 0
fi

home=$PWD/target/autobahn
export PYTHONUSERBASE=$home
mkdir -p "$home"
if [ ! -x "$home/bin/wstest" ]; then
    if ! "$python" -m pip install --quiet --disable-pip-version-check --user autobahntestsuite==0.8.2 \
        >"$home/pip.log" 2>&1; then
        echo "skipped: pip cannot install autobahntestsuite 0.8.2; see $home/pip.log"
        exit 0
    fi
fi

cargo build --release --locked -p echo-raw
echo_raw=${CARGO_TARGET_DIR:-target}/release/echo-raw

child=""
end_child() {
    if [ -n "$child" ]; then
        kill "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
        child=""
    fi
}
trap end_child EXIT

# Waits until a command succeeds, for a minute at most and no longer than the child lives.
await() {
    local what=$1
    shift
    for _ in $(seq 600); do
        if "$@" >/dev/null 2>&1; then return; fi
        kill -0 "$child" 2>/dev/null || break
        sleep 0.1
    done
    echo "$what has not begun" >&2
    return 1
}

takes_connections() {
    (: <"/dev/tcp/127.0.0.1/$1")
}

# Sections 12 and 13 are about compression.
exclude='"12.*", "13.*"'
[ -z "$quick" ] || exclude+=', "9.*"'
wstest() {
    "$python" -W ignore "$home/bin/wstest" --webport 0 "$@"
}

rm -rf "$home/server" "$home/client"

echo "== the server"
"$echo_raw" --port 0 >"$home/echo.log" &
child=$!
await "the echo server" grep -q ws:// "$home/echo.log"
url=$(sed -nE 's#.*(ws://[0-9.:]+)/.*#\1#p' "$home/echo.log")
cat >"$home/fuzzingclient.json" <<JSON
{"outdir": "$home/server", "servers": [{"agent": "server", "url": "$url"}],
 "cases": ["*"], "exclude-cases": [$exclude], "exclude-agent-cases": {}}
JSON
wstest -m fuzzingclient -s "$home/fuzzingclient.json" >"$home/fuzzingclient.log" 2>&1
end_child

echo "== the client"
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$home/fuzzingserver.json" <<JSON
{"outdir": "$home/client", "url": "ws://127.0.0.1:$port",
 "cases": ["*"], "exclude-cases": [$exclude], "exclude-agent-cases": {}}
JSON
wstest -m fuzzingserver -s "$home/fuzzingserver.json" >"$home/fuzzingserver.log" 2>&1 &
child=$!
await "the suite's server" takes_connections "$port"
"$echo_raw" autobahn-client "ws://127.0.0.1:$port" --agent client >"$home/client.log"
end_child

"$python" conformance/summary.py "$home/server/index.json" "$home/client/index.json" >"$home/summary.md" || failed=yes
[ -n "$quick" ] || cp "$home/summary.md" docs/conformance.md
cat "$home/summary.md"
[ -z "${failed:-}" ]
