"""Servers and a client for isolated.sh.

probe.py serve NAME KIND:PORT...      answers with NAME, the address it was asked at and the one that asks
probe.py try PROTOCOL:PORT:ADDRESS... prints what comes back, and whether it took long
"""

import socket
import sys
import threading
import time

IP_TRANSPARENT = 19


def tcp(name, listener):
    while True:
        connection, peer = listener.accept()
        host, port = connection.getsockname()
        connection.sendall(f"{name} for {host}:{port} from {peer[0]}".encode())
        connection.close()


def udp(name, server):
    while True:
        _, peer = server.recvfrom(512)
        server.sendto(f"{name} from {peer[0]}".encode(), peer)


def serve(name, specifications):
    for specification in specifications:
        kind, port = specification.split(":")
        server = socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        if kind == "transparent":
            server.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
        server.bind(("0.0.0.0", int(port)))
        if kind != "udp":
            server.listen()
        threading.Thread(target=udp if kind == "udp" else tcp, args=(name, server)).start()
    print("ready", flush=True)


def answer(protocol, port, address):
    try:
        if protocol == "tcp":
            with socket.create_connection((address, port), 3) as connection:
                return connection.recv(512).decode()
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(3)
            client.connect((address, port))
            client.send(b"?")
            return client.recv(512).decode()
    except TimeoutError:
        return "silence"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return f"refused: {error.strerror}"


def main():
    if sys.argv[1] == "serve":
        serve(sys.argv[2], sys.argv[3:])
        return
    for target in sys.argv[2:]:
        protocol, port, address = target.split(":")
        started = time.monotonic()
        came = answer(protocol, int(port), address)
        late = " (late)" if time.monotonic() - started > 2 and came != "silence" else ""
        print(f"{protocol} {address}:{port} {came}{late}")


main()
