"""Set before any test module imports torch: the tests run in several processes, one thread each."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _measured_briefly() -> None:
    from tests.helpers.brief import measure_briefly

    measure_briefly()
