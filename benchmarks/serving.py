"""A student behind HTTP, under load on this machine: requests a second and p99, beside ONNX Runtime called in a loop.

    python benchmarks/serving.py --run runs/fashion_mnist

The run is one of images; what is sent are pictures of noise, of the model's size, as PNG files. Server and client share the machine: the
client is a process of its own, on plain sockets that stay open. Then 1,000 broken requests: the statuses, what was lost, and
the server's memory before and after. All of it takes less than a minute.
"""

from __future__ import annotations

import asyncio
import base64
import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import numpy as np
from common import arguments, print_conditions, print_table
from PIL import Image

from limbeck.cli.answers import model_file
from limbeck.modalities.image import serve as served

PICTURES = 64
BROKEN = 1_000
ENOUGH = 100  # broken requests before memory is looked at: what a first request takes for good is then taken


class Load(NamedTuple):
    """Seconds of each request, how long all of them took, and what the process that answered took of a processor."""

    seconds: list[float]
    whole: float
    statuses: Counter[int]
    cpu: float = 0.0


def request(body: bytes, kind: str) -> bytes:
    """A request as it goes over the wire."""
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def answered(reader: asyncio.StreamReader) -> int:
    """Reads an answer whole; its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    await reader.readexactly(int(length[1]) if length else 0)
    return int(head[9:12])


async def load(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    """Asks over so many connections for so long, each as soon as it has its answer."""
    took: list[float] = []
    statuses: Counter[int] = Counter()
    end = time.perf_counter() + seconds

    async def one(place: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.perf_counter()) < end:
            writer.write(requests[place % len(requests)])
            statuses[await answered(reader)] += 1
            took.append(time.perf_counter() - began)
            place += connections
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one(place) for place in range(connections)))
    return Load(took, time.perf_counter() - began, statuses)


def loading(*asked: Any) -> Load:
    """:func:`load`, in this process."""
    return asyncio.run(load(*asked))


async def each_alone(port: int, requests: Sequence[bytes]) -> list[int]:
    """The status of each, over a connection of its own; 0 where there is no answer."""
    limit, found = asyncio.Semaphore(8), []

    async def one(sent: bytes) -> None:
        async with limit:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(sent)
                found.append(await asyncio.wait_for(answered(reader), 20))
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                found.append(0)
            writer.close()

    await asyncio.gather(*(one(sent) for sent in requests))
    return found


def broken(files: Sequence[bytes], count: int) -> list[bytes]:
    """Requests that cannot be read, of many kinds, by a fixed seed."""
    draw = random.Random(0)
    made = []
    for number in range(count):
        file = files[number % len(files)]
        cut = file[: draw.randrange(8, len(file) - 12)]
        packed = json.dumps({"instances": [{"b64": base64.b64encode(cut).decode()}]}).encode()
        made.append(
            draw.choice(
                (
                    request(cut, "image/png"),
                    request(draw.randbytes(draw.randrange(1, 5_000)), "image/png"),
                    request(packed, "application/json"),
                    request(packed[: draw.randrange(1, len(packed) - 2)], "application/json"),
                    request(draw.randbytes(99), "application/json"),
                    request(b"[" * 50_000, "application/json"),
                    request(b'{"instances": []}', "application/json"),
                    request(b'{"instances": [1, null, "x"]}', "application/json"),
                    request(file, "text/plain"),
                    request(file, "multipart/form-data; boundary=x"),
                    request(b"", "image/png"),
                    request(bytes(17_000_000), "image/png") if number % 20 == 0 else request(b"GIF89a", "image/gif"),
                    b"GET /predict HTTP/1.1\r\nHost: x\r\n\r\n",
                    b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
                    b"\x16\x03\x01 no HTTP at all\r\n\r\n",
                )
            )
        )
    return made


def told(port: int, name: str) -> float:
    """One of the server's metrics."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        text = response.read().decode()
    return float(re.findall(rf"^{name} (\S+)", text, re.MULTILINE)[0])


def memory_mb(port: int) -> float:
    """The server's resident memory, as it says itself."""
    return told(port, "process_resident_memory_bytes") / 1e6


def asked_by(client: Any, port: int, *asked: Any) -> Load:
    """A load from another process, with the server's time on a processor."""
    before = told(port, "process_cpu_seconds_total")
    found: Load = client.apply(loading, (port, *asked))
    return found._replace(cpu=told(port, "process_cpu_seconds_total") - before)


def started(run: Path, *options: str) -> tuple[subprocess.Popen[str], int, float]:
    """A server that answers: the process, its port, the seconds that it took."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "limbeck", "serve", str(run), "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    found = re.search(r":(\d+)/predict", process.stderr.readline())
    assert found, process.stderr.read()
    while True:
        try:
            urlopen(f"http://127.0.0.1:{found[1]}/healthz").close()
            return process, int(found[1]), time.perf_counter() - began
        except OSError:
            time.sleep(0.01)


def in_a_loop(model: served.Opened, files: Sequence[bytes], seconds: float, *, reading: bool) -> Load:
    """ONNX Runtime on one thread, one picture after another; ``reading`` the file each time, or given its pixels."""
    inputs = [served.read(model, one, 1) for one in files]
    took: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        place = len(took) % len(files)
        start = time.perf_counter()
        served.ask(model, [served.read(model, files[place], 1) if reading else inputs[place]])
        took.append(time.perf_counter() - start)
    return Load(took, time.perf_counter() - began, Counter(), time.process_time() - cpu)


def row(title: str, found: Load, pictures: int = 1) -> list[str]:
    """Of a table."""
    assert set(found.statuses) <= {200}, found.statuses
    p50, p99 = (1000 * float(np.percentile(found.seconds, q)) for q in (50, 99))
    rate = len(found.seconds) / found.whole
    cpu = 1000 * found.cpu / (len(found.seconds) * pictures)
    return [title, f"{rate:,.0f}", f"{rate * pictures:,.0f}", f"{p50:.2f}", f"{p99:.2f}", f"{cpu:.3f}"]


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--run", type=Path, default=Path("runs/fashion_mnist"))
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load")
    asked = parser.parse_args()
    began = time.monotonic()
    pool = multiprocessing.get_context("fork").Pool(1)  # before there are threads
    model = served.opened(model_file(asked.run))
    shape = (model.metadata.height, model.metadata.width, 3)
    draw = np.random.default_rng(0)
    files = []
    for _ in range(PICTURES):
        picture = Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8))
        picture.convert("L" if model.metadata.channels == 1 else "RGB").save(file := BytesIO(), "PNG")
        files.append(file.getvalue())
    single = [request(one, "image/png") for one in files]
    packed = [{"b64": base64.b64encode(one).decode()} for one in files]
    many = [request(json.dumps({"instances": packed[n : n + 32]}).encode(), "application/json") for n in (0, 32)]

    rows = [
        row("ONNX Runtime in a loop, given pixels", in_a_loop(model, files, asked.seconds / 2, reading=False)),
        row("ONNX Runtime in a loop, given files", in_a_loop(model, files, asked.seconds / 2, reading=True)),
    ]
    statuses, before, after, up = list[int](), 0.0, 0.0, 0.0
    with pool as client:
        for options in ((), ("--wait-ms", "2")):
            process, port, up = started(asked.run, *options)
            client.apply(loading, (port, single, 8, 0.5))
            for connections in (1, 8, 32) if not options else (32,):
                found = asked_by(client, port, single, connections, asked.seconds)
                rows.append(row(f"one picture a request, {connections} connections {' '.join(options)}", found))
            if not options:
                found = asked_by(client, port, many, 4, asked.seconds)
                rows.append(row("32 pictures a request, 4 connections", found, 32))
                large = [request(bytes(17_000_000), "image/png")] * 8  # all that are sent at a time
                asyncio.run(each_alone(port, [*broken(files, ENOUGH), *large]))
                before = memory_mb(port)
                statuses = asyncio.run(each_alone(port, broken(files, BROKEN)))
                after = memory_mb(port)
                rows.append(
                    row(
                        "one picture a request, 8 connections, after them",
                        asked_by(client, port, single, 8, 2.0),
                    )
                )
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0
    print_table(["", "requests/s", "pictures/s", "p50, ms", "p99, ms", "processor, ms a picture"], rows)
    counted = ", ".join(f"{number} times {status}" for status, number in sorted(Counter(statuses).items()))
    print(
        f"\n{BROKEN} broken requests: {counted}; the server's memory {before:.1f} MB before and {after:.1f} MB after."
    )
    print(f"It answered {up:.2f} s after it was started. Load of the machine: {os.getloadavg()[0]:.1f}.")
    print_conditions("0", began)


if __name__ == "__main__":
    main()
