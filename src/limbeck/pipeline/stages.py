"""Stages on disk: each in a folder named by the fingerprint of what went into it.

A finished stage holds ``done.json`` with the digest of every file and a last one of itself, and is not run again; an
unfinished one resumes.
Changing a recipe makes new folders beside the old, so nothing made before is lost.
"""

from __future__ import annotations

import difflib
import fcntl
import json
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from .. import progress
from ..errors import BadInput
from ..files import fingerprint, raise_as_sentence, sealed, sha256_file, unsealed, write_json, write_text
from .versions import versions

ASSISTANT = "assistant"
ARMS = ("student", "baseline", "smoothed")
CONCLUSION = ("evaluate", "export", "report")
FORMATS = "formats"
QUANTIZATION_AWARE = "quantization_aware"
STAGES = ("teacher", "targets", ASSISTANT, *ARMS, "evaluate", "export", FORMATS, QUANTIZATION_AWARE, "report")

SCHEMA_VERSION = 2
_UNSEALED = 1  # of stages written before done.json had a digest of its own


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
        write_text(
            self.folder / "done.json", sealed({**done, "facts": facts, "files": digests, "versions": versions()})
        )

    def reopen(self) -> None:
        """Declares the stage unfinished; its files stay."""
        (self.folder / "done.json").unlink()

    def facts(self) -> dict[str, Any]:
        """What :meth:`finish` noted, once it and every file are found to be as they were written.

        A stage of an earlier version, which has no seal, gets one now, and a note says so.

        Raises:
            BadInput: a file, or what the stage says of itself, is missing or has changed; names it and says how to make
                it anew.
        """
        again = f"run again with --force {self.name} to make it anew"
        path = self.folder / "done.json"
        try:
            done, is_sealed = read_done(path)
            for name, digest in done["files"].items():
                if not (self.folder / name).is_file():
                    raise BadInput(f"{self.folder / name} is missing, although its stage is finished: {again}.")
                if sha256_file(self.folder / name) != digest:
                    raise BadInput(f"{self.folder / name} has changed since it was written: {again}.")
        except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
            raise BadInput(f"{path} cannot be read, or has changed since it was written ({error}): {again}.") from error
        if not is_sealed:
            self._seal(done)
        return done["facts"]

    def _seal(self, done: dict[str, Any]) -> None:
        path = self.folder / "done.json"
        try:
            write_text(path, sealed({**done, "schema_version": SCHEMA_VERSION, "sealed_later": True}))
        except BadInput:  # a place that is only to be read: sealed when it can be written
            return
        progress.note(f"{path} was written by an earlier version, which did not seal it: it is sealed as it is now.")


def read_done(path: Path) -> tuple[dict[str, Any], bool]:
    """What a stage says of itself in its ``done.json``, and whether that is sealed.

    Raises ``OSError`` or ``ValueError`` where it is not as it was written, or is that of another stage. Only what an
    earlier version wrote may be without a seal: it has another ``schema_version`` and no digest.
    """
    text = path.read_text(encoding="utf-8")
    try:
        done = json.loads(text)
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    old = isinstance(done, dict) and done.get("schema_version") == _UNSEALED and "digest" not in done
    done = done if old else unsealed(text)
    if done.get("schema_version") not in (SCHEMA_VERSION, _UNSEALED):
        raise ValueError(f"its schema_version is {done.get('schema_version')}, and this program reads {SCHEMA_VERSION}")
    # a folder that was set aside keeps its fingerprint in front
    if (done.get("stage"), done.get("fingerprint")) != (path.parents[1].name, path.parent.name.partition(".")[0]):
        raise ValueError(f"it is that of stage {done.get('stage')} {done.get('fingerprint')}")
    for part in ("facts", "files"):
        if not isinstance(done.get(part), dict):
            raise ValueError(f"it has no {part}")
    return done, not old


def finished_in(run: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder of every finished stage of a run, those that were set aside among them, with what it says of itself.

    One that is not as it was written is left out.
    """
    for path in sorted((run / "stages").glob("*/*/done.json")):
        try:
            yield path.parent, read_done(path)[0]
        except (OSError, ValueError):
            continue


def stage(run: Path, name: str, ingredients: dict[str, Any]) -> Stage:
    """The stage of that name and those ingredients in a run folder; touches nothing."""
    return Stage(name, ingredients, run / "stages" / name / fingerprint(ingredients))


def redo(run: Path, wanted: Stage) -> None:
    """Sets a stage's folder aside (under a name with the time) so that it is made anew; nothing is deleted."""
    if wanted.folder.exists():
        aside = wanted.folder.with_name(f"{wanted.fingerprint}.before-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}")
        os.rename(wanted.folder, aside)


def no_run(folder: Path) -> str:
    """That a folder is no run's: of a search's, which of its folders are; of another, which run beside it has nearly the same name."""
    if found := sorted(one.parent for one in folder.glob("front/*/recipe.yaml")):
        runs = ", ".join(map(str, found))
        return (
            f"{folder}: it is not the folder of a run, but of a search, whose finalists are runs: give one of {runs}."
        )
    beside = {one.parent.name for one in folder.parent.glob("*/recipe.yaml")} - {folder.name}
    meant = difflib.get_close_matches(folder.name, beside, n=1)
    return f"{folder}: it is not the folder of a run." + (
        f" Did you mean '{folder.parent / meant[0]}'?" if meant else ""
    )


def not_finished(run: Path, name: str) -> str:
    """That a stage of a run's folder is not there for the recipe that is asked for, and what to do."""
    return (
        f"{run}: its {name} {'are' if name.endswith('s') else 'is'} not finished, or belong{'' if name.endswith('s') else 's'} to another "
        f"recipe: limbeck run {shlex.quote(str(run / 'recipe.yaml'))} --out {shlex.quote(str(run))} goes on from there."
    )


def check_free(run: Path) -> None:
    """Raises :class:`BadInput` where a run's folder would be a file, or holds something that is not a run."""
    try:
        if run.is_file():
            raise BadInput(f"{run} is a file: choose a folder with --out.")
        if run.is_dir() and not (run / "stages").is_dir() and any(run.iterdir()):
            raise BadInput(
                f"{run} holds something that is not a limbeck run: choose another folder with --out, or empty this one."
            )
    except OSError as error:
        raise_as_sentence(error, run / "stages")
        raise


@contextmanager
def claimed(run: Path, shared: bool = False) -> Iterator[None]:
    """Claims a run folder for this process; ``shared``: for this one and others that share the same work.

    Raises:
        BadInput: the path is a file, holds something that is not a run, cannot be written, or another run is at work
            in it; or, at the end, the folder is not there any more.
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
        try:
            yield
        except Exception as error:
            if not _is_at(lock, run):
                raise _gone(run) from error
            raise
        if not _is_at(lock, run):
            raise _gone(run)


def _is_at(lock: TextIO, run: Path) -> bool:
    """Whether the open lock is still the one in the run's folder."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), os.stat(run / "stages" / ".lock"))
    except OSError:
        return False


def _gone(run: Path) -> BadInput:
    return BadInput(
        f"{run} was deleted or moved while the run was at work in it: put it back if you can, and run the same command "
        "again; what is missing is made anew."
    )


def sweep(folder: Path) -> None:
    """Removes what killed writers left half-written in a folder; only for who alone writes there."""
    for left in folder.glob(".*.part"):
        left.unlink(missing_ok=True)
