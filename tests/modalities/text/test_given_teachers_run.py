"""An ONNX file and an ensemble as teachers of texts, from the recipe to the report and to what the student says."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from limbeck.modalities.text.predict import predict
from tests.helpers import text_runs
from tests.helpers.text_runs import limbeck
from tests.helpers.tiny_text import tiny_classifier
from tests.modalities.text.finished_runs import TEXTS, Run, by_the_command, run
from tests.modalities.text.test_several_teachers import exported

CLASSES: list[str] = list(text_runs.CLASSES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run's folder, and beside its teacher the same one as a file, in ``same``, and another, in ``other``."""
    from transformers import AutoModelForSequenceClassification

    folder = text_runs.write(tmp_path_factory.mktemp("given") / "here")
    same = AutoModelForSequenceClassification.from_pretrained(folder / "teacher").eval()
    exported(folder / "same" / "model.onnx", same, CLASSES)
    other = tiny_classifier("bert", CLASSES, seed=5, num_hidden_layers=1)
    exported(folder / "other" / "model.onnx", other, CLASSES)
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "here"))


def of_test(here: Path) -> tuple[list[str], list[str]]:
    """Texts of the test split, and their labels."""
    with (here / "data" / "test.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def said_by(file: Path, texts: list[str]) -> np.ndarray:
    """Probabilities (N, C) that an exported file gives, in the order of the data's classes."""
    answers = predict(file, texts, top=9)
    return np.array([[dict(answer.classes)[name] for name in sorted(CLASSES)] for answer in answers])


def checked(finished: Run, title: str) -> dict[str, Any]:
    """What every such run leaves; its teacher's figures."""
    results, out = finished.results, finished.out
    page = (out / "report.html").read_text(encoding="utf-8")
    assert title in page
    assert "<script>good" not in page
    assert not (out / "teacher").exists(), "such a teacher is not exported"
    for answer in by_the_command(out, TEXTS):
        assert sum(answer.values()) == pytest.approx(1, abs=1e-5)
        assert set(answer) == set(CLASSES)
    texts, labels = of_test(finished.folder)
    said = said_by(out / "student" / "model.onnx", texts).argmax(1)
    right = np.mean([sorted(CLASSES)[at] == label for at, label in zip(said, labels, strict=True)])
    assert results["student"]["metrics"]["accuracy"]["mean"] == pytest.approx(right, abs=1e-6)
    return results["teacher"]


def test_a_file_becomes_a_teacher_by_init_and_teaches_to_the_end(here: Path) -> None:
    (here / "tiny.yaml").unlink()
    asked = ("--teacher", "same/model.onnx", "--data", "data")
    code, _, err = limbeck(here, "init", *asked, "--set", "data.max_length=24", "--out", "tiny.yaml")
    assert code == 0, err
    drafted = yaml.safe_load((here / "tiny.yaml").read_text())
    assert (drafted["teacher"], drafted["student"]["model"]) == ({"onnx": "same/model.onnx"}, "bag")
    assert "An ONNX file shows its answers alone" in (here / "tiny.yaml").read_text()
    finished = run(here, "--set", "train.epochs=2")
    teacher = checked(finished, "model.onnx")
    assert teacher["metrics"]["accuracy"]["mean"] == 1.0  # the labels are its own
    assert finished.results["recipe"]["teacher"]["onnx"] == "same/model.onnx"
    code, said, _ = limbeck(here, "run", "tiny.yaml", "--out", "run", "--set", "train.epochs=2", "--plan")
    assert code == 0
    assert "Everything is finished" in said
    code, _, err = limbeck(here, "init", *asked, "--student", "shrunk", "--out", "no.yaml")
    assert code == 2
    assert "a shrunk student is made of its teacher, and there is none that shows what is inside" in err
    (here / "same" / "tokenizer.json").unlink()
    code, _, err = limbeck(here, "init", *asked, "--out", "no.yaml")
    assert code == 2
    assert "there is no tokenizer.json beside same/model.onnx" in err
    assert not (here / "no.yaml").exists()


def test_an_ensemble_of_a_folder_and_a_file_teaches_to_the_end(here: Path) -> None:
    members = [{"model": "teacher"}, {"onnx": "other/model.onnx"}]
    values = yaml.safe_load((here / "tiny.yaml").read_text()) | {"teacher": {"ensemble": members}}
    (here / "tiny.yaml").write_text(yaml.safe_dump(values))
    finished = run(here)
    teacher = checked(finished, "model.onnx")
    # by hand: the mean of what the two say, the first of them from its file
    texts, labels = of_test(here)
    both = [said_by(here / name / "model.onnx", texts) for name in ("same", "other")]
    for said, figures in (((both[0] + both[1]) / 2, teacher), (both[1], teacher["members"][1])):
        right = np.mean([sorted(CLASSES)[at] == label for at, label in zip(said.argmax(1), labels, strict=True)])
        found = figures["metrics"]["accuracy"]
        assert (found["mean"] if isinstance(found, dict) else found) == pytest.approx(right, abs=1e-6)
    told = finished.results["recipe"]["teacher"]["ensemble"]
    assert [next(iter(one.values())) for one in told] == ["teacher", "other/model.onnx"]
