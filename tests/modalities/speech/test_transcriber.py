"""A model of transformers as a recogniser: what it says and how sure it is, long clips, other rates, and what is refused."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("soundfile")
pytest.importorskip("transformers")

import transformers

from limbeck.errors import BadInput
from limbeck.modalities.speech.transcriber import Transcriber
from limbeck.pipeline.job import open_job
from tests.helpers import spoken_runs, tiny_speech

RATE = 16_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Whisper that hears three seconds."""
    return tiny_speech.with_words(tiny_speech.whisper(tmp_path_factory.mktemp("writing") / "whisper"))


def sound(seconds: float) -> np.ndarray:
    return tiny_speech.clips(RATE, seconds)["samples_BS"][0].numpy()


def test_it_says_what_transformers_says_as_surely_as_its_tokens_are_probable(folder: Path) -> None:
    hears = Transcriber(str(folder), {})
    text, sureness = hears(sound(1.7), RATE)
    model = transformers.WhisperForConditionalGeneration.from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    features = processor(sound(1.7), sampling_rate=RATE, return_tensors="pt").input_features
    with torch.inference_mode():
        said = model.generate(features)
        begun = torch.cat([torch.tensor([[1, 59]]), said], 1)
        log_KW = model(features, decoder_input_ids=begun[:, :-1]).logits[0].log_softmax(-1)
    wanted = log_KW.gather(1, begun[0, 1:, None])[1:].mean()  # all but the two that it is made to begin with
    assert text == processor.batch_decode(said, skip_special_tokens=True)[0].strip()
    assert len(text) > 2
    assert sureness == pytest.approx(math.exp(wanted), rel=1e-4)


def test_a_long_clip_is_heard_in_parts_and_one_of_another_rate_as_the_same_sound(folder: Path) -> None:
    hears = Transcriber(str(folder), {})
    long = sound(5.0)
    parts = [hears(part, RATE) for part in np.array_split(long, 2)]
    text, sureness = hears(long, RATE)
    assert text == " ".join(said for said, _ in parts)
    assert min(one for _, one in parts) <= sureness <= max(one for _, one in parts)
    slow = np.sin(np.arange(2 * RATE) * 0.05).astype(np.float32)
    assert hears(slow, RATE)[1] == pytest.approx(hears(slow[::2].copy(), RATE // 2)[1], rel=0.05)


def test_it_is_a_teacher_that_is_known_by_its_weights_and_not_by_its_place(folder: Path, tmp_path: Path) -> None:
    spoken_runs.write(tmp_path)
    shutil.copytree(folder, tmp_path / "copied")
    asked = []
    for place, further in ((folder, ""), (tmp_path / "copied", ""), (folder, ", num_beams: 2")):
        recipe = spoken_runs.recipe(
            tmp_path, f"teacher={{recogniser: '{place}'{further}}}", "objective={ctc_sequence_kd: {}}", "data.limit=8"
        )
        assert recipe.teacher.comes_from == str(place)
        job = open_job(recipe, quiet=True, out=tmp_path / "run", device="cpu")
        assert [one.name for one in job.codecs.codecs] == ["hypotheses"]
        asked.append(job.code["teachers"])
    assert asked[0] == asked[1]
    assert asked[0] != asked[2]


def test_what_writes_down_nothing_is_refused(tmp_path: Path) -> None:
    bert = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9
    )
    tiny_speech.saved(transformers.BertModel(bert), tmp_path / "bert")
    with pytest.raises(BadInput, match=r"teacher.recogniser: .*bert is of the kind 'bert', which writes down nothing"):
        Transcriber(str(tmp_path / "bert"), {})
