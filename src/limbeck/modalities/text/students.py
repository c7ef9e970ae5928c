"""Students for text classifiers: the teacher made smaller, a small transformer from scratch, or no transformer at all.

One function and one set of knobs for all of them, so that a search can go over them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ...data.ids import Text
from ...errors import BadInput, did_you_mean
from ...models.seeding import seeded
from ...nlp import anatomy as text_anatomy
from ...nlp import shrink as text_shrink
from ...nlp import vocabulary as text_vocabulary
from ...nlp.anatomy import Sizes
from ...nlp.pairs import SEGMENTS, are_pairs, encoded, separator
from ...nlp.scores import Scores
from ...nlp.segments import segments_read
from ...nlp.vocabulary import FromTeacherIds
from . import small as text_small

Kind = Literal["shrunk", "fresh", "bag", "conv"]
LayerChoice = Literal["uniform", "first", "last"]

# Importance settles within a few thousand tokens; more would only take longer.
_SAMPLE, _SAMPLE_BATCH, _SAMPLE_LENGTH = 256, 32, 128


@dataclass(frozen=True)
class TextStudent:
    """A student with the tokenizer of its own ids."""

    model: Any  # transformers.PreTrainedModel, called with its own ids
    tokenizer: Any
    kept_ids: Tensor | None  # (K,) the teacher's ids that it keeps, ascending; None: all
    teacher_tokens: int
    sizes: dict[str, int]  # what the knobs came to

    def for_teacher_ids(self) -> nn.Module:
        """The student as it is trained: called with the teacher's ids. Saved by ``save_folder`` like any other."""
        if self.kept_ids is None:
            return self.model
        unknown = self.tokenizer.unk_token_id
        return FromTeacherIds(self.model, self.kept_ids, teacher_tokens=self.teacher_tokens, unknown=unknown)

    def unknown_share(self, teacher_tokenizer: Any, texts: Sequence[Text]) -> dict[str, Any]:
        """What the smaller vocabulary loses on ``texts``: see :func:`.text_vocabulary.unknown_share`."""
        kept = torch.arange(self.teacher_tokens) if self.kept_ids is None else self.kept_ids
        return text_vocabulary.unknown_share(teacher_tokenizer, self.tokenizer, kept, texts)


def text_student(
    kind: Kind,
    teacher: Any,
    tokenizer: Any,
    *,
    texts: Sequence[Text] | None = None,
    classes: Sequence[str] | None = None,
    seed: int = 0,
    layers: int | Sequence[int] | None = None,
    layer_choice: LayerChoice = "uniform",
    hidden: int | None = None,
    heads: int | None = None,
    feed_forward: int | None = None,
    vocabulary: Literal["all", "used"] = "all",
    min_count: int = 1,
    counts_V: Tensor | None = None,
    pairs: bool | None = None,
    multi_label: bool = False,
    scores: Scores | None = None,
) -> TextStudent:
    """A student of ``teacher``, a sequence classifier with ``tokenizer``; on the CPU, in eval mode.

    ``kind``:

    * ``shrunk``: the teacher (BERT, RoBERTa, DistilBERT) made smaller and initialised from it. What stays of it is
      chosen by importance measured on a sample of ``texts`` (:mod:`limbeck.nlp.shrink`), or by other ``scores``.
    * ``fresh``: the same architecture in other sizes, initialised from ``seed`` alone.
    * ``bag``: mean and maximum of the embeddings, and a small network behind them.
    * ``conv``: blocks of depthwise-separable convolutions over the embeddings, then the same.

    The embeddings of the last two start as the teacher's, reduced to ``hidden`` dimensions by principal components. Of
    ``pairs`` they read either side by itself, and compare (:mod:`.text_small`); the sides are told by the separator.

    ``layers`` is a count or, for ``shrunk``, a list of the teacher's layers from 0; a count takes them as
    ``layer_choice`` says (``uniform``: at equal distances, the last one always). ``hidden`` is the width, ``heads`` the
    attention heads, ``feed_forward`` the units of each layer's feed-forward part (of ``bag``: between pooling and
    classes). What is not given is the teacher's; with another ``hidden``, as few heads as keep them no wider than the
    teacher's, and the feed-forward part in the same proportion. (``bag`` and ``conv``: 64 wide, as many units, twice
    that for ``conv``, and two layers.)

    ``vocabulary="used"`` keeps the tokens that stand at least ``min_count`` times in ``texts``, and the special ones; the
    student then has ids and a tokenizer of its own. ``counts_V`` says how often each token stands there, where
    :func:`.text_vocabulary.count_tokens` has counted before. ``classes`` are the names of the answers (None: the teacher's). ``pairs`` says whether it
    is of pairs (None: whether ``texts`` are).

    Where there is no ``teacher`` to take anything from (None: an ONNX file shows its answers alone), ``bag`` and ``conv``
    start from ``seed`` alone, ``classes`` must be given, and ``multi_label`` says whether a text may have several of them.

    Raises:
        BadInput: a knob is out of range or is none of this kind's, sizes do not go together, the teacher is of another
            family, or ``texts`` are needed and are missing.
    """
    if kind not in get_args(Kind):
        raise BadInput(f"student: there is no kind of text student '{kind}'.{did_you_mean(str(kind), get_args(Kind))}")
    names = (
        list(classes) if classes is not None else [teacher.config.id2label[i] for i in range(teacher.config.num_labels)]
    )
    if vocabulary == "all":
        counts_V = None
    elif vocabulary == "used":
        if counts_V is None:
            counts_V = text_vocabulary.count_tokens(tokenizer, _needed(texts, "to know which tokens they use"))
    else:
        raise BadInput(f"student: vocabulary is '{vocabulary}'; it must be all or used.")
    kept_ids = None
    if counts_V is not None:
        kept_ids = text_vocabulary.kept_tokens(tokenizer, counts_V, min_count=min_count)
    own_tokenizer = copy.deepcopy(tokenizer)
    if kept_ids is not None:
        own_tokenizer = text_vocabulary.smaller_tokenizer(tokenizer, kept_ids)
    if kept_ids is not None:
        rows = len(kept_ids)
    else:
        rows = len(tokenizer) if teacher is None else teacher.get_input_embeddings().num_embeddings

    if kind in ("shrunk", "fresh"):
        if teacher is None:
            raise BadInput(
                f"student: a {kind} student is made of its teacher, and there is none that shows what is inside."
            )
        there = text_anatomy.sizes(teacher.config)
        chosen = _layers(kind, layers, layer_choice, there.layers)
        wanted = _sizes(kind, there, len(chosen), hidden, heads, feed_forward, rows)
        if kind == "shrunk":
            _same_classes(teacher, names)
            batches = None
            if wanted[1:4] != there[1:4]:  # a width changes
                sample = _needed(texts, "to measure what matters in the teacher")
                batches = list(sample_batches(tokenizer, sample, segments=bool(segments_read(teacher, tokenizer))))
            with seeded(seed):
                model = text_shrink.shrink(teacher, chosen, wanted, kept_ids_K=kept_ids, batches=batches, scores=scores)
        else:
            with seeded(seed):
                model = text_shrink.empty_like(teacher, wanted, kept_ids, classes=len(names))
        reached = wanted._asdict()
    else:
        if heads is not None:
            raise BadInput(f"student: a {kind} student has no attention heads; leave heads out.")
        if not (layers is None or type(layers) is int) or (kind == "bag" and layers is not None):
            raise BadInput(
                f"student: layers is {layers!r}; a {kind} student has {'none' if kind == 'bag' else 'a count'}."
            )
        reached = {"hidden": hidden or 64, "feed_forward": feed_forward or (hidden or 64) * (1 + (kind == "conv"))}
        if kind == "conv":
            reached = {"layers": 2 if layers is None else int(layers), **reached}
        for knob, value in reached.items():
            _positive(knob, value)
        pad = int(own_tokenizer.pad_token_id)
        between = _between(own_tokenizer, kind) if (are_pairs(texts) if pairs is None else pairs) else None
        with seeded(seed):
            model = _small(kind, reached, rows, pad, len(names), between)
        if teacher is not None:
            _start_from(teacher, model, kept_ids, counts_V)
        reached["vocabulary"] = rows
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: index for index, name in enumerate(names)}
    kind_of_problem = "multi_label_classification" if multi_label else "single_label_classification"
    model.config.problem_type = kind_of_problem if teacher is None else teacher.config.problem_type
    return TextStudent(model.eval(), own_tokenizer, kept_ids, len(tokenizer), reached)


def sample_batches(tokenizer: Any, texts: Sequence[Text], *, segments: bool = False) -> Iterator[dict[str, Tensor]]:
    """At most 256 texts at equal distances, in batches of 32 cut at 128 tokens, as ids and masks; of pairs the
    ``segments`` too, where they are wanted."""
    count = min(_SAMPLE, len(texts))
    some = [texts[i * len(texts) // count] for i in range(count)]
    for start in range(0, count, _SAMPLE_BATCH):
        here = some[start : start + _SAMPLE_BATCH]
        given = encoded(tokenizer, here, int(min(_SAMPLE_LENGTH, tokenizer.model_max_length)))
        inputs = {"input_ids": given.tokens}
        if segments and given.segments is not None:
            inputs[SEGMENTS] = given.segments
        padded = tokenizer.pad(inputs, return_attention_mask=True, return_tensors="pt", verbose=False)
        yield {name: padded[name] for name in (*inputs, "attention_mask")}


def uniform_layers(count: int, there: int) -> tuple[int, ...]:
    """So many of a teacher's layers, from 0, at equal distances."""
    # TinyBERT's g(m) = m N / M, m = 1 ... M, rounded, halves upwards: the teacher's last layer is always there.
    return tuple((2 * m * there + count) // (2 * count) - 1 for m in range(1, count + 1))


def _layers(kind: str, layers: int | Sequence[int] | None, choice: str, there: int) -> tuple[int, ...]:
    """Which of the teacher's layers, from 0; for a fresh student only their number matters."""
    if choice not in get_args(LayerChoice):
        raise BadInput(f"student: layer_choice is '{choice}'; it must be one of {', '.join(get_args(LayerChoice))}.")
    if layers is None:
        return tuple(range(there))
    if type(layers) is int:
        if kind == "fresh" and layers >= 1:
            return tuple(range(layers))
        if not 1 <= layers <= there:
            raise BadInput(f"student: layers is {layers}; the teacher has {there}, so 1 to {there} can stay.")
        if choice == "first":
            return tuple(range(layers))
        if choice == "last":
            return tuple(range(there - layers, there))
        return uniform_layers(layers, there)
    listed = tuple(layers)  # pyright: ignore[reportArgumentType]
    ascending = all(type(layer) is int for layer in listed) and list(listed) == sorted(set(listed))
    if kind == "fresh" or not listed or not ascending or not 0 <= listed[0] <= listed[-1] < there:
        raise BadInput(
            f"student: layers is {layers!r}; a shrunk student takes ascending layers of the teacher from 0 to {there - 1}, "
            "or a count; a fresh one a count."
        )
    return listed


def _sizes(
    kind: str, there: Sizes, layers: int, hidden: int | None, heads: int | None, feed_forward: int | None, rows: int
) -> Sizes:
    width = there.hidden // there.heads
    given_hidden = there.hidden if hidden is None else hidden
    _positive("hidden", given_hidden)
    if heads is None:
        fits = (h for h in range(1, given_hidden + 1) if given_hidden % h == 0 and given_hidden // h <= width)
        heads = there.heads if given_hidden == there.hidden else next(fits)
    if feed_forward is None:
        feed_forward = max(1, round(there.feed_forward * given_hidden / there.hidden))
    _positive("heads", heads)
    _positive("feed_forward", feed_forward)
    if given_hidden % heads:
        raise BadInput(
            f"student: hidden {given_hidden} cannot be divided into {heads} heads; take a multiple of heads."
        )
    wanted = Sizes(layers, given_hidden, heads, feed_forward, rows)
    if kind == "fresh":
        return wanted
    for knob in ("hidden", "heads", "feed_forward"):
        if getattr(wanted, knob) > getattr(there, knob):
            raise BadInput(
                f"student: {knob} is {getattr(wanted, knob)} and the teacher's is {getattr(there, knob)}: a shrunk student "
                "is no larger than its teacher in anything; a fresh one may be."
            )
    if given_hidden // heads > width:
        raise BadInput(
            f"student: hidden {given_hidden} in {heads} heads makes them {given_hidden // heads} wide, and the teacher's are "
            f"{width}: take at least {-(-given_hidden // width)} heads."
        )
    return wanted


def _between(tokenizer: Any, kind: str) -> int:
    if (token := separator(tokenizer)) is None:
        raise BadInput(
            f"student: a {kind} student tells the sides of a pair by the token between them, and the teacher's tokenizer puts "
            "none there that is not before them too: take shrunk or fresh."
        )
    return token


def _small(kind: str, sizes: dict[str, int], rows: int, pad: int, classes: int, between: int | None) -> Any:
    common: dict[str, Any] = {
        "vocab_size": rows,
        "hidden_size": sizes["hidden"],
        "intermediate_size": sizes["feed_forward"],
        "pad_token_id": pad,
        "num_labels": classes,
        "separator_token_id": between,
    }
    if kind == "bag":
        return text_small.BagOfEmbeddings(text_small.BagOfEmbeddingsConfig(**common))
    return text_small.TextConvNet(text_small.TextConvNetConfig(num_hidden_layers=sizes["layers"], **common))


def _start_from(teacher: Any, student: Any, kept_ids: Tensor | None, counts_V: Tensor | None) -> None:
    """Embeddings: the teacher's along their principal components, scaled to the student's own spread.

    Tokens count as often as they were seen, where that is known, so that the components are those of the texts.
    """
    table = student.get_input_embeddings().weight
    theirs_VH = teacher.get_input_embeddings().weight.detach().cpu().double()
    rows = torch.arange(len(theirs_VH)) if kept_ids is None else kept_ids
    theirs_KH = theirs_VH[rows]
    weight_K = torch.ones(len(rows), dtype=torch.float64)
    if counts_V is not None:
        weight_K[: len(counts_V)] = counts_V[rows].double()
    weight_K = weight_K / weight_K.sum()
    centred_KH = theirs_KH - weight_K @ theirs_KH
    _, axes_HH = torch.linalg.eigh(centred_KH.T @ (centred_KH * weight_K[:, None]))
    axes = axes_HH.flip(1)[:, : table.shape[1]]
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()  # an eigenvector's sign is arbitrary
    reduced_KW = centred_KH @ axes
    spread = (weight_K @ reduced_KW.square()).mean().sqrt().clamp_min(1e-12)
    with torch.no_grad():
        own = table.std()
        table[:, : axes.shape[1]] = (reduced_KW / spread * own).float()


def _same_classes(teacher: Any, names: list[str]) -> None:
    if teacher.config.num_labels != len(names):
        raise BadInput(
            f"student: the teacher answers {teacher.config.num_labels} classes and {len(names)} are wanted: a shrunk "
            "student takes over its teacher's head."
        )


def _positive(knob: str, value: Any) -> None:
    if type(value) is not int or value < 1:
        raise BadInput(f"student: {knob} is {value!r}; it must be a whole number from 1.")


def _needed(texts: Sequence[Text] | None, why: str) -> Sequence[Text]:
    if not texts:
        raise BadInput(f"student: texts are needed {why}; give the training texts.")
    return texts
