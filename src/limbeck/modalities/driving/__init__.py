"""Driving: a planner's judgement in a small network, judged in closed loop."""

from ...sections.outline import Outline

OUTLINES = {
    "control": Outline(
        title="Control",
        about="A driver of five actions on a simulated highway, who learns from a planner that looks ahead. The student sees numbers: "
        "its own car and the nearest others. It is judged by driving, on seeds that nothing was chosen by.",
        article="a",
        example="state",
        examples="states",
        smallest={
            "data": {"name": "highway-fast-v0"},
            "teacher": {"planner": {}},
            "student": {"model": "mlp"},
        },
        student_file="student.onnx",
        students=("mlp",),
        extra="driving",
        in_use="by driving",
        look_first="at teacher.planner, whose best actions are the labels",
    )
}
