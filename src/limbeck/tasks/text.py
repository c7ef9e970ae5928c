"""Text classification: how tokenised texts become batches, and what the models say of them.

One answer a text, of one label or of several. Shapes: B batch, N examples, L positions, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.buckets import bucketed_order, edges
from ..data.text_examples import TextExamples, TextSplits, joined
from ..data.text_views import Substitutes, vary
from ..interfaces import IGNORED, Batch, Output
from ..recipe_text import WordViews
from .image import ViewOf, every_epoch_anew
from .label_sets import scores

PLAIN = WordViews()
CHUNK = 50  # batches that are sorted by length together


class TextClassification:
    """The task: batches, answers and validation figures.

    A model is called with ``input_ids`` and ``attention_mask``, (B, L) int64 each, and answers with logits (B, C) or
    with something that has them as ``logits``. Teacher and student get the same tokens.

    Args:
        splits: the data; train and validation are read here, never test.
        view_seed: seed of the views' randomness.
        device: where examples that fit are kept and batches are made.
        batch_size: of evaluation.
        chunk: batches that are sorted by length together; 1: none, batches are drawn whatever their lengths.
        multiple_of: batches are padded to a multiple of so many positions (8 suits tensor cores).
    """

    name = "text-classification"

    def __init__(
        self,
        splits: TextSplits,
        *,
        view_seed: int,
        device: torch.device | str = "cpu",
        batch_size: int = 128,
        chunk: int = CHUNK,
        multiple_of: int = 1,
    ) -> None:
        self.classes = splits.classes
        self.multi_label = splits.multi_label
        self.train = splits.train.to(device)
        self.held_out = splits.validation.to(device)
        self.vocabulary = splits.vocabulary
        # Of the training texts alone, so that a larger transfer set leaves the views of every text as they were.
        self.substitutes = Substitutes.of(self.train, splits.vocabulary)
        self.view_seed = view_seed
        self.batch_size, self.chunk, self.multiple_of = batch_size, chunk, multiple_of
        self.pool = self.train if splits.transfer is None else pooled(self.train, splits.transfer.to(device))

    def seen_by_teacher(self) -> TextClassification:
        """The same task with the teacher in the student's place: they see the same tokens."""
        return self

    def batch(self, examples: TextExamples, index_B: Tensor, view_B: Tensor, views: WordViews) -> Batch:
        """The batch of these examples at these views."""
        tokens_BL, there_BL = examples.padded(index_B, self.vocabulary.pad)
        ids_B = examples.ids[index_B]
        tokens_BL, there_BL = vary(views, self.view_seed, tokens_BL, there_BL, ids_B, view_B, self.substitutes)
        if short := -tokens_BL.shape[1] % self.multiple_of:
            tokens_BL = F.pad(tokens_BL, (0, short), value=self.vocabulary.pad)
            there_BL = F.pad(there_BL, (0, short), value=False)
        return Batch(
            ids=ids_B,
            view=view_B,
            inputs={"input_ids": tokens_BL, "attention_mask": there_BL.long()},
            labels=None if examples.labels is None else examples.labels[index_B],
            positions=there_BL,
        )

    def source(
        self,
        examples: TextExamples,
        *,
        views: WordViews,
        seed: int,
        batch_size: int,
        view_of: ViewOf = every_epoch_anew,
    ) -> TextSource:
        """Batches over these examples, in an order of (seed, epoch)."""
        return TextSource(self, examples, views, seed, batch_size, view_of)

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        return Output(logits=_logits(model(**batch.inputs)))

    def answer(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits (B, C) of a teacher."""
        return _logits(model(**(batch.inputs if batch.teacher_inputs is None else batch.teacher_inputs)))

    @torch.inference_mode()
    def logits(self, model: nn.Module, examples: TextExamples, *, as_teacher: bool = False) -> Tensor:
        """Float32 logits (N, C) of the examples as they are, in their order, on the CPU, in evaluation mode."""
        del as_teacher  # who is asked sees the same tokens
        was_training = model.training
        model.eval()
        device = next(model.parameters()).device
        by_length_N = torch.argsort(examples.lengths, stable=True)
        answers = []
        for index_B in by_length_N.split(self.batch_size):
            batch = self.batch(examples, index_B, torch.zeros_like(index_B), PLAIN)
            inputs = {name: value.to(device) for name, value in batch.inputs.items()}
            answers.append(_logits(model(**inputs)).float().cpu())
        model.train(was_training)
        return torch.cat(answers)[torch.argsort(by_length_N.cpu())]

    def validation(self, model: nn.Module, *, as_teacher: bool = False) -> dict[str, float]:
        """``accuracy`` and ``nll`` over the validation split.

        Where a text may have several labels: ``accuracy`` is the share of texts with exactly the right ones, ``nll`` the
        mean binary cross-entropy of text and class, and ``micro_f1`` and ``macro_f1`` stand beside them.
        """
        logits_NC = self.logits(model, self.held_out, as_teacher=as_teacher).double()
        assert self.held_out.labels is not None
        labels = self.held_out.labels.cpu()
        if self.multi_label:
            nll = F.binary_cross_entropy_with_logits(logits_NC, labels.double()).item()
            return {**scores(logits_NC > 0, labels > 0.5), "nll": nll}
        return {
            "accuracy": (logits_NC.argmax(dim=1) == labels).double().mean().item(),
            "nll": F.cross_entropy(logits_NC, labels).item(),
        }


@dataclass
class TextSource:
    """An epoch is every example once, in steps of equal size (to within one example), each of texts of like length."""

    task: TextClassification
    examples: TextExamples
    views: WordViews
    seed: int
    batch_size: int
    view_of: ViewOf

    def __post_init__(self) -> None:
        self._epoch: tuple[int, Tensor, Tensor] | None = None  # its number; order and views of all examples
        self._edges = edges(len(self.examples), self.steps_per_epoch()).tolist()

    def steps_per_epoch(self) -> int:
        return -(-len(self.examples) // self.batch_size)

    def next(self, step: int, student: nn.Module, part: int = 0, parts: int = 1) -> Batch:
        del student  # a data set does not look at who learns from it
        epoch, place = divmod(step, self.steps_per_epoch())
        if self._epoch is None or self._epoch[0] != epoch:
            ids_N, length_N = self.examples.ids, self.examples.lengths
            order_N = bucketed_order(self.seed, epoch, ids_N, length_N, self.batch_size, self.task.chunk)
            self._epoch = (epoch, order_N, self.view_of(ids_N[order_N], epoch))
        low, high = self._edges[place], self._edges[place + 1]
        low, high = low + (high - low) * part // parts, low + (high - low) * (part + 1) // parts
        _, order_N, view_N = self._epoch
        return self.task.batch(self.examples, order_N[low:high], view_N[low:high], self.views)


def pooled(labelled: TextExamples, transfer: TextExamples) -> TextExamples:
    """Training and transfer examples together; the latter carry the label that objectives ignore."""
    fresh = transfer.take((~torch.isin(transfer.ids, labelled.ids)).nonzero().flatten())
    assert labelled.labels is not None
    ignored = labelled.labels.new_full((len(fresh), *labelled.labels.shape[1:]), IGNORED)
    return joined(labelled, fresh, torch.cat([labelled.labels, ignored]))


def _logits(answer: object) -> Tensor:
    return answer if isinstance(answer, Tensor) else answer.logits  # type: ignore[attr-defined]
