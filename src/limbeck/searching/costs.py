"""What a candidate costs, measured on its untrained export before it is trained, and once for each architecture and precision"""

from __future__ import annotations

import copy
import re
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..deploy.costs import lengths_up_to
from ..deploy.energy import has_counters
from ..deploy.export import Exported
from ..deploy.formats import FORMATS as DEPLOYED
from ..deploy.latency import MOST_REPEATS, decides
from ..deploy.measure import parameters
from ..deploy.profile import OF_A_FILE, Figures, figures_of
from ..deploy.runtime import THREADS, runtime_name
from ..errors import BadInput, Interrupted, LimbeckError, short
from ..files import fingerprint
from ..models.identity import architecture
from ..models.inference import Inputs
from ..pipeline.export import exporter_of
from ..pipeline.formats import written_as
from ..pipeline.job import Job
from ..pipeline.students import student_of
from ..pipeline.versions import versions
from .device import PRECISION, Profile
from .ledger import Key, Ledger
from .precision import FLOAT32, key_of

_EXPORTED_BY = ("torch", "onnx", "onnxscript")


@dataclass(frozen=True)
class Costs:
    """What a candidate costs.

    Attributes:
        architecture: its name; see :func:`name_of`.
        figures: by the name of a cost its ``value``, and how it was come by.
        problem: why it is not eligible whatever the budget, as a sentence: it cannot be exported, or is not in the profile.
        format: in which it is deployed.
    """

    architecture: str
    figures: Figures
    problem: str | None = None
    format: str = FLOAT32

    @cached_property
    def cost(self) -> dict[str, float]:
        """The numbers alone."""
        return {name: one["value"] for name, one in self.figures.items()}

    @property
    def undecided(self) -> bool:
        """Whether latency scattered round its limit to the last: then its median alone says that it is within, or over."""
        return not self.figures.get("latency_ms", {}).get("decided", True)


def candidate_of(job: Job) -> nn.Module:
    """A fresh student, untrained, with all that its objective deploys with it."""
    return student_of(job, job.teacher, job.recipe.seed)


def name_of(job: Job, model: nn.Module) -> str:
    """Names what a student is but for the values of its weights, and the size of what it is given."""
    return fingerprint({"model": architecture(model), "given": _shapes(job.task.probe(None))})


def _shapes(inputs: Inputs) -> Any:
    if isinstance(inputs, torch.Tensor):
        return list(inputs.shape[1:])
    return sorted(inputs)  # texts are of any length


def cost_of(
    job: Job,
    model: nn.Module,
    ledger: Ledger,
    wanted: Collection[str],
    budget: Mapping[str, float] | None = None,
    profile: Profile | None = None,
    quiet: Callable[[], AbstractContextManager[None]] = nullcontext,
    format: str = FLOAT32,
) -> Costs:
    """What an untrained student costs; what the ledger does not know is measured, and noted there.

    Args:
        model: is not changed.
        wanted: names in :data:`limbeck.sections.budget.COSTS`.
        budget: a latency whose interval straddles its limit is measured again until it is decided, or for
            :data:`limbeck.deploy.latency.MOST_REPEATS` times.
        profile: figures from another machine, which stand for all that is measured on an exported file.
        quiet: within which an exported file is measured; the export itself, which takes longer, is made before.
        format: in which it is deployed, of :data:`limbeck.searching.precision.FORMATS`; in 8 bits or less calibrated on training examples.

    Raises:
        BadInput: energy is wanted, and this machine has no counters that tell.
    """
    name = name_of(job, model)
    limit = (budget or {}).get("latency_ms")
    lengths = next(iter(job.modality.exportables(model, job.task, "student").values())).lengths
    ours = [one for one in wanted if profile is None or one not in OF_A_FILE]
    precision = PRECISION if format == FLOAT32 else format
    key = Key(name, runtime_name(), precision, THREADS, lengths[0] if lengths else None)
    known, by = ledger.get(key), versions(_EXPORTED_BY)
    problem = known.get("problem") if known.get("by") == by else None  # others may export it
    if problem is None and (missing := _missing(known.get("figures", {}), ours, limit)):
        try:
            found = _measured(job, model, missing, limit, quiet, format)
        except (LimbeckError, RuntimeError, MemoryError) as error:
            if isinstance(error, Interrupted) or isinstance(error.__cause__, OSError):  # nothing that is wrong with it
                raise
            problem = str(error) if isinstance(error, LimbeckError) else f"it could not be measured: {short(error)}."
            if _lasts(error):
                ledger.put(key, {"problem": problem, "by": by})
        else:
            energy = found.get("energy_mj")
            estimated = energy is not None and energy["value"] is None
            ledger.put(key, {"figures": {one: found[one] for one in found if not (estimated and one == "energy_mj")}})
            if energy is not None and estimated:
                raise _no_energy(energy["how"])
        known = ledger.get(key)
    figures = {one: known["figures"][one] for one in ours if one in known.get("figures", {})}
    if profile is not None:
        there = key_of(name, format)
        figures |= profile.figures_of(there, [one for one in wanted if one in OF_A_FILE])
        problem = problem or profile.problem_of(there, wanted)
    if (timed := figures.get("latency_ms")) is not None:  # the limit may be another than it was measured for
        figures["latency_ms"] = {**timed, "limit": limit, "decided": decides(timed, limit)}
    return Costs(name, figures, problem, format)


def require_counters(wanted: Collection[str]) -> None:
    """Raises :class:`limbeck.errors.BadInput` where energy is wanted of a machine that has no counters for it."""
    if "energy_mj" in wanted and not has_counters():
        raise _no_energy("no energy counter could be read")


def _no_energy(why: str) -> BadInput:
    return BadInput(
        f"budget energy_mj: this machine cannot measure energy ({why.rpartition('; ')[2]}), and an estimate is not held to a "
        "budget. Leave energy_mj out, or give figures of a machine that measures it with --device."
    )


def exported(job: Job, model: nn.Module, folder: Path) -> Exported:
    """The export of a student as though it were trained, in a folder that is there.

    Its weights are changed a little first: in an untrained one many are all alike (biases are 0, scales are 1), the exporter
    keeps such things once, and the file would be up to a tenth smaller than it is going to be. Raises
    :class:`limbeck.errors.LimbeckError` where it cannot be exported, or its export does not answer alike.
    """
    model = stirred(model).to("cpu").eval()
    return exporter_of(job, job.splits.validation).export(model, "student", folder, variants=False)


def rounded(job: Job, model: nn.Module, folder: Path, format: str) -> tuple[Path, int | None]:
    """The file of a student in 8 bits or less, as though it were trained, in a folder that is there; and the length of what it is measured with.

    Raises :class:`limbeck.errors.LimbeckError` where the format cannot hold it.
    """
    graphs, paths = written_as(job, DEPLOYED[format], stirred(model).to("cpu").eval(), folder)
    first = next(iter(graphs.values()))
    longest = min((one.longest for one in graphs.values() if one.longest is not None), default=None)
    return next(iter(paths.values())), _length(first.lengths, longest)


def stirred(model: nn.Module) -> nn.Module:
    """A copy of a model with no two parameters alike: each number a little larger or smaller, a little more than 0 where it was 0."""
    random = torch.Generator().manual_seed(0)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for value in other.parameters():
            if value.is_floating_point():
                noise = torch.rand(value.shape, generator=random).to(value)
                value.mul_(0.9 + 0.2 * noise).add_(0.01 * noise * (value == 0))
    return other


def tokens_of(exported: Exported) -> int | None:
    """The length of the inputs that an export is measured with; None where they have one size."""
    return _length(exported.lengths, exported.longest)


def _length(lengths: Sequence[int], most: int | None) -> int | None:
    longest = max(lengths, default=1)
    return next(iter(lengths_up_to(min(longest, most or longest), tuple(lengths))), None)


def _measured(
    job: Job,
    model: nn.Module,
    names: Collection[str],
    limit: float | None,
    quiet: Callable[[], AbstractContextManager[None]],
    format: str,
) -> Figures:
    found: Figures = {}
    if "parameters" in names:
        found["parameters"] = {"value": parameters(model)}
    if set(names) - set(found):
        with tempfile.TemporaryDirectory() as folder:
            file = None if format == FLOAT32 else rounded(job, model, Path(folder), format)
            if file is None or "macs" in names:  # which are those of the network, whatever computes them
                deployed = exported(job, model, Path(folder))
                file = file or (deployed.path, tokens_of(deployed))
                found |= {"macs": {"value": deployed.facts["macs"]}} if "macs" in names else {}
            path, length = file
            with quiet():
                found |= figures_of(path, names, limit=limit, length=length or 1)
    return found


def _lasts(error: BaseException) -> bool:
    """Whether an error says something of the student, which it would say another time: not a lack of memory, nor an end from outside."""
    if not isinstance(error, LimbeckError):
        return False
    cause: BaseException | None = error
    while cause is not None:
        short_of_memory = isinstance(cause, RuntimeError) and re.search(
            r"alloc|out of memory|not enough memory", str(cause)
        )
        if short_of_memory or isinstance(cause, MemoryError | OSError):
            return False
        cause = cause.__cause__
    return True


def _missing(known: Figures, wanted: Collection[str], limit: float | None) -> list[str]:
    """What has to be measured: what is not known, and a latency that another limit needs more exactly."""
    missing = [name for name in wanted if name not in known]
    timed = known.get("latency_ms")
    if timed and "latency_ms" in wanted and not decides(timed, limit) and timed["repeats"] < MOST_REPEATS:
        missing.append("latency_ms")
    return missing
