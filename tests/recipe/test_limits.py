"""What no recipe should do to the program, whatever stands in it: only sentences come out, and soon."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.compare import file as comparison_file
from limbeck.compare.file import ComparisonFile
from limbeck.errors import BadInput
from limbeck.modalities.image.recipe import ImageRecipe
from limbeck.modalities.text.recipe import TextRecipe
from limbeck.recipe import read as recipe_file
from limbeck.recipe.reference import schema
from limbeck.recipe.sentences import field_paths

IMAGES = {
    "data": {"name": "digits", "transfer": {"name": "more"}},
    "views": {"pad_crop": 2, "resized_crop": {"scale": [0.5, 1.0]}},
    "teacher": {"model": "resnet20", "train": {"epochs": 2}, "preprocess": {"mean": [0.5], "std": [0.5]}},
    "targets": {"codec": {"topk": {"k": 4}}},
    "student": {"model": "convnet", "width": 8},
    "objective": {"kd": {"weight": {"linear": {"start": 0, "end": 1}}}, "fitnets": {"student": "a", "teacher": "b"}},
}
ENSEMBLE = {**IMAGES, "teacher": {"ensemble": [{"model": "resnet20", "train": {}}, {"onnx": "a.onnx"}]}}
TEXTS = {
    "task": "text-classification",
    "data": {"name": "a.csv", "label": ["a", "b"]},
    "teacher": {"model": "owner/model"},
    "student": {"model": "shrunk", "layers": [0, 1]},
    "objective": {"minilm": {"layer_map": [[0, 1]]}, "binary_cross_entropy": {}},
}
BASES = (IMAGES, ENSEMBLE, TEXTS)
COMPARISON = {
    "recipe": "base.yaml",
    "objectives": {"kd": {"kd": {}, "cross_entropy": {}}, "dist": {"dist": {}}},
    "students": {"small": {"model": "convnet", "width": 4}},
    "sweep": {"settings": {"kd": [["kd.temperature=2"], ["kd.temperature=3"], ["kd.temperature=4"]]}},
}
PATHS = sorted({*field_paths(ImageRecipe), *field_paths(TextRecipe), *field_paths(ComparisonFile)})
# Text as it stands in a file: each has ended in a traceback or in no end at all, here or elsewhere.
TEXT = [
    "!!bool x", '!!int ""', "!!int", "!!float x", "!!timestamp x", "!!timestamp 2020-01-01", "!!binary x", "!!binary AA==",
    "!!set {a}", "!!omap [a]", "!!omap [{a: 1}]", "!!pairs [a]", "!!pairs x", "!!map x", "!!seq x", "!!str [a]", "!!null x",
    "!!python/name:os.system", "!local x", "!<tag:yaml.org,2002:bool> x", "0x" + "f" * 5000, "0x" + "f" * 90, "9" * 5000,
    "9" * 90, "1:" * 3000 + "1", "0b" + "1" * 5000, "1e400", "-1e400", ".nan", "1e308", "10**21", str(10**21), str(-(10**21)),
    str(2**63), "2020-01-01", '"\\0"', '"\\ud800"', '"\\x1b[2J"', "[" * 200, "{a: " * 200, "&a [*a]", "&a {<<: *a}", "{<<: 1}",
    "{<<: [1]}", "*nothing", "? ?", "=", "<<", "{=: 1}", "''", "[[], {}]", "yes", "0o17", "017", "1_000", "_", "+", "-.inf",
]  # fmt: skip

leaves = (
    st.none() | st.booleans() | st.integers() | st.sampled_from([10**21, -(10**21), 2**63, 10**4299, 0, -1, 999_999])
    | st.floats() | st.text(max_size=8) | st.sampled_from(["x" * 5000, "\0", "\ud800", "../..", "a:b", "timm/", "a b", ""])
)  # fmt: skip
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(leaves | st.text(max_size=3), inner, max_size=2), max_leaves=4)  # fmt: skip


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Where something stands in a recipe, every depth of it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))][bool(path) ^ 1 :]


def changed(base: Any, path: tuple, value: Any) -> Any:
    """``base`` with another value at ``path``; sections on the way are made where there are none."""
    if not path:
        return value
    first, *rest = path
    if isinstance(base, list) and isinstance(first, int) and first < len(base):
        return [*base[:first], changed(base[first], tuple(rest), value), *base[first + 1 :]]
    inside = base if isinstance(base, dict) else {}
    return {**inside, first: changed(inside.get(first), tuple(rest), value)}


def only_sentences(what: Any) -> None:
    began = time.monotonic()
    with contextlib.suppress(BadInput):
        what()
    assert time.monotonic() - began < 5


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_value_anywhere_in_a_recipe_is_taken_or_refused_in_a_sentence(data: st.DataObject) -> None:
    base = data.draw(st.sampled_from(BASES))
    inside = st.sampled_from(places(base))
    anywhere = st.sampled_from([tuple(path.split(".")) for path in PATHS])
    recipe = base
    for _ in range(data.draw(st.integers(1, 3))):
        recipe = changed(recipe, data.draw(inside | anywhere), data.draw(values))
    only_sentences(lambda: recipe_file.from_dict(recipe))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(BASES), st.sampled_from(PATHS), st.sampled_from(TEXT) | st.text(max_size=12))
def test_any_text_behind_set_is_taken_or_refused_in_a_sentence(base: dict, path: str, text: str) -> None:
    only_sentences(lambda: recipe_file.from_dict(recipe_file.apply_overrides(base, [f"{path}={text}"])))


@pytest.mark.parametrize(("number", "text"), enumerate(TEXT))
def test_no_text_in_a_file_ends_in_anything_but_a_sentence(tmp_path: Path, number: int, text: str) -> None:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(IMAGES))
    for base in (*BASES, COMPARISON):
        read = comparison_file.read if base is COMPARISON else recipe_file.read
        for place in places(base)[number % 5 :: 5]:
            path = tmp_path / "mine.yaml"
            marked = yaml.safe_dump(changed(base, place, "HERE"))
            path.write_text(marked.replace("HERE", text), encoding="utf-8", errors="surrogatepass")
            only_sentences(lambda read=read, path=path: read(path))


def test_maps_merged_into_maps_cannot_unfold_into_millions(tmp_path: Path) -> None:
    lines = ["a0: &a0 {x: 1, y: 2, z: 3}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 12)]
    (tmp_path / "mine.yaml").write_text("\n".join(lines))
    began = time.monotonic()
    with pytest.raises(BadInput, match=r"mine\.yaml"):
        recipe_file.read(tmp_path / "mine.yaml")
    assert time.monotonic() - began < 5


def test_a_file_without_end_and_a_file_that_is_too_large_are_refused(tmp_path: Path) -> None:
    for path in (Path("/dev/zero"), tmp_path / "large.yaml"):
        if path.parent == tmp_path:
            path.write_bytes(b"#" * 1_000_001)
        with pytest.raises(BadInput, match="holds more than 1,000,000 bytes"):
            recipe_file.read(path)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("seeds=1000000000000000000000", "seeds: 1000000000000000000000 was given; it must be at most 1,000"),
        ("seeds=1001", "seeds: 1001 was given; it must be at most 1,000"),
        ("train.epochs=1000001", "train.epochs: 1000001 was given; it must be at most 1,000,000"),
        ("train.learning_rate=1e7", "train.learning_rate: 10000000.0 was given; it must be at most 1,000,000"),
        ("data.size=8193", "data.size: 8193 was given; it must be at most 4,096"),
        ("objective.kd.temperature=1e300", "objective.kd.temperature: 1e+300 was given; it must be at most 1,000,000"),
        ("train.epochs=!!bool x", "'!!bool x' is not a value ('x' is no bool)"),
        ('train.epochs=!!int ""', "('' is no int)"),
        ("data.name=!!timestamp x", "('x' is no timestamp)"),
        (f"train.epochs=0x{'f' * 5000}", "(a number of 5002 characters)"),
        ('data.name="\\0"', "text must hold neither null characters nor half characters"),
        (f"name={'a' * 201}", "it must have at most 200 characters"),
    ],
)  # fmt: skip
def test_what_is_beyond_all_use_is_named(override: str, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        recipe_file.from_dict(recipe_file.apply_overrides(IMAGES, [override]))
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 500


def numbers(node: Any, path: str = "") -> dict[str, dict]:
    """Every number of a JSON schema, by where it stands."""
    if isinstance(node, list):
        return {k: v for i, inner in enumerate(node) for k, v in numbers(inner, f"{path}/{i}").items()}
    if not isinstance(node, dict):
        return {}
    own = {path: node} if node.get("type") in ("integer", "number") and "enum" not in node else {}
    return own | {k: v for key, inner in node.items() for k, v in numbers(inner, f"{path}/{key}").items()}


def test_every_number_in_the_schema_has_two_bounds() -> None:
    found = numbers(schema()) | numbers(ComparisonFile.model_json_schema(), "comparison")
    assert len(found) > 120
    open_ = [
        path
        for path, node in found.items()
        if not ({"minimum", "exclusiveMinimum"} & {*node} and {"maximum", "exclusiveMaximum"} & {*node})
    ]
    assert open_ == []
    assert json.dumps(found)  # plain JSON
