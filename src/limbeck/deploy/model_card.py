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

MISSING = "–"
OWN_FAMILIES = "limbeck-"
"""How the ``model_type`` of a student begins whose classes transformers does not have."""
_NAMES = {
    "accuracy": "Accuracy",
    "micro_f1": "Micro F1",
    "macro_f1": "Macro F1",
    "nll": "NLL",
    "ece": "ECE",
    "brier": "Brier score",
}
_SHARES = ("accuracy", "micro_f1", "macro_f1")  # shown as percentages
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
    model_type: str | None = None,
    base_model: str | None = None,
    license: str | None = None,
    inputs: Sequence[str] = ("input_ids", "attention_mask"),
) -> str:
    """The card, YAML front matter and markdown, of the student that a run trained.

    Args:
        results: ``results.json`` (docs/results-schema.md).
        model_type: that of the student's ``config.json``; from it follows whether who downloads it needs Limbeck.
        base_model: what the student was made from, or learnt from, as a name on the hub.
        license: the identifier of a licence, as the hub has it.
        inputs: the names of what a text model's ONNX file is given.

    Raises:
        BadInput: ``base_model`` is no name on the hub.
    """
    if base_model is not None and not _on_hub(base_model):
        raise BadInput(f"base_model is '{base_model}': a name on the Hugging Face hub, owner/model, is right.")
    text = results["task"] == "text-classification"
    own = text and (model_type or "").startswith(OWN_FAMILIES)
    sections = [
        f"# {_text(results['name'])}",
        _what_it_is(results),
        "## How to use it",
        _usage(results, inputs, transformers=text, own=own),
        "## How it was made",
        _how_made(results),
        "## Results",
        _results(results),
        "## Cost",
        _cost(results),
        "## Limits",
        _limits(results),
    ]
    body = "\n\n".join(section for section in sections if section)
    front = _front(results, text, base_model, license)
    return str(ModelCard(f"---\n{front.to_yaml()}\n---\n\n{body}\n"))


def _front(results: Mapping[str, Any], text: bool, base_model: str | None, license: str | None) -> ModelCardData:
    data, seeds = str(results["data"]["name"]), len(results["student"]["runs"])
    named = data if "/" in data and _on_hub(data) else None
    of = f", mean over {seeds} seeds" if seeds > 1 else ""
    figures = [
        EvalResult(
            task_type=results["task"],
            task_name=results["task"].replace("-", " ").capitalize(),
            dataset_type=named or "other",
            dataset_name=_place(data),
            dataset_split="test",
            metric_type=metric,
            metric_value=value["mean"],
            metric_name=f"{_NAMES[metric]}{of}",
        )
        for metric, value in _metrics(results["student"])
    ]
    return ModelCardData(
        base_model=base_model,
        datasets=[named] if named else None,
        eval_results=figures,
        library_name="transformers" if text else "onnx",
        license=license,
        metrics=[metric for metric, _ in _metrics(results["student"]) if metric in _SHARES],
        model_name=_line(results["name"]) or "student",
        pipeline_tag=results["task"],
        tags=["limbeck", "knowledge-distillation", "onnx"],
    )


def _what_it_is(results: Mapping[str, Any]) -> str:
    classes, student = results["data"]["classes"], results["student"]
    more = f" and {len(classes) - _MOST_NAMED} more" if len(classes) > _MOST_NAMED else ""
    return (
        f"A model for {_text(results['task'].replace('-', ' '))} ({_text(student['model'])}"
        f"{_if(student['parameters'], ', {} parameters')}) that learnt from another ({_text(_place(results['teacher']['model']))}"
        f"{_if(results['teacher']['parameters'], ', {} parameters')}), made with Limbeck {_text(results['limbeck_version'])}.\n\n"
        f"Its {len(classes)} classes: {', '.join(map(_text, classes[:_MOST_NAMED]))}{more}."
    )


def _usage(results: Mapping[str, Any], inputs: Sequence[str], *, transformers: bool, own: bool) -> str:
    file = PurePath(str((results["export"] or {}).get("path", ""))).name
    file = file if re.fullmatch(r"[\w.-]+\.onnx", file) else None
    if not transformers:
        return f"`{file}` runs with ONNX Runtime; `predict.py` beside it shows how." if file else ""
    parts = []
    if own:
        parts.append(
            "The classes of this model are Limbeck's own: `pip install limbeck[text]`, and import them before loading. "
            "Without Limbeck, use the ONNX file."
            if file
            else "The classes of this model are Limbeck's own: `pip install limbeck[text]`, and import them before loading."
        )
    pair = results["data"].get("pair")
    if pair:
        one, two = map(_text, pair)
        parts.append(f"It reads pairs: the {one} is the first text and the {two} the second, in this order.")
    length = (results["recipe"].get("data") or {}).get("max_length")
    length = length if isinstance(length, int) else None
    cut = f", max_length={length}" if length else ""
    asked = '{"text": "...", "text_pair": "..."}' if pair else '"..."'
    first = "import limbeck.modalities.text.small  # tells transformers of this model\n" if own else ""
    parts.append(
        f"```python\n{first}from transformers import pipeline\n\n"
        f'classify = pipeline("text-classification", model=".", truncation=True{cut})  # this folder, or its name on the hub\n'
        f"print(classify({asked}))\n```"
    )
    if file:
        fields = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        encoded = '"...", "..."' if pair else '"..."'
        given = ", ".join(f'"{name}": np.array([tokens.{fields[name]}])' for name in inputs)
        parts.append(
            "With ONNX Runtime and `tokenizers` alone:\n\n"
            "```python\nimport numpy as np\nimport onnxruntime\nfrom tokenizers import Tokenizer\n\n"
            f'session = onnxruntime.InferenceSession("{file}")\n'
            'tokenizer = Tokenizer.from_file("tokenizer.json")\n'
            f"tokenizer.enable_truncation({length or 512})  # tokens\n"
            f"tokens = tokenizer.encode({encoded})\n"
            f"inputs = {{{given}}}\n"
            'logits = session.run(["logits"], inputs)[0][0]  # one for each class, in the order above\n```'
        )
    return "\n\n".join(parts)


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
        asked = f"asked once; its answers were kept (codec {_text(targets.get('codec'))})"
    transfer = data.get("transfer") or 0
    source = (recipe.get("data") or {}).get("transfer") or {}
    unlabelled = f"{transfer:,} without labels" + (
        f", from {_text(_place(source['name']))}" if source.get("name") else ""
    )
    settings = [
        f"{_text(name.replace('_', ' '))} {_text(plan[name])}"
        for name in ("epochs", "batch_size", "optimizer", "learning_rate")
        if plan.get(name) is not None
    ]
    lines = [
        f"Teacher: {', '.join(_text(_place(one)) for one in teachers)}, {asked}.",
        f"Objective: {_objective(recipe.get('objective') or {})}.",
        f"Data: {_text(_place(data['name']))}, {_count(data.get('train'))} training examples with labels.",
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
            said = ", ".join(f"{_text(key)} {_text(value)}" for key, value in settings.items() if value is not None)
            terms.append(f"{_text(name)} ({said})" if said else _text(name))
    return " + ".join(terms) or MISSING


def _results(results: Mapping[str, Any]) -> str:
    metrics = [metric for metric, _ in _metrics(results["student"])]
    seeds = len(results["student"]["runs"])
    head = ["", *(_NAMES[metric] + (", %" if metric in _SHARES else "") for metric in metrics)]
    rows = [
        [
            f"{title}{_if_one(results, role)}",
            *(_figure(metric, results[role]["metrics"].get(metric)) for metric in metrics),
        ]
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
                f" It names the teacher's class in {100 * agreement:.1f} % of the cases."
                if agreement is not None
                else ""
            ),
        ]
    )


def _against_baseline(results: Mapping[str, Any]) -> str:
    gained = results["comparison"]["baseline"]["accuracy"]
    low, high = (f"{100 * gained[end]:+.2f}" for end in ("low", "high"))
    return (
        f"Against the same student trained without a teacher its accuracy differs by {100 * gained['difference']:+.2f} "
        f"points ({100 * gained['level']:g} % interval {low} to {high})."
    )


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
    notes = [f"Measured on: {_text(where)}." if where else "", _text(note) if note else ""]
    return "\n\n".join([_table(["", "student", "teacher"], known), *(note for note in notes if note)])


def _limits(results: Mapping[str, Any]) -> str:
    lines = [
        f"The figures hold for data like {_text(_place(results['data']['name']))}; elsewhere, measure anew.",
        "It answers with one of its classes whatever it is shown, and takes over its teacher's mistakes and biases.",
        *(_text(note) for note in results["data"].get("notes") or ()),
    ]
    return "\n".join(f"* {line}" for line in lines)


def _metrics(section: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The figures that a card shows, those that have a value."""
    there = ((metric, section["metrics"].get(metric)) for metric in _NAMES)
    return [(metric, value) for metric, value in there if value is not None and value["mean"] is not None]


def _figure(metric: str, value: Mapping[str, Any] | None) -> str:
    if value is None or value["mean"] is None:
        return MISSING
    factor, digits = (100, 1) if metric in _SHARES else (1, 3)
    spread = f" ± {factor * value['sd']:.{digits}f}" if value.get("sd") is not None else ""
    return f"{factor * value['mean']:.{digits}f}{spread}"


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


def _place(name: Any) -> str:
    """A name, or the last part of a path: what folders a person keeps is nobody's business."""
    name = _line(name)
    return (
        name if _on_hub(name) or name.startswith("package:") else (re.split(r"[\\/]", name.rstrip("\\/"))[-1] or name)
    )


def _line(value: Any) -> str:
    """One line, without characters that control anything (text direction among them)."""
    kept = "".join(one if one.isprintable() else " " for one in str(value))
    return " ".join(kept.split())


def _text(value: Any) -> str:
    """As text: nothing in it is markdown, HTML, a link or a mention."""
    escaped = html.escape(re.sub(r"([\\`*_{}\[\]#|~$])", r"\\\1", _line(value)), quote=False)
    escaped = re.sub(r"^([-+=])", r"\\\1", re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", escaped))
    # bare addresses and @names become links and mentions by themselves
    return escaped.replace("://", "&#58;//").replace("@", "&#64;").replace("www.", "www&#46;")
