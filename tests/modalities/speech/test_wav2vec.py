"""Models of transformers that take samples as teachers: symbols and classes put in order, padding that changes nothing, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

pytest.importorskip("soundfile")
pytest.importorskip("transformers")

import transformers

from limbeck.errors import BadInput
from limbeck.modalities.speech.export import export_onnx, sound_metadata
from limbeck.modalities.speech.wav2vec import SampleCTC, normalised
from limbeck.pipeline.job import Job, open_job
from limbeck.pipeline.teacher import the_teacher
from limbeck.training.optimizer import optimizer_for
from tests.helpers import sound_runs, spoken_runs, tiny_speech

RATE = 16_000
LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", "C", "B", "A", "E"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data`` and models for CTC that normalise by ``group`` and by ``layer``."""
    folder = spoken_runs.write(tmp_path_factory.mktemp("ctc"))
    for norm in ("group", "layer"):
        tiny_speech.for_ctc(folder / norm, LETTERS, feat_extract_norm=norm)
    return folder


def job(folder: Path, out: Path, teacher: str, *overrides: str) -> Job:
    return spoken_runs.job(
        folder, out, f"teacher={{model: '{folder / teacher}'}}", f"data.rate={RATE}", "data.limit=8", *overrides
    )


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_its_symbols_are_the_datas_and_a_clip_alone_is_answered_as_beside_longer_ones(
    folder: Path, tmp_path: Path, norm: str
) -> None:
    opened = job(folder, tmp_path / "run", norm)
    model: Any = opened.teacher
    assert isinstance(model, SampleCTC)
    assert [opened.splits.answers.names[k] for k in range(5)] == ["", " ", "a", "b", "c"]
    assert model.outputs.tolist() == [0, 4, 7, 6, 5]
    assert any("knows 'E' besides" in note for one in opened.teachers for note in one.notes)
    assert model.one_by_one == (norm == "group")
    given = tiny_speech.clips(RATE, 1.0, 0.7303, 0.01)
    theirs = transformers.Wav2Vec2ForCTC.from_pretrained(folder / norm).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder / norm)
    with torch.no_grad():
        together_BLV, frames_B = model(**given), model.frames_of(given["lengths_B"])
        for b, length in enumerate(given["lengths_B"].tolist()):
            alone_S = given["samples_BS"][b, :length]
            alone_LV = model(alone_S[None])[0]
            assert len(alone_LV) == frames_B[b]
            torch.testing.assert_close(together_BLV[b, : len(alone_LV)], alone_LV, rtol=0, atol=1e-4)
            if length > 400:
                values = extractor(alone_S.numpy(), sampling_rate=RATE, return_tensors="pt").input_values
                wanted_LV = theirs(values).logits[0, : len(alone_LV), [0, 4, 7, 6, 5]]
                torch.testing.assert_close(alone_LV, wanted_LV, rtol=0, atol=1e-4)


def test_its_file_answers_clips_of_any_length_as_it_does(folder: Path, tmp_path: Path) -> None:
    network = transformers.Wav2Vec2ForCTC.from_pretrained(folder / "layer")
    model = SampleCTC(network, [0, 4, 7, 6, 5], normalise=True).eval()
    metadata = sound_metadata(
        model, name="teacher", classes=["", *" abc"], rate=RATE, samples=None, task="automatic-speech-recognition"
    )
    export_onnx(model, tmp_path / "teacher.onnx", metadata)
    session = onnxruntime.InferenceSession(str(tmp_path / "teacher.onnx"))
    for seconds in (1.2, 0.7303, 0.01):
        samples_BS = tiny_speech.clips(RATE, seconds)["samples_BS"]
        (found,) = session.run(None, {"samples": samples_BS.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, model(samples_BS).numpy(), rtol=0, atol=1e-4)


def test_clips_are_normalised_as_its_feature_extractor_does() -> None:
    given = tiny_speech.clips(RATE, 0.05, 0.03)
    own_BS = torch.arange(given["samples_BS"].shape[1]) < given["lengths_B"][:, None]
    clips = [one[own] for one, own in zip(given["samples_BS"].numpy(), own_BS.numpy())]
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    wanted = extractor(clips, sampling_rate=RATE, padding=True, return_tensors="pt").input_values
    torch.testing.assert_close(normalised(given["samples_BS"], own_BS), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "overrides", "sentence"),
    [
        (
            {"letters": LETTERS[:-2]},
            (),
            r"knows no 'a', which the data's alphabet has: map them to others \(data.replace\)",
        ),
        ({"pad_token_id": 1}, (), "the blank of .* is its padding token, 1 in config.json and 0 in its tokenizer"),
        ({}, ("data.rate=8000",), "hears sound at 16,000 samples a second, and the clips are at 8,000"),
    ],
)
def test_an_alphabet_that_cannot_be_mapped_is_refused(
    folder: Path, tmp_path: Path, settings: dict[str, Any], overrides: tuple[str, ...], sentence: str
) -> None:
    letters = settings.pop("letters", LETTERS)
    tiny_speech.for_ctc(folder / tmp_path.name, letters, **settings)
    with pytest.raises(BadInput, match=sentence):
        job(folder, tmp_path / "run", tmp_path.name, *overrides)


def test_a_classifier_of_sounds_is_a_teacher_and_one_without_a_head_is_given_one(tmp_path: Path) -> None:
    sound_runs.write(tmp_path)
    classes = ["mid", "low", "<b>high"]

    def opened(teacher: str, *overrides: str) -> Job:
        recipe = sound_runs.recipe(tmp_path, f"teacher={teacher}", f"data.rate={RATE}", *overrides)
        return open_job(recipe, quiet=True, out=tmp_path / "run", device="cpu")

    tiny_speech.classifier(tmp_path / "named", dict(enumerate(classes)))
    found = opened(f"{{model: '{tmp_path / 'named'}'}}")
    names = list(found.splits.classes)
    assert sorted(names) == sorted(classes)
    theirs = transformers.Wav2Vec2ForSequenceClassification.from_pretrained(tmp_path / "named").eval()
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(tmp_path / "named")
    sounds_BS = tiny_speech.clips(RATE, 1.0, 1.0)["samples_BS"]
    with torch.no_grad():
        wanted = theirs(extractor(list(sounds_BS.numpy()), sampling_rate=RATE, return_tensors="pt").input_values).logits
        order = [classes.index(name) for name in names]
        torch.testing.assert_close(found.teacher(sounds_BS), wanted[:, order], rtol=0, atol=1e-4)
    tiny_speech.saved(theirs.wav2vec2, tmp_path / "body")
    extractor.save_pretrained(tmp_path / "body")
    with pytest.raises(BadInput, match="has no head for the task"):
        opened(f"{{model: '{tmp_path / 'body'}'}}")
    headless = opened(f"{{model: '{tmp_path / 'body'}', train: {{epochs: 1}}}}")
    paces = {
        group.get("pace") for group in optimizer_for([headless.teacher], headless.recipe.teacher.train).param_groups
    }
    assert len(paces) == 2
    assert len(the_teacher(headless).history) == 1
    with pytest.raises(
        BadInput, match=r"student.model: some/where is meant for a checkpoint, which can be a teacher alone"
    ):
        opened(f"{{model: '{tmp_path / 'named'}'}}", "student={model: some/where}")
