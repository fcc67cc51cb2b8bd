#!/usr/bin/env python3
"""Answers inside the guest for every host that the provisioning downloads from.

The proof must not depend on a network, and must be able to make each download go wrong. So the names of the real
hosts lead to this server on the loopback address, over TLS with a certificate that the guest trusts.

Serves   /srv/stand-in/www/HOST/PATH
Reads    /srv/stand-in/faults at each request, lines of: HOST/PATH FAULT
             404    not found             busy   503 at the first request only
             cut    the connection ends half way         stall  nothing more comes half way
             flip   one more byte at the end             /FILE  that file instead
Writes   /var/log/stand-in.log, a line for each request
"""

import http.server
import os
import socket
import ssl
import time

TOP = "/srv/stand-in"
# github.com answers a download with a redirection to another host, as the real one does.
ASSETS = "release-assets.githubusercontent.com"


seen = set()


def fault(name):
    try:
        with open(f"{TOP}/faults", encoding="ascii") as lines:
            found = dict(line.split() for line in lines if line.strip()).get(name)
    except FileNotFoundError:
        return None
    if found == "busy" and name in seen:
        return None
    seen.add(name)
    return found


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        with open("/var/log/stand-in.log", "a", encoding="ascii") as log:
            log.write(f"{self.headers.get('Host')} {format % args}\n")

    def do_GET(self):
        host = self.headers.get("Host", "").split(":")[0]
        name = host + os.path.normpath(self.path.split("?")[0])
        wrong = fault(name)
        if host == "github.com" and wrong is None:
            self.redirect(f"https://{ASSETS}{self.path}")
            return
        path = f"{TOP}/www/{name}"
        if wrong and wrong.startswith("/"):
            path = wrong
        if wrong == "busy":
            self.send_error(503)
            return
        if wrong == "404" or not os.path.isfile(path):
            self.send_error(404)
            return
        with open(path, "rb") as file:
            body = file.read()
        if wrong == "flip":
            body += b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if wrong in ("cut", "stall"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if wrong == "stall":
                time.sleep(600)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(body)

    def redirect(self, location):
        self.send_response(302)
        self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{TOP}/server.pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 443), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


main()
