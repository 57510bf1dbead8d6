// Node `ws` as a client: ws-peer.js echo|address URL [IP:PORT of the server] [address to connect from] [authority].
"use strict";
const assert = require("node:assert");
const { randomBytes } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { once } = require("node:events");
const net = require("node:net");
const tls = require("node:tls");
const WebSocket = require("ws");

const [task, url, at, from, authority] = process.argv.slice(2);
const limit = setTimeout(() => { console.error("ws-peer.js: no end after 30 s"); process.exit(1); }, 30000);

async function main() {
    const { hostname } = new URL(url);
    const options = { localAddress: from || undefined };
    if (authority) options.ca = readFileSync(authority);
    // The name in the URL leads nowhere: the address is given.
    if (at) {
        const [, host, port] = /^(.*):(\d+)$/.exec(at);
        const where = { host, port, localAddress: options.localAddress };
        options.createConnection = () => authority
            ? tls.connect({ ...where, servername: hostname, ca: options.ca, ALPNProtocols: ["http/1.1"] })
            : net.connect(where);
    }
    const socket = new WebSocket(url, options);
    // Messages may come before anyone waits for them.
    const messages = [], waiting = [];
    socket.on("message", (data, isBinary) => {
        const message = isBinary ? data : data.toString();
        if (waiting.length) waiting.shift()(message); else messages.push(message);
    });
    const next = () => messages.length ? messages.shift() : new Promise((resolve) => waiting.push(resolve));
    await once(socket, "open");
    assert.strictEqual(socket.extensions, "");

    if (task === "address") console.log("the server sees", await next());
    for (const message of ["hello", "Grüße", "", randomBytes(1 << 20), Buffer.alloc(0), "x".repeat(70000)]) {
        socket.send(message);
        assert.deepStrictEqual(await next(), message);
    }
    socket.send("in ", { fin: false });
    socket.send("parts", { fin: true });
    assert.strictEqual(await next(), "in parts");
    socket.ping("are you there?");
    const [pong] = await once(socket, "pong");
    assert.strictEqual(pong.toString(), "are you there?");
    socket.close(1000, "done");
    const [code] = await once(socket, "close");
    assert.strictEqual(code, 1000);
    clearTimeout(limit);
}

main().catch((error) => { console.error(error); process.exit(1); });
