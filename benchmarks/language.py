"""What benchmarks with a large vocabulary share: a word-level language model, trained here on film reviews.

A word is predicted from the few before it, so that an example is one position in the text and its id the place of the word.
Shapes: B positions, L words of context, V words, H width.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from limbeck import progress, randomness
from limbeck.files import atomic_path, fingerprint
from limbeck.models.identity import Identity, digest
from limbeck.targets.store.manifest import StoreIdentity
from limbeck.vision.sources import open_images

SOURCE = "stanfordnlp/imdb"
CONTEXT = 8
WIDTH = 64  # of the teacher
RATE = 0.003
NEGATIVES = 2048  # words drawn for each step of its training
UNKNOWN, END = 0, 1  # a word beyond the vocabulary; what stands between two reviews
_WORD = re.compile(r"[a-z0-9']+|[.,!?;:()\"-]")


class NextWord(nn.Module):
    """The words before (B, L) to logits of the next one (B, V): embeddings, one hidden layer, the embeddings again.

    After Bengio et al. 2003, "A Neural Probabilistic Language Model". ``counts_V`` starts it from the words' frequency.
    """

    def __init__(self, counts_V: Tensor, width: int) -> None:
        super().__init__()
        words = len(counts_V)
        self.embed = nn.Embedding(words, width)
        self.mix = nn.Linear(CONTEXT * width, width)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words)
        self.head.weight = self.embed.weight
        nn.init.normal_(self.embed.weight, std=0.2 * width**-0.5)  # so that it begins with the words' frequency
        with torch.no_grad():
            self.head.bias.copy_(((counts_V + 1) / (counts_V + 1).sum()).log())

    def forward(self, words_BL: Tensor) -> Tensor:
        return self.head(self.hidden(words_BL))

    def hidden(self, words_BL: Tensor) -> Tensor:
        """What the next word is told from (B, H)."""
        embedded_BLH = self.embed(words_BL)
        return self.norm(F.gelu(self.mix(embedded_BLH.flatten(1))) + embedded_BLH[:, -1])


@dataclass(frozen=True)
class Text:
    """Words as numbers, one review after another: those that models learn from, and those they are measured on."""

    train: Tensor  # (words,) int64
    held_out: Tensor
    counts_V: Tensor  # how often each word comes in train, (V,) float32

    def places(self, number: int, seed: int, *, held_out: bool = False) -> Tensor:
        """Places (number,) of distinct words to be predicted, int64, in an order of the seed."""
        place_N = torch.arange(CONTEXT, len(self.held_out if held_out else self.train))
        return place_N[randomness.order(seed, 0, place_N)[:number]]

    def asked(self, place_B: Tensor, *, held_out: bool = False) -> tuple[Tensor, Tensor]:
        """The words before each place (B, L), and the one that stands there (B,)."""
        of = self.held_out if held_out else self.train
        return of[place_B[:, None] + torch.arange(-CONTEXT, 0)], of[place_B]


@dataclass(frozen=True)
class Language:
    """A text and a model of it."""

    text: Text
    teacher: NextWord
    seconds: float  # of its training
    identity: StoreIdentity

    @torch.no_grad()
    def logits(self, place_B: Tensor, device: str = "cpu") -> Tensor:
        """What the teacher, which is on that device, says of places in the training text (B, V)."""
        return self.teacher(self.text.asked(place_B)[0].to(device))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a benchmark that needs the language model."""
    parser.add_argument("--words", type=int, default=50_000)
    parser.add_argument("--teacher-steps", type=int, default=2500, help="of 512 words, for the language model")


def the_language(asked: argparse.Namespace, out: Path) -> Language:
    """The text and its teacher: trained once for all benchmarks that share the folder ``out``."""
    settings = {"words": asked.words, "steps": asked.teacher_steps, "width": WIDTH, "context": CONTEXT, "version": 1}
    path = out / f"language-{fingerprint(settings)[:12]}.safetensors"
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        text = _read(asked.words)
        torch.manual_seed(0)
        teacher = NextWord(text.counts_V, WIDTH)
        seconds = _train(teacher, text, asked.teacher_steps)
        kept = {name: value for name, value in teacher.state_dict().items() if name != "head.weight"}
        parts = {"train": text.train.int(), "held_out": text.held_out.int(), "counts_V": text.counts_V}
        with atomic_path(path) as temporary:
            save_file({**parts, **kept}, temporary, {"seconds": json.dumps(seconds)})
    with safe_open(path, "pt") as file:
        seconds = json.loads(file.metadata()["seconds"])
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    text = Text(found.pop("train").long(), found.pop("held_out").long(), found.pop("counts_V"))
    teacher = NextWord(text.counts_V, WIDTH)
    teacher.load_state_dict({**found, "head.weight": found["embed.weight"]})
    teacher.eval().requires_grad_(False)
    known: Identity = {"weights": digest(teacher), "probe": teacher(text.train[:CONTEXT][None])[0, :40].tolist()}
    identity: StoreIdentity = {
        "classes": asked.words,
        "data": fingerprint([SOURCE, asked.words, len(text.train)]),
        "teacher": known,
        "preprocess": None,
        "precision": "float32",
        "views": {},
        "view_seed": 0,
    }
    return Language(text, teacher, seconds, identity)


def _read(words: int) -> Text:
    """The reviews, in small letters; the most common words are numbered by their frequency."""
    rows = open_images(SOURCE, None)
    splits = [rows["train"], rows["validation" if "validation" in rows else "test"]]
    reviews = [[_WORD.findall(one.lower().replace("<br />", " ")) for one in split["text"]] for split in splits]
    counted = Counter(word for review in reviews[0] for word in review)
    number = {word: at + 2 for at, (word, _) in enumerate(counted.most_common(words - 2))} | {"": END}
    train, held_out = (
        torch.tensor([number.get(word, UNKNOWN) for review in split for word in [*review, ""]]) for split in reviews
    )
    return Text(train, held_out, torch.bincount(train, minlength=words).float())


def _train(model: NextWord, text: Text, steps: int, batch_size: int = 512) -> float:
    """Adam on a sampled softmax, its rate falling to nothing; seconds."""
    began = time.monotonic()
    place_SB = text.places(steps * batch_size, 0).view(steps, batch_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    frequency_V = (text.counts_V + 1) / (text.counts_V + 1).sum()
    drawn_at_least_once_V = -torch.expm1(NEGATIVES * torch.log1p(-frequency_V))
    with progress.bar(steps, "language model") as advance:
        for step, place_B in enumerate(place_SB):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) / 20) * (1 - step / steps)
            words_BL, next_B = text.asked(place_B)
            others_K = frequency_V.multinomial(NEGATIVES, replacement=True).unique()
            loss = _sampled_softmax(model, words_BL, next_B, others_K, drawn_at_least_once_V[others_K].log())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            advance(1, loss=loss.item())
    return time.monotonic() - began


def _sampled_softmax(
    model: NextWord, words_BL: Tensor, next_B: Tensor, others_K: Tensor, log_drawn_K: Tensor
) -> Tensor:
    """Cross-entropy whose normaliser is estimated from a few words, each weighted by how likely it was to be drawn.

    After Jean et al. 2015, "On Using Very Large Target Vocabulary for Neural Machine Translation": all words would take
    most of an hour.
    """
    hidden_BH, head = model.hidden(words_BL), model.head
    next_logit_B = (hidden_BH * head.weight[next_B]).sum(1) + head.bias[next_B]
    logits_BK = F.linear(hidden_BH, head.weight[others_K], head.bias[others_K] - log_drawn_K)
    logits_BK = logits_BK.masked_fill(others_K == next_B[:, None], -torch.inf)
    return (torch.cat([next_logit_B[:, None], logits_BK], 1).logsumexp(1) - next_logit_B).mean()
