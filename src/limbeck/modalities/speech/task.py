"""Audio classification: how clips become batches, and what the models say of them.

Shapes: B batch, N clips, S samples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ... import randomness
from ...data.epochs import EpochSource, ViewOf, every_epoch_anew
from ...data.examples import pooled
from ...interfaces import Batch, Task
from ...models.inference import device_of
from ...randomness import order
from .data_sections import Noise, SoundViews
from .examples import Clips, Splits, joined
from .noise import digest
from .recipe import Background
from .views import render

PLAIN = SoundViews()
PROBES = 4
# Clips whose views are made at a time: so many that the calls, and not so many that the memory, cost nothing to speak of.
FEWEST, MOST, BYTES = 64, 1024, 2**24


class SoundClassification(Task):
    """A class for each clip: what a model takes are the samples of its window.

    Args:
        splits: the data; train and validation are read here, never test.
        view_seed: seed of the views' randomness.
        device: where examples that fit are kept and batches are made.
        batch_size: of evaluation.
        noises: of the views that are shown; those that are cut from recordings are told apart by these.
        background: sound on which false accepts are counted.
    """

    name = "audio-classification"

    def __init__(
        self,
        splits: Splits,
        *,
        view_seed: int,
        device: torch.device | str = "cpu",
        batch_size: int = 256,
        noises: Sequence[Noise] = (),
        background: Background | None = None,
    ) -> None:
        assert splits.samples is not None
        self.classes, self.answers = splits.classes, splits.answers
        self.rate, self.samples = splits.rate, splits.samples
        self.recorded = [said for one in noises if (said := digest(one, splits.rate)) is not None]
        self.train, self.held_out = splits.train.to(device), splits.validation.to(device)
        self.view_seed, self.batch_size, self.background = view_seed, batch_size, background
        self.pool = self.train if splits.transfer is None else pooled(splits, device, joined)

    @property
    def views_at_once(self) -> int:
        """How many clips' views are made at a time where a teacher is asked; it may be asked about fewer."""
        # a power of two, as the teacher's batch and a block are, so that none of either is cut
        fitting = 1 << (max(1, BYTES // (4 * self.samples)).bit_length() - 1)
        return max(FEWEST, min(MOST, fitting))

    def probe(self, sees: None) -> Tensor:
        """Fixed noise (4, S) in [-0.5, 0.5): the same on every machine."""
        places = torch.arange(PROBES * self.samples)
        return randomness.uniform(0, places, 0, "speech.probe").view(PROBES, self.samples).float() - 0.5

    def input_facts(self, sees: None) -> dict[str, Any]:
        """The rate, how long a window is, and which recordings are laid over it."""
        recorded = {"noise": self.recorded} if self.recorded else {}
        return {"rate": self.rate, "samples": self.samples, **recorded}

    def batch(self, examples: Clips, index_B: Tensor, view_B: Tensor, views: SoundViews) -> Batch:
        """The batch of these clips at these views."""
        samples_BS, _ = render(views, self.view_seed, examples, index_B, view_B, self.samples)
        labels = None if examples.labels is None else examples.labels[index_B]
        return Batch(ids=examples.ids[index_B], view=view_B, inputs=samples_BS, labels=labels)

    def order(self, examples: Clips, seed: int, epoch: int, batch_size: int) -> Tensor:
        """An epoch's order."""
        return order(seed, epoch, examples.ids)

    def source(
        self,
        examples: Clips,
        *,
        views: SoundViews,
        seed: int,
        batch_size: int,
        view_of: ViewOf = every_epoch_anew,
        upcoming: Callable[[Tensor, Tensor], object] | None = None,
    ) -> EpochSource:
        """Batches over these clips, in an order of (seed, epoch)."""
        return EpochSource(self, examples, views, seed, batch_size, view_of, upcoming)

    @torch.inference_mode()
    def answers_to(
        self, model: nn.Module, examples: Clips, *, as_teacher: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """(index_B, logits (B, C)) of the clips as they are, in their order, float32 on the CPU, in evaluation mode."""
        del as_teacher  # who is asked hears the same
        was_training = model.training
        model.eval()
        device = device_of(model)
        for start in range(0, len(examples), self.batch_size):
            index_B = torch.arange(start, min(start + self.batch_size, len(examples)), device=examples.ids.device)
            batch = self.batch(examples, index_B, torch.zeros_like(index_B), PLAIN)
            yield index_B, model(batch.inputs.to(device)).float().cpu()
        model.train(was_training)
