"""Export of text classifiers: dynamic batch and length, parity, int8, latency."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import pytest
import torch

pytest.importorskip("transformers")

import tokenizers

from limbeck.deploy.int8 import quantise
from limbeck.deploy.latency import compare_latency
from limbeck.deploy.measure import macs, measure_onnx
from limbeck.deploy.parity import require
from limbeck.deploy.runtime import example_inputs, open_session
from limbeck.errors import BadInput, LimbeckError
from limbeck.modalities.text.export import INT8, export_text_onnx, text_metadata
from limbeck.modalities.text.students import text_student
from tests.helpers.tiny_text import CLASSES, TEXTS, encode, logits_of, text_parity, tiny_classifier, tiny_tokenizer

KINDS = ["shrunk", "bag", "conv"]


@pytest.fixture(scope="module", params=KINDS)
def exported(request, tmp_path_factory):
    teacher, tokenizer = tiny_classifier(), tiny_tokenizer()
    knobs: dict[str, Any] = {"layers": 1, "feed_forward": 32} if request.param == "shrunk" else {"hidden": 32}
    student = text_student(request.param, teacher, tokenizer, texts=TEXTS, vocabulary="used", **knobs)
    model = student.model.train()
    with torch.no_grad():  # answers that differ from one another
        list(model.parameters())[-2].mul_(5)
    path = tmp_path_factory.mktemp(request.param) / "student.onnx"
    rows = model.get_input_embeddings().num_embeddings
    export_text_onnx(
        model, student.tokenizer, path, text_metadata(name="tiny", classes=CLASSES, vocabulary=rows, max_length=48)
    )
    assert model.training
    return model, student.tokenizer, path


def batches(rows: int) -> list[dict[str, torch.Tensor]]:
    """Batches of 1 and 3 texts at several lengths, the last text half padding."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for batch, length in [(b, n) for b in (1, 3) for n in (1, 7, 32, 48)]:
        ids = torch.randint(0, rows, (batch, length), generator=generator)
        mask = torch.ones_like(ids)
        mask[-1, (length + 1) // 2 :] = 0
        made.append({"input_ids": ids, "attention_mask": mask})
    return made


def test_the_file_answers_as_the_model_does_at_any_batch_and_length(exported):
    model, _, path = exported
    texts = batches(model.get_input_embeddings().num_embeddings)
    parity = text_parity(model, path, texts, max_abs=1e-4, agreement=1.0)
    require(parity, path, what="texts")
    assert parity["n"] == 16
    with torch.no_grad():
        list(model.parameters())[-1].add_(torch.tensor([0.0, 0.5, 0.0]))
    try:
        other = text_parity(model, path, texts, max_abs=1e-4, agreement=0.0)
        assert other["max_abs_difference"] == pytest.approx(0.5, abs=1e-4)
        with pytest.raises(LimbeckError, match="on 16 texts"):
            require(other, path, what="texts")
    finally:
        with torch.no_grad():
            list(model.parameters())[-1].sub_(torch.tensor([0.0, 0.5, 0.0]))


def test_the_tokenizer_beside_the_file_is_all_that_a_text_needs(exported):
    model, tokenizer, path = exported
    alone = tokenizers.Tokenizer.from_file(str(path.parent / "tokenizer.json"))
    encoded = alone.encode_batch(TEXTS)
    given = {
        "input_ids": np.array([row.ids for row in encoded]),
        "attention_mask": np.array([row.attention_mask for row in encoded]),
    }
    logits = np.asarray(open_session(path).run(None, given)[0])
    np.testing.assert_allclose(logits, logits_of(model, encode(tokenizer, TEXTS)).numpy(), atol=1e-4)
    assert len(alone.encode("film " * 100).ids) == 48
    content = json.loads(next(entry.value for entry in onnx.load(path).metadata_props if entry.key == "limbeck"))
    assert content["classes"] == CLASSES
    assert not any(secret in path.read_bytes() for secret in (b"site-packages", b".py", b"stack_trace"))
    assert content["input"]["max_length"] == 48


def test_int8_is_smaller_and_answers_nearly_the_same(exported, tmp_path):
    model, _, path = exported
    int8 = tmp_path / "int8.onnx"
    quantise(path, int8, INT8)
    texts = batches(model.get_input_embeddings().num_embeddings)
    spread = float(torch.cat([logits_of(model, batch) for batch in texts]).std())
    parity = text_parity(model, int8, texts, max_abs=spread, agreement=0.8)
    require(parity, int8, what="texts")
    assert parity["max_abs_difference"] > 0
    tables = [
        tensor for tensor in onnx.load(int8).graph.initializer if len(tensor.dims) == 2 and np.prod(tensor.dims) > 600
    ]
    assert len(tables) >= 1
    assert {tensor.data_type for tensor in tables} <= {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
    foreign = onnx.load(path)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(BadInput, match="was not exported by Limbeck"):
        quantise(tmp_path / "foreign.onnx", int8, INT8)


def test_cost_is_measured_at_the_length_asked_for(exported):
    model, _, path = exported
    latency = compare_latency({"one": path, "two": path}, length=48, seconds=0.02)
    assert latency["latency_ms"]["one"]["cpu_p50"] > 0
    measured = measure_onnx(path, seconds=0.01, length=48)
    assert measured["bytes"] == path.stat().st_size
    given = example_inputs(open_session(path), 5, 48)
    assert {name: value.shape for name, value in given.items()} == {"input_ids": (5, 48), "attention_mask": (5, 48)}
    assert int(given["attention_mask"].min()) == 1
    rows = model.get_input_embeddings().num_embeddings
    assert set(np.unique(given["input_ids"])) == set(range(rows))  # 240 draws from some 30 tokens


def test_multiplications_of_a_transformer_are_those_worked_out_by_hand():
    model, length, hidden, units = tiny_classifier(), 10, 24, 40
    inputs = {name: torch.ones(1, length, dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    linear = 4 * hidden * hidden + 2 * hidden * units
    attention = 2 * length * hidden  # scores and sums, over all heads
    expected = 4 * length * (linear + attention) + hidden * hidden + hidden * 3
    assert macs(model, inputs) == expected
