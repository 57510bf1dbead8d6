"""Python `websockets` as a client: websockets_peer.py echo|address|drain|session URL [--from IP] [--ca FILE].

`echo` exchanges messages with examples/echo-raw. `address` reads which address the server sees, then exchanges
messages. `drain` stays until the server closes. `session` opens a session by the bytes of docs/vectors.
"""

import argparse
import asyncio
import json
import os
import ssl

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def exchange(socket):
    for message in ["hello", "Grüße", "", bytes(range(256)), b"", os.urandom(1 << 20), "x" * 70_000]:
        await socket.send(message)
        assert await socket.recv() == message
    await socket.send(part for part in ["in ", "three ", "parts"])
    assert await socket.recv() == "in three parts"
    pong = await socket.ping(b"are you there?")
    await pong


async def fails(socket, code):
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as closed:
        assert closed.rcvd is not None and closed.rcvd.code == code, closed


async def echo(options, open_socket):
    async with open_socket() as socket:
        await exchange(socket)
        await socket.close(1000, "done")
        assert socket.close_code == 1000, socket.close_code


async def address(options, open_socket):
    async with open_socket() as socket:
        print("the server sees", await socket.recv(), flush=True)
        await exchange(socket)


async def drain(options, open_socket):
    async with open_socket() as socket:
        print("the server sees", await socket.recv(), flush=True)
        await fails(socket, 1012)
        print("the server closes with 1012", flush=True)


async def session(options, open_socket):
    with open("docs/vectors/handshake.json", encoding="utf-8") as file:
        hello = bytes.fromhex(json.load(file)["vectors"][0]["hex"])
    async with open_socket(subprotocols=["something-else", "duplex-rpc.v1"]) as socket:
        assert socket.subprotocol == "duplex-rpc.v1", socket.subprotocol
        await socket.send(hello)
        welcome = await socket.recv()
        assert welcome[:4] == bytes.fromhex("00009202"), welcome.hex()
        assert b"Desk" in welcome, welcome
        # A second Hello breaks the protocol.
        await socket.send(hello)
        await fails(socket, 1002)
    # A text message breaks the protocol too.
    async with open_socket(subprotocols=["duplex-rpc.v1"]) as socket:
        await socket.send("hello")
        try:
            await socket.recv()
        except ConnectionClosed as closed:
            assert closed.rcvd is not None and closed.rcvd.code in (1002, 1003), closed


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["echo", "address", "drain", "session"])
    parser.add_argument("url")
    parser.add_argument("--at")
    parser.add_argument("--from", dest="source")
    parser.add_argument("--ca")
    options = parser.parse_args()

    def open_socket(**more):
        more["max_size"] = 1 << 24
        more["proxy"] = None
        # Any client can write this header, so the server must not believe it.
        more["additional_headers"] = {"X-Forwarded-For": "203.0.113.9"}
        if options.at:
            more["host"], _, port = options.at.rpartition(":")
            more["port"] = int(port)
        if options.source:
            more["local_addr"] = (options.source, 0)
        if options.ca:
            more["ssl"] = ssl.create_default_context(cafile=options.ca)
        return connect(options.url, **more)

    tasks = {"echo": echo, "address": address, "drain": drain, "session": session}
    async with asyncio.timeout(30):
        await tasks[options.task](options, open_socket)


asyncio.run(main())
