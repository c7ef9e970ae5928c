"""Claims about labels that are numbers: a mirror image turns the signs it is said to turn, and mixes are weighted as pixels are."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from limbeck.vision.sections import Views
from limbeck.vision.views import render

COUNT, SIDE = 60, 9
TURNED = torch.tensor([True, False])


@dataclass
class Store:
    images: Tensor
    labels: Tensor | None
    ids: Tensor


def store() -> Store:
    """Images with one bright column; its place from the centre is the first number, how bright it is the second."""
    place_N = torch.arange(COUNT) % SIDE
    bright_N = 0.2 + torch.arange(COUNT) / COUNT * 0.8
    images = torch.zeros(COUNT, 1, 4, SIDE)
    images[torch.arange(COUNT), :, :, place_N] = bright_N[:, None, None]
    labels = torch.stack([place_N - SIDE // 2, bright_N], dim=1).float()
    return Store(images, labels, torch.arange(COUNT) * 7 + 1)


def told(images_BCHW: Tensor) -> Tensor:
    """Both numbers, read off an image with one bright column."""
    row_BW = images_BCHW[:, 0, 0]
    return torch.stack([row_BW.argmax(1) - SIDE // 2, row_BW.amax(1)], dim=1).float()


@pytest.mark.parametrize("more", [{}, {"affine": {"degrees": 0.0}}], ids=["exact", "warped"])
def test_a_mirror_image_has_the_number_of_its_own_content(more):
    views, data = Views.model_validate({"flip": True, "flip_turns": "place", **more}), store()
    seen = []
    for view in range(3):
        rendered = render(views, 5, data, torch.arange(COUNT), view, None, TURNED)
        assert rendered.labels is not None
        assert torch.allclose(rendered.labels, told(rendered.images_BCHW), atol=1e-5)
        seen.append(rendered.labels[:, 0] != data.labels[:, 0])  # type: ignore[index]
    assert 0.3 < torch.cat(seen).float().mean() < 0.6  # half of them, but for those in the middle
    assert not torch.equal(seen[0], seen[1])


def test_without_turned_numbers_a_mirror_image_keeps_its_label():
    data = store()
    rendered = render(
        Views(flip=True, flip_turns=[]), 5, data, torch.arange(COUNT), 0, None, torch.tensor([False, False])
    )
    assert torch.equal(rendered.labels, data.labels)  # type: ignore[arg-type]


def test_mixed_numbers_are_weighted_as_the_images_are():
    views, data = Views(flip=True, flip_turns="place", mixup=1.0), store()
    rendered = render(views, 5, data, torch.arange(COUNT), 1, None, TURNED)
    # the image's sum is the weighted sum of both brightnesses, which is what the second number says
    assert torch.allclose(rendered.images_BCHW[:, 0, 0].sum(1), rendered.labels[:, 1], atol=1e-5)  # type: ignore[index]
    # and the brightness-weighted place is only that of the label where both are as bright: the label is linear in the share
    apart = render(Views(flip=True, flip_turns="place"), 5, data, torch.arange(COUNT), 1, None, TURNED).labels
    assert apart is not None
    assert ((rendered.labels - apart).abs().amax(1) > 1e-6).float().mean() > 0.8  # type: ignore[operator]


def test_what_is_mixed_with_an_example_without_a_number_has_none():
    data = store()
    assert data.labels is not None
    data.labels[::2] = torch.nan
    rendered = render(Views(mixup=1.0), 0, data, torch.arange(COUNT), 0, None)
    assert 0.6 < rendered.labels.isnan().any(1).float().mean() < 0.9  # type: ignore[union-attr]


def test_views_that_say_nothing_of_signs_are_written_as_they_were():
    assert "flip_turns" not in Views(flip=True).model_dump(mode="json")
    assert Views(flip=True, flip_turns=["a"]).model_dump(mode="json")["flip_turns"] == ["a"]
    assert Views.model_validate(Views(flip_turns="a").model_dump()).turned == ("a",)
