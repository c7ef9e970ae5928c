"""The student in the formats that the recipe names: each a stage of its own, written, held to PyTorch, put to the test, measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from .. import progress
from ..deploy import graphs as asked
from ..deploy.compressed import taken_by
from ..deploy.formats import FORMATS
from ..deploy.formats.cost import running_cost
from ..deploy.formats.format import Format
from ..deploy.metadata import beside_file
from ..deploy.parity import compared, nearly, require
from ..errors import Interrupted, LimbeckError
from ..evaluation.kinds import KINDS
from ..files import publish, write_json
from ..interfaces import Exportable, Graph, RaggedLogits
from ..modalities import outline_of
from ..models.onnx_file import OnnxFile
from ..randomness import bits
from .evaluate import TestSplit, test_reads
from .export import exporter_of
from .job import Job
from .stages import FORMATS as NAME
from .stages import Stage, stage
from .training_stage import Trained, begun
from .versions import FORMATS_VERSION

CALIBRATION = 512
"""So many training examples are what a file that is not float32 is calibrated on."""
STUDENT, TEACHER, FLOAT32 = "student", "teacher", "onnx"


def format_stages(job: Job, export: Stage) -> dict[str, Stage]:
    """The stage of each format, by its name; none where the recipe asks for no more than the file that is always there."""
    return {name: format_stage(job, name, export) for name in job.recipe.export.more}


def format_stage(job: Job, name: str, export: Stage, student: str | None = None) -> Stage:
    """The stage of one format; ``student`` is the fingerprint of its training, where it is not the exported one."""
    format = FORMATS[name]
    ingredients = {
        "version": FORMATS_VERSION,
        "format": format.name,
        "format_version": format.version,
        "export": export.fingerprint,
        "calibration": None if format.exact else [job.recipe.seed, CALIBRATION],
        **({} if student is None else {"student": student}),
    }
    return stage(job.out, NAME, ingredients)


def deploy_as(
    job: Job,
    test: TestSplit,
    name: str,
    wanted: Stage,
    export: Stage,
    teacher: Trained,
    student: Trained,
    *,
    further: nn.Module | None = None,
    rounded: Callable[[nn.Module], AbstractContextManager[object]] = nullcontext,
) -> Stage:
    """The student in one format. Where the format cannot hold it, that is the result: the stage's facts have the ``problem``.

    Else they have ``path`` and all ``files``, ``bytes``, ``parity`` (on validation examples), ``metrics`` and ``metrics_float32`` (of the
    file and of the trained student on the test split, and ``agreement``, the share on which both say the same), what
    :func:`limbeck.deploy.formats.cost.running_cost` says, and what the format has to say of its file.

    ``further`` is written in the student's place, where that went on for the format: its file must answer as it does within
    ``rounded``, as which it learnt, and be worth as much as the student.
    """
    here = begun(job, wanted)
    if here.finished:
        here.facts()
        return here
    here.prepare()
    examples = test.open(f"format {name}")
    known = student.model.to("cpu").eval()
    model = known if further is None else further.to("cpu").eval()
    with progress.bar(3, name) as advance:
        try:
            facts, files = _deployed(
                job, FORMATS[name], here.folder, export, teacher, model, known, rounded, examples, advance
            )
            if student.dense is not None:
                facts["compressed"] = taken_by(here.folder, files, FORMATS[name])
        except LimbeckError as error:
            # what is wrong with the machine is no fault of the format
            if isinstance(error, Interrupted) or isinstance(error.__cause__, OSError):
                raise
            facts, files = {"problem": str(error)}, []
    here.finish(facts | {"test_reads": test_reads(job.out)}, files)
    return here


def _deployed(
    job: Job,
    format: Format,
    folder: Path,
    export: Stage,
    teacher: Trained,
    model: nn.Module,
    known: nn.Module,
    rounded: Callable[[nn.Module], AbstractContextManager[object]],
    examples: Any,
    advance: Callable[[], None],
) -> tuple[dict[str, Any], list[str]]:
    found, paths = written_as(job, format, model, folder)
    first = next(iter(paths.values()))
    advance()
    answered = partial(job.modality.answered, model=model, task=job.task, role=STUDENT)
    of_known = partial(_of_module, job, known)
    file = {name: format.ask(path) for name, path in paths.items()}
    some, kind = job.modality.sample(job.splits.validation), job.splits.answers.kind
    with rounded(model):
        expected = _of_module(job, model, some)
    actual = answered(file, examples=some)
    if format.exact:
        parity = compared(expected, actual, first, kind=kind, **_limits(job))
        require(parity, first, what=outline_of(job.task.name).examples)
    else:
        parity = nearly(
            expected, actual, some.labels, first, kind=kind, known=None if known is model else of_known(some)
        )
    by, labels, names = KINDS[kind], examples.labels.cpu(), job.splits.answers.names
    exact, ours = of_known(examples), answered(file, examples=examples)
    _, agreement = by.alike(*(one.logits if isinstance(one, RaggedLogits) else one for one in (exact, ours)))
    advance()
    beside, lengths = _beside(export, teacher)
    made = [path for one in paths.values() for path in (one, beside_file(one)) if path.exists()]
    facts = {
        "path": str(first.relative_to(folder)),
        "files": [str(path.relative_to(folder)) for path in made],
        "bytes": sum(path.stat().st_size for path in paths.values()),
        "parity": parity,
        "metrics": by.figures(by.kept(ours, labels, None, names)),
        "metrics_float32": by.figures(by.kept(exact, labels, None, names)),
        "agreement": agreement,
        **running_cost(format, first, next(iter(found.values())), beside, lengths),
        **({} if format.facts is None else format.facts(first)),
    }
    advance()
    return facts, facts["files"]


def _of_module(job: Job, model: nn.Module, examples: Any) -> Any:
    """What a model answers, asked as its files are."""
    graphs = exporter_of(job, None).graphs(model, STUDENT)
    module = {name: asked.of_module(graph) for name, graph in graphs.items()}
    return job.modality.answered(module, model, job.task, STUDENT, examples)


def written_as(
    job: Job, format: Format, model: nn.Module, folder: Path
) -> tuple[dict[str, Exportable], dict[str, Path]]:
    """A student, in evaluation mode and on the CPU, written in a format, calibrated on training examples: its graphs and their files."""
    found = exporter_of(job, None).graphs(model, STUDENT)
    calibration = {} if format.exact else captured(job, found, model)
    paths = {name: folder / f"{name}{format.suffix}" for name in found}
    for name, graph in found.items():
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        format.write(graph, paths[name], calibration.get(name, ()))
        if not format.suffix.endswith(FLOAT32):  # which holds it itself
            write_json(beside_file(paths[name]), graph.said)
    return found, paths


def _limits(job: Job) -> dict[str, float]:
    limits = job.recipe.export
    return {"max_abs": limits.max_abs_difference, "agreement": limits.agreement}


def _beside(export: Stage, teacher: Trained) -> tuple[dict[str, Path], list[int]]:
    """The files that a format is timed beside, the student's in float32 first, and the lengths at which they were timed."""
    facts = export.facts()
    beside = {FLOAT32: export.folder / facts[STUDENT]["path"]}
    if "path" in facts[TEACHER]:
        beside[TEACHER] = export.folder / facts[TEACHER]["path"]
    elif isinstance(teacher.model, OnnxFile) and teacher.model.timed_as_it_is:
        beside[TEACHER] = teacher.model.path
    return beside, [int(length) for length in facts[STUDENT].get("latency_by_length", ())]


def captured(job: Job, graphs: Mapping[str, Exportable], model: nn.Module) -> dict[str, list[Mapping[str, np.ndarray]]]:
    """What each graph is given where the student is asked about training examples, batch by batch: as they are, drawn by their ids."""
    seen: dict[str, list[Mapping[str, np.ndarray]]] = {name: [] for name in graphs}

    def recorded(name: str, ask: Graph) -> Graph:
        def answer(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
            seen[name].append({one: np.asarray(value) for one, value in inputs.items()})
            return ask(inputs)

        return answer

    recording = {name: recorded(name, asked.of_module(graph)) for name, graph in graphs.items()}
    job.modality.answered(recording, model, job.task, STUDENT, calibration_examples(job))
    return seen


def calibration_examples(job: Job) -> Any:
    """So many training examples, drawn by their ids."""
    train = job.splits.train
    return train.take(bits(job.recipe.seed, train.ids.cpu(), 0, "calibration").argsort()[:CALIBRATION])


def formats_section(
    job: Job, formats: Mapping[str, Stage], results: Mapping[str, Any], further: Mapping[str, Any]
) -> dict[str, Any]:
    """What the results say of the formats; nothing where the recipe names none. ``results`` are those so far, ``further`` what is
    said of the student that went on for a format, by format.

    ``formats``: ``prefer`` as the recipe has it, ``preferred`` (the format of the file that is taken), ``path`` (of that file in the
    run's folder) and ``files``, by format what its stage found; ``quantization_aware`` where there is something further. Beside it ``export``, whose ``int8``, where it is there, is then the
    file of that format, which lies in its place.
    """
    if not formats:
        return {}
    found = {name: one.facts() for name, one in formats.items()}
    files = {
        name: {key: value for key, value in one.items() if key not in ("files", "test_reads")}
        for name, one in found.items()
    }
    export, prefer = dict(results["export"]), job.recipe.export.prefer
    for name, one in further.items():  # also of files made when a student that went on was set beside itself
        files[name]["metrics_float32"] = one["test"]["float32"]
    best = preferred(files, prefer)
    path = files[best]["path"] if best in files else export["path"]
    if "int8" in export and "path" in (small := files.get("onnx-int8", {})):
        first = KINDS[job.splits.answers.kind].FIGURES[0].name
        told = {key: small[key] for key in export["int8"] if key in small}
        export["int8"] |= told | {
            first: small["metrics"][first],
            f"{first}_float32": small["metrics_float32"][first],
        }
    more = {"quantization_aware": further} if further else {}
    return {"formats": {"prefer": prefer, "preferred": best, "path": path, "files": files, **more}, "export": export}


def preferred(files: Mapping[str, Mapping[str, Any]], prefer: str) -> str:
    """The format whose file is taken: the one that ``prefer`` names, where there is such a file; else of those that there are, that answer
    nearly as the student does, and that ``predict.py`` opens."""
    if prefer in FORMATS:
        return prefer if "problem" not in files.get(prefer, {"problem": ""}) else FLOAT32
    sound = {
        name: one
        for name, one in files.items()
        if "problem" not in one and one["parity"]["passed"] and FORMATS[name].predicts
    }
    if prefer == "exact":
        return next((name for name in sound if FORMATS[name].exact), FLOAT32)
    if prefer == "smallest":
        return min(sound, key=lambda name: sound[name]["bytes"], default=FLOAT32)
    return max(sound, key=lambda name: sound[name]["speedup"][FLOAT32]["ratio"], default=FLOAT32)


def publish_formats(job: Job, formats: Mapping[str, Stage], export: Stage) -> None:
    """Copies the files to where the one in float32 lies in the run's folder, and takes away those of formats that are not wanted."""
    wanted = {file: here.folder for here in formats.values() for file in here.facts().get("files", ())}
    for path in export.folder.rglob("*.onnx"):
        here = path.relative_to(export.folder)
        for one in FORMATS.values():
            old = here.with_name(f"{here.stem}{one.suffix}")
            for name in (old, beside_file(old)):
                if str(name) not in wanted and not (export.folder / name).exists():
                    (job.out / name).unlink(missing_ok=True)
    for file, folder in wanted.items():
        publish(folder / file, job.out / file)
