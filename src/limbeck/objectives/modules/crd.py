"""Contrastive representation distillation with a memory of every training example (Tian et al. 2020)."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

from ...interfaces import Batch, Output, Target, Term
from .. import functional
from ..functional.common import check_temperature, full_precision
from ..functional.features import unit_rows
from ..schedules import Scheduled
from .features import OnFeatures, as_vectors, check_built

# Gathering the drawn rows is the better way only where their numbers (dim x K for an anchor) are fewer than the examples
# times this; on a CPU it took 13 times as long at 50,000 examples and K = 16384.
GATHERING = 4


class CRD(OnFeatures):
    """Student and teacher embed an example alike, and unlike other examples.

    Both models' features go through a linear layer and are brought to length 1; each embedding is told apart from
    ``negatives`` others by noise-contrastive estimation (:func:`limbeck.objectives.functional.contrastive`): the
    student's against the teacher's bank, the teacher's against the student's. A bank holds one embedding of every
    training example, as a moving average. Both linear layers are trained; the teacher is not.

    * **Negatives** are drawn evenly, with replacement, from all training examples but the positive one, by torch's
      default generator of the device. (The authors, given labels, leave out all examples of the positive's class; a bank
      knows no labels.) With fewer than ``negatives`` other examples there are as many draws as those.
    * **Normalisers**: one for each direction, N times the mean of exp(s / T) over the first batch, kept from then on.
    * **Banks** are written in training mode only, after the loss, so an example is compared with what was known before
      this batch. What a batch gives therefore depends on the batches before it: the objective counts as batch-relational.
    * **State**: the ids, both banks and the normalisers are saved with the objective; 1024 bytes an example at 128
      dimensions.
    * **Unknown ids** raise ``ValueError``: in :meth:`build` and in the batches up to the first that sets the normalisers,
      and on the CPU in every batch. Later on a GPU, where asking would make the host wait, they make the loss NaN, which
      the training loop reports with the ids of the batch.

    Several processes would each fill a bank with their own share of the examples: that is refused.

    Args:
        student: module path; the paper takes the features before the classifier, such as ``fc:in``. Maps are averaged
            over their places.
        teacher: module path of the teacher.
        weight: factor of the term.
        negatives: K.
        temperature: T.
        momentum: share of a bank's old embedding in the new one.
        dim: of the embeddings.
    """

    relational = True
    ids_N: Tensor
    banks_2ND: Tensor
    log_normalizers_2: Tensor

    def __init__(
        self,
        student: str,
        teacher: str,
        weight: Scheduled = 0.8,
        negatives: int = 16384,
        temperature: float = 0.07,
        momentum: float = 0.5,
        dim: int = 128,
    ) -> None:
        super().__init__("crd", student, teacher, weight)
        check_temperature(temperature)
        if negatives < 1 or dim < 1:
            raise ValueError(f"crd needs at least one negative and one dimension, not {negatives} and {dim}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, not {momentum}: at 1 a bank never learns")
        self.negatives, self.temperature, self.momentum, self.dim = negatives, temperature, momentum, dim
        self.embed = nn.ModuleList()  # of the student, of the teacher
        self.register_buffer("ids_N", None)
        self.register_buffer("banks_2ND", None)
        self.register_buffer("log_normalizers_2", None)
        # Whether the normalisers are known: asked of the device until they are, and then never again.
        self._normalized = False
        self.register_load_state_dict_post_hook(_ask_again)

    def build(self, student: Output, target: Target, batch: Batch, ids_N: Tensor) -> None:
        """Makes the embeddings, and the banks from small random vectors.

        Raises:
            ValueError: there are fewer than two training examples, an id appears twice, or the batch holds an example
                that is none of them.
        """
        _refuse_several_processes()
        ids_N = ids_N.sort().values
        if len(ids_N) < 2:
            raise ValueError(
                f"crd tells examples apart, and {len(ids_N)} training examples are too few: give at least 2"
            )
        if bool((ids_N[1:] == ids_N[:-1]).any()):
            raise ValueError(
                "crd keeps one embedding of every training example, and some have the same id: make ids unique"
            )
        ids_B = batch.ids.to(ids_N.device)
        _refuse_strangers(ids_B, torch.isin(ids_B, ids_N), len(ids_N))
        ((ours, theirs),) = self.pairs(student, target)
        device, dtype = ours.device, ours.dtype
        widths = [as_vectors(features).shape[1] for features in (ours, theirs)]
        self.embed = nn.ModuleList(nn.Linear(width, self.dim) for width in widths).to(device, dtype)
        # uniform with variance 1 / dim: of length 1 in the mean
        bound = math.sqrt(3 / self.dim)
        banks_2ND = torch.empty(2, len(ids_N), self.dim).uniform_(-bound, bound)
        self.ids_N, self.banks_2ND = ids_N.to(device), banks_2ND.to(device, dtype)
        self.log_normalizers_2 = torch.full((2,), torch.inf, device=device, dtype=dtype)  # inf: not yet known
        self._normalized = False

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        check_built(self, self.embed)
        _refuse_several_processes()
        ((ours, theirs),) = self.pairs(student, target)
        embedded = [unit_rows(embed(as_vectors(x))) for embed, x in zip(self.embed, (ours, theirs), strict=True)]
        rows_B, known_B = self.rows(batch.ids.to(self.ids_N.device))
        drawn_BK = self.draw(rows_B)
        of_student_ND, of_teacher_ND = self.banks_2ND.unbind()
        with full_precision(ours):
            compared = [
                _Comparison.of(anchor_BD, bank_ND, rows_B, drawn_BK)
                for anchor_BD, bank_ND in zip(embedded, (of_teacher_ND, of_student_ND), strict=True)
            ]
        log_noises_2 = self._normalizers(compared) + math.log(drawn_BK.shape[1] / len(self.ids_N))
        value = torch.zeros((), device=ours.device)
        for comparison, log_noise in zip(compared, log_noises_2, strict=True):
            value = value + functional.contrastive(
                comparison.positive_B,
                comparison.others_BM,
                times_BM=comparison.times_BM,
                log_noise=log_noise,
                temperature=self.temperature,
            )
        if self.training:
            self._remember(embedded, rows_B, known_B)
        value = value.masked_fill(~known_B.all(), torch.nan)
        return {self.name: self.term(value, batch)}

    def rows(self, ids_B: Tensor) -> tuple[Tensor, Tensor]:
        """The banks' rows (B,) of examples, and whether each is known (B,)."""
        rows_B = torch.searchsorted(self.ids_N, ids_B).clamp(max=len(self.ids_N) - 1)
        known_B = self.ids_N[rows_B] == ids_B
        # until the normalisers are known the device is asked anyway
        if known_B.device.type == "cpu" or not self._normalized:
            _refuse_strangers(ids_B, known_B, len(self.ids_N))
        return rows_B, known_B

    def draw(self, rows_B: Tensor) -> Tensor:
        """Rows of negatives (B, K) for positives in ``rows_B``, by torch's default generator."""
        others = len(self.ids_N) - 1
        size = (len(rows_B), min(self.negatives, others))
        drawn_BK = torch.randint(others, size, device=rows_B.device)
        return drawn_BK + (drawn_BK >= rows_B.unsqueeze(1))  # steps over the positive

    @torch.no_grad()
    def _normalizers(self, compared: list[_Comparison]) -> Tensor:
        if not self._normalized:
            self._normalized = bool(self.log_normalizers_2.isfinite().all())
        if self._normalized or not len(compared[0].positive_B):
            return self.log_normalizers_2
        logs_2 = torch.stack([comparison.log_mean(self.temperature) for comparison in compared])
        logs_2 = logs_2 + math.log(len(self.ids_N))
        if self.training:
            self.log_normalizers_2.copy_(logs_2)
        return logs_2

    @torch.no_grad()
    def _remember(self, embedded: list[Tensor], rows_B: Tensor, known_B: Tensor) -> None:
        if not len(rows_B):
            return
        # of an example that is in the batch twice the last one counts, whatever order a GPU writes in
        places_B = torch.arange(len(rows_B), device=rows_B.device)
        last_B = torch.where(rows_B.unsqueeze(1) == rows_B, places_B, -1).amax(dim=1)
        for bank_ND, new_BD in zip(self.banks_2ND, embedded, strict=True):
            old_BD = bank_ND[rows_B]
            mixed_BD = unit_rows(self.momentum * old_BD + (1 - self.momentum) * new_BD[last_B])
            bank_ND.index_copy_(0, rows_B, torch.where(known_B.unsqueeze(1), mixed_BD, old_BD))


class _Comparison:
    """Similarities of anchors with a bank: with the positive (B,), with others (B, M), and how often each was drawn."""

    def __init__(self, positive_B: Tensor, others_BM: Tensor, times_BM: Tensor | None) -> None:
        self.positive_B, self.others_BM, self.times_BM = positive_B, others_BM, times_BM

    @staticmethod
    def of(anchor_BD: Tensor, bank_ND: Tensor, rows_B: Tensor, drawn_BK: Tensor) -> _Comparison:
        """Compares (B, D) with rows (B,) and (B, K) of (N, D)."""
        positive_B = (anchor_BD * bank_ND[rows_B]).sum(dim=1)
        (examples, dim), draws = bank_ND.shape, drawn_BK.shape[1]
        if examples * GATHERING > dim * draws:
            others_BK = torch.bmm(bank_ND[drawn_BK], anchor_BD.unsqueeze(2)).squeeze(2)
            return _Comparison(positive_B, others_BK, None)
        # With all rows at once, each counted as often as it was drawn: gathering K rows of D numbers for each example is
        # mostly the greater work. Counts are whole numbers, so that their sum is exact in any order.
        times_BN = torch.zeros(len(rows_B), examples, device=bank_ND.device, dtype=bank_ND.dtype)
        times_BN.scatter_add_(1, drawn_BK, torch.ones_like(drawn_BK, dtype=bank_ND.dtype))
        # autograd is given a copy to keep: the bank changes before the backward pass
        return _Comparison(positive_B, anchor_BD @ bank_ND.clone().mT, times_BN)

    def log_mean(self, temperature: float) -> Tensor:
        """log of the mean of exp(s / T) over the positives and the draws."""
        others_BM = self.others_BM / temperature
        if self.times_BM is not None:
            others_BM = others_BM + self.times_BM.log()
        draws = self.others_BM.shape[1] if self.times_BM is None else int(self.times_BM[0].sum())
        everything = torch.cat([self.positive_B / temperature, others_BM.flatten()])
        return everything.logsumexp(dim=0) - math.log(len(self.positive_B) * (1 + draws))


def _refuse_strangers(ids_B: Tensor, known_B: Tensor, count: int) -> None:
    if not bool(known_B.all()):
        raise ValueError(
            f"example {int(ids_B[~known_B][0])} is not among the {count} training examples that crd was built "
            "for: give build(...) the ids of all examples that it will see"
        )


def _refuse_several_processes() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        number = torch.distributed.get_world_size()
        if number > 1:
            raise ValueError(
                f"crd keeps a memory of all training examples, and {number} processes would each keep another: run it in "
                "one process"
            )


def _ask_again(module: nn.Module, _: Any) -> None:
    if isinstance(module, CRD):
        module._normalized = False
