"""Kinds of answer: what comes out of a model, whatever went in; a module each, and what each of them offers.

A kind is a name in :data:`KINDS` and a module with these, which pipeline, comparison, report and formats of deployment go by. N
examples, B of a batch, C classes, D numbers, V symbols, M sums; "kept" is what :func:`kept` gives, put together over a split.

``FIGURES``, ``FIDELITY``: tuples of :class:`limbeck.evaluation.figure.Figure`
    All that :func:`figures` and :func:`fidelity` may give, in the order in which they are shown. Of ``FIGURES`` the first is what
    models are chosen by, the second their loss (ties, patience); training records both as ``validation_<name>``.
``PLAIN``: str
    The objective, by its name in the catalogue, that labels alone teach.
``READS``: str
    How an objective reads such answers, as the catalogue says it.
``TARGET``: type
    The kind of target that a teacher's answer is: ``DenseLogits`` or ``Values``.
``WHOLE``: bool
    Whether answers are kept as they are, so that a teacher's can be set beside a student's afterwards: then ``kept`` holds
    ``answer`` (N, ...), ``labels`` (N, ...) and, once it is known, ``teacher`` (N, ...). Otherwise the teacher's answer must be
    there, batch by batch, when a student's is kept.
``ROWS``: str or None
    The field of a model's section of ``results.json`` that :func:`rows` fills.
``SUMS``: mapping of figures to functions (sums (..., M) float64, N) -> (...)
    Figures that are no mean over examples, and how one is made of sums over N examples.

``kept(answer, labels, teacher=None, names=()) -> dict[str, Tensor]``
    Of a batch, a row an example: all that the figures are made of. ``answer`` and ``teacher`` are logits (B, C), numbers (B, D),
    or, of positions, logits (B, L, V) or ragged ones; ``labels`` (B,) class ids, (B, C) of 0 and 1, (B, D) numbers, or (B, L)
    symbols with IGNORED where there is none. ``names`` are those of ``Answers``.
``figures(kept, fitted_on=None) -> dict[str, float]``
    Over a split. ``fitted_on``, kept of the validation split, adds figures with what is fitted there (a temperature).
    ``BadInput`` for no examples, or answers that are no numbers.
``fidelity(kept) -> dict[str, float | None]``
    How closely the teacher is followed; ``kept`` must hold it. None: there is no example that it could be told from.
``compared(kept) -> tuple[str, ...]``
    The figures whose differences are worth an interval on such a split, the first of ``FIGURES`` first.
``scores(kept, figure) -> Tensor``
    (N,) float64, whose mean is the figure; (N, M) where ``SUMS`` has it. Of any figure of ``compared``, and of the first two.
``commonest(labels) -> float | None``
    The first figure of always giving the same answer, the best that there is to labels (N, ...); None: nothing is said.
``rows(kepts, names) -> list[dict]``
    Of each class or number, over the seeds' ``kepts``; ``names`` as in ``Answers``. Plain values.
``right(kept) -> tuple[Tensor, Tensor, Tensor] | None``
    Which answers are right: of each example (N,), of each class (N, C) or (N, 1) where one holds for all, and of which
    examples a class's figure is made (N, C) bool. None where answers are not right or wrong.
``said(kept, names) -> list[list[tuple[str, bool]]] | None``
    Of transcripts alone: of each example what is said in it, word by word, and whether it was heard.
``sureness(kept) -> Tensor | None``
    (N,) float64 from 0 to 1: how sure the model is of each answer, by which a teacher is asked in its place
    (:mod:`limbeck.evaluation.escalation`). None where that is not told, or answers are not right or wrong.
``about_labels(kepts, names) -> dict``
    What the results' ``data`` says of labels, plain values; ``kepts`` are of the splits ``validation`` and ``test``.
``alike(a, b) -> tuple[float, float]``
    Of two answers (B, ...) to the same examples: the largest difference (of numbers, as a share of each one's deviation;
    infinite where one is no number), and the share of examples, or of positions, that says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from . import classes, frames, label_sets, sequences, values

KINDS: Mapping[str, ModuleType] = {
    "classes": classes,
    "label_sets": label_sets,
    "sequences": sequences,
    "frames": frames,
    "values": values,
}
