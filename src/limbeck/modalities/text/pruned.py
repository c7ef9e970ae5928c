"""Students of texts that are their teacher with layers, heads and widths taken out: how many of each, and which."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import BadInput
from ...interfaces.modality import Teachers
from ...nlp import scores
from ...nlp.anatomy import Anatomy, Sizes, anatomy, sizes
from ...nlp.scores import Scores
from ...nlp.segments import segments_read
from ...nlp.vocabulary import count_tokens, kept_tokens
from ...randomness import order
from ...sections.pruned import FEWEST, Pruned
from .examples import TextSplits
from .recipe import TextRecipe, made_of
from .students import sample_batches, text_student, uniform_layers

CALIBRATION = 256
"""Training texts that a loss is measured on, of each seed its own."""
_BLOCK, _BLOCKS = 4, 8  # from 8 units on, runtimes are given whole blocks of 4
_NOTE = "pruned_note"


def pruned_student(recipe: TextRecipe, splits: TextSplits, teachers: Teachers) -> Callable[[int], nn.Module]:
    """What makes the pruned student for a seed, of the teacher as it is when it is called."""
    section, at = recipe.student, made_of(recipe)
    assert section.pruned is not None
    assert at is not None, "a recipe with such a student has a teacher by name"
    wanted, teacher = section.pruned, teachers.members[at].model
    texts = splits.train.texts + (() if splits.transfer is None else splits.transfer.texts)
    counts_V = count_tokens(splits.tokenizer, texts) if section.vocabulary == "used" else None
    rows = None
    if counts_V is not None:
        rows = len(kept_tokens(splits.tokenizer, counts_V, min_count=section.min_count))

    def student(seed: int) -> nn.Module:
        device = next(teacher.parameters()).device
        inside: Any = teacher.to("cpu")
        left = sizes_left(inside, wanted, rows)
        made = text_student(
            "shrunk",
            inside,
            splits.tokenizer,
            texts=texts,
            classes=splits.classes,
            seed=seed,
            layers=left.layers,
            hidden=left.hidden,
            heads=left.heads,
            feed_forward=left.feed_forward,
            vocabulary=section.vocabulary,
            min_count=section.min_count,
            counts_V=counts_V,
            pairs=splits.pair is not None,
            multi_label=splits.multi_label,
            scores=_scores(inside, wanted, left, splits, seed),
        ).for_teacher_ids()
        before, after = _parameters(inside), _parameters(made)
        teacher.to(device)
        if not FEWEST * wanted.keep <= after / before <= wanted.keep:
            raise BadInput(
                f"student.pruned: {after:,} of {before:,} parameters stayed, and {wanted.keep:g} of them were to stay at most: this "
                "teacher's sizes are not those of its layers; name a student instead (student.model)."
            )
        object.__setattr__(made, _NOTE, _note(before, after, sizes(inside.config), left))
        return made.requires_grad_(True)

    return student


def sizes_left(teacher: Any, wanted: Pruned, rows: int | None = None) -> Sizes:
    """The sizes of a classifier of the teacher's family with at most ``wanted.keep`` of its parameters.

    Layers, heads (with the hidden dimensions that go with them) and feed-forward units stay in shares that are as alike as whole
    numbers allow, each at most the teacher's; where several are, the sizes that leave most. ``rows`` are the tokens that stay (None: all).

    Raises:
        BadInput: no such sizes leave between two thirds of ``keep`` and ``keep``; the sentence says what does.
    """
    parts, there = anatomy(teacher), sizes(teacher.config)
    rows = there.vocabulary if rows is None else rows
    whole = _parameters(teacher)
    beside = whole - _counted(parts, there)  # what belongs to no size
    width, budget = there.hidden // there.heads, math.floor(wanted.keep * whole) - beside
    best, smallest = None, Sizes(1, width, 1, 1, rows)
    for layers in range(1, there.layers + 1):
        for heads in range(1, there.heads + 1):
            bare = Sizes(layers, heads * width, heads, 0, rows)
            of_unit = layers * (2 * bare.hidden + 1)
            units = _blocks(min((budget - _counted(parts, bare)) // of_unit, there.feed_forward))
            if units < 1:
                continue
            one = bare._replace(feed_forward=units)
            shares = [
                math.log(of / out_of) for of, out_of in zip((layers, heads, units), (there[0], there[2], there[3]))
            ]
            found = round(min(shares) - max(shares), 6), _counted(parts, one), one
            best = found if best is None or found[:2] > best[:2] else best
    if best is None or best[1] + beside < FEWEST * wanted.keep * whole:
        least, most = ((_counted(parts, one) + beside) / whole for one in (smallest, there._replace(vocabulary=rows)))
        tokens = (
            "" if rows < there.vocabulary else "; vocabulary: used takes tokens out too, which are not counted then"
        )
        raise BadInput(
            f"student.pruned.keep: {wanted.keep:g} of the teacher's {whole:,} parameters cannot be kept: with one layer, one head and one unit "
            f"{least:.3g} of them stay, and with all {most:.3g}{tokens}. Give a share between these."
        )
    return best[2]


def notes_on_pruned(student: nn.Module) -> list[str]:
    """What stayed of the teacher, in a sentence; nothing of other students."""
    note = getattr(student, _NOTE, None)
    return [] if note is None else [note]


def calibrated(teacher: Any, splits: TextSplits, seed: int) -> Any:
    """A copy of the teacher with the gradients of its mean loss on 256 training texts that ``seed`` names.

    The loss is what labels teach: the cross-entropy, or with several labels that of each by itself, summed.
    """
    model, train = copy.deepcopy(teacher).eval().requires_grad_(True), splits.train
    assert train.labels is not None
    chosen_N: Tensor = order(seed, 0, train.ids)[:CALIBRATION]
    texts, labels = [train.texts[at] for at in chosen_N.tolist()], train.labels[chosen_N].cpu()
    segments = bool(segments_read(model, splits.tokenizer))
    done = 0
    for batch in sample_batches(splits.tokenizer, texts, segments=segments):
        here = labels[done : done + len(batch["input_ids"])]
        done += len(here)
        answer = model(**batch).logits
        if splits.multi_label:
            loss = F.binary_cross_entropy_with_logits(answer, here.to(answer.dtype), reduction="sum")
        else:
            loss = F.cross_entropy(answer, here, reduction="sum")
        (loss / len(chosen_N)).backward()
    for one in model.parameters():
        if one.grad is None:  # it took no part
            one.grad = torch.zeros_like(one)
    return model


def _scores(teacher: Any, wanted: Pruned, left: Sizes, splits: TextSplits, seed: int) -> Scores:
    layers = uniform_layers(left.layers, sizes(teacher.config).layers)
    if wanted.criterion == "random":
        return scores.by_chance(teacher, seed)
    if wanted.criterion == "taylor":
        return scores.by_taylor(calibrated(teacher, splits, seed), layers)
    return scores.by_magnitude(teacher, layers)


def _counted(parts: Anatomy, of: Sizes) -> int:
    """The parameters of a BERT-like classifier with the parts of such, in these sizes."""
    hidden, classes = of.hidden, parts.answer.out_features
    tables = of.vocabulary + sum(table.num_embeddings for table in parts.others)
    attention = 4 * (hidden * hidden + hidden)
    forward = 2 * hidden * of.feed_forward + of.feed_forward + hidden
    layer = attention + forward + 4 * hidden  # with the two norms
    head = (hidden + 1) * hidden + (hidden + 1) * classes
    return (tables + 2) * hidden + of.layers * layer + head


def _blocks(units: int) -> int:
    return units if units < _BLOCKS else units // _BLOCK * _BLOCK


def _parameters(model: nn.Module) -> int:
    return sum(one.numel() for one in model.parameters())


def _note(before: int, after: int, there: Sizes, left: Sizes) -> str:
    return (
        f"The student is its teacher, pruned: {after:,} of {before:,} parameters stay ({after / before:.1%}): {left.layers} of "
        f"{there.layers} layers, {left.heads} of {there.heads} heads with {left.hidden} of {there.hidden} hidden dimensions, and "
        f"{left.feed_forward} of {there.feed_forward} units of each feed-forward part."
    )
