"""Tries to reach addresses, as root of the container in which it runs, and prints the answers.

Reads a list of questions from its argument, asks all at once, and prints a JSON object: question, answer. A question is
one line of words:

    tcp ADDRESS PORT [TEXT]    connects, says TEXT, and reads
    tls ADDRESS PORT NAME      the same inside TLS, with a request for NAME; any certificate will do
    udp ADDRESS PORT [TEXT]    sends, and waits for an answer
    dns ADDRESS [NAME]         asks for an address over UDP
    dnstcp ADDRESS [NAME]      the same over TCP
    icmp ADDRESS               sends an echo request
    icmp6 ADDRESS%DEVICE       the same over IPv6; for a group, who answers

An answer is `answers TEXT`, `closes` (accepted, then closed without data), `takes` (accepted, but no data), `refused`
(a reset or port unreachable), `rejected CODE` (any other immediate error) or `silent`.
"""

import asyncio
import errno
import json
import os
import socket
import ssl
import struct
import sys

WAIT = 2.5
SLOTS = asyncio.Semaphore(200)


def failed(error):
    if isinstance(error, ConnectionResetError):
        return "closes"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return "silent"
    return f"rejected {errno.errorcode.get(error.errno, error.errno)}"


def shown(data):
    return "answers " + data[:160].decode("latin-1").strip()


async def tls(address, port, name):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return await tcp(address, port, f"GET /reach HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n", ssl=context, server_hostname=name)


async def tcp(address, port, text="?\\r\\n\\r\\n", **more):
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(address, int(port), **more), WAIT)
    except ssl.SSLError:
        return "closes"
    except OSError as error:
        return failed(error)
    try:
        writer.write(text.encode("latin-1").decode("unicode_escape").encode("latin-1"))
        await writer.drain()
        data = await asyncio.wait_for(reader.read(4096), WAIT)
        return shown(data) if data else "closes"
    except TimeoutError:
        return "takes"
    except OSError as error:
        return failed(error)
    finally:
        writer.close()


def query(name, kind=1):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", os.getpid() & 0xFFFF, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


async def exchange(family, kind, protocol, target, data, wanted=lambda found: found):
    """Sends, and waits for the first datagram that `wanted` accepts."""
    loop = asyncio.get_running_loop()
    with socket.socket(family, kind, protocol) as sock:
        sock.setblocking(False)
        try:
            if kind == socket.SOCK_DGRAM:
                # Connected, so that an ICMP error comes back as one.
                sock.connect(target)
                await loop.sock_sendall(sock, data)
            else:
                await loop.sock_sendto(sock, data, target)
            async with asyncio.timeout(WAIT):
                while True:
                    found, peer = await loop.sock_recvfrom(sock, 4096)
                    result = wanted(found)
                    if result is not None and result is not False:
                        return result, peer
        except OSError as error:
            return failed(error), None


async def udp(address, port, text="?"):
    found, _ = await exchange(socket.AF_INET, socket.SOCK_DGRAM, 0, (address, int(port)), text.encode())
    return found if isinstance(found, str) else shown(found)


async def dnstcp(address, name="web.example"):
    question = query(name)
    try:
        async with asyncio.timeout(WAIT):
            reader, writer = await asyncio.open_connection(address, 53)
            try:
                writer.write(struct.pack("!H", len(question)) + question)
                size = struct.unpack("!H", await reader.readexactly(2))[0]
                return named(await reader.readexactly(size))
            finally:
                writer.close()
    except asyncio.IncompleteReadError:
        return "closes"
    except OSError as error:
        return failed(error)


async def dns(address, name="web.example", kind="1"):
    question = query(name, int(kind))
    found, _ = await exchange(socket.AF_INET, socket.SOCK_DGRAM, 0, (address, 53), question)
    return found if isinstance(found, str) else named(found)


def named(found):
    """Describes the answer of a name server to a query for an address."""
    code, answers = found[3] & 15, struct.unpack("!H", found[6:8])[0]
    return f"answers {socket.inet_ntoa(found[-4:])}" if answers else f"answers code {code}"


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


async def icmp(address):
    head = struct.pack("!BBHHH", 8, 0, 0, 4711, 1)
    packet = struct.pack("!BBHHH", 8, 0, checksum(head), 4711, 1)

    def wanted(found):
        # A raw socket gets every answer: only the one from `address` counts.
        body = found[(found[0] & 15) * 4 :]
        if body[0] == 0 and socket.inet_ntoa(found[12:16]) == address:
            return "answers"
        # The error quotes the header of the packet that caused it.
        if body[0] == 3 and socket.inet_ntoa(body[24:28]) == address:
            return f"rejected ICMP {body[0]}.{body[1]}"
        return None

    found, _ = await exchange(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP, (address, 0), packet, wanted)
    return found


async def icmp6(address):
    address, device = address.split("%")
    packet = struct.pack("!BBHHH", 128, 0, 0, 4711, 1)
    answered = set()
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
            sock.setblocking(False)
            sock.bind(("::", 0, 0, 0))
            own = {line.split()[0] for line in open("/proc/net/if_inet6", encoding="ascii")}
            await loop.sock_sendto(sock, packet, (address, 0, 0, socket.if_nametoindex(device)))
            async with asyncio.timeout(WAIT):
                while True:
                    found, peer = await loop.sock_recvfrom(sock, 4096)
                    who = peer[0].split("%")[0]
                    if found[0] == 129 and socket.inet_pton(socket.AF_INET6, who).hex() not in own:
                        answered.add(who)
    except TimeoutError:
        pass
    except OSError as error:
        return failed(error)
    return "answers " + " ".join(sorted(answered)) if answered else "silent"


KINDS = {"tcp": tcp, "tls": tls, "udp": udp, "dns": dns, "dnstcp": dnstcp, "icmp": icmp, "icmp6": icmp6}


async def ask(line):
    kind, *words = line.split(" ", 3)
    async with SLOTS:
        return line, await KINDS[kind](*words)


async def main():
    lines = json.loads(sys.argv[1])
    print(json.dumps(dict(await asyncio.gather(*map(ask, lines)))))


asyncio.run(main())
