"""Published ways to teach a transformer's inside, whose layers are found in the models rather than named.

Where the layers are is said once, by :meth:`.Objective.find`, from the anatomy of both models; a recipe does so by itself.
Where the paths have to be named, there are the objectives that these are made of (:mod:`.transformer_layers`).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...interfaces import Batch, Features, Inside, Needs, Output, Target, Term
from ..layer_maps import LayerMap, Pairs, layer_pairs
from ..schedules import Scheduled
from .base import Objective, Sum, number
from .transformer_layers import AttentionMaps, HiddenStates, ValueRelations, check_relations


class Found(Objective):
    """A sum of objectives on layers that :meth:`find` finds. A subclass says in :meth:`compared` which."""

    finds_layers = True

    def __init__(self, name: str, layer_map: LayerMap, weight: Scheduled) -> None:
        super().__init__(number(weight))
        self.name = name
        self.layer_map = layer_map if isinstance(layer_map, str) else tuple(tuple(pair) for pair in layer_map)
        self.needs = Needs(target=(Features,))
        self.found: Sum | None = None

    def compared(self, student: Inside, teacher: Inside) -> list[Objective]:
        """The objectives that it is the sum of, weights of 1 as in its paper."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it compares")

    def find(self, student: Inside, teacher: Inside) -> None:
        self.found = Sum([(1.0, part) for part in self.compared(student, teacher)])
        self.needs = self.found.needs

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        terms, weight = self._there()(student, target, batch), self.scheduled(self.weight)
        return {name: Term(weight * term.total, term.count) for name, term in terms.items()}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        return self._there().counts(batch)

    def build(self, student: Output, target: Target, batch: Batch, ids_N: Tensor) -> None:
        self._there().build(student, target, batch, ids_N)

    def extra_repr(self) -> str:
        return f"layer_map={self.layer_map}, weight={self.weight}"

    def _there(self) -> Sum:
        if self.found is None:
            raise ValueError(
                f"{self.name} does not know the models' layers yet: call find(...) with where they are in student and teacher"
            )
        return self.found


class TinyBERT(Found):
    """Embeddings, hidden states and attention scores of all the student's layers (Jiao et al. 2020).

    Equations 7 to 10: ``MSE(W_e e_S, e_T) + Σ over layers of MSE(W_h h_S, h_T) + MSE(A_S, A_T)``, scores before the
    softmax. The linear maps are there where widths differ. The paper trains on this first, and on the predictions
    thereafter: ``TinyBERT(weight=Step(1, 0, epochs=3)) + KD(temperature=1, weight=Step(0, 1, epochs=3))``.

    Args:
        layer_map: ``"uniform"`` (the paper's), ``"last"``, or pairs (student's layer, teacher's layer) from 0.
        weight: factor of the three terms.
    """

    def __init__(self, layer_map: LayerMap = "uniform", weight: Scheduled = 1.0) -> None:
        super().__init__("tiny_bert", layer_map, weight)

    def compared(self, student: Inside, teacher: Inside) -> list[Objective]:
        if student.heads != teacher.heads:
            raise ValueError(
                f"tiny_bert compares attention head by head, and the student has {student.heads} heads, the teacher "
                f"{teacher.heads}: give the student as many, or take minilm, which compares any number of them"
            )
        pairs = layer_pairs(self.layer_map, student.layers, teacher.layers)
        depths = student.layers, teacher.layers
        embeddings = student.embeddings, teacher.embeddings
        return [
            HiddenStates(student.layer, teacher.layer, layers=depths, layer_map=pairs, embeddings=embeddings),
            _attention(student, teacher, pairs),
        ]


class PKD(Found):
    """[CLS] states at length 1, of all the student's layers but the last (Sun et al. 2019, "Patient Knowledge
    Distillation").

    A linear map is trained along where the widths differ; the paper's models have one width.

    Args:
        layer_map: ``"uniform"`` (PKD-skip: layers at equal distances), ``"last"`` (PKD-last: those below the teacher's
            last), both without the pair of last layers; or pairs (student's layer, teacher's layer) from 0, as they are.
        weight: the paper's beta: 500 as in the authors' code, 10 to 1000 in the paper's search.
    """

    def __init__(self, layer_map: LayerMap = "uniform", weight: Scheduled = 500.0) -> None:
        super().__init__("pkd", layer_map, weight)

    def compared(self, student: Inside, teacher: Inside) -> list[Objective]:
        depths = student.layers, teacher.layers
        pairs: Pairs = layer_pairs(self.layer_map, *depths)
        if isinstance(self.layer_map, str):
            if self.layer_map == "last" and student.layers <= teacher.layers:
                pairs = tuple((layer, teacher.layers - student.layers + layer) for layer in range(student.layers))
            pairs = pairs[:-1]
        if not pairs:
            raise ValueError(
                "pkd leaves out the last layer, and a student of one layer has no other: give it more layers, or name the "
                "pairs in layer_map"
            )
        return [HiddenStates(student.layer, teacher.layer, layers=depths, layer_map=pairs, match="cls", weight=1.0)]


class MiniLM(Found):
    """How positions relate in the last layer's self-attention (Wang et al. 2021, "MiniLMv2").

    Queries, keys and values, each with itself: widths and numbers of heads may differ. The first MiniLM (Wang et al. 2020)
    compares attention and values over heads that must be as many in both: ``relations=("qk", "vv")``.

    Args:
        relations: each two letters of q, k and v.
        heads: relation heads, which must divide both models' widths; None: as many as the teacher has attention heads.
        layer_map: ``"last"``, or one or more pairs (student's layer, teacher's layer) from 0: of a large teacher, a layer
            a little below the last may serve better.
        weight: factor of every relation's term.
    """

    def __init__(
        self,
        relations: Sequence[str] = ("qq", "kk", "vv"),
        heads: int | None = None,
        layer_map: LayerMap = "last",
        weight: Scheduled = 1.0,
    ) -> None:
        super().__init__("minilm", layer_map, weight)
        self.relations, self.heads = check_relations(relations), heads

    def compared(self, student: Inside, teacher: Inside) -> list[Objective]:
        if student.heads != teacher.heads and any(len(set(name)) == 2 for name in self.relations):
            raise ValueError(
                f"minilm compares attention over the models' own heads, and the student has {student.heads}, the teacher "
                f"{teacher.heads}: leave out the relations of two different letters, or give the student as many heads"
            )
        return [
            ValueRelations(
                student.attention,
                teacher.attention,
                heads=teacher.heads if self.heads is None else self.heads,
                layers=(student.layers, teacher.layers),
                layer_map=self.layer_map,
                relations=self.relations,
                parts=student.parts,
                teacher_parts=teacher.parts,
            )
        ]

    def extra_repr(self) -> str:
        return f"relations={self.relations}, heads={self.heads}, {super().extra_repr()}"


def _attention(student: Inside, teacher: Inside, pairs: Pairs) -> AttentionMaps:
    return AttentionMaps(
        student.attention,
        teacher.attention,
        heads=teacher.heads,
        layers=(student.layers, teacher.layers),
        layer_map=pairs,
        parts=student.parts,
        teacher_parts=teacher.parts,
    )
