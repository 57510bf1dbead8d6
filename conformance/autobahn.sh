#!/usr/bin/env bash
# Runs the cases of the Autobahn suite without compression against examples/echo-raw, as a server and as a client, and
# writes what came out to docs/conformance.md. `--quick` leaves out section 9, the long messages, takes the programs
# without optimizations, which CI has built before, and writes nothing. The suite needs CPython 2.7; where there is
# none, one line says so. What fails a run is in summary.py, whose test runs first.
set -euo pipefail
cd "$(dirname "$0")/.."

quick="" profile=release
case "${1:-}" in
"") ;;
--quick) quick=--quick profile=dev ;;
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
python=$(find_python) || python=""
if checker=${python:-$(command -v python3)}; then
    "$checker" -B conformance/summary_test.py --quiet
fi
if [ -z "$python" ]; then
    echo "skipped: the Autobahn suite needs CPython 2.7; install it, for instance with \`pyenv install 2.7.18\`"
    exit 0
fi

home=$PWD/target/autobahn
export PYTHONUSERBASE=$home
mkdir -p "$home"
if [ ! -x "$home/bin/wstest" ]; then
    if ! timeout 200 "$python" -m pip install --quiet --disable-pip-version-check --user autobahntestsuite==0.8.2 \
        >"$home/pip.log" 2>&1; then
        echo "skipped: pip cannot install autobahntestsuite 0.8.2; see $home/pip.log"
        exit 0
    fi
fi

cargo build --profile "$profile" --locked -p echo-raw
echo_raw=${CARGO_TARGET_DIR:-target}/${profile/dev/debug}/echo-raw

child=""
end_child() {
    if [ -n "$child" ]; then
        kill "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
        child=""
    fi
}
trap end_child EXIT

fail() {
    echo "autobahn.sh: $1; the end of $2:" >&2
    tail -n 20 "$2" >&2
    exit 1
}

# Waits until a command succeeds, for a minute at most and no longer than the child lives.
await() {
    local what=$1 log=$2
    shift 2
    for _ in $(seq 600); do
        if "$@" >/dev/null 2>&1; then return; fi
        kill -0 "$child" 2>/dev/null || break
        sleep 0.1
    done
    fail "$what has not begun" "$log"
}

takes_connections() {
    (: <"/dev/tcp/127.0.0.1/$1")
}

# Sections 12 and 13 are about compression.
exclude='"12.*", "13.*"'
[ -z "$quick" ] || exclude+=', "9.*"'
# No function: in the background that would be a shell, whose end leaves the suite running.
wstest=("$python" -W ignore "$home/bin/wstest" --webport 0)

rm -rf "$home/server" "$home/client"

echo "== the server"
"$echo_raw" --port 0 >"$home/echo.log" 2>&1 &
child=$!
await "the echo server" "$home/echo.log" grep -q ws:// "$home/echo.log"
url=$(sed -nE 's#.*(ws://[0-9.:]+)/.*#\1#p' "$home/echo.log")
cat >"$home/fuzzingclient.json" <<JSON
{"outdir": "$home/server", "servers": [{"agent": "server", "url": "$url"}],
 "cases": ["*"], "exclude-cases": [$exclude], "exclude-agent-cases": {}}
JSON
"${wstest[@]}" -m fuzzingclient -s "$home/fuzzingclient.json" >"$home/fuzzingclient.log" 2>&1 ||
    fail "the suite has ended with the code $?" "$home/fuzzingclient.log"
kill -0 "$child" 2>/dev/null || fail "the echo server has ended by itself" "$home/echo.log"
end_child

echo "== the client"
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$home/fuzzingserver.json" <<JSON
{"outdir": "$home/client", "url": "ws://127.0.0.1:$port",
 "cases": ["*"], "exclude-cases": [$exclude], "exclude-agent-cases": {}}
JSON
"${wstest[@]}" -m fuzzingserver -s "$home/fuzzingserver.json" >"$home/fuzzingserver.log" 2>&1 &
child=$!
await "the suite's server" "$home/fuzzingserver.log" takes_connections "$port"
"$echo_raw" autobahn-client "ws://127.0.0.1:$port" --agent client >"$home/client.log" 2>&1 ||
    fail "the client has ended with the code $?" "$home/client.log"
kill -0 "$child" 2>/dev/null || fail "the suite's server has ended by itself" "$home/fuzzingserver.log"
end_child

failed=""
"$python" conformance/summary.py "$home" ${quick:+"$quick"} >"$home/summary.md" || failed=yes
[ -n "$quick$failed" ] || cp "$home/summary.md" docs/conformance.md
cat "$home/summary.md"
[ -z "$failed" ]
