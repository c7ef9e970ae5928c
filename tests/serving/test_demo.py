"""Claims about the page on which a student answers beside its teacher, made in a real browser, of a folder without torch."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

pytest.importorskip("gradio")

from limbeck.errors import BadInput
from limbeck.evaluation.alignment import edits
from limbeck.modalities.image import predict as of_images
from limbeck.modalities.image.export import export_onnx, image_metadata
from limbeck.modalities.text import predict as of_texts
from limbeck.modalities.text.export import export_text_onnx, text_metadata
from limbeck.serving.demo import write_demo
from tests.helpers import sound_runs, spoken_runs, text_runs
from tests.helpers.chromium import browser
from tests.helpers.exported import small_network
from tests.helpers.tiny import environment
from tests.helpers.tiny_text import PIECES, SPECIAL, WORDS, tiny_classifier, tiny_tokenizer

HOSTILE = ("<img src=x onerror=\"document.title='stolen'\">", "${document.title='stolen'}", "{{html}}", "plain")
GREY = {"channels": 1, "height": 8, "width": 8, "mean": (0.3,), "std": (0.3,)}
# What the page may not import; run as the page itself is
ALONE = """
import runpy, sys
sys.modules.update(limbeck=None, torch=None, transformers=None)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a finished run of images leaves, its classes with hostile names."""
    run = tmp_path_factory.mktemp("images")
    recipe = {"task": "image-classification", "data": {"name": "digits"}, "teacher": {"model": "resnet20", "train": {}}}
    (run / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "student": {"model": "convnet"}}))
    for seed, role in enumerate(("teacher", "student")):
        said = image_metadata(name=f"tiny {role}", classes=HOSTILE, **GREY)
        export_onnx(small_network(1, seed=seed), run / f"{role}.onnx", said)
    return run


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = text_runs.write(tmp_path_factory.mktemp("texts"))
    recipe = yaml.safe_load((run / "tiny.yaml").read_text())
    recipe["data"]["name"], recipe["teacher"]["model"] = str(run / "data"), str(run / "teacher")
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    vocabulary = len(SPECIAL + WORDS + PIECES)
    for seed, role in enumerate(("teacher", "student")):
        classes: list[str] = [*text_runs.CLASSES]
        said = text_metadata(name=f"tiny {role}", classes=classes, vocabulary=vocabulary, max_length=24)
        model = tiny_classifier("bert", classes, seed, num_hidden_layers=1)
        (run / role).mkdir(exist_ok=True)
        export_text_onnx(model, tiny_tokenizer(), run / role / "model.onnx", said)
    return run


def of_sounds(folder: Path, helper: Any, network: str, classes: tuple[str, ...]) -> Path:
    """What a finished run of sounds leaves, its models untrained."""
    pytest.importorskip("soundfile")
    from limbeck.modalities.speech.export import export_onnx, sound_metadata
    from limbeck.modalities.speech.networks import build as built

    run = helper.write(folder)
    recipe = yaml.safe_load(helper.RECIPE)
    recipe["data"]["name"] = str(run / "data")
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    samples = None if "ctc" in network else 1000
    for seed, role in enumerate(("teacher", "student")):
        heard: dict[str, Any] = {"rate": helper.RATE, "samples": samples}
        model = built(network, {"width": 16, "depth": 1}, classes=len(classes), seed=seed, **heard).eval()
        said = sound_metadata(model, name=f"tiny {role}", classes=classes, task=recipe["task"], **heard)
        export_onnx(model, run / f"{role}.onnx", said)
    return run


@contextmanager
def opened(folder: Path) -> Iterator[Any]:
    """The demo of a folder in a browser; nothing of Limbeck or torch can be imported there."""
    with browser() as page:
        program = [sys.executable, "-u", "-c", ALONE, str(folder / "app.py")]
        serving = subprocess.Popen(
            program, cwd=folder.parent, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            assert serving.stdout is not None
            said = ""
            while not (found := re.search(r"http://127\.0\.0\.1:\d+", said)):
                line = serving.stdout.readline()
                assert line, said
                said += line
            page.goto(found[0])
            page.wait_for_selector("#answers .wait")
            yield page
        finally:
            serving.terminate()
            serving.wait(20)


def told(page: Any, verdict: str) -> dict[str, dict[str, float]]:
    """What each model answers, by class, once the page says so."""
    page.wait_for_selector(f"#answers .verdict:text-matches({json.dumps(verdict)})")
    return {
        role: {
            one.query_selector("span").text_content(): float(one.get_attribute("data-value"))
            for one in page.query_selector_all(f"#answers .{role} li")
        }
        for role in ("teacher", "student")
    }


def verdict_of(expected: dict[str, dict[str, float]]) -> str:
    teacher, student = (max(said, key=lambda name: said[name]) for said in expected.values())
    said = f"They agree: {teacher}." if teacher == student else f"the teacher says {teacher}, the student {student}."
    return re.escape(said).replace('"', '\\"')


def test_pictures_are_answered_side_by_side_and_what_is_none_gets_a_sentence(images: Path, tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    files = write_demo(images, demo)
    assert {"app.py", "asking.py", "demo.json", "README.md", "requirements.txt"} < set(files)
    shown = json.loads((demo / "demo.json").read_text())
    apart = []
    for example in shown["examples"]:
        said = [
            dict(of_images.predict(images / f"{role}.onnx", [demo / example["file"]], 4)[0].classes)
            for role in ("teacher", "student")
        ]
        apart.append(sum(abs(said[0][name] - said[1][name]) for name in HOSTILE))
    assert len(apart) == 12
    assert apart == sorted(apart, reverse=True)
    own = tmp_path / "own.png"
    Image.effect_noise((30, 20), 90).save(own)
    broken = tmp_path / "broken.png"
    broken.write_bytes(own.read_bytes()[:60])
    letter = tmp_path / "letter.png"
    letter.write_text("Dear <b>picture</b>")
    with opened(demo) as page:
        for file, how in ((own, "given"), (demo / shown["examples"][0]["file"], "chosen")):
            expected = {
                role: dict(of_images.predict(images / f"{role}.onnx", [file], 4)[0].classes)
                for role in ("teacher", "student")
            }
            if how == "given":
                page.set_input_files("input[type=file]", file)
            else:
                page.click("#shelf .thumbnail-item >> nth=0")
            found = told(page, verdict_of(expected))
            for role, said in expected.items():
                assert found[role] == pytest.approx(said, abs=1e-5), (file, role)
        assert page.title() == "tiny: a student beside its teacher"
        for file, said in (
            (broken, "broken.png cannot be read"),
            (letter, "letter.png is not an image, or it is damaged"),
        ):
            page.click("#picture button[aria-label='Remove Image']")
            page.wait_for_selector("#answers .wait")
            page.set_input_files("input[type=file]", file)
            page.wait_for_selector("#answers .problem")
            assert said in page.inner_text("#answers .problem")
            assert str(tmp_path) not in page.inner_text("#answers .problem")


def test_texts_are_answered_side_by_side(texts: Path, tmp_path: Path) -> None:
    write_demo(texts, tmp_path / "demo")
    shown = json.loads((tmp_path / "demo" / "demo.json").read_text())
    with opened(tmp_path / "demo") as page:
        for text, how in (("a VERY dull plot, unbright!", "given"), (shown["examples"][0]["texts"][0], "chosen")):
            expected = {
                role: dict(of_texts.predict(texts / role / "model.onnx", [text])[0].classes)
                for role in ("teacher", "student")
            }
            if how == "given":
                page.fill("textarea", text)
            else:
                page.click("[data-testid=dataset-cell-0-0]")
                page.wait_for_function("text => document.querySelector('textarea').value === text", arg=text)
                page.wait_for_timeout(300)
            found = told(page, verdict_of(expected))
            for role, said in expected.items():
                assert found[role] == pytest.approx(said, abs=1e-5), (text, role)


def test_sounds_are_answered_side_by_side_and_what_is_none_gets_a_sentence(tmp_path: Path) -> None:
    from limbeck.modalities.speech import demo as asking
    from limbeck.modalities.speech import predict

    names = (HOSTILE[3], *HOSTILE[:2])
    run = of_sounds(tmp_path / "run", sound_runs, "ds_cnn", names)
    write_demo(run, tmp_path / "demo")
    shown = json.loads((tmp_path / "demo" / "demo.json").read_text())
    own = sound_runs.write_wav(tmp_path / "own.wav", sound_runs.whistle(800, 5, seconds=0.4))
    letter = tmp_path / "letter.wav"
    letter.write_text("Dear <b>sound</b>")
    with opened(tmp_path / "demo") as page:
        for file in (own, tmp_path / "demo" / shown["examples"][0]["file"]):
            expected = {
                role: dict(predict.predict(run / f"{role}.onnx", [file], 3)[0].classes)
                for role in ("teacher", "student")
            }
            if file == own:
                page.set_input_files("input[type=file]", file)
            else:
                page.click("[data-testid=dataset-cell-0-0]")
            found = told(page, "^They (agree|differ)")
            for role, said in expected.items():
                assert found[role] == pytest.approx(said, abs=1e-5), (file, role)
            page.click("button[aria-label=Clear]")
            page.wait_for_selector("#answers .wait")
        assert page.title() == "tiny: a student beside its teacher"
    # not in the page, whose player complains of such a file in the console
    with pytest.raises(ValueError, match=r"^sound letter\.wav cannot be read: it is no WAV file"):
        asking.ask(asking.opened(run / "student.onnx"), letter)


def test_of_transcripts_those_are_shown_in_which_most_differs(tmp_path: Path) -> None:
    from limbeck.modalities.speech import predict

    run = of_sounds(tmp_path / "run", spoken_runs, "ds_ctc", ("", " ", "<b>", "b", "c"))
    write_demo(run, tmp_path / "demo")
    shown = json.loads((tmp_path / "demo" / "demo.json").read_text())
    apart = []
    for example in shown["examples"]:
        file = tmp_path / "demo" / example["file"]
        teacher, student = (
            predict.predict(run / f"{role}.onnx", [file])[0].texts[0][0] for role in ("teacher", "student")
        )
        apart.append(edits(student, teacher).all / max(len(teacher), len(student), 1))
        assert f"teacher {teacher or '(nothing)'} (" in example["caption"]
        assert f"student {student or '(nothing)'} (" in example["caption"]
    assert apart == sorted(apart, reverse=True)
    assert apart[0] > 0
    assert shown["examples"][0]["caption"][0] in "abc "  # what was said
    assert re.fullmatch(r"same transcript on [0-9.]+ % of 16 validation examples", shown["agreement"])


def test_the_folder_is_a_space(images: Path, tmp_path: Path) -> None:
    write_demo(images, tmp_path / "demo")
    _, front, _ = (tmp_path / "demo" / "README.md").read_text().split("---\n", 2)
    said = yaml.safe_load(front)
    assert (said["sdk"], said["app_file"]) == ("gradio", "app.py")
    assert len(said["short_description"]) <= 60
    assert (tmp_path / "demo" / "requirements.txt").read_text() == "numpy\nonnxruntime\npillow\n"
    write_demo(images, tmp_path / "demo")  # again, in its place
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(BadInput, match="already holds something"):
        write_demo(images, tmp_path / "other")
    with pytest.raises(BadInput, match="is not the folder of a run"):
        write_demo(tmp_path / "other", tmp_path / "demo2")


def test_without_a_teacher_the_student_answers_alone(images: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("recipe.yaml", "student.onnx"):
        (run / name).write_bytes((images / name).read_bytes())
    write_demo(run, tmp_path / "demo")
    told = json.loads((tmp_path / "demo" / "demo.json").read_text())
    assert (told["models"], told["examples"]) == ({"student": "student/student.onnx"}, [])
    (run / "student.onnx").unlink()
    with pytest.raises(BadInput, match="its student is not exported yet"):
        write_demo(run, tmp_path / "demo2")


def test_without_its_data_there_are_no_examples(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(images, tmp_path / "run"))
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "data": {"name": str(tmp_path / "gone")}}))
    write_demo(run, tmp_path / "demo")
    told = json.loads((tmp_path / "demo" / "demo.json").read_text())
    assert (set(told["models"]), told["examples"], told["agreement"]) == ({"teacher", "student"}, [], "")
    assert "no examples: " in capsys.readouterr().err
