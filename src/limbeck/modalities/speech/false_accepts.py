"""False accepts: how often in an hour a classifier takes something for one of its classes, in sound that holds none.

Shapes: W windows of a recording, S samples.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...data.places import place_of
from ...data.split_roles import find_split
from ...errors import BadInput
from ...files import fingerprint
from .columns import find_audio
from .decode import Wanted, decode
from .recipe import Background
from .sources import open_sounds, root_of

STEPS = 4  # to a window
AT_ONCE = 64
_FIELD = "data.background"


def recordings_of(background: Background, rate: int) -> list[Tensor]:
    """The background's recordings (S,) at this rate. Raises :class:`BadInput` where it cannot be read."""
    rows = find_split(
        open_sounds(background.name, background.config, f"{_FIELD}.name", labelled=False),
        background.split,
        f"{_FIELD}.split",
        background.name,
    )
    column = find_audio(rows.features, background.audio, f"{_FIELD}.audio")
    if background.limit is not None:
        rows = rows.select(range(min(background.limit, len(rows))))
    root = root_of(background.name, background.config, f"{_FIELD}.name")
    sounds = decode(rows, column, background.split, Wanted(rate, skip_corrupt=True), root)
    return list(sounds.samples.split(sounds.lengths.tolist()))


@torch.inference_mode()
def false_accepts(
    model: nn.Module, recordings: list[Tensor], samples: int, rate: int, threshold: float
) -> dict[str, float]:
    """``false_accepts_per_hour`` of a model in evaluation mode, at this ``threshold``, the
    ``background_hours`` that it heard, and ``accepted_from``, the threshold.

    A window of ``samples`` goes along each recording in quarters of its length. It is an accept where a class's probability is at
    least the threshold, and one with the windows before it that said the same class: whoever says a word is heard once.
    """
    accepts, heard = 0, 0
    step = max(1, samples // STEPS)
    for recording in recordings:
        if len(recording) < samples:
            continue
        windows_WS = recording.unfold(0, samples, step)
        heard += samples + (len(windows_WS) - 1) * step
        shares = [model(part.contiguous()).float().softmax(1).max(1) for part in windows_WS.split(AT_ONCE)]
        values_W, classes_W = (torch.cat([getattr(one, name) for one in shares]) for name in ("values", "indices"))
        said_W = torch.where(values_W >= threshold, classes_W, -1)
        before_W = torch.cat([said_W.new_tensor([-1]), said_W[:-1]])
        accepts += int(((said_W >= 0) & (said_W != before_W)).sum())
    if not heard:
        raise BadInput(f"{_FIELD}: none of its recordings is as long as a window of {samples / rate:g} s.")
    hours = heard / rate / 3600
    return {"false_accepts_per_hour": accepts / hours, "background_hours": hours, "accepted_from": threshold}


def named(background: Background) -> str:
    """What the figures depend on, as a fingerprint: the section, and the names and sizes of the files where they are in a folder."""
    place = place_of(background.name, background.config, f"{_FIELD}.name")
    files: list[Any] = []
    if place is not None:
        files = sorted((str(one.relative_to(place)), one.stat().st_size) for one in place.rglob("*") if one.is_file())
    return fingerprint([background.model_dump(mode="json"), files])
