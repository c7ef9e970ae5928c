"""A BERT-like classifier made smaller, from its own weights: fewer layers, narrower, fewer tokens.

What stays is chosen by importance measured on texts, or by other scores (:mod:`.scores`). What goes is replaced by its mean, which
moves into a bias; the norms are fitted anew to the dimensions that stay; where a head loses dimensions its queries are
rescaled, so that scores keep their scale. With nothing removed, nothing changes.

Shapes: H hidden dimensions of the teacher, K of them kept; A heads, D dimensions of a head.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from . import importance
from .anatomy import Layer, Sizes, anatomy, set_sizes
from .extra import transformers
from .importance import Batches, LayerMoments, Measured, Moments, NormFit
from .scores import LayerScores, Scores, measured


class _Heads(NamedTuple):
    """Which rows of a layer's query and key, and which of its value, stay; one head after another."""

    scored: Tensor
    valued: Tensor
    rescale: float  # of the queries


def shrink(
    teacher: Any,
    layers: tuple[int, ...],
    wanted: Sizes,
    *,
    kept_ids_K: Tensor | None,
    batches: Batches | None,
    scores: Scores | None = None,
) -> Any:
    """A smaller model of the teacher's class, on the CPU, in eval mode; the teacher is as it was.

    ``layers`` are those that stay, from 0; ``wanted`` has sizes that are possible (no head wider than the teacher's);
    ``kept_ids_K`` are the tokens that stay (None: all); ``batches`` are needed where a width changes. What
    stays are the parts of the highest ``scores``; where there are none, of those that are measured on the batches.
    """
    parts = anatomy(teacher)
    student = empty_like(teacher, wanted, kept_ids_K)
    ours = anatomy(student)
    seen = importance.measure(teacher, batches) if batches is not None else None
    kept_H, fits = torch.arange(parts.hidden), {}
    if scores is None and seen is not None:
        scores = measured(teacher, seen, layers)
    if scores is not None and batches is not None and wanted.hidden < parts.hidden:
        kept_H = importance.most_important(scores.hidden_H, wanted.hidden)
        fits = importance.fit_norms(teacher, batches, kept_H)

    with torch.no_grad():
        words_VH = parts.words.weight.cpu()
        ours.words.weight.copy_((words_VH if kept_ids_K is None else words_VH[kept_ids_K])[:, kept_H])
        for table, theirs in zip(ours.others, parts.others):
            table.weight.copy_(theirs.weight.cpu()[:, kept_H])
        _norm(ours.embedding_norm, parts.embedding_norm, kept_H, fits)
        before = seen.embedding_norm if seen else None
        for index, mine in zip(layers, ours.layers):
            _layer(
                mine,
                parts.layers[index],
                seen.layers[index] if seen else None,
                scores.layers[index] if scores else None,
                before,
                kept_H,
                wanted,
                parts.heads,
                fits,
            )
            before = seen.layers[index].output_norm if seen else None
        _head(ours, parts, seen, scores, kept_H)
    return student.eval()


def empty_like(teacher: Any, wanted: Sizes, kept_ids_K: Tensor | None, *, classes: int | None = None) -> Any:
    """A model of the teacher's family in the sizes wanted, with random weights and that many ``classes`` (None: the
    teacher's)."""
    config = copy.deepcopy(teacher.config)
    if classes is not None and classes != config.num_labels:
        config.num_labels = classes
    set_sizes(config, wanted)
    if kept_ids_K is not None:
        own = {token: index for index, token in enumerate(kept_ids_K.tolist())}
        for key in ("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "unk_token_id"):
            if isinstance(token := getattr(config, key, None), int):
                setattr(config, key, own.get(token))
    return transformers.AutoModelForSequenceClassification.from_config(
        config, dtype=torch.float32, trust_remote_code=False, attn_implementation=teacher.config._attn_implementation
    )


def _layer(
    mine: Layer,
    theirs: Layer,
    seen: LayerMoments | None,
    scores: LayerScores | None,
    before: Moments | None,
    kept_H: Tensor,
    wanted: Sizes,
    heads: int,
    fits: dict[nn.Module, NormFit],
) -> None:
    rows = _choose_heads(theirs, scores, wanted, heads)
    units = torch.arange(theirs.up.out_features)
    if scores is not None and wanted.feed_forward < len(units):
        units = importance.most_important(scores.units_F, wanted.feed_forward)
    _linear(mine.query, theirs.query, rows.scored, kept_H, before, rows.rescale)
    _linear(mine.key, theirs.key, rows.scored, kept_H, before)
    _linear(mine.value, theirs.value, rows.valued, kept_H, before)
    _linear(mine.attended, theirs.attended, kept_H, rows.valued, seen.context if seen else None)
    _norm(mine.attention_norm, theirs.attention_norm, kept_H, fits)
    _linear(mine.up, theirs.up, units, kept_H, seen.attention_norm if seen else None)
    _linear(mine.down, theirs.down, kept_H, units, seen.units if seen else None)
    _norm(mine.output_norm, theirs.output_norm, kept_H, fits)


def _head(ours: Any, parts: Any, seen: Measured | None, scores: Scores | None, kept_H: Tensor) -> None:
    """The layers behind the encoder. What `gather` gives is its own: it keeps as many, chosen for themselves."""
    gathered = kept_H
    if scores is not None and len(kept_H) < parts.hidden:
        gathered = importance.most_important(scores.gathered_H, len(kept_H))
    _linear(ours.gather, parts.gather, gathered, kept_H, seen.first if seen else None)
    _linear(
        ours.answer, parts.answer, torch.arange(parts.answer.out_features), gathered, seen.gathered if seen else None
    )


def _choose_heads(layer: Layer, scores: LayerScores | None, wanted: Sizes, heads: int) -> _Heads:
    width = layer.query.out_features // heads
    keep = wanted.hidden // wanted.heads  # dimensions of a head
    every_AD = torch.arange(heads * width).unflatten(0, (heads, width))
    if scores is None or (wanted.heads == heads and keep == width):
        return _Heads(every_AD.flatten(), every_AD.flatten(), 1.0)
    chosen = importance.most_important(scores.heads_A, wanted.heads)
    scored = [every_AD[head, importance.most_important(scores.scored_AD[head], keep)] for head in chosen]
    valued = [every_AD[head, importance.most_important(scores.valued_AD[head], keep)] for head in chosen]
    # scores are divided by the root of the head's width
    return _Heads(torch.cat(scored), torch.cat(valued), (keep / width) ** 0.5)


def _linear(
    mine: nn.Linear, theirs: nn.Linear, rows: Tensor, columns: Tensor, given: Moments | None, rescale: float = 1.0
) -> None:
    """Rows and columns of ``theirs``; the mean of the inputs left out, where it was measured, moves into the bias."""
    weight, bias = theirs.weight.detach().cpu(), theirs.bias.detach().cpu()
    if given is not None and len(columns) < weight.shape[1]:
        gone = torch.ones(weight.shape[1], dtype=torch.bool)
        gone[columns] = False
        bias = bias + (weight[:, gone].double() @ given.mean[gone]).float()
    mine.weight.copy_(weight[rows][:, columns] * rescale)
    mine.bias.copy_(bias[rows] * rescale)


def _norm(mine: nn.LayerNorm, theirs: nn.LayerNorm, kept_H: Tensor, fits: dict[nn.Module, NormFit]) -> None:
    fit = fits.get(theirs, NormFit(1.0, 0.0))
    weight, bias = theirs.weight.detach().cpu()[kept_H], theirs.bias.detach().cpu()[kept_H]
    mine.weight.copy_(weight * fit.scale)
    mine.bias.copy_(bias + weight * fit.shift)
