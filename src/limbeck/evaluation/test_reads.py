"""When, and for what, the test split of a run was read: part of its evidence, so it is kept in more than one place.

The run's folder has the list (``test_reads.json``), each entry with a digest of its own; a finished stage notes the list
as it was then in what it says of itself, which is sealed. What is known is the union of all of these: readings that a
finished stage vouches for are not lost with the file, and readings are never fewer than there were.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..files import fingerprint, write_json

Reading = dict[str, str]
"""``when`` (ISO 8601, UTC) and ``purpose``."""

NAME = "test_reads.json"
LOST: Reading = {"when": "unknown", "purpose": "evaluation; the record of it is lost"}


class Record(NamedTuple):
    """All that is known of the readings, first to last, and what is wrong with the file, in a sentence."""

    readings: list[Reading]
    problem: str | None


def known(path: Path, vouched: Sequence[Sequence[Reading]], evaluated: bool) -> Record:
    """The readings in the file at ``path`` and in the lists that stages have ``vouched`` for; writes nothing.

    ``evaluated``: whether a stage that must have read the test split is finished.
    """
    found, spoilt = _entries(path)
    sure: Counter[tuple[str, str]] = Counter()
    for readings in vouched:
        sure |= Counter((one["when"], one["purpose"]) for one in readings)
    missing, all_ = sure - found, sure | found
    readings = [{"when": when, "purpose": purpose} for when, purpose in sorted(all_.elements())]
    if evaluated and not readings:
        readings = [LOST]
        problem = f"{path}: no record is left of when the test split was read; that it was read is noted there."
    elif spoilt or missing:
        what = spoilt or f"lacks {missing.total()} reading(s) that finished stages vouch for"
        problem = (
            f"{path} {what}: restored from what finished stages vouch for ({len(readings)} in all). A reading by a run that "
            "was stopped before it finished the stage may be missing."
        )
    else:
        problem = None
    return Record(readings, problem)


def write(path: Path, readings: Sequence[Reading]) -> None:
    """Writes the record, atomically."""
    write_json(path, [{**one, "digest": fingerprint(one)} for one in readings])


def are_readings(value: object) -> bool:
    """Whether a value read from JSON is a list of readings."""
    return isinstance(value, list) and all(_is_reading(one) for one in value)


def _is_reading(one: object) -> bool:
    return isinstance(one, dict) and {"when", "purpose"} == set(one) and all(isinstance(v, str) for v in one.values())


def _entries(path: Path) -> tuple[Counter[tuple[str, str]], str | None]:
    """The entries of the file that are as they were written, and what is wrong with the others."""
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(listed, list):
            raise ValueError("it is no list")
    except FileNotFoundError:
        return Counter(), None
    except (OSError, ValueError, RecursionError) as error:
        return Counter(), f"cannot be read ({error})"
    whole: Counter[tuple[str, str]] = Counter()
    for entry in listed:
        one = {key: value for key, value in entry.items() if key != "digest"} if isinstance(entry, dict) else entry
        if _is_reading(one) and entry.get("digest", fingerprint(one)) == fingerprint(
            one
        ):  # earlier versions wrote none
            whole[one["when"], one["purpose"]] += 1
    damaged = len(listed) - whole.total()
    return whole, f"holds {damaged} entry(s) that are not as they were written" if damaged else None
