"""Speech recognition from a recipe to a report, and what is written there, read and asked again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("soundfile")

from limbeck.deploy.formats import cost
from limbeck.deploy.latency import in_turns
from limbeck.errors import BadInput
from limbeck.modalities.speech import serve
from limbeck.pipeline.job import open_job
from limbeck.pipeline.run import distil
from limbeck.recipe import draft, read
from tests.helpers import spoken_runs

BOTH = "objective={ctc: {}, ctc_frame_kd: {}, ctc_sequence_kd: {weight: 0.5}}"
SHORT = ("teacher.train.epochs=6", "train.epochs=5", BOTH)


@pytest.fixture(scope="module", autouse=True)
def quickly_timed() -> Iterator[None]:
    """How fast a model is is no claim here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "in_turns", partial(in_turns, seconds=0.1))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data`` and the finished ``run`` of it."""
    folder = spoken_runs.write(tmp_path_factory.mktemp("spoken"))
    distil(spoken_runs.job(folder, folder / "run", *SHORT))
    return folder


def test_a_run_goes_from_a_table_of_transcripts_to_a_page_of_them(folder: Path) -> None:
    results = json.loads((folder / "run" / "results.json").read_text(encoding="utf-8"))
    errors = {key: results[key]["metrics"]["error_rate"]["mean"] for key in ("teacher", "student", "baseline")}
    assert errors["teacher"] < 0.15
    assert errors["student"] < errors["baseline"]
    assert results["answers"] == {"kind": "frames", "width": 5, "names": ["", " ", "a", "b", "c"]}
    assert results["targets"]["codec"] == "dense"
    assert results["export"]["parity"]["passed"]
    assert results["student"]["crowded"] == []
    assert results["parts"]["groups"] is None
    assert min(row["said"] for row in results["parts"]["words"]["rows"]) >= 3
    assert set(results["comparison"]["baseline"]) == {"error_rate", "nll", "word_error_rate", "whole"}
    page = (folder / "run" / "report.html").read_text(encoding="utf-8")
    for said in ("What is taken for what?", "What the student lost", "<audio", "symbol error rate", "not heard"):
        assert said in page, said
    assert "samples, one thread" in page


def test_answers_are_the_same_bits_where_all_before_them_was_found_finished(folder: Path, tmp_path: Path) -> None:
    """A teacher that was asked in this process answers as one that was read from disk."""
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    (evaluated,) = (run / "stages" / "evaluate").iterdir()
    before = load_file(evaluated / "answers.safetensors")
    shutil.rmtree(evaluated)
    distil(spoken_runs.job(folder, run, *SHORT))
    after = load_file(evaluated / "answers.safetensors")
    assert after.keys() == before.keys()
    assert [name for name, value in after.items() if not torch.equal(value, before[name])] == []


def test_predict_stands_alone_and_a_server_says_what_the_file_says(folder: Path) -> None:
    run, sound = folder / "run", folder / "data" / "sounds" / "test-0.wav"
    said = subprocess.run(
        [sys.executable, str(run / "predict.py"), str(run / "student.onnx"), str(sound)], capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    model = serve.opened(run / "student.onnx")
    heard = serve.read(model, sound.read_bytes(), 0)
    (answer,) = serve.ask(model, [heard])
    text = serve.told(model, answer, 1)["text"]
    assert text
    assert text in said.stdout
    assert serve.sureness(model, [answer]) is None


def test_a_recipe_is_drafted_and_what_contradicts_itself_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "drafted.yaml"
    drafted = draft.write(
        teacher="conformer_ctc", data=str(folder / "data"), student=None, out=out, task="automatic-speech-recognition"
    )
    recipe = read.read(out)
    assert (recipe.task, recipe.student.model, recipe.data.validation) == (
        "automatic-speech-recognition",
        "ds_ctc",
        "validation",
    )
    assert any("minutes of transcribed speech are little" in one for one in drafted.warnings)
    of_one_family = draft.write(
        teacher="ds_ctc", data=str(folder / "data"), student=None, out=tmp_path / "own.yaml", task=recipe.task
    )
    assert any(line.startswith("The student has 1/") for line in of_one_family.said)
    with pytest.raises(BadInput, match="for transcripts add --task automatic-speech-recognition"):
        draft.write(teacher="ds_ctc", data=str(folder / "data"), student=None, out=tmp_path / "none.yaml")
    recogniser = "teacher={recogniser: 'tests.helpers.spoken_runs:listener', sureness: 0.9}"
    for override, sentence in (
        ("student={model: ds_cnn}", "student.model: ds_cnn gives one answer a sound"),
        (
            "objective={kd: {}}",
            "kd reads an answer as one class of several, and .* an example has a transcript.* take ctc_frame_kd",
        ),
        ("targets.average=true", "targets.average: an utterance has an answer at each of its frames"),
        (recogniser, "teacher.recogniser gives transcripts, and no probabilities at frames; take ctc_sequence_kd"),
    ):
        with pytest.raises(BadInput, match=sentence):
            spoken_runs.recipe(folder, override)
    heard = spoken_runs.recipe(folder, recogniser, "objective={ctc_sequence_kd: {}}")
    with pytest.raises(BadInput, match="pass --trust-code"):
        open_job(heard, quiet=True, out=tmp_path / "run", device="cpu")
    job = open_job(heard, quiet=True, out=tmp_path / "run", device="cpu", trust_code=True)
    assert job.codecs.codecs[0].name == "hypotheses"
