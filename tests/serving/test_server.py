"""Claims about `limbeck serve`, made of a server in a process of its own."""

from __future__ import annotations

import base64
import http.client
import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from limbeck.modalities.image import predict as predicting
from limbeck.serving.server import bound
from tests.helpers.tiny import environment
from tests.serving.test_models import close, picture

# The command, which says at its end whether torch was ever imported.
COMMAND = "import sys, limbeck.__main__ as command\ntry: command.main()\nfinally: print('torch' in sys.modules)"


class Server(NamedTuple):
    """One that listens."""

    process: subprocess.Popen[str]
    port: int

    def ask(self, body: bytes, kind: str | None, path: str = "/predict", method: str = "POST") -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {} if kind is None else {"Content-Type": kind})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def metrics(self) -> dict[str, float]:
        """By name with labels."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def started(model: Path, *options: str) -> Server:
    """A server once it answers."""
    command = [sys.executable, "-c", COMMAND, "serve", str(model), "--port", "0", *options]
    return listening(
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    )


def listening(process: subprocess.Popen[str]) -> Server:
    """The same of a process that was started; stderr is a pipe."""
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://127.0.0.1:(\d+)/predict", line)
    assert found, line + process.stderr.read()
    server = Server(process, int(found[1]))
    for _ in range(100):
        try:
            assert server.ask(b"", None, "/healthz", "GET")[0] == 200
            return server
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError("it does not listen")


def stopped(server: Server, number: int = signal.SIGTERM) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a server that is asked to stop."""
    server.process.send_signal(number)
    out, err = server.process.communicate(timeout=20)
    return server.process.returncode, out, err


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    running = started(model, "--max-mb", "0.2", "--max-size", "1000000")
    yield running
    stopped(running)


def form(*files: bytes) -> tuple[bytes, str]:
    """A multipart body with files, and its type."""
    head = 'Content-Disposition: form-data; name="file"; filename="x.png"\r\n\r\n'
    parts = b"".join(b"--edge\r\n" + head.encode() + file + b"\r\n" for file in files)
    return parts + b"--edge--\r\n", "multipart/form-data; boundary=edge"


def packed(*files: bytes) -> bytes:
    return json.dumps({"instances": [{"b64": base64.b64encode(one).decode()} for one in files]}).encode()


def expected_of(model: Path, folder: Path, count: int) -> list[Any]:
    """What `limbeck predict` says of the first pictures."""
    for number in range(count):
        (folder / str(number)).write_bytes(picture(number))
    said = predicting.plain(predicting.predict(model, [folder / str(number) for number in range(count)], 2))
    return [{"top": one["top"]} for one in said]


def test_whichever_way_examples_come_they_are_answered_as_limbeck_predict_does(
    server: Server, model: Path, tmp_path: Path
) -> None:
    files = [picture(number) for number in range(3)]
    expected = expected_of(model, tmp_path, 3)
    for body, kind in ((packed(*files), "application/json; charset=utf-8"), form(*files)):
        status, said = server.ask(body, kind, "/predict?top=2")
        assert (status, close(said["predictions"], expected)) == (200, True)
    for kind in ("image/png", "application/octet-stream"):
        status, said = server.ask(files[1], kind, "/predict?top=2")
        assert (status, close(said["predictions"], expected[1:2])) == (200, True)
    assert len(server.ask(files[0], "image/png", "/predict?top=999")[1]["predictions"][0]["top"]) == 4


def test_requests_at_the_same_time_each_get_their_own_answer_and_share_batches(
    server: Server, model: Path, tmp_path: Path
) -> None:
    expected = expected_of(model, tmp_path, 16)
    before = server.metrics()
    with ThreadPoolExecutor(16) as pool:
        found = list(
            pool.map(
                lambda n: server.ask(packed(*[picture(n % 16)] * 3), "application/json", "/predict?top=2"), range(96)
            )
        )
    assert [status for status, _ in found] == [200] * 96
    assert all(close(said["predictions"], [expected[n % 16]] * 3) for n, (_, said) in enumerate(found))
    after = server.metrics()

    def more(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert more('limbeck_requests_total{status="200"}') == 96
    assert more('limbeck_examples_total{model="student"}') == 288
    assert more('limbeck_batch_examples_sum{model="student"}') == 288
    assert more('limbeck_batch_examples_count{model="student"}') <= 96
    assert after['limbeck_waiting_examples{model="student"}'] == 0


BROKEN = [
    (b"", "application/json", 400),
    (b"{", "application/json", 400),
    (b"\xff\xfe", "application/json", 400),
    (b"[" * 100_000, "application/json", 400),
    (b'{"instances": ' + b"9" * 9999 + b"}", "application/json", 400),
    (b'{"instances": []}', "application/json", 400),
    (b'{"instances": {"b64": ""}}', "application/json", 400),
    (b'{"instances": [{"b64": ""}]}', "application/json", 400),
    (b'{"instances": [NaN, null, {"b64": 7}]}', "application/json", 400),
    (b'{"instances": ["' + b"a" * 9 + b'"]}', "application/json", 400),
    (b"[1]", "application/json", 400),
    (json.dumps({"instances": [0] * 257}).encode(), "application/json", 413),
    (b"", "image/png", 400),
    (b"no picture", "image/png", 400),
    (picture(0)[:150], "image/png", 400),
    (picture(0)[:40] + b"\xff" * 60 + picture(0)[100:], "image/png", 400),
    (b"\x89PNG\r\n\x1a\n" + bytes(99), "application/octet-stream", 400),
    (picture(0, 1001, 1000, "GIF")[:150_000], "image/gif", 413),
    (b"x" * 200_001, "image/png", 413),
    (b"x" * 700_000, "application/json", 413),
    (b"x" * 2_000_000, "image/png", 413),
    (b"a text", "text/plain", 415),
    (picture(0), "audio/wav", 415),
    (b"x", "application/x-www-form-urlencoded", 415),
    (b"x", None, 415),
    (b"x", "\xff", 415),
    (form(picture(0))[0], "multipart/form-data", 400),
    (form(picture(0))[0], "multipart/form-data; boundary=other", 400),
    (form(picture(0))[0][:-300], "multipart/form-data; boundary=edge", 400),
    (
        b"--edge\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--edge--\r\n",
        "multipart/form-data; boundary=edge",
        400,
    ),
    (b"--edge\r\n\r\n\r\n--edge--\r\n", "multipart/form-data; boundary=edge", 400),
    (*form(*[b"x"] * 257), 400),
    (*form(picture(0), b"no picture"), 400),
]


@pytest.mark.parametrize(("body", "kind", "status"), BROKEN, ids=range(len(BROKEN)))
def test_what_cannot_be_read_is_refused_with_a_sentence(server: Server, body: bytes, kind: str, status: int) -> None:
    found, said = server.ask(body, kind)
    assert found == status, said
    assert list(said) == ["error"]
    assert said["error"].endswith(".") or said["error"].endswith("]}.")
    assert not re.search(r"Traceback|0x[0-9a-f]{6}|Error\b", said["error"])


@pytest.mark.parametrize(
    "path", ["/predict?top=0", "/predict?top=x", "/predict?top=", "/predict?top=٣", "/predict?top=99999999999"]
)
def test_a_number_of_classes_that_is_none_is_refused(server: Server, path: str) -> None:
    status, said = server.ask(picture(0), "image/png", path.replace("٣", "%D9%A3"))
    assert (status, "top" in said["error"]) == (400, True)


def test_other_paths_and_methods_are_told_what_there_is(server: Server) -> None:
    assert server.ask(b"", None, "/", "GET") == (
        404,
        {"error": "there is no such path; there are /predict, /healthz, /metrics."},
    )
    assert server.ask(b"", None, "/predict", "GET") == (405, {"error": "/predict takes POST."})
    assert server.ask(b"", None, "/healthz") == (405, {"error": "/healthz takes GET."})


def test_noise_of_any_kind_is_refused_and_the_server_goes_on(server: Server) -> None:
    draw = random.Random(0)
    whole = [(packed(picture(0)), "application/json"), (picture(1), "image/png"), form(picture(2))]
    seen = set()
    for _ in range(150):
        body, kind = draw.choice(whole)
        bad = bytearray(body)
        for _ in range(draw.choice((1, 3, 30))):
            bad[draw.randrange(len(bad))] = draw.randrange(256)
        seen.add(server.ask(bytes(bad[: draw.choice((len(bad), draw.randrange(len(bad))))]), kind)[0])
    assert seen <= {200, 400, 413, 415, 422}
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:  # no HTTP at all
        raw.sendall(bytes(range(256)) + b"\r\n\r\n")
        assert raw.recv(99).startswith(b"HTTP/1.1 400")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:  # goes before its request has come
        raw.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 999\r\n\r\nabc")
    assert server.ask(picture(0), "image/png")[0] == 200
    assert 'limbeck_requests_total{status="500"}' not in server.metrics()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_answers_what_is_in_flight_and_ends_well_without_torch(model: Path, number: int) -> None:
    server = started(model)
    body = packed(*[picture(0, 600, 600)] * 6)  # some tenths of a second of reading
    found: list[tuple[int, Any]] = []
    asking = [threading.Thread(target=lambda: found.append(server.ask(body, "application/json"))) for _ in range(4)]
    for one in asking:
        one.start()
    while server.metrics()["limbeck_requests_in_flight"] < 4:
        time.sleep(0.005)
    code, out, err = stopped(server, number)
    for one in asking:
        one.join()
    assert [(status, len(said["predictions"])) for status, said in found] == [(200, 6)] * 4
    assert (code, out, err) == (0, "False\n", "stopped.\n")
    with pytest.raises(ConnectionRefusedError):
        server.ask(b"", None, "/healthz", "GET")


def test_answers_are_sent_without_delay() -> None:
    with bound("127.0.0.1", 0) as listening_socket:
        assert listening_socket.proto == socket.IPPROTO_TCP  # without which asyncio leaves TCP_NODELAY off


def test_what_hinders_it_is_said_in_a_sentence(model: Path, tmp_path: Path, server: Server) -> None:
    def said(*arguments: str) -> tuple[int, str]:
        ran = subprocess.run(
            [sys.executable, "-m", "limbeck", "serve", *arguments],
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        return ran.returncode, ran.stderr

    code, text = said(str(model), "--port", str(server.port))
    assert (code, text) == (
        2,
        f"limbeck: 127.0.0.1, port {server.port}, cannot be listened on (Address already in use): give another --host or --port.\n",
    )
    assert said(str(model), "--max-mb", "inf") == (
        2,
        "limbeck: --max-mb inf is no number of anything: give a finite one.\n",
    )
    (tmp_path / "student.onnx").write_bytes(b"x")
    code, text = said(str(tmp_path))
    assert (code, "cannot be loaded" in text, text.count("\n")) == (2, True, 1)
