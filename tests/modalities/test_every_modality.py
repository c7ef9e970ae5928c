"""Every task in the table is whole, and so is every recipe that comes with Limbeck."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from limbeck import modalities
from limbeck.compare import file as comparison_file
from limbeck.modalities import TASKS
from limbeck.recipe import read as recipe_file
from limbeck.sections.recipe import Recipe
from tests.helpers import tiny
from tests.helpers.battery import Battery

RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_that_comes_along_is_right(path: Path) -> None:
    compares = "rows" in recipe_file.values_in(path) or "objectives" in recipe_file.values_in(path)
    read = comparison_file.read(path).recipe if compares else recipe_file.read(path)
    assert read.task in TASKS


def test_no_task_is_left_out() -> None:
    proven = {one.task for one in Battery.__subclasses__()}
    assert proven >= set(TASKS), "derive a class of tests from tests.helpers.battery.Battery for it"


class TestImageClassification(Battery):
    task = "image-classification"

    @pytest.fixture(scope="class")
    def recipe(self) -> Recipe:
        return tiny.recipe("views={shift: 0.1}", "student.width=6")


class TestImageRegression(Battery):
    task = "image-regression"

    @pytest.fixture(scope="class")
    def recipe(self) -> Recipe:
        tiny_one = {"model": "convnet", "width": 4}
        return recipe_file.from_dict(
            {
                "task": self.task,
                "data": {"name": "digits_turned", "limit": 200},
                "views": {"shift": 0.1},
                "teacher": {**tiny_one, "width": 6, "train": {"epochs": 1}},
                "student": tiny_one,
                "train": {"epochs": 1},
            }
        )


class TestTextClassification(Battery):
    task = "text-classification"

    @pytest.fixture(scope="class")
    def recipe(self, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
        pytest.importorskip("transformers")
        from tests.helpers import text_runs

        folder = text_runs.write(tmp_path_factory.mktemp("texts"))
        return text_runs.recipe(folder, "views={replace: 0.3}", "student={model: bag}")


class TestAudioClassification(Battery):
    task = "audio-classification"

    @pytest.fixture(scope="class")
    def recipe(self, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
        pytest.importorskip("soundfile")
        from tests.helpers import sound_runs

        return sound_runs.recipe(sound_runs.write(tmp_path_factory.mktemp("sounds")))


class TestSpeechRecognition(Battery):
    task = "automatic-speech-recognition"

    @pytest.fixture(scope="class")
    def recipe(self, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
        pytest.importorskip("soundfile")
        from tests.helpers import spoken_runs

        return spoken_runs.recipe(spoken_runs.write(tmp_path_factory.mktemp("spoken")), "views={shift: 0.05, gain: 6}")


class TestControl(Battery):
    task = "control"

    @pytest.fixture(scope="class")
    def recipe(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recipe]:
        pytest.importorskip("highway_env")
        from tests.helpers import drives

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
            yield drives.recipe()


class TestPoints(Battery):
    task = "point-classification"

    @pytest.fixture(scope="class", autouse=True)
    def in_the_table(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(modalities.TASKS, self.task, "tests.modalities.toy")
            yield

    @pytest.fixture(scope="class")
    def recipe(self, in_the_table: None) -> Recipe:
        return recipe_file.from_dict(
            {"task": self.task, **modalities.outline_of(self.task).smallest, "views": {"width": 0.2}}
        )
