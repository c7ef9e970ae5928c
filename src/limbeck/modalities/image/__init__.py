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
        look_first="at teacher.preprocess (mean and std on a scale of 0 to 1, and size), then whether its classes stand in the order "
        "of the data's",
    ),
}
