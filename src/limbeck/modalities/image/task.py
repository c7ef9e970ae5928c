"""Image classification and regression: how examples become batches, and what the models say of them.

Shapes: B batch, N examples, C classes (or channels, in BCHW), D numbers, H and W rows and columns.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import asdict
from math import prod
from typing import Any, Self

import torch
from torch import Tensor, nn

from ...data.epochs import EpochSource, ViewOf, every_epoch_anew
from ...data.examples import pooled
from ...interfaces import Batch, Output, Task
from ...models.inference import device_of
from ...randomness import order
from ...vision.inputs import Normalisation, probe_images
from ...vision.pixels import AS_USUAL, sides, size_of
from ...vision.sections import Views
from ...vision.views import render
from .examples import Examples, Splits, joined

PLAIN = Views()
# Examples whose views are made at a time: so many that the calls, and not so many that the memory, cost nothing to speak of.
FEWEST, MOST, BYTES = 512, 4096, 2**24


class ImageTask(Task):
    """What both tasks share: normalisation, batches, answers.

    Args:
        splits: the data; train and validation are read here, never test.
        normalisation: of the student.
        teacher_normalisation: of the teacher, where it differs.
        view_seed: seed of the views' randomness.
        device: where examples that fit are kept and batches are made.
    """

    name: str

    def __init__(
        self,
        splits: Splits,
        *,
        normalisation: Normalisation,
        teacher_normalisation: Normalisation | None,
        view_seed: int,
        device: torch.device | str = "cpu",
        batch_size: int = 500,
    ) -> None:
        self.classes, self.answers = splits.classes, splits.answers
        self.train = splits.train.to(device)
        self.held_out = splits.validation.to(device)
        self.how, self.unit = splits.how, splits.unit
        self.normalisation = normalisation
        self.teacher_sees = teacher_normalisation
        self.view_seed = view_seed
        self.batch_size = batch_size
        self.pool = self.train if splits.transfer is None else pooled(splits, device, joined)

    def seen_through(self, sees: Normalisation | None) -> Self:
        """The same task for a teacher in the student's place, whose input is normalised so; None: as the student's."""
        if sees is None:
            return self
        other = copy.copy(self)
        other.normalisation, other.teacher_sees = sees, None
        return other

    def probe(self, sees: Normalisation | None) -> Tensor:
        """What a model whose input goes through ``sees`` (None: the student's) is told from others by."""
        _, channels, height, width = self.train.images.shape
        return probe_images(channels, size_of(height, width) if sees is None or sees.size is None else sees.size)

    def input_facts(self, sees: Normalisation | None) -> dict[str, Any]:
        """What the input of such a model goes through, for fingerprints."""
        # What is usual is left out, so that what was fingerprinted before it could be otherwise stays as it is.
        unusual = {name: value for name, value in asdict(self.how).items() if value != getattr(AS_USUAL, name)}
        return asdict(sees or self.normalisation) | unusual

    @property
    def views_at_once(self) -> int:
        """How many examples' views are made at a time where a teacher is asked; it may be asked about fewer."""
        _, channels, height, width = self.train.images.shape
        sees = self.teacher_sees or self.normalisation
        pixels = height * width if sees.size is None else max(height * width, prod(sides(sees.size)))
        bytes_of_one = 4 * channels * pixels
        # a power of two, as the teacher's batch and a block are, so that none of either is cut
        fitting = 1 << (max(1, BYTES // bytes_of_one).bit_length() - 1)
        return max(FEWEST, min(MOST, fitting))

    def batch(self, examples: Examples, index_B: Tensor, view_B: Tensor, views: Views) -> Batch:
        """The batch of these examples at these views."""
        turned_D = self._turned(views).to(index_B.device) if views.flip and views.turned else None
        rendered = render(views, self.view_seed, examples, index_B, view_B, len(self.classes), turned_D)
        other = self.teacher_sees
        return Batch(
            ids=examples.ids[index_B],
            view=view_B,
            inputs=self.normalisation(rendered.images_BCHW),
            labels=rendered.labels,
            teacher_inputs=None if other is None else other(rendered.images_BCHW),
        )

    def order(self, examples: Examples, seed: int, epoch: int, batch_size: int) -> Tensor:
        """A shuffle of an epoch's examples."""
        return order(seed, epoch, examples.ids)

    def source(
        self,
        examples: Examples,
        *,
        views: Views,
        seed: int,
        batch_size: int,
        view_of: ViewOf = every_epoch_anew,
        upcoming: Callable[[Tensor, Tensor], object] | None = None,
    ) -> EpochSource:
        """Batches over these examples, in an order of (seed, epoch)."""
        return EpochSource(self, examples, views, seed, batch_size, view_of, upcoming)

    def _turned(self, views: Views) -> Tensor:
        """Which of the numbers (D,) bool a mirror image turns."""
        return torch.tensor([name in views.turned for name in self.answers.names])

    def logits(self, model: nn.Module, examples: Examples, *, as_teacher: bool = False) -> Tensor:
        """Float32 answers (N, C), logits or numbers, to the examples as they are, on the CPU, in evaluation mode."""
        return torch.cat([answer for _, answer in self.answers_to(model, examples, as_teacher=as_teacher)])

    @torch.inference_mode()
    def answers_to(
        self, model: nn.Module, examples: Examples, *, as_teacher: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """(index_B, answer (B, C)) to the examples as they are, in their order, float32 on the CPU, in evaluation mode."""
        was_training = model.training
        model.eval()
        device = device_of(model)
        for start in range(0, len(examples), self.batch_size):
            index_B = torch.arange(start, min(start + self.batch_size, len(examples)), device=examples.ids.device)
            batch = self.batch(examples, index_B, torch.zeros_like(index_B), PLAIN)
            inputs = batch.teacher_inputs if as_teacher and batch.teacher_inputs is not None else batch.inputs
            yield index_B, model(inputs.to(device)).float().cpu()
        model.train(was_training)


class ImageClassification(ImageTask):
    """A class for each image."""

    name = "image-classification"

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """The student's logits (B, C)."""
        return Output(logits=model(batch.inputs))


class ImageRegression(ImageTask):
    """Numbers for each image, in the labels' units."""

    name = "image-regression"

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """The student's numbers (B, D)."""
        return Output(values=model(batch.inputs))
