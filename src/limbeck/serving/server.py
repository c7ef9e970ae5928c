#!/usr/bin/env python3
"""An exported model behind HTTP: ``/predict``, ``/healthz``, ``/metrics``. Stands alone

As a script it lies in a container, with ``modality.py`` and the model beside it:

    pip install -r requirements.txt
    python server.py student.onnx --port 8000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect

from .batches import Batches, Busy
from .bodies import Asked, asked, limited, too_long
from .settings import Settings

WAITING = 512  # examples that may wait for a model
HELD = 256_000_000  # bytes of requests that are read or answered at a time
GRACE = 30  # seconds in which requests in flight are answered once the server is asked to stop
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
PATHS = {"/predict": "POST", "/healthz": "GET", "/metrics": "GET"}


class Metrics:
    """What ``/metrics`` tells, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        to = self.registry
        self.requests = Counter("limbeck_requests", "Requests to /predict, by HTTP status.", ["status"], registry=to)
        self.seconds = Histogram(
            "limbeck_request_seconds", "From a request's first byte to its answer.", registry=to, buckets=SECONDS
        )
        self.flight = Gauge("limbeck_requests_in_flight", "Requests that are not answered yet.", registry=to)
        self.examples = Counter("limbeck_examples", "Examples answered, by who answered.", ["model"], registry=to)
        self.batch = Histogram(
            "limbeck_batch_examples", "Examples of a batch.", ["model"], registry=to, buckets=[2**n for n in range(9)]
        )
        self.model = Histogram(
            "limbeck_batch_seconds", "What a model took for a batch.", ["model"], registry=to, buckets=SECONDS
        )
        self.waiting = Gauge("limbeck_waiting_examples", "Examples that wait.", ["model"], registry=to)

    def watch(self, name: str) -> Any:
        """What tells of a model's batches."""
        batch, seconds = self.batch.labels(name), self.model.labels(name)

        def told(size: int, took: float) -> None:
            batch.observe(size)
            seconds.observe(took)

        return told


class Served:
    """A model, and the batches in which it is asked."""

    def __init__(self, does: Any, path: Path, name: str, settings: Settings, metrics: Metrics) -> None:
        largest = {} if settings.max_size is None else {"largest": settings.max_size}
        self.opened = does.opened(path, **largest)
        self.batches = Batches(
            lambda inputs: does.ask(self.opened, inputs),
            most=settings.batch,
            wait=settings.wait_ms / 1000,
            room=max(WAITING, settings.batch),
            told=metrics.watch(name),
        )
        metrics.waiting.labels(name).set_function(lambda: len(self.batches))


class Service:
    """Student and perhaps teacher, and what is answered with them. ``ValueError`` where a model cannot be used."""

    def __init__(self, does: Any, settings: Settings) -> None:
        self.does, self.settings, self.metrics = does, settings, Metrics()
        self.most = int(settings.max_mb * 1e6)
        self.held = 0
        self.reading = ThreadPoolExecutor(os.cpu_count() or 1, "read")
        self.student = Served(does, settings.model, "student", settings, self.metrics)
        self.teacher = settings.teacher and Served(does, settings.teacher, "teacher", settings, self.metrics)
        if self.teacher:
            self._require_classes_of(self.teacher)

    def _require_classes_of(self, teacher: Served) -> None:
        """``ValueError`` where what the student is unsure of cannot be told, or the teacher tells something else."""
        student, settings = self.student.opened.metadata, self.settings
        if not student.classes:
            raise ValueError(f"{settings.model} does not tell how sure it is, so that no teacher can be asked.")
        if settings.threshold is None:
            raise ValueError("there is a teacher and no threshold, below which it is asked: give both.")
        if teacher.opened.metadata.classes != student.classes:
            raise ValueError(
                f"{settings.teacher} has other classes than {settings.model}: give the teacher that the student is of."
            )

    @asynccontextmanager
    async def alive(self, app: FastAPI) -> AsyncIterator[None]:
        """While the application runs, the models answer."""
        del app
        models = [one for one in (self.student, self.teacher) if one]
        tasks = [asyncio.create_task(one.batches.work()) for one in models]
        yield
        for one, task in zip(models, tasks, strict=True):
            task.cancel()
            one.batches.close()
        self.reading.shutdown()

    async def predict(self, request: Request) -> Response:
        """Answers a request; what is wrong with it is a sentence."""
        started = time.perf_counter()
        size = self._held(request)
        self.held += size
        self.metrics.flight.inc()
        try:
            status, said = 200, await self._answered(request)
        except AnyHTTPException as refused:
            status, said = refused.status_code, {"error": refused.detail}
        except Busy:
            status, said = 503, {"error": "as many examples wait as there is room for: try again in a second."}
        except ClientDisconnect:
            status, said = 400, {"error": "the request ended before all of it had come."}
        finally:
            self.held -= size
            self.metrics.flight.dec()
        self.metrics.requests.labels(str(status)).inc()
        self.metrics.seconds.observe(time.perf_counter() - started)
        return answer(said, status)

    def health(self) -> dict[str, Any]:
        """That requests are answered, and by which models."""
        said: dict[str, Any] = {"status": "ok", "model": self.student.opened.name}
        if self.teacher:
            said |= {"teacher": self.teacher.opened.name, "threshold": self.settings.threshold}
        return said

    def _held(self, request: Request) -> int:
        """The bytes that a request may come to; what is said of its length is believed as far as it is not too long."""
        length = request.headers.get("content-length", "")
        return min(int(length), self.most) if length.isascii() and length.isdigit() else self.most

    async def _answered(self, request: Request) -> dict[str, Any]:
        if self.held > HELD:
            raise Busy
        length = request.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) > self.most and "expect" in request.headers:
            raise too_long(self.most)  # at once, to who asks before it sends
        opened, does = self.student.opened, self.does
        counted = Request(request.scope, limited(request.receive, self.most))
        wanted = await asked(counted, files=does.FILES, example=does.EXAMPLE, takes=opened.takes)
        answers = await self._asked(self.student, dict(enumerate(wanted.given, 1)))
        said = {number: does.told(opened, one, wanted.top) for number, one in answers.items()}
        if self.teacher:
            said |= await self._escalated(wanted, answers, self.teacher)
            said = {number: {"by": "student", **one} for number, one in said.items()}
            for one in said.values():
                self.metrics.examples.labels(one["by"]).inc()
        else:
            self.metrics.examples.labels("student").inc(len(said))
        return {"predictions": [said[number] for number in sorted(said)]}

    async def _escalated(self, wanted: Asked, answers: dict[int, Any], teacher: Served) -> dict[int, Any]:
        """What the teacher says of those that the student is not sure of; nothing of any while it has too much to do."""
        sure = self.does.sureness(self.student.opened, list(answers.values()))
        unsure = [number for number, one in zip(answers, sure, strict=True) if one < self.settings.threshold]
        if not unsure:
            return {}
        try:
            found = await self._asked(teacher, {number: wanted.given[number - 1] for number in unsure})
        except Busy:
            return {}
        return {
            number: self.does.told(teacher.opened, one, wanted.top) | {"by": "teacher"} for number, one in found.items()
        }

    async def _asked(self, served: Served, given: dict[int, Any]) -> dict[int, Any]:
        """What a model answers to examples, by their numbers. Raises ``HTTPException`` with a sentence."""
        loop = asyncio.get_running_loop()
        try:
            inputs = await loop.run_in_executor(self.reading, self._read, served, given)
            return dict(zip(given, await served.batches.answers(inputs), strict=True))
        except self.does.TooLarge as error:
            raise HTTPException(413, str(error)) from None
        except Unread as error:
            raise HTTPException(400, str(error)) from None
        except ValueError as error:
            raise HTTPException(422, str(error)) from None

    def _read(self, served: Served, given: dict[int, Any]) -> list[Any]:
        try:
            return [self.does.read(served.opened, one, number) for number, one in given.items()]
        except self.does.TooLarge:
            raise
        except ValueError as error:
            raise Unread(str(error)) from None


class Unread(ValueError):
    """An example that cannot be read."""


def answer(said: dict[str, Any], status: int = 200) -> Response:
    """JSON in ASCII, which every name of a class can be written in."""
    headers = {"Retry-After": "1"} if status == 503 else None
    return Response(json.dumps(said), status, headers, "application/json")


def application(service: Service) -> FastAPI:
    """The paths of a server. What goes wrong is ``{"error": a sentence}``."""
    app = FastAPI(title="Limbeck", version="1", docs_url=None, redoc_url=None, lifespan=service.alive)
    takes = (
        'JSON `{"instances": [...]}`, each ' + service.student.opened.takes + "; the answer has as many `predictions`.",
        "One file as the body, or several as multipart/form-data." if service.does.FILES else "One as text/plain.",
        f"At most {service.settings.max_mb:g} MB.",
    )
    top = {"name": "top", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 3}}

    @app.post("/predict", description="\n".join(takes), response_model=None, openapi_extra={"parameters": [top]})
    async def predict(request: Request) -> Response:
        return await service.predict(request)

    @app.get("/healthz", description="200 while requests are answered.", response_model=None)
    async def healthz() -> Response:
        return answer(service.health())

    @app.get("/metrics", description="Prometheus.", response_model=None)
    async def metrics() -> Response:
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(AnyHTTPException)
    async def refused(request: Request, error: AnyHTTPException) -> Response:
        path = request.url.path
        if error.status_code == 404:
            return answer({"error": f"there is no such path; there are {', '.join(PATHS)}."}, 404)
        if error.status_code == 405 and path in PATHS:
            return answer({"error": f"{path} takes {PATHS[path]}."}, 405)
        return answer({"error": error.detail}, error.status_code)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        del request, error  # which uvicorn writes to its log
        return answer({"error": "something went wrong in the server; its log says what."}, 500)

    return app


def serve(does: Any, settings: Settings) -> None:
    """Serves a model until SIGTERM or SIGINT; requests in flight are then answered, for at most 30 seconds.

    Raises ``ValueError`` with a sentence where a model cannot be used, or the address cannot be had.
    """
    service = Service(does, settings)
    with bound(settings.host, settings.port) as here:
        host, port = here.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        server = uvicorn.Server(
            uvicorn.Config(
                application(service),
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE,
                lifespan="on",
            )
        )
        # uvicorn raises the signal that stopped it once more, at whoever had it before
        before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
        print(f"serving {service.student.opened.name} on http://{shown}:{port}/predict", file=sys.stderr, flush=True)
        try:
            server.run(sockets=[here])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    print("stopped.", file=sys.stderr, flush=True)


def bound(host: str, port: int) -> socket.socket:
    """A socket that is to listen there. ``ValueError`` with a sentence where that cannot be."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # asyncio sends without delay (TCP_NODELAY) where the socket names its protocol: otherwise every answer waits 40 ms
        made = socket.socket(*found[:3])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(found[4])
    except (OSError, UnicodeError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{host}, port {port}, cannot be listened on ({why}): give another --host or --port."
        ) from None
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    usual = Settings(Path())
    parser = argparse.ArgumentParser(description="Serve an exported model over HTTP.")
    parser.add_argument("model", type=Path, help="an exported .onnx file")
    parser.add_argument("--host", default=usual.host)
    parser.add_argument("--port", type=int, default=usual.port)
    parser.add_argument("--batch", type=int, default=usual.batch, help="examples that are answered together at most")
    parser.add_argument("--wait-ms", type=float, default=usual.wait_ms, help="how long an example waits for others")
    parser.add_argument("--max-mb", type=float, default=usual.max_mb, help="of a request")
    parser.add_argument("--max-size", type=int, help="of an example: pixels, or characters")
    parser.add_argument("--teacher", type=Path, help="is asked where the student is unsure")
    parser.add_argument("--threshold", type=float, help="below which the student counts as unsure")
    try:
        serve(import_module("modality"), Settings(**vars(parser.parse_args(arguments))))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
