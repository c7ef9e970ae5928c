"""Claims about what a page gives a model: to the bit what predict.py gives it. Run by node, without a browser."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from PIL import Image
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from limbeck.errors import BadInput
from limbeck.modalities.image import predict as of_images
from limbeck.modalities.text import predict as of_texts
from limbeck.serving import npm
from tests.helpers.exported import COLOUR
from tests.helpers.tiny_text import tiny_tokenizer

FORMS = {
    "grey": {"channels": 1, "height": 12, "width": 12, "mean": (0.3,), "std": (0.3,)},
    "grey12": {"channels": 1, "height": 12, "width": 12, "mean": (0.3,), "std": (0.3,), "bits": 12, "background": 200},
    "colour": COLOUR,
    "wide": {**COLOUR, "width": 20, "background": 255, "crop": {"rows": [2, 12], "columns": [1, 14]}},
}


def node(page: Path, examples: list[Any]) -> list[dict[str, Any]]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    (page / "package.json").write_text('{"type": "module"}')
    program = [node, str(Path(__file__).with_name("front_end.mjs")), str(page)]
    ran = subprocess.run(program, input=json.dumps(examples), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def noise(height: int, width: int, channels: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)


def smooth(height: int, width: int) -> Image.Image:
    return noise(6, 9, 3, seed=4).resize((width, height), Image.Resampling.BICUBIC)


def written(folder: Path) -> list[Path]:
    """Pictures of every kind that PNG and JPEG have, larger, smaller and of other shape than the model's."""
    turned = Image.Exif()
    turned[0x0112] = 6
    alpha = noise(20, 14, 1, seed=9)
    kinds: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "grey.png": (noise(40, 25, 1), {}),
        "tiny.png": (noise(5, 5, 3), {}),
        "same.png": (noise(12, 12, 3), {}),
        "long.png": (noise(13, 300, 3), {}),
        "rgb.png": (noise(31, 14, 3), {"exif": turned}),  # of a PNG it is not turned by
        "rgba.png": (Image.merge("RGBA", [*noise(20, 14, 3).split(), alpha]), {}),
        "opaque.png": (noise(20, 14, 3).convert("RGBA"), {}),
        "la.png": (Image.merge("LA", [noise(20, 14, 1), alpha]), {}),
        "palette.png": (noise(20, 14, 3).quantize(16), {}),
        "palette200.png": (noise(40, 34, 3).quantize(200), {"transparency": 3}),
        "bilevel.png": (noise(20, 15, 1).convert("1"), {}),
        "key.png": (smooth(20, 15).convert("L").quantize(8).convert("L"), {"transparency": 128}),
        "keyed.png": (Image.fromarray(np.asarray(noise(20, 15, 1)) & 192), {"transparency": 64}),
        "sixteen.png": (Image.fromarray(np.random.default_rng(0).integers(0, 65536, (20, 14), dtype=np.uint16)), {}),
        "photo.jpg": (smooth(61, 47), {"quality": 90}),
        "progressive.jpg": (smooth(64, 48), {"progressive": True, "quality": 60}),
        "noise.jpg": (noise(33, 47, 3), {"subsampling": 0}),
        "turned.jpg": (smooth(35, 50), {"exif": turned}),
        "grey.jpg": (smooth(40, 30).convert("L"), {}),
    }
    for name, (image, how) in kinds.items():
        image.save(folder / name, **how)
    return [folder / name for name in kinds]


def said_otherwise(page: Path, folder: Path, **given: Any) -> tuple[Path, dict[str, Any]]:
    """The page again, whose model says something else of its input, and all that it says."""
    again = Path(shutil.copytree(page, folder / "page", copy_function=os.link))
    told = json.loads((page / "model.json").read_text())
    told["said"]["input"] = {**given, "scale": "0-1"} if "mean" in given else {**told["said"]["input"], **given}
    (again / "model.json").unlink()
    (again / "model.json").write_text(json.dumps(told))
    return again, told["said"]


@pytest.mark.parametrize("form", list(FORMS))
def test_a_picture_becomes_in_javascript_what_predict_makes_of_it(form: str, pictures: Path, tmp_path: Path) -> None:
    plain = {name: list(one) if isinstance(one, tuple) else one for name, one in FORMS[form].items()}
    page, said = said_otherwise(pictures, tmp_path, **plain)
    metadata = of_images.parse_metadata(said)
    files = written(tmp_path)
    for file, made in zip(files, node(page, [str(file) for file in files]), strict=True):
        if metadata.rows and min(Image.open(file).size) < 13:  # fewer than are kept
            assert "the model sees what lies within" in made["error"]
            continue
        expected = of_images.preprocess(of_images.read_image(file), metadata)
        ours = np.array(made["image"]["data"], np.float32).reshape(made["image"]["dims"])[0]
        np.testing.assert_array_equal(ours, expected, err_msg=file.name)


def test_what_is_no_picture_gets_a_sentence(pictures: Path, tmp_path: Path) -> None:
    noise(30, 30, 3).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    broken = {"text.png": b"not a picture", "cut.png": whole[:200], "empty.jpg": b"", "head.jpg": b"\xff\xd8\xff\xe0"}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    for name, made in zip(broken, node(pictures, [str(tmp_path / name) for name in broken]), strict=True):
        assert made["error"].startswith(f"{name} cannot be read: it is not an image, or it is damaged"), made


TEXTS = [
    "the film is good",
    "A VERY dull plot, and... unbright!",
    "Übergröße naïve café 電影 👟 \u202e x",
    "  spaces\tand\nlines  ",
    "[CLS] the [MASK] film [SEP]",
    "bad " * 60,
    "?",
]
TURNS = [*TEXTS, "the film", "good"]


def byte_level() -> tokenizers.Tokenizer:
    """As RoBERTa's."""
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>", "<pad>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    made.train_from_iterator(TEXTS * 3, trainer)
    made.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return made


def unigram() -> tokenizers.Tokenizer:
    """As ALBERT's and T5's."""
    made = tokenizers.Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator(TEXTS * 3, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B:1 </s>:1", special_tokens=[("</s>", 1)]
    )
    return made


KINDS = {"wordpiece": lambda: tiny_tokenizer().backend_tokenizer, "byte level": byte_level, "unigram": unigram}


@pytest.mark.parametrize("direction", ["right", "left"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_text_becomes_in_javascript_the_tokens_of_predict(
    kind: str, direction: Any, texts: Path, tmp_path: Path
) -> None:
    tokenizer = KINDS[kind]()
    tokenizer.enable_truncation(24, direction=direction)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    one = of_texts.Metadata("", (), False, 24, 10_000, "tokenizer.json", segments=True)
    page, _ = said_otherwise(texts, tmp_path, names=names, max_length=24)
    (page / "tokenizer.json").unlink()
    tokenizer.save(str(page / "tokenizer.json"))
    for given, metadata in ((TEXTS, one), (list(zip(TURNS, TURNS[::-1])), one._replace(pair=("a", "b")))):
        made = node(page, [[text] if isinstance(text, str) else list(text) for text in given])
        opened = of_texts.open_tokenizer(page / "tokenizer.json", metadata)
        for text, ours in zip(given, made, strict=True):
            expected = of_texts.model_inputs(opened, [text], metadata)
            assert {name: column["data"] for name, column in ours.items()} == {
                name: expected[name][0].tolist() for name in names
            }, text


def test_a_tarball_that_is_not_the_one_that_is_pinned_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    package = npm.PACKAGES["iobuffer"]
    npm.cache().mkdir(parents=True)
    (npm.cache() / package.tarball).write_bytes(b"another")
    with pytest.raises(BadInput, match="is not the one that is known"):
        npm.folder_of(package)
    assert [file.name for file in npm.cache().iterdir()] == [package.tarball]
    (npm.cache() / package.tarball).unlink()
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9/")
    with pytest.raises(BadInput, match=r"run npm pack iobuffer@6\.0\.1, and put iobuffer-6\.0\.1\.tgz into"):
        npm.folder_of(package)
