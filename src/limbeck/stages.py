"""Stages on disk: each in a folder named by the fingerprint of what went into it.

A finished stage holds ``done.json`` with the digest of every file, and is not run again; an unfinished one resumes.
Changing a recipe makes new folders beside the old, so nothing made before is lost.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import BadInput
from .files import atomic_path, fingerprint, raise_as_sentence, sha256_file, write_json

SCHEMA_VERSION = 1


class Busy(BadInput):
    """Another process is at work in a run folder."""


@dataclass(frozen=True)
class Stage:
    """One stage with one set of ingredients.

    Attributes:
        name: such as ``teacher`` or ``student``.
        ingredients: all that its result depends on, as JSON can say it.
        folder: ``<run>/stages/<name>/<fingerprint>``.
    """

    name: str
    ingredients: dict[str, Any]
    folder: Path

    @property
    def fingerprint(self) -> str:
        """Names the ingredients; sixteen hex digits."""
        return self.folder.name

    @property
    def finished(self) -> bool:
        """Whether its result is there."""
        return (self.folder / "done.json").exists()

    @property
    def begun(self) -> bool:
        """Whether a part of its result is there."""
        return self.folder.exists() and any(self.folder.iterdir())

    def prepare(self) -> None:
        """Makes the folder, free of what a killed writer left, and notes the ingredients for a person who looks."""
        sweep(self.folder)
        if not (self.folder / "ingredients.json").exists():
            write_json(self.folder / "ingredients.json", self.ingredients)

    def finish(self, facts: dict[str, Any], files: Sequence[str]) -> None:
        """Declares the stage finished: ``files`` (names in the folder) are digested, ``facts`` kept beside them."""
        digests = {name: sha256_file(self.folder / name) for name in files}
        done = {"schema_version": SCHEMA_VERSION, "stage": self.name, "fingerprint": self.fingerprint}
        write_json(self.folder / "done.json", {**done, "facts": facts, "files": digests, "versions": versions()})

    def reopen(self) -> None:
        """Declares the stage unfinished; its files stay."""
        (self.folder / "done.json").unlink()

    def facts(self) -> dict[str, Any]:
        """What :meth:`finish` noted, once every file is found to be as it was written.

        Raises:
            BadInput: a file is missing or has changed; names it and says how to make it anew.
        """
        again = f"run again with --force {self.name} to make it anew"
        try:
            done = json.loads((self.folder / "done.json").read_text(encoding="utf-8"))
            for name, digest in done["files"].items():
                path = self.folder / name
                if not path.is_file():
                    raise BadInput(f"{path} is missing, although its stage is finished: {again}.")
                if sha256_file(path) != digest:
                    raise BadInput(f"{path} has changed since it was written: {again}.")
            return done["facts"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{self.folder / 'done.json'} cannot be read ({error}): {again}.") from error


def stage(run: Path, name: str, ingredients: dict[str, Any]) -> Stage:
    """The stage of that name and those ingredients in a run folder; touches nothing."""
    return Stage(name, ingredients, run / "stages" / name / fingerprint(ingredients))


def redo(run: Path, wanted: Stage) -> None:
    """Sets a stage's folder aside (under a name with the time) so that it is made anew; nothing is deleted."""
    if wanted.folder.exists():
        aside = wanted.folder.with_name(f"{wanted.fingerprint}.before-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}")
        os.rename(wanted.folder, aside)


def check_free(run: Path) -> None:
    """Raises :class:`BadInput` where a run's folder would be a file, or holds something that is not a run."""
    if run.is_file():
        raise BadInput(f"{run} is a file: choose a folder with --out.")
    if run.is_dir() and not (run / "stages").is_dir() and any(run.iterdir()):
        raise BadInput(
            f"{run} holds something that is not a limbeck run: choose another folder with --out, or empty this one."
        )


@contextmanager
def claimed(run: Path, shared: bool = False) -> Iterator[None]:
    """Claims a run folder for this process; ``shared``: for this one and others that share the same work.

    Raises:
        BadInput: the path is a file, holds something that is not a run, cannot be written, or another run is at work
            in it.
    """
    check_free(run)
    try:
        (run / "stages").mkdir(parents=True, exist_ok=True)
        lock = open(run / "stages" / ".lock", "a")  # noqa: SIM115 - held open for as long as the run lasts
    except OSError as error:
        raise_as_sentence(error, run / "stages")
        raise
    with lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another run is at work in {run}: wait for it, or choose another folder with --out.") from None
        if not shared:
            sweep(run)
        yield


def sweep(folder: Path) -> None:
    """Removes what killed writers left half-written in a folder; only for who alone writes there."""
    for left in folder.glob(".*.part"):
        left.unlink(missing_ok=True)


def publish(source: Path, target: Path) -> None:
    """Copies a stage's file to the top of the run folder, atomically."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(source.read_bytes())


def versions() -> dict[str, str]:
    """Versions of what takes part; recorded, and not part of any fingerprint."""
    import importlib.metadata as metadata

    names = ("limbeck", "torch", "numpy", "accelerate", "datasets", "onnx", "onnxruntime", "timm")
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
