"""The Hugging Face hub: asked quietly, and not waited for where there is no network."""

from __future__ import annotations

import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import huggingface_hub
from datasets import config as datasets_config


@contextmanager
def asked() -> Iterator[None]:
    """The hub's client without its log; where the hub has no address, what was downloaded before is all there is."""
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


def has_address() -> bool:
    """Whether the hub's name resolves, which tells a machine without a network at once.

    The hub's client would try again for half a minute. Behind a proxy the name need not resolve here.
    """
    if urllib.request.getproxies():
        return True
    host = urllib.parse.urlsplit(datasets_config.HF_ENDPOINT).hostname
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True
