"""A teacher that was asked once: its answers come from a store."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .. import randomness
from ..interfaces import Batch, DenseLogits, Needs, Target, Values
from .store.store import Store


class StoredTeacher:
    """Answers from a store; an :class:`interfaces.Teacher`.

    With ``average``, every view of an example is answered with the mean of the teacher's probabilities, or of its numbers,
    over all stored views, and the student may see any view; beside numbers stands their deviation over the views.
    """

    def __init__(self, store: Store, average: bool = False) -> None:
        self.store, self.average = store, average
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
        return None if self.average or self.store.held else self.store.prefetch

    def __call__(self, batch: Batch, needs: Needs) -> Target:
        """The answer kept, of the store's kind, (B, ...) on its device; sequences (B, L, ...), as long as the mask. Averaged,
        the logits (B, C).

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
        length = None if batch.mask is None or not self.store.ragged else batch.mask.shape[1]
        return Target((self.store.gather(batch.ids, batch.view, length),))

    def view_of(self, ids_B: Tensor, epoch: int) -> Tensor:
        """Which view each example shows in an epoch: int64 (B,); one whose answer is known."""
        if self.average:
            return torch.full_like(ids_B, epoch)
        views = self.store.view_counts(ids_B)
        offset_B = randomness.bits(self.store.view_seed, ids_B, 0, "stored.view") % views
        return (epoch + offset_B) % views
