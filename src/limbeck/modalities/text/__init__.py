"""Text classification, one label or several."""

from ...sections.outline import Outline

OUTLINES = {
    "text-classification": Outline(
        title="Text classification",
        about="One label a text (or pair of texts), or several. Models are Hugging Face's sequence classifiers.",
        article="a",
        example="text",
        examples="texts",
        smallest={
            "data": {"name": "stanfordnlp/sst2"},
            "teacher": {"model": "some/encoder", "train": {}},
            "student": {"model": "shrunk", "layers": 3},
        },
        student_file="student/model.onnx",
        students=("shrunk", "fresh", "bag", "conv"),
        positions="tokens",
        extra="text",
    ),
}
