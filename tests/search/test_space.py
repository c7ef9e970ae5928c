"""Claims about the space of a search: what is asked lies in it, belongs together, and makes a recipe that is right."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limbeck.errors import BadInput
from limbeck.recipe import read as recipe_file
from limbeck.searching.candidates import recipe_with, value_at
from limbeck.searching.dimensions import Space, enumerated
from limbeck.searching.space import asked, control_space, space_of
from limbeck.sections.recipe import Recipe
from tests.helpers.tiny import recipe

RECIPES = Path(__file__).parents[2] / "recipes"
SEARCHED = (
    *("digits", "digits_all_labels", "fashion_mnist", "sst2", "sst2_tinybert", "turned_digits", "udacity_track"),
    *("cifar100_crd", "born_again_digits"),
)


class Drawn:
    """A trial whose proposals Hypothesis draws, from the ends of a range to its middle."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.labels: list[str] = []

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        self.labels.append(name)
        if step is not None:
            return low + step * self.draw(st.integers(0, round((high - low) / step)))
        return self.draw(st.floats(low, high))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        self.labels.append(name)
        assert (high - low) % step == 0, "Optuna would warn"
        return low + step * self.draw(st.integers(0, (high - low) // step))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.labels.append(name)
        assert all(one is None or isinstance(one, str | int | float) for one in choices), "what a study can hold"
        return self.draw(st.sampled_from(choices))


def searching(**space: Any) -> Recipe:
    return recipe(f"search.space={json.dumps(space)}")


def knobs_of(space: Space) -> dict[str, str]:
    return {one.name: one.about for one in space.dimensions}


@pytest.mark.parametrize("name", SEARCHED)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_asked_is_in_the_space_and_makes_a_recipe_that_is_right(name: str, data: st.DataObject) -> None:
    searched = recipe_file.read(RECIPES / f"{name}.yaml")
    space = space_of(searched)
    trial = Drawn(data.draw)
    values = asked(space, trial)
    assert len(trial.labels) == len(set(trial.labels)), "no name of a study is asked for twice"
    for path, value in values.items():
        dimensions = [one for one in space.dimensions if one.name == path and one.applies(values)]
        assert len(dimensions) == 1, "nothing is asked that its choice has not"
        assert dimensions[0].knob.holds(value)
    made = recipe_with(searched, values)
    plain = made.model_dump(mode="json")
    assert made.search is None
    assert made.seeds == 1
    assert {path: value_at(plain, path) for path in values if path != "objective"} == {
        path: value for path, value in values.items() if path != "objective"
    }
    assert str(values.get("objective", "")).split("+")[0] in ("", *made.objective.terms)
    assert made.data == searched.data
    if made.views == searched.views:
        assert (made.teacher, made.targets) == (searched.teacher, searched.targets)
    else:
        kept = searched.teacher.model_copy(update={"views": searched.views})
        assert made.teacher == kept, "a teacher that is trained here is trained on the views that it had"
    control = asked(control_space(space, searched), Drawn(data.draw))
    assert not [path for path in control if path.split(".")[0] in ("objective", "teacher", "targets")]
    alone = recipe_with(searched, control, teacher=False)
    assert list(alone.objective.terms) == [searched.labels_alone]
    assert alone.train.epochs == control.get("train.epochs", searched.train.epochs)


def test_a_candidate_with_nothing_else_is_the_recipe_itself() -> None:
    searched = recipe("search.trials=3", "seeds=5")
    assert recipe_with(searched, {}) == recipe("seeds=1")


def test_a_real_study_takes_what_is_asked_for_one_family_and_then_another() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    searched = recipe_file.read(RECIPES / "sst2.yaml")
    space = space_of(searched)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=optuna.samplers.TPESampler(seed=0))
    families = set()
    for number in range(25):
        trial = study.ask()
        values = asked(space, trial)
        families.add(recipe_with(searched, values).student.model)
        study.tell(trial, [number % 7, number % 5])
    assert families == {"shrunk", "fresh", "pruned", "bag", "conv"}


def test_fields_are_pinned_narrowed_taken_out_and_added() -> None:
    searched = searching(
        **{"student.width": 6, "student.depth": {"low": 2, "high": 3}, "student.kernel": None, "train.epochs": None},
        **{"objective": ["kd", "dkd"], "objective.dkd.alpha": 2, "objective.kd.temperature": {"low": 2, "high": 8}},
        **{"train.optimizer": ["sgd", "adamw"], "train.weight_decay": {"low": 1e-5, "high": 1e-3}},
        **{"student.model": "convnet"},
    )
    known = knobs_of(space_of(searched))
    assert known["student.depth"] == "2 to 3, whole"
    assert known["objective.kd.temperature"] == "2 to 8, log"
    assert known["train.weight_decay"] == "1e-05 to 0.001, log"
    assert known["train.optimizer"] == "sgd, adamw"
    assert not {"student.width", "student.kernel", "train.epochs", "student.model", "objective.dkd.alpha"} & set(known)
    made = recipe_with(searched, {"objective": "dkd", "student.depth": 3})
    assert made.student.knobs == {"width": 6, "depth": 3}
    assert made.objective.dkd.alpha == 2
    assert recipe_with(searched, {"objective": "kd"}).objective.dkd is None, "a setting alone adds no term"


def test_a_knob_goes_to_the_families_that_have_it() -> None:
    searched = searching(
        **{"student.model": ["convnet", "pilotnet", "resnet8"], "student.hidden": [16, 32], "student.depth": 2}
    )
    (hidden,) = [one for one in space_of(searched).dimensions if one.name == "student.hidden"]
    assert hidden.when == ("student.model", ("pilotnet",))
    assert recipe_with(searched, {"student.model": "convnet"}).student.knobs == {"width": 4, "depth": 2}
    assert recipe_with(searched, {"student.model": "resnet8"}).student.knobs == {}


def test_the_teacher_pruned_is_a_family_with_its_share_as_a_knob() -> None:
    pytest.importorskip("torch_pruning")
    space = space_of(searching())
    assert "pruned" in knobs_of(space)["student.model"]
    (keep,) = [one for one in space.dimensions if one.name == "student.pruned.keep"]
    assert keep.when == ("student.model", ("pruned",))
    searched = searching(
        **{"student.model": ["convnet", "pruned"], "student.pruned.criterion": "taylor", "student.width": 6}
    )
    made = recipe_with(searched, {"student.model": "pruned", "student.pruned.keep": 0.3}).student
    assert made.knobs == {"pruned": {"keep": 0.3, "criterion": "taylor"}}
    assert recipe_with(searched, {"student.model": "convnet"}).student.knobs == {"width": 6}


def test_teachers_vary_where_they_are_listed_and_views_leave_them_as_they_are() -> None:
    teachers = [{"model": "wrn_10_1", "train": {"epochs": 1}}, {"model": "wrn_10_2", "train": {"epochs": 1}}]
    searched = searching(teacher=teachers, views=[{}, {"shift": 0.1}])
    space = space_of(searched)
    assert {"teacher", "views"} <= set(knobs_of(space))
    made = recipe_with(searched, {"teacher": teachers[1], "views": {}})
    assert made.teacher.model == "wrn_10_2"
    assert made.teacher.views == searched.views, "it is trained as before, whatever its student sees"
    assert made.targets.views == 1, "a picture that does not vary is answered once"
    assert "teacher" not in knobs_of(control_space(space, searched))


def test_a_space_of_so_many_points_is_counted_and_enumerated() -> None:
    searched = searching(
        **{
            "student.model": ["convnet", "resnet8"],
            "student.width": [4, 8, 16],
            "student.depth": {"low": 1, "high": 2},
        },
        **{"student.kernel": None, "student.downscale": None},
    )
    students = space_of(searched).of_student
    assert students.points == 3 * 2 + 1
    every = enumerated(students, 10)
    assert every is not None
    assert len(every) == len({json.dumps(one) for one in every}) == 7
    assert {"student.model": "resnet8"} in every
    assert enumerated(students, 6) is None
    assert space_of(searched).points is None, "a temperature is one of a continuum"


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ({"trian.epochs": [1, 2]}, "no such field. Did you mean 'train.epochs'?"),
        ({"train.learning_rat": [0.1, 0.2]}, "search.space.train.learning_rat: no such field. Did you mean 'learning_rate'?"),
        ({"width": [4, 8]}, "search.space.width: there is no such field. Did you mean 'student.width'?"),
        ({"batch": [4, 8]}, "no such field. What may vary are fields of student, objective, teacher"),
        ({"train.learning_rat": 0.1}, "Did you mean 'learning_rate'?"),
        ({"train.learning_rate": {"low": -1, "high": 1}}, "-1 was given; it must be greater than 0"),
        ({"student.widht": [4, 8]}, "convnet has no knob 'widht'; it has width, depth, kernel"),
        ({"student.widht": 4}, "convnet has no knob 'widht'"),
        ({"student.width": {"low": 4, "high": 1000}}, "convnet's width is 1000; it must be a whole number from 1 to 512"),
        ({"student.width": {"low": 4.5, "high": 9}}, "its values are whole numbers, and 4.5 was given"),
        ({"student.kernel": {"low": 3, "high": 4}}, "it is one of 3, 5, 7"),
        ({"student.model": ["convnet", "nonet"]}, "search.space.student.model: there is no model 'nonet'"),
        ({"student": [{"model": "convnet"}, {"model": "resnet8"}], "student.width": [4, 8]}, "leave out one of the two"),
        ({"objective": ["kd", "dkb"]}, "there is no objective 'dkb'. Did you mean 'dkd'?"),
        ({"objective.fitnets.weight": [1, 2]}, "add it, such as search.space: {objective: [kd, fitnets]}"),
        ({"objective.kd.temprature": [1, 2]}, "Did you mean 'temperature'?"),
        ({"data.size": [4, 8]}, "For a smaller picture give student.downscale."),
        ({"seeds": [1, 2]}, "candidates do not differ in seeds"),
        ({"teacher": [{"model": "wrn_10_1"}, {"model": "wrn_10_2"}]}, "give train (to train it here) or weights"),
        (
            {"student": {"model": "resnet8"}, "objective": {"kd": {}}, "train.learning_rate": 0.1, "train.epochs": 2, "views": None},
            "every field is pinned, so there is one point",
        ),
    ],
)  # fmt: skip
def test_what_a_search_cannot_vary_is_refused(space: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        space_of(searching(**space))
    assert sentence in str(refused.value)


def test_the_examples_of_the_page_are_right() -> None:
    page = (RECIPES.parent / "docs" / "search.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"(?ms)^```yaml\n(search:.*?)^```", page)
    lists = re.findall(r"`((?:teacher|student|objective): \[\{?.*?\])`", page)
    assert len(lists) == 3
    values = yaml.safe_load((RECIPES / "fashion_mnist.yaml").read_text(encoding="utf-8"))
    for search in (yaml.safe_load(section)["search"], *({"space": yaml.safe_load(one)} for one in lists)):
        known = knobs_of(space_of(recipe_file.from_dict({**values, "search": search})))
        varied = {path for path, said in search["space"].items() if isinstance(said, list | dict)}
        assert varied <= set(known)
        assert not (set(search["space"]) - varied) & set(known)


@pytest.mark.parametrize("name", SEARCHED)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_pinned_stays_and_the_rest_goes_on_varying(name: str, data: st.DataObject) -> None:
    values = recipe_file.values_in(RECIPES / f"{name}.yaml")
    first = asked(space_of(recipe_file.from_dict(values)), Drawn(data.draw))
    pins = {path: first[path] for path in data.draw(st.lists(st.sampled_from(sorted(first)), unique=True))}
    if "student.model" in first:  # what only one family has is pinned with it
        pins |= {"student.model": first["student.model"]} if any(path.startswith("student.") for path in pins) else {}
    if any(path.startswith("objective.") for path in pins):
        pins |= {"objective": first["objective"]}
    searched = recipe_file.from_dict({**values, "search": {"space": pins}})
    if set(pins) == set(first):
        return  # whether a setting is left that was not asked for is another matter
    space = space_of(searched)
    assert not set(pins) & set(knobs_of(space))
    again = asked(space, Drawn(data.draw))
    plain = recipe_with(searched, again).model_dump(mode="json")
    for path, value in {**again, **pins}.items():
        assert path == "objective" or value_at(plain, path) == value, path
    if "objective" in pins:
        terms = {path.split(".")[1] for path in again if path.startswith("objective.")}
        assert terms <= {name for name, said in plain["objective"].items() if said is not None}
