"""What is said of sound as it comes, block by block, is what is said of all of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from limbeck.modalities.speech.export import SPEECH, sound_metadata
from limbeck.modalities.speech.frames import FrameNorm
from limbeck.modalities.speech.frontend import fit
from limbeck.modalities.speech.networks import Classifier, Encoder, build
from limbeck.modalities.speech.stream import CausalFrames, CausalMean, Frames, Letters, Sliding, Words

BLOCK = 160  # 20 ms


def sound(samples: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(samples).astype(np.float32)


def model(name: str, **knobs: int | bool) -> Classifier | Encoder:
    made = build(name, knobs, rate=8000, samples=None, classes=5, seed=0).eval()
    fit(made.front, [torch.from_numpy(sound(8000))[None]])
    for block in made.modules():
        if isinstance(block, FrameNorm):  # which begin with blocks that do nothing
            nn.init.constant_(block.weight, 1)
    return made


def frames_of(made: nn.Module) -> Frames:
    return Frames(**sound_metadata(made, name="", classes=[], rate=8000, samples=None, task=SPEECH)["input"]["causal"])


def asks(made: nn.Module, lengths: list[int]) -> Callable[[np.ndarray], np.ndarray]:
    @torch.no_grad()
    def ask(samples_S: np.ndarray) -> np.ndarray:
        lengths.append(len(samples_S))
        return made(torch.from_numpy(samples_S)[None])[0].numpy()

    return ask


def fed(feeding: CausalFrames | CausalMean | Sliding, samples_S: np.ndarray) -> list[np.ndarray]:
    starts = range(0, len(samples_S), BLOCK)
    given = (feeding.feed(samples_S[at : at + BLOCK], last=at == starts[-1]) for at in starts)
    return [one for one in given if one is not None]


@pytest.mark.parametrize("samples", [300, 7000, 24_001])
def test_frames_of_a_stream_are_those_of_the_file_and_no_more_is_asked_than_they_depend_on(samples: int):
    made, lengths = model("ds_ctc", causal=True, width=16, depth=2, kernel=5, mels=20), list[int]()
    said = fed(CausalFrames(asks(made, lengths), frames_of(made), 3), sound(samples))
    whole = asks(made, [])(sound(samples))
    np.testing.assert_allclose(np.concatenate(said), whole, atol=2e-5)
    every, first, before = frames_of(made)
    assert max(lengths) <= first + (before + 3) * every
    assert len(said) > 1 or samples == 300


def test_the_mean_of_a_stream_is_that_of_the_file_and_then_that_of_its_last_window():
    made, samples_S = model("ds_cnn_causal", width=8, depth=2, mels=20), sound(16_000)
    frames, ask = frames_of(made), asks(made, [])
    window = (8000 - frames.first) // frames.every + 1
    said = fed(CausalMean(ask, frames, 4, window), samples_S[:8000])
    np.testing.assert_allclose(said[-1][0], ask(samples_S[:8000]), atol=2e-5)
    # of twice as much sound, the mean of the last window's frames: twice that of all, less that of the first
    late = fed(CausalMean(ask, frames, 1, window), samples_S)[-1][0]
    count = (16_000 - frames.first) // frames.every + 1
    before = (count - window - 1) * frames.every + frames.first
    whole = count * ask(samples_S) - (count - window) * ask(samples_S[:before])
    np.testing.assert_allclose(late, whole / window, atol=1e-4)


def test_a_window_slides_over_the_sound_with_silence_before_its_beginning():
    heard: list[np.ndarray] = []

    def ask(samples_S: np.ndarray) -> np.ndarray:
        heard.append(samples_S)
        return np.zeros(2)

    samples_S = sound(1000)
    fed(Sliding(ask, 800, 400), samples_S)
    assert len(heard) == 3  # after 480 and 960 samples, whole blocks, and at the end
    np.testing.assert_array_equal(heard[0], np.concatenate([np.zeros(320), samples_S[:480]]).astype(np.float32))
    np.testing.assert_array_equal(heard[2], samples_S[200:])


def test_a_word_is_told_once_while_it_is_heard_and_again_after_a_pause():
    words = Words(("no", "yes"), 0.8)
    yes, unsure, no = np.array([[0.0, 4.0]]), np.array([[0.0, 0.0]]), np.array([[4.0, 0.0]])
    assert [words.of(one) for one in (yes, yes, unsure, yes, no)] == ["yes (98%)", "", "", "yes (98%)", "no (98%)"]


def test_letters_that_come_bit_by_bit_are_those_of_the_whole_path():
    letters, logits_LV = Letters(("", "a", "b")), np.eye(3)[[1, 1, 0, 1, 2, 2, 0]]
    assert letters.of(logits_LV[:1]) + letters.of(logits_LV[1:3]) + letters.of(logits_LV[3:]) == "aab"
