"""A folder of static files with which an exported model answers in a browser, without a server"""

from __future__ import annotations

import hashlib
import json
import shutil
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

from ...deploy.metadata import said_by
from ...deploy.on_device import FILES, WEB, digest_of
from ...deploy.profile import PROFILE_VERSION
from ...errors import BadInput
from ...files import atomic_folder
from ...modalities import DEFAULT_TASK, TASKS, outline_of, part_of
from .. import npm

RUNTIME = "onnxruntime-web"
MODEL, WORKER = "model.json", "service-worker.js"
_OTHERS = (WORKER, "candidates.html", "candidates.js")  # which are written otherwise, or of the other page


def write_page(model: Path, out: Path) -> list[str]:
    """Writes a page on which ``model``, an exported ONNX file, answers in the browser, into the folder ``out``.

    In it: the page, the model with what lies beside it, ``model.json`` (what the model says of itself, and what a profile
    measured there says of it), and the libraries in ``lib``. Any server of static files will do; a service worker keeps all of
    it for when there is no network. A page that an earlier call wrote is replaced.

    Returns the names of its files. Raises :class:`limbeck.errors.BadInput` for a file that is no model of ours, a model whose
    inputs no page can make, a folder that holds something else, or libraries that cannot be fetched.
    """
    said, front = _said(model), _front_end_of(model)
    task = said["task"]
    libraries = npm.with_needs((RUNTIME, *front.LIBRARIES))
    for package in libraries:
        npm.folder_of(package)
    ours = all((out / name).is_file() for name in (MODEL, WORKER, "page.js"))
    with atomic_folder(out, replace=ours) as folder:
        for part in (resources.files(__name__) / "page", resources.files(front)):
            for file in part.iterdir():
                if file.name not in _OTHERS and file.name.endswith((".js", ".html", ".css")):
                    (folder / file.name).write_bytes(file.read_bytes())
        for name in (model.name, *front.beside(said)):
            shutil.copyfile(model.parent / name, folder / name)
        (folder / MODEL).write_text(
            json.dumps(
                {
                    "file": model.name,
                    "bytes": model.stat().st_size,
                    "task": outline_of(task).title,
                    "said": said,
                    "digest": digest_of(model),
                    "runtime": WEB,
                    "version": npm.PACKAGES[RUNTIME].version,
                    "profile_version": PROFILE_VERSION,
                    "of": FILES,
                },
                indent=1,
            ),
            encoding="utf-8",
        )
        for package in libraries:
            npm.written(package, folder / "lib")
        (folder / "lib" / "README.txt").write_text(told_of(libraries), encoding="utf-8")
        _write_worker(folder)
        return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def _said(model: Path) -> dict[str, Any]:
    """What a model's file says of itself, once ``predict.py`` has found nothing wrong with it."""
    task = said_by(model).get("task")
    does = part_of(task if task in TASKS else DEFAULT_TASK, "predict")
    try:
        does.read_metadata(does.open_model(model), model)
    except ValueError as error:  # the modules stand alone, so they know no errors of ours
        raise BadInput(str(error)) from None
    said = said_by(model)
    if not isinstance(said.get("inputs"), dict):
        raise BadInput(f"{model} does not say what its inputs are, as exports of this version do: export it again.")
    return said


def _front_end_of(model: Path) -> ModuleType:
    task = said_by(model)["task"]
    try:
        return part_of(task, "in_browser")
    except ModuleNotFoundError:
        raise BadInput(
            f"{model} takes {outline_of(task).examples}, which no page in a browser can give it yet."
        ) from None


def told_of(libraries: list[npm.Package]) -> str:
    """What a page is made with, and under which licences."""
    lines = [f"{one.name} {one.version}, {one.license}, https://www.npmjs.com/package/{one.name}" for one in libraries]
    return "\n".join(["What this page is made with, from npm, as it is there:", "", *lines, ""])


def _write_worker(folder: Path) -> None:
    """The service worker, told of every file, and of a digest of them all, so that a page written anew is fetched anew."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(folder)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    names = ["./", *(file.relative_to(folder).as_posix() for file in files)]
    source = (resources.files(__name__) / "page" / WORKER).read_text(encoding="utf-8")
    source = source.replace("{{digest}}", digest.hexdigest()[:16]).replace("{{files}}", json.dumps(names))
    (folder / WORKER).write_text(source, encoding="utf-8")
