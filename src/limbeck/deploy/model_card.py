"""The ``README.md`` beside a student's files: a model card for the Hugging Face hub, from ``results.json`` alone.

What the data, the recipe or a model calls itself is shown as text: markdown, HTML and YAML in it mean nothing.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ..errors import BadInput
from ..evaluation.figure import Figure, read

MISSING = "–"
# Of many figures those that a card shows; where the first is none of them, all.
_USUAL = ("accuracy", "micro_f1", "macro_f1", "nll", "ece", "brier")
UNKNOWN = "unknown"
_MOST_NAMED = 30  # classes
_ROLES = {
    "student": "**student**",
    "baseline": "the same student without a teacher",
    "smoothed": "that with label smoothing",
    "teacher": "teacher",
}


def model_card(
    results: Mapping[str, Any],
    *,
    usage: str,
    library: str,
    base_model: str | None = None,
    license: str | None = None,
) -> str:
    """The card, YAML front matter and markdown, of the student that a run trained.

    Args:
        results: ``results.json`` (docs/results-schema.md).
        usage: how to use it, in markdown; what its modality says (``text_card``, ``image_card``).
        library: what loads it, as the hub calls it: ``transformers``, ``onnx``.
        base_model: what the student was made from, or learnt from, as a name on the hub.
        license: the identifier of a licence, as the hub has it.

    Raises:
        BadInput: ``base_model`` is no name on the hub.
    """
    if base_model is not None and not _on_hub(base_model):
        raise BadInput(f"base_model is '{base_model}': a name on the Hugging Face hub, owner/model, is right.")
    sections = [
        f"# {escaped(results['name'])}",
        _what_it_is(results),
        "## How to use it",
        usage,
        "## How it was made",
        _how_made(results),
        "## Results",
        _results(results),
        "## Cost",
        _cost(results),
        "## Licences",
        _licences(results, license),
        "## Limits",
        _limits(results),
    ]
    body = "\n\n".join(section for section in sections if section)
    front = _front(results, library, base_model, license)
    return str(ModelCard(f"---\n{front.to_yaml()}\n---\n\n{body}\n"))


def exported_file(results: Mapping[str, Any]) -> str | None:
    """The name of the student's ONNX file, where it was exported."""
    file = PurePath(str((results["export"] or {}).get("path", ""))).name
    return file if re.fullmatch(r"[\w.-]+\.onnx", file) else None


def _front(results: Mapping[str, Any], library: str, base_model: str | None, license: str | None) -> ModelCardData:
    data, seeds = str(results["data"]["name"]), len(results["student"]["runs"])
    named = data if "/" in data and _on_hub(data) else None
    of = f", mean over {seeds} seeds" if seeds > 1 else ""
    shown = _shown(results)
    figures = [
        EvalResult(
            task_type=results["task"],
            task_name=results["task"].replace("-", " ").capitalize(),
            dataset_type=named or "other",
            dataset_name=place(data),
            dataset_split="test",
            metric_type=figure.name,
            metric_value=results["student"]["metrics"][figure.name]["mean"],
            metric_name=f"{figure.heading}{of}",
        )
        for figure in shown
    ]
    chosen_by = [figure.name for figure in shown if figure.share and figure.better == "more"]
    return ModelCardData(
        base_model=base_model,
        datasets=[named] if named else None,
        eval_results=figures,
        library_name=library,
        license=license,
        metrics=chosen_by or [figure.name for figure in shown[:1]],
        model_name=_line(results["name"]) or "student",
        pipeline_tag=results["task"],
        tags=["limbeck", "knowledge-distillation", "onnx"],
    )


def _what_it_is(results: Mapping[str, Any]) -> str:
    classes, student = results["data"].get("classes") or (), results["student"]
    more = f" and {len(classes) - _MOST_NAMED} more" if len(classes) > _MOST_NAMED else ""
    return (
        f"A model for {escaped(results['task'].replace('-', ' '))} ({escaped(student['model'])}"
        f"{_if(student['parameters'], ', {} parameters')}) that learnt from another ({escaped(place(results['teacher']['model']))}"
        f"{_if(results['teacher']['parameters'], ', {} parameters')}), made with Limbeck {escaped(results['limbeck_version'])}."
        + (
            f"\n\nIts {len(classes)} classes: {', '.join(map(escaped, classes[:_MOST_NAMED]))}{more}."
            if classes
            else ""
        )
    )


def _how_made(results: Mapping[str, Any]) -> str:
    data, recipe, targets = results["data"], results["recipe"], results["targets"]
    seeds = [run["seed"] for run in results["student"]["runs"]]
    plan = recipe.get("train") or {}
    teachers = [one["model"] for one in results["teacher"].get("members") or ()] or [results["teacher"]["model"]]
    asked = "asked at every step of training"
    if targets is not None and targets.get("source") == "given":
        asked = "not asked: the student learnt from soft targets that were given" + (
            "" if results.get("learnt_from_teacher", True) else ", which nothing says are this teacher's"
        )
    elif targets is not None:
        asked = f"asked once; its answers were kept (codec {escaped(targets.get('codec'))})"
    transfer = data.get("transfer") or 0
    source = (recipe.get("data") or {}).get("transfer") or {}
    unlabelled = f"{transfer:,} without labels" + (
        f", from {escaped(place(source['name']))}" if source.get("name") else ""
    )
    settings = [
        f"{escaped(name.replace('_', ' '))} {escaped(plan[name])}"
        for name in ("epochs", "batch_size", "optimizer", "learning_rate")
        if plan.get(name) is not None
    ]
    lines = [
        f"Teacher: {', '.join(escaped(place(one)) for one in teachers)}, {asked}.",
        f"Objective: {_objective(recipe.get('objective') or {})}.",
        f"Data: {escaped(place(data['name']))}, {_count(data.get('train'))} training examples with labels.",
        f"Transfer set: {unlabelled if transfer else 'none beside the training examples'}.",
        f"Training: {', '.join(settings)}." if settings else "",
        f"Seeds: {', '.join(map(str, seeds))}."
        + (" The weights here are those of the seed that did best on validation." if len(seeds) > 1 else ""),
    ]
    return "\n".join(f"* {line}" for line in lines if line)


def _objective(section: Mapping[str, Any]) -> str:
    """Its terms with their settings, those left out that are not used."""
    terms = []
    for name, settings in section.items():
        if isinstance(settings, Mapping):
            said = ", ".join(f"{escaped(key)} {escaped(value)}" for key, value in settings.items() if value is not None)
            terms.append(f"{escaped(name)} ({said})" if said else escaped(name))
    return " + ".join(terms) or MISSING


def _results(results: Mapping[str, Any]) -> str:
    shown = _shown(results)
    seeds = len(results["student"]["runs"])
    head = ["", *(figure.heading + (f", {figure.unit}" if figure.unit else "") for figure in shown)]
    rows = [
        [f"{title}{_if_one(results, role)}", *(_figure(figure, results[role]["metrics"]) for figure in shown)]
        for role, title in _ROLES.items()
        if results.get(role)
    ]
    over = (
        f"mean ± standard deviation over {seeds} seeds"
        if seeds > 1
        else "one seed, so the noise between seeds is unknown"
    )
    agreement = ((results.get("fidelity") or {}).get("agreement") or {}).get("mean")
    return "\n\n".join(
        [
            f"On the test split ({_count(results['data'].get('test'))} examples, read once, at the end); {over}.",
            _table(head, rows),
            _against_baseline(results)
            + (
                f" It answers as the teacher does in {100 * agreement:.1f} % of the cases."
                if agreement is not None
                else ""
            ),
        ]
    )


def _against_baseline(results: Mapping[str, Any]) -> str:
    figure = _shown(results)[0]
    gained = results["comparison"]["baseline"][figure.name]
    digits = max(2, figure.decimals(gained["difference"]))
    factor, unit = (100, " points") if figure.share else (1, f" {figure.unit}" if figure.unit else "")
    difference, low, high = (f"{factor * gained[end]:+.{digits}f}" for end in ("difference", "low", "high"))
    return (
        f"Against the same student trained without a teacher its {figure.title} differs by {difference}{unit} "
        f"({100 * gained['level']:g} % interval {low} to {high})."
    )


def _licences(results: Mapping[str, Any], license: str | None) -> str:
    """Those of what it was made from, as far as they are known; none follows from them by itself."""
    said = results.get("licenses") or {}
    lines = [
        f"{title} {escaped(place(one['name']))}: "
        f"{escaped(one['license'] or ('trained here from the start' if one.get('trained_here') else UNKNOWN))}."
        for title, kind in (("Teacher", "teacher"), ("Data", "data"))
        for one in said.get(kind) or ()
    ]
    of_this = (
        f"This model: {escaped(license)}."
        if license
        else ("This model: not stated. Whoever publishes it settles that, by the licences of what it was made from.")
    )
    return "\n".join(f"* {line}" for line in (*lines, of_this))


def _cost(results: Mapping[str, Any]) -> str:
    fields = {
        "Parameters": lambda of: _count(of["parameters"]),
        "Exported file, MB": lambda of: _number(of["bytes"], 1e-6),
        "Latency p50, ms": lambda of: _number((of["latency_ms"] or {}).get("p50")),
        "Peak memory, MB": lambda of: _number(of["peak_memory_mb"]),
        "Energy, mJ": lambda of: (
            _number((of["energy_mj"] or {}).get("value"))
            + (" (estimate)" if (of["energy_mj"] or {}).get("kind") == "estimate" else "")
        ),
        "Training of one, s": lambda of: _number(sum(run["seconds"] for run in of["runs"]) / len(of["runs"]) or None),
    }
    rows = [[name, *(say(results[role]) for role in ("student", "teacher"))] for name, say in fields.items()]
    known = [row for row in rows if set(row[1:]) != {MISSING}]
    where = results["environment"].get("cpu")
    note = (results.get("speed") or {}).get("note")
    notes = [f"Measured on: {escaped(where)}." if where else "", escaped(note) if note else ""]
    return "\n\n".join([_table(["", "student", "teacher"], known), *(note for note in notes if note)])


def _limits(results: Mapping[str, Any]) -> str:
    lines = [
        f"The figures hold for data like {escaped(place(results['data']['name']))}; elsewhere, measure anew.",
        "It answers whatever it is shown, and takes over its teacher's mistakes and biases.",
        *(escaped(note) for note in results["data"].get("notes") or ()),
    ]
    return "\n".join(f"* {line}" for line in lines)


def _shown(results: Mapping[str, Any]) -> list[Figure]:
    """The figures that a card shows, those that have a value."""
    figures = read(results)
    if figures and figures[0].name in _USUAL:
        figures = sorted((one for one in figures if one.name in _USUAL), key=lambda one: _USUAL.index(one.name))
    metrics = results["student"]["metrics"]
    return [figure for figure in figures if (metrics.get(figure.name) or {}).get("mean") is not None]


def _figure(figure: Figure, metrics: Mapping[str, Any]) -> str:
    value = metrics.get(figure.name)
    if value is None or value["mean"] is None:
        return MISSING
    decimals = 1 if figure.share else min(figure.decimals(value["mean"]), 3) if not figure.significant else None
    spread = f" ± {figure.number(value['sd'], decimals)}" if value.get("sd") is not None else ""
    return figure.number(value["mean"], decimals) + spread


def _if_one(results: Mapping[str, Any], role: str) -> str:
    """Where the others are means over seeds, that this one is not."""
    return " (one)" if len(results[role]["runs"]) == 1 < len(results["student"]["runs"]) else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _count(value: Any) -> str:
    return MISSING if value is None else f"{value:,.0f}"


def _number(value: Any, factor: float = 1.0) -> str:
    return MISSING if value is None else f"{factor * value:,.3g}" if factor * value < 1000 else f"{factor * value:,.0f}"


def _if(value: Any, said: str) -> str:
    return "" if value is None else said.format(_count(value))


def _on_hub(name: str) -> bool:
    """Whether it could be the name of something on the hub."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def place(name: Any) -> str:
    """A name, or the last part of a path: what folders a person keeps is nobody's business."""
    name = _line(name)
    return (
        name if _on_hub(name) or name.startswith("package:") else (re.split(r"[\\/]", name.rstrip("\\/"))[-1] or name)
    )


def _line(value: Any) -> str:
    """One line, without characters that control anything (text direction among them)."""
    kept = "".join(one if one.isprintable() else " " for one in str(value))
    return " ".join(kept.split())


def escaped(value: Any) -> str:
    """As text: nothing in it is markdown, HTML, a link or a mention."""
    escaped = html.escape(re.sub(r"([\\`*_{}\[\]#|~$])", r"\\\1", _line(value)), quote=False)
    escaped = re.sub(r"^([-+=])", r"\\\1", re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", escaped))
    # bare addresses and @names become links and mentions by themselves
    return escaped.replace("://", "&#58;//").replace("@", "&#64;").replace("www.", "www&#46;")
