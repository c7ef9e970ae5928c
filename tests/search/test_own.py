"""What a search tries first is the recipe as it stands."""

from pathlib import Path

from optuna.trial import FixedTrial

from limbeck.searching.bench import Bench
from limbeck.searching.candidates import recipe_with
from limbeck.searching.dimensions import asked
from limbeck.searching.own import SIZES, first_points, own_point
from limbeck.searching.space import control_space, space_of
from tests.helpers import tiny


def test_the_recipes_own_settings_are_a_point_of_its_space(tmp_path: Path) -> None:
    """Those too that it leaves to the network: a convnet's depth is 3, and so is its kernel."""
    recipe = tiny.recipe("search={space: {views: [{}, {shift: 0.1}]}}", "train.epochs=3")
    bench = Bench(recipe, out=tmp_path, threads=1, quiet=True)
    for teacher in (True, False):
        space = space_of(recipe) if teacher else control_space(space_of(recipe), recipe)
        point = own_point(space, recipe, bench.architecture_of, teacher=teacher)
        expected = {
            "student.model": "convnet",
            "student.width": 4,
            "student.depth": 3,
            "student.kernel": 3,
            "train.learning_rate": 0.1,
            "train.epochs": 3,
            "views": '{"shift": 0.1}',
        }
        if teacher:
            expected |= {"objective": "kd", "objective.kd.temperature": 4, "objective.kd.weight": 0.9}
        else:
            expected |= {"baseline.label_smoothing": 0.1}
        labels = {
            one.name: one.label or one.name for one in space.dimensions if one.applies({"student.model": "convnet"})
        }
        assert point.items() >= {labels.get(name, name): value for name, value in expected.items()}.items()
        values = asked(space, FixedTrial(point))
        made, base = (recipe_with(recipe, one, teacher=teacher) for one in (values, {}))
        assert bench.architecture_of(made) == bench.architecture_of(base)
        same = ("views", "objective", "targets", "baseline", "seed")
        assert [getattr(made, name) for name in same] == [getattr(base, name) for name in same]
        assert made.train == base.train.model_copy(update={"learning_rate": 0.1})


def test_what_lies_outside_the_space_is_left_out(tmp_path: Path) -> None:
    space = "{student.width: {low: 6, high: 12}, student.depth: [1, 2], train.learning_rate: [0.1, 0.2], objective: [dist, dkd]}"
    recipe = tiny.recipe(f"search={{space: {space}}}")
    bench = Bench(recipe, out=tmp_path, threads=1, quiet=True)
    point = own_point(space_of(recipe), recipe, bench.architecture_of)
    assert point["train.learning_rate"] == 0.1
    assert not {"student.width", "student.depth", "objective"} & point.keys()


def test_after_it_other_students_are_drawn_that_are_taught_as_the_recipe_says(tmp_path: Path) -> None:
    space = "{student.model: null, student.width: {low: 4, high: 64}, student.depth: [1, 2], train.learning_rate: [0.1, 0.2]}"
    recipe = tiny.recipe(f"search={{space: {space}}}")
    bench = Bench(recipe, out=tmp_path, threads=1, quiet=True)
    first, *others = first_points(space_of(recipe), recipe, bench.architecture_of)
    assert first == own_point(space_of(recipe), recipe, bench.architecture_of)
    taught = {name: value for name, value in first.items() if not name.startswith("student.")}
    assert {"train.learning_rate", "objective"} <= taught.keys() < first.keys()
    assert others == [taught] * SIZES
    knobs = ("model", "width", "depth", "kernel", "downscale")
    pinned = tiny.recipe(f"search={{space: {{{', '.join(f'student.{one}: null' for one in knobs)}}}}}")
    assert len(first_points(space_of(pinned), pinned, bench.architecture_of)) == 1  # nothing but settings varies
