"""The Hugging Face hub: asked quietly, and not waited for where there is no network."""

from __future__ import annotations

import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import (
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from .errors import BadInput, short

_SAFE = ("*.json", "*.safetensors", "*.onnx", "*.md", "*.txt", "*.model")


@contextmanager
def asked() -> Iterator[None]:
    """The hub's client without its log; where the hub has no address, what was downloaded before is all there is."""
    from datasets import config as datasets_config  # slow to import, and needed where a hub is asked alone

    # Read once from the environment, when the client is imported; its log tells of every attempt.
    before = huggingface_hub.constants.HF_HUB_OFFLINE, datasets_config.HF_HUB_OFFLINE
    verbosity = huggingface_hub.logging.get_verbosity()
    huggingface_hub.logging.set_verbosity_error()
    if not has_address():
        huggingface_hub.constants.HF_HUB_OFFLINE = datasets_config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE, datasets_config.HF_HUB_OFFLINE = before
        huggingface_hub.logging.set_verbosity(verbosity)


def could_be_name(name: str) -> bool:
    """Whether something on the hub could be called so: ``owner/name``, or ``name`` alone."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def folder_of(name: str, revision: str | None = None) -> Path:
    """The model called ``name``, downloaded, or as it was downloaded before; weights that need unpickling are left there.

    Raises :class:`BadInput` where there is none, or the hub cannot be reached.
    """
    here = f"there is no folder {name} here, and"
    try:
        with asked():
            return Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=list(_SAFE)))
    except RevisionNotFoundError as error:
        raise BadInput(
            f"{here} {name} on the Hugging Face hub has no revision '{revision}': a branch, a tag or a commit of it is right."
        ) from error
    except RepositoryNotFoundError as error:
        raise BadInput(
            f"{here} no model of that name on the Hugging Face hub, or it needs a login: name a folder, or check the name."
        ) from error
    except LocalEntryNotFoundError as error:
        raise BadInput(
            f"{here} the Hugging Face hub cannot be reached to ask for a model of that name, which was not downloaded before, or "
            "not whole: name a folder, or check the network."
        ) from error
    except Exception as error:  # the hub's other errors, and those of the network below it
        raise BadInput(
            f"{here} the Hugging Face hub does not give a model of that name ({short(error)}): name "
            "a folder, or check the name, the network and the login."
        ) from error


def has_address() -> bool:
    """Whether the hub's name resolves, which tells a machine without a network at once.

    The hub's client would try again for half a minute. Behind a proxy the name need not resolve here.
    """
    if urllib.request.getproxies():
        return True
    host = urllib.parse.urlsplit(huggingface_hub.constants.ENDPOINT).hostname
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True
