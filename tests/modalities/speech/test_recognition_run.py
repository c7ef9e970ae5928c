"""Speech recognition from a recipe to a report, and what is written there, read and asked again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

pytest.importorskip("soundfile")

import limbeck
from limbeck.compare import file as comparison_file
from limbeck.compare.run import compare
from limbeck.deploy.formats import cost
from limbeck.deploy.latency import in_turns
from limbeck.errors import BadInput
from limbeck.evaluation.alignment import edits
from limbeck.modalities.speech import serve
from limbeck.modalities.speech.audio import as_wav
from limbeck.modalities.speech.knobs import knobs
from limbeck.pipeline.job import open_job
from limbeck.pipeline.run import distil
from limbeck.recipe import draft, read
from limbeck.searching.results import search
from tests.helpers import spoken_runs


class Tones(torch.nn.Module):
    """A recogniser of a person's own: what sounds about each frame, a convolution over it, symbols."""

    def __init__(self) -> None:
        super().__init__()
        self.bands = torch.nn.Conv1d(1, 24, 80, stride=40, bias=False)
        self.near = torch.nn.Conv1d(24, 24, 5, padding=2)
        self.symbols = torch.nn.Linear(24, 5)

    def forward(self, samples_BS: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        own_BS = torch.arange(samples_BS.shape[1]) < lengths_B[:, None]
        heard_BHL = (self.bands(torch.nn.functional.pad(samples_BS * own_BS, (0, 79))[:, None]).square() + 1e-4).log()
        own_BL = torch.arange(heard_BHL.shape[2]) < self.frames_of(lengths_B)[:, None]
        return self.symbols(
            (heard_BHL * own_BL[:, None] + self.near(heard_BHL * own_BL[:, None]).relu()).transpose(1, 2)
        )

    def frames_of(self, lengths_B: torch.Tensor) -> torch.Tensor:
        return (lengths_B + 39) // 40


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


def test_a_teacher_of_ones_own_teaches_from_python(folder: Path, tmp_path: Path) -> None:
    teacher: Any = limbeck.load(folder / "run")
    texts = [spoken_runs.words(seed) for seed in range(60)]
    sounds = [torch.from_numpy(spoken_runs.spoken(text, seed)) for seed, text in enumerate(texts)]
    wrong = sum(edits(teacher.transcribe(sound), text).all for sound, text in zip(sounds[45:], texts[45:]))
    given: dict[str, Any] = {
        "task": "automatic-speech-recognition",
        "teacher": teacher.model,
        "student": Tones,
        "train": (sounds[:45], texts[:45]),
        "test": list(zip(sounds[45:], texts[45:], strict=True)),
        "transfer": [spoken_runs.spoken(spoken_runs.words(seed), seed) for seed in range(60, 75)],
        "alphabet": " abc",
        "rate": spoken_runs.RATE,
        "out": tmp_path / "run",
    }
    with pytest.raises(limbeck.BadInput, match=r"ctc_frame_kd compares frame by frame.* take ctc_sequence_kd"):
        limbeck.distill(**given)
    result = limbeck.distill(
        **given,
        objective=limbeck.CTCSequenceKD() + limbeck.CTC(),
        train_plan=limbeck.Train(epochs=12, batch_size=8, learning_rate=0.02),
    )
    found = result.results["teacher"]["metrics"]["error_rate"]["mean"]
    assert found == pytest.approx(wrong / len("".join(texts[45:])), abs=0.03)  # of spaces at its ends nothing is told
    assert result.metrics["error_rate"] < 0.9  # 1 where nothing is said
    again: Any = limbeck.load(tmp_path / "run", model=Tones())
    said = result.student.transcribe(sounds[50])
    assert again.transcribe(sounds[50]) == said
    run = [sys.executable, str(tmp_path / "run" / "predict.py"), str(result.export()), str(tmp_path / "one.wav")]
    (tmp_path / "one.wav").write_bytes(as_wav(sounds[50].numpy(), spoken_runs.RATE))
    assert said in subprocess.run(run, capture_output=True, text=True, check=True).stdout
    for changes, sentence in (
        (
            {"alphabet": "abc"},
            r"split 'train', row \d+: the transcript has ' ', which the alphabet lacks: add it to alphabet",
        ),
        ({"train": (sounds[:45], texts[:44])}, "train has 45 sounds and 44 transcripts"),
        ({"train": (sounds[:45], list(range(45)))}, "row 0: the transcript is of type int; a text is right"),
        ({"seconds": 0.01}, r"every clip is longer than 0\.01 s: give more seconds"),
        ({"classes": ["a"]}, "classes is not for task: automatic-speech-recognition"),
        ({"rate": None}, "rate is not given"),
    ):
        with pytest.raises(limbeck.BadInput, match=sentence):
            limbeck.distill(**given | changes)


def test_a_file_and_a_model_teach_together_frame_by_frame(folder: Path, tmp_path: Path) -> None:
    file = f"{{onnx: '{folder / 'run' / 'student.onnx'}'}}"
    other = "{model: ds_ctc, width: 16, depth: 1, stride: 2, mels: 20, train: {epochs: 1}}"
    job = spoken_runs.job(folder, tmp_path / "run", f"teacher={{ensemble: [{other}, {file}]}}")
    index_B = torch.tensor([3, 0, 7])
    batch = job.task.batch(job.task.train, index_B, torch.zeros_like(index_B), job.recipe.views)
    both, *alone = [job.task.answer(model, batch) for model in (job.teacher, *(one.model for one in job.teachers))]
    assert alone[0].lengths.tolist() == both.lengths.tolist() == alone[1].lengths.tolist()
    mean_PV = torch.stack([one.logits.softmax(1) for one in alone]).mean(0)
    torch.testing.assert_close(both.logits.exp(), mean_PV)
    known: Any = limbeck.load(folder / "run")
    for row, length in enumerate(batch.inputs["lengths_B"]):
        theirs = known(batch.inputs["samples_BS"][row : row + 1, :length])[0]
        torch.testing.assert_close(alone[1].logits.split(both.lengths.tolist())[row], theirs, atol=1e-3, rtol=0)
    for teacher, sentence in (
        (
            f"{{ensemble: [{other.replace('stride: 2', 'stride: 3')}, {file}]}}",
            r"teacher\.ensemble\.1: student\.onnx answers .* give all the same stride",
        ),
        (file, "was made for other symbols than the data's: its symbol 1 is ' ', the data's is 'a'"),
    ):
        letters = () if "ensemble" in teacher else ("data.alphabet='abc '",)
        with pytest.raises(BadInput, match=sentence):
            spoken_runs.job(folder, tmp_path / "run", f"teacher={teacher}", *letters)


def test_students_of_any_stride_are_searched_and_compared(folder: Path, tmp_path: Path) -> None:
    values = yaml.safe_load(spoken_runs.RECIPE)
    values["data"] |= {"name": str(folder / "data"), "limit": 32}
    values["teacher"]["train"]["epochs"] = values["train"]["epochs"] = 1
    assert not {"student.stride", "student.hop_ms", "teacher.stride"} & set(knobs(read.from_dict(values)))
    values["objective"] = {"ctc": {}, "ctc_sequence_kd": {}}
    assert {"student.stride", "student.hop_ms", "teacher.stride"} <= set(knobs(read.from_dict(values)))
    space = {"student.stride": [2, 3], "student.width": [12, 16], "student.model": "ds_ctc"}
    settings = {"trials": 2, "finalists": 1, "rungs": [], "budget": {"parameters": 30_000}, "space": space}
    found = search(read.from_dict({**values, "search": settings}), out=tmp_path / "search", device="cpu")
    assert found["chosen"] is not None
    assert found["finalists"][0]["problem"] is None
    (tmp_path / "whistled.yaml").write_text(yaml.safe_dump(values))
    rows = "objectives:\n  heard: {ctc_sequence_kd: {}}\nstudents:\n  two: {model: ds_ctc, width: 12, depth: 1, stride: 2, mels: 20}\n"
    (tmp_path / "two.yaml").write_text(f"recipe: whistled.yaml\n{rows}")
    compared = compare(comparison_file.read(tmp_path / "two.yaml"), out=tmp_path / "compared", device="cpu")
    assert {row["student"] for row in compared["rows"]} == {"two"}
