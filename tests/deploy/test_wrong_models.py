"""Model files whose metadata and graph disagree, or say what cannot be: one sentence each, from all who open them."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from limbeck.cli import main as cli
from limbeck.deploy.runtime import example_inputs, open_session
from limbeck.errors import BadInput
from limbeck.modalities.image import predict
from limbeck.modalities.image.onnx_file import OnnxModel
from limbeck.modalities.text import predict as predict_text

IMAGES: dict[str, Any] = {
    "schema_version": 1,
    "task": "image-classification",
    "name": "digits",
    "classes": [str(k) for k in range(10)],
    "input": {"channels": 1, "height": 8, "width": 8, "mean": [0.3], "std": [0.3], "scale": "0-1"},
}
TEXTS: dict[str, Any] = {
    "schema_version": 1,
    "task": "text-classification",
    "name": "tiny",
    "classes": ["no", "yes"],
    "multi_label": False,
    "input": {"max_length": 16, "vocabulary": 3, "tokenizer": "tokenizer.json", "names": ["input_ids", "attention_mask"]},
}  # fmt: skip
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, Sequence[Any]]],
    output: tuple[int, Sequence[Any]],
    weights: dict[str, np.ndarray],
    metadata: Any,
) -> Path:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info("logits", *output)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata is not None:
        text = metadata if isinstance(metadata, str) else json.dumps(metadata)
        model.metadata_props.add(key="limbeck", value=text)
    path.write_bytes(model.SerializeToString())
    return path


def of_images(
    path: Path,
    metadata: Any = IMAGES,
    *,
    shape: Sequence[Any] = ("batch", 1, 8, 8),
    kind: int = FLOAT,
    classes: int = 10,
    scale: float = 1.0,
    more: Sequence[tuple[str, int, Sequence[Any]]] = (),
    answer: tuple[int, Sequence[Any]] | None = None,
) -> Path:
    """A linear classifier of images of 64 pixels."""
    cast = helper.make_node("Cast", ["image"], ["real"], to=FLOAT)
    flat = helper.make_node("Flatten", ["real"], ["flat"])
    sides = [side for side in shape[1:] if isinstance(side, int)]
    pixels = math.prod(sides) if len(sides) == 3 else 64
    with np.errstate(over="ignore"):
        weights = np.random.default_rng(0).standard_normal((pixels, classes)).astype(np.float32) * np.float32(scale)
    out = "logits" if answer is None or answer[0] == FLOAT else "sums"
    nodes = [cast, flat, helper.make_node("MatMul", ["flat", "w"], [out])]
    if out != "logits":
        assert answer is not None
        nodes.append(helper.make_node("Cast", ["sums"], ["logits"], to=answer[0]))
    inputs = [("image", kind, shape), *more]
    return save(path, nodes, inputs, answer or (FLOAT, (shape[0], classes)), {"w": weights}, metadata)


def constant(path: Path) -> Path:
    """A model that takes nothing."""
    node = helper.make_node("Identity", ["w"], ["logits"])
    return save(path, [node], [], (FLOAT, (1, 10)), {"w": np.zeros((1, 10), np.float32)}, IMAGES)


def of_texts(
    path: Path,
    metadata: Any = TEXTS,
    *,
    shape: Sequence[Any] = ("batch", "length"),
    kind: int = INT64,
    names: Sequence[str] = ("input_ids", "attention_mask"),
    classes: int = 2,
    scale: float = 1.0,
) -> Path:
    """The mean of its tokens' embeddings; of a vocabulary of three."""
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "good": 1, "bad": 2}, unk_token="[PAD]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path.parent / "tokenizer.json"))
    table = np.random.default_rng(1).standard_normal((3, classes)).astype(np.float32) * np.float32(scale)
    nodes = [
        helper.make_node("Gather", ["table", names[0]], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["logits"], axes=[1], keepdims=0),
    ]
    inputs = [(name, kind, shape) for name in names]
    return save(path, nodes, inputs, (FLOAT, (shape[0], classes)), {"table": table}, metadata)


def changed(metadata: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """``metadata`` with other values at the top (``classes``) or inside its input (``input__height``)."""
    result = copy.deepcopy(metadata)
    for field, value in fields.items():
        where, name = (
            (result["input"], field.removeprefix("input__")) if field.startswith("input__") else (result, field)
        )
        where[name] = value
    return result


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
    return path


DEEP = "[" * 100_000
WRONG_IMAGES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "size": (lambda p: of_images(p, shape=("b", 1, 4, 16)), r"takes images of \(1, 4, 16\).* metadata .*\(1, 8, 8\)"),
    "channels": (lambda p: of_images(p, shape=("b", 3, 8, 8)), r"takes images of \(3, 8, 8\).* metadata .*\(1, 8, 8\)"),
    "classes": (lambda p: of_images(p, classes=7), r"answers with shape \(any, 7\).* names 10"),
    "fixed batch": (lambda p: of_images(p, shape=(4, 1, 8, 8)), r"exactly 4 image\(s\) at a time"),
    "integer input": (lambda p: of_images(p, kind=INT64), r"'image', tensor\(int64\).* one input of images is needed"),
    "no input": (constant, "takes nothing; one input"),
    "two inputs": (lambda p: of_images(p, more=[("other", FLOAT, ("b",))]), "'other', tensor.* one input"),
    "three sides": (lambda p: of_images(p, shape=("b", 8, 8)), "one input of images is needed"),
    "integer answer": (lambda p: of_images(p, answer=(INT64, ("b", 10))), r"answers with tensor\(int64\)"),
    "fails when run": (lambda p: of_images(p, changed(IMAGES, input__width=9), shape=("b", 1, 8, "w"), answer=(FLOAT, ("b", "c"))), "fails on its input"),
    "other answer when run": (lambda p: of_images(p, shape=("b", "c", "h", "w"), classes=7, answer=(FLOAT, ("b", "c"))), r"answers with shape \((1|any), 7\)"),
    "not numbers": (lambda p: of_images(p, scale=float("nan")), "no finite numbers"),
    "beyond range": (lambda p: of_images(p, scale=3e38), "no finite numbers"),
    "deep": (lambda p: of_images(p, DEEP), "nests too deeply"),
    "no JSON": (lambda p: of_images(p, "{"), "metadata that cannot be used"),
    "a list": (lambda p: of_images(p, [1]), "no section of fields"),
    "input a list": (lambda p: of_images(p, changed(IMAGES, input=[1])), "metadata that cannot be used"),
    "long number": (lambda p: of_images(p, '{"input": ' + "9" * 5000 + "}"), "metadata that cannot be used"),
    "huge": (lambda p: of_images(p, changed(IMAGES, input__height=10**12)), "input.height is 1000000000000"),
    "huge and wide": (lambda p: of_images(p, changed(IMAGES, input__height=10**6, input__width=10**6)), "metadata that cannot be used"),
    "infinite": (lambda p: of_images(p, json.dumps(IMAGES).replace("[0.3]", "[1e999]", 1)), "input.mean must"),
    "NaN": (lambda p: of_images(p, json.dumps(IMAGES).replace("[0.3]", "[NaN]", 1)), "input.mean must"),
    "no deviation": (lambda p: of_images(p, changed(IMAGES, input__std=[1e-300])), "input.std"),
    "two means": (lambda p: of_images(p, changed(IMAGES, input__mean=[0.3, 0.3])), "a number a channel|one number a channel"),
    "classes in one word": (lambda p: of_images(p, changed(IMAGES, classes="0123456789")), "classes must be a list of names"),
    "classes in numbers": (lambda p: of_images(p, changed(IMAGES, classes=list(range(10)))), "classes must be a list of names"),
    "no classes": (lambda p: of_images(p, changed(IMAGES, classes=[])), "classes must be a list of names"),
    "height in words": (lambda p: of_images(p, changed(IMAGES, input__height="8")), "input.height is '8'"),
    "true channels": (lambda p: of_images(p, changed(IMAGES, input__channels=True)), "input.channels is [Tt]rue"),
}  # fmt: skip
# an ONNX teacher may be made for so many images, and say nothing of itself; what it takes is told when it is opened
ONLY_PREDICT = {"fixed batch", "fails when run", "other answer when run", "not numbers", "beyond range"}


@pytest.mark.parametrize("name", WRONG_IMAGES)
def test_a_wrong_model_of_images_is_one_sentence(
    tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    make, sentence = WRONG_IMAGES[name]
    path = make(tmp_path / "wrong.onnx")
    with pytest.raises(ValueError, match=sentence) as caught:
        predict.predict(path, [picture])
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 500
    assert predict.main([str(path), str(picture)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    if name not in ONLY_PREDICT:
        with pytest.raises(BadInput, match=r"wrong\.onnx"):
            OnnxModel(path)


@pytest.mark.parametrize("name", ["size", "channels", "classes", "integer input", "deep", "huge", "not numbers", "classes in one word"])  # fmt: skip
def test_the_same_files_are_refused_as_teachers_by_init(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    WRONG_IMAGES[name][0](tmp_path / "wrong.onnx")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["limbeck", "init", "--teacher", "wrong.onnx", "--data", "digits"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert (end.value.code, said.out) == (2, "")
    assert said.err.splitlines()[-1].startswith("limbeck: ")
    assert not (tmp_path / "recipe.yaml").exists()


def test_the_right_model_is_opened_by_all(tmp_path: Path, picture: Path) -> None:
    path = of_images(tmp_path / "right.onnx")
    (answer,) = predict.predict(path, [picture], top=10)
    pixels = (np.asarray(Image.open(picture), np.float32) / 255 - np.float32(0.3)) / np.float32(0.3)
    logits = pixels.reshape(1, 64) @ np.random.default_rng(0).standard_normal((64, 10)).astype(np.float32)
    assert answer.classes[0][0] == str(logits.argmax())
    model = OnnxModel(path)
    assert torch.allclose(model(torch.from_numpy(pixels)[None, None]), torch.from_numpy(logits), atol=1e-4)
    # what it was not made for, and what it cannot say, are sentences too
    with pytest.raises(BadInput, match="fails on images of"):
        model(torch.zeros(1, 1, 9, 9))
    with pytest.raises(BadInput, match="answers with values that are no numbers"):
        OnnxModel(of_images(tmp_path / "nan.onnx", scale=float("nan")))(torch.ones(1, 1, 8, 8))
    # of half and of double precision: asked for what they take when they are measured
    for kind, expected in ((TensorProto.FLOAT16, np.float16), (TensorProto.DOUBLE, np.float64)):
        session = open_session(of_images(tmp_path / "other.onnx", None, kind=kind))
        assert example_inputs(session, 2)["image"].dtype == expected
        session.run(None, example_inputs(session, 2))


WRONG_TEXTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no mask": (lambda p: of_texts(p, names=["input_ids"]), "input_ids, attention_mask are needed"),
    "real ids": (lambda p: of_texts(p, kind=TensorProto.INT32), r"'input_ids', tensor\(int32\)"),
    "other names": (lambda p: of_texts(p, names=["ids", "attention_mask"]), "input_ids, attention_mask are needed"),
    "segments": (lambda p: of_texts(p, changed(TEXTS, input__names=["input_ids", "attention_mask", "token_type_ids"])), "token_type_ids are needed"),
    "fixed length": (lambda p: of_texts(p, shape=("b", 16)), "any length are needed"),
    "fixed batch": (lambda p: of_texts(p, shape=(1, "l")), "any number and any length"),
    "classes": (lambda p: of_texts(p, classes=3), r"answers with shape \(any, 3\).* names 2"),
    "not numbers": (lambda p: of_texts(p, scale=float("nan")), "no finite numbers"),
    "deep": (lambda p: of_texts(p, DEEP), "metadata"),
    "long": (lambda p: of_texts(p, changed(TEXTS, input__max_length=10**30)), "input.max_length is 1000"),
    "a word": (lambda p: of_texts(p, changed(TEXTS, classes="ny")), "classes must be a list of names"),
    "maybe": (lambda p: of_texts(p, changed(TEXTS, multi_label="no")), "multi_label is 'no'"),
    "elsewhere": (lambda p: of_texts(p, changed(TEXTS, input__tokenizer="../tokenizer.json")), "input.tokenizer"),
    "null": (lambda p: of_texts(p, changed(TEXTS, input__tokenizer="t\0")), "input.tokenizer"),
    "vocabulary": (lambda p: of_texts(p, changed(TEXTS, input__vocabulary=2)), "knows 3 tokens and the model 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_TEXTS)
def test_a_wrong_model_of_texts_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    make, sentence = WRONG_TEXTS[name]
    path = make(tmp_path / "wrong.onnx")
    with pytest.raises(ValueError, match=sentence):
        predict_text.predict(path, ["good bad"])
    assert predict_text.main([str(path), "good bad"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1


def test_the_right_model_of_texts_is_opened(tmp_path: Path) -> None:
    path = of_texts(tmp_path / "right.onnx")
    table = np.random.default_rng(1).standard_normal((3, 2))
    (answer,) = predict_text.predict(path, ["good"], top=1)
    assert answer.classes[0][0] == ["no", "yes"][int(table[1].argmax())]


NASTY: tuple[Any, ...] = (None, True, 0, -1, 1.5, 10**40, "x", "\ud800", [], [None], {"a": 1})


def mutations(value: Any) -> Iterator[Any]:
    """``value`` with one thing in it left out, or in its place something else."""
    yield from NASTY
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {k: v for k, v in value.items() if k != key}
            yield from ({**value, key: other} for other in mutations(inner))
    elif isinstance(value, list):
        yield from ([other, *value[1:]] for other in NASTY)


@pytest.mark.parametrize("texts", [False, True], ids=["images", "texts"])
def test_no_metadata_ends_in_anything_but_an_answer_or_a_sentence(tmp_path: Path, picture: Path, texts: bool) -> None:
    right, make = (TEXTS, of_texts) if texts else (IMAGES, of_images)
    refused = answered = 0
    for metadata in mutations(right):
        path = make(tmp_path / "some.onnx", json.dumps(metadata))
        try:
            if texts:
                predict_text.predict(path, ["good"])
            else:
                predict.predict(path, [picture])
            answered += 1
        except ValueError:
            refused += 1
        if not texts:
            with contextlib.suppress(BadInput):
                OnnxModel(path)
    assert refused > 90
    assert 1 <= answered < 60  # such as those without a name
