"""What a search came to: ``search.json``, its page, the finalists' runs and the chosen student's recipe."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import Interrupted
from ..evaluation.figure import Figure, plain
from ..evaluation.kinds import KINDS
from ..evaluation.results import environment, json_values, mean_sd, run_metrics
from ..files import write_json, write_text
from ..pipeline import stages
from ..pipeline.evaluate import test_reads
from ..recipe.read import resolved_yaml
from ..sections.recipe import Recipe
from ..sections.search import Search
from ..training.history import field, kept
from ..version import __version__
from . import forecast
from .bench import Given
from .budget import fits
from .engine import Searched, students_tried
from .finalists import Control, Finalist, compared, control_for, train_ahead, train_controls, train_finalists
from .front import axes, chosen_of, finalists_of, front_of, fronts_by_cost
from .importances import importances_of
from .page import write_page
from .precision import FLOAT32
from .seconds import seconds_section
from .teachers import by_teacher
from .trials import Trial

# Bumped by hand when a field changes its meaning or goes.
SCHEMA_VERSION = 1
CHOSEN = "chosen.recipe.yaml"


def search(
    recipe: Recipe,
    *,
    out: Path,
    trust_code: bool = False,
    device: str = "auto",
    threads: int | None = None,
    jobs: int = 1,
    profile: Any = None,
    given: Given | None = None,
) -> dict[str, Any]:
    """Tries students, trains those of the front anew, and says what came of it (``search.json``).

    Args:
        profile: costs measured on another machine (:class:`limbeck.searching.device.Profile`).
        given: models and data of a Python program; then ``jobs`` is 1.

    Raises :class:`limbeck.errors.LimbeckError` in sentences, as :func:`limbeck.searching.engine.students_tried` does.
    """
    options: dict[str, Any] = {"trust_code": trust_code, "device": device, "threads": threads}
    with students_tried(recipe, out=out, profile=profile, given=given, jobs=jobs, **options) as searched:
        return conclude(searched, measured_here=profile is None, **options)


def conclude(
    searched: Searched,
    *,
    trust_code: bool = False,
    device: str = "auto",
    threads: int | None = None,
    measured_here: bool = True,
) -> dict[str, Any]:
    """Trains the finalists and their controls, tests them, and writes what came out; returns ``search.json``.

    ``measured_here``: whether the costs are of this machine, so that those of the finalists can be set beside them.
    """
    recipe, out = searched.recipe, searched.out
    settings = recipe.search or Search()
    figure = KINDS[searched.bench.job.splits.answers.kind].FIGURES[0]
    students, controls = searched.trials["student"], searched.trials["baseline"]
    front = front_of(students, settings.budget, figure.sign)
    chosen = chosen_of(front, settings.budget, figure.sign)
    wanted = finalists_of(front, settings.budget, settings.finalists, figure.sign)
    options: dict[str, Any] = {"trust_code": trust_code, "device": device, "threads": threads}
    with stages.claimed(out):
        try:
            pairs = {one.number: control_for(one, controls, settings.budget, figure.sign) for one in wanted}
            best = {one.number: one for one in pairs.values() if one is not None}
            train_ahead(searched, wanted, [best[number] for number in sorted(best)])
            finalists = train_finalists(searched, wanted, **options)
            trained = train_controls(searched, [best[number] for number in sorted(best)])
        except KeyboardInterrupt:
            raise Interrupted("stopped; run the same command to go on from there.") from None
        beside = {number: trained[one.number] for number, one in pairs.items() if one is not None}
        results = {
            **_about(searched, settings, figure),
            **_tried(searched, settings, figure, chosen),
            **_outcome(searched, settings, figure, finalists, beside, chosen, measured_here),
            "seconds": seconds_section(out, searched.trials, finalists, trained, recipe.train.batch_size),
            "recipe": recipe.model_dump(mode="json"),
            "environment": environment(),
            "test_reads": test_reads(out),
        }
        results |= _expected(students, settings, figure, results["teacher"]["validation"])
        results = _as_before(json_values(results), out / "search.json")
        if chosen is not None and finalists and searched.bench.given is None:  # what no recipe names none can run
            write_text(out / CHOSEN, resolved_yaml(finalists[0].recipe))
        write_json(out / "search.json", results)
        write_page(results, out / "search.html")
    return results | {"out": str(out)}


def _about(searched: Searched, settings: Search, figure: Figure) -> dict[str, Any]:
    job = searched.bench.job
    answers, by = job.splits.answers, KINDS[job.splits.answers.kind]
    units = job.modality.data_facts(job.splits, job.task).get("unit") or ()
    return {
        "schema_version": SCHEMA_VERSION,
        "limbeck_version": __version__,
        "name": searched.recipe.name or "run",
        "task": job.task.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "answers": {"kind": answers.kind, "width": answers.width, "names": list(answers.names)},
        "figures": plain(by.FIGURES, units),
        "data": {
            "name": searched.recipe.data.name,
            "train": len(job.splits.train),
            "validation": len(job.splits.validation),
            "notes": list(job.notes),
        },
        "search": settings.model_dump(mode="json"),
        "costs": list(axes(settings.budget)),
    }


def _tried(searched: Searched, settings: Search, figure: Figure, chosen: Trial | None) -> dict[str, Any]:
    """Every trial, and the fronts."""
    budget, found = settings.budget, searched.trials
    return {
        "trials": {arm: [_trial(one) for one in trials] for arm, trials in found.items()},
        "fates": {arm: dict(Counter(one.fate for one in trials)) for arm, trials in found.items()},
        "front": [one.number for one in front_of(found["student"], budget, figure.sign)],
        "fronts": {
            arm: {
                name: [one.number for one in front]
                for name, front in fronts_by_cost(trials, budget, figure.sign).items()
            }
            for arm, trials in found.items()
        },
        "chosen": None if chosen is None else chosen.number,
        "teachers": by_teacher(found["student"], budget, figure.sign),
        "assistants": by_teacher(found["student"], budget, figure.sign, "assistant"),
        "importances": importances_of(found["student"], figure.sign, searched.recipe.seed),
    }


def _trial(trial: Trial) -> dict[str, Any]:
    """All but the recipe, which is what was searched with these values."""
    return {name: value for name, value in vars(trial).items() if name not in ("recipe", "arm")}


def _outcome(
    searched: Searched,
    settings: Search,
    figure: Figure,
    finalists: Sequence[Finalist],
    controls: Mapping[int, Control],
    chosen: Trial | None,
    measured_here: bool,
) -> dict[str, Any]:
    """The finalists beside their controls, and the teacher of the first of them."""
    found = [_finalist(searched, one, controls.get(one.trial.number), settings, measured_here) for one in finalists]
    first = next((one.results for one in finalists if one.results is not None), None)
    return {
        "teacher": _teacher(searched, first),
        "finalists": found,
        "command": None
        if chosen is None or not finalists or searched.bench.given is not None
        else f"limbeck run {searched.out / CHOSEN} --out {finalists[0].folder}",
        "why_none": None if chosen is not None else _why_none(searched),
    }


def _finalist(
    searched: Searched, finalist: Finalist, control: Control | None, settings: Search, measured_here: bool
) -> dict[str, Any]:
    trial, results = finalist.trial, finalist.results
    found: dict[str, Any] = {
        "trial": trial.number,
        "folder": str(finalist.folder.relative_to(searched.out)),
        "problem": finalist.problem,
        "searched": {"quality": trial.quality, "cost": trial.cost},
        "format": trial.format,
        "deployed": None,
        "model": None,
        "parameters": trial.parameters,
        "student": None,
        "within": None,
        "fell": None,
        "ratios": None,
        "baseline": None,
        "control": None,
        "test_reads": [],
    }
    if results is None:
        return found
    student = results["student"]
    first = KINDS[results["answers"]["kind"]].FIGURES[0]
    validation = mean_sd([run["validation"][first.name] for run in student["runs"]])
    test = student["metrics"][first.name]
    assert trial.quality is not None
    deployed = _deployed(results, trial.format, first)
    cost = _costs(student) if deployed is None else _costs_of_file(results, trial.format)
    # of the trained student in float32, as the search saw it
    searched_for = trial.quality if trial.float32 is None else trial.float32
    found |= {
        "model": student["model"],
        "parameters": student["parameters"],
        "deployed": deployed,
        "student": {"validation": validation, "metrics": student["metrics"], "cost": cost},
        "within": fits({**trial.cost, **cost}, settings.budget) if measured_here else None,
        # how far what the search saw lies above what nothing was chosen by
        "fell": {
            "anew": first.sign * (searched_for - validation["mean"]),
            "on_test": first.sign * (searched_for - test["mean"]),
        },
        "ratios": results["ratios"],
        "baseline": {"metrics": results["baseline"]["metrics"], "comparison": results["comparison"]["baseline"]},
        "test_reads": results["test_reads"],
    }
    if control is not None:
        by = KINDS[results["answers"]["kind"]]
        flat = [run_metrics(by, run) for run in control.runs]
        found["control"] = {
            "trial": control.trial.number,
            "values": control.trial.values,
            "searched": {"quality": control.trial.quality, "cost": control.trial.cost},
            "metrics": {name: mean_sd([one[name] for one in flat]) for name in flat[0]},
            "seconds": sum(run.seconds for run in control.runs),
            "comparison": compared(searched, finalist, control),
        }
    return found


def _teacher(searched: Searched, results: Mapping[str, Any] | None) -> dict[str, Any]:
    """The teacher over validation and, from a finalist's run, on test and as it is exported."""
    teacher, job = searched.teacher, searched.bench.job
    if results is None:
        figures, plan = KINDS[job.splits.answers.kind].FIGURES, job.teachers[0].section.train
        known = bool(teacher.history) and plan is not None
        validation = kept(teacher.history, plan, figures)[field(figures[0])] if known and plan is not None else None
        return {"model": searched.recipe.teacher.title, "validation": validation, "metrics": None, "cost": {}}
    section = results["teacher"]
    first = results["figures"][0]["name"]
    return {
        "model": section["model"],
        "validation": section["runs"][0]["validation"][first],
        "metrics": section["metrics"],
        "cost": _costs(section),
    }


def _deployed(results: Mapping[str, Any], format: str, first: Figure) -> dict[str, Any] | None:
    """What the run of a student that is deployed in 8 bits or less says of that file; None of one in float32, and where there is no such file."""
    file: Mapping[str, Any] = (
        results["formats"]["files"].get(format, {"problem": ""}) if results.get("formats") else {"problem": ""}
    )
    if format == FLOAT32 or "problem" in file:
        return None
    further = results["formats"].get("quantization_aware", {}).get(format, {})
    return {
        "path": file["path"],
        "validation": file["parity"][first.name],
        "metrics": file["metrics"],
        "float32": file["metrics_float32"],
        "further": further.get("epochs", 0),
    }


def _costs_of_file(results: Mapping[str, Any], format: str) -> dict[str, float]:
    """The costs of a run's student as it is deployed in a format; its energy is measured of the file in float32 alone."""
    return _costs(results["student"] | {"energy_mj": None} | results["formats"]["files"][format])


def _costs(section: Mapping[str, Any]) -> dict[str, float]:
    """The costs of an exported model, by the names that budgets have; those that were measured undisturbed."""
    latency, energy = section["latency_ms"] or {}, section["energy_mj"] or {}
    found = {
        "latency_ms": latency.get("p50"),
        "size_kb": None if section["bytes"] is None else section["bytes"] / 1000,
        "memory_mb": section["peak_memory_mb"],
        "energy_mj": energy.get("value") if energy.get("kind") == "measured" else None,
        "macs": section["macs"],
        "parameters": section["parameters"],
    }
    return {name: value for name, value in found.items() if value is not None}


def _why_none(searched: Searched) -> str:
    trials = searched.trials["student"]
    fates = ", ".join(f"{count} {fate}" for fate, count in Counter(one.fate for one in trials).most_common())
    return f"No student was trained in full within the budget: of {len(trials)} trials {fates or 'none was begun'}."


def _expected(
    trials: Sequence[Trial], settings: Search, figure: Figure, teacher: float | None
) -> dict[str, list[dict[str, Any]]]:
    """The forecast by each cost that quality is held against, and by parameters."""
    names = dict.fromkeys((*axes(settings.budget), "parameters"))
    return {
        "forecast": [forecast.about(trials, settings.budget, name, figure, teacher, settings.keep) for name in names]
    }


def _as_before(results: dict[str, Any], path: Path) -> dict[str, Any]:
    """The results, said to be of the time when they first came out, where nothing in them is new."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        same = {**before, "created": None} == {**results, "created": None}
    except (OSError, ValueError, TypeError):
        return results
    return before if same else results
