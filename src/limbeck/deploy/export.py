"""A model as the files that it is deployed as, of whatever modality: ONNX, held to PyTorch's answers, and 8 bits beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..interfaces import Exportable, Task
from ..interfaces.exportable import BATCH, LENGTH
from ..interfaces.modality import Modality
from ..sections.outline import Outline
from ..sections.recipe import Export
from . import graphs as asked
from .int8 import price, quantise
from .measure import macs
from .onnx import write_onnx
from .parity import compared, require


@dataclass(frozen=True)
class Exported:
    """An exported model.

    Attributes:
        path: of its graph; of several the first.
        facts: for the results: ``path``, ``parity``, ``macs``, and of each variant what it costs, under its name.
        files: what was written, names as from the export's folder.
        variants: other files of the same graph, measured beside it: ``int8``.
        lengths: at which speed is measured, the usual first; none where inputs have one size.
        longest: the greatest length that it takes; None where inputs have one size.
    """

    path: Path
    facts: dict[str, Any]
    files: tuple[str, ...]
    variants: Mapping[str, Path]
    lengths: tuple[int, ...]
    longest: int | None


@dataclass(frozen=True)
class Exporter:
    """What exports the models of a run.

    Attributes:
        modality: of the run.
        task: likewise.
        outline: the task in words, for messages.
        run: its name, which the files bear.
        examples: which exported models are held to PyTorch on.
        limits: what they must prove.
    """

    modality: Modality
    task: Task
    outline: Outline
    run: str
    examples: Any
    limits: Export

    def export(self, model: nn.Module, role: str, folder: Path, *, variants: bool = True) -> Exported:
        """Writes a model, which is in evaluation mode and on the CPU, into a folder; ``role`` is ``student`` or ``teacher``.

        ``variants``: whether the further files that the modality has for such a model are wanted.

        Raises:
            BadInput: it cannot be exported.
            LimbeckError: what came out does not answer as the model does.
        """
        found = self.graphs(model, role)
        files = {*self.modality.beside(model, self.task, role, folder)}
        paths = {name: folder / f"{name}.onnx" for name in found}
        for name, graph in found.items():
            paths[name].parent.mkdir(parents=True, exist_ok=True)
            write_onnx(graph, paths[name], self.outline)
        first = next(iter(paths.values()))
        answered = partial(self.modality.answered, model=model, task=self.task, role=role)
        some = self.modality.sample(self.examples)
        parity = compared(
            answered({name: asked.of_module(graph) for name, graph in found.items()}, examples=some),
            answered({name: asked.of_file(path) for name, path in paths.items()}, examples=some),
            first,
            kind=self.task.answers.kind,
            max_abs=self.limits.max_abs_difference,
            agreement=self.limits.agreement,
        )
        require(parity, first, what=self.outline.examples)
        facts = {
            "path": str(first.relative_to(folder)),
            "parity": parity,
            "macs": sum(_macs(graph) for graph in found.values()),
        }
        small = {name: path.with_suffix(".int8.onnx") for name, path in paths.items() if variants and found[name].int8}
        if small:
            facts["int8"] = self._int8(found, paths, small, answered, folder)
        files |= {str(path.relative_to(folder)) for path in (*paths.values(), *small.values())}
        return Exported(
            path=first,
            facts=facts,
            files=tuple(sorted(files)),
            variants={"int8": next(iter(small.values()))} if small else {},
            lengths=next((graph.lengths for graph in found.values() if graph.lengths), ()),
            longest=min((graph.longest for graph in found.values() if graph.longest is not None), default=None),
        )

    def graphs(self, model: nn.Module, role: str) -> dict[str, Exportable]:
        """The graphs of a model, which is in evaluation mode and on the CPU, as their files are to speak of themselves."""
        return {
            name: replace(graph, metadata={**graph.metadata, "name": f"{self.run} {role}"})
            for name, graph in self.modality.exportables(model, self.task, role).items()
        }

    def _int8(
        self,
        found: Mapping[str, Exportable],
        paths: Mapping[str, Path],
        small: Mapping[str, Path],
        answered: Callable[..., Any],
        folder: Path,
    ) -> dict[str, Any]:
        """Writes the files in 8 bits, and says what they cost on all examples; both as they are deployed."""
        for name, path in small.items():
            quantise(paths[name], path, found[name].int8)
        exact, ours = (
            answered({name: asked.of_file(path) for name, path in files.items()}, examples=self.examples)
            for files in (paths, {**paths, **small})
        )
        return {
            "bytes": sum(path.stat().st_size for path in small.values()),
            **price(exact, ours, self.examples.labels, self.task.answers.kind),
            "path": str(next(iter(small.values())).relative_to(folder)),
        }


def _macs(graph: Exportable) -> int:
    """Of one example, of the usual length where any will do."""
    length = min(graph.lengths[0], graph.longest or graph.lengths[0]) if graph.lengths else 1
    sizes = {BATCH: 1, LENGTH: length}
    return macs(
        graph.module,
        [
            torch.full(
                [sizes[side] if isinstance(side, str) else side for side in one.shape],
                0 if one.range == "normal" else one.range[0],
                dtype=one.example.dtype,
            )
            for one in graph.inputs.values()
        ],
    )
