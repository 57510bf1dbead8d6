# Sourced by conformance/peers.sh: TLS, and the proxies with the configuration of examples/deploying.

# The certificates, as the guide's chapter on TLS makes them.
(
    cd "$run"
    ec=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc)
    openssl req -x509 "${ec[@]}" -days 2 -subj "/CN=Development" -keyout ca.key -out ca.pem
    openssl req "${ec[@]}" -subj "/CN=server" -addext "subjectAltName=DNS:rpc.example.com,IP:127.0.0.1" \
        -keyout key.pem -out server.csr
    openssl req "${ec[@]}" -subj "/CN=billing" -addext "subjectAltName=URI:spiffe://example.com/billing" \
        -keyout me.key -out me.csr
    for pair in server:cert.pem me:me.pem; do
        openssl x509 -req -in "${pair%:*}.csr" -CA ca.pem -CAkey ca.key -days 2 -copy_extensions copy \
            -out "${pair#*:}"
    done
    cat cert.pem key.pem >both.pem
) >"$run/certificates.log" 2>&1

# A server behind proxies that also does TLS itself, and one that wants certificates of its clients.
start_server() {
    start server "$bin/deploying" serve --listen 127.0.0.1:0 --listen-proxy 127.0.0.1:0 --trust 127.0.0.1 \
        --listen-tls 127.0.0.1:0 --certificate "$run/cert.pem" --key "$run/key.pem" "$@"
    server_child=$child
    await "the server" says server ready
    server=$(sed -n 's/^http //p' "$run/server.log")
    server_proxy=$(sed -n 's/^proxy //p' "$run/server.log")
    server_tls=$(sed -n 's/^tls //p' "$run/server.log")
}

# What OpenSSL says of a connection on which it asks for /healthz.
handshake() {
    printf 'GET /healthz HTTP/1.1\r\nHost: rpc.example.com\r\nConnection: close\r\n\r\n' |
        timeout 10 openssl s_client -connect "$server_tls" -servername rpc.example.com -CAfile "$run/ca.pem" \
            -verify_return_error -verify_hostname rpc.example.com -alpn http/1.1 -ign_eof "$@" 2>&1 | tr -d '\0' || true
}

echo "== OpenSSL"
start_server
for protocol in 1.3 1.2; do
    answer=$(handshake "-tls${protocol/./_}")
    expect "TLS $protocol" "$answer" "TLSv$protocol"
    expect "the chain by TLS $protocol" "$answer" "Verify return code: 0 (ok)"
    expect "ALPN by TLS $protocol" "$answer" "ALPN protocol: http/1.1"
    expect "an answer by TLS $protocol" "$answer" "HTTP/1.1 200 OK"
done
answer=$(handshake -tls1_1 -cipher DEFAULT@SECLEVEL=0)
case $answer in *"HTTP/1.1 200"*) fail "TLS 1.1 is answered: $answer" ;; esac
if [ -n "$python" ]; then
    # This client does not come from the trusted address of the proxies.
    answer=$("$python" conformance/peers/websockets_peer.py address wss://rpc.example.com/echo --at "$server_tls" \
        --from "$client" --ca "$run/ca.pem")
    expect "websockets by TLS" "$answer" "the server sees $client"
fi
if [ -n "$node" ]; then
    answer=$("$node" conformance/peers/ws-peer.js address wss://rpc.example.com/echo "$server_tls" \
        "$client" "$run/ca.pem")
    expect "ws by TLS" "$answer" "the server sees $client"
fi
end_children

start_server --client-ca "$run/ca.pem"
for protocol in 1.3 1.2; do
    answer=$(handshake "-tls${protocol/./_}")
    case $answer in *"HTTP/1.1 200"*) fail "a client without a certificate is answered: $answer" ;; esac
    expect "no certificate by TLS $protocol" "$answer" "alert"
    answer=$(handshake "-tls${protocol/./_}" -cert "$run/me.pem" -key "$run/me.key")
    expect "a certificate by TLS $protocol" "$answer" "HTTP/1.1 200 OK"
done
end_children

# A session and raw WebSockets from $client through a proxy at an address; then the server drains, and all hear of it.
# The server is started anew for each.
through() {
    local name=$1 at=$2 url=wss://rpc.example.com tls=(--ca "$run/ca.pem") drains=""
    if [ -n "$python" ]; then
        "$python" conformance/peers/websockets_peer.py address "$url/echo" --at "$at" --from "$client" "${tls[@]}" \
            >"$run/raw.log" 2>&1 || fail "$name: websockets"
        says raw "the server sees $client" || fail "$name: websockets comes from elsewhere"
        "$python" conformance/peers/websockets_peer.py session "$url/rpc" --at "$at" --from "$client" "${tls[@]}" \
            >"$run/raw-session.log" 2>&1 || fail "$name: a session by websockets"
        start drain "$python" conformance/peers/websockets_peer.py drain "$url/echo" --at "$at" --from "$client" \
            "${tls[@]}"
        drains=$child
        await "$name: the WebSocket that waits" says drain "the server sees $client"
    fi
    if [ -n "$node" ]; then
        "$node" conformance/peers/ws-peer.js address "$url/echo" "$at" "$client" "$run/ca.pem" >"$run/node.log" 2>&1 ||
            fail "$name: ws"
        says node "the server sees $client" || fail "$name: ws comes from elsewhere"
    fi
    start call "$bin/deploying" call "$url/rpc" --at "$at" --from "$client" "${tls[@]}"
    local calls=$child
    await "$name: the session's address" says call "the server sees Ada at $client"
    await "$name: the call that waits" says server "a client waits for the last word"
    kill -TERM "$server_child"
    wait "$calls" || fail "$name: the session has not ended well"
    says call "the last word is goodbye" || fail "$name: the drain has cut the call off"
    says call "the session ended: shut down" || fail "$name: the session has not heard of the shutdown"
    if [ -n "$drains" ]; then wait "$drains" || fail "$name: the WebSocket has not heard of the shutdown"; fi
    await "$name: the end of the drain" says server drained
}

# The configuration as the guide shows it, with other ports and folders.
here() {
    sed -e "s#/etc/ssl/rpc/#$run/#g" -e "s#127.0.0.1:9000#$server#g" -e "s#127.0.0.1:9001#$server_proxy#g" \
        -e "s#listen 443 #listen 127.0.0.1:$https #" -e "s#bind :443 #bind 127.0.0.1:$https #" \
        -e "s#bind :8443#bind 127.0.0.1:$tcp#" "examples/deploying/$1"
}

if [ -n "$nginx" ]; then
    echo "== nginx"
    start_server
    free_port https
    tcp=0
    here nginx.conf >"$run/site.conf"
    cat >"$run/nginx.conf" <<CONF
daemon off;
pid $run/nginx.pid;
error_log $run/nginx-error.log;
events {}
http {
    access_log off;
    client_body_temp_path $run/body;
    proxy_temp_path $run/proxy;
    fastcgi_temp_path $run/fastcgi;
    uwsgi_temp_path $run/uwsgi;
    scgi_temp_path $run/scgi;
    include $run/site.conf;
}
CONF
    start nginx "$nginx" -p "$run" -e "$run/nginx-error.log" -c "$run/nginx.conf"
    await "nginx" takes_connections "$https"
    through nginx "127.0.0.1:$https"
    end_children
fi

if [ -n "$haproxy" ]; then
    for way in http tcp; do
        start_server
        free_port https
        free_port tcp
        printf 'global\n    log stderr format raw local0\n' >"$run/haproxy.cfg"
        here haproxy.cfg >>"$run/haproxy.cfg"
        start haproxy "$haproxy" -db -f "$run/haproxy.cfg"
        await "HAProxy" takes_connections "$https"
        if [ "$way" = http ]; then
            echo "== HAProxy with X-Forwarded-For"
            through HAProxy "127.0.0.1:$https"
        else
            echo "== HAProxy with PROXY v2"
            through "HAProxy with PROXY" "127.0.0.1:$tcp"
        fi
        end_children
    done
fi

if has systemd-analyze; then
    # The program is not where the unit expects it; nothing else may be wrong.
    sed "s#/usr/local/bin/deploying#$PWD/$bin/deploying#" examples/deploying/rpc.service >"$run/rpc.service"
    echo "== the unit of systemd"
    timeout 20 systemd-analyze verify --man=no "$run/rpc.service" >"$run/systemd.log" 2>&1 || fail "rpc.service"
fi
