"""A small network's answers to real digits, for tests of what is done with a store."""

from pathlib import Path

import torch
from sklearn.datasets import load_digits

from limbeck.data.ids import example_ids
from limbeck.interfaces import RaggedLogits
from limbeck.targets.cast import cast, extend
from limbeck.targets.store.store import Store
from limbeck.vision.inputs import content_ids
from limbeck.vision.sections import Views

N, VIEWS, CLASSES = 150, 2, 10


class Digits:
    """150 digits, and a teacher with fixed weights that sees them from several sides."""

    def __init__(self, classes: int = CLASSES) -> None:
        pixels = torch.from_numpy(load_digits().images[:N]).float() / 16
        self.images = pixels[:, None]
        self.ids = example_ids(content_ids((self.images * 255).to(torch.uint8)), None)
        self.classes = classes
        self.layer = torch.nn.Linear(64, classes)
        with torch.no_grad():
            self.layer.weight.copy_(torch.sin(torch.arange(64.0 * classes)).view(classes, 64))
            self.layer.bias.copy_(torch.cos(torch.arange(float(classes))))

    def ask(self, index_B: torch.Tensor, view: int) -> torch.Tensor:
        with torch.no_grad():
            return self.layer(self.images[index_B].roll(view, dims=3).flatten(1))

    def ask_sequences(self, index_B: torch.Tensor, view: int) -> RaggedLogits:
        """Up to three positions; a quarter of the examples has none at any view, another none at view 0."""
        lengths_B = (index_B % 4 - 1 + view).clamp(min=0).where(index_B % 4 > 0, 0)
        position_P = torch.cat([torch.arange(length) for length in lengths_B.tolist()])
        logits_PC = self.ask(index_B, view).repeat_interleave(lengths_B, 0) * (1 + position_P)[:, None]
        return RaggedLogits(logits_PC, lengths_B)

    def grown(self, path: Path, *, ragged: bool = False, **options) -> Store:
        """A store of several segments: 60 examples with three views, and all others with two."""
        ask = self.ask_sequences if ragged else self.ask
        cast(path, identity(classes=self.classes), self.ids[:60], 1, ask, block_size=32, ragged=ragged, **options)
        extend(path, self.ids, 2, ask)
        return extend(path, self.ids[:60], 3, ask)

    def cast(self, path: Path, **options) -> Store:
        options = {"block_size": 64, **options}
        known = identity(classes=self.classes)
        return cast(path, known, self.ids, options.pop("views", VIEWS), options.pop("ask", self.ask), **options)


def identity(**changes):
    return {
        "classes": CLASSES,
        "data": "digits",
        "teacher": {"weights": "a" * 64, "probe": [1.0, -2.0]},
        "preprocess": None,
        "precision": "float32",
        "views": Views(shift=0.1).model_dump(mode="json"),
        "view_seed": 0,
        **changes,
    }


def contents(path: Path) -> dict[str, bytes]:
    """The bytes of every file of a store; the locks apart."""
    return {
        str(p.relative_to(path)): p.read_bytes()
        for p in sorted(path.rglob("*"))
        if p.is_file() and p.name not in (".lock", ".claims")
    }
