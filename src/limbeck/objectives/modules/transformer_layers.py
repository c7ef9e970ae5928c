"""Objectives on the inside of transformers, layer against layer.

Layers are named by module path: by a template with ``{}`` for the layer's number, the depths of both models and a layer
map; or by lists of paths, compared in order. The defaults are the paths within a Hugging Face BERT
(``bert.encoder.layer.{}`` where it stands within a model with a head). Attention is worked out from what the query and key
projections give, so no model has to return it, and any attention kernel will do.

Positions that count are those of ``Batch.positions`` where it is there (the texts without their padding), and else those
of ``Batch.mask``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ...interfaces import Batch, Features, Needs, Output, Target, Term
from ..functional import at_least_float32, silenced, total_of
from ..functional import transformers as inner
from ..functional.common import full_precision
from ..layer_maps import LayerMap, Paths, path_pairs
from ..schedules import Scheduled
from .base import Objective, examples, number, positions_of

Parts = str | Sequence[str]
"""Names of the query, key and value projections below a self-attention module; or of the one that gives all three."""

BERT_LAYER, BERT_ATTENTION, BERT_PARTS = (
    "encoder.layer.{}",
    "encoder.layer.{}.attention.self",
    ("query", "key", "value"),
)


class HiddenStates(Objective):
    """Hidden states of some layers of the student against the teacher's.

    ``match`` says how: ``"mse"``, squared difference, summed over layers (TinyBERT); ``"cls"``, squared difference of the
    normalised [CLS] states, the mean over layers (PKD, which leaves the last layer out: ``layer_map=uniform(6, 12)[:-1]``);
    ``"cosine"`` (DistilBERT, which takes ``layer_map="last"``). See :mod:`limbeck.objectives.functional.transformers`.

    Where widths differ the student's states go through a linear map without bias that :meth:`build` makes, one for all
    layers of the same two widths (TinyBERT's W_h), and one of its own for the embeddings (W_e).

    Args:
        student: where the student's hidden states are, (B, L, H).
        teacher: where the teacher's are, (B, L, H').
        layers: how many layers student and teacher have; needed where the paths have a ``{}``.
        layer_map: ``"uniform"``, ``"last"`` or pairs of layer numbers from 0.
        match: ``"mse"``, ``"cls"`` or ``"cosine"``.
        embeddings: paths of the embeddings in student and teacher, to be matched too (TinyBERT: ``("embeddings",) * 2``).
        weight: factor of the terms; None: that of the paper, 1 (PKD: 500, as in the authors' code).

    Raises:
        ValueError: an unknown ``match``, or paths and layers that do not make pairs.
    """

    def __init__(
        self,
        student: Paths = BERT_LAYER,
        teacher: Paths = BERT_LAYER,
        *,
        layers: Sequence[int] | None = None,
        layer_map: LayerMap = "uniform",
        match: str = "mse",
        embeddings: Sequence[str] | None = None,
        weight: Scheduled | None = None,
    ) -> None:
        if match not in ("mse", "cls", "cosine"):
            raise ValueError(f"hidden states are matched by 'mse', 'cls' or 'cosine', not '{match}'")
        if embeddings is not None and (isinstance(embeddings, str) or len(embeddings) != 2):
            raise ValueError(f"embeddings must be two paths, the student's and the teacher's, not {embeddings!r}")
        super().__init__(number((500.0 if match == "cls" else 1.0) if weight is None else weight))
        self.name, self.match = "hidden_states", match
        self.pairs = path_pairs(student, teacher, layers, layer_map)
        self.embeddings = None if embeddings is None else (embeddings[0], embeddings[1])
        paths = [*self.pairs, *([] if self.embeddings is None else [self.embeddings])]
        self.needs = _needs([first for first, _ in paths], [second for _, second in paths])
        self.maps = nn.ModuleDict()

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        teacher = target.get(Features).values
        totals = [self._total(student.features, teacher, pair, batch) for pair in self.pairs]
        total = torch.stack(totals).sum()
        terms = {"hidden_states": total / len(totals) if self.match == "cls" else total}
        if self.embeddings is not None:
            terms["embeddings"] = self._total(student.features, teacher, self.embeddings, batch)
        counts = self.counts(batch)
        return {name: Term(self.scheduled(self.weight) * total, counts[name]) for name, total in terms.items()}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        mask = positions_of(batch)
        if mask is not None and self.match == "cls":
            mask = mask.any(dim=1)
        count = examples(batch) if mask is None else mask.sum()
        return dict.fromkeys(("hidden_states", "embeddings")[: 1 if self.embeddings is None else 2], count)

    def build(self, student: Output, target: Target, batch: Batch, ids_N: Tensor) -> None:
        teacher = target.get(Features).values
        self.maps = nn.ModuleDict()
        for pair in (*self.pairs, *([] if self.embeddings is None else [self.embeddings])):
            states, wanted = _feature(student.features, pair[0], "student"), _feature(teacher, pair[1], "teacher")
            inner.check_positions(states, wanted, positions_of(batch))
            name, widths = self._map(pair, states, wanted), (states.shape[-1], wanted.shape[-1])
            if widths[0] != widths[1] and name not in self.maps:
                # drawn on the CPU, so that it is the same on every device
                self.maps[name] = nn.Linear(*widths, bias=False).to(states.device, at_least_float32(states).dtype)

    def extra_repr(self) -> str:
        return f"match={self.match}, pairs={self.pairs}, embeddings={self.embeddings}, weight={self.weight}"

    def _map(self, pair: tuple[str, str], states: Tensor, wanted: Tensor) -> str:
        where = "embeddings" if pair == self.embeddings else "hidden"
        return f"{where}_{states.shape[-1]}_to_{wanted.shape[-1]}"

    def _total(
        self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], pair: tuple[str, str], batch: Batch
    ) -> Tensor:
        states, wanted = _feature(student, pair[0], "student"), _feature(teacher, pair[1], "teacher").detach()
        mask = positions_of(batch)
        inner.check_positions(states, wanted, mask)
        if self.match == "cls":
            states, wanted, mask = states[:, :1], wanted[:, :1], None if mask is None else mask.any(dim=1, keepdim=True)
        if states.shape[-1] != wanted.shape[-1]:
            name = self._map(pair, states, wanted)
            if name not in self.maps:
                raise ValueError(
                    f"hidden states are {states.shape[-1]} wide at the student's '{pair[0]}' and {wanted.shape[-1]} at the "
                    f"teacher's '{pair[1]}': call build() with an answer of both models before the optimiser is made, and "
                    "a linear map is trained along"
                )
            # silenced first: the map's gradient multiplies what stands at padding by 0, and NaN would stay
            with full_precision(states):
                states = self.maps[name](at_least_float32(silenced(states, mask)))
        values_of = {
            "mse": inner.hidden_mse_positions,
            "cls": inner.cls_mse_positions,
            "cosine": inner.hidden_cosine_positions,
        }[self.match]
        return _share(total_of(values_of, states, wanted, counts=mask), states, mask)


class _Relations(Objective):
    """Relations between the positions of a sequence, from the queries, keys and values of self-attention modules.

    A term for each relation, the sum over the pairs of modules. A relation is two letters: ``"qk"`` is attention, ``"vv"``
    values to values.
    """

    def __init__(
        self,
        name: str,
        terms: Mapping[str, str],
        student: Paths,
        teacher: Paths,
        *,
        heads: int,
        layers: Sequence[int] | None,
        layer_map: LayerMap,
        parts: Parts,
        teacher_parts: Parts | None,
        weight: Scheduled,
    ) -> None:
        super().__init__(number(weight))
        if heads < 1:
            raise ValueError(f"heads must be at least 1, not {heads}")
        self.name, self.terms, self.heads = name, dict(terms), heads
        self.pairs = path_pairs(student, teacher, layers, layer_map)
        self.parts = _checked(parts), _checked(parts if teacher_parts is None else teacher_parts)
        used = sorted(set("".join(terms.values())), key="qkv".index)
        self.needs = _needs(
            *(
                [_place(pair[whose], self.parts[whose], letter)[0] for pair in self.pairs for letter in used]
                for whose in (0, 1)
            )
        )

    def values_at(self, *tensors: Tensor, mask: Tensor | None) -> Tensor:
        """The value at every position, (B, L), of student's and teacher's tensors: one each, or two each (queries, keys)."""
        return inner.relation_kl_positions(*tensors, heads=self.heads, mask=mask)

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        teacher, counts, mask = target.get(Features).values, self.counts(batch), positions_of(batch)
        terms = {}
        for name, relation in self.terms.items():
            totals = [self._total(student.features, teacher, pair, relation, mask) for pair in self.pairs]
            terms[name] = Term(self.scheduled(self.weight) * torch.stack(totals).sum(), counts[name])
        return terms

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        mask = positions_of(batch)
        return dict.fromkeys(self.terms, examples(batch) if mask is None else mask.sum())

    def extra_repr(self) -> str:
        return f"terms={tuple(self.terms)}, heads={self.heads}, pairs={self.pairs}, weight={self.weight}"

    def _total(
        self,
        student: Mapping[str, Tensor],
        teacher: Mapping[str, Tensor],
        pair: tuple[str, str],
        relation: str,
        mask: Tensor | None,
    ) -> Tensor:
        letters = dict.fromkeys(relation)  # one for "vv", two for "qk"
        students = [_part(student, pair[0], self.parts[0], letter, "student") for letter in letters]
        teachers = [_part(teacher, pair[1], self.parts[1], letter, "teacher").detach() for letter in letters]
        inner.check_positions(students[0], teachers[0], mask)
        return _share(inner.total_of_examples(self.values_at, students, teachers, mask), students[0], mask)


class AttentionMaps(_Relations):
    """Attention of some layers of the student against the teacher's, head by head, summed over layers.

    ``match``: ``"mse"`` of the scores before the softmax (TinyBERT), or ``"kl"`` of what comes after it (MobileBERT; MiniLM
    with ``layer_map="last"``). See :func:`limbeck.objectives.functional.attention_mse` and ``attention_kl``.

    Args:
        student: the student's self-attention modules.
        teacher: the teacher's.
        heads: attention heads of both models. Where they have different numbers of heads there is no head to compare a
            head with: use :class:`ValueRelations`.
        layers: how many layers student and teacher have; needed where the paths have a ``{}``.
        layer_map: ``"uniform"``, ``"last"`` or pairs of layer numbers from 0.
        match: ``"mse"`` or ``"kl"``.
        parts: names of the query, key and value projections below those modules; or the name of a single module that gives
            the three side by side (``"qkv"`` in timm).
        teacher_parts: those of the teacher, where they have other names.
        weight: factor of the term.

    Raises:
        ValueError: an unknown ``match``, or paths and layers that do not make pairs.
    """

    def __init__(
        self,
        student: Paths = BERT_ATTENTION,
        teacher: Paths = BERT_ATTENTION,
        *,
        heads: int,
        layers: Sequence[int] | None = None,
        layer_map: LayerMap = "uniform",
        match: str = "mse",
        parts: Parts = BERT_PARTS,
        teacher_parts: Parts | None = None,
        weight: Scheduled = 1.0,
    ) -> None:
        if match not in ("mse", "kl"):
            raise ValueError(f"attention is matched by 'mse' or 'kl', not '{match}'")
        super().__init__(
            "attention_maps",
            {"attention_maps": "qk"},
            student,
            teacher,
            heads=heads,
            layers=layers,
            layer_map=layer_map,
            parts=parts,
            teacher_parts=teacher_parts,
            weight=weight,
        )
        self.match = match

    def extra_repr(self) -> str:
        return f"match={self.match}, {super().extra_repr()}"

    def values_at(self, *tensors: Tensor, mask: Tensor | None) -> Tensor:
        if self.match == "kl":
            return super().values_at(*tensors, mask=mask)
        queries, keys, teacher_queries, teacher_keys = (silenced(tensor, mask) for tensor in tensors)
        scores = inner.attention_scores(queries, keys, self.heads)
        wanted = inner.attention_scores(teacher_queries, teacher_keys, self.heads)
        # no mask was added to these scores: a low one is a low one
        return inner.attention_mse_positions(scores, wanted, mask, ruled_out=-math.inf)


class ValueRelations(_Relations):
    """How positions relate to one another in self-attention; see :func:`limbeck.objectives.functional.relation_kl`.

    MiniLMv2 (Wang et al. 2021) compares queries, keys and values, each with itself, over any number of relation heads: the
    default. MiniLM (Wang et al. 2020) compares attention and values over the models' own heads:
    ``relations=("qk", "vv")``. Both take the last layer of the student and one layer of the teacher, the last, or for a
    large teacher one a little below (``layer_map=[(5, 20)]``). A term for each relation, of weight 1 in both papers.

    Args:
        student: the student's self-attention modules.
        teacher: the teacher's.
        heads: relation heads; must divide the width of both models (MiniLMv2: 48 for a base-size teacher, 64 for a large).
        layers: how many layers student and teacher have; needed where the paths have a ``{}``.
        layer_map: ``"uniform"``, ``"last"`` or pairs of layer numbers from 0.
        relations: each two letters of q, k and v.
        parts: as in :class:`AttentionMaps`.
        teacher_parts: those of the teacher, where they have other names.
        weight: factor of every term.

    Raises:
        ValueError: an unknown relation, or paths and layers that do not make pairs.
    """

    def __init__(
        self,
        student: Paths = BERT_ATTENTION,
        teacher: Paths = BERT_ATTENTION,
        *,
        heads: int,
        layers: Sequence[int] | None = None,
        layer_map: LayerMap = "last",
        relations: Sequence[str] = ("qq", "kk", "vv"),
        parts: Parts = BERT_PARTS,
        teacher_parts: Parts | None = None,
        weight: Scheduled = 1.0,
    ) -> None:
        super().__init__(
            "value_relations",
            {f"relation_{name}": name for name in check_relations(relations)},
            student,
            teacher,
            heads=heads,
            layers=layers,
            layer_map=layer_map,
            parts=parts,
            teacher_parts=teacher_parts,
            weight=weight,
        )


def check_relations(relations: Sequence[str]) -> tuple[str, ...]:
    """The relations. Raises ``ValueError`` unless they are two letters of q, k and v each."""
    wrong = [name for name in relations if len(name) != 2 or not set(name) <= set("qkv")]
    if isinstance(relations, str) or not relations or wrong:
        raise ValueError(f"relations must be a list of two letters of q, k and v each, as 'qk', not {relations!r}")
    return tuple(relations)


def _needs(student: Sequence[str], teacher: Sequence[str]) -> Needs:
    return Needs(
        target=(Features,),
        features=tuple(dict.fromkeys(student)),
        teacher_features=tuple(dict.fromkeys(teacher)),
    )


def _share(total: Tensor, like: Tensor, mask: Tensor | None) -> Tensor:
    """A sum over positions as it belongs to the term's count: without a mask an example counts once, not its positions.

    The count is known from the batch alone, which without a mask does not say how many positions there are.
    """
    return total / like.shape[1] if mask is None else total


def _feature(features: Mapping[str, Tensor], path: str, whose: str) -> Tensor:
    if path in features:
        return features[path]
    there = ", ".join(features) or "nothing"
    raise ValueError(f"the {whose}'s features at '{path}' are needed, and there is {there}")


def _checked(parts: Parts) -> Parts:
    if isinstance(parts, str) or len(parts) == 3:
        return parts if isinstance(parts, str) else tuple(parts)
    raise ValueError(f"parts must name the query, key and value projections, or the one of all three, not {parts!r}")


def _place(module: str, parts: Parts, letter: str) -> tuple[str, int | None]:
    """The path of the projection of a letter, and which third of what is there, where it gives all three."""
    index = "qkv".index(letter)
    return (f"{module}.{parts}", index) if isinstance(parts, str) else (f"{module}.{parts[index]}", None)


def _part(features: Mapping[str, Tensor], module: str, parts: Parts, letter: str, whose: str) -> Tensor:
    """Queries, keys or values, (B, L, H)."""
    path, third = _place(module, parts, letter)
    tensor = _feature(features, path, whose)
    if third is None:
        return tensor
    if tensor.shape[-1] % 3:
        raise ValueError(
            f"the {whose}'s '{path}' is {tensor.shape[-1]} wide, which cannot be queries, keys and values side by side"
        )
    return tensor.chunk(3, dim=-1)[third]
