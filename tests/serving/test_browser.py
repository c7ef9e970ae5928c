"""Claims about the page on which a model answers in the browser, made in a real one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from limbeck.deploy.on_device import digest_of
from limbeck.errors import BadInput
from limbeck.modalities.image import predict as of_images
from limbeck.modalities.text import predict as of_texts
from limbeck.pipeline.device import read_device
from limbeck.searching.device import read_profile
from limbeck.searching.precision import formats_in
from limbeck.searching.to_device import for_device, write_candidates
from limbeck.serving import npm
from limbeck.serving.browser.candidates import write_candidates_page
from tests.helpers.chromium import browser, served
from tests.helpers.exported import HOSTILE
from tests.helpers.tiny import recipe

READY = "#status:text-is('Ready.')"


def told(page: Any) -> dict[str, float]:
    """What the page answers, by class, once it does."""
    page.wait_for_selector("#answers li, #problem:not([hidden])")
    assert page.is_hidden("#problem"), page.inner_text("#problem")
    items = page.query_selector_all("#answers li")
    found = [(one.query_selector(".named").text_content(), float(one.get_attribute("data-value"))) for one in items]
    page.evaluate("document.getElementById('answers').replaceChildren()")  # so that the next answer is waited for
    return dict(found)


def test_pictures_are_answered_as_predict_does_without_a_network_too_and_the_profile_is_measured(
    pictures: Path, tmp_path: Path
) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize((50, 40))
    files = [tmp_path / name for name in ("a.png", "a.jpg", "a.webp", "a.bmp", "a.gif")]
    for file in files:
        image.save(file, lossless=True)  # which WebP alone knows
    expected = {
        one.image: dict(one.classes) for one in of_images.predict(pictures / "student.onnx", files, top=len(HOSTILE))
    }
    (tmp_path / "letter.png").write_text("Dear <b>picture</b>")
    with browser() as page, served(pictures) as (address, server):
        page.goto(address)
        page.wait_for_selector(READY)
        for file in files:
            page.set_input_files("input[type=file]", file)
            answers = told(page)
            assert answers == pytest.approx(expected[file], abs=1e-5), file.name
            assert list(answers.values()) == sorted(answers.values(), reverse=True)
        page.set_input_files("input[type=file]", tmp_path / "letter.png")
        page.wait_for_selector("#problem:not([hidden])")
        assert page.inner_text("#problem").startswith("letter.png cannot be read: it is not an image, or it is damaged")
        page.click("#measure")
        page.wait_for_selector("#profile:not([hidden])")
        with page.expect_download() as download:
            page.click("#profile")
        download.value.save_as(tmp_path / "profile.json")
        page.wait_for_selector("#offline:text-is('works')")
        server.shutdown()
        server.server_close()
        page.reload()
        page.wait_for_selector(READY)
        page.set_input_files("input[type=file]", files[0])
        assert told(page) == pytest.approx(expected[files[0]], abs=1e-5)
        assert page.inner_text("#size") == f"{(pictures / 'student.onnx').stat().st_size / 1000:.3g} KB"
        assert page.query_selector_all("main script, main b script") == []
    profile = read_device(tmp_path / "profile.json")  # as limbeck report --device does
    version = npm.PACKAGES["onnxruntime-web"].version
    assert (profile["runtime"], profile["version"]) == ("onnxruntime-web, WebAssembly", version)
    assert "Chrom" in profile["processor"]
    digest = digest_of(pictures / "student.onnx")
    assert profile["what"] == {digest: "student.onnx"}
    figures = profile["figures"][digest]
    assert 0 < figures["latency_ms"]["low"] <= figures["latency_ms"]["value"] <= figures["latency_ms"]["high"]
    assert figures["size_kb"]["value"] == (pictures / "student.onnx").stat().st_size / 1000


def test_texts_are_answered_as_predict_does(texts: Path) -> None:
    some = ["the film is good", "a VERY dull plot, unbright!", "bad " * 60, "Ünbekannt 👟"]
    with browser() as page, served(texts) as (address, _):
        page.goto(address)
        page.wait_for_selector(READY)
        for one in of_texts.predict(texts / "model.onnx", some):
            page.fill("textarea", str(one.text))
            assert told(page) == pytest.approx(dict(one.classes), abs=1e-5), one.text


def test_all_candidates_of_a_search_are_measured_for_a_profile_that_it_takes(tmp_path: Path) -> None:
    wanted = recipe("search={budget: {size_kb: 1000}, space: {student.model: convnet, student.width: [3, 20]}}")
    told = write_candidates(wanted, tmp_path / "candidates", most=1)
    try:
        write_candidates_page(tmp_path / "candidates", tmp_path / "page")
    except BadInput as error:
        if "cannot be fetched" not in str(error):
            raise
        pytest.skip(f"npm's registry is out of reach: {error}")
    with browser() as page, served(tmp_path / "page") as (address, _):
        page.goto(address)
        page.click("#measure:not([disabled])")
        page.wait_for_selector("#measure:text-is('Measured')", timeout=300_000)
        with page.expect_download() as download:
            page.click("#profile")
        download.value.save_as(tmp_path / "profile.json")
    profile = read_profile(tmp_path / "profile.json", ("latency_ms", "size_kb"))
    assert profile.about["runtime"] == "onnxruntime-web, WebAssembly"
    assert profile.failed == {}
    for name, one in told["candidates"].items():  # in float32 and in 8 bits
        size = (tmp_path / "candidates" / one["file"]).stat().st_size / 1000
        assert profile.figures[name]["size_kb"]["value"] == size
        assert 0 < profile.figures[name]["latency_ms"]["value"] < 1000
    assert formats_in(for_device(wanted, profile)) == ("onnx", "onnx-int8")
    with pytest.raises(BadInput, match=r"it does not say memory_mb"):
        read_profile(tmp_path / "profile.json", ("memory_mb",))
