"""The teacher's answers to a block of examples, batch by batch, checked and encoded.

Shapes: N examples, B batch, P positions (rows), C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput
from ..interfaces import RaggedLogits
from ..interfaces.task import Ask
from .codecs import Codec, Rows, answer_width, bytes_per_target, codec_error
from .store import shard

ERROR_SAMPLE = 512


_Answered = tuple[Tensor, Rows, Tensor]  # logits (P, C), what each row answers, lengths (B,)


class Asking:
    """A teacher with the examples it can be asked about.

    ids_N: distinct int64 ids in any order; ``ask(index_B, view)`` takes positions in it. Raises :class:`BadInput`
    where ids repeat.
    """

    def __init__(self, ask: Ask, ids_N: Tensor, codec: Codec, classes: int, ragged: bool, batch_size: int) -> None:
        sorted_N, self._order_N = ids_N.detach().cpu().to(torch.int64).sort()
        twice_N = sorted_N[1:][sorted_N[1:] == sorted_N[:-1]]
        if len(twice_N):
            raise BadInput(f"example id {int(twice_N[0])} occurs twice: every stored example needs an id of its own.")
        self.ids = sorted_N.numpy()  # (N,) ascending
        self._ask, self._codec, self._classes, self._ragged = ask, codec, classes, ragged
        self._width = answer_width(codec, classes)
        self._batch_size = batch_size
        self._sampled = self.ids[:0]
        self._facts: dict[str, Any] | None = None

    def measure_on(self, ids: np.ndarray) -> None:
        """Says which examples (ascending) :meth:`measured` is of, before their content is asked for."""
        self._sampled = ids

    def content(self, ids: np.ndarray, view: int) -> shard.Content:
        """What a shard holds of these examples (ascending), encoded.

        Raises :class:`BadInput` where the answer does not fit the classes, is NaN or +inf, or has nothing finite.
        """
        parts, lengths = [], []
        answers = self._answers(ids, view)
        if view == 0 and self._facts is None and np.array_equal(ids, self._sampled):
            answers = self._measuring(answers)
        for logits_PC, rows, lengths_B in answers:
            parts.append(self._codec.encode(logits_PC, rows))
            lengths.append(lengths_B)
        columns = {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}
        if not self._ragged:
            return shard.Content(columns)
        offsets = np.zeros(len(ids) + 1, np.int64)
        np.cumsum(torch.cat(lengths).numpy(), out=offsets[1:])
        return shard.Content(columns, offsets)

    def measured(self) -> dict[str, Any]:
        """What the manifest says of the codec; its error is that of the first rows, at view 0, of the sampled examples.

        It was measured on the way where their content was made here. Where it was found, they are asked once more, in the
        same batches: the figures are the same after any interruption.
        """
        if self._facts is None:
            for _ in self._measuring(self._answers(self._sampled, 0, ERROR_SAMPLE)):
                if self._facts:
                    break
        assert self._facts is not None
        return self._facts

    def _measuring(self, answers: Iterator[_Answered]) -> Iterator[_Answered]:
        """The same answers; as soon as there are rows enough, or examples, the codec is measured on them."""
        logits: list[Tensor] = []
        rows: list[Rows] = []
        left, examples = ERROR_SAMPLE, min(ERROR_SAMPLE, len(self._sampled))
        for logits_PC, of_P, lengths_B in answers:
            if self._facts is None:
                logits.append(logits_PC[:left].cpu())
                rows.append(Rows(of_P.ids_N[:left], 0, of_P.position_N[:left]))
                left, examples = left - len(logits[-1]), examples - len(lengths_B)
                if not left or examples <= 0:
                    self._facts = self._measured_of(torch.cat(logits), rows)
                    logits.clear()
            yield logits_PC, of_P, lengths_B

    def _measured_of(self, logits_PC: Tensor, parts: list[Rows]) -> dict[str, Any]:
        rows = Rows(torch.cat([one.ids_N for one in parts]), 0, torch.cat([one.position_N for one in parts]))
        return {
            "name": self._codec.name,
            "settings": dict(self._codec.settings),
            "bytes_per_target": bytes_per_target(self._codec, self._classes),
            "error": codec_error(self._codec, logits_PC, rows) if len(logits_PC) else None,
        }

    def _answers(self, ids: np.ndarray, view: int, wanted: int | None = None) -> Iterator[_Answered]:
        """Logits (P, C), what each row answers, and lengths (B,); batches that begin before example ``wanted``."""
        where = self._order_N[torch.from_numpy(np.searchsorted(self.ids, ids))]
        for first in range(0, min(len(ids), wanted or len(ids)), self._batch_size):
            index_B = where[first : first + self._batch_size]
            ids_B = torch.from_numpy(ids[first : first + self._batch_size])
            logits_PC, lengths_B = flat(self._ask(index_B, view), len(index_B), self._width, self._ragged)
            rows = rows_of(ids_B, view, lengths_B)
            _refuse_unusable(logits_PC, rows)
            yield logits_PC, rows, lengths_B


def flat(answer: Tensor | RaggedLogits, examples: int, classes: int, ragged: bool) -> tuple[Tensor, Tensor]:
    """A teacher's answer as logits (P, C), one example after another, and lengths (B,) int64 on the CPU.

    Raises :class:`BadInput` where it is not one of so many examples and classes, or a sequence where one answer belongs.
    """
    if isinstance(answer, RaggedLogits) != ragged:
        one, many = ("one answer", "a sequence of them"), ("a sequence of answers", "one answer")
        gave, belongs = one if ragged else many
        raise BadInput(f"the teacher gave {gave} for each example, where {belongs} belongs in this store.")
    if isinstance(answer, RaggedLogits):
        logits_PC, lengths_B = answer.logits.detach(), answer.lengths.detach().cpu().to(torch.int64)
        rows, fits = int(lengths_B.sum()), lengths_B.shape == (examples,) and bool((lengths_B >= 0).all())
    else:
        logits_PC, lengths_B = answer.detach(), torch.ones(examples, dtype=torch.int64)
        rows, fits = examples, True
    if not fits or logits_PC.shape != (rows, classes):
        positions = f", {rows} positions in all," if ragged else ""
        raise BadInput(
            f"the teacher answered {examples} examples{positions} with a tensor of shape "
            f"{tuple(logits_PC.shape)}; the data has {classes} classes, so ({rows}, {classes}) is needed."
        )
    return logits_PC, lengths_B


def rows_of(ids_B: Tensor, view: int, lengths_B: Tensor) -> Rows:
    """What each row answers of so many rows an example."""
    start_B = lengths_B.cumsum(0) - lengths_B
    position_P = torch.arange(int(lengths_B.sum())) - start_B.repeat_interleave(lengths_B)
    return Rows(ids_B.repeat_interleave(lengths_B), view, position_P)


def _refuse_unusable(logits_PC: Tensor, rows: Rows) -> None:
    if bool(logits_PC.isfinite().all()):  # as a rule, and then one look is enough
        return
    bad_P = (logits_PC.isnan() | (logits_PC == torch.inf)).any(1) | ~logits_PC.isfinite().any(1)
    if bool(bad_P.any()):
        ids = rows.ids_N[bad_P.cpu()].unique_consecutive().tolist()
        named = ", ".join(map(str, ids[:5])) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
        raise BadInput(
            f"the teacher's answer is NaN or infinite for example id {named}, view {rows.view}. Likely causes: "
            "weights from a training run that diverged, a precision too low for this teacher (try float32), "
            "or input that is not normalised as it expects."
        )
