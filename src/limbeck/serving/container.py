"""The files of a container that serves a model: a Dockerfile, what to install, the server and the model. Neither Limbeck nor torch is in it"""

from __future__ import annotations

import importlib.metadata
import json
import platform
from pathlib import Path
from shutil import copyfile
from types import ModuleType

from ..deploy.standalone import write_standalone
from ..errors import BadInput
from ..files import atomic_folder
from .settings import Settings

NEEDS = ("fastapi", "prometheus-client", "python-multipart", "uvicorn")
PORT = 8000
DOCKERFILE = """\
# docker build -t {name} . && docker run --rm -p {port}:{port} {name}
FROM python:{python}-slim
WORKDIR /srv
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
USER 65534
EXPOSE {port}
HEALTHCHECK --interval=10s --timeout=5s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/healthz')"]
CMD {command}
"""


def write_container(does: ModuleType, settings: Settings, folder: Path) -> None:
    """Writes the files into a folder that is not there yet, or empty; ``does`` is the modality's ``serve``.

    Raises :class:`BadInput` where a model cannot be used, or the folder holds something.
    """
    with atomic_folder(folder) as here:
        student = _copied(does, settings.model, here / "student")
        command = ["python", "server.py", student, "--host", "0.0.0.0", "--port", str(PORT)]
        command += [
            "--batch",
            str(settings.batch),
            "--wait-ms",
            f"{settings.wait_ms:g}",
            "--max-mb",
            f"{settings.max_mb:g}",
        ]
        if settings.max_size is not None:
            command += ["--max-size", str(settings.max_size)]
        if settings.teacher is not None:
            teacher = _copied(does, settings.teacher, here / "teacher")
            command += ["--teacher", teacher, "--threshold", repr(settings.threshold)]
        write_standalone(f"{__package__}.server", here / "server.py")
        write_standalone(does.__name__, here / "modality.py")
        lines = [f"{name}=={importlib.metadata.version(name)}\n" for name in (*does.NEEDS, *NEEDS)]
        (here / "requirements.txt").write_text("".join(lines), encoding="utf-8")
        python = ".".join(platform.python_version_tuple()[:2])
        written = DOCKERFILE.format(name="student", port=PORT, python=python, command=json.dumps(command))
        (here / "Dockerfile").write_text(written, encoding="utf-8")


def _copied(does: ModuleType, model: Path, to: Path) -> str:
    """Copies a model and what must lie beside it; its path as seen from the container's folder."""
    try:
        beside = does.beside(does.opened(model))
    except ValueError as error:
        raise BadInput(str(error)) from None
    to.mkdir()
    for name in (model.name, *beside):
        copyfile(model.parent / name, to / name)
    return f"{to.name}/{model.name}"
