"""Claims about a budget that nothing can meet: refused where that is certain, by few students, and never in doubt."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.deploy.measure import parameters
from limbeck.errors import BadInput
from limbeck.searching.attainable import CLEARLY, require_attainable
from limbeck.searching.bench import Bench
from limbeck.searching.candidates import recipe_with
from limbeck.searching.costs import Costs, candidate_of
from limbeck.searching.space import space_of
from limbeck.sections.recipe import Recipe
from tests.helpers import text_runs, tiny


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tiny.recipe(), out=tmp_path_factory.mktemp("bench"), device="cpu", threads=1, quiet=True)


class Asked:
    """Counts the real students' parameters; stands for a clock, so that it can be said what is how fast."""

    def __init__(self, bench: Bench, milliseconds: float = 1.0, problem: str | None = None) -> None:
        self._bench, self._milliseconds, self._problem = bench, milliseconds, problem
        self.costs: list[Recipe] = []

    def parameters(self, recipe: Recipe) -> int:
        return parameters(candidate_of(self._bench.job_of(recipe)))

    def cost(self, recipe: Recipe) -> Costs:
        self.costs.append(recipe)
        number, ms = float(self.parameters(recipe)), self._milliseconds
        timed = {"value": ms, "low": 0.9 * ms, "high": 1.1 * ms, "decided": True}
        return Costs(str(number), {"parameters": {"value": number}, "latency_ms": timed}, self._problem)

    def asked(self, recipe: Recipe, **budget: float) -> list[Recipe]:
        require_attainable(recipe, space_of(recipe), budget, self.parameters, self.cost)
        return self.costs


def searched(space: str) -> Recipe:
    return tiny.recipe(f"search={{space: {space}}}")


ALL = (
    "{student.model: [convnet, mobile], student.width: {low: 2, high: 12}, student.depth: [1, 2, 3], student.kernel: 3}"
)


def test_the_fewest_parameters_of_each_family_are_found_without_trying_all(bench: Bench) -> None:
    recipe = searched(ALL)
    asked = Asked(bench)
    with pytest.raises(BadInput) as refused:
        asked.asked(recipe, parameters=10)
    said = {(one.student.model, *sorted(one.student.knobs.items())) for one in asked.costs}
    small = {"depth": 1, "kernel": 3, "width": 2}
    known = [("convnet", small), ("mobile", small | {"expand": 1})]
    assert said == {(name, *sorted({**of, "downscale": by}.items())) for name, of in known for by in (1, 2)}
    least = min(asked.parameters(one) for one in asked.costs)
    assert (
        f"nothing fits the budget of 10 parameters: of 2 exports measured, the smallest parameters is {least}"
        in str(refused.value)
    )
    # one parameter more, and it is met; the first that meets it is enough
    assert len(Asked(bench).asked(recipe, parameters=float(max(map(asked.parameters, asked.costs))))) == 1


def test_a_latency_is_refused_only_where_it_is_clearly_above_its_limit(bench: Bench) -> None:
    recipe = searched(ALL)
    Asked(bench, milliseconds=CLEARLY * 0.05).asked(recipe, latency_ms=0.05)
    with pytest.raises(BadInput, match=r"the smallest latency_ms is 0\.12 "):
        Asked(bench, milliseconds=CLEARLY * 0.06).asked(recipe, latency_ms=0.05)
    few = searched(
        "{student.model: convnet, student.width: [2, 4], student.depth: 1, student.kernel: 3, student.downscale: 1}"
    )
    with pytest.raises(BadInput, match=r"of 2 exports measured, the smallest latency_ms is 0\.06 "):
        Asked(bench, milliseconds=0.06).asked(few, latency_ms=0.05)  # all there are, so there is no doubt


def test_in_doubt_nothing_is_refused(bench: Bench) -> None:
    Asked(bench, problem="it cannot be exported").asked(searched(ALL), parameters=10)
    # fields that are no sizes of which the modality knows that larger is more
    unknown = "{student.model: timm/resnet10t, student.drop_rate: {low: 0, high: 0.5}}"
    assert Asked(bench).asked(searched(unknown), parameters=10) == []


def test_among_families_of_texts_each_has_the_sizes_that_are_its_own(tmp_path: Path) -> None:
    """A recipe's layers and heads are no obstacle to kinds of student that have none."""
    text_runs.write(tmp_path)
    recipe = text_runs.recipe(tmp_path, "student.heads=2")
    made = {kind: recipe_with(recipe, {"student.model": kind}).student for kind in ("shrunk", "bag", "conv")}
    assert {kind: (one.layers, one.heads) for kind, one in made.items()} == {
        "shrunk": (1, 2),
        "bag": (None, None),
        "conv": (1, None),
    }
    with pytest.raises(BadInput, match=r"student\.heads: 2 was given, and a bag student has no attention heads"):
        text_runs.recipe(tmp_path, "student.heads=2", "student.model=bag")
