"""What lies beside an exported model of sounds: WAV files as they are, paths to text, and the script on its own."""

from __future__ import annotations

import base64
import io
import itertools
import json
import random
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

from limbeck.deploy.formats import FORMATS
from limbeck.deploy.graphs import of_module
from limbeck.deploy.standalone import write_standalone
from limbeck.modalities.speech import predict as predicting
from limbeck.modalities.speech import serve
from limbeck.modalities.speech.examples import window_start
from limbeck.modalities.speech.export import KEYWORDS, SPEECH, exportable, sound_metadata
from limbeck.modalities.speech.frontend import fit
from limbeck.modalities.speech.networks import build
from limbeck.modalities.speech.symbols import beam, path_of
from limbeck.modalities.speech.wav import read_sound, resampled, window
from limbeck.models.exported import softmax


def wav(samples: np.ndarray, rate: int = 8000, **how: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=how.get("format", "WAV"), subtype=how.get("subtype", "PCM_16"))
    return file.getvalue()


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, samples).astype(np.float32)


# WAV files


@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_samples_are_those_that_libsndfile_reads(subtype: str, form: str):
    data = wav(np.stack([noise(999), noise(999)[::-1]], 1), format=form, subtype=subtype)
    right, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    np.testing.assert_allclose(read_sound(data, 8000), right.mean(1), atol=1e-7)


@pytest.mark.parametrize(("found", "rate"), [(16_000, 8000), (44_100, 8000), (11_025, 16_000)])
def test_another_rate_is_brought_to_the_models_as_libsoxr_does(found: int, rate: int):
    at = np.arange(found) / found
    tones = sum(np.sin(2 * np.pi * hz * at) for hz in np.linspace(60, 0.4 * min(found, rate), 7)) / 8
    ours, right = resampled(tones.astype(np.float32), found, rate), soxr.resample(tones, found, rate)
    assert len(ours) == len(right) == rate
    np.testing.assert_allclose(ours[100:-100], right[100:-100], atol=2e-4)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "it is empty"),
        (b"no sound at all", "it is no WAV file"),
        (wav(noise(100))[:-50], "it is cut off: 150 of 200 bytes"),
        (wav(noise(0)), "it holds no sample"),
        (wav(np.array([0.0, np.nan]), subtype="FLOAT"), "it holds NaN or infinity"),
        (wav(500 * noise(100), subtype="FLOAT"), "divide 16-bit values by 32768"),
        (wav(noise(100))[:24] + b"\x01\0\0\0" + wav(noise(100))[28:], "its rate is 1 samples a second"),
        (wav(noise(100), subtype="ULAW"), "its samples are of 8 bits and format 7"),
    ],
)
def test_what_is_no_sound_is_said_in_a_sentence(data: bytes, says: str):
    with pytest.raises(ValueError, match=says):
        read_sound(data, 8000)


@pytest.mark.parametrize("length", range(5, 12))
def test_a_sound_lies_in_its_window_as_it_did_in_training(length: int):
    start = int(window_start(torch.tensor([length]), 8))
    right = [at - start + 1 if 0 <= at - start < length else 0 for at in range(8)]
    assert window(np.arange(1, length + 1), 8).tolist() == right


# From paths to text


def test_the_search_finds_the_sequences_that_all_paths_together_make_likeliest():
    logits_LV = np.random.default_rng(0).normal(size=(5, 3))
    shares_LV, sums = softmax(logits_LV), dict[tuple[int, ...], float]()
    for path in itertools.product(range(3), repeat=5):
        said = tuple(v for v, _ in itertools.groupby(path) if v)
        sums[said] = sums.get(said, 0) + float(np.prod([shares_LV[at, v] for at, v in enumerate(path)]))
    right = sorted(sums.items(), key=lambda one: -one[1])[:4]
    found = beam(logits_LV, 100)[:4]
    assert [symbols for symbols, _ in found] == [symbols for symbols, _ in right]
    np.testing.assert_allclose([score for _, score in found], np.log([share for _, share in right]), atol=1e-9)


def test_the_likeliest_path_leaves_out_blanks_and_repetitions_and_says_where_a_symbol_begins():
    assert path_of(np.eye(3)[[0, 1, 1, 0, 1, 2, 2, 0]]) == [(1, 1), (1, 4), (2, 5)]


# Exported models


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A keyword model in float32 and 8 bits, a causal one of symbols, the script, and a sound."""
    made = tmp_path_factory.mktemp("exported")
    sounds = torch.from_numpy(noise(64_000)).reshape(8, 8000)
    for name, model, knobs in (("words", "ds_cnn", {}), ("text", "ds_ctc", {"causal": True, "depth": 1})):
        samples, task = (8000, KEYWORDS) if name == "words" else (None, SPEECH)
        net = build(model, {"width": 8, "mels": 20, **knobs}, rate=8000, samples=samples, classes=3, seed=0).eval()
        fit(net.front, [sounds])
        names = ["left", "right", "stop"] if name == "words" else ["", "a", " "]
        graph = exportable(net, sound_metadata(net, name=name, classes=names, rate=8000, samples=samples, task=task))
        for form in ("onnx", "onnx-int8") if name == "words" else ("onnx",):
            FORMATS[form].write(graph, made / f"{name}{FORMATS[form].suffix}", [{"samples": sounds.numpy()}])
            answers = FORMATS[form].ask(made / f"{name}{FORMATS[form].suffix}")({"samples": sounds.numpy()})[0]
            right = of_module(graph)({"samples": sounds.numpy()})[0]
            most = 1e-5 if form == "onnx" else 0.1 * float(np.ptp(right))
            assert 0 < np.abs(answers - right).max() < most, form
    write_standalone(predicting.__name__, made / "predict.py")
    (made / "sound.wav").write_bytes(wav(noise(20_000), 16_000))
    return made


def test_a_file_in_8_bits_has_its_front_end_in_float32_and_no_filters_in_it(folder: Path):
    kernels = FORMATS["onnx-int8"].facts(folder / "words.int8.onnx")["kernels"]  # type: ignore[misc]
    assert kernels["float32"] == {"Conv": 3}
    assert kernels["int8"]["QLinearConv"] == 9
    said = predicting.parse_metadata(json.loads(_said(folder / "words.int8.onnx")))
    assert (folder / "words.int8.onnx").stat().st_size < json.loads(_said(folder / "words.onnx"))["input"]["front"][
        "bytes"
    ]
    assert (said.classes, said.rate, said.samples) == (("left", "right", "stop"), 8000, 8000)


@pytest.mark.parametrize("arguments", [["words.onnx"], ["text.onnx"], ["text.onnx", "--beam", "4"]])
def test_the_script_alone_says_what_the_command_says(folder: Path, arguments: list[str]):
    done = subprocess.run(
        [sys.executable, "-I", "predict.py", arguments[0], "sound.wav", *arguments[1:]],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    width = int(arguments[2]) if len(arguments) > 1 else 0
    found = predicting.predict(folder / arguments[0], [folder / "sound.wav"], width=width)
    assert done.stdout.splitlines()[1:] == predicting.table(found).splitlines()[1:]
    assert len(predicting.table(found).splitlines()) > 1


@pytest.mark.parametrize("name", ["words", "text"])
def test_uploads_that_are_damaged_anywhere_are_answered_or_refused_in_a_sentence(folder: Path, name: str):
    model, whole, draw = serve.opened(folder / f"{name}.onnx"), wav(noise(4000)), random.Random(0)
    refusals = []
    for _ in range(100):
        data = bytearray(whole[: draw.choice((46, 400, len(whole)))])
        for _ in range(draw.choice((1, 2, 5))):
            data[draw.randrange(46)] = draw.randrange(256)
        given = bytes(data[: draw.choice((len(data), draw.randrange(len(data))))])
        try:
            heard = serve.read(model, draw.choice((given, {"b64": base64.b64encode(given).decode()})), 1)
        except ValueError as error:
            refusals.append(str(error))
            continue
        (answer,) = serve.ask(model, [heard])
        assert serve.told(model, answer, 2)
    assert len(refusals) > 20
    assert all(one.startswith("sound 1 cannot be read: ") and one.endswith(".") for one in refusals)
    with warnings.catch_warnings(action="error"), pytest.raises(ValueError, match="NaN or infinity"):
        serve.read(model, wav(np.full(9, 1e300), subtype="DOUBLE"), 1)


def test_a_short_sound_of_an_odd_rate_costs_what_it_is_long():
    """Between two samples of 383,999 a second there are 4,000 places of an output; 83 are asked for."""
    tracemalloc.start()
    assert len(resampled(noise(8000), 383_999, 4000)) == 83
    assert tracemalloc.get_traced_memory()[1] < 100e6  # 209 MB for all places
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["words", "text"])
def test_a_stream_says_what_the_file_says_and_what_it_cost(folder: Path, name: str):
    told: list[str] = []
    cost = predicting.stream(folder / f"{name}.onnx", folder / "sound.wav", threshold=0.0, tell=told.append)
    assert cost["seconds"] == pytest.approx(1.25)
    assert 0 < cost["took"] / cost["seconds"] == pytest.approx(cost["share"])
    if name == "text":
        (whole,) = predicting.predict(folder / "text.onnx", [folder / "sound.wav"])
        assert " ".join(line.split("s  ", 1)[1] for line in told).split() == whole.texts[0][0].split()


def test_the_script_takes_a_stream_as_it_takes_files(folder: Path, capsys: pytest.CaptureFixture[str]):
    model, sound = str(folder / "words.onnx"), str(folder / "sound.wav")
    for arguments in ([model, "--stream", sound], [model, sound, "--stream"]):
        assert predicting.main(arguments) == 0
        assert "1.25 s of sound in" in capsys.readouterr().out
    assert predicting.main([model, "--stream", sound, sound]) == 2
    assert capsys.readouterr().err == "error: --stream feeds one WAV file, and 2 were given.\n"


def _said(path: Path) -> str:
    return predicting.open_model(path).get_modelmeta().custom_metadata_map["limbeck"]
