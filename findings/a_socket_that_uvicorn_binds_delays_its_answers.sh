#!/usr/bin/env bash
# uvicorn 0.54.0 on Python's own event loop: a server whose socket uvicorn bound itself (Config.bind_socket, which `--workers 2`
# and `--reload` do) sends with Nagle's delay, and a client that keeps its connection open waits some 40 ms for every answer.
#
# One would expect a server to answer as quickly with two workers as with one. asyncio sets TCP_NODELAY on connections whose
# socket names its protocol (socket.proto == IPPROTO_TCP); bind_socket makes its socket without one, so proto is 0. uvicorn writes
# the head of an answer and its body apart, and the second waits until the client has acknowledged the first, which it delays.
#
# Who gives uvicorn a socket (`Server.run(sockets=[...])`) must make it with socket.IPPROTO_TCP.
#
# Prints what was seen and exits with 1 where the behaviour is another.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet uvicorn==0.54.0

"$folder/venv/bin/python" - << 'PYTHON'
import http.client
import platform
import socket
import statistics
import sys
import threading
import time

import uvicorn

delayed = set()


async def app(scope, receive, send):
    for connection in server.server_state.connections:
        accepted = connection.transport.get_extra_info("socket")
        delayed.add(not accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def by_uvicorn(config):
    return config.bind_socket()


def with_its_protocol(config):
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.bind(("127.0.0.1", 0))
    return made


def asked(bound_by):
    """Whether answers are delayed, and the median milliseconds of 21."""
    global server
    delayed.clear()
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off", loop="asyncio", http="h11")
    bound = bound_by(config)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    connection = http.client.HTTPConnection("127.0.0.1", bound.getsockname()[1])
    took = []
    for _ in range(21):
        began = time.perf_counter()
        connection.request("GET", "/")
        connection.getresponse().read()
        took.append(1000 * (time.perf_counter() - began))
    connection.close()
    server.should_exit = True
    thread.join()
    print(f"{bound_by.__name__}: proto {bound.proto}, delayed {delayed}, median of an answer {statistics.median(took):.1f} ms")
    return set(delayed)


print(f"uvicorn {uvicorn.__version__}, Python {platform.python_version()}")
same = [asked(by_uvicorn), asked(with_its_protocol)] == [{True}, {False}]
sys.exit(0 if same else "a socket that uvicorn binds is not delayed any more: this finding is out of date")
PYTHON
