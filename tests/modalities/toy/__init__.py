"""Points in the plane: the smallest modality there can be, held to what every modality is held to."""

from limbeck.sections.outline import Outline

OUTLINES = {
    "point-classification": Outline(
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
}
