"""Views: each rendering is a pure function of (seed, id, view), and is what its knobs say."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from limbeck import randomness
from limbeck.data.draws import Draws, symmetric_beta
from limbeck.interfaces import IGNORED
from limbeck.vision.mix import mix_labels
from limbeck.vision.sections import Affine, ColorJitter, ResizedCrop, Views
from limbeck.vision.views import Rendered, render

LEAST_P = 1e-4
CLASSES = 5
EXACT = Views(pad_crop=3, flip=True)
EVERYTHING = Views(
    pad_crop=2,
    shift=0.1,
    flip=True,
    resized_crop=ResizedCrop(),
    affine=Affine(degrees=20, scale=0.2, shear=10),
    color=ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4),
    erase=0.7,
    cutout=4,
    mixup=0.4,
    cutmix=1.0,
)
SPECS = {"nothing": Views(), "exact": EXACT, "everything": EVERYTHING}


@dataclass(frozen=True)
class Store:
    images: torch.Tensor
    labels: torch.Tensor | None
    ids: torch.Tensor


def make_store(count: int = 40, channels: int = 3, height: int = 11, width: int = 9) -> Store:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (count, channels, height, width), dtype=np.uint8))
    ids = torch.from_numpy(rng.integers(-(2**63), 2**63 - 1, count))
    return Store(images, torch.from_numpy(rng.integers(0, CLASSES, count)), ids)


def blank_store(count: int, side: int, value: float = 1.0) -> Store:
    images = torch.full((1, 1, side, side), value).expand(count, -1, -1, -1)
    return Store(images, None, torch.arange(count))


def render_all(spec: Views, store: Store, seed: int = 0, view: int = 0) -> Rendered:
    return render(spec, seed, store, torch.arange(len(store.ids)), view, CLASSES)


def labels_of(rendered: Rendered) -> torch.Tensor:
    assert rendered.labels is not None
    return rendered.labels


STORE = make_store()


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    name=st.sampled_from(sorted(SPECS)),
    asked=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 3)), min_size=1, max_size=70),
    stored=st.permutations(range(40)),
    channels=st.sampled_from([1, 3]),
)
def test_an_example_looks_the_same_whatever_its_batch_and_wherever_it_is_stored(
    name: str, asked: list[tuple[int, int]], stored: list[int], channels: int
) -> None:
    store = Store(STORE.images[:, :channels].contiguous(), STORE.labels, STORE.ids)
    assert store.labels is not None
    order = torch.tensor(stored)
    shuffled = Store(store.images[order], store.labels[order], store.ids[order])
    place = torch.argsort(order)
    index, view = torch.tensor(asked).unbind(1)
    batch = render(SPECS[name], 1, shuffled, place[index], view, CLASSES)
    for at, (example, its_view) in enumerate(asked):
        alone = render(SPECS[name], 1, store, torch.tensor([example]), its_view, CLASSES)
        assert torch.equal(batch.images_BCHW[at], alone.images_BCHW[0])
        assert torch.equal(labels_of(batch)[at], labels_of(alone)[0])


def digest_of_a_batch(threads: int) -> str:
    torch.set_num_threads(threads)
    store = make_store(count=300, height=32, width=32)
    digest = hashlib.sha256()
    for spec in SPECS.values():
        rendered = render(spec, 7, store, torch.arange(300), torch.arange(300) % 4, CLASSES)
        digest.update(rendered.images_BCHW.numpy().tobytes())
        digest.update(labels_of(rendered).numpy().tobytes())
    return digest.hexdigest()


def test_another_process_with_another_thread_count_renders_the_same_batch() -> None:
    code = "from tests.vision.test_views import digest_of_a_batch; print(digest_of_a_batch(2))"
    there = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    before = torch.get_num_threads()
    try:
        assert there.stdout.strip() == digest_of_a_batch(1)
    finally:
        torch.set_num_threads(before)


def test_an_empty_spec_gives_the_images_as_they_are() -> None:
    rendered = render_all(Views(), STORE, view=3)
    assert rendered.images_BCHW.dtype == torch.float32
    np.testing.assert_array_equal(rendered.images_BCHW, STORE.images.numpy().astype(np.float32) / 255)
    assert STORE.labels is not None
    assert torch.equal(labels_of(rendered), STORE.labels)
    floats = Store(torch.rand(4, 1, 5, 5), None, torch.arange(4))
    unchanged = render_all(Views(), floats)
    assert torch.equal(unchanged.images_BCHW, floats.images)
    assert unchanged.labels is None


@pytest.mark.parametrize(("pad", "flip"), [(0, True), (2, False), (3, True)])
def test_crop_and_flip_move_whole_pixels_as_a_plain_loop_does(pad: int, flip: bool) -> None:
    index, view = torch.tensor([5, 0, 39, 5, 5]), torch.tensor([0, 0, 8, 1, 2])
    rendered = render(Views(pad_crop=pad, flip=flip), 3, STORE, index, view, None).images_BCHW.numpy()
    for at, (i, v) in enumerate(zip(index.tolist(), view.tolist())):
        example = STORE.ids[i]
        padded = np.pad(STORE.images[i].numpy(), ((0, 0), (pad, pad), (pad, pad)))
        top = int(randomness.integers(3, example, v, "crop.y", 2 * pad + 1)) if pad else 0
        left = int(randomness.integers(3, example, v, "crop.x", 2 * pad + 1)) if pad else 0
        expected = padded[:, top : top + 11, left : left + 9]
        if flip and int(randomness.integers(3, example, v, "flip", 2)):
            expected = expected[:, :, ::-1]
        np.testing.assert_array_equal(rendered[at], expected.astype(np.float32) / 255)


def test_crops_and_flips_take_every_place_equally_often() -> None:
    count, pad, side = 5_000, 2, 7
    images = torch.zeros(1, 1, side, side)
    images[0, 0, 3, 2] = 1.0
    store = Store(images.expand(count, -1, -1, -1), None, torch.arange(count))
    at = render_all(EXACT.model_copy(update={"pad_crop": pad}), store).images_BCHW.flatten(1).argmax(1)
    y, x = at // side - 3 + pad, at % side
    # Columns 0-4 come from the image, and 2-6 from its mirror image.
    expected = np.array([1, 1, 2, 2, 2, 1, 1]) * count / 10
    assert stats.chisquare(torch.bincount(x, minlength=side), expected).pvalue > LEAST_P
    assert stats.chisquare(torch.bincount(y, minlength=5)).pvalue > LEAST_P
    both = torch.bincount(y * side + x, minlength=5 * side)
    assert stats.chisquare(both, np.tile(expected / 5, 5)).pvalue > LEAST_P


def test_a_warp_that_draws_the_identity_leaves_the_image() -> None:
    plain = render_all(Views(), STORE).images_BCHW
    whole = ResizedCrop(scale=(1, 1), ratio=(9 / 11, 9 / 11))
    for spec in (Views(affine=Affine()), Views(resized_crop=ResizedCrop(scale=(1, 1), ratio=(1, 1)))):
        square = Store(STORE.images[:, :, :9], STORE.labels, STORE.ids)
        same = render_all(spec, square).images_BCHW
        torch.testing.assert_close(same, plain[:, :, :9], atol=1e-5, rtol=0)
    torch.testing.assert_close(render_all(Views(resized_crop=whole), STORE).images_BCHW, plain, atol=1e-5, rtol=0)


def test_crop_and_flip_inside_a_warp_agree_with_the_exact_ones() -> None:
    warped = render_all(EXACT.model_copy(update={"affine": Affine()}), STORE, view=5).images_BCHW
    exact = render_all(EXACT, STORE, view=5).images_BCHW
    torch.testing.assert_close(warped, exact, atol=1e-4, rtol=0)


def source_by_hand(spec: Views, x: float, y: float, height: int, width: int, draws: Draws) -> tuple[float, float]:
    """Where the pixel at (x, y) from the centre comes from: the knobs undone, last one first."""
    if spec.affine is not None:
        table = 1 << 14
        angle, shear = (
            math.radians(limit * (2 * (int(draws.integers(knob, table)) + 0.5) / table - 1))
            for knob, limit in (("affine.angle", spec.affine.degrees), ("affine.shear", spec.affine.shear))
        )
        scale = 1 - spec.affine.scale + 2 * spec.affine.scale * float(draws.uniform("affine.scale"))
        forward = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        forward = forward @ np.array([[1, math.tan(shear)], [0, 1]]) * scale
        x, y = np.linalg.solve(forward, [x, y])
    if spec.flip and int(draws.integers("flip", 2)):
        x = -x
    if spec.shift:
        x += spec.shift * width * (2 * float(draws.uniform("shift.x")) - 1)
        y += spec.shift * height * (2 * float(draws.uniform("shift.y")) - 1)
    if spec.pad_crop:
        x += int(draws.integers("crop.x", 2 * spec.pad_crop + 1)) - spec.pad_crop
        y += int(draws.integers("crop.y", 2 * spec.pad_crop + 1)) - spec.pad_crop
    return x, y


def test_a_warp_interpolates_where_its_knobs_say() -> None:
    spec = Views(pad_crop=2, shift=0.15, flip=True, affine=Affine(degrees=40, scale=0.3, shear=20))
    height, width = 11, 9
    for i in range(6):
        rendered = render(spec, 2, STORE, torch.tensor([i]), 4, None).images_BCHW[0, 0]
        draws = Draws(2, STORE.ids[i : i + 1], torch.tensor([4]))
        framed = np.pad(STORE.images[i, 0].numpy() / 255, 20)
        for row in range(height):
            for column in range(width):
                x, y = source_by_hand(spec, column - 4, row - 5, height, width, draws)
                x, y = x + 4 + 20, y + 5 + 20
                left, top = int(x), int(y)
                corners = framed[top : top + 2, left : left + 2]
                across = corners @ np.array([1 - (x - left), x - left])
                expected = across @ np.array([1 - (y - top), y - top])
                assert rendered[row, column] == pytest.approx(expected, abs=1e-4)


def test_a_resized_crop_stays_inside_the_image_and_has_the_area_it_was_asked_for() -> None:
    # Each pixel says where it stands, so a rendering says where it came from.
    side, count = 64, 2_000
    ramp = torch.arange(side) / side
    images = torch.stack([ramp[None, :].expand(side, -1), ramp[:, None].expand(-1, side)])[None]
    store = Store(images.expand(count, -1, -1, -1), None, torch.arange(count))
    spec = Views(resized_crop=ResizedCrop(scale=(0.25, 0.5), ratio=(0.5, 2)))
    x, y = render_all(spec, store).images_BCHW[:, :, 8:-8, 8:-8].unbind(1)
    inner = side - 17
    width, height = (x[:, 5, -1] - x[:, 5, 0]) * side / inner, (y[:, -1, 5] - y[:, 0, 5]) * side / inner
    area, shape = (width * height).double(), torch.log(width / height)
    assert stats.kstest(area, stats.uniform(0.25, 0.25).cdf).pvalue > LEAST_P
    # Never longer than the image here: sqrt(0.5 * 2) = 1.
    assert stats.kstest(shape, stats.uniform(-math.log(2), 2 * math.log(2)).cdf).pvalue > LEAST_P
    for middle, length in ((x.mean((1, 2)) + 0.5 / side, width), (y.mean((1, 2)) + 0.5 / side, height)):
        room = 1 - length
        place = (middle - length / 2)[room > 0.1] / room[room > 0.1]
        assert place.min() > -0.02
        assert place.max() < 1.02
        assert stats.kstest(place.double(), "uniform").pvalue > LEAST_P


def test_brightness_contrast_and_saturation_do_what_their_names_say() -> None:
    plain = render_all(Views(), STORE).images_BCHW.double()
    draws = Draws(0, STORE.ids, torch.zeros_like(STORE.ids))
    luma = torch.tensor([0.299, 0.587, 0.114]).double()[None, :, None, None]
    grey = (plain * luma).sum(1, keepdim=True)
    for knob, anchor in (
        ("brightness", torch.zeros_like(grey)),
        ("contrast", grey.mean((2, 3), keepdim=True)),
        ("saturation", grey),
    ):
        jittered = render_all(Views(color=ColorJitter(**{knob: 0.5})), STORE).images_BCHW.double()
        factor = (0.5 + draws.uniform(f"color.{knob}").double())[:, None, None, None]
        torch.testing.assert_close(jittered, (anchor + (plain - anchor) * factor).clamp(0, 1), atol=3e-5, rtol=0)


def test_erasing_has_the_probability_area_and_noise_that_it_says() -> None:
    count, side = 4_000, 20
    rendered = render_all(Views(erase=0.3), blank_store(count, side, value=-1.0)).images_BCHW
    erased = rendered != -1
    area = erased.float().mean((1, 2, 3))
    hit = area > 0
    assert stats.binomtest(int(hit.sum()), count, 0.3).pvalue > LEAST_P
    assert 0.01 < area[hit].min() < 0.04
    assert 0.29 < area[hit].max() < 0.36
    for image in erased[hit, 0]:  # a full rectangle
        assert image.sum() == image.any(0).sum() * image.any(1).sum()
    noise = (rendered[erased] * 255).round().long()
    assert stats.chisquare(torch.bincount(noise, minlength=256)).pvalue > LEAST_P
    first, second = rendered[hit][0], rendered[hit][1]
    both = (first != -1) & (second != -1)
    assert not both.any() or not torch.equal(first[both], second[both])
    assert not render_all(Views(erase=0.0), blank_store(5, side)).images_BCHW.ne(1).any()


def test_cutout_blanks_a_square_around_any_pixel() -> None:
    count, side, square = 4_000, 9, 4
    blank = (render_all(Views(cutout=square), blank_store(count, side)).images_BCHW == 0)[:, 0]
    draws = Draws(0, torch.arange(count), torch.zeros(count, dtype=torch.int64))
    rows, columns = draws.integers("cutout.y", side), draws.integers("cutout.x", side)
    for at in range(50):
        expected = np.zeros((side, side), dtype=bool)
        top, left = int(rows[at]) - 2, int(columns[at]) - 2
        expected[max(top, 0) : top + square, max(left, 0) : left + square] = True
        np.testing.assert_array_equal(blank[at], expected)
    assert stats.chisquare(torch.bincount(rows * side + columns, minlength=side**2)).pvalue > LEAST_P


@pytest.mark.parametrize("name", ["mixup", "cutmix", "both"])
def test_mixes_are_those_of_a_plain_loop_and_their_labels_say_so(name: str) -> None:
    mixing = {"mixup": {"mixup": 0.4}, "cutmix": {"cutmix": 1.0}, "both": {"mixup": 0.4, "cutmix": 1.0}}[name]
    unmixed = Views(pad_crop=1, flip=True)
    mixed = render_all(unmixed.model_copy(update=mixing), STORE, view=2)
    alone = render_all(unmixed, STORE, view=2).images_BCHW.numpy()
    labels = labels_of(mixed)
    assert STORE.labels is not None
    assert labels.shape == (40, CLASSES)
    torch.testing.assert_close(labels.sum(1), torch.ones(40))
    by_id = np.argsort(STORE.ids.numpy())
    pasted = 0
    for i in range(40):
        draws = Draws(0, STORE.ids[i : i + 1], torch.tensor([2]))
        partner = by_id[int(draws.integers("mix.partner", 40))]
        own, other = alone[i], alone[partner]
        cut = name == "cutmix" or (name == "both" and bool(draws.integers("mix.which", 2)))
        if cut:
            lam = float(draws.pick("cutmix.share", symmetric_beta(1.0, torch.device("cpu"))))
            h, w = int(math.sqrt(1 - lam) * 11), int(math.sqrt(1 - lam) * 9)
            top, left = (
                int(draws.integers("cutmix.y", 11)) - h // 2,
                int(draws.integers("cutmix.x", 9)) - w // 2,
            )
            expected, inside = own.copy(), np.zeros((11, 9), dtype=bool)
            inside[max(top, 0) : max(top + h, 0), max(left, 0) : max(left + w, 0)] = True
            expected[:, inside] = other[:, inside]
            share = 1 - inside.mean()
            pasted += 1
        else:
            share = float(draws.pick("mixup.share", symmetric_beta(0.4, torch.device("cpu"))))
            expected = share * own + (1 - share) * other
        np.testing.assert_allclose(mixed.images_BCHW[i], expected, atol=1e-6)
        label = np.zeros(CLASSES)
        label[STORE.labels[i]] += share
        label[STORE.labels[partner]] += 1 - share
        np.testing.assert_allclose(labels[i], label, atol=1e-6)
    assert {"mixup": pasted == 0, "cutmix": pasted == 40, "both": 5 < pasted < 35}[name]


def test_partners_and_shares_have_the_distributions_they_say() -> None:
    count, many = 40, torch.arange(500)
    partner_label = Store(STORE.images, torch.arange(count), STORE.ids)
    index = torch.arange(count).repeat(len(many))
    view = many.repeat_interleave(count)
    mixed = labels_of(render(Views(mixup=0.7), 0, partner_label, index, view, count))
    share = mixed.gather(1, index[:, None])[:, 0]
    others = mixed.scatter(1, index[:, None], -1).argmax(1)[share < 1]
    assert (share == 1).float().mean() == pytest.approx(1 / count, abs=0.005)  # an example may meet itself
    assert stats.kstest(share[share < 1].double(), stats.beta(0.7, 0.7).cdf).pvalue > LEAST_P
    assert stats.chisquare(torch.bincount(others, minlength=count)).pvalue > LEAST_P


def test_a_transfer_set_is_mixed_without_labels_and_labels_need_the_number_of_classes() -> None:
    unlabelled = Store(STORE.images, None, STORE.ids)
    assert render_all(EVERYTHING, unlabelled).labels is None
    labelled = render_all(EVERYTHING, STORE).images_BCHW
    assert torch.equal(render_all(EVERYTHING, unlabelled).images_BCHW, labelled)
    with pytest.raises(ValueError, match="classes"):
        render(EVERYTHING, 0, STORE, torch.arange(3), 0, None)


@pytest.mark.parametrize("name", ["exact", "everything"])
def test_seed_view_and_id_each_change_the_rendering(name: str) -> None:
    spec, twins = SPECS[name], Store(STORE.images[:1].expand(40, -1, -1, -1), STORE.labels, STORE.ids)
    base = render_all(spec, STORE).images_BCHW
    for other in (render_all(spec, STORE, seed=1), render_all(spec, STORE, view=1)):
        assert (other.images_BCHW != base).flatten(1).any(1).float().mean() > 0.8
    assert len(render_all(spec, twins).images_BCHW.unique(dim=0)) > 25
    assert 0 <= base.min() <= base.max() <= 1


def test_setting_a_knob_leaves_the_draws_of_the_others() -> None:
    cropped = render_all(EXACT, STORE).images_BCHW
    with_cutout = render_all(EXACT.model_copy(update={"cutout": 3}), STORE).images_BCHW
    assert torch.equal(with_cutout[with_cutout != 0], cropped[with_cutout != 0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", SPECS)
def test_gpu_pixels_agree_with_cpu_pixels(name: str) -> None:
    assert STORE.labels is not None
    there = Store(STORE.images.cuda(), STORE.labels.cuda(), STORE.ids.cuda())
    index, view = torch.arange(40).repeat(4), torch.arange(160)
    here = render(SPECS[name], 0, STORE, index, view, CLASSES)
    gpu = render(SPECS[name], 0, there, index.cuda(), view.cuda(), CLASSES)
    torch.testing.assert_close(gpu.images_BCHW.cpu(), here.images_BCHW, atol=1e-4, rtol=0)
    torch.testing.assert_close(labels_of(gpu).cpu(), labels_of(here))


def test_half_a_label_is_none() -> None:
    labels_B, partner_labels_B = torch.tensor([2, IGNORED, 1, IGNORED]), torch.tensor([0, 1, IGNORED, IGNORED])
    mixed_BK = mix_labels(labels_B, partner_labels_B, torch.full((4,), 0.75), 3)
    assert mixed_BK.tolist() == [[0.25, 0, 0.75], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
