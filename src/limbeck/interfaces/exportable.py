"""A graph that is to be exported, and graphs that are asked: where formats of deployment and modalities meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

BATCH, LENGTH = "batch", "length"
"""Dimensions in which any number will do: of examples, which every input and answer has first, and of positions."""

Range = tuple[int, int] | Literal["normal"]

Graph = Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]
"""What answers arrays, by the name of the input, with arrays: a module, or a file of whatever format and precision."""


@dataclass(frozen=True)
class Input:
    """One input of a graph.

    Attributes:
        example: of two examples at least, as the exporter is shown it; nothing in it may look like a constant that is none.
        shape: of each dimension its size, or a word where any number will do: :data:`BATCH` first, :data:`LENGTH`.
        range: what values are made up in where speed is measured: whole numbers from the first on and below the second
            (ids of a vocabulary; (1, 2) where nothing but 1 is usual), or ``normal``: standard normal numbers.
    """

    example: Tensor
    shape: tuple[str | int, ...]
    range: Range = "normal"

    @property
    def said(self) -> dict[str, Any]:
        """What the exported file says of it, as plain values: ``dtype``, ``shape`` and ``range``."""
        dtype = str(self.example.dtype).removeprefix("torch.")
        return {
            "dtype": dtype,
            "shape": list(self.shape),
            "range": self.range if self.range == "normal" else [*self.range],
        }


@dataclass(frozen=True)
class Exportable:
    """A graph to be exported.

    Attributes:
        name: how messages speak of it: the class of its model.
        module: called with the inputs in their order, it answers with one tensor.
        inputs: by name.
        answer: the shape of what it answers, as of an :class:`Input`.
        metadata: what the file says of itself, but for the run's name and the inputs.
        says: what the answer is called: ``logits``, ``values``.
        most: how large a dimension can be, for those that have a limit.
        lengths: at which speed is measured, the usual first; none where all inputs have one size.
        longest: the greatest length that the module itself takes; None where all inputs have one size.
        int8: which operators keep their weights in 8 bits in a second file beside the first; none: there is no such file.
        parts: where it is a front end of fixed numbers with a network behind it, both, of one input each: files whose activations are in 8
            bits have the front end as it is, joined in front of the network.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, Input]
    answer: tuple[str | int, ...]
    metadata: Mapping[str, Any]
    says: str = "logits"
    most: Mapping[str, int] = field(default_factory=dict)
    lengths: tuple[int, ...] = ()
    longest: int | None = None
    int8: tuple[str, ...] = ()
    parts: tuple[Exportable, Exportable] | None = None

    @property
    def said(self) -> dict[str, Any]:
        """Its metadata as the file holds them, plain values: ``inputs``, by name, among them."""
        return {**self.metadata, "inputs": {name: one.said for name, one in self.inputs.items()}}
