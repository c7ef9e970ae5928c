"""What the students of a comparison cost: each architecture is exported and measured once, whatever it learnt from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from .. import progress
from ..deploy.costs import latencies, lengths_up_to
from ..deploy.export import Exporter
from ..deploy.measure import parameters
from ..errors import LimbeckError
from ..models.ensemble import Together
from ..models.identity import architecture
from ..models.onnx_file import OnnxFile
from ..pipeline.export import exporter_of
from ..pipeline.job import Job
from ..pipeline.stages import stage
from ..pipeline.training_stage import begun

# Bumped by hand when the meaning of the figures changes.
MEASURE_VERSION = 1

Cost = dict[str, Any]
"""``bytes`` of the ONNX file, ``latency_ms`` (:func:`limbeck.deploy.timing.latency`) and ``parameters``; the first two None
where it could not be exported, and ``problem`` says why."""


@dataclass(frozen=True)
class Measured:
    """The teacher's and the students' costs; ``students`` by the architecture's name (:func:`limbeck.models.identity.architecture`).

    ``speed`` is what :class:`limbeck.deploy.costs.Latencies` has, its ``speedup`` by the same names; None where nothing was
    exported. ``length`` is that of the examples it was measured with; None where all have one size.
    """

    stage: str
    teacher: Cost
    students: dict[str, Cost]
    speed: dict[str, Any] | None
    length: int | None

    def of(self, name: str) -> dict[str, Any]:
        """What the results say of a model: its cost, and ``speedup``, how many times as fast as the teacher it is.

        ``speedup`` is as :func:`limbeck.deploy.timing.ratio` has it; None for the teacher itself, and where the teacher is
        not exported.
        """
        told = self.speed if self.speed and self.speed["reference"] == "teacher" else {"speedup": {}}
        return {**(self.teacher if name == "teacher" else self.students[name]), "speedup": told["speedup"].get(name)}


def measured(job: Job, teacher: nn.Module, students: Mapping[str, nn.Module]) -> Measured:
    """Exports and measures the teacher and each of the ``students`` (by architecture); a stage, done once.

    Exported models are held to PyTorch's answers on validation examples. One that cannot be exported, or does not answer
    alike, is left out and the reason said: the comparison stands without its cost.
    """
    ingredients = {
        "version": MEASURE_VERSION,
        "data": job.splits.fingerprint,
        "teacher": architecture(teacher),
        "students": sorted(students),
        "limits": job.recipe.export.limits,
    }
    here = begun(job, stage(job.out, "measure", ingredients))
    if not here.finished:
        here.prepare()
        here.finish(_measure(job, teacher, students), [])
    facts = here.facts()
    return Measured(here.fingerprint, facts["teacher"], facts["students"], facts["speed"], facts["tokens"])


def _measure(job: Job, teacher: nn.Module, students: Mapping[str, nn.Module]) -> dict[str, Any]:
    exporter = exporter_of(job, job.splits.validation)
    usual: tuple[int, ...] = ()
    longest: list[int] = []
    costs: dict[str, Cost] = {}
    paths: dict[str, Path] = {}
    models = {"teacher": teacher, **students}
    with tempfile.TemporaryDirectory() as folder, progress.bar(len(models) + 1, "measure") as advance:
        for number, (name, model) in enumerate(models.items()):
            costs[name] = {"parameters": parameters(model), "bytes": None, "latency_ms": None}
            try:
                role = "teacher" if name == "teacher" else "student"
                found = _exported(exporter, role, model, Path(folder) / str(number))
            except LimbeckError as error:
                progress.note(f"{'The teacher' if name == 'teacher' else 'A student'} is not measured: {error}")
                costs[name]["problem"] = str(error)
                found = None
            if found is not None:
                paths[name] = found.path
                costs[name]["bytes"] = found.path.stat().st_size
                usual = found.lengths or usual
                longest += [found.longest] if found.longest else []
            advance()
        lengths = lengths_up_to(min([*usual[-1:], *longest], default=1), usual)[:1]
        together = latencies(paths, lengths, again="--force measure") if paths else None
        advance()
    for name in paths:
        assert together is not None
        costs[name]["latency_ms"] = together.of[name]["latency_ms"]
    return {
        "teacher": costs.pop("teacher"),
        "students": costs,
        "speed": together.speed if together else None,
        "tokens": lengths[0] if lengths else None,  # whatever a length is counted in
    }


class _File(NamedTuple):
    """A file to be measured: the lengths at which, and the greatest that it takes."""

    path: Path
    lengths: tuple[int, ...]
    longest: int | None


def _exported(exporter: Exporter, role: str, model: nn.Module, folder: Path) -> _File | None:
    """The model's ONNX file; None for an ensemble, a file for a fixed batch, and what nobody deploys as a file."""
    if isinstance(model, OnnxFile):
        return _File(model.path, (), model.longest) if model.timed_as_it_is else None
    if isinstance(model, Together):
        return None
    folder.mkdir()
    device = next((value.device for value in model.parameters()), None)
    try:
        if not exporter.graphs(model.to("cpu").eval(), role):
            return None
        exported = exporter.export(model, role, folder, variants=False)
    finally:
        model.to(device)
    return _File(exported.path, exported.lengths, exported.longest)
