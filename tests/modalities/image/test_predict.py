"""Prediction is what PyTorch says, whatever the pictures, and stands alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

from limbeck.deploy.standalone import write_standalone
from limbeck.modalities.image import predict as predicting
from limbeck.vision import pixels as training_images
from tests.helpers.exported import COLOUR, HOSTILE, export, small_network

GREY = {"channels": 1, "height": 12, "width": 12, "mean": (0.3,), "std": (0.35,)}


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
    broken, mute, liar, cropped = (folder / f"{name}.onnx" for name in ("broken", "mute", "liar", "cropped"))
    broken.write_bytes(model.read_bytes()[:500])
    proto = onnx.load(model)
    content = json.loads(proto.metadata_props[0].value)
    proto.metadata_props[0].value = json.dumps({**content, "input": {**content["input"], "crop": "x"}})
    onnx.save(proto, cropped)
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
            r"model .* is a folder: give the \.onnx file in it, such as .*\.onnx",
        ),
        "no model": (folder / "gone.onnx", [good], r"model .*gone\.onnx does not exist"),
        "empty model": (void, [good], r"model .*void\.onnx cannot be loaded"),
        "broken model": (broken, [good], r"model .*broken\.onnx cannot be loaded"),
        "image as model": (good, [good], r"model .*good\.png cannot be loaded"),
        "foreign model": (mute, [good], r"has no 'limbeck' metadata"),
        "lying model": (liar, [good], r"metadata that cannot be used \(.*std positive"),
        "crop of nothing": (
            cropped,
            [good],
            r"metadata that cannot be used \(input\.crop is 'x', not a section of rows",
        ),
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
    write_standalone("limbeck.modalities.image.predict", script)
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
    code = "import sys, limbeck.modalities.image.predict; print('torch' in sys.modules, 'onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
