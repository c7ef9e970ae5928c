"""What all tests that read data share."""

import datasets
import pytest


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    """A cache of their own, so that nothing is left in a person's, nor found there."""
    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("cache")
    yield
    datasets.config.HF_DATASETS_CACHE = before
