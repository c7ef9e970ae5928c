"""Speech recognition by CTC: how clips of any length become batches, and what models say at their frames.

A model takes ``samples_BS`` and how many samples ``lengths_B`` of each row are a clip's own, answers with logits (B, L, V), and
says by ``frames_of(lengths_B)`` how many frames of these are the clip's. Shapes: B batch, N clips, S samples, L frames, V symbols.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ... import randomness
from ...data.epochs import EpochSource, ViewOf, every_epoch_anew
from ...data.examples import pooled
from ...data.length_buckets import bucketed_order
from ...interfaces import Batch, Hypotheses, Output, RaggedLogits, Task
from ...models.inference import answered, device_of, moved
from .data_sections import Noise, SoundViews
from .examples import Clips, Splits, joined
from .noise import digest
from .recogniser import Recogniser
from .views import render

FramesOf = Callable[[Tensor], Tensor]  # how many frames (B,) clips of so many samples (B,) have

PLAIN = SoundViews()
PROBES, PROBE_SECONDS = 2, 0.3
AT_ONCE = 64
CHUNK = 50  # batches of which clips are sorted by length together


class SpeechRecognition(Task):
    """A transcript for each clip: what a model takes are its samples, padded to the longest of a batch.

    Args:
        splits: the data; train and validation are read here, never test.
        view_seed: seed of the views' randomness.
        device: where examples that fit are kept and batches are made.
        batch_size: of evaluation.
        noises: of the views that are shown; those that are cut from recordings are told apart by these.
    """

    name = "automatic-speech-recognition"
    frames_of: FramesOf | None

    def __init__(
        self,
        splits: Splits,
        *,
        view_seed: int,
        device: torch.device | str = "cpu",
        batch_size: int = 16,
        noises: Sequence[Noise] = (),
    ) -> None:
        self.answers, self.rate, self.frames_of = splits.answers, splits.rate, None
        self.train, self.held_out = splits.train.to(device), splits.validation.to(device)
        self.view_seed, self.batch_size = view_seed, batch_size
        self.recorded = [said for one in noises if (said := digest(one, splits.rate)) is not None]
        self.frames_by: dict[str, FramesOf] = {}  # of the teacher, where it answers at frames, and of the student
        self.pool = self.train if splits.transfer is None else pooled(splits, device, joined)

    @property
    def views_at_once(self) -> int:
        """How many clips' views are made at a time where a teacher is asked."""
        return AT_ONCE

    def learnt_by(self, model: nn.Module) -> SpeechRecognition:
        """The same task for a model that is trained, whose frames the batches' masks are."""
        other = copy.copy(self)
        other.frames_of = frames_of(model)
        other.frames_by = {**self.frames_by, "student": other.frames_of}
        return other

    def probe(self, sees: None) -> dict[str, Tensor]:
        """Fixed noise in [-0.5, 0.5), two clips of which one is shorter: the same on every machine."""
        samples = round(PROBE_SECONDS * self.rate)
        noise = randomness.uniform(0, torch.arange(PROBES * samples), 0, "speech.probe").view(PROBES, samples).float()
        return {"samples_BS": noise - 0.5, "lengths_B": torch.tensor([samples, 3 * samples // 4])}

    def input_facts(self, sees: None) -> dict[str, Any]:
        """The rate, and the recordings that noise is cut from."""
        return {"rate": self.rate} | ({"noise": self.recorded} if self.recorded else {})

    def of_like_cost(self, examples: Clips, index_B: Tensor) -> Tensor:
        """An order of these clips in which neighbours are of like length."""
        return torch.argsort(examples.lengths[index_B], stable=True)

    def batch(self, examples: Clips, index_B: Tensor, view_B: Tensor, views: SoundViews) -> Batch:
        """The batch of these clips at these views; its mask is of the frames of whoever is trained (:meth:`learnt_by`)."""
        samples_BS, lengths_B = render(views, self.view_seed, examples, index_B, view_B, None)
        mask = None
        if self.frames_of is not None:
            frames_B, most = self.frames_of(lengths_B), self.frames_of(torch.tensor([samples_BS.shape[1]]))
            mask = torch.arange(int(most), device=frames_B.device) < frames_B[:, None]
        return Batch(
            ids=examples.ids[index_B],
            view=view_B,
            inputs={"samples_BS": samples_BS, "lengths_B": lengths_B},
            labels=None if examples.labels is None else examples.labels[index_B],
            mask=mask,
        )

    def order(self, examples: Clips, seed: int, epoch: int, batch_size: int) -> Tensor:
        """An epoch's order, in which a batch is of clips of like length."""
        return bucketed_order(seed, epoch, examples.ids, examples.lengths, batch_size, CHUNK)

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

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """The student's logits (B, L, V)."""
        return Output(logits=answered(model, batch.inputs))

    def answer(self, model: nn.Module, batch: Batch) -> RaggedLogits:
        """A teacher's logits at its own frames."""
        return ragged(answered(model, batch.inputs), frames_of(model)(batch.inputs["lengths_B"]))

    def answers_for_all_views(self, model: nn.Module) -> bool:
        """True of a recogniser: no view changes what is said, and it hears a varied clip worse."""
        return isinstance(inner(model), Recogniser)

    def heard(self, model: nn.Module, batch: Batch) -> Hypotheses | None:
        """What a recogniser hears; None of a model that answers with posteriors."""
        recogniser = inner(model)
        return recogniser.hear(**batch.inputs) if isinstance(recogniser, Recogniser) else None

    @torch.inference_mode()
    def answers_to(
        self, model: nn.Module, examples: Clips, *, as_teacher: bool = False
    ) -> Iterator[tuple[Tensor, RaggedLogits]]:
        """(index_B, logits) of the clips as they are, by length, float32 on the CPU, in evaluation mode."""
        del as_teacher  # who is asked hears the same
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        device, by_length = device_of(model), torch.argsort(examples.lengths, stable=True)
        try:
            for index_B in by_length.split(self.batch_size):
                samples_BS, lengths_B = examples.padded(index_B, None)
                inputs = moved({"samples_BS": samples_BS, "lengths_B": lengths_B}, device)
                yield index_B, ragged(answered(model, inputs).float().cpu(), frames_of(model)(lengths_B))
        finally:
            for module, training in modes:
                module.training = training


def ragged(logits_BLV: Tensor, frames_B: Tensor) -> RaggedLogits:
    """The frames that are a clip's own, one clip after another."""
    there_BL = torch.arange(logits_BLV.shape[1], device=logits_BLV.device) < frames_B.to(logits_BLV.device)[:, None]
    return RaggedLogits(logits_BLV[there_BL], frames_B.cpu())


def frames_of(model: nn.Module) -> FramesOf:
    """A model's own ``frames_of``, also where it is wrapped. Raises ``ValueError`` where it does not say."""
    found: Any = inner(model)
    if not hasattr(found, "frames_of"):
        raise ValueError(f"{type(model).__name__} does not say by frames_of(lengths_B) how many frames clips have")
    return found.frames_of


def inner(model: nn.Module) -> nn.Module:
    """The model that says how many frames clips have, where it is wrapped; else what is innermost."""
    while not hasattr(model, "frames_of"):
        wrapped = [getattr(model, name, None) for name in ("module", "model", "_orig_mod")]
        within = next((one for one in wrapped if isinstance(one, nn.Module)), None)
        if within is None:
            break
        model = within
    return model
