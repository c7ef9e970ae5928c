"""Clips whose transcript has more symbols than a model has frames for: by CTC nothing is learnt of them, and they must be known.

Each symbol takes a frame, and two equal ones a blank between them. Shapes: N clips.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ...evaluation.frames import frames_for
from ...interfaces import IGNORED
from .examples import Clips, Splits, text_of
from .onnx_file import SoundFile
from .recogniser import Recogniser
from .task_ctc import FramesOf, frames_of

NAMED = 5  # of the clips


def crowded(clips: Clips, of: FramesOf) -> list[int]:
    """The positions of those clips of a labelled split."""
    assert clips.labels is not None
    frames_N: Tensor = of(clips.lengths.cpu())
    said = [[one for one in row if one != IGNORED] for row in clips.labels.tolist()]
    return [at for at, (row, frames) in enumerate(zip(said, frames_N.tolist())) if frames_for(row) > frames]


def facts_of(splits: Splits, models: Mapping[str, FramesOf]) -> dict[str, Any]:
    """By model and split, where there are such clips: ``count``, of so many (``of``), and the ``first`` of them.

    Each of these has its transcript (``said``), its ``seconds``, how many ``frames`` the model has of it and how many it needs.
    """
    found: dict[str, Any] = {}
    for role, of in models.items():
        for name, clips in (("train", splits.train), ("validation", splits.validation)):
            if rows := crowded(clips, of):
                first = [_one(clips, row, of, splits.answers.names) for row in rows[:NAMED]]
                found.setdefault(role, {})[name] = {"count": len(rows), "of": len(clips), "first": first}
    return found


def notes_of(splits: Splits, role: str, model: nn.Module) -> list[str]:
    """What a person should know, in sentences; nothing of a recogniser that gives transcripts."""
    notes = []
    for name, found in facts_of(splits, models_of({role: model})).get(role, {}).items():
        which = ", ".join(
            f"{one['said']!r} ({one['seconds']:.3g} s, {one['frames']} frames where {one['needs']} are needed)"
            for one in found["first"]
        )
        which += ", ..." if found["count"] > len(found["first"]) else ""
        becomes = "they are left out of ctc" if name == "train" else "the NLL takes them for impossible"
        notes.append(
            f"split '{name}': {found['count']:,} of {found['of']:,} transcripts have more symbols than the {role} has frames for, and "
            f"{becomes}: {which}. A smaller stride (or hop_ms) of the {role} has more frames."
        )
    return notes


def models_of(models: Mapping[str, nn.Module]) -> dict[str, FramesOf]:
    """How many frames each has; those alone that answer at frames, and tell without being asked about as much sound, as files do not."""
    return {
        role: frames_of(model)
        for role, model in models.items()
        if not any(isinstance(one, Recogniser | SoundFile) for one in model.modules())
    }


def _one(clips: Clips, row: int, of: FramesOf, names: tuple[str, ...]) -> dict[str, Any]:
    assert clips.labels is not None
    symbols_T = clips.labels[row].cpu()
    return {
        "said": text_of(symbols_T, names),
        "seconds": int(clips.lengths[row]) / clips.rate,
        "frames": int(of(clips.lengths[row : row + 1].cpu())),
        "needs": frames_for(symbols_T[symbols_T != IGNORED].tolist()),
    }
