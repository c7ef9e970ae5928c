"""JavaScript libraries from npm, fetched once, held to a digest that is pinned here, and kept in a cache."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import tarfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from .. import progress
from ..errors import BadInput
from ..files import atomic_folder

REGISTRY = "https://registry.npmjs.org"
SECONDS = 60


@dataclass(frozen=True)
class Package:
    """A package of npm in one version.

    Attributes:
        name: of it.
        version: likewise.
        sha512: of its tarball, in base64, as the registry's ``dist.integrity`` says it.
        files: that are kept of it, as a pattern that the whole name matches.
        license: of it.
        needs: packages that it imports by their bare names, each with the file that such a name stands for.
    """

    name: str
    version: str
    sha512: str
    files: str
    license: str
    needs: tuple[tuple[str, str], ...] = ()

    @property
    def tarball(self) -> str:
        """The name of its tarball, as the registry and ``npm pack`` have it."""
        return f"{self.name.split('/')[-1]}-{self.version}.tgz"


PACKAGES: dict[str, Package] = {
    one.name: one
    for one in (
        Package(
            "onnxruntime-web",
            "1.30.0",
            "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
            r"dist/(ort\.wasm\.min\.mjs|ort-wasm-simd-threaded\.(mjs|wasm))",
            "MIT",
        ),
        Package(
            "fast-png",
            "8.0.0",
            "gCysNasJ8KEMgfdYIKd/wTDo6ENK1PWT0RJO7O+0pgmuHPw2O6tA1WvdxFRJoLf9V8yFYpG0FA1YgI8X97OhJA==",
            r"lib/.*\.js|LICENSE",
            "MIT",
            (("fflate", "esm/browser.js"), ("iobuffer", "lib/iobuffer.js")),
        ),
        Package(
            "fflate",
            "0.8.3",
            "tbZNuJrLwGUp3zshBtdy4W+ORxZuIh8a5ilyIEQDC5rY1f3U20JMry0Ll3WBzU58EZKsEuJFXhb5gwv8CsPvgA==",
            r"esm/browser\.js|LICENSE",
            "MIT",
        ),
        Package(
            "iobuffer",
            "6.0.1",
            "SZWYkWNfjIXIBYSDpXDYIgshqtbOPsi4lviawAEceR1Kqk+sHDlcQjWrzNQsii80AyBY0q5c8HCTNjqo74ul+Q==",
            r"lib/.*\.js|LICENSE",
            "MIT",
        ),
        Package(
            "@jsquash/jpeg",
            "1.6.0",
            "zwN46Awh1VM6gXlIcALwb5WzqK5H2e6+Awcs1QP8AvS8ohsK/sbE4esvmH4jhlhW7+CgiUUww66vg0aTnlSIMA==",
            r"(decode|meta|utils)\.js|codec/dec/.*\.(js|wasm)|LICENSE|codec/LICENSE.*",
            "Apache-2.0",
        ),
        Package(
            "@huggingface/tokenizers",
            "0.2.0",
            "LidMHe1FpcSYH4vcSjXooda34pC0M8m1gmDOv7SQi6Iv+ib1zX7J3sHBCC9/3FPCkn2k1b55FneVqMRxrr99pg==",
            r"dist/tokenizers\.min\.mjs|LICENSE",
            "Apache-2.0",
        ),
    )
}


def with_needs(names: tuple[str, ...]) -> list[Package]:
    """Packages and what they import, each once."""
    found: dict[str, Package] = {}
    waiting = list(names)
    while waiting:
        package = PACKAGES[waiting.pop(0)]
        found.setdefault(package.name, package)
        waiting += [name for name, _ in package.needs if name not in found]
    return list(found.values())


def cache() -> Path:
    """Where packages are kept: ``limbeck/npm`` in ``$XDG_CACHE_HOME``, or else in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "limbeck" / "npm"


def folder_of(package: Package) -> Path:
    """The folder with a package's files, fetched where it is not there yet.

    A tarball that lies in the cache is taken, as ``npm pack`` writes one, so that a machine without a network can have it;
    else it comes from npm's registry, or the one that ``NPM_CONFIG_REGISTRY`` names.

    Raises :class:`limbeck.errors.BadInput` where it cannot be fetched, or is not the one that is pinned.
    """
    folder = cache() / f"{package.name.replace('/', '+')}-{package.version}"
    if folder.is_dir():
        return folder
    here = cache() / package.tarball
    content = here.read_bytes() if here.is_file() else _fetched(package)
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != package.sha512:
        place = here if here.is_file() else "the tarball that the registry gave"
        raise BadInput(f"{package.name} {package.version}: {place} is not the one that is known (its SHA-512 differs).")
    with atomic_folder(folder) as made, tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar.getmembers():
            name = member.name.partition("/")[2]  # all lies in one folder, "package"
            if member.isfile() and ".." not in name and re.fullmatch(package.files, name):
                path = made / name
                path.parent.mkdir(parents=True, exist_ok=True)
                file = tar.extractfile(member)
                assert file is not None
                path.write_bytes(file.read())
    return folder


def _fetched(package: Package) -> bytes:
    registry = os.environ.get("NPM_CONFIG_REGISTRY") or REGISTRY
    url = f"{registry.rstrip('/')}/{package.name}/-/{package.tarball}"
    progress.note(f"fetch {package.name} {package.version} from {registry}, once")
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            return answer.read()
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise BadInput(
            f"{package.name} {package.version} cannot be fetched from {url} ({reason}). On a machine with a network run "
            f"npm pack {package.name}@{package.version}, and put {package.tarball} into {cache()}."
        ) from None


def written(package: Package, lib: Path) -> list[str]:
    """Copies a package's files into ``lib/NAME``; bare names that it imports become paths, so that no bundler is needed.

    Returns their names, as from ``lib``.
    """
    source, names = folder_of(package), []
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        target = lib / package.name / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        content = file.read_bytes()
        for name, entry in package.needs:
            up = "../" * len(target.parent.relative_to(lib).parts)
            bare = re.compile(rb"(\bfrom\s*|\bimport\s*)(['\"])" + re.escape(name).encode() + rb"\2")
            content = bare.sub(rb"\1'" + f"{up}{name}/{entry}".encode() + rb"'", content)
        target.write_bytes(content)
        names.append(str(target.relative_to(lib)))
    return names
