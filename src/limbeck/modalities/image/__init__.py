"""Image classification, and image regression."""

from ...sections.outline import Outline

OUTLINES = {
    "image-classification": Outline(
        title="Image classification",
        about="Pictures with one label each. Models are ours, timm's, one's own, or ONNX files.",
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
    "image-regression": Outline(
        title="Image regression",
        about="Pictures with one or several numbers each, such as an angle. Models are ours, timm's, one's own, or ONNX files.",
        article="an",
        example="image",
        examples="images",
        smallest={
            "data": {"name": "digits_turned"},
            "teacher": {"model": "resnet20", "train": {"epochs": 20}},
            "student": {"model": "convnet", "width": 8},
        },
        student_file="student.onnx",
        look_first="at teacher.preprocess (mean and std on a scale of 0 to 1, and size), then whether its numbers are in the "
        "unit of the data's, and stand in their order",
    ),
}
