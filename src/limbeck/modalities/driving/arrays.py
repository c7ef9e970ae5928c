"""Splits from states that a Python program holds, each with the values of its actions or the best of them.

Shapes: N states, F numbers of one, A actions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.examples import HeldOut
from ...data.groups import Groups
from ...data.ids import example_ids, number
from ...data.splits import arrange
from ...errors import BadInput
from .examples import Splits, States
from .planner import best


@dataclass(frozen=True)
class Part:
    """A split as it is at hand (:class:`limbeck.data.splits.AnyPart`); ``values_NA`` are NaN where they are not known."""

    states_NF: Tensor
    values_NA: Tensor
    labels: Tensor
    content: Tensor
    groups: Groups | None = None

    @property
    def alike(self) -> Tensor:
        """Those that are the same to a student."""
        return self.content

    def __len__(self) -> int:
        return len(self.content)

    def where(self, keep: Tensor) -> Part:
        """The rows where it holds."""
        return Part(self.states_NF[keep], self.values_NA[keep], self.labels[keep], self.content[keep])

    def examples(self) -> States:
        """The part as examples."""
        return States(self.states_NF, self.values_NA, self.labels, example_ids(self.content, self.labels))

    def to_train_on(self) -> States:
        """The same."""
        return self.examples()


def from_arrays(
    train: Any,
    validation: Any = None,
    test: Any = None,
    *,
    classes: Sequence[str] | None = None,
    fraction: float = 0.1,
    valued: bool,
) -> Splits:
    """The splits of a run; what is None of validation and test is carved from train.

    Each is ``(states, values)``: states (N, F), or (N, rows, columns) as the simulator has them, and a value for each action (N, A) where
    ``valued``, else the action (N,) that is right. ``classes`` are the actions' names; their numbers where not given.

    Raises :class:`BadInput` where they are none, differ in number or are not finite.
    """
    first = _part(train, "train", valued)
    width = first.values_NA.shape[1] if valued else int(first.labels.max()) + 1
    names = tuple(classes) if classes is not None else tuple(str(one) for one in range(width))
    if len(names) < width or (valued and len(names) != width):
        raise BadInput(f"classes has {len(names)} name(s), and there are {width} actions: name each.")

    def shaped(given: Any, split: str) -> Part:
        part = _part(given, split, valued)
        if part.states_NF.shape[1] != first.states_NF.shape[1]:
            raise BadInput(
                f"{split} has states of {part.states_NF.shape[1]} numbers, and train of {first.states_NF.shape[1]}."
            )
        if (valued and part.values_NA.shape[1] != width) or int(part.labels.max()) >= len(names):
            raise BadInput(f"{split} has other actions than train, which has {len(names)}.")
        return _of_width(part, len(names))

    kept = None if test is None else shaped(test, "test")
    return arrange(
        _of_width(first, len(names)),
        None if validation is None else shaped(validation, "validation"),
        None if kept is None else HeldOut(lambda notes: kept.examples(), count=len(kept)),
        None,
        what="state",
        classes=names,
        fraction=fraction,
    )


def _part(given: Any, split: str, valued: bool) -> Part:
    """A split. Raises :class:`BadInput` where it is none."""
    wanted = (
        "(states, values), a number for each action" if valued else "(states, actions), the number of the right one"
    )
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise BadInput(f"{split} is of type {type(given).__name__}: give {wanted} of each state.")
    try:
        states, said = (np.asarray(one.detach().cpu() if isinstance(one, Tensor) else one) for one in given)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{split} is no pair of arrays ({error}): give {wanted} of each state.") from None
    if states.ndim < 2 or not len(states) or states.dtype.kind not in "fiu":
        raise BadInput(f"the states of {split} have shape {states.shape}: (N, numbers) is right, one state at least.")
    if (
        said.shape[:1] != states.shape[:1]
        or said.ndim != (2 if valued else 1)
        or said.dtype.kind not in ("fiu" if valued else "iu")
    ):
        right = "(N, actions), floats," if valued else "(N,), whole numbers from 0,"
        raise BadInput(
            f"{split} has {len(states)} states, and {said.dtype} of shape {said.shape} beside them: {right} is right."
        )
    states_NF = np.ascontiguousarray(states.reshape(len(states), -1), np.float32)
    if not np.isfinite(states_NF).all() or not np.isfinite(said).all():
        raise BadInput(f"{split} has numbers that are not finite.")
    if valued:
        values_NA, labels_N = said.astype(np.float64), best_of(said)
    else:
        if said.min() < 0:
            raise BadInput(f"the actions of {split} run from {said.min()}: whole numbers from 0 are right.")
        values_NA, labels_N = np.full((len(said), 1), np.nan), said.astype(np.int64)
    beside = np.ascontiguousarray(values_NA if valued else labels_N)
    hashed = [number(hashlib.blake2b(a.tobytes() + b.tobytes(), digest_size=8)) for a, b in zip(states_NF, beside)]
    content = torch.tensor(hashed)
    return Part(torch.from_numpy(states_NF), torch.from_numpy(values_NA).float(), torch.from_numpy(labels_N), content)


def best_of(values_NA: np.ndarray) -> np.ndarray:
    """The best action (N,) int64: of five, those of the simulator, to idle where nothing is worth more."""
    return best(values_NA) if values_NA.shape[1] == 5 else values_NA.argmax(axis=1)


def _of_width(part: Part, width: int) -> Part:
    """The same, its values as many as there are actions."""
    return part if part.values_NA.shape[1] == width else Part(
        part.states_NF, torch.full((len(part), width), torch.nan), part.labels, part.content
    )  # fmt: skip
