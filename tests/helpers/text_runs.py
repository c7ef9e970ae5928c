"""The smallest whole job of texts: a tiny BERT that answers a few hundred sentences, and students smaller still."""

from __future__ import annotations

import contextlib
import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from limbeck.cli.main import app
from limbeck.nlp.folder import save_folder
from limbeck.pipeline.job import Job, open_job, use_threads
from limbeck.recipe import read as recipe_file
from limbeck.sections.recipe import Recipe
from tests.helpers.tiny_text import WORDS, encode, logits_of, tiny_classifier, tiny_tokenizer

# Data sorts its classes by name, so the teacher has them in another order.
CLASSES = ("bad", "<script>good")
FLAGS = ("bright", "dull", "moving")
COUNTS = {"train": 240, "validation": 80, "test": 80}

RECIPE = """\
name: tiny
task: text-classification
data: {name: data, validation: validation, max_length: 24}
teacher: {model: teacher}
student: {model: shrunk, layers: 1, hidden: 12, vocabulary: used}
train: {epochs: 2, learning_rate: 0.002}
"""


def sentences(count: int, seed: int = 0) -> list[str]:
    """Different sentences of 2 to 14 words."""
    draw, words = random.Random(seed), [word for word in WORDS if word != "never"]
    found: dict[str, None] = {}
    while len(found) < count:
        found[" ".join(draw.choices(words, k=draw.randint(2, 14)))] = None
    return list(found)


def write(folder: Path, *, several: bool = False, **changes: Any) -> Path:
    """``teacher``, ``data`` (CSV) and ``tiny.yaml`` in a folder. The teacher is always right: the labels are its own.

    Every test text has a tag in it, and so has the name of a class. ``several``: three labels that hold or do not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names: list[str] = list(FLAGS if several else CLASSES)
    tokenizer = tiny_tokenizer()
    teacher = tiny_classifier("bert", names, **{"num_hidden_layers": 2, **changes})
    texts = sentences(sum(COUNTS.values()))
    middle_C = logits_of(teacher, encode(tokenizer, texts)).quantile(0.5, dim=0)
    with torch.no_grad():
        teacher.classifier.bias -= middle_C  # every class is as often told as not
    teacher.config.problem_type = "multi_label_classification" if several else None
    save_folder(teacher, tokenizer, folder / "teacher", replace=True)
    (folder / "data").mkdir(exist_ok=True)
    for split, count in COUNTS.items():
        here, texts = texts[:count], texts[count:]
        here = [f"<script> {text}" for text in here] if split == "test" else here
        logits_NC = logits_of(teacher, encode(tokenizer, here))
        with (folder / "data" / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["text", *(names if several else ["label"])])
            for text, logits_C in zip(here, logits_NC, strict=True):
                rows.writerow([text, *((logits_C > 0).int().tolist() if several else [names[int(logits_C.argmax())]])])
    values = yaml.safe_load(RECIPE)
    if several:
        values["data"]["label"] = names
        values["objective"] = {"binary_kd": {}, "binary_cross_entropy": {}}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(values))
    return folder


def transfer(folder: Path, count: int = 60) -> Path:
    """Unlabelled sentences that are in no split, as JSONL."""
    path = folder / "transfer.jsonl"
    path.write_text("".join(json.dumps({"text": f"never {one}"}) + "\n" for one in sentences(count, seed=9)))
    return path


def recipe(folder: Path, *overrides: str) -> Recipe:
    """The recipe of a folder, with its data and its teacher there whatever the working directory."""
    here = (f"data.name={folder / 'data'}", f"teacher.model={folder / 'teacher'}")
    return recipe_file.read(folder / "tiny.yaml", (*here, *overrides))


def job(folder: Path, out: Path, *overrides: str, force: Sequence[str] = ()) -> Job:
    """The tiny job in a run folder, on one thread."""
    use_threads(1)
    wanted = recipe(folder, *overrides)
    return open_job(wanted, quiet=True, out=out, device="cpu", force=tuple(force))


def limbeck(folder: Path, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that is given in a folder."""
    out, err = (folder.parent / f"{folder.name}.{kind}" for kind in ("out", "err"))
    code = 0
    with contextlib.ExitStack() as held:
        held.enter_context(contextlib.chdir(folder))
        held.enter_context(contextlib.redirect_stdout(held.enter_context(out.open("w"))))
        held.enter_context(contextlib.redirect_stderr(held.enter_context(err.open("w"))))
        try:
            app([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.read_text(), err.read_text()
