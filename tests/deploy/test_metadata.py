"""Claims about the task that an exported file names: read without a library, whatever else the file holds."""

import json
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.deploy.metadata import METADATA_KEY, task_of


def written(path: Path, said: str | None, others: dict[str, str] | None = None, weights: int = 3) -> Path:
    """A model of one initializer whose metadata say ``said``, beside ``others``."""
    values = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [weights], [0.5] * weights)
    graph = onnx.helper.make_graph([], "graph", [], [], [values], doc_string=METADATA_KEY)
    model = onnx.helper.make_model(graph, producer_name="test")
    onnx.helper.set_model_props(model, {**(others or {}), **({} if said is None else {METADATA_KEY: said})})
    onnx.save(model, path)
    return path


@given(task=st.text(), key=st.text(), value=st.text(max_size=300), weights=st.integers(1, 400))
def test_the_task_is_read_whatever_stands_beside_it(tmp_path_factory, task: str, key: str, value: str, weights: int):
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    others = {key: value} if key != METADATA_KEY else {}
    assert task_of(written(path, json.dumps({"task": task}), others, weights)) == task


@pytest.mark.parametrize("said", [None, "", "{", "[]", "{}", '{"task": 3}', "[" * 100_000])
def test_a_model_that_names_no_task_has_none(tmp_path: Path, said: str | None) -> None:
    assert task_of(written(tmp_path / "model.onnx", said)) is None


@given(data=st.binary(max_size=200))
def test_any_other_file_has_none(tmp_path_factory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("file") / "model.onnx"
    assert task_of(path) is None
    path.write_bytes(data)
    assert task_of(path) is None
