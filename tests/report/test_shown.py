"""Pictures and texts in a page: whole, small, and nothing but what they are."""

import base64
import io

import numpy as np
from PIL import Image

from limbeck.report.html import _environment
from limbeck.report.shown import EXCERPT, Picture, Text, excerpt


def opened(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture.uri.removeprefix("data:image/png;base64,"))))


def test_picture_survives_the_trip_into_the_page() -> None:
    grey_HW1 = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    picture = Picture(grey_HW1)
    assert picture.coarse
    assert not picture.wide
    assert np.array_equal(np.asarray(opened(picture)), grey_HW1[:, :, 0])


def test_a_large_picture_is_made_small_and_keeps_its_shape() -> None:
    tall, wide = (Picture(np.zeros(shape, np.uint8)) for shape in ((300, 250, 3), (160, 320, 3)))
    assert (tall.coarse, tall.wide, opened(tall).size) == (False, False, (80, 96))
    assert (wide.coarse, wide.wide, opened(wide).size) == (
        False,
        True,
        (192, 96),
    )  # such a one has all of a card's width


def test_long_texts_are_cut_off_after_a_word_and_markup_is_escaped():
    long = "word  " * 1000
    assert excerpt(long).endswith("word …")
    assert len(excerpt(long)) <= EXCERPT + 2
    assert len(excerpt("x" * 10_000)) <= EXCERPT + 2
    assert [len(side) <= EXCERPT // 2 + 2 for side in Text((long, long)).excerpts] == [True, True]
    macro = '{% from "macros.html.j2" import shown %}{{ shown(example, "") }}'
    page = _environment("limbeck.report").from_string(macro).render(example=Text(("<script>alert(1)</script>",)))
    assert page.strip() == "<blockquote><bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi></blockquote>"
