"""Whisper's encoder as a teacher: its frames, padding that changes nothing, what it is trained from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

pytest.importorskip("soundfile")
pytest.importorskip("transformers")

import transformers

from limbeck.errors import BadInput
from limbeck.modalities.speech.export import export_onnx, sound_metadata
from limbeck.modalities.speech.networks import build
from limbeck.modalities.speech.whisper import RATE, SLOWER, WhisperCTC
from limbeck.pipeline.job import Job, open_job
from limbeck.pipeline.teacher import the_teacher
from limbeck.recipe import draft, read
from limbeck.sections.train import Train
from limbeck.training.optimizer import optimizer_for
from tests.helpers import spoken_runs, tiny_speech

SEQUENCES = "objective={ctc_sequence_kd: {}}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data`` and a ``whisper``."""
    folder = spoken_runs.write(tmp_path_factory.mktemp("heard"))
    tiny_speech.whisper(folder / "whisper")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> WhisperCTC:
    encoder = transformers.WhisperModel.from_pretrained(folder / "whisper").encoder
    return WhisperCTC(encoder, 5).eval()


def job(folder: Path, out: Path, *overrides: str) -> Job:
    teacher = f"teacher={{model: '{folder / 'whisper'}', train: {{epochs: 1, batch_size: 8}}}}"
    return spoken_runs.job(folder, out, teacher, f"data.rate={RATE}", "data.limit=24", *overrides)


@torch.no_grad()
def test_frames_and_states_are_those_of_transformers(model: WhisperCTC) -> None:
    samples_BS = tiny_speech.clips(RATE, 2.2, 2.2)["samples_BS"]
    extractor = transformers.WhisperFeatureExtractor(chunk_length=3)
    wanted = extractor(list(samples_BS.numpy()), sampling_rate=RATE, return_tensors="pt").input_features
    mel_BFT = model.front(samples_BS, None)
    assert mel_BFT.shape == (2, 80, 220)
    torch.testing.assert_close(mel_BFT, wanted[:, :, :220], rtol=0, atol=1e-5)
    states_BLH = model._encoded(wanted, None)
    torch.testing.assert_close(states_BLH, model.encoder(wanted).last_hidden_state, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_clip_alone_is_answered_as_it_is_beside_longer_ones(model: WhisperCTC) -> None:
    given = tiny_speech.clips(RATE, 2.2, 1.3001, 1.3057, 0.02, 3.5)
    together_BLV, frames_B = model(**given), model.frames_of(given["lengths_B"])
    assert together_BLV.shape == (5, int(frames_B.max()), 5)
    assert together_BLV.std() > 0.1
    for b, length in enumerate(given["lengths_B"].tolist()):
        alone_LV = model(given["samples_BS"][b : b + 1, :length])[0]
        assert len(alone_LV) == frames_B[b]
        torch.testing.assert_close(together_BLV[b, : len(alone_LV)], alone_LV, rtol=0, atol=1e-4)


def test_its_frames_are_those_of_a_student_of_ours_of_20_ms(model: WhisperCTC) -> None:
    student = build("ds_ctc", {"stride": 2, "width": 8, "depth": 1}, rate=RATE, samples=None, classes=5, seed=0)
    lengths_B = torch.arange(1, 4000, 7)
    assert torch.equal(model.frames_of(lengths_B), student.frames_of(lengths_B))


def test_its_file_answers_clips_of_any_length_as_it_does(model: WhisperCTC, tmp_path: Path) -> None:
    metadata = sound_metadata(
        model, name="teacher", classes=["", *" abc"], rate=RATE, samples=None, task="automatic-speech-recognition"
    )
    export_onnx(model, tmp_path / "teacher.onnx", metadata)
    session = onnxruntime.InferenceSession(str(tmp_path / "teacher.onnx"))
    for seconds in (2.2, 1.3001, 0.02):
        samples_BS = tiny_speech.clips(RATE, seconds)["samples_BS"]
        (found,) = session.run(None, {"samples": samples_BS.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, model(samples_BS).numpy(), rtol=0, atol=1e-4)


def test_its_encoder_learns_more_slowly_than_its_head(model: WhisperCTC) -> None:
    groups = optimizer_for([model], Train(optimizer="adamw")).param_groups
    pace_of = {parameter: group.get("pace") for group in groups for parameter in group["params"]}
    trained = {name: pace_of.pop(one) for name, one in model.named_parameters() if one.requires_grad}
    assert not pace_of
    assert {name for name, pace in trained.items() if pace is None} == {"head.weight", "head.bias"}
    assert {pace for name, pace in trained.items() if name.startswith("encoder.")} == {SLOWER}


def test_it_is_trained_here_and_students_of_other_frames_learn_its_transcripts(folder: Path, tmp_path: Path) -> None:
    meets = job(folder, tmp_path / "meets")  # the student's frames are its own
    assert [one.name for one in meets.codecs.codecs] == ["dense"]
    before = {name: one.clone() for name, one in meets.teacher.state_dict().items()}
    learnt = the_teacher(meets).model.state_dict()
    moved = {name: float((one - before[name]).abs().mean()) for name, one in learnt.items()}
    assert 0 < moved["encoder.layers.0.fc1.weight"] < moved["head.weight"] / 3
    assert moved["encoder.embed_positions.weight"] == 0
    other = "student={model: ds_ctc, width: 16, depth: 1, stride: 3, mels: 20}"
    with pytest.raises(
        BadInput, match=r"ctc_frame_kd compares frame by frame.*give both the same stride, or take ctc_sequence_kd"
    ):
        job(folder, tmp_path / "other", other)
    assert len(the_teacher(job(folder, tmp_path / "heard", other, SEQUENCES)).history) == 1


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["data.rate=8000"],
            "hears sound at 16,000 samples a second, and the clips are at 8,000: set data.rate: 16000",
        ),
        (["teacher.train=null"], "has no head for the data's symbols.*give teacher.train"),
        (["teacher.width=8"], "teacher.width: .* is as large as its checkpoint and has no knobs"),
        (["student.model=openai/whisper-tiny"], "student.model: openai/whisper-tiny is meant for a checkpoint"),
        (["teacher.model=./nowhere/at/all"], "teacher: there is no folder nowhere/at/all"),
    ],
)
def test_what_cannot_be_the_teacher_is_said_in_a_sentence(folder: Path, overrides: list[str], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        job(folder, folder / "none", *overrides)


def test_a_recipe_is_drafted_for_it(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "drafted.yaml"
    draft.write(
        teacher="openai/whisper-tiny.en",
        data=str(folder / "data"),
        student=None,
        out=out,
        task="automatic-speech-recognition",
    )
    recipe = read.read(out)
    assert (recipe.data.rate, recipe.student.knobs["stride"], recipe.teacher.train.batch_size) == (RATE, 2, 8)


def test_weights_of_something_else_are_refused(folder: Path, tmp_path: Path) -> None:
    bert = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9
    )
    tiny_speech.saved(transformers.BertModel(bert), tmp_path / "bert")
    recipe = spoken_runs.recipe(folder, f"teacher={{model: '{tmp_path / 'bert'}', train: {{}}}}", f"data.rate={RATE}")
    with pytest.raises(BadInput, match="is of the kind 'bert', and what hears symbols at frames are"):
        open_job(recipe, quiet=True, out=tmp_path / "run", device="cpu")
    lacking = tiny_speech.whisper(tmp_path / "lacking", encoder_layers=1)
    config = (tmp_path / "lacking" / "config.json").read_text().replace('"encoder_layers": 1', '"encoder_layers": 2')
    (lacking / "config.json").write_text(config)
    recipe = spoken_runs.recipe(folder, f"teacher={{model: '{lacking}', train: {{}}}}", f"data.rate={RATE}")
    with pytest.raises(BadInput, match=r"are not those of a WhisperModel: 'encoder.layers.1"):
        open_job(recipe, quiet=True, out=tmp_path / "run", device="cpu")
