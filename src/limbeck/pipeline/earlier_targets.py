"""Soft targets that a run has already, and that a new stage can start from instead of asking the teacher again.

A stage is named by all that goes into it, the number of views and the codec included. Where nothing else differs, the
answers are the same: shards of the same codec are taken over as they are, and a dense store is put through a cheaper codec.
Only finished stores are used, every byte of which is as it was written.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from .. import progress
from ..errors import BadInput
from ..files import atomic_path, fingerprint, write_text
from ..interfaces import RaggedLogits
from ..interfaces.task import Ask
from ..targets.codecs import Dense, HypothesesCodec
from ..targets.convert import made_from
from ..targets.store import shard
from ..targets.store.as_logits import dense_answers
from ..targets.store.check import check
from ..targets.store.lock import alone
from ..targets.store.manifest import PLAN, StoreIdentity, json_text, read_json
from ..targets.store.segment import Segment, places, write_ids
from ..targets.store.store import Store
from .stages import Stage

_FREE = ("count", "codec")  # of a stage's ingredients: what may differ


@dataclass(frozen=True)
class Donor:
    """A finished store of the same run, and what of it serves."""

    store: Store
    views: int  # the first so many
    same_codec: bool
    seconds: float  # that asking for these views took

    @property
    def line(self) -> str:
        """What a person should know, without what is still to be asked."""
        which = f"{self.views} views" if self.views > 1 else "one view"
        if self.same_codec:
            return f"soft targets: {which} are taken over from {self.store.path}"
        return (
            f"soft targets: {which} are converted from the dense answers in {self.store.path}, whose rounding to float16 "
            "comes on top of the codec's own error"
        )


def donor_of(here: Stage, known: StoreIdentity, ids_N: Tensor) -> Donor | None:
    """The finished store of this run that saves most of asking; None where there is none."""
    wanted = here.ingredients
    found: list[tuple[bool, int, str, Stage]] = []
    for folder in sorted(here.folder.parent.glob("*")):
        other = _stage(here, folder)
        if other is None or _without(other.ingredients) != _without(wanted):
            continue
        same = other.ingredients["codec"] == wanted["codec"]
        if same or (other.ingredients["codec"] == Dense.name and not _of_transcripts(wanted["codec"])):
            found.append((same, min(other.ingredients["count"], wanted["count"]), folder.name, other))
    for same, views, _, other in sorted(found, key=lambda one: one[:3], reverse=True):
        store = _opened(other, known)
        if (
            store is not None
            and len(store.segments) == 1
            and np.array_equal(store.ids, ids_N.cpu().sort().values.numpy())
        ):
            return Donor(store, views, same, other.facts()["seconds"] * views / store.views)
    return None


def _of_transcripts(codec: Any) -> bool:
    """Whether that is kept which a search finds in the teacher's answers, and not these."""
    return isinstance(codec, dict) and codec.get("name") == HypothesesCodec.name


def start_from(donor: Donor, path: Path, views: int, ask: Ask, ids_N: Tensor) -> tuple[Ask, dict[str, Any]]:
    """Makes the store to be cast at ``path`` begin with what the donor has.

    Returns what is to be asked instead of ``ask``, and what the new store's identity says besides.
    """
    if donor.same_codec:
        if not _take_over(donor, path):
            return ask, {}
        # the donor's own origin was taken over with its plan
        progress.note(f"{donor.line}{_left(donor.views, views)}.")
        return ask, {}
    origin = made_from(donor.store) | {"views": donor.views}
    if (path / PLAN).exists() and read_json(path / PLAN).get("made_from") != origin:
        return ask, {}  # begun otherwise: to be finished as it was begun
    progress.note(f"{donor.line}{_left(donor.views, views)}.")
    from_store = dense_answers(donor.store, ids_N.cpu())

    def either(index_B: Tensor, view: int) -> Tensor | RaggedLogits:
        return from_store(index_B.cpu(), view) if view < donor.views else ask(index_B, view)

    return either, {"made_from": origin}


def _left(have: int, views: int) -> str:
    return (
        "; the teacher is not asked again" if have == views else f"; the teacher is asked for the other {views - have}"
    )


def _stage(here: Stage, folder: Path) -> Stage | None:
    """The finished stage in a folder beside ``here``; None where there is none, or it was set aside."""
    if folder == here.folder or "." in folder.name or not (folder / "done.json").exists():
        return None
    try:
        ingredients = json.loads((folder / "ingredients.json").read_text(encoding="utf-8"))
        if not isinstance(ingredients, dict) or fingerprint(ingredients) != folder.name:
            return None
    except (OSError, ValueError, RecursionError):
        return None
    return Stage(here.name, ingredients, folder) if isinstance(ingredients.get("count"), int) else None


def _without(ingredients: dict[str, Any]) -> Any:
    return json.loads(json.dumps({key: value for key, value in ingredients.items() if key not in _FREE}))


def _opened(stage: Stage, known: StoreIdentity) -> Store | None:
    path = stage.folder / "store"
    if check(path, full=True).problems:
        return None
    try:
        stage.facts()
        return Store.open(path, expect=known)
    except BadInput:
        return None


def _take_over(donor: Donor, path: Path) -> bool:
    """Links the donor's shards, or copies them; False where the store there was begun as another."""
    plan = donor.store.plan  # which shards name: kept to the byte
    with alone(path):
        if not (path / PLAN).exists():
            write_text(path / PLAN, json_text(plan))
        elif read_json(path / PLAN) != plan:
            return False
        (whole,) = donor.store.segments
        write_ids(path, whole)
        for place in places([Segment(whole.ids, range(donor.views))], plan["block_size"]):
            for wanted in (path / place.name, shard.digest_path(path / place.name)):
                if not wanted.exists():
                    _link(donor.store.path / wanted.relative_to(path), wanted)
    return True


def _link(source: Path, target: Path) -> None:
    # A store's files are replaced whole or not at all, so that one which two stores share stays as it is for both.
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
