# Sourced by conformance/peers.sh: clients without a proxy.

start echo "$bin/echo-raw" --port 0
await "echo-raw" says echo ws://
echo_url=$(sed -nE 's#.*(ws://[0-9.:]+/).*#\1#p' "$run/echo.log")
start server "$bin/deploying" serve --listen 127.0.0.1:0
await "the server of contracts" says server ready
server=$(sed -n 's/^http //p' "$run/server.log")

if [ -n "$python" ]; then
    echo "== Python's websockets"
    "$python" conformance/peers/websockets_peer.py echo "$echo_url"
    answer=$("$python" conformance/peers/websockets_peer.py address "ws://$server/echo")
    expect "websockets" "$answer" "the server sees 127.0.0.1"
    "$python" conformance/peers/websockets_peer.py session "ws://$server/rpc"
    answer=$("$python" conformance/peers/smallest_client.py "ws://$server/rpc")
    expect "the smallest client" "$answer" "the server says: Ada at 127.0.0.1"
fi
if [ -n "$node" ]; then
    echo "== Node's ws"
    "$node" conformance/peers/ws-peer.js echo "$echo_url"
    answer=$("$node" conformance/peers/ws-peer.js address "ws://$server/echo")
    expect "ws" "$answer" "the server sees 127.0.0.1"
fi

# The answer to a handshake: head and body. A WebSocket stays open, so curl ends by time then: after a second, and on a
# machine that is too busy to answer in that time, after ten.
ask() {
    local url=$1 seconds answer
    shift
    for seconds in 1 10; do
        answer=$(curl --silent --include --http1.1 --noproxy '*' --max-time "$seconds" -H "Connection: Upgrade" \
            -H "Upgrade: websocket" -H "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==" "$@" "$url" | tr -d '\0\r') || true
        if [ -n "$answer" ]; then break; fi
    done
    printf '%s\n' "$answer"
}
if has curl; then
    echo "== curl"
    version=(-H "Sec-WebSocket-Version: 13")
    for url in "${echo_url/ws:/http:}" "http://$server/echo" "http://$server/rpc"; do
        answer=$(ask "$url" "${version[@]}" -H "Sec-WebSocket-Protocol: duplex-rpc.v1")
        expect "a handshake at $url" "$answer" "HTTP/1.1 101 "
        # RFC 6455 section 1.3 has this pair of keys.
        expect "the key at $url" "${answer,,}" "sec-websocket-accept: $(tr A-Z a-z <<<s3pPLMBiTxaQ9kYGzzhZRbK+xOo=)"
        answer=$(ask "$url" -H "Sec-WebSocket-Version: 8")
        expect "version 8 at $url" "$answer" "HTTP/1.1 426 "
        expect "version 8 at $url" "${answer,,}" "sec-websocket-version: 13"
        answer=$(ask "$url" "${version[@]}" -H "Origin: https://elsewhere.example" \
            -H "Sec-WebSocket-Protocol: duplex-rpc.v1")
        expect "a page of elsewhere at $url" "$answer" "HTTP/1.1 403 "
        expect "a page of elsewhere at $url" "$answer" "allow_origin"
        answer=$(ask "$url" "${version[@]}" -H "Sec-WebSocket-Key: short" -H "Sec-WebSocket-Protocol: duplex-rpc.v1")
        expect "two keys at $url" "$answer" "HTTP/1.1 400 "
        expect "two keys at $url" "$answer" "Sec-WebSocket-Key"
    done
    answer=$(ask "http://$server/rpc" "${version[@]}")
    expect "no sub-protocol" "$answer" "HTTP/1.1 400 "
    expect "no sub-protocol" "${answer,,}" "sec-websocket-protocol: duplex-rpc.v1"
    answer=$(ask "http://$server/nowhere" "${version[@]}")
    expect "no such path" "$answer" "HTTP/1.1 404 "
    expect "no such path" "$answer" "/rpc"
else
    echo "skipped: there is no curl"
fi
end_children
