"""A licence is what a card says, and unknown where none says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.deploy.licence import licence_of
from limbeck.pipeline.licences import licences
from limbeck.recipe.read import from_dict


def card(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\nlicense: apache-2.0\n---\n# A model\n", "apache-2.0"),
        ("---\nlicense: [mit, cc-by-4.0]\n---\n", "mit, cc-by-4.0"),
        ("---\ntags: [x]\n---\n", None),
        ("# No front matter: license: mit\n", None),
        ("---\nlicense: {a: b}\n---\n", None),
        ("---\nlicense: [unclosed\n---\n", None),
        ("---\nlicense: 3\n---\n", None),
    ],
)
def test_what_a_card_says(tmp_path: Path, text: str, expected: str | None) -> None:
    folder = card(tmp_path / "model", text)
    assert licence_of(folder) == licence_of(folder, data=True) == expected
    (folder / "model.onnx").write_bytes(b"")
    assert licence_of(folder / "model.onnx") == expected
    assert licence_of(tmp_path / "nowhere") is None
    assert licence_of("digits", data=True) is None  # which is asked nobody
    assert licence_of("package:no_such_package/model") is None


def test_a_run_names_the_licence_of_every_teacher_and_source(tmp_path: Path) -> None:
    model = card(tmp_path / "model", "---\nlicense: mit\n---\n")
    data = card(tmp_path / "data", "---\nlicense: cc-by-sa-3.0\n---\n")
    (data / "train.csv").write_text("text,label\n")
    teacher = {"ensemble": [{"model": str(model)}, {"onnx": str(model / "a.onnx"), "license": "bsd-3-clause"}]}
    recipe = from_dict(
        {
            "task": "text-classification",
            "data": {"name": str(data), "transfer": {"name": str(data / "train.csv"), "license": "odc-by"}},
            "teacher": teacher,
            "student": {"model": "bag"},
        }
    )
    found = licences(recipe)
    assert [(one["license"], one["trained_here"]) for one in found["teacher"]] == [
        ("mit", False),
        ("bsd-3-clause", False),
    ]
    assert [one["license"] for one in found["data"]] == ["cc-by-sa-3.0", "odc-by"]
    images = from_dict(
        {
            "data": {"name": "digits"},
            "teacher": {"model": "resnet20", "train": {}},
            "student": {"model": "convnet"},
        }
    )
    assert licences(images) == {
        "teacher": [{"name": "resnet20", "license": None, "trained_here": True}],
        "data": [{"name": "digits", "license": None}],
    }
