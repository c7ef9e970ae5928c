"""Which layer of the teacher a layer of the student is compared with.

Layers count from 0, as in the module paths of most models (``encoder.layer.0``).
"""

from __future__ import annotations

from collections.abc import Sequence

Pairs = tuple[tuple[int, int], ...]
"""(layer of the student, layer of the teacher)."""

LayerMap = str | Sequence[Sequence[int]]
"""``"uniform"``, ``"last"``, or pairs."""

Paths = str | Sequence[str]
"""A template with ``{}`` for the layer's number, one path, or a list of paths."""


def uniform(student_layers: int, teacher_layers: int) -> Pairs:
    """Every student layer, with teacher layers at equal distances; the last is compared with the last.

    ``g(m) = m N / M`` for m = 1 ... M (TinyBERT's uniform strategy: Jiao et al. 2020; PKD-skip: Sun et al. 2019, section
    3.2, which leaves the last pair out). Where M does not divide N the result is rounded, halves upwards: no teacher layer is
    taken twice, and distances differ by one at most.

    Raises:
        ValueError: a model without layers, or a student deeper than its teacher.
    """
    _check_depths(student_layers, teacher_layers)
    if student_layers > teacher_layers:
        raise ValueError(
            f"a uniform layer map needs a teacher at least as deep as the student, not {student_layers} layers against "
            f"{teacher_layers}: name the pairs of layers yourself"
        )
    # m N / M rounded, in whole numbers: floor((2 m N + M) / 2 M)
    nearest = [(2 * m * teacher_layers + student_layers) // (2 * student_layers) for m in range(1, student_layers + 1)]
    return tuple((index, layer - 1) for index, layer in enumerate(nearest))


def last(student_layers: int, teacher_layers: int, count: int = 1) -> Pairs:
    """The last ``count`` layers of both, in order (MiniLM: Wang et al. 2020, with one; PKD-last: Sun et al. 2019, with
    more).

    Raises:
        ValueError: a model has fewer layers than ``count``, or ``count`` is below 1.
    """
    _check_depths(student_layers, teacher_layers)
    if not 1 <= count <= min(student_layers, teacher_layers):
        raise ValueError(
            f"the last {count} layers of a student of {student_layers} and a teacher of {teacher_layers} cannot be "
            f"compared: count must be between 1 and {min(student_layers, teacher_layers)}"
        )
    return tuple((student_layers - left, teacher_layers - left) for left in range(count, 0, -1))


def explicit(student_layers: int, teacher_layers: int, pairs: Sequence[Sequence[int]]) -> Pairs:
    """The pairs as given: (student layer, teacher layer), each counted from 0.

    Raises:
        ValueError: no pairs, something that is not a pair, a pair given twice, or a layer that a model does not have.
    """
    _check_depths(student_layers, teacher_layers)
    if not pairs:
        raise ValueError("a layer map needs at least one pair of layers, (student, teacher)")
    checked: list[tuple[int, int]] = []
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2 or not all(type(layer) is int for layer in pair):
            raise ValueError(f"a layer map is made of pairs of layer numbers, (student, teacher), and has {pair!r}")
        student, teacher = pair
        for whose, layer, layers in (("student", student, student_layers), ("teacher", teacher, teacher_layers)):
            if not 0 <= layer < layers:
                raise ValueError(f"the {whose} has no layer {layer}: its layers are 0 to {layers - 1}")
        if (student, teacher) in checked:
            raise ValueError(f"the layer map has the pair ({student}, {teacher}) twice")
        checked.append((student, teacher))
    return tuple(checked)


def layer_pairs(layer_map: LayerMap, student_layers: int, teacher_layers: int) -> Pairs:
    """The pairs that ``"uniform"``, ``"last"`` or a list of pairs stands for.

    Raises:
        ValueError: an unknown name, or what :func:`uniform`, :func:`last` and :func:`explicit` refuse.
    """
    if not isinstance(layer_map, str):
        return explicit(student_layers, teacher_layers, layer_map)
    named = {"uniform": uniform, "last": last}
    if layer_map not in named:
        raise ValueError(f"there is no layer map '{layer_map}': it is 'uniform', 'last', or pairs (student, teacher)")
    return named[layer_map](student_layers, teacher_layers)


def path_pairs(
    student: Paths, teacher: Paths, layers: Sequence[int] | None, layer_map: LayerMap
) -> tuple[tuple[str, str], ...]:
    """(student's path, teacher's path) of every two modules that are compared.

    Raises:
        ValueError: templates without ``layers``, ``layers`` without templates, lists of different lengths, or what
            :func:`layer_pairs` refuses.
    """
    templates = [isinstance(paths, str) and "{}" in paths for paths in (student, teacher)]
    if not any(templates):
        lists = [[paths] if isinstance(paths, str) else list(paths) for paths in (student, teacher)]
        if layers is not None:
            raise ValueError("layers are for paths with a {} in the place of a layer's number, and neither has one")
        if len(lists[0]) != len(lists[1]) or not lists[0]:
            raise ValueError(
                f"there are {len(lists[0])} paths in the student and {len(lists[1])} in the teacher: they are compared in "
                "order, so there must be as many in both, and at least one"
            )
        return tuple(zip(lists[0], lists[1], strict=True))
    if not (all(templates) and isinstance(student, str) and isinstance(teacher, str)):
        raise ValueError("a layer's place {} must be in both paths, the student's and the teacher's, or in neither")
    if layers is None or len(layers) != 2:
        raise ValueError("paths with a {} need layers=(layers of the student, layers of the teacher)")
    return tuple(
        (student.replace("{}", str(mine)), teacher.replace("{}", str(other)))
        for mine, other in layer_pairs(layer_map, *layers)
    )


def _check_depths(student_layers: int, teacher_layers: int) -> None:
    for whose, layers in (("student", student_layers), ("teacher", teacher_layers)):
        if layers < 1:
            raise ValueError(f"the {whose} must have at least one layer, not {layers}")
