#!/usr/bin/env bash
# Opens the pages of examples/web-app in a real browser, by HTTP and by HTTPS, and uses them as people do: browser.mjs
# says how. Screenshots go to target/browser. Needs Debian's Chromium, which root gets from apt here, Node.js and npm;
# where something cannot be had, one line says so.
set -euo pipefail
cd "$(dirname "$0")/.."

playwright=1.65.1
home=$PWD/target/browser
mkdir -p "$home"

skip() {
    echo "skipped: $1"
    exit 0
}

# Only the downloads are bounded: a package that is half installed prevents later installations.
install_chromium() {
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=30 -o Acquire::Retries=1)
    export DEBIAN_FRONTEND=noninteractive
    timeout 60 "${apt[@]}" update &&
        timeout 90 "${apt[@]}" install -y --download-only chromium &&
        "${apt[@]}" install -y --no-download chromium
}
if [ ! -x /usr/bin/chromium ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        skip "there is no /usr/bin/chromium; on Debian, install the package chromium"
    fi
    if ! install_chromium >"$home/apt.log" 2>&1 </dev/null; then
        skip "apt cannot install chromium; see $home/apt.log"
    fi
    [ -x /usr/bin/chromium ] || skip "the package chromium brings no /usr/bin/chromium"
fi
for program in node npm; do
    command -v "$program" >/dev/null || skip "there is no $program; install Node.js 20 or later"
done

# playwright-core drives a browser, and downloads none.
installed=$home/npm/node_modules/playwright-core/package.json
if ! grep -qs "\"version\": \"$playwright\"" "$installed"; then
    if ! timeout 60 npm install --prefix "$home/npm" --no-audit --no-fund --ignore-scripts --save-exact \
        "playwright-core@$playwright" >"$home/npm.log" 2>&1; then
        skip "npm cannot install playwright-core $playwright; see $home/npm.log"
    fi
fi

cargo build --locked -p web-app
web_app=${CARGO_TARGET_DIR:-target}/debug/web-app

child=""
end_child() {
    if [ -n "$child" ]; then
        kill -KILL "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
        child=""
    fi
}
trap end_child EXIT

# The address that the program tells, as soon as it serves.
address() {
    local url
    for _ in $(seq 300); do
        url=$(sed -nE 's#.*(https?://localhost:[0-9]+/).*#\1#p' "$1")
        if [ -n "$url" ]; then
            echo "$url"
            return
        fi
        kill -0 "$child" 2>/dev/null || break
        sleep 0.1
    done
    echo "the application has not begun; see $1" >&2
    return 1
}

# The signal ends the program in good order, and soon.
ended() {
    for _ in $(seq 300); do
        if ! kill -0 "$child" 2>/dev/null; then
            wait "$child"
            child=""
            return
        fi
        sleep 0.1
    done
    echo "the application does not end; see $1" >&2
    return 1
}

# Serves with the options given, and drives the browser, which ends the application with a signal.
drive() {
    local name=$1 log=$home/$1.log url
    shift
    "$web_app" --port 0 "$@" >"$log" 2>&1 &
    child=$!
    url=$(address "$log")
    # The profiles of the browser are temporary files, so what a browser that is killed leaves behind is here.
    TMPDIR=$home/tmp timeout --kill-after 5 60 node conformance/browser.mjs "$url" "$child" "$home" "$name"
    ended "$log"
}

rm -rf "$home"/tmp "$home"/*.png
mkdir "$home/tmp"
drive http
drive https --self-signed "$home/ca.pem"
