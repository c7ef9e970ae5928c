"""Image classification."""

from ...sections.outline import Outline

OUTLINES = {
    "image-classification": Outline(
        title="Image classification",
        about="Square pictures with one label each. Models are ours, timm's, one's own, or ONNX files.",
        article="an",
        example="image",
        examples="images",
        smallest={
            "data": {"name": "digits"},
            "teacher": {"model": "resnet20", "train": {"epochs": 20}},
            "student": {"model": "convnet", "width": 8},
        },
        student_file="student.onnx",
    ),
}
