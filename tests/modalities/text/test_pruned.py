"""A student that is its teacher with layers, heads and widths taken out: how much stays, which parts, and a run of it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import transformers

from limbeck.errors import BadInput
from limbeck.modalities.text import pruned
from limbeck.modalities.text.pruned import calibrated, sizes_left
from limbeck.nlp.anatomy import anatomy, sizes
from limbeck.nlp.folder import save_folder
from limbeck.nlp.scores import by_chance, by_magnitude, by_taylor
from limbeck.nlp.shrink import empty_like
from limbeck.nlp.vocabulary import inner
from limbeck.recipe import read as recipe_file
from limbeck.sections.pruned import FEWEST, Pruned
from tests.helpers import text_runs, tiny
from tests.helpers.recipes import complaint
from tests.helpers.runs import killed
from tests.helpers.tiny_text import tiny_classifier

pytest.importorskip("transformers")

GOOD = {
    "task": "text-classification",
    "data": {"name": "data"},
    "teacher": {"model": "teacher"},
    "student": {"pruned": {"keep": 0.3}},
}


def parameters(model: torch.nn.Module) -> int:
    return sum(one.numel() for one in model.parameters())


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("keep", [0.75, 0.4, 0.15])
def test_the_sizes_leave_what_was_asked_in_shares_that_are_alike(family: str, keep: float) -> None:
    teacher = tiny_classifier(family)
    left, there = sizes_left(teacher, Pruned(keep=keep)), sizes(teacher.config)
    found = parameters(empty_like(teacher, left, None)) / parameters(teacher)
    assert FEWEST * keep <= found <= keep
    assert left.hidden // left.heads == there.hidden // there.heads
    shares = [left.layers / there.layers, left.heads / there.heads, left.feed_forward / there.feed_forward]
    assert max(shares) <= 1
    assert max(shares) <= 4 * min(shares)  # of four layers and four heads


def test_tokens_that_are_left_out_are_not_counted_and_what_cannot_be_is_refused() -> None:
    teacher = tiny_classifier()
    whole, fewer = (sizes_left(teacher, Pruned(keep=0.3), rows) for rows in (None, 10))
    assert fewer.vocabulary == 10
    same_tokens = fewer._replace(vocabulary=whole.vocabulary)
    assert parameters(empty_like(teacher, same_tokens, None)) > parameters(empty_like(teacher, whole, None))
    with pytest.raises(BadInput, match=r"with one layer, one head and one unit .* of them stay") as caught:
        sizes_left(teacher, Pruned(keep=0.01))
    assert "vocabulary: used" in str(caught.value)


def double(model, name: str) -> torch.Tensor:
    return dict(model.named_parameters())[name].detach().double()


def test_magnitude_and_taylor_are_the_sums_over_all_weights_that_make_or_read_a_part() -> None:
    teacher = tiny_classifier()
    layer = "bert.encoder.layer.1"
    up, down = f"{layer}.intermediate.dense.weight", f"{layer}.output.dense.weight"
    exact = copy.deepcopy(teacher).double()
    ids = torch.arange(5, 17).reshape(2, 6)
    for one in (teacher, exact):
        torch.nn.functional.cross_entropy(one(ids).logits, torch.tensor([0, 2])).backward()

    def product(name: str) -> torch.Tensor:
        one = dict(exact.named_parameters())[name]
        assert one.grad is not None
        return (one.detach() * one.grad).abs()

    for found, weigh, tolerance in (
        (by_magnitude(teacher, [0, 1]), lambda name: double(teacher, name).square(), 1e-9),
        (by_taylor(teacher, [0, 1]), product, 1e-3),
    ):
        units_F = weigh(up).sum(1) + weigh(down).sum(0)
        torch.testing.assert_close(found.layers[1].units_F, units_F, rtol=tolerance, atol=0)
        rows = sum(weigh(f"{layer}.attention.self.{name}.weight").sum(1) for name in ("query", "key", "value"))
        heads_A = (rows + weigh(f"{layer}.attention.output.dense.weight").sum(0)).reshape(4, 6).sum(1)
        torch.testing.assert_close(found.layers[1].heads_A, heads_A, rtol=tolerance, atol=0)
        # of a hidden dimension the layers that go do not count
        assert not torch.allclose(found.hidden_H, by_magnitude(teacher, [0, 1, 2, 3]).hidden_H)
    assert torch.equal(by_chance(teacher, 1).hidden_H, by_chance(teacher, 1).hidden_H)
    assert not torch.equal(by_chance(teacher, 1).hidden_H, by_chance(teacher, 2).hidden_H)


@pytest.mark.parametrize(
    ("student", "says"),
    [
        ({"pruned": {}, "layers": 2}, "layers is for pruned.keep to say"),
        ({"pruned": {}, "model": "bag"}, "leave out one of the two"),
        ({"pruned": {"keep": 2}}, "student.pruned.keep"),
    ],
)
def test_fields_that_make_no_student_are_refused(student: dict, says: str) -> None:
    assert says in complaint({**GOOD, "student": student})


def test_other_recipes_are_as_they_were() -> None:
    read = recipe_file.from_dict(GOOD)
    assert read.student.model == "pruned"
    assert read.student.knobs == {"pruned": {"keep": 0.3, "criterion": "magnitude"}}
    again = recipe_file.from_dict(read.model_dump(mode="json"))
    assert again.student.pruned == read.student.pruned
    shrunk = recipe_file.from_dict({**GOOD, "student": {"model": "shrunk", "layers": 1}})
    assert "pruned" not in shrunk.model_dump(mode="json")["student"]
    assert shrunk.student.knobs == {"layers": 1}


def test_a_job_prunes_by_the_labels_and_its_student_loads_without_the_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruned, "CALIBRATION", 8)  # the data has fewer than it takes
    folder = text_runs.write(tmp_path)
    said = "student={pruned: {keep: 0.6, criterion: taylor}, vocabulary: used}"
    one = text_runs.job(folder, tmp_path / "run", said, "train.epochs=1", "baseline.label_smoothing=0")
    before = {name: value.clone() for name, value in one.teacher.state_dict().items()}
    first, again, other = (one.student(seed) for seed in (0, 0, 3))
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values()))
    assert any(not torch.equal(a, b) for a, b in zip(first.state_dict().values(), other.state_dict().values()))
    assert all(torch.equal(before[name], value) for name, value in one.teacher.state_dict().items())
    assert all(value.grad is None for value in one.teacher.parameters())
    assert FEWEST * 0.6 <= parameters(first) / parameters(one.teacher) <= 0.6
    assert any("pruned" in note for note in one.notes)
    exact = calibrated(one.teacher, one.splits, 0)
    assert exact is not one.teacher
    assert anatomy(exact).answer.weight.grad is not None

    save_folder(first, one.task.tokenizer_of(first), tmp_path / "student")
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), inner(first).state_dict().values()))


KILLED = (
    "student={pruned: {keep: 0.6, criterion: magnitude}, vocabulary: used}",
    "baseline.label_smoothing=0",
    "baseline.epochs=1",
)


def train_and_die(folder: Path, out: Path) -> None:
    tiny.dies_in("student")
    tiny.train(text_runs.job(folder, out, *KILLED))


def test_killed_in_the_middle_of_its_training_it_ends_the_same(tmp_path: Path) -> None:
    folder = text_runs.write(tmp_path)
    tiny.train(text_runs.job(folder, tmp_path / "whole", *KILLED))
    assert killed(train_and_die, folder, tmp_path / "killed")
    here, whole = (tiny.folder_of(tmp_path / name, "student") for name in ("killed", "whole"))
    assert (here / "checkpoint.pt").exists()
    assert not (here / "done.json").exists()
    tiny.train(text_runs.job(folder, tmp_path / "killed", *KILLED))
    assert here.name == whole.name
    assert tiny.digest(here / "model.safetensors") == tiny.digest(whole / "model.safetensors")
