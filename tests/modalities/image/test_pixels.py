"""A deployed model and a teacher see the pixels that training saw, or it is said."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from limbeck.deploy.export import Exporter
from limbeck.errors import BadInput
from limbeck.modalities.image import OUTLINES, modality
from limbeck.modalities.image import predict as predicting
from limbeck.modalities.image.arrays import from_arrays
from limbeck.modalities.image.load import load
from limbeck.modalities.image.recipe import Data, ImageRecipe
from limbeck.modalities.image.task import ImageClassification
from limbeck.sections.recipe import Export
from limbeck.vision.inputs import Normalisation
from limbeck.vision.pixels import Preparation
from tests.helpers.pixels import grey, shape_in_alpha, write

# Where it is deployed


class Sum(nn.Module):
    """What it answers shows any pixel that is off."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(channels * size * size, 2)

    def forward(self, images_BCHW):
        return self.layer(images_BCHW.flatten(1))


@pytest.mark.parametrize("make", [grey(12), shape_in_alpha(0)], ids=["12 bits", "alpha"])
def test_a_deployed_model_sees_what_training_and_evaluation_saw(make, tmp_path):
    write(tmp_path / "data", make)
    write(tmp_path / "data", make, "test", count=3)
    splits = load(Data(name=str(tmp_path / "data"), background="grey", size=6))
    task = ImageClassification(
        splits, normalisation=Normalisation(splits.mean, splits.std), teacher_normalisation=None, view_seed=0
    )
    examples = splits.test.open("figures")
    model = Sum(examples.images.shape[1], 6).eval()
    files = Exporter(cast(Any, modality), task, OUTLINES[task.name], run="sum", examples=examples, limits=Export())
    deployed = files.export(model, "student", tmp_path)
    files = sorted((tmp_path / "data" / "test").glob("*/*.png"))
    predictions = predicting.predict(deployed.path, files, top=2)
    expected = task.logits(model, examples).softmax(1)
    for prediction, probabilities in zip(predictions, expected, strict=True):
        assert dict(prediction.classes) == pytest.approx(dict(zip(("cat", "dog"), probabilities.tolist())), abs=1e-5)


def test_metadata_without_the_newer_fields_means_what_it_meant():
    said = {"schema_version": 1, "task": "image-classification", "classes": ["a", "b"]}
    given = {"channels": 1, "height": 4, "width": 4, "mean": [0], "std": [1], "scale": "0-1"}
    metadata = predicting.parse_metadata(said | {"input": given})
    deep = Image.fromarray(np.full((4, 4), 0x0FFF, np.uint16))
    assert np.unique(predicting.preprocess(deep, metadata) * 255).round().tolist() == [0x0F]
    clear = Image.new("LA", (4, 4), (60, 0))
    assert np.unique(predicting.preprocess(clear, metadata) * 255).round().tolist() == [60]


# A teacher that sees more pixels than are left


@pytest.mark.parametrize(
    ("files", "size", "sees", "said"),
    [(12, 6, 12, "data.size: 12 "), (12, 6, 24, "data.size: 12 "), (24, 6, 12, "data.size: 12 "),
     (6, None, 12, None), (6, 6, 12, None), (12, 6, 6, None), (12, 6, None, None)],
)  # fmt: skip
def test_what_a_teacher_loses_to_data_size_is_said(files, size, sees, said, tmp_path):
    write(tmp_path, lambda number, seed: np.random.default_rng(seed).integers(0, 256, (files, files), dtype=np.uint8))
    teacher = {
        "model": "convnet",
        "width": 4,
        **({"preprocess": {"size": sees}} if sees else {}),
        "train": {"epochs": 1},
    }
    recipe = ImageRecipe.model_validate(
        {"data": {"name": str(tmp_path), "size": size}, "teacher": teacher, "student": {"model": "convnet", "width": 4}}
    )
    splits = load(recipe.data)
    notes = [note for note in modality.teachers_of(recipe, splits, trust_code=False).notes if "detail" in note]
    assert len(notes) == (said is not None)
    if said is not None:
        assert f"data.size: {size} takes detail from files of up to {files} pixels a side" in notes[0]
        assert f"Either set {said}" in notes[0]
        assert f"trained on images of {size}x{size}" in notes[0]


class Pictures(torch.utils.data.Dataset):
    """What torchvision's folders give: PIL images with labels."""

    def __init__(self, make, count: int) -> None:
        self.items = [
            (Image.fromarray(made) if isinstance(made := make(0, seed), np.ndarray) else made, seed % 2)
            for seed in range(count)
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int):
        return self.items[row]


def test_pictures_from_python_are_prepared_and_said_likewise():
    splits = from_arrays(Pictures(grey(12), 30), Pictures(grey(12), 8), Pictures(grey(12), 8))
    assert splits.how == Preparation(bits=12)
    images = {image.numpy().tobytes() for image in splits.train.images}
    assert images == {(grey(12)(0, seed) // 16).astype(np.uint8).tobytes() for seed in range(30)}
    assert any("30 of 30 images are grey of more than 8 bits and use 12 bits" in note for note in splits.notes)
    clear = from_arrays(Pictures(shape_in_alpha(0), 30), Pictures(shape_in_alpha(0), 8), Pictures(shape_in_alpha(0), 8))
    assert any(
        "'validation': 8 of 8 images are transparent in places and are laid on white" in note for note in clear.notes
    )
    with pytest.raises(BadInput, match="row 0: the image cannot be used: floating-point"):
        from_arrays(Pictures(lambda number, seed: np.ones((4, 4), np.float32), 4))
