"""A teacher that was asked once: its answers come from a store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import randomness
from ..interfaces import Batch, DenseLogits, Hypotheses, Needs, Target, TopK, Values
from . import hearing
from .store.padding import each_tensor
from .store.store import Store


class StoredTeacher:
    """Answers from a store; an :class:`interfaces.Teacher`.

    With ``average``, every view of an example is answered with the mean of the teacher's probabilities, or of its numbers,
    over all stored views, and the student may see any view; beside numbers stands their deviation over the views.
    With ``first``, every view is answered with what is stored of the first, and the student may see any view too; of answers at
    positions, which views move, that is a ``ValueError``.
    """

    def __init__(self, store: Store, average: bool = False, first: bool = False) -> None:
        if first and store.ragged:
            raise ValueError(
                "an answer at each position is of one view, and only one for an example can hold for all of its views"
            )
        self.store, self.average, self.first = store, average, first
        self._found: dict[tuple[int, int], list[hearing.Heard]] = {}
        self._numbers = average and store.codec.kind is Values
        mean_NC, spread_ND = None, None
        if self._numbers:
            mean_NC, spread_ND = store.mean_numbers()
        elif average:
            mean_NC = store.mean_probabilities()
        self._mean_NC = None if mean_NC is None else mean_NC.to(store.device)
        self._spread_ND = None if spread_ND is None else spread_ND.to(store.device)

    @property
    def upcoming(self) -> Callable[[Tensor, Tensor], None] | None:
        """To be told the (ids, views) of the batch after the present one; None where that would gain nothing."""
        if self.average or self.store.held:
            return None
        return lambda ids_B, view_B: self.store.prefetch(ids_B, self._stored(view_B))

    def __call__(self, batch: Batch, needs: Needs) -> Target:
        """The answer kept, of the store's kind, (B, ...) on its device; sequences (B, L, ...), as long as the mask. Averaged,
        the logits (B, C). Where transcripts are needed and posteriors were kept, also those that a search finds in them.

        Raises as :meth:`Store.gather` does, and ``ValueError`` where features are needed, which no store keeps.
        """
        if needs.teacher_features:
            raise ValueError(
                f"the teacher's features at {', '.join(needs.teacher_features)} are needed, and a store keeps none: ask a "
                "live teacher"
            )
        if self._mean_NC is not None and self._numbers:
            spread_BD = None if self._spread_ND is None else self.store.gather_rows(self._spread_ND, batch.ids)
            return Target((Values(self.store.gather_rows(self._mean_NC, batch.ids), spread_BD),))
        if self._mean_NC is not None:
            return Target((DenseLogits(self.store.gather_rows(self._mean_NC, batch.ids)),))
        if not self.store.ragged:
            return Target((self.store.gather(batch.ids, self._stored(batch.view)),))
        columns: list[Any] = []
        if needs.target != (Hypotheses,):
            columns.append(
                self.store.gather(batch.ids, batch.view, None if batch.mask is None else batch.mask.shape[1])
            )
        if Hypotheses in needs.target:
            columns.append(self._heard(batch))
        return Target(tuple(columns))

    def _heard(self, batch: Batch) -> Hypotheses:
        """The transcripts that a search finds in what is stored of recordings; each is searched once."""
        keys = list(zip(batch.ids.tolist(), batch.view.tolist(), strict=True))
        new = [at for at, key in enumerate(keys) if key not in self._found]
        if new:
            ids_B, view_B = batch.ids[new], batch.view[new]
            answer = self.store.gather(ids_B, view_B)
            if not isinstance(answer, DenseLogits | TopK):
                raise ValueError(
                    f"in answers of the kind {type(answer).__name__} no transcripts can be found: cast with codec dense"
                )
            said = hearing.ragged(answer, self.store.lengths(ids_B, view_B), self.store.classes)
            for at, logits_LV in zip(new, said.logits.split(said.lengths.tolist()), strict=True):
                rows_LV = logits_LV.double().cpu().softmax(-1).tolist()
                self._found[keys[at]] = hearing.best_of(rows_LV, hearing.BEST, hearing.BEAM)
        heard = hearing.packed([self._found[key] for key in keys], hearing.BEST)
        return each_tensor(heard, lambda tensor: tensor.to(self.store.device))

    def _stored(self, view_B: Tensor) -> Tensor:
        """The views whose answers stand for these."""
        return torch.zeros_like(view_B) if self.first else view_B

    def view_of(self, ids_B: Tensor, epoch: int) -> Tensor:
        """Which view each example shows in an epoch: int64 (B,); one whose answer is known."""
        if self.average or self.first:
            return torch.full_like(ids_B, epoch)
        views = self.store.view_counts(ids_B)
        offset_B = randomness.bits(self.store.view_seed, ids_B, 0, "stored.view") % views
        return (epoch + offset_B) % views
