"""Files of LiteRT and for microcontrollers: what answers from them, held to PyTorch; and what is said where something is wrong.

The files lie beside this one: ``benchmarks/litert.py`` wrote them, in the converter's own environment.
"""

from __future__ import annotations

import sys
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from PIL import Image
from torch import nn

from limbeck.deploy.formats import FORMATS, litert, litert_convert, litert_environment, micro
from limbeck.deploy.graphs import of_module
from limbeck.deploy.metadata import beside_file
from limbeck.errors import BadInput
from limbeck.files import write_json
from limbeck.modalities.image import predict
from tests.helpers.litert_student import FOLDER, images, linear, student

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite_micro")

from ai_edge_litert import schema_py_generated as schema


def answers(name: str) -> tuple[np.ndarray, np.ndarray]:
    """What a format's file and PyTorch answer to the same images."""
    images_NCHW = images()[-200:]
    (ours_NC,) = FORMATS[name].ask(FOLDER / f"student{FORMATS[name].suffix}")({"image": images_NCHW})
    (theirs_NC,) = of_module(student())({"image": images_NCHW})
    return ours_NC, theirs_NC


@pytest.mark.parametrize(
    ("name", "most", "same"), [("litert", 1e-4, 1), ("litert-int8", 0.5, 0.99), ("micro", 2, 0.98)]
)
def test_a_file_answers_as_the_network_does_as_far_as_its_precision_goes(name: str, most: float, same: float) -> None:
    ours_NC, theirs_NC = answers(name)
    assert np.ptp(theirs_NC) > 30  # of which that is the difference allowed
    assert np.abs(ours_NC - theirs_NC).max() < most
    assert (ours_NC.argmax(1) == theirs_NC.argmax(1)).mean() >= same


def test_any_number_of_examples_is_answered_like_one_after_the_other() -> None:
    answer = FORMATS["litert"].ask(FOLDER / "student.tflite")
    images_NCHW = images()[:200]
    (whole_NC,) = answer({"image": images_NCHW})
    parts = [answer({"image": part})[0] for part in np.split(images_NCHW, [1, 8, 9, 150])]
    np.testing.assert_allclose(np.concatenate(parts), whole_NC, atol=1e-5)


def test_linear_layers_alone_are_made_of_one_example_and_answer_any_number() -> None:
    path, graph = FOLDER / "linear.tflite", linear()
    states_NF = np.random.default_rng(1).normal(size=(90, 25)).astype(np.float32)
    answer = FORMATS["litert"].ask(path)
    for count in (1, 90, 2):
        (expected_NA,) = of_module(graph)({"state": states_NF[:count]})
        np.testing.assert_allclose(answer({"state": states_NF[:count]})[0], expected_NA, atol=1e-5)
    job = {"out": str(path), "inputs": [{"name": "state", **graph.inputs["state"].said}]}
    litert_convert.check_batches(job, graph.module)
    with pytest.raises(ValueError, match="made of one example, it answers several otherwise"):
        litert_convert.check_batches(job, nn.Linear(25, 5))


def test_a_microcontrollers_integers_are_those_of_the_reference_kernels_on_200_examples() -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    path = FOLDER / "student.micro.tflite"
    reference = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    reference.allocate_tensors()
    (given,), (answer,) = reference.get_input_details(), reference.get_output_details()
    (step, zero), (answer_step, answer_zero) = given["quantization"], answer["quantization"]
    expected = []
    for image_CHW in images()[-200:]:
        integers_CHW = np.clip(np.rint(image_CHW / np.float32(step)) + zero, -128, 127).astype(np.int8)
        reference.set_tensor(given["index"], integers_CHW[None])
        reference.invoke()
        expected.append(reference.get_tensor(answer["index"])[0].astype(np.float32))
    assert len(expected) == 200
    ours_NC, _ = answers("micro")
    np.testing.assert_array_equal(np.rint(ours_NC / np.float32(answer_step)) + answer_zero, np.stack(expected))
    found = micro.facts(path)
    assert found["flash_bytes"] == path.stat().st_size
    assert 1000 < found["arena_bytes"] < 10_000
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"} < set(found["kernels"])


def test_a_file_names_nothing_but_its_inputs_and_its_answer_and_costs_memory_of_its_own() -> None:
    from ai_edge_litert import schema_py_generated as schema

    for name in ("litert", "litert-int8", "micro"):
        path, memory = FOLDER / f"student{FORMATS[name].suffix}", FORMATS[name].memory
        (graph,) = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0)).subgraphs
        assert sum(tensor.name is not None for tensor in graph.tensors) == 2 < len(graph.tensors)
        assert memory is not None
        found = memory(path, {"image": images()[:1]})["peak_memory_mb"]
        assert found is not None
        assert found == micro.facts(path)["arena_bytes"] / 1e6 if name == "micro" else 0 < found < 3


def test_predict_py_answers_from_a_file_as_from_one_in_onnx_and_says_what_is_wrong_with_one(tmp_path: Path) -> None:
    model, graph = tmp_path / "student.tflite", student()
    model.write_bytes((FOLDER / "student.tflite").read_bytes())
    FORMATS["onnx"].write(graph, tmp_path / "student.onnx", ())
    pictures = [tmp_path / f"{place}.png" for place in range(5)]
    for place, path in enumerate(pictures):
        Image.fromarray(((images()[place, 0] + 1) * 127.5).astype(np.uint8)).save(path)
    with pytest.raises(ValueError, match=r"student\.tflite has no 'limbeck' metadata"):
        predict.predict(model, pictures)
    write_json(beside_file(model), graph.said)
    ours, theirs = (predict.predict(one, pictures) for one in (model, tmp_path / "student.onnx"))
    assert [[name for name, _ in one.classes] for one in ours] == [[name for name, _ in one.classes] for one in theirs]
    for one, other in zip(ours, theirs):
        np.testing.assert_allclose([p for _, p in one.classes], [p for _, p in other.classes], atol=1e-5)
    model.write_bytes(b"no such file")
    with pytest.raises(ValueError, match=r"student\.tflite is no LiteRT model, or it is damaged"):
        predict.predict(model, pictures)


@pytest.mark.parametrize("name", ["litert", "litert-int8", "micro"])
def test_what_a_file_does_not_take_is_refused_in_a_sentence(name: str) -> None:
    answer = FORMATS[name].ask(FOLDER / f"student{FORMATS[name].suffix}")
    for given, why in (
        (images()[:, :, ::2], r"of shape \(batch, 1, 8, 8\), and was given \(1797, 1, 4, 8\)\.$"),
        (images()[0], r"was given \(1, 8, 8\)\.$"),
        (images()[:0], r"a batch of 1 and more; it was given one of 0\.$"),
        (images().astype(np.float64), r"as float32, and was given float64\.$"),
    ):
        with pytest.raises(BadInput, match=why):
            answer({"image": given})
    with pytest.raises(BadInput, match=r"takes image, and was given images\.$"):
        answer({"images": images()})


@pytest.mark.parametrize("ask", [litert.ask, micro.ask])
def test_a_damaged_or_foreign_file_is_refused_in_a_sentence(ask, tmp_path: Path) -> None:
    whole, path = (FOLDER / "student.micro.tflite").read_bytes(), tmp_path / "student.tflite"
    for content in (b"", b"no file of that kind", whole[:2000]):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"student\.tflite is no .* that Limbeck wrote"):
            ask(path)


def test_without_uv_or_a_network_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))
    assert "pip install uv" in (litert.missing() or "")
    with pytest.raises(BadInput, match="there is no uv: pip install uv"):
        FORMATS["litert"].write(student(), tmp_path / "x.tflite", ())
    uv = tools / "uv"
    uv.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('error: could not connect')\n")
    uv.chmod(0o755)
    assert litert.missing() is None
    with pytest.raises(
        BadInput, match=r"cannot be made: uv venv --relocatable failed\. Is there a network\? \(error: could"
    ):
        FORMATS["litert"].write(student(), tmp_path / "x.tflite", ())
    assert not list(litert_environment.cache_folder().iterdir())
    assert not (tmp_path / "x.tflite").exists()


def test_what_the_converter_raised_last_is_told_without_the_hints_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    python, script = litert_environment.place() / "bin" / "python", tmp_path / "script.py"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    script.write_text(
        "try:\n    1 / 0\nexcept ArithmeticError:\n    raise NotImplementedError('no aten.sort\\n\\nSee a page')\n"
    )
    with pytest.raises(ValueError, match=r"^NotImplementedError: no aten\.sort$"):
        litert_environment.run(script, [])


def test_a_microcontroller_is_given_real_numbers_of_one_size_and_something_to_calibrate_on(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no example to calibrate on"):
        FORMATS["micro"].write(student(), tmp_path / "x.tflite", ())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["litert", "micro"])
def test_weights_behind_what_the_schema_describes_are_brought_into_it(name: str, tmp_path: Path) -> None:
    """As ai-edge-quantizer 0.10 writes them where they are 256 KiB and more together; the interpreter of a board does not look there."""
    whole, path = FOLDER / f"student{FORMATS[name].suffix}", tmp_path / f"student{FORMATS[name].suffix}"
    path.write_bytes(weights_behind(whole.read_bytes()))
    litert_convert.unnamed(path)
    expected, found = (FORMATS[name].ask(one)({"image": images()[:20]})[0] for one in (whole, path))
    np.testing.assert_array_equal(found, expected)


def weights_behind(content: bytes) -> bytes:
    """The same LiteRT file with all large buffers at its end, each at a multiple of 16 bytes."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    moved = {
        buffer: bytes(buffer.data) for buffer in model.buffers if buffer.data is not None and len(buffer.data) > 256
    }
    assert moved
    for buffer in moved:
        buffer.data, buffer.offset, buffer.size = (
            None,
            1,
            1,
        )  # numbers that are written, and take the place of any other

    def packed() -> bytes:
        builder = flatbuffers.Builder(len(content))
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    end = len(packed())
    for buffer, data in moved.items():
        buffer.offset, buffer.size = -(-end // 16) * 16, len(data)
        end = buffer.offset + buffer.size
    made = bytearray(packed())
    for buffer, data in moved.items():
        made.extend(bytes(buffer.offset - len(made)) + data)
    return bytes(made)
