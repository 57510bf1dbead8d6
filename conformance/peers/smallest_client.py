"""The smallest client: the section "The short path" of docs/protocol.md as a program. smallest_client.py URL

It calls `Desk.address` of examples/deploying, answers the callback `Visitor.name` that the server makes meanwhile, and
prints what the server says. Then it shows that a method that is not there, a ping and an ack are answered as the
section says.
"""

import asyncio
import struct
import sys

from websockets.asyncio.client import connect

WELCOME, REQUEST, NOTIFY, RESPONSE, ERROR, CANCEL, DONE, PING, PONG, GO_AWAY = 2, 3, 4, 5, 6, 7, 14, 16, 17, 18
UNIMPLEMENTED = 12


def head(count, few, most, *forms):
    """The first bytes of a value with this number, length or count, in the shortest form."""
    if count < most:
        return bytes([few + count])
    first, form = next((first, form) for first, form in forms if count < 1 << 8 * struct.calcsize(form))
    return bytes([first]) + struct.pack(">" + form, count)


def pack(value):
    """Writes the MessagePack values that this client sends."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return head(value, 0, 0x80, (0xCC, "B"), (0xCD, "H"), (0xCE, "I"), (0xCF, "Q"))
    if isinstance(value, bytes):
        return head(len(value), 0, 0, (0xC4, "B"), (0xC5, "H"), (0xC6, "I")) + value
    if isinstance(value, str):
        text = value.encode()
        return head(len(text), 0xA0, 32, (0xD9, "B"), (0xDA, "H"), (0xDB, "I")) + text
    if isinstance(value, list):
        return head(len(value), 0x90, 16, (0xDC, "H"), (0xDD, "I")) + b"".join(map(pack, value))
    pairs = b"".join(pack(key) + pack(item) for key, item in value.items())
    return head(len(value), 0x80, 16, (0xDE, "H"), (0xDF, "I")) + pairs


class Reader:
    """Reads MessagePack values, one after another."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data), "the message is cut short"
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form):
        return struct.unpack(">" + form, self.take(struct.calcsize(form)))[0]

    def value(self):
        first = self.number("B")
        if first < 0x80:
            return first
        if first >= 0xE0:
            return first - 0x100
        if 0xA0 <= first < 0xC0:
            return self.take(first & 0x1F).decode()
        if 0x90 <= first < 0xA0:
            return [self.value() for _ in range(first & 0x0F)]
        if 0x80 <= first < 0x90:
            return self.map(first & 0x0F)
        if first in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[first]
        if 0xCA <= first <= 0xD3:
            return self.number("fdBHIQbhiq"[first - 0xCA])
        size = lambda base: self.number("BHI"[first - base])
        if 0xC4 <= first <= 0xC6:
            return self.take(size(0xC4))
        if 0xD9 <= first <= 0xDB:
            return self.take(size(0xD9)).decode()
        if first in (0xDC, 0xDD):
            return [self.value() for _ in range(size(0xDB))]
        assert first in (0xDE, 0xDF), f"no value begins with {first:#x}"
        return self.map(size(0xDD))

    def map(self, count):
        return {self.value(): self.value() for _ in range(count)}

    def values(self):
        while self.at < len(self.data):
            yield self.value()


def method(name):
    hash = 0x811C9DC5
    for byte in name.encode():
        hash = (hash ^ byte) * 0x01000193 & 0xFFFFFFFF
    return hash


class Failed(Exception):
    """A call has failed: with a status, or with an error of the method."""


class Client:
    def __init__(self, socket, methods):
        self.socket, self.methods = socket, {method(name): answer for name, answer in methods.items()}
        self.sent = self.received = self.last_id = self.callbacks = 0
        self.done = {}

    async def send(self, *frames):
        counted = any(3 <= frame[0] <= 14 for frame in frames)
        self.sent += counted
        numbers = [self.sent if counted else 0, self.received]
        await self.socket.send(b"".join(map(pack, [*numbers, *frames])))

    async def receive(self):
        """Takes a message in, acknowledges it, and gives its frames."""
        seq, _ack, *frames = Reader(await self.socket.recv()).values()
        if seq:
            assert seq == self.received + 1, "the numbers have no gaps"
            self.received = seq
            await self.send()
        return frames

    async def open(self, contracts):
        await self.send([1, {1: 1, 4: [[name, 0] for name in contracts]}])
        [[kind, welcome]] = await self.receive()
        assert kind == WELCOME, kind
        if 11 in welcome:
            raise Failed(welcome[11])
        return [name for name, *_ in welcome[4]]

    async def call(self, name, *arguments):
        self.last_id += 1
        await self.send([REQUEST, self.last_id, method(name), None, 0, None, None, pack(list(arguments))])
        kind, answer = await self.wait_for((RESPONSE, ERROR), self.last_id)
        if kind == ERROR:
            raise Failed(answer[1] or Reader(answer[2]).value())
        return Reader(answer[1]).value()

    async def ping(self, token):
        await self.send([PING, token])
        await self.wait_for((PONG,), token)

    async def wait_for(self, kinds, number):
        """Serves what comes until a frame of these kinds and with this number is among it."""
        found = None
        while found is None:
            # More frames may stand behind it in the same message.
            for kind, *frame in await self.receive():
                if kind in kinds and frame[0] == number:
                    found = kind, frame
                else:
                    await self.serve(kind, frame)
        return found

    async def serve(self, kind, frame):
        if kind == REQUEST:
            id, called, _deadline, _depth, _parent, _metadata, arguments = frame[:7]
            answer = self.methods.get(called)
            self.callbacks += 1
            if answer is None:
                await self.send([ERROR, id, [UNIMPLEMENTED, "no such method", None, 1]])
            else:
                await self.send([RESPONSE, id, pack(answer(*Reader(arguments).value()))])
        elif kind == NOTIFY:
            called, depth, metadata, arguments = frame[:4]
            if called in self.methods:
                self.methods[called](*Reader(arguments).value())
            size = len(arguments) + sum(len(k.encode()) + len(v.encode()) + 48 for k, v in (metadata or {}).items())
            count, bytes = self.done.get(depth, (0, 0))
            self.done[depth] = count + 1, bytes + (size if size > 4096 else 0)
            await self.send([DONE, depth, *self.done[depth]])
        elif kind == PING:
            await self.send([PONG, frame[0]])
        else:
            # A Cancel needs nothing here, because each call is answered at once. A GoAway says that the server closes.
            assert kind in (CANCEL, PONG, GO_AWAY) or kind >= 64, f"a frame of kind {kind}"


async def main(url):
    async with connect(url, subprotocols=["duplex-rpc.v1"], compression=None, proxy=None) as socket:
        client = Client(socket, {"Visitor.name": lambda question: "Ada"})
        hosted = await client.open(["Visitor"])
        assert "Desk" in hosted, hosted
        print("the server says:", await client.call("Desk.address"))
        assert client.callbacks == 1, client.callbacks
        await client.ping(7)
        try:
            await client.call("Desk.nothing")
            raise AssertionError("the server has no such method")
        except Failed as failed:
            code, _message, _details, execution = failed.args[0][:4]
            assert (code, execution) == (UNIMPLEMENTED, 1), failed
        await socket.close(1000)
        assert socket.close_code == 1000, socket.close_code


async def within_a_minute():
    async with asyncio.timeout(60):
        await main(sys.argv[1])


if __name__ == "__main__":
    asyncio.run(within_a_minute())
