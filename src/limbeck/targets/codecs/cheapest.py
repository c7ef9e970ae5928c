"""The cheapest codec that is exact enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...errors import BadInput
from ...objectives.modules import Objective
from .base import Codec, Rows, bytes_per_target
from .dense import Dense, Int8
from .error import codec_error
from .fits_objective import misfit, reads_sigmoids
from .topk import TopKCodec


def candidates(classes: int, objective: Objective | None = None, *, average: bool = False) -> tuple[Codec, ...]:
    """The codecs that ``auto`` chooses among, the cheapest first: ``dense``, ``int8``, ``topk`` of 1, 2, 4, 8 ... classes.

    Left out are those that the objective cannot learn from, or that ``targets.average`` cannot average, and top k that
    is no smaller than ``int8``. ``sample`` is not among them: what its noise costs no KL of a single row can say, and it
    is right for one temperature alone, so it is for a person to ask for.
    """
    every: list[Codec] = [Dense(centred=not reads_sigmoids(objective)), Int8()]
    k = 1
    while k < classes:
        codec = TopKCodec(k)
        if bytes_per_target(codec, classes) < bytes_per_target(Int8(), classes):
            every.append(codec)
        k *= 2
    fitting = [codec for codec in every if misfit(codec, objective, average=average) is None]
    return tuple(sorted(fitting, key=lambda codec: bytes_per_target(codec, classes)))


def choose(
    among: Sequence[Codec], mean_kl: float, logits_NC: Tensor, rows: Rows
) -> tuple[Codec, dict[str, float | int]]:
    """The first of the codecs whose mean KL on a sample of the teacher's answers is at most ``mean_kl``, and its error.

    Raises :class:`BadInput` naming the most exact one where none is.
    """
    best: tuple[float, str] | None = None
    for codec in among:
        error: dict[str, Any] = codec_error(codec, logits_NC, rows)
        if error["mean_kl"] <= mean_kl:
            return codec, error
        if best is None or error["mean_kl"] < best[0]:
            best = error["mean_kl"], codec.name
    assert best is not None, "there is always dense"
    raise BadInput(
        f"targets.codec.auto.mean_kl: no codec keeps the mean KL at {mean_kl:g} or less; {best[1]}, the most exact, has "
        f"{best[0]:.2g} on {len(logits_NC)} of the teacher's answers. Give a larger bound."
    )
