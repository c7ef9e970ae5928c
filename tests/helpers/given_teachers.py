"""Teachers that say what a function says, and pictures to ask them about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import torch
import transformers
from onnx import TensorProto, helper
from torch import Tensor, nn

from limbeck.interfaces.modality import Teachers
from limbeck.modalities.image.arrays import from_arrays
from limbeck.modalities.image.recipe import TeacherSection
from limbeck.modalities.image.teachers import fitted

NAMES = ("ant", "bee", "cat")


class Says(nn.Module):
    """Logits by the brightness of the three columns of an image, then whatever is done with them."""

    def __init__(self, last: Callable[[Tensor], Tensor], gain: float = 20.0) -> None:
        super().__init__()
        self.last, self.gain = last, nn.Parameter(torch.tensor(gain))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.last(self.gain * images_BCHW.mean((1, 2)))


def pictures(count: int, classes: int = 3, channels: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise with the column of the label brighter."""
    noise = torch.Generator().manual_seed(seed)
    labels_N = torch.arange(count) % classes
    images = 0.4 * torch.rand(count, channels, 3, 3, generator=noise)
    images[torch.arange(count), :, :, labels_N] += 0.5
    return images, labels_N


def splits_of(classes: int = 3, channels: int = 1, count: int = 240):
    train, validation, test = (pictures(n, classes, channels, seed) for seed, n in enumerate((count, count, 30)))
    return from_arrays(train, validation, test, classes=NAMES[:classes])


def teacher_of(last: Callable[[Tensor], Tensor], classes: int = 3, gain: float = 20.0, **section) -> Teachers:
    return fitted(Says(last, gain), TeacherSection(model="mine", **section), 0, splits_of(classes))


class SigmoidConfig(transformers.BertConfig):
    model_type = "bert_of_probabilities"


class Sigmoid(transformers.BertForSequenceClassification):
    config_class = SigmoidConfig

    def forward(self, *args, **kwargs):
        said = super().forward(*args, **kwargs)
        said.logits = said.logits.sigmoid()
        return said


def onnx_file(path: Path, outputs: int, *steps: str) -> Path:
    """A file that gives the columns' brightness, or the second's minus the first's, and then takes the steps."""
    weight_33 = 20 * torch.eye(3) if outputs == 3 else 20 * torch.tensor([[-1.0], [1.0], [0.0]])
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["columns"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["columns", "w"], ["z0"]),
        *(
            helper.make_node(step, [f"z{k}"], [f"z{k + 1}"], **({"to": TensorProto.FLOAT} if step == "Cast" else {}))
            for k, step in enumerate(steps)
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "columns",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 3, 3])],
        [helper.make_tensor_value_info(f"z{len(steps)}", TensorProto.FLOAT, ["n", outputs])],
        [helper.make_tensor("w", TensorProto.FLOAT, tuple(weight_33.shape), weight_33.flatten().tolist())],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
