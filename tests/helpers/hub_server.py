"""The Hugging Face hub's API on this machine, for folders: what its client asks of a repository of models, and no more."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """``repositories``: a folder for each name and revision; ``asked`` collects method and path of what was asked."""

    repositories: Mapping[tuple[str, str], Path]
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def commit(self, name: str, revision: str) -> str:
        return hashlib.sha1(f"{name}@{revision}".encode()).hexdigest()

    def folder(self, name: str, revision: str) -> Path | None:
        """The folder of a revision, which a branch's name or the commit says."""
        known = {self.commit(*key): path for key, path in self.repositories.items()}
        return self.repositories.get((name, revision)) or known.get(revision)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests read ``asked``."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path))
        api = path.startswith("/api/models/")
        parts = path.removeprefix("/api/models/").strip("/").split("/")
        if len(parts) < 4:
            return self._send(404, b"", {})
        name, what, revision, file = "/".join(parts[:2]), *parts[2:4], "/".join(parts[4:])
        folder = self.hub.folder(name, revision)
        if folder is None:
            there = any(name == one for one, _ in self.hub.repositories)
            return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound" if there else "RepoNotFound"})
        commit = next(self.hub.commit(*key) for key, one in self.hub.repositories.items() if one == folder)
        files = sorted(one for one in folder.iterdir() if one.is_file())
        if api and what == "revision":
            siblings = [{"rfilename": one.name} for one in files]
            return self._json({"id": name, "modelId": name, "sha": commit, "private": False, "siblings": siblings})
        if api and what == "tree":
            return self._json(
                [{"type": "file", "path": o.name, "size": o.stat().st_size, "oid": _oid(o)} for o in files]
            )
        one = folder / file
        if what != "resolve" or not one.is_file():
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        self._send(200, one.read_bytes(), {"ETag": f'"{_oid(one)}"', "X-Repo-Commit": commit})

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _oid(file: Path) -> str:
    """As git names a file's content."""
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serving(repositories: Mapping[tuple[str, str], Path]) -> Iterator[Hub]:
    """A hub at ``url`` for as long as this lasts."""
    hub = Hub(repositories)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
