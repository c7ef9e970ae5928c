"""What the parts of a BERT-like classifier carry, measured on texts.

A part that always says the same can be replaced by a constant: its mean goes into a bias. What is lost with it is what
varies, as far as the next layer reads it. Importance here is that: variance times the squared weights that read it.

Shapes: N tokens (padding left out), H hidden dimensions, A heads, D dimensions of a head, F feed-forward units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..models.inference import untouched
from .anatomy import Anatomy, anatomy

Batches = Sequence[Mapping[str, Tensor]]
"""Each with ``input_ids`` and ``attention_mask``, (B, L) int64."""


@dataclass
class Moments:
    """Means and second moments of vectors, summed in float64; with ``heads``, the second moments within each head."""

    heads: int | None = None
    count: int = 0
    total: Tensor = field(default_factory=lambda: torch.zeros(()))
    second: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, values_NH: Tensor) -> None:
        """Takes in N vectors."""
        values_NH = values_NH.double()
        self.count += len(values_NH)
        self.total = self.total + values_NH.sum(0).cpu()
        if self.heads is None:
            self.second = self.second + values_NH.square().sum(0).cpu()
        else:
            values_NAD = values_NH.unflatten(1, (self.heads, -1))
            self.second = self.second + torch.einsum("nad,nae->ade", values_NAD, values_NAD).cpu()

    @property
    def mean(self) -> Tensor:
        """(H,)"""
        return self.total / self.count

    @property
    def square(self) -> Tensor:
        """The mean of the squares, (H,)."""
        second = self.second if self.heads is None else torch.diagonal(self.second, dim1=1, dim2=2).flatten()
        return second / self.count

    @property
    def variance(self) -> Tensor:
        """(H,)"""
        return (self.square - self.mean.square()).clamp_min(0)

    @property
    def covariance(self) -> Tensor:
        """Within each head, (A, D, D)."""
        assert self.heads is not None
        mean_AD = self.mean.unflatten(0, (self.heads, -1))
        return self.second / self.count - mean_AD[:, :, None] * mean_AD[:, None, :]


@dataclass
class LayerMoments:
    """What one layer's modules gave or were given."""

    query: Moments  # out of `query`
    key: Moments
    context: Moments  # into `attended`: what the heads gathered
    attention_norm: Moments  # out of the norm
    units: Moments  # into `down`
    output_norm: Moments


@dataclass
class Measured:
    """What a classifier's modules gave or were given, on some texts."""

    embedding_norm: Moments
    layers: list[LayerMoments]
    first: Moments  # into `gather`: the first token
    gathered: Moments  # into `answer`


def measure(model: Any, batches: Batches) -> Measured:
    """One pass over ``batches``; the model is afterwards as it was."""
    parts = anatomy(model)
    seen = Measured(
        Moments(),
        [
            LayerMoments(Moments(), Moments(), Moments(parts.heads), Moments(), Moments(), Moments())
            for _ in parts.layers
        ],
        Moments(),
        Moments(),
    )
    outputs = [(parts.embedding_norm, seen.embedding_norm)]
    inputs = [(parts.gather, seen.first), (parts.answer, seen.gathered)]
    for layer, moments in zip(parts.layers, seen.layers):
        outputs += [(layer.query, moments.query), (layer.key, moments.key)]
        outputs += [(layer.attention_norm, moments.attention_norm), (layer.output_norm, moments.output_norm)]
        inputs += [(layer.attended, moments.context), (layer.down, moments.units)]
    watch = [(module, "out", moments.add) for module, moments in outputs]
    watch += [(module, "in", moments.add) for module, moments in inputs]
    _run(model, batches, watch)
    return seen


def hidden_importance(seen: Measured, layers: Iterable[int]) -> Tensor:
    """(H,): the variance of each hidden dimension after every norm, each norm counting alike."""
    norms = [seen.embedding_norm]
    for index in layers:
        norms += [seen.layers[index].attention_norm, seen.layers[index].output_norm]
    return sum((norm.variance / norm.variance.mean().clamp_min(1e-30) for norm in norms), torch.zeros(()).double())


def head_importance(seen: LayerMoments, attended: nn.Linear) -> Tensor:
    """(A,): the variance of what each head adds to the hidden dimensions."""
    covariance_ADD = seen.context.covariance
    weight_HAD = attended.weight.detach().double().unflatten(1, covariance_ADD.shape[:2])
    return torch.einsum("had,ade,hae->a", weight_HAD, covariance_ADD, weight_HAD)


def score_importance(seen: LayerMoments, heads: int) -> Tensor:
    """(A, D): what each dimension of a head's query and key adds to the square of their product."""
    return (seen.query.square * seen.key.square).unflatten(0, (heads, -1))


def unit_importance(moments: Moments, reader: nn.Linear) -> Tensor:
    """What each input of ``reader`` adds to the variance of its outputs."""
    return moments.variance * reader.weight.detach().double().square().sum(0)


@dataclass
class NormFit:
    """Of a norm over some of its dimensions: how it must be scaled and moved to give what it gave over all of them."""

    scale: float
    shift: float


def fit_norms(model: Any, batches: Batches, kept_H: Tensor) -> dict[nn.Module, NormFit]:
    """For every norm of ``model``: the least-squares fit of what it made of all dimensions by what it makes of ``kept_H``.

    Let x̂ be a vector normalised over all dimensions and x̂' one normalised over those kept. x̂' has mean 0 and variance
    1 over the kept, so the best ``s x̂' + m`` for x̂ there has s = mean(x̂ x̂') and m = mean(x̂).
    """
    parts: Anatomy = anatomy(model)
    norms = [
        parts.embedding_norm,
        *(norm for layer in parts.layers for norm in (layer.attention_norm, layer.output_norm)),
    ]
    sums = {norm: torch.zeros(3, dtype=torch.float64) for norm in norms}

    def watcher(norm: nn.LayerNorm) -> Callable[[Tensor], None]:
        def add(values_NH: Tensor) -> None:
            values_NH = values_NH.double()
            over_all_NK = _normalised(values_NH, norm.eps)[:, kept_H]
            over_kept_NK = _normalised(values_NH[:, kept_H], norm.eps)
            sums[norm] += torch.stack(
                [over_all_NK.mul(over_kept_NK).sum(), over_all_NK.sum(), torch.tensor(over_all_NK.numel()).double()]
            ).cpu()

        return add

    _run(model, batches, [(norm, "in", watcher(norm)) for norm in norms])
    return {norm: NormFit(float(total[0] / total[2]), float(total[1] / total[2])) for norm, total in sums.items()}


def most_important(importance: Tensor, count: int) -> Tensor:
    """Positions of the ``count`` largest, ascending; of equals, the earlier ones."""
    return torch.argsort(importance, descending=True, stable=True)[:count].sort().values


def _normalised(values_NH: Tensor, eps: float) -> Tensor:
    centred = values_NH - values_NH.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + eps).sqrt()


def _run(model: Any, batches: Batches, watch: Sequence[tuple[nn.Module, str, Callable[[Tensor], None]]]) -> None:
    """Runs ``model`` and hands what passes through the watched modules on, padding left out."""
    device = next(model.parameters()).device
    mask: list[Tensor] = []

    def hand_on(values: Tensor, add: Callable[[Tensor], None]) -> None:
        add(values.detach()[mask[-1]] if values.dim() == 3 else values.detach())

    def hook(where: str, add: Callable[[Tensor], None]) -> Callable[..., None]:
        if where == "out":
            return lambda module, given, answer: hand_on(answer, add)
        return lambda module, given: hand_on(given[0], add)

    handles = []
    for module, where, add in watch:
        stand = module.register_forward_hook if where == "out" else module.register_forward_pre_hook
        handles.append(stand(hook(where, add)))
    try:
        with untouched(model):
            for batch in batches:
                mask[:] = [batch["attention_mask"].to(device).bool()]
                model(**{name: value.to(device) for name, value in batch.items()})
    finally:
        for handle in handles:
            handle.remove()
