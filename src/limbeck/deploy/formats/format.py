"""What a format of deployment is: it writes a graph as a file, and answers from that file in the file's own runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...interfaces import Exportable, Graph

Inputs = Sequence[Mapping[str, np.ndarray]]
"""What a graph is given, batch by batch: of each of its inputs, by name, the array."""


@dataclass(frozen=True)
class Format:
    """One format in one precision.

    Attributes:
        name: in recipes and on the command line, such as ``executorch-int8``.
        suffix: of its files, such as ``.int8.pte``.
        extra: of Limbeck's own, that its libraries come with; None where they always do.
        missing: a sentence that says what to install to write such files; None where all is there.
        write: writes a graph, which is in evaluation mode and on the CPU, to a path, whole or not at all. It is given inputs to
            calibrate on, real ones of training examples. Raises :class:`limbeck.errors.BadInput` where the format cannot hold
            such a graph, and names the operator or layer.
        ask: opens a file that ``write`` wrote, in its own runtime with one thread, and answers arrays with arrays. What it
            raises for arrays of a wrong shape or type is a :class:`limbeck.errors.BadInput`, before the runtime sees them.
        runtime: by what ``ask`` answers, for the record: ``onnxruntime 1.32.0, CPU``.
        exact: whether it keeps float32, so that it is held to PyTorch's numbers, and is given nothing to calibrate on.
        predicts: whether ``predict.py`` opens such a file, so that it may be the one that ``limbeck predict`` takes.
        facts: what else there is to say of a file that was written, plain values under names of its own; None: nothing.
        memory: what loading and running a file adds to the memory of a process that holds the runtime, of these inputs by name,
            as :func:`limbeck.deploy.memory.memory_mb` says it; None: not measured.
        weight_levels: where it is not exact, how many steps of a channel's scale its weights go to either side of 0; a student that
            goes on for it learns with as many.
        rounds_activations: whether what products and convolutions are given is rounded too, to 8 bits.
        version: raised by hand where the files that ``write`` makes change, so that those made before are made anew.
    """

    name: str
    suffix: str
    extra: str | None
    missing: Callable[[], str | None]
    write: Callable[[Exportable, Path, Inputs], None]
    ask: Callable[[Path], Graph]
    runtime: Callable[[], str]
    exact: bool = True
    predicts: bool = False
    facts: Callable[[Path], Mapping[str, Any]] | None = None
    memory: Callable[[Path, Mapping[str, np.ndarray]], Mapping[str, float | None]] | None = None
    weight_levels: int = 64
    rounds_activations: bool = True
    version: int = 1
