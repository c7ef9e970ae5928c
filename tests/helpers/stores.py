"""A small store whose every answer can be worked out, written and taken apart."""

from typing import Any

import numpy as np
import pytest
import torch

from limbeck.targets.cast import cast

CLASSES, VIEWS, N = 5, 3, 23


def identity(**changes: Any) -> Any:
    return {
        "classes": CLASSES,
        "data": "d" * 16,
        "teacher": {"weights": "a" * 64, "probe": [1.0, -2.0, 3.0]},
        "preprocess": None,
        "precision": "float32",
        "views": {"flip": True, "pad_crop": 4},
        "view_seed": 0,
        **changes,
    }


def logits_of(ids_B, view):
    """A teacher that is a pure function of (id, view), row by row, to the bit."""
    column_C = torch.arange(CLASSES, dtype=torch.float64)
    mixed_BC = (ids_B[:, None].double() * 0.37 + view * 1.7) * (column_C + 1)
    return (torch.sin(mixed_BC) * 6 + 100).float()


def shuffled_ids(seed=0):
    numbers = np.random.default_rng(seed)
    return torch.from_numpy(numbers.permutation(np.arange(N) * 7919 - 50_000))


def make(path, ids_N=None, ask=None, **options):
    ids_N = shuffled_ids() if ids_N is None else ids_N
    ask = ask or (lambda index_B, view: logits_of(ids_N[index_B], view))
    options = {"block_size": 8, "batch_size": 3, **options}
    return cast(path, options.pop("identity", identity()), ids_N, options.pop("views", VIEWS), ask, **options)


def contents(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def shard_file(path, view, block):
    (file,) = path.glob(f"ids-*/view-{view:04d}/block-{block:05d}.arrow")
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "whole"
    make(path)
    return path
