"""Points in the plane: the smallest modality there can be, held to what every modality is held to."""

from dataclasses import replace

from limbeck.sections.outline import Outline

_POINTS = Outline(
    title="Points",
    about="Points in the plane, each of the corner that it is nearest to.",
    article="a",
    example="point",
    examples="points",
    smallest={
        "data": {"name": "corners"},
        "teacher": {"model": "net", "width": 16, "train": {"epochs": 3}},
        "student": {"model": "net", "width": 4},
    },
    student_file="student.onnx",
)
_NUMBERS = {
    "title": "Points, turned",
    "about": "Points in the plane, each turned by a right angle: two numbers.",
    "smallest": {**_POINTS.smallest, "objective": {"mse_values": {}, "mse": {}}},
}
OUTLINES = {"point-classification": _POINTS, "point-regression": replace(_POINTS, **_NUMBERS)}
