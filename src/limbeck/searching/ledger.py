"""What candidates cost, as measured once each: an append-only file that outlives the process which measures. No torch"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import BadInput, LimbeckError
from ..files import fingerprint, raise_as_sentence


@dataclass(frozen=True)
class Key:
    """What figures are of.

    Attributes:
        architecture: a student but for the values of its weights.
        runtime: what ran it, with its version.
        precision: of its weights, such as ``float32``; of what is not, the format: ``onnx-int8``.
        threads: on which it ran.
        tokens: of the texts it was given; None where inputs have one size.
    """

    architecture: str
    runtime: str
    precision: str
    threads: int
    tokens: int | None


class Ledger:
    """The measured costs of a search: a file of JSON lines, each with a digest of itself.

    One process owns it while it is open. A line that was cut short (the process was killed, the machine lost power) is cut
    off when it is opened; what it said is measured again.

    Raises:
        BadInput: a line in the midst of the file is damaged, or the file cannot be written.
        LimbeckError: another process has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._records: dict[Key, dict[str, Any]] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a+b")  # noqa: SIM115 - held open, and locked, for as long as the ledger is in use
        except OSError as error:
            raise_as_sentence(error, self.path)
            raise
        try:
            self._own()
            self._load()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives it back."""
        with contextlib.suppress(OSError):  # what a full disk did not take, of which put has told
            self._file.close()

    def get(self, key: Key) -> dict[str, Any]:
        """What is known: ``figures`` by the name of a cost, or ``problem`` (``by``: as what found it); empty where nothing is."""
        return self._records.get(key, {})

    def put(self, key: Key, record: Mapping[str, Any]) -> None:
        """Adds to what is known; figures that are there already are replaced, and end a problem. On the disk before it returns."""
        content = {"key": asdict(key), **record}
        line = json.dumps({**content, "digest": fingerprint(content)}, allow_nan=False) + "\n"
        try:
            self._file.write(line.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise_as_sentence(error, self.path)
            raise
        self._add(key, record)

    def _add(self, key: Key, record: Mapping[str, Any]) -> None:
        figures = {**self._records.get(key, {}).get("figures", {}), **record.get("figures", {})}
        self._records[key] = {**record, **({"figures": figures} if figures else {})}

    def _own(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LimbeckError(
                f"another search is at work with {self.path}: wait for it, or name another folder with --out."
            ) from None

    def _load(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        lines = content.splitlines(keepends=True)
        whole = 0
        for number, line in enumerate(lines, 1):
            try:
                key, record = _read(line)
            except (ValueError, TypeError, KeyError, RecursionError):
                if number < len(lines):
                    raise BadInput(
                        f"{self.path}, line {number}: it is damaged. Take the line out: what it said is measured again."
                    ) from None
                break
            self._add(key, record)
            whole += len(line)
        if whole < len(content):
            self._file.truncate(whole)
            os.fsync(self._file.fileno())


def _read(line: bytes) -> tuple[Key, dict[str, Any]]:
    """Raises where a line is not one that was written whole."""
    if not line.endswith(b"\n"):
        raise ValueError("cut short")
    content = dict(json.loads(line))
    if content.pop("digest") != fingerprint(content):
        raise ValueError("not what was written")
    return Key(**content.pop("key")), content
