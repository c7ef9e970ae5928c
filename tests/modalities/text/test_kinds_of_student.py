"""Students of every kind, taught, exported and asked."""

import math
from pathlib import Path

import pytest
import torch
import transformers

from limbeck.pipeline.export import exporter_of
from tests.helpers import text_runs
from tests.helpers.text_runs import CLASSES, job
from tests.helpers.tiny import train
from tests.modalities.text.finished_runs import TEXTS, by_the_command, by_transformers

# --- students of every kind


KINDS = {
    "shrunk": ("student.vocabulary=all", "student.feed_forward=10"),
    "fresh": ("student.model=fresh", "student.hidden=16", "student.layers=1"),
    "bag": ("student.model=bag", "student.layers=null"),
    "conv": ("student.model=conv", "student.layers=1"),
}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_runs.write(tmp_path_factory.mktemp("kinds") / "here")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_student_is_taught_exported_and_asked(taught: Path, kind: str) -> None:
    out = taught / "run"
    one = job(taught, out, *KINDS[kind])
    _, _, trained = train(one)
    assert len(list((out / "stages" / "targets").iterdir())) == 1  # all students learn from the same answers
    assert trained["student"].identity["weights"] != trained["baseline"].identity["weights"]
    model = trained["student"].model.cpu().eval()
    deployed = exporter_of(one, one.splits.validation).export(model, "student", taught / kind)
    assert deployed.facts["parity"]["passed"]
    assert deployed.variants["int8"].exists()
    student = taught / kind / "student"
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(student)
    assert callable(loaded.push_to_hub)
    told = by_the_command(student, TEXTS)
    expected = by_transformers(student, TEXTS).softmax(1)
    # as it was trained: with the teacher's tokens
    encoded = one.splits.tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        inside = model(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]).logits.softmax(1)
    torch.testing.assert_close(expected, inside, atol=1e-4, rtol=0)
    for row, answer in zip(expected, told, strict=True):
        assert [answer[name] for name in sorted(CLASSES)] == pytest.approx(row.tolist(), abs=1e-4)


def test_a_student_matches_the_inside_of_its_teacher_stage_by_stage(taught: Path) -> None:
    """TinyBERT's two stages as in the recipe, then MiniLM: with a live teacher, whose layers are found."""
    both = (
        "student.heads=4", "objective.cross_entropy=null",
        "objective.tiny_bert={weight: {step: {start: 1, end: 0, epochs: 1}}}",
        "objective.kd={temperature: 1, weight: {step: {start: 0, end: 1, epochs: 1}}}",
    )  # fmt: skip
    for number, changes in enumerate((both, ("objective.minilm={weight: 2}",))):
        one = job(taught, taught / f"live{number}", *changes)
        _, store, trained = train(one)
        assert store is None
        history = trained["student"].history
        assert all(math.isfinite(value) for row in history for value in row.values())
        assert trained["student"].identity["weights"] != trained["baseline"].identity["weights"]
