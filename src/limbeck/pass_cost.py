"""What asking the teacher cost, and over how many students it was spread: the ``targets`` section of the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .job import Job
from .models.identity import Identity, same_probe
from .stages import Stage
from .targets.manifest import contents
from .targets.store import Store


def targets_section(job: Job, store: Store | None, students: int) -> dict[str, Any] | None:
    """None where nothing is stored. ``students``: how many were trained from the store.

    ``seconds`` is the teacher's whole pass, over all processes that shared it; None where the store came ready-made.
    """
    if store is None:
        return None
    given, manifest = job.recipe.targets.store, store.manifest
    seconds = asked = None
    if given is None:
        facts = Stage("targets", {}, store.path.parent).facts()
        seconds, asked = facts["seconds"], facts.get("asked")
    return {
        "source": "cast" if given is None else "given",
        "store": str(given if given is not None else store.path.relative_to(job.out)),
        "teacher": manifest["teacher"]["weights"],
        "made_from": manifest.get("made_from"),
        "views": store.views,
        "examples": len(store),
        "codec": manifest["codec"]["name"],
        "bytes_per_target": manifest["codec"]["bytes_per_target"],
        "codec_error": manifest["codec"]["error"],
        "bytes": store_bytes(store.path),
        "asked": asked,
        "seconds": seconds,
        "students": students,
        "seconds_per_student": seconds / students if seconds is not None and students else None,
    }


def learnt_from(job: Job, store: Store | None, teacher: Identity) -> bool:
    """Whether the students learnt from this teacher: not where nobody was asked, or a store of another's answers was given."""
    if not job.asks_teacher or store is None or job.recipe.targets.store is None:
        return job.asks_teacher
    said = store.manifest["teacher"]
    return said["weights"] == teacher["weights"] and same_probe(said["probe"], teacher["probe"])


def fingerprint_of(job: Job, store: Store) -> str:
    """The name of the stage that cast the store, or, of one that was given, the digest of its contents."""
    if job.recipe.targets.store is not None:
        return contents(store.path)
    return store.path.parent.name


def store_bytes(path: Path) -> int:
    """What a store takes on disk."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
