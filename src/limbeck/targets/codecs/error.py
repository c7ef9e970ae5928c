"""What a codec costs: its answers held against those of the live teacher, on a sample. Shapes: N rows, C classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...interfaces import DenseLogits, Hypotheses, Sampled, TopK, Values
from ...objectives.functional import rest_at
from .base import Answer, Codec, Rows, wide

_ROWS = 64  # expanded to all classes at a time


def codec_error(codec: Codec, logits_NC: Tensor, rows: Rows) -> dict[str, Any]:
    """What storing costs, measured on a sample of rows, in float64 and nats.

    Always ``n``, the number of rows, and ``argmax_agreement``, the share of rows whose likeliest class (the one drawn
    most often) is the teacher's. Then, for answers that give every class a probability,

    * ``mean_kl``, ``p99_kl``: KL(teacher || decoded) at ``temperature``, which is 1, or the nearest that a ladder holds.
      Of top k, the mass of the rest is spread evenly over the other classes: what cannot be known of them counts.
    * top k alone: ``mean_coarse_kl``, the same over the k classes and the rest as one bucket, which is what the objective
      sees and leaves rounding alone; ``mean_rest``, the mass of the rest.

    and for a sample, whose rows are no distributions to be held against the teacher's one by one,

    * ``mean_total_variation``: of each row's estimate, the noise of the draws at the sample's ``temperature``;
    * ``bias``: the total variation between the mean estimate and the mean of the teacher's probabilities. It falls with
      the number of rows, and so it would not if the estimate were biased;
    * ``mean_classes``: how many different classes a row keeps.

    Of the numbers of a regression, ``n``, ``rmse`` and ``max_difference`` in the numbers' unit, and ``rms``, their own size;
    ``per_number`` the last two of each. Of deviations beside them, ``spread``: their root mean square.

    Of transcripts, of which nothing is lost, ``n`` and means over utterances: ``hypotheses`` (how many), ``symbols`` (of the best)
    and ``weight`` (of the best).
    """
    if codec.kind is Values:
        return _of_numbers(codec, logits_NC, rows)
    if codec.kind is Hypotheses:
        return _of_hypotheses(codec, logits_NC, rows)
    classes = logits_NC.shape[1]
    parts: list[dict[str, Tensor]] = []
    sums: list[Tensor] = []
    temperature = 1.0
    for low in range(0, len(logits_NC), _ROWS):
        here = slice(low, low + _ROWS)
        part = Rows(rows.ids_N[here], rows.view, rows.position_N[here])
        answer = codec.decode(codec.encode(logits_NC[here], part), classes)
        temperature = _temperature(answer)
        log_p_NC = (wide(logits_NC[here].detach()).cpu() / temperature).log_softmax(1)
        if isinstance(answer, Sampled):
            figures, difference_C = _of_sample(answer, log_p_NC)
            sums.append(difference_C)
        else:
            assert not isinstance(answer, Values | Hypotheses)
            figures = _of_distribution(answer, log_p_NC, temperature)
        parts.append(figures)
    figures = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    summary = {
        name if name == "argmax_agreement" else f"mean_{name}": float(values.mean()) for name, values in figures.items()
    }
    if "kl" in figures:
        summary["p99_kl"] = float(figures["kl"].quantile(0.99))
    if sums:
        summary["bias"] = float(torch.stack(sums).sum(0).abs().sum() / 2 / len(logits_NC))
    return {**summary, "temperature": temperature, "n": len(logits_NC)}


def _of_numbers(codec: Codec, said: Tensor, rows: Rows) -> dict[str, Any]:
    """``said``: the numbers (N, D), or with their deviations (N, 2 D)."""
    kept = codec.decode(codec.encode(said, rows), said.shape[1])
    assert isinstance(kept, Values)
    width = kept.values.shape[1]
    exact_ND = wide(said.detach()).cpu()[:, :width]
    difference_ND = kept.values.double() - exact_ND
    largest_D, size_D = difference_ND.abs().amax(0), exact_ND.square().mean(0).sqrt()
    return {
        "rmse": float(difference_ND.square().mean().sqrt()),
        "max_difference": float(difference_ND.abs().max()),
        "rms": float(exact_ND.square().mean().sqrt()),
        "n": len(said),
        "per_number": [
            {"max_difference": largest, "rms": size}
            for largest, size in zip(largest_D.tolist(), size_D.tolist(), strict=True)
        ],
        **({} if kept.spread is None else {"spread": float(kept.spread.double().square().mean().sqrt())}),
    }


def _of_hypotheses(codec: Codec, said_NW: Tensor, rows: Rows) -> dict[str, Any]:
    kept = codec.decode(codec.encode(said_NW, rows), 0)
    assert isinstance(kept, Hypotheses)
    means = {
        "hypotheses": (kept.lengths >= 0).double().sum(1),
        "symbols": kept.lengths[:, 0].clamp(min=0).double(),
        "weight": kept.weights[:, 0].double(),
    }
    return {"n": len(said_NW), **{name: float(values_N.mean()) for name, values_N in means.items()}}


def _temperature(answer: Answer) -> float:
    if isinstance(answer, Sampled):
        return answer.temperature
    if isinstance(answer, TopK):
        return min(max(1.0, answer.temperatures[0]), answer.temperatures[-1])
    return 1.0


def _of_distribution(answer: DenseLogits | TopK, log_p_NC: Tensor, temperature: float) -> dict[str, Tensor]:
    if isinstance(answer, DenseLogits):
        log_q_NC = (answer.logits.to(torch.float64) / temperature).log_softmax(1)
        return {"kl": _kl(log_p_NC, log_q_NC), "argmax_agreement": _agreement(log_p_NC, log_q_NC.argmax(1))}
    rest_N1 = rest_at(answer.log_rest, answer.temperatures, temperature).to(torch.float64)[:, None]
    log_q = torch.cat([answer.logits.to(torch.float64) / temperature, rest_N1], dim=1).log_softmax(1)
    others = log_p_NC.shape[1] - answer.ids.shape[1]
    each_N1 = log_q[:, -1:] - torch.tensor(max(others, 1), dtype=torch.float64).log()
    log_q_NC = each_N1.expand_as(log_p_NC).scatter(1, answer.ids, log_q[:, :-1])
    rest_p_N1 = log_p_NC.scatter(1, answer.ids, -torch.inf).logsumexp(1, keepdim=True)
    return {
        "kl": _kl(log_p_NC, log_q_NC),
        "coarse_kl": _kl(torch.cat([log_p_NC.gather(1, answer.ids), rest_p_N1], dim=1), log_q),
        "rest": rest_p_N1[:, 0].exp(),
        "argmax_agreement": _agreement(log_p_NC, answer.ids[:, 0]),
    }


def _of_sample(answer: Sampled, log_p_NC: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    counts = answer.counts.to(torch.float64)
    share = counts / counts.sum(1, keepdim=True) * (1.0 if answer.weights is None else answer.weights.to(torch.float64))
    estimate_NC = torch.zeros_like(log_p_NC).scatter_add_(1, answer.ids.clamp(min=0), share)
    difference_NC = estimate_NC - log_p_NC.exp()
    figures = {
        "total_variation": difference_NC.abs().sum(1) / 2,
        "classes": (estimate_NC > 0).sum(1).to(torch.float64),
        "argmax_agreement": _agreement(log_p_NC, estimate_NC.argmax(1)),
    }
    return figures, difference_NC.sum(0)


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    p = log_p.exp()
    # clamped at 0: float64 rounding leaves equal distributions at about -1e-17
    return torch.where(p > 0, p * (log_p - log_q), 0.0).sum(1).clamp(min=0)


def _agreement(log_p_NC: Tensor, argmax_N: Tensor) -> Tensor:
    return (log_p_NC.argmax(1) == argmax_N).to(torch.float64)
