"""Keywords from a recipe to a report, and wherever else a finished run is used."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

pytest.importorskip("soundfile")

import limbeck
from limbeck.compare import file as comparison_file
from limbeck.compare.run import compare
from limbeck.deploy.formats import cost
from limbeck.deploy.latency import in_turns
from limbeck.modalities.speech import serve
from limbeck.modalities.speech.recipe import AudioRecipe
from limbeck.pipeline.more_formats import export_as
from limbeck.pipeline.run import distil
from limbeck.recipe import draft, read
from limbeck.searching.results import search
from tests.helpers import sound_runs
from tests.helpers.sound_runs import PITCHES, RATE, whistle, write_wav
from tests.helpers.text_runs import limbeck as command


@pytest.fixture(scope="module", autouse=True)
def quickly_timed() -> Iterator[None]:
    """How fast a model is is no claim here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "in_turns", partial(in_turns, seconds=0.1))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data``, ``whistles.yaml`` and the finished run of it, ``run``."""
    folder = sound_runs.write(tmp_path_factory.mktemp("whistles"))
    distil(sound_runs.job(folder, folder / "run", "student.width=8", "train.epochs=20", "teacher.train.epochs=12"))
    return folder


def results_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "run" / "results.json").read_text(encoding="utf-8"))


def test_a_run_goes_from_files_to_a_page_on_which_the_clips_are_played(run: Path) -> None:
    results = results_of(run)
    assert results["data"]["classes"] == sorted(PITCHES)
    assert results["data"]["sound"]["rate"] == RATE
    assert results["data"]["sound"]["samples"] == RATE // 4
    assert results["teacher"]["metrics"]["accuracy"]["mean"] > 0.4  # of three classes
    assert results["export"]["parity"]["n"] == 3 * sound_runs.COUNTS["test"]
    page = (run / "run" / "report.html").read_text(encoding="utf-8")
    assert "<audio" in page
    assert "data:audio/wav;base64," in page
    assert "<b>high" not in page


def test_what_is_exported_says_the_same_on_the_command_line_over_http_and_from_python(run: Path) -> None:
    folder = run / "run"
    sound = whistle(PITCHES["low"], 77)
    wav = write_wav(run / "asked.wav", sound)
    code, out, _ = command(run, "predict", folder, wav, "--json")
    (told,) = json.loads(out)
    assert code == 0
    best = told["top"][0]
    assert best["class"] in PITCHES
    model = serve.opened(folder / "student.onnx")
    given = [wav.read_bytes(), {"b64": base64.b64encode(wav.read_bytes()).decode()}]
    answers = serve.ask(model, [serve.read(model, one, number) for number, one in enumerate(given, 1)])
    for answer in answers:
        (served,) = serve.told(model, answer, 1)["top"]
        assert served == {"class": best["class"], "probability": pytest.approx(best["probability"], abs=1e-3)}
    student: Any = limbeck.load(folder)
    heard = torch.from_numpy((sound * 32767).astype("<i2"))[None]
    torch.testing.assert_close(student(heard), torch.from_numpy(answers[:1]), atol=1e-3, rtol=0)
    with pytest.raises(limbeck.BadInput, match=r"run from -[0-9.]+ to [0-9.]+: floats must lie in -1 to 1"):
        student(32768 * heard.float() / 32767)


def test_what_is_no_sound_is_refused_in_a_sentence(run: Path) -> None:
    model = serve.opened(run / "run" / "student.onnx", largest=20_000)
    with pytest.raises(ValueError, match=r"sound 3 cannot be read: .*WAV"):
        serve.read(model, b"no sound at all", 3)
    with pytest.raises(serve.TooLarge, match="more than the 20000 samples"):
        serve.read(model, bytes(30_000), 1)
    (run / "text.wav").write_bytes(b"no sound at all")
    code, _, error = command(run, "predict", run / "run", run / "text.wav")
    assert code == 2
    assert "text.wav" in error
    assert "Traceback" not in error


def test_its_student_is_exported_in_8_bits_afterwards(run: Path) -> None:
    results = export_as(run / "run", ("onnx-int8",))
    small = results["formats"]["files"]["onnx-int8"]
    assert small["metrics"]["accuracy"] >= results["student"]["metrics"]["accuracy"]["mean"] - 0.1


def test_a_draft_of_a_folder_of_sounds_is_a_recipe_that_runs(run: Path) -> None:
    out = run / "drafted.yaml"
    given = ["data.seconds=0.25"]
    drafted = draft.write(teacher="speech_resnet", data=str(run / "data"), student=None, out=out, overrides=given)
    written = read.read(out)
    assert isinstance(written, AudioRecipe)
    assert (written.data.seconds, written.student.model) == (0.25, "ds_cnn")
    assert any("3 classes" in line for line in drafted.text.splitlines())
    assert any(line.startswith("The student has 1/") for line in drafted.said)


def test_a_search_and_a_comparison_of_sounds(run: Path, tmp_path: Path) -> None:
    values = yaml.safe_load(sound_runs.RECIPE)
    values["data"]["name"] = str(run / "data")
    values["search"] = {
        "trials": 2,
        "finalists": 1,
        "rungs": [],
        "budget": {"parameters": 3000},
        "space": {"student.width": [4, 6], "student.model": "ds_cnn"},
    }
    found = search(read.from_dict(values), out=tmp_path / "search", device="cpu")
    assert found["chosen"] is not None
    assert found["finalists"][0]["problem"] is None
    del values["search"]
    (tmp_path / "whistles.yaml").write_text(yaml.safe_dump(values))
    rows = "recipe: whistles.yaml\nobjectives:\n  kd: {kd: {temperature: 2}}\n  logits: {mse_logits: {}}\n"
    (tmp_path / "two.yaml").write_text(rows)
    compared = compare(comparison_file.read(tmp_path / "two.yaml"), out=tmp_path / "compared", device="cpu")
    assert len(compared["rows"]) >= 2


def test_a_teacher_of_ones_own_teaches_from_python(tmp_path: Path) -> None:
    class Pitch(torch.nn.Module):
        """The logarithm of the power about each pitch."""

        def __init__(self) -> None:
            super().__init__()
            time = torch.arange(1000) / RATE
            bank = [torch.exp(2j * torch.pi * torch.tensor(pitch * near) * time) for pitch in (300, 700, 1400) for near in (0.92, 1, 1.08)]  # fmt: skip
            self.register_buffer("bank", torch.stack(bank))
            self.scale = torch.nn.Parameter(torch.tensor(3.0))

        def forward(self, samples_BS: torch.Tensor) -> torch.Tensor:
            power = torch.view_as_real(samples_BS.to(self.bank.dtype) @ self.bank.T).pow(2).sum(-1)
            return self.scale * (power.view(-1, 3, 3).sum(2) + 1e-3).log()

    class Small(torch.nn.Sequential):
        def __init__(self) -> None:
            super().__init__(
                torch.nn.Unflatten(1, (1, -1)),
                torch.nn.Conv1d(1, 8, 32, stride=8),
                torch.nn.ReLU(),
                torch.nn.AdaptiveMaxPool1d(1),
                torch.nn.Flatten(),
                torch.nn.Linear(8, 3),
            )

    sounds = [
        whistle(pitch, 100 * c + k, 0.15 + 0.02 * (k % 8))
        for c, pitch in enumerate((300, 700, 1400))
        for k in range(40)
    ]
    result = limbeck.distill(
        task="audio-classification",
        teacher=Pitch(),
        student=Small,
        train=(sounds, np.repeat(np.arange(3), 40)),
        rate=RATE,
        seconds=0.25,
        classes=["low", "mid", "high"],
        views={"shift": 0.02},
        train_plan=limbeck.Train(epochs=8, batch_size=16, learning_rate=0.02),
        out=tmp_path / "run",
    )
    assert result.results["teacher"]["metrics"]["accuracy"]["mean"] > 0.9
    assert result.metrics["accuracy"] > 0.6
    assert limbeck.load(tmp_path / "run", model=Small())(torch.from_numpy(sounds[0])[None]).argmax() == 0
    with pytest.raises(limbeck.BadInput, match="rate is not given"):
        limbeck.distill(task="audio-classification", teacher=Pitch(), student=Small, train=(sounds, [0] * 120))
