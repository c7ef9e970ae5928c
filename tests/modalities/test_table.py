"""The table of tasks: what is said of a task that there is not, and of a modality whose libraries are missing."""

import pytest

from limbeck import modalities
from limbeck.errors import BadInput
from limbeck.recipe import read as recipe_file
from limbeck.sections.outline import Outline


def test_a_task_that_there_is_not_is_told_the_tasks_and_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"'text_classification' is not one of .* Did you mean 'text-classification'\?$"):
        recipe_file.from_dict({"task": "text_classification"})
    for task in ("classification", 3, ["text-classification"], None):
        with pytest.raises(
            BadInput, match=r"is not one of image-classification, image-regression, text-classification.*\.$"
        ):
            recipe_file.from_dict({"task": task})
    with pytest.raises(BadInput, match="is not one of"):
        modalities.outline_of("music")


def test_a_modality_whose_library_is_missing_says_what_to_install(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "sonar"
    folder.mkdir()
    (folder / "__init__.py").write_text("OUTLINES = {}")
    (folder / "modality.py").write_text("import a_library_of_sound")
    (folder / "draft.py").write_text("from . import nothing_of_this_name")
    outline = Outline("Sonar", "", "a", "ping", "pings", {}, "student.onnx", extra="sonar")
    monkeypatch.setattr(modalities, "__path__", [*modalities.__path__, str(tmp_path)])
    monkeypatch.setitem(modalities.TASKS, "sonar-classification", "sonar")
    monkeypatch.setattr(modalities, "outline_of", lambda task: outline)
    said = r"^models of pings need a_library_of_sound, which is not installed: pip install 'limbeck\[sonar\]'"
    with pytest.raises(BadInput, match=said):
        modalities.part_of("sonar-classification", "modality")
    with pytest.raises(ImportError, match="nothing_of_this_name"):  # a mistake of the folder's own is not covered up
        modalities.part_of("sonar-classification", "draft")
