"""Claims about a regression teacher's numbers in a store: kept as they are, averaged with their spread, refused where they do not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck.errors import BadInput
from limbeck.interfaces import Answers, Batch, DenseLogits, Needs, Values
from limbeck.models.ensemble import Together, with_spread
from limbeck.objectives.modules import KD, MSE, MSEValues, WeightedMSEValues
from limbeck.sections.targets import Targets
from limbeck.targets.cast import cast
from limbeck.targets.codecs import Dense, Numbers, bytes_per_target, codec_from
from limbeck.targets.codecs.fits_objective import misfit
from limbeck.targets.codecs.from_recipe import asked_codecs
from limbeck.targets.live_teacher import LiveTeacher, as_target
from limbeck.targets.replay import replay
from limbeck.targets.store.store import Store
from limbeck.targets.stored_teacher import StoredTeacher
from tests.helpers.stores import identity

N, VIEWS = 7, 3
IDS = torch.arange(N) * 13 + 5


def numbers_of(index_B, view):
    """Two numbers for each example, exact in float16 and far from centred: 0.5 times the position and the view, and 1000 more."""
    first_B = index_B * 0.5 + view
    return torch.stack([first_B, first_B + 1000], dim=1)


def stored(path, precision="float32", ask=numbers_of):
    return cast(path, identity(classes=2), IDS, VIEWS, ask, codec=Numbers(precision), block_size=4, batch_size=3)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("precision", "size"), [("float32", 8), ("float16", 4)])
def test_a_store_gives_back_the_numbers_themselves(tmp_path, precision, size):
    store = stored(tmp_path / "store", precision)
    said = Store.open(tmp_path / "store").gather(IDS, torch.full((N,), 2))
    assert isinstance(said, Values)
    assert torch.equal(said.values, numbers_of(torch.arange(N), 2))
    assert bytes_per_target(store.codec, 2) == size
    error = store.manifest["codec"]["error"]
    assert (error["rmse"], error["max_difference"], error["n"]) == (0.0, 0.0, 4)  # of the first block
    assert codec_from("numbers", store.codec.settings) == Numbers(precision)


def test_float16_keeps_three_digits_and_says_what_it_loses(tmp_path):
    store = stored(tmp_path / "store", "float16", lambda index_B, view: numbers_of(index_B, view) * 1.0003)
    error = store.manifest["codec"]["error"]
    assert 0 < error["rmse"] <= error["max_difference"] <= 1003 * 2**-11


def test_an_average_has_the_deviation_over_the_views_beside_it(tmp_path):
    teacher = StoredTeacher(stored(tmp_path / "store"), average=True)
    said = teacher(Batch(ids=IDS[[4, 1]], view=torch.tensor([99, 0]), inputs=None), Needs()).get(Values)
    assert torch.allclose(said.values, numbers_of(torch.tensor([4, 1]), 1))  # the mean of the views 0, 1 and 2
    assert said.spread is not None
    assert torch.allclose(said.spread, torch.full((2, 2), (2 / 3) ** 0.5), atol=1e-3)


def members_of(index_B, view):
    """The numbers and then their deviation, a quarter more for each position."""
    numbers_BD = numbers_of(index_B, view)
    return torch.cat([numbers_BD, index_B[:, None] * 0.25 * torch.tensor([1.0, 2.0])], dim=1)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_the_deviation_over_members_is_kept_and_joined_with_that_over_views(tmp_path, precision):
    codec: Any = Numbers(precision, spread=True)
    store = cast(
        tmp_path / "store", identity(classes=2), IDS, VIEWS, members_of, codec=codec, block_size=4, batch_size=3
    )
    assert codec_from("numbers", store.codec.settings) == codec
    assert Numbers(precision).settings == {"precision": precision}  # as stores of one teacher have always said
    assert bytes_per_target(codec, 2) == 2 * bytes_per_target(Numbers(precision), 2)
    batch = Batch(ids=IDS[[4, 1]], view=torch.tensor([2, 0]), inputs=None)
    said = StoredTeacher(store)(batch, Needs()).get(Values)
    assert said.values.tolist() == [[4.0, 1004.0], [0.5, 1000.5]]
    assert said.spread is not None
    assert said.spread.tolist() == [[1.0, 2.0], [0.25, 0.5]]
    mean = StoredTeacher(store, average=True)(batch, Needs()).get(Values)
    assert mean.spread is not None  # the views differ by 0, 1 and 2
    assert mean.spread.tolist() == [
        pytest.approx([(1 + 2 / 3) ** 0.5, (4 + 2 / 3) ** 0.5], rel=1e-4),
        *[mean.spread[1].tolist()],
    ]
    assert store.manifest["codec"]["error"]["spread"] == pytest.approx((5 * 0.0625 * (0 + 1 + 4 + 9) / 8) ** 0.5)
    assert not len(replay(store, members_of, IDS, 21, seed=0).differing)

    def unsure(index_B, view):
        return members_of(index_B, view) + torch.tensor([0.0, 0.0, 1.0, 0.0])

    assert len(replay(store, unsure, IDS, 21, seed=0).differing) == 21


def test_an_ensemble_says_how_far_its_members_are_apart():
    first, second = torch.nn.Linear(1, 2), torch.nn.Linear(1, 2)
    for model, values in ((first, [1.0, 5.0]), (second, [4.0, 5.0])):
        torch.nn.init.zeros_(model.weight)
        model.bias.data = torch.tensor(values)
    ensemble = Together([first, second], "logits", (2, 1))
    model = with_spread(ensemble, True)
    assert model(torch.zeros(1, 1)).tolist() == [pytest.approx([2.0, 5.0, 2**0.5, 0.0])]  # (2 * 1 + 1 * 4) / 3
    assert with_spread(ensemble, False) is ensemble
    assert with_spread(first, True) is first

    class Answering:
        answers = Answers("values", 2)

        def answer(self, asked: Any, batch: Batch) -> torch.Tensor:
            return asked(batch.inputs)

    task: Any = Answering()
    batch = Batch(ids=torch.arange(1), view=torch.zeros(1), inputs=torch.zeros(1, 1))
    live = LiveTeacher(ensemble, task)
    assert live(batch, Needs(target=(Values,))).get(Values).spread is None
    said = live(batch, Needs(target=(Values,), spread=True)).get(Values)
    assert said.spread is not None
    assert torch.equal(said.values, ensemble(torch.zeros(1, 1)))
    assert said.spread.tolist() == [pytest.approx([2**0.5, 0.0])]


def test_an_objective_that_weighs_by_the_deviation_is_refused_where_there_is_none():
    wanted, objective = Targets(views=2), WeightedMSEValues()
    assert asked_codecs(wanted, 2, 0, objective, several=True).codecs == (Numbers(spread=True),)
    assert asked_codecs(wanted, 2, 0, MSEValues(), several=True).codecs == (Numbers(),)
    assert asked_codecs(Targets(views=2, average=True), 2, 0, objective).codecs == (Numbers(),)
    for targets in (wanted, Targets(views=1, average=True)):
        with pytest.raises(
            BadInput, match=r"weighted_mse_values weighs .* deviation, and there is none.*teacher\.ensemble"
        ):
            asked_codecs(targets, 2, 0, objective)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_replay_holds_each_number_to_its_own_size(tmp_path, precision):
    def of_two_sizes(index_B, view):
        first_B = 1 + index_B * 0.1
        return torch.stack([first_B, 1e4 * first_B], dim=1)

    store = stored(tmp_path / "store", precision, of_two_sizes)
    assert not len(replay(store, of_two_sizes, IDS, 21, seed=0).differing)
    off = torch.tensor([0.1, 0.0])  # far below the rounding of the large number, and a tenth of the small one
    found = replay(store, lambda index_B, view: of_two_sizes(index_B, view) + off, IDS, 21, seed=0)
    assert len(found.differing) == 21
    size = ((1 + 1.21 + 1.44 + 1.69) / 4) ** 0.5  # of the first block
    assert found.difference == pytest.approx([0.1 / size] * 21, rel=0.02)


def test_a_store_of_an_earlier_version_is_replayed_by_one_size_for_all(tmp_path):
    store = stored(tmp_path / "store")
    error = {name: value for name, value in store.manifest["codec"]["error"].items() if name != "per_number"}
    store.manifest = {**store.manifest, "codec": {**store.manifest["codec"], "error": error}}
    found = replay(store, lambda index_B, view: numbers_of(index_B, view) + 8.0, IDS, 21, seed=0)
    assert found.difference == pytest.approx([8 / error["rms"]] * 21)


def test_replay_finds_numbers_that_the_teacher_no_longer_says(tmp_path):
    store = stored(tmp_path / "store")
    assert not len(replay(store, numbers_of, IDS, 21, seed=0).differing)
    assert len(replay(store, lambda index_B, view: numbers_of(index_B, view) + 8.0, IDS, 21, seed=0).differing) == 21


def test_a_replay_of_one_number_says_how_far_off_it_is(tmp_path):
    one = cast(tmp_path / "one", identity(classes=1), IDS, 1, lambda i, v: numbers_of(i, v)[:, 1:], codec=Numbers())
    found = replay(one, lambda i, v: numbers_of(i, v)[:, 1:] + 10.0, IDS, N, seed=0)
    assert found.difference == pytest.approx([10 / 1001.5] * N, rel=1e-3)
    assert len(found.differing) == N


def test_numbers_that_are_not_finite_or_too_large_for_float16_are_refused(tmp_path):
    with pytest.raises(BadInput, match="NaN or infinite for example id 5"):
        stored(tmp_path / "nan", ask=lambda index_B, view: numbers_of(index_B, view) / 0)
    with pytest.raises(BadInput, match=r"float16 holds numbers up to 65,504, .* take float32"):
        stored(tmp_path / "large", "float16", lambda index_B, view: numbers_of(index_B, view) * 100)


def test_the_codec_goes_with_what_the_objective_reads():
    assert asked_codecs(Targets(), 2, 0, MSEValues()).codecs == (Numbers("float32"),)
    assert asked_codecs(Targets(codec="float16"), 2, 0, MSEValues()).codecs == (Numbers("float16"),)
    assert asked_codecs(Targets(), 2, 0, KD()).codecs == (Dense(),)
    assert misfit(Numbers(), MSE()) is None  # asks no teacher
    for codec, objective in (("int8", MSEValues()), ("float32", KD())):
        with pytest.raises(BadInput, match=r"targets\.codec"):
            asked_codecs(Targets(codec=codec), 2, 0, objective)
    with pytest.raises(BadInput, match="distributions over classes"):
        asked_codecs(Targets.model_validate({"codec": {"auto": {}}}), 2, 0, MSEValues())


def test_a_live_teachers_answer_is_of_the_tasks_kind():
    answer_BD = torch.ones(2, 1)
    assert isinstance(as_target(answer_BD, Answers("values", 1)), Values)
    assert isinstance(as_target(answer_BD, Answers("classes", 1)), DenseLogits)
