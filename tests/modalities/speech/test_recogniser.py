"""A recogniser as a teacher: what it hears as a CTC model's answer and as transcripts with weights; asked once; sentences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limbeck.errors import BadInput
from limbeck.evaluation import frames
from limbeck.interfaces import DenseLogits
from limbeck.modalities.speech.data_sections import SpeechData
from limbeck.modalities.speech.recogniser import Recogniser
from limbeck.modalities.speech.transcripts import normalised
from limbeck.models.identity import identity
from limbeck.targets.hearing import ragged
from tests.helpers.spoken_runs import RATE, listener, spoken

SYMBOLS = ("", " ", "a", "b", "c")
DATA = SpeechData(name="data")


def read(text: str) -> str:
    return normalised(text, DATA)


def clips(*texts: str) -> dict[str, torch.Tensor]:
    sounds = [torch.from_numpy(spoken(text, seed)) for seed, text in enumerate(texts)]
    return {
        "samples_BS": torch.nn.utils.rnn.pad_sequence(sounds, batch_first=True),
        "lengths_B": torch.tensor([len(one) for one in sounds]),
    }


def test_what_it_hears_is_the_best_path_of_its_answer_and_a_transcript_with_a_weight() -> None:
    texts = ["ab ca", "", "cc", "b"]
    given, asked = clips(*texts), []

    def counted(samples_S: np.ndarray, rate: int) -> tuple[str, float]:
        asked.append(rate)
        text, sureness = listener()(samples_S, rate)
        return f"  {text.upper()}!", sureness  # as others write it, with what the alphabet lacks

    model = Recogniser(counted, SYMBOLS, RATE, read, "tests:listener")
    answer = ragged(DenseLogits(model(**given)), model.frames_of(given["lengths_B"]), len(SYMBOLS))
    wanted = torch.full((4, 5), -100)
    for b, text in enumerate(texts):
        wanted[b, : len(text)] = torch.tensor([SYMBOLS.index(letter) for letter in text], dtype=torch.int64)
    kept = frames.kept(answer, wanted, None, SYMBOLS)
    assert kept["errors"].tolist() == [0, 0, 0, 0]
    assert all(symbols == 0 or nll < 1 for symbols, nll in zip(kept["symbols"].tolist(), kept["nll"].tolist()))
    heard = model.hear(**given)
    assert heard.lengths[:, 0].tolist() == [5, 0, 2, 1]
    assert heard.weights[:, 0].tolist() == [0.75] * 4
    assert heard.symbols[0, 0].tolist() == [2, 3, 1, 4, 2]
    assert len(asked) == 4  # each clip once
    assert set(asked) == {RATE}


def test_a_transcript_with_letters_that_there_are_not_weighs_nothing() -> None:
    texts = iter(["ab.", "a 2 b", "abd"])
    model = Recogniser(lambda samples, rate: (next(texts), 0.5), SYMBOLS, RATE, read, "m:a")
    heard = model.hear(**clips("ab", "ab", "abc"))
    assert heard.weights[:, 0].tolist() == [0.5, 0.0, 0.0]
    assert heard.lengths[:, 0].tolist() == [2, 4, 2]


def test_it_is_told_from_another_though_both_hear_nothing() -> None:
    probe = {"samples_BS": torch.zeros(1, 400), "lengths_B": torch.tensor([400])}
    one, other = (Recogniser(lambda samples, rate: "", SYMBOLS, RATE, read, name) for name in ("m:a", "m:b"))
    assert identity(one, probe)["weights"] != identity(other, probe)["weights"]


@pytest.mark.parametrize(
    ("recognise", "sentence"),
    [
        (lambda samples, rate: 1 / 0, r"m:a fails on a clip of 400 samples: .*division by zero"),
        (lambda samples, rate: None, r"answers a clip with 'None'; it should answer with what is said"),
        (lambda samples, rate: ("a", 2.0), r"how sure it is, from 0 to 1"),
        (lambda samples, rate: "abcabcabc", r"hears 9 letters in 0.10 seconds, more than anybody says"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(recognise, sentence: str) -> None:
    model = Recogniser(recognise, SYMBOLS, RATE, read, "m:a")
    with pytest.raises(BadInput, match=sentence):
        model(torch.zeros(1, 400), torch.tensor([400]))
