"""Runs of texts that several claims are about."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.helpers.text_runs import limbeck

TEXTS = ["the film is good", "a dull plot and very bad actors, never bright", "love"]


TRAINED = ("--set", "teacher.train.epochs=1")


@dataclass(frozen=True)
class Run:
    """A finished run; tests that go on from it copy its folder."""

    folder: Path  # of data, teacher and recipe
    results: dict[str, Any]
    said: str

    @property
    def out(self) -> Path:
        return self.folder / "run"


def run(folder: Path, *arguments: object) -> Run:
    code, said, err = limbeck(folder, "run", "tiny.yaml", "--threads", 1, "--out", "run", *arguments)
    assert code == 0, err
    return Run(folder, json.loads((folder / "run" / "results.json").read_text()), said)


def by_transformers(student: Path, texts: list[str]) -> torch.Tensor:
    """Logits of the folder that a person downloads."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(student).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(student)
    with torch.no_grad():
        return torch.stack([model(**tokenizer(text, return_tensors="pt")).logits[0] for text in texts])


def by_the_command(run: Path, texts: list[str]) -> list[dict[str, float]]:
    code, said, err = limbeck(run, "predict", ".", *texts, "--json", "--top", 9)
    assert code == 0, err
    return [{one["class"]: one["probability"] for one in answer["top"]} for answer in json.loads(said)]
