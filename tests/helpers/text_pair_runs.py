"""The smallest whole job of pairs: a teacher by hand whose answer depends on both sides, its data and its recipe.

A premise and a hypothesis are a few words each. The label is whether the first word of the hypothesis is that of the
premise, which neither side says by itself.
"""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import torch
import yaml

from limbeck.nlp.folder import save_folder
from tests.helpers.tiny_text import WORDS, tiny_classifier, tiny_tokenizer

CLASSES = ("different", "same")
COUNTS = {"train": 400, "validation": 100, "test": 100}
OPENING = WORDS[2:4]  # what a side begins with

RECIPE = """\
name: pairs
task: text-classification
data: {name: data, validation: validation, text: [premise, hypothesis], max_length: 16}
teacher: {model: teacher, train: {epochs: 12, learning_rate: 0.003, batch_size: 16}}
student: {model: shrunk, layers: 1, vocabulary: used}
objective: {kd: {temperature: 2, weight: 0.9}, cross_entropy: {weight: 0.1}}
train: {epochs: 6, learning_rate: 0.003, batch_size: 16}
"""


def tokenizer_of_pairs(segments: bool = True):
    """The tiny tokenizer, which gives segment ids as BERT's does, or none as DistilBERT's."""
    names = ["input_ids", *(["token_type_ids"] if segments else []), "attention_mask"]
    return tiny_tokenizer(model_input_names=names)


def pairs(count: int, seed: int = 0) -> list[tuple[tuple[str, str], str]]:
    """Different pairs with their labels, as often the one as the other."""
    draw = random.Random(seed)
    found: dict[tuple[str, str], str] = {}
    while len(found) < count:
        one = draw.choice(OPENING)
        two = one if len(found) % 2 else draw.choice([word for word in OPENING if word != one])
        rest = [" ".join(draw.choices(WORDS[6:], k=draw.randint(0, 3))) for _ in range(2)]
        pair = (f"{one} {rest[0]}".strip(), f"{two} {rest[1]}".strip())
        found.setdefault(pair, CLASSES[one == two])
    return list(found.items())


def write(folder: Path, family: str = "bert", *, segments: bool = True) -> Path:
    """``teacher`` (a body that has not learnt yet), ``data`` (CSV), ``transfer.jsonl`` and ``tiny.yaml`` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    teacher = tiny_classifier(family, list(CLASSES))
    with torch.no_grad():
        for parameter in teacher.parameters():
            if parameter.dim() > 1:
                parameter.mul_(0.3)
    save_folder(teacher, tokenizer_of_pairs(segments), folder / "teacher", replace=True)
    (folder / "data").mkdir(exist_ok=True)
    rows = pairs(sum(COUNTS.values()) + 60)
    for split, count in COUNTS.items():
        here, rows = rows[:count], rows[count:]
        with (folder / "data" / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["premise", "hypothesis", "label"])
            writer.writerows((*pair, label) for pair, label in here)
    lines = (json.dumps({"premise": one, "hypothesis": two}) + "\n" for (one, two), _ in rows)
    (folder / "transfer.jsonl").write_text("".join(lines))
    values = yaml.safe_load(RECIPE)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(values))
    return folder
