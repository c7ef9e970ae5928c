"""What a Python program meets: names to import, sentences for what is wrong."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

import limbeck
from limbeck.modalities.image.arrays import from_arrays
from limbeck.vision.convnet import ConvNet

LOGITS = torch.zeros(2, 3, 4)


def test_the_functions_are_imported_by_their_public_name() -> None:
    code = "import limbeck.functional; from limbeck.functional import dkd; print(limbeck.functional.dkd is dkd)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\n"
    from limbeck.objectives import functional

    assert limbeck.functional.__all__ == functional.__all__
    assert all(getattr(limbeck.functional, name) is getattr(functional, name) for name in functional.__all__)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: limbeck.Train(epoch=3), r"^Train\(epoch=\.\.\.\): there is no such field\. Did you mean 'epochs'\?$"),
        (lambda: limbeck.Train(epochs=0), r"^Train\(epochs=\.\.\.\): 0 was given; it should be greater than 0\.$"),
        (lambda: limbeck.Train(optimizer="adam"), r"^Train\(optimizer=\.\.\.\): 'adam' was given; .*'sgd' or 'adamw'"),
        (lambda: limbeck.Preprocess(mean=(0.5,), std=(-1.0,)), r"^Preprocess\(std\.0=\.\.\.\): -1\.0 was given"),
        (
            lambda: limbeck.Views(affine={"degree": 3}),
            r"^Views\(affine\.degree=\.\.\.\): there is no such field\.$",
        ),
    ],
)
def test_a_section_made_in_python_is_refused_in_a_sentence(call, sentence) -> None:
    with pytest.raises(limbeck.BadInput, match=sentence):
        call()


@pytest.mark.parametrize("label", [4, -1])
@pytest.mark.parametrize("name", ["cross_entropy", "dkd", "nkd"])
def test_a_label_out_of_range_is_named_with_its_place(name: str, label: int) -> None:
    labels = torch.tensor([[0, 3, -100], [1, label, 2]])
    given = (LOGITS,) if name == "cross_entropy" else (LOGITS, LOGITS)
    with pytest.raises(
        ValueError, match=rf"the label at position 4 is {label}: class ids of 4 classes lie in 0 to 3, and -100"
    ):
        getattr(limbeck.functional, name)(*given, labels=labels)
    mask = torch.tensor([[True, True, True], [True, False, True]])
    assert getattr(limbeck.functional, name)(
        *given, labels=labels, mask=mask
    ).isfinite()  # what does not count may be anything


def test_advice_names_what_distill_takes(tmp_path) -> None:
    images, labels = np.zeros((2, 8, 8), np.uint8), np.arange(2)
    images[:, 0] = [[1], [9]]  # none like the other
    given = {
        "teacher": ConvNet(classes=2, channels=1, size=8, width=2),
        "student": ConvNet(classes=2, channels=1, size=8, width=1),
        "train": (images, labels),
        "out": tmp_path / "run",
    }
    with pytest.raises(limbeck.BadInput, match="leaves none in it") as refused:
        limbeck.distill(**given, validation_fraction=0.001)
    assert "data." not in str(refused.value)
    assert "validation_fraction" in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_task_that_there_is_not_is_named_with_those_there_are(tmp_path) -> None:
    given = {"teacher": ConvNet(2, 1, 8, width=2), "student": ConvNet(2, 1, 8, width=1), "train": [], "out": tmp_path}
    tasks = "image-classification, image-regression, text-classification, audio-classification, automatic-speech-recognition, control"
    with pytest.raises(limbeck.BadInput, match=rf"'regression' is not one of {tasks}\.$"):
        limbeck.distill(**given, task="regression")


def test_an_objective_is_made_before_it_is_given(tmp_path) -> None:
    given = {"teacher": ConvNet(2, 1, 8, width=2), "student": ConvNet(2, 1, 8, width=1), "train": [], "out": tmp_path}
    with pytest.raises(limbeck.BadInput, match=r"objective is the class KD: give an objective such as limbeck\.KD\("):
        limbeck.distill(**given, objective=limbeck.KD)  # pyright: ignore[reportArgumentType]


def test_a_list_of_images_with_labels_is_a_data_set() -> None:
    random = np.random.default_rng(0)
    pairs = [(random.integers(0, 255, (8, 8), np.uint8), k % 2) for k in range(60)]
    images, labels = np.stack([image for image, _ in pairs]), np.array([label for _, label in pairs])
    listed, stacked = from_arrays(pairs), from_arrays((images, labels))  # pyright: ignore[reportArgumentType]
    assert listed.fingerprint == stacked.fingerprint
