"""`limbeck.distill` of texts: transformers' models and a person's own, lists and data sets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import limbeck
from limbeck.modalities.text.python import splits_of
from limbeck.modalities.text.recipe import OwnTextRecipe, TextData
from limbeck.pipeline.diagnose import diagnose
from tests.helpers import text_runs
from tests.helpers.tiny_text import encode, logits_of, tiny_classifier, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
CLASSES = ("negative", "positive")
TEXTS = ["the film is good", "a very dull plot", "love it and hate the actor"]


class Mean(nn.Module):
    """A person's own: no configuration, a tensor of logits."""

    def __init__(self, classes: int = 2, width: int = 8) -> None:
        super().__init__()
        self.table = nn.Embedding(len(TOKENIZER), width)
        self.last = nn.Linear(width, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        there_BL1 = attention_mask[..., None].float()
        return self.last((self.table(input_ids) * there_BL1).sum(1) / there_BL1.sum(1))


@pytest.fixture(scope="module")
def teacher() -> Any:
    """A classifier whose classes stand the other way round than the data's."""
    made = tiny_classifier("bert", list(reversed(CLASSES)), num_hidden_layers=1)
    middle_C = logits_of(made, encode(TOKENIZER, text_runs.sentences(200))).quantile(0.5, dim=0)
    with torch.no_grad():
        made.classifier.bias -= middle_C
    return made


def labelled(teacher: Any, count: int = 200) -> tuple[list[str], list[int]]:
    texts = text_runs.sentences(count)
    return texts, (1 - logits_of(teacher, encode(TOKENIZER, texts)).argmax(dim=1)).tolist()


def test_lists_and_a_module_of_ones_own_become_a_student_that_reads_texts(
    teacher: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very lines of docs/python.md."""
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    monkeypatch.chdir(tmp_path)
    texts, labels = labelled(teacher)
    names = {
        "limbeck": limbeck,
        "my_classifier": teacher,
        "my_tokenizer": TOKENIZER,
        "MySmallModel": Mean,
        "texts": texts,
        "labels": labels,
    }
    names["more_texts"] = [f"never {text}" for text in text_runs.sentences(30, seed=4)]
    page = (Path(__file__).parents[3] / "docs" / "python.md").read_text(encoding="utf-8")
    (code,) = (code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "text-classification" in code)
    exec(code, names)
    result: Any = names["result"]
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert result.results["data"]["classes"] == list(CLASSES)
    assert result.results["data"]["transfer"] == 30
    assert result.results["teacher"]["metrics"]["accuracy"]["mean"] == 1.0  # its labels, found by name
    assert result.results["recipe"]["student"]["model"] == "Mean"
    # what a person asks is what is deployed
    session = onnxruntime.InferenceSession(result.export("onnx"))
    for text, logits_C in zip(TEXTS, result.student(TEXTS), strict=True):
        given = {name: value.numpy() for name, value in encode(TOKENIZER, [text]).items()}
        np.testing.assert_allclose(session.run(["logits"], given)[0][0], logits_C.numpy(), atol=1e-4)
    loaded: Any = limbeck.load(tmp_path / "runs" / "texts", model=Mean())
    torch.testing.assert_close(loaded(TEXTS), result.student(TEXTS))
    with pytest.raises(limbeck.BadInput, match=r"weights of a person's own class: give a module of it"):
        limbeck.load(tmp_path / "runs" / "texts")
    assert {one["license"] for one in result.results["licenses"]["data"]} == {None}
    said, step = diagnose(tmp_path / "runs" / "texts")
    assert said == result.results["diagnosis"]["text"]
    assert step is None or ("limbeck.distill" in step and "recipe.yaml" not in step)  # there is no recipe to run
    assert result.student.predict(TEXTS[0]) == [CLASSES[int(result.student(TEXTS[0]).argmax())]]


def splits(train: Any, **more: Any) -> Any:
    recipe = OwnTextRecipe.model_construct(task="text-classification", data=TextData(name="python", max_length=24))
    given = {"classes": None, "transfer": None, "tokenizer": TOKENIZER, **more}
    return splits_of(train, None, None, recipe=recipe, **given)


def test_the_same_data_in_every_form_are_the_same_splits() -> None:
    texts = text_runs.sentences(80)
    numbers = [k % 2 for k in range(80)]
    names = [CLASSES[number] for number in numbers]
    one = splits((texts, np.array(numbers)), classes=CLASSES)
    of_names = splits(datasets.Dataset.from_dict({"review": texts, "label": names}), classes=CLASSES)
    pairs = splits(list(zip(texts, numbers, strict=True)), classes=CLASSES)
    assert one.fingerprint == of_names.fingerprint == pairs.fingerprint
    assert one.classes == CLASSES
    assert splits((texts, names)).classes == tuple(sorted(CLASSES))
    several = splits((texts, [[0, 1] if number else [] for number in numbers]), classes=CLASSES)
    assert several.multi_label
    assert several.train.labels.sum(dim=1).unique().tolist() == [0.0, 2.0]
    two_sides = splits(([(text, "love it") for text in texts], names))
    assert two_sides.pair == ("first", "second")


@pytest.mark.parametrize(
    ("train", "more", "sentence"),
    [
        ((["a film"] * 3, [0, 1]), {}, r"train has 3 texts and 2 labels"),
        ((["a film", 7], [0, 1]), {}, r"split 'train', row 1: the text is '7', which is no text"),
        ((["a film", "a plot"], [0, 1]), {"tokenizer": None}, r"tokenizer must be given for texts"),
        ({"text": ["a film"]}, {}, r"train is a mapping"),
        ((["a film", "a plot"], [0, 5]), {"classes": CLASSES}, r"row 1 \(counted from 0\): label 5 is out of range"),
        ((["a film", "a plot"], [0, "bad"]), {}, r"train: its labels are of several kinds"),
    ],
)
def test_what_is_no_data_of_texts_is_said(train: Any, more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(limbeck.BadInput, match=sentence):
        splits(train, **more)


def test_models_that_do_not_fit_are_refused_before_anything_is_written(teacher: Any, tmp_path: Path) -> None:
    given = {
        "task": "text-classification",
        "teacher": teacher,
        "student": Mean,
        "train": labelled(teacher, 60),
        "classes": CLASSES,
        "tokenizer": TOKENIZER,
        "max_length": 24,
        "out": tmp_path / "run",
    }

    def refused(**changes: Any) -> str:
        with pytest.raises(limbeck.BadInput) as error:
            limbeck.distill(**{**given, **changes})
        assert not (tmp_path / "run").exists()
        return str(error.value)

    assert "the student answers 4 texts with (4, 3)" in refused(student=lambda: Mean(classes=3))
    assert "cannot be matched by name" in refused(classes=("short", "long"))
    long = refused(max_length=64, teacher=tiny_classifier("bert", list(CLASSES), max_position_embeddings=32))
    assert re.search(r"the teacher fails on texts of max_length: 64 tokens", long)
    assert "preprocess is not for task: text-classification" in refused(preprocess=limbeck.Preprocess(size=8))
    assert "tokenizer is not for task: image-classification" in refused(task="image-classification")
    assert refused(task="text-clasification").endswith("Did you mean 'text-classification'?")
    assert "there is no such field" in refused(views=limbeck.Views(shift=0.1))
