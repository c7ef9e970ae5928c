"""Which stage a recipe comes to, noted by a run beside its stages, so that a plan needs neither data nor models. No torch.

A stage is named by what goes into it, and much of that only the data and the models themselves can tell. What decides it
all the same is known before: the part of the recipe that it depends on, the files that the recipe names (by path, size and
time), the versions of the packages that take part, and the stages before it. That is what a run notes of each stage, by
its digest. A plan that comes to the same digest comes to the same stage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..files import fingerprint, write_json
from ..objectives.catalogue import CATALOGUE
from ..objectives.catalogue.entry import FEATURES, LABELS
from ..recipe import files
from ..sections.codec import Auto, CodecSection
from ..sections.recipe import Recipe
from .stages import ARMS, ASSISTANT, FORMATS, QUANTIZATION_AWARE, Stage
from .versions import PACKAGES, STAGES, versions

NAME = "known.json"  # in the folder of the stages
SCHEMA_VERSION = 1
_MOST = 2000  # notes that are kept; the oldest go
_PACKAGES = (*PACKAGES, "pillow", "pyarrow", "safetensors", "scikit-learn", "tokenizers", "torchvision", "transformers")

# What of a recipe has no part in a stage. What is not named here has: a field that is new is taken to matter.
_NO_TRAINING = ("name", "seeds", "export")
_NO_PART: dict[str, tuple[str, ...]] = {
    "teacher": (*_NO_TRAINING, "targets", ASSISTANT, "student", "objective", "train", "baseline", "sparsity"),
    "targets": (*_NO_TRAINING, ASSISTANT, "student", "train", "baseline", "sparsity"),
    ASSISTANT: (*_NO_TRAINING, "student", "baseline", "sparsity"),
    "student": (*_NO_TRAINING, "baseline"),
    "baseline": (*_NO_TRAINING, "targets", ASSISTANT),
    "smoothed": (*_NO_TRAINING, "targets", ASSISTANT),
    "evaluate": ("name", "export"),
    "export": ("name",),
    FORMATS: ("name",),
    QUANTIZATION_AWARE: ("name", "seeds", "baseline"),
    "report": (),
}


@dataclass(frozen=True)
class Note:
    """What a run noted of a stage: the name of its folder, and what is done in it, in words."""

    fingerprint: str
    about: str


class Known:
    """The notes in a run's folder, seen from a recipe.

    Where the recipe names something that files do not tell (``seen`` is None), such as a person's own code or a table of
    pictures that lie elsewhere, nothing is noted or known.
    """

    def __init__(self, recipe: Recipe, out: Path, seen: dict[str, Any] | None) -> None:
        """``seen``: the files that the recipe names, as :func:`limbeck.recipe.files.seen` saw them."""
        self.recipe, self.path = recipe, out / "stages" / NAME
        self._seen = seen
        self._versions = versions(_PACKAGES)
        self._notes = _read(self.path)

    @property
    def tells(self) -> bool:
        """Whether files tell what the recipe names."""
        return self._seen is not None

    def find(self, name: str, which: int, upon: Sequence[Path]) -> Note | None:
        """The note of a stage: that of the teacher ``which`` it is, or of the seed; ``upon`` are the folders it is made from."""
        found = self._notes.get(self._decided_by(name, which, upon)) if self.tells else None
        return None if found is None else Note(*found)

    def note(self, here: Stage, which: int, upon: Iterable[Stage], about: str) -> None:
        """Notes which stage the recipe comes to; all that it is made ``upon`` is finished."""
        if not self.tells:
            return
        key = self._decided_by(here.name, which, [one.folder for one in upon])
        if self._notes.get(key) == [here.fingerprint, about]:
            return
        self._notes = {**_read(self.path), key: [here.fingerprint, about]}  # another process may have noted some
        kept = dict(list(self._notes.items())[-_MOST:])
        write_json(self.path, {"schema_version": SCHEMA_VERSION, "files": self._seen, "notes": kept})

    def _decided_by(self, name: str, which: int, upon: Sequence[Path]) -> str:
        return fingerprint(
            {
                "stage": name,
                "which": which,
                "version": STAGES[name],
                "recipe": part_in(self.recipe, name),
                "files": self._seen,
                "packages": self._versions,
                "upon": [_digest(folder) for folder in upon],
            }
        )


def part_in(recipe: Recipe, name: str) -> dict[str, Any]:
    """What of a recipe has a part in a stage, as plain values."""
    plain = {key: value for key, value in recipe.model_dump(mode="json").items() if key not in _NO_PART[name]}
    if name in ("export", FORMATS):
        plain["export"] = recipe.export.limits
    if name == QUANTIZATION_AWARE and (going_on := recipe.export.quantization_aware) is not None:
        plain["export"] = {"epochs": going_on.epochs}
    terms = recipe.objective.terms
    codec = recipe.targets.codec
    chosen = codec.chosen if isinstance(codec, CodecSection) else codec
    if name == "targets" and not isinstance(chosen, Auto):
        plain["objective"] = sorted(terms)  # which terms there are decides how answers are kept, not their settings
    if name == "targets" and recipe.assistant is not None and recipe.assistant.objective is not None:
        # it learns from them, and nothing else of it counts
        plain[ASSISTANT] = recipe.assistant.objective.model_dump(mode="json")
    if (
        name in ARMS
        and name != "student"
        and all(getattr(term, "class_weights", None) is None for term in terms.values())
    ):
        del plain["objective"]  # a control takes nothing of it but the weights of classes
    return plain


def stored(recipe: Recipe) -> bool:
    """Whether the teacher's answers are kept: it is asked for them, and not for its features, nor live."""
    needs = {need for name in recipe.objective.terms for need in CATALOGUE[name].needs} - {LABELS}
    return bool(needs) and FEATURES not in needs and not recipe.targets.live


def _digest(folder: Path) -> str:
    """Names a finished stage as it is: made again, it may hold other weights."""
    return hashlib.sha256((folder / "done.json").read_bytes()).hexdigest()[:16]


def _read(path: Path) -> dict[str, list[str]]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    notes = said.get("notes") if isinstance(said, dict) and said.get("schema_version") == SCHEMA_VERSION else None
    if not isinstance(notes, dict):
        return {}
    return {key: value for key, value in notes.items() if _is_note(value)}


def _is_note(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(one, str) for one in value)


def known_of(recipe: Recipe, out: Path) -> Known:
    """The notes of a run that begins. What the recipe names and is not there, whoever reads it will say."""
    try:
        return Known(recipe, out, files.seen(recipe))
    except (BadInput, OSError):
        return Known(recipe, out, None)
