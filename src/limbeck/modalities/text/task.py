"""Text classification: how tokenised texts become batches, and what the models say of them.

One answer a text, of one label or of several. Shapes: B batch, N examples, L positions, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...data.epochs import EpochSource, ViewOf, every_epoch_anew
from ...data.examples import pooled
from ...data.length_buckets import bucketed_order
from ...interfaces import Batch, Output, Task
from ...models.inference import answered, device_of, moved
from ...nlp.pairs import SEGMENTS, encoded
from ...nlp.tokens import TextExamples, from_tokens, joined, probe_texts
from ...nlp.vocabulary import FromTeacherIds, smaller_tokenizer
from .examples import TextSplits
from .recipe import WordViews
from .views import Substitutes, vary

CHUNK = 50  # batches that are sorted by length together
PROBE_LENGTH = 16  # tokens


class TextClassification(Task):
    """The task: batches, answers and validation figures.

    A model is called with ``input_ids`` and ``attention_mask``, (B, L) int64 each, of pairs with ``token_type_ids`` too where
    it reads them, and answers with logits (B, C) or with something that has them as ``logits``. Teacher and student get
    the same tokens.

    Args:
        splits: the data; train and validation are read here, never test.
        view_seed: seed of the views' randomness.
        device: where examples that fit are kept and batches are made.
        batch_size: of evaluation.
        chunk: batches that are sorted by length together; 1: none, batches are drawn whatever their lengths.
        multiple_of: batches are padded to a multiple of so many positions (8 suits tensor cores).
        segments: whether the teacher reads the segment ids of pairs, where its tokenizer gives any; its student gets them too.
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
        segments: bool = True,
    ) -> None:
        self.classes, self.pair = splits.classes, splits.pair
        self.answers = splits.answers
        self.segments = splits.vocabulary.segments if segments else 0  # kinds; 0: models are not shown any
        self.multi_label = splits.multi_label
        self.train = splits.train.to(device)
        self.held_out = splits.validation.to(device)
        self.vocabulary, self.tokenizer, self.max_length = splits.vocabulary, splits.tokenizer, splits.max_length
        # Of the training texts alone, so that a larger transfer set leaves the views of every text as they were.
        self.substitutes = Substitutes.of(self.train, splits.vocabulary)
        self._own_tokens: dict[int, tuple[TextExamples, int]] = {}
        self._tokenizers: dict[bytes, Any] = {}
        self.view_seed = view_seed
        self.batch_size, self.chunk, self.multiple_of = batch_size, chunk, multiple_of
        self.pool = self.train if splits.transfer is None else pooled(splits, device, joined)

    def probe(self, sees: None) -> dict[str, Tensor]:
        """What models are told from one another by."""
        return probe_texts(self.vocabulary.size, PROBE_LENGTH, self.segments)

    def input_facts(self, sees: None) -> dict[str, Any]:
        """What a model's input goes through, for fingerprints; the tokens themselves are in that of the data."""
        facts = {"vocabulary": self.vocabulary.size, "pad": self.vocabulary.pad}
        return {**facts, "segments": self.segments} if self.segments else facts

    def of_like_cost(self, examples: TextExamples, index_B: Tensor) -> Tensor | None:
        """An order of these examples in which neighbours are of like length, so that little of a batch is padding."""
        return torch.argsort(examples.lengths[index_B], stable=True)

    def batch(self, examples: TextExamples, index_B: Tensor, view_B: Tensor, views: WordViews) -> Batch:
        """The batch of these examples at these views."""
        tokens_BL, there_BL = examples.padded(index_B, self.vocabulary.pad)
        ids_B = examples.ids[index_B]
        segments_BL = self._segments(examples, index_B)
        tokens_BL, there_BL, segments_BL = vary(
            views, self.view_seed, tokens_BL, there_BL, ids_B, view_B, self.substitutes, segments_BL
        )
        if short := -tokens_BL.shape[1] % self.multiple_of:
            tokens_BL = F.pad(tokens_BL, (0, short), value=self.vocabulary.pad)
            there_BL = F.pad(there_BL, (0, short), value=False)
            if segments_BL is not None:
                segments_BL = F.pad(segments_BL, (0, short), value=self.vocabulary.segment_pad)
        return Batch(
            ids=ids_B,
            view=view_B,
            inputs=_inputs(tokens_BL, there_BL, segments_BL),
            labels=None if examples.labels is None else examples.labels[index_B],
            positions=there_BL,
        )

    def order(self, examples: TextExamples, seed: int, epoch: int, batch_size: int) -> Tensor:
        """An epoch's order, in which a batch is of texts of like length."""
        return bucketed_order(seed, epoch, examples.ids, examples.lengths, batch_size, self.chunk)

    def source(
        self,
        examples: TextExamples,
        *,
        views: WordViews,
        seed: int,
        batch_size: int,
        view_of: ViewOf = every_epoch_anew,
        upcoming: Callable[[Tensor, Tensor], object] | None = None,
    ) -> EpochSource:
        """Batches over these examples, in an order of (seed, epoch)."""
        return EpochSource(self, examples, views, seed, batch_size, view_of, upcoming)

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        return Output(logits=answered(model, batch.inputs))

    def answer(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits (B, C) of a teacher."""
        return answered(model, batch.inputs if batch.teacher_inputs is None else batch.teacher_inputs)

    def logits(self, model: nn.Module, examples: TextExamples, *, as_teacher: bool = False) -> Tensor:
        """Float32 logits (N, C) of the examples as they are, in their order, on the CPU, in evaluation mode."""
        places, answers = zip(*self.answers_to(model, examples, as_teacher=as_teacher), strict=True)
        return torch.cat(answers)[torch.argsort(torch.cat(places).cpu())]

    @torch.inference_mode()
    def answers_to(
        self, model: nn.Module, examples: TextExamples, *, as_teacher: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """(index_B, logits (B, C)) of the examples as they are, by length, float32 on the CPU, in evaluation mode.

        A student with a tokenizer of its own reads the texts with that, as it will where it is deployed.
        """
        del as_teacher  # who is asked sees the same tokens
        was_training = model.training
        model.eval()
        device, pad = device_of(model), self.vocabulary.pad
        asked: nn.Module = model
        if isinstance(model, FromTeacherIds) and self.tokenizer is not None:
            asked, (examples, pad) = model.model, self._in_own_tokens(model, examples)
        by_length_N = torch.argsort(examples.lengths, stable=True)
        for index_B in by_length_N.split(self.batch_size):
            tokens_BL, there_BL = examples.padded(index_B, pad)
            inputs = _inputs(tokens_BL, there_BL, self._segments(examples, index_B))
            yield index_B, answered(asked, moved(inputs, device)).float().cpu()
        model.train(was_training)

    def _segments(self, examples: TextExamples, index_B: Tensor) -> Tensor | None:
        return examples.padded_segments(index_B, self.vocabulary.segment_pad) if self.segments else None

    def tokenizer_of(self, model: nn.Module) -> Any:
        """What cuts up the texts of a model where it is deployed: the teacher's, or a student's own."""
        if not isinstance(model, FromTeacherIds):
            return self.tokenizer
        kept_ids_K = model.kept_ids.cpu()
        key = kept_ids_K.numpy().tobytes()
        if key not in self._tokenizers:
            self._tokenizers[key] = smaller_tokenizer(self.tokenizer, kept_ids_K)
        return self._tokenizers[key]

    def _in_own_tokens(self, model: FromTeacherIds, examples: TextExamples) -> tuple[TextExamples, int]:
        """The examples in the tokens of the student itself, and what pads them; kept, for every epoch asks for them."""
        kept_ids_K = model.kept_ids.cpu()
        key = hash((kept_ids_K.numpy().tobytes(), examples.ids.cpu().numpy().tobytes()))
        if key not in self._own_tokens:
            tokenizer = self.tokenizer_of(model)
            tokens, segments, _ = encoded(tokenizer, examples.texts, self.max_length)
            own = from_tokens(tokens, None, examples.ids.cpu(), examples.texts, segment_lists=segments).to(
                examples.ids.device
            )
            self._own_tokens[key] = (own, tokenizer.pad_token_id)
        return self._own_tokens[key]


def _inputs(tokens_BL: Tensor, there_BL: Tensor, segments_BL: Tensor | None) -> dict[str, Tensor]:
    """As transformers calls them."""
    inputs = {"input_ids": tokens_BL, "attention_mask": there_BL.long()}
    return inputs if segments_BL is None else {**inputs, SEGMENTS: segments_BL}
