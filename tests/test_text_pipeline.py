"""Text classification from end to end: a run's products, what changes with what, and students of every kind."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import text_runs
from limbeck.cli import app
from limbeck.modalities import Deploying
from limbeck.modalities import text as modality
from test_pipeline import STAGES, TOP_LEVEL
from text_runs import CLASSES, COUNTS, FLAGS, job
from tiny import digest, environment, folder_of, snapshot, train

TEXTS = ["the film is good", "a dull plot and very bad actors, never bright", "love"]
TRAINED = ("--set", "teacher.train.epochs=1")
ARMS = ("student", "baseline", "smoothed")


@dataclass(frozen=True)
class Run:
    """A finished run; tests that go on from it copy its folder."""

    folder: Path  # of data, teacher and recipe
    results: dict[str, Any]
    said: str

    @property
    def out(self) -> Path:
        return self.folder / "run"


def limbeck(folder: Path, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that is given in a folder."""
    out, err = (folder.parent / f"{folder.name}.{kind}" for kind in ("out", "err"))
    with out.open("w") as told, err.open("w") as complained, contextlib.chdir(folder):
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(complained):
            with pytest.raises(SystemExit) as end:
                app([str(argument) for argument in arguments])
    return int(end.value.code or 0), out.read_text(), err.read_text()


def run(folder: Path, *arguments: object) -> Run:
    code, said, err = limbeck(folder, "run", "tiny.yaml", "--threads", 1, "--out", "run", *arguments)
    assert code == 0, err
    return Run(folder, json.loads((folder / "run" / "results.json").read_text()), said)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(text_runs.write(tmp_path_factory.mktemp("texts") / "one"), *TRAINED)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(text_runs.write(tmp_path_factory.mktemp("flags") / "several", several=True))


@pytest.fixture
def here(finished: Run, tmp_path: Path) -> Path:
    """The folder of the finished run again, files with their times."""
    return Path(shutil.copytree(finished.folder, tmp_path / "here"))


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


ALONE = """
import json, pathlib, sys
sys.modules.update(limbeck=None, torch=None, transformers=None)
import predict
print(json.dumps([[dict(p.classes) for p in predict.predict(pathlib.Path(f"student/{file}.onnx"), sys.argv[1:], 9)]
                  for file in ("model", "model.int8")]))
"""


def by_itself(run: Path, texts: list[str]) -> list[list[dict[str, float]]]:
    """What ``predict.py`` says, with the float32 file and with the int8 one, where nothing but its needs is installed."""
    command = [sys.executable, "-c", ALONE, *texts]
    done = subprocess.run(command, cwd=run, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- the whole of it


def test_a_run_leaves_its_products_and_results_hold_every_field(finished: Run) -> None:
    assert {path.name for path in finished.out.iterdir()} == {
        "recipe.yaml", "results.json", "report.html", "student", "teacher", "predict.py", "test_reads.json", "stages",
    }  # fmt: skip
    for name in STAGES:
        done = json.loads((folder_of(finished.out, name) / "done.json").read_text())
        assert {file: digest(folder_of(finished.out, name) / file) for file in done["files"]} == done["files"]
    results = finished.results
    assert set(results) == TOP_LEVEL
    assert results["task"] == "text-classification"
    assert {key: results["data"][key] for key in COUNTS} == COUNTS
    assert results["data"]["multi_label"] is False
    documented = (Path(__file__).parents[1] / "docs" / "results-schema.md").read_text()
    inside = {*results["data"], *results["student"], *results["export"], *results["export"]["int8"]}
    assert {field for field in inside if f"`{field}`" not in documented} == set()
    for role in ("teacher", *ARMS):
        section = results[role]
        assert min(section["parameters"], section["macs"], section["bytes"], section["latency_ms"]["p50"]) > 0
        assert section["latency_by_length"]["32"] == section["latency_ms"]
    assert results["teacher"]["metrics"]["accuracy"]["mean"] > 0.9  # its labels stand in another order
    assert results["export"]["path"] == "student/model.onnx"
    assert (finished.out / results["export"]["path"]).exists()
    assert results["export"]["parity"]["passed"] is True
    assert results["export"]["int8"]["n"] == COUNTS["test"]
    for name in ("teacher", "targets"):
        assert results["fingerprints"][name] == folder_of(finished.out, name).name
    assert [one["purpose"] for one in results["test_reads"]] == ["evaluation"]


def test_all_ways_to_ask_the_student_answer_alike(finished: Run) -> None:
    student = finished.out / "student"
    long = " ".join(["good film"] * 40)  # beyond data.max_length, where the command cuts off
    expected = by_transformers(student, TEXTS).softmax(1)
    labels = transformers.AutoConfig.from_pretrained(student).id2label
    assert tuple(labels.values()) == tuple(sorted(CLASSES))
    piped = transformers.pipeline("text-classification", str(student))(TEXTS, top_k=None)
    for row, answer in zip(expected, piped, strict=True):
        told = {one["label"]: one["score"] for one in answer}
        assert [told[labels[c]] for c in range(2)] == pytest.approx(row.tolist(), abs=1e-4)
    by_command = by_the_command(finished.out, [*TEXTS, long])
    exact, rounded = by_itself(finished.out, [*TEXTS, long])
    for row, *others in zip(expected, by_command, exact, strict=False):
        for told in others:
            assert [told[labels[c]] for c in range(2)] == pytest.approx(row.tolist(), abs=1e-4)
    assert exact[-1] == pytest.approx(by_command[-1], abs=1e-4)
    assert [sum(one.values()) for one in rounded] == pytest.approx([1.0] * 4)
    assert max(abs(a[name] - b[name]) for a, b in zip(exact, rounded, strict=True) for name in a) < 0.1


def test_card_and_report_tell_of_the_texts_and_nothing_in_them_is_markup(finished: Run) -> None:
    card = (finished.out / "student" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n")
    assert f"{finished.results['student']['metrics']['accuracy']['mean']:.1%}"[:-1] in card.replace(" %", "%")
    assert "<script>" not in card.split("---", 2)[2].replace("`<script>", "`")
    page = (finished.out / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page.lower()
    assert "&lt;script&gt;good" in page  # the class
    shown = [text for text in texts_of(finished.folder, "test") if text.replace("<script>", "&lt;script&gt;") in page]
    assert shown


def texts_of(folder: Path, split: str) -> list[str]:
    lines = (folder / "data" / f"{split}.csv").read_text(encoding="utf-8").splitlines()[1:]
    return [line.split(",")[0] for line in lines]


def test_a_second_run_does_nothing_and_a_plan_says_so(finished: Run) -> None:
    before, results = snapshot(finished.out / "stages"), (finished.out / "results.json").read_bytes()
    products = snapshot(finished.out / "student")
    again = run(finished.folder, *TRAINED)
    assert snapshot(finished.out / "stages") == before
    assert (finished.out / "results.json").read_bytes() == results
    assert {name: digest_ for name, (_, digest_) in snapshot(finished.out / "student").items()} == {
        name: digest_ for name, (_, digest_) in products.items()
    }
    assert again.results["test_reads"] == finished.results["test_reads"]
    code, said, err = limbeck(finished.folder, "run", "tiny.yaml", "--out", "run", "--plan", *TRAINED)
    assert code == 0, err
    assert len(re.findall(r"finished|done", said)) >= len(STAGES)


def test_a_plan_of_a_new_run_writes_nothing(finished: Run) -> None:
    before = snapshot(finished.folder)
    code, said, err = limbeck(finished.folder, "run", "tiny.yaml", "--out", "other", "--plan", *TRAINED)
    assert code == 0, err
    assert all(word in said for word in ("teacher", "targets", "student"))
    assert snapshot(finished.folder) == before
    assert not (finished.folder / "other").exists()
