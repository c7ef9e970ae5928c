"""Export, parity, cost and prediction on a tiny untrained network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

from limbeck.data import pixels as training_images
from limbeck.deploy import predict as predicting
from limbeck.deploy.energy import by_counters, energy_per_inference
from limbeck.deploy.export import export_onnx, image_metadata
from limbeck.deploy.latency import compare_latency
from limbeck.deploy.measure import macs, measure_onnx, parameters
from limbeck.deploy.memory import memory_mb
from limbeck.deploy.parity import check_parity, require
from limbeck.deploy.standalone import write_standalone
from limbeck.deploy.timing import Burst, Timing
from limbeck.errors import BadInput, LimbeckError

HOSTILE = ("<script>alert(1)</script>", "a\x1b[31mred\nline", 'quo"te\\', "Übergröße 👟 \u202e")
COLOUR = {"channels": 3, "height": 12, "width": 12, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
GREY = {"channels": 1, "height": 12, "width": 12, "mean": (0.3,), "std": (0.35,)}


def small_network(channels: int, classes: int = len(HOSTILE), *, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    width = 6
    model = nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, stride=2, groups=width),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(4 * width, classes),
    )
    for module in model:
        if isinstance(module, nn.BatchNorm2d):  # statistics that folding has to take into account
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    head = model[-1]
    with torch.no_grad():  # so that every class is somewhere the answer
        nn.init.normal_(head.weight, std=3.0)
        head.bias -= model.eval()(torch.randn(64, channels, 12, 12)).mean(0)
    return model


def export(model: nn.Module, folder: Path, form: dict, name: str = "student.onnx") -> Path:
    metadata = image_metadata(name="tiny", classes=HOSTILE, **form)
    path = folder / name
    export_onnx(model, torch.zeros(1, form["channels"], form["height"], form["width"]), path, metadata)
    return path


@pytest.fixture(scope="module")
def colour(tmp_path_factory) -> tuple[nn.Module, Path]:
    model = small_network(3).train()
    return model, export(model, tmp_path_factory.mktemp("colour"), COLOUR)


@pytest.fixture(scope="module")
def grey(tmp_path_factory) -> tuple[nn.Module, Path]:
    model = small_network(1)
    return model, export(model, tmp_path_factory.mktemp("grey"), GREY)


def photograph(height: int, width: int, channels: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)


def expected_probabilities(model: nn.Module, image: Image.Image, form: dict) -> torch.Tensor:
    """By the way of training: the data room's decoding, PyTorch's model."""
    pixels = training_images.pixels(training_images.upright(image), form["channels"], form["height"])
    mean, std = (torch.tensor(form[key]).view(-1, 1, 1) for key in ("mean", "std"))
    model.eval()
    with torch.no_grad():
        return model(((torch.from_numpy(pixels.copy()) / 255 - mean) / std)[None])[0].softmax(0)


# Export


def test_the_batch_is_dynamic_and_batch_norm_is_folded(colour):
    _, path = colour
    session = onnxruntime.InferenceSession(str(path))
    assert [i.name for i in session.get_inputs()] == ["image"]
    assert [o.name for o in session.get_outputs()] == ["logits"]
    for batch in (1, 3, 7):
        answer = session.run(None, {"image": np.zeros((batch, 3, 12, 12), np.float32)})[0]
        assert np.shape(answer) == (batch, len(HOSTILE))
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert "Conv" in operators
    assert not operators & {"BatchNormalization", "Dropout"}


def test_the_file_is_whole_and_tells_nothing_of_this_machine(colour):
    _, path = colour
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # no external data, nothing temporary
    content = path.read_bytes()
    for secret in (b"site-packages", b".py", str(Path.home()).encode() + b"/", b"stack_trace"):
        assert secret not in content


def test_metadata_comes_back_hostile_names_and_all(colour):
    _, path = colour
    metadata = predicting.read_metadata(predicting.open_model(path), path)
    assert metadata == predicting.Metadata(name="tiny", classes=HOSTILE, **COLOUR)
    (entry,) = onnx.load(path).metadata_props
    assert entry.key == "limbeck"
    assert json.loads(entry.value)["limbeck_version"]


def test_a_model_that_cannot_be_exported_is_refused_in_a_sentence(tmp_path):
    class Fickle(nn.Module):
        def forward(self, images_BCHW):
            return images_BCHW.flatten(1)[:, :4] * (1 if images_BCHW.sum() > 0 else 2)

    with pytest.raises(BadInput, match=r"^Fickle cannot be exported to ONNX: .*torch\.export"):
        export(Fickle(), tmp_path, COLOUR)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_export_leaves_no_file_no_noise_and_the_model_as_it_was(tmp_path, capfd):
    model = small_network(3, classes=7).train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    with pytest.raises(LimbeckError, match=r"answers 1 image\(s\) with shape \(1, 7\) where \(1, 4\) is right"):
        export(model, tmp_path, COLOUR)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# Parity


def test_parity_passes_for_the_model_and_fails_for_other_weights(colour):
    model, path = colour
    inputs_BCHW = torch.randn(300, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert len(model.eval()(inputs_BCHW).argmax(1).unique()) > 1  # agreement says something
    model.train()
    parity = check_parity(model, path, inputs_BCHW, max_abs=1e-4, agreement=0.99)
    assert parity["passed"]
    assert parity["n"] == 300
    assert 0 <= parity["max_abs_difference"] < 1e-4
    assert parity["agreement"] >= 0.99
    assert model.training
    require(parity, path)

    other = check_parity(small_network(3, seed=1), path, inputs_BCHW, max_abs=1e-4, agreement=0.99)
    assert not other["passed"]
    with pytest.raises(LimbeckError, match=r"does not answer as the trained model does, on 300 images"):
        require(other, path)


def test_each_limit_of_the_parity_gate_holds_by_itself(colour):
    model, path = colour
    moved = small_network(3)
    moved.load_state_dict(model.state_dict())
    inputs_BCHW = torch.randn(64, 3, 12, 12)
    with torch.no_grad():
        moved[-1].bias += 0.5  # the same class everywhere, other logits
    by_difference = check_parity(moved, path, inputs_BCHW, max_abs=0.1, agreement=1.0)
    assert by_difference["agreement"] == 1.0
    assert by_difference["max_abs_difference"] == pytest.approx(0.5, abs=1e-3)
    assert not by_difference["passed"]
    with torch.no_grad():
        moved[-1].bias.copy_(torch.tensor([0, 0, 0, 1e3]))
    by_agreement = check_parity(moved, path, inputs_BCHW, max_abs=1e9, agreement=0.999)
    assert by_agreement["agreement"] < 0.999
    assert not by_agreement["passed"]


def test_a_logit_that_is_not_a_number_never_passes(colour):
    model, path = colour
    broken = small_network(3)
    broken.load_state_dict(model.state_dict())
    with torch.no_grad():
        broken[-1].bias[0] = float("nan")
    parity = check_parity(broken, path, torch.randn(4, 3, 12, 12), max_abs=1e9, agreement=0.0)
    assert not parity["passed"]
    with pytest.raises(LimbeckError, match="not finite"):
        require(parity, path)


# Prediction


@pytest.mark.parametrize("size", [(12, 12), (40, 25), (9, 31), (5, 5)])
@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_prediction_is_what_torch_says(kind, size, request, tmp_path):
    model, path = request.getfixturevalue(kind)
    form = GREY if kind == "grey" else COLOUR
    files = []
    for seed, channels in enumerate((1, 3)):  # the model's kind of picture, and the other
        files.append(tmp_path / f"{seed}.png")
        photograph(*size, channels, seed).save(files[-1])
    predictions = predicting.predict(path, files, top=2)
    for file, prediction in zip(files, predictions):
        expected = expected_probabilities(model, Image.open(file), form).topk(2)
        assert prediction.image == file
        assert [name for name, _ in prediction.classes] == [HOSTILE[c] for c in expected.indices]
        assert [p for _, p in prediction.classes] == pytest.approx(expected.values.tolist(), abs=1e-5)


def odd_pictures() -> dict[str, Image.Image]:
    palette = photograph(20, 14, 3).quantize(16)
    deep = np.random.default_rng(0).integers(0, 65536, (20, 14), dtype=np.uint16)
    return {
        "palette.png": palette,
        "transparent.png": Image.merge("RGBA", [*photograph(20, 14, 3).split(), photograph(20, 14, 1, seed=9)]),
        "sixteen.png": Image.fromarray(deep),
        "bilevel.png": photograph(20, 14, 1).convert("1"),
        "cmyk.jpg": photograph(20, 14, 3).convert("CMYK"),
        "turned.jpg": photograph(20, 14, 3),
    }


@pytest.mark.parametrize("name", list(odd_pictures()))
@pytest.mark.parametrize("form", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("bits", [None, 12])
def test_odd_pictures_become_the_pixels_of_training(name, form, bits, tmp_path):
    file = tmp_path / name
    exif = Image.Exif()
    exif[0x0112] = 6 if name.startswith("turned") else 1
    odd_pictures()[name].save(file, exif=exif)
    metadata = predicting.Metadata(name="", classes=HOSTILE, **{**form, "mean": (0,) * 3, "std": (1 / 255,) * 3})
    how = training_images.Preparation(background=200, bits=bits)
    metadata = metadata._replace(background=200, bits=bits or 16)
    metadata = metadata._replace(mean=metadata.mean[: form["channels"]], std=metadata.std[: form["channels"]])
    ours = predicting.preprocess(predicting.read_image(file), metadata)
    training = training_images.pixels(training_images.upright(Image.open(file), how), form["channels"], 12)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, training, atol=1e-3)


def test_many_images_keep_their_order(colour, tmp_path, monkeypatch):
    _, path = colour
    files = [tmp_path / f"{i}.png" for i in range(7)]
    for i, file in enumerate(files):
        photograph(12, 12, 3, seed=i).save(file)
    together = predicting.predict(path, files, top=9)  # more than there are: all of them
    monkeypatch.setattr(predicting, "BATCH", 3)
    assert [p.image for p in predicting.predict(path, files)] == files
    for file, prediction in zip(files, together):
        assert len(prediction.classes) == len(HOSTILE)
        alone = dict(predicting.predict(path, [file], top=4)[0].classes)
        assert dict(prediction.classes) == pytest.approx(alone, abs=1e-6)


def bad_inputs(folder: Path, model: Path) -> dict[str, tuple[Path, list[Path], str]]:
    good, text, cut, void = (folder / name for name in ("good.png", "text.png", "cut.png", "void.onnx"))
    photograph(12, 12, 3).save(good)
    text.write_text("not an image")
    cut.write_bytes(good.read_bytes()[:120])
    void.write_bytes(b"")
    broken, mute, liar = (folder / name for name in ("broken.onnx", "mute.onnx", "liar.onnx"))
    broken.write_bytes(model.read_bytes()[:500])
    proto = onnx.load(model)
    content = json.loads(proto.metadata_props[0].value)
    content["input"]["std"] = [0.2, 0.0, 0.3]
    proto.metadata_props[0].value = json.dumps(content)
    onnx.save(proto, liar)
    del proto.metadata_props[:]
    onnx.save(proto, mute)
    return {
        "no image": (model, [good, folder / "gone.png"], r"image .*gone\.png does not exist"),
        "no picture": (model, [text], r"image .*text\.png cannot be read"),
        "half a picture": (model, [cut], r"image .*cut\.png cannot be read"),
        "a folder": (model, [folder], r"image .* does not exist or is a folder|image .* does not exist"),
        "a folder as model": (
            folder,
            [good],
            r"model .* is a folder: give the \.onnx file in it, such as .*student\.onnx",
        ),
        "no model": (folder / "gone.onnx", [good], r"model .*gone\.onnx does not exist"),
        "empty model": (void, [good], r"model .*void\.onnx cannot be loaded"),
        "broken model": (broken, [good], r"model .*broken\.onnx cannot be loaded"),
        "image as model": (good, [good], r"model .*good\.png cannot be loaded"),
        "foreign model": (mute, [good], r"has no 'limbeck' metadata"),
        "lying model": (liar, [good], r"metadata that cannot be used \(.*std positive"),
    }


def test_bad_input_gets_a_sentence_and_exit_code_2(colour, tmp_path, capsys):
    _, path = colour
    for model, images, sentence in bad_inputs(tmp_path, path).values():
        with pytest.raises(ValueError, match=sentence):
            predicting.predict(model, images)
        assert predicting.main([str(model), *map(str, images)]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert re.search(sentence, said.err)
        assert "Traceback" not in said.err


def test_names_cannot_steer_the_terminal():
    table = predicting.table([predicting.Prediction(Path("x.png"), [(name, 0.25) for name in HOSTILE])])
    assert len(table.splitlines()) == 1 + len(HOSTILE)
    assert all(line.isprintable() for line in table.splitlines())
    assert "Übergröße 👟" in table
    assert r"a\x1b[31mred\nline" in table


def test_the_script_stands_alone(colour, tmp_path):
    model, path = colour
    script, picture = tmp_path / "predict.py", tmp_path / "shoe.png"
    write_standalone(script)
    photograph(30, 20, 3).save(picture)
    # Run as a script would be, in a process that could not import torch or limbeck if it tried.
    watch = (
        "import runpy, sys\n"
        "sys.modules.update({'torch': None, 'limbeck': None, 'onnx': None})\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [sys.executable, "-I", "-c", watch, str(script)]
    done = subprocess.run([*command, str(path), str(picture), "--top", "1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    best = expected_probabilities(model, Image.open(picture), COLOUR).max(0)
    name = predicting.printable(HOSTILE[best.indices])
    assert done.stdout == f"{picture}\n  {best.values:7.2%}  {name}\n"
    usage = subprocess.run([*command, "--help"], capture_output=True, text=True)
    assert usage.returncode == 0
    assert "example: python predict.py student.onnx" in usage.stdout


def test_predict_does_not_import_torch():
    code = "import sys, limbeck.deploy.predict; print('torch' in sys.modules, 'onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


# Cost


def test_parameters_and_macs_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 6, 10)).train()
    assert parameters(model) == (3 * 9 * 8 + 8) + (8 * 36 * 10 + 10)
    assert macs(model, torch.zeros(1, 3, 6, 6)) == 36 * 8 * 3 * 9 + 8 * 36 * 10
    depthwise = nn.Conv2d(8, 8, 3, groups=8, bias=False)
    assert macs(depthwise, torch.zeros(1, 8, 5, 5)) == 9 * 8 * 9
    assert model.training


def test_macs_of_attention_are_counted():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    projections = 4 * 7 * 16 * 16 + 2 * 7 * 16 * 32
    attention = 2 * 7 * 7 * 16

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, images_BCHW):
            return self.layer(images_BCHW[:, 0])

    assert macs(Encoder(), torch.zeros(1, 1, 7, 16)) == projections + attention


def test_measures_are_sane(colour):
    _, path = colour
    cost = measure_onnx(path, seconds=0.05)
    assert cost["bytes"] == path.stat().st_size
    assert cost["throughput_per_s"] > 0
    assert cost["threads"] == 1


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> tuple[nn.Module, Path]:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 144, 12_000), nn.ReLU(), nn.Linear(12_000, len(HOSTILE)))
    return model, export(model, tmp_path_factory.mktemp("large"), COLOUR)


def test_memory_is_the_models_own_and_neither_the_runtimes_nor_this_process(colour, large):
    weights_mb = parameters(large[0]) * 4 / 1e6
    small, big = memory_mb(colour[1]), memory_mb(large[1])
    # 3,000 parameters: the pages of the runtime's own code that a first session touches would be 9 MB
    assert 0 < small["peak_memory_mb"] < 4
    if small["anonymous_memory_mb"] is not None:  # Linux tells
        assert 0 < small["anonymous_memory_mb"] <= small["peak_memory_mb"]
    assert 0.8 * weights_mb < big["peak_memory_mb"] - small["peak_memory_mb"] < 6 * weights_mb + 30


@pytest.mark.parametrize("precision", [onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE])
def test_memory_of_a_model_that_takes_other_numbers(precision, tmp_path):
    sides = ["batch", 3, 64, 64]
    given, answer = (onnx.helper.make_tensor_value_info(name, precision, sides) for name in ("image", "logits"))
    graph = onnx.helper.make_graph([onnx.helper.make_node("Neg", ["image"], ["logits"])], "g", [given], [answer])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "other.onnx")
    assert memory_mb(tmp_path / "other.onnx")["peak_memory_mb"] < 4


def test_memory_of_what_is_no_model_is_told_as_a_failure(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"no model")
    with pytest.raises(RuntimeError, match=r"measuring the memory of .*no\.onnx failed: .*"):
        memory_mb(tmp_path / "no.onnx")


def test_the_larger_model_is_the_slower_one(colour, large):
    compared = compare_latency({"teacher": large[1], "student": colour[1]}, seconds=0.4)
    assert compared["reference"] == "teacher"
    assert list(compared["speedup"]) == ["student"]
    found = compared["speedup"]["student"]
    assert 1.5 < found["low"] <= found["ratio"] <= found["high"]
    for latency in compared["latency_ms"].values():
        assert latency["cpu_p50"] > 0
        assert latency["n"] + latency["disturbed"] >= 6 * 5
        assert latency["p50"] is None or 0 < latency["p50"] <= latency["p95"]


def counter(folder: Path, start: int, name: str = "package-0") -> Path:
    zone = folder / "intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text(f"{name}\n")
    (zone / "energy_uj").write_text(f"{start}\n")
    (zone / "max_energy_range_uj").write_text("1000000\n")
    return zone / "energy_uj"


def test_energy_is_an_estimate_that_says_so_where_no_counter_moves(colour, tmp_path):
    _, path = colour
    counter(tmp_path / "still", 5)
    for folder in (tmp_path / "none", tmp_path / "still"):
        energy = energy_per_inference(path, cpu_ms=0.2, seconds=0.02, counters=folder)
        assert energy["kind"] == "estimate"
        assert energy["value_mj"] == pytest.approx(0.2 * 10)
        assert "10 W" in energy["how"]


def test_energy_is_measured_where_a_counter_moves_and_wraps(colour, tmp_path):
    _, path = colour
    file = counter(tmp_path, 900_000)

    def tick() -> None:
        time.sleep(0.3)
        replacement = tmp_path / "next"
        replacement.write_text("400000\n")
        replacement.replace(file)

    ticking = threading.Thread(target=tick)
    ticking.start()
    energy = energy_per_inference(path, cpu_ms=1.0, seconds=0.8, counters=tmp_path)
    ticking.join()
    if energy["kind"] == "measured":
        runs = int(re.search(r"(\d+) runs", energy["how"])[1])
        assert energy["value_mj"] == pytest.approx(500 / runs)
    else:  # the machine that tests run on may be busy
        assert energy["value_mj"] == pytest.approx(1.0 * 10)
        assert "the machine was busy" in energy["how"]


def test_counters_are_believed_only_while_nothing_else_is_at_work():
    quiet, busy = (Burst((Timing(clock_ms, 2.0),) * 5) for clock_ms in (2.1, 2.3))
    found = by_counters(0.5, quiet)
    assert found["value_mj"] == pytest.approx(100)
    assert found["kind"] == "measured"
    assert by_counters(0.5, busy) is None
