#!/usr/bin/env python3
"""Simulates the internet and the user's own network for a machine that has no other.

Runs in a container on the machine's network, takes the address of its gateway, and answers for every address below. What
arrives is recorded, so that a test can see from the far end what got through and from which address.

Reads    /internet/world.json   {"gateway": CIDR, "addresses": [ADDRESS], "tcp": [PORT], "udp": [PORT],
                                 "names": {NAME: ADDRESS}, "name_servers": [ADDRESS]}
         /internet/server.pem   certificate and key for port 443
Writes   /internet/seen.jsonl   a line for each connection and each datagram
         /internet/ready        when everything listens
"""

import asyncio
import json
import os
import socket
import ssl
import struct
import subprocess

TOP = "/internet"
HTTP = {80, 443, 8080}


class Seen:
    """The record of what arrived."""

    def __init__(self):
        self.file = open(f"{TOP}/seen.jsonl", "a", encoding="utf-8", buffering=1)

    def add(self, protocol, local, peer, text=""):
        entry = {"protocol": protocol, "address": local[0], "port": local[1], "from": peer[0], "text": text}
        self.file.write(json.dumps(entry) + "\n")


async def http(reader, writer, seen, port):
    """Answers requests one after the other, with a description of each."""
    local, peer = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").rstrip().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        body = await content(reader, fields)
        path = line.split(" ")[1] if " " in line else ""
        if not path.startswith("/quiet"):
            text = body[:200].decode("latin-1") + body[-100:].decode("latin-1")
            seen.add("http", local, peer, f"{line} host={fields.get('host', '')} {text}")
        answer = answer_to(path, {"address": local[0], "port": port, "host": fields.get("host", ""), "body": len(body)})
        close = fields.get("connection", "").lower() == "close" or line.endswith("HTTP/1.0")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n%s\r\n"
            % (len(answer), b"Connection: close\r\n" if close else b"")
            + answer
        )
        await writer.drain()
        if close:
            return


def answer_to(path, told):
    """`/bytes/N` is a body of N bytes, everything else a document about the request."""
    if path.startswith("/bytes/"):
        return b"x" * int(path.split("/")[2])
    return json.dumps(told, sort_keys=True).encode() + b"\n"


async def content(reader, fields):
    if "chunked" in fields.get("transfer-encoding", "").lower():
        body = b""
        while True:
            size = int((await reader.readline()).split(b";")[0], 16)
            body += (await reader.readexactly(size + 2))[:size]
            if size == 0:
                return body
    return await reader.readexactly(int(fields.get("content-length", 0)))


def tcp_handler(seen, port):
    async def handle(reader, writer):
        local, peer = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
        try:
            if port in HTTP:
                await http(reader, writer, seen, port)
                return
            if port == 53:
                await dns_over_tcp(reader, writer, seen)
                return
            # A server that speaks first, as SSH does, and then echoes.
            writer.write(b"SSH-2.0-internet\r\n" if port == 22 else b"raw %d\r\n" % port)
            await writer.drain()
            first = True
            while data := await asyncio.wait_for(reader.read(4096), 10):
                seen.add("tcp", local, peer, data.decode("latin-1"))
                first = False
                writer.write(data)
                await writer.drain()
            if first:
                seen.add("tcp", local, peer)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ValueError, TimeoutError):
            pass
        finally:
            writer.close()

    return handle


NAMES = {}


def dns_answer(query):
    """Answers A queries; other queries for a known name get an empty answer."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1").lower())
        at += query[at] + 1
    question = query[12 : at + 5]
    kind = struct.unpack("!H", query[at + 1 : at + 3])[0]
    name = ".".join(labels)
    address = NAMES.get(name)
    code = 0 if address else 3
    records = b""
    if address and kind == 1:
        records = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + socket.inet_aton(address)
    header = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, 1 if records else 0, 0, 0)
    return name, header + question + records


async def dns_over_tcp(reader, writer, seen):
    local, peer = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
    while True:
        size = struct.unpack("!H", await reader.readexactly(2))[0]
        name, answer = dns_answer(await reader.readexactly(size))
        seen.add("dns-tcp", local, peer, name)
        writer.write(struct.pack("!H", len(answer)) + answer)
        await writer.drain()


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, seen, local):
        self.seen, self.local = seen, local

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        if self.local[1] == 53:
            try:
                name, answer = dns_answer(data)
            except (IndexError, struct.error):
                return
            self.seen.add("dns", self.local, peer, name)
            self.transport.sendto(answer, peer)
            return
        self.seen.add("udp", self.local, peer, data[:200].decode("latin-1"))
        self.transport.sendto(data, peer)


async def main():
    with open(f"{TOP}/world.json", encoding="utf-8") as file:
        world = json.load(file)
    NAMES.update(world["names"])
    subprocess.run(["ip", "address", "add", world["gateway"], "dev", "eth0"], check=True)
    for address in world["addresses"]:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    seen = Seen()
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{TOP}/server.pem")
    for address in world["addresses"]:
        for port in world["tcp"]:
            tls = context if port == 443 else None
            await asyncio.start_server(tcp_handler(seen, port), address, port, ssl=tls, backlog=1024)
        for port in world["udp"]:
            local = (address, port)
            await loop.create_datagram_endpoint(lambda local=local: Datagrams(seen, local), local_addr=local)
    for address in world["name_servers"]:
        local = (address, 53)
        await loop.create_datagram_endpoint(lambda local=local: Datagrams(seen, local), local_addr=local)
        await asyncio.start_server(tcp_handler(seen, 53), address, 53)
    with open(f"{TOP}/ready", "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    await asyncio.Event().wait()


asyncio.run(main())
